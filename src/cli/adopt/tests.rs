use std::path::Path;

use clap::Parser as _;
use tempfile::TempDir;

use super::*;
use crate::cli::args::{Args, Command};
use crate::decide::free::RuledOut;

const NEW: &str = "52:54:00:12:34:56";

/// A configuration in which another server gives the addresses: nobody is asked about any.
fn site(reservations: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::create_dir_all(config.join("profiles")).unwrap();
    std::fs::create_dir_all(config.join("templates")).unwrap();
    std::fs::write(
        config.join("bootwright.toml"),
        "[server]\ninterfaces = [\"nosuch0\"]\nstate_dir = \"../state\"\n\
         [[subnet]]\nname = \"lab\"\nnetwork = \"10.99.0.0/24\"\nmode = \"proxy\"\n\
         [[subnet]]\nname = \"far\"\nnetwork = \"10.50.0.0/24\"\nmode = \"proxy\"\n\
         [[subnet]]\nname = \"own\"\nnetwork = \"10.60.0.0/24\"\n",
    )
    .unwrap();
    std::fs::write(config.join("reservations.toml"), reservations).unwrap();
    folder
}

fn adopt(folder: &Path, words: &str) -> Result<String, String> {
    let line = format!("bootwright adopt {words}");
    let args = Args::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
    let Command::Adopt(asked) = args.command else {
        panic!("{line}")
    };
    let mut out = Vec::new();
    run(
        &folder.join("config/bootwright.toml"),
        &asked,
        args.format,
        &mut out,
    )
    .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn reservations(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("config/reservations.toml")).unwrap()
}

/// What the machine was seen as, as a daemon that is gone has left it.
fn seen(folder: &Path) {
    std::fs::create_dir_all(folder.join("state")).unwrap();
    let saved = serde_json::json!({ "format": 1, "machines": [{
        "mac": NEW, "first": "2026-11-21T09:00:00Z", "last": "2026-11-21T10:00:00Z", "times": 2,
        "packets": 9, "place": { "iface": "nosuch0", "relay": "10.50.0.1" }, "stage": "uefi-arm64",
        "arch": "aarch64", "uuid": "e2e00000-0000-0000-0000-000000000001",
    }]});
    std::fs::write(folder.join("state/unknown.json"), saved.to_string()).unwrap();
}

#[test]
fn a_new_host_with_what_was_seen_of_it() {
    let other = "[hosts.web01]\nmac  = \"52:54:00:47:86:8e\" # the first\nsubnet = \"lab\"\n";
    let site = site(other);
    let folder = site.path();
    let error = adopt(folder, &format!("{NEW} --name web09")).unwrap_err();
    assert!(error.contains("was seen is not known"), "{error}");
    assert!(error.contains("there are lab, far, own"), "{error}");
    seen(folder);
    let shown = adopt(folder, &format!("{NEW} --name web09 --dry-run")).unwrap();
    assert!(shown.contains("+[hosts.web09]\n"), "{shown}");
    assert!(shown.contains("\n+subnet = \"far\"\n"), "{shown}");
    assert!(
        shown.ends_with("nothing was written (--dry-run)\n"),
        "{shown}"
    );
    assert_eq!(reservations(folder), other);
    let shown = adopt(folder, &format!("{NEW} --name web09")).unwrap();
    assert!(shown.starts_with("web09 added: "), "{shown}");
    assert!(
        shown.contains("note: another DHCP server gives the addresses of far"),
        "{shown}"
    );
    assert!(shown.contains("no daemon runs"), "{shown}");
    let text = reservations(folder);
    assert!(text.starts_with(other), "{text}");
    let written: toml::Table = text.parse().unwrap();
    let web09 = &written["hosts"]["web09"];
    assert_eq!(web09["mac"].as_str(), Some(NEW));
    assert_eq!(web09["subnet"].as_str(), Some("far"));
    assert_eq!(web09["arch"].as_str(), Some("aarch64"));
    // Nobody names a UUID here.
    assert_eq!(web09.get("uuid"), None);
    let error = adopt(folder, &format!("{NEW} --name web10")).unwrap_err();
    assert_eq!(error, format!("{NEW} is web09's already"));
}

