//! Taking keys and whole entries away.

use std::ops::Range;

use smol_str::SmolStr;

use super::inline::{self, Found, Splice};
use super::scan::{self, Keys, Kind, Node, NodeKind, Statement};
use super::{At, Document, EditError, Entry, Key};

impl Document {
    /// Takes hosts and groups away, each with the comments directly above it and those within; no others. All go in one
    /// pass over the text, so that thousands take no longer than one.
    pub fn remove(&mut self, entries: &[Entry]) -> Result<(), EditError> {
        self.settle()?;
        let mut statements = Vec::new();
        let mut parts = Vec::new();
        for entry in entries {
            match self.at(entry) {
                Some(At::Statements(own)) => statements.extend(own),
                Some(At::Within(_)) => parts.push(entry),
                None => {
                    return Err(EditError::NoEntry {
                        entry: entry.clone(),
                    });
                }
            }
        }
        statements.sort_unstable();
        statements.dedup();
        if let Some(first) = entries.first() {
            let splices = self.without(&statements, true);
            self.end(first, splices);
        }
        // Of an inline table one after the other: what separates them belongs to both.
        for entry in parts {
            self.settle()?;
            if let Some(At::Within(whole)) = self.at(entry) {
                let splices = self.without_part(*whole, entry);
                self.end(entry, splices);
            }
        }
        self.settle()
    }

    /// Takes a key away; a whole table too. Comments on lines of their own stay.
    pub fn unset(&mut self, entry: &Entry, key: &Key) -> Result<(), EditError> {
        self.begin(entry)?;
        let path = Self::full(entry, key.0.iter().cloned());
        let missing = || EditError::NoKey {
            entry: entry.clone(),
            key: key.to_string(),
        };
        let statements = match self.at(entry) {
            Some(At::Statements(list)) => list.clone(),
            Some(At::Within(whole)) => {
                let splices = self.unset_within(*whole, &path, 1).ok_or_else(missing)?;
                self.end(entry, splices);
                return Ok(());
            }
            None => return Err(missing()),
        };
        let mut going = Vec::new();
        for at in statements {
            let Some(statement) = self.scan.statements.get(at) else {
                continue;
            };
            let own: Keys = self.scan.path(statement).map(SmolStr::from).collect();
            if own.starts_with(&path) {
                going.push(at);
            } else if statement.kind == Kind::Pair && path.starts_with(&own) {
                let splices = self
                    .unset_within(at, &path, own.len())
                    .ok_or_else(missing)?;
                self.end(entry, splices);
                return Ok(());
            }
        }
        if going.is_empty() {
            return Err(missing());
        }
        let splices = self.without(&going, false);
        self.end(entry, splices);
        self.settle()
    }

    /// Without a path in the inline table that is this statement's value.
    fn unset_within(
        &self,
        statement: usize,
        path: &[SmolStr],
        depth: usize,
    ) -> Option<Vec<Splice>> {
        let value = self.scan.statements.get(statement)?.value.clone();
        let node = scan::node(&self.text, value)?;
        remove_at(&self.text, &node, path, depth)
    }

    /// Without an entry of `hosts = { … }`: all of its parts.
    fn without_part(&self, whole: usize, entry: &Entry) -> Vec<Splice> {
        let path = [
            SmolStr::new(entry.table().as_str()),
            SmolStr::new(entry.name()),
        ];
        self.unset_within(whole, &path, 1).unwrap_or_default()
    }

    /// Without these statements. Lines between two of them that follow each other go too, when they are comments within
    /// one section; with `comments` those directly above as well.
    fn without(&self, statements: &[usize], comments: bool) -> Vec<Splice> {
        let lines = self.lines();
        let mut regions: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while let Some(first) = statements.get(at).copied() {
            let Some(head) = self.scan.statements.get(first) else {
                break;
            };
            // A section, or one key.
            let mut last = first;
            if head.kind != Kind::Pair {
                while statements.get(at + 1) == Some(&(last + 1))
                    && self
                        .scan
                        .statements
                        .get(last + 1)
                        .is_some_and(|next| next.kind == Kind::Pair)
                {
                    last += 1;
                    at += 1;
                }
            }
            at += 1;
            let floor = first
                .checked_sub(1)
                .and_then(|before| self.scan.statements.get(before))
                .map_or(0, |before| lines.end(before.end()));
            let mut start = lines.start(head.start);
            if comments {
                start = lines.comments_above(start, floor.max(lines.start(0)));
            }
            let end = self
                .scan
                .statements
                .get(last)
                .map_or_else(|| head.end(), Statement::end);
            let mut end = lines.end(end);
            if head.kind != Kind::Pair {
                end = lines.comments_below(end, false);
            }
            match regions.last_mut() {
                // Only blank lines between.
                Some(before) if lines.blanks_below(before.end).end >= start => before.end = end,
                _ => regions.push(start..end),
            }
        }
        regions
            .into_iter()
            .map(|region| Splice::new(self.with_blanks(region), ""))
            .collect()
    }

    /// A region that goes, and of the blank lines around it so many that those that stay are as between others.
    fn with_blanks(&self, region: Range<usize>) -> Range<usize> {
        let lines = self.lines();
        let above = lines.blanks_above(region.start);
        let below = lines.blanks_below(region.end);
        let at_top = above.start <= lines.start(0);
        if below.end == self.text.len() {
            // Nothing follows: what stood between goes too.
            if at_top {
                return region;
            }
            return above.start..region.end;
        }
        if at_top && above.is_empty() {
            return region.start..below.end;
        }
        if lines.count(&below) <= lines.count(&above) {
            region.start..below.end
        } else {
            above.start..region.end
        }
    }
}

/// Without a path in an inline table: one value, or all dotted keys below it.
fn remove_at(text: &str, table: &Node, path: &[SmolStr], depth: usize) -> Option<Vec<Splice>> {
    match inline::find(table, path, depth) {
        Found::Is(_) | Found::Spread => {}
        Found::Blocked | Found::Absent { .. } => return None,
    }
    let NodeKind::Table(parts) = &table.kind else {
        return None;
    };
    let rest = path.get(depth..)?;
    // Runs of neighbours: what separates two of them belongs to both.
    let mut going: Vec<Range<usize>> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let keys = part.keys.as_slice();
        if keys.starts_with(rest) {
            match going.last_mut() {
                Some(run) if run.end == index => run.end += 1,
                _ => going.push(index..index + 1),
            }
        } else if rest.starts_with(keys) {
            return remove_at(text, &part.value, path, depth + keys.len());
        }
    }
    match going.as_slice() {
        [] => None,
        // All of the table's, where they are several.
        [all] if all.len() > 1 && all.len() == parts.len() => {
            Some(vec![Splice::new(table.span.clone(), "{}")])
        }
        runs => {
            let runs = runs.iter().cloned();
            Some(
                runs.flat_map(|run| inline::remove(text, table, run))
                    .collect(),
            )
        }
    }
}
