//! The boot plane over real connections: files, paths, crowds and slow clients.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::fs::symlink;
use std::time::Duration;

use bootwright::serve::listener::{Gate, Limits, bind_tcp, serve_tcp};
use bootwright::serve::transfers::By;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// The address that the machine web01 appears behind.
const MACHINE: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Another one of this machine's.
const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

struct Served {
    site: Site,
    address: SocketAddr,
    gate: Gate,
    cancel: CancellationToken,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Served {
    fn new(limits: Limits, cache: u64) -> Self {
        let site = Site::new();
        site.ctx().in_force.store(config_changed(|server, subnet| {
            server.asset_cache = cache;
            subnet.nat = vec![MACHINE];
        }));
        let listener = bind_tcp(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let served = Self {
            address: listener.local_addr().unwrap(),
            gate: Gate::new(limits),
            cancel: CancellationToken::new(),
            site,
        };
        tokio::spawn(serve_tcp(
            listener,
            served.site.front.clone(),
            served.gate.clone(),
            served.cancel.clone(),
            TaskTracker::new(),
        ));
        served
    }

    fn usual() -> Self {
        Self::new(Limits::default(), 512 << 20)
    }

    async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddrV4::new(from, 0).into()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Sends this and reads until the server closes.
    async fn raw(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect(MACHINE).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        let ended = stream.read_to_end(&mut reply);
        tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .expect("the server closes")
            .unwrap();
        reply
    }

    async fn last_of(&self, kind: Kind, reason: Reason) -> bootwright::journal::Event {
        self.site
            .until(async || {
                let events = self.site.events().await;
                events
                    .iter()
                    .any(|event| (event.kind, event.reason) == (kind, reason))
            })
            .await;
        let events = self.site.events().await;
        let found = events
            .into_iter()
            .rfind(|event| (event.kind, event.reason) == (kind, reason));
        found.unwrap()
    }
}

/// The head of a reply, and its body by the announced length.
async fn reply(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn last_get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn write(served: &Served, name: &str, bytes: &[u8]) {
    let path = served.site.folder.path().join("assets/tiny").join(name);
    std::fs::write(path, bytes).unwrap();
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

#[tokio::test]
async fn files_follow_each_other_over_one_connection() {
    let served = Served::usual();
    let large = some_bytes(5 << 20);
    write(&served, "large", &large);
    write(&served, "empty", b"");
    let mut stream = served.connect(MACHINE).await;
    // All at once, whatever lies between them.
    let requests = [
        get("/assets/tiny/large"),
        get("/assets/tiny/empty"),
        get("/assets/tiny/none"),
        "HEAD /assets/tiny/large HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        get("/assets/tiny/initrd.gz"),
    ];
    stream
        .write_all(requests.concat().as_bytes())
        .await
        .unwrap();
    let (head, body) = reply(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(body, large);
    assert_eq!(reply(&mut stream).await.1, b"");
    let (head, body) = reply(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    assert_eq!(body, b"not found\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.contains(&format!("content-length: {}", 5 << 20)),
        "{head}"
    );
    assert_eq!(reply(&mut stream).await.1, b"initrd");
    // A range of each over the same.
    let ranged =
        get("/assets/tiny/large").replace("\r\n\r\n", "\r\nRange: bytes=1048570-1048585\r\n\r\n");
    stream.write_all(ranged.as_bytes()).await.unwrap();
    let (head, body) = reply(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 206"), "{head}");
    assert_eq!(body, large[1_048_570..=1_048_585]);
}

#[tokio::test]
async fn an_answer_is_given_again_over_one_connection_until_it_is_another() {
    let served = Served::usual();
    let site = &served.site;
    let token = site.arm().await;
    let path = answer(&token);
    let mut stream = served.connect(MACHINE).await;
    let mut ask = async |request: String| {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = reply(&mut stream).await;
        (head.to_ascii_lowercase(), body)
    };
    let (head, _) = ask(get(&script_of(MAC))).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (first_head, first) = ask(get(&path)).await;
    assert!(
        first_head.contains("cache-control: no-store"),
        "{first_head}"
    );
    let without_date = |head: &str| -> Vec<String> {
        let lines = head.lines().filter(|line| !line.starts_with("date:"));
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    for _ in 0..3 {
        let (head, body) = ask(get(&path)).await;
        assert_eq!(body, first);
        assert_eq!(without_date(&head), without_date(&first_head));
    }
    // Two at once, the second of which ends the connection.
    let both = served
        .raw(&format!("{}{}", get(&path), last_get(&path)))
        .await;
    let both = String::from_utf8(both).unwrap();
    let text = String::from_utf8(first.clone()).unwrap();
    assert_eq!(both.matches(&text).count(), 2, "{both}");
    let events = site.events().await;
    let told = events.iter().filter(|event| event.kind == Kind::HttpAnswer);
    assert_eq!(told.count(), 1 + 3 + 2);
    // Under a configuration that does not know this address, it is nobody's.
    let before = site.ctx().config();
    site.ctx().in_force.store(config_with("another text\n", ""));
    let (head, _) = ask(get(&path)).await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
    site.ctx().in_force.store(before);
    assert_eq!(ask(get(&path)).await.1, first);
    let by = "tester".to_owned();
    site.apply(&bootwright::record::Input::Cancel { force: true, by })
        .await;
    let (head, _) = ask(get(&path)).await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[tokio::test]
async fn http_1_0_has_the_length_and_the_end() {
    let served = Served::usual();
    let told = served
        .raw("GET /assets/tiny/initrd.gz HTTP/1.0\r\n\r\n")
        .await;
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("HTTP/1.0 200"), "{told}");
    assert!(told.contains("content-length: 6\r\n"), "{told}");
    assert!(told.ends_with("\r\n\r\ninitrd"), "{told}");
    let mut stream = served.connect(MACHINE).await;
    for _ in 0..2 {
        let request = "GET /assets/tiny/initrd.gz HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = reply(&mut stream).await;
        assert!(head.contains("connection: keep-alive"), "{head}");
        assert_eq!(body, b"initrd");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_folder() {
    let served = Served::usual();
    let root = served.site.folder.path().join("assets");
    symlink("../outside", root.join("link")).unwrap();
    symlink(served.site.folder.path(), root.join("out")).unwrap();
    symlink("tiny/initrd.gz", root.join("within")).unwrap();
    std::fs::write(root.join("%2e%2e"), b"a strange name").unwrap();
    for path in [
        "/assets/../outside",
        "/assets/tiny/../../outside",
        "/assets/%2e%2e/outside",
        "/assets/..%2foutside",
        "/assets/%2E%2E%2Foutside",
        "/assets/%252e%252e/outside",
        "/assets/..%5coutside",
        "/assets/tiny%2finitrd.gz",
        "/assets/tiny/initrd.gz%00",
        "/assets/tiny/%00",
        "/assets/link",
        "/assets/out/outside",
        "/assets/tiny/.hidden",
        "/assets/tiny/%2ehidden",
        "/assets/",
        "/assets/tiny/",
        "/assets/tiny/initrd.gz/",
        "/assets//etc/hostname",
        "/../outside",
        "/%2e%2e/outside",
        "http://x/assets/../outside",
    ] {
        let told = served.raw(&last_get(path)).await;
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with("HTTP/1.1 404"), "{path}: {told}");
        assert!(
            !told.contains("outside\r\n") && !told.ends_with("outside"),
            "{path}: {told}"
        );
    }
    for (path, bytes) in [
        ("/assets/within", "initrd"),
        ("//assets//tiny//initrd.gz", "initrd"),
        ("/assets/t%69ny/initrd%2egz", "initrd"),
        // Decoded once.
        ("http://x/assets/tiny/initrd.gz", "initrd"),
    ] {
        let told = String::from_utf8(served.raw(&last_get(path)).await).unwrap();
        assert!(told.starts_with("HTTP/1.1 200"), "{path}: {told}");
        assert!(told.ends_with(bytes), "{path}: {told}");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_is_an_event() {
    let served = Served::usual();
    let told = served
        .raw("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        .await;
    let told = String::from_utf8(told).unwrap();
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    let event = served.last_of(Kind::HttpRefused, Reason::BadRequest).await;
    assert_eq!(event.ip, Some(MACHINE));
    let detail = event.detail.unwrap();
    assert!(
        detail.contains("both Content-Length and Transfer-Encoding"),
        "{detail}"
    );
}

#[tokio::test]
async fn what_is_told_of_a_transfer_is_what_has_left() {
    let served = Served::usual();
    write(&served, "large", &some_bytes(64 << 20));
    let mut stream = served.connect(NOBODY).await;
    stream
        .write_all(get("/assets/tiny/large").as_bytes())
        .await
        .unwrap();
    let mut taken = vec![0; 1 << 20];
    stream.read_exact(&mut taken).await.unwrap();
    drop(stream);
    let event = served.last_of(Kind::HttpAsset, Reason::Incomplete).await;
    let sent = event.bytes.unwrap();
    assert!((900_000..40 << 20).contains(&sent), "{sent}");
    // Handed over as a whole, and not taken as a whole.
    write(&served, "small", &some_bytes(200 << 10));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    stream
        .write_all(get("/assets/tiny/small").as_bytes())
        .await
        .unwrap();
    let (_, body) = reply(&mut stream).await;
    assert_eq!(body.len(), 200 << 10);
    let event = served.last_of(Kind::HttpAsset, Reason::Done).await;
    assert_eq!(event.bytes, Some(200 << 10));
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_machines_fetch_a_gibibyte_each_and_little_is_held() {
    const CLIENTS: usize = 64;
    let served = Served::usual();
    let path = served.site.folder.path().join("assets/tiny/huge");
    std::fs::File::create(path)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let before = resident();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = served.connect(MACHINE).await;
        stream
            .write_all(get("/assets/tiny/huge").as_bytes())
            .await
            .unwrap();
        clients.push(stream);
    }
    let take = |mut stream: TcpStream, mut bytes: usize| async move {
        let mut buffer = vec![0; 64 << 10];
        while bytes > 0 {
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the server gives up");
            bytes = bytes.saturating_sub(read);
        }
        stream
    };
    let taken = clients.into_iter().map(|stream| take(stream, 6 << 20));
    let clients = futures_util::future::join_all(taken).await;
    let grown = resident().saturating_sub(before);
    assert!(
        grown < 300 << 20,
        "{} MiB for {CLIENTS} clients",
        grown >> 20
    );
    assert_eq!(served.site.ctx().assets.cache().held(), 0);
    drop(clients);
    // To its last byte.
    let ranged =
        get("/assets/tiny/huge").replace("\r\n\r\n", "\r\nRange: bytes=1073741820-\r\n\r\n");
    let mut stream = served.connect(MACHINE).await;
    stream.write_all(ranged.as_bytes()).await.unwrap();
    assert_eq!(reply(&mut stream).await.1, [0; 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_machines_fetch_one_file_that_is_in_memory_once() {
    let served = Served::usual();
    let large = some_bytes(9 << 20);
    write(&served, "large", &large);
    let fetch = || async {
        let mut stream = served.connect(MACHINE).await;
        stream
            .write_all(get("/assets/tiny/large").as_bytes())
            .await
            .unwrap();
        reply(&mut stream).await.1 == large
    };
    let all = futures_util::future::join_all((0..64).map(|_| fetch())).await;
    assert!(all.into_iter().all(|same| same));
    // A file just written may have been read a second time.
    let held = served.site.ctx().assets.cache().held();
    assert!((9 << 20..=2 * (9 << 20)).contains(&held), "{held}");
}

/// Connections that ask nothing, that begin and do not go on, that read nothing.
#[tokio::test]
async fn no_crowd_of_strangers_keeps_a_machine_waiting() {
    let served = Served::new(
        Limits {
            total: 60,
            per_peer: 60,
            ..Limits::default()
        },
        512 << 20,
    );
    write(&served, "large", &some_bytes(32 << 20));
    let mut crowd = Vec::new();
    for number in 0..300 {
        let mut stream = served.connect(NOBODY).await;
        let begun = match number % 3 {
            0 => String::new(),
            1 => "GET /assets/tiny/initrd.gz HTTP/1.1\r\nHo".to_owned(),
            _ => get("/assets/tiny/large"),
        };
        // Who has been sent away does not get rid of it.
        let _ = stream.write_all(begun.as_bytes()).await;
        crowd.push(stream);
    }
    for _ in 0..5 {
        let fetch = async {
            let mut stream = served.connect(MACHINE).await;
            stream
                .write_all(get("/assets/tiny/initrd.gz").as_bytes())
                .await
                .unwrap();
            reply(&mut stream).await.1
        };
        let fetched = tokio::time::timeout(Duration::from_secs(2), fetch).await;
        assert_eq!(fetched.expect("a machine does not wait"), b"initrd");
    }
    assert!(served.gate.count() <= 60);
}

#[tokio::test]
async fn a_file_is_listed_while_it_is_sent() {
    let served = Served::usual();
    let bytes = vec![b'x'; 32 << 20];
    std::fs::write(served.site.folder.path().join("assets/tiny/linux"), &bytes).unwrap();
    let mut stream = served.connect(MACHINE).await;
    let request = b"GET /assets/tiny/linux HTTP/1.1\r\nhost: x\r\nrange: bytes=1000-\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let transfers = served.site.ctx().memory.transfers().clone();
    // Some of it has left, and the rest waits for the reader.
    served
        .site
        .until(async || transfers.views().first().is_some_and(|one| one.bytes > 0))
        .await;
    let listed = transfers.views();
    let [one] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    let size = bytes.len() as u64 - 1_000;
    assert_eq!((one.by, one.size), (By::Http, Some(size)));
    assert_eq!(one.peer, stream.local_addr().unwrap());
    assert_eq!(one.file, "/assets/tiny/linux");
    assert!(one.bytes < size, "{one:?}");
    let mut rest = vec![0; bytes.len() - 1_000];
    stream.read_exact(&mut rest).await.unwrap();
    served.last_of(Kind::HttpAsset, Reason::Done).await;
    assert_eq!(transfers.views(), []);
}
