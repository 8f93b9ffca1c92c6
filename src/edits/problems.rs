//! Which problems of a configuration an edit brings, and which were there before.

use std::collections::HashMap;
use std::fmt;

use super::Change;
use crate::base::counted;
use crate::config::{Problem, Severity, SourceMap};
use crate::render::load::Loaded;

/// An edit that is refused for what `check` would say of it.
#[derive(Debug)]
pub struct Refusal {
    /// Problems that the edit brings, warnings too.
    pub new: Vec<Problem>,
    /// Problems that were there before.
    pub old: Vec<Problem>,
    /// The texts as they would be, for showing the problems.
    pub sources: SourceMap,
    /// What the edit would change.
    pub files: Vec<Change>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self
            .new
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let errors = counted(errors.count(), "error");
        write!(
            f,
            "nothing was changed: the configuration would have {errors}"
        )
    }
}

/// What makes a problem the same one although lines have moved: all that is shown of it but line numbers. Of a warning
/// with a place not the message either: many name one host and count the others.
type Likeness = (
    &'static str,
    Severity,
    Option<String>,
    Option<String>,
    Vec<(String, String, String)>,
);

fn likeness(problem: &Problem, sources: &SourceMap) -> Likeness {
    let labels = problem.labels.iter().map(|label| {
        let source = sources.get(label.span.source);
        let path = source.map_or_else(String::new, |source| source.path.display().to_string());
        let text = source.and_then(|source| source.text.get(label.span.range()));
        (
            path,
            label.text.clone(),
            text.unwrap_or_default().to_owned(),
        )
    });
    let counts = problem.severity == Severity::Warning && !problem.labels.is_empty();
    (
        problem.code,
        problem.severity,
        (!counts).then(|| problem.message.clone()),
        problem.help.clone(),
        labels.collect(),
    )
}

/// The problems after an edit: those that it brings, and those that were there.
pub(super) fn told_apart(before: &Loaded, after: &Loaded) -> (Vec<Problem>, Vec<Problem>) {
    let mut known: HashMap<Likeness, usize> = HashMap::new();
    for problem in &before.problems {
        *known.entry(likeness(problem, &before.sources)).or_default() += 1;
    }
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for problem in &after.problems {
        match known.get_mut(&likeness(problem, &after.sources)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                old.push(problem.clone());
            }
            _ => new.push(problem.clone()),
        }
    }
    (new, old)
}
