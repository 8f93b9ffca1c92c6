//! `bootwright host show NAME --explain`: which layer gives what, from the files alone.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::output::Format;
use super::{render, table};
use crate::config::explain::{Given, Origin};
use crate::config::source::{DiskFiles, Files};
use crate::config::{Severity, SourceMap, load};

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report {
    host: String,
    profile: Option<String>,
    given: Vec<ReportedGiven>,
    not_given: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ReportedGiven {
    key: String,
    value: toml::Value,
    from: ReportedOrigin,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    over: Vec<ReportedOrigin>,
}

#[derive(Debug, Serialize)]
struct ReportedOrigin {
    layer: &'static str,
    name: String,
    file: Option<String>,
    line: Option<usize>,
}

/// Explains a host and prints it. The result is the exit status.
pub fn run(config: &Path, host: &str, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    run_with(&DiskFiles, config, host, format, out)
}

/// As [`run`], over any files.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    host: &str,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let loaded = load(files, config);
    let snapshot = loaded
        .snapshot
        .as_ref()
        .with_context(|| format!("{} cannot be read", config.display()))?;
    let errors = loaded
        .problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    let name = match render::find(snapshot, host) {
        Ok(found) => found.name.clone(),
        // With errors in it the host may be there all the same.
        Err(unknown) => match host.parse() {
            Ok(name) if errors => name,
            _ => return Err(unknown),
        },
    };
    let (explained, sources) = load::explain(files, config, &name, None)
        .with_context(|| format!("there is no host {name}"))?;
    if format == Format::Json {
        let report = Report {
            host: explained.host.to_string(),
            profile: explained.profile.as_ref().map(ToString::to_string),
            given: explained
                .given
                .iter()
                .map(|given| ReportedGiven {
                    key: given.key.clone(),
                    value: given.value.clone(),
                    from: reported(&given.from, &sources),
                    over: given
                        .over
                        .iter()
                        .map(|over| reported(over, &sources))
                        .collect(),
                })
                .collect(),
            not_given: explained.not_given,
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        return Ok(0);
    }
    let rows: Vec<[String; 3]> = explained
        .given
        .iter()
        .map(|given| [given.key.clone(), value(given), from(given, &sources)])
        .collect();
    table::write(out, ["KEY", "VALUE", "FROM"], &rows)?;
    if !explained.not_given.is_empty() {
        writeln!(out, "\nnot given: {}", explained.not_given.join(", "))?;
    }
    if errors {
        writeln!(
            out,
            "\nthe configuration has errors: `bootwright check` shows them"
        )?;
    }
    Ok(0)
}

/// A value of one line that fits beside others.
fn value(given: &Given) -> String {
    const LONGEST: usize = 50;
    let text = given.value.to_string().replace('\n', " ");
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

fn from(given: &Given, sources: &SourceMap) -> String {
    let shown = |origin: &Origin| match place(origin, sources) {
        Some((file, line)) => format!("{} {file}:{line}", origin.layer),
        None => origin.layer.to_string(),
    };
    match given.over.first() {
        Some(over) => format!("{}, over {}", shown(&given.from), shown(over)),
        None => shown(&given.from),
    }
}

fn place(origin: &Origin, sources: &SourceMap) -> Option<(String, usize)> {
    let span = origin.span?;
    let source = sources.get(span.source)?;
    let (line, _) = sources.line_column(span)?;
    Some((source.path.display().to_string(), line))
}

fn reported(origin: &Origin, sources: &SourceMap) -> ReportedOrigin {
    let place = place(origin, sources);
    ReportedOrigin {
        layer: origin.layer.kind(),
        name: origin.layer.to_string(),
        file: place.as_ref().map(|(file, _)| file.clone()),
        line: place.map(|(_, line)| line),
    }
}
