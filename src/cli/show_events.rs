//! The text form of events and of a diagnosis. Pure: values in, text out.

use std::fmt::Write as _;

use super::table;
use crate::diagnose::{Cause, Diagnosis};
use crate::journal::Event;
use crate::journal::event::Kind;

/// One event as a line: when, what, who, why and the particulars; in brackets the address, the interface
/// and how much was sent. Without a line end.
pub fn event_line(event: &Event) -> String {
    let who = match (&event.host, event.mac, event.ip) {
        (Some(host), _, _) => host.to_string(),
        (None, Some(mac), _) => mac.to_string(),
        (None, None, Some(ip)) => ip.to_string(),
        (None, None, None) => "-".to_owned(),
    };
    let mut line = format!(
        "{}  {:<17}  {who:<17}  ",
        table::time(event.at),
        event.kind.as_str()
    );
    if let Some(stage) = &event.stage {
        let _ = write!(line, "{stage}: ");
    }
    line.push_str(&one_line(&event.in_words()));
    if let Some(count) = event.count.filter(|_| event.kind != Kind::JournalSummary) {
        let _ = write!(line, " ({count} of them)");
    }
    let facts = facts(event);
    if !facts.is_empty() {
        let _ = write!(line, "  [{}]", facts.join(", "));
    }
    printable(&line)
}

/// What stands in brackets behind an event.
fn facts(event: &Event) -> Vec<String> {
    let ip = event.ip.map(|ip| ip.to_string());
    let iface = event.iface.as_ref().map(|iface| format!("on {iface}"));
    let place = match (ip, iface) {
        (Some(ip), Some(iface)) => Some(format!("{ip} {iface}")),
        (ip, iface) => ip.or(iface),
    };
    // The bytes of a DHCP reply tell nobody anything.
    let sent = match event.kind {
        Kind::TftpSent | Kind::HttpScript | Kind::HttpAsset | Kind::HttpAnswer => event
            .transferred()
            .filter(|_| event.bytes.is_some_and(|bytes| bytes > 0)),
        _ => None,
    };
    [place, sent].into_iter().flatten().collect()
}

/// A diagnosis as `bootwright why` shows it; ends with a line end.
pub fn diagnosis(found: &Diagnosis) -> String {
    let mut text = format!("{}\n", found.standing);
    match &found.boot {
        None => {}
        Some(boot) => {
            let firmware = boot
                .firmware
                .as_ref()
                .map_or_else(String::new, |firmware| format!(", {firmware}"));
            let earlier = match found.boots_seen {
                0 | 1 => String::new(),
                2 => "; the journal knows an earlier one".to_owned(),
                seen => format!("; the journal knows {} earlier ones", seen - 1),
            };
            let _ = writeln!(
                text,
                "\nlast boot {}{firmware}{earlier}",
                table::time(boot.began)
            );
            let mut lines: Vec<(u64, String)> = boot
                .steps
                .iter()
                .map(|step| (step.after_ms, format!("  {}", step.what)))
                .chain(
                    boot.remarks
                        .iter()
                        .map(|remark| (remark.after_ms, format!("! {}", remark.what))),
                )
                .collect();
            lines.sort_by_key(|(after, _)| *after);
            for (after, line) in lines {
                let _ = writeln!(text, "{:>9} {}", offset(after), one_line(&line));
            }
        }
    }
    let _ = writeln!(text, "\n{}", found.verdict);
    text.push_str(&causes(&found.causes));
    printable(&text)
}

/// Likely causes, each with what was seen and what to do; an empty line comes before each.
pub fn causes(causes: &[Cause]) -> String {
    let mut text = String::new();
    for (number, cause) in causes.iter().enumerate() {
        let _ = writeln!(text, "\n  {}. {}", number + 1, cause.what);
        for evidence in &cause.evidence {
            let _ = writeln!(text, "     seen: {}", one_line(evidence));
        }
        let _ = writeln!(text, "     do:   {}", cause.remedy);
    }
    printable(&text)
}

