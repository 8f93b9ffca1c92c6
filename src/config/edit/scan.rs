//! A TOML text as a flat list of statements with their places: headers, and keys with values.
//!
//! Only places are kept, no values: a file of a hundred thousand hosts takes some tens of megabytes for a moment,
//! and what is written of one host is read when it is asked for.

use std::ops::Range;

use smallvec::SmallVec;
use smol_str::SmolStr;
use toml_parser::parser::{
    EventKind, RecursionGuard, ValidateWhitespace, parse_document, parse_value,
};
use toml_parser::{ParseError, Source};

use super::EditError;

/// Deepest nesting that is read: what the configuration's own reader takes.
const DEPTH: u32 = 80;

/// What a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `[a.b]`.
    Header,
    /// `[[a.b]]`.
    ListHeader,
    /// `a.b = …`.
    Pair,
}

/// The parts of a key.
pub(super) type Keys = SmallVec<[SmolStr; 2]>;

/// One statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// What it is.
    pub kind: Kind,
    /// The header that it stands below, by its place in the list; of a header itself.
    pub header: Option<usize>,
    /// The keys that are written in it: of a header all of them.
    pub keys: Keys,
    /// Its keys; of a header from the first bracket on.
    pub start: usize,
    /// Where its keys end.
    pub keys_end: usize,
    /// Its value; of a header nothing, at its end.
    pub value: Range<usize>,
}

impl Statement {
    pub(super) const fn end(&self) -> usize {
        self.value.end
    }
}

/// A text as statements.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    /// In the order of the text.
    pub statements: Vec<Statement>,
}

impl Scan {
    /// Reads a text; an error names the line of the first mistake.
    pub(super) fn read(text: &str) -> Result<Self, EditError> {
        let source = Source::new(text);
        let tokens = source.lex().into_vec();
        let mut reader = Reader::default();
        let mut first: Option<ParseError> = None;
        {
            let mut receive = |event| reader.take(&source, event);
            let mut guard = RecursionGuard::new(&mut receive, DEPTH);
            let mut validate = ValidateWhitespace::new(&mut guard, source);
            parse_document(&tokens, &mut validate, &mut first);
        }
        if let Some(error) = first.as_ref().or(reader.bad.as_ref()) {
            let at = error.unexpected().or_else(|| error.context());
            return Err(EditError::Syntax {
                line: line_of(text, at.map_or(0, |span| span.start())),
                what: error.description().to_owned(),
            });
        }
        Ok(Self {
            statements: reader.statements,
        })
    }

    /// The whole path of a statement.
    pub(super) fn path<'s>(&'s self, statement: &'s Statement) -> impl Iterator<Item = &'s str> {
        let above: &[SmolStr] = match (statement.kind, statement.header) {
            (Kind::Pair, Some(header)) => self
                .statements
                .get(header)
                .map_or(&[], |header| header.keys.as_slice()),
            _ => &[],
        };
        above.iter().chain(&statement.keys).map(SmolStr::as_str)
    }

    /// How many parts of its path are those of its header.
    pub(super) fn above(&self, statement: &Statement) -> usize {
        match (statement.kind, statement.header) {
            (Kind::Pair, Some(header)) => self
                .statements
                .get(header)
                .map_or(0, |header| header.keys.len()),
            _ => 0,
        }
    }

    /// The last statement of the section that begins with this header.
    pub(super) fn last_of_section(&self, header: usize) -> usize {
        let mut last = header;
        while self
            .statements
            .get(last + 1)
            .is_some_and(|next| next.kind == Kind::Pair)
        {
            last += 1;
        }
        last
    }
}

/// The line of a place, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    before.matches('\n').count() + 1
}

#[derive(Default)]
struct Reader {
    statements: Vec<Statement>,
    keys: Keys,
    start: Option<usize>,
    keys_end: usize,
    value: Option<usize>,
    depth: usize,
    header: Option<usize>,
    bad: Option<ParseError>,
}

