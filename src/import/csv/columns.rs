//! What the columns of a table mean.

use csv::StringRecord;

use crate::base::HardwareAddr;
use crate::config::written::hosts::is_key;
use crate::import::machines::{Machines, variable};

/// The meaning of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Fqdn,
    Domain,
    /// By the number of the card.
    Mac(u32),
    Ip(u32),
    Card(u32),
    Group,
    Profile,
    Subnet,
    Arch,
    SecureBoot,
    Uuid,
    Serial,
    Loader,
    Notes,
    /// A variable, its value a text.
    Var(String),
    /// A variable, its value as TOML has it.
    TypedVar(String),
    /// Told once.
    Left,
}

/// The columns of a table with their titles.
#[derive(Debug)]
pub(super) struct Columns(Vec<(Column, String)>);

/// Spellings without blanks, hyphens and underscores, in small letters.
const SPELLINGS: [(&str, Column); 61] = [
    ("name", Column::Name),
    ("hostname", Column::Name),
    ("host", Column::Name),
    ("shortname", Column::Name),
    ("computername", Column::Name),
    ("computer", Column::Name),
    ("machine", Column::Name),
    ("machinename", Column::Name),
    ("vm", Column::Name),
    ("vmname", Column::Name),
    ("node", Column::Name),
    ("nodename", Column::Name),
    ("device", Column::Name),
    ("devicename", Column::Name),
    ("system", Column::Name),
    ("fqdn", Column::Fqdn),
    ("dnsname", Column::Fqdn),
    ("fullname", Column::Fqdn),
    ("domain", Column::Domain),
    ("domainname", Column::Domain),
    ("dnsdomain", Column::Domain),
    ("mac", Column::Mac(0)),
    ("macs", Column::Mac(0)),
    ("macaddress", Column::Mac(0)),
    ("macaddresses", Column::Mac(0)),
    ("macaddr", Column::Mac(0)),
    ("macadresse", Column::Mac(0)),
    ("hwaddr", Column::Mac(0)),
    ("hwaddress", Column::Mac(0)),
    ("hardwareaddress", Column::Mac(0)),
    ("ethernetaddress", Column::Mac(0)),
    ("physicaladdress", Column::Mac(0)),
    ("ip", Column::Ip(0)),
    ("ipaddress", Column::Ip(0)),
    ("ipaddr", Column::Ip(0)),
    ("ipv4", Column::Ip(0)),
    ("ipv4address", Column::Ip(0)),
    ("ip4", Column::Ip(0)),
    ("address", Column::Ip(0)),
    ("primaryip", Column::Ip(0)),
    ("ipadresse", Column::Ip(0)),
    ("fixedaddress", Column::Ip(0)),
    ("nic", Column::Card(0)),
    ("interface", Column::Card(0)),
    ("port", Column::Card(0)),
    ("group", Column::Group),
    ("hostgroup", Column::Group),
    ("role", Column::Group),
    ("profile", Column::Profile),
    ("subnet", Column::Subnet),
    ("arch", Column::Arch),
    ("architecture", Column::Arch),
    ("secureboot", Column::SecureBoot),
    ("uuid", Column::Uuid),
    ("systemuuid", Column::Uuid),
    ("smbiosuuid", Column::Uuid),
    ("serial", Column::Serial),
    ("serialnumber", Column::Serial),
    ("servicetag", Column::Serial),
    ("loader", Column::Loader),
    ("bootfile", Column::Loader),
];

/// Spellings of notes.
const NOTES: [&str; 7] = [
    "notes",
    "note",
    "comment",
    "comments",
    "description",
    "remark",
    "remarks",
];

/// What belongs to a subnet, not to a machine.
const OF_SUBNETS: [&str; 13] = [
    "gateway",
    "router",
    "defaultgateway",
    "netmask",
    "subnetmask",
    "mask",
    "prefix",
    "dns",
    "dnsserver",
    "dnsservers",
    "nameserver",
    "nameservers",
    "ntp",
];

impl Columns {
    /// Reads the header; `None` when no cell of it names what every machine has: name, hardware address or address.
    pub(super) fn of_header(record: &StringRecord) -> Option<Self> {
        let mut columns: Vec<(Column, String)> = Vec::new();
        for title in record {
            let title = title.trim();
            let mut column = column(title);
            // A second column of cards is another card.
            let again = |make: fn(u32) -> Column, number: u32| {
                let mut number = number;
                while columns.iter().any(|(other, _)| *other == make(number)) {
                    number += 1;
                }
                make(number)
            };
            column = match column {
                Column::Mac(number) => again(Column::Mac, number),
                Column::Ip(number) => again(Column::Ip, number),
                Column::Card(number) => again(Column::Card, number),
                other => other,
            };
            columns.push((column, title.to_owned()));
        }
        let known = |column: &Column| {
            matches!(
                column,
                Column::Name | Column::Fqdn | Column::Mac(_) | Column::Ip(_)
            )
        };
        columns
            .iter()
            .any(|(column, _)| known(column))
            .then_some(Self(columns))
    }