/// `+0.0s`, `+12.3s`, `+10m04s`.
fn offset(ms: u64) -> String {
    match ms / 1_000 {
        secs @ ..600 => format!("+{secs}.{}s", ms / 100 % 10),
        secs => format!("+{}m{:02}s", secs / 60, secs % 60),
    }
}

/// Messages of installers may have several lines; nothing is left of them that could steer a terminal.
pub fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(str::trim_end).collect();
    printable(&lines.join(" / "))
}

/// Without what could steer a terminal: some of the text was written by machines.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || !c.is_control() {
                c
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::config::snapshot::InstallPolicy;
    use crate::diagnose::attempts::tests::{event, host, mac, whole_boot};
    use crate::diagnose::{Expected, Subject, diagnose};
    use crate::journal::event::Reason;
    use crate::record::Policy;

    #[test]
    fn an_event_is_one_line_that_names_who_and_why() {
        let mut offer = event(
            0,
            Kind::DhcpOffer,
            Reason::Loader,
            "bios",
            "ipxe/undionly.kpxe",
        );
        offer.iface = Some("br0".into());
        let line = event_line(&offer);
        assert!(line.contains("dhcp.offer"), "{line}");
        assert!(
            line.ends_with(
                "dhcp.offer         web01              bios: the firmware gets its boot loader, \
                 ipxe/undionly.kpxe  [10.99.0.11 on br0]"
            ),
            "{line}"
        );
        let mut sent = event(0, Kind::TftpSent, Reason::Done, "", "ipxe/undionly.kpxe");
        sent.took_us = Some(1_250_000);
        let line = event_line(&sent);
        assert!(
            line.ends_with("web01              ipxe/undionly.kpxe  [10.99.0.11, 70 kB in 1.2 s]"),
            "{line}"
        );
        let stranger = Event::new(
            Timestamp::from_secs(0),
            Kind::InstallFailed,
            Reason::Reported,
        )
        .mac(mac())
        .detail("no disk:\n  sda\u{1b}[2J");
        let line = event_line(&stranger);
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
        assert!(line.contains("52:54:00:47:86:8e"), "{line}");
    }

    #[test]
    fn a_diagnosis_tells_steps_gap_causes_and_remedies_in_order() {
        let host = host();
        let subject = Subject {
            host: &host,
            macs: &[mac()],
            record: None,
            policy: Policy::default(),
            install: InstallPolicy::Once,
            awaited: None,
            expected: &Expected::default(),
            is_off: false,
        };
        let mut events = whole_boot(0)[..4].to_vec();
        events.push(event(
            3_000,
            Kind::TftpFailed,
            Reason::Timeout,
            "",
            "ipxe/undionly.kpxe",
        ));
        let now = events[0].at.plus(std::time::Duration::from_secs(3_600));
        let text = diagnosis(&diagnose(&subject, &events, &[], now));
        let mut from = 0;
        for part in [
            "web01 is local",
            "last boot ",
            ", bios\n",
            "    +0.0s   address 10.99.0.11 offered to the firmware (BIOS)",
            "    +2.0s   the firmware has taken 10.99.0.11, boot file ipxe/undionly.kpxe",
            "    +2.3s   boot loader undionly.kpxe sent, 70 kB",
            "    +3.0s ! tftp.failed",
            "the step that did not come: iPXE taking its address",
            "  1. iPXE takes the link down",
            "     do:   make it an edge port",
        ] {
            let at = text[from..].find(part);
            assert!(at.is_some(), "{part:?} is missing or misplaced in:\n{text}");
            from += at.unwrap_or_default();
        }
    }

    #[test]
    fn every_command_that_is_advised_is_one_of_this_version() {
        use clap::CommandFactory as _;
        let args = crate::cli::args::Args::command();
        let known: Vec<&str> = args
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        for text in [
            include_str!("../journal/reason.rs"),
            include_str!("../diagnose/causes.rs"),
            include_str!("../decide/plan.rs"),
            include_str!("../record/table.rs"),
        ] {
            for advised in text.split("bootwright ").skip(1) {
                let word = advised
                    .split(|c: char| !c.is_ascii_lowercase())
                    .next()
                    .unwrap_or_default();
                assert!(known.contains(&word), "bootwright {word}");
            }
        }
    }
}
