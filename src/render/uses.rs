//! What templates do with a host's own values: print them, or look at them.
//!
//! Told from the text of the templates, with a lexer of the little that matters. Whatever it cannot be
//! sure of counts as looked at, and so does every use but `{{ host.FIELD }}` with filters that take any
//! text, and `host.FIELD is defined`.
//!
//! **Invariant:** a field that is not in [`Uses::read`], of a template whose [`Uses::whole`] is not set,
//! has no influence on anything but the text that stands in its place, as long as it is there or is not.

use std::collections::{BTreeMap, BTreeSet};

use super::env::option_texts;
use crate::config::snapshot::{Boot, Profile, Snapshot, Template};

/// Filters that give a text for any text of one line.
const HARMLESS: &[&str] = &[
    "b64encode",
    "capitalize",
    "e",
    "escape",
    "line",
    "lower",
    "shq",
    "title",
    "tojson",
    "trim",
    "upper",
];

/// What becomes of the fields of `host`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// Fields that are only printed.
    pub(super) printed: BTreeSet<String>,
    /// Fields that may decide something.
    pub(super) read: BTreeSet<String>,
    /// `host` itself goes somewhere: any field may decide.
    pub(super) whole: bool,
    /// Snippets are brought in somewhere, or at least looked at.
    pub(super) snippets: bool,
    /// Boot files are named by `asset()` somewhere.
    pub(super) assets: bool,
    /// By what is the host's own.
    pub(super) own_assets: bool,
    /// The templates that may have a part in it.
    pub(super) templates: BTreeSet<String>,
    /// Whether a field is there at all is asked somewhere.
    asked: bool,
    /// Templates that are brought in.
    includes: BTreeSet<String>,
    /// Templates that are brought in, by how their names begin.
    prefixes: BTreeSet<String>,
    /// Names of loops over the host's links, and over what those hold.
    links: BTreeSet<String>,
    /// A template is brought in by a name that is only known when it is rendered.
    any_include: bool,
    /// Printed text becomes a value again somewhere: what is printed may decide as well.
    captured: bool,
}

/// Which texts of a profile one host's rendering can prove for others, and which it cannot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// What the former do with a host's fields: nothing with those that are each host's own but print them.
    pub(super) shared: Uses,
    /// `[boot]` and the options look at such a field.
    pub(super) own_boot: bool,
    /// The answers, by name, that do.
    pub(super) own_answers: BTreeSet<String>,
    /// Boot files are named by `asset()` in any of them.
    pub(super) assets: bool,
    /// By what is the host's own.
    pub(super) own_assets: bool,
}

impl Parts {
    /// Of everything that a profile renders.
    pub(super) fn of(profile: &Profile, templates: &BTreeMap<String, Template>) -> Self {
        let mut parts = Self::default();
        let mut boot = Uses::of_boot_texts(profile);
        let script = match &profile.boot {
            Boot::Script { template } => Some(template.clone()),
            _ => None,
        };
        boot.follow(script.into_iter().collect(), templates);
        parts.own_boot = !parts.take(&boot);
        for answer in &profile.answers {
            let mut uses = Uses::default();
            uses.follow(vec![answer.template.clone()], templates);
            if !parts.take(&uses) {
                parts.own_answers.insert(answer.name.clone());
            }
        }
        parts
    }

    /// Whether everything is proven by one rendering.
    pub(super) fn are_all_shared(&self) -> bool {
        !self.own_boot && self.own_answers.is_empty()
    }

    /// Takes one text in; whether it is a shared one.
    fn take(&mut self, uses: &Uses) -> bool {
        self.assets |= uses.assets;
        self.own_assets |= uses.own_assets;
        let is_shared = !uses.looks_at_the_host();
        if is_shared {
            let shared = &mut self.shared;
            shared.printed.extend(uses.printed.iter().cloned());
            shared.read.extend(uses.read.iter().cloned());
            shared.asked |= uses.asked;
        }
        is_shared
    }
}

