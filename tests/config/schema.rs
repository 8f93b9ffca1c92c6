//! The schemas that editors use against the reader: what the reader takes they take, and what it refuses of keys and
//! types they refuse, but for what is named here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bootwright::config::schema::File;
use bootwright::config::source::{Files as _, MemoryFiles};
use bootwright::config::{LoadedConfig, Problem, Severity, load};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::files::{GOOD_MAIN, MAIN, with};

static VALIDATORS: LazyLock<Vec<Validator>> = LazyLock::new(|| {
    File::ALL
        .iter()
        .map(|file| jsonschema::validator_for(&file.schema()).unwrap())
        .collect()
});

fn validator(file: File) -> &'static Validator {
    &VALIDATORS[File::ALL.iter().position(|other| *other == file).unwrap()]
}

/// Mistakes that no schema can see, or that ours let pass on purpose, by the name of their test.
const LET_PASS: &[(&str, &str)] = &[
    (
        "fetch_by_a_pointer_into_nothing",
        "what [fetch] lacks is seen at a file of it",
    ),
    ("pools_that_are_no_ranges", "which address comes first"),
    ("name_of_a_profile_file", "how the file is called"),
];

/// The codes of what a schema can see: keys, types and forms of values in one file.
fn is_for_schemas(code: &str) -> bool {
    code.starts_with("bad-")
        || matches!(
            code,
            "unknown-key"
                | "wrong-type"
                | "missing-key"
                | "out-of-range"
                | "empty-list"
                | "empty-secret"
                | "not-available"
                | "not-together"
                | "two-values"
                | "profile-options"
                | "lifecycle"
                | "unknown-arch"
                | "unknown-event"
                | "unknown-firmware"
                | "unknown-option"
                | "unknown-warning"
                | "required-with-default"
                | "boot-without-address"
        )
}

/// Which kind of file this is.
fn kind(path: &Path) -> Option<File> {
    let text = path.to_str()?;
    if path.extension()? != "toml" {
        return None;
    }
    let below = text.rsplit_once("config/").map_or(text, |(_, below)| below);
    Some(match below {
        "bootwright.toml" => File::Server,
        "secrets.toml" => File::Secrets,
        _ if below.starts_with("profiles/") => File::Profile,
        _ if below.starts_with("templates/snippets/") => File::Snippet,
        _ if below.starts_with("templates/") => File::Variables,
        _ if below.contains('/') => return None,
        _ => File::Reservations,
    })
}

/// As editors hand it to a schema: dates are texts.
fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(to_json).collect(),
        toml::Value::Table(table) => table
            .into_iter()
            .map(|(key, value)| (key, to_json(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

/// What a schema has against a text; `None` where it is no TOML, or of no kind.
fn refusals(path: &Path, text: &str) -> Option<Vec<String>> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let value = to_json(toml::Value::Table(table));
    let errors = validator(kind(path)?).iter_errors(&value);
    Some(
        errors
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect(),
    )
}

/// The errors that stand in each file.
fn errors<'p>(loaded: &'p LoadedConfig, path: &Path) -> Vec<&'p Problem> {
    let of_file = |problem: &&Problem| {
        problem.severity == Severity::Error
            && problem.labels.iter().any(|label| {
                loaded
                    .sources
                    .get(label.span.source)
                    .is_some_and(|source| source.path == path)
            })
    };
    loaded.problems.iter().filter(of_file).collect()
}

