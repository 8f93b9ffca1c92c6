//! The boot plane, driven request by request over a store and a journal in memory.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use bootwright::base::{HardwareAddr, HostName, TestClock, Timestamp, Token};
use bootwright::config::Snapshot;
use bootwright::config::source::MemoryFiles;
use bootwright::host::links::{LinkTable, Links};
use bootwright::journal::{Event, Filter, Journal, Kind, Reason};
use bootwright::record::{Armament, Input, InstallState, Record};
use bootwright::render::Renderer;
use bootwright::render::load::{InForce, load};
use bootwright::serve::assets::AssetTree;
use bootwright::serve::boot::{BootPlane, router};
use bootwright::serve::context::Context;
use bootwright::serve::health::Health;
use bootwright::serve::installs::{self, Installs};
use bootwright::serve::listener::Connection;
use bootwright::serve::memory::Memory;
use bootwright::store::{AnyStore, Switches};
use http_body_util::BodyExt as _;
use hyper::header::{self, HeaderMap};
use hyper::service::Service as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use proptest::prelude::*;
use tempfile::TempDir;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const WEB01: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
const WEB02: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 12);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 77);
const MAC: &str = "52-54-00-47-86-8e";
const KERNEL: usize = 700_000;

fn config() -> Arc<InForce> {
    static CONFIG: OnceLock<Arc<InForce>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let files: MemoryFiles = [
                (
                    "c/bootwright.toml",
                    "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
                ),
                (
                    "c/reservations.toml",
                    "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\nprofile = \"tiny\"\n\
                     [hosts.web02]\nmac = \"52:54:00:47:86:8f\"\nip = \"10.99.0.12\"\nprofile = \"tiny\"\n",
                ),
                (
                    "c/profiles/tiny.toml",
                    "title = \"Tiny\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\n\
                     kernel = \"tiny/linux\"\ninitrd = [\"tiny/initrd.gz\"]\ncmdline = \"url={{ answers.url }}\"\n\
                     [[answers]]\nname = \"answers.txt\"\ntemplate = \"answers.txt.j2\"\ncontent_type = \"text/plain\"\n",
                ),
                (
                    "c/templates/answers.txt.j2",
                    "host {{ host.name }} reports to {{ install.installed }}\n",
                ),
            ]
            .into_iter()
            .collect();
            let loaded = load(&files, Path::new("c/bootwright.toml"), 1);
            assert!(loaded.config.is_some(), "{:?}", loaded.problems);
            loaded.config.unwrap()
        })
        .clone()
}