/// The templates that something of a configuration can render: what profiles name, snippets, and what these bring
/// in. `None`: one is brought in by a name that is only known when it is rendered.
pub(super) fn reachable(snapshot: &Snapshot) -> Option<BTreeSet<String>> {
    let templates = snapshot.templates();
    let mut uses = Uses::default();
    let mut waiting: Vec<String> = templates
        .keys()
        .filter(|name| name.starts_with("snippets/"))
        .cloned()
        .collect();
    for profile in snapshot.profiles().values() {
        for (_, text) in profile.boot.texts() {
            uses.add(&text.text);
        }
        if let Boot::Script { template } = &profile.boot {
            waiting.push(template.clone());
        }
        let answers = profile.answers.iter();
        waiting.extend(answers.map(|answer| answer.template.clone()));
    }
    let mut seen = BTreeSet::new();
    loop {
        waiting.extend(uses.brought_in(templates));
        waiting.retain(|name| seen.insert(name.clone()));
        if uses.any_include {
            return None;
        }
        if waiting.is_empty() {
            return Some(seen);
        }
        for name in std::mem::take(&mut waiting) {
            if let Some(template) = templates.get(&name) {
                uses.add(&template.text);
            }
        }
    }
}

impl Uses {
    /// Of everything that a profile renders.
    pub(super) fn of_profile(profile: &Profile, templates: &BTreeMap<String, Template>) -> Self {
        let mut uses = Self::of_boot_texts(profile);
        let mut waiting: Vec<String> = profile
            .answers
            .iter()
            .map(|answer| answer.template.clone())
            .collect();
        if let Boot::Script { template } = &profile.boot {
            waiting.push(template.clone());
        }
        uses.follow(waiting, templates);
        uses
    }

    /// Of what a profile says in `[boot]` and its options, the templates of scripts left out.
    fn of_boot_texts(profile: &Profile) -> Self {
        let mut uses = Self::default();
        let texts = profile.boot.texts().into_iter();
        for (_, text) in texts.chain(option_texts(profile)) {
            uses.add(&text.text);
        }
        uses
    }

    /// Adds these templates, and what they bring in.
    fn follow(&mut self, mut waiting: Vec<String>, templates: &BTreeMap<String, Template>) {
        let mut seen = BTreeSet::new();
        loop {
            waiting.extend(self.brought_in(templates));
            if self.any_include {
                waiting.extend(templates.keys().cloned());
            }
            waiting.retain(|name| seen.insert(name.clone()));
            if waiting.is_empty() {
                if self.captured {
                    self.read.extend(self.printed.iter().cloned());
                }
                self.templates = seen;
                return;
            }
            for name in std::mem::take(&mut waiting) {
                if let Some(template) = templates.get(&name) {
                    self.add(&template.text);
                }
            }
        }
    }

    /// Whether values that are each host's own may decide something.
    fn looks_at_the_host(&self) -> bool {
        const OWN: [&str; 6] = ["name", "fqdn", "mac", "macs", "ip", "uuid"];
        self.whole || OWN.iter().any(|field| self.read.contains(*field))
    }

    /// The templates that it brings in.
    fn brought_in(&self, templates: &BTreeMap<String, Template>) -> Vec<String> {
        let begins = |name: &&String| {
            let mut prefixes = self.prefixes.iter();
            prefixes.any(|prefix| name.starts_with(prefix.as_str()))
        };
        let by_prefix = templates.keys().filter(begins);
        self.includes.iter().chain(by_prefix).cloned().collect()
    }

    /// Of the texts of `[boot]` that name boot files.
    pub(super) fn of_paths(boot: &Boot) -> Self {
        let mut uses = Self::default();
        for (key, text) in boot.texts() {
            if !key.starts_with("cmdline") {
                uses.add(&text.text);
            }
        }
        uses
    }

