//! Reads one TOML table key by key.
//!
//! Each key is read by itself and reports its own problem, so that one bad value hides neither the
//! next key nor the next table. (A derived deserializer would stop at the first.) Keys that the
//! table does not have are reported when it is opened, with the nearest one that it has.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, quoted};
use super::source::{SourceId, Span};
use super::values::Bad;
use super::written::Written;
use crate::base::suggest;

/// A file that is being read.
pub(crate) struct Context<'p> {
    /// The file.
    pub source: SourceId,
    /// Its text, or the part of it that is being read.
    pub text: &'p str,
    /// Where that part begins in the file.
    pub base: usize,
    /// Its parts with syntax errors.
    pub broken: Vec<Range<usize>>,
    /// Where its problems go.
    pub problems: &'p mut Vec<Problem>,
}

impl Context<'_> {
    /// A run of bytes as a place in this file.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, self.base + range.start..self.base + range.end)
    }

    /// Whether all tables of this name could be read: each part with a syntax error has the whole header
    /// of another table.
    pub(crate) fn is_sure_of(&self, table: &str) -> bool {
        self.broken.iter().all(|range| {
            let region = self.text.get(range.start..).unwrap_or_default();
            let line = region.lines().next().unwrap_or_default().trim_start();
            let header = line.split('#').next().unwrap_or_default().trim_end();
            let Some(name) = header
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            else {
                return false;
            };
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let first = name.split('.').next().unwrap_or_default().trim();
            !name.contains(['[', ']', '=', ',']) && first != table
        })
    }

    fn is_broken(&self, span: Span) -> bool {
        self.broken
            .iter()
            .any(|range| range.contains(&span.start()))
    }
}

/// The keys of one kind of table.
pub(crate) struct Keys {
    /// Keys that are read.
    pub known: &'static [&'static str],
    /// Keys of the contract that this version does not act on.
    pub later: &'static [&'static str],
    /// What to say of a key that people put here by mistake.
    pub hints: &'static [(&'static str, &'static str)],
}

/// What a word stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Choice<T> {
    /// This value.
    Is(T),
    /// A value of the contract that this version does not act on.
    Later,
}

/// The words that everything of the contract gets that this version does not act on.
pub(crate) const NOT_AVAILABLE: &str = "not available in this version";

/// A problem of something that is in the contract but not in this version.
pub(crate) fn not_available(what: &str, span: Span, help: &str) -> Problem {
    Problem::error("not-available", format!("{what} is {NOT_AVAILABLE}"))
        .at(span, NOT_AVAILABLE)
        .help(help)
}

/// The entries of a table in the order of the file.
pub(crate) fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(
    &'t Spanned<toml::de::DeString<'i>>,
    &'t Spanned<DeValue<'i>>,
)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// One table that is being read.
pub(crate) struct Reader<'t, 'i> {
    table: &'t DeTable<'i>,
    title: String,
    /// Its header, or what stands for it.
    pub header: Span,
    /// Whether everything in it could be read.
    pub ok: bool,
}

impl<'t, 'i> Reader<'t, 'i> {
    /// Opens a table and reports the keys it must not have. `title` is how messages name it.
    pub(crate) fn open(
        cx: &mut Context<'_>,
        table: &'t DeTable<'i>,
        title: impl Into<String>,
        header: Span,
        keys: &Keys,
    ) -> Self {
        let mut reader = Self {
            table,
            title: title.into(),
            header,
            ok: !cx.is_broken(header),
        };
        for (key, _) in in_order(table) {
            let span = cx.span(key.span());
            let name = key.get_ref().as_ref();
            if cx.is_broken(span) {
                reader.ok = false;
            } else if keys.later.contains(&name) {
                let what = format!("`{name}` in {}", reader.title);
                reader.report(cx, not_available(&what, span, "leave it out"));
            } else if !keys.known.contains(&name) {
                let problem = reader.unknown(name, span, keys);
                reader.report(cx, problem);
            }
        }
        reader
    }

