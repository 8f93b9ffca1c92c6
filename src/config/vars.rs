//! Variables as written, and how those of a nearer layer cover those of a farther one.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::Span;
use super::table::{Context, Reader, in_order};
use super::values::Bad;

/// What stands for the inherited list in a list.
pub(crate) const INHERITED: &str = "...";

/// The variables of one layer.
pub(crate) type Vars = BTreeMap<String, Var>;

/// One variable and where its value stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Var {
    /// Where the value stands.
    pub span: Span,
    /// The value.
    pub value: VarValue,
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VarValue {
    /// Text, number, truth value; a date as text.
    Plain(toml::Value),
    /// A list; `None` stands for the inherited one.
    List(Vec<Option<toml::Value>>),
    /// A table, merged key by key.
    Table(Vars),
}

/// Reads `vars`; what cannot be read is reported and left out.
pub(crate) fn read(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>) -> Vars {
    match reader.table(cx, "vars") {
        Some(table) => read_table(cx, reader, table),
        None => Vars::new(),
    }
}

fn read_table(cx: &mut Context<'_>, reader: &mut Reader<'_, '_>, table: &DeTable<'_>) -> Vars {
    let mut vars = Vars::new();
    for (key, value) in in_order(table) {
        let span = cx.span(value.span());
        let value = match value.get_ref() {
            DeValue::Table(inner) => Some(VarValue::Table(read_table(cx, reader, inner))),
            DeValue::Array(elements) => {
                let mut list = Vec::with_capacity(elements.len());
                for element in elements {
                    if matches!(element.get_ref(), DeValue::String(text) if text == INHERITED) {
                        list.push(None);
                    } else if let Some(value) =
                        plain(cx, reader, cx.span(element.span()), element.get_ref())
                    {
                        list.push(Some(value));
                    }
                }
                Some(VarValue::List(list))
            }
            other => plain(cx, reader, span, other).map(VarValue::Plain),
        };
        if let Some(value) = value {
            vars.insert(key.get_ref().to_string(), Var { span, value });
        }
    }
    vars
}

/// A value of which no part is inherited, or stands for what is inherited.
pub(crate) fn whole(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
    value: &toml::Spanned<DeValue<'_>>,
) -> Option<toml::Value> {
    let span = cx.span(value.span());
    plain(cx, reader, span, value.get_ref())
}

/// A value of which no part is inherited.
fn plain(
    cx: &mut Context<'_>,
    reader: &mut Reader<'_, '_>,
    span: Span,
    value: &DeValue<'_>,
) -> Option<toml::Value> {
    Some(match value {
        DeValue::String(text) => toml::Value::String(text.to_string()),
        DeValue::Boolean(flag) => toml::Value::Boolean(*flag),
        DeValue::Datetime(date) => toml::Value::String(date.to_string()),
        DeValue::Integer(number) => {
            if let Ok(number) = i64::from_str_radix(number.as_str(), number.radix()) {
                toml::Value::Integer(number)
            } else {
                let bad = Bad::new(
                    "out-of-range",
                    "the number is too large",
                    "more than 63 bits",
                );
                reader.bad(cx, span, bad.help("write it as a text, in quotes"));
                return None;
            }
        }
        DeValue::Float(number) => match number.as_str().replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() => toml::Value::Float(number),
            _ => {
                let bad = Bad::new("out-of-range", "this is no finite number", "");
                reader.bad(cx, span, bad.help("write it as a text, in quotes"));
                return None;
            }
        },
        DeValue::Array(elements) => toml::Value::Array(
            elements
                .iter()
                .filter_map(|element| plain(cx, reader, cx.span(element.span()), element.get_ref()))
                .collect(),
        ),
        DeValue::Table(inner) => toml::Value::Table(
            in_order(inner)
                .into_iter()
                .filter_map(|(key, value)| {
                    let place = cx.span(value.span());
                    Some((
                        key.get_ref().to_string(),
                        plain(cx, reader, place, value.get_ref())?,
                    ))
                })
                .collect(),
        ),
    })
}

/// Puts a nearer layer over a farther one. An element `"..."` that stands for something else than a list is
/// reported; where a farther layer has nothing under the name it is kept, for what the profile gives.
pub(crate) fn merge(inherited: &mut Vars, nearer: &Vars, problems: &mut Vec<Problem>) {
    for (key, var) in nearer {
        let Some(old) = inherited.get_mut(key) else {
            inherited.insert(key.clone(), var.clone());
            continue;
        };
        match (&mut old.value, &var.value) {
            (VarValue::Table(old), VarValue::Table(new)) => merge(old, new, problems),
            (VarValue::List(old_list), VarValue::List(new)) => {
                let mut list = Vec::with_capacity(old_list.len() + new.len());
                for element in new {
                    match element {
                        Some(value) => list.push(Some(value.clone())),
                        None => list.extend(old_list.iter().cloned()),
                    }
                }
                *old = Var {
                    span: var.span,
                    value: VarValue::List(list),
                };
            }
            (_, VarValue::List(new)) if new.contains(&None) => {
                let problem = Problem::error(
                    "inherits-no-list",
                    format!("`\"{INHERITED}\"` in `{key}` stands for the inherited list, but what is inherited is no list"),
                )
                .at(var.span, "inherits")
                .at(old.span, "inherited from here")
                .help(format!("make the inherited `{key}` a list, or leave out \"{INHERITED}\""));
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
                *old = var.clone();
            }
            _ => *old = var.clone(),
        }
    }
}

/// The first `"..."` of a layer over which nothing can be inherited.
pub(crate) fn first_inheriting(vars: &Vars) -> Option<(&str, Span)> {
    vars.iter().find_map(|(key, var)| match &var.value {
        VarValue::List(list) if list.contains(&None) => Some((key.as_str(), var.span)),
        VarValue::Table(inner) => first_inheriting(inner),
        _ => None,
    })
}

/// The merged variables; `"..."` stands for what the profile gives, which is not known here.
pub(crate) fn into_table(vars: &Vars) -> toml::Table {
    vars.iter()
        .map(|(key, var)| (key.clone(), var.value.to_toml()))
        .collect()
}

impl VarValue {
    /// As TOML has it.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::List(list) => toml::Value::Array(
                list.iter()
                    .map(|element| match element {
                        Some(value) => value.clone(),
                        None => toml::Value::String(INHERITED.to_owned()),
                    })
                    .collect(),
            ),
            Self::Table(inner) => toml::Value::Table(into_table(inner)),
        }
    }
}