#[test]
fn the_uuid_goes_along_where_others_have_theirs() {
    let site = site(
        "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nsubnet = \"lab\"\nuuid = \"00000000-1111-2222-3333-444444444444\"\n",
    );
    seen(site.path());
    adopt(site.path(), &format!("{NEW} --name web09 --subnet lab")).unwrap();
    let written: toml::Table = reservations(site.path()).parse().unwrap();
    let web09 = &written["hosts"]["web09"];
    assert_eq!(web09["subnet"].as_str(), Some("lab"));
    assert_eq!(
        web09["uuid"].as_str(),
        Some("e2e00000-0000-0000-0000-000000000001")
    );
}

#[test]
fn what_cannot_be_is_refused_and_nothing_is_written() {
    let other = "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nsubnet = \"lab\"\n";
    let site = site(other);
    for (words, told) in [
        (
            "nonsense --name web09".to_owned(),
            "invalid value 'nonsense'",
        ),
        (NEW.to_owned(), "--name"),
        (
            format!("{NEW} --name web09 --subnet nosuch"),
            "no [[subnet]] is called",
        ),
        (
            format!("{NEW} --name web01 --subnet lab"),
            "is there already",
        ),
        (
            format!("{NEW} --name web09 --subnet lab --group nosuch"),
            "nothing was changed",
        ),
        (
            format!("{NEW} --name web! --subnet lab"),
            "invalid value 'web!'",
        ),
        (format!("{NEW} --replace web02"), "web02"),
        (
            format!("{NEW} --replace web01 --old {NEW}"),
            "is no MAC of web01: it has 52:54:00:47:86:8e",
        ),
        (
            format!("{NEW} --replace web01 --name web09"),
            "cannot be used with",
        ),
    ] {
        let error = adopt(site.path(), &words).unwrap_err();
        assert!(error.contains(told), "{words}: {error}");
    }
    assert_eq!(reservations(site.path()), other);
}

#[test]
fn a_replaced_card_takes_the_place_of_the_old_one() {
    let site = site(
        "# ours\n[hosts.one]\nmac = \"5254.0047.868E\"  # by hand\nsubnet = \"lab\"\n\n\
         [hosts.bond]\nmac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"] # both\nsubnet = \"lab\"\n\n\
         [hosts.held]\nip = \"10.60.0.9\"\n",
    );
    let folder = site.path();
    let shown = adopt(folder, &format!("{NEW} --replace one")).unwrap();
    assert!(
        shown.contains(&format!(
            "note: {NEW} takes the place of 52:54:00:47:86:8e\n"
        )),
        "{shown}"
    );
    assert!(reservations(folder).contains(&format!(
        "# ours\n[hosts.one]\nmac = \"{NEW}\"  # by hand\n"
    )));
    let error = adopt(folder, "02:00:00:00:00:01 --replace bond").unwrap_err();
    assert!(error.contains("--old, or --add"), "{error}");
    let old = "02:00:00:00:00:01 --replace bond --old 52:54:00:00:00:01";
    adopt(folder, old).unwrap();
    let macs = |host: &str| {
        let written: toml::Table = reservations(folder).parse().unwrap();
        written["hosts"][host]["mac"].to_string()
    };
    assert_eq!(
        macs("bond"),
        "[\"02:00:00:00:00:01\", \"52:54:00:00:00:02\"]"
    );
    assert!(reservations(folder).contains("] # both\n"));
    adopt(folder, "02:00:00:00:00:02 --replace bond --add").unwrap();
    assert!(macs("bond").ends_with("\"02:00:00:00:00:02\"]"));
    adopt(folder, "02:00:00:00:00:03 --replace one --add").unwrap();
    assert_eq!(macs("one"), format!("[\"{NEW}\", \"02:00:00:00:00:03\"]"));
    // One that was only held.
    let json = adopt(folder, "02:00:00:00:00:04 --replace held --format json").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["entries"][0]["name"], &json["written"]),
        (&"held".into(), &true.into())
    );
    assert_eq!(macs("held"), "\"02:00:00:00:00:04\"");
}

