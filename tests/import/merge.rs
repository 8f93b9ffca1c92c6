//! `bootwright import`: printing and merging.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

const RESERVATIONS: &str = "\
# Ours.

[defaults]
profile = \"debian-12\"

[groups.web]             # in front
[groups.web.vars]
packages = [\"nginx\"]

# The first one.
[hosts.web01]
mac   = \"52:54:00:47:86:8e\"   # port 1
ip    = \"10.99.0.11\"
group = \"web\"
notes = \"ours\"

[hosts.other]
mac = \"52:54:00:00:00:99\"
ip  = \"10.99.0.99\"
";

/// A small good configuration, where commands look for it.
struct Site(TempDir);

struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        for below in ["profiles", "templates"] {
            std::fs::create_dir_all(config.join(below)).unwrap();
        }
        std::fs::write(
            config.join("bootwright.toml"),
            "[server]\ninterfaces = [\"nosuch0\"]\nstate_dir = \"../state\"\n\n[[subnet]]\nname = \"lab\"\nnetwork = \"10.99.0.0/24\"\nrouter = \"10.99.0.1\"\n",
        )
        .unwrap();
        std::fs::write(
            config.join("profiles/debian-12.toml"),
            "title = \"Debian\"\nfamily = \"debian\"\nlifecycle = \"live\"\n[boot]\nkind = \"linux\"\nkernel = \"k\"\n",
        )
        .unwrap();
        let site = Self(folder);
        std::fs::write(site.file(), RESERVATIONS).unwrap();
        site
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("config/reservations.toml")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn run(&self, line: &str) -> Ran {
        self.run_with(line, "")
    }

    fn run_with(&self, line: &str, stdin: &str) -> Ran {
        let output = Command::cargo_bin("bootwright")
            .unwrap()
            .current_dir(self.0.path())
            .env_remove("BOOTWRIGHT_CONFIG")
            .env("PATH", "/nowhere")
            .args(line.split(' '))
            .write_stdin(stdin)
            .output()
            .unwrap();
        Ran {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/samples");
    path.join(name).display().to_string()
}

const TABLE: &str = "name,mac,ip,group,serial\nweb01,,,web,LAB-1\nweb02,52:54:00:47:86:8f,10.99.0.12,web,LAB-2\ndb01,52:54:00:47:86:90,10.99.0.21,db,\n";

#[test]
fn what_is_printed_is_a_reservations_file() {
    let site = Site::new();
    let ran = site.run(&format!("import libvirt {}", sample("libvirt")));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let table: toml::Table = toml::from_str(&ran.out).unwrap();
    assert!(table["hosts"].as_table().unwrap().contains_key("web01"));
    assert!(
        ran.out.contains("# [[subnet]]\n# name    = \"lab\""),
        "{}",
        ran.out
    );
    assert!(
        ran.err
            .contains("several.xml:39: <kernel>/boot/vmlinuz</kernel>\n    direct boots this file"),
        "{}",
        ran.err
    );
    // A file that was printed is one that can be put in place, but for hosts without an address.
    assert!(ran.err.contains("direct: no address"), "{}", ran.err);
    assert_eq!(site.text(), RESERVATIONS);
}

#[test]
fn json_is_one_document() {
    let site = Site::new();
    let ran = site.run(&format!(
        "import kvm-mgr {} --format json",
        sample("kvm-mgr/site.json")
    ));
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["format"], "kvm-mgr");
    assert_eq!(report["hosts"], 4);
    let left = report["left"].as_array().unwrap();
    assert!(left.iter().all(|left| left["why"].is_string()), "{left:?}");
    toml::from_str::<toml::Table>(report["reservations"].as_str().unwrap()).unwrap();
}

#[test]
fn the_report_alone_can_be_json() {
    let site = Site::new();
    let ran = site.run(&format!(
        "import csv {} --report json",
        sample("csv/semicolon.csv")
    ));
    assert_eq!(ran.status, 0, "{}", ran.err);
    toml::from_str::<toml::Table>(&ran.out).unwrap();
    let (left, _) = ran.err.rsplit_once("]\n").unwrap();
    let left: serde_json::Value = serde_json::from_str(&format!("{left}]")).unwrap();
    assert_eq!(left[0]["line"], 2);
}

#[test]
fn a_dry_run_shows_the_difference_and_writes_nothing() {
    let site = Site::new();
    site.put("t.csv", TABLE);
    let ran = site.run("import csv t.csv --into config/reservations.toml --dry-run");
    assert_eq!(ran.status, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out);
    assert!(
        ran.err
            .contains("1 group added, 2 hosts added, 1 host changed (not written)"),
        "{}",
        ran.err
    );
    assert_eq!(site.text(), RESERVATIONS);
}

#[test]
fn a_merge_keeps_the_rest_and_changes_nothing_the_second_time() {
    let site = Site::new();
    site.put("t.csv", TABLE);
    let ran = site.run("import csv t.csv --into auto");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ran.out, "");
    let merged = site.text();
    assert!(ran.err.contains("no daemon runs"), "{}", ran.err);
    assert!(merged.starts_with("# Ours.\n"), "{merged}");
    for line in [
        "[groups.web]             # in front",
        "# The first one.\n[hosts.web01]\nmac    = \"52:54:00:47:86:8e\"   # port 1\n",
        "serial = \"LAB-1\"",
        "[hosts.db01]",
        "notes  = \"ours\"",
    ] {
        assert!(merged.contains(line), "{line}\n{merged}");
    }
    let ran = site.run("import csv t.csv --into auto");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("nothing changes: 3 hosts as they were"),
        "{}",
        ran.err
    );
    assert_eq!(site.text(), merged);
}

