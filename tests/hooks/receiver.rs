//! A receiver of hooks on the loopback that answers as it is told, and the daemon's side of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bootwright::base::{Clock as _, SystemClock};
use bootwright::config::secrets::Secret;
use bootwright::config::snapshot::{Hook, HookTarget};
use bootwright::host::links::{LinkTable, Links};
use bootwright::journal::event::{Event, Kind, Reason};
use bootwright::journal::{Filter, Journal};
use bootwright::render::load::InForce;
use bootwright::serve::assets::AssetTree;
use bootwright::serve::context::Context;
use bootwright::serve::health::Health;
use bootwright::serve::hooks::{Pace, Settings, States, run};
use bootwright::serve::installs::Installs;
use bootwright::serve::memory::Memory;
use bootwright::store::AnyStore;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long anything may take on a busy machine before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What has come in.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub event: String,
    pub delivery: String,
    pub timestamp: String,
    pub signature: Option<String>,
    pub body: Vec<u8>,
    /// What it was answered.
    pub status: u16,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// What the event is about, as the tests write it.
    pub(crate) fn detail(&self) -> String {
        self.json()["detail"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// A receiver; ends when dropped.
pub(crate) struct Receiver {
    pub port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    status: Arc<AtomicU32>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    pub(crate) async fn new() -> Self {
        Self::on(0).await
    }

    /// On this port; 0 is any.
    pub(crate) async fn on(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let got = Arc::new(Mutex::new(Vec::new()));
        let status = Arc::new(AtomicU32::new(200));
        let (all, answer) = (Arc::clone(&got), Arc::clone(&status));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                let service =
                    service_fn(move |request| take(Arc::clone(&all), Arc::clone(&answer), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            port,
            got,
            status,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events?x=1", self.port)
    }

    /// What is answered from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status.into(), Ordering::SeqCst);
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }

    /// The particulars of what was taken, in order.
    pub(crate) fn taken(&self) -> Vec<String> {
        let all = self.all();
        let taken = all.iter().filter(|got| got.status < 300);
        taken.map(Got::detail).collect()
    }

    /// Waits until so many were taken.
    pub(crate) async fn takes(&self, count: usize) -> Vec<String> {
        until("the receiver has taken them", || {
            self.taken().len() >= count
        })
        .await;
        self.taken()
    }
}

async fn take(
    all: Arc<Mutex<Vec<Got>>>,
    status: Arc<AtomicU32>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert_eq!(request.uri(), "/events?x=1");
    assert_eq!(request.headers()["content-type"], "application/json");
    let header = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().expect("text").to_owned())
    };
    let mut got = Got {
        event: header("x-bootwright-event").expect("a kind"),
        delivery: header("x-bootwright-delivery").expect("an id"),
        timestamp: header("x-bootwright-timestamp").expect("a time"),
        signature: header("x-bootwright-signature"),
        body: Vec::new(),
        status: u16::try_from(status.load(Ordering::SeqCst)).expect("a status"),
    };
    got.body = request.into_body().collect().await?.to_bytes().to_vec();
    let mut response = Response::new(Full::from("noted\n"));
    *response.status_mut() = got.status.try_into().expect("a status");
    all.lock().expect("no panic").push(got);
    Ok(response)
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, wait).await;
    assert!(in_time.is_ok(), "in vain: {what}");
}

/// A port that nobody listens on now.
pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A hook for all installations.
pub(crate) fn hook(target: HookTarget) -> Hook {
    Hook {
        target,
        events: vec!["install.*".to_owned()],
        secret: None,
        timeout: Duration::from_secs(10),
        span: None,
    }
}

pub(crate) fn url(url: impl Into<String>) -> Hook {
    hook(HookTarget::Url(url.into()))
}

/// What lies on the disk between two runs of the daemon.
pub(crate) struct Disk {
    pub folder: tempfile::TempDir,
    pub pace: Pace,
}

impl Disk {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            // Patient enough for a busy machine to see one try after another.
            pace: Pace {
                first: Duration::from_millis(20),
                longest: Duration::from_millis(100),
                ..Pace::default()
            },
        }
    }

    pub(crate) fn places(&self) -> PathBuf {
        self.folder.path().join("hooks")
    }

    /// Starts the service with these hooks.
    pub(crate) fn start(&self, hooks: Vec<Hook>) -> Running {
        let clock = Arc::new(SystemClock);
        let (journal, _) = Journal::open(&self.folder.path().join("journal.redb"), 64 << 20);
        let ctx = Context {
            in_force: Arc::new(ArcSwap::new(Arc::new(in_force(hooks)))),
            installs: Installs::new(
                Arc::new(AnyStore::in_memory()),
                journal.clone(),
                clock.clone(),
            ),
            journal,
            clock,
            assets: AssetTree::new(Path::new("nowhere")),
            memory: Memory::new(),
            links: Links::fixed(LinkTable::default()),
        };
        let settings = Settings {
            folder: self.places(),
            pace: self.pace.clone(),
            random: Arc::new(|| u32::MAX / 2),
            states: States::default(),
        };
        let (health, cancel) = (Health::default(), CancellationToken::new());
        let service = run(
            ctx.clone(),
            health.clone(),
            settings.clone(),
            cancel.clone(),
        );
        Running {
            task: tokio::spawn(service),
            states: settings.states,
            health,
            cancel,
            ctx,
        }
    }
}

fn in_force(hooks: Vec<Hook>) -> InForce {
    let mut in_force = InForce::default();
    in_force.snapshot.hooks = hooks;
    let secrets = &mut in_force.snapshot.secrets;
    secrets.insert(None, "hook-key", Secret::new("a long key", false));
    in_force
}

/// The service.
pub(crate) struct Running {
    pub ctx: Context,
    pub states: States,
    pub health: Health,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Something that happens.
    pub(crate) fn tell(&self, kind: Kind, detail: impl Into<String>) {
        let event = Event::new(SystemClock.now(), kind, Reason::Reported)
            .host(
                "web01"
                    .parse::<bootwright::base::HostName>()
                    .expect("a name"),
            )
            .detail(detail);
        self.ctx.journal.append(event);
    }

    /// Progress of an installation, several times.
    pub(crate) fn progress(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.tell(Kind::InstallProgress, number.to_string());
        }
    }

    /// Another configuration takes effect.
    pub(crate) fn reload(&self, hooks: Vec<Hook>) {
        self.ctx.in_force.store(Arc::new(in_force(hooks)));
        self.tell(Kind::ConfigReloaded, "reloaded");
    }

    /// All that was told of hooks.
    pub(crate) async fn failures(&self) -> Vec<Event> {
        let all = self.ctx.journal.query(&Filter::default()).await;
        all.into_iter()
            .filter(|event| event.kind == Kind::HookFailed)
            .collect()
    }

    /// Ends as the daemon does.
    pub(crate) async fn end(self) {
        self.cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(2), self.task).await;
        ended.expect("within two seconds").expect("without a panic");
    }

    /// Ends as a kill does: nothing more is put down.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
