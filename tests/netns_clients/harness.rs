//! Two networks and a daemon.
//!
//! A thread that has left for a new namespace takes the processes that it starts along; the namespace
//! has no name and goes with the last of them, a panic included. The server's namespace is the test
//! thread's, the client's belongs to a thread that does what it is told.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bootwright::config::source::DiskFiles;
use bootwright::render::AssetRef;
use bootwright::render::files::needed;
use bootwright::render::load::load;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub(crate) const WEB01: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
pub(crate) const WEB01_MAC: &str = "52:54:00:47:86:8e";
/// How long anything may take on a busy machine before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");

/// Runs a test between two networks: in the server's there is `br0` with the server's address, in the
/// client's `eth0` with this hardware address; a cable joins them.
pub(crate) fn between(mac: &'static str, test: impl FnOnce(&Lab) + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("a network namespace: run as root, or by `unshare --user --map-root-user`");
        let client = Client::start();
        let namespace = format!("/proc/{}/task/{}/ns/net", std::process::id(), client.thread);
        ip("link set lo up");
        ip("link add br0 type bridge");
        ip("address add 10.99.0.2/24 dev br0");
        ip(&format!(
            "link add port0 type veth peer name eth0 address {mac} netns {namespace}"
        ));
        ip("link set port0 master br0");
        ip("link set port0 up");
        ip("link set br0 up");
        client.run(|| {
            ip("link set lo up");
            ip("link set eth0 up");
        });
        test(&Lab {
            client,
            site: Site::new(),
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` with these words.
pub(crate) fn ip(words: &str) {
    let output = Command::new("ip")
        .args(words.split(' '))
        .output()
        .expect("ip (package iproute2)");
    assert!(
        output.status.success(),
        "ip {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Both networks.
pub(crate) struct Lab {
    pub(crate) client: Client,
    pub(crate) site: Site,
}

type Job = Box<dyn FnOnce() + Send>;

/// The thread in the client's network.
pub(crate) struct Client {
    thread: Pid,
    jobs: mpsc::Sender<Job>,
}

impl Client {
    fn start() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let (told, hear) = mpsc::channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            told.send(gettid()).unwrap();
            for job in queue {
                job();
            }
        });
        Self {
            thread: hear.recv().expect("the client's network"),
            jobs,
        }
    }

    /// Does something in the client's network.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.jobs
            .send(Box::new(move || {
                let _ = done.send(job());
            }))
            .expect("the client's thread");
        result.recv().expect("the client's job panicked")
    }

    /// Runs a command there to its end, which has to come in time.
    pub(crate) fn output(&self, mut command: Command) -> Output {
        self.run(move || {
            let child = command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}"));
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            let (done, end) = mpsc::channel::<()>();
            // Ends it when it hangs, so that the test fails with what it said.
            let watch = std::thread::spawn(move || {
                if end.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let _ = kill(pid, Signal::SIGKILL);
                }
            });
            let output = child.wait_with_output().unwrap();
            drop(done);
            watch.join().unwrap();
            output
        })
    }

    /// Starts a command there that goes on until it is dropped.
    pub(crate) fn start_process(&self, mut command: Command) -> Process {
        Process(self.run(move || {
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{command:?}: {error}"))
        }))
    }
}

/// A process that ends with the test.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        kill(pid, signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Another DHCP server on the same wire: dnsmasq at 10.99.0.1, which gives 10.99.0.50 to web01.
pub(crate) struct OtherServer {
    pub(crate) at: Client,
    _process: Process,
}

impl OtherServer {
    /// Starts it in a network of its own, and waits until it serves.
    pub(crate) fn start() -> Self {
        let at = Client::start();
        let namespace = format!("/proc/{}/task/{}/ns/net", std::process::id(), at.thread);
        ip(&format!(
            "link add port1 type veth peer name eth0 address 52:54:00:00:00:01 netns {namespace}"
        ));
        ip("link set port1 master br0");
        ip("link set port1 up");
        at.run(|| {
            ip("link set lo up");
            ip("address add 10.99.0.1/24 dev eth0");
            ip("link set eth0 up");
        });
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--port=0",
            "--leasefile-ro",
            "--dhcp-authoritative",
            "--interface=eth0",
            "--bind-interfaces",
            "--dhcp-range=10.99.0.0,static,255.255.255.0,1h",
        ]);
        dnsmasq.arg(format!("--dhcp-host={WEB01_MAC},10.99.0.50"));
        let process = at.start_process(dnsmasq);
        until("dnsmasq listens", || {
            // 0x43 is port 67; `/proc/self` would be the first thread's network.
            at.run(|| text_of(Path::new("/proc/thread-self/net/udp")).contains(":0043 "))
        });
        Self {
            at,
            _process: process,
        }
    }
}

/// The shipped configuration with small boot files, in a folder of the test's own.
pub(crate) struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        // The account that the daemon becomes has to get in.
        std::fs::set_permissions(site.0.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        copy(&shipped, &site.path("config"));
        let config = site.path("config/bootwright.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("/var/lib/bootwright", "../state")).unwrap();
        let in_force = load(&DiskFiles, &config, 1)
            .config
            .expect("the shipped configuration is good");
        for host in in_force.snapshot.hosts() {
            for (asset, _) in needed(&in_force, host) {
                if let AssetRef::Path(path) = asset {
                    let file = in_force.snapshot.server.boot_assets.join(&path);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, boot_file(&path)).unwrap();
                }
            }
        }
        site
    }

    /// Replaces a part of a configuration file.
    pub(crate) fn edit(&self, file: &str, old: &str, new: &str) {
        let file = self.path("config").join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(file, text.replacen(old, new, 1)).unwrap();
    }

    /// A path in the test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.path("config/bootwright.toml"))
            .args(args);
        command
    }

    /// Starts the daemon, in the server's network, and waits until all its sockets are open.
    pub(crate) fn serve(&self) -> Daemon {
        let mut daemon = Daemon(
            self.command(&["serve"])
                .stdin(Stdio::null())
                .stderr(Stdio::from(
                    std::fs::File::create(self.path("daemon.log")).unwrap(),
                ))
                .spawn()
                .unwrap(),
        );
        until("the daemon's boot plane answers", || {
            if let Ok(Some(status)) = daemon.0.try_wait() {
                let log = std::fs::read_to_string(self.path("daemon.log")).unwrap();
                panic!("the daemon ended ({status}): {log}");
            }
            TcpStream::connect((SERVER, 8_080)).is_ok()
        });
        daemon
    }

    /// Runs a command of the operator's, which has to be done.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command of the operator's, without a terminal, which may be refused: status, output, errors.
    pub(crate) fn try_run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = self.command(args);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.run(&["events", "--format", "json", "--limit", "1000"])
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The first event of a kind, when it has come.
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut found = None;
        until(&format!("the event {kind}"), || {
            found = self
                .events()
                .into_iter()
                .find(|event| event["kind"] == kind);
            found.is_some()
        });
        found.unwrap()
    }
}

/// The bytes of a boot file: many blocks, none like the other.
pub(crate) fn boot_file(path: &str) -> Vec<u8> {
    (0_u32..20_000)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .chain(path.bytes())
        .collect()
}

/// The daemon; ended by SIGTERM when it is dropped, and that has to be enough.
pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
        assert!(std::thread::panicking(), "the daemon ignored SIGTERM");
    }
}

/// Waits for something to become true.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_true() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The whole text of a file; empty when it is not there yet.
pub(crate) fn text_of(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let _ = file.read_to_string(&mut text);
    }
    text
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
