//! Which rendered files a change changes, and for whom: held against rendering every host on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bootwright::config::SnapshotDiff;
use bootwright::config::diff::FileFate;
use bootwright::config::source::MemoryFiles;
use bootwright::render::View;
use bootwright::render::compare::difference;
use bootwright::render::load::{InForce, load};

const MAIN: &str = r#"
[server]
interfaces = ["br0"]
domain = "lab.example"

[[subnet]]
name = "lab"
network = "10.99.0.0/24"
server = "10.99.0.2"
router = "10.99.0.1"

[[subnet]]
name = "other"
network = "10.98.0.0/24"
server = "10.98.0.2"
"#;

const PROFILE: &str = r#"
title = "TITLE"
family = "other"
[boot]
kind = "linux"
kernel = "k/linux"
cmdline = "ip={{ host.ip }} name={{ host.name }}"
[[answers]]
name = "answer.cfg"
template = "answer.j2"
[[answers]]
name = "late.sh"
template = "late.j2"
"#;

/// The files of a configuration, which a test changes.
#[derive(Clone)]
struct Files(BTreeMap<&'static str, String>);

impl Files {
    fn new() -> Self {
        let mut hosts =
            "[defaults]\nprofile = \"one\"\n[groups.two]\nprofile = \"two\"\n".to_owned();
        for number in 11..=30 {
            let (net, group) = if number % 4 == 0 { (98, "") } else { (99, "") };
            let group = if number % 3 == 0 {
                "group = \"two\"\n"
            } else {
                group
            };
            let _ = writeln!(
                hosts,
                "[hosts.h{number}]\nmac = \"52:54:00:00:00:{number}\"\nip = \"10.{net}.0.{number}\"\n{group}"
            );
            if number % 5 == 0 {
                let _ = writeln!(hosts, "[hosts.h{number}.vars]\nsize = {number}");
            }
        }
        let files = [
            ("c/bootwright.toml", MAIN.to_owned()),
            ("c/reservations.toml", hosts),
            ("c/profiles/one.toml", PROFILE.to_owned()),
            ("c/profiles/two.toml", PROFILE.replace("late.j2", "two.j2")),
            (
                "c/templates/answer.j2",
                "name {{ host.name }}\nrouter {{ subnet.router | default('none') }}\n{% if host.name == 'h17' %}odd{% endif %}\n{{ vars.size | default(0) }}\n{% include 'part.j2' %}".to_owned(),
            ),
            ("c/templates/part.j2", "part of {{ host.fqdn }}\n".to_owned()),
            ("c/templates/late.j2", "late {{ host.mac }}\n".to_owned()),
            ("c/templates/two.j2", "two\n".to_owned()),
        ];
        Self(files.into())
    }

    fn with(&self, file: &'static str, from: &str, to: &str) -> Self {
        let mut files = self.clone();
        let text = files.0.get_mut(file).unwrap();
        assert!(text.contains(from), "{from}");
        *text = text.replacen(from, to, 1);
        files
    }

    fn load(&self) -> Arc<InForce> {
        let files: MemoryFiles = self.0.clone().into_iter().collect();
        let loaded = load(&files, Path::new("c/bootwright.toml"), 1);
        loaded
            .config
            .unwrap_or_else(|| panic!("{:#?}", loaded.problems))
    }
}

/// Every text of a host by its name.
fn texts(in_force: &InForce, name: &str) -> BTreeMap<String, String> {
    let snapshot = &in_force.snapshot;
    let Some(host) = snapshot.host(&name.parse().unwrap()) else {
        return BTreeMap::new();
    };
    let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
    let view = View {
        snapshot,
        host,
        profile,
        arch: bootwright::base::Architecture::X86_64,
        server: snapshot.subnet_of(host).unwrap().example_server,
        token: None,
    };
    let renderer = &in_force.renderer;
    let answers = profile.answers.iter().map(|answer| {
        let text = renderer.answer(&view, &answer.name).unwrap().unwrap();
        (
            answer.name.clone(),
            format!("{}\n{}", text.content_type, text.text),
        )
    });
    let boot = (
        "boot.ipxe".to_owned(),
        format!("{:?}", renderer.boot(&view)),
    );
    answers.chain([boot]).collect()
}

type Changes = BTreeSet<(String, FileFate, String)>;

/// What rendering every host tells.
fn one_by_one(old: &InForce, new: &InForce) -> Changes {
    let mut changes = Changes::new();
    for host in new.snapshot.hosts() {
        if old.snapshot.host(&host.name).is_none() {
            continue;
        }
        let (before, after) = (
            texts(old, host.name.as_str()),
            texts(new, host.name.as_str()),
        );
        for name in before.keys().chain(after.keys()) {
            let fate = match (before.get(name), after.get(name)) {
                (Some(before), Some(after)) if before == after => continue,
                (Some(_), Some(_)) => FileFate::Changed,
                (None, _) => FileFate::New,
                (_, None) => FileFate::Gone,
            };
            changes.insert((name.clone(), fate, host.name.to_string()));
        }
    }
    changes
}

fn told(diff: &SnapshotDiff) -> Changes {
    let files = diff.files.iter();
    files
        .flat_map(|file| {
            let hosts = file.hosts.iter();
            hosts.map(|host| (file.name.clone(), file.what, host.to_string()))
        })
        .collect()
}

/// What is told of a change, which is what every host's files say; both ways.
fn change(files: &Files) -> SnapshotDiff {
    let (old, new) = (Files::new().load(), files.load());
    let back = difference(&new, &old);
    assert_eq!(told(&back), one_by_one(&new, &old), "back");
    let diff = difference(&old, &new);
    assert_eq!(told(&diff), one_by_one(&old, &new));
    diff
}

#[test]
fn what_no_text_shows_changes_no_file() {
    let hosts = "c/reservations.toml";
    let good = Files::new();
    assert!(change(&good).is_empty());
    let noted = good.with(
        hosts,
        "ip = \"10.99.0.11\"",
        "ip = \"10.99.0.11\"\nnotes = \"new\"",
    );
    assert_eq!(change(&noted).to_string(), "h11 notes");
    let lease = good.with(
        "c/bootwright.toml",
        "[[subnet]]",
        "[dhcp]\nlease_time = \"2h\"\n[[subnet]]",
    );
    assert_eq!(change(&lease).files, []);
    let added = good.with(
        hosts,
        "[hosts.h11]",
        "[hosts.h40]\nmac = \"52:54:00:00:00:40\"\nip = \"10.99.0.40\"\n[hosts.h11]",
    );
    assert_eq!(change(&added).to_string(), "+1 host (h40)");
    let comment = good.with("c/templates/answer.j2", "name", "{# who #}name");
    assert_eq!(change(&comment).to_string(), "templates changed: answer.j2");
}

#[test]
fn a_host_of_its_own_changes_its_own_files() {
    let hosts = "c/reservations.toml";
    let good = Files::new();
    let moved = good.with(hosts, "10.99.0.13", "10.99.0.113");
    assert_eq!(
        change(&moved).to_string(),
        "h13 address .13 → .113, boot.ipxe changes for h13"
    );
    let card = good.with(hosts, "00:00:11", "00:00:99");
    let said = change(&card).to_string();
    assert!(said.ends_with("late.sh changes for h11"), "{said}");
    change(&good.with(hosts, "size = 25", "size = 26"));
    change(&good.with(
        hosts,
        "ip = \"10.99.0.11\"",
        "ip = \"10.99.0.11\"\nfqdn = \"other.lab.example\"",
    ));
    change(&good.with(hosts, "[hosts.h12]", "[hosts.h12]\nprofile = \"one\""));
}

#[test]
fn what_all_share_changes_the_files_of_those_who_see_it() {
    let good = Files::new();
    let part = change(&good.with("c/templates/part.j2", "part of", "a part of"));
    assert_eq!(
        part.to_string(),
        "answer.cfg changes for 20 hosts; templates changed: part.j2"
    );
    let two = change(&good.with("c/templates/two.j2", "two", "2"));
    assert_eq!(two.files.len(), 1);
    assert_eq!(
        (two.files[0].name.as_str(), two.files[0].hosts.len()),
        ("late.sh", 7)
    );
    // Only those in the subnet.
    let router = change(&good.with(
        "c/bootwright.toml",
        "router = \"10.99.0.1\"",
        "router = \"10.99.0.9\"",
    ));
    assert_eq!(router.files[0].hosts.len(), 15);
    change(&good.with(
        "c/bootwright.toml",
        "domain = \"lab.example\"",
        "domain = \"lab.test\"",
    ));
    change(&good.with(
        "c/bootwright.toml",
        "[[subnet]]",
        "[http]\nport = 80\n[[subnet]]",
    ));
    change(&good.with(
        "c/reservations.toml",
        "[groups.two]",
        "[defaults.vars]\nsize = 7\n[groups.two]",
    ));
    change(&good.with(
        "c/profiles/one.toml",
        "name={{ host.name }}",
        "name={{ host.fqdn }}",
    ));
    let answers = change(&good.with(
        "c/profiles/two.toml",
        "name = \"late.sh\"",
        "name = \"later.sh\"",
    ));
    let fates: Vec<_> = answers
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.what))
        .collect();
    assert_eq!(
        fates,
        [("late.sh", FileFate::Gone), ("later.sh", FileFate::New)]
    );
}

#[test]
fn a_text_that_happens_to_be_one_hosts_own_hides_no_other() {
    let good = Files::new();
    // The values of the first and of the last of the hosts that render alike.
    for name in ["h11", "h30"] {
        let late = change(&good.with("c/templates/late.j2", "{{ host.mac }}", name));
        assert_eq!(late.files[0].hosts.len(), 13);
    }
    for own in ["52:54:00:00:00:11", "52:54:00:00:00:29"] {
        let diff = change(&good.with("c/templates/late.j2", "{{ host.mac }}", own));
        assert!(diff.files[0].hosts.len() >= 12, "{:?}", diff.files);
    }
    // One that a template looks at.
    change(&good.with("c/templates/answer.j2", "'h17'", "'h18'"));
    change(&good.with("c/templates/answer.j2", "odd", "even"));
}
