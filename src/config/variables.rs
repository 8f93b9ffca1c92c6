//! Variables as profiles and snippets declare them, and what templates see of those that are given.
//!
//! The layers, farthest first: what declarations have as `default`, the `vars` of the profile, those of
//! `[defaults]`, of groups from the outermost one on, of the host. Tables merge key by key, lists replace, and
//! an element `"..."` of a list stands for the farther one.
//!
//! **Invariant:** in [`effective`] a declared variable has its declared type, whatever is written: a single
//! text where a list is declared is a list of one, a size is a number of MiB.

use std::collections::BTreeMap;
use std::fmt;

use super::fetch::Values;
use super::snapshot::{Host, Profile, Snapshot};
use super::source::Span;
use super::table::list_words;
use super::values;
use super::vars::INHERITED;
use crate::base::suggest;

/// The variables that a profile or a snippet knows, by name.
pub type Declarations = BTreeMap<String, Declared>;

/// One variable as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What its value is.
    pub kind: VarKind,
    /// Its value where nobody gives one.
    pub default: Option<toml::Value>,
    /// Whether somebody has to give one.
    pub required: bool,
    /// The only values it may have; of a list: its elements. Empty: any.
    pub one_of: Vec<toml::Value>,
    /// What it is for, in one sentence.
    pub help: Option<String>,
    /// Where it is declared.
    pub span: Option<Span>,
}

/// The type of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarKind {
    /// A text.
    Text,
    /// True or false.
    Bool,
    /// A whole number.
    Integer,
    /// A list; a single text stands for a list of one.
    List,
    /// A table.
    Table,
    /// A size such as "20GiB"; templates see the number of MiB.
    Size,
}

impl VarKind {
    /// All of them, by the words that declarations use.
    pub const ALL: [(&'static str, Self); 6] = [
        ("text", Self::Text),
        ("bool", Self::Bool),
        ("integer", Self::Integer),
        ("list", Self::List),
        ("table", Self::Table),
        ("size", Self::Size),
    ];

    /// As declarations write it.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(word, _)| word)
    }

    /// What people call it.
    const fn in_words(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Bool => "true or false",
            Self::Integer => "a whole number",
            Self::List => "a list",
            Self::Table => "a table",
            Self::Size => "a size such as \"20GiB\"",
        }
    }
}

