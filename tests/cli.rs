//! The command line without a daemon: exit statuses, and what is said on which stream.

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// What one run gives.
struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn run_in(folder: &Path, args: &[&str]) -> Ran {
    let output = Command::cargo_bin("bootwright")
        .unwrap()
        .current_dir(folder)
        .env_remove("BOOTWRIGHT_CONFIG")
        .env_remove("SUDO_USER")
        .args(args)
        .output()
        .unwrap();
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A small good configuration, where commands look for it.
fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir_all(config.join("profiles")).unwrap();
    std::fs::create_dir_all(config.join("templates")).unwrap();
    std::fs::write(
        config.join("bootwright.toml"),
        "[server]\ninterfaces = [\"nosuch0\"]\nstate_dir = \"../state\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
    )
    .unwrap();
    std::fs::write(
        config.join("reservations.toml"),
        "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\n",
    )
    .unwrap();
    folder
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let site = site();
    let ran = run_in(site.path(), &["instal", "web01"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("install"), "{}", ran.err);
    assert_eq!(run_in(site.path(), &[]).status, 2);
    assert_eq!(run_in(site.path(), &["host"]).status, 2);
    assert_eq!(run_in(site.path(), &["hosts", "--format", "xml"]).status, 2);
    let ran = run_in(site.path(), &["--help"]);
    assert_eq!(ran.status, 0);
    for command in [
        "serve",
        "reload",
        "check",
        "render",
        "hosts",
        "install",
        "cancel",
        "local",
        "events",
        "why",
        "simulate",
        "export",
        "router-config",
        "rehearse",
        "doctor",
        "assets",
        "unknown",
        "ip",
        "adopt",
        "bind",
        "import",
    ] {
        assert!(ran.out.contains(&format!("\n  {command}")), "{command}");
    }
    assert_eq!(run_in(site.path(), &["--version"]).status, 0);
}

#[test]
fn what_comes_later_says_so() {
    let site = site();
    let ran = run_in(site.path(), &["capture", "web01"]);
    assert_eq!(ran.status, 1);
    assert_eq!(
        ran.err,
        "bootwright: capture is not available in this version\n"
    );
    assert!(ran.out.is_empty());
}

#[test]
fn the_doctor_tells_what_is_in_the_way() {
    let site = site();
    let main = site.path().join("config/bootwright.toml");
    let text = std::fs::read_to_string(&main).unwrap();
    let text = text.replace("[\"nosuch0\"]", "[\"nosuch0\", \"lo\"]");
    std::fs::write(&main, &text).unwrap();
    let ran = run_in(site.path(), &["doctor", "--format", "json"]);
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let findings = told["findings"].as_array().unwrap();
    let found = |check: &str, level: &str| {
        findings
            .iter()
            .any(|one| one["check"] == check && one["level"] == level)
    };
    assert!(found("interfaces", "error"), "{told:#}");
    // No daemon runs here.
    assert!(found("answers", "unseen") && found("dhcp", "unseen"));
    for check in ["files", "privileges", "ports", "firewall", "disk", "clock"] {
        assert!(findings.iter().any(|one| one["check"] == check), "{check}");
    }
    let ran = run_in(site.path(), &["doctor", "interfaces"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.out
            .starts_with("error    interfaces  there is no interface nosuch0; this machine has ")
    );
    assert!(!ran.out.contains(" ports "), "{}", ran.out);
    let ran = run_in(site.path(), &["doctor", "disk", "--interface", "l0"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(
        ran.err
            .contains("l0 is not among [server] interfaces\n  did you mean lo?"),
        "{}",
        ran.err
    );
    assert_eq!(run_in(site.path(), &["doctor", "teeth"]).status, 2);
    // Beside errors of the configuration nothing can be judged.
    std::fs::write(&main, "[[[").unwrap();
    let ran = run_in(site.path(), &["doctor"]);
    assert_eq!(ran.status, 1);
    assert_eq!(
        ran.out,
        "error    files       the configuration has 1 error\n                       see `bootwright check`\n1 error\n"
    );
    // Whatever was asked for: nothing was looked at, and so nothing is good.
    let broken = format!("{text}foo = 1\n");
    std::fs::write(&main, broken).unwrap();
    for check in ["files", "ports", "clock", "answers"] {
        let asked = run_in(site.path(), &["doctor", check]);
        assert_eq!((asked.status, &asked.out), (1, &ran.out), "{check}");
    }
}

#[test]
fn a_subnet_or_a_machine_that_is_none_is_refused() {
    let site = site();
    let ran = run_in(site.path(), &["ip", "suggest", "10.99.0.0/25"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_eq!(
        ran.err,
        "bootwright: no [[subnet]] is called \"10.99.0.0/25\", is that network or holds that address\n  did you mean 10.99.0.0/24?\n"
    );
    let ran = run_in(
        site.path(),
        &["adopt", "52:54:00:47:86:8E", "--name", "web09"],
    );
    assert_eq!(ran.status, 1);
    assert_eq!(
        ran.err,
        "bootwright: 52:54:00:47:86:8e is web01's already\n"
    );
    for line in [
        "adopt 52:54:00:47:86 --name web09",
        "adopt 52:54:00:47:86:99",
        "ip suggest lab --count 0",
        "unknown nobody",
    ] {
        let ran = run_in(site.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.status, 2, "{line}: {}", ran.err);
    }
    for command in [&["adopt"][..], &["unknown"], &["ip", "suggest"]] {
        let ran = run_in(site.path(), &[command, &["--help"]].concat());
        assert_eq!(ran.status, 0);
        assert!(ran.out.contains("Examples:\n  bootwright "), "{}", ran.out);
    }
}

#[test]
fn without_a_daemon_the_way_to_start_it_is_said() {
    let site = site();
    for line in [
        "hosts",
        "host show web01",
        "install web01",
        "cancel web01",
        "local web01",
        "events",
        "unknown",
        "reload",
    ] {
        let ran = run_in(site.path(), &line.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.status, 1, "{line}");
        assert!(
            ran.err.contains("state/bootwright.sock"),
            "{line}: {}",
            ran.err
        );
        assert!(ran.err.contains("bootwright serve"), "{line}: {}", ran.err);
    }
}

#[test]
fn the_configuration_is_found_in_its_order() {
    let empty = tempfile::tempdir().unwrap();
    let ran = run_in(empty.path(), &["check", "--config", "none.toml"]);
    assert_eq!(ran.status, 1, "{}{}", ran.out, ran.err);
    assert!(format!("{}{}", ran.out, ran.err).contains("none.toml"));

    let site = site();
    let ran = run_in(site.path(), &["check"]);
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    // The environment wins over the folder, the option over both.
    let other = tempfile::tempdir().unwrap();
    let bad = other.path().join("bad.toml");
    std::fs::write(&bad, "[server]\ncolour = 1\n").unwrap();
    let mut command = Command::cargo_bin("bootwright").unwrap();
    command
        .current_dir(site.path())
        .env("BOOTWRIGHT_CONFIG", &bad);
    command.arg("check").assert().code(1);
    let mut command = Command::cargo_bin("bootwright").unwrap();
    command
        .current_dir(site.path())
        .env("BOOTWRIGHT_CONFIG", &bad);
    command
        .args(["check", "--config", "config/bootwright.toml"])
        .assert()
        .code(0);
}

#[test]
fn serve_says_what_keeps_it_from_starting() {
    let site = site();
    let ran = run_in(site.path(), &["serve"]);
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("there is no interface nosuch0"),
        "{}",
        ran.err
    );
    assert!(
        !site.path().join("state").exists(),
        "nothing is left behind"
    );

    std::fs::write(
        site.path().join("config/reservations.toml"),
        "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.98.0.11\"\n",
    )
    .unwrap();
    let ran = run_in(site.path(), &["serve"]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("reservations.toml:3:"), "{}", ran.err);
    assert!(ran.err.contains("10.98.0.11"), "{}", ran.err);
}

#[test]
fn render_and_check_need_no_daemon_and_print_json() {
    let site = site();
    let ran = run_in(site.path(), &["check", "--format", "json"]);
    assert_eq!(ran.status, 0);
    serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
    let ran = run_in(site.path(), &["render", "nobody"]);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("nobody"), "{}", ran.err);
}

#[test]
fn an_address_made_up_for_urls_is_told_once_and_alike() {
    let site = site();
    std::fs::write(
        site.path().join("config/profiles/next.toml"),
        "[boot]\nkind = \"chain\"\nurl = \"http://boot.example/next.ipxe\"\n",
    )
    .unwrap();
    std::fs::write(
        site.path().join("config/reservations.toml"),
        "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\nprofile = \"next\"\n",
    )
    .unwrap();
    let said = run_in(site.path(), &["render", "web01", "--stage", "ipxe"]).err;
    assert!(said.starts_with("note: URLs are shown with "), "{said}");
    let checked = run_in(site.path(), &["check"]).out;
    assert_eq!(checked.matches("note:").count(), 1, "{checked}");
    assert!(checked.contains(&said), "{checked}");
    let json = run_in(site.path(), &["check", "--format", "json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(format!("note: {}\n", json["note"].as_str().unwrap()), said);
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let site = site();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bootwright"))
        .current_dir(site.path())
        .env_remove("BOOTWRIGHT_CONFIG")
        .arg("check")
        .stdout(writer)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}
