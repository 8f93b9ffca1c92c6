//! Bootwright itself as it is measured: as in production, with journal and records on disk and privileges dropped.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use super::packet::{BOOT_FILE, ROUTER, address, colons, mac};
use super::setup::{self, Cpu, IFACE, SERVER};

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");

/// The boot files of the Debian profile, without which no machine is armed.
const BOOT_FILES: [&str; 7] = [
    BOOT_FILE,
    "ipxe/undionly.kpxe",
    "ipxe/snponly-arm64.efi",
    "debian/12/x86_64/linux",
    "debian/12/x86_64/initrd.gz",
    "debian/12/aarch64/linux",
    "debian/12/aarch64/initrd.gz",
];

/// Writes boot files into this folder, with hardly anything in them.
pub fn write_boot_files(root: &Path) -> io::Result<()> {
    for file in BOOT_FILES {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, b"a boot file")?;
    }
    Ok(())
}

/// What differs between benchmarks.
#[derive(Debug, Clone, Copy)]
pub struct Ours<'a> {
    /// Where its files go, and its log.
    pub folder: &'a Path,
    /// Its boot files.
    pub boot_assets: &'a Path,
    /// Reservations, each with the Debian profile.
    pub hosts: u32,
    /// By how much each of its ports is above the usual one: several run in one run.
    pub shift: u16,
    /// `[tftp] engine`.
    pub engine: &'a str,
}

impl Ours<'_> {
    /// The port of its HTTP.
    pub const fn http_port(&self) -> u16 {
        8_080 + self.shift
    }

    /// The port of its TFTP.
    pub const fn tftp_port(&self) -> u16 {
        69 + self.shift
    }

    /// Writes its files.
    pub fn configure(&self) -> io::Result<()> {
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let state = self.folder.join("state");
        fs::create_dir_all(&state)?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o750))?;
        let shift = self.shift;
        fs::write(
            self.folder.join("bootwright.toml"),
            format!(
                "[server]\ninterfaces = [\"{IFACE}\"]\ndomain = \"lab.example\"\nuser = \"nobody\"\n\
                 state_dir = \"state\"\nboot_assets = \"{}\"\nprofiles = \"{}\"\ntemplates = \"{}\"\n\
                 reservations = [\"reservations.toml\"]\n\n\
                 [dhcp]\nport = {}\nproxy_port = {}\n[http]\nport = {}\n[tftp]\nport = {}\nengine = \"{}\"\n\n\
                 [[subnet]]\nname = \"lab\"\nnetwork = \"10.76.0.0/15\"\nserver = \"{SERVER}\"\n\
                 router = \"{ROUTER}\"\ndns = [\"{ROUTER}\"]\n",
                self.boot_assets.display(),
                ours.join("profiles").display(),
                ours.join("templates").display(),
                67 + shift,
                4_011 + shift,
                self.http_port(),
                self.tftp_port(),
                self.engine,
            ),
        )?;
        let mut text = "[defaults]\nprofile = \"debian-12\"\n\n".to_owned();
        for host in 0..self.hosts {
            let _ = write!(
                text,
                "[hosts.{}]\nmac = \"{}\"\nip = \"{}\"\n\n",
                name(host),
                colons(mac(host)),
                address(host)
            );
        }
        if self.hosts == 0 {
            text.push_str("[hosts]\n");
        }
        fs::write(self.folder.join("reservations.toml"), text)
    }

    /// The daemon.
    pub fn serve(&self, cpu: Cpu) -> Command {
        let mut command = setup::in_server_namespace(cpu);
        command.arg(PROGRAM).args(["serve", "--config"]);
        command.arg(self.folder.join("bootwright.toml"));
        command
    }

    /// Says a command to the daemon; what it printed.
    pub fn say(&self, words: &[&str]) -> io::Result<Output> {
        let output = Command::new(PROGRAM)
            .args(words)
            .arg("--config")
            .arg(self.folder.join("bootwright.toml"))
            .output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first: Vec<&str> = said.lines().take(5).collect();
        Err(io::Error::other(format!(
            "bootwright {}: {}",
            words.join(" "),
            first.join(" | ")
        )))
    }
}

/// The name of a machine.
pub fn name(host: u32) -> String {
    format!("h{host:06}")
}
