//! Becoming the configured user once the sockets are open, keeping two capabilities.
//!
//! `NET_RAW` is kept for frames to machines without an address, `NET_BIND_SERVICE` for sockets that are
//! opened again when an interface comes back. Everything else goes, also from the bounding set, and no
//! program that is run can gain it again.
//!
//! **Invariant:** called on the main thread before any other thread exists: capabilities belong to
//! threads. After [`settle`] has changed the user there is no way back to root.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{AccessFlags, Gid, Uid, User};

/// The account that is used when none is configured.
pub const ACCOUNT: &str = "bootwright";

/// What is kept.
const KEPT: [Capability; 2] = [Capability::CAP_NET_RAW, Capability::CAP_NET_BIND_SERVICE];

/// What root keeps besides where it stays root: without these it could not read a configuration in
/// somebody's home, nor write into a state folder that was given to an account before.
const KEPT_BY_ROOT: [Capability; 2] = [
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
];

/// Folders that are no state folder: giving their contents away would ruin the machine.
const SHARED: [&str; 22] = [
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt",
    "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib",
    "/var/tmp",
];

/// Why the privileges are not right: what is missing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Started without the capabilities that the sockets need.
    #[error("UDP and TCP ports below {threshold} need {missing}, which this user does not have")]
    Missing {
        /// The capabilities.
        missing: String,
        /// Ports from this one on need none.
        threshold: u16,
        /// The program file.
        program: String,
    },
    /// `[server] user` names nobody.
    #[error("there is no account {0} on this machine")]
    NoUser(String),
    /// The state folder is one that others use as well.
    #[error("{} cannot be the state folder: it belongs to the whole machine", .0.display())]
    SharedFolder(PathBuf),
    /// The user cannot use the state folder.
    #[error("{user} cannot write to {}: {error}", .folder.display())]
    StateDir {
        /// The account.
        user: String,
        /// `state_dir`.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The system refused a step.
    #[error("could not {what}: {error}")]
    Refused {
        /// Which.
        what: String,
        /// What the system says.
        error: io::Error,
    },
}

impl PrivilegeError {
    /// What to do about it.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Missing { program, .. } => format!(
                "run it with sudo, or give the program what it needs once: sudo setcap \
                 cap_net_raw,cap_net_bind_service+ep {program}"
            ),
            Self::NoUser(name) => format!(
                "make it (useradd --system {name}), or set [server] user to another account"
            ),
            Self::SharedFolder(_) => "set [server] state_dir to a folder of its own".to_owned(),
            Self::StateDir { folder, .. } => format!(
                "check the permissions of the folders above {} ([server] state_dir)",
                folder.display()
            ),
            Self::Refused { .. } => return None,
        })
    }
}

/// As whom the daemon goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunsAs {
    /// It was started by this ordinary user and stays (also root of a user namespace, which is one).
    Unchanged,
    /// It has become this account, or was told to stay root by `user = "root"`.
    User(String),
    /// It stays root: no user is configured and there is no account `bootwright`. To be warned of.
    Root,
}

/// Whether the sockets can be opened: before anything else. `ports` are those to be opened.
pub fn check(ports: &[u16]) -> Result<(), PrivilegeError> {
    let threshold = unprivileged_from();
    if ports.iter().all(|port| *port == 0 || *port >= threshold) {
        return Ok(());
    }
    for capability in KEPT {
        // `setcap …+p` gives without switching on.
        if has(CapSet::Permitted, capability) && !has(CapSet::Effective, capability) {
            let _ = caps::raise(None, CapSet::Effective, capability);
        }
    }
    if has(CapSet::Effective, Capability::CAP_NET_BIND_SERVICE) {
        return Ok(());
    }
    let missing: Vec<String> = KEPT
        .into_iter()
        .filter(|capability| !has(CapSet::Effective, *capability))
        .map(|capability| capability.to_string())
        .collect();
    Err(PrivilegeError::Missing {
        missing: missing.join(" and "),
        threshold,
        program: std::env::current_exe().map_or_else(
            |_| "bootwright".to_owned(),
            |program| program.display().to_string(),
        ),
    })
}

fn has(set: CapSet, capability: Capability) -> bool {
    caps::has_cap(None, set, capability).unwrap_or(false)
}

