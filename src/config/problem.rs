//! What is wrong with a configuration: where, what, and how to mend it.

use serde::Serialize;

use super::source::{SourceMap, Span};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration does not take effect.
    Error,
    /// It takes effect, but something will not work; an error with `check --strict`.
    Warning,
}

/// A place that belongs to a problem, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// A few words beside the underlined text; may be empty.
    pub text: String,
}

/// One problem. The first label is the place of the problem itself, further ones point to what it
/// clashes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable name such as `unknown-key`, for `--format json` and the manual.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: one lower-case sentence without a full stop.
    pub message: String,
    /// Where; empty only when there is no file to point to.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, message)
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds the remedy.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `file:line:column`, when the problem has a place.
    pub fn place(&self, sources: &SourceMap) -> Option<String> {
        let span = self.labels.first()?.span;
        let (line, column) = sources.line_column(span)?;
        let path = &sources.get(span.source)?.path;
        Some(format!("{}:{line}:{column}", path.display()))
    }
}
