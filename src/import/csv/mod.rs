//! A table with separators: a spreadsheet's export, an inventory, what `bootwright export csv` writes.
//!
//! The first line names the columns, in any of their usual spellings; without such a line they are known by what
//! stands in them. Separators are told from the text. Rows of the same name are one machine with several network
//! cards: a row with the first one's address adds a port to it, any other one is a card of its own.

mod columns;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use csv::{ReaderBuilder, StringRecord};
use toml::Value;

use self::columns::{Column, Columns};
use super::machines::{Lines, Machines, group_name, named};
use super::{ImportError, Imported, Source};
use crate::base::HardwareAddr;
use crate::config::draft::{GroupDraft, HostDraft, NicDraft};

/// What may stand between two columns.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The most columns of a table.
const MOST_COLUMNS: usize = 500;

/// Reads tables. A machine may stand in several of them.
pub fn read(sources: &[Source]) -> Result<Imported, ImportError> {
    let mut reader = Reader::default();
    for source in sources {
        reader.machines.begin(&source.name);
        reader.table(source)?;
    }
    Ok(reader.finish())
}

/// One row, its cells by their meaning. Empty cells are not there.
#[derive(Debug, Default)]
struct Row<'a> {
    names: Vec<(&'a str, &'a str)>,
    fqdn: Option<&'a str>,
    domain: Option<&'a str>,
    macs: Vec<(u32, &'a str)>,
    ips: Vec<(u32, &'a str)>,
    cards: Vec<(u32, &'a str)>,
    group: Option<&'a str>,
    profile: Option<&'a str>,
    subnet: Option<&'a str>,
    arch: Option<&'a str>,
    secure_boot: Option<&'a str>,
    uuid: Option<&'a str>,
    serial: Option<&'a str>,
    loader: Option<&'a str>,
    notes: Vec<&'a str>,
    vars: Vec<(&'a str, Value)>,
}

#[derive(Debug, Default)]
struct Reader {
    machines: Machines,
    /// Hosts so far, with the line that each began on.
    hosts: Vec<(String, usize, HostDraft)>,
    by_name: HashMap<String, usize>,
}

impl Reader {
    fn finish(mut self) -> Imported {
        for (file, line, mut host) in std::mem::take(&mut self.hosts) {
            self.machines.begin(&file);
            super::machines::name_cards(&mut host.nics);
            self.machines.host(line, host);
        }
        self.machines.finish()
    }

    fn table(&mut self, source: &Source) -> Result<(), ImportError> {
        let table = Table::of(&source.text);
        let text = table.text.as_str();
        let lines = Lines::of(text);
        let refuse = |line: usize, what: String| ImportError {
            file: source.name.clone(),
            line,
            what,
        };
        let mut records = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(table.separator)
            .comment(Some(b'#'))
            .from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        let mut columns: Option<Columns> = None;
        let mut from = 0;
        loop {
            let more = records.read_record(&mut record).map_err(|error| {
                refuse(
                    lines.at(from),
                    format!("this is no table with separators: {error}"),
                )
            })?;
            let to = usize::try_from(records.position().byte()).unwrap_or(text.len());
            let start = after_blank_lines(text, from.max(table.start));
            let line = lines.at(start) + table.skipped;
            let raw = text.get(start..to).unwrap_or_default();
            if raw.trim_end().contains('\n') && raw.matches('"').count() % 2 == 1 {
                return Err(refuse(
                    line,
                    "a quotation mark is opened here and never closed".to_owned(),
                ));
            }
            from = to;
            if !more {
                break;
            }
            if record.len() > MOST_COLUMNS {
                return Err(refuse(
                    line,
                    format!(
                        "{} columns: no list of machines has more than {MOST_COLUMNS}",
                        record.len()
                    ),
                ));
            }
            if record.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            match &columns {
                None => {
                    let found = if let Some(found) = Columns::of_header(&record) {
                        found.tell(&mut self.machines, line);
                        found
                    } else {
                        let found =
                            Columns::of_cells(&record).map_err(|what| refuse(line, what))?;
                        self.row(&found, &record, line);
                        found
                    };
                    columns = Some(found);
                }
                Some(columns) => self.row(columns, &record, line),
            }
        }
        if columns.is_none() {
            return Err(refuse(1, "there is no table in it".to_owned()));
        }
        Ok(())
    }

    fn row(&mut self, columns: &Columns, record: &StringRecord, line: usize) {
        let mut row = Row::default();
        for (index, cell) in record.iter().enumerate() {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            let Some((column, title)) = columns.get(index) else {
                self.machines.left(
                    line,
                    cell,
                    "this row has more cells than the header has columns",
                );
                continue;
            };
            // Nothing is known, as tables say it; a typed variable has what TOML has.
            if cell == "-" && !matches!(column, Column::TypedVar(_)) {
                continue;
            }
            match column {
                Column::Name => row.names.push((title, cell)),
                Column::Fqdn => row.fqdn = row.fqdn.or(Some(cell)),
                Column::Domain => row.domain = row.domain.or(Some(cell)),
                Column::Mac(number) => row.macs.push((*number, cell)),
                Column::Ip(number) => row.ips.push((*number, cell)),
                Column::Card(number) => row.cards.push((*number, cell)),
                Column::Group => row.group = row.group.or(Some(cell)),
                Column::Profile => row.profile = row.profile.or(Some(cell)),
                Column::Subnet => row.subnet = row.subnet.or(Some(cell)),
                Column::Arch => row.arch = row.arch.or(Some(cell)),
                Column::SecureBoot => row.secure_boot = row.secure_boot.or(Some(cell)),
                Column::Uuid => row.uuid = row.uuid.or(Some(cell)),
                Column::Serial => row.serial = row.serial.or(Some(cell)),
                Column::Loader => row.loader = row.loader.or(Some(cell)),
                Column::Notes => row.notes.push(cell),
                Column::Var(name) => row.vars.push((name, Value::String(cell.to_owned()))),
                Column::TypedVar(name) => row.vars.push((name, typed(cell))),
                Column::Left => {}
            }
        }
        self.machine(&row, line);
    }

    fn machine(&mut self, row: &Row<'_>, line: usize) {
        let cards = self.cards(row, line);
        let Some(mut host) = self.named(row, &cards, line) else {
            return;
        };
        self.values(row, line, &mut host);
        let key = host.name.as_str().to_ascii_lowercase();
        match self.by_name.get(&key) {
            None => {
                let mut cards = cards.into_iter();
                if let Some(first) = cards.next() {
                    host.macs = first.macs;
                    host.ip = first.ip;
                    // The name of the first card has no place of its own.
                }
                host.nics = cards.collect();
                self.by_name.insert(key, self.hosts.len());
                self.hosts
                    .push((self.machines.file().to_owned(), line, host));
            }
            Some(index) => {
                let index = *index;
                if let Some((file, first, before)) = self.hosts.get_mut(index) {
                    let place = if file == self.machines.file() {
                        format!("line {first}")
                    } else {
                        format!("{file}, line {first}")
                    };
                    add_cards(before, cards);
                    for what in add_values(before, host) {
                        self.machines.left(
                            line,
                            what,
                            format!("{place} says otherwise of this machine, and is kept"),
                        );
                    }
                }
            }
        }
    }

    /// The network cards of a row, the first one first. Cells with several addresses are one card with several
    /// ports.
    fn cards(&mut self, row: &Row<'_>, line: usize) -> Vec<NicDraft> {
        let numbers = row.macs.iter().chain(&row.ips).chain(&row.cards);
        let mut numbers: Vec<u32> = numbers.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut found = Vec::new();
        for number in numbers {
            let mut card = NicDraft::default();
            for (_, cell) in row.macs.iter().filter(|(of, _)| *of == number) {
                for text in several(cell) {
                    if let Some(mac) = self.machines.mac(line, text)
                        && !card.macs.contains(&mac)
                    {
                        card.macs.push(mac);
                    }
                }
            }
            for (_, cell) in row.ips.iter().filter(|(of, _)| *of == number) {
                for (index, text) in several(cell).enumerate() {
                    if index > 0 || card.ip.is_some() {
                        self.machines.left(
                            line,
                            text,
                            "a card has one address: write the machine's next card in a row of its own",
                        );
                        continue;
                    }
                    // Inventories write the length of the network's prefix behind it.
                    let address = text.split('/').next().unwrap_or_default();
                    card.ip = self.machines.address(line, address);
                }
            }
            let name = row.cards.iter().find(|(of, _)| *of == number);
            card.name = name.and_then(|(_, name)| self.machines.line(line, name));
            if !card.macs.is_empty() || card.ip.is_some() {
                found.push(card);
            }
        }
        found
    }

    /// The machine's name: the first column that has one; without any its full name, or its hardware address.
    fn named(&mut self, row: &Row<'_>, cards: &[NicDraft], line: usize) -> Option<HostDraft> {
        let mut names = row.names.iter();
        let text = names.next().map(|(_, cell)| *cell).or(row.fqdn);
        let found = match (text, cards.first().and_then(|card| card.macs.first())) {
            (Some(text), _) => self.machines.name(line, text)?,
            (None, Some(mac)) => {
                let made = named(&format!("host-{}", plain(*mac)))?;
                self.machines.left(
                    line,
                    mac.to_string(),
                    format!("it has no name: it is `{}` here", made.name),
                );
                made
            }
            (None, None) => {
                self.machines
                    .left(line, "a row without a name", "say whose it is");
                return None;
            }
        };
        let mut host = HostDraft::new(found.name);
        host.fqdn = found.fqdn;
        // Another column of names may hold the full one.
        for (title, cell) in names {
            match named(cell) {
                Some(other) if other.name == host.name => {
                    host.fqdn = host.fqdn.or(other.fqdn);
                }
                _ => {
                    if let Some(key) = super::machines::variable(title) {
                        host.vars.insert(key, Value::String((*cell).to_owned()));
                    }
                }
            }
        }
        let full = row.fqdn.map(str::to_owned).or_else(|| {
            let domain = row.domain?.trim_matches('.');
            Some(format!("{}.{domain}", host.name))
        });
        if let (None, Some(full)) = (&host.fqdn, full) {
            let full = full.trim_end_matches('.');
            match crate::config::values::fqdn(full) {
                Ok(full) => host.fqdn = Some(full),
                // A name without a domain, twice.
                Err(_) if full.eq_ignore_ascii_case(host.name.as_str()) => {}
                Err(bad) => {
                    self.machines
                        .left(line, full, format!("{} ({})", bad.message, bad.label));
                }
            }
        }
        Some(host)
    }

    fn values(&mut self, row: &Row<'_>, line: usize, host: &mut HostDraft) {
        let machines = &mut self.machines;
        host.uuid = row.uuid.and_then(|text| machines.uuid(line, text));
        host.serial = row.serial.and_then(|text| machines.line(line, text));
        host.arch = row.arch.and_then(|text| machines.arch(line, text));
        host.secure_boot = row.secure_boot.and_then(|text| {
            let why = "Secure Boot is on (yes, true) or off (no, false)";
            machines.understood(line, text, truth(text), why)
        });
        host.loader = row.loader.and_then(|text| machines.line(line, text));
        if !row.notes.is_empty() {
            host.notes = Some(row.notes.join("\n"));
        }
        host.profile = row.profile.and_then(|text| {
            let why = "this is no name of a profile: profiles/NAME.toml";
            machines.understood(line, text, text.parse().ok(), why)
        });
        host.subnet = row.subnet.and_then(|text| {
            let why = "this is no name of a subnet";
            machines.understood(line, text, text.parse().ok(), why)
        });
        if let Some(text) = row.group {
            match group_name(text) {
                Some(group) => {
                    let groups = &mut machines.imported().groups;
                    if !groups.iter().any(|draft| draft.name == group) {
                        groups.push(GroupDraft::new(group.clone()));
                    }
                    host.group = Some(group);
                }
                None => machines.left(line, text, "no name of a group can be made of it"),
            }
        }
        for (name, value) in &row.vars {
            host.vars
                .entry((*name).to_owned())
                .or_insert_with(|| value.clone());
        }
    }
}

/// A further row of a machine: a port of the card of that address, or a card of its own.
fn add_cards(host: &mut HostDraft, cards: Vec<NicDraft>) {
    for card in cards {
        let add = |macs: &mut Vec<HardwareAddr>| {
            for mac in &card.macs {
                if !macs.contains(mac) {
                    macs.push(*mac);
                }
            }
        };
        let known = |ip: Option<Ipv4Addr>| ip.is_some() && ip == card.ip;
        if known(host.ip) {
            add(&mut host.macs);
        } else if let Some(nic) = host.nics.iter_mut().find(|nic| known(nic.ip)) {
            add(&mut nic.macs);
        } else if host.macs.is_empty() && host.ip.is_none() {
            host.macs = card.macs;
            host.ip = card.ip;
        } else if card.ip.is_some() || !has_all(host, &card.macs) {
            host.nics.push(card);
        }
    }
}

fn has_all(host: &HostDraft, macs: &[HardwareAddr]) -> bool {
    macs.iter()
        .all(|mac| host.macs.contains(mac) || host.nics.iter().any(|nic| nic.macs.contains(mac)))
}

/// Yes or no, in the words of tables.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" | "true" | "1" | "on" | "enabled" | "x" => Some(true),
        "no" | "n" | "false" | "0" | "off" | "disabled" => Some(false),
        _ => None,
    }
}

/// Takes over what the first row left open; what it says otherwise is given back.
fn add_values(before: &mut HostDraft, row: HostDraft) -> Vec<String> {
    fn one<T: PartialEq + std::fmt::Display>(
        key: &str,
        before: &mut Option<T>,
        row: Option<T>,
        other: &mut Vec<String>,
    ) {
        match (before.as_ref(), row) {
            (_, None) => {}
            (None, row) => *before = row,
            (Some(first), Some(row)) if *first == row => {}
            (Some(_), Some(row)) => other.push(format!("{key} {row}")),
        }
    }
    let mut other = Vec::new();
    one("fqdn", &mut before.fqdn, row.fqdn, &mut other);
    one("group", &mut before.group, row.group, &mut other);
    one("profile", &mut before.profile, row.profile, &mut other);
    one("subnet", &mut before.subnet, row.subnet, &mut other);
    one("arch", &mut before.arch, row.arch, &mut other);
    one(
        "secure_boot",
        &mut before.secure_boot,
        row.secure_boot,
        &mut other,
    );
    one("uuid", &mut before.uuid, row.uuid, &mut other);
    one("serial", &mut before.serial, row.serial, &mut other);
    one("loader", &mut before.loader, row.loader, &mut other);
    one("notes", &mut before.notes, row.notes, &mut other);
    for (name, value) in row.vars {
        match before.vars.get(&name) {
            None => {
                before.vars.insert(name, value);
            }
            Some(first) if *first == value => {}
            Some(_) => other.push(format!("{name} = {value}")),
        }
    }
    other
}

/// The addresses of one cell.
fn several(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|'))
        .filter(|text| !text.is_empty())
}

/// A value of a column `vars.NAME`: TOML where it is TOML, otherwise a text.
fn typed(cell: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("v = {cell}"))
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("v"));
    match parsed {
        Some(Value::Datetime(_)) | None => Value::String(cell.to_owned()),
        Some(value) => value,
    }
}

