//! `bootwright export` and `bootwright router-config`: what other programs are told.

use std::fmt::Write as _;
use std::path::Path;

use bootwright::cli::export::{Export, run_with};
use bootwright::cli::output::Format as Printed;
use bootwright::cli::router_config::{RouterConfig, run_with as router_run};
use bootwright::config::source::MemoryFiles;
use bootwright::export::router::{Router, RouterError, router_config};
use bootwright::export::{Exported, Format, ZoneSettings, export};
use clap::Parser;
use proptest::prelude::*;

use super::site::{HOSTS, MAIN, files, in_force};

fn exported(files: &MemoryFiles, format: Format) -> Exported {
    let settings = ZoneSettings {
        serial: 2_026_112_201,
        ..ZoneSettings::default()
    };
    export(&in_force(files).snapshot, format, &settings)
}

/// All texts and what was left out.
fn shown(exported: &Exported) -> String {
    let mut text = String::new();
    for one in &exported.texts {
        let _ = write!(text, "==> {} <==\n{}", one.name, one.text);
    }
    text.push_str("==> not exported <==\n");
    for left in &exported.left {
        let _ = writeln!(text, "{left}");
    }
    text
}

#[test]
fn every_format() {
    let files = files(&[]);
    for format in Format::ALL {
        insta::assert_snapshot!(format!("export-{format}"), shown(&exported(&files, format)));
    }
}

#[test]
fn every_router() {
    let files = files(&[]);
    let lab = "lab".parse().unwrap();
    for router in Router::ALL {
        let written = router_config(&in_force(&files).snapshot, router, Some(&lab)).unwrap();
        insta::assert_snapshot!(format!("router-{router}"), shown(&written));
    }
}

#[derive(Debug, Parser)]
struct ExportLine {
    #[command(flatten)]
    export: Export,
}

#[derive(Debug, Parser)]
struct RouterLine {
    #[command(flatten)]
    router: RouterConfig,
}

fn typed(files: &MemoryFiles, line: &str, printed: Printed) -> Result<(String, String), String> {
    let line = ExportLine::try_parse_from(["export"].into_iter().chain(line.split(' ')))
        .map_err(|error| error.to_string())?;
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    run_with(
        files,
        Path::new(MAIN),
        &line.export,
        printed,
        &mut out,
        &mut errors,
    )
    .map_err(|error| error.to_string())?;
    Ok((
        String::from_utf8(out).unwrap(),
        String::from_utf8(errors).unwrap(),
    ))
}

#[test]
fn what_is_printed() {
    let files = files(&[]);
    let (out, errors) = typed(&files, "hosts", Printed::Text).unwrap();
    assert!(
        out.contains("10.99.0.12      www.example.org web02\n"),
        "{out}"
    );
    assert!(
        errors.contains("not exported: host proxy01: it has no address"),
        "{errors}"
    );
    let (out, errors) = typed(&files, "csv", Printed::Json).unwrap();
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["format"], "csv");
    assert!(
        value["texts"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("name,fqdn,mac")
    );
    assert!(errors.is_empty());
    for (line, word) in [
        ("json", "ansible, csv"),
        ("zone --ns a$b", "a name server is a name"),
        ("zone --contact a;b", "a mailbox looks like"),
        ("hosts --into a --follow b", "cannot be used"),
        ("hosts --reload-command x", "--follow"),
    ] {
        let error = typed(&files, line, Printed::Text).unwrap_err();
        assert!(error.contains(word), "{line}: {error}");
    }
}

#[test]
fn files_are_written_only_when_they_change_and_serials_grow() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().display();
    let site = files(&[]);
    let line = format!("zone --into {into}");
    let (out, _) = typed(&site, &line, Printed::Text).unwrap();
    assert!(out.lines().all(|line| line.starts_with("wrote ")), "{out}");
    let lab = folder.path().join("db.lab.example");
    let serial = || {
        let text = std::fs::read_to_string(&lab).unwrap();
        let line = text
            .lines()
            .find(|line| line.ends_with("; serial"))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let first = serial();
    assert!(first > 2_026_000_000);
    let (out, _) = typed(&site, &line, Printed::Text).unwrap();
    assert!(!out.contains("wrote "), "{out}");
    // One host moves: its zones alone are written, with a greater number.
    let text = bootwright::config::source::Files::read(&site, Path::new(HOSTS)).unwrap();
    let moved = files(&[(HOSTS, &text.replace("10.99.0.21", "10.99.0.22"))]);
    let (out, _) = typed(&moved, &line, Printed::Text).unwrap();
    assert_eq!(serial(), first + 1);
    let wrote: Vec<&str> = out
        .lines()
        .filter(|line| line.starts_with("wrote "))
        .collect();
    assert_eq!(wrote.len(), 2, "{out}");
    // Of other formats a file.
    let file = folder.path().join("hosts");
    let line = format!("hosts --into {}", file.display());
    assert!(
        typed(&site, &line, Printed::Text)
            .unwrap()
            .0
            .starts_with("wrote ")
    );
    assert!(
        !typed(&site, &line, Printed::Text)
            .unwrap()
            .0
            .contains("wrote ")
    );
    // A link is not written through.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let line = format!("csv --into {}", link.display());
    assert!(
        typed(&site, &line, Printed::Text)
            .unwrap_err()
            .contains("a link")
    );
}

