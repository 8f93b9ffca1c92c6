//! One engine on one local address, on a thread of its own.
//!
//! One for each address, because a ROM discards what comes from another one than it asked. A thread of
//! its own, because all its transfers run on the thread that drives it, and nothing else of the daemon
//! delays them.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use async_tftp::server::TftpServerBuilder;
use futures_lite::future::{block_on, or};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::handler::Requests;
use super::limits::Limits;
use super::native::Native;
use super::outcome::{RETRIES, TIMEOUT};
use super::spelling::Spellings;
use super::tap;
use super::whole::Wholes;
use crate::config::snapshot::TftpEngine;
use crate::serve::context::Context;

/// How long running transfers may go on when the engine is stopped.
const DRAIN: Duration = Duration::from_secs(2);

/// How long they have to say farewell after that.
const ABANDONED: Duration = Duration::from_millis(400);

/// Bytes of IPv4 header, UDP header and TFTP header, and four to spare for a VLAN tag.
const HEADERS: u32 = 32;

/// The block size without options (RFC 1350), which every link carries.
const MIN_BLKSIZE: u32 = 512;

/// What makes one engine different from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) address: Ipv4Addr,
    pub(super) port: u16,
    pub(super) iface: Arc<str>,
    /// Largest `blksize` granted.
    pub(super) blksize: u16,
    /// Largest `windowsize` granted.
    pub(super) windowsize: u16,
    pub(super) engine: TftpEngine,
}

impl Spec {
    /// The largest block that reaches the peer in one piece: PXE ROMs do not put fragments together.
    pub(super) fn blksize(configured: u16, mtu: Option<u32>) -> u16 {
        let fits = mtu
            .map_or(u32::MAX, |mtu| mtu.saturating_sub(HEADERS))
            .max(MIN_BLKSIZE);
        u16::try_from(fits).map_or(configured, |fits| configured.min(fits))
    }
}

/// A running engine.
pub(super) struct Engine {
    pub(super) spec: Spec,
    /// Begins no new transfer once this is set.
    closing: CancellationToken,
    /// Drops what runs. Also when the engine itself is dropped: its thread must not outlive it.
    abandon: DropGuard,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl Engine {
    /// Starts one on an open socket. It closes when `cancel` is set, or when it is told.
    pub(super) fn start(
        ctx: &Context,
        limits: &Limits,
        wholes: &Wholes,
        spec: Spec,
        socket: UdpSocket,
        cancel: &CancellationToken,
    ) -> io::Result<Self> {
        let closing = cancel.child_token();
        let abandon = CancellationToken::new();
        let (tell, ended) = oneshot::channel();
        let limits = limits.for_engine();
        let requests = Requests {
            ctx: Arc::new(ctx.clone()),
            runtime: Handle::current(),
            local: spec.address,
            iface: Arc::clone(&spec.iface),
            limits: limits.clone(),
            spellings: Spellings::default(),
            wholes: wholes.clone(),
            closing: closing.clone(),
        };
        let run = Run {
            requests,
            limits,
            socket,
            spec: spec.clone(),
            closing: closing.clone(),
            abandon: abandon.clone(),
        };
        std::thread::Builder::new()
            .name(format!("tftp {}", spec.address))
            .spawn(move || {
                // Dropped without a word when the thread panics: the supervisor takes that for a failure.
                let _ = tell.send(run.run());
            })?;
        Ok(Self {
            spec,
            closing,
            abandon: abandon.drop_guard(),
            ended,
        })
    }

    /// Whether it is still there; otherwise why not.
    pub(super) fn failed(&mut self) -> Option<String> {
        match self.ended.try_recv() {
            Ok(Ok(())) => Some("it ended".to_owned()),
            Ok(Err(error)) => Some(error),
            Err(oneshot::error::TryRecvError::Closed) => Some("its thread panicked".to_owned()),
            Err(oneshot::error::TryRecvError::Empty) => None,
        }
    }

    /// Begins no new transfer; those that run may end within two seconds.
    pub(super) async fn stop(mut self) {
        self.closing.cancel();
        if tokio::time::timeout(DRAIN, &mut self.ended).await.is_err() {
            drop(self.abandon);
            // Its thread ends by itself once it can; nobody is kept waiting for it.
            let _ = tokio::time::timeout(ABANDONED, self.ended).await;
        }
    }
}

struct Run {
    requests: Requests,
    limits: Limits,
    socket: UdpSocket,
    spec: Spec,
    closing: CancellationToken,
    abandon: CancellationToken,
}

impl Run {
    fn run(self) -> Result<(), String> {
        match self.spec.engine {
            TftpEngine::Native => self.native(),
            TftpEngine::AsyncTftp => self.async_tftp(),
        }
    }

    fn native(self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| error.to_string())?;
        let native = Native::new(self.requests, self.spec, self.abandon);
        runtime.block_on(native.run(self.socket))
    }

    fn async_tftp(self) -> Result<(), String> {
        tap::begin_thread();
        block_on(async move {
            let server = TftpServerBuilder::with_handler(self.requests)
                .std_socket(self.socket)
                .map_err(|error| error.to_string())?
                // The engine does not read a client's ERROR: a size probe is repeated until the
                // retries are used up, and a ROM that asks again from the same port is not heard
                // meanwhile. So both are kept short, and no client may make them longer.
                .timeout(TIMEOUT)
                .max_send_retries(RETRIES)
                .ignore_client_timeout()
                .block_size_limit(self.spec.blksize)
                .window_size_limit(self.spec.windowsize)
                .build()
                .await
                .map_err(|error| error.to_string())?;
            let serve = async { server.serve().await.map_err(|error| error.to_string()) };
            let stop = async {
                self.closing.cancelled().await;
                self.limits.idle().await;
                Ok(())
            };
            let abandon = async {
                self.abandon.cancelled().await;
                Ok(())
            };
            or(serve, or(stop, abandon)).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_an_engine_that_hangs() {
        let (_tell, ended) = oneshot::channel();
        let engine = Engine {
            spec: Spec {
                address: Ipv4Addr::LOCALHOST,
                port: 69,
                iface: "lo".into(),
                blksize: 1_468,
                windowsize: 64,
                engine: TftpEngine::Native,
            },
            closing: CancellationToken::new(),
            abandon: CancellationToken::new().drop_guard(),
            ended,
        };
        let stopped = tokio::time::timeout(DRAIN * 5, engine.stop()).await;
        assert!(stopped.is_ok());
    }

    #[test]
    fn blocks_fit_the_link() {
        assert_eq!(Spec::blksize(1_468, Some(1_500)), 1_468);
        assert_eq!(Spec::blksize(1_468, Some(1_400)), 1_368);
        assert_eq!(Spec::blksize(8_192, Some(9_000)), 8_192);
        assert_eq!(Spec::blksize(1_468, None), 1_468);
        assert_eq!(Spec::blksize(1_468, Some(65_536)), 1_468);
        assert_eq!(Spec::blksize(1_468, Some(68)), 512);
    }
}