/// Why a value cannot be that of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) code: &'static str,
    /// What the variable must be: follows "`NAME` must be".
    pub(crate) wanted: String,
    /// What the value is.
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Declared {
    /// Whether a value fits; elements `"..."` of a list do.
    pub(crate) fn fits(&self, value: &toml::Value) -> Result<(), Misfit> {
        use toml::Value as V;
        let wrong_type = |help: Option<String>| {
            Err(Misfit {
                code: "wrong-type",
                wanted: self.kind.in_words().to_owned(),
                label: format!("this is {}", type_name(value)),
                help,
            })
        };
        match (self.kind, value) {
            (VarKind::Bool, V::Boolean(_))
            | (VarKind::Integer, V::Integer(_))
            | (VarKind::Table, V::Table(_))
            | (VarKind::Text, V::String(_))
            | (VarKind::List, V::Array(_) | V::String(_)) => {}
            (VarKind::Size, V::String(text)) => {
                if let Err(bad) = mebibytes(text) {
                    return Err(Misfit {
                        code: "bad-size",
                        wanted: self.kind.in_words().to_owned(),
                        label: bad,
                        help: Some("write such as \"512MiB\" or \"20GiB\"".to_owned()),
                    });
                }
            }
            (VarKind::Text | VarKind::Size, V::Integer(_) | V::Float(_) | V::Boolean(_)) => {
                return wrong_type(Some(format!("put it in quotes: \"{}\"", Shown(value))));
            }
            (VarKind::Text, V::Array(_)) => {
                return wrong_type(Some("write one text, without the brackets".to_owned()));
            }
            (VarKind::Bool, V::String(_)) => {
                return wrong_type(Some("write true or false without quotes".to_owned()));
            }
            (VarKind::Integer, V::String(text)) => {
                let number = text.trim().parse::<i64>().ok();
                let help = number.map(|number| format!("write it without quotes: {number}"));
                return wrong_type(help);
            }
            (VarKind::List, V::Integer(_) | V::Float(_) | V::Boolean(_)) => {
                return wrong_type(Some(format!("put it in brackets: [{}]", Shown(value))));
            }
            _ => return wrong_type(None),
        }
        match value {
            V::Array(elements) => elements
                .iter()
                .filter(|element| element.as_str() != Some(INHERITED))
                .try_for_each(|element| self.allows(element)),
            other => self.allows(other),
        }
    }

    fn allows(&self, value: &toml::Value) -> Result<(), Misfit> {
        if self.one_of.is_empty() || self.one_of.contains(value) {
            return Ok(());
        }
        let words: Vec<String> = self
            .one_of
            .iter()
            .map(|value| Shown(value).to_string())
            .collect();
        let words = || words.iter().map(String::as_str);
        let nearest = value
            .as_str()
            .and_then(|text| suggest::nearest(text, words()));
        Err(Misfit {
            code: "bad-value",
            wanted: list_words(words(), "or"),
            label: "none of these".to_owned(),
            help: nearest.map(|nearest| format!("did you mean \"{nearest}\"?")),
        })
    }

    /// A value that fits, as templates see it.
    fn normal(&self, value: &mut toml::Value) {
        match (self.kind, &mut *value) {
            (VarKind::List, toml::Value::String(_)) => {
                let one = std::mem::replace(value, toml::Value::Boolean(false));
                *value = toml::Value::Array(vec![one]);
            }
            (VarKind::Size, toml::Value::String(text)) => {
                if let Ok(number) = mebibytes(text) {
                    *value = toml::Value::Integer(number);
                }
            }
            _ => {}
        }
    }
}

/// A size in MiB, rounded up: "20GiB" and "20 GB", and "20G" as people write.
fn mebibytes(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    let short = trimmed
        .strip_suffix(['K', 'M', 'G', 'T'])
        .filter(|number| !number.is_empty());
    let bytes = match short {
        Some(_) => values::size(&format!("{trimmed}iB")),
        None => values::size(trimmed),
    };
    let mib = bytes.map_err(|bad| bad.label)?.div_ceil(1 << 20);
    i64::try_from(mib).map_err(|_| "too large".to_owned())
}

/// A value of one line.
struct Shown<'a>(&'a toml::Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            toml::Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}

fn type_name(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a text",
        toml::Value::Integer(_) => "a whole number",
        toml::Value::Float(_) => "a number with a fraction",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

/// Puts the values of a nearer layer over those of a farther one.
pub(crate) fn overlay(farther: &mut toml::Table, nearer: &toml::Table) {
    for (key, value) in nearer {
        overlay_one(farther, key, value);
    }
}

/// Puts one value of a nearer layer over that of a farther one.
fn overlay_one(farther: &mut toml::Table, key: &str, value: &toml::Value) {
    match (farther.get_mut(key), value) {
        (Some(toml::Value::Table(old)), toml::Value::Table(new)) => overlay(old, new),
        (old, toml::Value::Array(new)) if new.iter().any(is_inherited) => {
            let below = match old {
                Some(toml::Value::Array(list)) => list.clone(),
                Some(text @ toml::Value::String(_)) => vec![text.clone()],
                _ => Vec::new(),
            };
            let mut list = Vec::with_capacity(below.len() + new.len());
            for element in new {
                if is_inherited(element) {
                    list.extend(below.iter().cloned());
                } else {
                    list.push(element.clone());
                }
            }
            farther.insert(key.to_owned(), toml::Value::Array(list));
        }
        (None, toml::Value::Table(new)) => {
            let mut table = toml::Table::new();
            overlay(&mut table, new);
            farther.insert(key.to_owned(), toml::Value::Table(table));
        }
        _ => {
            farther.insert(key.to_owned(), value.clone());
        }
    }
}

fn is_inherited(value: &toml::Value) -> bool {
    value.as_str() == Some(INHERITED)
}

/// Something that keeps a host's variables from being those of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The variable.
    pub name: String,
    /// What it has to be: follows "the variable NAME".
    pub wanted: String,
    /// What to do, or what the variable is for.
    pub help: Option<String>,
}