impl Reader {
    fn take(&mut self, source: &Source<'_>, event: toml_parser::parser::Event) {
        let span = event.span();
        let (start, end) = (span.start(), span.end());
        if event.kind() == EventKind::Scalar && start == end {
            self.bad.get_or_insert_with(|| {
                ParseError::new("a key without a value").with_unexpected(span)
            });
        }
        match event.kind() {
            EventKind::StdTableOpen | EventKind::ArrayTableOpen if self.depth == 0 => {
                self.keys.clear();
                self.start = Some(start);
                self.value = None;
            }
            EventKind::StdTableClose => self.header(Kind::Header, end),
            EventKind::ArrayTableClose => self.header(Kind::ListHeader, end),
            EventKind::SimpleKey if self.depth == 0 => {
                self.start.get_or_insert(start);
                self.keys_end = end;
                let mut key = String::new();
                if let Some(mut raw) = source.get(span) {
                    raw = toml_parser::Raw::new_unchecked(raw.as_str(), event.encoding(), span);
                    raw.decode_key(&mut key, &mut self.bad);
                }
                self.keys.push(key.into());
            }
            EventKind::InlineTableOpen | EventKind::ArrayOpen => {
                if self.depth == 0 {
                    self.value = Some(start);
                }
                self.depth += 1;
            }
            EventKind::InlineTableClose | EventKind::ArrayClose => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.pair(end);
                }
            }
            EventKind::Scalar if self.depth == 0 => {
                self.value = Some(start);
                self.pair(end);
            }
            _ => {}
        }
    }

    fn header(&mut self, kind: Kind, end: usize) {
        let Some(start) = self.start.take() else {
            return;
        };
        self.header = Some(self.statements.len());
        self.statements.push(Statement {
            kind,
            header: self.header,
            keys: std::mem::take(&mut self.keys),
            start,
            keys_end: end,
            value: end..end,
        });
    }

    fn pair(&mut self, end: usize) {
        let (Some(start), Some(value)) = (self.start.take(), self.value.take()) else {
            return;
        };
        self.statements.push(Statement {
            kind: Kind::Pair,
            header: self.header,
            keys: std::mem::take(&mut self.keys),
            start,
            keys_end: self.keys_end,
            value: value..end,
        });
    }
}

/// A value and what it is made of, with its places in the whole text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The whole value.
    pub span: Range<usize>,
    /// What it is made of.
    pub kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    /// Text, number, truth value, time.
    Plain,
    /// `[…]`.
    List(Vec<Part>),
    /// `{…}`.
    Table(Vec<Part>),
}

/// An element of a list, or a key with its value in an inline table.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// In a table: its keys.
    pub keys: Keys,
    /// Where the keys begin; in a list where the value does.
    pub start: usize,
    /// Its value.
    pub value: Node,
}

/// Reads the value at these bytes of a text, which were found by [`Scan::read`].
pub(super) fn node(text: &str, span: Range<usize>) -> Option<Node> {
    let part = text.get(span.clone())?;
    let source = Source::new(part);
    let tokens = source.lex().into_vec();
    let mut builder = Builder {
        base: span.start,
        ..Builder::default()
    };
    {
        let mut receive = |event| builder.take(&source, event);
        let mut guard = RecursionGuard::new(&mut receive, DEPTH);
        parse_value(&tokens, &mut guard, &mut ());
    }
    builder.done
}

#[derive(Default)]
struct Builder {
    base: usize,
    /// Open lists and tables, with the key that waits for its value in each.
    open: Vec<Open>,
    done: Option<Node>,
}

struct Open {
    start: usize,
    table: bool,
    parts: Vec<Part>,
    keys: Keys,
    keys_start: Option<usize>,
}

impl Builder {
    fn take(&mut self, source: &Source<'_>, event: toml_parser::parser::Event) {
        let span = event.span();
        let (start, end) = (self.base + span.start(), self.base + span.end());
        match event.kind() {
            EventKind::InlineTableOpen | EventKind::ArrayOpen => self.open.push(Open {
                start,
                table: event.kind() == EventKind::InlineTableOpen,
                parts: Vec::new(),
                keys: Keys::new(),
                keys_start: None,
            }),
            EventKind::InlineTableClose | EventKind::ArrayClose => {
                if let Some(open) = self.open.pop() {
                    let kind = if open.table {
                        NodeKind::Table(open.parts)
                    } else {
                        NodeKind::List(open.parts)
                    };
                    self.put(Node {
                        span: open.start..end,
                        kind,
                    });
                }
            }
            EventKind::SimpleKey => {
                let mut key = String::new();
                if let Some(raw) = source.get(span) {
                    toml_parser::Raw::new_unchecked(raw.as_str(), event.encoding(), span)
                        .decode_key(&mut key, &mut ());
                }
                if let Some(open) = self.open.last_mut() {
                    open.keys_start.get_or_insert(start);
                    open.keys.push(key.into());
                }
            }
            EventKind::Scalar => self.put(Node {
                span: start..end,
                kind: NodeKind::Plain,
            }),
            _ => {}
        }
    }

    fn put(&mut self, value: Node) {
        match self.open.last_mut() {
            Some(open) => open.parts.push(Part {
                keys: std::mem::take(&mut open.keys),
                start: open.keys_start.take().unwrap_or(value.span.start),
                value,
            }),
            None => self.done = Some(value),
        }
    }
}
