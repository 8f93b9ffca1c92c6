//! A rehearsal under way: daemon and virtual machine in one network, steps read from the journal.
//!
//! The virtual machine is a child of this process's main thread and is killed by the kernel when that
//! thread ends (`setpriv --pdeathsig KILL`), so that it outlives the rehearsal in no case, SIGKILL
//! included. The namespace goes with both.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::console::{self, Screen};
use super::plan::Plan;
use super::qemu::{self, Disk, Guest, GuestFirmware, Image};
use super::scratch::Scratch;
use super::story::{Fetched, Line, Milestone, Step, Story};
use super::{disk, netns};
use crate::base::Token;
use crate::config::snapshot::InstallPolicy;
use crate::daemon::{Options, Prepared, StartError};
use crate::diagnose::Diagnosis;
use crate::journal::event::Event;
use crate::record::{Armament, Input, ReportKind};
use crate::serve::context::Context;
use crate::serve::installs::{ApplyError, Context as Cause};
use crate::serve::reload::Overrides;
use crate::serve::why::why;

/// Memory of the virtual machine in MiB.
const MEMORY: u32 = 1_024;
/// How often console, child and time are looked at.
const TICK: Duration = Duration::from_millis(100);
/// What EDK2 says on its console of a program that its signature check refuses.
const REFUSED: &str = "Access Denied";
/// Lines of the console that are kept for the report of a failure.
const TAIL: usize = 12;

