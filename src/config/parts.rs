//! A large file of reservations, read part by part.
//!
//! Its tables with places take seventy times the room of its text, so that a hundred thousand hosts
//! would cost half a gigabyte for a moment. A file is cut at headers `[hosts.NAME]` and each part is
//! read as a document of its own.
//!
//! **Invariant:** what is read, and every place in it, is the same as if the file had been read whole.
//! That is so as long as each part is good TOML (then no cut lies within a value), nothing stands above
//! the first header, and no table is spread over two parts. Otherwise the file is read whole, which also
//! tells what is wrong with it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::SourceId;
use super::table::Context;
use super::written::hosts::ReservationsFile;
use crate::base::pace;

/// A file up to this size, in bytes, is read whole.
const WHOLE: usize = 256 << 10;

/// Least size of a part, in bytes: half a millisecond's work.
const PART: usize = 16 << 10;

/// Reads a large file; `None`: it has to be read whole.
pub(super) fn read(
    source: SourceId,
    text: &str,
    problems: &mut Vec<Problem>,
) -> Option<ReservationsFile> {
    if text.len() <= WHOLE {
        return None;
    }
    in_parts(source, text, PART, problems)
}

fn in_parts(
    source: SourceId,
    text: &str,
    least: usize,
    problems: &mut Vec<Problem>,
) -> Option<ReservationsFile> {
    if !can_be_cut(text) {
        return None;
    }
    let mut file = ReservationsFile::default();
    // A vector that grows would be there twice for a moment.
    file.hosts.reserve_exact(text.matches("\n[hosts.").count());
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut base = 0;
    while let Some(rest) = text.get(base..).filter(|rest| !rest.is_empty()) {
        let part = rest.get(..end_of_part(rest, least))?;
        let (table, errors) = DeTable::parse_recoverable(part);
        if !errors.is_empty() || !remember(table.get_ref(), &mut seen) {
            return None;
        }
        let mut cx = Context {
            source,
            text: part,
            base,
            broken: Vec::new(),
            problems: &mut found,
        };
        file.take_in(&mut cx, table.get_ref());
        base += part.len();
        pace::give_way_now();
    }
    problems.append(&mut found);
    Some(file)
}

/// Whether no table stands above the first header, and all headers are of tables below `defaults`,
/// `groups` and `hosts`: of those it can be told by their names whether one stands in two parts.
fn can_be_cut(text: &str) -> bool {
    let mut has_header = false;
    text.lines().enumerate().all(|(count, line)| {
        pace::give_way(count / 16);
        let line = line.trim_start_matches([' ', '\t']);
        if line.starts_with('[') {
            has_header = true;
            let one = line.strip_prefix("[[").or_else(|| line.strip_prefix('['));
            let one = one.unwrap_or_default();
            one.starts_with("hosts.")
                || one.starts_with("groups.")
                || one.starts_with("defaults]")
                || one.starts_with("defaults.")
        } else {
            has_header || line.is_empty() || line.starts_with(['#', '\r'])
        }
    })
}

/// The end of the first part: the first header `[hosts.NAME]` at the beginning of a line after `least`
/// bytes, else the end of the text.
fn end_of_part(text: &str, least: usize) -> usize {
    const HEADER: &[u8] = b"\n[hosts.";
    let bytes = text.as_bytes();
    let mut from = least;
    while let Some(rest) = bytes.get(from..) {
        let Some(at) = rest
            .windows(HEADER.len())
            .position(|window| window == HEADER)
        else {
            break;
        };
        let header = from + at + 1;
        let name = bytes.get(header + HEADER.len() - 1..).unwrap_or_default();
        let end = name
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'));
        // `[hosts.web01.vars]` belongs to the host above it.
        if end.is_some_and(|end| end > 0 && name.get(end) == Some(&b']')) {
            return header;
        }
        from = header;
    }
    text.len()
}

/// Takes note of the tables of a part; whether none of them stood in another part.
fn remember(document: &DeTable<'_>, seen: &mut HashSet<u64>) -> bool {
    document.iter().all(|(key, value)| {
        let DeValue::Table(inner) = value.get_ref() else {
            return false;
        };
        let mut is_new = |name: &str| {
            let mut hasher = DefaultHasher::new();
            (key.get_ref().as_ref(), name).hash(&mut hasher);
            seen.insert(hasher.finish())
        };
        if key.get_ref() == "defaults" {
            return is_new("");
        }
        inner.iter().all(|(name, _)| is_new(name.get_ref()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::SourceMap;

    const FILE: &str = "# Ours.\n\n[defaults]\nprofile = \"debian-12\"\n\n[groups.web]\narch = \"x86_64\"\n\n\
        [hosts.a]\nmac = \"52:54:00:00:00:01\"\nip = \"10.0.0.1\"\ngroup = \"web\"\n\n\
        [hosts.b]\nmac = \"52:54:00:00:00:02\"\nip = \"10.0.0.2\"\nnotes = \"\"\"\n[hosts.c]\n\"\"\"\n\n\
        [hosts.b.vars]\ndisk = \"/dev/sda\"\n\n\
        [hosts.d]\nmac = \"no\"\nip = \"10.0.0.3\"\nprofil = \"x\"\n";

    fn both(text: &str, least: usize) -> (Option<String>, String) {
        let source = SourceMap::default().add("r.toml", text);
        let mut problems = Vec::new();
        let parts = in_parts(source, text, least, &mut problems)
            .map(|file| format!("{file:?} {problems:?}"));
        let mut problems = Vec::new();
        let (table, _) = DeTable::parse_recoverable(text);
        let mut cx = Context {
            source,
            text,
            base: 0,
            broken: Vec::new(),
            problems: &mut problems,
        };
        let whole = ReservationsFile::read(&mut cx, table.get_ref());
        (parts, format!("{whole:?} {problems:?}"))
    }

    #[test]
    fn parts_give_what_the_whole_gives_with_the_same_places() {
        let mut cut = 0;
        for least in 1..FILE.len() {
            let (parts, whole) = both(FILE, least);
            // A cut within the text of `notes` is found out, and the file is then read whole.
            if let Some(parts) = parts {
                cut += 1;
                assert_eq!(parts, whole, "{least}");
            }
        }
        assert!(cut > FILE.len() / 2, "{cut}");
    }

    #[test]
    fn what_stands_in_two_parts_is_read_whole() {
        let good = FILE.replace("\"\"\"\n[hosts.c]\n\"\"\"", "\"\"");
        assert!(both(&good, 1).0.is_some());
        for more in [
            "[hosts.a.vars]\nx = 1\n",
            "[hosts.a]\n",
            "[defaults.vars]\nx = 1\n",
            "[groups.web.vars]\nx = 1\n",
            "[[hosts]]\n",
            "[hosts]\n",
            "[hosts.e\n",
            "[other]\n",
        ] {
            assert!(both(&format!("{good}\n{more}"), 1).0.is_none(), "{more}");
        }
        let above = format!("hosts = {{}}\n{good}");
        assert!(both(&above, 1).0.is_none());
    }
}
