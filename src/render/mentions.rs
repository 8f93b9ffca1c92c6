//! Which names of the context the boot texts of a profile mention: a machine's context is built of no others.
//!
//! A name counts wherever it stands as a word, also in a comment or outside of any block; no value can be reached
//! without its name.
//!
//! **Invariant:** a text renders the same, errors included, from what it mentions as from everything.

use std::collections::{BTreeMap, BTreeSet};

use super::context::ROOTS;
use super::env::option_texts;
use crate::config::snapshot::{Boot, Profile};

/// Words of templates that bring in other texts, whose names are not looked through.
const BRINGS_IN: [&str; 4] = ["include", "import", "from", "extends"];

/// What some texts mention.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    /// `None`: anything. Otherwise names at the root, each with the fields of it; without fields all of it.
    roots: Option<BTreeMap<&'static str, Option<BTreeSet<String>>>>,
}

impl Mentions {
    /// Everything.
    pub(super) const ALL: Self = Self { roots: None };

    /// Of `[boot]` and the options of a profile.
    pub(super) fn of(profile: &Profile) -> Self {
        if matches!(profile.boot, Boot::Script { .. }) {
            return Self::ALL;
        }
        let mut mentions = Self {
            roots: Some(BTreeMap::new()),
        };
        let texts = profile.boot.texts().into_iter();
        for (_, text) in texts.chain(option_texts(profile)) {
            mentions.add(&text.text);
        }
        mentions
    }

    fn add(&mut self, text: &str) {
        let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut rest = text;
        while let Some(at) = rest.find(is_of_word) {
            let (_, from) = rest.split_at(at);
            let (word, after) = from.split_at(from.find(|c| !is_of_word(c)).unwrap_or(from.len()));
            rest = after;
            if BRINGS_IN.contains(&word) {
                self.roots = None;
            }
            let Some(roots) = &mut self.roots else { return };
            let Some(root) = ROOTS.iter().find(|root| **root == word) else {
                continue;
            };
            let field = after.strip_prefix('.').unwrap_or_default();
            let field = field
                .split_once(|c| !is_of_word(c))
                .map_or(field, |(field, _)| field);
            let fields = roots.entry(root).or_insert_with(|| Some(BTreeSet::new()));
            if field.is_empty() {
                *fields = None;
            } else if let Some(fields) = fields {
                fields.insert(field.to_owned());
            }
        }
    }

    /// Whether a name at the root is mentioned.
    pub(super) fn has(&self, root: &str) -> bool {
        let roots = self.roots.as_ref();
        roots.is_none_or(|roots| roots.contains_key(root))
    }

    /// Whether a field of it is, or may be.
    pub(super) fn has_field(&self, root: &str, field: &str) -> bool {
        let Some(roots) = &self.roots else {
            return true;
        };
        let fields = roots.get(root);
        fields.is_some_and(|fields| fields.as_ref().is_none_or(|fields| fields.contains(field)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Mentions {
        let mut mentions = Mentions {
            roots: Some(BTreeMap::new()),
        };
        mentions.add(text);
        mentions
    }

    #[test]
    fn words_are_told_from_parts_of_words() {
        let some = of("hostname={{ host.name }} {{ vars.console|line }} my_vars {{arch}}");
        assert!(some.has("host") && some.has_field("host", "name"));
        assert!(!some.has_field("host", "links"));
        assert!(some.has_field("vars", "console") && !some.has_field("vars", "disk"));
        assert!(some.has("arch") && !some.has("subnet") && !some.has("answers"));
    }

    #[test]
    fn what_goes_somewhere_as_a_whole_may_be_asked_for_any_field() {
        for text in [
            "{{ host | tojson }}",
            "{{ host['links'] }}",
            "{% set h = host %}{{ h.links }}",
            "{{ host .links }} {{ host.name }}",
            "{{ host.name }}{{ host. links }}",
        ] {
            assert!(of(text).has_field("host", "links"), "{text}");
        }
    }

    #[test]
    fn what_is_brought_in_may_mention_anything() {
        for text in [
            "{% include 'x' %}",
            "{%- import \"x\" as x %}",
            "{% from 'x' import y %}",
        ] {
            assert_eq!(of(text), Mentions::ALL, "{text}");
        }
    }
}
