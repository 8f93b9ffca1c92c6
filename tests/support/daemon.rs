//! The real daemon on the shipped configuration, in a network namespace of a thread of the test's own.
//!
//! A thread that has left for a new namespace takes the processes it starts and the sockets it opens
//! along; the namespace goes with the last of them.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of what is shared"
)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bootwright::config::source::DiskFiles;
use bootwright::render::AssetRef;
use bootwright::render::files::needed;
use bootwright::render::load::load;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub const WEB01: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);
pub const SCRIPT: &str = "/boot/52-54-00-47-86-8e/boot.ipxe?uuid=&serial=";
/// How long anything may take on a busy machine before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a namespace that has `br0` with the server's address and, on the loopback, the
/// address of web01.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        let _ = writeln!(
            std::io::stderr(),
            "skipped: only root can make a network namespace here"
        );
        return;
    }
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        for line in [
            "link set lo up",
            "link add br0 type bridge",
            "addr add 10.99.0.2/24 dev br0",
            "link set br0 up",
            "addr add 10.99.0.11/32 dev lo",
        ] {
            let status = Command::new("ip").args(line.split(' ')).status().unwrap();
            assert!(status.success(), "ip {line}");
        }
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The shipped configuration, its state and small boot files in a folder of the test's own.
pub struct Site {
    pub folder: TempDir,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The account that the daemon becomes has to get in.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        copy(&shipped, &folder.path().join("config"));
        let site = Self { folder };
        let config = site.config();
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("/var/lib/bootwright", "../state");
        std::fs::write(&config, text).unwrap();
        let loaded = load(&DiskFiles, &config, 1);
        let in_force = loaded.config.expect("the shipped configuration is good");
        for host in in_force.snapshot.hosts() {
            for (asset, _) in needed(&in_force, host) {
                if let AssetRef::Path(path) = asset {
                    let file = in_force.snapshot.server.boot_assets.join(path);
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(file, b"a boot file").unwrap();
                }
            }
        }
        site
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config/bootwright.toml")
    }

    pub fn reservations(&self) -> PathBuf {
        self.folder.path().join("config/reservations.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("state/bootwright.sock")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// Starts a daemon and waits until it says that all is well.
    pub fn start(&self) -> Daemon {
        let child = self
            .command(&["serve"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let daemon = Daemon(child);
        until("the daemon answers", || {
            TcpStream::connect((SERVER, 8_080)).is_ok()
                && get(SERVER, "/healthz") == (200, "ok\n".to_owned())
        });
        daemon
    }

    /// A start that has to fail; what it says.
    pub fn start_fails(&self) -> String {
        let output = self.command(&["serve"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    }

    /// The same, where it is one sentence and one remedy and nothing else.
    pub fn start_fails_in_two_lines(&self) -> (String, String) {
        let said = self.start_fails();
        let lines: Vec<&str> = said.lines().collect();
        let [sentence, remedy] = lines.as_slice() else {
            panic!("not two lines:\n{said}");
        };
        let sentence = sentence.strip_prefix("bootwright: ").expect(&said);
        (
            sentence.to_owned(),
            remedy.strip_prefix("  ").expect(&said).to_owned(),
        )
    }

    /// A command that has to be done; what it prints.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let mut args = args.to_vec();
        args.extend(["--format", "json"]);
        serde_json::from_str(&self.run(&args)).unwrap()
    }

    pub fn state(&self, host: &str) -> String {
        self.json(&["host", "show", host])["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn event_of(&self, kind: &str) -> Option<Value> {
        self.run(&["events", "--format", "json", "--limit", "1000"])
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .rfind(|event| event["kind"] == kind)
    }
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A daemon that ends with the test.
pub struct Daemon(pub Child);

impl Daemon {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Sends a signal and waits for the end; how long that took and what the log says.
    pub fn end(mut self, signal: Signal) -> (std::process::ExitStatus, Duration, String) {
        let began = Instant::now();
        self.signal(signal);
        let status = self.0.wait().unwrap();
        let took = began.elapsed();
        let mut log = String::new();
        let _ = self
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        (status, took, log)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A request from one of the addresses of this namespace.
pub fn ask(from: Ipv4Addr, request: &str) -> (u16, String) {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddrV4::new(from, 0).into()).unwrap();
    socket
        .connect(&SocketAddrV4::new(SERVER, 8_080).into())
        .unwrap();
    let mut stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

pub fn get(from: Ipv4Addr, path: &str) -> (u16, String) {
    ask(from, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// The path of the answers in a boot script.
pub fn answers_in(script: &str) -> String {
    let url = script
        .split_whitespace()
        .find(|word| word.contains("/answers/"))
        .unwrap_or_else(|| panic!("no answers in {script}"));
    let at = url.find("/answers/").unwrap();
    url[at..].to_owned()
}
