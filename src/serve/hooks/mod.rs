//! Hooks: events of the journal told to others, at least once and in order.
//!
//! - *The queue is the journal.* A hook keeps only its place in it, the id of the last event that is done
//!   with ([`place`]), on disk after each delivery. What is told is on disk before (or the disk refuses),
//!   so that an id which a receiver has seen is never given to another event.
//! - *A new hook begins now*: with the start of the daemon, or with the reload that brought it (rather a
//!   moment before than after). One that is taken away is forgotten.
//! - *Trouble.* One event of a hook is under way at a time. What is not taken is tried again after 1 s, 2 s,
//!   … 5 min, each up to a half shorter by chance. Given up are events that are a day old after a day of
//!   trouble, the oldest of more than [`Pace::waiting`], what the receiver says is gone (410), and what a
//!   program has refused [`Pace::runs`] times. `hook.failed` tells so once an outage and again each hour.
//! - *Crash.* An event that was taken while the place could not be put down comes a second time, with the
//!   same id.
//!
//! **Invariant:** hooks are never told of `hook.failed`; one hook's trouble holds up no other one, and no
//! machine.

mod exec;
mod place;
pub mod post;
mod worker;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::JoinMap;

use self::place::{Key, Place, tidy};
use self::post::Poster;
use self::worker::Worker;
use super::context::Context;
use super::health::Health;
use crate::base::Timestamp;
use crate::config::snapshot::Hook;
use crate::journal::event::{Event, Kind, Reason};

/// Name of the folder of places in the state folder.
pub const FOLDER: &str = "hooks";

/// The part's name in `/healthz`.
const PART: &str = "hooks";

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// How patient hooks are.
#[derive(Debug, Clone)]
pub struct Pace {
    /// First pause after a failure; doubled each time.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// How often an outage is told.
    pub tell_every: Duration,
    /// An event this old is given up once the receiver has failed for as long.
    pub give_up_after: Duration,
    /// Events that may wait for one hook.
    pub waiting: usize,
    /// Runs of a program with one event.
    pub runs: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(300),
            tell_every: Duration::from_secs(3_600),
            give_up_after: Duration::from_secs(86_400),
            waiting: 10_000,
            runs: 10,
        }
    }
}

/// What hooks run on; cheap to clone.
#[derive(Clone)]
pub struct Settings {
    /// Where places are kept.
    pub folder: PathBuf,
    /// How patient they are.
    pub pace: Pace,
    /// Where chance comes from.
    pub random: Arc<dyn Fn() -> u32 + Send + Sync>,
    /// Where it is told how they do.
    pub states: States,
}

/// How one hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// The receiver: scheme and server of a URL, or the program.
    pub hook: String,
    /// Which events it is told.
    pub events: Vec<String>,
    /// Events that wait.
    pub waiting: usize,
    /// Events delivered since the daemon was started.
    pub delivered: u64,
    /// Events given up since the daemon was started.
    pub given_up: u64,
    /// When an event was last taken, since the daemon was started.
    pub last_success: Option<Timestamp>,
    /// Since when it takes nothing.
    pub failing_since: Option<Timestamp>,
    /// Why not.
    pub last_error: Option<String>,
}

impl HookState {
    fn of(hook: &Hook) -> Self {
        Self {
            hook: hook.to_string(),
            events: hook.events.clone(),
            waiting: 0,
            delivered: 0,
            given_up: 0,
            last_success: None,
            failing_since: None,
            last_error: None,
        }
    }
}

/// How all hooks do; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct States(Arc<Mutex<BTreeMap<Key, HookState>>>);

