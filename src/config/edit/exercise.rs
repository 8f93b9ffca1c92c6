//! Any edits of any text, held against the same edits of its values: what the fuzz target and the tests run.

use toml::{Table as Values, Value};

use super::scan::{Kind, Scan};
use super::{Document, EditError, Entry, Kept, Key, value};
use crate::base::{GroupName, HardwareAddr};
use crate::config::draft::{GroupDraft, HostDraft, NicDraft};
use crate::config::vars::INHERITED;

/// One edit, as a line of words.
#[derive(Debug, Clone, PartialEq)]
enum Edit {
    Add(HostDraft),
    Group(GroupDraft),
    /// With values replaced or not.
    Merge(HostDraft, bool),
    Set(Entry, Key, Value),
    Unset(Entry, Key),
    Push(Entry, Key, Value),
    Pull(Entry, Key, Value),
    Remove(Entry),
}

/// Makes edits and tells what they broke. The lines before `----` are edits, such as `set web01 ip 10.0.0.9`, the rest is
/// the text. How many edits were made, when nothing broke.
pub fn edit_keeps_meaning(bytes: &[u8]) -> Result<usize, String> {
    let Ok(all) = std::str::from_utf8(bytes) else {
        return Ok(0);
    };
    let (edits, text) = all.split_once("----\n").unwrap_or(("", all));
    let Ok(mut model) = toml::from_str::<Values>(text) else {
        // Any text at all is read or refused.
        let _ = Document::parse(text);
        return Ok(0);
    };
    let mut document = match Document::parse(text) {
        Ok(document) => document,
        // The one reader takes what the other does not.
        Err(error) => return Err(format!("refused: {error}")),
    };
    let mut made = 0;
    for edit in edits.lines().filter_map(Edit::read) {
        let before = current(&mut document)?;
        let mut wanted = model.clone();
        let possible = edit.model(&mut wanted);
        let result = edit
            .make(&mut document)
            .and_then(|()| document.text().map(|_| ()));
        match result {
            Ok(()) => {
                let after = current(&mut document)?;
                let tell = |what: &str| format!("{what} by {edit:?}\n{before}\n====\n{after}");
                let read: Values =
                    toml::from_str(&after).map_err(|error| tell(&error.to_string()))?;
                if !possible {
                    return Err(tell("what cannot be was made"));
                }
                if shown(&read) != shown(&wanted) {
                    return Err(tell("another meaning"));
                }
                edit.kept(&before, &after).map_err(|what| tell(&what))?;
                model = wanted;
                made += 1;
            }
            Err(_) => {
                document = Document::parse(before.as_str()).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(made)
}

fn current(document: &mut Document) -> Result<String, String> {
    document
        .text()
        .map(str::to_owned)
        .map_err(|error| error.to_string())
}

/// Values without empty tables, in a form in which a NaN is like itself.
fn shown(values: &Values) -> String {
    fn prune(values: &Values) -> Values {
        values
            .iter()
            .filter_map(|(key, value)| match value {
                Value::Table(inner) => {
                    let inner = prune(inner);
                    (!inner.is_empty()).then(|| (key.clone(), Value::Table(inner)))
                }
                value => Some((key.clone(), value.clone())),
            })
            .collect()
    }
    format!("{:?}", prune(values))
}

impl Edit {
    fn read(line: &str) -> Option<Self> {
        let (verb, rest) = line.split_once(' ')?;
        let mut words = rest.splitn(3, ' ');
        let name = words.next()?;
        let entry = match name.strip_prefix('@') {
            Some(group) => Entry::Group(group.parse().ok()?),
            None => Entry::Host(name.parse().ok()?),
        };
        let mut key = || Key::parse(words.next()?).ok();
        Some(match verb {
            "add" | "merge" | "update" => {
                let mut draft = HostDraft::new(name.parse().ok()?);
                for word in rest.split(' ').skip(1) {
                    give(&mut draft, word);
                }
                if verb == "add" {
                    Self::Add(draft)
                } else {
                    Self::Merge(draft, verb == "update")
                }
            }
            "group" => {
                let mut draft = GroupDraft::new(name.parse().ok()?);
                for word in rest.split(' ').skip(1) {
                    draft.vars.insert(word.to_owned(), Value::Boolean(true));
                }
                Self::Group(draft)
            }
            "remove" => Self::Remove(entry),
            "unset" => Self::Unset(entry, key()?),
            "set" | "push" | "pull" => {
                let key = key()?;
                let parts: Vec<&str> = key.parts().collect();
                let value = value::typed(&parts, words.next()?);
                match verb {
                    "set" => Self::Set(entry, key, value),
                    "push" => Self::Push(entry, key, value),
                    _ => Self::Pull(entry, key, value),
                }
            }
            _ => return None,
        })
    }

    fn make(&self, document: &mut Document) -> Result<(), EditError> {
        match self {
            Self::Add(draft) => document.add_host(draft),
            Self::Group(draft) => document.add_group(draft),
            Self::Merge(draft, replaces) => {
                let replaces = |kept: &Kept| {
                    *replaces && value::literal(&kept.written).is_some_and(|old| is_plain(&old))
                };
                document.merge_host(draft, replaces).map(|_| ())
            }
            Self::Set(entry, key, value) => document.set(entry, key, value),
            Self::Unset(entry, key) => document.unset(entry, key),
            Self::Push(entry, key, value) => document.push(entry, key, value),
            Self::Pull(entry, key, value) => document.pull(entry, key, value),
            Self::Remove(entry) => document.remove(std::slice::from_ref(entry)),
        }
    }

    fn entry(&self) -> Entry {
        match self {
            Self::Add(draft) | Self::Merge(draft, _) => Entry::Host(draft.name.clone()),
            Self::Group(draft) => Entry::Group(draft.name.clone()),
            Self::Set(entry, ..)
            | Self::Unset(entry, _)
            | Self::Push(entry, ..)
            | Self::Pull(entry, ..)
            | Self::Remove(entry) => entry.clone(),
        }
    }

    /// Makes the same of values; whether it can be.
    fn model(&self, all: &mut Values) -> bool {
        let entry = self.entry();
        let table = entry.table().as_str();
        let top = all
            .entry(table)
            .or_insert_with(|| Value::Table(Values::new()));
        let Value::Table(entries) = top else {
            return false;
        };
        match self {
            Self::Add(draft) => new(entries, &entry, host_values(draft)),
            Self::Group(draft) => {
                let mut values = Values::new();
                if !draft.vars.is_empty() {
                    values.insert("vars".to_owned(), Value::Table(draft.vars.clone()));
                }
                new(entries, &entry, values)
            }
            Self::Merge(draft, replaces) => {
                let Some(Value::Table(old)) = entries.get_mut(entry.name()) else {
                    return false;
                };
                fill(old, &host_values(draft), *replaces);
                true
            }
            Self::Remove(_) => entries.remove(entry.name()).is_some(),
            Self::Set(_, key, value) => {
                at(entries, &entry, key, true).is_some_and(|(table, last)| {
                    table.insert(last, value.clone());
                    true
                })
            }
            Self::Unset(_, key) => at(entries, &entry, key, false)
                .is_some_and(|(table, last)| table.remove(&last).is_some()),
            Self::Push(_, key, value) => at(entries, &entry, key, true)
                .is_some_and(|(table, last)| push(table, last, key, value)),
            Self::Pull(_, key, value) => at(entries, &entry, key, false)
                .is_some_and(|(table, last)| pull(table, &last, value)),
        }
    }

    /// Whether every line and comment that the edit is not about is still there.
    fn kept(&self, before: &str, after: &str) -> Result<(), String> {
        let entry = self.entry();
        let removes = matches!(self, Self::Remove(_));
        let (before, after) = (
            before.trim_start_matches('\u{feff}'),
            after.trim_start_matches('\u{feff}'),
        );
        let foreign = foreign_lines(before, &entry, removes);
        let mut lines = after
            .split_inclusive('\n')
            .map(|line| line.trim_end_matches(['\r', '\n']));
        for line in &foreign {
            let text = line.trim_end_matches(['\r', '\n']);
            if !text.trim().is_empty() && !lines.any(|other| other == text) {
                return Err(format!("the line `{text}` is not where it was"));
            }
        }
        if before.contains("\r\n")
            && !before.replace("\r\n", "").contains('\n')
            && after.replace("\r\n", "").contains('\n')
        {
            return Err("a line end of another kind".to_owned());
        }
        Ok(())
    }
}

/// The lines of a text that no statement of an entry stands in, and (when it goes) that are not its comments.
fn foreign_lines<'t>(text: &'t str, entry: &Entry, removes: bool) -> Vec<&'t str> {
    let Ok(scan) = Scan::read(text) else {
        return Vec::new();
    };
    let table = entry.table().as_str();
    let mut own = Vec::new();
    let mut ends = 0;
    for statement in &scan.statements {
        let mut path = scan.path(statement);
        let is_own =
            path.next() == Some(table) && path.next().is_none_or(|name| name == entry.name());
        // Comments between statements of one section that goes are within it.
        let within =
            removes && is_own && statement.kind == Kind::Pair && scan.above(statement) >= 2;
        let start = if within { ends } else { statement.start };
        if is_own {
            own.push(start..statement.end());
        }
        ends = statement.end();
    }
    let mut at = 0;
    let mut lines: Vec<(&str, bool)> = Vec::new();
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        let is_own = own
            .iter()
            .any(|range| range.start < end && at < range.end.max(range.start + 1));
        lines.push((line, is_own));
        at = end;
    }
    let mut foreign = Vec::new();
    for (index, (line, is_own)) in lines.iter().enumerate() {
        let comment = line.trim_start().starts_with('#');
        // Comments that touch what goes.
        let touches = |mut others: Box<dyn Iterator<Item = &(&str, bool)> + '_>| {
            others
                .find(|(line, own)| *own || !line.trim_start().starts_with('#'))
                .is_some_and(|(_, own)| *own)
        };
        let goes = *is_own
            || removes
                && comment
                && (touches(Box::new(lines.iter().skip(index + 1)))
                    || touches(Box::new(lines.iter().take(index).rev())));
        if !goes {
            foreign.push(*line);
        }
    }
    foreign
}

