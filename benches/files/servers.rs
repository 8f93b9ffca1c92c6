//! The servers that are measured, each on a port of its own; those that are not being measured are stopped.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::http;
use crate::common::ours::{Ours, write_boot_files};
use crate::common::packet::{colons, mac};
use crate::common::process::Process;
use crate::common::random;
use crate::common::setup::{self, Cpu, SERVER, machine};

/// A boot loader.
pub const SMALL: usize = 74 * 1_024;
/// A kernel.
pub const LARGE: usize = 40 << 20;

/// Where `scripts/setup.sh bench` puts it: as a package it excludes tftpd-hpa.
const ATFTPD: &str = "target/bench-peers/usr/sbin/atftpd";

/// Machines with a reservation: one for each connection that asks for a rendered answer.
const HOSTS: u32 = 64;

/// How long an answer of nginx is when there is no Bootwright to compare with, in bytes.
const ANSWER: usize = 4_096;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Native,
    AsyncTftp,
    Dnsmasq,
    TftpdHpa,
    Atftpd,
    Nginx,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Native,
        Self::AsyncTftp,
        Self::Dnsmasq,
        Self::TftpdHpa,
        Self::Atftpd,
        Self::Nginx,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::AsyncTftp => "async-tftp",
            Self::Dnsmasq => "dnsmasq",
            Self::TftpdHpa => "tftpd-hpa",
            Self::Atftpd => "atftpd",
            Self::Nginx => "nginx",
        }
    }

    /// How it is called in the tables of HTTP.
    pub const fn http_name(self) -> &'static str {
        match self {
            Self::Native => "Bootwright",
            other => other.name(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    pub const fn has_tftp(self) -> bool {
        !matches!(self, Self::Nginx)
    }

    pub const fn has_http(self) -> bool {
        matches!(self, Self::Native | Self::Nginx)
    }

    const fn tftp_port(self) -> u16 {
        match self {
            Self::Native => 6_901,
            Self::AsyncTftp => 6_902,
            // It has no setting for it.
            Self::Dnsmasq => 69,
            Self::TftpdHpa => 6_904,
            Self::Atftpd => 6_905,
            Self::Nginx => 0,
        }
    }
}

/// The name of a file of this size.
pub const fn name_of(size: usize) -> &'static str {
    if size == SMALL { "small" } else { "large" }
}

/// What is served.
pub fn write_files(folder: &Path) -> io::Result<()> {
    let root = folder.join("root");
    write_boot_files(&root)?;
    for size in [SMALL, LARGE] {
        fs::write(root.join(name_of(size)), random::file(size))?;
    }
    nix::unistd::sync();
    Ok(())
}

/// One that runs.
pub struct Server {
    kind: Kind,
    process: Process,
    /// Paths of rendered answers, one for each machine.
    pub answers: Vec<String>,
}