    fn unknown(&self, name: &str, span: Span, keys: &Keys) -> Problem {
        let kind = match self.value(name).map(Spanned::get_ref) {
            Some(DeValue::Table(_)) => "table",
            _ => "key",
        };
        let message = format!("unknown {kind} `{name}` in {}", self.title);
        let problem = Problem::error("unknown-key", message);
        let known = keys.known.iter().chain(keys.later).copied();
        let label = format!("unknown {kind}");
        let hint = keys.hints.iter().find(|(key, _)| *key == name);
        // `[hosts.web01.lab.example]`: what TOML takes for a table in a table is meant as one name.
        let of_host = self.title.strip_prefix("[hosts.");
        let near = || suggest::nearest(name, keys.known.iter().chain(keys.later).copied());
        if let Some((_, hint)) = hint {
            problem.at(span, label).help(*hint)
        } else if let (Some(host), "table", None) = (of_host, kind, near()) {
            let host = host.trim_end_matches(']');
            problem.at(span, label).help(format!(
                "a dot in a header divides tables: the host is [hosts.{host}], its whole name is `fqdn = \"{host}.{name}…\"`, and what only templates see belongs into [hosts.{host}.vars]"
            ))
        } else if let Some(nearest) = suggest::nearest(name, known) {
            problem
                .at(span, label)
                .help(format!("did you mean `{nearest}`?"))
                .suggest(span, nearest)
        } else {
            let has = if self.title.starts_with('[') {
                "its keys are"
            } else {
                "it has"
            };
            let all = list_words(keys.known.iter().copied(), "and");
            let vars = if keys.known.contains(&"vars") {
                "; what only templates see belongs into `vars`"
            } else {
                ""
            };
            problem.at(span, label).help(format!("{has} {all}{vars}"))
        }
    }

    /// Reports a problem of this table; problems where the syntax is broken are passed over.
    pub(crate) fn report(&mut self, cx: &mut Context<'_>, problem: Problem) {
        self.ok = false;
        let broken = problem
            .labels
            .first()
            .is_some_and(|label| cx.is_broken(label.span));
        if !broken {
            cx.problems.push(problem);
        }
    }

    /// Whether a key is there, readable or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Where a key stands.
    pub(crate) fn key_span(&self, cx: &Context<'_>, key: &str) -> Option<Span> {
        let (key, _) = self.table.get_key_value(key)?;
        Some(cx.span(key.span()))
    }

