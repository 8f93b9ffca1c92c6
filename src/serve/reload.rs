//! Taking a changed configuration up: on a signal, on request, and when a file has changed.
//!
//! **Invariant:** one load at a time; a configuration with an error changes nothing that runs; a
//! request reads either the old configuration or the new one, never parts of both. No reload arms a
//! host, but for new ones where `[install] when_new` says so ([`newcomers`]).
//!
//! **Invariant:** once a configuration was rejected, whatever may have made it good is looked at: it is read anew
//! with each change, until one is in force.

mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::watch::{NotedFiles, Watch};
use super::context::Context;
use super::health::Health;
use super::newcomers;
use crate::base::pace;
use crate::config::diff::SnapshotDiff;
use crate::config::source::{DiskFiles, Files as _, fingerprint as fingerprint_of};
use crate::config::{Problem, Severity, SourceMap};
use crate::journal::event::{Event, Kind, Reason};
use crate::render::load::{InForce, Loaded, load};

/// Changes that come within this time are taken up together.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How often, and for how long each time, it is waited until requests have let go of the configuration that
/// they began with.
const LET_GO_WAITS: u32 = 1_000;
const LET_GO_EACH: Duration = Duration::from_millis(5);

/// Problems named in an event; the rest is counted.
const SHOWN: usize = 3;

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

/// A problem as the operators' API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownProblem {
    /// `error` or `warning`.
    pub severity: String,
    /// Its stable name.
    pub code: String,
    /// `file:line:column`.
    pub place: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ShownProblem {
    /// As shown with the files it stands in.
    pub fn of(problem: &Problem, sources: &SourceMap) -> Self {
        Self {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            }
            .to_owned(),
            code: problem.code.to_owned(),
            place: problem.place(sources),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }
}

impl std::fmt::Display for ShownProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// What became of a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether the files are in force now.
    pub accepted: bool,
    /// The generation that is in force now.
    pub generation: u64,
    /// What is different, in words.
    pub changes: String,
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
    /// The files that the configuration in force was read from, each with something that changes with its
    /// text.
    pub texts: Vec<(PathBuf, u64)>,
}

