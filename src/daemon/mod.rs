//! L6, the daemon: load → state folder → sockets → drop privileges → store and journal → serve → drain.
//!
//! [`Prepared::open`] runs on the main thread before any runtime exists, because capabilities belong to
//! threads. [`Prepared::run`] runs on whatever runtime there is: [`serve`] makes one for the command,
//! `rehearse` runs a daemon inside its own process.
//!
//! **Invariant:** when `open` fails nothing is left behind but the state folder; only this module starts
//! tasks that live as long as the daemon.

mod error;
mod load;
mod service;
mod state;
mod task;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

pub use self::error::StartError;
use self::load::Loaded;
pub use self::load::state_dirs;
pub use self::service::serve;
use self::state::AdminSocket;
use self::task::Tasks;
use crate::base::{Clock, SystemClock, Timestamp, counted};
use crate::host::links::Links;
use crate::host::memory_fs::MemoryFs;
use crate::host::preflight;
use crate::host::privilege::{self, RunsAs};
use crate::journal::Journal;
use crate::journal::event::{Event, Kind, Reason};
use crate::render::load::InForce;
use crate::serve::admin::Admin;
use crate::serve::assets::AssetTree;
use crate::serve::boot::{self, BootPlane};
use crate::serve::context::Context;
use crate::serve::health::Health;
use crate::serve::hooks;
use crate::serve::installs::Installs;
use crate::serve::memory::Memory;
use crate::serve::reload::{self, Overrides, Reloader, Settings, ShownProblem, first_errors};
use crate::serve::{conflicts, dhcp, foreign, index, ndp, strangers, tftp};
use crate::store::{AnyStore, OpenOutcome, StoreError};

/// Name of the operators' socket in the state folder.
pub const SOCKET: &str = "bootwright.sock";
/// Name of the store in the state folder.
pub const STORE: &str = "records.redb";
/// Name of the journal in the state folder.
pub const JOURNAL: &str = "journal.redb";
/// What the store is called in events.
const RECORDS: &str = "records";
/// How often it is looked whether store and journal take what they are given.
const TROUBLE_EVERY: Duration = Duration::from_secs(2);

/// At each how many of these looks all records are judged, so that a stall or a lapse is told without
/// anybody asking.
const JUDGE_EACH: u32 = 5;
/// How often it is written down which machines without a reservation were seen.
const STRANGERS_EVERY: Duration = Duration::from_secs(20);
/// How long the parts may take to end.
const DRAIN: Duration = Duration::from_millis(2_500);

/// What is started, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// `bootwright.toml`.
    pub config: PathBuf,
    /// A configuration that is loaded already; `config` is still what a reload reads.
    pub in_force: Option<Arc<InForce>>,
    /// What replaces parts of the configuration.
    pub overrides: Overrides,
    /// Whether a start as root becomes the configured user.
    pub drop_privileges: bool,
    /// Whether changed files are taken up by themselves.
    pub watch_files: bool,
    /// Whether it is not started on the last good configuration when the files have errors.
    pub strict: bool,
}

impl Options {
    /// As `bootwright serve` starts.
    pub fn new(config: impl Into<PathBuf>) -> Self {
        Self {
            config: config.into(),
            in_force: None,
            overrides: Overrides::default(),
            drop_privileges: true,
            watch_files: true,
            strict: false,
        }
    }
}

/// A daemon with its store and sockets open that does not serve yet.
pub struct Prepared {
    ctx: Context,
    health: Health,
    settings: Settings,
    reloader: Reloader,
    asks: reload::Asks,
    sockets: Sockets,
    started: Timestamp,
}

struct Sockets {
    dhcp: dhcp::Sockets,
    foreign: foreign::Sockets,
    ndp: ndp::Sockets,
    tftp: tftp::Sockets,
    http: boot::plane::Sockets,
    /// `None`: the disk refuses; it is tried again.
    admin: Option<AdminSocket>,
}