impl Server {
    /// `answer`: how long nginx's answers are to be.
    pub fn start(kind: Kind, folder: &Path, cpu: Cpu, answer: Option<usize>) -> io::Result<Self> {
        let root = folder.join("root");
        let own = folder.join(kind.name());
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own)?;
        let ours = Ours {
            folder: &own,
            boot_assets: &root,
            hosts: HOSTS,
            shift: kind.tftp_port().saturating_sub(69),
            engine: kind.name(),
        };
        let mut command = setup::in_server_namespace(cpu);
        match kind {
            Kind::Native | Kind::AsyncTftp => {
                ours.configure()?;
                command = ours.serve(cpu);
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
                    .arg(format!("--interface={}", setup::IFACE))
                    .arg(format!("--tftp-root={}", root.display()));
            }
            Kind::TftpdHpa => {
                command
                    .args(["in.tftpd", "--foreground", "--secure", "--user", "root"])
                    .arg("--address")
                    .arg(format!("{SERVER}:{}", kind.tftp_port()))
                    .arg(&root);
            }
            Kind::Atftpd => {
                command
                    .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(ATFTPD))
                    .args([
                        "--daemon",
                        "--no-fork",
                        "--user",
                        "root.root",
                        "--maxthread",
                        "2000",
                    ])
                    .args(["--logfile", "/dev/null", "--verbose=0"])
                    .arg(format!("--bind-address={SERVER}"))
                    .arg(format!("--port={}", kind.tftp_port()))
                    .arg(&root);
            }
            Kind::Nginx => {
                let conf = own.join("nginx.conf");
                fs::write(&conf, nginx(&root, &own, answer.unwrap_or(ANSWER)))?;
                command.arg("nginx").arg("-c").arg(&conf);
            }
        }
        let mut server = Self {
            kind,
            process: Process::start(&mut command, &own)?,
            answers: Vec::new(),
        };
        server.wait()?;
        if kind == Kind::Native {
            ours.say(&["install", "h*", "--yes"])?;
            server.answers = server.boot()?;
        } else if kind == Kind::Nginx {
            server.answers = vec!["/answer".to_owned(); HOSTS as usize];
        }
        server.sleep();
        Ok(server)
    }

    /// Waits until it answers a request for nothing.
    fn wait(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        while begun.elapsed() < Duration::from_secs(15) {
            if self.kind.has_tftp() {
                socket.send_to(b"\0\x01nothing\0octet\0", self.tftp())?;
                if socket.recv_from(&mut [0; 600]).is_ok() {
                    return Ok(());
                }
            } else if TcpStream::connect(self.http()).is_ok() {
                return Ok(());
            } else {
                std::thread::sleep(Duration::from_millis(20));
            }
            if let Some(why) = self.process.ended() {
                return Err(io::Error::other(format!("{}: {why}", self.kind.name())));
            }
        }
        Err(io::Error::other(format!(
            "{} does not answer",
            self.kind.name()
        )))
    }

    /// Boots each machine as far as its script, which names its answers.
    fn boot(&self) -> io::Result<Vec<String>> {
        let mut paths = Vec::new();
        for host in 0..HOSTS {
            let path = format!("/boot/{}/boot.ipxe", colons(mac(host)));
            let script = self.get(host, &path)?;
            let url = script
                .split_whitespace()
                .find_map(|word| word.strip_prefix("url="))
                .ok_or_else(|| io::Error::other(format!("no answers in the script: {script}")))?;
            let (_, path) = http::split(url).ok_or_else(|| io::Error::other(url.to_owned()))?;
            paths.push(path.to_owned());
        }
        Ok(paths)
    }

    /// What a machine gets, as text.
    pub fn get(&self, host: u32, path: &str) -> io::Result<String> {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((machine(host), 0)).into())?;
        socket.connect(&self.http().into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(&http::request(self.http(), path))?;
        let mut answer = http::Answer::new(http::Body::With(Vec::new()));
        let mut buffer = vec![0; 65_536];
        loop {
            let len = stream.read(&mut buffer)?;
            match answer.on_bytes(buffer.get(..len).unwrap_or_default()) {
                http::Step::Wait if len > 0 => {}
                http::Step::Done => return Ok(answer.text()),
                other => return Err(io::Error::other(format!("{path}: {other:?}"))),
            }
        }
    }

    pub const fn kind(&self) -> Kind {
        self.kind
    }

    pub fn tftp(&self) -> SocketAddr {
        (SERVER, self.kind.tftp_port()).into()
    }

    pub fn http(&self) -> SocketAddr {
        let port = if self.kind == Kind::Nginx {
            NGINX
        } else {
            8_080 + self.kind.tftp_port().saturating_sub(69)
        };
        (SERVER, port).into()
    }

    pub fn wake(&self) {
        self.process.wake();
    }

    pub fn sleep(&self) {
        self.process.sleep();
    }

    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    pub fn memory(&self) -> f64 {
        self.process.memory()
    }

    pub fn ended(&mut self) -> Option<String> {
        self.process.ended()
    }
}

const NGINX: u16 = 8_090;

/// One process, sendfile, files kept open, and an answer that it has in its configuration.
fn nginx(root: &Path, own: &Path, answer: usize) -> String {
    // A word of its configuration has 4,096 bytes at most.
    let (mut sets, mut all) = (String::new(), String::new());
    let text =
        "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefghi\n".repeat(answer / 64 + 1);
    for (n, part) in text.as_bytes()[..answer].chunks(3_000).enumerate() {
        let _ = writeln!(sets, "set $part{n} \"{}\";", String::from_utf8_lossy(part));
        let _ = write!(all, "$part{n}");
    }
    let own: PathBuf = own.to_owned();
    format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\npid {own}/pid;\nerror_log stderr error;\n\
         events {{ worker_connections 20000; }}\n\
         http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\nkeepalive_requests 100000000;\n\
         open_file_cache max=1000 inactive=60s;\ndefault_type application/octet-stream;\n\
         client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n\
         uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n\
         server {{\nlisten {SERVER}:{NGINX} backlog=4096;\nlocation /assets/ {{ alias {root}/; }}\n\
         location = /answer {{ {sets} return 200 \"{all}\"; }}\n}}\n}}\n",
        own = own.display(),
        root = root.display(),
    )
}
