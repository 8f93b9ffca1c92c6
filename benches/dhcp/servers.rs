//! The servers that are measured: their configurations for so many reservations, their processes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::ours::write_boot_files;
use crate::common::packet::{BOOT_FILE, MASK, MOVED, NETWORK, ROUTER, address, colons, mac};
use crate::common::process::copy;
use crate::common::setup::{self, Cpu, IFACE, SERVER};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bootwright,
    /// Another build of it, to be compared with.
    Baseline,
    Kea,
    Dhcpd,
    Dnsmasq,
}

/// The program of [`Kind::Baseline`].
static BASELINE: OnceLock<PathBuf> = OnceLock::new();

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Bootwright,
        Self::Baseline,
        Self::Kea,
        Self::Dhcpd,
        Self::Dnsmasq,
    ];

    /// Says which build of Bootwright the baseline is.
    pub fn set_baseline(program: PathBuf) {
        let _ = BASELINE.set(program);
    }

    /// Whether this is Bootwright, of this build or another one.
    pub const fn is_bootwright(self) -> bool {
        matches!(self, Self::Bootwright | Self::Baseline)
    }

    /// The program of a build of Bootwright.
    fn bootwright(self) -> &'static Path {
        let baseline = BASELINE.get().filter(|_| self == Self::Baseline);
        let own = || Path::new(env!("CARGO_BIN_EXE_bootwright"));
        baseline.map_or_else(own, PathBuf::as_path)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bootwright => "Bootwright",
            Self::Baseline => "baseline",
            Self::Kea => "Kea",
            Self::Dhcpd => "dhcpd",
            Self::Dnsmasq => "dnsmasq",
        }
    }

    /// The file of its reservations.
    const fn file(self) -> &'static str {
        match self {
            Self::Bootwright | Self::Baseline => "reservations.toml",
            Self::Kea => "kea.json",
            Self::Dhcpd => "dhcpd.conf",
            Self::Dnsmasq => "hosts",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
    }

    /// What it says of itself.
    pub fn version(self) -> String {
        let (program, arg) = match self {
            Self::Bootwright | Self::Baseline => (self.bootwright(), "--version"),
            Self::Kea => (Path::new("kea-dhcp4"), "-v"),
            Self::Dhcpd => (Path::new("dhcpd"), "--version"),
            Self::Dnsmasq => (Path::new("dnsmasq"), "--version"),
        };
        let output = Command::new(program).arg(arg).output();
        let text = output.map_or_else(
            |_| "not there".to_owned(),
            |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        );
        let line = text.lines().next().unwrap_or_default();
        let version = line
            .split([' ', '-'])
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(line);
        format!("{} {version}", self.name())
    }
}

/// A server that runs, or is about to.
pub struct Server {
    kind: Kind,
    folder: PathBuf,
    hosts: u32,
    cpu: Cpu,
    probe: bool,
    child: Option<Child>,
    started: Instant,
}

impl Server {
    /// Writes its files and starts it.
    pub fn start(kind: Kind, hosts: u32, folder: &Path, cpu: Cpu, probe: bool) -> io::Result<Self> {
        let folder = folder.join(kind.name().to_lowercase());
        let _ = fs::remove_dir_all(&folder);
        let _ = fs::remove_dir_all(folder.with_extension("next"));
        fs::create_dir_all(&folder)?;
        let mut server = Self {
            kind,
            folder,
            hosts,
            cpu,
            probe,
            child: None,
            started: Instant::now(),
        };
        server.configure()?;
        server.write(false, &server.folder)?;
        // What was just written is on its way to the disk, in everybody's way.
        nix::unistd::sync();
        server.spawn()?;
        Ok(server)
    }

