//! Declarations of variables as written: `templates/…/variables.toml`, one table for each variable, and
//! `templates/snippets/NAME.toml`, which says what a snippet is and needs.

use toml::de::DeTable;

use super::Written;
use super::profile::FAMILIES;
use crate::config::problem::Problem;
use crate::config::source::Span;
use crate::config::table::{Choice, Context, Keys, Reader, in_order};
use crate::config::values::{self, Bad};
use crate::config::variables::{Declarations, Declared, Misfit, VarKind};
use crate::config::vars;

/// One file of declarations.
#[derive(Debug, Default)]
pub(crate) struct DeclarationsFile {
    pub variables: Declarations,
    /// Whether everything in it could be read.
    pub ok: bool,
}

/// What stands beside a snippet.
#[derive(Debug)]
pub(crate) struct SnippetFile {
    pub title: Option<Written<String>>,
    pub families: Option<Vec<&'static str>>,
    pub variables: Declarations,
    pub ok: bool,
}

pub(crate) const DECLARATION: Keys = Keys {
    known: &["type", "default", "required", "one_of", "help"],
    later: &[],
    hints: &[
        ("kind", "did you mean `type`?"),
        ("choices", "did you mean `one_of`?"),
        ("description", "did you mean `help`?"),
    ],
};

pub(crate) const SNIPPET: Keys = Keys {
    known: &["title", "families", "variables"],
    later: &[],
    hints: &[
        ("family", "did you mean `families`?"),
        ("vars", "did you mean [variables.NAME]?"),
    ],
};

impl DeclarationsFile {
    /// Reads the file and reports what is wrong with each declaration.
    pub(crate) fn read(cx: &mut Context<'_>, document: &DeTable<'_>) -> Self {
        let mut file = Self {
            variables: Declarations::new(),
            ok: cx.broken.is_empty(),
        };
        for (key, value) in in_order(document) {
            let name: &str = key.get_ref();
            let span = cx.span(key.span());
            let toml::de::DeValue::Table(table) = value.get_ref() else {
                cx.problems.push(
                    Problem::error(
                        "wrong-type",
                        format!("`{name}` is no table, and a file of variables has one for each"),
                    )
                    .at(span, "belongs to no variable")
                    .help("write [NAME] with its `type` and `help`"),
                );
                file.ok = false;
                continue;
            };
            match one(cx, name, span, table) {
                Some(declared) => {
                    file.variables.insert(name.to_owned(), declared);
                }
                None => file.ok = false,
            }
        }
        file
    }
}

impl SnippetFile {
    /// Reads the file and reports what is wrong with each key.
    pub(crate) fn read(cx: &mut Context<'_>, name: &str, document: &DeTable<'_>) -> Self {
        let span = cx.span(0..0);
        let mut reader = Reader::open(cx, document, format!("snippet {name}"), span, &SNIPPET);
        let title = reader.parsed(cx, "title", values::line);
        let families = reader.list(cx, "families", true, |text| {
            let known = FAMILIES.iter().find(|family| **family == text);
            known.copied().ok_or_else(|| {
                let bad = Bad::new(
                    "bad-value",
                    format!("`{text}` is no family of operating systems"),
                    "unknown family",
                );
                bad.help(format!("the families are {}", FAMILIES.join(", ")))
            })
        });
        let mut variables = Declarations::new();
        for (name, span, table) in reader.named(cx, "variables") {
            match one(cx, name, span, table) {
                Some(declared) => {
                    variables.insert(name.to_owned(), declared);
                }
                None => reader.ok = false,
            }
        }
        Self {
            title,
            families: families
                .map(|list| list.value.into_iter().map(|family| family.value).collect()),
            variables,
            ok: reader.ok && cx.broken.is_empty(),
        }
    }
}

fn one(cx: &mut Context<'_>, name: &str, span: Span, table: &DeTable<'_>) -> Option<Declared> {
    let title = format!("the variable [{name}]");
    let mut reader = Reader::open(cx, table, title, span, &DECLARATION);
    let sure = reader.ok;
    if !name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        let bad = Bad::new(
            "bad-name",
            format!("`{name}` is no name that templates can write"),
            "as a name of a variable",
        );
        reader.bad(
            cx,
            span,
            bad.help("use small letters, digits and `_`, such as `mirror_host`"),
        );
    }
    let kind = reader.choice(
        cx,
        "type",
        &VarKind::ALL.map(|(word, kind)| (word, Choice::Is(kind))),
    );
    if sure && !reader.has("type") {
        reader.missing(cx, "type", "write such as `type = \"text\"`");
    }
    let required = reader.flag(cx, "required").is_some_and(|flag| flag.value);
    let help = reader.parsed(cx, "help", values::line);
    let mut value = |cx: &mut Context<'_>, key: &str| {
        let value = reader.value(key)?;
        let place = cx.span(value.span());
        Some((vars::whole(cx, &mut reader, value)?, place))
    };
    let default = value(cx, "default");
    let one_of = value(cx, "one_of");
    let one_of = match one_of {
        Some((toml::Value::Array(list), _)) => list,
        Some((_, place)) => {
            let bad = Bad::new("wrong-type", "`one_of` must be a list", "this is none");
            reader.bad(cx, place, bad);
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut declared = Declared {
        kind: kind?.value,
        default: None,
        required,
        one_of,
        help: help.map(|help| help.value),
        span: Some(span),
    };
    if let Some((default, place)) = default {
        if required {
            let bad = Bad::new(
                "required-with-default",
                format!("`{name}` is required and has a default"),
                "is never used",
            );
            reader.bad(cx, place, bad.help("keep one of the two"));
        }
        if let Err(misfit) = declared.fits(&default) {
            let Misfit {
                code,
                wanted,
                label,
                help,
            } = misfit;
            let mut bad = Bad::new(code, format!("`{name}` must be {wanted}"), label);
            bad.help = help;
            reader.bad(cx, place, bad);
        }
        declared.default = Some(default);
    }
    reader.ok.then_some(declared)
}
