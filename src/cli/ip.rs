//! `bootwright ip suggest`: addresses of a subnet that may be reserved. The running daemon looks for them; without
//! one this command does, as far as its user may.

use std::fmt::Write as _;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::str::FromStr;

use anyhow::Context as _;

use super::client::{Client, part};
use super::output::Format;
use super::{runtime, show_events};
use crate::base::suggest::nearest;
use crate::config::snapshot::Subnet;
use crate::config::source::DiskFiles;
use crate::config::{LoadedConfig, Snapshot, load};
use crate::decide::free::{RuledOut, Test, subnet_called};
use crate::host::links::LinkTable;
use crate::serve::free::{self, Around, Suggestion, Wanted};

/// `ip …`.
#[derive(Debug, clap::Subcommand)]
pub enum Ip {
    /// Free addresses: by reservations, leases, ARP, ping and PTR, and what ruled the others out
    Suggest(Suggest),
}

/// `ip suggest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each address is looked for among reservations and leases, on the link (ARP), by ping and in DNS (PTR, by the name
servers of the subnet). Which tests could not be made, and why, stands at the end. Exit status 1: there are fewer.

Examples:
  bootwright ip suggest lab
  bootwright ip suggest 10.99.0.0/24 --count 8
  bootwright ip suggest lab --format json")]
pub struct Suggest {
    /// A subnet: its name, its network, or an address in it
    #[arg(value_name = "SUBNET")]
    pub subnet: String,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub count: u16,
}

/// Looks, and shows what was found. Exit status 1 when there are fewer free addresses than asked for.
pub fn run(config: &Path, asked: &Ip, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Ip::Suggest(asked) = asked;
    let count = usize::from(asked.count);
    let found = runtime()?.block_on(look(config, &asked.subnet, Wanted::Free(count)))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        write!(out, "{}", shown(&found, count))?;
    }
    Ok(u8::from(found.free.len() < count))
}

/// The address of a new host, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// `auto`: the next free one.
    Auto,
    /// This one.
    This(Ipv4Addr),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let ip = text.parse().map(Self::This);
        ip.map_err(|_| "neither an IPv4 address nor `auto`".to_owned())
    }
}

/// The next free address for a new host, and what is worth saying about it.
pub fn auto(config: &Path, subnet: Option<&str>) -> anyhow::Result<(Ipv4Addr, Vec<String>)> {
    let loaded = load(&DiskFiles, config);
    let snapshot = snapshot_of(config, &loaded)?;
    let subnet = subnet_for(snapshot, subnet, "`auto` does not say in which subnet")?;
    if !subnet.mode.gives_addresses() {
        anyhow::bail!(
            "this server gives no addresses in {} (mode = {:?})\n  leave --ip out: --subnet alone says where the host is",
            subnet.name,
            subnet.mode.as_str()
        );
    }
    runtime()?.block_on(next_free(config, subnet))
}

/// The next free address of a subnet, and what is worth saying about it.
pub async fn next_free(config: &Path, subnet: &Subnet) -> anyhow::Result<(Ipv4Addr, Vec<String>)> {
    let name = &subnet.name;
    let found = look(config, name.as_str(), Wanted::Free(1)).await?;
    let Some(ip) = found.free.first().copied() else {
        anyhow::bail!(
            "no free address was found in {name} ({})\n  `bootwright ip suggest {name}` shows what rules each out; --ip names one all the same",
            subnet.network
        );
    };
    let without: Vec<&str> = found.not_made.iter().map(|not| not.test.as_str()).collect();
    let mut notes = vec![format!("{ip} is the next free address of {name}")];
    if !without.is_empty() {
        notes.push(format!(
            "{ip} was not tested by {}: `bootwright ip suggest {name}` says why",
            without.join(", ")
        ));
    }
    Ok((ip, notes))
}

/// Has the daemon look for addresses of a subnet; without one it is done here, under the files of now.
pub async fn look(config: &Path, subnet: &str, wanted: Wanted) -> anyhow::Result<Suggestion> {
    let client = Client::of(config)?;
    let why = match client.is_there() {
        Ok(true) => {
            let asks = match wanted {
                Wanted::Free(count) => format!("count={count}"),
                Wanted::This(ip) => format!("ip={ip}"),
            };
            return client
                .get(&format!("/free?subnet={}&{asks}", part(subnet)))
                .await;
        }
        Ok(false) => "bootwright is not running".to_owned(),
        Err(error) => {
            let told = error.to_string();
            told.lines().next().unwrap_or_default().to_owned()
        }
    };
    here(config, subnet, wanted, why).await
}

/// Looks from here. `why` there is no daemon to ask: what it alone knows are the leases.
async fn here(
    config: &Path,
    subnet: &str,
    wanted: Wanted,
    why: String,
) -> anyhow::Result<Suggestion> {
    let loaded = load(&DiskFiles, config);
    let snapshot = snapshot_of(config, &loaded)?;
    let found = subnet_of(snapshot, subnet)?;
    let links = LinkTable::read()?;
    let around = Around {
        snapshot,
        subnet: found,
        links: &links,
    };
    Ok(free::suggest(around, wanted, Err(why)).await)
}

/// What the files of now say.
pub fn snapshot_of<'l>(config: &Path, loaded: &'l LoadedConfig) -> anyhow::Result<&'l Snapshot> {
    loaded.snapshot.as_ref().with_context(|| {
        format!(
            "{} cannot be read\n  `bootwright check` names file, line and remedy",
            config.display()
        )
    })
}

