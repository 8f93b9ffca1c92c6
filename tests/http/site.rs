//! A server without sockets, and requests to it.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes};
use bootwright::base::{HostName, TestClock, Timestamp, Token};
use bootwright::config::snapshot::{Server, Subnet};
use bootwright::config::source::MemoryFiles;
use bootwright::host::links::{LinkTable, Links};
use bootwright::journal::{Event, Filter, Journal, Kind};
use bootwright::record::{Armament, Input, InstallState, Record};
use bootwright::render::Renderer;
use bootwright::render::load::{InForce, load};
use bootwright::serve::assets::AssetTree;
use bootwright::serve::boot::{BootPlane, Front, routed};
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
use tempfile::TempDir;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub(crate) const WEB01: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
pub(crate) const WEB02: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 12);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 77);
pub(crate) const MAC: &str = "52-54-00-47-86-8e";
pub(crate) const KERNEL: usize = 700_000;

pub(crate) fn config() -> Arc<InForce> {
    static CONFIG: OnceLock<Arc<InForce>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            config_with(
                "host {{ host.name }} reports to {{ install.installed }}\n",
                "",
            )
        })
        .clone()
}

/// The same with this template of the answers and this file of secrets.
pub(crate) fn config_with(template: &str, secrets: &str) -> Arc<InForce> {
    let files: MemoryFiles = [
                (
                    "c/bootwright.toml",
                    "[server]\ninterfaces = [\"br0\"]\nsecrets = \"secrets.toml\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
                ),
                ("c/secrets.toml", secrets),
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
                ("c/templates/answers.txt.j2", template),
            ]
            .into_iter()
            .collect();
    let loaded = load(&files, Path::new("c/bootwright.toml"), 1);
    assert!(loaded.config.is_some(), "{:?}", loaded.problems);
    loaded.config.unwrap()
}

/// The configuration with its server's part and its subnet changed.
pub(crate) fn config_changed(change: impl FnOnce(&mut Server, &mut Subnet)) -> Arc<InForce> {
    let mut snapshot = config().snapshot.clone();
    change(&mut snapshot.server, &mut snapshot.subnets[0]);
    Arc::new(InForce {
        renderer: Renderer::new(&snapshot),
        snapshot,
    })
}

/// A server without sockets.
pub(crate) struct Site {
    pub(crate) plane: BootPlane,
    pub(crate) front: Front,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) switches: Switches,
    pub(crate) folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
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
        let plane = BootPlane {
            ctx,
            health: Health::default(),
            logs: folder.path().join("logs"),
        };
        Self {
            front: Front::new(plane.clone()),
            plane,
            clock,
            switches,
            folder,
        }
    }

    pub(crate) fn ctx(&self) -> &Context {
        &self.plane.ctx
    }

    /// Arms web01 and gives its token.
    pub(crate) async fn arm(&self) -> Token {
        let token = Token::from_bytes(*b"0123456789abcdef");
        let input = Input::Install {
            with: Armament {
                profile: "tiny".parse().unwrap(),
                file_profile: "tiny".parse().ok(),
                macs: vec![MAC.parse().unwrap()],
                ip: Some(WEB01),
                token: token.clone(),
                armed_for: Duration::from_secs(86_400),
                after: None,
            },
            force: false,
            by: "tester".to_owned(),
        };
        self.apply(&input).await;
        token
    }

    pub(crate) async fn apply(&self, input: &Input) {
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

    pub(crate) async fn record(&self) -> Option<Record> {
        self.ctx()
            .installs
            .known(&config().snapshot, &web01())
            .await
            .unwrap()
            .map(Arc::unwrap_or_clone)
    }

    pub(crate) async fn state(&self) -> InstallState {
        self.record()
            .await
            .map_or(InstallState::Local, |record| record.state)
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        self.ctx().journal.query(&Filter::default()).await
    }

    pub(crate) async fn last(&self, kind: Kind) -> Event {
        let events = self.events().await;
        events
            .iter()
            .rfind(|event| event.kind == kind)
            .unwrap_or_else(|| panic!("no {kind} among {events:#?}"))
            .clone()
    }

    pub(crate) async fn ask(&self, peer: Ipv4Addr, method: Method, path: &str) -> Reply {
        self.ask_with(peer, method, path, &[], Bytes::new()).await
    }

    pub(crate) async fn get(&self, peer: Ipv4Addr, path: &str) -> Reply {
        self.ask(peer, Method::GET, path).await
    }

    /// Asks for a file and takes its bytes one by one.
    pub(crate) async fn begin(&self, peer: Ipv4Addr, path: &str) -> Body {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Connection {
            peer: SocketAddrV4::new(peer, 1),
            local: SERVER,
        });
        let service = TowerToHyperService::new(routed(self.front.clone()));
        service.call(request).await.unwrap().into_body()
    }

    /// Waits for what is done beside the requests.
    pub(crate) async fn until(&self, holds: impl AsyncFn() -> bool) {
        let came = tokio::time::timeout(Duration::from_secs(10), async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        });
        came.await.expect("it comes");
    }

    pub(crate) async fn ask_with(
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
        self.send(peer, request.body(Body::from(body.into())).unwrap())
            .await
    }

    pub(crate) async fn send(&self, peer: Ipv4Addr, mut request: Request<Body>) -> Reply {
        request.extensions_mut().insert(Connection {
            peer: SocketAddrV4::new(peer, 40_000),
            local: SERVER,
        });
        let service = TowerToHyperService::new(routed(self.front.clone()));
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

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Vec<u8>, String>,
}

impl Reply {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.as_ref().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub(crate) fn header(&self, name: &header::HeaderName) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
            .to_str()
            .unwrap()
    }
}

pub(crate) fn web01() -> HostName {
    "web01".parse().unwrap()
}

pub(crate) fn script_of(mac: &str) -> String {
    format!("/boot/{mac}/boot.ipxe")
}

pub(crate) fn answer(token: &Token) -> String {
    format!("/answers/{}/answers.txt", token.reveal())
}

pub(crate) fn report(token: &Token, event: &str) -> String {
    format!("/report/{}/{event}", token.reveal())
}