impl States {
    /// All of them.
    pub fn all(&self) -> Vec<HookState> {
        self.lock().values().cloned().collect()
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut HookState)) {
        if let Some(state) = self.lock().get_mut(key) {
            change(state);
        }
    }

    /// Tells `/healthz`, which strangers may read: a number, no names.
    fn tell(&self, health: &Health) {
        let failing = self
            .lock()
            .values()
            .filter(|state| state.failing_since.is_some())
            .count();
        match failing {
            0 => health.well(PART),
            1 => health.trouble(PART, "1 hook takes no events"),
            many => health.trouble(PART, format!("{many} hooks take no events")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, HookState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the hooks of the configuration in force, and of each that follows, until cancelled.
pub async fn run(ctx: Context, health: Health, settings: Settings, cancel: CancellationToken) {
    let mut settled = ctx.journal.settled();
    let mut hooks = Hooks {
        settings,
        health,
        poster: Poster::default(),
        running: BTreeMap::new(),
        workers: JoinMap::new(),
        ctx,
    };
    // What an earlier wake has seen was under the configuration that was then in force: a hook that is
    // new now misses nothing that came after its reload.
    let mut seen = hooks.ctx.journal.begins_at().saturating_sub(1);
    let mut known = None;
    loop {
        let now = *settled.borrow_and_update();
        let in_force = hooks.ctx.config();
        let is_known = known
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, &in_force));
        if !is_known {
            hooks.follow(&in_force.snapshot.hooks, seen).await;
            known = Some(in_force);
        }
        seen = now;
        tokio::select! {
            () = cancel.cancelled() => break,
            changed = settled.changed() => if changed.is_err() { break },
            // One that fails is started again with all others.
            Some((_, Err(error))) = hooks.workers.join_next(), if !hooks.workers.is_empty() => {
                fail_with(error);
            }
        }
    }
    // Each puts its place down.
    hooks.running.values().for_each(CancellationToken::cancel);
    while hooks.workers.join_next().await.is_some() {}
}

/// The daemon starts a task that fails again: so this one fails with its parts.
fn fail_with(error: JoinError) {
    if error.is_panic() {
        std::panic::resume_unwind(error.into_panic());
    }
}

struct Hooks {
    ctx: Context,
    health: Health,
    settings: Settings,
    poster: Poster,
    running: BTreeMap<Key, CancellationToken>,
    workers: JoinMap<Key, ()>,
}

impl Hooks {
    /// Starts hooks that are new, after this id, and ends those that are gone.
    async fn follow(&mut self, hooks: &[Hook], after: u64) {
        let keys: Vec<Key> = hooks.iter().map(Key::of).collect();
        self.running.retain(|key, token| {
            let stays = keys.contains(key);
            if !stays {
                token.cancel();
                self.settings.states.lock().remove(key);
            }
            stays
        });
        // They put their places down, which are forgotten below.
        while self.workers.keys().any(|key| !keys.contains(key)) {
            if let Some((_, Err(error))) = self.workers.join_next().await {
                fail_with(error);
            }
        }
        for (key, hook) in keys.iter().zip(hooks) {
            if self.running.contains_key(key) {
                self.settings
                    .states
                    .change(key, |state| state.events.clone_from(&hook.events));
                continue;
            }
            let place = Place::new(&self.settings.folder, key, hook);
            let begins = self.begin(hook, &place, after);
            let mut states = self.settings.states.lock();
            states.insert(key.clone(), HookState::of(hook));
            drop(states);
            let token = CancellationToken::new();
            let worker = Worker::new(
                self.ctx.clone(),
                self.health.clone(),
                self.settings.clone(),
                self.poster.clone(),
                key.clone(),
                place,
                begins,
            );
            self.workers.spawn(key.clone(), worker.run(token.clone()));
            self.running.insert(key.clone(), token);
        }
        self.settings.states.tell(&self.health);
        let folder = self.settings.folder.clone();
        let _ = tokio::task::spawn_blocking(move || tidy(&folder, &keys)).await;
    }

    /// After which event a hook begins: its place, or, for a new one, `after`.
    fn begin(&self, hook: &Hook, place: &Place, after: u64) -> u64 {
        let journal = &self.ctx.journal;
        let lost = match place.read() {
            // A place ahead of the journal is of one that is lost, from before a clock was set back.
            Ok(Some(kept)) if kept <= (*journal.settled().borrow()).max(after) => return kept,
            Ok(None) => None,
            Ok(Some(_)) => Some("its place is not in this journal".to_owned()),
            Err(error) => Some(format!("its place in the journal cannot be read ({error})")),
        };
        if let Some(why) = lost {
            let detail = format!("{hook}: {why}; what waited for it is lost");
            let event = Event::new(self.ctx.now(), Kind::HookFailed, Reason::GivenUp);
            journal.append(event.detail(detail));
        }
        if let Err(error) = place.write(after) {
            tracing::warn!(%hook, %error, "the place of a hook cannot be put down");
        }
        after
    }
}