#[test]
fn every_format_merged_twice_changes_nothing_the_second_time() {
    for (format, path) in [
        ("cobbler", "cobbler"),
        ("cobbler", "cobbler-3.4"),
        ("csv", "csv/marked.csv"),
        ("csv", "csv/headless.csv"),
        ("dhcpd", "dhcpd/home.conf"),
        ("dnsmasq", "dnsmasq/home.conf"),
        ("kea", "kea/home.json"),
        ("kvm-mgr", "kvm-mgr/site.json"),
        ("libvirt", "libvirt"),
        ("proxmox", "proxmox"),
    ] {
        let site = Site::new();
        std::fs::write(site.file(), "").unwrap();
        let server = site.0.path().join("config/bootwright.toml");
        let path = sample(path);
        let line = format!("import {format} {path} --into auto --with-subnets --subnet lab");
        let texts = || (site.text(), std::fs::read_to_string(&server).unwrap());
        let ran = site.run(&line);
        assert_eq!(ran.status, 0, "{path}: {}", ran.err);
        let once = texts();
        assert!(once.0.contains("[hosts."), "{path}: {}", ran.err);
        let ran = site.run(&line);
        assert_eq!(ran.status, 0, "{path}: {}", ran.err);
        assert!(ran.err.contains("nothing changes"), "{path}: {}", ran.err);
        assert_eq!(once, texts(), "{path}");
    }
}

#[test]
fn what_differs_is_set_and_notes_stay() {
    let site = Site::new();
    site.put(
        "t.csv",
        "name,mac,ip,notes\nWEB01,52:54:00:47:86:8E,10.99.0.31,theirs\n",
    );
    let ran = site.run("import csv t.csv --into auto");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("`notes` is \"ours\" there and stays"),
        "{}",
        ran.err
    );
    assert_eq!(
        site.text(),
        RESERVATIONS.replace("10.99.0.11\"", "10.99.0.31\"")
    );

    let site = Site::new();
    site.put("t.csv", "name,ip\nweb01,10.99.0.31\n");
    let ran = site.run("import csv t.csv --into auto --keep");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("`ip` is \"10.99.0.11\" there and stays"),
        "{}",
        ran.err
    );
    assert_eq!(site.text(), RESERVATIONS);
}

#[test]
fn a_partial_manifest_touches_its_own_hosts_only_and_libvirt_adds_what_it_lacks() {
    let site = Site::new();
    site.put(
        "m.json",
        r#"[{"host": "hv", "vmspecs": [{"name": "db01", "hostname": "db01", "ipaddress": "10.99.0.21", "vcpus": 2}]}]"#,
    );
    let ran = site.run("import kvm-mgr m.json --into auto --group db");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let held = site.text();
    let ours = held.replace("[groups.db]\n\n", "");
    assert!(ours.starts_with(RESERVATIONS), "{held}");
    assert!(ours.len() < held.len(), "{held}");
    site.put(
        "d.xml",
        "<domain><name>db01</name><devices><interface><mac address='52:54:00:00:00:21'/></interface></devices></domain>",
    );
    let ran = site.run("import libvirt d.xml --into auto");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let bound = site.text();
    let table: toml::Table = toml::from_str(&bound).unwrap();
    let host = &table["hosts"]["db01"];
    assert_eq!(host["mac"].as_str(), Some("52:54:00:00:00:21"), "{bound}");
    assert_eq!(host["ip"].as_str(), Some("10.99.0.21"), "{bound}");
    assert_eq!(host["vars"]["vm"]["vcpus"].as_integer(), Some(2), "{bound}");
}

