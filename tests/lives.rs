//! Random sequences of orders, boots, fetches, reports, time, restarts, reloads and a failing store, through
//! the services as machines and operators reach them, held against a small account of what was asked for
//! (design sections 1 and 4).
//!
//! The account is written anew here, from the design's table, in its simplest form: whatever the services
//! serve has to be what it allows, and the states have to agree after each step.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::body::Body;
use bootwright::base::{
    After, AfterEvent, Clock, Firmware, HardwareAddr, HostName, TestClock, Timestamp,
};
use bootwright::config::source::DiskFiles;
use bootwright::decide::Stage;
use bootwright::host::links::{LinkTable, Links};
use bootwright::journal::event::{Kind, Reason};
use bootwright::journal::{Filter, Journal};
use bootwright::record::{Input, InstallState, Record};
use bootwright::render::load::{InForce, load};
use bootwright::serve::arming::{Terms, armament};
use bootwright::serve::assets::AssetTree;
use bootwright::serve::boot::{BootPlane, router};
use bootwright::serve::context::Context;
use bootwright::serve::health::Health;
use bootwright::serve::installs::{self, Installs};
use bootwright::serve::listener::Connection;
use bootwright::serve::memory::{Memory, Sighting};
use bootwright::serve::reload::{self, Cause, Reloader, Settings};
use bootwright::store::{AnyStore, Switches};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 77);
const HOSTS: [&str; 5] = ["hv", "web", "guest", "diskless", "added"];
const ARMED_FOR: Duration = Duration::from_secs(86_400);
const STALLED: Duration = Duration::from_secs(2_700);
const MAX_ATTEMPTS: u32 = 2;

/// How the reservations look: each flag is one change to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Reservations {
    web_is_gone: bool,
    web_other_mac: bool,
    web_other_address: bool,
    web_other_profile: bool,
    added: bool,
    broken: bool,
}

/// A host as the account has it from the reservations.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reserved {
    mac: HardwareAddr,
    ip: Ipv4Addr,
    profile: &'static str,
}

impl Reservations {
    fn hosts(self) -> BTreeMap<&'static str, Reserved> {
        let host = |mac: u8, ip: u8, profile| Reserved {
            mac: HardwareAddr::ethernet([0x52, 0x54, 0, 0, 0, mac]),
            ip: Ipv4Addr::new(10, 99, 0, ip),
            profile,
        };
        let mut hosts = BTreeMap::from([
            ("hv", host(11, 11, "tiny")),
            ("guest", host(13, 13, "tiny")),
            ("diskless", host(14, 14, "system")),
        ]);
        if !self.web_is_gone {
            let mac = if self.web_other_mac { 22 } else { 12 };
            let ip = if self.web_other_address { 22 } else { 12 };
            let profile = if self.web_other_profile {
                "tool"
            } else {
                "tiny"
            };
            hosts.insert("web", host(mac, ip, profile));
        }
        if self.added {
            hosts.insert("added", host(15, 15, "tiny"));
        }
        hosts
    }

    fn text(self) -> String {
        let mut text = String::new();
        for (name, host) in self.hosts() {
            let _ = writeln!(
                text,
                "[hosts.{name}]\nmac = \"{}\"\nip = \"{}\"\nprofile = \"{}\"",
                host.mac, host.ip, host.profile
            );
        }
        if self.broken {
            text += "[hosts.bad]\nmac = \"nonsense\"\n";
        }
        text
    }
}

#[derive(Debug, Clone)]
enum Op {
    Install {
        host: usize,
        force: bool,
        after: Option<(usize, AfterEvent)>,
        tool: bool,
    },
    Cancel {
        host: usize,
        force: bool,
    },
    Local {
        host: usize,
        force: bool,
    },
    /// Power on, and so many requests for the script.
    Boot {
        host: usize,
        scripts: u8,
    },
    /// The script again, without a boot.
    ScriptAgain(usize),
    /// A stranger asks for the host's script, its answers, and reports for it.
    Stranger(usize),
    Answer {
        host: usize,
        old_token: bool,
    },
    Kernel(usize),
    Report {
        host: usize,
        kind: &'static str,
        old_token: bool,
    },
    Time(u64),
    Restart,
    Reload(Reservations),
    StoreFails {
        reads: bool,
        commits: bool,
    },
}

