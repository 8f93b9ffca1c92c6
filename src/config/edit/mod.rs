//! Editing the text of a reservations file: comments, order and style stay.
//!
//! The text is never written anew. Places of statements are found ([`scan`]), and bytes are put in or taken out there;
//! how the neighbours are written ([`layout`]) says how something new looks: sections, dotted keys or inline tables,
//! columns, blank lines, line ends.
//!
//! **Invariant:** every byte outside of what an edit is about stays; what is read again is what was there before and what
//! the edit says. Whether that makes sense is the whole configuration's check to tell, not this module's.

mod add;
pub mod exercise;
mod inline;
mod layout;
mod merge;
mod remove;
mod scan;
mod set;
#[cfg(test)]
mod tests;
mod value;

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use smol_str::SmolStr;
use toml::Value;

pub use self::value::typed;

use self::inline::Splice;
use self::layout::Lines;
use self::scan::{Keys, Kind, Node, NodeKind, Scan};
use super::draft::{GroupDraft, HostDraft};
use crate::base::{GroupName, HostName};

/// A value on one line, as it stands behind a key.
pub fn written(value: &Value) -> String {
    value::write(value, None)
}

/// The `options` of a draft as the list that files have; `None`: there are none.
pub fn options(options: &toml::Table) -> Option<Value> {
    add::options(options)
}

/// A host or a group of a reservations file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// `[hosts.NAME]`.
    Host(HostName),
    /// `[groups.NAME]`.
    Group(GroupName),
}

impl Entry {
    /// The table that it stands in.
    const fn table(&self) -> Table {
        match self {
            Self::Host(_) => Table::Hosts,
            Self::Group(_) => Table::Groups,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Host(name) => name.as_str(),
            Self::Group(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table().as_str();
        write!(f, "[{table}.{}]", value::key(self.name()))
    }
}

/// A table of which each key is an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Table {
    Hosts,
    Groups,
}

impl Table {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Groups => "groups",
        }
    }

    fn of(name: &str) -> Option<Self> {
        match name {
            "hosts" => Some(Self::Hosts),
            "groups" => Some(Self::Groups),
            _ => None,
        }
    }
}

/// A key of an entry, with those of the tables in it: `ip`, `vars.disk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(Vec<SmolStr>);

impl Key {
    /// Reads a key as TOML writes it; a part with other characters than letters, digits, `-` and `_` stands in quotes.
    pub fn parse(text: &str) -> Result<Self, EditError> {
        let bad = || EditError::BadKey {
            key: text.to_owned(),
        };
        if text.contains(['\n', '\r', '=', '#', '[']) {
            return Err(bad());
        }
        let scan = Scan::read(&format!("{text} = 0")).map_err(|_| bad())?;
        match scan.statements.as_slice() {
            [one] if one.kind == Kind::Pair => Ok(Self(one.keys.to_vec())),
            _ => Err(bad()),
        }
    }

    /// Of these parts.
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        Self(parts.into_iter().map(SmolStr::from).collect())
    }

    /// Its parts.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(SmolStr::as_str)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&value::dotted(self.parts()))
    }
}

/// Why a text was not edited. It is as it was then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("line {line} has a mistake ({what}): mend that first; `bootwright check` shows it")]
    Syntax {
        /// From 1.
        line: usize,
        /// In the parser's words.
        what: String,
    },
    /// The key that was typed is none.
    #[error(
        "`{key}` is no key: write it as the file does, such as `ip` or `vars.disk`; a part with other characters than letters, digits, `-` and `_` stands in quotes"
    )]
    BadKey {
        /// As it was typed.
        key: String,
    },
    /// There is no such host or group.
    #[error("there is no {entry}")]
    NoEntry {
        /// What was looked for.
        entry: Entry,
    },
    /// There is one already.
    #[error("{entry} is there already, in line {line}")]
    There {
        /// What was to be added.
        entry: Entry,
        /// Where it stands, from 1.
        line: usize,
    },
    /// The key is written twice.
    #[error(
        "`{key}` of {entry} is written twice, the second time in line {line}: keep one of the two"
    )]
    Twice {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// Where it stands again, from 1.
        line: usize,
    },
    /// The key is not there.
    #[error("{entry} has no `{key}`")]
    NoKey {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
    },
    /// A table stands where a value was to be put.
    #[error(
        "`{key}` of {entry} is a table, in line {line}: set the keys in it, such as `{key}.NAME`, or take it away first"
    )]
    IsTable {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// Something that is no table stands where one was to be gone through.
    #[error("`{key}` of {entry} cannot be set: what it would stand in is no table, in line {line}")]
    NoTable {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// A list of tables, such as `nic`.
    #[error("`{key}` of {entry} stands in a list of tables: edit line {line} by hand")]
    InList {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// No list where one was to be added to.
    #[error("`{key}` of {entry} is no list, in line {line}")]
    NoList {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// Where, from 1.
        line: usize,
    },
    /// What was to be taken out of a list is not in it.
    #[error("`{key}` of {entry} holds no {element}")]
    NotInList {
        /// Of this one.
        entry: Entry,
        /// The key.
        key: String,
        /// As TOML writes it.
        element: String,
    },
    /// The way in which it is written leaves no place for the edit.
    #[error(
        "{entry} is written in a way that this edit finds no place in (line {line}): edit it by hand"
    )]
    NoPlace {
        /// Of this one.
        entry: Entry,
        /// Where, from 1.
        line: usize,
    },
    /// Whoever edits refuses, for a reason of his own.
    #[error("{0}")]
    Refused(String),
}