/// A server without sockets.
struct Site {
    plane: BootPlane,
    clock: Arc<TestClock>,
    switches: Switches,
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let (store, switches) = AnyStore::broken();
        let journal = Journal::in_memory();
        let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_800_000_000)));
        let folder = tempfile::tempdir().unwrap();
        let tiny = folder.path().join("assets/tiny");
        std::fs::create_dir_all(&tiny).unwrap();
        let kernel: Vec<u8> = (0..KERNEL)
            .map(|i| u8::try_from(i % 251).unwrap())
            .collect();
        std::fs::write(tiny.join("linux"), kernel).unwrap();
        std::fs::write(tiny.join("initrd.gz"), b"initrd").unwrap();
        std::fs::write(tiny.join(".hidden"), b"hidden").unwrap();
        std::fs::write(folder.path().join("outside"), b"outside").unwrap();
        let ctx = Context {
            in_force: Arc::new(ArcSwap::new(config())),
            installs: Installs::new(Arc::new(store), journal.clone(), clock.clone()),
            journal,
            clock: clock.clone(),
            assets: AssetTree::new(folder.path().join("assets")),
            memory: Memory::new(),
            links: Links::fixed(LinkTable::default()),
        };
        Self {
            plane: BootPlane {
                ctx,
                health: Health::default(),
                logs: folder.path().join("logs"),
            },
            clock,
            switches,
            folder,
        }
    }

    fn ctx(&self) -> &Context {
        &self.plane.ctx
    }

    /// Arms web01 and gives its token.
    async fn arm(&self) -> Token {
        let token = Token::from_bytes(*b"0123456789abcdef");
        let input = Input::Install {
            with: Armament {
                profile: "tiny".parse().unwrap(),
                macs: vec![MAC.parse().unwrap()],
                ip: WEB01,
                token: token.clone(),
                until: self.ctx().now().plus(Duration::from_secs(86_400)),
            },
            force: false,
            by: "tester".to_owned(),
        };
        self.apply(&input).await;
        token
    }

    async fn apply(&self, input: &Input) {
        self.ctx()
            .installs
            .apply(
                &config().snapshot,
                &web01(),
                input,
                &installs::Context::default(),
            )
            .await
            .unwrap();
    }

    async fn record(&self) -> Option<Record> {
        self.ctx()
            .installs
            .known(&config().snapshot, &web01())
            .await
            .unwrap()
    }

    async fn state(&self) -> InstallState {
        self.record()
            .await
            .map_or(InstallState::Local, |record| record.state)
    }

    async fn events(&self) -> Vec<Event> {
        self.ctx().journal.query(&Filter::default()).await
    }

    async fn last(&self, kind: Kind) -> Event {
        let events = self.events().await;
        events
            .iter()
            .rfind(|event| event.kind == kind)
            .unwrap_or_else(|| panic!("no {kind} among {events:#?}"))
            .clone()
    }

    async fn ask(&self, peer: Ipv4Addr, method: Method, path: &str) -> Reply {
        self.ask_with(peer, method, path, &[], Bytes::new()).await
    }

    async fn get(&self, peer: Ipv4Addr, path: &str) -> Reply {
        self.ask(peer, Method::GET, path).await
    }

    async fn ask_with(
        &self,
        peer: Ipv4Addr,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let mut request = request.body(Body::from(body.into())).unwrap();
        request.extensions_mut().insert(Connection {
            peer: SocketAddrV4::new(peer, 40_000),
            local: SERVER,
        });
        let service = TowerToHyperService::new(router(self.plane.clone()));
        let response = service.call(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body
                .collect()
                .await
                .map(|body| body.to_bytes().to_vec())
                .map_err(|error| error.to_string()),
        }
    }
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Vec<u8>, String>,
}

impl Reply {
    fn bytes(&self) -> &[u8] {
        self.body.as_ref().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn header(&self, name: &header::HeaderName) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }
}

fn web01() -> HostName {
    "web01".parse().unwrap()
}

fn script_of(mac: &str) -> String {
    format!("/boot/{mac}/boot.ipxe")
}

fn answer(token: &Token) -> String {
    format!("/answers/{}/answers.txt", token.reveal())
}

fn report(token: &Token, event: &str) -> String {
    format!("/report/{}/{event}", token.reveal())
}

#[tokio::test]
async fn an_armed_machine_is_led_from_its_script_to_installed() {
    let site = Site::new();
    let token = site.arm().await;

    let script = site
        .get(WEB01, &format!("{}?uuid=&serial=", script_of(MAC)))
        .await;
    assert_eq!(script.status, StatusCode::OK);
    assert_eq!(script.header(&header::CACHE_CONTROL), "no-store");
    assert!(script.text().starts_with("#!ipxe\n"));
    assert!(
        script
            .text()
            .contains(&format!("http://10.99.0.2:8080{}", answer(&token)))
    );
    assert_eq!(site.state().await, InstallState::Booting);

    let kernel = site.get(WEB01, "/assets/tiny/linux").await;
    assert_eq!(kernel.bytes().len(), KERNEL);
    // The note is made behind the transfer.
    tokio::time::timeout(Duration::from_secs(10), async {
        while site.record().await.unwrap().kernel_at.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a whole kernel is noted");
    assert_eq!(site.state().await, InstallState::Booting);

    let answers = site.get(WEB01, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::OK);
    assert_eq!(answers.header(&header::CACHE_CONTROL), "no-store");
    assert_eq!(answers.header(&header::CONTENT_TYPE), "text/plain");
    assert!(answers.text().contains(&report(&token, "installed")));
    assert_eq!(site.state().await, InstallState::Installing);

    for path in [
        format!("{}?percent=40&message=half", report(&token, "progress")),
        report(&token, "installed"),
        report(&token, "installed"),
        report(&token, "up"),
    ] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (StatusCode::OK, "ok\n")
        );
    }
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Installed);
    assert!(record.up_at.is_some());

    // Its disk from now on, and the answers are shut.
    let script = site.get(WEB01, &script_of(MAC)).await;
    assert!(!script.text().contains(token.reveal()));
    let answers = site.get(WEB01, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::NOT_FOUND);
    assert_eq!(site.last(Kind::HttpRefused).await.reason, Reason::VoidToken);

    for event in site.events().await {
        let json = event.to_json().to_string();
        assert!(!json.contains(token.reveal()), "{json}");
    }
}