#[test]
fn the_card_that_was_replaced_may_be_any_of_the_host() {
    let cards = "[hosts.two]\nmac = \"52:54:00:00:00:01\"\nsubnet = \"lab\"\n\n\
         [[hosts.two.nic]]\nmac = [\"52:54:00:00:00:02\", '5254.0000.0003'] # bond\nip = \"10.60.0.9\"\n";
    let site = site(cards);
    let error = adopt(site.path(), &format!("{NEW} --replace two")).unwrap_err();
    assert!(error.contains("52:54:00:00:00:03"), "{error}");
    let old = format!("{NEW} --replace two --old 52:54:00:00:00:03");
    adopt(site.path(), &old).unwrap();
    assert_eq!(
        reservations(site.path()),
        cards.replace("5254.0000.0003", NEW)
    );
}

#[test]
fn a_held_host_keeps_the_macs_of_its_further_cards() {
    let cards = "[hosts.n1]\nip = \"10.60.0.9\"\n\n[[hosts.n1.nic]]\nmac = \"52:54:00:00:00:02\"\nip = \"10.60.0.10\"\n";
    let site = site(cards);
    adopt(site.path(), &format!("{NEW} --replace n1")).unwrap();
    let written: toml::Table = reservations(site.path()).parse().unwrap();
    let host = &written["hosts"]["n1"];
    assert_eq!(host["mac"].as_str(), Some(NEW));
    assert_eq!(host["nic"][0]["mac"].as_str(), Some("52:54:00:00:00:02"));
    // The one that is named gives way.
    let site = self::site(cards);
    adopt(
        site.path(),
        &format!("{NEW} --replace n1 --old 52:54:00:00:00:02"),
    )
    .unwrap();
    assert_eq!(
        reservations(site.path()),
        cards.replace("52:54:00:00:00:02", NEW)
    );
}

#[test]
fn an_address_that_was_named_is_asked_about_and_the_machine_itself_is_no_news() {
    let ip = Ipv4Addr::new(10, 99, 0, 19);
    let mac: HardwareAddr = NEW.parse().unwrap();
    let found = |outs: &[(Test, &str)]| Suggestion {
        subnet: "lab".parse().unwrap(),
        network: "10.99.0.0/24".parse().unwrap(),
        free: Vec::new(),
        ruled_out: outs
            .iter()
            .map(|(by, what)| RuledOut::one(ip, *by, *what))
            .collect(),
        made: Vec::new(),
        not_made: Vec::new(),
        broken_off: false,
    };
    let ping = (Test::Ping, "answers to ping");
    let itself = format!("{NEW} answers");
    assert_eq!(
        who_has(&found(&[(Test::Arp, &itself), ping]), mac),
        [] as [String; 0]
    );
    assert_eq!(
        who_has(
            &found(&[(Test::Arp, "02:00:00:00:00:09 answers"), ping]),
            mac
        ),
        [
            "10.99.0.19 may be in use: 02:00:00:00:00:09 answers (arp)",
            "10.99.0.19 may be in use: answers to ping (ping)",
        ]
    );
    let leased = format!("leased by {NEW}");
    assert_eq!(
        who_has(&found(&[(Test::Lease, &leased)]), mac),
        [] as [String; 0]
    );
    // The files' own check tells of these.
    let reserved = [(Test::Reservation, "web01")];
    assert_eq!(who_has(&found(&reserved), mac), [] as [String; 0]);
}
