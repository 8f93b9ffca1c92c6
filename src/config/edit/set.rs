//! Setting keys of an entry that is there, and reading them.

use smol_str::SmolStr;
use toml::Value;

use super::inline::{self, Found, Splice};
use super::layout::{self, Look};
use super::scan::{self, Keys, Kind, Node, NodeKind, Part, Statement};
use super::{At, Document, EditError, Entry, Key, VarsForm, value};
use crate::base::HardwareAddr;

/// What stands at a key.
pub(super) enum Spot {
    /// A value: a statement's, or a part of one.
    Is(Node),
    /// Nothing; it would go there.
    Absent(Home),
}

/// Where a key that is not there goes.
#[derive(Debug, Clone)]
pub(super) enum Home {
    /// Into the section of this header, below so many parts of the path.
    Section { header: usize, depth: usize },
    /// Among dotted keys: below this statement, with so many parts of the path above it.
    Dotted { after: usize, depth: usize },
    /// Into an inline table.
    Inline { table: Node, depth: usize },
    /// Into a new section of the entry's own, above its others.
    NewEntry { before: usize },
    /// Into a new section `[hosts.NAME.vars]`, at the end of this one.
    NewVars { header: usize },
}

impl Home {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Section { header, .. }, Self::Section { header: other, .. })
            | (Self::NewVars { header }, Self::NewVars { header: other }) => header == other,
            (Self::Dotted { after, .. }, Self::Dotted { after: other, .. }) => after == other,
            (Self::Inline { table, .. }, Self::Inline { table: other, .. }) => {
                table.span == other.span
            }
            (Self::NewEntry { .. }, Self::NewEntry { .. }) => true,
            _ => false,
        }
    }
}

impl Document {
    /// The value of a key, where it is written as one value.
    pub fn value(&mut self, entry: &Entry, key: &Key) -> Result<Option<Value>, EditError> {
        self.begin(entry)?;
        let path = Self::full(entry, key.0.iter().cloned());
        Ok(match self.spot(entry, &path) {
            Ok(Spot::Is(node)) => self.read(&node),
            Ok(Spot::Absent(_)) | Err(_) => None,
        })
    }

    /// The value of a key of `[defaults]`, where it is written as one value.
    pub fn default_value(&self, key: &str) -> Option<Value> {
        let path = Keys::from_iter(["defaults".into(), SmolStr::new(key)]);
        self.index.defaults.iter().find_map(|at| {
            let statement = self.scan.statements.get(*at)?;
            let own: Keys = self.scan.path(statement).map(SmolStr::from).collect();
            if statement.kind != Kind::Pair || !path.starts_with(&own) {
                return None;
            }
            let node = scan::node(&self.text, statement.value.clone())?;
            if own == path {
                return self.read(&node);
            }
            match inline::find(&node, &path, own.len()) {
                Found::Is(part) => self.read(&part.value),
                _ => None,
            }
        })
    }

    /// Sets a key. One that is there keeps its place and what is said beside it.
    pub fn set(&mut self, entry: &Entry, key: &Key, value: &Value) -> Result<(), EditError> {
        self.begin(entry)?;
        let path = Self::full(entry, key.0.iter().cloned());
        let splices = match self.spot(entry, &path)? {
            Spot::Is(node) => self.replace(&node, value),
            Spot::Absent(_) => self.insert(entry, &[(path, value.clone())])?,
        };
        self.end(entry, splices);
        Ok(())
    }