    /// The value of a key as it stands.
    pub(crate) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'i>>> {
        self.table.get(key)
    }

    /// Reports that a key must be there.
    pub(crate) fn missing(&mut self, cx: &mut Context<'_>, key: &str, help: impl Into<String>) {
        let problem = Problem::error(
            "missing-key",
            format!("`{key}` is missing in {}", self.title),
        )
        .at(self.header, format!("has no `{key}`"))
        .help(help);
        self.report(cx, problem);
    }

    /// Reports a value that cannot be used.
    pub(crate) fn bad(&mut self, cx: &mut Context<'_>, span: Span, bad: Bad) {
        let mut problem = Problem::error(bad.code, bad.message).at(span, bad.label);
        problem.help = bad.help;
        if let Some(meant) = bad.meant {
            problem = problem.suggest(span, meant);
        }
        self.report(cx, problem);
    }

    /// Reports a value of another type.
    pub(crate) fn wrong_type(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        help: Option<String>,
    ) {
        self.retype(cx, key, value, wanted, help, None);
    }

    /// The same, with what to write in its place where that is certain.
    fn retype(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        help: Option<String>,
        meant: Option<String>,
    ) {
        let mut problem = Problem::error(
            "wrong-type",
            format!("`{key}` in {} must be {wanted}", self.title),
        )
        .at(
            cx.span(value.span()),
            format!("this is {}", type_name(value.get_ref())),
        );
        problem.help = help;
        if let Some(meant) = meant {
            problem = problem.suggest(cx.span(value.span()), meant);
        }
        self.report(cx, problem);
    }

    /// A text.
    pub(crate) fn text(&mut self, cx: &mut Context<'_>, key: &str) -> Option<Written<String>> {
        let value = self.value(key)?;
        self.text_of(cx, key, value)
    }

    fn text_of(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Written<String>> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(Written {
                value: text.to_string(),
                span: cx.span(value.span()),
            });
        }
        let number = match value.get_ref() {
            DeValue::Integer(number) => Some(format!("\"{number}\"")),
            DeValue::Float(number) => Some(format!("\"{}\"", number.as_str())),
            _ => None,
        };
        let help = match (&number, value.get_ref()) {
            (Some(quoted), _) => Some(format!("put it in quotes: {quoted}")),
            (None, DeValue::Array(_)) => Some("write one text, without the brackets".to_owned()),
            (None, _) => None,
        };
        self.retype(cx, key, value, "a text", help, number);
        None
    }

    /// A text that stands for something.
    pub(crate) fn parsed<T>(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<Written<T>> {
        let text = self.text(cx, key)?;
        self.parse_text(cx, &text, parse)
    }

    fn parse_text<T>(
        &mut self,
        cx: &mut Context<'_>,
        text: &Written<String>,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<Written<T>> {
        match parse(&text.value) {
            Ok(value) => Some(Written {
                value,
                span: text.span,
            }),
            Err(bad) => {
                self.bad(cx, text.span, bad);
                None
            }
        }
    }

    /// A list of texts that stand for something; elements that do not are reported and left out.
    /// Where `one` is set, a single text is a list of one.
    pub(crate) fn list<T>(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        one: bool,
        parse: impl Fn(&str) -> Result<T, Bad>,
    ) -> Option<Written<Vec<Written<T>>>> {
        let value = self.value(key)?;
        let span = cx.span(value.span());
        let mut found = Vec::new();
        match value.get_ref() {
            DeValue::Array(elements) => {
                for element in elements {
                    if let Some(text) = self.text_of(cx, key, element)
                        && let Some(parsed) = self.parse_text(cx, &text, &parse)
                    {
                        found.push(parsed);
                    }
                }
            }
            DeValue::String(text) if one => {
                let text = Written {
                    value: text.to_string(),
                    span,
                };
                found.extend(self.parse_text(cx, &text, &parse));
            }
            DeValue::String(text) => {
                let help = format!("put it in brackets: [\"{text}\"]");
                let meant = format!("[{}]", quoted(text));
                self.retype(cx, key, value, "a list of texts", Some(help), Some(meant));
                return None;
            }
            _ => {
                self.wrong_type(cx, key, value, "a list of texts", None);
                return None;
            }
        }
        Some(Written { value: found, span })
    }

    /// A whole number within bounds.
    pub(crate) fn integer(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        bounds: RangeInclusive<i64>,
        help: &str,
    ) -> Option<Written<i64>> {
        let value = self.value(key)?;
        let span = cx.span(value.span());
        let DeValue::Integer(number) = value.get_ref() else {
            let meant = match value.get_ref() {
                DeValue::String(text) => text.trim().parse::<i64>().ok(),
                _ => None,
            }
            .map(|number| number.to_string());
            let help = match &meant {
                Some(number) => format!("write it without quotes: {number}"),
                None => help.to_owned(),
            };
            self.retype(cx, key, value, "a whole number", Some(help), meant);
            return None;
        };
        let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
        if let Some(value) = number.filter(|number| bounds.contains(number)) {
            return Some(Written { value, span });
        }
        let label = format!("must be from {} to {}", bounds.start(), bounds.end());
        let message = format!("`{key}` in {} is out of range", self.title);
        self.bad(
            cx,
            span,
            Bad::new("out-of-range", message, label).help(help),
        );
        None
    }

    /// True or false.
    pub(crate) fn flag(&mut self, cx: &mut Context<'_>, key: &str) -> Option<Written<bool>> {
        let value = self.value(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(Written {
                value: *flag,
                span: cx.span(value.span()),
            });
        }
        let text = match value.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        };
        let help = text.map(|_| "write true or false without quotes".to_owned());
        let meant = text
            .filter(|text| matches!(*text, "true" | "false"))
            .map(str::to_owned);
        self.retype(cx, key, value, "true or false", help, meant);
        None
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
        choices: &[(&'static str, Choice<T>)],
    ) -> Option<Written<T>> {
        let text = self.text(cx, key)?;
        let usable = || {
            choices
                .iter()
                .filter(|(_, choice)| matches!(choice, Choice::Is(_)))
                .map(|(word, _)| *word)
        };
        match choices.iter().find(|(word, _)| *word == text.value) {
            Some((_, Choice::Is(value))) => Some(Written {
                value: *value,
                span: text.span,
            }),
            Some((word, Choice::Later)) => {
                let what = format!("`{key} = \"{word}\"`");
                let help = format!("this version has {}", list_words(usable(), "and"));
                self.report(cx, not_available(&what, text.span, &help));
                None
            }
            None => {
                let message = format!("`{}` is no value of `{key}` in {}", text.value, self.title);
                let nearest = suggest::nearest(&text.value, choices.iter().map(|(word, _)| *word));
                let help = match nearest {
                    Some(nearest) => format!("did you mean \"{nearest}\"?"),
                    None => format!("write {}", list_words(usable(), "or")),
                };
                let mut bad = Bad::new("bad-value", message, "unknown value").help(help);
                if let Some(nearest) = nearest {
                    bad = bad.meant(nearest);
                }
                self.bad(cx, text.span, bad);
                None
            }
        }
    }

    /// A table.
    pub(crate) fn table(&mut self, cx: &mut Context<'_>, key: &str) -> Option<&'t DeTable<'i>> {
        let value = self.value(key)?;
        if let DeValue::Table(table) = value.get_ref() {
            return Some(table);
        }
        let outer = self
            .title
            .strip_prefix('[')
            .and_then(|title| title.strip_suffix(']'));
        let path = outer.map_or_else(|| key.to_owned(), |outer| format!("{outer}.{key}"));
        let help = format!("write it as a table, [{path}]");
        self.wrong_type(cx, key, value, "a table", Some(help));
        None
    }

    /// The tables of a list of tables (`[[key]]`), each with its place.
    pub(crate) fn tables(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
    ) -> Vec<(&'t DeTable<'i>, Span)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let outer = self
            .title
            .strip_prefix('[')
            .and_then(|title| title.strip_suffix(']'));
        let path = outer.map_or_else(|| key.to_owned(), |outer| format!("{outer}.{key}"));
        let double = || Some(format!("write it as [[{path}]], with two brackets"));
        let DeValue::Array(elements) = value.get_ref() else {
            self.wrong_type(cx, key, value, "a list of tables", double());
            return Vec::new();
        };
        let mut found = Vec::new();
        for element in elements {
            if let DeValue::Table(table) = element.get_ref() {
                found.push((table, cx.span(element.span())));
            } else {
                self.wrong_type(cx, key, element, "a table", double());
            }
        }
        found
    }

    /// The tables below this one (`[hosts.NAME]`): name, its place, table; in the order of the file.
    pub(crate) fn named(
        &mut self,
        cx: &mut Context<'_>,
        key: &str,
    ) -> Vec<(&'t str, Span, &'t DeTable<'i>)> {
        if let Some(list) = self
            .value(key)
            .filter(|value| is_list_of_tables(value.get_ref()))
        {
            let help = format!("write each one as [{key}.NAME], in single brackets");
            self.wrong_type(cx, key, list, "tables with names", Some(help));
            return Vec::new();
        }
        let Some(table) = self.table(cx, key) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in in_order(table) {
            let span = cx.span(name.span());
            if let DeValue::Table(inner) = value.get_ref() {
                found.push((name.get_ref().as_ref(), span, inner));
            } else if is_list_of_tables(value.get_ref()) {
                let problem = Problem::error(
                    "wrong-type",
                    format!("`{}` is a list of tables in [{key}]", name.get_ref()),
                )
                .at(span, "in double brackets")
                .help(format!(
                    "write [{key}.{}] in single brackets",
                    name.get_ref()
                ));
                self.report(cx, problem);
            } else {
                let help = format!("write a table [{key}.NAME] with its keys below it");
                let problem = Problem::error(
                    "wrong-type",
                    format!("`{}` stands directly in [{key}]", name.get_ref()),
                )
                .at(span, "belongs to no name")
                .help(help);
                self.report(cx, problem);
            }
        }
        found
    }
}

fn is_list_of_tables(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Array(list)
        if list.iter().any(|element| matches!(element.get_ref(), DeValue::Table(_))))
}

/// What people call a TOML value.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `a`, `b` and `c`.
pub(crate) fn list_words<'a>(words: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}
