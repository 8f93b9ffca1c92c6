//! Text → TOML tables with places, and what is wrong with its syntax.
//!
//! A file with a syntax error is read as far as possible: the tables that hold an error are passed
//! over (the parser's recovery would invent values for them), the others are read, so that all
//! problems of a configuration are reported together.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::{SourceId, Span};

/// A TOML document and the parts of it that cannot be trusted.
pub(crate) struct Parsed<'i> {
    /// The document.
    pub table: Spanned<DeTable<'i>>,
    /// Bytes of the tables (header to next header) in which a syntax error lies.
    pub broken: Vec<Range<usize>>,
}

/// How many syntax errors of one file are shown: after that many the rest tells nothing new.
const MOST_ERRORS: usize = 20;

/// Reads a document and adds its syntax errors to `problems`, at most one a line.
pub(crate) fn parse<'i>(
    source: SourceId,
    text: &'i str,
    problems: &mut Vec<Problem>,
) -> Parsed<'i> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Parsed {
            table,
            broken: Vec::new(),
        };
    }
    let lines = Lines::new(text);
    let mut open_lists: Vec<Range<usize>> = Vec::new();
    find_open_lists(table.get_ref(), text, &mut open_lists);
    let mut found: Vec<Fault> = open_lists
        .iter()
        .map(|list| Fault {
            at: list.start,
            span: list.start..lines.end_of(list.start),
            message: "the list is not closed".to_owned(),
            repeats: false,
            first: None,
            label: "begins here".to_owned(),
            help: Some("end it with `]`, and put a comma between its elements".to_owned()),
        })
        .collect();
    found.extend(errors.iter().filter_map(|error| {
        let at = error.span()?;
        // All that follows an open list is read as its elements: one fault, not twenty.
        let swallowed = open_lists
            .iter()
            .any(|list| list.start <= at.start && at.start <= list.end);
        (!swallowed).then(|| fault(text, &lines, error.message(), at))
    }));
    found.sort_by_key(|fault| fault.at);
    let mut broken: Vec<Range<usize>> = open_lists;
    let mut last_line = None;
    let mut repeated: Option<Range<usize>> = None;
    let mut shown = 0;
    for fault in found {
        let line = lines.start_of(fault.at);
        let region = lines.region(fault.at);
        // The keys below a repeated header are repeated too: the header says it all.
        let below_repeated = fault.repeats && repeated.as_ref() == Some(&region);
        if fault.repeats && lines.is_header(line) {
            repeated = Some(region.clone());
        }
        if last_line == Some(line) || below_repeated {
            continue;
        }
        last_line = Some(line);
        if !broken.contains(&region) {
            broken.push(region);
        }
        shown += 1;
        if shown <= MOST_ERRORS {
            problems.push(fault.problem(source));
        }
    }
    Parsed { table, broken }
}

/// One syntax error, ready to be told.
struct Fault {
    at: usize,
    span: Range<usize>,
    message: String,
    label: String,
    /// Whether a key or table is there a second time.
    repeats: bool,
    /// Where it stood first, when that was found.
    first: Option<Range<usize>>,
    help: Option<String>,
}

impl Fault {
    fn problem(self, source: SourceId) -> Problem {
        let span = |range: Range<usize>| Span::new(source, range);
        let code = if self.repeats {
            "written-twice"
        } else {
            "syntax"
        };
        let mut problem = Problem::error(code, self.message).at(span(self.span), self.label);
        if let Some(first) = self.first {
            problem = problem.at(span(first), "first written here");
        }
        problem.help = self.help;
        problem
    }
}