fn op() -> impl Strategy<Value = Op> {
    // The one whose reservation changes is the one that most happens to.
    let host = || prop_oneof![6 => Just(1_usize), 4 => 0_usize..3, 1 => 0_usize..HOSTS.len()];
    let after = prop_oneof![
        Just(AfterEvent::Booting),
        Just(AfterEvent::Installed),
        Just(AfterEvent::Up),
        Just(AfterEvent::Failed)
    ];
    let after = proptest::option::weighted(0.4, (0_usize..3, after));
    let report = prop_oneof![
        2 => Just("started"), 1 => Just("progress"), 3 => Just("installed"), 1 => Just("failed"), 2 => Just("up"),
    ];
    let reservations = (
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.3),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.2),
        any::<bool>(),
        proptest::bool::weighted(0.1),
    )
        .prop_map(
            |(gone, mac, address, profile, added, broken)| Reservations {
                web_is_gone: gone,
                web_other_mac: mac,
                web_other_address: address,
                web_other_profile: profile,
                added,
                broken,
            },
        );
    prop_oneof![
        6 => (host(), any::<bool>(), after, proptest::bool::weighted(0.1))
            .prop_map(|(host, force, after, tool)| Op::Install { host, force, after, tool }),
        1 => (host(), any::<bool>()).prop_map(|(host, force)| Op::Cancel { host, force }),
        1 => (host(), any::<bool>()).prop_map(|(host, force)| Op::Local { host, force }),
        9 => (host(), 1_u8..3).prop_map(|(host, scripts)| Op::Boot { host, scripts }),
        1 => host().prop_map(Op::ScriptAgain),
        1 => host().prop_map(Op::Stranger),
        5 => (host(), proptest::bool::weighted(0.1))
            .prop_map(|(host, old_token)| Op::Answer { host, old_token }),
        2 => host().prop_map(Op::Kernel),
        8 => (host(), report, proptest::bool::weighted(0.1))
            .prop_map(|(host, kind, old_token)| Op::Report { host, kind, old_token }),
        2 => prop_oneof![4 => Just(10_u64), 3 => Just(1_860), 1 => Just(90_000)].prop_map(Op::Time),
        1 => Just(Op::Restart),
        3 => reservations.prop_map(Op::Reload),
        1 => (proptest::bool::weighted(0.3), proptest::bool::weighted(0.5))
            .prop_map(|(reads, commits)| Op::StoreFails { reads, commits }),
        1 => Just(Op::StoreFails { reads: false, commits: false }),
    ]
}