    /// Adds an element to a list. Where a list of variables or snippets is only inherited, it becomes the inherited one and
    /// this; a single MAC address becomes a list.
    pub fn push(&mut self, entry: &Entry, key: &Key, element: &Value) -> Result<(), EditError> {
        self.begin(entry)?;
        let path = Self::full(entry, key.0.iter().cloned());
        let splices = match self.spot(entry, &path)? {
            Spot::Is(node) => match (&node.kind, self.read(&node)) {
                (NodeKind::List(_), Some(Value::Array(old))) if old.contains(element) => Vec::new(),
                (NodeKind::List(_), _) => inline::push(&self.text, &node, [element]),
                (NodeKind::Plain, Some(old)) if key.0.as_slice() == ["mac"] => {
                    if old == *element {
                        Vec::new()
                    } else {
                        self.replace(&node, &Value::Array(vec![old, element.clone()]))
                    }
                }
                _ => return Err(self.no_list(entry, key, &node)),
            },
            Spot::Absent(_) => {
                let inherits = matches!(
                    key.0.first().map(SmolStr::as_str),
                    Some("vars" | "snippets")
                );
                let mut list = Vec::new();
                if inherits {
                    list.push(Value::String(crate::config::vars::INHERITED.to_owned()));
                }
                list.push(element.clone());
                self.insert(entry, &[(path, Value::Array(list))])?
            }
        };
        self.end(entry, splices);
        Ok(())
    }

    /// Takes an element out of a list; the last MAC address takes the key with it.
    pub fn pull(&mut self, entry: &Entry, key: &Key, element: &Value) -> Result<(), EditError> {
        self.begin(entry)?;
        let path = Self::full(entry, key.0.iter().cloned());
        let Spot::Is(node) = self.spot(entry, &path)? else {
            return Err(EditError::NoKey {
                entry: entry.clone(),
                key: key.to_string(),
            });
        };
        let is_mac = key.0.as_slice() == ["mac"];
        let missing = || EditError::NotInList {
            entry: entry.clone(),
            key: key.to_string(),
            element: value::write(element, None),
        };
        let found = match (&node.kind, self.read(&node)) {
            (NodeKind::List(_), Some(Value::Array(old))) => {
                let at = old.iter().position(|one| is_same(one, element, is_mac));
                let at = at.ok_or_else(missing)?;
                (!is_mac || old.len() > 1).then_some(at)
            }
            (NodeKind::Plain, Some(old)) if is_mac => {
                if !is_same(&old, element, true) {
                    return Err(missing());
                }
                None
            }
            _ => return Err(self.no_list(entry, key, &node)),
        };
        match found {
            Some(at) => {
                let splices = inline::remove(&self.text, &node, at..at + 1);
                self.end(entry, splices);
                Ok(())
            }
            None => self.unset(entry, key),
        }
    }

    /// Puts a hardware address in the place of another one, whichever network card of the entry has it; whether one has.
    pub fn replace_mac(
        &mut self,
        entry: &Entry,
        old: HardwareAddr,
        new: HardwareAddr,
    ) -> Result<bool, EditError> {
        self.begin(entry)?;
        // Values, each with its path below the entry.
        let mut nodes: Vec<(Keys, Node)> = Vec::new();
        match self.at(entry) {
            Some(At::Statements(list)) => {
                for at in list {
                    let Some(statement) = self.scan.statements.get(*at) else {
                        continue;
                    };
                    let keys = self.scan.path(statement).skip(2).map(SmolStr::from);
                    let node = scan::node(&self.text, statement.value.clone());
                    nodes.extend(node.map(|node| (keys.collect(), node)));
                }
            }
            Some(At::Within(whole)) => {
                let statement = self.scan.statements.get(*whole);
                let node = statement.and_then(|one| scan::node(&self.text, one.value.clone()));
                if let Some(NodeKind::Table(parts)) = node.map(|node| node.kind) {
                    let own =
                        |part: &Part| part.keys.first().is_some_and(|key| key == entry.name());
                    let own = parts.into_iter().filter(own);
                    nodes.extend(own.map(|part| {
                        let keys = part.keys.into_iter().skip(1).collect();
                        (keys, part.value)
                    }));
                }
            }
            None => {}
        }
        let new = Value::String(new.to_string());
        let mut splices = Vec::new();
        while let Some((keys, node)) = nodes.pop() {
            match &node.kind {
                NodeKind::Plain => {
                    // The host's own and a card's; whatever else is called so is none of an address's places.
                    let names: Vec<&str> = keys.iter().map(SmolStr::as_str).collect();
                    if !matches!(names.as_slice(), ["mac"] | ["nic", "mac"]) {
                        continue;
                    }
                    let written = self.read(&node);
                    let written = written.as_ref().and_then(Value::as_str);
                    if written.and_then(|text| text.parse().ok()) == Some(old) {
                        splices.extend(self.replace(&node, &new));
                    }
                }
                // The elements of a list have no keys of their own.
                NodeKind::List(parts) | NodeKind::Table(parts) => {
                    nodes.extend(parts.iter().map(|part| {
                        let below = keys.iter().chain(&part.keys).cloned();
                        (below.collect(), part.value.clone())
                    }));
                }
            }
        }
        let found = !splices.is_empty();
        self.end(entry, splices);
        Ok(found)
    }

