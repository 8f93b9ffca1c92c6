//! Taking a changed configuration up: on a signal, on request, and when a file has changed.
//!
//! **Invariant:** one load at a time; a configuration with an error changes nothing that runs; a
//! request reads either the old configuration or the new one, never parts of both. No reload arms a
//! host, but for new ones where `[install] when_new` says so ([`newcomers`]).
//!
//! **Invariant:** once a configuration was rejected, whatever may have made it good is looked at: it is read anew
//! with each change, until one is in force.

mod gather;
mod reading;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::gather::{Gathered, gather};
use self::reading::{Read, is_on_disk};
use self::watch::{Watch, folders};
use super::context::Context;
use super::health::Health;
use super::last_good::{Keeper, Staged};
use super::newcomers;
use super::standing::{CONFIGURATION, Kept};
use crate::base::{counted, pace};
use crate::config::{SnapshotDiff, SourceMap};
use crate::journal::event::{Event, Kind, Reason};
use crate::render::compare::difference;
use crate::render::load::InForce;

pub use self::reading::{NotedFiles, texts};
pub use super::standing::{ShownProblem, first_errors};

/// How often, and for how long each time, it is waited until requests have let go of the configuration that
/// they began with.
const LET_GO_WAITS: u32 = 1_000;
const LET_GO_EACH: Duration = Duration::from_millis(5);

/// How long after a failure it is tried again to keep what is in force.
const KEEP_AGAIN: Duration = Duration::from_secs(5);

/// The part's name in `/healthz` while what took effect cannot be kept.
const LAST_GOOD: &str = "last good configuration";

/// What the command line puts in place of the configuration's own; applied to each one loaded.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of `[server] state_dir`.
    pub state_dir: Option<PathBuf>,
    /// Instead of `[server] interfaces`.
    pub interfaces: Option<Vec<String>>,
    /// Whether nobody is told of anything, whatever hooks there are.
    pub without_hooks: bool,
}

impl Overrides {
    /// The configuration with these in place.
    pub fn apply(&self, in_force: Arc<InForce>) -> Arc<InForce> {
        if self.state_dir.is_none() && self.interfaces.is_none() && !self.without_hooks {
            return in_force;
        }
        let mut in_force = Arc::unwrap_or_clone(in_force);
        if self.without_hooks {
            in_force.snapshot.hooks.clear();
        }
        let server = &mut in_force.snapshot.server;
        if let Some(state_dir) = &self.state_dir {
            server.state_dir.clone_from(state_dir);
        }
        if let Some(interfaces) = &self.interfaces {
            server.interfaces.clone_from(interfaces);
        }
        Arc::new(in_force)
    }
}

/// Why a reload is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// SIGHUP.
    Signal,
    /// `bootwright reload`, by this user.
    Operator(String),
    /// A file has changed.
    Files,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal => f.write_str("on SIGHUP"),
            Self::Operator(by) => write!(f, "asked for by {by}"),
            Self::Files => f.write_str("files changed"),
        }
    }
}

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the files are in force now.
    pub accepted: bool,
    /// The generation that is in force now.
    pub generation: u64,
    /// What is different, in one line.
    pub changes: String,
    /// All that is different.
    #[serde(default)]
    pub diff: SnapshotDiff,
    /// Errors and warnings.
    pub problems: Vec<ShownProblem>,
}

/// Asks for reloads; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader {
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug)]
struct Ask {
    cause: Cause,
    reply: Option<oneshot::Sender<Outcome>>,
}

/// The daemon ends, or its reloading task has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is ending")]
pub struct Ending;

impl Reloader {
    /// A handle, and what [`run`] works off.
    pub fn new() -> (Self, Asks) {
        let (asks, inbox) = mpsc::channel(16);
        let inbox = Arc::new(Mutex::new(inbox));
        (Self { asks }, Asks { inbox })
    }

    /// Reloads and waits for the result.
    pub async fn reload(&self, cause: Cause) -> Result<Outcome, Ending> {
        let (reply, outcome) = oneshot::channel();
        let ask = Ask {
            cause,
            reply: Some(reply),
        };
        self.asks.send(ask).await.map_err(|_| Ending)?;
        outcome.await.map_err(|_| Ending)
    }

    /// Reloads some time soon.
    pub fn poke(&self, cause: Cause) {
        // A full queue holds enough reloads.
        let _ = self.asks.try_send(Ask { cause, reply: None });
    }
}

/// What was asked for; cheap to clone, read by one at a time.
#[derive(Debug, Clone)]
pub struct Asks {
    inbox: Arc<Mutex<mpsc::Receiver<Ask>>>,
}