    /// Tells columns by the cells of the first row, where nothing names them.
    pub(super) fn of_cells(record: &StringRecord) -> Result<Self, String> {
        let mut columns: Vec<(Column, String)> = Vec::new();
        let mut certain = false;
        for (index, cell) in record.iter().enumerate() {
            let cell = cell.trim();
            let address = cell.split('/').next().unwrap_or_default();
            let count = |of: fn(&Column) -> bool| {
                u32::try_from(columns.iter().filter(|(column, _)| of(column)).count()).unwrap_or(0)
            };
            let column = if cell.parse::<HardwareAddr>().is_ok() {
                Column::Mac(count(|column| matches!(column, Column::Mac(_))))
            } else if address.parse::<std::net::Ipv4Addr>().is_ok() {
                Column::Ip(count(|column| matches!(column, Column::Ip(_))))
            } else if count(|column| *column == Column::Name) == 0 && !matches!(cell, "" | "-") {
                Column::Name
            } else {
                Column::Var(format!("column_{}", index + 1))
            };
            certain |= matches!(column, Column::Mac(_) | Column::Ip(_));
            columns.push((column, format!("column {}", index + 1)));
        }
        if certain {
            Ok(Self(columns))
        } else {
            Err(
                "no column is called name, mac or ip, and nothing in this row looks like an address: name the columns in the first line, such as `name,mac,ip,group`"
                    .to_owned(),
            )
        }
    }

    /// Meaning and title of a column.
    pub(super) fn get(&self, index: usize) -> Option<(&Column, &str)> {
        self.0
            .get(index)
            .map(|(column, title)| (column, title.as_str()))
    }

    /// Tells once what no host takes over.
    pub(super) fn tell(&self, machines: &mut Machines, line: usize) {
        for (column, title) in &self.0 {
            match column {
                Column::Left if title.is_empty() => machines.left(
                    line,
                    "a column without a title",
                    "what stands in it is not carried over: give it a title",
                ),
                Column::Left if OF_SUBNETS.contains(&plain(title).as_str()) => machines.left(
                    line,
                    format!("column {title}"),
                    "it belongs to a [[subnet]] of bootwright.toml, once for all of its machines",
                ),
                Column::Left => machines.left(
                    line,
                    format!("column {title}"),
                    "write it in the reservations, best for a group",
                ),
                Column::Var(name) => machines.left(
                    line,
                    format!("column {title}"),
                    format!("it is no key of a host: it becomes the variable `{name}`"),
                ),
                _ => {}
            }
        }
    }
}

fn plain(title: &str) -> String {
    title
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn column(title: &str) -> Column {
    if let Some(name) = title
        .strip_prefix("vars.")
        .or_else(|| title.strip_prefix("var."))
        && !name.is_empty()
    {
        return Column::TypedVar(name.to_owned());
    }
    let plain = plain(title);
    let exact = |text: &str| {
        SPELLINGS
            .iter()
            .find(|(spelling, _)| *spelling == text)
            .map(|(_, column)| column.clone())
    };
    if let Some(column) = exact(&plain) {
        return column;
    }
    if NOTES.contains(&plain.as_str()) {
        return Column::Notes;
    }
    // `mac2`, `ip 2`, `nic1_mac`: of which card.
    let digits: String = plain.chars().filter(char::is_ascii_digit).collect();
    let rest: String = plain.chars().filter(|c| !c.is_ascii_digit()).collect();
    if let Ok(number) = digits.parse::<u32>() {
        let rest = rest
            .strip_prefix("nic")
            .or_else(|| rest.strip_prefix("eth"))
            .filter(|rest| !rest.is_empty())
            .unwrap_or(&rest);
        match exact(rest) {
            Some(Column::Mac(_)) => return Column::Mac(number),
            Some(Column::Ip(_)) => return Column::Ip(number),
            Some(Column::Card(_)) => return Column::Card(number),
            _ => {}
        }
    }
    if OF_SUBNETS.contains(&plain.as_str()) || is_key(title) {
        return Column::Left;
    }
    variable(title).map_or(Column::Left, Column::Var)
}
