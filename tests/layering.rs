//! The layers of `src/lib.rs`, held against every path in `src/`.
//!
//! The table in the documentation of the crate is the law: a module imports only from layers below
//! its own or from its own layer, and modules of one layer do not depend on each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// `a::b` as its segments.
type ModulePath = Vec<String>;

/// Layers by module, as the table says. Modules with parts in different layers (`journal`) are listed
/// by their parts.
#[derive(Debug)]
struct Layers(BTreeMap<ModulePath, u32>);

impl Layers {
    /// Reads the rows `//! | L2 | [`config`], [`journal::event`] | … |`.
    fn of_crate_documentation(text: &str) -> Self {
        let mut layers = BTreeMap::new();
        for line in text.lines() {
            let Some(row) = line.strip_prefix("//! | L") else {
                continue;
            };
            let mut cells = row.split('|');
            let number = cells.next().and_then(|cell| cell.trim().parse().ok());
            let (Some(number), Some(modules)) = (number, cells.next()) else {
                continue;
            };
            for module in modules.split("[`").skip(1) {
                let Some((name, _)) = module.split_once("`]") else {
                    continue;
                };
                let path: ModulePath = name.split("::").map(str::to_owned).collect();
                assert!(
                    layers.insert(path, number).is_none(),
                    "{name} stands twice in the table"
                );
            }
        }
        Self(layers)
    }

    /// The layer of the longest listed module that `path` lies in, and that module. A module that is
    /// listed only by its parts is as high as its highest part.
    fn of(&self, path: &[String]) -> Option<(ModulePath, u32)> {
        for length in (1..=path.len()).rev() {
            if let Some(layer) = self.0.get(&path[..length]) {
                return Some((path[..length].to_vec(), *layer));
            }
        }
        let first = path.first()?;
        self.0
            .iter()
            .filter(|(module, _)| module.first() == Some(first))
            .map(|(_, layer)| *layer)
            .max()
            .map(|layer| (vec![first.clone()], layer))
    }
}

/// Source text without comments, strings and characters, so that paths in them are not taken for code.
fn code_only(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let get = |at: usize| bytes.get(at).copied().unwrap_or('\0');
    while at < bytes.len() {
        let c = get(at);
        if c == '/' && get(at + 1) == '/' {
            while at < bytes.len() && get(at) != '\n' {
                at += 1;
            }
        } else if c == '/' && get(at + 1) == '*' {
            let mut depth = 1;
            at += 2;
            while at < bytes.len() && depth > 0 {
                match (get(at), get(at + 1)) {
                    ('/', '*') => (depth, at) = (depth + 1, at + 2),
                    ('*', '/') => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
            }
        } else if c == 'r'
            && matches!(get(at + 1), '"' | '#')
            && !out.ends_with(|c: char| c.is_alphanumeric() || c == '_')
            && raw_string_hashes(&bytes, at + 1).is_some()
        {
            let hashes = raw_string_hashes(&bytes, at + 1).unwrap_or(0);
            at += 2 + hashes;
            while at < bytes.len()
                && !(get(at) == '"' && (1..=hashes).all(|offset| get(at + offset) == '#'))
            {
                at += 1;
            }
            at += 1 + hashes;
            out.push_str("\"\"");
        } else if c == '"' {
            at += 1;
            while at < bytes.len() && get(at) != '"' {
                at += if get(at) == '\\' { 2 } else { 1 };
            }
            at += 1;
            out.push_str("\"\"");
        } else if c == '\'' && (get(at + 1) == '\\' || get(at + 2) == '\'') {
            at += if get(at + 1) == '\\' { 3 } else { 2 };
            while at < bytes.len() && get(at) != '\'' {
                at += 1;
            }
            at += 1;
            out.push_str("' '");
        } else {
            out.push(c);
            at += 1;
        }
    }
    out
}

/// The number of `#` when a raw string begins here.
fn raw_string_hashes(chars: &[char], mut at: usize) -> Option<usize> {
    let start = at;
    while chars.get(at) == Some(&'#') {
        at += 1;
    }
    (chars.get(at) == Some(&'"')).then_some(at - start)
}

/// Words, `::`, and single signs.
fn tokens(code: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".into());
        } else if !c.is_whitespace() {
            tokens.push(c.into());
        }
    }
    tokens
}

