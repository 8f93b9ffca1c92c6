//! ISC dhcpd.

use bootwright::import::dhcpd::read;
use bootwright::import::{Imported, Nothing, Source};
use proptest::prelude::*;

use crate::files::{Site, damaged, sample};
use crate::shown::shown;

fn site() -> Site {
    Site::default()
        .file("/etc/dhcp/keys.conf", sample("dhcpd", "keys.conf").text)
        .address("bulb.home.example", [192, 168, 10, 77])
}

fn snapshot(name: &str) {
    let imported = read(&[sample("dhcpd", &format!("{name}.conf"))], &site()).unwrap();
    insta::assert_snapshot!(name, shown(&imported));
}

#[test]
fn a_small_network_at_home() {
    snapshot("home");
}

#[test]
fn a_campus_of_shared_networks_pools_and_groups() {
    snapshot("campus");
}

#[test]
fn chainloading_in_its_idioms() {
    snapshot("ipxe");
}

#[test]
fn odd_and_broken_statements() {
    snapshot("odd");
}

fn of(text: &str) -> Result<Imported, bootwright::import::ImportError> {
    let source = Source {
        name: "dhcpd.conf".to_owned(),
        text: text.to_owned(),
    };
    read(&[source], &Nothing)
}

#[test]
fn files_that_include_each_other_end() {
    let site = Site::default().file("a", "include \"a\"; include \"a\"; option nonsense 1;");
    let source = Source {
        name: "dhcpd.conf".to_owned(),
        text: "include \"a\";\ninclude \"b\";\n".to_owned(),
    };
    let imported = read(&[source], &site).unwrap();
    assert!(
        imported
            .left
            .iter()
            .any(|left| left.why.contains("too many"))
    );
    let missing = imported
        .left
        .iter()
        .find(|left| left.what.contains("\"b\""))
        .unwrap();
    assert_eq!((missing.file.as_str(), missing.line), ("dhcpd.conf", 2));
}

#[test]
fn a_text_that_is_no_configuration_names_its_line() {
    let error = of("option domain-name \"a\";\nsubnet 10.0.0.0 netmask 255.0.0.0 {\n").unwrap_err();
    assert_eq!(error.line, 2);
    assert_eq!(
        error.to_string(),
        "dhcpd.conf, line 2: the `}` of the block that begins here is missing"
    );
}

/// Statements with a mark by which they are found again: a text that must show in what is read, or in what is left, or
/// the line alone in what is left.
fn statement() -> impl Strategy<Value = String> {
    prop_oneof![
        (1..250_u8).prop_map(|n| format!("option root-path \"mark{n}\";")),
        (1..250_u8).prop_map(|n| format!("option log-servers 10.9.9.{n};")),
        (1..250_u8).prop_map(|n| format!("option nonsense-{n} 5;")),
        (1..250_u8).prop_map(|n| format!("max-lease-time {n};")),
        (1..250_u8).prop_map(|n| format!("filename \"file{n}.0\";")),
        (1..250_u8).prop_map(|n| format!("next-server 10.9.8.{n};")),
        (1..250_u8).prop_map(|n| format!("host h{n} {{ hardware ethernet 02:00:00:00:01:{n:02x}; fixed-address 10.0.1.{n}; }}")),
        (1..250_u8).prop_map(|n| format!("subnet 10.0.{n}.0 netmask 255.255.255.0 {{ option routers 10.0.{n}.1; range 10.0.{n}.9 10.0.{n}.99; }}")),
        Just("authoritative;".to_owned()),
        Just("ddns-update-style none;".to_owned()),
        Just("class \"x\" { match if known; }".to_owned()),
        Just("on commit { log(info, \"x\"); }".to_owned()),
        Just("if known { option root-path \"x\"; }".to_owned()),
        Just("frobnicate yes;".to_owned()),
        Just("pool { range 10.0.1.100 10.0.1.120; }".to_owned()),
        Just("key k { algorithm hmac-md5; }".to_owned()),
    ]
}

proptest! {
    #[test]
    fn no_statement_is_lost(statements in prop::collection::vec((statement(), 0..4_u8), 0..40)) {
        let mut text = String::new();
        let mut open = 0;
        for (statement, nest) in &statements {
            match nest {
                0 => {
                    text.push_str("group { host g { hardware ethernet 02:00:00:00:02:01; }\n");
                    open += 1;
                }
                1 if open > 0 => {
                    text.push_str("}\n");
                    open -= 1;
                }
                _ => {}
            }
            text.push_str(statement);
            text.push('\n');
        }
        text.push_str(&"}".repeat(open));
        let imported = of(&text).unwrap();
        let shown = shown(&imported);
        for (index, line) in text.lines().enumerate() {
            let told = imported.left.iter().any(|left| left.line == index + 1);
            let words: Vec<&str> = line.split([' ', ';', '"']).filter(|word| !word.is_empty()).collect();
            let carried = words.iter().any(|word| {
                word.len() > 4 && shown.contains(word) || word.starts_with('h') && shown.contains(&format!("host {word} "))
            });
            prop_assert!(
                told || carried || line.trim_matches('}').is_empty(),
                "line {}: {line}\nof\n{text}\n{shown}", index + 1
            );
        }
    }

    #[test]
    fn broken_bytes_never_panic(seed in 0..3_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..20)) {
        let name = ["home.conf", "campus.conf", "ipxe.conf"][seed];
        let text = damaged(sample("dhcpd", name).text, &edits, b"{};\"#\\");
        if let Ok(imported) = of(&text) {
            prop_assert!(imported.hosts.len() + imported.left.len() <= 8 * text.len() + 8);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n]{0,400}") {
        if let Err(error) = of(&text) {
            prop_assert!(error.line >= 1 && error.line <= text.lines().count() + 1);
        }
    }
}
