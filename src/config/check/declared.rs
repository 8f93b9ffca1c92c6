//! What hosts give to the variables of their profile and snippets: the types, the allowed values, what is
//! required; and the snippets themselves.
//!
//! A value that many hosts inherit is told once; what is missing is told once for each variable, with the
//! first host and how many there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::hosts::Placed;
use crate::base::{ProfileName, pace, suggest};
use crate::config::merge::Merged;
use crate::config::problem::Problem;
use crate::config::snapshot::{Profile, Snippet};
use crate::config::source::Span;
use crate::config::table::list_words;
use crate::config::variables::{Declarations, Declared};
use crate::config::vars::{self, Vars};
use crate::config::written::Written;
use crate::config::written::hosts::{HostEntry, Layer, ReservationsFile};
use crate::config::written::profile::ProfileFile;

/// Names of snippets that are not there, wherever they stand.
pub(super) fn unknown_snippets(
    files: &[ReservationsFile],
    snippets: &BTreeMap<String, Snippet>,
    problems: &mut Vec<Problem>,
) {
    let layers = files.iter().flat_map(|file| {
        let defaults = file.defaults.iter().map(|defaults| &defaults.value);
        let groups = file.groups.iter().map(|group| &group.layer);
        defaults
            .chain(groups)
            .chain(file.hosts.iter().map(|host| &*host.layer))
    });
    let named = |layer: &Layer| layer.snippets.iter().flatten().cloned().collect::<Vec<_>>();
    for snippet in layers.flat_map(named) {
        let Some(name) = &snippet.value else { continue };
        if snippets.contains_key(name) {
            continue;
        }
        let known = || snippets.keys().map(String::as_str);
        let nearest = suggest::nearest(name, known());
        let help = match nearest {
            Some(nearest) => format!("did you mean \"{nearest}\"?"),
            None if snippets.is_empty() => {
                format!("a snippet is a file templates/snippets/{name}.sh.j2; there is none")
            }
            None => format!(
                "the snippets are {}; another one is a file templates/snippets/{name}.sh.j2",
                list_words(known(), "and")
            ),
        };
        problems.push(
            Problem::error("unknown-snippet", format!("there is no snippet `{name}`"))
                .at(snippet.span, "unknown snippet")
                .suggest_text(snippet.span, nearest)
                .help(help),
        );
    }
}

/// What a profile gives itself.
pub(super) fn of_profiles(
    written: &[ProfileFile],
    profiles: &[Profile],
    problems: &mut Vec<Problem>,
) {
    for profile in profiles {
        let Some(file) = written.iter().find(|file| file.name == profile.name) else {
            continue;
        };
        for (name, var) in &file.vars {
            if let Some(declared) = profile.variables.get(name) {
                problems.extend(misfit(name, var, declared));
            }
        }
    }
}

/// `"..."` in `[defaults]` where no profile gives a list that it could stand for.
pub(super) fn inheriting_nothing(
    files: &[ReservationsFile],
    profiles: &[Profile],
    snippets: &BTreeMap<String, Snippet>,
    problems: &mut Vec<Problem>,
) {
    let has_default = |variables: &Declarations, name: &str| {
        variables
            .get(name)
            .is_some_and(|declared| declared.default.is_some())
    };
    let given = |name: &str| {
        profiles
            .iter()
            .any(|profile| profile.vars.contains_key(name) || has_default(&profile.variables, name))
            || snippets
                .values()
                .any(|snippet| has_default(&snippet.variables, name))
    };
    for defaults in files.iter().filter_map(|file| file.defaults.as_ref()) {
        let layer = &defaults.value;
        let mut ungiven: Vars = layer.vars.clone();
        ungiven.retain(|name, _| !given(name));
        let of_vars = vars::first_inheriting(&ungiven).map(|(key, span)| (key.to_owned(), span));
        let of_snippets = layer.snippets.iter().flatten();
        let of_snippets = of_snippets
            .filter(|name| name.value.is_none())
            .map(|name| ("snippets".to_owned(), name.span));
        for (key, place) in of_vars.into_iter().chain(of_snippets) {
            problems.push(
                Problem::warning(
                    "inherits-nothing",
                    format!("`\"...\"` in `{key}` stands for the inherited list, but nothing is below [defaults]"),
                )
                .at(place, "inherits nothing")
                .help("leave out \"...\""),
            );
        }
    }
}

/// Something that a host lacks: the variable, and who needs it.
type Lack<'a> = (&'a ProfileName, &'a str);