fn all(files: &MemoryFiles) -> Vec<(PathBuf, String)> {
    files
        .list(Path::new("config"))
        .unwrap_or_default()
        .into_iter()
        .map(|path| {
            let text = files.read(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// A file without an error is good for its schema.
pub(crate) fn takes_what_is_good(files: &MemoryFiles, loaded: &LoadedConfig) {
    // What is not read is neither good nor bad.
    let is_read = |path: &Path| loaded.sources.iter().any(|source| source.path == path);
    for (path, text) in all(files) {
        if is_read(&path)
            && errors(loaded, &path).is_empty()
            && let Some(refusals) = refusals(&path, &text)
        {
            assert_eq!(refusals, [""; 0], "{}:\n{text}", path.display());
        }
    }
}

/// A file with a mistake that schemas can see is refused by its schema, unless it is let pass on purpose.
pub(crate) fn refuses_what_is_mistaken(test: &str, files: &MemoryFiles) {
    let loaded = load(files, Path::new(MAIN));
    let mut seen = Vec::new();
    for (path, text) in all(files) {
        let codes: BTreeSet<&str> = loaded
            .problems
            .iter()
            .filter(|problem| {
                let source = problem.labels.first().map(|label| label.span.source);
                problem.severity == Severity::Error
                    && is_for_schemas(problem.code)
                    && source
                        .and_then(|source| loaded.sources.get(source))
                        .is_some_and(|source| source.path == path)
            })
            .map(|problem| problem.code)
            .collect();
        if let Some(refusals) = refusals(&path, &text)
            && refusals.is_empty()
            && !codes.is_empty()
        {
            seen.push(format!("{}: {codes:?}", path.display()));
        }
    }
    let let_pass = LET_PASS.iter().find(|(name, _)| *name == test);
    match let_pass {
        None => assert!(
            seen.is_empty(),
            "the schema of {test} takes what the reader refuses: {seen:?}"
        ),
        Some(_) => assert!(
            !seen.is_empty(),
            "the schema refuses {test} by now: take it out of LET_PASS"
        ),
    }
}

/// All TOML files below a folder of this project.
fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(toml_files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn every_file_that_is_shipped_is_good_for_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = toml_files(&root.join("config"));
    assert!(files.len() > 60, "{}", files.len());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let below = path.strip_prefix(root).unwrap();
        let refusals = refusals(below, &text).unwrap();
        assert_eq!(refusals, [""; 0], "{}", below.display());
    }
}

/// Commented-out lines of the shipped configuration show keys as well.
#[test]
fn what_the_shipped_comments_show_is_good_too() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("config/bootwright.toml")).unwrap();
    let mut shown = String::new();
    for line in text.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let is_key = bare.split_once('=').is_some_and(|(key, _)| {
            key.trim()
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '_')
        });
        let bare = bare.replace("\"proxy\"", "\"authoritative\"");
        if bare.starts_with("[[") || is_key || !line.starts_with('#') {
            shown.push_str(&bare);
            shown.push('\n');
        }
    }
    let refusals = refusals(Path::new("config/bootwright.toml"), &shown);
    assert_eq!(refusals.expect(&shown), [""; 0], "{shown}");
}

/// Writing down what a schema calls the default changes nothing.
#[test]
fn defaults_are_the_defaults() {
    let schema = File::Server.schema();
    let mut written = GOOD_MAIN.to_owned();
    let mut count = 0;
    for (table, node) in schema["properties"].as_object().unwrap() {
        if node["type"] == "array" {
            continue;
        }
        let mut lines = String::new();
        for (key, node) in node["properties"].as_object().into_iter().flatten() {
            if let Some(default) = node.get("default") {
                let _ = writeln!(lines, "{key} = {default}");
                count += 1;
            }
        }
        if let Some(loaders) = node["properties"]["loaders"]["properties"].as_object() {
            let inner: Vec<String> = loaders
                .iter()
                .map(|(name, node)| format!("{name} = {}", node["default"]))
                .collect();
            let _ = writeln!(lines, "loaders = {{ {} }}", inner.join(", "));
        }
        if table == "server" {
            written = written.replacen("[server]\n", &format!("[server]\n{lines}"), 1);
        } else {
            let _ = write!(written, "[{table}]\n{lines}");
        }
    }
    assert!(count > 20, "{count}");
    let server = |main: &str| {
        let files = with(&[
            (MAIN, main),
            ("boot-assets/x", ""),
            ("config/templates/x", ""),
        ]);
        let loaded = load(&files, Path::new(MAIN));
        assert!(
            errors(&loaded, Path::new(MAIN)).is_empty(),
            "{main}\n{:?}",
            loaded.problems
        );
        format!("{:#?}", loaded.snapshot.unwrap().server)
    };
    assert_eq!(server(&written), server(GOOD_MAIN), "{written}");
}

/// `docs/schemas` is what the command writes.
#[test]
fn the_shipped_schemas_are_those_of_this_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    for file in File::ALL {
        let shipped = std::fs::read_to_string(folder.join(file.file_name())).unwrap_or_default();
        let shipped: Value = serde_json::from_str(&shipped).unwrap_or_default();
        assert!(
            shipped == file.schema(),
            "run `bootwright schema --into docs/schemas`"
        );
    }
}

/// The rules for editors name schemas that there are, for files that there are.
#[test]
fn the_rules_of_the_repository_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules: toml::Table =
        toml::from_str(&std::fs::read_to_string(root.join(".taplo.toml")).unwrap()).unwrap();
    let rules = rules["rule"].as_array().unwrap();
    assert_eq!(rules.len(), File::ALL.len());
    for rule in rules {
        let schema = rule["schema"]["path"].as_str().unwrap();
        assert!(root.join(schema).is_file(), "{schema}");
    }
}