/// What reloads are made from.
#[derive(Clone)]
pub struct Settings {
    /// `bootwright.toml`.
    pub main: PathBuf,
    /// What replaces parts of it.
    pub overrides: Overrides,
    /// Whether changed files are taken up by themselves.
    pub watch_files: bool,
    /// The files as they were read at the start, each with something that changes with its text.
    pub texts: Vec<(PathBuf, u64)>,
    /// What else the start has to say.
    pub start: Start,
}

/// What the start leaves to whoever reloads.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Why the files are not in force: the daemon was started on the last good configuration.
    pub rejected: Option<Vec<ShownProblem>>,
    /// Files that were looked for in vain, and folders that were listed.
    pub looked_for: BTreeSet<PathBuf>,
    /// What the configuration in force was read from, until it is kept. Taken by the first who works off reloads.
    pub sources: Arc<std::sync::Mutex<Option<SourceMap>>>,
}

/// What was last read, and what became of it.
#[derive(Debug, Clone, Default)]
struct LastRead {
    /// To tell a change from a touch.
    texts: Vec<(PathBuf, u64)>,
    /// Why it is not in force; `None`: it is.
    rejected: Option<Vec<ShownProblem>>,
    /// Files that were looked for in vain, and folders that were listed.
    looked_for: BTreeSet<PathBuf>,
}

impl LastRead {
    /// Whether reading again has found nothing else.
    fn is_as(&self, before: &Self) -> bool {
        self.texts == before.texts && self.rejected == before.rejected
    }
}

/// Works off reloads until cancelled.
pub async fn run(
    ctx: Context,
    health: Health,
    settings: Settings,
    asks: Asks,
    cancel: CancellationToken,
) {
    let mut inbox = asks.inbox.lock().await;
    let (changed, mut changes) = mpsc::channel::<()>(1);
    if settings.watch_files {
        // What was changed between the first reading and the watch is found by reading once more.
        let _ = changed.try_send(());
    }
    let mut watch = Watch::new(settings.watch_files, changed, health.clone());
    let mut last = LastRead {
        texts: settings.texts.clone(),
        rejected: settings.start.rejected.clone(),
        looked_for: settings.start.looked_for.clone(),
    };
    let state_dir = ctx.config().snapshot.server.state_dir.clone();
    let keeper = Keeper::new(state_dir, &settings.main);
    keep_first(&ctx, &health, &settings.start, &keeper);
    loop {
        // Each time, for folders come and go without any file being another.
        if watch.is_on() {
            let (in_force, main, read) = (ctx.config(), settings.main.clone(), last.clone());
            if let Some(folders) = aside(move |_| folders(&in_force, &main, &read)).await {
                watch.follow(folders);
            }
        }
        let ask = tokio::select! {
            () = cancel.cancelled() => return,
            ask = inbox.recv() => match ask {
                Some(ask) => ask,
                None => return,
            },
            () = tokio::time::sleep(KEEP_AGAIN), if matches!(health.standing().kept(), Kept::Failed(_)) => {
                keep_again(&ctx, &health, &settings.main, &keeper, &last).await;
                continue;
            }
            Some(()) = changes.recv() => match gather(&mut changes, &mut inbox, &cancel).await {
                Gathered::Files => Ask { cause: Cause::Files, reply: None },
                // Who asks for a reload says that the files are complete.
                Gathered::Asked(ask) => ask,
                Gathered::Ended => return,
            },
        };
        let in_force = ctx.config();
        if ask.cause == Cause::Files && last.rejected.is_none() {
            let (in_force, known) = (Arc::clone(&in_force), last.texts.clone());
            if aside(move |_| is_on_disk(&in_force, &known)).await == Some(true) {
                continue;
            }
        }
        let generation = in_force.snapshot.generation + 1;
        drop(in_force);
        let main = settings.main.clone();
        let read = aside(move |_| Read::now(&main, generation));
        let Some(mut read) = read.await else {
            trouble(
                &ctx,
                "the configuration could not be read: its reader failed",
            );
            // What is on the disk is not in force.
            last.rejected.get_or_insert_default();
            continue;
        };
        let now = LastRead {
            texts: std::mem::take(&mut read.texts),
            rejected: read.config.is_none().then(|| read.problems.clone()),
            looked_for: std::mem::take(&mut read.looked_for),
        };
        let before = std::mem::replace(&mut last, now);
        if ask.cause == Cause::Files && last.is_as(&before) {
            let _ = aside(move |_| drop((read, before))).await;
            continue;
        }
        notify_reloading();
        let outcome = settle(
            &ctx,
            &health,
            &settings.overrides,
            &keeper,
            read,
            &ask.cause,
        )
        .await;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        if !outcome.accepted {
            last.rejected.get_or_insert_default();
        }
        if let Some(reply) = ask.reply {
            let _ = reply.send(outcome);
        }
    }
}