#[tokio::test]
async fn nobody_else_is_given_script_or_answers() {
    let site = Site::new();
    let token = site.arm().await;
    for peer in [WEB02, STRANGER, SERVER] {
        let script = site.get(peer, &script_of(MAC)).await;
        assert_eq!(script.status, StatusCode::OK);
        assert!(script.text().contains("not this machine"));
        assert!(script.text().contains("exit 1"));
        assert!(!script.text().contains(token.reveal()));
        let answers = site.get(peer, &answer(&token)).await;
        assert_eq!(answers.status, StatusCode::NOT_FOUND);
        assert!(!answers.text().contains("web01"));
    }
    assert_eq!(site.state().await, InstallState::Armed);
    let refused = site.last(Kind::HttpRefused).await;
    assert_eq!(refused.reason, Reason::NotThisMachine);
    assert_eq!(refused.ip, Some(SERVER));
}

#[tokio::test]
async fn what_is_not_there_looks_alike() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let other = Token::from_bytes([7; 16]);
    for (path, reason) in [
        (answer(&other), Reason::UnknownToken),
        (
            "/answers/short/answers.txt".to_owned(),
            Reason::UnknownToken,
        ),
        (
            format!("/answers/{}/other.txt", token.reveal()),
            Reason::UnknownAnswer,
        ),
        (
            format!("/answers/{}/", token.reveal()),
            Reason::UnknownAnswer,
        ),
        (
            format!("/answers/{}/secrets/key", token.reveal()),
            Reason::UnknownAnswer,
        ),
        (report(&other, "started"), Reason::UnknownToken),
        (report(&token, "webhook"), Reason::NotFound),
        ("/assets/tiny/none".to_owned(), Reason::NotFound),
        ("/assets/tiny".to_owned(), Reason::NotFound),
        ("/assets/tiny/.hidden".to_owned(), Reason::BadName),
        ("/assets/../outside".to_owned(), Reason::BadName),
        ("/assets/%2e%2e/outside".to_owned(), Reason::BadName),
        ("/assets/..%2foutside".to_owned(), Reason::NotFound),
        ("/nothing".to_owned(), Reason::NotFound),
        ("/boot/zz/boot.ipxe".to_owned(), Reason::NotFound),
    ] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.text(), "not found\n", "{path}");
        assert_eq!(site.last(Kind::HttpRefused).await.reason, reason, "{path}");
    }
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn one_request_is_one_event() {
    let site = Site::new();
    for path in [
        "/boot/boot.ipxe",
        "/assets/tiny/initrd.gz",
        "/assets/x",
        "/x",
        "/boot/x/boot.ipxe",
    ] {
        let before = site.events().await.len();
        site.get(WEB01, path).await;
        assert_eq!(site.events().await.len(), before + 1, "{path}");
    }
    let before = site.events().await.len();
    site.get(STRANGER, &script_of("52-54-00-00-00-01")).await;
    let told: Vec<Kind> = site
        .events()
        .await
        .iter()
        .skip(before)
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        told.iter()
            .filter(|kind| **kind == Kind::HttpScript)
            .count(),
        1
    );
}