#[test]
fn an_address_or_mac_of_another_host_refuses_all_of_it() {
    for (row, places) in [
        ("new,52:54:00:47:86:8e,10.99.0.50", "52:54:00:47:86:8e"),
        ("new,52:54:00:00:00:50,10.99.0.99", "10.99.0.99"),
    ] {
        let site = Site::new();
        site.put(
            "t.csv",
            &format!("name,mac,ip\nfine,52:54:00:00:00:51,10.99.0.51\n{row}\n"),
        );
        for more in ["", " --dry-run"] {
            let ran = site.run(&format!("import csv t.csv --into auto{more}"));
            assert_eq!(ran.status, 1, "{}", ran.err);
            assert!(ran.err.contains(places), "{}", ran.err);
            assert!(ran.err.contains("reservations.toml:"), "{}", ran.err);
            assert!(ran.err.contains("nothing was changed"), "{}", ran.err);
            assert_eq!(site.text(), RESERVATIONS);
        }
    }
}

#[test]
fn hosts_without_an_address_get_the_next_free_ones_when_a_subnet_is_named() {
    let site = Site::new();
    site.put(
        "t.csv",
        "name,mac\na,52:54:00:00:00:51\nb,52:54:00:00:00:52\n",
    );
    let ran = site.run("import csv t.csv --into auto");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("[hosts.a]\n    no address of it is known"),
        "{}",
        ran.err
    );
    assert_eq!(site.text(), RESERVATIONS);
    let ran = site.run("import csv t.csv --into auto --subnet lab");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let table: toml::Table = toml::from_str(&site.text()).unwrap();
    let ip = |name: &str| table["hosts"][name]["ip"].as_str().unwrap().to_owned();
    // .1 is the router, .2 stands for the server.
    assert_eq!(
        (ip("a").as_str(), ip("b").as_str()),
        ("10.99.0.3", "10.99.0.4")
    );
}

