//! One event given to a program on its standard input.
//!
//! **Invariant:** the program runs as the daemon's user without any capability and cannot gain privileges
//! (`no_new_privs`), sees nothing of the daemon's environment, and is killed with its process group when
//! its time is up or the daemon ends.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use caps::CapSet;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::journal::Event;

/// Where programs are looked for by a script that is run.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Of what a program says so much is told: the end.
const TAIL: usize = 500;

/// What a program may leave behind in its pipes is waited for no longer than this.
const PIPES_WITHIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error("it cannot be run: {0}")]
    Start(io::Error),
    #[error("{status}{}", said(.tail))]
    Failed { status: ExitStatus, tail: String },
    #[error("it cannot be waited for: {0}")]
    Wait(io::Error),
}

fn said(tail: &str) -> String {
    if tail.is_empty() {
        String::new()
    } else {
        format!(", it said: {tail}")
    }
}

/// Kills a process group when dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs a program with an event on its standard input. The caller sets the limit: when this is dropped,
/// the program is killed.
pub(super) async fn run(command: &[String], event: &Event, body: &[u8]) -> Result<(), ExecError> {
    let mut child = start(command, event).await.map_err(ExecError::Start)?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.map(Pid::from_raw));
    let stdin = child.stdin.take();
    let input = async {
        if let Some(mut stdin) = stdin {
            // A program need not read what it is given.
            let _ = stdin.write_all(body).await;
            let _ = stdin.write_all(b"\n").await;
        }
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let tail = Tail::default();
    let status = {
        let output = async {
            tokio::join!(tail.keep(out), tail.keep(err));
        };
        tokio::pin!(output);
        let whole = async {
            let ((), status) = tokio::join!(input, child.wait());
            status
        };
        tokio::pin!(whole);
        tokio::select! {
            status = &mut whole => {
                // A process that it has left running may hold the pipes.
                let _ = tokio::time::timeout(PIPES_WITHIN, output).await;
                status
            }
            () = &mut output => whole.await,
        }
    }
    .map_err(ExecError::Wait)?;
    // It has ended by itself: what it has left running may go on.
    group.0 = None;
    if status.success() {
        return Ok(());
    }
    Err(ExecError::Failed {
        status,
        tail: tail.text(),
    })
}

/// Starts the program from a thread of its own: capabilities belong to threads, and a child has those of
/// the thread that made it.
async fn start(command: &[String], event: &Event) -> io::Result<Child> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("BOOTWRIGHT_EVENT", event.kind.as_str())
        .env("BOOTWRIGHT_ID", event.id.to_string())
        .env(
            "BOOTWRIGHT_HOST",
            event.host.as_ref().map_or("", |host| host.as_str()),
        )
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let runtime = tokio::runtime::Handle::current();
    let (reply, started) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("hook".to_owned())
        .spawn(move || {
            let _runtime = runtime.enter();
            let mut start = || {
                nix::sys::prctl::set_no_new_privs()?;
                // Under `no_new_privs` a program gets no capability that its starter has not, root's
                // neither.
                for set in [
                    CapSet::Ambient,
                    CapSet::Inheritable,
                    CapSet::Effective,
                    CapSet::Permitted,
                ] {
                    caps::clear(None, set).map_err(io::Error::other)?;
                }
                command.spawn()
            };
            let _ = reply.send(start());
        })?;
    started
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the thread that starts it has failed")))
}

/// The last bytes of what a program says.
#[derive(Default)]
struct Tail(Mutex<VecDeque<u8>>);

impl Tail {
    /// Reads a pipe to its end.
    async fn keep(&self, pipe: Option<impl AsyncRead + Unpin>) {
        let Some(mut pipe) = pipe else { return };
        let mut buffer = [0; 4_096];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            let mut tail = self.lock();
            tail.extend(buffer.get(..read).unwrap_or_default());
            let over = tail.len().saturating_sub(TAIL);
            tail.drain(..over);
        }
    }

    fn text(&self) -> String {
        let tail: Vec<u8> = self.lock().iter().copied().collect();
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