    /// When the process was started last.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Whether it has ended by itself, and what it has said.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        let said = fs::read_to_string(self.log()).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        Some(format!(
            "{} ended, {status}: {}",
            self.kind.name(),
            last.join(" | ")
        ))
    }

    /// How long `bootwright check` takes for its files, beside the server; with `diff` also what they would change.
    pub fn check(&self, diff: bool) -> io::Result<Duration> {
        let began = Instant::now();
        let output = Command::new(self.kind.bootwright())
            .arg("check")
            .args(diff.then_some("--diff"))
            .arg("--config")
            .arg(self.folder.join("bootwright.toml"))
            .output()?;
        if output.status.success() {
            return Ok(began.elapsed());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(io::Error::other(format!("bootwright check: {said}")))
    }

    /// Writes the files with the first reservation moved, beside those that are in force.
    pub fn prepare_move(&self) -> io::Result<()> {
        fs::create_dir(self.aside())?;
        let name = self.write(true, &self.aside())?;
        fs::rename(self.aside().join(name), self.aside().join("moved"))?;
        nix::unistd::sync();
        Ok(())
    }

    /// Puts them in place, as editors and configuration management do: in one change.
    pub fn put_in_place(&self) -> io::Result<()> {
        fs::rename(
            self.aside().join("moved"),
            self.folder.join(self.kind.file()),
        )
    }

    /// Where it logs: not in the folder of its configuration, which may be watched.
    fn log(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    /// A folder on the same disk that nobody watches.
    fn aside(&self) -> PathBuf {
        self.folder.with_extension("next")
    }

    /// Makes the files take effect: by the signal for it, or by a new start where there is none.
    pub fn take_up(&mut self) -> io::Result<()> {
        if self.kind == Kind::Dhcpd {
            self.stop();
            return self.spawn();
        }
        self.signal(Signal::SIGHUP)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Ends it; by force when it does not end within five seconds.
    pub fn stop(&mut self) {
        let _ = self.signal(Signal::SIGTERM);
        let Some(mut child) = self.child.take() else {
            return;
        };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }

    fn spawn(&mut self) -> io::Result<()> {
        let file = |name: &str| self.folder.join(name);
        let mut command = setup::in_server_namespace(self.cpu);
        match self.kind {
            Kind::Bootwright | Kind::Baseline => {
                command
                    .arg(self.kind.bootwright())
                    .args(["serve", "--config"])
                    .arg(file("bootwright.toml"));
            }
            Kind::Kea => {
                command
                    .args(["env".to_owned()])
                    .arg(format!("KEA_PIDFILE_DIR={}", self.folder.display()))
                    .arg(format!("KEA_LOCKFILE_DIR={}", self.folder.display()))
                    .args(["kea-dhcp4", "-c"])
                    .arg(file("kea.json"));
            }
            Kind::Dhcpd => {
                command
                    .args(["dhcpd", "-4", "-f", "-q", "--no-pid", "-cf"])
                    .arg(file("dhcpd.conf"))
                    .arg("-lf")
                    .arg(file("leases"))
                    .arg(IFACE);
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
                        "--bind-interfaces",
                        "--quiet-dhcp",
                        "--log-facility=/dev/null",
                    ])
                    .args([
                        "--dhcp-authoritative",
                        "--no-ping",
                        "--dhcp-lease-max=200000",
                    ])
                    .arg(format!("--interface={IFACE}"))
                    .arg(format!("--dhcp-range={NETWORK},static,{MASK},1h"))
                    .arg(format!("--dhcp-option=option:router,{ROUTER}"))
                    .arg(format!("--dhcp-option=option:dns-server,{ROUTER}"))
                    .arg("--domain=lab.example")
                    .arg(format!("--dhcp-boot={BOOT_FILE},,{SERVER}"))
                    .arg(format!("--dhcp-hostsfile={}", file("hosts").display()))
                    .arg(format!("--dhcp-leasefile={}", file("leases").display()));
            }
        }
        let log = File::create(self.log())?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.started = Instant::now();
        self.child = Some(command.spawn()?);
        Ok(())
    }

    /// What stays the same.
    fn configure(&self) -> io::Result<()> {
        let folder = &self.folder;
        match self.kind {
            Kind::Bootwright | Kind::Baseline => {
                let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
                copy(&ours.join("profiles"), &folder.join("profiles"))?;
                copy(&ours.join("templates"), &folder.join("templates"))?;
                write_boot_files(&folder.join("boot-assets"))?;
                fs::create_dir(folder.join("state"))?;
                fs::set_permissions(folder.join("state"), fs::Permissions::from_mode(0o750))?;
                let probe = self.probe;
                // Everything else is the default: journal and records on disk, privileges dropped.
                fs::write(
                    folder.join("bootwright.toml"),
                    format!(
                        "[server]\ninterfaces = [\"{IFACE}\"]\ndomain = \"lab.example\"\nuser = \"nobody\"\n\
                         state_dir = \"state\"\nboot_assets = \"boot-assets\"\nprofiles = \"profiles\"\n\
                         templates = \"templates\"\nreservations = [\"reservations.toml\"]\n\n\
                         [dhcp]\nconflict_probe = {probe}\n\n\
                         [[subnet]]\nname = \"lab\"\nnetwork = \"{NETWORK}/15\"\nserver = \"{SERVER}\"\n\
                         router = \"{ROUTER}\"\ndns = [\"{ROUTER}\"]\n"
                    ),
                )
            }
            Kind::Dhcpd => fs::write(folder.join("leases"), b""),
            Kind::Kea | Kind::Dnsmasq => Ok(()),
        }
    }

    /// The reservations.
    fn write(&self, moved: bool, folder: &Path) -> io::Result<&'static str> {
        let mut text = String::new();
        let hosts = (0..self.hosts).map(|host| {
            let ip = if moved && host == 0 {
                MOVED
            } else {
                address(host)
            };
            (host, colons(mac(host)), ip)
        });
        match self.kind {
            Kind::Bootwright | Kind::Baseline => {
                text.push_str("[defaults]\nprofile = \"debian-12\"\n\n[defaults.vars]\ntimezone = \"Europe/Oslo\"\n\n");
                for (host, mac, ip) in hosts {
                    let _ = write!(
                        text,
                        "[hosts.h{host:06}]\nmac = \"{mac}\"\nip = \"{ip}\"\n\n"
                    );
                }
            }
            Kind::Kea => {
                text.push_str(&kea_head(&self.folder));
                for (host, mac, ip) in hosts {
                    let comma = if host == 0 { "" } else { "," };
                    let _ = writeln!(
                        text,
                        "{comma}{{\"hw-address\":\"{mac}\",\"ip-address\":\"{ip}\"}}"
                    );
                }
                text.push_str("]}]}}\n");
            }
            Kind::Dhcpd => {
                let _ = write!(
                    text,
                    "authoritative;\ndefault-lease-time 3600;\nmax-lease-time 3600;\nping-check false;\n\
                     subnet {NETWORK} netmask {MASK} {{\n  option routers {ROUTER};\n  \
                     option domain-name-servers {ROUTER};\n  option domain-name \"lab.example\";\n  \
                     next-server {SERVER};\n  filename \"{BOOT_FILE}\";\n}}\n"
                );
                for (host, mac, ip) in hosts {
                    let _ = writeln!(
                        text,
                        "host h{host:06} {{ hardware ethernet {mac}; fixed-address {ip}; }}"
                    );
                }
            }
            Kind::Dnsmasq => {
                for (_, mac, ip) in hosts {
                    let _ = writeln!(text, "{mac},{ip}");
                }
            }
        }
        let name = self.kind.file();
        fs::write(folder.join(name), text)?;
        Ok(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn kea_head(folder: &Path) -> String {
    let leases = folder.join("leases.csv");
    let option = |name: &str, data: &str| format!("{{\"name\":\"{name}\",\"data\":\"{data}\"}}");
    let options = [
        option("routers", &ROUTER.to_string()),
        option("domain-name-servers", &ROUTER.to_string()),
        option("domain-name", "lab.example"),
    ];
    format!(
        "{{\"Dhcp4\":{{\"interfaces-config\":{{\"interfaces\":[\"{IFACE}\"]}},\
         \"lease-database\":{{\"type\":\"memfile\",\"persist\":true,\"lfc-interval\":0,\"name\":\"{}\"}},\
         \"valid-lifetime\":3600,\"authoritative\":true,\
         \"multi-threading\":{{\"enable-multi-threading\":false}},\
         \"host-reservation-identifiers\":[\"hw-address\"],\
         \"loggers\":[{{\"name\":\"kea-dhcp4\",\"severity\":\"ERROR\",\"output_options\":[{{\"output\":\"stdout\"}}]}}],\
         \"subnet4\":[{{\"subnet\":\"{NETWORK}/15\",\"reservations-out-of-pool\":true,\
         \"option-data\":[{}],\"next-server\":\"{SERVER}\",\"boot-file-name\":\"{BOOT_FILE}\",\
         \"reservations\":[\n",
        leases.display(),
        options.join(",")
    )
}
