//! The daemon, its operator and the virtual machine, in a network of their own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use bootwright::journal::event::Event;
use bootwright::rehearse::console::Screen;
use bootwright::rehearse::netns::Wiring;
use bootwright::rehearse::qemu::{self, Disk, Guest, Image, Tools};
use tempfile::TempDir;

use crate::case::Case;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// Where the first partition of the short test's disk begins.
const PARTITION: u64 = 1 << 20;

/// The folder that mirror, boot files and what a run leaves for study lie in.
pub(crate) fn folder() -> PathBuf {
    root().join("target/install-test")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The configuration of the test with a state folder of its own, and what is written while it runs.
pub(crate) struct Site {
    own: TempDir,
    /// Console, log and disks of the last run.
    pub(crate) last: PathBuf,
    disks: usize,
}

impl Site {
    /// The account that the daemon becomes, where it may become another.
    pub(crate) fn new(case: &Case, account: Option<&str>) -> Self {
        let last = folder().join(if case.is_whole { &case.host } else { "last" });
        if last.exists() {
            fs::remove_dir_all(&last).unwrap();
        }
        fs::create_dir_all(&last).unwrap();
        let site = Self {
            own: tempfile::tempdir().unwrap(),
            last,
            disks: case.disks.0,
        };
        fs::set_permissions(site.own.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let from = root().join("tests/install").join(case.config);
        let key = case.is_whole.then(|| site.make_key());
        for name in ["bootwright.toml", "reservations.toml"] {
            let mut text = fs::read_to_string(from.join(name)).unwrap();
            text = text.replace("../../../target/install-test/state", "state");
            text = text.replace("../../../", &format!("{}/", root().display()));
            if let Some(account) = account {
                text = text.replace("[server]\n", &format!("[server]\nuser = \"{account}\"\n"));
            }
            if let Some(key) = &key {
                text = text.replace(
                    "ssh_authorized_keys = [",
                    &format!("ssh_authorized_keys = [\"{key}\", "),
                );
            }
            fs::write(site.own.path().join(name), text).unwrap();
        }
        site
    }

    /// Makes the key by which the test looks into the installed system; the public half.
    fn make_key(&self) -> String {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "of the test", "-f"])
            .arg(self.key())
            .status()
            .expect("ssh-keygen (package openssh-client)");
        assert!(made.success());
        let public = fs::read_to_string(self.key().with_extension("pub")).unwrap();
        public.trim().to_owned()
    }

    fn key(&self) -> PathBuf {
        self.own.path().join("key")
    }

    /// What a command says on the installed system, as root by SSH with the key; its error is a panic.
    pub(crate) fn on_system(&self, ip: Ipv4Addr, command: &str) -> String {
        let output = Command::new("ssh")
            .arg("-i")
            .arg(self.key())
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "ConnectTimeout=60",
            ])
            .args([
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                "LogLevel=ERROR",
                "-l",
                "root",
                &ip.to_string(),
                "--",
                command,
            ])
            .stdin(Stdio::null())
            .output()
            .expect("ssh (package openssh-client)");
        assert!(
            output.status.success(),
            "`{command}` on the installed system: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A command of the operator's.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.own.path().join("bootwright.toml"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command of the operator's, which has to be done.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "bootwright {}: {}{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// All events so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.run(&["events", "--format", "json", "--limit", "5000"])
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The events as they come, from the first one on.
    pub(crate) fn follow(&self) -> Events {
        let mut child = self
            .command(&["events", "--follow", "--format", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, events) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Events { child, events }
    }

    /// Starts the daemon and waits until its boot plane answers.
    pub(crate) fn serve(&self) -> Daemon {
        let log = fs::File::create(self.last.join("daemon.log")).unwrap();
        let daemon = self.command(&["serve"]);
        // The shell ends the daemon when this process is gone, however it went: the pipe is then closed.
        let mut child = Command::new("/bin/sh")
            .args(["-c", "\"$@\" & read -r _; kill $!; wait $!", "sh"])
            .arg(daemon.get_program())
            .args(daemon.get_args())
            .stdin(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let daemon = Daemon {
            hold: child.stdin.take(),
            child,
        };
        let began = Instant::now();
        while TcpStream::connect((SERVER, 8_080)).is_err() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "the daemon does not answer: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        daemon
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.last.join("daemon.log")).unwrap()
    }

    /// The files of the daemon's state folder but the records, which hold the token.
    pub(crate) fn state_files(&self) -> Vec<PathBuf> {
        fs::read_dir(self.own.path().join("state"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && !path.ends_with(bootwright::daemon::STORE))
            .collect()
    }

    /// Keeps the log that the installer has sent, if any, beside the console: what a failure is studied by.
    pub(crate) fn keep_installer_log(&self) {
        let mut folders = vec![self.own.path().join("state/logs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().is_some_and(|name| name == "syslog") {
                    fs::copy(&path, self.last.join("installer.log")).unwrap();
                }
            }
        }
    }

    fn disk(&self, number: usize) -> PathBuf {
        self.last.join(format!("disk{number}.raw"))
    }

    /// A file of the installed system, read from its disk.
    pub(crate) fn installed_file(&self, path: &str) -> String {
        let output = Command::new("/sbin/debugfs")
            .args(["-R", &format!("cat {path}")])
            .arg(format!("{}?offset={PARTITION}", self.disk(0).display()))
            .output()
            .expect("debugfs (package e2fsprogs)");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for number in 0..self.disks {
            let _ = fs::remove_file(self.disk(number));
        }
    }
}

/// The events as they come.
pub(crate) struct Events {
    child: Child,
    events: Receiver<Event>,
}

impl Events {
    /// The next one, if it comes within this time.
    pub(crate) fn next(&self, patience: Duration) -> Option<Event> {
        self.events.recv_timeout(patience).ok()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon; ended when it is dropped.
pub(crate) struct Daemon {
    child: Child,
    hold: Option<ChildStdin>,
}

impl Daemon {
    /// Ends it as an operator would; whether it has ended in time.
    pub(crate) fn end(mut self) -> bool {
        self.ends()
    }

    fn ends(&mut self) -> bool {
        drop(self.hold.take());
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.ends();
    }
}

/// The bridge of the daemon and the cable of the machine.
pub(crate) fn wiring() -> Wiring {
    Wiring {
        bridge: "br0".to_owned(),
        server: SERVER,
        prefix: 24,
        tap: "bwtap0".to_owned(),
    }
}

/// The virtual machine; off when it is dropped.
pub(crate) struct Machine {
    child: Child,
    console: fs::File,
    /// All it has written.
    pub(crate) text: String,
    screen: Screen,
}

impl Machine {
    /// Switches on a machine with empty disks: the one of `bootwright rehearse`, but that it may start anew by
    /// itself. It boots from the network first, always.
    pub(crate) fn switch_on(tools: &Tools, site: &Site, case: &Case) -> Self {
        let image = match tools.image.clone() {
            Image::Bios { rom } => Image::Bios { rom },
            Image::Uefi {
                code,
                vars: template,
            } => {
                let vars = site.last.join("vars.fd");
                fs::copy(template, &vars).unwrap();
                Image::Uefi { code, vars }
            }
        };
        let rom_script = site.last.join("rom.ipxe");
        fs::write(&rom_script, qemu::ROM_SCRIPT).unwrap();
        let console = site.last.join("console.log");
        fs::write(&console, "").unwrap();
        for number in 0..case.disks.0 {
            let disk = fs::File::create(site.disk(number)).unwrap();
            disk.set_len(case.disks.1).unwrap();
        }
        let mut arguments = qemu::arguments(&Guest {
            secure_boot: false,
            firmware: case.firmware,
            image,
            mac: case.mac.parse().unwrap(),
            tap: wiring().tap,
            uuid: None,
            serial: None,
            disk: Disk::Raw(site.disk(0)),
            console: console.clone(),
            rom_script,
            memory: case.memory,
        });
        for number in 1..case.disks.0 {
            let (id, path) = (format!("disk{number}"), site.disk(number));
            let drive = format!(
                "if=none,id={id},format=raw,cache=unsafe,file={}",
                path.display()
            );
            let device = format!("virtio-blk-pci,drive={id},bootindex={}", number + 2);
            arguments.extend(["-drive", &drive, "-device", &device].map(Into::into));
        }
        arguments.retain(|argument| argument != "-no-reboot");
        let child = Command::new(&tools.setpriv)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&tools.qemu)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            console: fs::File::open(console).unwrap(),
            text: String::new(),
            screen: Screen::default(),
        }
    }

    /// Reads on; whether it has written anything.
    pub(crate) fn read_console(&mut self) -> bool {
        let mut new = Vec::new();
        self.console.read_to_end(&mut new).unwrap();
        self.screen.write(&new);
        self.text.push_str(&String::from_utf8_lossy(&new));
        !new.is_empty()
    }

    /// What QEMU said when it has ended by itself.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut said);
        }
        Some(format!("{status}: {}", said.trim()))
    }

    /// The last lines of its console.
    pub(crate) fn tail(&self, lines: usize) -> String {
        self.screen.tail(lines).join("\n")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether any account may reach a file: each folder above lets everybody pass.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| {
        fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    })
}
