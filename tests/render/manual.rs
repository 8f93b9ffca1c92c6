//! The manual's tables, held against the declarations that they are made of.

use std::fmt::Write as _;
use std::fs;

use bootwright::config::variables::Declarations;

use crate::fixture::{root, shipped_profile, shipped_snapshot};

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The variables of all families: those of the common file.
fn variables() -> String {
    let common: toml::Table = fs::read_to_string(root().join("config/templates/variables.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let profile = shipped_profile("debian-12");
    let mut rows = String::new();
    for (name, declared) in profile
        .variables
        .iter()
        .filter(|(name, _)| common.contains_key(*name))
    {
        let mut default = declared
            .default
            .as_ref()
            .map_or_else(String::new, |value| format!("`{value}`"));
        if declared.required {
            "has to be given".clone_into(&mut default);
        }
        let mut help = declared.help.clone().unwrap_or_default();
        if !declared.one_of.is_empty() {
            let words: Vec<String> = declared
                .one_of
                .iter()
                .map(|word| format!("`{word}`"))
                .collect();
            let _ = write!(help, " ({})", words.join(", "));
        }
        let _ = writeln!(
            rows,
            "| `{name}` | {} | {default} | {} |",
            declared.kind.as_str(),
            cell(&help)
        );
    }
    rows
}

fn snippets() -> String {
    let names = |variables: &Declarations, required: bool| {
        let names = variables
            .iter()
            .filter(|(_, declared)| declared.required == required);
        let names: Vec<String> = names.map(|(name, _)| format!("`{name}`")).collect();
        names.join(", ")
    };
    let mut rows = String::new();
    for (name, snippet) in &shipped_snapshot().snippets {
        let only = match snippet.families.as_slice() {
            [] => String::new(),
            some => format!(" ({} only)", some.join(", ")),
        };
        let _ = writeln!(
            rows,
            "| `{name}` | {}{only} | {} | {} |",
            cell(&snippet.title),
            names(&snippet.variables, true),
            names(&snippet.variables, false)
        );
    }
    rows
}

#[test]
fn the_tables_of_the_manual_are_those_of_the_declarations() {
    let path = root().join("docs/profiles.md");
    let text = fs::read_to_string(&path).unwrap();
    for (rows, what) in [(variables(), "variables"), (snippets(), "snippets")] {
        assert!(
            text.contains(&rows),
            "docs/profiles.md has another table of {what}; it is to be:\n{rows}"
        );
    }
}

/// Each declaration says what the variable is for: `check` and the manual show it.
#[test]
fn every_declaration_is_explained() {
    let snapshot = shipped_snapshot();
    let of_profiles = snapshot
        .profiles()
        .values()
        .map(|profile| &profile.variables);
    let of_snippets = snapshot.snippets.values().map(|snippet| &snippet.variables);
    for (name, declared) in of_profiles.chain(of_snippets).flatten() {
        assert!(declared.help.is_some(), "{name}");
    }
}
