//! `bootwright unknown`: machines without a reservation that were seen, and whose they may be.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use super::client::Client;
use super::output::Format;
use super::show_events::one_line;
use super::{runtime, table};
use crate::base::HardwareAddr;
use crate::diagnose::strangers::How;
use crate::serve::admin::unknown::{LikeView, UnknownView};

/// `unknown`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bootwright unknown                                      who was seen
  bootwright unknown --follow                             and who comes
  bootwright unknown 52:54:00:12:34:56                    all that is known of one
  bootwright adopt 52:54:00:12:34:56 --name web09         make it a host
  bootwright adopt 52:54:00:12:34:56 --replace web01      it is the new network card of web01")]
pub struct Unknown {
    /// Only this machine, with all that is known of it
    #[arg(value_name = "MAC")]
    pub mac: Option<HardwareAddr>,
    /// Go on with those that come, or come again, until interrupted
    #[arg(long, short, conflicts_with = "mac")]
    pub follow: bool,
}

/// How often it is looked who has come.
const LOOK: Duration = Duration::from_secs(2);

/// What the daemon has seen of machines without a reservation.
pub async fn seen(client: &Client) -> anyhow::Result<Vec<UnknownView>> {
    client.get("/unknown").await
}

/// Lists them, or shows one.
pub fn run(
    client: &Client,
    asked: &Unknown,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let runtime = runtime()?;
    if asked.follow {
        return runtime.block_on(follow(client, format, out));
    }
    let wanted = asked.mac;
    let mut all = runtime.block_on(seen(client))?;
    if let Some(wanted) = wanted {
        all.retain(|machine| machine.mac == wanted);
        if all.is_empty() {
            anyhow::bail!(
                "no machine with {wanted} was seen that has no reservation\n  `bootwright unknown` lists those that were, `bootwright events --host {wanted}` what came from it"
            );
        }
    }
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
    } else if let (Some(_), Some(machine)) = (wanted, all.first()) {
        one(machine, out)?;
    } else {
        list(&all, out)?;
    }
    Ok(0)
}

/// Shows each machine once, and again whenever it comes another time.
async fn follow(client: &Client, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let mut shown = HashMap::new();
    loop {
        for machine in news(&mut shown, seen(client).await?) {
            match format {
                Format::Json => writeln!(out, "{}", serde_json::to_string(&machine)?)?,
                Format::Text => writeln!(out, "{}", line(&machine))?,
            }
        }
        out.flush()?;
        tokio::time::sleep(LOOK).await;
    }
}

/// Those that came, or came another time, since they were shown; whoever came first is first.
fn news(shown: &mut HashMap<HardwareAddr, u32>, all: Vec<UnknownView>) -> Vec<UnknownView> {
    let mut news = all;
    news.retain(|machine| shown.insert(machine.mac, machine.times) != Some(machine.times));
    news.reverse();
    news
}

/// One in a line.
fn line(machine: &UnknownView) -> String {
    let mut words = vec![
        table::time(machine.last_seen),
        machine.mac.to_string(),
        owner(machine),
        boots(machine),
        place(machine),
    ];
    words.extend(machine.like.first().map(resembles));
    words.join("  ")
}

fn list(all: &[UnknownView], out: &mut dyn Write) -> anyhow::Result<()> {
    if all.is_empty() {
        writeln!(out, "no machine without a reservation was seen")?;
        return Ok(());
    }
    let rows: Vec<_> = all
        .iter()
        .map(|machine| {
            [
                machine.mac.to_string(),
                owner(machine),
                boots(machine),
                place(machine),
                machine.times.to_string(),
                table::time(machine.last_seen),
                machine
                    .ip
                    .map_or_else(|| "-".to_owned(), |ip| ip.to_string()),
            ]
        })
        .collect();
    let head = [
        "MAC",
        "VENDOR",
        "BOOTS",
        "WHERE",
        "TIMES",
        "LAST SEEN",
        "IP",
    ];
    table::write(out, head, &rows)?;
    for machine in all {
        for like in &machine.like {
            writeln!(out, "\n{}: {}", machine.mac, resembles(like))?;
            writeln!(out, "  {}", command(machine, like))?;
        }
    }
    Ok(())
}

