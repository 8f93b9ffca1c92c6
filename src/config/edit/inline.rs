//! Changes within a value: elements of lists, keys of inline tables.
//!
//! **Invariant:** what is not changed stays as it stands, comments and line breaks too.

use std::ops::Range;

use smol_str::SmolStr;
use toml::Value;

use super::scan::{Node, NodeKind, Part};
use super::value;

/// What becomes of the bytes of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    /// These go.
    pub at: Range<usize>,
    /// This comes.
    pub text: String,
    /// Of several at one place those of a lower rank come first: what belongs to what is above, then what is new.
    pub rank: u8,
}

impl Splice {
    pub(super) fn new(at: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            at,
            text: text.into(),
            rank: 0,
        }
    }
}

/// What stands at a path within an inline table.
pub(super) enum Found<'n> {
    /// A value.
    Is(&'n Part),
    /// A table, made of several dotted keys.
    Spread,
    /// Something that is no table stands on the way.
    Blocked,
    /// Nothing: it would go into this table, under the keys from `depth` on.
    Absent { table: &'n Node, depth: usize },
}

/// Looks for a path in an inline table.
pub(super) fn find<'n>(table: &'n Node, path: &[SmolStr], depth: usize) -> Found<'n> {
    let NodeKind::Table(parts) = &table.kind else {
        return Found::Blocked;
    };
    let rest = path.get(depth..).unwrap_or_default();
    for part in parts {
        let keys = part.keys.as_slice();
        if keys == rest {
            return Found::Is(part);
        }
        if rest.starts_with(keys) {
            return find(&part.value, path, depth + keys.len());
        }
        if keys.starts_with(rest) {
            return Found::Spread;
        }
    }
    Found::Absent { table, depth }
}

/// Puts keys into an inline table, last.
pub(super) fn insert<'k>(
    text: &str,
    table: &Node,
    new: impl IntoIterator<Item = (&'k [SmolStr], &'k Value)>,
) -> Vec<Splice> {
    let NodeKind::Table(parts) = &table.kind else {
        return Vec::new();
    };
    let mut lines: Vec<String> = Vec::new();
    let mut nested = toml::Table::new();
    for (keys, value) in new {
        // A table within a table: { vars = { disk = … } }, unless its neighbours are dotted.
        let dotted = keys.len() < 2
            || keys.first().is_some_and(|first| {
                parts
                    .iter()
                    .any(|part| part.keys.len() > 1 && part.keys.first() == Some(first))
            });
        if dotted {
            let key = value::dotted(keys.iter().map(SmolStr::as_str));
            lines.push(format!("{key} = {}", value::write(value, None)));
        } else {
            put_nested(&mut nested, keys, value);
        }
    }
    for (key, value) in &nested {
        lines.push(format!(
            "{} = {}",
            value::key(key),
            value::write(value, None)
        ));
    }
    put_last(text, table, parts, &lines, " ")
}

fn put_nested(table: &mut toml::Table, keys: &[SmolStr], value: &Value) {
    let Some((first, rest)) = keys.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(first.to_string(), value.clone());
        return;
    }
    let inner = table
        .entry(first.to_string())
        .or_insert_with(|| Value::Table(toml::Table::new()));
    if let Value::Table(inner) = inner {
        put_nested(inner, rest, value);
    }
}

/// Puts elements into a list, last.
pub(super) fn push<'v>(
    text: &str,
    list: &Node,
    new: impl IntoIterator<Item = &'v Value>,
) -> Vec<Splice> {
    let NodeKind::List(parts) = &list.kind else {
        return Vec::new();
    };
    let new: Vec<String> = new
        .into_iter()
        .map(|value| value::write(value, None))
        .collect();
    put_last(text, list, parts, &new, "")
}

fn put_last(text: &str, whole: &Node, parts: &[Part], new: &[String], edge: &str) -> Vec<Splice> {
    if new.is_empty() {
        return Vec::new();
    }
    let in_line = new.join(", ");
    let Some(last) = parts.last() else {
        let inner = whole.span.start + 1..whole.span.end - 1;
        if text
            .get(inner.clone())
            .is_some_and(|inner| inner.contains('\n'))
        {
            // Comments and nothing else: they stay.
            let at = inner.start;
            return vec![Splice::new(at..at, format!("\n  {in_line},"))];
        }
        return vec![Splice::new(inner, format!("{edge}{in_line}{edge}"))];
    };
    let end = last.value.span.end;
    let own_line = own_line(text, last, whole);
    let Some(indent) = own_line else {
        return vec![Splice::new(end..end, format!(", {in_line}"))];
    };
    // Below the last one's line and what is said of it there; a comma where there is none yet.
    let tail = text.get(end..whole.span.end).unwrap_or_default();
    let comma = tail.trim_start().starts_with(',');
    let line_end = tail.find('\n').map_or(end, |at| end + at);
    let line_end = if text
        .get(..line_end)
        .is_some_and(|before| before.ends_with('\r'))
    {
        line_end - 1
    } else {
        line_end
    };
    let comma_at = if comma {
        Vec::new()
    } else {
        vec![Splice::new(end..end, ",")]
    };
    let trailing = if comma { "," } else { "" };
    let mut splices = comma_at;
    splices.push(Splice::new(
        line_end..line_end,
        format!("\n{indent}{}{trailing}", new.join(&format!(",\n{indent}"))),
    ));
    splices
}

/// The blanks before a part that begins its line, where the whole goes over several lines and the part's line ends
/// before the whole does.
fn own_line<'t>(text: &'t str, part: &Part, whole: &Node) -> Option<&'t str> {
    let before = text.get(whole.span.start..part.start)?;
    let line = before.rfind('\n')?;
    let indent = before.get(line + 1..)?;
    let after = text.get(part.value.span.end..whole.span.end)?;
    (indent.trim().is_empty() && after.contains('\n')).then_some(indent)
}

/// The whole lines of a part, when nothing else stands there.
fn lines(text: &str, part: &Part, whole: &Node) -> Option<Range<usize>> {
    own_line(text, part, whole)?;
    let end = part.value.span.end;
    let tail = text.get(end..whole.span.end)?;
    let line_end = tail.find('\n').map_or(whole.span.end, |at| end + at + 1);
    let rest = text.get(end..line_end)?.trim();
    let rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    let before = text.get(..part.start)?;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (rest.is_empty() || rest.starts_with('#')).then_some(start..line_end)
}

/// Takes neighbouring parts out of a list or an inline table.
pub(super) fn remove(text: &str, whole: &Node, going: Range<usize>) -> Vec<Splice> {
    let (NodeKind::List(parts) | NodeKind::Table(parts)) = &whole.kind else {
        return Vec::new();
    };
    let run = parts.get(going.clone()).unwrap_or_default();
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Vec::new();
    };
    let own: Option<Vec<Range<usize>>> = run.iter().map(|part| lines(text, part, whole)).collect();
    if let Some(own) = own {
        return own.into_iter().map(|at| Splice::new(at, "")).collect();
    }
    let end = last.value.span.end;
    if let Some(next) = parts.get(going.end) {
        return vec![Splice::new(first.start..next.start, "")];
    }
    if let Some(previous) = going.start.checked_sub(1).and_then(|at| parts.get(at)) {
        return vec![Splice::new(previous.value.span.end..end, "")];
    }
    // All of them: a comma behind them goes too.
    let tail = text.get(end..whole.span.end).unwrap_or_default();
    let comma = tail.trim_start().strip_prefix(',');
    let end = comma.map_or(end, |after| whole.span.end - after.len());
    vec![Splice::new(first.start..end, "")]
}
