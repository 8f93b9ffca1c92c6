//! The text form of events and of a diagnosis. Pure: values in, text out.

use std::fmt::Write as _;

use super::table;
use crate::diagnose::Diagnosis;
use crate::journal::Event;

/// One event as a line: when, what, who, and the particulars; without a line end.
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
    line.push_str(event.reason.sentence());
    // The particulars of a DHCP reply name its file already.
    let said = event.detail.as_deref().unwrap_or_default();
    if let Some(file) = event.file.as_deref().filter(|file| !said.contains(file)) {
        let _ = write!(line, ", {file}");
    }
    if !said.is_empty() {
        let _ = write!(line, ", {}", one_line(said));
    }
    if let Some(count) = event.count {
        let _ = write!(line, " ({count} of them)");
    }
    printable(&line)
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
    for (number, cause) in found.causes.iter().enumerate() {
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

/// Messages of installers may have several lines.
fn one_line(text: &str) -> String {
    text.split('\n')
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join(" / ")
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
    use crate::diagnose::attempts::tests::{event, host, mac, whole_boot};
    use crate::diagnose::{Subject, diagnose};
    use crate::journal::event::{Kind, Reason};
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
        offer.detail = Some("10.99.0.11 to web01, ipxe/undionly.kpxe".to_owned());
        let line = event_line(&offer);
        assert!(line.contains("dhcp.offer"), "{line}");
        assert!(
            line.ends_with(
                "web01              bios: the firmware gets its boot loader, 10.99.0.11 to web01, ipxe/undionly.kpxe"
            ),
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
            policy: Policy {
                max_attempts: 3,
                stalled_after: std::time::Duration::from_secs(2_700),
            },
            has_answers: true,
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
            "    +0.0s   bios was offered 10.99.0.11, boot file ipxe/undionly.kpxe",
            "    +2.3s   undionly.kpxe, 70 kB",
            "    +3.0s ! tftp.failed",
            "the step that did not come: iPXE taking its address",
            "  1. iPXE's own driver takes the link down",
            "     do:   make it an edge port",
        ] {
            let at = text[from..].find(part);
            assert!(at.is_some(), "{part:?} is missing or misplaced in:\n{text}");
            from += at.unwrap_or_default();
        }
    }
}
