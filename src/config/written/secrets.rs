//! The file of secrets as written: `name = "value"` or `[name]` with `value` and `once` for all hosts,
//! the same below `[hosts.NAME]` for one.
//!
//! **Invariant:** no problem of this file holds anything of it but the names of hosts, secrets and keys,
//! and nothing at all where its syntax is broken: what looks like a key there may be half a password. It is
//! read here rather than by `table::Reader`, whose problems quote what was written.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Written;
use crate::base::{HostName, suggest};
use crate::config::problem::Problem;
use crate::config::secrets::{Secret, is_name};
use crate::config::source::{SourceId, SourceMap, Span};
use crate::config::table::{in_order, type_name};
use crate::config::values;

/// What one secret's table may have.
pub(crate) const KEYS: [&str; 2] = ["value", "once"];

/// How many syntax errors are shown.
const MOST_ERRORS: usize = 20;

const HOW: &str = "a secret is written `name = \"value\"`, or as a table [name] with `value = \"…\"` and `once = true`";

/// The file.
#[derive(Debug, Default)]
pub(crate) struct SecretsFile {
    /// The secrets.
    pub entries: Vec<SecretEntry>,
    /// The hosts that have secrets of their own.
    pub hosts: Vec<Written<HostName>>,
    /// Something in it could not be read: what seems to be missing may be there.
    pub unsure: bool,
}

/// One secret.
#[derive(Debug)]
pub(crate) struct SecretEntry {
    /// Whose it is; `None`: of all hosts.
    pub host: Option<HostName>,
    pub name: String,
    pub secret: Secret,
}

impl SecretsFile {
    /// A file that could not be read.
    pub(crate) fn unreadable() -> Self {
        Self {
            unsure: true,
            ..Self::default()
        }
    }

    /// Reads the text and reports what is wrong with it. `sources` is given only what may be shown of it.
    pub(crate) fn read(
        path: &Path,
        text: &str,
        sources: &mut SourceMap,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let (document, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let source = sources.add_secret(path, text, &[]);
            let faults = errors
                .iter()
                .map(|error| (error.span().map_or(0, |span| span.start), error.message()));
            syntax(source, text, faults, problems);
            return Self::unreadable();
        }
        let document = document.get_ref();
        let mut visible = Vec::new();
        names(document, text, &mut visible);
        let mut reading = Reading {
            source: sources.add_secret(path, text, &visible),
            file: Self::default(),
            problems,
        };
        for (name, value) in in_order(document) {
            if name.get_ref() == "hosts" {
                reading.hosts(name, value);
            } else {
                reading.secret(None, name, value);
            }
        }
        reading.file
    }
}

/// Reports syntax errors by their lines, at most one a line, in words that quote nothing.
fn syntax<'e>(
    source: SourceId,
    text: &str,
    faults: impl Iterator<Item = (usize, &'e str)>,
    problems: &mut Vec<Problem>,
) {
    let mut lines: Vec<usize> = Vec::new();
    for (at, message) in faults {
        let before = text.get(..at.min(text.len())).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        if lines.contains(&start) || lines.len() == MOST_ERRORS {
            continue;
        }
        lines.push(start);
        let (code, message) = match message.split(',').next().unwrap_or_default() {
            "duplicate key" => ("written-twice", "a name is written twice"),
            "key with no value" => ("syntax", "a key has no value"),
            "string values must be quoted" => ("syntax", "a value must stand in quotes"),
            "invalid basic string"
            | "invalid literal string"
            | "invalid multi-line basic string"
            | "invalid multi-line literal string" => ("syntax", "a text is not closed"),
            "missing escaped value" | "invalid escape sequence" => {
                ("syntax", "a backslash in a text begins an escape")
            }
            "unclosed table" | "unclosed array table" => ("syntax", "this is no table header"),
            _ => ("syntax", "this is no TOML"),
        };
        let place = Span::new(source, start..start);
        problems.push(
            Problem::error(code, format!("{message} in the file of secrets"))
                .at(place, "in this line, which is not shown")
                .help(format!(
                    "{HOW}; a value with backslashes or quotes stands best in 'single quotes'"
                )),
        );
    }
}

/// Where the names of hosts, secrets and keys stand, with the brackets and dots around them.
fn names(table: &DeTable<'_>, text: &str, found: &mut Vec<Range<usize>>) {
    for (key, value) in in_order(table) {
        if is_name(key.get_ref()) {
            let key = key.span();
            // Nothing of a value can stand next to a key: an `=` is between them.
            let around = |c: char| matches!(c, '[' | ']' | '.');
            let before = text.get(..key.start).unwrap_or_default();
            let after = text.get(key.end..).unwrap_or_default();
            let before = before.trim_end_matches(around);
            // Of a header that is written several times the parser tells one place only.
            let before = before.strip_suffix("[hosts").unwrap_or(before);
            let start = before.len();
            let end = text.len() - after.trim_start_matches(around).len();
            found.push(start..end);
        }
        if let DeValue::Table(inner) = value.get_ref() {
            names(inner, text, found);
        }
    }
}

struct Reading<'p> {
    source: SourceId,
    file: SecretsFile,
    problems: &'p mut Vec<Problem>,
}