    /// The whole path of a key.
    pub(super) fn full(entry: &Entry, keys: impl IntoIterator<Item = SmolStr>) -> Keys {
        [entry.table().as_str().into(), entry.name().into()]
            .into_iter()
            .chain(keys)
            .collect()
    }

    pub(super) fn read(&self, node: &Node) -> Option<Value> {
        value::literal(self.text.get(node.span.clone())?)
    }

    pub(super) fn replace(&self, node: &Node, value: &Value) -> Vec<Splice> {
        if self.read(node).as_ref() == Some(value) {
            return Vec::new();
        }
        let old = self.text.get(node.span.clone());
        vec![Splice::new(node.span.clone(), value::write(value, old))]
    }

    fn no_list(&self, entry: &Entry, key: &Key, node: &Node) -> EditError {
        EditError::NoList {
            entry: entry.clone(),
            key: key.to_string(),
            line: scan::line_of(&self.text, node.span.start),
        }
    }

    fn key_of(path: &[SmolStr]) -> String {
        value::dotted(path.iter().skip(2).map(SmolStr::as_str))
    }

    /// What stands at a path of an entry that is there.
    pub(super) fn spot(&self, entry: &Entry, path: &Keys) -> Result<Spot, EditError> {
        let statements = match self.at(entry) {
            Some(At::Statements(list)) => list.as_slice(),
            Some(At::Within(whole)) => {
                let node = self
                    .scan
                    .statements
                    .get(*whole)
                    .and_then(|statement| scan::node(&self.text, statement.value.clone()));
                return match node {
                    Some(node) => self.spot_within(entry, &node, path, 1),
                    None => Err(self.blocked(entry, path, 0)),
                };
            }
            None => {
                return Err(EditError::NoEntry {
                    entry: entry.clone(),
                });
            }
        };
        let mut found: Option<&Statement> = None;
        for at in statements {
            let Some(statement) = self.scan.statements.get(*at) else {
                continue;
            };
            let own: Keys = self.scan.path(statement).map(SmolStr::from).collect();
            let line = || scan::line_of(&self.text, statement.start);
            // What stands in a list of tables has no path of its own.
            let listed = statement.kind == Kind::ListHeader
                || statement.kind == Kind::Pair
                    && statement
                        .header
                        .and_then(|header| self.scan.statements.get(header))
                        .is_some_and(|header| header.kind == Kind::ListHeader);
            let above = match statement.kind {
                Kind::Pair => self.scan.above(statement),
                _ => own.len(),
            };
            if listed {
                if path.starts_with(own.get(..above).unwrap_or_default())
                    || own.get(..above).is_some_and(|list| list.starts_with(path))
                {
                    return Err(EditError::InList {
                        entry: entry.clone(),
                        key: Self::key_of(path),
                        line: line(),
                    });
                }
                continue;
            }
            if statement.kind == Kind::Pair && own == *path {
                if found.is_some() {
                    return Err(EditError::Twice {
                        entry: entry.clone(),
                        key: Self::key_of(path),
                        line: line(),
                    });
                }
                found = Some(statement);
            } else if statement.kind == Kind::Pair && path.starts_with(&own) {
                let node = scan::node(&self.text, statement.value.clone());
                return match node {
                    Some(node) => self.spot_within(entry, &node, path, own.len()),
                    None => Err(self.blocked(entry, path, statement.start)),
                };
            } else if own.starts_with(path) {
                return Err(EditError::IsTable {
                    entry: entry.clone(),
                    key: Self::key_of(path),
                    line: line(),
                });
            }
        }
        if let Some(statement) = found {
            return scan::node(&self.text, statement.value.clone())
                .map(Spot::Is)
                .ok_or_else(|| self.blocked(entry, path, statement.start));
        }
        Ok(Spot::Absent(self.home(statements, path)))
    }

