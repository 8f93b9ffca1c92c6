//! Lines for servers that run as programs: dnsmasq, ISC dhcpd, Kea.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Lines, Loader};
use crate::base::Firmware;

pub(super) fn dnsmasq(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "Into a file of its own, such as /etc/dnsmasq.d/bootwright.conf; then `dnsmasq --test` and restart it.",
            "dnsmasq's own TFTP server is not needed: leave enable-tftp out, or it serves files of its own.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    text.push_str("\n# iPXE, by its user class (option 77) or its own options (175)\ndhcp-userclass=set:bootwright-ipxe,iPXE\ndhcp-match=set:bootwright-ipxe,175\n");
    let _ = writeln!(
        text,
        "dhcp-boot=tag:bootwright-ipxe,{},,{}",
        lines.script, lines.server
    );
    text.push_str("\n# Firmware, by PXE: its vendor class, and its number of option 93\ndhcp-vendorclass=set:bootwright-pxe,PXEClient\n");
    for loader in &lines.pxe {
        let tag = loader.word("bootwright");
        for code in loader.codes {
            let _ = writeln!(text, "dhcp-match=set:{tag},option:client-arch,{code}");
        }
        let _ = writeln!(
            text,
            "dhcp-boot=tag:bootwright-pxe,tag:{tag},tag:!bootwright-ipxe,{},,{}",
            loader.file, lines.server
        );
    }
    text.push_str("\n# Firmware, by UEFI HTTP Boot, which wants its own class back\ndhcp-vendorclass=set:bootwright-http,HTTPClient\ndhcp-option-force=tag:bootwright-http,option:vendor-class,HTTPClient\n");
    for loader in &lines.http {
        let tag = loader.word("bootwright-http");
        for code in loader.codes {
            let _ = writeln!(text, "dhcp-match=set:{tag},option:client-arch,{code}");
        }
        let _ = writeln!(
            text,
            "dhcp-boot=tag:bootwright-http,tag:{tag},tag:!bootwright-ipxe,{},,{}",
            loader.file, lines.server
        );
    }
    text
}

/// The statements that tell machines apart, at an indentation.
pub(super) fn dhcpd_statements(lines: &Lines<'_>) -> Vec<String> {
    let mut text = vec![
        "if exists user-class and option user-class ~~ \"iPXE\" {".to_owned(),
        format!("  filename \"{}\";", lines.script),
    ];
    let any = |loader: &Loader| {
        let tests: Vec<String> = loader
            .codes
            .iter()
            .map(|code| {
                let [high, low] = code.to_be_bytes();
                format!("option bootwright-arch = {high:02x}:{low:02x}")
            })
            .collect();
        tests.join(" or ")
    };
    let mut branches = |condition: &str, loaders: &[Loader], before: &[String]| {
        text.push(format!("}} elsif {condition} {{"));
        text.extend(before.iter().map(|line| format!("  {line}")));
        for (index, loader) in loaders.iter().enumerate() {
            let word = if index == 0 { "if" } else { "} elsif" };
            text.push(format!("  {word} {} {{", any(loader)));
            text.push(format!("    filename \"{}\";", loader.file));
        }
        if !loaders.is_empty() {
            text.push("  }".to_owned());
        }
    };
    branches(
        "substring (option vendor-class-identifier, 0, 10) = \"HTTPClient\"",
        &lines.http,
        &["option vendor-class-identifier \"HTTPClient\";".to_owned()],
    );
    branches(
        "substring (option vendor-class-identifier, 0, 9) = \"PXEClient\"",
        &lines.pxe,
        &[
            format!("next-server {};", lines.server),
            format!("option tftp-server-name \"{}\";", lines.server),
        ],
    );
    text.push("}".to_owned());
    text
}

/// The declaration that the statements need.
pub(super) const DHCPD_ARCH: &str = "option bootwright-arch code 93 = unsigned integer 16;";

pub(super) fn dhcpd(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "Into dhcpd.conf: the first line at its top; the rest there too, for all subnets, or within the subnet's",
            "braces, for it alone. Then `dhcpd -t`.",
            "Leave other `filename` and `next-server` lines out: a host's own ones win over these.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    let _ = writeln!(text, "\n{DHCPD_ARCH}\n");
    for line in dhcpd_statements(lines) {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

pub(super) fn kea(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "//",
        &[
            "Into \"Dhcp4\" of kea-dhcp4.conf; where there is a list of client-classes, add these to it. Then `kea-dhcp4 -t FILE`.",
            "Kea sends the boot file in the header's `file` field; do not set option 67 as well: without a NUL at its end some",
            "ROMs ask for the name with the next byte behind it.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    let next_server = lines.server.to_string();
    let codes = |loader: &Loader| {
        let tests: Vec<String> = loader
            .codes
            .iter()
            .map(|code| format!("option[93].hex == 0x{code:04x}"))
            .collect();
        format!("({})", tests.join(" or "))
    };
    let mut classes: Vec<Value> = vec![json!({
        "name": "bootwright-ipxe",
        // Bare, as iPXE sends it, or as one of a list (RFC 3004).
        "test": "option[77].hex == 'iPXE' or substring(option[77].hex, 1, 4) == 'iPXE'",
        "boot-file-name": lines.script,
    })];
    for loader in &lines.http {
        classes.push(json!({
            "name": loader.word("bootwright-http"),
            "test": format!("substring(option[60].hex, 0, 10) == 'HTTPClient' and {} and not member('bootwright-ipxe')", codes(loader)),
            "boot-file-name": loader.file,
            "option-data": [{ "name": "vendor-class-identifier", "data": "HTTPClient", "always-send": true }],
        }));
    }
    for loader in &lines.pxe {
        // A BIOS may tell no number at all.
        let test = match loader.firmware {
            Firmware::Bios => format!("({} or not option[93].exists)", codes(loader)),
            _ => codes(loader),
        };
        classes.push(json!({
            "name": loader.word("bootwright"),
            "test": format!("substring(option[60].hex, 0, 9) == 'PXEClient' and {test} and not member('bootwright-ipxe')"),
            "next-server": next_server,
            "boot-file-name": loader.file,
            "option-data": [{ "name": "tftp-server-name", "data": next_server }],
        }));
    }
    let list = serde_json::to_string_pretty(&classes).unwrap_or_default();
    let _ = writeln!(text, "\"client-classes\": {list}");
    text
}
