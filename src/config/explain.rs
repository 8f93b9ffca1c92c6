//! Which layer gives a host what: for each setting and each variable its value, and where it stands.

use std::collections::BTreeMap;
use std::fmt;

use super::check::Input;
use super::source::{SourceMap, Span};
use super::variables::{Declarations, Declared};
use super::vars::{Var, VarValue, Vars};
use super::written::hosts::Layer as WrittenLayer;
use crate::base::{GroupName, HostName, ProfileName};

/// What stands for a value that is nobody's business.
const HIDDEN: &str = "••••";

/// A host, and where what it has comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The host.
    pub host: HostName,
    /// The profile whose variables are told.
    pub profile: Option<ProfileName>,
    /// Settings in the order of the manual, then variables by name.
    pub given: Vec<Given>,
    /// Variables that the profile or a snippet declares and nobody gives.
    pub not_given: Vec<String>,
}

/// One setting or variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// `profile`, or `vars.disk`; of tables each key by itself: `vars.vlans.storage`.
    pub key: String,
    /// Its value; password hashes are not shown.
    pub value: toml::Value,
    /// Who gives it.
    pub from: Origin,
    /// What it covers or adds to, the nearest first.
    pub over: Vec<Origin>,
}

/// A layer, and the place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The layer.
    pub layer: Layer,
    /// The place.
    pub span: Option<Span>,
}

/// Who may give something, the farthest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// The default of a declaration.
    Declared,
    /// `[vars]` of a profile.
    Profile(ProfileName),
    /// `[defaults]`.
    Defaults,
    /// A group.
    Group(GroupName),
    /// The host.
    Host(HostName),
}

impl Layer {
    /// Its kind in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Profile(_) => "profile",
            Self::Defaults => "defaults",
            Self::Group(_) => "group",
            Self::Host(_) => "host",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared => f.write_str("its default"),
            Self::Profile(name) => write!(f, "profile {name}"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Group(name) => write!(f, "[groups.{name}]"),
            Self::Host(name) => write!(f, "[hosts.{name}]"),
        }
    }
}

/// Tells where everything of a host comes from, under its own profile or another one.
pub(super) fn explain(
    input: &Input,
    sources: &SourceMap,
    host: &HostName,
    profile: Option<&ProfileName>,
) -> Option<Explained> {
    let files = &input.reservations;
    let mut entries = files.iter().flat_map(|file| &file.hosts);
    let entry = entries.find(|entry| entry.name.value == *host)?;
    let mut layers: Vec<(Layer, &WrittenLayer)> =
        vec![(Layer::Host(host.clone()), entry.layer.as_ref())];
    let mut next = entry.group.as_ref();
    while let Some(name) = next {
        let mut groups = files.iter().flat_map(|file| &file.groups);
        let Some(group) = groups.find(|group| group.name.value == name.value) else {
            break;
        };
        let layer = Layer::Group(name.value.clone());
        // A circle, which is told elsewhere.
        if layers.iter().any(|(known, _)| *known == layer) {
            break;
        }
        layers.push((layer, &group.layer));
        next = group.group.as_ref();
    }
    let defaults = files.iter().find_map(|file| file.defaults.as_ref());
    layers.extend(defaults.map(|defaults| (Layer::Defaults, &defaults.value)));
    layers.reverse();

    let mut told = Told::default();
    for (layer, written) in &layers {
        told.settings(layer, written, sources);
    }
    let own = told.profile.clone();
    let profile = profile.cloned().or(own);
    let file = profile
        .as_ref()
        .and_then(|name| input.profiles.iter().find(|file| file.name == *name));
    let of_snippets = told.snippets.iter().filter_map(|name| {
        let file = input.snippets.get(name)?.as_ref()?;
        Some(&file.variables)
    });
    // A later file over an earlier one, as the profile names them.
    let mut of_profile = Declarations::new();
    for name in file.iter().flat_map(|file| &file.variables) {
        if let Some(declared) = input.declarations.get(&name.value) {
            of_profile.extend(declared.variables.clone());
        }
    }
    let declarations: Vec<&Declarations> = of_snippets.chain([&of_profile]).collect();
    let declared = || declarations.iter().copied().flatten();
    for (name, declared) in declared() {
        told.declared_default(name, declared);
    }
    if let (Some(file), Some(name)) = (file, &profile) {
        told.vars("vars", &Layer::Profile(name.clone()), &file.vars);
    }
    for (layer, written) in &layers {
        told.vars("vars", layer, &written.vars);
    }
    let mut not_given: Vec<String> = declared()
        .filter(|(name, _)| !told.has(&format!("vars.{name}")))
        .map(|(name, _)| name.clone())
        .collect();
    not_given.sort();
    not_given.dedup();
    Some(Explained {
        host: host.clone(),
        profile,
        given: told
            .settings
            .into_iter()
            .chain(told.vars.into_values())
            .collect(),
        not_given,
    })
}

#[derive(Default)]
struct Told {
    settings: Vec<Given>,
    vars: BTreeMap<String, Given>,
    profile: Option<ProfileName>,
    snippets: Vec<String>,
}

