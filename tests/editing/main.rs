//! Editing reservations by command: what is written, what is said, and what a running daemon has to do with it.

mod fake;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use fake::Fake;

const MAIN: &str = "[server]\ninterfaces = [\"lo\"]\nstate_dir = \"../state\"\n\n[[subnet]]\nname = \"lab\"\nnetwork = \"10.99.0.0/24\"\nserver = \"10.99.0.254\"\n";

const HOSTS: &str = r#"# Who may boot here.

[groups.web]

# The first one. It stands in rack 3.
[hosts.web01]
mac   = "52:54:00:47:86:8e"
ip    = "10.99.0.11"
group = "web"               # for now
[hosts.web01.vars]
packages = ["nginx"]        # the server

# Held until its machine is there.
[hosts.db01]
ip    = "10.99.0.20"
# The end.
"#;

struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::create_dir(folder.path().join("state")).unwrap();
        fs::write(folder.path().join("config/bootwright.toml"), MAIN).unwrap();
        fs::write(folder.path().join("config/reservations.toml"), HOSTS).unwrap();
        Self { folder }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("config/reservations.toml")).unwrap()
    }

    /// Runs a command; what it said on both streams, with its status.
    fn run(&self, args: &[&str]) -> String {
        self.run_with(args, "/nowhere")
    }

    fn run_with(&self, args: &[&str], path: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .current_dir(self.folder.path())
            .env_remove("BOOTWRIGHT_CONFIG")
            .env("PATH", path)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        let mut shown = format!("$ bootwright {}\n{out}", args.join(" "));
        if !err.is_empty() {
            shown.push_str("---- standard error\n");
            shown.push_str(&err);
        }
        shown.push_str(&format!("---- status {}\n", output.status.code().unwrap()));
        shown
    }
}

/// Runs one line after the other.
fn all(site: &Site, lines: &[&str]) -> String {
    let ran = lines.iter().map(|line| {
        let args: Vec<&str> = line.split(' ').collect();
        site.run(&args)
    });
    ran.collect::<Vec<_>>().join("\n")
}

#[test]
fn hosts_are_added() {
    let site = Site::new();
    insta::assert_snapshot!(all(
        &site,
        &[
            "host add web09 --mac 52-54-00-47-86-99 --ip 10.99.0.19 --group web --set vars.disk=/dev/sda --dry-run",
            "host add web09 --mac 52-54-00-47-86-99 --ip 10.99.0.19 --group web --set vars.disk=/dev/sda --set arch=x86_64",
            "host add web09 --ip 10.99.0.30",
            "host add web10 --mac 52:54:00:47:86:8e --ip 10.99.0.11 --group wbe",
            "host add web10",
            "host add web10 --ip 10.99.0.300",
            "host add -x",
        ]
    ));
    insta::assert_snapshot!("the_file_after_adding", site.text());
}

#[test]
fn keys_are_set_and_taken_away() {
    let site = Site::new();
    insta::assert_snapshot!(all(
        &site,
        &[
            "host set web01 ip=10.99.0.31 vars.packages+=curl vars.disk=/dev/vda",
            "host set 10.99.0.31 vars.packages-=nginx --unset group --dry-run",
            "host set web01 ip=10.99.0.31",
            "host set web01 profil=x",
            "host set web01 ip=10.98.0.1",
            "host set wbe01 ip=10.99.0.1",
            "host set web01 vars=3",
            "host set web01 --unset uuid",
            "host set web01 ip",
            "host set 52:54:00:47:86:8e notes=2024-05-01",
        ]
    ));
    insta::assert_snapshot!("the_file_after_setting", site.text());
}

#[test]
fn hosts_are_removed() {
    let site = Site::new();
    insta::assert_snapshot!(all(
        &site,
        &[
            "host remove web1",
            "host remove db*",
            "host remove *0*",
            "host remove web01 --dry-run",
            "host remove 52:54:00:47:86:8e --yes",
            "host remove web01",
        ]
    ));
    assert_eq!(
        site.text(),
        "# Who may boot here.\n\n[groups.web]\n\n# The end.\n"
    );
}

#[test]
fn hosts_are_bound() {
    let site = Site::new();
    insta::assert_snapshot!(all(
        &site,
        &[
            "bind db01 52:54:00:47:86:8e",
            "bind db01 5254.0047.8690",
            "bind db01 52:54:00:47:86:90",
            "bind db01 52:54:00:47:86:91",
            "bind db01 52:54:00:47:86:91 --replace",
            "bind db01 52:54",
            "bind db02 52:54:00:47:86:92",
            "bind db01 --domain vm1",
        ]
    ));
}

