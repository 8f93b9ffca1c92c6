//! New hosts and groups: their place, and their form by that of the one above.

use std::collections::HashSet;

use smol_str::SmolStr;
use toml::{Table as Values, Value};

use super::inline::{self, Splice};
use super::layout::Look;
use super::scan::{self, Keys, Kind, NodeKind, Statement};
use super::{At, Document, EditError, Entry, Table, VarsForm, value};
use crate::base::HardwareAddr;
use crate::config::draft::{GroupDraft, HostDraft, NicDraft};

/// What an entry is to say.
#[derive(Debug, Clone, Default)]
pub(super) struct Body {
    /// Its keys, in the order in which they are written.
    keys: Vec<(&'static str, Value)>,
    vars: Values,
    nics: Vec<Values>,
}

impl Body {
    pub(super) fn of_host(draft: &HostDraft) -> Self {
        let mut body = Self {
            vars: draft.vars.clone(),
            nics: draft.nics.iter().map(nic).collect(),
            ..Self::default()
        };
        body.put("mac", macs(&draft.macs));
        body.put("ip", text(draft.ip.as_ref()));
        body.put("subnet", text(draft.subnet.as_ref()));
        body.put("group", text(draft.group.as_ref()));
        body.put("profile", text(draft.profile.as_ref()));
        body.put("fqdn", text(draft.fqdn.as_ref()));
        body.put("arch", text(draft.arch.as_ref()));
        body.put("secure_boot", draft.secure_boot.map(Value::Boolean));
        body.put("loader", text(draft.loader.as_ref()));
        body.put("uuid", text(draft.uuid.as_ref()));
        body.put("serial", text(draft.serial.as_ref()));
        body.put("options", options(&draft.options));
        body.put("notes", text(draft.notes.as_ref()));
        body
    }

    pub(super) fn of_group(draft: &GroupDraft) -> Self {
        let mut body = Self {
            vars: draft.vars.clone(),
            ..Self::default()
        };
        body.put("group", text(draft.group.as_ref()));
        body.put("profile", text(draft.profile.as_ref()));
        body.put("loader", text(draft.loader.as_ref()));
        body.put("options", options(&draft.options));
        body
    }

    fn put(&mut self, key: &'static str, value: Option<Value>) {
        self.keys.extend(value.map(|value| (key, value)));
    }

    /// All but the network cards, with their whole keys.
    pub(super) fn pairs(&self) -> Vec<(Keys, Value)> {
        let keys = self
            .keys
            .iter()
            .map(|(key, value)| (Keys::from_iter([SmolStr::new(key)]), value.clone()));
        let vars = self
            .vars
            .iter()
            .map(|(key, value)| (Keys::from_iter(["vars".into(), key.into()]), value.clone()));
        keys.chain(vars).collect()
    }

    /// As one inline table.
    fn table(&self) -> Values {
        let mut table: Values = self
            .keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        if !self.vars.is_empty() {
            table.insert("vars".to_owned(), Value::Table(self.vars.clone()));
        }
        table.extend(self.nics());
        table
    }

    fn nics(&self) -> Option<(String, Value)> {
        let nics: Vec<Value> = self.nics.iter().cloned().map(Value::Table).collect();
        (!nics.is_empty()).then(|| ("nic".to_owned(), Value::Array(nics)))
    }

    fn lines(&self) -> Vec<(String, Value)> {
        let line = |(key, value): &(&str, Value)| ((*key).to_owned(), value.clone());
        self.keys.iter().map(line).collect()
    }