/// The files of a loaded configuration, for [`Settings::texts`].
pub fn texts(sources: &SourceMap) -> Vec<(PathBuf, u64)> {
    sources
        .iter()
        .map(|source| {
            let fingerprint = source.fingerprint;
            let fingerprint = fingerprint.unwrap_or_else(|| fingerprint_of(&source.text));
            (source.path.clone(), fingerprint)
        })
        .collect()
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

/// Whether the files of the configuration in force still are what is on the disk, and no other one has come that
/// belongs to it: then there is nothing to be read and proven. Says nothing of a configuration that was rejected,
/// which may be made good by what it was not read from.
fn is_on_disk(in_force: &InForce, known: &[(PathBuf, u64)]) -> bool {
    let same = |(path, fingerprint): &(PathBuf, u64)| {
        let text = DiskFiles.read(path);
        text.is_ok_and(|text| fingerprint_of(&text) == *fingerprint)
    };
    let server = &in_force.snapshot.server;
    let is_known = |file: &PathBuf| known.iter().any(|(path, _)| path == file);
    let mut named = server.reservations.iter().chain(&server.secrets);
    if !named.all(|file| is_known(file) || DiskFiles.is_dir(file)) {
        return false;
    }
    let folders = [&server.profiles, &server.templates];
    let folders = folders.into_iter().chain(&server.reservations);
    let mut listed = folders
        .filter(|folder| DiskFiles.is_dir(folder))
        .map(|folder| DiskFiles.list(folder));
    listed.all(|files| files.is_ok_and(|files| files.iter().all(is_known)))
        && known.iter().all(same)
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
        ..LastRead::default()
    };
    loop {
        // Each time, for folders come and go without any file being another.
        watch.follow(&ctx.config(), &settings.main, &last);
        let ask = tokio::select! {
            () = cancel.cancelled() => return,
            ask = inbox.recv() => match ask {
                Some(ask) => ask,
                None => return,
            },
            Some(()) = changes.recv() => {
                // Not cancelled while debouncing: the end waits at most this long for it. Who asks for a
                // reload meanwhile says that the files are complete.
                let asked = tokio::select! {
                    () = tokio::time::sleep(DEBOUNCE) => None,
                    asked = inbox.recv() => asked,
                };
                while changes.try_recv().is_ok() {}
                asked.unwrap_or(Ask { cause: Cause::Files, reply: None })
            }
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
        let read = aside(move |_| {
            let files = NotedFiles::default();
            let loaded = load(&files, &main, generation);
            Read::new(loaded, files.looked_for())
        });
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
        let outcome = settle(&ctx, &settings.overrides, read, &ask.cause).await;
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

/// What was read, without the texts that it was read from.
struct Read {
    config: Option<Arc<InForce>>,
    texts: Vec<(PathBuf, u64)>,
    looked_for: BTreeSet<PathBuf>,
    problems: Vec<ShownProblem>,
    errors: usize,
    warnings: usize,
}

impl Read {
    fn new(loaded: Loaded, looked_for: BTreeSet<PathBuf>) -> Self {
        let (errors, warnings) = loaded.counts();
        let shown = |problem| ShownProblem::of(problem, &loaded.sources);
        Self {
            texts: texts(&loaded.sources),
            looked_for,
            problems: loaded.problems.iter().map(shown).collect(),
            config: loaded.config,
            errors,
            warnings,
        }
    }
}

/// Puts a configuration that was read in force, or tells why not.
async fn settle(ctx: &Context, overrides: &Overrides, read: Read, cause: &Cause) -> Outcome {
    let Read {
        problems,
        errors,
        warnings,
        ..
    } = read;
    let old = ctx.config();
    let Some(new) = read.config else {
        let detail = format!(
            "{errors} {}, the old configuration stays in force ({cause}): {}",
            plural(errors, "error"),
            first_errors(&problems)
        );
        let mut event = Event::new(ctx.now(), Kind::ConfigRejected, Reason::Invalid).detail(detail);
        event.generation = old.snapshot.generation;
        ctx.journal.append(event);
        return Outcome {
            accepted: false,
            generation: old.snapshot.generation,
            changes: String::new(),
            problems,
        };
    };
    let new = overrides.apply(new);
    // Many hosts take their time, which packets do not have.
    let compared = aside({
        let (installs, old, new) = (ctx.installs.clone(), Arc::clone(&old), Arc::clone(&new));
        move |runtime| {
            let changes = SnapshotDiff::between(&old.snapshot, &new.snapshot).to_string();
            // Hosts that are there already are none that a reload adds, even when the store was out of
            // reach so far.
            let new_hosts = runtime
                .block_on(installs.remember(&old.snapshot))
                .and_then(|_| runtime.block_on(installs.remember(&new.snapshot)));
            (changes, new_hosts)
        }
    });
    let Some((changes, new_hosts)) = compared.await else {
        trouble(
            ctx,
            "the configuration could not be taken up: comparing it with the one in force failed",
        );
        return Outcome {
            accepted: false,
            generation: old.snapshot.generation,
            changes: String::new(),
            problems,
        };
    };
    ctx.assets.set_root(new.snapshot.server.boot_assets.clone());
    ctx.in_force.store(Arc::clone(&new));
    let_go(old);
    if let Err(error) = ctx.installs.reload(&new.snapshot).await {
        trouble(
            ctx,
            &format!("armings could not be compared with the new configuration: {error}"),
        );
    }
    let mut detail = format!("{changes} ({cause})");
    if warnings > 0 {
        detail = format!("{detail}; {warnings} {}", plural(warnings, "warning"));
    }
    let mut event = Event::new(ctx.now(), Kind::ConfigReloaded, Reason::Reload).detail(detail);
    event.generation = new.snapshot.generation;
    ctx.journal.append(event);
    // A store that cannot be read has told so itself: nothing is new then.
    if let Ok(new_hosts) = new_hosts {
        newcomers::arm(ctx, &new, &new_hosts).await;
    }
    Outcome {
        accepted: true,
        generation: new.snapshot.generation,
        changes,
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

fn plural(count: usize, word: &str) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}

/// The first errors in one line.
pub fn first_errors(problems: &[ShownProblem]) -> String {
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity == "error")
        .map(ToString::to_string)
        .collect();
    let mut text = errors
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    if errors.len() > SHOWN {
        text = format!("{text}; and {} more", errors.len() - SHOWN);
    }
    text
}

fn trouble(ctx: &Context, what: &str) {
    ctx.journal
        .append(Event::new(ctx.now(), Kind::ServerTrouble, Reason::Reload).detail(what.to_owned()));
}

#[cfg(test)]
mod tests;
