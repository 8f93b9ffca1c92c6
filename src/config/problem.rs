//! What is wrong with a configuration: where, what, and how to mend it.

use serde::Serialize;

use super::source::{SourceMap, Span};

/// A text as TOML has it.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// All warnings by their codes, each with what it is about: those that `[check] allow` can silence.
pub const WARNINGS: &[(&str, &str)] = &[
    (
        "answer-doubtful",
        "an answer file that its installer may not understand",
    ),
    (
        "boot-file-hidden",
        "a boot file that something else stands before",
    ),
    ("boot-file-missing", "a boot file that is not there"),
    (
        "boot-file-partial",
        "a boot file that is there only in part",
    ),
    ("empty-folder", "a folder of reservations without files"),
    ("group-without-hosts", "a group that no host is in"),
    (
        "inherits-nothing",
        "a list that stands for an inherited one where nothing is inherited",
    ),
    (
        "init-environment",
        "arguments of the kernel that become variables of its first program",
    ),
    (
        "loader-unable",
        "something that the boot loader of a host cannot do",
    ),
    (
        "local-boot-uefi",
        "a way to the disk that UEFI does not know",
    ),
    (
        "mac-locally-administered",
        "a MAC address that no manufacturer gave",
    ),
    (
        "mac-one-digit-apart",
        "two MAC addresses of which one is probably mistyped",
    ),
    ("misplaced-key", "a key of a host below its variables"),
    (
        "no-password-hash",
        "a password in clear where a hash belongs",
    ),
    (
        "no-pool",
        "machines without a reservation are to get an address, and there is no pool",
    ),
    ("no-program", "a hook's program that is not there"),
    ("no-secret", "a hook's secret that is not there"),
    (
        "no-such-snippet",
        "a description of a snippet that is not there",
    ),
    (
        "nobody-gets-in",
        "an installed machine that nobody can log in to",
    ),
    ("not-read", "a file that is no profile"),
    ("not-signed", "events that are posted without a signature"),
    ("read-once", "a file of reservations that is named twice"),
    ("secret-missing", "a secret that is not there"),
    (
        "secure-boot-architecture",
        "Secure Boot on an architecture without it",
    ),
    (
        "secure-boot-discovery",
        "Secure Boot where unknown machines are discovered",
    ),
    (
        "secure-boot-loader",
        "a boot loader that Secure Boot will refuse",
    ),
    ("server-outside", "a server's address outside of its subnet"),
    ("unread-variable", "a variable that no template reads"),
    (
        "unsigned-boot-file",
        "a boot file without the signature that Secure Boot asks for",
    ),
    (
        "unused-snippets",
        "snippets of a host whose profile runs none",
    ),
    ("unused-template", "a template or snippet that nothing uses"),
    (
        "unused-unknown",
        "a setting for unknown machines that has no effect",
    ),
];

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

/// A change that puts a problem right, as an editor can make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// What is replaced.
    pub span: Span,
    /// By what.
    pub replacement: String,
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
    /// The same for editors, where a program can do it.
    pub suggestion: Option<Suggestion>,
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
            suggestion: None,
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

    /// Adds a change that puts it right.
    #[must_use]
    pub fn suggest(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.suggestion = Some(Suggestion {
            span,
            replacement: replacement.into(),
        });
        self
    }

    /// Adds the name that was probably meant in place of the text at `span`.
    #[must_use]
    pub(crate) fn suggest_text(self, span: Span, meant: Option<&str>) -> Self {
        match meant {
            Some(meant) => self.suggest(span, quoted(meant)),
            None => self,
        }
    }

    /// Takes out the warnings that the configuration allows (`[check] allow`); errors stay.
    pub(crate) fn silence(problems: &mut Vec<Self>, allowed: &[&'static str]) {
        if !allowed.is_empty() {
            problems.retain(|problem| {
                problem.severity == Severity::Error || !allowed.contains(&problem.code)
            });
        }
    }

    /// `file:line:column`, when the problem has a place.
    pub fn place(&self, sources: &SourceMap) -> Option<String> {
        let span = self.labels.first()?.span;
        let (line, column) = sources.line_column(span)?;
        let path = &sources.get(span.source)?.path;
        Some(format!("{}:{line}:{column}", path.display()))
    }
}