    /// Whether nothing of a host stands in it at all.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// What a token does with one of the host's links. What links have beside their addresses is the same for all
    /// hosts with one card.
    fn link(&mut self, index: usize, tokens: &[Token<'_>]) {
        let before = index.checked_sub(1).and_then(|index| tokens.get(index));
        let Some(Word(name)) = tokens.get(index) else {
            return;
        };
        if !self.links.contains(*name) || before == Some(&Sign('.')) {
            return;
        }
        match tokens.get(index + 1..).unwrap_or_default() {
            [Sign('.'), Word("ip" | "mac" | "macs"), Word("is"), ..] => self.asked = true,
            [Sign('.'), Word("ip" | "mac" | "macs"), ..] => {
                self.read.extend(["ip", "mac"].map(str::to_owned));
            }
            [Sign('.'), Word(_), ..] => {}
            _ => self.whole = true,
        }
    }

    fn add(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (_, tail) = rest.split_at(at);
            if let Some(comment) = tail.strip_prefix("{#") {
                rest = comment.split_once("#}").map_or("", |(_, after)| after);
            } else if let Some(code) = tail.strip_prefix("{{") {
                rest = self.block(code, "}}");
            } else if let Some(code) = tail.strip_prefix("{%") {
                rest = match lex(code, "%}") {
                    Some((tokens, raw)) if tokens == [Word("raw")] => self.after_raw(raw),
                    _ => self.block(code, "%}"),
                };
            } else {
                rest = tail.strip_prefix('{').unwrap_or_default();
            }
        }
    }

    /// What follows a block whose text is printed as it stands.
    fn after_raw<'t>(&mut self, text: &'t str) -> &'t str {
        let mut rest = text;
        while let Some((_, code)) = rest.split_once("{%") {
            match lex(code, "%}") {
                Some((tokens, after)) if tokens == [Word("endraw")] => return after,
                _ => rest = code,
            }
        }
        self.whole = true;
        ""
    }

    /// Reads one block of code; what follows it.
    fn block<'t>(&mut self, code: &'t str, end: &str) -> &'t str {
        let Some((tokens, rest)) = lex(code, end) else {
            self.whole = true;
            return "";
        };
        // `{% set x %}…{% endset %}` and its like.
        self.captured |= match tokens.as_slice() {
            [Word("macro" | "filter" | "call"), ..] => end == "%}",
            [Word("set"), after @ ..] => end == "%}" && !after.contains(&Sign('=')),
            _ => false,
        } || tokens
            .iter()
            .any(|token| matches!(token, Word("self" | "super" | "caller" | "recursive")));
        if end == "}}"
            && let [Word("host"), Sign('.'), Word(field), filters @ ..] = tokens.as_slice()
        {
            // Another field where there is none of this.
            let (other, filters) = match filters {
                [
                    Sign('|'),
                    Word("default"),
                    Sign('('),
                    Word("host"),
                    Sign('.'),
                    Word(other),
                    Sign(')'),
                    after @ ..,
                ] => (Some(*other), after),
                all => (None, all),
            };
            if are_harmless(filters) {
                self.printed.insert((*field).to_owned());
                self.printed.extend(other.map(str::to_owned));
                self.asked |= other.is_some();
                return rest;
            }
        }
        // A loop over links, and what is only printed of them.
        if let [
            Word("for"),
            Word(name),
            Word("in"),
            Word("host"),
            Sign('.'),
            Word("links"),
        ] = tokens.as_slice()
        {
            self.links.insert((*name).to_owned());
            return rest;
        }
        if let [
            Word("for"),
            Word(name),
            Word("in"),
            Word(link),
            Sign('.'),
            Word("macs"),
        ] = tokens.as_slice()
            && self.links.contains(*link)
        {
            self.links.insert((*name).to_owned());
            return rest;
        }
        if end == "}}"
            && let [Word(link), filters @ ..] = tokens.as_slice()
            && self.links.contains(*link)
        {
            let filters = match filters {
                [Sign('.'), Word(_), after_the_field @ ..] => after_the_field,
                all => all,
            };
            if are_harmless(filters) {
                self.printed.extend(["ip", "mac"].map(str::to_owned));
                return rest;
            }
        }
        if let [
            Word("include" | "import" | "from" | "extends"),
            name,
            after @ ..,
        ] = tokens.as_slice()
        {
            match name {
                Text(name) if !name.contains('\\') && ends_a_name(after.first()) => {
                    self.includes.insert((*name).to_owned());
                }
                Text(prefix)
                    if prefix.ends_with('/') && !prefix.contains('\\') && begins_a_name(after) =>
                {
                    self.prefixes.insert((*prefix).to_owned());
                }
                _ => self.any_include = true,
            }
        }
        if tokens.contains(&Word("asset")) {
            self.assets = true;
            self.own_assets |= tokens.contains(&Word("host"));
        }
        for (index, token) in tokens.iter().enumerate() {
            self.link(index, &tokens);
            self.snippets |= *token == Word("snippets");
            let before = index.checked_sub(1).and_then(|index| tokens.get(index));
            if *token != Word("host") || before == Some(&Sign('.')) {
                continue;
            }
            match tokens.get(index + 1..).unwrap_or_default() {
                // Whether a field is there is the same for all hosts of a kind.
                [Sign('.'), Word(_), Word("is"), Word("defined"), ..]
                | [
                    Sign('.'),
                    Word(_),
                    Word("is"),
                    Word("not"),
                    Word("defined"),
                    ..,
                ] => {
                    self.asked = true;
                }
                // How many there are as well.
                [
                    Sign('.'),
                    Word("macs" | "nics" | "links"),
                    Sign('|'),
                    Word("length"),
                    ..,
                ] => {}
                // A loop over them that is no plain one.
                [Sign('.'), Word("links"), ..] => self.whole = true,
                [Sign('.'), Word(field), ..] => {
                    self.read.insert((*field).to_owned());
                }
                _ => self.whole = true,
            }
        }
        rest
    }
}