/// `Type=notify-reload` wants the time of the reload beside the word of it.
fn notify_reloading() {
    if let Ok(now) = sd_notify::NotifyState::monotonic_usec_now() {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Reloading, now]);
    }
}

/// Keeps what the daemon was started on.
fn keep_first(ctx: &Context, health: &Health, start: &Start, keeper: &Keeper) {
    let in_force = ctx.config();
    let generation = in_force.snapshot.generation;
    if in_force.snapshot.last_good.is_some() {
        // It was read from there.
        health.standing().keeps(Kept::Generation(generation));
        return;
    }
    let sources = start
        .sources
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(sources) = sources {
        let (by, now) = (keeper.clone(), ctx.now());
        let stage = move || by.stage(&sources, &in_force.snapshot.server, now);
        keep(health, keeper, stage, generation);
    }
}

/// Tries once more to keep what is in force, after the disk would not take it. Files that are others by now are left to
/// the reload that they lead to.
async fn keep_again(ctx: &Context, health: &Health, main: &Path, keeper: &Keeper, last: &LastRead) {
    if last.rejected.is_some() {
        // The texts of what is in force are nowhere any more.
        return;
    }
    let (in_force, known) = (ctx.config(), last.texts.clone());
    let generation = in_force.snapshot.generation;
    let (main, by, now) = (main.to_owned(), keeper.clone(), ctx.now());
    let staged = aside(move |_| {
        let read = is_on_disk(&in_force, &known)
            .then(|| Read::now(&main, generation))
            // Changed in between: not what is in force.
            .filter(|read| read.texts == known)?;
        let config = read.config?;
        Some(by.stage(&read.sources, &config.snapshot.server, now))
    });
    if let Some(Some(staged)) = staged.await {
        keep(health, keeper, move || staged, generation);
    }
}

/// Puts what took effect in the place of what was kept, in a while: nobody waits for the disk.
fn keep(
    health: &Health,
    keeper: &Keeper,
    stage: impl FnOnce() -> std::io::Result<Staged> + Send + 'static,
    generation: u64,
) {
    let (health, keeper) = (health.clone(), keeper.clone());
    health.standing().keeps(Kept::Soon);
    tokio::spawn(async move {
        let done = aside(move |_| stage().and_then(|staged| keeper.commit(staged)));
        let failed = match done.await {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("the system gave no thread for it".to_owned()),
        };
        match &failed {
            None => health.well(LAST_GOOD),
            Some(why) => health.trouble(
                LAST_GOOD,
                format!("what is in force could not be kept for a start with broken files: {why}"),
            ),
        }
        health.standing().kept_is(generation, failed.as_deref());
    });
}

/// Tells everywhere that the files are not in force.
fn reject(ctx: &Context, health: &Health, problems: &[ShownProblem], why: &str) {
    let generation = ctx.config().snapshot.generation;
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let detail = format!(
        "{}, {why}: {}",
        counted(errors, "error"),
        first_errors(problems)
    );
    let mut event = Event::new(ctx.now(), Kind::ConfigRejected, Reason::Invalid).detail(detail);
    event.generation = generation;
    ctx.journal.append(event);
    tell_rejected(ctx, health, problems);
}

/// The same but for the event: for listings and `/healthz`, which strangers may read and which names nothing of the
/// files therefore.
pub fn tell_rejected(ctx: &Context, health: &Health, problems: &[ShownProblem]) {
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let in_force = ctx.config();
    health.standing().reject(ctx.now(), problems);
    let stays = match in_force.snapshot.last_good {
        Some(kept_at) => format!(
            "the last good configuration, of {kept_at}, is in force and no host can be armed"
        ),
        None => format!(
            "configuration {} stays in force",
            in_force.snapshot.generation
        ),
    };
    health.trouble(
        CONFIGURATION,
        format!("the files have {}; {stays}", counted(errors, "error")),
    );
}

