//! Loaders that are fetched again and again: what the server did about it, and why it may be.

use super::attempts::Attempt;
use super::causes::{Cause, of_reason};
use super::steps::StepKind;
use super::why::Subject;
use crate::journal::event::Kind;

/// How long a broken loop explains what comes after it, in seconds: ten minutes in which fetches count,
/// and ten without a boot file.
const EXPLAINS: u64 = 1_200;

/// How often the loader was fetched lately without a script asked for in between.
pub(super) fn fruitless_fetches(attempt: &Attempt, before: &[Attempt]) -> u32 {
    let lately = before
        .iter()
        .rev()
        .take_while(|earlier| {
            !earlier.has(StepKind::Script) && attempt.began.since(earlier.began).as_secs() < 600
        })
        .map(|earlier| earlier.loader_fetches)
        .sum::<u32>();
    lately + attempt.loader_fetches
}

/// The loop that this boot is part of, where the server has broken one.
pub(super) fn of_loop(
    subject: &Subject<'_>,
    attempt: &Attempt,
    before: &[Attempt],
) -> Option<Cause> {
    let remark = std::iter::once(attempt)
        .chain(before.iter().rev())
        .take_while(|boot| {
            !boot.has(StepKind::Script) && attempt.began.since(boot.began).as_secs() < EXPLAINS
        })
        .flat_map(|boot| boot.remarks.iter().rev())
        .find(|remark| remark.kind == Kind::BootLoop)?;
    Some(of_reason(subject, remark.reason, Some(remark.what.clone())))
}

/// Whether the missing of this step is what the server itself has brought about by breaking a loop: it
/// named the loader no more.
pub(super) const fn is_brought_about(missing: StepKind) -> bool {
    matches!(
        missing,
        StepKind::FirmwareOffer | StepKind::FirmwareAddress | StepKind::Loader
    )
}