/// The subnet that a name, a network or an address means.
fn subnet_of<'s>(snapshot: &'s Snapshot, text: &str) -> anyhow::Result<&'s Subnet> {
    let found = subnet_called(snapshot, text).and_then(|index| snapshot.subnets.get(index));
    found.with_context(|| {
        let names = || snapshot.subnets.iter().map(|subnet| subnet.name.as_str());
        let remedy = nearest(text, names()).map_or_else(
            || format!("there are {}", names().collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean {near}?"),
        );
        format!(
            "no [[subnet]] is called {text:?}, is that network or holds that address\n  {remedy}"
        )
    })
}

/// The subnet that a host is to be in: the one that is named, or the only one.
pub fn subnet_for<'s>(
    snapshot: &'s Snapshot,
    named: Option<&str>,
    why_unnamed: &str,
) -> anyhow::Result<&'s Subnet> {
    match (named, snapshot.subnets.as_slice()) {
        (Some(text), _) => subnet_of(snapshot, text),
        (None, [only]) => Ok(only),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|subnet| subnet.name.as_str()).collect();
            anyhow::bail!(
                "{why_unnamed}\n  name --subnet, or an address with --ip; there are {}",
                names.join(", ")
            )
        }
    }
}

/// As text: the addresses first, each on a line of its own.
fn shown(found: &Suggestion, count: usize) -> String {
    let mut text = String::new();
    for ip in &found.free {
        let _ = writeln!(text, "{ip}");
    }
    if found.free.len() < count {
        let why = if found.broken_off {
            "the search took too long"
        } else {
            "the subnet has no more"
        };
        let _ = writeln!(
            text,
            "{} of {count} found: {why}",
            match found.free.len() {
                0 => "none".to_owned(),
                some => some.to_string(),
            }
        );
    }
    if !found.ruled_out.is_empty() {
        let width = found.ruled_out.iter().map(|out| addresses(out).len()).max();
        let width = width.unwrap_or_default();
        text.push_str("\nnot free:\n");
        for out in &found.ruled_out {
            let what = show_events::one_line(&out.what);
            let _ = writeln!(
                text,
                "  {:<width$}  {:<11}  {what}",
                addresses(out),
                out.by.as_str()
            );
        }
    }
    let made: Vec<&str> = found.made.iter().copied().map(Test::as_str).collect();
    let _ = writeln!(
        text,
        "\ntested by reservations{}{}",
        if made.is_empty() { "" } else { ", " },
        made.join(", ")
    );
    for not in &found.not_made {
        let _ = writeln!(
            text,
            "not by {}: {}",
            not.test.as_str(),
            show_events::one_line(&not.why)
        );
    }
    text
}

fn addresses(out: &RuledOut) -> String {
    if out.first == out.last {
        return out.first.to_string();
    }
    let last: Ipv4Addr = out.last;
    format!("{}-{last}", out.first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::free::NotMade;

    fn suggestion() -> Suggestion {
        let ip = |last| Ipv4Addr::new(10, 99, 0, last);
        Suggestion {
            subnet: "lab".parse().unwrap(),
            network: "10.99.0.0/24".parse().unwrap(),
            free: vec![ip(13), ip(16)],
            ruled_out: vec![
                RuledOut::one(ip(0), Test::Network, "the network itself"),
                RuledOut {
                    last: ip(12),
                    ..RuledOut::one(ip(11), Test::Reservation, "web01, web02")
                },
                RuledOut::one(ip(14), Test::Arp, "52:54:00:00:00:0e answers"),
                RuledOut::one(ip(15), Test::Ptr, "old\u{1b}.lab"),
            ],
            made: vec![Test::Lease, Test::Arp, Test::Ptr],
            not_made: vec![NotMade {
                test: Test::Ping,
                why: "not permitted; it takes root or cap_net_raw".to_owned(),
            }],
            broken_off: false,
        }
    }

    #[test]
    fn no_more_are_asked_for_than_are_looked_for_at_once() {
        use clap::Parser as _;
        let typed = |count: usize| {
            let count = count.to_string();
            let words = ["bootwright", "ip", "suggest", "lab", "--count", &count];
            crate::cli::args::Args::try_parse_from(words).is_ok()
        };
        assert!(typed(1) && typed(free::MOST));
        assert!(!typed(0) && !typed(free::MOST + 1));
    }

    #[test]
    fn an_address_or_the_next_free_one() {
        assert_eq!("auto".parse(), Ok(Address::Auto));
        let ip = Ipv4Addr::new(10, 99, 0, 9);
        assert_eq!("10.99.0.9".parse(), Ok(Address::This(ip)));
        let error = "next".parse::<Address>().unwrap_err();
        assert!(error.contains("`auto`"), "{error}");
    }

    #[test]
    fn the_addresses_first_then_what_ruled_the_others_out() {
        assert_eq!(
            shown(&suggestion(), 2),
            "10.99.0.13\n10.99.0.16\n\nnot free:\n  \
             10.99.0.0              network      the network itself\n  \
             10.99.0.11-10.99.0.12  reservation  web01, web02\n  \
             10.99.0.14             arp          52:54:00:00:00:0e answers\n  \
             10.99.0.15             ptr          old\u{fffd}.lab\n\n\
             tested by reservations, lease, arp, ptr\n\
             not by ping: not permitted; it takes root or cap_net_raw\n"
        );
        let mut fewer = suggestion();
        assert!(shown(&fewer, 3).contains("\n2 of 3 found: the subnet has no more\n"));
        fewer.free.clear();
        fewer.broken_off = true;
        assert!(shown(&fewer, 1).starts_with("none of 1 found: the search took too long\n"));
    }
}