/// What was asked for, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    state: InstallState,
    /// The host as it was armed, and the profile of the order.
    armed: Option<(Reserved, &'static str)>,
    after: Option<(&'static str, AfterEvent)>,
    attempt: u32,
    until: Option<Timestamp>,
    sign: Option<Timestamp>,
    script: Option<Timestamp>,
    ended: Option<Timestamp>,
    kernel: bool,
    /// The script of a tool whose kernel was sent, and of which nothing has come since.
    tool: Option<Timestamp>,
    reached: BTreeSet<&'static str>,
}

impl Account {
    fn new() -> Self {
        Self {
            state: InstallState::Local,
            armed: None,
            after: None,
            attempt: 0,
            until: None,
            sign: None,
            script: None,
            ended: None,
            kernel: false,
            tool: None,
            reached: BTreeSet::new(),
        }
    }

    /// Whether the answers of a tool that runs may be given: they need not be, after a restart for example.
    fn tool_may_run(&self, now: Timestamp) -> bool {
        let day = Duration::from_secs(86_400);
        self.tool.is_some_and(|script| now.since(script) <= day)
    }

    fn to(&mut self, state: InstallState) {
        self.state = state;
        self.tool = None;
        if state == InstallState::Failed {
            self.reached.insert("failed");
        } else {
            self.reached.remove("failed");
        }
    }

    fn under_way(&self) -> bool {
        matches!(self.state, InstallState::Booting | InstallState::Installing)
    }

    fn judge(&mut self, now: Timestamp) {
        if self.state == InstallState::Armed && self.until.is_some_and(|until| now > until) {
            self.to(InstallState::Local);
        }
        if self.under_way() && self.sign.is_some_and(|sign| now.since(sign) >= STALLED) {
            self.to(InstallState::Failed);
            self.ended = Some(now);
        }
    }
}

struct World {
    ctx: Context,
    store: Arc<AnyStore>,
    switches: Switches,
    clock: Arc<TestClock>,
    folder: tempfile::TempDir,
    reloader: Reloader,
    cancel: CancellationToken,
    /// Whether the store fails: reads, commits.
    fails: (bool, bool),
    in_force: Reservations,
    accounts: BTreeMap<&'static str, Account>,
    tokens: BTreeMap<&'static str, Vec<String>>,
    /// Names and addresses that the store has been told.
    known: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "c/bootwright.toml",
            "[server]\nstate_dir = \"../state\"\ninterfaces = [\"br0\"]\n[install]\nwhen_new = \"install\"\nmax_attempts = 2\n\
             [[subnet]]\nnetwork = \"10.99.0.0/24\"\nserver = \"10.99.0.2\"\n",
        );
        for (name, lifecycle) in [("tiny", "install"), ("tool", "once"), ("system", "live")] {
            write(
                &format!("c/profiles/{name}.toml"),
                &format!(
                    "title = \"{name}\"\nfamily = \"other\"\nlifecycle = \"{lifecycle}\"\n[boot]\nkind = \"linux\"\n\
                     kernel = \"{name}/linux\"\ncmdline = \"url={{{{ answers.url }}}}\"\n\
                     [[answers]]\nname = \"answers.txt\"\ntemplate = \"answers.txt.j2\"\n"
                ),
            );
            write(&format!("boot-assets/{name}/linux"), "a kernel");
        }
        write("boot-assets/ipxe/undionly.kpxe", "a loader");
        write("boot-assets/ipxe/snponly.efi", "a loader");
        write("c/templates/answers.txt.j2", "{{ host.name }}\n");
        let reservations = Reservations::default();
        write("c/reservations.toml", &reservations.text());
        let loaded = load(&DiskFiles, &folder.path().join("c/bootwright.toml"), 1);
        let config = loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let (store, switches) = AnyStore::broken();
        let store = Arc::new(store);
        let clock = Arc::new(TestClock::new(Timestamp::from_secs(1_800_000_000)));
        let (ctx, reloader, cancel) = start(&store, &clock, &folder, config);
        Self {
            ctx,
            store,
            switches,
            clock,
            folder,
            reloader,
            cancel,
            fails: (false, false),
            in_force: reservations,
            accounts: HOSTS.map(|name| (name, Account::new())).into(),
            tokens: BTreeMap::new(),
            known: BTreeSet::new(),
        }
    }

    fn store_works(&self) -> bool {
        self.fails == (false, false)
    }

    fn reserved(&self, name: &str) -> Option<Reserved> {
        self.in_force.hosts().get(name).cloned()
    }

    async fn call(&self, peer: Ipv4Addr, method: Method, path: String) -> (StatusCode, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        request.extensions_mut().insert(Connection {
            peer: SocketAddrV4::new(peer, 40_000),
            local: SERVER,
        });
        let plane = BootPlane {
            ctx: self.ctx.clone(),
            health: Health::default(),
            logs: self.folder.path().join("logs"),
        };
        let response = TowerToHyperService::new(router(plane))
            .call(request)
            .await
            .unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    async fn record(&self, name: &str) -> Option<Record> {
        let config = self.ctx.config();
        let name: HostName = name.parse().unwrap();
        self.ctx
            .installs
            .known(&config.snapshot, &name)
            .await
            .unwrap()
            .map(Arc::unwrap_or_clone)
    }

    fn token(&self, name: &str, old: bool) -> String {
        let of_host = self
            .tokens
            .get(name)
            .map_or(&[] as &[String], Vec::as_slice);
        let nobodys = || "aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned();
        if old {
            of_host.iter().rev().nth(1).cloned().unwrap_or_else(nobodys)
        } else {
            of_host.last().cloned().unwrap_or_else(nobodys)
        }
    }

    /// What has come, in the account: what waits for it is armed.
    fn release(&mut self) {
        let now = self.clock.now();
        let waiting: Vec<&str> = HOSTS
            .into_iter()
            .filter(|name| self.accounts[name].state == InstallState::Waiting)
            .collect();
        for name in waiting {
            let Some((other, event)) = self.accounts[name].after else {
                panic!("{name} waits for nothing");
            };
            if !self.accounts[other].reached.contains(event.as_str()) {
                continue;
            }
            let fits = self.fits(name);
            let account = self.accounts.get_mut(name).unwrap();
            if fits {
                account.to(InstallState::Armed);
                account.until = Some(now.plus(ARMED_FOR));
            } else {
                account.to(InstallState::Local);
            }
        }
    }

    /// Whether the reservations still have what the host was armed for.
    fn fits(&self, name: &str) -> bool {
        let armed = self.accounts[name].armed.as_ref().map(|(host, _)| host);
        self.reserved(name).as_ref() == armed
    }

    fn judge(&mut self) {
        let now = self.clock.now();
        for account in self.accounts.values_mut() {
            account.judge(now);
        }
    }

    /// What the daemon does from time to time, in the services and in the account.
    async fn tick(&mut self) {
        if !self.store_works() {
            return;
        }
        let config = self.ctx.config();
        self.ctx.installs.judge_all(&config.snapshot).await.unwrap();
        self.judge();
        for name in HOSTS {
            let gone = self.reserved(name).is_none();
            let fits = self.fits(name);
            let account = self.accounts.get_mut(name).unwrap();
            let bound = matches!(account.state, InstallState::Armed | InstallState::Waiting);
            if gone {
                *account = Account::new();
            } else if bound && !fits {
                account.to(InstallState::Local);
            }
        }
        self.release();
        for name in HOSTS {
            let record = self.record(name).await;
            let account = &self.accounts[name];
            let state = record.as_ref().map_or(InstallState::Local, |r| r.state);
            assert_eq!(state, account.state, "{name}: {record:#?} {account:#?}");
            if account.under_way() {
                assert_eq!(record.unwrap().attempt, account.attempt, "{name}");
            }
        }
    }

    async fn go(&mut self, op: &Op) {
        self.judge();
        match op {
            Op::Install {
                host,
                force,
                after,
                tool,
            } => {
                let after = after.map(|(other, event)| (HOSTS[other], event));
                self.install(HOSTS[*host], *force, after, *tool).await;
            }
            Op::Cancel { host, force } => self.take_back(HOSTS[*host], *force, true).await,
            Op::Local { host, force } => self.take_back(HOSTS[*host], *force, false).await,
            Op::Boot { host, scripts } => self.boot(HOSTS[*host], *scripts).await,
            Op::ScriptAgain(host) => self.script(HOSTS[*host]).await,
            Op::Stranger(host) => self.stranger(HOSTS[*host]).await,
            Op::Answer { host, old_token } => self.answer(HOSTS[*host], *old_token).await,
            Op::Kernel(host) => self.kernel(HOSTS[*host]).await,
            Op::Report {
                host,
                kind,
                old_token,
            } => self.report(HOSTS[*host], kind, *old_token).await,
            Op::Time(secs) => self.clock.advance(Duration::from_secs(*secs)),
            Op::Restart => self.restart().await,
            Op::Reload(reservations) => self.reload(*reservations).await,
            Op::StoreFails { reads, commits } => {
                self.switches.fail_reads(*reads);
                self.switches.fail_commits(*commits);
                self.fails = (*reads, *commits);
            }
        }
        self.tick().await;
    }

    async fn install(
        &mut self,
        name: &'static str,
        force: bool,
        after: Option<(&'static str, AfterEvent)>,
        tool: bool,
    ) {
        let config = self.ctx.config();
        let snapshot = &config.snapshot;
        let Some(host) = snapshot.host(&name.parse().unwrap()).cloned() else {
            return;
        };
        let terms = Terms {
            profile: tool.then(|| "tool".parse().unwrap()),
            after: after.map(|(host, event)| After {
                host: host.parse().unwrap(),
                event,
            }),
            ..Terms::default()
        };
        let with = match armament(&self.ctx, &config, &host, &terms) {
            Ok(with) => with,
            Err(obstacle) => {
                let to_be_refused =
                    name == "diskless" || after.is_some_and(|(other, _)| other == name);
                assert!(
                    to_be_refused || self.reserved(name).is_none() || after.is_some(),
                    "{obstacle}"
                );
                return;
            }
        };
        let input = Input::Install {
            with,
            force,
            by: "kari".to_owned(),
        };
        let about = installs::Context::default();
        let applied = self
            .ctx
            .installs
            .apply(snapshot, &host.name, &input, &about)
            .await;
        let refused = self.accounts[name].under_way() && !force;
        assert_eq!(
            applied.is_ok(),
            self.store_works() && !refused,
            "{name}: {applied:?}"
        );
        let Ok(applied) = applied else { return };
        let token = applied.record().token.clone().unwrap();
        self.tokens
            .entry(name)
            .or_default()
            .push(token.reveal().to_owned());
        let reserved = self.reserved(name).unwrap();
        let profile = if tool { "tool" } else { reserved.profile };
        let mut account = Account::new();
        account.armed = Some((reserved, profile));
        account.after = after;
        if after.is_some() {
            account.to(InstallState::Waiting);
        } else {
            account.to(InstallState::Armed);
            account.until = Some(self.clock.now().plus(ARMED_FOR));
        }
        self.accounts.insert(name, account);
        self.release();
    }

    async fn take_back(&mut self, name: &'static str, force: bool, cancel: bool) {
        let config = self.ctx.config();
        let by = "kari".to_owned();
        let input = if cancel {
            Input::Cancel { force, by }
        } else {
            Input::Local { force, by }
        };
        let about = installs::Context::default();
        let host = name.parse().unwrap();
        let applied = self
            .ctx
            .installs
            .apply(&config.snapshot, &host, &input, &about)
            .await;
        let account = self.accounts.get_mut(name).unwrap();
        let allowed = match account.state {
            InstallState::Waiting | InstallState::Armed => true,
            InstallState::Booting | InstallState::Installing => force || !account.kernel,
            InstallState::Local | InstallState::Installed | InstallState::Failed => !cancel,
        };
        if self.fails == (false, false) {
            assert_eq!(applied.is_ok(), allowed, "{name}: {applied:?}");
        }
        if applied.is_ok() {
            account.to(InstallState::Local);
        }
    }

    async fn boot(&mut self, name: &'static str, scripts: u8) {
        let Some(host) = self.reserved(name) else {
            return;
        };
        self.clock.advance(Duration::from_secs(1));
        self.judge();
        self.ctx.memory.note_dhcp(Sighting {
            mac: host.mac,
            reserved: true,
            at: self.clock.now(),
            stage: Stage::Pxe {
                firmware: Some(Firmware::Bios),
                code: None,
            },
            is_ipxe: false,
            uuid: None,
            delivery: None,
            port: None,
        });
        self.clock.advance(Duration::from_secs(1));
        self.judge();
        for _ in 0..scripts {
            self.script(name).await;
        }
    }

    /// The heart of it: an installer only where somebody asked for one, to the machine it was asked for.
    async fn script(&mut self, name: &'static str) {
        let Some(host) = self.reserved(name) else {
            return;
        };
        let path = format!("/boot/{}/boot.ipxe", host.mac.dashed());
        let (status, text) = self.call(host.ip, Method::GET, path).await;
        assert_eq!(status, StatusCode::OK);
        let got_installer = text.contains("kernel --name linux");
        if name == "diskless" {
            assert!(got_installer && text.contains("from memory"), "{text}");
            let url = text.split("/answers/").nth(1).unwrap();
            let token = url.split('/').next().unwrap().to_owned();
            self.tokens.entry(name).or_default().push(token);
            return;
        }
        let (reads_fail, commits_fail) = self.fails;
        let now = self.clock.now();
        // A boot whose first script could not be served is one still.
        let seen = self
            .ctx
            .memory
            .get(host.mac)
            .and_then(|seen| seen.boot_dhcp_at);
        let account = self.accounts.get_mut(name).unwrap();
        let further =
            account.under_way() && seen.is_some_and(|at| account.script.is_some_and(|s| at > s));
        let right_machine = account.armed.as_ref().is_some_and(|(armed, _)| {
            armed.mac == host.mac && (account.state != InstallState::Armed || *armed == host)
        });
        let mut allowed = account.state.boots_installer() && right_machine && !reads_fail;
        let mut used_up = false;
        if allowed && account.state == InstallState::Armed {
            allowed = !commits_fail;
        } else if allowed && further {
            used_up = account.attempt >= MAX_ATTEMPTS;
            allowed = !commits_fail && !used_up;
        }
        assert_eq!(
            got_installer, allowed,
            "{name} {account:#?} further boot: {further}\n{text}"
        );
        if used_up && !commits_fail {
            account.to(InstallState::Failed);
            account.ended = Some(now);
        } else if allowed && account.state == InstallState::Armed {
            account.to(InstallState::Booting);
            account.attempt = 1;
            account.sign = Some(now);
            account.script = Some(now);
            account.reached.insert("booting");
        } else if allowed && further {
            account.attempt += 1;
            account.sign = Some(now);
            account.script = Some(now);
            account.kernel = false;
        }
        if self.store_works() {
            self.release();
        }
    }

    /// Nothing of a host for anybody else, and nothing that anybody else does changes it.
    async fn stranger(&mut self, name: &'static str) {
        let Some(host) = self.reserved(name) else {
            return;
        };
        let path = format!("/boot/{}/boot.ipxe", host.mac.dashed());
        let (_, text) = self.call(STRANGER, Method::GET, path).await;
        assert!(
            !text.contains("kernel") && !text.contains("/answers/"),
            "{text}"
        );
        let token = self.token(name, false);
        let path = format!("/answers/{token}/answers.txt");
        let (status, _) = self.call(STRANGER, Method::GET, path).await;
        assert_ne!(status, StatusCode::OK);
        let account = &self.accounts[name];
        if account.state.boots_installer() || account.state == InstallState::Waiting {
            let path = format!("/report/{token}/installed");
            let (status, _) = self.call(STRANGER, Method::POST, path).await;
            assert_ne!(status, StatusCode::OK, "{account:#?}");
        }
    }

    /// Where the machine is reached now: an installation goes on at the address that it was begun with.
    fn address(&self, name: &str) -> Option<Ipv4Addr> {
        let account = &self.accounts[name];
        let armed = account.armed.as_ref().filter(|_| account.under_way());
        armed
            .map(|(host, _)| host.ip)
            .or_else(|| self.reserved(name).map(|host| host.ip))
    }

    async fn answer(&mut self, name: &'static str, old: bool) {
        let Some(peer) = self.address(name) else {
            return;
        };
        let token = self.token(name, old);
        let path = format!("/answers/{token}/answers.txt");
        let (status, _) = self.call(peer, Method::GET, path).await;
        if name == "diskless" {
            let good = !old && self.tokens.contains_key(name);
            if self.store_works() || good {
                assert_eq!(status == StatusCode::OK, good);
            }
            return;
        }
        let works = self.store_works();
        let now = self.clock.now();
        let is_reserved = self.reserved(name).is_some();
        let account = self.accounts.get_mut(name).unwrap();
        let good = !old && is_reserved && account.state.boots_installer();
        if !old && is_reserved && account.tool_may_run(now) {
            return;
        }
        if works {
            let expected = if good {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            assert_eq!(status, expected, "{name} {account:#?}");
        } else {
            assert!(good || status != StatusCode::OK);
            // What is to be recorded first is not given.
            assert!(!account.under_way() || status != StatusCode::OK);
            return;
        }
        if good && account.under_way() {
            account.sign = Some(now);
            account.kernel = true;
            if account.state == InstallState::Booting {
                account.to(InstallState::Installing);
                account.reached.insert("started");
            }
        }
    }

    async fn kernel(&mut self, name: &'static str) {
        let Some(peer) = self.address(name) else {
            return;
        };
        let account = &self.accounts[name];
        let profile = account
            .armed
            .as_ref()
            .map_or("tiny", |(_, profile)| *profile);
        let path = format!("{profile}/linux");
        let host = name.parse().unwrap();
        self.ctx
            .note_asset(&host, &path, true, None, Some(peer))
            .await;
        let (works, now) = (self.store_works(), self.clock.now());
        let is_reserved = self.reserved(name).is_some();
        let account = self.accounts.get_mut(name).unwrap();
        if !works || !is_reserved || !account.under_way() {
            return;
        }
        account.kernel = true;
        account.sign = Some(now);
        if profile == "tool" {
            account.to(InstallState::Local);
            account.tool = account.script;
        }
    }

    async fn report(&mut self, name: &'static str, kind: &'static str, old: bool) {
        use InstallState::{Booting, Failed, Installed, Installing, Local, Waiting};
        if name == "diskless" {
            return;
        }
        let ended = matches!(self.accounts[name].state, Installed | Failed);
        let peer = if ended {
            Some(STRANGER)
        } else {
            self.address(name)
        };
        let Some(peer) = peer else { return };
        let token = self.token(name, old);
        let path = format!("/report/{token}/{kind}?message=hello");
        let (status, _) = self.call(peer, Method::POST, path).await;
        let (works, now) = (self.store_works(), self.clock.now());
        let is_reserved = self.reserved(name).is_some();
        let account = self.accounts.get_mut(name).unwrap();
        let open = !matches!(account.state, Local | Waiting);
        let late = account
            .ended
            .filter(|_| ended)
            .is_some_and(|at| now.since(at) > Duration::from_secs(6 * 86_400));
        let good = !old && is_reserved && open;
        if !old && is_reserved && account.tool_may_run(now) {
            return;
        }
        if works && !late {
            let expected = if good {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            assert_eq!(status, expected, "{kind} of {name} {account:#?}");
        }
        if status != StatusCode::OK || !works {
            return;
        }
        account.kernel |= kind == "started" && account.under_way();
        match (kind, account.state) {
            ("started", Booting) => {
                account.to(Installing);
                account.reached.insert("started");
                account.sign = Some(now);
            }
            ("started", Installing) | ("progress", Booting | Installing) | ("failed", Booting) => {
                account.sign = Some(now);
            }
            ("installed", Booting | Installing | Failed) => {
                account.to(Installed);
                account.ended = Some(now);
                account.reached.insert("installed");
            }
            ("up", Booting | Installing | Failed | Installed) => {
                if account.state != Installed {
                    account.ended = Some(now);
                }
                account.to(Installed);
                account.reached.extend(["installed", "up"]);
            }
            ("failed", Installing) => {
                account.to(Failed);
                account.ended = Some(now);
            }
            _ => {}
        }
        self.release();
    }

    /// The daemon is killed and started: what it was told is all it has.
    async fn restart(&mut self) {
        self.cancel.cancel();
        let file = self.folder.path().join("c/reservations.toml");
        std::fs::write(file, self.in_force.text()).unwrap();
        let main = self.folder.path().join("c/bootwright.toml");
        let config = load(&DiskFiles, &main, 1).config.unwrap();
        (self.ctx, self.reloader, self.cancel) =
            start(&self.store, &self.clock, &self.folder, config);
        self.tokens.remove("diskless");
        self.remember_at_start().await;
    }

    async fn remember_at_start(&mut self) {
        if self.store_works() {
            let config = self.ctx.config();
            self.ctx.installs.remember(&config.snapshot).await.unwrap();
            self.known.extend(marks(self.in_force));
        }
    }

    async fn reload(&mut self, next: Reservations) {
        let file = self.folder.path().join("c/reservations.toml");
        std::fs::write(file, next.text()).unwrap();
        let cause = Cause::Operator("kari".to_owned());
        let outcome = self.reloader.reload(cause).await.unwrap();
        assert_eq!(outcome.accepted, !next.broken, "{:?}", outcome.problems);
        if next.broken {
            return;
        }
        let before = std::mem::replace(&mut self.in_force, next);
        if !self.store_works() {
            return;
        }
        self.known.extend(marks(before));
        let is_new = next.added && !self.known.contains("added");
        self.known.extend(marks(next));
        let gone = Reservations::hosts(next);
        for name in HOSTS {
            if !gone.contains_key(name) {
                self.accounts.insert(name, Account::new());
            }
        }
        if is_new {
            let record = self.record("added").await.unwrap();
            let told = self.ctx.journal.query(&Filter::default()).await;
            let armed = told.iter().rfind(|event| event.kind == Kind::InstallArmed);
            assert_eq!(armed.unwrap().reason, Reason::NewHost);
            let token = record.token.unwrap().reveal().to_owned();
            self.tokens.entry("added").or_default().push(token);
            let mut account = Account::new();
            account.armed = self.reserved("added").map(|host| (host, "tiny"));
            account.to(InstallState::Armed);
            account.until = Some(self.clock.now().plus(ARMED_FOR));
            self.accounts.insert("added", account);
        }
    }
}

/// What a store remembers of these hosts.
fn marks(reservations: Reservations) -> Vec<String> {
    reservations
        .hosts()
        .into_iter()
        .flat_map(|(name, host)| [name.to_owned(), host.mac.to_string()])
        .collect()
}

fn start(
    store: &Arc<AnyStore>,
    clock: &Arc<TestClock>,
    folder: &tempfile::TempDir,
    config: Arc<InForce>,
) -> (Context, Reloader, CancellationToken) {
    let journal = Journal::in_memory();
    let ctx = Context {
        in_force: Arc::new(ArcSwap::new(config)),
        installs: Installs::new(Arc::clone(store), journal.clone(), clock.clone()),
        journal,
        clock: clock.clone(),
        assets: AssetTree::new(folder.path().join("boot-assets")),
        memory: Memory::new(),
        links: Links::fixed(LinkTable::default()),
    };
    let (reloader, asks) = Reloader::new();
    let cancel = CancellationToken::new();
    let settings = Settings {
        main: PathBuf::from(folder.path()).join("c/bootwright.toml"),
        overrides: reload::Overrides::default(),
        watch_files: false,
        texts: Vec::new(),
        start: reload::Start::default(),
    };
    tokio::spawn(reload::run(
        ctx.clone(),
        Health::default(),
        settings,
        asks,
        cancel.clone(),
    ));
    (ctx, reloader, cancel)
}

fn live(ops: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        world.remember_at_start().await;
        for op in ops {
            world.go(op).await;
        }
        // Whatever has come, a store that works again agrees with the account.
        world
            .go(&Op::StoreFails {
                reads: false,
                commits: false,
            })
            .await;
        world.cancel.cancel();
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nobody_is_installed_unasked_and_nothing_that_was_acknowledged_is_lost(
        ops in proptest::collection::vec(op(), 1..60),
    ) {
        live(&ops);
    }
}
