//! A daemon without sockets: store and journal in memory.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use bootwright::base::{TestClock, Timestamp};
use bootwright::config::source::MemoryFiles;
use bootwright::host::links::{LinkTable, Links};
use bootwright::journal::Journal;
use bootwright::record::InstallState;
use bootwright::render::load::load;
use bootwright::serve::admin::hosts::HostView;
use bootwright::serve::admin::{Admin, router};
use bootwright::serve::assets::AssetTree;
use bootwright::serve::context::Context;
use bootwright::serve::health::Health;
use bootwright::serve::installs::Installs;
use bootwright::serve::listener::Operator;
use bootwright::serve::memory::Memory;
use bootwright::serve::reload::Reloader;
use bootwright::store::{AnyStore, Switches};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const RESERVATIONS: &str = r#"
[groups.g]
profile = "tiny"
[groups.rack]
group = "g"
[groups.guests]
group = "rack"
[hosts.hv]
mac = "52:54:00:47:86:92"
ip = "10.99.0.20"
group = "rack"
[hosts.guest]
mac = "52:54:00:47:86:93"
ip = "10.99.0.21"
group = "guests"
after = { host = "hv", event = "up" }
[hosts.old]
mac = "52:54:00:47:86:94"
ip = "10.99.0.22"
arch = "x86_64"
group = "g"
[hosts.plain]
mac = "52:54:00:47:86:95"
ip = "10.99.0.23"
[hosts.web01]
group = "g"
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
[hosts.web02]
group = "g"
mac = "52:54:00:47:86:8f"
ip = "10.99.0.12"
[hosts.never]
group = "g"
mac = "52:54:00:47:86:90"
ip = "10.99.0.13"
install = "never"
[hosts.nomac]
group = "g"
ip = "10.99.0.14"
[hosts.arm]
group = "g"
mac = "52:54:00:47:86:91"
ip = "10.99.0.15"
loader = "ipxe/arm.efi"
"#;

/// One with a snippet and a variable of its own.
const FUSSY: &str = r#"
[hosts.fussy]
group = "g"
mac = "52:54:00:47:86:96"
ip = "10.99.0.24"
snippets = ["ours"]
vars = { size = "small" }
"#;

pub(crate) const PROFILE: &str = r#"
title = "Tiny"
family = "other"
[boot]
kind = "linux"
kernel = "tiny/linux"
cmdline = "quiet"
"#;

/// One with answers.
const OTHER: &str = r#"
title = "Other"
family = "other"
[boot]
kind = "linux"
kernel = "tiny/linux"
cmdline = "quiet url={{ answers.url }}"
[[answers]]
name = "answers.txt"
template = "answers.txt.j2"
content_type = "text/plain"
"#;

/// One whose boot files are not there.
const BARE: &str = r#"
title = "Bare"
family = "other"
[boot]
kind = "linux"
kernel = "bare/linux"
initrd = ["bare/initrd"]
cmdline = "quiet"
"#;

const ARM: &str = r#"
title = "Tiny for ARM"
family = "other"
arch = ["aarch64"]
[boot]
kind = "linux"
kernel = "tiny/linux"
cmdline = "quiet"
"#;

/// One that needs a variable which no host has.
const NEEDY: &str = r#"
title = "Needy"
family = "other"
[boot]
kind = "linux"
kernel = "tiny/linux"
cmdline = "quiet"
[[answers]]
name = "needy"
template = "needy.j2"
content_type = "text/plain"
"#;

/// One that declares what it takes, names a file in its answer, and brings in snippets.
const PICKY: &str = r#"
title = "Picky"
family = "suse"
variables = ["picky.toml"]
[boot]
kind = "linux"
kernel = "picky/linux"
cmdline = "quiet"
[[answers]]
name = "picky"
template = "picky.j2"
content_type = "text/plain"
"#;

/// A tool whose kernel comes from elsewhere: nobody here sees it sent.
const REMOTE: &str = r#"
title = "Remote"
family = "tool"
lifecycle = "once"
[boot]
kind = "linux"
kernel = "http://files.example/tool"
cmdline = "quiet"
"#;