    fn spot_within(
        &self,
        entry: &Entry,
        node: &Node,
        path: &Keys,
        depth: usize,
    ) -> Result<Spot, EditError> {
        match inline::find(node, path, depth) {
            Found::Is(Part { value, .. }) => Ok(Spot::Is(value.clone())),
            Found::Absent { table, depth } => Ok(Spot::Absent(Home::Inline {
                table: table.clone(),
                depth,
            })),
            Found::Spread => Err(EditError::IsTable {
                entry: entry.clone(),
                key: Self::key_of(path),
                line: scan::line_of(&self.text, node.span.start),
            }),
            Found::Blocked => Err(self.blocked(entry, path, node.span.start)),
        }
    }

    pub(super) fn blocked(&self, entry: &Entry, path: &[SmolStr], at: usize) -> EditError {
        EditError::NoTable {
            entry: entry.clone(),
            key: Self::key_of(path),
            line: scan::line_of(&self.text, at),
        }
    }

    /// Where a path of which nothing is there goes.
    fn home(&self, statements: &[usize], path: &Keys) -> Home {
        for depth in (2..path.len()).rev() {
            let container = path.get(..depth).unwrap_or_default();
            let mut dotted = None;
            for at in statements {
                let Some(statement) = self.scan.statements.get(*at) else {
                    continue;
                };
                let own: Keys = self.scan.path(statement).map(SmolStr::from).collect();
                match statement.kind {
                    Kind::Header if own.as_slice() == container => {
                        let new_vars = depth == 2
                            && path.len() > 3
                            && path.get(2).is_some_and(|key| key == "vars")
                            && self.wants_section(statements);
                        return if new_vars {
                            Home::NewVars { header: *at }
                        } else {
                            Home::Section { header: *at, depth }
                        };
                    }
                    Kind::Pair
                        if own.len() > depth
                            && own.starts_with(container)
                            && self.scan.above(statement) < depth =>
                    {
                        dotted = Some(Home::Dotted {
                            after: *at,
                            depth: self.scan.above(statement),
                        });
                    }
                    _ => {}
                }
            }
            if let Some(home) = dotted {
                return home;
            }
        }
        Home::NewEntry {
            before: statements.first().copied().unwrap_or(0),
        }
    }

    /// Whether variables of this entry go into a section of their own.
    fn wants_section(&self, statements: &[usize]) -> bool {
        let has_section = statements.iter().any(|at| {
            self.scan.statements.get(*at).is_some_and(|statement| {
                statement.kind == Kind::Header
                    && statement.keys.get(2).is_some_and(|key| key == "vars")
            })
        });
        has_section || self.index.vars == VarsForm::Section
    }

    /// Puts in keys that are not there.
    pub(super) fn insert(
        &self,
        entry: &Entry,
        missing: &[(Keys, Value)],
    ) -> Result<Vec<Splice>, EditError> {
        let mut homes: Vec<(Home, Vec<(Keys, Value)>)> = Vec::new();
        for (path, value) in missing {
            let Spot::Absent(home) = self.spot(entry, path)? else {
                continue;
            };
            let (path, value) = (path.clone(), value.clone());
            match homes.iter_mut().find(|(other, _)| other.is_same(&home)) {
                Some((_, list)) => list.push((path, value)),
                None => homes.push((home, vec![(path, value)])),
            }
        }
        let mut splices = Vec::new();
        for (home, list) in homes {
            match home {
                Home::Inline { table, depth } => {
                    let new = list
                        .iter()
                        .map(|(path, value)| (path.get(depth..).unwrap_or_default(), value));
                    splices.extend(inline::insert(&self.text, &table, new));
                }
                Home::Section { header, depth } => {
                    let pairs = self.pairs_of(header, entry);
                    let list = self.as_lines(depth, list, true);
                    splices.extend(self.in_section(header, &pairs, list));
                }
                Home::Dotted { after, depth } => {
                    let list = self.as_lines(depth, list, false);
                    splices.extend(self.below_dotted(entry, after, &list));
                }
                Home::NewEntry { before } => {
                    let list = self.as_lines(2, list, true);
                    splices.push(self.above_others(entry, before, &list));
                }
                Home::NewVars { header } => {
                    let list = self.as_lines(3, list, false);
                    splices.push(self.new_vars(entry, header, &list));
                }
            }
        }
        Ok(splices)
    }

