//! `bootwright doctor dhcp`: looks for other DHCP servers.

use std::io::Write;

use crate::cli::client::Client;
use crate::cli::output::Format;
use crate::cli::runtime;
use crate::serve::admin::probe::{Places, Report};
use crate::serve::heard::{Found, Probed};

/// What to do about a server that is not expected.
pub(super) const REMEDY: &str = "stop it, or keep it from answering the machines that boot here; where it is to give the \
     addresses, set mode = \"proxy\" in the [[subnet]]";

/// Asks the daemon to look, and shows what it has found. Exit status 1 when an unexpected server answered, or
/// when there was no search.
pub(super) fn run(
    client: &Client,
    interfaces: &[String],
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let report = runtime()?.block_on(ask(client, interfaces))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{}", shown(&report))?;
    }
    Ok(u8::from(!is_well(&report)))
}

/// Whether it was looked, and no server found that is not expected.
fn is_well(report: &Report) -> bool {
    let well = |probed: &Probed| {
        probed.trouble.is_none() && probed.servers.iter().all(|found| found.expected)
    };
    !report.probed.is_empty() && report.probed.iter().all(well)
}

/// Has the daemon look. Takes some seconds.
pub(super) async fn ask(client: &Client, interfaces: &[String]) -> anyhow::Result<Report> {
    let places = Places {
        interfaces: interfaces.to_vec(),
    };
    client.post("/probe", &places).await
}

fn shown(report: &Report) -> String {
    let mut lines = Vec::new();
    if report.probed.is_empty() {
        lines.push("no interface was searched".to_owned());
    }
    for probed in &report.probed {
        let name = &probed.interface;
        match &probed.trouble {
            Some(trouble) => lines.push(format!("{name}: not looked: {trouble}")),
            None if probed.servers.is_empty() => {
                lines.push(format!("{name}: no other DHCP server answered"));
            }
            None => {
                let servers = probed.servers.iter();
                lines.extend(servers.map(|found| format!("{name}: {}", server(found))));
            }
        }
    }
    let mut found = report.probed.iter().flat_map(|probed| &probed.servers);
    if found.any(|found| !found.expected) {
        lines.push(format!("  {REMEDY}"));
    }
    let is_alone = |probed: &Probed| probed.trouble.is_none() && probed.servers.is_empty();
    let is_searched = !report.probed.is_empty();
    if is_searched && report.probed.iter().all(is_alone) && !report.proxied.is_empty() {
        lines.push(format!(
            "  nobody gives the addresses of {} (mode = \"proxy\"), at least none to a machine that it does \
             not know",
            report.proxied.join(", ")
        ));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// One server, in words.
pub(super) fn server(found: &Found) -> String {
    let offers = match found.address {
        Some(address) => format!("offers {address}"),
        None => "names a boot file".to_owned(),
    };
    let expected = if found.expected {
        ", as mode = \"proxy\" or \"off\" expects"
    } else {
        ""
    };
    format!(
        "another DHCP server, {} ({}), {offers}{expected}",
        found.ip, found.mac
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HardwareAddr;

    fn probed(servers: &[(u8, bool)]) -> Report {
        Report {
            probed: vec![Probed {
                interface: "br0".into(),
                servers: servers
                    .iter()
                    .map(|(last, expected)| Found {
                        ip: [10, 99, 0, *last].into(),
                        mac: HardwareAddr::ethernet([2, 0, 0, 0, 0, *last]),
                        address: Some([10, 99, 0, 77].into()),
                        expected: *expected,
                    })
                    .collect(),
                trouble: None,
            }],
            proxied: Vec::new(),
        }
    }

    #[test]
    fn what_was_found_is_shown_with_its_remedy() {
        assert_eq!(shown(&probed(&[])), "br0: no other DHCP server answered\n");
        let text = shown(&probed(&[(5, false)]));
        assert!(
            text.starts_with(
                "br0: another DHCP server, 10.99.0.5 (02:00:00:00:00:05), offers 10.99.0.77\n  stop it"
            ),
            "{text}"
        );
        let expected = shown(&probed(&[(5, true)]));
        assert!(!expected.contains("stop it"), "{expected}");
        let mut alone = probed(&[]);
        alone.proxied.push("lab".to_owned());
        assert!(shown(&alone).contains("nobody gives the addresses of lab"));
        alone.probed[0].trouble = Some("br0 is no Ethernet".to_owned());
        assert_eq!(shown(&alone), "br0: not looked: br0 is no Ethernet\n");
        assert!(!is_well(&alone) && is_well(&probed(&[(5, true)])));
        alone.probed.clear();
        assert!(!is_well(&alone));
        assert_eq!(shown(&alone), "no interface was searched\n");
    }
}