/// Checks what hosts give to their profiles and snippets.
pub(super) fn of_hosts(
    placed: &[Placed<'_>],
    profiles: &[Profile],
    snippets: &BTreeMap<String, Snippet>,
    problems: &mut Vec<Problem>,
) {
    let mut checker = Checker {
        profiles: profiles
            .iter()
            .map(|profile| {
                let required = profile.variables.iter();
                let required = required.filter(|(_, declared)| declared.required);
                let required = required.map(|(name, _)| name.as_str()).collect();
                (&profile.name, (profile, required))
            })
            .collect(),
        snippets,
        told: HashSet::new(),
        problems,
    };
    let mut known: HashMap<*const Merged, Vec<Lack<'_>>> = HashMap::new();
    let mut lacking: BTreeMap<Lack<'_>, Vec<&HostEntry>> = BTreeMap::new();
    for (count, (entry, merged, _)) in placed.iter().enumerate() {
        pace::give_way(count);
        let lacks = known
            .entry(Rc::as_ptr(merged))
            .or_insert_with(|| checker.check(merged));
        for lack in lacks {
            lacking.entry(*lack).or_default().push(entry);
        }
    }
    for ((profile, name), hosts) in lacking {
        let groups = placed
            .iter()
            .find(|(entry, ..)| std::ptr::eq(*entry, hosts.first().copied().unwrap_or(*entry)))
            .map(|(_, merged, _)| merged.groups.as_slice())
            .unwrap_or_default();
        problems.extend(missing(profiles, snippets, profile, name, &hosts, groups));
    }
}

struct Checker<'a, 'p> {
    profiles: HashMap<&'a ProfileName, (&'a Profile, Vec<&'a str>)>,
    snippets: &'a BTreeMap<String, Snippet>,
    /// The place of a value and that of the declaration or profile that it does not fit.
    told: HashSet<(Span, Option<Span>)>,
    problems: &'p mut Vec<Problem>,
}

impl<'a> Checker<'a, '_> {
    /// Checks what layers give together; what they lack.
    fn check(&mut self, merged: &Merged) -> Vec<Lack<'a>> {
        let used = merged.profile.as_ref();
        let Some((profile, required)) = used.and_then(|used| self.profiles.get(&used.value)) else {
            return Vec::new();
        };
        let (profile, mut lacks) = (*profile, required.clone());
        for snippet in &merged.snippets {
            self.family(snippet, profile);
            let Some(found) = self.snippets.get(&snippet.value) else {
                continue;
            };
            for (name, declared) in &found.variables {
                if declared.required && !profile.variables.contains_key(name) {
                    lacks.push(name);
                }
            }
        }
        for (name, var) in &merged.vars {
            let of_snippets = || {
                let mut named = merged.snippets.iter();
                named.find_map(|snippet| self.snippets.get(&snippet.value)?.variables.get(name))
            };
            let declared = profile.variables.get(name).or_else(of_snippets);
            if let Some(declared) = declared
                && let Some(problem) = misfit(name, var, declared)
                && self.told.insert((var.span, declared.span))
            {
                self.problems.push(problem);
            }
        }
        lacks.retain(|name| !merged.vars.contains_key(*name) && !profile.vars.contains_key(*name));
        lacks.dedup();
        lacks
            .into_iter()
            .map(|name| (&profile.name, name))
            .collect()
    }

    fn family(&mut self, snippet: &Written<String>, profile: &Profile) {
        let Some(found) = self.snippets.get(&snippet.value) else {
            return;
        };
        if found.families.is_empty()
            || found
                .families
                .iter()
                .any(|family| *family == profile.family)
            || !self.told.insert((snippet.span, profile.span))
        {
            return;
        }
        let problem = Problem::error(
            "snippet-family",
            format!(
                "the snippet `{}` does not work with profile `{}`, which is of the family `{}`",
                snippet.value, profile.name, profile.family
            ),
        )
        .at(snippet.span, "is of no use there")
        .help(format!(
            "it works with {}: name it only at hosts and groups with such profiles",
            list_words(found.families.iter().copied(), "and")
        ));
        self.problems.push(problem);
    }
}

fn misfit(name: &str, var: &vars::Var, declared: &Declared) -> Option<Problem> {
    let misfit = declared.fits(&var.value.to_toml()).err()?;
    let message = format!("the variable `{name}` must be {}", misfit.wanted);
    let mut problem = Problem::error(misfit.code, message).at(var.span, misfit.label);
    problem.help = misfit
        .help
        .or_else(|| Some(format!("`{name}` is: {}", declared.help.as_ref()?)));
    Some(match declared.span {
        Some(span) => problem.at(span, "declared here"),
        None => problem,
    })
}

fn missing(
    profiles: &[Profile],
    snippets: &BTreeMap<String, Snippet>,
    profile: &ProfileName,
    name: &str,
    hosts: &[&HostEntry],
    groups: &[crate::base::GroupName],
) -> Option<Problem> {
    let first = hosts.first()?;
    let profile = profiles.iter().find(|found| found.name == *profile)?;
    let (declared, needs) = match profile.variables.get(name) {
        Some(declared) => (declared, format!("the profile `{}`", profile.name)),
        None => snippets.iter().find_map(|(snippet, found)| {
            let declared = found.variables.get(name)?;
            Some((declared, format!("the snippet `{snippet}`")))
        })?,
    };
    let who = match hosts {
        [only] => format!("host {}", only.name.value),
        [first, second] => format!("hosts {} and {}", first.name.value, second.name.value),
        [first, rest @ ..] => {
            format!("host {} and {} other hosts", first.name.value, rest.len())
        }
        [] => return None,
    };
    let mut tables = vec![format!("[hosts.{}.vars]", first.name.value)];
    tables.extend(groups.iter().map(|group| format!("[groups.{group}.vars]")));
    let mut help = format!("give it in {} or [defaults.vars]", tables.join(", "));
    if let Some(of) = &declared.help {
        help = format!("{help}: {of}");
    }
    let problem = Problem::error(
        "missing-variable",
        format!("`{name}` is missing for {who}: {needs} needs it"),
    )
    .at(first.name.span, format!("has no `{name}`"))
    .help(help);
    Some(match declared.span {
        Some(span) => problem.at(span, "required here"),
        None => problem,
    })
}