/// What became of one host that was merged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merged {
    /// The keys that were added.
    pub added: Vec<String>,
    /// The keys that have the draft's value now, in the place of another one.
    pub replaced: Vec<String>,
    /// The keys that the file writes otherwise, and keeps.
    pub kept: Vec<Kept>,
}

/// A key that a draft has and the file has otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The key.
    pub key: String,
    /// As it stands in the file.
    pub written: String,
    /// As the draft has it.
    pub offered: String,
    /// Whether it is one value, which can be replaced; else it stands in sections of its own.
    pub is_value: bool,
}

/// One reservations file's text.
///
/// Edits are gathered and put in together, so that thousands of hosts are added in one pass. After an error the text is
/// as it was before that edit.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    scan: Scan,
    index: Index,
    pending: Vec<Splice>,
    /// Entries that pending edits are about.
    touched: HashSet<Entry>,
    /// Entries that pending edits add.
    added: HashSet<Entry>,
    /// Groups of hosts among those.
    added_groups: HashSet<String>,
    /// Whether one of those goes to the end of the text.
    appended: bool,
    /// Where the lines of the text begin.
    starts: OnceCell<Vec<usize>>,
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// In these statements.
    Statements(Vec<usize>),
    /// In an inline table `hosts = { … }`, which is this statement's value.
    Within(usize),
}

/// How a table in entries is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum VarsForm {
    /// `[hosts.NAME.vars]`.
    #[default]
    Section,
    /// `vars.disk = …`.
    Dotted,
    /// `vars = { disk = … }`.
    Inline,
}

/// What stands where.
#[derive(Debug, Clone, Default)]
struct Index {
    entries: HashMap<(Table, SmolStr), At>,
    /// Names in the order of the text.
    order: BTreeMap<Table, Vec<SmolStr>>,
    /// `hosts = { … }`.
    whole: BTreeMap<Table, usize>,
    /// The statements of `[defaults]`.
    defaults: Vec<usize>,
    /// The last host of each group.
    last_of_group: HashMap<String, SmolStr>,
    vars: VarsForm,
    /// Whether there is a blank line before the last `[hosts.NAME.vars]`.
    blank_before_vars: bool,
    /// Whether `=` is aligned.
    aligned: bool,
}

impl Index {
    fn of(text: &str, scan: &Scan) -> Self {
        let mut index = Self::default();
        let mut vars = None;
        let mut last_vars = None;
        for (at, statement) in scan.statements.iter().enumerate() {
            let path: Keys = scan.path(statement).map(SmolStr::from).collect();
            if path.first().is_some_and(|name| name == "defaults") {
                index.defaults.push(at);
            }
            let Some(table) = path.first().and_then(|name| Table::of(name)) else {
                continue;
            };
            let Some(name) = path.get(1) else {
                if statement.kind == Kind::Pair {
                    index.whole(text, scan, table, at);
                }
                continue;
            };
            match index.entries.get_mut(&(table, name.clone())) {
                Some(At::Statements(list)) => list.push(at),
                Some(At::Within(_)) => {}
                None => {
                    let key = (table, name.clone());
                    index.entries.insert(key, At::Statements(vec![at]));
                    index.order.entry(table).or_default().push(name.clone());
                }
            }
            match path.get(2).map(SmolStr::as_str) {
                Some("vars") if statement.kind == Kind::Header => {
                    vars = Some(VarsForm::Section);
                    if path.len() == 3 {
                        last_vars = Some(statement.start);
                    }
                }
                Some("vars") if scan.above(statement) <= 2 => {
                    vars = Some(if path.len() > 3 {
                        VarsForm::Dotted
                    } else {
                        VarsForm::Inline
                    });
                }
                Some("group") if table == Table::Hosts && path.len() == 3 => {
                    index.group(text, statement.value.clone(), name);
                }
                None if table == Table::Hosts && statement.kind == Kind::Pair => {
                    let node = scan::node(text, statement.value.clone());
                    index.groups_within(text, node.as_ref(), name);
                }
                _ => {}
            }
        }
        index.vars = vars.unwrap_or_default();
        index.blank_before_vars = last_vars.is_some_and(|start| {
            let lines = Lines(text);
            let start = lines.comments_above(lines.start(start), 0);
            !lines.blanks_above(start).is_empty()
        });
        index.aligned = layout::aligned(text, scan);
        index
    }