/// What a host lacks of the variables that a profile, which need not be its own, declares, and with
/// `with_snippets` its snippets; and what it gives that does not fit.
pub fn unmet(
    snapshot: &Snapshot,
    host: &Host,
    profile: &Profile,
    with_snippets: bool,
) -> Vec<Unmet> {
    let of_snippets = host
        .snippets
        .iter()
        .filter(|_| with_snippets)
        .filter_map(|name| Some(&snapshot.snippets.get(name)?.variables))
        .flatten()
        .filter(|(name, _)| !profile.variables.contains_key(*name));
    let declared: BTreeMap<&String, &Declared> =
        profile.variables.iter().chain(of_snippets).collect();
    declared
        .into_iter()
        .filter_map(|(name, declared)| {
            let given = host.vars.get(name).or_else(|| profile.vars.get(name));
            let (wanted, help) = match given {
                None if declared.required => ("must be given".to_owned(), None),
                None => return None,
                Some(value) => {
                    let misfit = declared.fits(value).err()?;
                    let wanted = format!("must be {}: {}", misfit.wanted, misfit.label);
                    (wanted, misfit.help)
                }
            };
            Some(Unmet {
                name: name.clone(),
                wanted,
                help: help.or_else(|| declared.help.clone()),
            })
        })
        .collect()
}

/// The variables of a host under a profile, its own or another one that it is armed with, as templates see
/// them.
pub fn effective(snapshot: &Snapshot, host: &Host, profile: &Profile) -> toml::Table {
    effective_of(snapshot, host, profile, |_| true)
}

/// Those of them whose names are wanted.
pub fn effective_of(
    snapshot: &Snapshot,
    host: &Host,
    profile: &Profile,
    wants: impl Fn(&str) -> bool,
) -> toml::Table {
    let mut vars = toml::Table::new();
    let of_snippets = host
        .snippets
        .iter()
        .filter_map(|name| Some(&snapshot.snippets.get(name)?.variables));
    let declarations: Vec<&Declarations> = of_snippets.chain([&profile.variables]).collect();
    for (name, declared) in declarations.iter().copied().flatten() {
        if let Some(default) = declared.default.as_ref().filter(|_| wants(name)) {
            vars.insert(name.clone(), default.clone());
        }
    }
    for layer in [&profile.vars, &host.vars] {
        for (name, value) in layer.iter().filter(|(name, _)| wants(name)) {
            overlay_one(&mut vars, name, value);
        }
    }
    for (name, declared) in declarations.iter().copied().flatten() {
        if let Some(value) = vars.get_mut(name) {
            declared.normal(value);
        }
    }
    vars
}

/// Texts for `{{ vars.NAME }}` in the `[fetch]` of a profile: as a host has them, or as the profile alone gives them.
pub fn for_fetching(snapshot: &Snapshot, profile: &Profile, host: Option<&Host>) -> Values {
    let vars = if let Some(host) = host {
        effective(snapshot, host, profile)
    } else {
        let defaults = profile.variables.iter();
        let mut vars: toml::Table = defaults
            .filter_map(|(name, declared)| Some((name.clone(), declared.default.clone()?)))
            .collect();
        overlay(&mut vars, &profile.vars);
        vars
    };
    let texts = vars.into_iter().filter_map(|(name, value)| match value {
        toml::Value::String(text) => Some((name, text)),
        toml::Value::Integer(number) => Some((name, number.to_string())),
        toml::Value::Float(number) => Some((name, fraction(number))),
        _ => None,
    });
    texts.collect()
}