#[test]
fn a_router_is_asked_for_by_subnet_where_servers_differ() {
    let site = files(&[]);
    let all = in_force(&site);
    let error = router_config(&all.snapshot, Router::Dhcpd, None).unwrap_err();
    assert!(matches!(error, RouterError::Several(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("192.168.7.130 in beside, 172.16.0.2 in silent"),
        "{error}"
    );
    let nosuch = "nosuch".parse().unwrap();
    let error = router_config(&all.snapshot, Router::Dhcpd, Some(&nosuch)).unwrap_err();
    assert!(error.to_string().contains("lab, pool"), "{error}");
    let line = RouterLine::try_parse_from(["router-config", "kea", "--subnet", "beside"]).unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    router_run(
        &site,
        Path::new(MAIN),
        &line.router,
        Printed::Text,
        &mut out,
        &mut errors,
    )
    .unwrap();
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("\"next-server\": \"192.168.7.130\""), "{out}");
}

/// Every loader that is configured is told, under its own numbers and no others.
#[test]
fn routers_tell_every_architecture() {
    let site = files(&[]);
    let lab = "lab".parse().unwrap();
    let config = in_force(&site);
    for router in Router::ALL {
        let written = router_config(&config.snapshot, router, Some(&lab)).unwrap();
        let text = &written.texts[0].text;
        for loader in config.snapshot.server.loaders.values() {
            assert!(text.contains(loader.as_str()), "{router}: {loader}");
        }
        assert!(
            text.contains("http://10.99.0.2:8080/boot/boot.ipxe"),
            "{router}"
        );
        assert!(
            text.contains("http://10.99.0.2:8080/assets/ipxe/snponly.efi"),
            "{router}"
        );
    }
}

/// No text has anything of a host's variables.
#[test]
fn no_variable_is_exported() {
    let text = "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.99.0.9\"\n[hosts.a.vars]\nroot_password_hash = \"$6$verysecret\"\n";
    let site = files(&[(HOSTS, text)]);
    for format in Format::ALL {
        assert!(
            !shown(&exported(&site, format)).contains("verysecret"),
            "{format}"
        );
    }
}

/// A value that stands in quotation marks in TOML.
fn toml(text: &str) -> String {
    toml::Value::from(text).to_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever stands in names, notes and options: it is exported, and read as what it is.
    #[test]
    fn any_text_stays_text(
        notes in any::<String>(),
        option in "[ -~]{1,60}",
        nic in any::<String>(),
        bytes in prop::collection::vec(any::<u8>(), 1..40),
        loader in "[ -~]{1,30}",
    ) {
        prop_assume!(!notes.contains('\0') && !nic.contains('\0'));
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let hosts = format!(
            "[hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.99.0.9\"\nnotes = {}\noptions = [{{ code = 17, text = {} }}, {{ code = 224, hex = \"{}\" }}]\n[[hosts.a.nic]]\nmac = \"52:54:00:00:00:02\"\nip = \"10.99.0.10\"\nname = {}\n",
            toml(&notes), toml(&option), hex.join(" "), toml(&nic),
        );
        let mut site = files(&[(HOSTS, &hosts)]);
        let main = bootwright::config::source::Files::read(&site, Path::new(MAIN)).unwrap();
        site.insert(MAIN, format!("{main}\n[boot]\nloaders = {{ bios = {} }}\n", toml(&loader)));
        let loaded = bootwright::render::load::load(&site, Path::new(MAIN), 1);
        // What the configuration itself refuses is no matter here.
        let Some(config) = loaded.config else { return Ok(()) };
        for format in Format::ALL {
            let exported = export(&config.snapshot, format, &ZoneSettings::default());
            for text in &exported.texts {
                prop_assert!(!text.text.is_empty());
                match format {
                    Format::Kea => {
                        let value: serde_json::Value = serde_json::from_str(&text.text).unwrap();
                        let option = &value["Dhcp4"]["subnet4"][0]["reservations"][0]["option-data"];
                        prop_assert_eq!(option.as_array().map(Vec::len), Some(2));
                    }
                    Format::Csv => {
                        let quoted = format!("\"{}\"", notes.replace('"', "\"\""));
                        let plain = format!(",{notes},");
                        let is_whole = text.text.contains(&quoted) || text.text.contains(&plain);
                        prop_assert!(is_whole, "{}", text.text);
                    }
                    // One line for each statement: nothing breaks out of its line.
                    Format::Hosts => prop_assert_eq!(text.text.lines().count(), 3),
                    Format::Dnsmasq | Format::Dhcpd => {
                        let text = &text.text.replace("\\\\", "");
                        let quotes = text.matches('"').count() - text.matches("\\\"").count();
                        prop_assert!(quotes % 2 == 0, "{}", text);
                    }
                    Format::Zone | Format::Ansible => {}
                }
            }
        }
        let lab = "lab".parse().unwrap();
        for router in Router::ALL {
            let written = router_config(&config.snapshot, router, Some(&lab)).unwrap();
            prop_assert!(written.texts[0].text.contains("boot.ipxe"));
        }
    }
}