impl Prepared {
    /// Loads, opens and binds everything, then drops the privileges.
    pub fn open(options: Options) -> Result<Self, StartError> {
        let Loaded {
            in_force,
            texts,
            warnings,
            start,
        } = load::load_config(&options)?;
        let snapshot = &in_force.snapshot;
        let server = &snapshot.server;
        let links = Links::read().map_err(StartError::Links)?;
        preflight::interfaces(&server.interfaces, &links.current())?;
        privilege::check(&[
            server.dhcp_port,
            server.proxy_port,
            server.tftp_port,
            server.http_port,
        ])?;

        let state_dir = server.state_dir.clone();
        state::prepare(&state_dir)?;
        let admin = state::open_admin_at_start(&state_dir.join(SOCKET))?;
        let sockets = Sockets {
            dhcp: dhcp::Sockets::open(snapshot, &links)?,
            foreign: foreign::Sockets::open(snapshot, &links),
            ndp: ndp::Sockets::open(snapshot, &links),
            tftp: tftp::Sockets::open(snapshot, &links)?,
            http: boot::plane::Sockets::open(snapshot, &links.current())?,
            admin,
        };
        // Who may not make one does without: boot files lie in memory then as well, in smaller pages.
        let boot_memory = MemoryFs::new().ok();
        let runs_as = if options.drop_privileges {
            privilege::settle(server.user.as_deref(), &state_dir)?
        } else {
            RunsAs::Unchanged
        };

        // Only now: both have a thread of their own, which would keep the privileges, and their files
        // are to belong to the user that the daemon has become.
        let (store, store_found) = AnyStore::open(&state_dir.join(STORE))?;
        let (journal, journal_found) = Journal::open(&state_dir.join(JOURNAL), server.journal_keep);

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let assets = AssetTree::new(server.boot_assets.clone());
        if let Some(boot_memory) = boot_memory {
            assets.cache().keep_in(boot_memory);
        }
        let ctx = Context {
            installs: Installs::new(Arc::new(store), journal.clone(), Arc::clone(&clock)),
            assets,
            memory: Memory::new(),
            links,
            journal,
            clock,
            in_force: Arc::new(ArcSwap::new(Arc::clone(&in_force))),
        };
        restore_strangers(&ctx, &state_dir.join(strangers::FILE));
        let health = Health::beginning();
        tell_found(&ctx, &health, RECORDS, &store_found);
        tell_found(&ctx, &health, "journal", &journal_found);
        if let Some(problems) = &start.rejected {
            tell_last_good(&ctx, &health, problems);
        }
        tell_start(&ctx, &runs_as, &texts, &warnings);
        let (reloader, asks) = Reloader::new();
        Ok(Self {
            started: ctx.now(),
            ctx,
            health,
            settings: Settings {
                main: options.config,
                overrides: options.overrides,
                watch_files: options.watch_files,
                texts,
                start,
            },
            reloader,
            asks,
            sockets,
        })
    }

    /// What its services will hold: for arming hosts and reading the journal in the same process.
    pub fn context(&self) -> Context {
        self.ctx.clone()
    }

    /// Asks for reloads.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Whether it was started on the last good configuration.
    pub fn is_on_last_good(&self) -> bool {
        self.settings.start.rejected.is_some()
    }

