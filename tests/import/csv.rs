//! Tables with separators.

use std::fmt::Write as _;

use bootwright::import::csv::read;
use proptest::prelude::*;

use crate::support::{assert_is_toml, samples, shown, source};

#[test]
fn of_a_spreadsheet_with_semicolons() {
    insta::assert_snapshot!(shown(read(&samples("csv/semicolon.csv"))));
}

#[test]
fn with_tabs_and_several_cards_in_a_row() {
    insta::assert_snapshot!(shown(read(&samples("csv/tabs.tsv"))));
}

#[test]
fn without_a_header() {
    insta::assert_snapshot!(shown(read(&samples("csv/headless.csv"))));
}

#[test]
fn with_a_header_that_is_a_comment() {
    insta::assert_snapshot!(shown(read(&samples("csv/marked.csv"))));
}

#[test]
fn columns_have_their_usual_spellings() {
    for header in [
        "name,mac,ip",
        "Hostname;MAC Address;IP-Address",
        "HOST\tHwAddr\tIPv4",
        "machine|mac_addr|ip_addr",
        "\u{feff}\"Computer Name\",\"Physical Address\",\"IPv4 Address\"",
        "node,macaddress,primary_ip\r",
    ] {
        let separator = header.chars().find(|c| ",;\t|".contains(*c)).unwrap();
        let row = ["web01", "52:54:00:47:86:8e", "10.99.0.11"].join(&separator.to_string());
        let imported = read(&source("t", &format!("{header}\n{row}\n"))).unwrap();
        assert_eq!(imported.left, [], "{header}");
        let [host] = imported.hosts.as_slice() else {
            panic!("{header}: {imported:?}");
        };
        assert_eq!(host.name.as_str(), "web01", "{header}");
        assert_eq!(host.macs.len(), 1, "{header}");
        assert_eq!(host.ip, Some([10, 99, 0, 11].into()), "{header}");
    }
}

#[test]
fn a_hyphen_is_an_empty_cell() {
    let header = "name,mac,ip,group,secure_boot,serial,rack,vars.sign";
    let row = |cell: &str| format!("web01,52:54:00:47:86:8e,10.99.0.11{}", cell.repeat(4));
    let read = |cell: &str, sign: &str| {
        let text = format!("{header}\n{},{sign}\n", row(cell));
        read(&source("t", &text)).unwrap()
    };
    let empty = read(",", "");
    assert_eq!(empty.hosts.len(), 1);
    assert_eq!(read(",-", ""), empty);
    assert_eq!(read(", - ", ""), empty);
    // What `bootwright export csv` has written comes back.
    let sign = read(",", "-");
    let [host] = sign.hosts.as_slice() else {
        panic!("{sign:?}")
    };
    assert_eq!(host.vars["sign"].as_str(), Some("-"));
    let text = "-,52:54:00:47:86:8e,web01\n-,52:54:00:47:86:8f,web02\n";
    let headless = bootwright::import::csv::read(&source("t", text)).unwrap();
    let names: Vec<&str> = headless
        .hosts
        .iter()
        .map(|host| host.name.as_str())
        .collect();
    assert_eq!(names, ["web01", "web02"]);
}

#[test]
fn the_line_of_a_row_is_the_one_that_it_begins_on() {
    let text = "name,mac,notes\n\n# so\na,xx,\"1\n2\n3\"\n\n# c\nb,yy,\n";
    let imported = read(&source("t", text)).unwrap();
    let lines: Vec<usize> = imported.left.iter().map(|left| left.line).collect();
    assert_eq!(lines, [4, 9], "{:?}", imported.left);
}

#[test]
fn what_is_no_table_is_refused_with_its_line() {
    let wide = format!("name,ip\na{}\n", ",".repeat(600));
    for (text, line, what) in [
        (wide.as_str(), 2, "no list of machines"),
        ("", 1, "no table"),
        ("# only\n\n", 1, "no table"),
        ("\n\nfoo,bar\n1,2\n", 3, "name the columns"),
        (
            "name,ip\na,10.0.0.1\nb,\"10.0.0.2\nc,10.0.0.3\n",
            3,
            "never closed",
        ),
    ] {
        let error = read(&source("t", text)).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.what.contains(what), "{text:?}: {error}");
    }
}

proptest! {
    #[test]
    fn cells_come_through_as_they_are(
        cells in prop::collection::vec("[ -~äß€\n]{1,20}", 1..6),
        separator in prop::sample::select(vec![',', ';', '\t', '|']),
    ) {
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let mut text = format!("name{separator}rack{separator}mac\n");
        for (index, cell) in cells.iter().enumerate() {
            writeln!(text, "h{index}{separator}{}{separator}", quoted(cell)).unwrap();
        }
        let imported = read(&source("t", &text)).unwrap();
        prop_assert_eq!(imported.hosts.len(), cells.len());
        assert_is_toml(&imported);
        for (host, cell) in imported.hosts.iter().zip(&cells) {
            let rack = host.vars.get("rack").and_then(|value| value.as_str());
            // Nothing is known, in the words of tables.
            let known = Some(cell.trim()).filter(|cell| *cell != "-");
            prop_assert_eq!(rack.unwrap_or_default(), known.unwrap_or_default());
        }
    }

    #[test]
    fn whatever_stands_there(text in r#"[a-c0-9:.,;|"'#\n\r\t =-]{0,80}"#) {
        if let Ok(imported) = read(&source("t", &format!("name,mac,ip\n{text}"))) {
            assert_is_toml(&imported);
        }
    }
}
