//! One hook: what waits for it, one delivery after another, patience with a receiver that fails.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::place::{Key, Place};
use super::post::Poster;
use super::{HookState, Pace, Settings, exec};
use crate::base::Timestamp;
use crate::config::Secret;
use crate::config::snapshot::{Hook, HookTarget};
use crate::host;
use crate::journal::Event;
use crate::journal::event::{Kind, Reason};
use crate::render::load::InForce;
use crate::serve::context::Context;
use crate::serve::health::Health;

/// Events looked at in one go.
const PAGE: usize = 1_000;

/// A place this far behind what was looked at is put down although nothing was delivered.
const PUT_DOWN_EVERY: u64 = 1_000;

/// What became of a delivery.
enum Outcome {
    /// It was taken.
    Taken,
    /// To be tried again.
    Failed(Reason, String),
    /// The receiver wants nothing more of it.
    Gone(String),
    /// There is no such event any more.
    Lost,
    /// The hook has been changed and does not want it any more.
    Unwanted,
}

/// A receiver that fails.
struct Outage {
    since: Timestamp,
    /// Failures in a row.
    failures: u32,
    /// Failures with the event that is the next.
    tries: u32,
    due: Instant,
}

/// One hook at work.
pub(super) struct Worker {
    ctx: Context,
    health: Health,
    settings: Settings,
    poster: Poster,
    key: Key,
    place: Place,
    /// Up to here everything was looked at.
    looked: u64,
    /// What is put down.
    put_down: u64,
    /// The events that wait, oldest first.
    waiting: VecDeque<(u64, Timestamp)>,
    outage: Option<Outage>,
    /// When its trouble was last told; `None`: not since an event was taken.
    told: Option<Timestamp>,
    /// Events given up that were not told.
    untold: u64,
}

impl Worker {
    pub(super) fn new(
        ctx: Context,
        health: Health,
        settings: Settings,
        poster: Poster,
        key: Key,
        place: Place,
        after: u64,
    ) -> Self {
        Self {
            ctx,
            health,
            settings,
            poster,
            key,
            place,
            looked: after,
            put_down: after,
            waiting: VecDeque::new(),
            outage: None,
            told: None,
            untold: 0,
        }
    }

    /// Delivers until cancelled.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut settled = self.ctx.journal.settled();
        let mut known: Option<Arc<InForce>> = None;
        loop {
            let through = *settled.borrow_and_update();
            let in_force = self.ctx.config();
            if !known
                .as_ref()
                .is_some_and(|known| Arc::ptr_eq(known, &in_force))
            {
                // What other patterns passed over is not to come back at the next start; and what was
                // wrong may be mended.
                self.put_down().await;
                if let Some(outage) = &mut self.outage {
                    outage.due = Instant::now();
                }
                known = Some(Arc::clone(&in_force));
            }
            let found = in_force
                .snapshot
                .hooks
                .iter()
                .find(|hook| Key::of(hook) == self.key);
            let Some(hook) = found else {
                // Whoever took it away ends this as well.
                cancel.cancelled().await;
                return;
            };
            self.look(hook, through).await;
            let due = self.outage.as_ref().map(|outage| outage.due);
            let next = match self.waiting.front() {
                Some(next) if due.is_none_or(|due| due <= Instant::now()) => Some(*next),
                _ => None,
            };
            if let Some((id, at)) = next {
                let delivery = Box::pin(self.deliver(&in_force, hook, id));
                let Some(outcome) = cancel.run_until_cancelled(delivery).await else {
                    break;
                };
                self.settle(hook, at, outcome).await;
                continue;
            }
            let pause = async {
                match due {
                    Some(due) if !self.waiting.is_empty() => tokio::time::sleep_until(due).await,
                    _ => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                changed = settled.changed() => if changed.is_err() { break },
                () = pause => {}
            }
        }
        self.put_down().await;
    }