/// Turns the parser's words into ours, and its position into something that can be underlined.
fn fault(text: &str, lines: &Lines<'_>, message: &str, at: Range<usize>) -> Fault {
    let line = lines.start_of(at.start)..lines.end_of(at.start);
    let written = text.get(line.clone()).unwrap_or_default();
    let whole_line = lines.trimmed(at.start);
    let after_equals = match written.find('=') {
        Some(equals) => lines.trimmed_within(line.start + equals + 1..line.end),
        None => whole_line.clone(),
    };
    let header = lines.is_header(line.start);
    let plain = |span: Range<usize>, message: &str, label: &str, help: &str| Fault {
        at: at.start,
        span,
        message: message.to_owned(),
        label: label.to_owned(),
        repeats: false,
        first: None,
        help: (!help.is_empty()).then(|| help.to_owned()),
    };
    match message.split(',').next().unwrap_or_default() {
        "duplicate key" => {
            let what = text.get(at.clone()).unwrap_or_default();
            let first = if header {
                lines.earlier_header(line.start)
            } else {
                lines.earlier_key(at.start, what)
            };
            let (message, help) = if header {
                let written = text.get(whole_line.clone()).unwrap_or_default();
                let header = written.split('#').next().unwrap_or_default().trim_end();
                let (message, help) = match (&first, header.starts_with("[[")) {
                    (Some(_), _) => (
                        "is written twice",
                        "keep one of the two, or give this one another name",
                    ),
                    (None, true) => (
                        "is a table elsewhere in this file, not a list of tables",
                        "write it with single brackets and a name, as the others: [hosts.NAME]",
                    ),
                    (None, false) => (
                        "is written elsewhere in this file in another form",
                        "write all of them alike, either [one] table or a list of [[several]]",
                    ),
                };
                (format!("`{header}` {message}"), help)
            } else {
                (
                    format!("`{what}` is written twice in one table"),
                    "keep one of the two",
                )
            };
            Fault {
                at: at.start,
                span: if header { whole_line } else { at },
                message,
                label: "the second time".to_owned(),
                repeats: true,
                first,
                help: Some(help.to_owned()),
            }
        }
        "unclosed table" | "unclosed array table" => plain(
            whole_line,
            "this is no table header",
            "",
            "a header is a name in brackets, such as `[hosts.web01]`; a part with other characters than letters, digits, `-` and `_` stands in quotes",
        ),
        "key with no value" => plain(
            whole_line,
            "a key without a value",
            "",
            "write `key = value`; a comment begins with `#`",
        ),
        "string values must be quoted" if after_equals.is_empty() => {
            plain(whole_line, "the value is missing", "nothing after `=`", "")
        }
        "string values must be quoted" => {
            let value = text.get(after_equals.clone()).unwrap_or_default();
            let value = value.split('#').next().unwrap_or_default().trim_end();
            let help = quoted(value);
            let span = after_equals.start..after_equals.start + value.len();
            plain(span, "a text must stand in quotes", "", &help)
        }
        "invalid boolean" => plain(
            visible(at.clone(), &after_equals),
            "this is neither true nor false",
            "",
            "write true or false; a text stands in quotes",
        ),
        "invalid basic string" | "invalid literal string" => plain(
            after_equals,
            "the text is not closed",
            "",
            "end it with the quote it begins with, on the same line",
        ),
        "invalid multi-line basic string" | "invalid multi-line literal string" => plain(
            whole_line,
            "the text is not closed",
            "the file ends here",
            "end it with the three quotes it begins with",
        ),
        "missing escaped value" | "invalid escape sequence" => plain(
            visible(at.clone(), &after_equals),
            "a backslash in a text begins an escape",
            "",
            "double the backslash, or put the text in single quotes",
        ),
        _ if bare_text(text, &after_equals).is_some_and(|span| span.end >= at.start) => {
            let span = bare_text(text, &after_equals).unwrap_or(after_equals);
            let value = text.get(span.clone()).unwrap_or_default();
            if let (false, Some((key, value))) = (written.contains('='), value.split_once(": ")) {
                let value = value.trim();
                let help = if value.starts_with('"') {
                    format!("write `{key} = {value}`")
                } else {
                    format!("write `{key} = \"{value}\"`")
                };
                return plain(
                    whole_line,
                    "a key and its value have `=` between them",
                    "",
                    &help,
                );
            }
            plain(span, "a text must stand in quotes", "", &quoted(value))
        }
        first_part => {
            let span = visible(at.clone(), &whole_line);
            let expected = message.get(first_part.len()..).unwrap_or_default();
            let expected = expected
                .strip_prefix(", expected ")
                .filter(|text| *text != "nothing")
                .unwrap_or_default();
            let label = if expected.is_empty() {
                String::new()
            } else {
                format!("expected {expected}")
            };
            plain(span, first_part, &label, "")
        }
    }
}

/// How a text is written that has no quotes, or those of a word processor.
fn quoted(value: &str) -> String {
    const CURLY: [char; 7] = ['“', '”', '„', '‘', '’', '«', '»'];
    if value.starts_with(CURLY) {
        return format!("write straight quotes: `\"{}\"`", value.trim_matches(CURLY));
    }
    if value.starts_with(['[', '{', '"', '\'']) {
        return "put each text in quotes".to_owned();
    }
    format!("write `\"{value}\"`")
}