/// Puts a configuration that was read in force, or tells why not.
async fn settle(
    ctx: &Context,
    health: &Health,
    overrides: &Overrides,
    keeper: &Keeper,
    read: Read,
    cause: &Cause,
) -> Outcome {
    let Read {
        problems,
        warnings,
        sources,
        ..
    } = read;
    let old = ctx.config();
    let generation = old.snapshot.generation;
    let refused = |problems| Outcome {
        accepted: false,
        generation,
        changes: String::new(),
        diff: SnapshotDiff::default(),
        problems,
    };
    let Some(new) = read.config else {
        let why = format!("the old configuration stays in force ({cause})");
        reject(ctx, health, &problems, &why);
        return refused(problems);
    };
    let new = overrides.apply(new);
    // What a start on the last good configuration finds in the files at last is what a start would have found.
    let is_as_at_start = old.snapshot.last_good.is_some();
    ctx.assets.set_root(new.snapshot.server.boot_assets.clone());
    ctx.in_force.store(Arc::clone(&new));
    health.standing().accept();
    health.well(CONFIGURATION);
    if let Err(error) = ctx.installs.reload(&new.snapshot).await {
        trouble(
            ctx,
            &format!("armings could not be compared with the new configuration: {error}"),
        );
    }
    // Machines are answered by it already. New ones that wait for their arming come first.
    let new_hosts = aside({
        let (installs, old, new) = (ctx.installs.clone(), Arc::clone(&old), Arc::clone(&new));
        // Hosts that are there already are none that a reload adds, even when the store was out of
        // reach so far.
        move |runtime| {
            runtime
                .block_on(installs.remember(&old.snapshot))
                .and_then(|_| runtime.block_on(installs.remember(&new.snapshot)))
        }
    });
    match new_hosts.await {
        Some(Ok(_)) if is_as_at_start => {}
        Some(Ok(new_hosts)) => newcomers::arm(ctx, &new, &new_hosts).await,
        // A store that cannot be read has told so itself: nothing is new then.
        Some(Err(_)) => {}
        None => trouble(
            ctx,
            "the configuration is in force; looking for hosts that are new in it has failed, and none of them is armed",
        ),
    }
    // What is to be told and kept of it may take its time.
    let followed_up = aside({
        let (old, new) = (Arc::clone(&old), Arc::clone(&new));
        let (keeper, now) = (keeper.clone(), ctx.now());
        move |_| {
            let staged = keeper.stage(&sources, &new.snapshot.server, now);
            // The texts go before anything else takes room.
            drop(sources);
            let diff = difference(&old, &new);
            (staged, diff.to_string(), diff)
        }
    });
    let followed_up = followed_up.await;
    let_go(old);
    let Some((staged, changes, diff)) = followed_up else {
        trouble(
            ctx,
            "the configuration is in force; comparing it with the one before, and keeping it, have failed",
        );
        return Outcome {
            accepted: true,
            generation: new.snapshot.generation,
            changes: String::new(),
            diff: SnapshotDiff::default(),
            problems,
        };
    };
    let mut detail = format!("{changes} ({cause})");
    if warnings > 0 {
        detail = format!("{detail}; {}", counted(warnings, "warning"));
    }
    let mut event = Event::new(ctx.now(), Kind::ConfigReloaded, Reason::Reload).detail(detail);
    event.generation = new.snapshot.generation;
    ctx.journal.append(event);
    keep(health, keeper, move || staged, new.snapshot.generation);
    Outcome {
        accepted: true,
        generation: new.snapshot.generation,
        changes,
        diff,
        problems,
    }
}

/// Does long work on a thread of its own, which stands back behind those that answer. `None`: it has
/// failed, or the system has no thread to give.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce(&tokio::runtime::Handle) -> T + Send + 'static,
) -> Option<T> {
    let (done, outcome) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    on_a_thread(move || {
        let _ = done.send(work(&runtime));
    });
    outcome.await.ok()
}

/// Lets go of a configuration that is out of force. Whoever lets go last frees a hundred thousand hosts,
/// which is not to be one that answers a packet.
fn let_go(old: Arc<InForce>) {
    on_a_thread(move || {
        for _ in 0..LET_GO_WAITS {
            if Arc::strong_count(&old) == 1 {
                break;
            }
            std::thread::sleep(LET_GO_EACH);
        }
        drop(old);
    });
}

fn on_a_thread(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || {
            pace::stand_back();
            work();
        });
    if let Err(error) = thread {
        tracing::warn!(%error, "no thread for a reload");
    }
}

fn trouble(ctx: &Context, what: &str) {
    ctx.journal
        .append(Event::new(ctx.now(), Kind::ServerTrouble, Reason::Reload).detail(what.to_owned()));
}

#[cfg(test)]
mod tests;