    /// Takes in what the journal has got.
    async fn look(&mut self, hook: &Hook, through: u64) {
        while self.looked < through {
            // What cannot be read now is looked for again when the next event is written.
            let Some(page) = self.ctx.journal.page(self.looked, through, PAGE).await else {
                break;
            };
            let wanted = page.events.iter().filter(|event| hook.wants(event.kind));
            self.waiting
                .extend(wanted.map(|event| (event.id, event.at)));
            self.looked = page.through.max(self.looked);
            let over = self
                .waiting
                .len()
                .saturating_sub(self.settings.pace.waiting);
            if over > 0 {
                self.waiting.drain(..over);
                self.gave_up(over as u64);
            }
        }
        if self.done_through() >= self.put_down.saturating_add(PUT_DOWN_EVERY) {
            self.put_down().await;
        }
        self.publish(|_| ());
    }

    /// The last event before which nothing waits.
    fn done_through(&self) -> u64 {
        match self.waiting.front() {
            Some((next, _)) => next.saturating_sub(1),
            None => self.looked,
        }
    }

    async fn put_down(&mut self) {
        let through = self.done_through();
        if through == self.put_down {
            return;
        }
        let place = self.place.clone();
        let written = tokio::task::spawn_blocking(move || place.write(through)).await;
        match written {
            Ok(Ok(())) => self.put_down = through,
            // It is tried again with the next event; until then a restart would deliver twice.
            Ok(Err(error)) => tracing::warn!(%error, "the place of a hook cannot be put down"),
            Err(error) => tracing::warn!(%error, "the place of a hook cannot be put down"),
        }
    }

    async fn deliver(&self, in_force: &InForce, hook: &Hook, id: u64) -> Outcome {
        let Some(page) = self.ctx.journal.page(id.saturating_sub(1), id, 1).await else {
            return Outcome::Failed(Reason::Undelivered, "the journal cannot be read".to_owned());
        };
        let Some(event) = page.events.first() else {
            return Outcome::Lost;
        };
        if !hook.wants(event.kind) {
            return Outcome::Unwanted;
        }
        let key = hook.secret.as_deref().map(|name| {
            let secret = in_force.snapshot.secrets.get(None, name);
            secret.map(Secret::reveal).ok_or(name)
        });
        let key = match key.transpose() {
            Ok(key) => key.map(str::as_bytes),
            Err(name) => {
                let why = format!("the secret `{name}` is not there, and nothing is sent unsigned");
                return Outcome::Failed(Reason::NoSecret, why);
            }
        };
        let body = event.to_json_of(&host::name()).to_string();
        let failed =
            |error: &dyn std::fmt::Display| Outcome::Failed(Reason::Undelivered, error.to_string());
        let attempt = async {
            match &hook.target {
                HookTarget::Url(url) => {
                    let body = Bytes::from(body);
                    match self
                        .poster
                        .post(url, event, body, key, self.ctx.now())
                        .await
                    {
                        Ok(status) if status.is_success() => Outcome::Taken,
                        Ok(StatusCode::GONE) => Outcome::Gone("it answered 410 Gone".to_owned()),
                        Ok(status) if status.is_redirection() => {
                            failed(&format!("it answered {status}; redirects are not followed"))
                        }
                        Ok(status) => failed(&format!("it answered {status}")),
                        Err(error) => failed(&error),
                    }
                }
                HookTarget::Exec(command) => {
                    match exec::run(command, event, body.as_bytes()).await {
                        Ok(()) => Outcome::Taken,
                        Err(error) => failed(&error),
                    }
                }
            }
        };
        tokio::time::timeout(hook.timeout, attempt)
            .await
            .unwrap_or_else(|_| failed(&format!("it took longer than {:?}", hook.timeout)))
    }

    /// Draws the consequences.
    async fn settle(&mut self, hook: &Hook, at: Timestamp, outcome: Outcome) {
        let now = self.ctx.now();
        match outcome {
            Outcome::Taken => {
                self.waiting.pop_front();
                self.publish(|state| {
                    state.delivered += 1;
                    state.last_success = Some(now);
                    state.failing_since = None;
                });
                let ended = self.outage.take().is_some();
                if ended {
                    self.settings.states.tell(&self.health);
                }
                if self.untold > 0 {
                    self.tell(hook, Reason::GivenUp, "it takes events again");
                }
                self.told = None;
            }
            Outcome::Unwanted => {
                self.waiting.pop_front();
            }
            Outcome::Lost => {
                self.waiting.pop_front();
                self.gave_up(1);
                self.tell_now_and_then(
                    hook,
                    Reason::GivenUp,
                    "an event is no longer in the journal",
                );
            }
            Outcome::Gone(why) => {
                self.waiting.pop_front();
                self.gave_up(1);
                self.tell_now_and_then(hook, Reason::GivenUp, &why);
            }
            Outcome::Failed(reason, why) => self.failed(hook, at, reason, &why),
        }
        self.put_down().await;
    }