    /// What is well.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until cancelled; ends within three seconds after that.
    pub async fn run(self, cancel: CancellationToken) {
        let Self {
            ctx,
            health,
            settings,
            reloader,
            asks,
            sockets,
            started,
        } = self;
        let mut tasks = Tasks::new(ctx.clone(), health.clone(), cancel.clone());
        let plane = BootPlane {
            ctx: ctx.clone(),
            health: health.clone(),
            logs: ctx.config().snapshot.server.state_dir.join("logs"),
        };
        // Before anything new happens: what a kill has kept from being told.
        if let Err(error) = ctx.installs.make_up(&ctx.config().snapshot).await {
            tracing::warn!(%error, "what a kill may have kept from being told could not be looked for");
        }
        let hooks = hooks::Settings {
            folder: ctx.config().snapshot.server.state_dir.join(hooks::FOLDER),
            pace: hooks::Pace::default(),
            random: Arc::new(|| getrandom::u32().unwrap_or(u32::MAX)),
            states: hooks::States::default(),
        };
        let operators = Admin {
            hooks: hooks.states.clone(),
            logs: plane.logs.clone(),
            ctx: ctx.clone(),
            health: health.clone(),
            reloader,
            config: settings.main.clone(),
            started,
            ending: cancel.clone(),
        };

        tasks.start("links", {
            let ctx = ctx.clone();
            move |cancel| ctx.links.clone().follow(cancel)
        });
        tasks.start("dhcp", {
            let (ctx, health, mut sockets) = (ctx.clone(), health.clone(), sockets.dhcp);
            move |cancel| {
                let sockets = std::mem::take(&mut sockets);
                dhcp::run(ctx.clone(), health.clone(), sockets, cancel)
            }
        });
        tasks.start("other DHCP servers", {
            let (ctx, mut sockets) = (ctx.clone(), sockets.foreign);
            move |cancel| foreign::run(ctx.clone(), std::mem::take(&mut sockets), cancel)
        });
        tasks.start("router advertisements", {
            let (ctx, mut sockets) = (ctx.clone(), sockets.ndp);
            move |cancel| ndp::run(ctx.clone(), sockets.take(), cancel)
        });
        tasks.start("tftp", {
            let (ctx, health, mut sockets) = (ctx.clone(), health.clone(), sockets.tftp);
            move |cancel| {
                let sockets = std::mem::take(&mut sockets);
                tftp::run(ctx.clone(), health.clone(), sockets, cancel)
            }
        });
        tasks.start("boot plane", {
            let mut sockets = sockets.http;
            move |cancel| boot::plane::run(plane.clone(), std::mem::take(&mut sockets), cancel)
        });
        let mut admin_socket = None;
        tasks.start("admin", {
            let socket = sockets.admin.map(Arc::new);
            admin_socket.clone_from(&socket);
            move |cancel| state::serve_admin(operators.clone(), socket.clone(), cancel)
        });
        tasks.start("reload", {
            let (ctx, health) = (ctx.clone(), health.clone());
            move |cancel| {
                reload::run(
                    ctx.clone(),
                    health.clone(),
                    settings.clone(),
                    asks.clone(),
                    cancel,
                )
            }
        });
        tasks.start("boot files", {
            let ctx = ctx.clone();
            move |cancel| index::run(ctx.clone(), cancel)
        });
        tasks.start("unknown machines", {
            let ctx = ctx.clone();
            move |cancel| keep_strangers(ctx.clone(), cancel)
        });
        tasks.start("reserved addresses", {
            let ctx = ctx.clone();
            move |cancel| conflicts::run(ctx.clone(), cancel)
        });
        tasks.start("hooks", {
            let (ctx, health) = (ctx.clone(), health.clone());
            move |cancel| hooks::run(ctx.clone(), health.clone(), hooks.clone(), cancel)
        });
        tasks.start("judge", {
            let (ctx, health) = (ctx.clone(), health.clone());
            move |cancel| judge(ctx.clone(), health.clone(), cancel)
        });

        cancel.cancelled().await;
        tasks.end(DRAIN).await;
        let mut event = Event::new(ctx.now(), Kind::ServerStopped, Reason::Signal);
        event.generation = ctx.config().snapshot.generation;
        ctx.journal.append(event);
        let _ = tokio::time::timeout(Duration::from_millis(300), ctx.journal.flush()).await;
        // Last: the file goes when nobody listens any more.
        drop(admin_socket);
    }
}

/// Tells that the daemon was started on the last good configuration, and why.
fn tell_last_good(ctx: &Context, health: &Health, problems: &[ShownProblem]) {
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let kept_at = snapshot
        .last_good
        .map(|at| at.to_string())
        .unwrap_or_default();
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let detail = format!(
        "{}, started on the last good configuration, of {kept_at}; no host can be armed until the files are put right: {}",
        counted(errors, "error"),
        first_errors(problems)
    );
    let mut event = Event::new(ctx.now(), Kind::ConfigRejected, Reason::Invalid).detail(detail);
    event.generation = snapshot.generation;
    ctx.journal.append(event);
    reload::tell_rejected(ctx, health, problems);
}

/// Tells when the store or the journal is not the one that was left.
fn tell_found(ctx: &Context, health: &Health, what: &str, found: &OpenOutcome) {
    let (kind, reason, detail) = match found {
        OpenOutcome::Existing { .. } => return,
        // A first start; of the two only the records decide about anything.
        OpenOutcome::New if what != RECORDS => return,
        OpenOutcome::New => (
            Kind::ServerStarted,
            Reason::NewStore,
            format!("there was no {what} file: a new one was made"),
        ),
        OpenOutcome::Damaged { kept_as, why } => (
            Kind::ServerTrouble,
            Reason::DamagedStore,
            format!(
                "the {what} file could not be read ({why}): it is kept as {}, a new one was made{}",
                kept_as.display(),
                if what == RECORDS {
                    "; every host is `local`, nothing is installed until it is armed anew"
                } else {
                    ""
                }
            ),
        ),
        OpenOutcome::Unavailable { why } => {
            health.trouble(what, why.clone());
            (
                Kind::ServerTrouble,
                Reason::StoreUnavailable,
                format!("the {what} file cannot be used ({why})"),
            )
        }
    };
    ctx.journal
        .append(Event::new(ctx.now(), kind, reason).detail(detail));
}

