//! What can be seen of this machine that keeps others from booting: read from `/proc`, `/sys` and the programs of the
//! system, for `diagnose::doctor` to judge.
//!
//! **Invariant:** nothing is changed, and nothing waited for longer than [`WITHIN`].

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::User;
use tokio::process::Command;

use super::links::{Interface, LinkTable};
use super::ports::held;
use super::privilege::ACCOUNT;
use crate::base::Transport;
use crate::diagnose::doctor::firewall::Rules;
use crate::diagnose::doctor::{Account, Bridge, Daemon, Facts, Link, Owned, Room};

/// How long a program may take to tell something.
const WITHIN: Duration = Duration::from_secs(5);

/// Where programs of the system lie, also for whoever is not root.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The ports that machines ask.
    pub ports: &'a [(Transport, u16)],
    /// The account that the daemon becomes; `None`: the usual one.
    pub user: Option<&'a str>,
    /// `state_dir`.
    pub state_dir: &'a Path,
    /// `boot_assets`.
    pub boot_assets: &'a Path,
    /// What is known of the daemon.
    pub daemon: Daemon,
}

/// Looks at this machine.
pub async fn look(wanted: Wanted<'_>) -> io::Result<Facts> {
    let links = LinkTable::read()?;
    let (sys, proc) = (Path::new("/sys/class/net"), Path::new("/proc/sys/net"));
    let name = wanted.user.unwrap_or(ACCOUNT);
    let account = User::from_name(name).ok().flatten();
    Ok(Facts {
        links: links.iter().map(|link| link_of(sys, proc, link)).collect(),
        held: held(wanted.ports),
        rules: rules().await,
        filters_bridges: number(&proc.join("bridge/bridge-nf-call-iptables")) == Some(1),
        account: Account {
            name: name.to_owned(),
            ids: account.map(|user| (user.uid.as_raw(), user.gid.as_raw())),
        },
        state: room(wanted.state_dir),
        assets: std::fs::metadata(wanted.boot_assets)
            .ok()
            .filter(std::fs::Metadata::is_dir)
            .map(|meta| Owned {
                uid: meta.uid(),
                gid: meta.gid(),
                mode: meta.mode(),
            }),
        synchronised: synchronised().await,
        daemon: wanted.daemon,
    })
}

/// The number in a file of `/proc` or `/sys`.
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn link_of(sys: &Path, proc: &Path, interface: &Interface) -> Link {
    let of = |name: &str| sys.join(&*interface.name).join(name);
    let paths = |name: &str| number(&proc.join(format!("ipv4/conf/{name}/rp_filter")));
    let bridge = std::fs::read_link(of("brport/bridge")).ok();
    Link {
        name: interface.name.to_string(),
        up: interface.up,
        // Of one that is switched off it cannot be read.
        carrier: number(&of("carrier")).map(|carrier| carrier == 1),
        addresses: interface.addresses.to_vec(),
        mtu: number(&of("mtu")).and_then(|mtu| mtu.try_into().ok()),
        // The greater one holds (Documentation/networking/ip-sysctl.rst of Linux).
        strict_paths: paths("all").max(paths(&interface.name)) == Some(1),
        bridge: bridge
            .as_deref()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned()),
        is_bridge: of("bridge")
            .is_dir()
            .then(|| bridge_of(&of("bridge"), &of("brif"))),
    }
}

/// A bridge, by its two folders.
fn bridge_of(own: &Path, ports: &Path) -> Bridge {
    // In hundredths of a second.
    let delay = number(&own.join("forward_delay")).unwrap_or_default();
    let runs = number(&own.join("stp_state")).unwrap_or_default() != 0;
    let entries = std::fs::read_dir(ports).into_iter().flatten().flatten();
    let mut silent: Vec<String> = entries
        // Listening, learning, blocking; 0 is a port without a link, 3 one that forwards.
        .filter(|entry| matches!(number(&entry.path().join("state")), Some(1 | 2 | 4)))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    silent.sort();
    Bridge {
        waits: (runs && delay > 0).then(|| Duration::from_millis(delay.saturating_mul(10))),
        silent,
    }
}

/// Bytes that are free where a folder is, or would be.
fn room(folder: &Path) -> Option<Room> {
    let folder: PathBuf = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(Room {
        free: found.f_bavail.saturating_mul(found.f_frsize),
        folder: there.to_owned(),
    })
}