/// A value that is meant as a text but has no quotes: `10.99.0.2`, `web`.
fn bare_text(text: &str, value: &Range<usize>) -> Option<Range<usize>> {
    let written = text.get(value.clone())?.split('#').next()?.trim_end();
    let looks_like_text = !written.starts_with(['[', '{', '"', '\''])
        && (written.contains(|c: char| c.is_alphabetic() || matches!(c, ':' | '/'))
            || written.matches('.').count() > 1);
    looks_like_text.then(|| value.start..value.start + written.len())
}

fn visible(span: Range<usize>, otherwise: &Range<usize>) -> Range<usize> {
    if span.is_empty() {
        otherwise.clone()
    } else {
        span
    }
}

/// Lists that the file ends in.
fn find_open_lists(table: &DeTable<'_>, text: &str, found: &mut Vec<Range<usize>>) {
    for (_, value) in table {
        match value.get_ref() {
            DeValue::Table(inner) => find_open_lists(inner, text, found),
            DeValue::Array(list) => {
                let span = value.span();
                let written = text.get(span.clone()).unwrap_or_default();
                if written.starts_with('[') && !written.ends_with(']') {
                    found.push(span);
                    continue;
                }
                for element in list {
                    if let DeValue::Table(inner) = element.get_ref() {
                        find_open_lists(inner, text, found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Lines of a text, and its tables as the lines show them.
struct Lines<'i> {
    text: &'i str,
    starts: Vec<usize>,
}

impl<'i> Lines<'i> {
    fn new(text: &'i str) -> Self {
        let mut starts = vec![0];
        starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { text, starts }
    }

    fn number(&self, at: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    }

    fn start_of(&self, at: usize) -> usize {
        self.starts
            .get(self.number(at))
            .copied()
            .unwrap_or_default()
    }

    fn end_of(&self, at: usize) -> usize {
        self.starts
            .get(self.number(at) + 1)
            .map_or(self.text.len(), |next| next - 1)
    }

    /// The line without the white space around it.
    fn trimmed(&self, at: usize) -> Range<usize> {
        self.trimmed_within(self.start_of(at)..self.end_of(at))
    }

    fn trimmed_within(&self, range: Range<usize>) -> Range<usize> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        let start = range.start + (text.len() - text.trim_start().len());
        start..start + text.trim().len()
    }

    fn is_header(&self, line_start: usize) -> bool {
        self.text
            .get(line_start..)
            .is_some_and(|line| line.trim_start_matches([' ', '\t']).starts_with('['))
    }

    /// From the header that stands before this place to the next header.
    fn region(&self, at: usize) -> Range<usize> {
        let line = self.number(at);
        let start = self
            .starts
            .get(..=line)
            .unwrap_or_default()
            .iter()
            .rev()
            .find(|start| self.is_header(**start))
            .copied()
            .unwrap_or(0);
        let end = self
            .starts
            .get(line + 1..)
            .unwrap_or_default()
            .iter()
            .find(|start| self.is_header(**start))
            .copied()
            .unwrap_or(self.text.len() + 1);
        start..end
    }

    fn earlier_header(&self, line_start: usize) -> Option<Range<usize>> {
        let plain = |range: Range<usize>| {
            let line = self.text.get(range).unwrap_or_default();
            let header = line.split('#').next().unwrap_or_default();
            header
                .chars()
                .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\''))
                .collect::<String>()
        };
        let wanted = plain(self.trimmed(line_start));
        self.starts
            .iter()
            .take_while(|start| **start < line_start)
            .map(|start| self.trimmed(*start))
            .find(|line| plain(line.clone()) == wanted)
    }

    fn earlier_key(&self, at: usize, key: &str) -> Option<Range<usize>> {
        let region = self.region(at);
        let line = self.start_of(at);
        self.starts
            .iter()
            .filter(|start| region.contains(start) && **start < line)
            .map(|start| self.trimmed(*start))
            .find_map(|line| {
                let rest = self.text.get(line.clone())?.strip_prefix(key)?;
                rest.trim_start()
                    .starts_with(['=', '.'])
                    .then(|| line.start..line.start + key.len())
            })
    }
}