impl Reading<'_> {
    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range)
    }

    /// Reports at a key: values are not even pointed to.
    fn report(
        &mut self,
        code: &'static str,
        message: String,
        key: &Spanned<DeString<'_>>,
        label: &str,
        help: impl Into<String>,
    ) {
        self.file.unsure = true;
        let span = self.span(key.span());
        let problem = Problem::error(code, message).at(span, label).help(help);
        self.problems.push(problem);
    }

    fn hosts(&mut self, key: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(hosts) = value.get_ref() else {
            self.report(
                "wrong-type",
                "`hosts` in the file of secrets must be a table".to_owned(),
                key,
                &format!("this is {}", type_name(value.get_ref())),
                "secrets of one host stand below [hosts.NAME]; no secret can be called `hosts`",
            );
            return;
        };
        for (key, value) in in_order(hosts) {
            let name = match values::name::<HostName>("a host", key.get_ref()) {
                Ok(name) => name,
                Err(bad) => {
                    let help = bad.help.unwrap_or_default();
                    self.report(bad.code, bad.message, key, &bad.label, help);
                    continue;
                }
            };
            let DeValue::Table(secrets) = value.get_ref() else {
                self.report(
                    "wrong-type",
                    format!("`hosts.{name}` in the file of secrets must be a table"),
                    key,
                    &format!("this is {}", type_name(value.get_ref())),
                    format!("secrets of this host stand below [hosts.{name}]"),
                );
                continue;
            };
            if self.file.hosts.iter().any(|other| other.value == name) {
                self.report(
                    "written-twice",
                    format!("host `{name}` stands twice in the file of secrets"),
                    key,
                    "the second time",
                    "put its secrets below one header",
                );
                continue;
            }
            let span = self.span(key.span());
            self.file.hosts.push(Written {
                value: name.clone(),
                span,
            });
            for (key, value) in in_order(secrets) {
                self.secret(Some(&name), key, value);
            }
        }
    }

    fn secret(
        &mut self,
        host: Option<&HostName>,
        key: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let name = key.get_ref();
        if !is_name(name) {
            self.report(
                "bad-name",
                "this is no name of a secret".to_owned(),
                key,
                "not shown: it may be a secret itself",
                "use letters, digits, `-`, `_` and `.`, at most 64 of them",
            );
            return;
        }
        let secret = match value.get_ref() {
            DeValue::String(text) => self.value(name, key, text, false),
            DeValue::Table(table) => self.table(name, key, table),
            other => {
                self.report(
                    "wrong-type",
                    format!("the secret `{name}` must be a text"),
                    key,
                    &format!("this is {}", type_name(other)),
                    "put its value in quotes",
                );
                None
            }
        };
        if let Some(secret) = secret {
            self.file.entries.push(SecretEntry {
                host: host.cloned(),
                name: name.to_string(),
                secret,
            });
        }
    }

    fn table(
        &mut self,
        name: &str,
        header: &Spanned<DeString<'_>>,
        table: &DeTable<'_>,
    ) -> Option<Secret> {
        let mut once = Some(false);
        let mut value = None;
        for (key, inner) in in_order(table) {
            match (key.get_ref().as_ref(), inner.get_ref()) {
                ("value", DeValue::String(text)) => value = Some((key, text)),
                ("once", DeValue::Boolean(flag)) => once = Some(*flag),
                ("value", other) => {
                    self.report(
                        "wrong-type",
                        format!("`value` of the secret `{name}` must be a text"),
                        key,
                        &format!("this is {}", type_name(other)),
                        "put it in quotes",
                    );
                    return None;
                }
                ("once", other) => {
                    self.report(
                        "wrong-type",
                        format!("`once` of the secret `{name}` must be true or false"),
                        key,
                        &format!("this is {}", type_name(other)),
                        "write true or false without quotes",
                    );
                    once = None;
                }
                (other, _) if is_name(other) => {
                    let help = match suggest::nearest(other, KEYS) {
                        Some(nearest) => format!("did you mean `{nearest}`?"),
                        None => format!(
                            "its keys are `value` and `once`; a name with a dot in it stands in quotes, \"{name}.{other}\", and the secrets of one host stand below [hosts.NAME]"
                        ),
                    };
                    let message = format!("unknown key `{other}` of the secret `{name}`");
                    self.report("unknown-key", message, key, "not known here", help);
                    once = None;
                }
                _ => {
                    let message = format!("unknown key of the secret `{name}`");
                    let help = "its keys are `value` and `once`";
                    self.report("unknown-key", message, key, "not known here", help);
                    once = None;
                }
            }
        }
        match (value, once) {
            (Some((key, text)), Some(once)) => self.value(name, key, text, once),
            (None, Some(_)) => {
                self.report(
                    "missing-key",
                    format!("the secret `{name}` has no `value`"),
                    header,
                    "has no `value`",
                    HOW,
                );
                None
            }
            (_, None) => None,
        }
    }

    fn value(
        &mut self,
        name: &str,
        key: &Spanned<DeString<'_>>,
        text: &str,
        once: bool,
    ) -> Option<Secret> {
        if text.trim().is_empty() {
            self.report(
                "empty-secret",
                format!("the secret `{name}` is empty"),
                key,
                "has no value",
                "give it a value, or take it out: an empty password would let anybody in",
            );
            return None;
        }
        Some(Secret::new(text, once))
    }
}
