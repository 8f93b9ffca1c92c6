//! Accepting connections: hyper with limits, for the boot plane (TCP) and for operators (Unix socket).
//!
//! `axum::serve` knows no bound on connections and on waiting, not the local address, and reads requests as
//! `hyper` does, which takes what a strict reader refuses. The boot plane's connections have a place each
//! ([`gate`]), are framed strictly ([`stream`](self::stream)), and heads of [`HEADER_BYTES`] at most.

pub mod gate;
mod operators;
mod reply;
mod stream;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::response::Response;
use futures_util::future::Either;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::gate::{Gate, Limits, Sent, Watch};
use self::gate::{Place, TURN};
pub use self::operators::{HEADER_TIMEOUT, Operator, serve_unix};
pub use self::reply::Reply;
use self::stream::Line;
use crate::wire::framing::Fault;

/// How large a request's head may be, in bytes.
pub const HEADER_BYTES: usize = 32 << 10;
/// How long what is under way may go on after an end was asked for.
pub const GRACE: Duration = Duration::from_secs(2);
/// A peer that acknowledges nothing for so long is gone.
const DEAD_AFTER: Duration = Duration::from_secs(300);
/// Pause after the system refused to accept (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4_096;

/// Where a request of the boot plane came from; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Who asks.
    pub peer: SocketAddrV4,
    /// The address that was asked.
    pub local: Ipv4Addr,
}

/// What answers the requests of the boot plane.
pub trait Handler: Clone + Send + Sync + Unpin + 'static {
    /// Answers one that needs no waiting: without a turn, a task or a timer. `None`: [`Self::handle`] answers it.
    fn at_once(
        &self,
        _request: &Request<Incoming>,
        _connection: Connection,
    ) -> Option<hyper::Response<Reply>> {
        None
    }

    /// Answers one.
    fn handle(
        self,
        request: Request<Incoming>,
        connection: Connection,
        watch: Watch,
    ) -> impl Future<Output = Response> + Send + 'static;

    /// Whether a machine of the configuration has this address.
    fn knows(&self, peer: Ipv4Addr) -> bool;

    /// Takes note of a connection or a request that never became one to be answered.
    fn turned_away(&self, connection: Connection, why: Turned);
}

/// Why nothing is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Turned {
    /// There are too many connections.
    #[error("too many connections")]
    Full,
    /// The request could be read in two ways.
    #[error("the request is refused: {0}")]
    Malformed(Fault),
}

/// Opens a listening TCP socket, not yet on a runtime: the first ones are opened before the
/// privileges are dropped.
pub fn bind_tcp(address: SocketAddrV4) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    tune(&socket);
    socket.bind(&SocketAddr::V4(address).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts on a TCP socket until cancelled.
pub async fn serve_tcp<H: Handler>(
    listener: TcpListener,
    handler: H,
    gate: Gate,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    let local = listener.local_addr().ok();
    let mut ticks = tokio::time::interval(gate.limits().tick());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            _ = ticks.tick() => {
                gate.sweep();
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok((stream, SocketAddr::V4(peer))) => (stream, peer),
            Ok(_) => continue,
            Err(error) => {
                // Out of descriptors: whoever waits idly has to go.
                if error.kind() != io::ErrorKind::ConnectionAborted {
                    gate.relieve();
                }
                pause_after(&error).await;
                continue;
            }
        };
        let local = match stream.local_addr().ok().or(local) {
            Some(SocketAddr::V4(local)) => *local.ip(),
            _ => continue,
        };
        let connection = Connection { peer, local };
        let end = cancel.child_token();
        let known = handler.knows(*peer.ip());
        let Some(place) = gate.admit(*peer.ip(), end, known) else {
            // Best effort: the reply fits the socket's empty buffer.
            let _ = stream.try_write(
                b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            );
            handler.turned_away(connection, Turned::Full);
            continue;
        };
        tasks.spawn(drive(stream, handler.clone(), connection, place));
    }
}

