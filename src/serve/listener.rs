//! Accepting connections: hyper with limits, for the boot plane (TCP) and for operators (Unix socket).
//!
//! `axum::serve` knows no header timeout, no bound on connections and not the local address, all of
//! which are needed here. Bounds: so many connections in all (further ones wait in the kernel's
//! queue) and so many from one address (further ones are told 503); headers of [`HEADER_BYTES`] within
//! [`HEADER_TIMEOUT`], which also ends connections that lie idle.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take to send its request's head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How large that head may be, in bytes.
pub const HEADER_BYTES: usize = 32 << 10;
/// Connections at once on the boot plane.
pub const MAX_CONNECTIONS: usize = 2_048;
/// Connections at once from one address. Several hundred machines may stand behind one translated
/// address, each with one or two.
pub const MAX_PER_PEER: usize = 512;
/// How long what is under way may go on after an end was asked for.
pub const GRACE: Duration = Duration::from_secs(2);
/// A peer that acknowledges nothing for so long is gone.
const DEAD_AFTER: Duration = Duration::from_secs(300);
/// Pause after the system refused to accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1_024;

/// Where a request of the boot plane came from; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Who asks.
    pub peer: SocketAddrV4,
    /// The address that was asked.
    pub local: Ipv4Addr,
}

/// Who asks on the operators' socket; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// The user id of the peer (`SO_PEERCRED`).
    pub uid: u32,
    /// Its process, where the kernel tells.
    pub pid: Option<i32>,
}

/// The bound on connections; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    total: Arc<Semaphore>,
    peers: Arc<Mutex<HashMap<Ipv4Addr, usize>>>,
    per_peer: usize,
}

/// A connection's place under the bound; given back when dropped.
#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    peers: Arc<Mutex<HashMap<Ipv4Addr, usize>>>,
    peer: Ipv4Addr,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS, MAX_PER_PEER)
    }
}

impl Gate {
    /// At most `total` connections, `per_peer` of them from one address.
    pub fn new(total: usize, per_peer: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total)),
            peers: Arc::default(),
            per_peer,
        }
    }

    fn admit(&self, permit: OwnedSemaphorePermit, peer: Ipv4Addr) -> Option<Place> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(peer).or_insert(0);
        if *count >= self.per_peer {
            return None;
        }
        *count += 1;
        drop(peers);
        Some(Place {
            _permit: permit,
            peers: Arc::clone(&self.peers),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

/// Opens a listening TCP socket, not yet on a runtime: the first ones are opened before the
/// privileges are dropped.
pub fn bind_tcp(address: SocketAddrV4) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::V4(address).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts on a TCP socket until cancelled. `refused` is told of peers that had too many connections.
pub async fn serve_tcp(
    listener: TcpListener,
    router: Router,
    gate: Gate,
    refused: Arc<dyn Fn(SocketAddrV4) + Send + Sync>,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    let local = listener.local_addr().ok();
    loop {
        let Some(Ok(permit)) = cancel
            .run_until_cancelled(Arc::clone(&gate.total).acquire_owned())
            .await
        else {
            return;
        };
        let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await else {
            return;
        };
        let (stream, peer) = match accepted {
            Ok((stream, SocketAddr::V4(peer))) => (stream, peer),
            Ok(_) => continue,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Some(place) = gate.admit(permit, *peer.ip()) else {
            // Best effort: the reply fits the socket's empty buffer.
            let _ = stream.try_write(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            );
            refused(peer);
            continue;
        };
        let local = match stream.local_addr().ok().or(local) {
            Some(SocketAddr::V4(local)) => *local.ip(),
            _ => continue,
        };
        tune(&stream);
        let connection = Connection { peer, local };
        let (router, cancel) = (router.clone(), cancel.clone());
        tasks.spawn(async move {
            drive(TokioIo::new(stream), router, connection, cancel).await;
            drop(place);
        });
    }
}

/// Accepts on the operators' socket until cancelled.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await else {
            return;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // A peer whose user is not known is nobody that could be named in a record.
        let Ok(credentials) = stream.peer_cred() else {
            continue;
        };
        let operator = Operator {
            uid: credentials.uid(),
            pid: credentials.pid(),
        };
        let (router, cancel) = (router.clone(), cancel.clone());
        tasks.spawn(drive(TokioIo::new(stream), router, operator, cancel));
    }
}

/// Serves one connection. When an end is asked for, the request under way may finish within
/// [`GRACE`]; then the connection is cut.
async fn drive<S, E>(io: TokioIo<S>, router: Router, extension: E, cancel: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    E: Clone + Send + Sync + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(extension.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Small answers leave at once; dead peers are noticed. What the system refuses here does no harm.
fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(DEAD_AFTER));
    let _ = socket.set_tcp_keepalive(
        &socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(60))
            .with_interval(Duration::from_secs(15)),
    );
}

async fn pause_after(error: &io::Error) {
    // The peer was gone before it was accepted: nothing to wait for.
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn start(gate: Gate) -> (SocketAddr, CancellationToken, TaskTracker) {
        let listener = bind_tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(
            |axum::Extension(connection): axum::Extension<Connection>| async move {
                format!("{} asked {}", connection.peer.ip(), connection.local)
            },
        );
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve_tcp(
            listener,
            router,
            gate,
            Arc::new(|_| ()),
            cancel.clone(),
            tasks.clone(),
        ));
        tasks.close();
        (address, cancel, tasks)
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    #[tokio::test]
    async fn http_1_0_without_host_is_served_and_both_addresses_are_known() {
        let (address, cancel, tasks) = start(Gate::default());
        let reply = ask(address, "GET / HTTP/1.0\r\n\r\n").await;
        assert!(reply.starts_with("HTTP/1.0 200"), "{reply}");
        assert!(reply.ends_with("127.0.0.1 asked 127.0.0.1"), "{reply}");
        cancel.cancel();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let (address, cancel, tasks) = start(Gate::default());
        let request = format!(
            "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(2 * HEADER_BYTES)
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before all of it is written.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
        cancel.cancel();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn one_address_has_a_bound_and_an_idle_connection_does_not_hold_up_the_end() {
        let (address, cancel, tasks) = start(Gate::new(8, 1));
        let mut first = TcpStream::connect(address).await.unwrap();
        first
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut byte = [0; 1];
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut reply = Vec::new();
        let _ = second.read_to_end(&mut reply).await;
        assert!(String::from_utf8_lossy(&reply).starts_with("HTTP/1.1 503"));
        cancel.cancel();
        tokio::time::timeout(GRACE, tasks.wait()).await.unwrap();
    }
}
