//! What `async-tftp` 0.4.2 does and cannot do, held fast: each test names the workaround that may go
//! when it fails.

#[path = "support/tftp.rs"]
mod tftp;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Mutex, Once};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_tftp::packet::Error as TftpError;
use async_tftp::server::{Handler, TftpServerBuilder};
use futures_lite::AsyncRead;
use futures_lite::future::block_on;
use futures_lite::io::Sink;

use tftp::{Client, Packet};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Much less than a test waits, much more than a packet takes.
const TIMEOUT: Duration = Duration::from_millis(200);

/// Zeros, or an error at the first read.
struct Zeros {
    left: usize,
    fails: bool,
}

impl AsyncRead for Zeros {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.fails {
            return Poll::Ready(Err(std::io::ErrorKind::NotFound.into()));
        }
        let count = self.left.min(buf.len());
        buf[..count].fill(0);
        self.left -= count;
        Poll::Ready(Ok(count))
    }
}

/// `N` is a file of N zeros, `fails` one that cannot be read, `slow` takes 100 ms to open.
struct Files;

impl Handler for Files {
    type Reader = Zeros;
    type Writer = Sink;

    async fn read_req_open(
        &mut self,
        _: &SocketAddr,
        path: &Path,
    ) -> Result<(Zeros, Option<u64>), TftpError> {
        let name = path.to_str().expect("text");
        if name == "slow" {
            let (done, opened) = futures_channel();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                done();
            });
            opened.await;
        }
        let len = name.parse().unwrap_or(10);
        let file = Zeros {
            left: len,
            fails: name == "fails",
        };
        Ok((file, Some(len as u64)))
    }

    async fn write_req_open(
        &mut self,
        _: &SocketAddr,
        _: &Path,
        _: Option<u64>,
    ) -> Result<Sink, TftpError> {
        Err(TftpError::PermissionDenied)
    }
}

/// A word that another thread gives.
fn futures_channel() -> (impl FnOnce() + Send, impl Future<Output = ()>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    (
        move || {
            let _ = sender.send(());
        },
        async move {
            let _ = receiver.await;
        },
    )
}

/// A server on any port of this address; it runs until the test program ends.
fn server(
    ip: Ipv4Addr,
    configure: impl FnOnce(TftpServerBuilder<Files>) -> TftpServerBuilder<Files>,
) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let builder = TftpServerBuilder::with_handler(Files)
        .std_socket(socket)
        .unwrap()
        .timeout(TIMEOUT)
        .max_send_retries(2);
    let server = block_on(configure(builder).build()).unwrap();
    std::thread::spawn(move || block_on(server.serve()));
    (LOCALHOST, port).into()
}

fn default() -> SocketAddr {
    server(LOCALHOST, |builder| builder)
}

/// Lines of the engine, as a logger sees them.
static LINES: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("async_tftp")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = (record.target().to_owned(), record.args().to_string());
            LINES.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(Collect)).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// The lines about one client that hold these words, waited for.
fn lines_with(client: &str, words: &str) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found: Vec<String> = LINES
            .lock()
            .unwrap()
            .iter()
            .filter(|(target, _)| target == "async_tftp::server::read_req")
            .map(|(_, line)| line.clone())
            .filter(|line| line.contains(client) && line.contains(words))
            .collect();
        if !found.is_empty() {
            return found;
        }
        assert!(Instant::now() < deadline, "no line with {words:?}");
        std::thread::yield_now();
    }
}

