//! Templates that nothing renders.

use super::uses::reachable;
use crate::base::has_extension;
use crate::config::problem::{Problem, Severity};
use crate::config::shipped::is_shipped;
use crate::config::snapshot::Snapshot;

/// Templates that no profile names and that are brought in by none that is named. Those of profiles that nobody uses
/// count as used: so does the whole library that comes with this program.
pub(super) fn templates(snapshot: &Snapshot, problems: &mut Vec<Problem>) {
    // A profile with an error is not there.
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return;
    }
    let Some(reachable) = reachable(snapshot) else {
        return;
    };
    for (name, template) in snapshot.templates() {
        let is_variables = has_extension(name, "toml");
        if reachable.contains(name)
            || is_shipped(name)
            || !(is_variables || has_extension(name, "j2"))
        {
            continue;
        }
        let help = if is_variables {
            "a file of variables stands in `variables` of a profile: name it there, or take the file away"
        } else {
            "name it as `template` of an [[answers]] of a profile, bring it in by `{% include %}`, or take the file away"
        };
        let mut problem =
            Problem::warning("unused-template", format!("nothing uses `{name}`")).help(help);
        if let Some(span) = template.span {
            problem = problem.at(span, "no profile names it, and no template brings it in");
        }
        problems.push(problem);
    }
}