/// A daemon without sockets.
pub(crate) struct Site {
    pub(crate) admin: Admin,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) switches: Switches,
    pub(crate) folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let files: MemoryFiles = [
            (
                "c/bootwright.toml",
                "[server]\ninterfaces = [\"br0\"]\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
            ),
            ("c/reservations.toml", &*format!("{RESERVATIONS}{FUSSY}")),
            ("c/profiles/tiny.toml", PROFILE),
            ("c/profiles/other.toml", OTHER),
            ("c/profiles/bare.toml", BARE),
            ("c/profiles/tiny-arm.toml", ARM),
            ("c/profiles/needy.toml", NEEDY),
            ("c/profiles/remote.toml", REMOTE),
            ("c/profiles/picky.toml", PICKY),
            (
                "c/templates/picky.toml",
                "[disk]\ntype = \"text\"\nrequired = true\nhelp = \"the disk\"\n[size]\ntype = \"integer\"\n",
            ),
            (
                "c/templates/picky.j2",
                "{{ asset('picky/tree') }}{% for name in snippets %}{% include \"snippets/\" ~ name ~ \".sh.j2\" %}{% endfor %}",
            ),
            ("c/templates/snippets/ours.sh.j2", "true\n"),
            ("c/templates/snippets/ours.toml", "families = [\"other\"]\n"),
            ("c/templates/answers.txt.j2", "for {{ host.name }}\n"),
            ("c/templates/needy.j2", "{{ vars.disk }}\n"),
        ]
        .into_iter()
        .collect();
        let loaded = load(&files, Path::new("c/bootwright.toml"), 1);
        let in_force = loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let folder = tempfile::tempdir().unwrap();
        for file in ["tiny/linux", "ipxe/undionly.kpxe", "ipxe/snponly.efi"] {
            let file = folder.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, b"x").unwrap();
        }
        let (store, switches) = AnyStore::broken();
        let journal = Journal::in_memory();
        let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_800_000_000)));
        let ctx = Context {
            in_force: Arc::new(ArcSwap::new(in_force)),
            installs: Installs::new(Arc::new(store), journal.clone(), clock.clone()),
            journal,
            clock: clock.clone(),
            assets: AssetTree::new(folder.path()),
            memory: Memory::new(),
            links: Links::fixed(LinkTable::default()),
        };
        Self {
            admin: Admin {
                started: ctx.now(),
                ctx,
                health: Health::default(),
                hooks: bootwright::serve::hooks::States::default(),
                reloader: Reloader::new().0,
                config: "c/bootwright.toml".into(),
                logs: folder.path().join("logs"),
                ending: CancellationToken::new(),
            },
            clock,
            switches,
            folder,
        }
    }

    pub(crate) async fn raw(&self, method: Method, path: &str, body: String) -> (StatusCode, Body) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .body(Body::from(body))
            .unwrap();
        request
            .extensions_mut()
            .insert(Operator { uid: 0, pid: None });
        let service = TowerToHyperService::new(router(self.admin.clone()));
        let response = service.call(request).await.unwrap();
        (response.status(), response.into_body())
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (status, body) = self.raw(method, path, body).await;
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&bytes)));
        (status, value)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, path, body).await
    }

    pub(crate) async fn state(&self, host: &str) -> InstallState {
        let (_, value) = self.get(&format!("/hosts/{host}")).await;
        serde_json::from_value::<HostView>(value).unwrap().state
    }

    pub(crate) async fn token(&self, host: &str) -> String {
        let in_force = self.admin.ctx.config();
        let record = self
            .admin
            .ctx
            .installs
            .known(&in_force.snapshot, &host.parse().unwrap())
            .await
            .unwrap()
            .unwrap();
        record.token.as_ref().unwrap().reveal().to_owned()
    }
}

/// Code, message and remedy of a refusal.
pub(crate) fn refusal(value: &Value) -> (String, String, String) {
    // Of several the first.
    let error = &value["error"];
    let first = error["refusals"].get(0).unwrap_or(error);
    let text = |key: &str| first[key].as_str().unwrap_or_default().to_owned();
    (text("code"), text("message"), text("remedy"))
}