    fn failed(&mut self, hook: &Hook, at: Timestamp, reason: Reason, why: &str) {
        let now = self.ctx.now();
        let pace = self.settings.pace.clone();
        let random = (self.settings.random)();
        let outage = self.outage.get_or_insert_with(|| Outage::new(now));
        outage.due = Instant::now() + pause(&pace, outage.failures, random);
        outage.failures = outage.failures.saturating_add(1);
        outage.tries = outage.tries.saturating_add(1);
        let since = outage.since;
        let is_program = matches!(hook.target, HookTarget::Exec(_));
        let refused = is_program && outage.tries >= pace.runs;
        let too_old = now.since(since) >= pace.give_up_after && now.since(at) >= pace.give_up_after;
        if refused || too_old {
            outage.tries = 0;
            if refused {
                // The next event may be another matter.
                outage.failures = 0;
                outage.due = Instant::now();
            }
            self.waiting.pop_front();
            self.gave_up(1);
        }
        let is_new = self.publish(|state| {
            let is_new = state.failing_since.is_none();
            state.failing_since = Some(since);
            state.last_error = Some(why.to_owned());
            is_new
        });
        if is_new == Some(true) {
            self.settings.states.tell(&self.health);
        }
        self.tell_now_and_then(hook, reason, why);
    }

    fn gave_up(&mut self, events: u64) {
        self.untold += events;
        self.publish(|state| state.given_up += events);
    }

    /// Tells trouble when it is new or was told long ago.
    fn tell_now_and_then(&mut self, hook: &Hook, reason: Reason, why: &str) {
        let now = self.ctx.now();
        let every = self.settings.pace.tell_every;
        if self.told.is_none_or(|told| now.since(told) >= every) {
            self.told = Some(now);
            self.tell(hook, reason, why);
        }
    }

    /// Writes `hook.failed`, with what was given up since the last one.
    fn tell(&mut self, hook: &Hook, reason: Reason, why: &str) {
        let mut detail = format!("{hook}: {why}");
        match self.waiting.len() {
            0 => {}
            1 => detail.push_str("; 1 event waits"),
            more => {
                let _ = write!(detail, "; {more} events wait");
            }
        }
        let mut event = Event::new(self.ctx.now(), Kind::HookFailed, reason);
        if self.untold > 0 {
            event.count = Some(self.untold);
            let _ = write!(detail, "; {} given up", self.untold);
            self.untold = 0;
        }
        event.generation = self.ctx.config().snapshot.generation;
        self.ctx.journal.append(event.detail(detail));
    }

    /// Changes what is shown of the hook.
    fn publish<T>(&self, change: impl FnOnce(&mut HookState) -> T) -> Option<T> {
        let mut result = None;
        self.settings.states.change(&self.key, |state| {
            result = Some(change(state));
            state.waiting = self.waiting.len();
        });
        result
    }
}

impl Outage {
    fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            failures: 0,
            tries: 0,
            due: Instant::now(),
        }
    }
}

/// The pause after so many failures before this one: doubled each time up to the longest, and up to a half
/// shorter by chance, so that many servers do not return in step.
fn pause(pace: &Pace, failures: u32, random: u32) -> Duration {
    let whole = pace
        .first
        .saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        .min(pace.longest);
    whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_are_shortened_by_chance() {
        let pace = Pace::default();
        let whole: Vec<u64> = (0..12)
            .map(|failures| pause(&pace, failures, u32::MAX).as_secs())
            .collect();
        assert_eq!(whole, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(pause(&pace, 3, 0), Duration::from_secs(4));
        assert_eq!(pause(&pace, 40, u32::MAX), Duration::from_secs(300));
    }
}
