//! What the tests of the services share: a small site, its context, a look at its events.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of what is shared"
)]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bootwright::base::{Clock, HostName, SystemClock, Timestamp, Token};
use bootwright::config::Snapshot;
use bootwright::config::snapshot::{Host, Profile};
use bootwright::config::source::MemoryFiles;
use bootwright::host::links::Links;
use bootwright::journal::event::{Event, Kind};
use bootwright::journal::{Filter, Journal};
use bootwright::record::{Armament, Input, InstallState, Record};
use bootwright::render::Renderer;
use bootwright::render::load::InForce;
use bootwright::serve::assets::AssetTree;
use bootwright::serve::context::Context;
use bootwright::serve::installs::{self, Installs};
use bootwright::serve::memory::Memory;
use bootwright::store::AnyStore;

/// The MAC of web01.
pub const WEB01: &str = "52:54:00:47:86:8e";
/// The address of web01.
pub const WEB01_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The address of web02.
pub const WEB02_IP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);
/// What the kernel of the profile holds.
pub const KERNEL: &[u8] = b"a kernel";

const SERVER: &str = r#"
    [server]
    interfaces = ["lo"]
    boot_assets = "ASSETS"

    [[subnet]]
    name = "lab"
    network = "127.0.0.0/24"
    server = "127.0.0.1"
"#;

const RESERVATIONS: &str = r#"
    [defaults]
    profile = "debian-12"

    [hosts.web01]
    mac = "52:54:00:47:86:8e"
    ip = "127.0.0.11"

    [hosts.web02]
    mac = "52:54:00:47:86:8f"
    ip = "127.0.0.12"
    uuid = "e2e00000-0000-0000-0000-000000000001"
"#;

const PROFILE: &str = r#"
    title = "Debian 12"
    family = "debian"
    arch = ["x86_64"]

    [boot]
    kind = "linux"
    kernel = "debian/linux"
    initrd = ["debian/initrd.gz"]
    cmdline = "auto=true url={{ answers.url }}"

    [[answers]]
    name = "preseed.cfg"
    template = "preseed.cfg.j2"
    content_type = "text/plain"
"#;

/// A site on the loopback.
pub struct Site {
    pub ctx: Context,
    folder: tempfile::TempDir,
}

impl Site {
    /// With a store in memory.
    pub fn new() -> Self {
        Self::with(AnyStore::in_memory(), Arc::new(SystemClock))
    }

    /// With this store and clock.
    pub fn with(store: AnyStore, clock: Arc<dyn Clock>) -> Self {
        Self::of(store, clock, SERVER, RESERVATIONS)
    }

    /// On interfaces and subnets of its own. `ASSETS` in `server` stands for the folder of boot files.
    pub fn on(server: &str, reservations: &str) -> Self {
        Self::on_at(server, reservations, Arc::new(SystemClock))
    }

    /// The same by another clock.
    pub fn on_at(server: &str, reservations: &str, clock: Arc<dyn Clock>) -> Self {
        let site = Self::of(AnyStore::in_memory(), clock, server, reservations);
        site.change(|snapshot| snapshot.server.tftp_port = 69);
        site
    }