    /// Entries in `hosts = { … }`.
    fn whole(&mut self, text: &str, scan: &Scan, table: Table, at: usize) {
        self.whole.insert(table, at);
        let node = scan
            .statements
            .get(at)
            .and_then(|statement| scan::node(text, statement.value.clone()));
        let Some(Node {
            kind: NodeKind::Table(parts),
            ..
        }) = node
        else {
            return;
        };
        for part in &parts {
            let Some(name) = part.keys.first() else {
                continue;
            };
            let key = (table, name.clone());
            if self.entries.insert(key, At::Within(at)).is_none() {
                self.order.entry(table).or_default().push(name.clone());
            }
        }
    }

    fn group(&mut self, text: &str, value: std::ops::Range<usize>, host: &SmolStr) {
        let value = text.get(value).and_then(value::literal);
        if let Some(Value::String(group)) = value {
            self.last_of_group.insert(group, host.clone());
        }
    }

    fn groups_within(&mut self, text: &str, node: Option<&Node>, host: &SmolStr) {
        if let Some(Node {
            kind: NodeKind::Table(parts),
            ..
        }) = node
        {
            let is_group = |part: &&scan::Part| part.keys.as_slice() == ["group"];
            if let Some(part) = parts.iter().find(is_group) {
                self.group(text, part.value.span.clone(), host);
            }
        }
    }
}

impl Document {
    /// Reads a text. It may have any mistakes but those of syntax.
    pub fn parse(text: impl Into<String>) -> Result<Self, EditError> {
        let text = text.into();
        let scan = Scan::read(&text)?;
        let index = Index::of(&text, &scan);
        Ok(Self {
            text,
            scan,
            index,
            pending: Vec::new(),
            touched: HashSet::new(),
            added: HashSet::new(),
            added_groups: HashSet::new(),
            appended: false,
            starts: OnceCell::new(),
        })
    }

    /// The text as it is now.
    pub fn text(&mut self) -> Result<&str, EditError> {
        self.settle()?;
        Ok(&self.text)
    }

    /// Whether it has this entry.
    pub fn has(&self, entry: &Entry) -> bool {
        self.added.contains(entry) || self.at(entry).is_some()
    }

