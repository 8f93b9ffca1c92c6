//! Variables that no template reads: where they are most likely a slip of the hand, they are told.
//!
//! Most variables of a profile are optional, so a misspelt one goes unnoticed otherwise; and in TOML
//! every key below `[hosts.NAME.vars]` is a variable, also an `install = "never"` that was added at the
//! end of a host.

use std::collections::{BTreeMap, BTreeSet};

use super::Input;
use crate::base::{Lifecycle, suggest};
use crate::config::problem::Problem;
use crate::config::snapshot::{Boot, Profile, Snippet};
use crate::config::source::Span;
use crate::config::vars::Vars;
use crate::config::written::hosts::{self, ReservationsFile};

/// Warns of variables that nobody reads and that have the name of a host's key, or nearly that of a
/// variable that is read. One warning for each name.
pub(super) fn unread(
    input: &Input,
    profiles: &[Profile],
    snippets: &BTreeMap<String, Snippet>,
    problems: &mut Vec<Problem>,
) {
    let mut read: BTreeSet<String> = profiles
        .iter()
        .flat_map(|profile| profile.variables.keys())
        .chain(
            snippets
                .values()
                .flat_map(|snippet| snippet.variables.keys()),
        )
        .cloned()
        .collect();
    let all_declare = !profiles.is_empty()
        && profiles.iter().all(|profile| {
            profile.lifecycle != Lifecycle::Install || !profile.variables.is_empty()
        });
    let texts = input.templates.values().map(|template| &*template.text);
    let boot = profiles
        .iter()
        .flat_map(|profile| boot_texts(&profile.boot));
    for text in texts.chain(boot) {
        if !names(text, &mut read) {
            return;
        }
    }
    let mut found: BTreeMap<&str, Vec<(Span, String)>> = BTreeMap::new();
    let written = input.profiles.iter();
    let of_profiles = written.map(|profile| (&profile.vars, format!("{}.toml", profile.name)));
    let of_hosts = input.reservations.iter().flat_map(layers);
    for (vars, title) in of_hosts.chain(of_profiles) {
        for (name, var) in vars.iter().filter(|(name, _)| !read.contains(*name)) {
            let places = found.entry(name).or_default();
            places.push((var.span, title.clone()));
        }
    }
    for (name, places) in found {
        let Some((span, title)) = places.first() else {
            continue;
        };
        let others = match places.len() - 1 {
            0 => String::new(),
            1 => " (and in one more place)".to_owned(),
            others => format!(" (and in {others} more places)"),
        };
        let problem = if hosts::is_key(name) {
            Problem::warning(
                "misplaced-key",
                format!("`{name}` in [{title}.vars]{others} is a variable that no template reads"),
            )
            .help(format!(
                "as a key of [{title}] it has to stand above [{title}.vars]"
            ))
        } else if let Some(nearest) = suggest::nearest(name, read.iter().map(String::as_str)) {
            Problem::warning(
                "unread-variable",
                format!("no template reads the variable `{name}` of [{title}.vars]{others}"),
            )
            .help(format!("did you mean `{nearest}`?"))
        } else if all_declare {
            Problem::warning(
                "unread-variable",
                format!("no template reads the variable `{name}` of [{title}.vars]{others}, and no profile declares it"),
            )
            .help("take it out, or declare it in a file of variables that a profile names")
        } else {
            continue;
        };
        problems.push(problem.at(*span, "has no effect"));
    }
}

/// The variables of one file, with the names of the tables that they belong to.
fn layers(file: &ReservationsFile) -> Vec<(&Vars, String)> {
    let defaults = file
        .defaults
        .iter()
        .map(|defaults| (&defaults.value.vars, "defaults".to_owned()));
    let groups = file
        .groups
        .iter()
        .map(|group| (&group.layer.vars, format!("groups.{}", group.name.value)));
    let hosts = file
        .hosts
        .iter()
        .filter(|host| !host.layer.vars.is_empty())
        .map(|host| (&host.layer.vars, format!("hosts.{}", host.name.value)));
    defaults.chain(groups).chain(hosts).collect()
}

fn boot_texts(boot: &Boot) -> impl Iterator<Item = &str> {
    boot.texts().into_iter().map(|(_, text)| text.text.as_str())
}

/// Adds the variables that a template names. False: it uses `vars` in another way, such as
/// `vars[name]`, so that it may read any.
fn names(template: &str, read: &mut BTreeSet<String>) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let block = rest.get(start..).unwrap_or_default();
        let end = if block.starts_with("{{") {
            "}}"
        } else if block.starts_with("{%") {
            "%}"
        } else {
            rest = block.get(1..).unwrap_or_default();
            continue;
        };
        let length = block.find(end).unwrap_or(block.len());
        let inside = block.get(..length).unwrap_or_default();
        rest = block.get(length..).unwrap_or_default();
        for (at, _) in inside.match_indices("vars") {
            let before = inside.get(..at).unwrap_or_default();
            let after = inside.get(at + "vars".len()..).unwrap_or_default();
            if before.ends_with(|c| is_name(c) || c == '.') || after.starts_with(is_name) {
                continue;
            }
            let quoted = ['"', '\''].into_iter().find_map(|quote| {
                after
                    .strip_prefix('[')?
                    .strip_prefix(quote)?
                    .split_once(quote)
            });
            let name = match (after.strip_prefix('.'), quoted) {
                (Some(attribute), _) => attribute.split(|c| !is_name(c)).next(),
                (None, Some((name, _))) => Some(name),
                (None, None) => None,
            };
            match name.filter(|name| !name.is_empty()) {
                Some(name) => read.insert(name.to_owned()),
                None => return false,
            };
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_however_they_are_named() {
        let mut read = BTreeSet::new();
        assert!(names(
            "vars.prose {{ vars.a | shq }}{% if vars['b'] is defined %}{{ vars[\"c\"].d ~ my_vars.e ~ x.vars.f }}{% endif %} { vars.g }",
            &mut read
        ));
        assert_eq!(
            read.iter().map(String::as_str).collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        for text in [
            "{{ vars | tojson }}",
            "{{ vars[name] }}",
            "{% for key in vars %}",
        ] {
            assert!(!names(text, &mut read), "{text}");
        }
    }
}
