//! Where a statement stands, and how it is shown.

use std::sync::Arc;

/// The longest text of a statement in a report, in characters.
const SHOWN: usize = 90;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file, as it was given.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
}

impl Place {
    pub(crate) fn new(file: &Arc<str>, line: usize) -> Self {
        Self {
            file: Arc::clone(file),
            line,
        }
    }
}

/// A statement on one line, cut where it is long.
pub(crate) fn shortened(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
        if line.len() > 4 * SHOWN {
            break;
        }
    }
    match line.char_indices().nth(SHOWN) {
        None => line,
        Some((at, _)) => {
            line.truncate(at);
            line.push('…');
            line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_statements_are_cut() {
        assert_eq!(shortened("  a \n\t b "), "a b");
        let long = "ä".repeat(1_000);
        assert_eq!(shortened(&long).chars().count(), SHOWN + 1);
        assert!(shortened(&"x ".repeat(100_000)).len() <= SHOWN + 3);
    }
}