fn tell_start(
    ctx: &Context,
    runs_as: &RunsAs,
    texts: &[(PathBuf, u64)],
    warnings: &[ShownProblem],
) {
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let mut detail = format!(
        "bootwright {} on {}, {}",
        env!("CARGO_PKG_VERSION"),
        snapshot.server.interfaces.join(", "),
        counted(snapshot.hosts().len(), "host")
    );
    match runs_as {
        RunsAs::Unchanged => {}
        RunsAs::User(name) => detail = format!("{detail}, as {name}"),
        RunsAs::Root => detail.push_str(
            ", as root: create an account `bootwright` (useradd --system bootwright) or set [server] user",
        ),
    }
    if !warnings.is_empty() {
        let count = counted(warnings.len(), "warning");
        detail = format!("{detail}; {count}, see `bootwright check`");
    }
    let mut event = Event::new(ctx.now(), Kind::ServerStarted, Reason::Done).detail(detail);
    event.generation = snapshot.generation;
    ctx.journal.append(event);

    let unreadable = texts
        .iter()
        .find_map(|(path, _)| std::fs::read(path).err().map(|error| (path, error)));
    if let Some((path, error)) = unreadable {
        ctx.journal.append(
            Event::new(ctx.now(), Kind::ServerTrouble, Reason::Reload).detail(format!(
                "{} cannot be read by the user that the daemon has become ({error}): it cannot be \
                 reloaded; let that user read it",
                path.display()
            )),
        );
    }
}

/// Takes over which machines without a reservation were seen before. Without them it is a start as any other.
fn restore_strangers(ctx: &Context, path: &Path) {
    match strangers::load(path) {
        Ok(saved) => ctx.memory.strangers().restore(saved),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the unknown machines seen earlier cannot be read");
        }
    }
}

/// Saves which machines without a reservation were seen, now and then and at the end.
async fn keep_strangers(ctx: Context, cancel: CancellationToken) {
    loop {
        let ends = cancel
            .run_until_cancelled(tokio::time::sleep(STRANGERS_EVERY))
            .await
            .is_none();
        let in_force = ctx.config();
        let is_reserved = |mac| in_force.snapshot.host_by_mac(mac).is_some();
        if let Some(known) = ctx.memory.strangers().unsaved(is_reserved, ctx.now()) {
            let path = in_force.snapshot.server.state_dir.join(strangers::FILE);
            let saved = tokio::task::spawn_blocking(move || strangers::save(&path, &known)).await;
            // A disk that refuses is told of by the store.
            if !matches!(saved, Ok(Ok(()))) {
                ctx.memory.strangers().unsave();
            }
        }
        if ends {
            return;
        }
    }
}

/// What operators are told while the store refuses.
fn tell_records(health: &Health, trouble: Option<StoreError>) {
    match trouble {
        Some(error) => health.trouble(
            RECORDS,
            format!("{error}; addresses are given and disks booted, nothing is installed"),
        ),
        None => health.well(RECORDS),
    }
}

/// Judges all records from time to time, and whether store and journal take what they are given.
async fn judge(ctx: Context, health: Health, cancel: CancellationToken) {
    let mut last_dropped = ctx.journal.dropped();
    // The configuration whose hosts are remembered.
    let mut remembered = None;
    let mut ticks = tokio::time::interval(TROUBLE_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for tick in 0_u32.. {
        if cancel.run_until_cancelled(ticks.tick()).await.is_none() {
            break;
        }
        let dropped = ctx.journal.dropped();
        match ctx.journal.refused() {
            Some(why) => health.trouble("journal", format!("it cannot be written: {why}")),
            None if dropped > last_dropped => {
                let count = dropped - last_dropped;
                let what = format!("{count} events could not be written down");
                health.trouble("journal", what);
            }
            None => health.well("journal"),
        }
        last_dropped = dropped;
        if !tick.is_multiple_of(JUDGE_EACH) {
            tell_records(&health, ctx.installs.cannot_record());
            continue;
        }
        let in_force = ctx.config();
        let snapshot = &in_force.snapshot;
        let mut judged = ctx.installs.judge_all(snapshot).await;
        if judged.is_ok() && remembered != Some(snapshot.generation) {
            let (installs, known) = (ctx.installs.clone(), Arc::clone(&in_force));
            let remember = move |runtime: &tokio::runtime::Handle| {
                runtime.block_on(installs.remember(&known.snapshot))
            };
            // Without a thread for it: the next time.
            if let Some(result) = reload::aside(remember).await {
                judged = result.map(|_| ());
                if judged.is_ok() {
                    remembered = Some(snapshot.generation);
                }
            }
        }
        let trouble = judged.err().or_else(|| ctx.installs.cannot_record());
        tell_records(&health, trouble);
    }
}