fn give(draft: &mut HostDraft, word: &str) {
    let Some((key, value)) = word.split_once('=') else {
        draft.vars.insert(word.to_owned(), Value::Integer(7));
        return;
    };
    match key {
        "mac" => draft.macs.extend(value.parse::<HardwareAddr>()),
        "ip" => draft.ip = value.parse().ok(),
        "group" => draft.group = value.parse().ok(),
        "profile" => draft.profile = value.parse().ok(),
        "serial" => draft.serial = Some(value.to_owned()),
        "nic" => draft.nics.push(NicDraft {
            macs: value.parse().into_iter().collect(),
            ip: value.parse().ok(),
            name: None,
        }),
        key => {
            draft
                .vars
                .insert(key.to_owned(), Value::String(value.to_owned()));
        }
    }
}

fn host_values(draft: &HostDraft) -> Values {
    let mut values = Values::new();
    let text = |value: &dyn ToString| Value::String(value.to_string());
    let macs = |macs: &[HardwareAddr]| match macs {
        [] => None,
        [one] => Some(text(one)),
        several => Some(Value::Array(several.iter().map(|mac| text(mac)).collect())),
    };
    values.extend(macs(&draft.macs).map(|value| ("mac".to_owned(), value)));
    values.extend(draft.ip.map(|ip| ("ip".to_owned(), text(&ip))));
    values.extend(
        draft
            .group
            .as_ref()
            .map(|group: &GroupName| ("group".to_owned(), text(group))),
    );
    values.extend(
        draft
            .profile
            .as_ref()
            .map(|name| ("profile".to_owned(), text(name))),
    );
    values.extend(
        draft
            .serial
            .as_ref()
            .map(|name| ("serial".to_owned(), text(name))),
    );
    if !draft.vars.is_empty() {
        values.insert("vars".to_owned(), Value::Table(draft.vars.clone()));
    }
    let nics = draft.nics.iter().map(|nic| {
        let mut one = Values::new();
        one.extend(macs(&nic.macs).map(|value| ("mac".to_owned(), value)));
        one.extend(nic.ip.map(|ip| ("ip".to_owned(), text(&ip))));
        Value::Table(one)
    });
    let nics: Vec<Value> = nics.collect();
    if !nics.is_empty() {
        values.insert("nic".to_owned(), Value::Array(nics));
    }
    values
}