/// 1: a client's ERROR is not read: the packet is repeated until the retries are used up.
/// `serve::tftp::engine` keeps both short; `serve::tftp::outcome` tells a size probe by it.
#[test]
fn an_error_of_the_client_is_not_read() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("100000", &[("tsize", "0")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.error(8, "User aborted the transfer");
    for _ in 0..2 {
        assert!(matches!(client.next(), Packet::Oack(_)));
    }
    assert!(matches!(client.next(), Packet::Error(0, text) if text == "Max retries reached"));
}

/// 2: another request from the same address and port is dropped while the first transfer lives.
#[test]
fn a_second_request_from_the_same_port_is_dropped() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("100000", &[("tsize", "0")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    let first = client.transfer();
    client.ask("10", &[]);
    while !matches!(client.next(), Packet::Error(0, _)) {
        assert_eq!(client.transfer(), first, "the second request was taken up");
    }
    // Once the first is given up, it is heard again. The engine forgets the client just after it
    // has sent its last word, so the request may have to be repeated.
    let heard = (0..50).any(|_| {
        client.ask("10", &[]);
        client.next_within(TIMEOUT) == Some(Packet::Data(1, vec![0; 10]))
    });
    assert!(heard);
}

/// 3: bound to the wildcard, it answers from whichever address the kernel chooses. One engine for each
/// local address (`serve::tftp::wanted`).
#[test]
fn a_wildcard_server_answers_from_another_address() {
    let address = server(Ipv4Addr::UNSPECIFIED, |builder| builder);
    let asked = Ipv4Addr::new(127, 0, 0, 2);
    let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
        .send_to(b"\0\x0110\0octet\0", (asked, address.port()))
        .unwrap();
    let (_, from) = socket.recv_from(&mut [0; 600]).unwrap();
    assert_ne!(from.ip(), asked);
}

/// 4: files are opened one after the other for all clients. `serve::tftp::handler` only looks up.
#[test]
fn opening_is_one_at_a_time() {
    let address = default();
    let began = Instant::now();
    let mut clients: Vec<_> = (0..4).map(|_| Client::new(LOCALHOST, address)).collect();
    for client in &mut clients {
        client.ask("slow", &[]);
    }
    for client in &mut clients {
        assert!(matches!(client.next(), Packet::Data(1, _)));
    }
    assert!(began.elapsed() >= Duration::from_millis(400));
}

/// 5: without limits a client gets any block and window size, and a whole window is held in memory.
/// `serve::tftp::engine` always sets both.
#[test]
fn sizes_are_without_limit_unless_set() {
    let asked = [("blksize", "65464"), ("windowsize", "65535")];
    let granted = |address| {
        let mut client = Client::new(LOCALHOST, address);
        client.ask("10", &asked);
        match client.next() {
            Packet::Oack(options) => options,
            other => panic!("{other:?}"),
        }
    };
    let words = |list: [(&str, &str); 2]| list.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    assert_eq!(granted(default()), words(asked));
    let limited = server(LOCALHOST, |builder| {
        builder.block_size_limit(1_468).window_size_limit(64)
    });
    assert_eq!(
        granted(limited),
        words([("blksize", "1468"), ("windowsize", "64")])
    );
}

/// 7: the trace lines by which `serve::tftp::tap` learns how a transfer has ended.
#[test]
fn the_log_tells_how_a_transfer_ends() {
    listen();
    let address = default();

    // From addresses that no other test uses.
    let mut whole = Client::new(Ipv4Addr::new(127, 0, 7, 1), address);
    whole.fetch("1000", &[("tsize", "0")]).unwrap();
    let oack = lines_with("127.0.7.1:", "RRQ OACK");
    assert!(
        oack[0].starts_with("RRQ OACK (peer: 127.0.7.1:"),
        "{oack:?}"
    );
    assert!(oack[0].contains("transfer_size: Some(1000)"), "{oack:?}");
    let served = lines_with("127.0.7.1:", "request served");
    assert!(
        served[0].starts_with("RRQ request served (peer: 127.0.7.1:") && served[0].ends_with(')'),
        "{served:?}"
    );
    let acks = lines_with("127.0.7.1:", "Received ACK");
    assert!(acks[0].contains(", window_base: "), "{acks:?}");

    let mut probe = Client::new(Ipv4Addr::new(127, 0, 7, 2), address);
    probe.ask("1000", &[("blksize", "100")]);
    assert!(matches!(probe.next(), Packet::Oack(_)));
    let failed = lines_with("127.0.7.2:", "request failed");
    assert!(
        failed[0].starts_with("RRQ request failed (peer: 127.0.7.2:")
            && failed[0].contains("error: Max send retries reached (peer: 127.0.7.2:")
            && failed[0].contains(",  block id: 0)"),
        "{failed:?}"
    );
    let repeats = lines_with("127.0.7.2:", "- Timeout");
    assert!(repeats[0].contains(", block_id: 0)"), "{repeats:?}");
    let none = lines_with("127.0.7.2:", "RRQ OACK");
    assert!(none[0].contains("transfer_size: None"), "{none:?}");

    let mut silent = Client::new(Ipv4Addr::new(127, 0, 7, 3), address);
    silent.ask("1000", &[]);
    assert!(matches!(silent.next(), Packet::Data(1, _)));
    let failed = lines_with("127.0.7.3:", "request failed");
    assert!(failed[0].contains(",  block id: 1)"), "{failed:?}");
}

/// 9: netascii is served as octet, and an unknown mode is not answered at all.
#[test]
fn modes() {
    let address = default();
    let mut client = Client::new(LOCALHOST, address);
    client.request(1, "10", "netascii", &[]);
    assert!(matches!(client.next(), Packet::Data(1, _)));
    let mut client = Client::new(LOCALHOST, address);
    client.request(1, "10", "braille", &[]);
    assert_eq!(client.next_within(TIMEOUT), None);
}

/// 10: when the first block of a window is lost, the client's word of it is not heard: it costs a
/// whole time-out. The time-out is one second.
#[test]
fn a_lost_first_block_costs_a_timeout() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("4000", &[("windowsize", "2")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.ack(0);
    assert!(matches!(client.next(), Packet::Data(1, _)));
    assert!(matches!(client.next(), Packet::Data(2, _)));
    let lost = Instant::now();
    client.ack(0);
    assert!(matches!(client.next(), Packet::Data(1, _)));
    assert!(lost.elapsed() >= TIMEOUT / 2);
}

/// What it does well: a partial acknowledgement slides the window.
#[test]
fn a_partial_acknowledgement_slides_the_window() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("100000", &[("windowsize", "3")]);
    assert!(matches!(client.next(), Packet::Oack(_)));
    client.ack(0);
    for block in 1..=3 {
        assert!(matches!(client.next(), Packet::Data(n, _) if n == block));
    }
    client.ack(1);
    for block in 2..=4 {
        assert!(matches!(client.next(), Packet::Data(n, _) if n == block));
    }
}

/// What it does well: the first block is read before the options are acknowledged, so an error of the
/// first read is an ERROR in place of the acknowledgement. `serve::tftp::body` renders then.
#[test]
fn an_error_of_the_first_read_comes_before_the_options() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("fails", &[("tsize", "0")]);
    assert!(matches!(client.next(), Packet::Error(1, _)));
}

/// 11: the client's time-out is taken as it is, up to 255 s. `serve::tftp::engine` ignores it.
#[test]
fn a_client_may_set_the_timeout_unless_it_is_ignored() {
    let granted = |address| {
        let mut client = Client::new(LOCALHOST, address);
        client.ask("10", &[("timeout", "255")]);
        client.next()
    };
    let expected = vec![("timeout".to_owned(), "255".to_owned())];
    assert_eq!(granted(default()), Packet::Oack(expected));
    let ignoring = server(LOCALHOST, TftpServerBuilder::ignore_client_timeout);
    assert!(matches!(granted(ignoring), Packet::Data(1, _)));
}

/// 13: a stranger's packet to a transfer's port gets no ERROR 5, and does no harm.
#[test]
fn a_stranger_is_not_answered() {
    let mut client = Client::new(LOCALHOST, default());
    client.ask("1000", &[]);
    assert!(matches!(client.next(), Packet::Data(1, _)));
    let stranger = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    stranger.set_read_timeout(Some(TIMEOUT / 2)).unwrap();
    stranger.send_to(&[0, 4, 0, 1], client.transfer()).unwrap();
    assert!(stranger.recv_from(&mut [0; 600]).is_err());
    client.ack(1);
    // The block may have been repeated meanwhile.
    assert!((0..3).any(|_| matches!(client.next(), Packet::Data(2, _))));
}
