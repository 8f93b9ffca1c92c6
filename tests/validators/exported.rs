//! What is exported for other programs, read by those programs.

#[path = "../offline/site.rs"]
mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bootwright::export::router::{Router, router_config};
use bootwright::export::{Format, ZoneSettings, export};

use super::tools;

/// A folder of its own for each test, kept to be looked at.
fn folder(name: &str) -> PathBuf {
    let folder = tools::place().join("exported").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn write(folder: &Path, format: Format) -> Vec<PathBuf> {
    let mut in_force = (*site::in_force(&site::files(&[]))).clone();
    // Kea looks for its interfaces.
    in_force.snapshot.server.interfaces = vec!["lo".to_owned()];
    let settings = ZoneSettings {
        serial: 2_026_112_201,
        name_servers: vec!["ns1.elsewhere.example".to_owned()],
        ..ZoneSettings::default()
    };
    let texts = export(&in_force.snapshot, format, &settings).texts;
    let write = |text: bootwright::export::Text| {
        let file = folder.join(text.name);
        fs::write(&file, text.text).unwrap();
        file
    };
    texts.into_iter().map(write).collect()
}

/// The lines for a router, between a head and a tail that make them a whole.
fn lines(folder: &Path, router: Router, head: &str, tail: &str) -> PathBuf {
    let in_force = site::in_force(&site::files(&[]));
    let lab = "lab".parse().unwrap();
    let written = router_config(&in_force.snapshot, router, Some(&lab)).unwrap();
    let file = folder.join(format!("router-{router}"));
    fs::write(&file, format!("{head}{}{tail}", written.texts[0].text)).unwrap();
    file
}

fn dnsmasq_test(file: &Path) {
    tools::run(
        Command::new("dnsmasq").arg("--test").arg("-C").arg(file),
        "",
    )
    .unwrap();
}

fn dhcpd_test(file: &Path) {
    tools::run(
        Command::new("dhcpd").args(["-4", "-t", "-cf"]).arg(file),
        "",
    )
    .unwrap();
}

fn kea_test(file: &Path) {
    tools::run(Command::new("kea-dhcp4").arg("-t").arg(file), "").unwrap();
}

#[test]
fn dnsmasq() {
    let folder = folder("dnsmasq");
    dnsmasq_test(&write(&folder, Format::Dnsmasq)[0]);
    dnsmasq_test(&lines(&folder, Router::Dnsmasq, "", ""));
}

#[test]
fn dhcpd() {
    let folder = folder("dhcpd");
    dhcpd_test(&write(&folder, Format::Dhcpd)[0]);
    dhcpd_test(&lines(&folder, Router::Dhcpd, "", ""));
    // What the router makes of the parameters: the marks of EdgeOS taken back.
    let edgeos = fs::read_to_string(lines(&folder, Router::EdgeOs, "", "")).unwrap();
    let parameters = |of: &str| -> String {
        let line = edgeos.lines().find(|line| line.contains(of)).unwrap();
        line.split('\'').nth(1).unwrap().replace("&quot;", "\"")
    };
    let file = folder.join("as-edgeos-writes-it.conf");
    let text = format!(
        "{}\nsubnet 10.99.0.0 netmask 255.255.255.0 {{\n{}\n}}\n",
        parameters("global-parameters"),
        parameters("subnet-parameters")
    );
    fs::write(&file, text).unwrap();
    dhcpd_test(&file);
}

#[test]
fn kea() {
    let folder = folder("kea");
    kea_test(&write(&folder, Format::Kea)[0]);
    let head = "{ \"Dhcp4\": { \"interfaces-config\": { \"interfaces\": [] }, \"lease-database\": { \"type\": \"memfile\", \"persist\": false },\n";
    kea_test(&lines(&folder, Router::Kea, head, "} }\n"));
}

#[test]
fn zones() {
    let folder = folder("zone");
    let files = write(&folder, Format::Zone);
    assert!(files.len() == 9, "{files:?}");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let zone = name.strip_prefix("db.").unwrap();
        tools::run(Command::new("named-checkzone").arg(zone).arg(&file), "").unwrap();
    }
}

#[test]
fn ansible() {
    let folder = folder("ansible");
    let file = &write(&folder, Format::Ansible)[0];
    // The YAML reader that Ansible has, and what it expects of an inventory.
    let script = "import sys, yaml\n\
        top = yaml.safe_load(open(sys.argv[1]))\n\
        def look(group):\n\
        \x20   assert set(group) <= {'hosts', 'children', 'vars'}, group\n\
        \x20   for name, host in (group.get('hosts') or {}).items():\n\
        \x20       assert isinstance(name, str) and isinstance(host, dict), name\n\
        \x20       print(name)\n\
        \x20   for name, child in (group.get('children') or {}).items():\n\
        \x20       assert isinstance(name, str), name\n\
        \x20       look(child)\n\
        assert list(top) == ['all']\n\
        look(top['all'])\n";
    let python = tools::of_venv("python3");
    let said = tools::run(Command::new(python).arg("-c").arg(script).arg(file), "").unwrap();
    assert_eq!(said.lines().count(), 13, "{said}");
}
