//! Dropping privileges, in a process of its own: there is no way back from it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use bootwright::host::privilege::{self, RunsAs};

/// Set in the child that a test starts: the state folder.
const CHILD: &str = "BOOTWRIGHT_TEST_STATE_DIR";

const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_RAW: u64 = 1 << 13;

/// What a thread may do, as the kernel tells.
fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {field}"));
    u64::from_str_radix(line.trim(), 16).expect("hexadecimal")
}

/// Runs one test of this program again, as the child.
fn run_child(test: &str, state: &Path) {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, state)
        .output()
        .expect("the child");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && out.contains("1 passed"),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A folder that holds a state folder and has this mode.
fn folder(mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let base = tempfile::tempdir().expect("a folder");
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(mode)).expect("mode");
    let state = base.path().join("state");
    std::fs::create_dir(&state).expect("the state folder");
    std::fs::write(state.join("records.redb"), b"x").expect("a file");
    (base, state)
}

/// Whether there is anything to drop.
fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

#[test]
fn root_becomes_the_configured_user_and_keeps_two_capabilities() {
    if let Ok(state) = std::env::var(CHILD) {
        settle_for_good(Path::new(&state));
    } else if is_root() {
        let (_base, state) = folder(0o755);
        run_child(
            "root_becomes_the_configured_user_and_keeps_two_capabilities",
            &state,
        );
        let owner = |name: &str| std::fs::metadata(state.join(name)).expect("a file").uid();
        assert_ne!(owner("records.redb"), 0);
        assert_eq!(owner("records.redb"), owner("written-after"));
    }
}

fn settle_for_good(state: &Path) {
    let runs_as = privilege::settle(Some("nobody"), state).expect("settle");
    assert_eq!(runs_as, RunsAs::User("nobody".to_owned()));

    let me = nix::unistd::getresuid().expect("uids");
    assert_eq!((me.effective, me.saved), (me.real, me.real));
    assert!(!me.real.is_root());
    assert!(nix::unistd::setuid(0.into()).is_err(), "no way back");
    let two = NET_BIND_SERVICE | NET_RAW;
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(status(set), two, "{set}");
    }
    for set in ["CapInh", "CapAmb", "CapBnd"] {
        assert_eq!(status(set), 0, "{set}");
    }
    assert_eq!(status("NoNewPrivs"), 1);
    // A thread started later has the same, and may open a low port.
    std::thread::spawn(move || {
        assert_eq!(status("CapEff"), two);
        std::net::UdpSocket::bind("127.0.0.77:69").expect("a low port");
    })
    .join()
    .expect("the thread");
    std::fs::write(state.join("written-after"), b"x").expect("the state folder is ours");
    assert!(std::fs::write("/etc/bootwright-test", b"x").is_err());
}

#[test]
fn a_state_folder_out_of_reach_is_told() {
    if let Ok(state) = std::env::var(CHILD) {
        let error = privilege::settle(Some("nobody"), Path::new(&state))
            .expect_err("out of reach")
            .to_string();
        assert!(error.starts_with("nobody cannot write to "), "{error}");
    } else if is_root() {
        let (_base, state) = folder(0o700);
        run_child("a_state_folder_out_of_reach_is_told", &state);
    }
}

#[test]
fn an_ordinary_user_is_told_what_is_missing() {
    if std::env::var(CHILD).is_ok() {
        let nobody = nix::unistd::User::from_name("nobody")
            .expect("accounts")
            .expect("nobody");
        nix::unistd::setuid(nobody.uid).expect("setuid");
        privilege::check(&[6_967, 6_969]).expect("high ports need nothing");
        // Where the system lets everybody bind low ports there is nothing to refuse.
        if std::net::UdpSocket::bind("127.0.0.78:69").is_err() {
            let error = privilege::check(&[67, 69, 8_080]).expect_err("low ports");
            let error = format!("{error}: {}", error.remedy().expect("a remedy"));
            for part in ["CAP_NET_BIND_SERVICE", "sudo", "setcap cap_net_raw,"] {
                assert!(error.contains(part), "{error}");
            }
        }
    } else if is_root() {
        let (_base, state) = folder(0o755);
        run_child("an_ordinary_user_is_told_what_is_missing", &state);
    }
}