    /// Another configuration, from now on.
    pub fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut next = InForce::clone(&self.ctx.config());
        change(&mut next.snapshot);
        self.ctx.in_force.store(Arc::new(next));
    }

    /// Other hosts, from now on.
    pub fn change_hosts(&self, change: impl FnOnce(&mut Vec<Host>)) {
        let old = self.ctx.config().snapshot.clone();
        let mut hosts: Vec<Host> = old.hosts().iter().map(|host| Host::clone(host)).collect();
        change(&mut hosts);
        let profiles = old
            .profiles()
            .values()
            .map(|profile| Profile::clone(profile))
            .collect();
        let subnets = old.subnets.clone();
        let mut snapshot = Snapshot::new(
            old.server.clone(),
            subnets,
            hosts,
            profiles,
            old.templates().clone(),
        );
        snapshot.generation = old.generation + 1;
        let renderer = Renderer::new(&snapshot);
        self.ctx
            .in_force
            .store(Arc::new(InForce { snapshot, renderer }));
    }

    /// Applies something to a host.
    pub async fn apply(&self, host: &str, input: &Input) {
        let config = self.ctx.config();
        let name = host.parse().expect("a name");
        let about = installs::Context::default();
        let applied = self
            .ctx
            .installs
            .apply(&config.snapshot, &name, input, &about);
        applied.await.expect("applied");
    }

    fn of(store: AnyStore, clock: Arc<dyn Clock>, server: &str, reservations: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let assets = folder.path().join("boot-assets");
        std::fs::create_dir_all(assets.join("debian")).expect("boot files");
        std::fs::write(assets.join("debian/linux"), KERNEL).expect("a kernel");
        std::fs::write(assets.join("debian/initrd.gz"), b"an initrd").expect("an initrd");
        let journal = Journal::in_memory();
        let ctx = Context {
            in_force: Arc::new(ArcSwap::new(in_force(
                &assets,
                server,
                reservations,
                PROFILE,
            ))),
            installs: Installs::new(Arc::new(store), journal.clone(), Arc::clone(&clock)),
            journal,
            clock,
            assets: AssetTree::new(&assets),
            memory: Memory::new(),
            links: Links::read().expect("interfaces"),
        };
        Self { ctx, folder }
    }

    /// The folder of boot files.
    pub fn assets(&self) -> PathBuf {
        self.folder.path().join("boot-assets")
    }

    /// A folder beside it.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    /// Another profile, from now on.
    pub fn set_profile(&self, from: &str, to: &str) {
        let profile = PROFILE.replace(from, to);
        self.ctx
            .in_force
            .store(in_force(&self.assets(), SERVER, RESERVATIONS, &profile));
    }

    /// Arms a host.
    pub async fn arm(&self, host: &str) -> Token {
        let config = self.ctx.config();
        let name: HostName = host.parse().expect("a name");
        let host = config.snapshot.host(&name).expect("the host");
        let token = Token::from_bytes([7; 16]);
        let input = Input::Install {
            with: Armament {
                profile: host.profile.clone().expect("a profile"),
                file_profile: host.profile.clone(),
                macs: host.macs.to_vec(),
                ip: host.ip,
                token: token.clone(),
                armed_for: Duration::from_secs(86_400),
                after: None,
            },
            force: true,
            by: "test".to_owned(),
        };
        self.ctx
            .installs
            .apply(
                &config.snapshot,
                &name,
                &input,
                &installs::Context::default(),
            )
            .await
            .expect("armed");
        token
    }

    /// The record of a host; `None`: nothing is known of it.
    pub async fn record(&self, host: &str) -> Option<Record> {
        let config = self.ctx.config();
        let name = host.parse().expect("a name");
        let known = self.ctx.installs.known(&config.snapshot, &name).await;
        known.expect("the store").map(Arc::unwrap_or_clone)
    }

    /// State and attempt of a host.
    pub async fn state(&self, host: &str) -> (InstallState, u32) {
        self.record(host)
            .await
            .map_or((InstallState::Local, 0), |record| {
                (record.state, record.attempt)
            })
    }

    /// All events so far of one kind.
    pub async fn events(&self, kind: Kind) -> Vec<Event> {
        let all = self.ctx.journal.query(&Filter::default()).await;
        all.into_iter().filter(|event| event.kind == kind).collect()
    }
}

fn in_force(assets: &Path, server: &str, reservations: &str, profile: &str) -> Arc<InForce> {
    let files: MemoryFiles = [
        (
            "bootwright.toml",
            server.replace("ASSETS", &assets.display().to_string()),
        ),
        ("reservations.toml", reservations.to_owned()),
        ("profiles/debian-12.toml", profile.to_owned()),
        (
            "templates/preseed.cfg.j2",
            "d-i debian-installer/locale string en_US\n".to_owned(),
        ),
    ]
    .into_iter()
    .collect();
    let loaded = bootwright::config::load(&files, Path::new("bootwright.toml"));
    let errors: Vec<_> = loaded
        .problems
        .iter()
        .filter(|problem| problem.severity == bootwright::config::Severity::Error)
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let mut snapshot = loaded.snapshot.expect("a configuration");
    snapshot.generation = 1;
    // Any free port; the file has no such setting.
    snapshot.server.tftp_port = 0;
    let renderer = Renderer::new(&snapshot);
    Arc::new(InForce { snapshot, renderer })
}

/// Seconds since 1970 as the tests count them.
pub const fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_790_000_000 + secs)
}