fn new(entries: &mut Values, entry: &Entry, values: Values) -> bool {
    let is_new = !entries.contains_key(entry.name());
    entries.insert(entry.name().to_owned(), Value::Table(values));
    is_new
}

/// Whether no table is in it.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Table(_) => false,
        Value::Array(list) => list.iter().all(is_plain),
        _ => true,
    }
}

/// What is missing, and what is written otherwise where it is replaced; network cards when none of theirs is there.
fn fill(old: &mut Values, new: &Values, replaces: bool) {
    for (key, value) in new {
        match (old.get_mut(key), value) {
            (None, value) => {
                old.insert(key.clone(), value.clone());
            }
            (Some(Value::Table(old)), Value::Table(new)) if key == "vars" => {
                fill(old, new, replaces);
            }
            (Some(Value::Array(old)), Value::Array(new)) if key == "nic" => {
                let known = format!("{old:?}");
                let is_new = |nic: &&Value| {
                    nic.as_table().is_none_or(|nic| {
                        nic.values()
                            .all(|value| !known.contains(&format!("{value:?}")))
                    })
                };
                let added: Vec<Value> = new.iter().filter(is_new).cloned().collect();
                old.extend(added);
            }
            (Some(old), new)
                if replaces && is_plain(old) && !super::set::is_same(old, new, key == "mac") =>
            {
                *old = new.clone();
            }
            _ => {}
        }
    }
}

