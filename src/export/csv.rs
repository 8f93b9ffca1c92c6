//! A table (RFC 4180) with the columns that `bootwright import csv` reads.

use super::Left;
use crate::config::Snapshot;
use crate::config::snapshot::{Card, Host};

/// The columns that every table has; those of further cards follow.
const COLUMNS: [&str; 12] = [
    "name", "fqdn", "mac", "ip", "group", "profile", "subnet", "arch", "uuid", "serial", "loader",
    "notes",
];

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let most = snapshot
        .hosts()
        .iter()
        .map(|host| host.nics.len())
        .max()
        .unwrap_or(0);
    let mut head: Vec<String> = COLUMNS.map(str::to_owned).to_vec();
    for number in 2..most + 2 {
        head.extend([
            format!("mac{number}"),
            format!("ip{number}"),
            format!("nic{number}"),
        ]);
    }
    let mut text = String::new();
    row(&mut text, head.iter().map(String::as_str));
    for host in snapshot.hosts() {
        row(
            &mut text,
            cells(snapshot, host, most).iter().map(String::as_str),
        );
        tell(host, left);
    }
    text
}

fn cells(snapshot: &Snapshot, host: &Host, most: usize) -> Vec<String> {
    fn of<T: ToString>(value: Option<&T>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    let subnet = snapshot.subnet_of(host).filter(|_| host.ip.is_none());
    let macs = |card: &Card<'_>| {
        let macs: Vec<String> = card.macs.iter().map(ToString::to_string).collect();
        macs.join(" ")
    };
    let mut cards = host.cards();
    let first = cards.next();
    let mut cells = vec![
        host.name.to_string(),
        of(host.written_fqdn.as_ref()),
        first.as_ref().map(macs).unwrap_or_default(),
        of(host.ip.as_ref()),
        of(host.groups.first()),
        of(host.profile.as_ref()),
        of(subnet.map(|subnet| &subnet.name)),
        of(host.arch.as_ref()),
        of(host.uuid.as_ref()),
        of(host.serial.as_ref()),
        of(host.loader.as_ref()),
        of(host.notes.as_ref()),
    ];
    for index in 0..most {
        let card = host.nics.get(index);
        let of_card = cards.next();
        cells.extend([
            of_card.as_ref().map(macs).unwrap_or_default(),
            of(card.and_then(|card| card.ip.as_ref())),
            of(card.and_then(|card| card.name.as_ref())),
        ]);
    }
    cells
}

fn tell(host: &Host, left: &mut Vec<Left>) {
    let mut what = Vec::new();
    if !host.options.is_empty() {
        what.push("DHCP options");
    }
    if host.nics.iter().any(|nic| nic.boot) {
        what.push("which further cards boot");
    }
    if host.after.is_some() {
        what.push("after");
    }
    if !what.is_empty() {
        left.push(Left {
            what: format!("host {}", host.name),
            why: format!("a table has no column for {}", what.join(", ")),
        });
    }
}

fn row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        let is_plain = !cell.contains(['"', ',', '\n', '\r', ';', '\t'])
            && cell.trim() == cell
            && !cell.starts_with('#');
        if is_plain {
            text.push_str(cell);
        } else {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_need_it() {
        let mut text = String::new();
        row(
            &mut text,
            ["plain", "a,b", "say \"no\"", "two\nlines", " x", "#1", ""].into_iter(),
        );
        assert_eq!(
            text,
            "plain,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",\" x\",\"#1\",\n"
        );
    }
}