/// The first port that needs no capability (ip(7), `ip_unprivileged_port_start`).
fn unprivileged_from() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1_024)
}

/// After the sockets are open and the state folder exists: gives the folder and its contents to the
/// user, becomes that user, keeps `NET_RAW` and `NET_BIND_SERVICE` only.
pub fn settle(user: Option<&str>, state_dir: &Path) -> Result<RunsAs, PrivilegeError> {
    let runs_as = if Uid::effective().is_root() {
        match account(user)? {
            None => RunsAs::Root,
            Some(account) if account.uid.is_root() => RunsAs::User(account.name),
            Some(account) if !is_mapped(account.uid) => RunsAs::Unchanged,
            Some(account) => {
                give(state_dir, account.uid, account.gid)?;
                drop_bounding_set();
                become_user(&account)?;
                RunsAs::User(account.name)
            }
        }
    } else {
        RunsAs::Unchanged
    };
    let stays_root = match &runs_as {
        RunsAs::Unchanged => false,
        RunsAs::User(_) => Uid::effective().is_root(),
        RunsAs::Root => true,
    };
    if stays_root {
        keep_only(&[KEPT, KEPT_BY_ROOT].concat())?;
    } else {
        keep_only(&KEPT)?;
    }
    nix::sys::prctl::set_no_new_privs()
        .map_err(|errno| refused("give up new privileges", errno))?;
    if let RunsAs::User(user) = &runs_as {
        match nix::unistd::access(state_dir, AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) | Err(nix::errno::Errno::EROFS) => {}
            Err(errno) => {
                return Err(PrivilegeError::StateDir {
                    user: user.clone(),
                    folder: state_dir.to_owned(),
                    error: errno.into(),
                });
            }
        }
    }
    Ok(runs_as)
}

fn account(user: Option<&str>) -> Result<Option<User>, PrivilegeError> {
    let name = user.unwrap_or(ACCOUNT);
    let found = User::from_name(name)
        .map_err(|errno| refused(&format!("look the account {name} up"), errno))?;
    match (found, user) {
        (Some(account), _) => Ok(Some(account)),
        (None, Some(name)) => Err(PrivilegeError::NoUser(name.to_owned())),
        (None, None) => Ok(None),
    }
}

/// Whether a user exists in this user namespace. In that of a rehearsal only one does, and being its
/// root gives no power over the machine.
fn is_mapped(uid: Uid) -> bool {
    let Ok(map) = fs::read_to_string("/proc/self/uid_map") else {
        return true;
    };
    map.lines().any(|line| {
        let mut columns = line
            .split_whitespace()
            .map(|n| n.parse::<u64>().unwrap_or(0));
        let (first, _, count) = (columns.next(), columns.next(), columns.next());
        let (first, count) = (first.unwrap_or(0), count.unwrap_or(0));
        (first..first.saturating_add(count)).contains(&u64::from(uid.as_raw()))
    })
}

/// Gives a folder and what is in it to a user. Links are given themselves, not what they point to;
/// other file systems and files with a second name elsewhere are passed over.
fn give(state_dir: &Path, uid: Uid, gid: Gid) -> Result<(), PrivilegeError> {
    let failed = |path: &Path, error: io::Error| PrivilegeError::Refused {
        what: format!("give {} to the configured user", path.display()),
        error,
    };
    let root = fs::canonicalize(state_dir).map_err(|error| failed(state_dir, error))?;
    if SHARED.iter().any(|shared| root == Path::new(shared)) {
        return Err(PrivilegeError::SharedFolder(root));
    }
    let device = fs::symlink_metadata(&root)
        .map_err(|error| failed(&root, error))?
        .dev();
    let mut left = vec![root];
    while let Some(path) = left.pop() {
        let meta = match fs::symlink_metadata(&path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&path, error)),
        };
        let second_name = meta.is_file() && meta.nlink() > 1;
        if meta.dev() != device || second_name {
            continue;
        }
        if (meta.uid(), meta.gid()) != (uid.as_raw(), gid.as_raw()) {
            let given = std::os::unix::fs::lchown(&path, Some(uid.as_raw()), Some(gid.as_raw()));
            match given {
                // Nothing can be written there by anybody; the services tell, and wait.
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => return Ok(()),
                given => given.map_err(|error| failed(&path, error))?,
            }
        }
        if meta.is_dir() {
            for entry in fs::read_dir(&path).map_err(|error| failed(&path, error))? {
                left.push(entry.map_err(|error| failed(&path, error))?.path());
            }
        }
    }
    Ok(())
}