#[tokio::test]
async fn methods() {
    let site = Site::new();
    let token = site.arm().await;
    for (method, path, allow) in [
        (Method::POST, script_of(MAC), "GET, HEAD"),
        (Method::PUT, "/assets/tiny/linux".to_owned(), "GET, HEAD"),
        (Method::DELETE, answer(&token), "GET, HEAD, POST"),
        (Method::HEAD, report(&token, "started"), "GET, POST"),
        (Method::GET, report(&token, "logs/syslog"), "PUT, POST"),
        (Method::POST, "/healthz".to_owned(), "GET, HEAD"),
    ] {
        let reply = site.ask(WEB01, method.clone(), &path).await;
        assert_eq!(
            reply.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(reply.header(&header::ALLOW), allow);
    }
    assert_eq!(site.state().await, InstallState::Armed);
}

#[tokio::test]
async fn while_the_store_fails_machines_are_told_to_try_again() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;

    site.switches.fail_commits(true);
    let reply = site.get(WEB01, &answer(&token)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header(&header::RETRY_AFTER), "5");
    assert_eq!(
        site.last(Kind::HttpRefused).await.reason,
        Reason::StoreUnavailable
    );
    let reply = site.get(WEB01, &report(&token, "installed")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);

    site.switches.fail_reads(true);
    for path in [answer(&token), report(&token, "installed")] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    // Boot files need no store.
    assert_eq!(
        site.get(WEB01, "/assets/tiny/linux").await.status,
        StatusCode::OK
    );

    site.switches.fail_reads(false);
    site.switches.fail_commits(false);
    assert_eq!(site.state().await, InstallState::Booting);
    assert_eq!(
        site.get(WEB01, &answer(&token)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_rendered_leaves_the_record() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    // The same configuration, its template gone.
    let whole = config();
    let snapshot = &whole.snapshot;
    let without = Snapshot::new(
        snapshot.server.clone(),
        snapshot.subnets.clone(),
        snapshot
            .hosts()
            .iter()
            .map(|host| (**host).clone())
            .collect(),
        snapshot
            .profiles()
            .values()
            .map(|profile| (**profile).clone())
            .collect(),
        std::collections::BTreeMap::new(),
    );
    site.ctx().in_force.store(Arc::new(InForce {
        renderer: Renderer::new(&without),
        snapshot: without,
    }));
    let reply = site.get(WEB01, &answer(&token)).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.text().lines().count(), 1, "{}", reply.text());
    assert!(reply.text().contains("answers.txt.j2"), "{}", reply.text());
    assert_eq!(
        site.last(Kind::HttpRefused).await.reason,
        Reason::RenderFailed
    );
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn a_posted_body_is_answered_and_bounded() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = answer(&token);
    let reply = site
        .ask_with(WEB01, Method::POST, &path, &[], vec![b'x'; (64 << 10) + 1])
        .await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(site.state().await, InstallState::Booting);
    let reply = site
        .ask_with(WEB01, Method::POST, &path, &[], vec![b'x'; 64 << 10])
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(site.state().await, InstallState::Installing);
}

#[tokio::test]
async fn reports_in_every_usual_form() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    site.get(WEB01, &report(&token, "started")).await;
    assert_eq!(site.state().await, InstallState::Installing);
    let progress = report(&token, "progress");
    for (content_type, body, message, percent) in [
        (
            "application/json",
            r#"{"message": "a", "percent": 10}"#,
            "a",
            10,
        ),
        (
            "application/x-www-form-urlencoded",
            "message=b+c&percent=20",
            "b c",
            20,
        ),
        ("text/plain", "d", "d", 20),
    ] {
        let reply = site
            .ask_with(
                WEB01,
                Method::POST,
                &progress,
                &[(header::CONTENT_TYPE, content_type)],
                body,
            )
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        let record = site.record().await.unwrap();
        assert_eq!(record.message.as_deref(), Some(message));
        assert_eq!(record.percent, Some(percent));
    }
    let reply = site
        .ask_with(
            WEB01,
            Method::POST,
            &report(&token, "failed"),
            &[],
            "no disk",
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Failed);
    assert!(record.message.unwrap().contains("no disk"));
    // Late, and from the production network: it is taken, and makes a lost report good.
    let reply = site.get(STRANGER, &report(&token, "installed")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(site.state().await, InstallState::Installed);
    // Ignored is `ok` as well, and told.
    assert_eq!(
        site.get(STRANGER, &report(&token, "started")).await.text(),
        "ok\n"
    );
    assert_eq!(site.last(Kind::ReportIgnored).await.host, Some(web01()));
    // After seven days the token is void.
    site.clock.advance(Duration::from_secs(8 * 86_400));
    let reply = site.get(WEB01, &report(&token, "up")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn logs_are_kept_for_the_machine_only() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = report(&token, "logs/syslog");
    let reply = site.ask_with(STRANGER, Method::PUT, &path, &[], "x").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    for method in [Method::PUT, Method::POST] {
        let reply = site.ask_with(WEB01, method, &path, &[], "a log").await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let kept = site.folder.path().join("logs/web01/1/syslog");
    assert_eq!(std::fs::read(kept).unwrap(), b"a log");
    assert_eq!(site.last(Kind::ReportLog).await.bytes, Some(5));
    for name in ["..", ".x", "%2e%2e", "a b"] {
        let path = report(&token, &format!("logs/{}", name.replace(' ', "%20")));
        let reply = site.ask_with(WEB01, Method::PUT, &path, &[], "x").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
    }
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn boot_files_with_ranges_and_validators() {
    let site = Site::new();
    let path = "//assets//tiny/linux";
    let whole = site.get(STRANGER, path).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.header(&header::CONTENT_LENGTH), KERNEL.to_string());
    assert_eq!(whole.header(&header::ACCEPT_RANGES), "bytes");
    let etag = whole.header(&header::ETAG).to_owned();
    let modified = whole.header(&header::LAST_MODIFIED).to_owned();
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!(
        (event.bytes, event.reason),
        (Some(KERNEL as u64), Reason::Done)
    );
    assert_eq!(event.file.as_deref(), Some("/assets/tiny/linux"));

    let head = site.ask(STRANGER, Method::HEAD, path).await;
    assert_eq!(head.header(&header::CONTENT_LENGTH), KERNEL.to_string());
    assert!(head.bytes().is_empty());
    assert_eq!(site.last(Kind::HttpAsset).await.bytes, Some(0));

    let ask = async |headers: &[(header::HeaderName, &str)]| {
        site.ask_with(STRANGER, Method::GET, path, headers, "")
            .await
    };
    let part = ask(&[(header::RANGE, "bytes=300000-300009")]).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header(&header::CONTENT_LENGTH), "10");
    assert_eq!(
        part.header(&header::CONTENT_RANGE),
        format!("bytes 300000-300009/{KERNEL}")
    );
    assert_eq!(part.bytes(), &whole.bytes()[300_000..300_010]);
    let rest = ask(&[(header::RANGE, "bytes=300010-"), (header::IF_RANGE, &etag)]).await;
    assert_eq!(rest.bytes(), &whole.bytes()[300_010..]);
    let changed = ask(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, "\"other\"")]).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.bytes().len(), KERNEL);
    let past = ask(&[(header::RANGE, "bytes=9999999-")]).await;
    assert_eq!(past.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        past.header(&header::CONTENT_RANGE),
        format!("bytes */{KERNEL}")
    );
    for condition in [
        (header::IF_NONE_MATCH, etag.as_str()),
        (header::IF_MODIFIED_SINCE, modified.as_str()),
    ] {
        let same = ask(&[condition]).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED);
        assert!(same.bytes().is_empty());
        assert_eq!(same.header(&header::ETAG), etag);
    }
    assert_eq!(
        ask(&[(header::IF_MATCH, "\"other\"")]).await.status,
        StatusCode::PRECONDITION_FAILED
    );
}