#[test]
fn subnets_are_shown_or_added_with_the_hosts_that_need_them() {
    let site = Site::new();
    let path = sample("proxmox/100.conf");
    let ran = site.run(&format!("import proxmox {path} --into auto"));
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(site.text(), RESERVATIONS);
    site.put(
        "config/reservations.toml",
        "[hosts.other]\nmac = \"52:54:00:00:00:99\"\nip  = \"10.99.0.99\"\n",
    );
    let ran = site.run(&format!("import proxmox {path} --into auto --with-subnets"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let server = std::fs::read_to_string(site.0.path().join("config/bootwright.toml")).unwrap();
    assert!(server.ends_with("\n\n[[subnet]]\nnetwork = \"10.98.0.0/24\"\ndns     = [\"10.99.0.1\", \"10.99.0.2\"]\ndomain  = \"lab.example\"\n"), "{server}");
    assert_eq!(server.matches("10.99.0.0/24").count(), 1);
}

#[test]
fn a_profile_that_is_not_there_is_left_out_and_told() {
    let site = Site::new();
    let path = sample("cobbler/systems/web01.json");
    let profiles = sample("cobbler/profiles");
    let distros = sample("cobbler/distros");
    std::fs::write(site.file(), "[defaults]\nprofile = \"debian-12\"\n").unwrap();
    let ran = site.run(&format!(
        "import cobbler {path} {profiles} {distros} --into auto --with-subnets"
    ));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err
            .contains("there is no such profile here: bring profiles/rocky-9.toml"),
        "{}",
        ran.err
    );
    let text = site.text();
    assert!(
        text.contains("[groups.arm]\nprofile = \"debian-12\""),
        "{text}"
    );
    assert!(!text.contains("rocky-9\""), "{text}");
}

/// A machine whose firmware has Microsoft's keys in it.
const SECURE: &str = "<domain><name>sb01</name><os firmware='efi'><firmware><feature enabled='yes' name='enrolled-keys'/>\
    <feature enabled='yes' name='secure-boot'/></firmware></os><devices><interface><mac address='52:54:00:00:00:51'/></interface></devices></domain>";

#[test]
fn secure_boot_is_left_out_where_nothing_signed_could_be_booted() {
    const GROUPED: &str =
        "[groups.outer]\nprofile = \"debian-12\"\n\n[groups.inner]\ngroup = \"outer\"\n";
    let import = |site: &Site, more: &str| {
        site.put("d.xml", SECURE);
        let ran = site.run(&format!(
            "import libvirt d.xml --into auto --subnet lab{more}"
        ));
        assert_eq!(ran.status, 0, "{}", ran.err);
        let table: toml::Table = toml::from_str(&site.text()).unwrap();
        let told = "[hosts.sb01]\n    it has Secure Boot, but its profile debian-12 has no signed loader here";
        (
            table["hosts"]["sb01"].get("secure_boot").cloned(),
            ran.err.contains(told),
        )
    };
    let site = |reservations: &str| {
        let site = Site::new();
        std::fs::write(site.file(), reservations).unwrap();
        site
    };
    let (left_out, set) = ((None, true), (Some(true.into()), false));
    for (reservations, more) in [
        (RESERVATIONS, ""),
        (GROUPED, " --group inner"),
        ("", " --profile debian-12"),
        (
            "[hosts.sb01]\nip = \"10.99.0.51\"\nprofile = \"debian-12\"\n",
            "",
        ),
    ] {
        assert_eq!(
            import(&site(reservations), more),
            left_out,
            "{reservations}"
        );
    }
    for (reservations, more) in [
        // No profile, nothing to be refused.
        ("", ""),
        // One that is never installed, and a loader of its own.
        (
            "[groups.g]\nprofile = \"debian-12\"\ninstall = \"never\"\n",
            " --group g",
        ),
        (
            "[groups.g]\nprofile = \"debian-12\"\nloader = \"ours/shim.efi\"\n",
            " --group g",
        ),
    ] {
        assert_eq!(import(&site(reservations), more), set, "{reservations}");
    }
    let named = site(RESERVATIONS);
    let profile = named.0.path().join("config/profiles/debian-12.toml");
    let text = std::fs::read_to_string(&profile).unwrap();
    std::fs::write(&profile, format!("{text}shim = \"shim.efi\"\n")).unwrap();
    assert_eq!(import(&named, ""), set);
    let default = site(RESERVATIONS);
    let server = default.0.path().join("config/bootwright.toml");
    let text = std::fs::read_to_string(&server).unwrap();
    std::fs::write(
        &server,
        format!("{text}\n[boot]\nsecure = {{ uefi-x64 = \"shim.efi\" }}\n"),
    )
    .unwrap();
    assert_eq!(import(&default, ""), set);
}

#[test]
fn the_format_is_told_by_what_stands_in_the_file() {
    let site = Site::new();
    for (format, path) in [
        ("cobbler", "cobbler"),
        ("kvm-mgr", "kvm-mgr/site.json"),
        ("libvirt", "libvirt"),
        ("proxmox", "proxmox/100.conf"),
        ("csv", "csv/tabs.tsv"),
        ("dhcpd", "dhcpd/home.conf"),
        ("dnsmasq", "dnsmasq/home.conf"),
        ("dnsmasq", "dnsmasq/site.conf"),
        ("kea", "kea/home.json"),
    ] {
        let ran = site.run(&format!("import auto {} --format json", sample(path)));
        assert_eq!(ran.status, 0, "{path}: {}", ran.err);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["format"], format, "{path}");
    }
    site.put("x", "nothing of the kind\n");
    let ran = site.run("import auto x");
    assert_eq!(ran.status, 1);
    assert!(
        ran.err
            .contains("x is of no format that is known: name one (dhcpd,"),
        "{}",
        ran.err
    );
}