/// A program that is run could otherwise regain what its file carries. Refused without `SETPCAP`,
/// which containers often withhold: `no_new_privs` covers the same ground.
fn drop_bounding_set() {
    for capability in caps::all() {
        if caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
}

fn become_user(account: &User) -> Result<(), PrivilegeError> {
    let name = CString::new(account.name.as_str())
        .map_err(|_| PrivilegeError::NoUser(account.name.clone()))?;
    nix::sys::prctl::set_keepcaps(true)
        .map_err(|errno| refused("keep capabilities over the change of user", errno))?;
    nix::unistd::initgroups(&name, account.gid)
        .map_err(|errno| refused(&format!("take the groups of {}", account.name), errno))?;
    nix::unistd::setresgid(account.gid, account.gid, account.gid)
        .map_err(|errno| refused(&format!("take the group of {}", account.name), errno))?;
    nix::unistd::setresuid(account.uid, account.uid, account.uid)
        .map_err(|errno| refused(&format!("become {}", account.name), errno))?;
    nix::sys::prctl::set_keepcaps(false)
        .map_err(|errno| refused("close the way of keeping capabilities", errno))
}

/// Lowers the capabilities of this thread, and so of every thread that it starts, to these.
fn keep_only(wanted: &[Capability]) -> Result<(), PrivilegeError> {
    let failed = |error: caps::errors::CapsError| PrivilegeError::Refused {
        what: "lower the capabilities".to_owned(),
        error: io::Error::other(error),
    };
    let permitted = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let kept: CapsHashSet = wanted
        .iter()
        .copied()
        .filter(|capability| permitted.contains(capability))
        .collect();
    let _ = caps::clear(None, CapSet::Ambient);
    caps::set(None, CapSet::Effective, &kept).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &kept).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)
}

fn refused(what: &str, errno: nix::errno::Errno) -> PrivilegeError {
    PrivilegeError::Refused {
        what: what.to_owned(),
        error: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn high_ports_need_nothing() {
        check(&[0, 6_767, 6_969, 8_080]).unwrap();
    }

    #[test]
    fn accounts() {
        assert!(account(Some("root")).unwrap().is_some());
        let error = account(Some("no-such-user-here")).unwrap_err();
        assert!(
            error.remedy().unwrap().contains("set [server] user"),
            "{error}"
        );
        assert!(is_mapped(Uid::effective()));
    }

    #[test]
    fn folders_of_the_machine_are_not_given_away() {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        for shared in ["/", "/etc", "/var/lib", "/usr/../etc"] {
            let error = give(Path::new(shared), uid, gid).unwrap_err();
            assert!(matches!(error, PrivilegeError::SharedFolder(_)), "{error}");
        }
        assert!(give(Path::new("/no/such/folder"), uid, gid).is_err());
    }

    #[test]
    fn a_state_folder_is_given_with_what_is_in_it() {
        if !Uid::effective().is_root() {
            return; // Nothing can be given away.
        }
        let base = tempfile::tempdir().unwrap();
        let state = base.path().join("state");
        fs::create_dir_all(state.join("logs/web01")).unwrap();
        for file in [
            "state/records.redb",
            "state/logs/web01/syslog",
            "outside",
            "linked",
        ] {
            fs::write(base.path().join(file), b"x").unwrap();
        }
        symlink("../outside", state.join("link")).unwrap();
        fs::hard_link(base.path().join("linked"), state.join("second-name")).unwrap();
        give(&state, Uid::from_raw(65_534), Gid::from_raw(65_534)).unwrap();
        let owner = |path: &str| fs::symlink_metadata(base.path().join(path)).unwrap().uid();
        for given in [
            "state",
            "state/records.redb",
            "state/logs/web01/syslog",
            "state/link",
        ] {
            assert_eq!(owner(given), 65_534, "{given}");
        }
        for kept in ["outside", "linked"] {
            assert_eq!(owner(kept), 0, "{kept}");
        }
    }
}