/// A number with a fraction as templates show it, for they have the same paths: 16.0, not 16.
fn fraction(number: f64) -> String {
    let text = number.to_string();
    if number.is_finite() && !text.contains('.') {
        return format!("{text}.0");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(kind: VarKind, one_of: &[&str]) -> Declared {
        Declared {
            kind,
            default: None,
            required: false,
            one_of: one_of.iter().map(|word| (*word).into()).collect(),
            help: None,
            span: None,
        }
    }

    fn value(text: &str) -> toml::Value {
        let table: toml::Table = format!("x = {text}").parse().unwrap();
        table["x"].clone()
    }

    #[test]
    fn values_fit_their_types() {
        let good = [
            (VarKind::Text, "'x'"),
            (VarKind::Bool, "true"),
            (VarKind::Integer, "3"),
            (VarKind::List, "[1, 'x']"),
            (VarKind::List, "'x'"),
            (VarKind::Table, "{ a = 1 }"),
            (VarKind::Size, "'20GiB'"),
            (VarKind::Size, "'20G'"),
        ];
        for (kind, text) in good {
            assert_eq!(declared(kind, &[]).fits(&value(text)), Ok(()), "{text}");
        }
        let bad = [
            (VarKind::Text, "3", "put it in quotes: \"3\""),
            (
                VarKind::Text,
                "['x']",
                "write one text, without the brackets",
            ),
            (VarKind::Bool, "'yes'", "write true or false without quotes"),
            (VarKind::Integer, "'3'", "write it without quotes: 3"),
            (VarKind::List, "3", "put it in brackets: [3]"),
            (VarKind::Size, "20", "put it in quotes: \"20\""),
            (
                VarKind::Size,
                "'20'",
                "write such as \"512MiB\" or \"20GiB\"",
            ),
        ];
        for (kind, text, help) in bad {
            let misfit = declared(kind, &[]).fits(&value(text)).unwrap_err();
            assert_eq!(misfit.help.as_deref(), Some(help), "{text}");
        }
        assert!(declared(VarKind::Table, &[]).fits(&value("'x'")).is_err());
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let layout = declared(VarKind::Text, &["plain", "lvm", "raid1"]);
        assert_eq!(layout.fits(&value("'lvm'")), Ok(()));
        let misfit = layout.fits(&value("'raid'")).unwrap_err();
        assert_eq!(misfit.wanted, "`plain`, `lvm` or `raid1`");
        assert_eq!(misfit.help.as_deref(), Some("did you mean \"raid1\"?"));
        let list = declared(VarKind::List, &["a", "b"]);
        assert_eq!(list.fits(&value("['...', 'b']")), Ok(()));
        assert!(list.fits(&value("['a', 'c']")).is_err());
    }

    #[test]
    fn sizes_are_whole_mebibytes() {
        assert_eq!(mebibytes("20GiB"), Ok(20_480));
        assert_eq!(mebibytes("20G"), Ok(20_480));
        assert_eq!(mebibytes("1 MB"), Ok(1));
        assert!(mebibytes("G").is_err());
    }

    #[test]
    fn the_nearer_layer_wins_and_dots_stand_for_the_farther_list() {
        let mut vars: toml::Table = "a = 1\nl = ['x']\nt = 'one'\n[s]\nb = 1\nc = 2\n"
            .parse()
            .unwrap();
        let nearer: toml::Table =
            "a = 2\nl = ['...', 'y']\nt = ['...', 'two']\nn = ['...']\n[s]\nc = 3\nd = ['...', 4]\n"
                .parse()
                .unwrap();
        overlay(&mut vars, &nearer);
        let wanted: toml::Table =
            "a = 2\nl = ['x', 'y']\nt = ['one', 'two']\nn = []\n[s]\nb = 1\nc = 3\nd = [4]\n"
                .parse()
                .unwrap();
        assert_eq!(vars, wanted);
    }
}