fn at<'v>(
    entries: &'v mut Values,
    entry: &Entry,
    key: &Key,
    make: bool,
) -> Option<(&'v mut Values, String)> {
    let mut parts: Vec<&str> = key.parts().collect();
    let last = parts.pop()?;
    let mut table = entries.get_mut(entry.name())?.as_table_mut()?;
    for part in parts {
        if make && !table.contains_key(part) {
            table.insert(part.to_owned(), Value::Table(Values::new()));
        }
        table = table.get_mut(part)?.as_table_mut()?;
    }
    Some((table, last.to_owned()))
}

fn push(table: &mut Values, last: String, key: &Key, element: &Value) -> bool {
    let is_mac = key.to_string() == "mac";
    let inherits = matches!(key.parts().next(), Some("vars" | "snippets"));
    match table.get_mut(&last) {
        None => {
            let mut list = Vec::new();
            if inherits {
                list.push(Value::String(INHERITED.to_owned()));
            }
            list.push(element.clone());
            table.insert(last, Value::Array(list));
        }
        Some(Value::Array(list)) => {
            if !list.contains(element) {
                list.push(element.clone());
            }
        }
        Some(Value::Table(_)) => return false,
        Some(old) if is_mac => {
            if old != element {
                *old = Value::Array(vec![old.clone(), element.clone()]);
            }
        }
        Some(_) => return false,
    }
    true
}

fn pull(table: &mut Values, last: &str, element: &Value) -> bool {
    let is_mac = last == "mac";
    match table.get_mut(last) {
        Some(Value::Array(list)) => {
            let same = |one: &Value| super::set::is_same(one, element, is_mac);
            let Some(at) = list.iter().position(same) else {
                return false;
            };
            list.remove(at);
            if list.is_empty() && is_mac {
                table.remove(last);
            }
            true
        }
        Some(_) if is_mac => table.remove(last).is_some(),
        _ => false,
    }
}