fn one(machine: &UnknownView, out: &mut dyn Write) -> anyhow::Result<()> {
    let text = |text: &Option<String>| text.as_deref().map(one_line);
    table::pairs(
        out,
        &[
            ("mac", Some(machine.mac.to_string())),
            ("vendor", Some(owner(machine))),
            ("boots", Some(boots(machine))),
            ("arch", machine.arch.map(|arch| arch.to_string())),
            ("uuid", machine.uuid.map(|uuid| uuid.to_string())),
            ("serial", text(&machine.serial)),
            ("name", text(&machine.name)),
            ("interface", Some(machine.interface.clone())),
            ("vlan", machine.vlan.map(|vlan| vlan.to_string())),
            ("relay", machine.relay.map(|relay| relay.to_string())),
            ("port", text(&machine.circuit)),
            ("switch", text(&machine.remote)),
            ("subnet", machine.subnet.as_ref().map(ToString::to_string)),
            ("first seen", Some(table::time(machine.first_seen))),
            ("last seen", Some(table::time(machine.last_seen))),
            ("times", Some(machine.times.to_string())),
            ("packets", Some(machine.packets.to_string())),
            ("leased", machine.ip.map(|ip| ip.to_string())),
        ],
    )?;
    for like in &machine.like {
        writeln!(out, "\n{}\n  {}", resembles(like), command(machine, like))?;
    }
    writeln!(
        out,
        "\nto make it a host:\n  bootwright adopt {} --name NAME",
        machine.mac
    )?;
    Ok(())
}

fn owner(machine: &UnknownView) -> String {
    match &machine.vendor {
        Some(vendor) if machine.is_virtual => format!("{vendor} (virtual)"),
        Some(vendor) => one_line(vendor),
        None if machine.locally_administered => "locally administered".to_owned(),
        None => "-".to_owned(),
    }
}

/// Its stage, and the firmware below an iPXE.
fn boots(machine: &UnknownView) -> String {
    match &machine.firmware {
        Some(firmware) if *firmware != machine.stage => format!("{}, {firmware}", machine.stage),
        _ => machine.stage.clone(),
    }
}

fn place(machine: &UnknownView) -> String {
    let mut words = vec![machine.interface.clone()];
    if let Some(relay) = machine.relay {
        words.push(format!("relay {relay}"));
    }
    match (&machine.circuit, machine.vlan) {
        // Its words have the VLAN.
        (Some(circuit), _) => words.push(one_line(circuit)),
        (None, Some(vlan)) => words.push(format!("vlan {vlan}")),
        (None, None) => {}
    }
    words.join(", ")
}

fn resembles(like: &LikeView) -> String {
    match like.likeness.last_seen {
        Some(last) => format!(
            "{}; {} was last seen {}",
            like.why,
            like.likeness.host,
            table::time(last)
        ),
        None => like.why.clone(),
    }
}