    /// Whether it has any hosts or groups.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.index.entries.is_empty()
    }

    /// Whether it has any host.
    pub fn has_hosts(&self) -> bool {
        let is_host = |entry: &Entry| matches!(entry, Entry::Host(_));
        self.index.order.contains_key(&Table::Hosts) || self.added.iter().any(is_host)
    }

    /// All hosts, in the order of the text, and those that were added last behind them. Names that are none are left out.
    pub fn hosts(&mut self) -> Result<Vec<HostName>, EditError> {
        self.settle()?;
        Ok(names(self.index.order.get(&Table::Hosts)))
    }

    /// All groups, in the order of the text.
    pub fn groups(&mut self) -> Result<Vec<GroupName>, EditError> {
        self.settle()?;
        Ok(names(self.index.order.get(&Table::Groups)))
    }

    /// Whether a host of this file is in this group, by its own `group`.
    pub fn has_host_of(&self, group: &GroupName) -> bool {
        let group = group.as_str();
        self.index.last_of_group.contains_key(group) || self.added_groups.contains(group)
    }

    /// The line that an entry begins in, from 1.
    pub fn line(&mut self, entry: &Entry) -> Result<Option<usize>, EditError> {
        self.settle()?;
        Ok(self.at(entry).map(|_| self.line_now(entry)))
    }

    /// Adds a host: behind the last one of its group, else behind the last one.
    pub fn add_host(&mut self, draft: &HostDraft) -> Result<(), EditError> {
        let entry = Entry::Host(draft.name.clone());
        let group = draft.group.as_ref().map(GroupName::as_str);
        self.add(&entry, group, &add::Body::of_host(draft))
    }

    /// Adds a group: behind the last one, else before the hosts.
    pub fn add_group(&mut self, draft: &GroupDraft) -> Result<(), EditError> {
        let entry = Entry::Group(draft.name.clone());
        self.add(&entry, None, &add::Body::of_group(draft))
    }

    /// Gives a host the keys of a draft that it lacks. A value that it has otherwise is replaced where `replaces` says so,
    /// and stays as it is elsewhere.
    pub fn merge_host(
        &mut self,
        draft: &HostDraft,
        replaces: impl Fn(&Kept) -> bool,
    ) -> Result<Merged, EditError> {
        let entry = Entry::Host(draft.name.clone());
        self.merge(&entry, &add::Body::of_host(draft), &replaces)
    }

    /// Starts an edit of an entry: what is pending of it is put in first.
    fn begin(&mut self, entry: &Entry) -> Result<(), EditError> {
        if self.touched.contains(entry) || self.added.contains(entry) {
            self.settle()?;
        }
        if self.at(entry).is_none() {
            return Err(EditError::NoEntry {
                entry: entry.clone(),
            });
        }
        Ok(())
    }

    /// Ends an edit: these are put in with the next [`Self::settle`].
    fn end(&mut self, entry: &Entry, splices: Vec<Splice>) {
        if !splices.is_empty() {
            self.touched.insert(entry.clone());
            self.pending.extend(splices);
        }
    }

    /// Puts in what is pending.
    fn settle(&mut self) -> Result<(), EditError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut splices = std::mem::take(&mut self.pending);
        self.appended = false;
        self.added_groups.clear();
        let touched: Vec<Entry> = self.touched.drain().chain(self.added.drain()).collect();
        let Some(one) = touched.first() else {
            return Ok(());
        };
        splices.sort_by_key(|splice| (splice.at.start, splice.at.end, splice.rank));
        let line_end = if self
            .text
            .split_once('\n')
            .is_some_and(|(line, _)| line.ends_with('\r'))
        {
            "\r\n"
        } else {
            "\n"
        };
        let no_place = |text: &str, at: usize| EditError::NoPlace {
            entry: one.clone(),
            line: scan::line_of(text, at),
        };
        let mut new = String::with_capacity(self.text.len() + 256);
        let mut done = 0;
        for splice in &splices {
            let Some(between) = self.text.get(done..splice.at.start) else {
                return Err(no_place(&self.text, splice.at.start));
            };
            new.push_str(between);
            if line_end == "\n" {
                new.push_str(&splice.text);
            } else {
                new.push_str(&splice.text.replace('\n', line_end));
            }
            done = splice.at.end;
        }
        new.push_str(self.text.get(done..).unwrap_or_default());
        let scan = Scan::read(&new).map_err(|_| {
            let at = splices.first().map_or(0, |splice| splice.at.start);
            no_place(&self.text, at)
        })?;
        self.index = Index::of(&new, &scan);
        self.scan = scan;
        self.text = new;
        self.starts = OnceCell::new();
        Ok(())
    }

    fn at(&self, entry: &Entry) -> Option<&At> {
        let key = (entry.table(), SmolStr::new(entry.name()));
        self.index.entries.get(&key)
    }

    /// The line of an entry in the text as it stands.
    fn line_now(&self, entry: &Entry) -> usize {
        let at = match self.at(entry) {
            Some(At::Statements(list)) => list.first().copied(),
            Some(At::Within(at)) => Some(*at),
            None => None,
        };
        let start = at
            .and_then(|at| self.scan.statements.get(at))
            .map_or(0, |statement| statement.start);
        let starts = self.starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        starts.partition_point(|line| *line <= start)
    }

    const fn lines(&self) -> Lines<'_> {
        Lines(self.text.as_str())
    }

    /// What is put in behind a line that may be the last one and have no end.
    fn below(&self, at: usize, lines: &str, rank: u8) -> Splice {
        let before = self.text.get(..at).unwrap_or_default();
        let text = if before.is_empty() || before.ends_with('\n') {
            lines.to_owned()
        } else {
            format!("\n{}", lines.strip_suffix('\n').unwrap_or(lines))
        };
        Splice {
            at: at..at,
            text,
            rank,
        }
    }
}

fn names<N: std::str::FromStr>(names: Option<&Vec<SmolStr>>) -> Vec<N> {
    let names = names.into_iter().flatten();
    names.filter_map(|name| name.parse().ok()).collect()
}
