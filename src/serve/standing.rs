//! How the configuration in force stands to the files: whether they were rejected, why, and whether what is in force
//! is kept on the disk ([`super::last_good`]).

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::{Timestamp, counted};
use crate::config::{Problem, Severity, Snapshot, SourceMap};

/// The part's name in `/healthz` while the files are not what is in force.
pub const CONFIGURATION: &str = "configuration";

/// Problems named in one line; the rest is counted.
const SHOWN: usize = 3;

/// Errors that are kept of a rejected configuration.
const MOST: usize = 50;

/// A problem as the operators' API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownProblem {
    /// `error` or `warning`.
    pub severity: String,
    /// Its stable name.
    pub code: String,
    /// `file:line:column`.
    pub place: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl ShownProblem {
    /// As shown with the files it stands in.
    pub fn of(problem: &Problem, sources: &SourceMap) -> Self {
        Self {
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            }
            .to_owned(),
            code: problem.code.to_owned(),
            place: problem.place(sources),
            message: problem.message.clone(),
            help: problem.help.clone(),
        }
    }

    /// Whether it keeps a configuration out of force.
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl std::fmt::Display for ShownProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// The first errors in one line.
pub fn first_errors(problems: &[ShownProblem]) -> String {
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.is_error())
        .map(ToString::to_string)
        .collect();
    let mut text = errors
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("; ");
    if errors.len() > SHOWN {
        text = format!("{text}; and {} more", errors.len() - SHOWN);
    }
    text
}

/// Files that were read and are not in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Since when the files have had errors.
    pub since: Timestamp,
    /// When they were last read.
    pub at: Timestamp,
    /// How many errors they have.
    pub errors: usize,
    /// The errors, the first of them where they are very many.
    pub problems: Vec<ShownProblem>,
}

/// How a listing names the standing of what it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// The files have errors: what is listed is what was in force before.
    Rejected,
    /// The daemon was started on the last good configuration: no host can be armed.
    LastGood,
}

/// Whether the configuration in force can be read from `state_dir/last-good`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// This daemon keeps none.
    #[default]
    No,
    /// It is being written.
    Soon,
    /// That of this generation can.
    Generation(u64),
    /// It could not be written: why.
    Failed(String),
}

/// The standing; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rejected: Option<Arc<Rejected>>,
    kept: Kept,
}

impl Standing {
    /// The files have errors.
    pub fn reject(&self, now: Timestamp, problems: &[ShownProblem]) {
        let errors = || problems.iter().filter(|problem| problem.is_error());
        let mut inner = self.lock();
        let since = inner.rejected.as_ref().map_or(now, |before| before.since);
        inner.rejected = Some(Arc::new(Rejected {
            since,
            at: now,
            errors: errors().count(),
            problems: errors().take(MOST).cloned().collect(),
        }));
    }

    /// The files are what is in force.
    pub fn accept(&self) {
        self.lock().rejected = None;
    }

    /// The files' errors; `None`: they are what is in force.
    pub fn rejected(&self) -> Option<Arc<Rejected>> {
        self.lock().rejected.clone()
    }

    /// What is kept of what is in force.
    pub fn kept(&self) -> Kept {
        self.lock().kept.clone()
    }

    /// Puts down that the configuration of this generation is kept, or why not; no more is said of one that others
    /// have followed.
    pub fn kept_is(&self, generation: u64, failed: Option<&str>) {
        let mut inner = self.lock();
        if matches!(inner.kept, Kept::Generation(kept) if kept > generation) {
            return;
        }
        inner.kept = match failed {
            None => Kept::Generation(generation),
            Some(why) => Kept::Failed(why.to_owned()),
        };
    }

    /// Puts down what is kept.
    pub fn keeps(&self, kept: Kept) {
        self.lock().kept = kept;
    }

    /// How a listing names it; `None`: all is well.
    pub fn stands(&self, in_force: &Snapshot) -> Option<Stands> {
        match (in_force.last_good, self.lock().rejected.is_some()) {
            (Some(_), _) => Some(Stands::LastGood),
            (None, true) => Some(Stands::Rejected),
            (None, false) => None,
        }
    }

    /// What stands above a listing: one sentence or two. `None`: all is well.
    pub fn sentence(&self, in_force: &Snapshot) -> Option<String> {
        let rejected = self.rejected();
        let why = match &rejected {
            Some(rejected) => format!(
                "the files have {} since {}: {}",
                counted(rejected.errors, "error"),
                rejected.since,
                first_errors(&rejected.problems)
            ),
            None => "its files had errors".to_owned(),
        };
        match (in_force.last_good, rejected) {
            (Some(kept_at), _) => Some(format!(
                "the daemon was started on the last good configuration, of {kept_at}, and arms no host: {why}. {REMEDY}"
            )),
            (None, Some(_)) => Some(format!(
                "configuration {} stays in force: {why}. {REMEDY}",
                in_force.generation
            )),
            (None, None) => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about files with errors.
pub const REMEDY: &str =
    "`bootwright check` shows every mistake; the next save of good files is taken up by itself";

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(severity: &str, message: &str) -> ShownProblem {
        ShownProblem {
            severity: severity.to_owned(),
            code: "x".to_owned(),
            place: None,
            message: message.to_owned(),
            help: None,
        }
    }

    #[test]
    fn a_rejection_lasts_until_the_files_are_in_force() {
        let standing = Standing::default();
        let snapshot = Snapshot::default();
        assert_eq!(standing.sentence(&snapshot), None);
        let at = Timestamp::from_secs;
        standing.reject(at(60), &[problem("warning", "w"), problem("error", "one")]);
        standing.reject(
            at(90),
            &[problem("error", "two"), problem("error", "three")],
        );
        let rejected = standing.rejected().unwrap();
        assert_eq!((rejected.since, rejected.at), (at(60), at(90)));
        assert_eq!((rejected.errors, rejected.problems.len()), (2, 2));
        assert_eq!(standing.stands(&snapshot), Some(Stands::Rejected));
        let said = standing.sentence(&snapshot).unwrap();
        assert!(
            said.contains("2 errors") && said.contains("two; three"),
            "{said}"
        );
        let mut old = Snapshot::default();
        old.last_good = Some(at(5));
        assert_eq!(standing.stands(&old), Some(Stands::LastGood));
        assert!(standing.sentence(&old).unwrap().contains("arms no host"));
        standing.accept();
        assert_eq!(standing.stands(&snapshot), None);
    }
}