    /// Keys below a depth as they are written. Variables of which the file writes inline tables become one, where none
    /// of the entry's are written otherwise.
    fn as_lines(
        &self,
        depth: usize,
        list: Vec<(Keys, Value)>,
        first_vars: bool,
    ) -> Vec<(String, Value)> {
        let mut lines = Vec::new();
        let mut vars = toml::Table::new();
        for (path, value) in list {
            let keys = path.get(depth..).unwrap_or_default();
            let inline = first_vars && self.index.vars == VarsForm::Inline;
            match keys {
                [vars_key, one] if depth == 2 && inline && vars_key == "vars" => {
                    vars.insert(one.to_string(), value);
                }
                keys => lines.push((value::dotted(keys.iter().map(SmolStr::as_str)), value)),
            }
        }
        if !vars.is_empty() {
            lines.push(("vars".to_owned(), Value::Table(vars)));
        }
        lines
    }

    /// The pairs of a section that are an entry's.
    fn pairs_of(&self, header: usize, entry: &Entry) -> Vec<&Statement> {
        let name = entry.name();
        let last = self.scan.last_of_section(header);
        let section = self.scan.statements.get(header + 1..=last);
        section
            .unwrap_or_default()
            .iter()
            .filter(|pair| {
                let mut path = self.scan.path(pair);
                path.next() == Some(entry.table().as_str()) && path.next() == Some(name)
            })
            .collect()
    }

    /// How new lines look beside these.
    fn look_beside(&self, pairs: &[&Statement]) -> Look {
        let mut look = layout::look(&self.text, pairs);
        if !look.sure
            && let Some((_, column)) = pairs
                .first()
                .and_then(|pair| layout::columns(&self.text, pair))
            && self.index.aligned
        {
            look.column = Some(column);
        }
        look
    }

    /// Moves the `=` of lines that are aligned further, where a new key is too long for their column.
    fn widened(
        &self,
        pairs: &[&Statement],
        look: &mut Look,
        keys: &[(String, Value)],
    ) -> Vec<Splice> {
        let Some(column) = look.column else {
            return Vec::new();
        };
        let longest = keys.iter().map(|(key, _)| key.chars().count() + look.pad);
        let wanted = longest.max().unwrap_or(0);
        if wanted <= column {
            return Vec::new();
        }
        look.column = Some(wanted);
        pairs
            .iter()
            .filter_map(|pair| {
                let between = self.text.get(pair.keys_end..pair.value.start)?;
                let at = pair.keys_end + between.find('=')?;
                Some(Splice::new(at..at, " ".repeat(wanted - column)))
            })
            .collect()
    }

    fn in_section(
        &self,
        header: usize,
        pairs: &[&Statement],
        mut new: Vec<(String, Value)>,
    ) -> Vec<Splice> {
        let Some(head) = self.scan.statements.get(header) else {
            return Vec::new();
        };
        let ordered = head.keys.len() == 2;
        if ordered {
            new.sort_by_key(|(key, _)| value::rank(key));
        }
        let mut look = if pairs.is_empty() {
            self.look_of_new(&new, self.lines().indent(head.start))
        } else {
            self.look_beside(pairs)
        };
        let mut splices = self.widened(pairs, &mut look, &new);
        for (key, value) in &new {
            let before = if ordered {
                let mine = value::rank(key);
                pairs.iter().rev().find(|pair| {
                    let name = pair.keys.first().map_or("", SmolStr::as_str);
                    value::rank(name) <= mine
                })
            } else {
                pairs.last()
            };
            let at = before.map_or_else(|| head.end(), |pair| pair.end());
            let line = look.line(key, &value::write(value, None));
            splices.push(self.below(self.lines().end(at), &line, 0));
        }
        splices
    }

