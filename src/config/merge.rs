//! Defaults → nested groups → host: the nearest layer wins, `vars` merge key by key.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::options::ConfiguredOption;
use super::problem::Problem;
use super::vars::{self, Vars};
use super::written::Written;
use super::written::hosts::{GroupEntry, Layer};
use crate::base::{Architecture, GroupName, ProfileName};
use crate::config::snapshot::{InstallPolicy, LocalBoot};

/// Layers put over one another.
#[derive(Debug, Clone, Default)]
pub(crate) struct Merged {
    pub profile: Option<Written<ProfileName>>,
    pub arch: Option<Written<Architecture>>,
    pub loader: Option<Written<String>>,
    pub local_boot: Option<Written<LocalBoot>>,
    pub install: Option<Written<InstallPolicy>>,
    pub secure_boot: Option<Written<bool>>,
    /// By code.
    pub options: BTreeMap<u8, ConfiguredOption>,
    /// Each once.
    pub snippets: Vec<Written<String>>,
    pub vars: Vars,
    /// The groups, nearest first.
    pub groups: Vec<GroupName>,
    /// Whether every layer could be read.
    pub ok: bool,
}

impl Merged {
    /// What stands below everything.
    pub(crate) fn from_defaults(defaults: Option<&Layer>, problems: &mut Vec<Problem>) -> Self {
        let mut merged = Self {
            ok: true,
            ..Self::default()
        };
        if let Some(defaults) = defaults {
            merged.cover(defaults, problems);
        }
        merged
    }

    /// Puts a nearer layer over it.
    pub(crate) fn cover(&mut self, layer: &Layer, problems: &mut Vec<Problem>) {
        fn nearer<T: Clone>(old: &mut Option<T>, new: Option<&T>) {
            if let Some(new) = new {
                *old = Some(new.clone());
            }
        }
        nearer(&mut self.profile, layer.profile.as_ref());
        nearer(&mut self.arch, layer.arch.as_ref());
        nearer(&mut self.loader, layer.loader.as_ref());
        nearer(&mut self.local_boot, layer.local_boot.as_ref());
        nearer(&mut self.install, layer.install.as_ref());
        nearer(&mut self.secure_boot, layer.secure_boot.as_ref());
        let options = layer.options.iter().map(|option| &option.value);
        self.options
            .extend(options.map(|option| (option.code, option.clone())));
        if let Some(nearer) = &layer.snippets {
            let inherited = std::mem::take(&mut self.snippets);
            let mut add = |snippet: Written<String>| {
                if !self.snippets.iter().any(|old| old.value == snippet.value) {
                    self.snippets.push(snippet);
                }
            };
            for snippet in nearer {
                match &snippet.value {
                    Some(name) => add(Written {
                        value: name.clone(),
                        span: snippet.span,
                    }),
                    None => inherited.iter().cloned().for_each(&mut add),
                }
            }
        }
        vars::merge(&mut self.vars, &layer.vars, problems);
        self.ok &= layer.ok;
    }
}

/// All groups, each merged with those that it is nested in.
pub(crate) struct Groups<'a> {
    entries: HashMap<&'a GroupName, &'a GroupEntry>,
    merged: HashMap<&'a GroupName, Rc<Merged>>,
}

impl<'a> Groups<'a> {
    /// Merges all groups. Unknown parents have been reported by the caller; cycles are reported here,
    /// and end the nesting where they close.
    pub(crate) fn new(
        groups: impl IntoIterator<Item = &'a GroupEntry>,
        defaults: &Merged,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut entries: HashMap<&GroupName, &GroupEntry> = HashMap::new();
        let mut order = Vec::new();
        for group in groups {
            if entries.contains_key(&group.name.value) {
                continue;
            }
            entries.insert(&group.name.value, group);
            order.push(group);
        }
        let mut groups = Self {
            entries,
            merged: HashMap::new(),
        };
        for group in order {
            groups.resolve(group, defaults, problems);
        }
        groups
    }

    /// The names of all groups.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|name| name.as_str())
    }

    /// Whether there is such a group.
    pub(crate) fn contains(&self, name: &GroupName) -> bool {
        self.entries.contains_key(name)
    }

    /// A group with all that it is nested in.
    pub(crate) fn merged(&self, name: &GroupName) -> Option<&Rc<Merged>> {
        self.merged.get(name)
    }

    fn resolve(&mut self, group: &'a GroupEntry, defaults: &Merged, problems: &mut Vec<Problem>) {
        let mut chain: Vec<&GroupEntry> = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(group);
        let mut whole = true;
        while let Some(group) = next {
            if self.merged.contains_key(&group.name.value) {
                break;
            }
            if !seen.insert(&group.name.value) {
                problems.push(cycle(&chain, group));
                whole = false;
                next = None;
                break;
            }
            chain.push(group);
            next = match &group.group {
                None => None,
                Some(parent) => {
                    let parent = self.entries.get(&parent.value).copied();
                    whole &= parent.is_some();
                    parent
                }
            };
        }
        let mut below = next
            .and_then(|group| self.merged.get(&group.name.value))
            .map_or(defaults, Rc::as_ref)
            .clone();
        below.ok &= whole;
        for group in chain.into_iter().rev() {
            below.cover(&group.layer, problems);
            below.groups.insert(0, group.name.value.clone());
            self.merged
                .insert(&group.name.value, Rc::new(below.clone()));
        }
    }
}

/// A cycle that closes at `group`, which stands somewhere in the chain.
fn cycle(chain: &[&GroupEntry], group: &GroupEntry) -> Problem {
    let start = chain
        .iter()
        .position(|other| other.name.value == group.name.value)
        .unwrap_or_default();
    let members = chain.get(start..).unwrap_or_default();
    let names: Vec<&str> = members
        .iter()
        .chain(members.first())
        .map(|group| group.name.value.as_str())
        .collect();
    let message = if members.len() == 1 {
        format!("group `{}` is nested in itself", group.name.value)
    } else {
        format!("groups are nested in a circle: {}", names.join(" in "))
    };
    let problem =
        Problem::error("group-cycle", message).help("leave out one of these `group` keys");
    members
        .iter()
        .fold(problem, |problem, member| match &member.group {
            Some(parent) => problem.at(
                parent.span,
                format!("nests `{}` in `{}`", member.name.value, parent.value),
            ),
            None => problem,
        })
}
