//! What a good configuration comes to: defaults, merged layers, looked-up names, differences.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use bootwright::base::{Architecture, Firmware};
use bootwright::config::snapshot::{Boot, InstallPolicy, LocalBoot, Mode, TftpEngine};
use bootwright::config::source::MemoryFiles;
use bootwright::config::variables;
use bootwright::config::{Snapshot, SnapshotDiff};
use bootwright::journal::event::Kind;

use crate::files::{GOOD_HOSTS, GOOD_MAIN, HOSTS, MAIN, PROFILE, good, load_all, with};

/// The snapshot of a configuration without any problem.
fn snapshot(files: &MemoryFiles) -> Snapshot {
    let loaded = load_all(files);
    assert_eq!(loaded.problems, []);
    loaded.snapshot.expect("a snapshot")
}

fn names<T: ToString>(list: &[T]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_written_has_its_default() {
    let snapshot = snapshot(&good());
    let server = &snapshot.server;
    assert_eq!(server.file, PathBuf::from("config/bootwright.toml"));
    assert_eq!(server.boot_assets, PathBuf::from("config/../boot-assets"));
    assert_eq!(server.state_dir, PathBuf::from("/var/lib/bootwright"));
    assert_eq!(
        (server.dhcp_port, server.tftp_port, server.http_port),
        (67, 69, 8080)
    );
    assert_eq!(
        (server.tftp_max_blksize, server.tftp_max_windowsize),
        (1468, 64)
    );
    assert_eq!(server.armed_for, Duration::from_secs(86_400));
    assert_eq!(server.max_attempts, 3);
    assert!(!server.advertise_to_ipxe);
    assert_eq!(server.loaders[&Firmware::UefiX64], "ipxe/snponly.efi");
    let host = &snapshot.hosts()[0];
    assert_eq!(host.fqdn().as_deref(), Some("web01.lab.example"));
    assert_eq!(host.local_boot, LocalBoot::Auto);
    assert_eq!(host.install, InstallPolicy::Once);
    let profile = &snapshot.profiles()["debian-12"];
    assert_eq!(profile.answers[0].content_type, "text/plain");
    assert!(profile.arch.is_empty());
}

#[test]
fn router_advertisements_are_for_ipxe_or_off() {
    let with_value = |value: &str| {
        let main = format!("{GOOD_MAIN}\n[boot]\nrouter_advertisement = {value}\n");
        load_all(&with(&[(MAIN, &main), (HOSTS, GOOD_HOSTS)]))
    };
    for (value, is_on) in [("\"ipxe\"", true), ("\"off\"", false)] {
        let loaded = with_value(value);
        assert_eq!(loaded.problems, []);
        let snapshot = loaded.snapshot.expect("a snapshot");
        assert_eq!(snapshot.server.advertise_to_ipxe, is_on, "{value}");
    }
    for value in ["\"all\"", "true"] {
        let loaded = with_value(value);
        assert_eq!(loaded.problems.len(), 1, "{value}");
    }
}

#[test]
fn everything_written_is_taken() {
    let files = with(&[
        (
            MAIN,
            r#"
[server]
interfaces = ["br0", "eth1.20"]
domain = "lab.example"
state_dir = "state"
boot_assets = "/srv/boot"
profiles = "os"
templates = "answers"
reservations = ["a.toml", "more"]
user = "netboot"
[dhcp]
port = 1067
proxy_port = 4012
lease_time = "30m"
[boot.loaders]
bios = "ipxe/ipxe.pxe"
"9" = "http://boot.example/x.efi"
[tftp]
port = 1069
max_blksize = 8192
max_windowsize = 16
engine = "async-tftp"
[http]
port = 80
[install]
armed_for = "2d"
max_attempts = 5
stalled_after = "1h30m"
[journal]
keep = "1GiB"
[[subnet]]
network = "10.99.0.0/24"
router = "10.99.0.1"
dns = ["10.99.0.2", "10.99.0.3"]
ntp = "10.99.0.4"
nat = ["192.0.2.1"]
[[subnet]]
name = "far"
network = "10.98.0.0/29"
server = "10.1.1.1"
router = "10.98.0.6"
domain = "far.example"
lease_time = "5m"
"#,
        ),
        ("config/a.toml", "[hosts.one]\nip = \"10.99.0.5\"\n"),
        (
            "config/more/b.toml",
            "[hosts.two]\nip = \"10.98.0.2\"\nfqdn = \"zwei.other.example\"\n",
        ),
        (
            "config/more/deeper/c.toml",
            "[hosts.three]\nip = \"10.98.0.1\"\n",
        ),
        ("config/more/readme.md", "no TOML = at all ["),
        (
            "config/os/tool.toml",
            "arch = [\"x86_64\", \"i386\"]\nstalled_after = \"5m\"\n[boot]\nkind = \"chain\"\nurl = \"http://boot.example/{{ host.name }}\"\n",
        ),
        (
            "config/os/own.toml",
            "family = \"tool\"\n[boot]\nkind = \"script\"\ntemplate = \"own.ipxe.j2\"\n",
        ),
        ("config/answers/own.ipxe.j2", "#!ipxe\n"),
        ("config/answers/own.ipxe.j2~", "an editor's copy {{"),
    ]);
    let snapshot = snapshot(&files);
    let server = &snapshot.server;
    assert_eq!(server.interfaces, ["br0", "eth1.20"]);
    assert_eq!(server.state_dir, PathBuf::from("config/state"));
    assert_eq!(server.boot_assets, PathBuf::from("/srv/boot"));
    assert_eq!(server.user.as_deref(), Some("netboot"));
    assert_eq!(
        (server.dhcp_port, server.tftp_port, server.http_port),
        (1067, 1069, 80)
    );
    assert_eq!(server.proxy_port, 4012);
    assert_eq!(server.tftp_engine, TftpEngine::AsyncTftp);
    assert_eq!(server.loaders[&Firmware::Bios], "ipxe/ipxe.pxe");
    assert_eq!(server.loaders[&Firmware::UefiX64], "ipxe/snponly.efi");
    assert_eq!(server.loaders_by_code[&9], "http://boot.example/x.efi");
    assert_eq!(server.stalled_after, Duration::from_secs(5400));
    assert_eq!(server.journal_keep, 1 << 30);

    let [near, far] = snapshot.subnets.as_slice() else {
        panic!("two subnets")
    };
    assert_eq!(near.name.as_str(), "10.99.0.0/24");
    assert_eq!(near.lease_time, Duration::from_secs(1800));
    assert_eq!(near.domain.as_deref(), Some("lab.example"));
    // .1 to .4 are router, name and time servers, .5 is a host's.
    assert_eq!(near.example_server, Ipv4Addr::new(10, 99, 0, 6));
    assert_eq!(near.ntp, [Ipv4Addr::new(10, 99, 0, 4)]);
    assert_eq!(far.example_server, Ipv4Addr::new(10, 1, 1, 1));
    assert_eq!(far.lease_time, Duration::from_secs(300));

    let hosts: Vec<_> = snapshot
        .hosts()
        .iter()
        .map(|host| host.name.to_string())
        .collect();
    assert_eq!(hosts, ["one", "two", "three"]);
    let two = snapshot.host(&"two".parse().unwrap()).unwrap();
    assert_eq!(two.fqdn().as_deref(), Some("zwei.other.example"));
    assert_eq!(two.domain.as_deref(), Some("other.example"));
    assert_eq!(snapshot.subnet_of(two).unwrap().name.as_str(), "far");
    let three = snapshot.host(&"three".parse().unwrap()).unwrap();
    assert_eq!(three.fqdn().as_deref(), Some("three.far.example"));
    assert_eq!((three.mac(), three.profile.as_ref()), (None, None));

    let tool = &snapshot.profiles()["tool"];
    assert_eq!(tool.arch, [Architecture::X86_64, Architecture::I386]);
    assert_eq!(tool.title, "tool");
    assert_eq!(tool.stalled_after, Some(Duration::from_secs(300)));
    assert!(matches!(&tool.boot, Boot::Chain { url, .. } if url.text.contains("{{ host.name }}")));
    assert!(
        matches!(&snapshot.profiles()["own"].boot, Boot::Script { template } if template == "own.ipxe.j2")
    );
    assert_eq!(
        snapshot.templates().keys().collect::<Vec<_>>(),
        ["own.ipxe.j2"]
    );
}

#[test]
fn the_nearest_layer_wins_and_variables_merge_key_by_key() {
    let files = with(&[
        (PROFILE, "[boot]\nkind = \"linux\"\nkernel = \"k\"\n"),
        (
            "config/profiles/other.toml",
            "[boot]\nkind = \"linux\"\nkernel = \"k\"\n",
        ),
        (
            HOSTS,
            r#"
[defaults]
profile = "debian-12"
local_boot = "no-file"
arch = "x86_64"
[defaults.vars]
timezone = "Europe/Oslo"
keys = ["ops"]
proxy = { host = "p", port = 3128 }
when = 2026-11-30T10:00:00Z

[groups.rack1]
local_boot = "exit"
[groups.rack1.vars]
keys = ["...", "rack"]
proxy.port = 8080

[groups.web]
group = "rack1"
profile = "other"
[groups.web.vars]
keys = ["web", "..."]
extra = ["...", 1]

[hosts.web01]
mac = ["52-54-00-47-86-8E"]
ip = "10.99.0.11"
group = "web"
arch = "aarch64"
install = "never"
loader = "special.efi"
uuid = "E2E00000-0000-0000-0000-000000000001"
serial = "ABC123"
notes = """two
lines"""
[hosts.web01.vars]
timezone = "UTC"
keys = ["...", "host", "..."]
[hosts.web01.vars.proxy]
user = "u"

[hosts.plain]
ip = "10.99.0.12"
"#,
        ),
    ]);
    let snapshot = snapshot(&files);
    let host = snapshot.host(&"web01".parse().unwrap()).unwrap();
    assert_eq!(host.mac().unwrap().to_string(), "52:54:00:47:86:8e");
    assert_eq!(names(&host.groups), ["web", "rack1"]);
    assert_eq!(host.profile.as_ref().unwrap().as_str(), "other");
    assert_eq!(host.arch, Some(Architecture::Aarch64));
    assert_eq!(host.local_boot, LocalBoot::Exit);
    assert_eq!(host.install, InstallPolicy::Never);
    assert_eq!(host.loader.as_deref(), Some("special.efi"));
    assert_eq!(host.serial.as_deref(), Some("ABC123"));
    let expected: toml::Table = toml::from_str(
        r#"
timezone = "UTC"
keys = ["web", "ops", "rack", "host", "web", "ops", "rack"]
proxy = { host = "p", port = 8080, user = "u" }
when = "2026-11-30T10:00:00Z"
extra = [1]
"#,
    )
    .unwrap();
    // What `"..."` stands for is known with the profile only.
    let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
    assert_eq!(variables::effective(&snapshot, host, profile), expected);

    let plain = snapshot.host(&"plain".parse().unwrap()).unwrap();
    assert_eq!(plain.profile.as_ref().unwrap().as_str(), "debian-12");
    assert_eq!(plain.vars["keys"], toml::Value::from(vec!["ops"]));
    assert_eq!(plain.vars["proxy"]["port"], toml::Value::from(3128));
}

#[test]
fn the_good_parts_of_a_bad_configuration_are_there_for_further_checks() {
    let loaded = load_all(&with(&[(
        HOSTS,
        "[groups.good]\nprofile = \"debian-12\"\n[groups.bad]\narch = \"z80\"\n\
         [hosts.a]\nip = \"10.99.0.11\"\ngroup = \"good\"\n\
         [hosts.b]\nip = \"10.99.0.12\"\ngroup = \"bad\"\n\
         [hosts.c]\nip = \"10.99.0.11\"\n\
         [hosts.d]\nip = \"10.99.0.14\"\ncolour = 1\n\
         [hosts.e]\nip = \"10.99.0.15\"\nprofile = \"none\"\n",
    )]));
    let codes: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(
        codes,
        [
            "unknown-arch",
            "duplicate-address",
            "unknown-key",
            "unknown-profile"
        ]
    );
    let snapshot = loaded.snapshot.unwrap();
    let hosts: Vec<_> = snapshot
        .hosts()
        .iter()
        .map(|host| host.name.to_string())
        .collect();
    assert_eq!(hosts, ["a", "e"]);
    assert_eq!(snapshot.hosts()[1].profile, None);
}

#[test]
fn deep_nesting_is_no_danger() {
    let mut text = String::from("[groups.g0]\narch = \"arm\"\n");
    for depth in 1..500 {
        let parent = depth - 1;
        let _ = writeln!(text, "[groups.g{depth}]\ngroup = \"g{parent}\"");
    }
    text.push_str("[hosts.x]\nip = \"10.99.0.11\"\ngroup = \"g499\"\n");
    let snapshot = snapshot(&with(&[(HOSTS, &text)]));
    assert_eq!(snapshot.hosts()[0].arch, Some(Architecture::Arm));
    assert_eq!(snapshot.hosts()[0].groups.len(), 500);
}

#[test]
fn files_of_other_systems_are_read() {
    let dos = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let snapshot = snapshot(&with(&[(MAIN, &dos(GOOD_MAIN)), (HOSTS, &dos(GOOD_HOSTS))]));
    assert_eq!(snapshot.hosts().len(), 1);
}

#[test]
fn a_reload_tells_what_it_changes() {
    let old = snapshot(&good());
    assert_eq!(
        SnapshotDiff::between(&old, &snapshot(&good())).to_string(),
        "nothing changed"
    );

    // A comment above moves everything and changes nothing.
    let moved = snapshot(&with(&[(HOSTS, &format!("# more\n\n{GOOD_HOSTS}"))]));
    assert!(SnapshotDiff::between(&old, &moved).is_empty());

    let main = GOOD_MAIN.replace("\"br0\"", "\"br1\"").replace(
        "[[subnet]]",
        "state_dir = \"/srv\"\n[http]\nport = 80\n[[subnet]]\ndns = [\"10.99.0.3\"]",
    ) + "[[subnet]]\nnetwork = \"10.98.0.0/24\"\n";
    let hosts = format!(
        "{}install = \"never\"\n[hosts.web01.vars]\na = 1\n[hosts.web02]\nip = \"10.98.0.12\"\n",
        GOOD_HOSTS.replace("86:8e", "86:8f")
    );
    let new = snapshot(&with(&[
        (MAIN, &main),
        (HOSTS, &hosts),
        ("config/templates/new.j2", ""),
        (
            "config/profiles/b.toml",
            "[boot]\nkind = \"chain\"\nurl = \"x\"\n",
        ),
    ]));
    let diff = SnapshotDiff::between(&old, &new);
    assert_eq!(
        diff.to_string(),
        "+1 host (web02), web01 mac 52:54:00:47:86:8e → 52:54:00:47:86:8f and install once → never and vars.a; \
         subnets added: 10.98.0.0/24; subnets changed: lab (dns – → 10.99.0.3); profiles changed: b; \
         templates changed: new.j2; settings changed: [server] interfaces br0 → br1; \
         needs a restart: [server] state_dir /var/lib/bootwright → /srv, [http] port 8080 → 80"
    );
    let back = SnapshotDiff::between(&new, &old);
    assert_eq!(names(&back.hosts_removed), ["web02"]);
    assert_eq!(names(&back.subnets_removed), ["10.98.0.0/24"]);
    assert_eq!(names(&back.profiles), ["b"]);
}

#[test]
fn a_long_list_of_changes_is_counted() {
    let mut hosts = GOOD_HOSTS.to_owned();
    for number in 20..29 {
        let _ = writeln!(hosts, "[hosts.h{number}]\nip = \"10.99.0.{number}\"");
    }
    let diff = SnapshotDiff::between(&snapshot(&good()), &snapshot(&with(&[(HOSTS, &hosts)])));
    assert_eq!(
        diff.to_string(),
        "+9 hosts (h20, h21, h22, h23, h24 and 4 more)"
    );
}

#[test]
fn many_hosts_are_told_by_what_changes() {
    let hosts = |last: u8, profile: &str| {
        let mut hosts = GOOD_HOSTS.to_owned();
        for number in 20..29 {
            let ip = if number == 20 { last } else { number };
            let _ = writeln!(
                hosts,
                "[hosts.h{number}]\nip = \"10.99.0.{ip}\"\n{profile}\n[hosts.h{number}.vars]\npassword_hash = \"$6$a{last}\"\nsize = {last}"
            );
        }
        snapshot(&with(&[(HOSTS, &hosts)]))
    };
    let old = hosts(20, "install = \"once\"");
    let diff = SnapshotDiff::between(&old, &hosts(120, "install = \"never\""));
    assert_eq!(
        diff.to_string(),
        "h20 address .20 → .120, install once → never for 9 hosts, vars changes for 9 hosts"
    );
    let lines = diff.lines();
    assert_eq!(lines.len(), 9);
    assert_eq!(
        lines[0],
        "~ host h20: ip 10.99.0.20 → 10.99.0.120, install once → never, vars.password_hash, vars.size 20 → 120"
    );
    // Whoever reads it gets no password, and JSON is the same.
    let json = serde_json::to_string(&diff).expect("JSON");
    assert!(!json.contains("$6$"), "{json}");
    let back: SnapshotDiff = serde_json::from_str(&json).expect("its own JSON");
    assert_eq!(back, diff);
}

#[test]
fn an_address_is_short_within_its_network() {
    let hosts = |ip: &str| {
        let hosts = GOOD_HOSTS.replace("10.99.0.11", ip);
        snapshot(&with(&[(HOSTS, &hosts)]))
    };
    let told = SnapshotDiff::between(&hosts("10.99.0.31"), &hosts("10.99.0.41"));
    assert_eq!(told.to_string(), "web01 address .31 → .41");
    assert_eq!(told.lines(), ["~ host web01: ip 10.99.0.31 → 10.99.0.41"]);
}

#[test]
fn hooks_are_read_and_their_receivers_kept_short() {
    let main = |hooks: &str| format!("{GOOD_MAIN}\n{hooks}");
    let read = |hooks: &str| snapshot(&with(&[(MAIN, &main(hooks))]));
    let both = "[[hook]]\nurl = \"https://[::1]:9000/a/secret?path=1\"\nevents = \"host.unknown\"\nsecret = \"hook-key\"\ntimeout = \"5s\"\n\n[[hook]]\nexec = [\"/usr/local/bin/told\", \"--quiet\"]\n";
    let snapshot = read(both);
    let [posted, run] = snapshot.hooks.as_slice() else {
        panic!("{:?}", snapshot.hooks);
    };
    assert_eq!(posted.to_string(), "https://[::1]:9000");
    assert_eq!(posted.secret.as_deref(), Some("hook-key"));
    assert_eq!(posted.timeout, Duration::from_secs(5));
    assert!(posted.wants(Kind::HostUnknown) && !posted.wants(Kind::InstallUp));
    assert_eq!(run.to_string(), "/usr/local/bin/told");
    assert_eq!(run.timeout, Duration::from_secs(30));
    assert!(run.wants(Kind::InstallUp) && !run.wants(Kind::HostUnknown));

    let diff = |old: &str, new: &str| SnapshotDiff::between(&read(old), &read(new)).to_string();
    assert_eq!(diff(both, &format!("# moved\n{both}")), "nothing changed");
    assert_eq!(
        diff(both, &both.replace("5s", "6s")),
        "settings changed: [[hook]]"
    );
}

#[test]
fn other_options_of_a_profile_are_a_change() {
    let read = |options: &str| {
        let profile = format!("{options}[boot]\nkind = \"chain\"\nurl = \"x\"\n");
        snapshot(&with(&[("config/profiles/b.toml", &profile)]))
    };
    let diff = |old: &str, new: &str| SnapshotDiff::between(&read(old), &read(new)).to_string();
    let text = "options = [{ code = 250, text = \"{{ host.name }}\" }]\n";
    assert_eq!(diff(text, &format!("# moved\n{text}")), "nothing changed");
    for other in [
        "",
        "options = [{ code = 250, text = \"x\" }]\n",
        "options = [{ code = 250, text = \"{{ host.name }}\", force = true }]\n",
        "options = [{ code = 251, text = \"{{ host.name }}\" }]\n",
        "options = [{ code = 250, hex = \"00\" }]\n",
    ] {
        assert_eq!(diff(text, other), "profiles changed: b", "{other}");
    }
}

#[test]
fn patterns_of_events() {
    use bootwright::config::snapshot::Hook;
    for (pattern, name, fits) in [
        ("install.*", "install.up", true),
        ("install.*", "install", false),
        ("*", "host.unknown", true),
        ("*.failed", "install.failed", true),
        ("*.failed", "install.failed.x", false),
        ("i*.*d", "install.failed", true),
        ("i**d", "install.failed", true),
        ("install.up", "install.up", true),
        ("install.up", "install.upx", false),
        ("*a*a*", "a", false),
        ("aa*aa", "aaa", false),
    ] {
        assert_eq!(
            Hook::matches_pattern(pattern, name),
            fits,
            "{pattern} {name}"
        );
    }
    assert!(!Hook::matches_pattern(&"*a".repeat(500), &"a".repeat(499)));
}

#[test]
fn what_a_hook_needs_and_has_not_is_a_warning() {
    let hooks = "\n[[hook]]\nurl = \"http://a.example/1\"\n[[hook]]\nurl = \"http://a.example/2\"\nsecret = \"hook-key\"\n[[hook]]\nexec = [\"/usr/local/bin/told\"]\n[[hook]]\nexec = [\"/there\"]\n";
    let mut files = with(&[(MAIN, &format!("{GOOD_MAIN}{hooks}"))]);
    files.insert("/there", "");
    let mut snapshot = snapshot(&files);
    let codes = |snapshot: &Snapshot| -> Vec<&str> {
        let warnings = bootwright::config::hook_warnings(&files, snapshot);
        assert!(warnings.iter().all(|problem| {
            problem.severity == bootwright::config::Severity::Warning && !problem.labels.is_empty()
        }));
        warnings.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(&snapshot), ["not-signed", "no-secret", "no-program"]);
    let secret = bootwright::config::Secret::new("x", false);
    snapshot.secrets.insert(None, "hook-key", secret);
    assert_eq!(codes(&snapshot), ["not-signed", "no-program"]);
}

#[test]
fn options_of_the_nearest_layer() {
    let files = with(&[
        (
            MAIN,
            &format!(
                "{GOOD_MAIN}dns_search = [\"lab.example\", \"example\"]\noptions = [{{ code = 26, u16 = 1500 }}, {{ name = \"root-path\", text = \"/srv\", force = true }}]\n"
            ),
        ),
        (
            HOSTS,
            r#"[defaults]
options = [{ code = 224, u8 = 1 }, { code = 225, u32 = 1 }, { code = 226, bool = true }]
[groups.outer]
options = [{ code = 225, u32 = 2 }, { code = 227, ip = ["10.0.0.1", "10.0.0.2"] }]
[groups.inner]
group = "outer"
options = [{ code = 227, ip = "10.0.0.3" }]
[hosts.web01]
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
group = "inner"
options = [{ code = 226, hex = "0a:0b", force = true }, { name = "ntp-servers", ip = ["10.99.0.9"] }]
[hosts.web02]
mac = "52:54:00:47:86:8f"
ip = "10.99.0.12"
"#,
        ),
    ]);
    let before = snapshot(&files);
    let told = |name: &str| -> Vec<(u8, Vec<u8>, bool)> {
        let host = before.host(&name.parse().expect("a name")).expect("a host");
        let options = host.options.iter();
        options
            .map(|option| (option.code, option.data.to_vec(), option.force))
            .collect()
    };
    assert_eq!(
        told("web01"),
        [
            (42, vec![10, 99, 0, 9], false),
            (224, vec![1], false),
            (225, vec![0, 0, 0, 2], false),
            (226, vec![10, 11], true),
            (227, vec![10, 0, 0, 3], false),
        ]
    );
    assert_eq!(
        told("web02"),
        [
            (224, vec![1], false),
            (225, vec![0, 0, 0, 1], false),
            (226, vec![1], false),
        ]
    );
    let subnet = &before.subnets[0];
    assert_eq!(subnet.dns_search, ["lab.example", "example"]);
    assert_eq!(&*subnet.options[0].data, 1500_u16.to_be_bytes());
    assert_eq!(
        (subnet.options[1].code, subnet.options[1].force),
        (17, true)
    );
    let mut after = before.clone();
    after.subnets[0].options.clear();
    after.subnets[0].dns_search.clear();
    assert_eq!(
        SnapshotDiff::between(&before, &after).to_string(),
        format!(
            "subnets changed: {} (dns_search lab.example, example → –, options)",
            subnet.name
        )
    );
}

#[test]
fn hosts_beside_another_server() {
    let files = with(&[
        (
            MAIN,
            &format!("{GOOD_MAIN}mode = \"proxy\"\n[dhcp]\nproxy_port = 4012\n"),
        ),
        (
            HOSTS,
            "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nsubnet = \"lab\"\nprofile = \"debian-12\"\n",
        ),
    ]);
    let before = snapshot(&files);
    assert_eq!(before.server.proxy_port, 4_012);
    assert_eq!(before.subnets[0].mode, Mode::Proxy);
    let host = before
        .host(&"web01".parse().expect("a name"))
        .expect("a host");
    assert_eq!((host.ip, host.subnet), (None, 0));
    assert_eq!(host.fqdn().as_deref(), Some("web01.lab.example"));
    let mut after = before.clone();
    after.subnets[0].mode = Mode::Off;
    after.server.proxy_port = 4_011;
    let told = SnapshotDiff::between(&before, &after).to_string();
    assert!(
        told.contains("subnets changed: lab (mode proxy → off)"),
        "{told}"
    );
    assert!(told.contains("[dhcp] proxy_port"), "{told}");
}