#[test]
fn standard_input_and_other_encodings_are_read() {
    let site = Site::new();
    let ran = site.run_with("import csv -", TABLE);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let plain = ran.out;
    let wide: Vec<u8> = std::iter::once(0xfeff)
        .chain(TABLE.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    std::fs::write(site.0.path().join("wide.csv"), wide).unwrap();
    assert_eq!(site.run("import csv wide.csv").out, plain);
    std::fs::write(site.0.path().join("latin.csv"), b"name\na\nb\xfc\n").unwrap();
    let ran = site.run("import csv latin.csv");
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("no UTF-8 (line 3)") && ran.err.contains("iconv"),
        "{}",
        ran.err
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_the_remedy() {
    let site = Site::new();
    site.put("bad.json", "[\n{\"host\": }]\n");
    std::fs::create_dir(site.0.path().join("empty")).unwrap();
    for (line, words) in [
        ("import libvirt", "apt-get install libvirt-clients"),
        ("import csv none.csv", "none.csv cannot be read"),
        ("import cobbler empty", "files that end in .json"),
        (
            "import kvm-mgr bad.json",
            "bad.json, line 2: `}` stands where a value was expected",
        ),
        (
            "import csv t.csv --into elsewhere.toml",
            "none of this configuration's reservations",
        ),
    ] {
        site.put("t.csv", TABLE);
        let ran = site.run(line);
        assert_eq!(ran.status, 1, "{line}: {}", ran.err);
        assert!(ran.err.contains(words), "{line}: {}", ran.err);
        assert_eq!(ran.out, "", "{line}");
    }
    for line in [
        "import",
        "import csv",
        "import foo x",
        "import csv t.csv --dry-run",
        "import csv t.csv --group a/b",
    ] {
        assert_eq!(site.run(line).status, 2, "{line}");
    }
}

#[test]
fn what_never_ends_is_not_read() {
    let site = Site::new();
    site.put("d.conf", "include \"/dev/zero\";\n");
    let ran = site.run("import dhcpd d.conf");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains("`/dev/zero` cannot be read"),
        "{}",
        ran.err
    );
    // Folders that hold themselves, in several ways.
    let folder = site.0.path().join("many");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    site.put("many/t.csv", "name,ip\na,10.99.0.50\n");
    for (name, to) in [("one", "."), ("two", "."), ("below/up", "..")] {
        std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    }
    let ran = site.run("import csv many");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ran.err, "1 host\n");
}

#[test]
fn only_what_changes_is_listed_and_tables_are_merged_key_by_key() {
    let site = Site::new();
    let path = sample("libvirt/web01.xml");
    let merge = || site.run(&format!("--format json import libvirt {path} --into auto"));
    assert_eq!(merge().status, 0);
    let entries = |ran: &Ran| -> serde_json::Value {
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        report["merged"]["entries"].clone()
    };
    assert_eq!(entries(&merge()), serde_json::json!([]));
    let text = site.text();
    let (before, inner) = text.split_once("vm = {").unwrap();
    site.put(
        "config/reservations.toml",
        &format!(
            "{before}vm = {{ mine = \"kept\",{}",
            inner.replacen("vcpus", "vpcus", 1)
        ),
    );
    let ran = merge();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(entries(&ran)[0]["what"], "changed");
    let text = site.text();
    assert!(
        text.contains("mine = \"kept\"") && text.contains(" vcpus = 2"),
        "{text}"
    );
}

/// A `virsh` that knows two domains and a network.
#[test]
fn a_running_libvirt_is_asked() {
    use std::os::unix::fs::PermissionsExt as _;

    let site = Site::new();
    let folder = site.0.path().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let virsh = folder.join("virsh");
    std::fs::write(
        &virsh,
        format!(
            "#!/bin/sh\n[ \"$1 $2 $3\" = '--quiet --connect qemu:///test' ] || {{ echo \"error: no such $*\" >&2; exit 1; }}\nshift 3\ncase \"$*\" in\n'list --all --name') printf 'web01\\ngone\\n\\n' ;;\n'net-list --all --name') echo lab ;;\n'net-dumpxml --inactive -- lab') cat {0}/lab-network.xml ;;\n'dumpxml --inactive -- web01') cat {0}/web01.xml ;;\n*) echo 'error: failed to get domain' >&2; exit 1 ;;\nesac\n",
            sample("libvirt")
        ),
    )
    .unwrap();
    std::fs::set_permissions(&virsh, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = |line: &str| {
        let path = format!("{}:/usr/bin:/bin", folder.display());
        let output = Command::cargo_bin("bootwright")
            .unwrap()
            .current_dir(site.0.path())
            .env("PATH", path)
            .args(line.split(' '))
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, out, err) = run("import libvirt --connect qemu:///test");
    assert_eq!(status, 0, "{err}");
    assert!(
        out.contains("[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\""),
        "{out}"
    );
    assert!(err.contains("virsh dumpxml gone: gone\n    `virsh dumpxml -- gone` failed: error: failed to get domain"), "{err}");
    let (status, _, err) = run("import libvirt");
    assert_eq!(status, 1);
    assert!(
        err.contains("no such") && err.contains("--connect URI"),
        "{err}"
    );
}