#[tokio::test]
async fn a_new_file_is_the_next_requests_and_a_shrunk_one_cuts_the_transfer() {
    let site = Site::new();
    let linux = site.folder.path().join("assets/tiny/linux");
    let before = site.get(STRANGER, "/assets/tiny/linux").await;
    let next = site.folder.path().join("assets/tiny/.next");
    std::fs::write(&next, b"new").unwrap();
    std::fs::rename(&next, &linux).unwrap();
    let after = site.get(STRANGER, "/assets/tiny/linux").await;
    assert_eq!(after.bytes(), b"new");
    assert_ne!(before.header(&header::ETAG), after.header(&header::ETAG));

    // Large enough that it is not read at once; cut while it is on its way.
    std::fs::write(&linux, vec![b'x'; 3 << 20]).unwrap();
    let mut request = Request::get("/assets/tiny/linux")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(Connection {
        peer: SocketAddrV4::new(STRANGER, 1),
        local: SERVER,
    });
    let service = TowerToHyperService::new(router(site.plane.clone()));
    let mut body = service.call(request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.len() < 3 << 20);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&linux)
        .unwrap()
        .set_len(first.len() as u64)
        .unwrap();
    let ended = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(ended.is_some(), "the connection is cut");
    drop(body);
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!(event.reason, Reason::Changed);
    assert!(event.bytes.unwrap() < 3 << 20);
}