/// Every path into the crate that a file names, from its root. `module` is the file's own path.
fn paths(text: &str, module: &[String]) -> BTreeSet<ModulePath> {
    let tokens = tokens(&code_only(text));
    let word = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut found = BTreeSet::new();
    // Inline modules that are open, with the depth of braces outside them.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for at in 0..tokens.len() {
        match word(at) {
            "{" => {
                if at >= 2 && word(at - 2) == "mod" {
                    inside.push((word(at - 1).to_owned(), depth));
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if inside.last().is_some_and(|(_, outside)| *outside == depth) {
                    inside.pop();
                }
            }
            "crate" | "bootwright"
                if word(at + 1) == "::" && !matches!(word(at.wrapping_sub(1)), "$" | "::") =>
            {
                collect(&tokens, at + 2, &[], &mut found);
            }
            "super" if word(at + 1) == "::" && word(at.wrapping_sub(1)) != "::" => {
                let mut base: ModulePath = module.to_vec();
                base.extend(inside.iter().map(|(name, _)| name.clone()));
                base.pop();
                let mut at = at + 2;
                while word(at) == "super" && word(at + 1) == "::" {
                    base.pop();
                    at += 2;
                }
                collect(&tokens, at, &base, &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Reads a path or a group of paths that begins at `at`; returns where it ends.
fn collect(
    tokens: &[String],
    mut at: usize,
    base: &[String],
    found: &mut BTreeSet<ModulePath>,
) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", String::as_str);
    let mut path = base.to_vec();
    loop {
        if word(at) == "{" {
            at += 1;
            while at < tokens.len() && word(at) != "}" {
                if word(at) == "," {
                    at += 1;
                } else {
                    at = collect(tokens, at, &path, found).max(at + 1);
                }
            }
            return at + 1;
        }
        let is_name = word(at)
            .chars()
            .next()
            .is_some_and(|c| c.is_alphanumeric() || c == '_');
        if is_name {
            if word(at) != "self" {
                path.push(word(at).to_owned());
            }
            at += 1;
        }
        if is_name && word(at) == "::" {
            at += 1;
            continue;
        }
        if is_name && word(at) == "as" {
            at += 2;
        }
        if !path.is_empty() {
            found.insert(path);
        }
        return at;
    }
}

/// One import that the layers forbid, in words.
fn violations(
    layers: &Layers,
    reexports: &BTreeMap<ModulePath, ModulePath>,
    module: &[String],
    text: &str,
    edges: &mut BTreeSet<(ModulePath, ModulePath)>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = module.join("::");
    let Some((own, own_layer)) = layers.of(module) else {
        return vec![format!(
            "{name} has no layer: add it to the table in src/lib.rs"
        )];
    };
    for path in paths(text, module) {
        let path = match path.get(..2).and_then(|start| reexports.get(start)) {
            Some(target) => target.clone(),
            None => path,
        };
        // What is not in the table is an item of the crate's root or of the module itself.
        let Some((target, layer)) = layers.of(&path) else {
            continue;
        };
        if layer > own_layer {
            wrong.push(format!(
                "{name} (L{own_layer}) imports {} (L{layer})",
                path.join("::")
            ));
        } else if layer == own_layer && target.first() != own.first() {
            edges.insert((own.clone(), target));
        }
    }
    wrong
}

/// Modules of one layer that depend on each other in a circle.
fn circles(edges: &BTreeSet<(ModulePath, ModulePath)>) -> Vec<String> {
    let reaches = |from: &ModulePath, to: &ModulePath| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            for (_, target) in edges.iter().filter(|(source, _)| source == at) {
                if target == to {
                    return true;
                }
                if seen.insert(target) {
                    next.push(target);
                }
            }
        }
        false
    };
    edges
        .iter()
        .filter(|(from, to)| from < to && reaches(to, from))
        .map(|(from, to)| {
            format!(
                "{} and {} import each other",
                from.join("::"),
                to.join("::")
            )
        })
        .collect()
}

/// `pub use event::{Event, Kind}` in `journal/mod.rs`: `journal::Event` is `journal::event::Event`.
fn reexports(layers: &Layers, source: &Path) -> BTreeMap<ModulePath, ModulePath> {
    let mut map = BTreeMap::new();
    let split: BTreeSet<&String> = layers
        .0
        .keys()
        .filter(|path| path.len() > 1)
        .filter_map(|path| path.first())
        .collect();
    for module in split {
        let text = std::fs::read_to_string(source.join(module).join("mod.rs")).unwrap();
        let tokens = tokens(&code_only(&text));
        for at in 1..tokens.len() {
            if tokens[at] == "use" && tokens[at - 1] == "pub" {
                let mut found = BTreeSet::new();
                collect(&tokens, at + 1, std::slice::from_ref(module), &mut found);
                for path in found {
                    if let Some(item) = path.last() {
                        map.insert(vec![module.clone(), item.clone()], path);
                    }
                }
            }
        }
    }
    map
}

/// The Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `a::b`.
fn module_of(source: &Path, file: &Path) -> ModulePath {
    let mut path: ModulePath = file
        .strip_prefix(source)
        .unwrap()
        .with_extension("")
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn law() -> Layers {
    Layers::of_crate_documentation(&std::fs::read_to_string(source().join("lib.rs")).unwrap())
}

#[test]
fn no_module_imports_upwards() {
    let source = source();
    let layers = law();
    let reexports = reexports(&layers, &source);
    let mut edges = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in rust_files(&source) {
        let module = module_of(&source, &file);
        if module == ["lib"] || module == ["main"] {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        wrong.extend(violations(&layers, &reexports, &module, &text, &mut edges));
        checked += 1;
    }
    wrong.extend(circles(&edges));
    assert!(checked > 20, "only {checked} files found below src");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_listed_module_is_there() {
    let source = source();
    for module in law().0.keys() {
        let path = source.join(module.iter().collect::<PathBuf>());
        assert!(
            path.with_extension("rs").is_file() || path.join("mod.rs").is_file(),
            "the table in src/lib.rs lists {}, which is not there",
            module.join("::")
        );
    }
}

/// What the checker says of a file at `module` with this text.
fn judge(module: &str, text: &str) -> Vec<String> {
    let layers = law();
    let module: ModulePath = module.split("::").map(str::to_owned).collect();
    let reexports = reexports(&layers, &source());
    violations(&layers, &reexports, &module, text, &mut BTreeSet::new())
}

#[test]
fn planted_violations_are_found() {
    for (module, text) in [
        ("base::mac", "use crate::wire::dhcp::Request;"),
        (
            "config::check",
            "use crate::{base::HostName, store::AnyStore};",
        ),
        (
            "decide::dhcp",
            "fn f() { let s = crate::serve::installs::Applied::default(); }",
        ),
        ("decide::dhcp", "use super::super::store::AnyStore;"),
        ("record::state", "use crate::journal::Journal;"),
        (
            "record::state",
            "use crate::journal::{event::Kind, log::Filter as F};",
        ),
        (
            "store",
            "mod tests { use super::super::serve::installs::Installs; }",
        ),
    ] {
        assert_eq!(judge(module, text).len(), 1, "{module}: {text}");
    }
    assert!(judge("nowhere::at_all", "").concat().contains("no layer"));
}

#[test]
fn what_is_allowed_is_not_reported() {
    for (module, text) in [
        (
            "serve::installs",
            "use crate::{base::HostName, store::AnyStore, journal::Journal};",
        ),
        (
            "record::state",
            "use crate::journal::{Event, Kind, event::Reason};",
        ),
        (
            "record::state",
            "// use crate::serve::x;\n/* crate::serve::y */ const A: &str = \"crate::serve::z\";",
        ),
        (
            "record::state",
            "const A: &str = r#\"crate::serve::z \" \"#; const C: char = '\"'; // crate::serve",
        ),
        (
            "record::state",
            "mod tests { use super::*; fn f<'a>(x: &'a str) {} }",
        ),
        ("decide::dhcp", "use super::{Stage, plan::Plan};"),
    ] {
        assert_eq!(
            judge(module, text),
            Vec::<String>::new(),
            "{module}: {text}"
        );
    }
}

#[test]
fn circles_within_a_layer_are_found() {
    let layers = law();
    let mut edges = BTreeSet::new();
    for (module, text) in [
        ("config::check", "use crate::record::Record;"),
        ("record::state", "use crate::config::Snapshot;"),
    ] {
        let module: ModulePath = module.split("::").map(str::to_owned).collect();
        violations(&layers, &BTreeMap::new(), &module, text, &mut edges);
    }
    assert_eq!(circles(&edges).len(), 1);
}