/// Why a rehearsal did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// No network.
    #[error(transparent)]
    Netns(#[from] netns::NetnsError),
    /// The daemon does not start.
    #[error("the daemon does not start in the rehearsal")]
    Start(#[from] StartError),
    /// The host cannot be armed.
    #[error("the host cannot be armed in the rehearsal")]
    Arm(#[from] ApplyError),
    /// A file or process.
    #[error("{action}")]
    Io {
        /// What was being done.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

fn io_error(action: impl Into<String>) -> impl FnOnce(io::Error) -> RehearseError {
    let action = action.into();
    move |source| RehearseError::Io { action, source }
}

/// How a rehearsal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The milestone is reached.
    Reached,
    /// It took too long.
    TimedOut,
    /// The virtual machine ended by itself; what it said last.
    MachineEnded(String),
    /// The firmware's signature check refused a boot loader.
    Refused,
    /// A host that is installed was given its installer.
    OfferedInstaller,
    /// The rehearsal was ended by a signal of this name.
    Interrupted(&'static str),
}

/// A rehearsal that took place.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The steps and remarks.
    pub lines: Vec<Line>,
    /// The last step.
    pub last: Option<Step>,
    /// The step that did not come.
    pub missing: Option<Step>,
    /// Why an installer's boot did not come further, as far as its packets tell.
    pub diagnosis: Option<Diagnosis>,
    /// Where a host that is to be installed stands in the end, and what is known of its boot: what `why` tells.
    pub standing: Option<Diagnosis>,
    /// What the machine has fetched from this server, in order.
    pub fetched: Vec<Fetched>,
    /// The last lines of the console, without control sequences.
    pub console: Vec<String>,
    /// How long the machine was on.
    pub took: Duration,
}

/// What is told while it lasts.
#[derive(Debug)]
pub enum Told<'a> {
    /// Something done before the machine is switched on.
    Note(&'a str),
    /// A step, or a remark.
    Line(&'a Line),
    /// What the machine wrote to its serial console.
    Console(&'a [u8]),
}

/// Rehearses. To be called on the main thread, before any other exists: the process moves to a network of
/// its own and stays there.
pub fn rehearse(plan: &Plan, tell: &mut dyn FnMut(Told<'_>)) -> Result<Outcome, RehearseError> {
    let scratch = Scratch::new(&std::env::temp_dir()).map_err(io_error(format!(
        "a folder for the rehearsal cannot be made in {}",
        std::env::temp_dir().display()
    )))?;
    netns::enter()?;
    plan.wiring.make(&plan.tools.ip)?;
    tell(Told::Note(&format!(
        "network namespace with bridge {} at {}/{}",
        plan.wiring.bridge, plan.wiring.server, plan.wiring.prefix
    )));
    let _other_server = match &plan.beside {
        None => None,
        Some(beside) => {
            let running = beside.start(&plan.tools.setpriv, &plan.tools.ip, &plan.wiring.bridge)?;
            tell(Told::Note(&format!(
                "another DHCP server (dnsmasq) at {} gives {} to {}",
                beside.own, beside.given, beside.mac
            )));
            Some(running)
        }
    };
    let prepared = Prepared::open(Options {
        in_force: Some(Arc::clone(&plan.in_force)),
        overrides: Overrides {
            state_dir: Some(Plan::state_dir(scratch.path())),
            interfaces: Some(vec![plan.wiring.bridge.clone()]),
            without_hooks: true,
        },
        drop_privileges: false,
        watch_files: false,
        ..Options::new(&plan.in_force.snapshot.server.file)
    })?;
    let guest = guest(plan, &scratch)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(io_error("the runtime cannot be started"))?;
    let outcome = runtime.block_on(async {
        let signals = Signals::take().map_err(io_error("signals cannot be followed"))?;
        let ctx = prepared.context();
        let events = ctx.journal.follow();
        let cancel = CancellationToken::new();
        let daemon = tokio::spawn(prepared.run(cancel.clone()));
        let result = match arm(plan, &ctx).await {
            Ok(what) => {
                tell(Told::Note(&format!("{} is {what}", plan.host.name)));
                watch(plan, &guest, &ctx, events, signals, tell).await
            }
            Err(error) => Err(error),
        };
        cancel.cancel();
        let _ = daemon.await;
        result
    });
    runtime.shutdown_timeout(Duration::from_millis(200));
    drop(scratch);
    outcome
}

/// Makes the virtual machine's files.
fn guest(plan: &Plan, scratch: &Scratch) -> Result<Guest, RehearseError> {
    let failed = || io_error(format!("cannot write in {}", scratch.path().display()));
    let rom_script = scratch.join("rom.ipxe");
    std::fs::write(&rom_script, qemu::ROM_SCRIPT).map_err(failed())?;
    let console = scratch.join("console.log");
    std::fs::write(&console, "").map_err(failed())?;
    let image = match &plan.tools.image {
        Image::Bios { rom } => Image::Bios { rom: rom.clone() },
        Image::Uefi { code, vars } => {
            let own = scratch.join("vars.fd");
            std::fs::copy(vars, &own).map_err(failed())?;
            // A copy has the mode of the original, which may be read-only.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&own, mode).map_err(failed())?;
            Image::Uefi {
                code: code.clone(),
                vars: own,
            }
        }
    };
    let raw = scratch.join("disk.raw");
    let disk = match (plan.expected.installed, plan.firmware) {
        (false, _) => disk::empty(&raw).map(|()| Disk::Raw(raw)),
        (true, GuestFirmware::Bios) => disk::installed_bios(&raw).map(|()| Disk::Raw(raw)),
        (true, _) => disk::installed_uefi(&scratch.join("disk")).map(Disk::Folder),
    }
    .map_err(failed())?;
    Ok(Guest {
        firmware: plan.firmware,
        secure_boot: plan.secure_boot,
        image,
        mac: plan.mac,
        tap: plan.wiring.tap.clone(),
        uuid: plan.host.uuid,
        serial: plan.host.serial.clone(),
        disk,
        console,
        rom_script,
        memory: MEMORY,
    })
}

/// Brings the host's record, in the rehearsal's own store, to where the rehearsal begins.
async fn arm(plan: &Plan, ctx: &Context) -> Result<&'static str, RehearseError> {
    let snapshot = &ctx.config().snapshot;
    if plan.host.install == InstallPolicy::Always {
        return Ok("served its live system at every boot");
    }
    let Some(profile) = plan
        .profile
        .clone()
        .filter(|_| plan.host.install != InstallPolicy::Never)
    else {
        return Ok("local: it boots its disk");
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| RehearseError::Io {
        action: "the system gives no random numbers for a token".to_owned(),
        source: io::Error::other(error),
    })?;
    let mut inputs = vec![Input::Install {
        with: Armament {
            profile,
            macs: plan.host.boot_macs(),
            ip: plan.host.ip,
            token: Token::from_bytes(random),
            file_profile: plan.host.profile.clone(),
            armed_for: snapshot.server.armed_for,
            after: None,
        },
        force: false,
        by: "rehearse".to_owned(),
    }];
    if plan.expected.installed {
        inputs.push(Input::Script { further_boot: true });
        inputs.push(Input::Report {
            kind: ReportKind::Installed,
            message: Some("rehearsed".to_owned()),
            percent: None,
        });
    }
    let cause = Cause {
        mac: Some(plan.mac),
        ip: plan.host.ip,
        generation: snapshot.generation,
        file: None,
        because: None,
    };
    for input in &inputs {
        ctx.installs
            .apply(snapshot, &plan.host.name, input, &cause)
            .await?;
    }
    Ok(if plan.expected.installed {
        "installed: it has to boot its disk"
    } else {
        "armed, with a token of the rehearsal's own"
    })
}

/// Switches the machine on and follows it to its end.
async fn watch(
    plan: &Plan,
    guest: &Guest,
    ctx: &Context,
    mut events: tokio::sync::broadcast::Receiver<Arc<Event>>,
    mut signals: Signals,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Outcome, RehearseError> {
    let power_on = ctx.now();
    let mut story = Story::new(plan.expected.clone(), power_on);
    let mut machine = start(&plan.tools.setpriv, &plan.tools.qemu, guest)?;
    tell(Told::Note(&format!(
        "machine switched on: {}{}, {}",
        plan.firmware.describe(),
        if plan.secure_boot {
            " with Secure Boot"
        } else {
            ""
        },
        plan.mac
    )));
    let mut screen = Screen::default();
    let mut fetched = Vec::new();
    let mut console = tokio::fs::File::open(&guest.console)
        .await
        .map_err(io_error("the machine's console cannot be read"))?;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => {
                    fetched.extend(story.fetched(&event));
                    for line in story.take(&event) {
                        tell(Told::Line(&line));
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break End::MachineEnded("the journal was closed".to_owned()),
            },
            name = signals.next() => break End::Interrupted(name),
            _ = ticks.tick() => {
                let new = read_on(&mut console).await;
                if !new.is_empty() {
                    tell(Told::Console(&new));
                    screen.write(&new);
                }
                // The firmware's own words, of a program that it does not run.
                if plan.secure_boot && screen.shows(REFUSED) {
                    break End::Refused;
                }
                if plan.until == Milestone::Disk
                    && screen.shows(disk::SIGN)
                    && let Some(line) = story.console_shows_disk(ctx.now())
                {
                    tell(Told::Line(&line));
                }
                if plan.until_shown.as_deref().is_some_and(|sign| screen.shows(sign)) {
                    break End::Reached;
                }
                if let Ok(Some(status)) = machine.try_wait() {
                    break End::MachineEnded(last_words(&mut machine, status).await);
                }
                if ctx.now().since(power_on) >= plan.timeout {
                    break End::TimedOut;
                }
            }
        }
        if story.offered_installer() {
            break End::OfferedInstaller;
        }
        if plan.until_shown.is_none() && story.reached(plan.until) {
            break End::Reached;
        }
    };
    let took = ctx.now().since(power_on);
    let _ = machine.kill().await;
    while let Ok(event) = events.try_recv() {
        fetched.extend(story.fetched(&event));
    }
    let rest = read_on(&mut console).await;
    screen.write(&rest);
    let standing = if plan.expected.installed {
        None
    } else {
        let is_off = matches!(end, End::MachineEnded(_) | End::Refused);
        let mut found = why(ctx, &ctx.config(), &plan.host, is_off).await;
        if end == End::Refused {
            // The firmware goes on with its next boot entry at once, of which there is nothing to tell.
            found.causes = vec![refused(plan)];
            found.last_step = None;
        }
        Some(found)
    };
    Ok(Outcome {
        // Where nothing came of the machine, its cables and switches are not to blame: it has none.
        diagnosis: standing
            .clone()
            .filter(|found| end != End::Reached && found.boot.is_some()),
        standing,
        end,
        last: story.last(),
        missing: story.missing(),
        lines: story.lines().to_vec(),
        fetched,
        console: screen.tail(TAIL),
        took,
    })
}

/// Why the firmware stopped, of which its console has told.
fn refused(plan: &Plan) -> crate::diagnose::Cause {
    let host = &plan.host.name;
    let remedy = if plan.expected.boot.shim {
        format!("bring shim and GRUB anew: bootwright assets fetch with the profile of {host}")
    } else {
        format!(
            "write secure_boot = true in [hosts.{host}], so that it gets the signed shim of its distribution, or switch Secure Boot off in the firmware's setup"
        )
    };
    crate::diagnose::Cause {
        code: "secure-boot".to_owned(),
        what: "the loader was fetched and never run: refused by the firmware's signature check (Secure Boot)".to_owned(),
        evidence: vec![format!("its console says: {REFUSED}")],
        remedy,
    }
}

/// Starts QEMU as a child of this thread, which must be the main one: it gets SIGKILL when it ends.
fn start(setpriv: &Path, qemu: &PathBuf, guest: &Guest) -> Result<Child, RehearseError> {
    Command::new(setpriv)
        .args(["--pdeathsig", "KILL", "--"])
        .arg(qemu)
        .args(qemu::arguments(guest))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // A Ctrl-C is for the rehearsal, which ends the machine itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(io_error(format!("{} cannot be started", qemu.display())))
}

/// What QEMU said before it ended.
async fn last_words(machine: &mut Child, status: std::process::ExitStatus) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = machine.stderr.take() {
        let _ = stderr.take(8_192).read_to_end(&mut said).await;
    }
    let said = String::from_utf8_lossy(&said);
    match said.trim() {
        "" => format!("the virtual machine ended by itself ({status})"),
        said => format!("the virtual machine ended by itself ({status}): {said}"),
    }
}

/// What was written to the console since the last time.
async fn read_on(console: &mut tokio::fs::File) -> Vec<u8> {
    let mut new = Vec::new();
    let _ = console.take(console::AT_ONCE).read_to_end(&mut new).await;
    new
}

/// The signals that end a rehearsal.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}