/// Serves one connection of the boot plane. When an end is asked for, the request under way may finish within
/// [`GRACE`]; then the connection is cut.
///
/// `hyper` has 16 KiB of buffers for each connection. Ten thousand machines wait at the same time, most of them only for
/// their turn: before that, and while there is a crowd also between two requests, a connection is a socket and no more.
async fn drive<H: Handler>(stream: TcpStream, handler: H, connection: Connection, place: Place) {
    let gate = place.gate();
    let watch = place.watch.clone();
    let told = handler.clone();
    let mut line = Line::new(stream, watch.clone(), move |fault| {
        told.turned_away(connection, Turned::Malformed(fault));
    });
    loop {
        let mine = async {
            // Who has closed does not stand in the queue, and holds no place.
            if !line.has_more().await {
                return None;
            }
            let waiting = watch.wait_for_turn();
            let turn = gate.turn(watch.is_known()).await;
            drop(waiting);
            Some(turn)
        };
        let Some(Some(turn)) = watch.end().run_until_cancelled(mine).await else {
            return;
        };
        watch.keep_turn(Some(turn));
        let live = gate.live();
        let Some(again) = serve(line, &handler, connection, &watch, &gate).await else {
            return;
        };
        drop(live);
        line = again;
    }
}

/// What has become of a connection.
enum Step {
    /// It is over, but for its closing.
    Over,
    /// It waits for its next request, and others need the room.
    Crowded,
    /// It is to end.
    End,
}

/// Serves what comes until the connection ends, or has to wait among a crowd: then it is given back.
async fn serve<H: Handler, F: FnMut(Fault) + Unpin>(
    line: Line<F>,
    handler: &H,
    connection: Connection,
    watch: &Watch,
    gate: &Gate,
) -> Option<Line<F>> {
    let service = service_fn(|request: Request<Incoming>| {
        if let Some(response) = handler.at_once(&request, connection) {
            watch.answered();
            return Either::Left(std::future::ready(Ok(response)));
        }
        let answering = watch.begin();
        let (handler, watch, gate) = (handler.clone(), watch.clone(), gate.clone());
        // `hyper` gives a connection back only where futures may be moved.
        Either::Right(Box::pin(async move {
            let turn = match watch.keep_turn(None) {
                Some(turn) => turn,
                None => gate.turn(watch.is_known()).await,
            };
            let mut answered = std::pin::pin!(handler.handle(request, connection, watch));
            let at_once = tokio::time::timeout(TURN, answered.as_mut()).await;
            let response = if let Ok(response) = at_once {
                response
            } else {
                drop(turn);
                answered.await
            };
            drop(answering);
            Ok::<_, std::convert::Infallible>(response.map(Reply::from))
        }))
    });
    let mut served = http1::Builder::new()
        .max_buf_size(HEADER_BYTES)
        // A client may say that it sends nothing more and still read.
        .half_close(true)
        // What stands for a file's bytes must never be copied.
        .writev(true)
        .serve_connection(TokioIo::new(line), service);
    let over = |ended: Result<(), hyper::Error>| {
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        Step::Over
    };
    let served_on = poll_fn(|cx| {
        if let Poll::Ready(ended) = served.poll_without_shutdown(cx) {
            return Poll::Ready(over(ended));
        }
        if !watch.is_answering() {
            watch.keep_turn(None);
            if watch.is_at_rest() && gate.is_crowded() {
                return Poll::Ready(Step::Crowded);
            }
        }
        Poll::Pending
    });
    let step = watch.end().run_until_cancelled(served_on).await;
    let step = step.unwrap_or(Step::End);
    if matches!(step, Step::End) && watch.is_cut() {
        return None;
    }
    if !matches!(step, Step::Over) {
        Pin::new(&mut served).graceful_shutdown();
        // Between two requests it is over at once.
        let ends = poll_fn(|cx| served.poll_without_shutdown(cx));
        over(tokio::time::timeout(GRACE, ends).await.ok()?);
    }
    let parts = served.into_parts();
    let mut line = parts.io.into_inner();
    if matches!(step, Step::Crowded) {
        line.unread(&parts.read_buf);
        return Some(line);
    }
    let mut closes = std::pin::pin!(line.shutdown());
    // The peer may be gone: then there is nothing to be closed.
    if watch
        .end()
        .run_until_cancelled(closes.as_mut())
        .await
        .is_none()
        && !watch.is_cut()
    {
        let _ = tokio::time::timeout(GRACE, closes).await;
    }
    None
}