fn plain(mac: HardwareAddr) -> String {
    mac.dashed().replace('-', "")
}

/// A text made fit for the reader of separated values.
#[derive(Debug)]
struct Table {
    text: String,
    separator: u8,
    /// The first byte of the table.
    start: usize,
    /// Lines before the text.
    skipped: usize,
}

impl Table {
    fn of(text: &str) -> Self {
        let mut text = text.trim_start_matches('\u{feff}');
        let mut skipped = 0;
        let mut separator = None;
        // What some spreadsheets write before the table.
        let first = text.lines().next().unwrap_or_default().trim();
        if let Some(named) = first.to_ascii_lowercase().strip_prefix("sep=") {
            separator = named.bytes().next().filter(u8::is_ascii).or(Some(b'\t'));
            text = text.split_once('\n').map_or("", |(_, rest)| rest);
            skipped = 1;
        }
        let mut owned = text.to_owned();
        let start = after_empty_lines(&owned);
        // A header may be marked as a comment.
        if owned.as_bytes().get(start) == Some(&b'#') {
            let rest = owned.get(start + 1..).unwrap_or_default();
            let header = rest.lines().next().unwrap_or_default();
            let by = separator.unwrap_or_else(|| separator_of(header));
            let cells = header.split(char::from(by)).map(str::trim);
            if Columns::of_header(&cells.collect()).is_some() {
                owned.replace_range(start..=start, " ");
            }
        }
        let start = after_blank_lines(&owned, 0);
        let line = owned
            .get(start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        let separator = separator.unwrap_or_else(|| separator_of(line));
        Self {
            text: owned,
            separator,
            start: 0,
            skipped,
        }
    }
}

/// What separates the columns of this line: what stands in it most often, outside of quotation marks.
fn separator_of(line: &str) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut quoted = false;
    for byte in line.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        } else if !quoted
            && let Some(index) = SEPARATORS.iter().position(|separator| *separator == byte)
            && let Some(count) = counts.get_mut(index)
        {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    let found = counts.iter().position(|count| *count == most && most > 0);
    found
        .and_then(|index| SEPARATORS.get(index).copied())
        .unwrap_or(b',')
}

fn after_empty_lines(text: &str) -> usize {
    text.find(|c: char| !c.is_whitespace())
        .unwrap_or(text.len())
}

/// The first byte from there on that stands neither on an empty line nor in a comment, as the reader skips them.
fn after_blank_lines(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        if !line.trim_end_matches(['\r', '\n']).is_empty() && !line.starts_with('#') {
            return at;
        }
        at += line.len();
    }
    text.len()
}
