//! `bootwright bind`: a host that is held by name and address gets its machine's MAC address.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};
use toml::Value;

use super::{finish, mode};
use crate::base::HardwareAddr;
use crate::cli::output::Format;
use crate::config::edit::{Entry, Key};
use crate::edits::{Error, apply};

/// `bind`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bootwright bind web09 52:54:00:47:86:99
  bootwright bind web09 --domain web09-vm                the only network card of a libvirt domain
  bootwright bind web09 --domain web09-vm --network lab  the one in this network or bridge
  bootwright bind web09 52:54:00:47:86:9a --replace      its network card was changed")]
pub struct Bind {
    /// Name, MAC or address
    pub host: String,
    /// The MAC address, in any usual spelling
    #[arg(required_unless_present = "domain", conflicts_with = "domain")]
    pub mac: Option<HardwareAddr>,
    /// The MAC address of this libvirt domain
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Of several network cards of the domain the one in this network, or on this bridge
    #[arg(long, value_name = "NETWORK", requires = "domain")]
    pub network: Option<String>,
    /// Which libvirt, as `virsh --connect` takes it
    #[arg(long, value_name = "URI", requires = "domain")]
    pub connect: Option<String>,
    /// In place of the MAC addresses that it has
    #[arg(long)]
    pub replace: bool,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// Binds a host to a MAC address.
pub fn bind(
    config: &Path,
    asked: &Bind,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mac = match (&asked.mac, &asked.domain) {
        (Some(mac), _) => *mac,
        (None, Some(domain)) => {
            let xml = dumped(domain, asked.connect.as_deref())?;
            card_of(domain, &xml, asked.network.as_deref())?
        }
        (None, None) => bail!("name a MAC address, or --domain"),
    };
    let key = Key::of(["mac"]);
    let applied = apply(config, mode(asked.dry_run), &mut |reservations| {
        let entry = Entry::Host(reservations.host_of(&asked.host)?);
        let written = reservations.value(&entry, &key)?;
        let known = written.as_ref().map(macs).unwrap_or_default();
        if known.contains(&mac) && !(asked.replace && known.len() > 1) {
            return Ok(());
        }
        if written.is_some() && !asked.replace {
            let name = entry.name();
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            return Err(Error::Refused(format!(
                "{name} has {} already\n  --replace puts {mac} in its place; `bootwright host set {name} mac+={mac}` makes it one port more of the same machine",
                known.join(", ")
            )));
        }
        reservations.set(&entry, &key, &Value::String(mac.to_string()))
    });
    finish(config, applied, asked.dry_run, format, out)
}

/// The hardware addresses that a value says, so far as they are some.
fn macs(value: &Value) -> Vec<HardwareAddr> {
    match value {
        Value::String(text) => text.parse().into_iter().collect(),
        Value::Array(list) => list.iter().flat_map(macs).collect(),
        _ => Vec::new(),
    }
}

/// What libvirt says of a domain.
fn dumped(domain: &str, connect: Option<&str>) -> anyhow::Result<String> {
    let mut command = Command::new("virsh");
    // Its messages are shown as they are; in one language they can be looked up.
    command.env("LC_ALL", "C");
    if let Some(connect) = connect {
        command.args(["--connect", connect]);
    }
    let output = match command.args(["dumpxml", "--domain", domain]).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "virsh is not there, which knows libvirt's domains: install libvirt-clients (`apt install libvirt-clients`), or name the MAC address, which the machine that has the domain tells by `virsh domiflist {domain}`"
        ),
        Err(error) => return Err(error).context("virsh cannot be run"),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "virsh knows nothing of {domain}: {}\n  `virsh list --all` shows the domains of this account; others are reached by --connect, such as --connect qemu:///system",
            said.trim()
                .trim_start_matches("error: ")
                .replace('\n', "; ")
        );
    }
    String::from_utf8(output.stdout).context("virsh has printed something else than text")
}

/// The hardware address of a domain's network card.
fn card_of(domain: &str, xml: &str, network: Option<&str>) -> anyhow::Result<HardwareAddr> {
    let document = roxmltree::Document::parse(xml)
        .with_context(|| format!("the description of {domain} is no XML"))?;
    let mut cards: Vec<(HardwareAddr, String)> = Vec::new();
    for card in document
        .descendants()
        .filter(|node| node.has_tag_name("interface"))
    {
        let child = |name: &str| card.children().find(|node| node.has_tag_name(name));
        let Some(mac) = child("mac")
            .and_then(|mac| mac.attribute("address"))
            .and_then(|mac| mac.parse().ok())
        else {
            continue;
        };
        let source = child("source").and_then(|source| {
            let named = |name| source.attribute(name);
            named("network")
                .or_else(|| named("bridge"))
                .or_else(|| named("dev"))
        });
        cards.push((mac, source.unwrap_or_default().to_owned()));
    }
    let fits = |card: &&(HardwareAddr, String)| network.is_none_or(|network| card.1 == network);
    let found: Vec<&(HardwareAddr, String)> = cards.iter().filter(fits).collect();
    let listed = || {
        let cards = cards.iter().map(|(mac, source)| match source.as_str() {
            "" => mac.to_string(),
            source => format!("{mac} in {source}"),
        });
        cards.collect::<Vec<_>>().join(", ")
    };
    match (found.as_slice(), network) {
        ([(mac, _)], _) => Ok(*mac),
        ([], _) if cards.is_empty() => bail!("{domain} has no network card"),
        ([], network) => bail!(
            "{domain} has no network card in {}; it has {}",
            network.unwrap_or_default(),
            listed()
        ),
        _ => bail!(
            "{domain} has several network cards: {}\n  name the MAC address, or the network of the one that boots by --network",
            listed()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='kvm'><name>vm1</name><devices>
        <interface type='network'><mac address='52:54:00:aa:00:01'/><source network='lab' portid='x'/></interface>
        <interface type='bridge'><source bridge='br1'/><mac address='52:54:00:aa:00:02'/></interface>
        <interface type='user'/>
      </devices></domain>";

    #[test]
    fn the_card_is_the_only_one_or_the_one_in_the_network() {
        let card =
            |xml: &str, network| card_of("vm1", xml, network).map_err(|error| error.to_string());
        let mac = |text: &str| Ok(text.parse::<HardwareAddr>().unwrap());
        assert_eq!(card(XML, Some("lab")), mac("52:54:00:aa:00:01"));
        assert_eq!(card(XML, Some("br1")), mac("52:54:00:aa:00:02"));
        let several = card(XML, None).unwrap_err();
        assert!(
            several.contains("52:54:00:aa:00:01 in lab, 52:54:00:aa:00:02 in br1"),
            "{several}"
        );
        assert!(several.contains("--network"), "{several}");
        assert!(
            card(XML, Some("br2"))
                .unwrap_err()
                .contains("no network card in br2; it has")
        );
        let one = XML
            .replace("<interface type='bridge'>", "<other>")
            .replace("</interface>\n        <interface type='user'/>", "</other>");
        assert_eq!(card(&one, None), mac("52:54:00:aa:00:01"));
        assert!(
            card("<domain/>", None)
                .unwrap_err()
                .contains("no network card")
        );
        assert!(card("<domain", None).unwrap_err().contains("no XML"));
    }
}
