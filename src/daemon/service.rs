//! `bootwright serve`: a runtime, signals, and word to the service manager.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Prepared, StartError};
use crate::serve::health::Health;
use crate::serve::reload::{Cause, Reloader};

/// Runs the daemon until SIGTERM or SIGINT.
pub fn serve(prepared: Prepared) -> Result<(), StartError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    let served = runtime.block_on(async {
        let cancel = CancellationToken::new();
        // Before anybody is told that the daemon is ready: a signal must not end it by default then.
        let signals = Signals::take().map_err(StartError::Runtime)?;
        let follow = tokio::spawn(signals.follow(prepared.reloader(), cancel.clone()));
        let beat = tokio::spawn(watchdog(prepared.health()));
        let running = tokio::spawn(prepared.run(cancel));
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        let ended = running.await;
        beat.abort();
        follow.abort();
        ended.map_err(|error| StartError::Runtime(std::io::Error::other(error)))
    });
    // A read from a disk that does not answer must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    served
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn take() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn follow(mut self, reloader: Reloader, cancel: CancellationToken) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = self.hangup.recv() => reloader.poke(Cause::Signal),
            }
        }
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        cancel.cancel();
    }
}

/// Tells the service manager that the daemon is alive, where it wants to know.
async fn watchdog(health: Health) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut ticks = tokio::time::interval(limit / 2);
    loop {
        ticks.tick().await;
        let troubles = health.troubles();
        let status = match troubles.first() {
            None => "ok".to_owned(),
            Some((part, what)) => format!("degraded: {part}: {what}"),
        };
        let _ = sd_notify::notify(&[NotifyState::Watchdog, NotifyState::Status(&status)]);
    }
}
