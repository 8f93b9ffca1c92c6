//! Why nothing came of a machine at all.

use std::collections::HashMap;

use super::{Cause, ago, cause, of_reason};
use crate::base::{HardwareAddr, Timestamp};
use crate::config::snapshot::InstallPolicy;
use crate::diagnose::why::Subject;
use crate::journal::event::{Event, Kind, Reason};
use crate::record::InstallState;

/// Why nothing at all was seen of the machine since `since`.
pub fn nothing_seen(
    subject: &Subject<'_>,
    events: &[Event],
    others: &[Event],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Cause> {
    let mut causes = Vec::new();
    if subject.install != InstallPolicy::Always
        && subject
            .record
            .is_none_or(|record| record.state == InstallState::Local)
    {
        causes.push(of_reason(subject, Reason::DiskLocal, None));
    }
    if subject.macs.is_empty() {
        causes.push(cause(
            "no-mac",
            format!(
                "{} has no hardware address yet: no packet can be its own",
                subject.host
            ),
            format!("add mac to [hosts.{}]", subject.host),
        ));
        return causes;
    }
    // The machine's own: what an operator ordered bears its hardware address as well.
    let own: Vec<&Event> = events.iter().filter(|event| is_of_machine(event)).collect();
    let lately = |event: &&Event| since.is_none_or(|since| event.at >= since);
    let system = own.iter().copied().filter(lately).rfind(|event| {
        let asks = event.kind == Kind::DhcpAck
            || matches!(event.reason, Reason::ProxyOnly | Reason::ModeOff);
        asks && event.stage.as_deref() == Some("os")
    });
    if let Some(last) = system {
        causes.push(
            cause(
                "boots-its-disk-first",
                "an operating system runs on the machine; its firmware does not boot from the network",
                "put network boot first in the boot order, or choose it once (often F12), and restart the machine",
            )
            .seen([format!("it asked for its address {}", ago(last.at, now))]),
        );
    }
    // Of a machine that was seen before, the address is right.
    let is_new = own.is_empty();
    causes.extend(near_misses(subject, others, is_new, since, now));
    if system.is_some() {
        causes.extend(address_taken(subject, events, now));
        return causes;
    }
    let macs: Vec<String> = subject.macs.iter().map(ToString::to_string).collect();
    let watch = subject.macs.first().map_or_else(
        || "tcpdump -ni any port 67 or port 68".to_owned(),
        |mac| format!("tcpdump -eni any ether host {mac} and port 67"),
    );
    let before = since.and_then(|since| own.iter().rfind(|event| event.at < since));
    if let Some(last) = before {
        causes.push(
            cause(
                "not-restarted",
                "the machine was not restarted since it was armed",
                "switch it off and on, with network boot first in the boot order",
            )
            .seen([format!("the last packet of it came {}", ago(last.at, now))]),
        );
    }
    causes.extend([
        cause(
            "no-link",
            format!("no packet of {} reaches this server: cable, switch port, VLAN, or a relay that does not forward", macs.join(", ")),
            format!("see the link's light and the port's VLAN; `{watch}` shows what arrives"),
        ),
        cause(
            "no-network-boot",
            "the firmware does not boot from the network: switched off, after the disk, or from another port",
            "switch on network boot (PXE, UEFI network stack) in the firmware's setup and put it first; see which port it uses",
        ),
        cause(
            "port-not-forwarding",
            "the switch port or bridge learns for 30 to 50 s (spanning tree) and the firmware gives up before",
            "make it an edge port (portfast); on a Linux bridge: ip link set BRIDGE type bridge forward_delay 0",
        ),
    ]);
    // It keeps no machine from asking, and its system from its network.
    causes.extend(address_taken(subject, events, now));
    causes
}

/// Who else has the machine's address, as the link told when the reservation came.
fn address_taken(subject: &Subject<'_>, events: &[Event], now: Timestamp) -> Option<Cause> {
    let last = events.iter().rfind(|event| {
        event.kind == Kind::DhcpConflict && event.host.as_ref() == Some(subject.host)
    })?;
    let seen = last.detail.as_deref().unwrap_or_default();
    let seen = format!("{seen}, {}", ago(last.at, now));
    Some(of_reason(subject, last.reason, Some(seen)))
}

/// Whether a packet or request of the machine itself stands behind an event.
fn is_of_machine(event: &Event) -> bool {
    matches!(
        event.kind,
        Kind::DhcpOffer
            | Kind::DhcpAck
            | Kind::DhcpNak
            | Kind::DhcpIgnored
            | Kind::TftpSent
            | Kind::TftpFailed
            | Kind::HttpScript
            | Kind::HttpAsset
            | Kind::HttpAnswer
    )
}

/// Machines without a reservation that may be this one; those with a quite different address only where
/// it is new, and only when they came after `since`.
fn near_misses(
    subject: &Subject<'_>,
    others: &[Event],
    is_new: bool,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Cause> {
    // A flood of them is thousands.
    let mut seen: HashMap<HardwareAddr, (Timestamp, bool)> = HashMap::new();
    for event in others {
        let unknown = event.kind == Kind::HostUnknown
            || event.kind == Kind::DhcpIgnored && event.reason == Reason::UnknownHost;
        let Some(mac) = event.mac.filter(|_| unknown && event.host.is_none()) else {
            continue;
        };
        if !subject.macs.contains(&mac) {
            let boots = event.stage.as_deref().is_some_and(|stage| stage != "os");
            let (at, booted) = seen.entry(mac).or_insert((event.at, boots));
            *at = event.at;
            *booted |= boots;
        }
    }
    let mut strangers: Vec<_> = seen
        .into_iter()
        .map(|(mac, (at, boots))| (mac, at, boots))
        .collect();
    strangers.sort_by_key(|(mac, at, _)| (*at, *mac));
    let near = strangers.iter().find_map(|(mac, at, _)| {
        let own = subject.macs.iter().find(|own| is_near(**own, *mac))?;
        Some((own, mac, at))
    });
    if let Some((own, mac, at)) = near {
        let found = cause(
            "mac-typo",
            format!(
                "the reservation says {own}, but a machine with {mac} asks: a typing error, or its other port"
            ),
            format!(
                "compare with the machine's label; if it is that machine: bootwright adopt {mac} --replace {}",
                subject.host
            ),
        );
        return vec![found.seen([format!("{mac} was last seen {}", ago(*at, now))])];
    }
    if !is_new {
        return Vec::new();
    }
    strangers.retain(|(_, at, _)| since.is_none_or(|since| *at >= since));
    // Laptops and telephones ask for addresses too: where machines boot from the network, it is one of them.
    if strangers.iter().any(|(.., boots)| *boots) {
        strangers.retain(|(.., boots)| *boots);
    }
    if strangers.is_empty() {
        return Vec::new();
    }
    let shown: Vec<String> = strangers
        .iter()
        .rev()
        .take(5)
        .map(|(mac, at, _)| format!("{mac} was last seen {}", ago(*at, now)))
        .collect();
    vec![
        cause(
            "other-mac",
            format!(
                "machines without a reservation ask; {} may be one of them",
                subject.host
            ),
            format!(
                "compare with the machine's label; if one of them is it: bootwright adopt MAC --replace {} (bootwright unknown tells more of them)",
                subject.host
            ),
        )
        .seen(shown),
    ]
}

/// Whether two addresses differ as a slip of the pen makes them: in up to two digits, by two bytes in the
/// other order, or by one in the last byte's neighbourhood (the next port of the same card).
fn is_near(one: HardwareAddr, other: HardwareAddr) -> bool {
    let (Some(one), Some(other)) = (one.octets(), other.octets()) else {
        return false;
    };
    let digits = |octets: [u8; 6]| octets.into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let different = digits(one)
        .zip(digits(other))
        .filter(|(a, b)| a != b)
        .count();
    let mut swapped = one;
    let is_swapped = (0..5).any(|i| {
        swapped = one;
        swapped.swap(i, i + 1);
        swapped == other
    });
    let number = |octets: [u8; 6]| {
        octets
            .into_iter()
            .fold(0_u64, |acc, byte| acc << 8 | u64::from(byte))
    };
    different <= 2 || is_swapped || number(one).abs_diff(number(other)) <= 3
}
