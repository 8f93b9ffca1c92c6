//! YAML, and JSON as a part of it, as a tree with lines.
//!
//! Aliases stay what they are, so that a short text cannot become a long tree.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Finding, one_line, shortened};

/// Deeper texts are not looked at.
const DEEPEST: usize = 100;

/// A value and its line.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    /// A text, number, truth value or nothing.
    Scalar {
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// A value that stands elsewhere, or one with a tag of its own.
    Other,
}

impl Node {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .find_map(|(name, value)| (name.text() == Some(key)).then_some(value))
    }

    /// The keys and values; none unless it is a mapping.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Self, &Self)> {
        let entries = match &self.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|(key, value)| (key, value))
    }

    /// The elements; none unless it is a list.
    pub(super) fn elements(&self) -> &[Self] {
        match &self.kind {
            Kind::List(elements) => elements,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is certainly no mapping.
    pub(super) fn is_no_map(&self) -> bool {
        matches!(self.kind, Kind::Scalar { .. } | Kind::List(_))
    }

    /// Whether it is certainly no list.
    pub(super) fn is_no_list(&self) -> bool {
        matches!(self.kind, Kind::Scalar { .. } | Kind::Map(_))
    }

    /// Whether nothing is written.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }
}

/// A list or mapping that is not at its end.
#[derive(Debug)]
struct Open {
    line: usize,
    is_map: bool,
    plain: bool,
    nodes: Vec<Node>,
}

/// Reads the first document; `None` when it is empty, or deeper than is looked at.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Finding> {
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            Finding::wrong(
                error.marker().line().max(1),
                format!("it is no YAML: {}", one_line(error.info())),
            )
        })?;
        let line = span.start.line().max(1);
        let kind = match event {
            Event::Scalar(text, style, _, tag) => {
                if tag.is_some() {
                    Kind::Other
                } else {
                    Kind::Scalar {
                        text: text.into_owned(),
                        plain: style == ScalarStyle::Plain,
                    }
                }
            }
            Event::Alias(_) => Kind::Other,
            Event::SequenceStart(_, tag) | Event::MappingStart(_, tag)
                if open.len() >= DEEPEST && tag.is_none() =>
            {
                return Ok(None);
            }
            Event::SequenceStart(_, tag) => {
                open.push(Open {
                    line,
                    is_map: false,
                    plain: tag.is_none(),
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::MappingStart(_, tag) => {
                open.push(Open {
                    line,
                    is_map: true,
                    plain: tag.is_none(),
                    nodes: Vec::new(),
                });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(done) = open.pop() else { continue };
                let node = done.close();
                match open.last_mut() {
                    Some(outer) => outer.nodes.push(node),
                    None => return rest(text, Some(node)),
                }
                continue;
            }
            Event::DocumentEnd => return rest(text, None),
            _ => continue,
        };
        let node = Node { line, kind };
        match open.last_mut() {
            Some(outer) => outer.nodes.push(node),
            None => return rest(text, Some(node)),
        }
    }
    Ok(None)
}

/// What follows the document has to be YAML as well.
fn rest(text: &str, node: Option<Node>) -> Result<Option<Node>, Finding> {
    for event in Parser::new_from_str(text) {
        if let Err(error) = event {
            return Err(Finding::wrong(
                error.marker().line().max(1),
                format!("it is no YAML: {}", one_line(error.info())),
            ));
        }
    }
    Ok(node)
}

impl Open {
    fn close(self) -> Node {
        let kind = if !self.plain {
            Kind::Other
        } else if self.is_map {
            let mut entries = Vec::new();
            let mut nodes = self.nodes.into_iter();
            while let (Some(key), Some(value)) = (nodes.next(), nodes.next()) {
                entries.push((key, value));
            }
            Kind::Map(entries)
        } else {
            Kind::List(self.nodes)
        };
        Node {
            line: self.line,
            kind,
        }
    }
}

/// YAML of which nothing else is known.
pub(super) fn check(text: &str) -> Vec<Finding> {
    match parse(text) {
        Ok(None) => Vec::new(),
        Ok(Some(node)) => twice(&node),
        Err(finding) => vec![finding],
    }
}

/// Keys that stand twice in a mapping, of which readers take one without a word.
pub(super) fn twice(node: &Node) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        let mut seen = HashSet::new();
        for (key, value) in node.entries() {
            waiting.push(value);
            // A merge key may stand more than once.
            if let Some(text) = key.text().filter(|text| *text != "<<")
                && !seen.insert(text)
            {
                findings.push(
                    Finding::doubtful(
                        key.line,
                        format!("the key `{}` stands twice in its mapping", shortened(text)),
                    )
                    .help(
                        "one of the two values is taken and the other one is lost: take one away",
                    ),
                );
            }
        }
        waiting.extend(node.elements());
    }
    findings
}
