//! Kea's `<?include "FILE"?>`: the files in their places, and where each line comes from.

use std::sync::Arc;

use crate::import::place::Place;
use crate::import::{Bring, Left, Source};

/// How many files may be included, all in all.
const MOST: usize = 256;
/// How deep files may include each other.
const DEEPEST: usize = 16;

/// A text made of several.
#[derive(Debug, Default)]
pub(super) struct Spliced {
    pub text: String,
    /// Of each line of the text the file and the line there.
    lines: Vec<(Arc<str>, usize)>,
    /// The file that includes the others.
    file: String,
    /// Files that could not be brought.
    pub left: Vec<Left>,
    included: usize,
}

/// Where in the text a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Text,
    Comment,
}

impl Spliced {
    /// The file with those that it includes.
    pub(super) fn of(source: &Source, bring: &dyn Bring) -> Self {
        let mut spliced = Self {
            file: source.name.clone(),
            ..Self::default()
        };
        spliced.add(source, bring, 0);
        spliced
    }

    /// Where a line of the text stands.
    pub(super) fn place(&self, line: usize) -> Place {
        let found = line.checked_sub(1).and_then(|index| self.lines.get(index));
        match found.or_else(|| self.lines.last()) {
            Some((file, line)) => Place::new(file, *line),
            None => Place::new(&self.file.as_str().into(), 1),
        }
    }

    fn add(&mut self, source: &Source, bring: &dyn Bring, depth: usize) {
        let file: Arc<str> = source.name.as_str().into();
        let mut state = State::Plain;
        for (index, line) in source.text.lines().enumerate() {
            self.lines.push((Arc::clone(&file), index + 1));
            self.line(line, &file, index + 1, &mut state, bring, depth);
            self.text.push('\n');
        }
    }

    fn line(
        &mut self,
        line: &str,
        file: &Arc<str>,
        number: usize,
        state: &mut State,
        bring: &dyn Bring,
        depth: usize,
    ) {
        let mut rest = line;
        loop {
            let Some(at) = find(rest, state) else {
                self.text.push_str(rest);
                return;
            };
            let (before, found) = rest.split_at(at);
            self.text.push_str(before);
            let Some((inside, after)) = found
                .strip_prefix("<?include")
                .and_then(|found| found.split_once("?>"))
            else {
                self.text.push_str(found);
                return;
            };
            let path = inside.trim().trim_matches('"').to_owned();
            self.include(path, file, number, bring, depth);
            // What follows stands on a line of its own, which is this one again.
            self.text.push('\n');
            self.lines.push((Arc::clone(file), number));
            rest = after;
        }
    }

    fn include(
        &mut self,
        path: String,
        file: &Arc<str>,
        number: usize,
        bring: &dyn Bring,
        depth: usize,
    ) {
        let enough = depth >= DEEPEST || self.included >= MOST;
        let text = if enough { None } else { bring.text(&path) };
        if let Some(text) = text {
            self.included += 1;
            self.text.push('\n');
            self.add(&Source { name: path, text }, bring, depth + 1);
            // The last line of that file ended in a line break already.
            self.text.pop();
            return;
        }
        let why = if enough {
            "too many files include each other".to_owned()
        } else {
            format!("`{path}` cannot be read here: give the file together with this one")
        };
        self.left.push(Left {
            file: file.to_string(),
            line: number,
            what: format!("<?include \"{path}\"?>"),
            why,
        });
        if self.text.trim_end().ends_with(':') {
            self.text.push_str("null");
        }
    }
}

/// Where an include begins, outside of texts and comments.
fn find(line: &str, state: &mut State) -> Option<usize> {
    let mut escaped = false;
    let mut skip = 0;
    for (at, c) in line.char_indices() {
        if at < skip {
            continue;
        }
        let rest = line.get(at..).unwrap_or_default();
        match *state {
            State::Comment => {
                if rest.starts_with("*/") {
                    *state = State::Plain;
                    skip = at + 2;
                }
            }
            State::Text => {
                if c == '"' && !escaped {
                    *state = State::Plain;
                }
                escaped = c == '\\' && !escaped;
            }
            State::Plain => {
                if rest.starts_with("<?include") {
                    return Some(at);
                }
                if rest.starts_with("/*") {
                    *state = State::Comment;
                    skip = at + 2;
                } else if rest.starts_with("//") || c == '#' {
                    return None;
                } else if c == '"' {
                    *state = State::Text;
                    escaped = false;
                }
            }
        }
    }
    if *state == State::Text {
        // Texts end on their line.
        *state = State::Plain;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    struct One(&'static str);

    impl Bring for One {
        fn text(&self, path: &str) -> Option<String> {
            (path == "a").then(|| self.0.to_owned())
        }

        fn list(&self, _: &str) -> Option<Vec<String>> {
            None
        }

        fn resolve(&self, _: &str) -> Option<Ipv4Addr> {
            None
        }
    }

    #[test]
    fn files_stand_in_their_places() {
        let source = Source {
            name: "f".to_owned(),
            text: "{ // <?include \"a\"?>\n \"x\": <?include \"a\"?>, /* <?include \"a\"?>\n*/ \"y\": \"<?include \\\"a\\\"?>\"\n}".to_owned(),
        };
        let spliced = Spliced::of(&source, &One("[1,\n2]\n"));
        let lines: Vec<&str> = spliced.text.lines().collect();
        let places: Vec<(String, usize)> = (1..=lines.len())
            .map(|line| {
                let place = spliced.place(line);
                (place.file.to_string(), place.line)
            })
            .collect();
        assert_eq!(lines.len(), spliced.lines.len(), "{:?}", spliced.text);
        let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
        assert_eq!(places[at("2]")], ("a".to_owned(), 2));
        assert_eq!(places[at("\"y\"")], ("f".to_owned(), 3));
        assert_eq!(spliced.text.matches("[1,").count(), 1);
        let missing = Spliced::of(
            &Source {
                name: "f".into(),
                text: "{\"x\": <?include \"b\"?>}".into(),
            },
            &One(""),
        );
        assert!(missing.text.contains("null"));
        assert_eq!(missing.left.len(), 1);
    }

    #[test]
    fn files_that_include_themselves_end() {
        let source = Source {
            name: "f".to_owned(),
            text: "<?include \"a\"?>".to_owned(),
        };
        let spliced = Spliced::of(&source, &One("<?include \"a\"?> <?include \"a\"?>"));
        assert!(!spliced.left.is_empty() && spliced.text.len() < 100_000);
    }
}
