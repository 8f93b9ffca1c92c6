//! Lines, comments and columns: where something new goes, and how it looks among its neighbours.

use std::ops::Range;

use super::scan::{Kind, Scan, Statement};

/// The text around a place, in lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'t>(pub &'t str);

impl<'t> Lines<'t> {
    /// Where the line begins.
    pub(super) fn start(self, at: usize) -> usize {
        let before = self.0.get(..at).unwrap_or_default();
        match before.rfind('\n') {
            Some(end) => end + 1,
            // A mark of the byte order is no part of the first line.
            None if self.0.starts_with('\u{feff}') => '\u{feff}'.len_utf8().min(at),
            None => 0,
        }
    }

    /// Where the next line begins, or the end of the text.
    pub(super) fn end(self, at: usize) -> usize {
        let after = self.0.get(at..).unwrap_or_default();
        after.find('\n').map_or(self.0.len(), |end| at + end + 1)
    }

    /// The blanks that the line begins with.
    pub(super) fn indent(self, at: usize) -> &'t str {
        let start = self.start(at);
        let line = self.0.get(start..).unwrap_or_default();
        let rest = line.trim_start_matches([' ', '\t']);
        let indent = line.get(..line.len() - rest.len()).unwrap_or_default();
        // Something before the key on its line, in an inline table.
        if start + indent.len() < at {
            return "";
        }
        indent
    }

    fn line(self, at: usize) -> &'t str {
        self.0.get(at..self.end(at)).unwrap_or_default().trim()
    }

    /// Where the comment lines begin that stand directly above this beginning of a line, not above `floor`.
    pub(super) fn comments_above(self, at: usize, floor: usize) -> usize {
        let mut top = at;
        while top > floor {
            let above = self.start(top - 1);
            if above < floor || !self.line(above).starts_with('#') {
                break;
            }
            top = above;
        }
        top
    }

    /// Where the comment lines end that stand directly below this beginning of a line and belong to what is above them:
    /// a blank line follows. Comments directly above something else are that one's; at the end of the text they belong to
    /// what is above or to the whole, as the caller has it.
    pub(super) fn comments_below(self, at: usize, at_end: bool) -> usize {
        let mut end = at;
        while end < self.0.len() {
            let line = self.line(end);
            if line.is_empty() {
                return end;
            }
            if !line.starts_with('#') {
                return at;
            }
            end = self.end(end);
        }
        if at_end { end } else { at }
    }

    /// The blank lines that end at this beginning of a line.
    pub(super) fn blanks_above(self, at: usize) -> Range<usize> {
        let mut top = at;
        while top > 0 {
            let above = self.start(top - 1);
            if above == top || !self.line(above).is_empty() {
                break;
            }
            top = above;
        }
        top..at
    }

    /// The blank lines that begin here.
    pub(super) fn blanks_below(self, at: usize) -> Range<usize> {
        let mut end = at;
        while end < self.0.len() && self.line(end).is_empty() {
            end = self.end(end);
        }
        at..end
    }

    /// How many lines these bytes are.
    pub(super) fn count(self, range: &Range<usize>) -> usize {
        self.0
            .get(range.clone())
            .unwrap_or_default()
            .matches('\n')
            .count()
    }
}

/// How keys, `=` and values stand in one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    /// Blanks that a line begins with.
    pub indent: String,
    /// The column of `=`, counted from the key, where all are in one; `None`: directly behind each key.
    pub column: Option<usize>,
    /// Least blanks between a key and `=`.
    pub pad: usize,
    /// Between `=` and the value.
    pub after: String,
    /// Whether its lines tell whether `=` is aligned here.
    pub sure: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            indent: String::new(),
            column: None,
            pad: 1,
            after: " ".to_owned(),
            sure: false,
        }
    }
}

/// One pair's key length and where its `=` stands.
pub(super) fn columns(text: &str, pair: &Statement) -> Option<(usize, usize)> {
    let key = text.get(pair.start..pair.keys_end)?.chars().count();
    let between = text.get(pair.keys_end..pair.value.start)?;
    let pad = between.split('=').next()?.chars().count();
    Some((key, key + pad))
}

/// How these pairs stand.
pub(super) fn look(text: &str, pairs: &[&Statement]) -> Look {
    let mut look = Look::default();
    let Some(first) = pairs.first() else {
        return look;
    };
    look.indent = Lines(text).indent(first.start).to_owned();
    let between = text.get(first.keys_end..first.value.start).unwrap_or(" = ");
    look.after = between.split('=').nth(1).unwrap_or(" ").to_owned();
    let found: Vec<(usize, usize)> = pairs
        .iter()
        .filter_map(|pair| columns(text, pair))
        .collect();
    let Some((key, column)) = found.first().copied() else {
        return look;
    };
    look.pad = found.iter().map(|(key, at)| at - key).min().unwrap_or(1);
    let in_one = found.iter().all(|(_, at)| *at == column);
    let keys_differ = found.iter().any(|(other, _)| *other != key);
    let wide = found.iter().any(|(key, at)| at - key > 1);
    look.sure = keys_differ || wide;
    if in_one && look.sure {
        look.column = Some(column);
        look.pad = look.pad.min(1);
    }
    look
}

/// Whether `=` is aligned in this file: what the first section tells that can.
pub(super) fn aligned(text: &str, scan: &Scan) -> bool {
    let mut section: Vec<&Statement> = Vec::new();
    for statement in &scan.statements {
        if statement.kind == Kind::Pair {
            section.push(statement);
            continue;
        }
        let found = look(text, &section);
        if found.sure && section.len() > 1 {
            return found.column.is_some();
        }
        section.clear();
    }
    let found = look(text, &section);
    found.sure && section.len() > 1 && found.column.is_some()
}

impl Look {
    /// One line: key, `=` in its column, value.
    pub(super) fn line(&self, key: &str, value: &str) -> String {
        let width = key.chars().count();
        let column = self.column.unwrap_or(0).max(width + self.pad);
        let pad = column - width;
        format!("{}{key}{:pad$}={}{value}\n", self.indent, "", self.after)
    }
}
