//! The servers that are measured, each on a port of its own; those that are not being measured are stopped.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::below;
use crate::packet::SERVER;
use crate::setup::{self, Cpu, IFACE};

/// A boot loader.
pub const SMALL: usize = 74 * 1_024;
/// A kernel.
pub const LARGE: usize = 8 << 20;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Native,
    AsyncTftp,
    Dnsmasq,
    TftpdHpa,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Native, Self::AsyncTftp, Self::Dnsmasq, Self::TftpdHpa];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::AsyncTftp => "async-tftp",
            Self::Dnsmasq => "dnsmasq",
            Self::TftpdHpa => "tftpd-hpa",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    const fn port(self) -> u16 {
        match self {
            Self::Native => 6_901,
            Self::AsyncTftp => 6_902,
            // It has no setting for it.
            Self::Dnsmasq => 69,
            Self::TftpdHpa => 6_904,
        }
    }
}

/// The bytes of a file.
pub fn file(len: usize) -> Vec<u8> {
    let words = (0_u64..).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    words.flatten().take(len).collect()
}

/// The name of a file of this size.
pub const fn name_of(size: usize) -> &'static str {
    if size == SMALL { "small" } else { "large" }
}

/// What is served.
pub fn write_files(folder: &Path) -> io::Result<()> {
    let root = below(folder, "root");
    fs::create_dir_all(&root)?;
    for size in [SMALL, LARGE] {
        fs::write(root.join(name_of(size)), file(size))?;
    }
    nix::unistd::sync();
    Ok(())
}

/// One that runs.
pub struct Server {
    kind: Kind,
    child: Child,
}

impl Server {
    pub fn start(kind: Kind, folder: &Path, cpu: Cpu) -> io::Result<Self> {
        let root = below(folder, "root");
        let own = below(folder, kind.name());
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(own.join("state"))?;
        let mut command = setup::in_server_namespace(cpu);
        match kind {
            Kind::Native | Kind::AsyncTftp => {
                let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
                fs::write(
                    own.join("bootwright.toml"),
                    format!(
                        "[server]\ninterfaces = [\"{IFACE}\"]\nstate_dir = \"state\"\nboot_assets = \"{}\"\n\
                         profiles = \"{}\"\ntemplates = \"{}\"\nreservations = [\"reservations.toml\"]\n\n\
                         [dhcp]\nport = {}\nproxy_port = {}\n[http]\nport = {}\n[tftp]\nport = {}\n\
                         engine = \"{}\"\n\n\
                         [[subnet]]\nname = \"lab\"\nnetwork = \"10.76.0.0/15\"\nserver = \"{SERVER}\"\n",
                        root.display(),
                        ours.join("profiles").display(),
                        ours.join("templates").display(),
                        kind.port() - 100,
                        kind.port() - 200,
                        kind.port() + 100,
                        kind.port(),
                        kind.name()
                    ),
                )?;
                fs::write(own.join("reservations.toml"), "[hosts]\n")?;
                command
                    .arg(env!("CARGO_BIN_EXE_bootwright"))
                    .args(["serve", "--config"])
                    .arg(own.join("bootwright.toml"));
            }
            Kind::Dnsmasq => {
                command
                    .args([
                        "dnsmasq",
                        "--keep-in-foreground",
                        "--conf-file=/dev/null",
                        "--user=root",
                    ])
                    .args([
                        "--port=0",
                        "--enable-tftp",
                        "--tftp-max=2000",
                        "--bind-interfaces",
                    ])
                    .args(["--quiet-tftp", "--log-facility=/dev/null"])
                    .arg(format!("--interface={IFACE}"))
                    .arg(format!("--tftp-root={}", root.display()));
            }
            Kind::TftpdHpa => {
                command
                    .args(["in.tftpd", "--foreground", "--secure", "--user", "root"])
                    .arg("--address")
                    .arg(format!("{SERVER}:{}", kind.port()))
                    .arg(&root);
            }
        }
        let log = fs::File::create(own.join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self { kind, child };
        server.answers(&own)?;
        server.sleep();
        Ok(server)
    }

    /// Waits until it answers a request for nothing.
    fn answers(&mut self, own: &Path) -> io::Result<()> {
        let begun = Instant::now();
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        while begun.elapsed() < Duration::from_secs(15) {
            socket.send_to(b"\0\x01nothing\0octet\0", self.address())?;
            if socket.recv_from(&mut [0; 600]).is_ok() {
                return Ok(());
            }
            if self.child.try_wait()?.is_some() {
                break;
            }
        }
        let said = fs::read_to_string(own.join("log")).unwrap_or_default();
        Err(io::Error::other(format!(
            "{} does not answer: {said}",
            self.kind.name()
        )))
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub fn address(&self) -> SocketAddr {
        (SERVER, self.kind.port()).into()
    }

    /// Its processes: tftpd-hpa forks one for each transfer.
    fn pids(&self) -> Vec<PathBuf> {
        let own = self.child.id().to_string();
        let mut pids = vec![PathBuf::from("/proc").join(&own)];
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = text
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1));
            if parent == Some(&own) {
                pids.push(entry.path());
            }
        }
        pids
    }

    fn signal(&self, signal: Signal) {
        for path in self.pids() {
            let pid = path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            if let Some(pid) = pid {
                // A process of a transfer may just have ended.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }

    /// Lets it run.
    pub fn wake(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Stops it, so that it takes no time from another.
    pub fn sleep(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Processor time so far, that of ended children included.
    pub fn cpu(&self) -> io::Result<Duration> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(4)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The largest resident size so far, in MiB, of its first process.
    pub fn memory(&self) -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let kib = text.lines().find_map(|line| {
            let line = line.strip_prefix("VmHWM:")?.trim();
            line.strip_suffix(" kB")?.parse::<f64>().ok()
        });
        Ok(kib.unwrap_or_default() / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.wake();
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(3) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