    fn vars_lines(&self) -> Vec<(String, Value)> {
        let line = |(key, value): (&String, &Value)| (value::key(key), value.clone());
        self.vars.iter().map(line).collect()
    }
}

fn text(value: Option<&impl ToString>) -> Option<Value> {
    value.map(|value| Value::String(value.to_string()))
}

fn macs(macs: &[HardwareAddr]) -> Option<Value> {
    let mut texts = macs.iter().map(|mac| Value::String(mac.to_string()));
    match macs {
        [] => None,
        [_] => texts.next(),
        _ => Some(Value::Array(texts.collect())),
    }
}

fn nic(draft: &NicDraft) -> Values {
    [
        ("mac", macs(&draft.macs)),
        ("ip", text(draft.ip.as_ref())),
        ("name", text(draft.name.as_ref())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

/// Options by name or code become the list of tables that the file has. A value that is no table has its type's key: a
/// text `text`, an address or several `ip`, `true` or `false` `bool`, a number `u32`.
pub(super) fn options(options: &Values) -> Option<Value> {
    let list: Vec<Value> = options
        .iter()
        .map(|(name, value)| {
            let mut table = Values::new();
            match name.parse::<u8>() {
                Ok(code) => table.insert("code".to_owned(), Value::Integer(code.into())),
                Err(_) => table.insert("name".to_owned(), Value::String(name.clone())),
            };
            let is_address = |value: &Value| {
                value
                    .as_str()
                    .is_some_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok())
            };
            match value {
                Value::Table(inner) => table.extend(inner.clone()),
                value => {
                    let form = match value {
                        Value::Array(_) => "ip",
                        value if is_address(value) => "ip",
                        Value::Integer(_) => "u32",
                        Value::Boolean(_) => "bool",
                        _ => "text",
                    };
                    table.insert(form.to_owned(), value.clone());
                }
            }
            Value::Table(table)
        })
        .collect();
    (!list.is_empty()).then_some(Value::Array(list))
}

/// How an entry is written.
enum Form {
    /// A section of its own.
    Section,
    /// `web01 = { … }` below this header.
    Inline,
    /// `web01.mac = …` below this header.
    Dotted,
}

impl Document {
    pub(super) fn add(
        &mut self,
        entry: &Entry,
        group: Option<&str>,
        body: &Body,
    ) -> Result<(), EditError> {
        if self.has(entry) {
            self.settle()?;
            return Err(EditError::There {
                entry: entry.clone(),
                line: self.line_now(entry),
            });
        }
        let table = entry.table();
        let splices = match self.neighbour(table, group) {
            Some(neighbour) => match self.index.entries.get(&(table, neighbour)) {
                Some(At::Statements(statements)) => {
                    vec![self.beside(entry, body, statements)]
                }
                Some(At::Within(whole)) => self.within(entry, body, *whole)?,
                None => Vec::new(),
            },
            None => match self.index.whole.get(&table) {
                Some(whole) => self.within(entry, body, *whole)?,
                None => vec![self.first(entry, body)],
            },
        };
        self.added.insert(entry.clone());
        self.added_groups.extend(group.map(str::to_owned));
        self.appended |= splices
            .iter()
            .any(|splice| splice.at.start == self.text.len());
        self.pending.extend(splices);
        Ok(())
    }

    /// The entry that a new one is put below.
    fn neighbour(&self, table: Table, group: Option<&str>) -> Option<SmolStr> {
        let of_group = group.and_then(|group| self.index.last_of_group.get(group));
        of_group
            .or_else(|| self.index.order.get(&table)?.last())
            .cloned()
    }

    /// Into `hosts = { … }`.
    fn within(&self, entry: &Entry, body: &Body, whole: usize) -> Result<Vec<Splice>, EditError> {
        let statement = self.scan.statements.get(whole);
        let node = statement.and_then(|statement| scan::node(&self.text, statement.value.clone()));
        match node {
            Some(node) if matches!(node.kind, NodeKind::Table(_)) => {
                let keys = [SmolStr::new(entry.name())];
                let value = Value::Table(body.table());
                Ok(inline::insert(&self.text, &node, [(&keys[..], &value)]))
            }
            _ => Err(EditError::NoPlace {
                entry: entry.clone(),
                line: statement.map_or(1, |at| scan::line_of(&self.text, at.start)),
            }),
        }
    }

    /// The statements of an entry that follow each other, from its first one on: the first and the last.
    fn together(&self, statements: &[usize]) -> (usize, usize) {
        let first = statements.first().copied().unwrap_or(0);
        let is_header = |at: usize| {
            self.scan.statements.get(at).is_some_and(|statement| {
                statement.kind == Kind::Header && statement.keys.len() == 2
            })
        };
        // Parts of an entry may stand anywhere; its main section says where it is.
        let main = statements
            .iter()
            .copied()
            .find(|at| is_header(*at))
            .unwrap_or(first);
        let mut last = main;
        while statements.contains(&(last + 1)) {
            last += 1;
        }
        (main, last)
    }

    /// Below another entry, in its form.
    fn beside(&self, entry: &Entry, body: &Body, statements: &[usize]) -> Splice {
        let (first, last) = self.together(statements);
        let Some(head) = self.scan.statements.get(first) else {
            return Splice::new(0..0, "");
        };
        let lines = self.lines();
        let end = self
            .scan
            .statements
            .get(last)
            .map_or_else(|| head.end(), Statement::end);
        let end = lines.end(end);
        let above = self.scan.above(head);
        let form = match head.kind {
            Kind::Header | Kind::ListHeader => Form::Section,
            Kind::Pair if above + head.keys.len() == 2 => Form::Inline,
            Kind::Pair => Form::Dotted,
        };
        let prefix = |more: &[&str]| {
            let path = [entry.table().as_str(), entry.name()];
            value::dotted(path.into_iter().skip(above).chain(more.iter().copied()))
        };
        match form {
            Form::Section => {
                let text = self.section(entry, body, lines.indent(head.start));
                let blank = "\n".repeat(self.blanks_between());
                self.below(
                    lines.comments_below(end, true),
                    &format!("{blank}{text}"),
                    1,
                )
            }
            Form::Inline => {
                let look = self.look_of(head, &[]);
                let value = value::write(&Value::Table(body.table()), None);
                self.below(end, &look.line(&prefix(&[]), &value), 1)
            }
            Form::Dotted => {
                let mut new: Vec<(String, Value)> = body
                    .pairs()
                    .into_iter()
                    .map(|(keys, value)| {
                        let keys: Vec<&str> = keys.iter().map(SmolStr::as_str).collect();
                        (prefix(&keys), value)
                    })
                    .collect();
                new.extend(body.nics().map(|(key, value)| (prefix(&[&key]), value)));
                if new.is_empty() {
                    new.push((prefix(&[]), Value::Table(Values::new())));
                }
                let look = self.look_of(head, &new);
                let blank = self.blank_above(head);
                let lines: String = new
                    .iter()
                    .map(|(key, value)| look.line(key, &value::write(value, None)))
                    .collect();
                self.below(end, &format!("{blank}{lines}"), 1)
            }
        }
    }

    /// The look of one line and of those beside it; columns that new lines need as well.
    fn look_of(&self, head: &Statement, new: &[(String, Value)]) -> Look {
        let section: Vec<&Statement> = self
            .scan
            .statements
            .iter()
            .filter(|pair| pair.kind == Kind::Pair && pair.header == head.header)
            .collect();
        let mut look = super::layout::look(&self.text, &section);
        if let Some(column) = look.column {
            let longest = new.iter().map(|(key, _)| key.chars().count() + look.pad);
            look.column = longest.max().max(Some(column));
        }
        look
    }

    fn blank_above(&self, head: &Statement) -> &'static str {
        let lines = self.lines();
        let start = lines.comments_above(lines.start(head.start), 0);
        if lines.blanks_above(start).is_empty() {
            ""
        } else {
            "\n"
        }
    }

    /// How many blank lines stand before a section of an entry: as before the last one that has something above it.
    fn blanks_between(&self) -> usize {
        let lines = self.lines();
        let is_entry = |statement: &&Statement| {
            statement.kind == Kind::Header
                && statement.keys.len() == 2
                && statement
                    .keys
                    .first()
                    .is_some_and(|key| Table::of(key).is_some())
        };
        let mut heads = self.scan.statements.iter().rev().filter(is_entry);
        let found = heads.find_map(|head| {
            let start = lines.comments_above(lines.start(head.start), 0);
            let blanks = lines.blanks_above(start);
            // At the top of the file, or below comments that may be about the whole of it.
            (blanks.start > lines.start(0) && start == lines.start(head.start))
                .then(|| lines.count(&blanks))
        });
        found.unwrap_or(1).min(3)
    }

    /// An entry as sections.
    fn section(&self, entry: &Entry, body: &Body, indent: &str) -> String {
        let mut keys = body.lines();
        let mut vars = body.vars_lines();
        match self.index.vars {
            VarsForm::Section => {}
            VarsForm::Dotted => {
                let vars = vars.drain(..);
                keys.extend(vars.map(|(key, value)| (format!("vars.{key}"), value)));
            }
            VarsForm::Inline if vars.is_empty() => {}
            VarsForm::Inline => {
                vars.clear();
                keys.push(("vars".to_owned(), Value::Table(body.vars.clone())));
            }
        }
        let look = self.look_of_new(&keys, indent);
        let mut text = format!("{indent}{entry}\n");
        for (key, value) in &keys {
            text.push_str(&look.line(key, &value::write(value, None)));
        }
        if !vars.is_empty() {
            text.push_str(&self.vars_section(entry, &vars, indent));
        }
        for nic in &body.nics {
            text.push_str(&self.nic_section(entry, nic, indent));
        }
        text
    }

    fn nic_section(&self, entry: &Entry, nic: &Values, indent: &str) -> String {
        let path = [entry.table().as_str(), entry.name(), "nic"];
        let lines: Vec<(String, Value)> = ["mac", "ip", "name"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), nic.get(*key)?.clone())))
            .collect();
        let look = self.look_of_new(&lines, indent);
        let mut text = format!("\n{indent}[[{}]]\n", value::dotted(path));
        for (key, value) in &lines {
            text.push_str(&look.line(key, &value::write(value, None)));
        }
        text
    }

    /// The first entry of its kind.
    fn first(&self, entry: &Entry, body: &Body) -> Splice {
        let lines = self.lines();
        let text = self.section(entry, body, "");
        let is_of = |statement: &Statement, name: &str| {
            statement.kind == Kind::Header && statement.keys.first().is_some_and(|key| key == name)
        };
        let statements = &self.scan.statements;
        let blank = "\n".repeat(self.blanks_between());
        if entry.table() == Table::Groups {
            // Behind the defaults, else before the hosts.
            let defaults = statements.iter().rposition(|one| is_of(one, "defaults"));
            if let Some(header) = defaults {
                let last = self.scan.last_of_section(header);
                let end = statements.get(last).map_or(0, Statement::end);
                let end = lines.comments_below(lines.end(end), true);
                return self.below(end, &format!("{blank}{text}"), 1);
            }
            let first = statements.iter().position(|one| one.kind != Kind::Pair);
            if let Some(first) = first
                && let Some(head) = statements.get(first).filter(|head| is_of(head, "hosts"))
            {
                let floor = first
                    .checked_sub(1)
                    .and_then(|before| statements.get(before))
                    .map_or(0, |before| lines.end(before.end()));
                let start = lines.start(head.start);
                let mut at = lines.comments_above(start, floor);
                if at == lines.start(0) {
                    // What stands at the top is about the whole file.
                    at = start;
                }
                return Splice {
                    at: at..at,
                    text: format!("{text}{blank}"),
                    rank: 1,
                };
            }
        }
        let end = self.text.len();
        let is_empty = self
            .text
            .trim_matches(['\u{feff}', ' ', '\t', '\r', '\n'])
            .is_empty();
        let has_blank =
            !lines.blanks_above(lines.start(end)).is_empty() && self.text.ends_with('\n');
        let blank = if is_empty || has_blank {
            ""
        } else {
            blank.as_str()
        };
        // Behind those that were added before it: each begins with its blank lines.
        let behind = self.appended;
        let blank = if behind { "\n" } else { blank };
        self.below_pending(end, &format!("{blank}{text}"), behind)
    }

    fn below_pending(&self, at: usize, text: &str, behind: bool) -> Splice {
        if behind && !(self.text.is_empty() || self.text.ends_with('\n')) {
            return self.below(at, text, 1);
        }
        if behind || self.text == "\u{feff}" {
            return Splice {
                at: at..at,
                text: text.to_owned(),
                rank: 1,
            };
        }
        self.below(at, text, 1)
    }

    /// The network cards of a draft of which an entry has neither the hardware address nor the address.
    pub(super) fn missing_nics(&self, entry: &Entry, body: &Body) -> Vec<Value> {
        let written = match self.at(entry) {
            Some(At::Statements(statements)) => statements
                .iter()
                .filter_map(|at| self.scan.statements.get(*at))
                .filter_map(|one| self.text.get(one.value.clone()))
                .fold(String::new(), |all, one| all + one + "\n"),
            Some(At::Within(whole)) => {
                let one = self.scan.statements.get(*whole);
                let node = one.and_then(|one| scan::node(&self.text, one.value.clone()));
                let path = Self::full(entry, []);
                match node.as_ref().map(|node| inline::find(node, &path, 1)) {
                    Some(inline::Found::Is(part)) => self
                        .text
                        .get(part.value.span.clone())
                        .unwrap_or_default()
                        .to_owned(),
                    _ => String::new(),
                }
            }
            None => String::new(),
        };
        let known: HashSet<&str> = written.split(['"', '\'']).collect();
        let macs: HashSet<HardwareAddr> =
            known.iter().filter_map(|text| text.parse().ok()).collect();
        let is_known = |value: &Value| {
            value.as_str().is_some_and(|text| {
                known.contains(text) || text.parse().is_ok_and(|mac| macs.contains(&mac))
            })
        };
        let is_there = |nic: &&Values| {
            nic.values().any(|value| match value {
                Value::Array(list) => list.iter().any(is_known),
                value => is_known(value),
            })
        };
        let missing = body.nics.iter().filter(|nic| !is_there(nic));
        missing.cloned().map(Value::Table).collect()
    }

    /// Network cards as sections of their own, below an entry's last part.
    pub(super) fn nic_sections(&self, entry: &Entry, nics: &[Value]) -> Option<Splice> {
        let Some(At::Statements(statements)) = self.at(entry) else {
            return None;
        };
        // The last part, not the last that stands together: a list of tables goes on where it was left.
        let is_head = |at: &usize| {
            let statement = self.scan.statements.get(*at);
            statement.is_some_and(|statement| statement.kind != Kind::Pair)
        };
        let head = statements.iter().rev().copied().find(is_head)?;
        let last = self.scan.last_of_section(head);
        let indent = self.indent_of(head);
        let text: String = nics
            .iter()
            .filter_map(Value::as_table)
            .map(|nic| self.nic_section(entry, nic, indent))
            .collect();
        let end = self.scan.statements.get(last)?.end();
        let at = self.lines().comments_below(self.lines().end(end), true);
        Some(self.below(at, &text, 0))
    }
}