impl Told {
    /// A layer over the farther ones.
    fn settings(&mut self, layer: &Layer, written: &WrittenLayer, sources: &SourceMap) {
        let as_written = |span: Span| {
            let source = sources.get(span.source)?;
            let text = source.text.get(span.range())?;
            Some(toml::Value::String(text.trim_matches('"').to_owned()))
        };
        let written_spans = [
            (
                "profile",
                written.profile.as_ref().map(|written| written.span),
            ),
            ("arch", written.arch.as_ref().map(|written| written.span)),
            (
                "loader",
                written.loader.as_ref().map(|written| written.span),
            ),
            (
                "local_boot",
                written.local_boot.as_ref().map(|written| written.span),
            ),
            (
                "install",
                written.install.as_ref().map(|written| written.span),
            ),
            (
                "secure_boot",
                written.secure_boot.as_ref().map(|written| written.span),
            ),
        ];
        for (key, span) in written_spans {
            if let Some(span) = span
                && let Some(value) = as_written(span)
            {
                self.set(key, value, layer, span);
            }
        }
        for option in &written.options {
            if let Some(value) = as_written(option.span) {
                let key = format!("options.{}", option.value.code);
                self.set(&key, value, layer, option.span);
            }
        }
        if let Some(profile) = &written.profile {
            self.profile = Some(profile.value.clone());
        }
        if let Some(list) = &written.snippets {
            let inherited = std::mem::take(&mut self.snippets);
            for snippet in list {
                match &snippet.value {
                    Some(name) => self.snippets.push(name.clone()),
                    None => self.snippets.extend(inherited.iter().cloned()),
                }
            }
            let mut seen = std::collections::BTreeSet::new();
            self.snippets.retain(|name| seen.insert(name.clone()));
            if let Some(first) = list.first() {
                let names = self.snippets.iter().cloned().map(toml::Value::String);
                let value = toml::Value::Array(names.collect());
                self.set("snippets", value, layer, first.span);
            }
        }
    }

    fn set(&mut self, key: &str, value: toml::Value, layer: &Layer, span: Span) {
        let from = Origin {
            layer: layer.clone(),
            span: Some(span),
        };
        if let Some(old) = self.settings.iter_mut().find(|given| given.key == key) {
            let covered = std::mem::replace(&mut old.from, from);
            old.over.insert(0, covered);
            old.value = value;
            return;
        }
        self.settings.push(Given {
            key: key.to_owned(),
            value,
            from,
            over: Vec::new(),
        });
    }

    fn has(&self, key: &str) -> bool {
        let below = format!("{key}.");
        self.vars
            .keys()
            .any(|known| known == key || known.starts_with(&below))
    }

    fn declared_default(&mut self, name: &str, declared: &Declared) {
        if let Some(value) = &declared.default {
            let from = Origin {
                layer: Layer::Declared,
                span: declared.span,
            };
            self.whole(&format!("vars.{name}"), value, &from);
        }
    }

    /// A value of which no part is inherited.
    fn whole(&mut self, key: &str, value: &toml::Value, from: &Origin) {
        match value {
            toml::Value::Table(table) if !table.is_empty() => {
                for (name, value) in table {
                    self.whole(&format!("{key}.{name}"), value, from);
                }
            }
            value => self.leaf(key, value.clone(), from),
        }
    }

    fn leaf(&mut self, key: &str, value: toml::Value, from: &Origin) {
        let mut over = Vec::new();
        if let Some(old) = self.vars.remove(key) {
            over.push(old.from);
            over.extend(old.over);
        }
        // What was a table is none any more, or the other way round.
        let below = format!("{key}.");
        self.vars.retain(|known, _| {
            !known.starts_with(&below) && !key.starts_with(&format!("{known}."))
        });
        let value = shown(key, value);
        self.vars.insert(
            key.to_owned(),
            Given {
                key: key.to_owned(),
                value,
                from: from.clone(),
                over,
            },
        );
    }

    fn vars(&mut self, prefix: &str, layer: &Layer, vars: &Vars) {
        for (name, Var { span, value }) in vars {
            let key = format!("{prefix}.{name}");
            let from = Origin {
                layer: layer.clone(),
                span: Some(*span),
            };
            match value {
                VarValue::Plain(value) => self.whole(&key, value, &from),
                VarValue::Table(inner) if inner.is_empty() => {
                    if !self.has(&key) {
                        self.leaf(&key, toml::Value::Table(toml::Table::new()), &from);
                    }
                }
                VarValue::Table(inner) => self.vars(&key, layer, inner),
                VarValue::List(list) => {
                    let below = match self.vars.get(&key).map(|given| &given.value) {
                        Some(toml::Value::Array(list)) => list.clone(),
                        Some(text @ toml::Value::String(_)) => vec![text.clone()],
                        _ => Vec::new(),
                    };
                    let mut whole = Vec::new();
                    for element in list {
                        match element {
                            Some(value) => whole.push(value.clone()),
                            None => whole.extend(below.iter().cloned()),
                        }
                    }
                    self.leaf(&key, toml::Value::Array(whole), &from);
                }
            }
        }
    }
}

/// A value as it may be shown, with those below it.
fn shown(key: &str, value: toml::Value) -> toml::Value {
    if is_hidden(key) {
        return toml::Value::String(HIDDEN.to_owned());
    }
    match value {
        toml::Value::Array(list) => {
            let shown = list.into_iter().map(|value| shown("", value));
            toml::Value::Array(shown.collect())
        }
        toml::Value::Table(table) => {
            let shown = |(key, value): (String, _)| {
                let value = shown(&key, value);
                (key, value)
            };
            toml::Value::Table(table.into_iter().map(shown).collect())
        }
        value => value,
    }
}

/// Whether a variable holds something that is nobody's business: a password, or its hash. The name of a secret
/// is none.
fn is_hidden(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    name.contains("password") && !name.ends_with("_secret")
}