/// The rules of the firewall.
async fn rules() -> Rules {
    let nft = match run("nft", &["--json", "list", "ruleset"]).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match run("iptables-save", &[]).await {
                Ok(iptables) => Rules::Seen {
                    nft: String::new(),
                    iptables,
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Rules::Unseen("there is neither nft nor iptables-save".to_owned())
                }
                Err(error) => Rules::Unseen(error.to_string()),
            };
        }
        Err(error) => return Rules::Unseen(error.to_string()),
    };
    // What the older iptables has put there nft does not show.
    match run("iptables-legacy-save", &[]).await {
        Ok(iptables) => Rules::Seen { nft, iptables },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Rules::Seen {
            nft,
            iptables: String::new(),
        },
        Err(error) => Rules::Unseen(error.to_string()),
    }
}

/// Whether the clock is synchronised, where systemd knows.
async fn synchronised() -> Option<bool> {
    let said = run(
        "timedatectl",
        &["show", "--property=NTPSynchronized", "--value"],
    )
    .await;
    match said.ok()?.trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// What a program prints; an error with its own words when it fails.
async fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let found = std::env::split_paths(PATH)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or(io::ErrorKind::NotFound)?;
    let mut command = Command::new(found);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output())
        .await
        .map_err(|_| io::Error::other(format!("{program} did not answer")))??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().map(str::trim).find(|line| !line.is_empty());
    Err(io::Error::other(format!(
        "{program}: {}",
        first.unwrap_or("it failed")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_machine_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let facts = look(Wanted {
            ports: &[(Transport::Udp, port)],
            user: Some("root"),
            state_dir: &folder.path().join("not/there/yet"),
            boot_assets: folder.path(),
            daemon: Daemon::Off,
        })
        .await
        .unwrap();
        let lo = facts.links.iter().find(|link| link.name == "lo").unwrap();
        assert!(lo.is_bridge.is_none() && lo.bridge.is_none() && lo.mtu.is_some());
        assert_eq!(facts.account.ids, Some((0, 0)));
        let state = facts.state.unwrap();
        assert!(
            state.free > 0 && folder.path().starts_with(&state.folder)
                || state.folder == folder.path()
        );
        assert!(facts.assets.is_some());
        assert_eq!(facts.held.len(), 1);
    }

    #[test]
    fn bridges_and_paths() {
        let folder = tempfile::tempdir().unwrap();
        let (sys, proc) = (folder.path().join("sys"), folder.path().join("proc"));
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("sys/br0/carrier", "1\n");
        put("sys/br0/mtu", "1400\n");
        put("sys/br0/bridge/stp_state", "1\n");
        put("sys/br0/bridge/forward_delay", "1500\n");
        for (port, state) in [("a", 3), ("b", 2), ("c", 0), ("d", 4)] {
            put(&format!("sys/br0/brif/{port}/state"), &format!("{state}\n"));
        }
        put("proc/ipv4/conf/all/rp_filter", "0\n");
        put("proc/ipv4/conf/br0/rp_filter", "1\n");
        let interface = |name: &str| Interface {
            name: name.into(),
            index: 1,
            up: true,
            hardware: None,
            addresses: [].into(),
            link_local: None,
            link: None,
        };
        let found = link_of(&sys, &proc, &interface("br0"));
        assert_eq!(
            (found.carrier, found.mtu, found.strict_paths),
            (Some(true), Some(1_400), true)
        );
        let bridge = found.is_bridge.unwrap();
        assert_eq!(bridge.waits, Some(Duration::from_secs(15)));
        assert_eq!(bridge.silent, ["b", "d"]);
        put("sys/br0/bridge/stp_state", "0\n");
        put("proc/ipv4/conf/all/rp_filter", "2\n");
        let found = link_of(&sys, &proc, &interface("br0"));
        assert_eq!(found.is_bridge.unwrap().waits, None);
        assert!(!found.strict_paths, "2 is loose, and the greater one");
        std::fs::create_dir_all(sys.join("eth0/brport")).unwrap();
        std::os::unix::fs::symlink("../../br0", sys.join("eth0/brport/bridge")).unwrap();
        let port = link_of(&sys, &proc, &interface("eth0"));
        assert_eq!(port.bridge.as_deref(), Some("br0"));
        assert_eq!(port.carrier, None);
    }

    #[tokio::test]
    async fn a_program_fails_with_its_own_words() {
        let none = run("no-such-program-here", &[]).await.unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        assert_eq!(run("echo", &["a"]).await.unwrap(), "a\n");
        let failed = run("sh", &["-c", "echo no way >&2; exit 3"])
            .await
            .unwrap_err();
        assert_eq!(failed.to_string(), "sh: no way");
    }
}