    fn below_dotted(&self, entry: &Entry, after: usize, new: &[(String, Value)]) -> Vec<Splice> {
        let Some(last) = self.scan.statements.get(after) else {
            return Vec::new();
        };
        let pairs: Vec<&Statement> = match self.at(entry) {
            Some(At::Statements(list)) => list
                .iter()
                .filter_map(|at| self.scan.statements.get(*at))
                .filter(|pair| pair.kind == Kind::Pair && pair.header == last.header)
                .collect(),
            _ => vec![last],
        };
        let mut look = self.look_beside(&pairs);
        let mut splices = self.widened(&pairs, &mut look, new);
        let lines: String = new
            .iter()
            .map(|(key, value)| look.line(key, &value::write(value, None)))
            .collect();
        splices.push(self.below(self.lines().end(last.end()), &lines, 0));
        splices
    }

    /// The look of lines that have no neighbours.
    pub(super) fn look_of_new(&self, lines: &[(String, Value)], indent: &str) -> Look {
        let mut look = Look {
            indent: indent.to_owned(),
            ..Look::default()
        };
        if self.index.aligned {
            let longest = lines.iter().map(|(key, _)| key.chars().count() + 1);
            look.column = longest.max();
        }
        look
    }

    fn above_others(&self, entry: &Entry, before: usize, new: &[(String, Value)]) -> Splice {
        let mut new = new.to_vec();
        new.sort_by_key(|(key, _)| value::rank(key));
        let start = self
            .scan
            .statements
            .get(before)
            .map_or(0, |statement| statement.start);
        let at = self.lines().start(start);
        let indent = self.lines().indent(start);
        let look = self.look_of_new(&new, indent);
        let mut text = format!("{indent}{entry}\n");
        for (key, value) in &new {
            text.push_str(&look.line(key, &value::write(value, None)));
        }
        Splice {
            at: at..at,
            text,
            rank: 0,
        }
    }

    fn new_vars(&self, entry: &Entry, header: usize, new: &[(String, Value)]) -> Splice {
        let text = self.vars_section(entry, new, self.indent_of(header));
        let last = self.scan.last_of_section(header);
        let end = self.scan.statements.get(last).map_or(0, Statement::end);
        let end = self.lines().comments_below(self.lines().end(end), true);
        self.below(end, &text, 0)
    }

    pub(super) fn indent_of(&self, statement: usize) -> &str {
        let start = self.scan.statements.get(statement).map(|head| head.start);
        start.map_or("", |start| self.lines().indent(start))
    }

    /// `[hosts.NAME.vars]` and its lines.
    pub(super) fn vars_section(
        &self,
        entry: &Entry,
        vars: &[(String, Value)],
        indent: &str,
    ) -> String {
        let path = [entry.table().as_str(), entry.name(), "vars"];
        let blank = if self.index.blank_before_vars {
            "\n"
        } else {
            ""
        };
        let mut text = format!("{blank}{indent}[{}]\n", value::dotted(path));
        let look = self.look_of_new(vars, indent);
        for (key, value) in vars {
            text.push_str(&look.line(key, &value::write(value, None)));
        }
        text
    }
}

/// Whether two values are the same; hardware addresses in any spelling.
pub(super) fn is_same(one: &Value, other: &Value, mac: bool) -> bool {
    if one == other {
        return true;
    }
    let parsed = |value: &Value| -> Option<Vec<HardwareAddr>> {
        match value {
            Value::String(text) => Some(vec![text.parse().ok()?]),
            Value::Array(list) => list.iter().map(|one| one.as_str()?.parse().ok()).collect(),
            _ => None,
        }
    };
    mac && matches!((parsed(one), parsed(other)), (Some(one), Some(other)) if one == other)
}
