//! JSON, and in it Ignition's configuration (coreos.github.io/ignition).

use std::collections::HashSet;

use serde_json::Value;

use super::tree::{self, Node};
use super::{Finding, one_line, shortened};
use crate::render::paths::is_url;

/// Any JSON.
pub(super) fn check(text: &str) -> Vec<Finding> {
    match read(text) {
        Ok(node) => node.iter().flat_map(tree::twice).collect(),
        Err(finding) => vec![finding],
    }
}

/// Reads JSON; the tree with its lines is there unless it is nested deeply.
fn read(text: &str) -> Result<Option<Node>, Finding> {
    if let Err(error) = serde_json::from_str::<Value>(text) {
        let told = error.to_string();
        let end = format!(" at line {} column {}", error.line(), error.column());
        let told = told.strip_suffix(&end).unwrap_or(&told);
        return Err(Finding::wrong(
            error.line().max(1),
            format!("it is no JSON: {}", one_line(told)),
        )
        .help("values are written by the filter `tojson`, which quotes them"));
    }
    // Every JSON is YAML, whose parser tells lines.
    Ok(tree::parse(text).ok().flatten())
}

pub(super) fn read_object(text: &str, what: &str) -> Result<Option<Node>, Vec<Finding>> {
    let node = read(text).map_err(|finding| vec![finding])?;
    match node {
        Some(node) if node.is_no_map() => Err(vec![Finding::wrong(
            node.line,
            format!("{what} is an object, and this is none"),
        )]),
        node => Ok(node),
    }
}

/// An Ignition configuration.
pub(super) fn ignition(text: &str) -> Vec<Finding> {
    let node = match read_object(text, "an Ignition configuration") {
        Ok(Some(node)) => node,
        Ok(None) => return Vec::new(),
        Err(findings) => return findings,
    };
    let mut findings = tree::twice(&node);
    let version = node
        .get("ignition")
        .and_then(|ignition| ignition.get("version"));
    match version {
        None => findings.push(
            Finding::wrong(
                node.line,
                "it has no `ignition.version`, by which Ignition knows its configurations",
            )
            .help("write `\"ignition\": {\"version\": \"3.3.0\"}`"),
        ),
        Some(version) => {
            let text = version.text().unwrap_or_default();
            if !is_version(text) {
                findings.push(
                    Finding::wrong(
                        version.line,
                        format!(
                            "`{}` is no version of Ignition's configurations",
                            shortened(text)
                        ),
                    )
                    .help("write such as \"3.3.0\""),
                );
            }
        }
    }
    let version_3 = version
        .and_then(Node::text)
        .is_some_and(|text| text.starts_with("3."));
    let list = |section: &str, key: &str| {
        let found = node.get(section).and_then(|section| section.get(key));
        found.map_or(&[][..], Node::elements)
    };
    let mut paths = HashSet::new();
    for file in list("storage", "files")
        .iter()
        .chain(list("storage", "directories"))
        .chain(list("storage", "links"))
    {
        match file.get("path").and_then(Node::text) {
            None if file.get("path").is_none() && file.entries().next().is_some() => {
                findings.push(Finding::wrong(
                    file.line,
                    "an entry of `storage` has no `path`",
                ));
            }
            Some(path) if !path.starts_with('/') => findings.push(Finding::wrong(
                file.line,
                format!("the path `{}` does not begin with `/`", shortened(path)),
            )),
            // Of version 2 there may be one on each file system.
            Some(path) if version_3 && !paths.insert(path) => findings.push(Finding::wrong(
                file.line,
                format!("the path `{}` stands twice in `storage`", shortened(path)),
            )),
            Some(_) | None => {}
        }
        let source = file
            .get("contents")
            .and_then(|contents| contents.get("source"));
        if let Some((source, text)) = source.and_then(|source| Some((source, source.text()?)))
            && !source.is_null()
            && !text.is_empty()
            && !text.starts_with("data:")
            && !is_url(text)
        {
            findings.push(
                Finding::wrong(source.line, "a `source` is a URL, and this is none").help(
                    "the text itself is written as `data:;base64,…`, by the filter `b64encode`",
                ),
            );
        }
    }
    let mut units = HashSet::new();
    for unit in list("systemd", "units") {
        if let Some(name) = unit.get("name").and_then(Node::text) {
            if !name.contains('.') {
                findings.push(Finding::wrong(
                    unit.line,
                    format!(
                        "`{}` is no name of a unit: its kind is missing, such as `.service`",
                        shortened(name)
                    ),
                ));
            }
            if !units.insert(name) {
                findings.push(Finding::wrong(
                    unit.line,
                    format!("the unit `{}` stands twice", shortened(name)),
                ));
            }
        }
    }
    findings
}

/// `3.4.0`, `2.2.0`, `3.5.0-experimental`.
fn is_version(text: &str) -> bool {
    let text = text.strip_suffix("-experimental").unwrap_or(text);
    let numbers: Vec<&str> = text.split('.').collect();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(numbers.as_slice(), ["2" | "3", _, _]) && numbers.iter().all(number)
}
