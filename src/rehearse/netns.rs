//! A network of its own: a namespace with a bridge for the server and a tap for the machine.
//!
//! The namespace has no name: it goes with the last process in it. Nothing in it can be seen from the
//! real network, and nothing of the real network from within.
//!
//! **Invariant:** [`enter`] is called while the process has one thread; a user namespace can be entered
//! only so, and threads started earlier would stay in the old network.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

/// Why there is no network to rehearse in.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// The system refuses namespaces.
    #[error(
        "this user may not make a network namespace ({0}): run it as root (sudo bootwright rehearse …), or allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0)"
    )]
    Refused(Errno),
    /// There is no TUN device.
    #[error(
        "there is no /dev/net/tun, through which the virtual machine gets its network: load it with `modprobe tun` as root"
    )]
    NoTun,
    /// The TUN device may not be used.
    #[error(
        "this user may not use /dev/net/tun: run it as root (sudo bootwright rehearse …), or allow it with `chmod 666 /dev/net/tun`, which is its usual mode"
    )]
    TunDenied,
    /// The tool is missing or failed.
    #[error("the network of the rehearsal could not be made: {0}")]
    Ip(String),
    /// A file of the system could not be written.
    #[error("cannot write {path}: {source}")]
    Io {
        /// The file.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Moves this process into a network namespace of its own: directly where it may (root), else by a user
/// namespace in which it is root.
pub fn enter() -> Result<(), NetnsError> {
    match fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(NetnsError::TunDenied);
        }
        Err(_) => return Err(NetnsError::NoTun),
    }
    let networks = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    match unshare(networks) {
        Ok(()) => {}
        Err(Errno::EPERM) => enter_as_user(networks)?,
        Err(errno) => return Err(NetnsError::Refused(errno)),
    }
    show_own_interfaces();
    Ok(())
}

/// In a user namespace this process is root over its own network and over nothing else.
fn enter_as_user(networks: CloneFlags) -> Result<(), NetnsError> {
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | networks).map_err(NetnsError::Refused)?;
    let write = |path: &'static str, text: String| {
        fs::write(path, text).map_err(|source| NetnsError::Io { path, source })
    };
    // user_namespaces(7): without "deny" an ordinary user may not write the map of groups.
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {user} 1\n"))?;
    write("/proc/self/gid_map", format!("0 {group} 1\n"))
}

/// Mounts a `/sys` that shows the namespace's interfaces, for this process only. Where the system does
/// not allow it the old one stays, which shows interfaces that are not there; nothing depends on it.
fn show_own_interfaces() {
    let none: Option<&Path> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    if mount(none, "/", none, private, none).is_ok() {
        let _ = mount(
            Some("sysfs"),
            "/sys",
            Some("sysfs"),
            MsFlags::MS_RDONLY,
            none,
        );
    }
}

/// The network to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    /// The bridge: has the name of the configured interface.
    pub bridge: String,
    /// The server's address on it.
    pub server: Ipv4Addr,
    /// The length of the network's prefix.
    pub prefix: u8,
    /// The interface of the virtual machine.
    pub tap: String,
}

impl Wiring {
    /// The commands for `ip -batch`.
    pub fn script(&self) -> String {
        let Self {
            bridge,
            server,
            prefix,
            tap,
        } = self;
        format!(
            "link set dev lo up\n\
             link add name {bridge} type bridge\n\
             address add {server}/{prefix} broadcast + dev {bridge}\n\
             tuntap add dev {tap} mode tap\n\
             link set dev {tap} master {bridge}\n\
             link set dev {tap} up\n\
             link set dev {bridge} up\n"
        )
    }

    /// Makes it, with the tool `ip`, in the namespace that [`enter`] has entered.
    pub fn make(&self, ip: &Path) -> Result<(), NetnsError> {
        batch(ip, &self.script())
    }
}

/// Runs commands by `ip -batch`, in the namespace of this thread.
pub(super) fn batch(ip: &Path, script: &str) -> Result<(), NetnsError> {
    let failed = |error: io::Error| NetnsError::Ip(format!("{}: {error}", ip.display()));
    let mut child = Command::new(ip)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(NetnsError::Ip(said.trim().replace('\n', "; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bridge_is_the_configured_interface() {
        let wiring = Wiring {
            bridge: "br0".into(),
            server: Ipv4Addr::new(10, 99, 0, 2),
            prefix: 24,
            tap: "bwtap0".into(),
        };
        let script = wiring.script();
        assert!(script.contains("link add name br0 type bridge\n"));
        assert!(script.contains("address add 10.99.0.2/24 broadcast + dev br0\n"));
        assert!(
            script.lines().all(|line| !line.starts_with(' ')),
            "{script}"
        );
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let wiring = Wiring {
            bridge: "br0".into(),
            server: Ipv4Addr::LOCALHOST,
            prefix: 8,
            tap: "t".into(),
        };
        let error = wiring.make(Path::new("/nonexistent/ip")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/ip"), "{error}");
    }
}