#[test]
fn a_domain_of_libvirt_tells_its_address() {
    let site = Site::new();
    // A virsh that knows one domain.
    let folder = site.folder.path().join("bin");
    fs::create_dir(&folder).unwrap();
    let virsh = folder.join("virsh");
    fs::write(
        &virsh,
        "#!/bin/sh\ncase \"$*\" in\n*'dumpxml --domain vm1') echo \"<domain><devices><interface type='network'><mac address='52:54:00:aa:00:01'/><source network='lab'/></interface></devices></domain>\" ;;\n*) echo \"error: failed to get domain 'vm2'\" >&2; exit 1 ;;\nesac\n",
    )
    .unwrap();
    fs::set_permissions(&virsh, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let lines = [
        &["bind", "db01", "--domain", "vm2"][..],
        &["bind", "db01", "--domain", "vm1", "--network", "other"],
        &[
            "bind",
            "db01",
            "--domain",
            "vm1",
            "--connect",
            "qemu:///system",
        ],
    ];
    let said: Vec<String> = lines
        .iter()
        .map(|args| site.run_with(args, &path))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert!(site.text().contains(
        "[hosts.db01]\nmac   = \"52:54:00:aa:00:01\"\nip    = \"10.99.0.20\"\n# The end.\n"
    ));
}

#[test]
fn programs_read_json() {
    let site = Site::new();
    insta::assert_snapshot!(all(
        &site,
        &[
            "host set web01 notes=x --format json",
            "host set web01 ip=10.98.0.1 --dry-run --format json",
            "host set web01 notes=x --format json",
        ]
    ));
}

#[test]
fn a_running_daemon_is_asked_and_told() {
    let site = Site::new();
    let socket = site.folder.path().join("state/bootwright.sock");
    let host = r#"{"name":"web01","macs":[],"ip":"10.99.0.11","groups":[],"arch":"x86_64","install":"once","state":"STATE"}"#;
    let armed = host.replace("STATE", "armed");
    let local = host.replace("STATE", "local");
    let fake = Fake::new(&socket);
    fake.says("GET /api/v1/hosts/web01 ", 200, &armed);
    fake.says(
        "POST /api/v1/reload ",
        200,
        r#"{"accepted":true,"generation":7,"changes":"-1 host","problems":[]}"#,
    );
    let kept = all(&site, &["host remove web01"]);
    assert_eq!(site.text(), HOSTS);
    fake.says("GET /api/v1/hosts/web01 ", 200, &local);
    let gone = all(&site, &["host remove web01"]);
    fake.says(
        "POST /api/v1/reload ",
        200,
        r#"{"accepted":false,"generation":7,"changes":"","problems":[{"severity":"error","code":"x","place":"profiles/a.toml:3:1","message":"something else","help":null}]}"#,
    );
    let refused = all(&site, &["host set db01 notes=x"]);
    fake.says("POST /api/v1/reload ", 503, "busy");
    let unknown = all(&site, &["host set db01 notes=y"]);
    drop(fake);
    let none = all(&site, &["host set db01 notes=z"]);
    insta::assert_snapshot!([kept, gone, refused, unknown, none].join("\n"));
}

#[test]
fn errors_that_were_there_are_told_apart() {
    let site = Site::new();
    let bad = HOSTS.replace("10.99.0.20", "10.99.0.2000");
    fs::write(site.folder.path().join("config/reservations.toml"), &bad).unwrap();
    let first = all(
        &site,
        &["host set web01 notes=x", "host set web01 ip=10.99.0.1000"],
    );
    fs::write(
        site.folder.path().join("config/reservations.toml"),
        format!("{bad}[hosts.x\n"),
    )
    .unwrap();
    insta::assert_snapshot!(format!(
        "{first}\n{}",
        all(&site, &["host set web01 notes=y"])
    ));
}

#[test]
fn the_shipped_configuration_is_edited_in_its_style() {
    let site = Site::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(&shipped)
        .arg(site.folder.path().join("shipped"))
        .status();
    assert!(copied.unwrap().success());
    let said = site.run(&[
        "host",
        "add",
        "web03",
        "--config",
        "shipped/bootwright.toml",
        "--mac",
        "52:54:00:47:86:90",
        "--ip",
        "10.99.0.13",
        "--group",
        "web",
        "--set",
        "vars.disk=/dev/vda",
        "--dry-run",
    ]);
    let diff = said
        .split_once("@@\n")
        .unwrap()
        .1
        .split_once("\n\n")
        .unwrap()
        .0;
    insta::assert_snapshot!(diff);
}