/// Small answers leave at once; dead peers are noticed. Connections have from the listening socket what it was told
/// (tcp(7)). What the system refuses here does no harm.
fn tune(socket: &Socket) {
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Says who asked whom for what, and takes note of whom it does not.
    #[derive(Clone, Default)]
    struct Echo {
        turned: Arc<Mutex<Vec<Turned>>>,
        known: Arc<AtomicBool>,
    }

    impl Handler for Echo {
        async fn handle(
            self,
            request: Request<Incoming>,
            connection: Connection,
            _watch: Watch,
        ) -> Response {
            let path = request.uri().path().to_owned();
            let body = axum::body::to_bytes(Body::new(request.into_body()), 1 << 20).await;
            let text = match path.as_str() {
                "/large" => "x".repeat(32 << 20),
                _ => format!(
                    "{} asked {} for {path}, {:?} bytes\n",
                    connection.peer.ip(),
                    connection.local,
                    body.map(|body| body.len()).ok()
                ),
            };
            Response::new(Body::from(text))
        }

        fn knows(&self, _peer: Ipv4Addr) -> bool {
            self.known.load(Ordering::Relaxed)
        }

        fn turned_away(&self, _connection: Connection, why: Turned) {
            self.turned.lock().unwrap().push(why);
        }
    }

    struct Site {
        address: SocketAddr,
        gate: Gate,
        echo: Echo,
        cancel: CancellationToken,
        tasks: TaskTracker,
    }

    impl Site {
        fn new(limits: Limits) -> Self {
            Self::with(limits, Echo::default())
        }

        fn with(limits: Limits, echo: Echo) -> Self {
            let listener = bind_tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let site = Self {
                address: listener.local_addr().unwrap(),
                gate: Gate::new(limits),
                echo,
                cancel: CancellationToken::new(),
                tasks: TaskTracker::new(),
            };
            site.tasks.spawn(serve_tcp(
                listener,
                site.echo.clone(),
                site.gate.clone(),
                site.cancel.clone(),
                site.tasks.clone(),
            ));
            site.tasks.close();
            site
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Sends this and reads until the server closes.
        async fn ask(&self, request: &[u8]) -> String {
            let mut stream = self.connect().await;
            // The server may close before all of it is written.
            let _ = stream.write_all(request).await;
            rest(&mut stream).await
        }

        async fn end(self) {
            self.cancel.cancel();
            tokio::time::timeout(2 * GRACE, self.tasks.wait())
                .await
                .unwrap();
        }
    }

    /// What still comes until the connection ends, however it does.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut reply = Vec::new();
        let ended = stream.read_to_end(&mut reply);
        let _ = tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .expect("the server closes");
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// One reply with a body whose end is a line feed.
    async fn reply(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        while !text.ends_with(b" bytes\n") {
            text.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    fn short() -> Limits {
        let time = Duration::from_millis(200);
        Limits {
            first_byte: time,
            head: time,
            idle: time,
            stalled: time,
            ..Limits::default()
        }
    }

    #[tokio::test]
    async fn http_1_0_without_host_is_served_and_both_addresses_are_known() {
        let site = Site::new(Limits::default());
        let reply = site.ask(b"GET / HTTP/1.0\r\n\r\n").await;
        assert!(reply.starts_with("HTTP/1.0 200"), "{reply}");
        assert!(reply.contains("127.0.0.1 asked 127.0.0.1"), "{reply}");
        site.end().await;
    }

    #[test]
    fn connections_are_as_the_listening_socket_was_told() {
        let listener = bind_tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = socket2::SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(DEAD_AFTER));
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
    }

    #[tokio::test]
    async fn http_1_0_is_kept_alive_when_it_asks_for_that() {
        let site = Site::new(Limits::default());
        let mut stream = site.connect().await;
        for path in ["/a", "/b"] {
            let request = format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let reply = reply(&mut stream).await;
            assert!(reply.contains("connection: keep-alive"), "{reply}");
            assert!(reply.contains(path), "{reply}");
        }
        site.end().await;
    }

    #[tokio::test]
    async fn requests_in_one_piece_are_answered_in_turn() {
        let site = Site::new(Limits::default());
        let small = ["/a", "/b", "/c"]
            .map(|path| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"));
        let mut requests = small.concat();
        requests += "POST /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
        let reply = site.ask(requests.as_bytes()).await;
        let told: Vec<&str> = reply
            .lines()
            .filter(|line| line.contains("asked"))
            .collect();
        let expected = ["/a, Some(3)", "/b, Some(3)", "/c, Some(3)", "/d, Some(4)"];
        assert_eq!(told.len(), 4, "{reply}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.contains(expected), "{told}");
        }
        site.end().await;
    }

    #[tokio::test]
    async fn a_crowd_is_answered_in_turn_and_waits_without_buffers() {
        let site = Site::new(Limits {
            turns: 1,
            ..Limits::default()
        });
        let mut crowd = Vec::new();
        for _ in 0..20 {
            crowd.push(site.connect().await);
        }
        for round in 0..5 {
            for (number, stream) in crowd.iter_mut().enumerate() {
                // Two in one piece, cut within the second head in every other round.
                let path = format!("/{round}/{number}");
                let request = format!(
                    "POST {path}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
                     GET {path}/b HTTP/1.1\r\nHost: x\r\n\r\n"
                );
                let (first, second) = request.split_at(request.len() - 10 * (round % 2));
                stream.write_all(first.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
                stream.write_all(second.as_bytes()).await.unwrap();
            }
            for (number, stream) in crowd.iter_mut().enumerate() {
                for part in ["a, Some(3)", "b, Some(0)"] {
                    let reply = reply(stream).await;
                    assert!(
                        reply.contains(&format!("/{round}/{number}/{part}")),
                        "{reply}"
                    );
                }
            }
        }
        let quiet = async {
            while site.gate.is_crowded() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), quiet)
            .await
            .expect("all but one have given their buffers back");
        assert_eq!(site.gate.count(), 20);
        drop(crowd);
        site.end().await;
    }

    #[tokio::test]
    async fn who_takes_long_keeps_nobody_from_a_turn() {
        for known in [false, true] {
            let echo = Echo::default();
            echo.known.store(known, Ordering::Relaxed);
            let limits = Limits {
                turns: 1,
                ..Limits::default()
            };
            let site = Site::with(limits, echo);
            let mut slow = Vec::new();
            for _ in 0..3 {
                let mut stream = site.connect().await;
                let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na";
                stream.write_all(request).await.unwrap();
                slow.push(stream);
            }
            let mine = site.ask(b"GET /me HTTP/1.0\r\n\r\n").await;
            assert!(mine.contains("for /me"), "{mine}");
            for stream in &mut slow {
                stream.write_all(b"bc").await.unwrap();
                let late = reply(stream).await;
                assert!(late.contains("Some(3)"), "{late}");
            }
            site.end().await;
        }
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_refused() {
        let site = Site::new(Limits::default());
        let request = format!(
            "GET / HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(2 * HEADER_BYTES)
        );
        let reply = site.ask(request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
        let request = format!("GET / HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(200));
        let reply = site.ask(request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 431"), "{reply}");
        site.end().await;
    }

    /// What a proxy before this server may read otherwise is refused, and the connection with it: what
    /// comes behind is nobody's request.
    #[tokio::test]
    async fn requests_that_can_be_read_in_two_ways_are_refused() {
        let site = Site::new(Limits::default());
        let behind = "GET /behind HTTP/1.1\r\nHost: x\r\n\r\n";
        let bad = [
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: 1\n\r\n",
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: 1\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: 1\0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        ];
        for bad in bad {
            for cut in [bad.len(), 1, 20] {
                let mut stream = site.connect().await;
                let (first, second) = bad.split_at(cut);
                stream.write_all(first.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
                let _ = stream
                    .write_all(format!("{second}{behind}").as_bytes())
                    .await;
                let reply = rest(&mut stream).await;
                assert!(reply.starts_with("HTTP/1.1 400"), "{bad:?}: {reply:?}");
                assert!(!reply.contains("asked"), "{bad:?}: {reply:?}");
            }
        }
        // Behind a good one it does not take that one's reply away.
        let both = format!("GET /good HTTP/1.1\r\nHost: x\r\n\r\n{}", bad[0]);
        let reply = site.ask(both.as_bytes()).await;
        assert!(
            reply.contains("for /good") && reply.contains("HTTP/1.1 400"),
            "{reply}"
        );
        let turned = site.echo.turned.lock().unwrap().clone();
        assert_eq!(turned.len(), 3 * bad.len() + 1);
        assert_eq!(turned[0], Turned::Malformed(Fault::LengthAndCoding));
        site.end().await;
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_read_in_chunks_ends_the_connection() {
        let site = Site::new(Limits::default());
        let head = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        for body in ["3\nabc\n0\n\n", "zz\r\n", "3\r\nabcd\r\n0\r\n\r\n"] {
            let reply = site
                .ask(format!("{head}{body}GET /behind HTTP/1.1\r\n\r\n").as_bytes())
                .await;
            assert!(!reply.contains("/behind"), "{body:?}: {reply}");
            assert!(!reply.contains("Some("), "{body:?}: {reply}");
        }
        site.end().await;
    }

    #[tokio::test]
    async fn who_asks_nothing_is_cut_in_each_stage() {
        let site = Site::new(short());
        let mut silent = site.connect().await;
        let mut slow = site.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        let mut idle = site.connect().await;
        idle.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        reply(&mut idle).await;
        for stream in [&mut silent, &mut slow, &mut idle] {
            assert_eq!(rest(stream).await, "");
        }
        assert_eq!(site.gate.count(), 0);
        site.end().await;
    }

    #[tokio::test]
    async fn who_does_not_read_is_cut_and_who_does_is_not() {
        let site = Site::new(Limits {
            // Below what this one reads in that time.
            least: 16 << 10,
            ..short()
        });
        let mut deaf = site.connect().await;
        deaf.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut slow = site.connect().await;
        slow.write_all(b"GET /large HTTP/1.0\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut taken = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = slow.read(&mut buffer).await.unwrap();
            if read == 0 {
                break;
            }
            taken += read;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(taken > 32 << 20, "{taken}");
        let left = site.gate.count();
        let told = rest(&mut deaf).await;
        assert!(left == 0 || told.len() < 32 << 20, "{left}");
        site.end().await;
    }

    #[tokio::test]
    async fn a_crowd_that_asks_nothing_keeps_no_machine_out() {
        let site = Site::new(Limits {
            total: 64,
            per_peer: 64,
            ..Limits::default()
        });
        let mut crowd = Vec::new();
        for _ in 0..200 {
            crowd.push(site.connect().await);
        }
        let mut stream = site.connect().await;
        stream
            .write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let told = tokio::time::timeout(Duration::from_secs(2), reply(&mut stream)).await;
        assert!(told.unwrap().contains("for /a"));
        assert!(site.gate.count() <= 64);
        site.end().await;
    }

    #[tokio::test]
    async fn when_all_are_busy_the_next_is_told_to_come_again() {
        let site = Site::new(Limits {
            total: 1,
            ..Limits::default()
        });
        let mut first = site.connect().await;
        first
            .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        first.read_u8().await.unwrap();
        let refused = site.ask(b"").await;
        assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
        assert_eq!(*site.echo.turned.lock().unwrap(), [Turned::Full]);
        site.end().await;

        let site = Site::new(Limits {
            total: 1,
            ..Limits::default()
        });
        let mut first = site.connect().await;
        first
            .write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        first.read_u8().await.unwrap();
        // A stranger reads slowly, and a machine of the configuration comes.
        site.echo.known.store(true, Ordering::Relaxed);
        // Until the system's buffers are full, it is not slow.
        let asked = async {
            loop {
                let told = site
                    .ask(b"GET /a HTTP/1.1\r\nConnection: close\r\n\r\n")
                    .await;
                if told.contains("for /a") {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .unwrap();
        site.end().await;
    }

    #[tokio::test]
    async fn an_idle_connection_does_not_hold_up_the_end() {
        let site = Site::new(Limits::default());
        let mut first = site.connect().await;
        first
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        reply(&mut first).await;
        let began = std::time::Instant::now();
        site.end().await;
        assert!(began.elapsed() < GRACE);
    }
}