/// Whether these are filters, each of which gives a text for any text.
fn are_harmless(filters: &[Token<'_>]) -> bool {
    filters
        .chunks(2)
        .all(|pair| matches!(pair, [Sign('|'), Word(name)] if HARMLESS.contains(name)))
}

/// Whether a text that others are joined to is the beginning of a template's name: `"TEXT" ~ name ~ "TEXT"`,
/// and nothing that binds looser.
fn begins_a_name(after: &[Token<'_>]) -> bool {
    matches!(
        after,
        [Sign('~'), Word(_)] | [Sign('~'), Word(_), Sign('~'), Text(_)]
    )
}

/// Whether the name of a template that is brought in is a text and no more, going by what follows it.
fn ends_a_name(next: Option<&Token<'_>>) -> bool {
    matches!(
        next,
        None | Some(Word("ignore" | "import" | "as" | "with" | "without"))
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Text(&'t str),
    Sign(char),
}
use Token::{Sign, Text, Word};

/// The tokens up to the end of a block, and what follows it; `None` when it does not end.
fn lex<'t>(code: &'t str, end: &str) -> Option<(Vec<Token<'t>>, &'t str)> {
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut rest = code.trim_start_matches(['-', '+']);
    loop {
        rest = rest.trim_start();
        if depth == 0 {
            let trimmed = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if let Some(after) = trimmed.strip_prefix(end) {
                return Some((tokens, after));
            }
        }
        let first = rest.chars().next()?;
        if first == '"' || first == '\'' {
            let mut escaped = false;
            let inner = rest.get(1..)?;
            let close = inner.find(|c| {
                let closes = c == first && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            })?;
            tokens.push(Text(inner.get(..close)?));
            rest = inner.get(close + 1..)?;
        } else if first.is_alphanumeric() || first == '_' {
            let len = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            tokens.push(Word(rest.get(..len)?));
            rest = rest.get(len..)?;
        } else {
            match first {
                '{' => depth += 1,
                '}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            tokens.push(Sign(first));
            rest = rest.get(first.len_utf8()..)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Uses {
        let mut uses = Uses::default();
        uses.add(text);
        uses
    }

    fn names(set: &BTreeSet<String>) -> Vec<&str> {
        set.iter().map(String::as_str).collect()
    }

    #[test]
    fn links_are_looked_at_by_what_they_hold_beside_their_addresses() {
        let uses = of(
            "{% for link in host.links %}{{ link.name | shq }}{% if link.bond %}b{% endif %}\
             {% if link.vlan is defined %}{{ link.vlan }}{% endif %}{% if link.dhcp %}-{% else %}{{ link.ip }}/{{ link.prefix }}{% endif %}\
             {% for mac in link.macs %}{{ mac | shq }}{% endfor %}{% if link.ip is defined %}x{% endif %}{% endfor %}",
        );
        assert!(!uses.whole && uses.read.is_empty(), "{uses:?}");
        assert_eq!(names(&uses.printed), ["ip", "mac"]);
        for text in [
            "{% if link.ip == \"10.0.0.1\" %}{% endif %}",
            "{% if link.mac in vars.macs %}{% endif %}",
            "{{ vars.names[link.mac] }}",
        ] {
            let uses = of(&format!(
                "{{% for link in host.links %}}{text}{{% endfor %}}"
            ));
            assert_eq!(names(&uses.read), ["ip", "mac"], "{text}");
        }
        assert!(
            !of("{% if host.links | length > 1 and host.macs | length == 1 %}{% endif %}")
                .looks_at_the_host()
        );
        for text in [
            "{% set x = host.links %}",
            "{% for link in host.links | reverse %}{% endfor %}",
            "{% if host.links | first %}{% endif %}",
            "{% for link in host.links %}{{ show(link) }}{% endfor %}",
            "{% for link in host.links %}{% for mac in link.macs %}{% if mac == x %}{% endif %}{% endfor %}{% endfor %}",
        ] {
            assert!(of(text).whole, "{text}");
        }
    }

    #[test]
    fn a_field_in_place_of_another_one_is_printed_too() {
        let uses = of("{{ host.fqdn | default(host.name) | lower | shq }}");
        assert!(
            !uses.whole && uses.read.is_empty() && uses.asked,
            "{uses:?}"
        );
        assert_eq!(names(&uses.printed), ["fqdn", "name"]);
        for text in [
            "{{ host.fqdn | default(host.name) | length }}",
            "{{ host.fqdn | default(host.name ~ x) }}",
            "{{ host.fqdn | default(host) }}",
        ] {
            let uses = of(text);
            assert!(uses.whole || uses.read.contains("fqdn"), "{text}");
        }
    }

    #[test]
    fn files_that_are_named_by_the_hosts_own_values_are_told_apart() {
        let uses = of("{{ asset('a/' ~ arch) }}{{ host.name }}");
        assert!(uses.assets && !uses.own_assets, "{uses:?}");
        assert!(of("{{ asset('a/' ~ host.name) }}").own_assets);
        assert!(!of("{{ vars.x }}").assets);
    }

    #[test]
    fn snippets_are_templates_of_one_folder() {
        let uses = of(
            "{% for name in snippets %}{% include \"snippets/\" ~ name ~ \".sh.j2\" %}{% endfor %}",
        );
        assert!(uses.snippets && !uses.any_include, "{uses:?}");
        assert_eq!(names(&uses.prefixes), ["snippets/"]);
        for text in [
            "{% include \"snippets/\" ~ name or other %}",
            "{% include \"snip\" ~ name %}",
            "{% include \"snippets/\" ~ host.name ~ \"x\" %}",
        ] {
            assert!(of(text).any_include, "{text}");
        }
    }

    #[test]
    fn what_is_printed_decides_nothing() {
        let uses = of(
            "a {{ host.name }} {{- host.fqdn | shq -}} {{host.ip|line|upper}} {# {{ host }} #} \
             {% if vars.x == \"host\" %}{{ x.host }}{% endif %} { host }",
        );
        assert_eq!(names(&uses.printed), ["fqdn", "ip", "name"]);
        assert!(uses.read.is_empty() && !uses.whole && !uses.any_include);
        assert!(of("nothing {{ vars.a }}").is_nothing());
        let asked = of(
            "{% if host.mac is defined and host.uuid is not defined %}{{ host.mac }}{% endif %}",
        );
        assert_eq!((names(&asked.printed), asked.read.len()), (vec!["mac"], 0));
        assert!(!asked.whole && !asked.is_nothing());
    }

    #[test]
    fn what_is_printed_into_a_value_may_decide() {
        for text in [
            "{% set n %}{{ host.name }}{% endset %}",
            "{% filter int %}{{ host.name }}{% endfilter %}",
            "{% macro n() %}{{ host.name }}{% endmacro %}",
            "{% call n() %}{{ host.name }}{% endcall %}",
            "{% block a %}{{ host.name }}{% endblock %}{% if self.a() == 'x' %}{% endif %}",
            "{% for a in b recursive %}{{ host.name }}{% endfor %}",
        ] {
            assert!(of(text).captured, "{text}");
        }
        assert!(!of("{% set n = 1 %}{{ host.name }}{{ vars.n }}").captured);
    }

    #[test]
    fn raw_text_is_no_code_and_hides_none() {
        let uses = of(
            "{%- raw %}n=${#disks[@]} {{ \" {% x '{% endraw -%}{% if host.name == 'a' %}{% endif %}",
        );
        assert_eq!(names(&uses.read), ["name"]);
        assert!(!uses.whole && uses.printed.is_empty());
        assert!(of("{% raw %} {{ host }}").whole);
    }

    #[test]
    fn names_of_templates_that_are_worked_out_are_any() {
        for name in [
            "'a' + '.j2'",
            "'A.J2' | lower",
            "'x/a.j2'[2:]",
            r"'a\x2ej2'",
            "'a' ~ b",
            "'a' if b else 'c'",
            "b",
        ] {
            assert!(of(&format!("{{% include {name} %}}")).any_include, "{name}");
        }
        let uses = of("{% include 'a' ignore missing %}{% from 'b' import c %}{% include 'd' %}");
        assert_eq!(names(&uses.includes), ["a", "b", "d"]);
        assert!(!uses.any_include);
    }

    #[test]
    fn whatever_else_is_done_with_a_field_may_decide() {
        for (text, field) in [
            ("{% if host.name == 'a' %}", "name"),
            ("{{ host.name ~ 'x' }}", "name"),
            ("{{ vars.disks[host.name] }}", "name"),
            ("{{ host.serial | int }}", "serial"),
            ("{{ host.ip | default('x') }}", "ip"),
            ("{{ secret(host.name) }}", "name"),
            ("{% set n = host.mac %}", "mac"),
            ("{{ {'a': {'b': host.uuid}} }}", "uuid"),
        ] {
            let uses = of(text);
            assert_eq!(names(&uses.read), [field], "{text}");
            assert!(!uses.whole, "{text}");
        }
    }

    #[test]
    fn a_host_that_goes_somewhere_is_looked_at_as_a_whole() {
        for text in [
            "{{ host }}",
            "{{ host | tojson }}",
            "{% set h = host %}",
            "{{ host['name'] }}",
            "{% for key in host %}",
            "{{ f(host=1) }}",
            "{{ host.",
            "{{ 'open",
            "{{ } }}",
        ] {
            assert!(of(text).whole, "{text}");
        }
    }

    #[test]
    fn templates_that_are_brought_in_count() {
        let uses = of("{% include 'a.j2' %}{% from \"b.j2\" import x %}");
        assert_eq!(names(&uses.includes), ["a.j2", "b.j2"]);
        assert!(!uses.any_include);
        for text in [
            "{% include vars.x %}",
            "{% include ['a', 'b'] %}",
            "{% extends 'a' ~ vars.x %}",
            "{% extends 'a' if vars.x else 'b' %}",
        ] {
            assert!(of(text).any_include, "{text}");
        }
    }
}
