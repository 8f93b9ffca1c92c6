//! What the commands say: their help, and what they print of the shipped configuration. Read the snapshots as a
//! stranger would.

use std::fmt::Write as _;
use std::path::Path;

use assert_cmd::Command;
use bootwright::cli::command::command;
use tempfile::TempDir;

/// The shipped configuration, in a folder of its own; no boot file is there.
fn site() -> TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("config"),
        &config,
    );
    // A person may have put secrets there, and the daemon may be running here.
    let _ = std::fs::remove_file(config.join("secrets.toml"));
    let main = std::fs::read_to_string(config.join("bootwright.toml")).unwrap();
    let main = main.replace("/var/lib/bootwright", "../state");
    std::fs::write(config.join("bootwright.toml"), main).unwrap();
    folder
}

fn run(site: &TempDir, args: &[&str]) -> std::process::Output {
    Command::cargo_bin("bootwright")
        .unwrap()
        .current_dir(site.path())
        .env_remove("BOOTWRIGHT_CONFIG")
        .env("TZ", "UTC")
        .args(args)
        .output()
        .unwrap()
}

/// Status, standard output and standard error.
fn shown(site: &TempDir, line: &str) -> String {
    let args: Vec<&str> = line.split(' ').collect();
    let output = run(site, &args);
    let mut text = format!(
        "$ bootwright {line}\n{}",
        String::from_utf8(output.stdout).unwrap()
    );
    let err = String::from_utf8(output.stderr).unwrap();
    if !err.is_empty() {
        let _ = write!(text, "--- standard error\n{err}");
    }
    let _ = writeln!(text, "--- exit status {}", output.status.code().unwrap());
    text
}

#[test]
fn help_of_every_command() {
    fn all(mut command: clap::Command, path: &str) {
        let help = command.render_long_help().to_string();
        let name = if path.is_empty() { "bootwright" } else { path };
        insta::assert_snapshot!(format!("help {name}").replace(' ', "_"), help);
        for inner in command.get_subcommands() {
            if !inner.is_hide_set() && inner.get_name() != "help" {
                let path = format!("{path} {}", inner.get_name());
                all(inner.clone(), path.trim());
            }
        }
    }
    let mut whole = command().term_width(100);
    whole.build();
    all(whole, "");
}

/// Each of these needs no daemon.
#[test]
fn what_is_printed_of_the_shipped_configuration() {
    let site = site();
    for line in [
        "check",
        "check --format json",
        "host show web01 --explain",
        "host show web01 --explain --format json",
        "render web01 --stage ipxe",
        "render web01 --stage grub",
        "render web01 boot.ipxe --format json",
        "render nobody",
        "render web0",
        "assets list",
        "assets verify",
        "assets prune --dry-run",
        "rehearse web09",
    ] {
        insta::assert_snapshot!(line.replace([' ', '.'], "_"), shown(&site, line));
    }
}

/// Each of these needs one, and says so.
#[test]
fn what_is_said_where_no_daemon_runs() {
    let site = site();
    let lines = [
        "hosts",
        "host show web01",
        "install web01",
        "cancel web01",
        "local web01",
        "events",
        "why web01",
        "transfers",
        "reload",
        "doctor dhcp",
        "hosts --format json",
    ];
    let said: Vec<String> = lines.iter().map(|line| shown(&site, line)).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn what_is_mistyped_is_suggested() {
    let site = site();
    let lines = [
        "instal web01",
        "host shwo web01",
        "hosts --formt json",
        "render wbe01 --stage ipxe",
        "schema reservation",
        "man instal",
        "assets fetch debian12",
    ];
    let said: Vec<String> = lines.iter().map(|line| shown(&site, line)).collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// A shell asks for what may follow.
#[test]
fn names_are_completed() {
    let site = site();
    let ask = |words: &[&str]| {
        let index = words.len() - 1;
        let output = Command::cargo_bin("bootwright")
            .unwrap()
            .current_dir(site.path())
            .env_remove("BOOTWRIGHT_CONFIG")
            .env("BOOTWRIGHT_COMPLETE", "bash")
            .env("_CLAP_COMPLETE_INDEX", index.to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "true")
            .env("_CLAP_IFS", "\n")
            .arg("--")
            .args(words)
            .output()
            .unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["bootwright", "install", "w"]), ["web01", "web02"]);
    assert_eq!(ask(&["bootwright", "host", "show", "web01"]), ["web01"]);
    assert_eq!(ask(&["bootwright", "install", "--group", ""]), ["web"]);
    let profiles = ask(&["bootwright", "install", "--profile", "debian-"]);
    assert_eq!(profiles, ["debian-12", "debian-13"]);
    let fetch = ask(&["bootwright", "assets", "fetch", "debian-13"]);
    assert_eq!(fetch, ["debian-13"]);
    let after = ask(&["bootwright", "install", "web01", "--after", "web02:in"]);
    assert_eq!(after, ["web02:installed"]);
    assert!(ask(&["bootwright", "ins"]).contains(&"install".to_owned()));
    let hidden = ask(&["bootwright", ""]);
    assert!(!hidden.contains(&"capture".to_owned()), "{hidden:?}");
    // Another configuration, and one that is not there.
    let other = [
        "bootwright",
        "--config",
        "config/bootwright.toml",
        "why",
        "web02",
    ];
    assert_eq!(ask(&other), ["web02"]);
    let none = ["bootwright", "--config=none.toml", "why", "w"];
    assert_eq!(ask(&none), [""; 0]);
}

#[test]
fn shells_are_told_how_to_ask() {
    let site = site();
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&site, &["completions", shell]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("BOOTWRIGHT_COMPLETE"), "{text}");
    }
    assert_eq!(run(&site, &["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn manual_pages_of_every_command() {
    let site = site();
    let output = run(&site, &["man", "--into", "man"]);
    assert!(output.status.success(), "{output:?}");
    let folder = site.path().join("man");
    let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert!(page("bootwright.1").contains("EXIT STATUS"));
    assert!(page("bootwright-assets-fetch.1").contains("bootwright assets fetch ipxe"));
    assert!(!folder.join("bootwright-capture.1").exists());
    let printed = run(&site, &["man", "host", "show"]).stdout;
    let printed = String::from_utf8(printed).unwrap();
    insta::assert_snapshot!(printed.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}

#[test]
fn schemas_are_printed_and_written() {
    let site = site();
    let output = run(&site, &["schema", "profile"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    insta::assert_snapshot!("schema_into", shown(&site, "schema --into schemas"));
    assert!(site.path().join("schemas/secrets.schema.json").is_file());
    assert_eq!(run(&site, &["schema"]).status.code(), Some(2));
}

/// Nothing is coloured but on a terminal.
#[test]
fn pipes_get_no_colour() {
    let site = site();
    std::fs::write(site.path().join("config/reservations.toml"), "x = 1\n").unwrap();
    for line in [
        &["check"][..],
        &["--help"],
        &["instal"],
        &["render", "web01"],
    ] {
        let output = run(&site, line);
        for stream in [output.stdout, output.stderr] {
            assert!(!stream.contains(&0x1b), "{line:?}");
        }
    }
}