/// What makes it that host's.
fn command(machine: &UnknownView, like: &LikeView) -> String {
    let (mac, host) = (machine.mac, &like.likeness.host);
    match like.likeness.how {
        How::UuidSeen => format!("bootwright adopt {mac} --replace {host} --add"),
        How::Uuid | How::Serial | How::OneDigit | How::Port | How::Vendor => {
            format!("bootwright adopt {mac} --replace {host}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;
    use crate::diagnose::strangers::Likeness;

    fn machine() -> UnknownView {
        serde_json::from_value(serde_json::json!({
            "mac": "3c:ec:ef:00:00:02", "vendor": "Super Micro Computer", "stage": "ipxe",
            "firmware": "uefi-x64", "interface": "br0", "relay": "10.20.0.1",
            "circuit": "vlan 12 port 1/7", "vlan": 12, "first_seen": "2026-11-21T09:00:00Z",
            "last_seen": "2026-11-21T10:00:00Z", "times": 3, "packets": 40, "name": "a\u{1b}[2Jb",
        }))
        .unwrap()
    }

    fn likely(how: How, last: Option<i64>) -> LikeView {
        let likeness = Likeness {
            how,
            host: "web01".parse().unwrap(),
            mac: "3c:ec:ef:00:00:01".parse().ok(),
            last_seen: last.map(Timestamp::from_secs),
        };
        LikeView {
            why: likeness.in_words(),
            likeness,
        }
    }

    fn listed(all: &[UnknownView]) -> String {
        let mut out = Vec::new();
        list(all, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_for_each_and_whose_it_may_be_below() {
        assert_eq!(listed(&[]), "no machine without a reservation was seen\n");
        let mut known = machine();
        known.like.push(likely(How::OneDigit, None));
        known.like.push(likely(How::UuidSeen, Some(1_800_000_000)));
        let mut local = machine();
        (local.vendor, local.locally_administered) = (None, true);
        (local.relay, local.circuit, local.firmware) = (None, None, None);
        local.ip = Some([10, 99, 0, 200].into());
        let text = listed(&[known, local]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("MAC                VENDOR "), "{text}");
        assert!(
            lines[1].contains(
                "Super Micro Computer  ipxe, uefi-x64  br0, relay 10.20.0.1, vlan 12 port 1/7  3 "
            ),
            "{text}"
        );
        assert!(
            lines[2].contains("locally administered  ipxe            br0, vlan 12 "),
            "{text}"
        );
        assert!(lines[2].ends_with("10.99.0.200"), "{text}");
        assert_eq!(
            &lines[3..6],
            [
                "",
                "3c:ec:ef:00:00:02: web01 (3c:ec:ef:00:00:01) is one slip of the pen away: a typing error in the reservation?",
                "  bootwright adopt 3c:ec:ef:00:00:02 --replace web01",
            ]
        );
        assert!(
            lines[7].contains("; web01 was last seen 2027-01-1"),
            "{text}"
        );
        assert!(lines[8].ends_with("--replace web01 --add"), "{text}");
    }

    #[test]
    fn who_comes_is_shown_once_and_again_another_time() {
        let mut shown = HashMap::new();
        let mut other = machine();
        other.mac = "3c:ec:ef:00:00:03".parse().unwrap();
        let macs = |news: Vec<UnknownView>| -> Vec<String> {
            news.iter().map(|machine| machine.mac.to_string()).collect()
        };
        let both = [other.clone(), machine()];
        assert_eq!(
            macs(news(&mut shown, both.to_vec())),
            ["3c:ec:ef:00:00:02", "3c:ec:ef:00:00:03"]
        );
        assert_eq!(news(&mut shown, both.to_vec()), []);
        other.times += 1;
        assert_eq!(
            macs(news(&mut shown, vec![other, machine()])),
            ["3c:ec:ef:00:00:03"]
        );
        let mut known = machine();
        known.like.push(likely(How::OneDigit, None));
        let text = line(&known);
        assert!(
            text.contains(
                "  3c:ec:ef:00:00:02  Super Micro Computer  ipxe, uefi-x64  br0, relay 10.20.0.1,"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("a typing error in the reservation?"),
            "{text}"
        );
    }

    #[test]
    fn one_with_all_that_is_known() {
        let mut out = Vec::new();
        one(&machine(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for part in [
            "port        vlan 12 port 1/7\n",
            "vlan        12\n",
            "relay       10.20.0.1\n",
            "packets     40\n",
            "bootwright adopt 3c:ec:ef:00:00:02 --name NAME\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains('\u{1b}') && !text.contains("serial"),
            "{text}"
        );
    }
}