#[tokio::test]
async fn a_transfer_that_is_given_up_is_incomplete() {
    let site = Site::new();
    std::fs::write(
        site.folder.path().join("assets/tiny/linux"),
        vec![b'x'; 3 << 20],
    )
    .unwrap();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let mut request = Request::get("/assets/tiny/linux")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(Connection {
        peer: SocketAddrV4::new(WEB01, 1),
        local: SERVER,
    });
    let service = TowerToHyperService::new(router(site.plane.clone()));
    let mut body = service.call(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(site.last(Kind::HttpAsset).await.reason, Reason::Incomplete);
    site.get(WEB01, &answer(&token)).await;
    assert_eq!(site.record().await.unwrap().kernel_at, None);
}

#[tokio::test]
async fn health() {
    let site = Site::new();
    assert_eq!(site.get(STRANGER, "/healthz").await.text(), "ok\n");
    site.plane.health.trouble("tftp", "10.99.0.2:69 is taken");
    let reply = site.get(STRANGER, "/healthz").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.text().starts_with("degraded\ntftp: "));
}

/// A run of requests, each by path template; `T` stands for the token.
fn paths() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("/boot/52-54-00-47-86-8e/boot.ipxe".to_owned()),
        Just("/boot/5254.0047.868E/boot.ipxe?uuid=&serial=".to_owned()),
        Just("/answers/T/answers.txt".to_owned()),
        Just("/answers/T/".to_owned()),
        Just("//answers//T//answers.txt".to_owned()),
        Just("/report/T/started".to_owned()),
        Just("/report/T/progress?percent=5".to_owned()),
        Just("/report/T/installed".to_owned()),
        Just("/report/T/failed".to_owned()),
        Just("/report/T/up".to_owned()),
        Just("/report/T/logs/x".to_owned()),
        Just("/assets/tiny/linux".to_owned()),
        Just("/assets/tiny/initrd.gz".to_owned()),
        "/[a-z0-9/.T-]{0,30}",
    ]
}

fn methods_any() -> impl Strategy<Value = Method> {
    prop::sample::select(vec![Method::GET, Method::POST, Method::PUT, Method::HEAD])
}

/// How far web01 is when the requests come: armed, booting or installing.
async fn prepare(site: &Site, stage: u8) -> Token {
    let token = site.arm().await;
    if stage > 0 {
        site.get(WEB01, &script_of(MAC)).await;
    }
    if stage > 1 {
        site.get(WEB01, &answer(&token)).await;
    }
    token
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn requests_from_elsewhere_change_nothing_and_get_no_token(
        stage in 0_u8..3,
        requests in prop::collection::vec((methods_any(), paths(), prop_oneof![Just(WEB02), Just(STRANGER), any::<u32>().prop_map(Ipv4Addr::from)]), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let token = prepare(&site, stage).await;
            let before = site.record().await;
            for (method, path, peer) in requests {
                if peer == WEB01 {
                    continue;
                }
                let path = path.replace('T', token.reveal());
                let reply = site.ask(peer, method.clone(), &path).await;
                prop_assert!(!reply.text().contains(token.reveal()), "{method} {path}");
            }
            // What runs behind an answer has run when everything else has nothing to do.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!(site.record().await, before);
            for event in site.events().await {
                let json = event.to_json().to_string();
                prop_assert!(!json.contains(token.reveal()), "{}", json);
            }
            Ok(())
        })?;
    }

    #[test]
    fn head_changes_nothing(stage in 0_u8..3, requests in prop::collection::vec(paths(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            let token = prepare(&site, stage).await;
            let before = site.record().await;
            for path in requests {
                let path = path.replace('T', token.reveal());
                let reply = site.ask(WEB01, Method::HEAD, &path).await;
                prop_assert!(reply.bytes().is_empty());
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            prop_assert_eq!(site.record().await, before);
            Ok(())
        })?;
    }

    #[test]
    fn any_spelling_of_a_mac_is_the_machine(upper in any::<bool>(), style in 0_u8..4) {
        let mac: HardwareAddr = MAC.parse().unwrap();
        let dashed = mac.dashed();
        let text = match style {
            0 => dashed,
            1 => mac.to_string(),
            2 => dashed.replace('-', ""),
            _ => dashed.replace('-', "%3A"),
        };
        let text = if upper { text.to_uppercase() } else { text };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let site = Site::new();
            site.arm().await;
            site.get(WEB01, &script_of(&text)).await;
            prop_assert_eq!(site.state().await, InstallState::Booting);
            Ok(())
        })?;
    }
}
