//! XML, and AutoYaST's profiles in it (doc.opensuse.org, "AutoYaST Guide").

use std::collections::BTreeMap;

use roxmltree::{Document, Node, ParsingOptions};

use super::{Finding, one_line, shortened};

const PROFILE: &str = "http://www.suse.com/1.0/yast2ns";
const TYPES: &str = "http://www.suse.com/1.0/configns";

/// What `config:type` may be.
const KNOWN_TYPES: &[&str] = &[
    "boolean", "integer", "list", "map", "string", "symbol", "disksize",
];

/// Kinds of scripts.
const SCRIPTS: &[&str] = &[
    "pre-scripts",
    "postpartitioning-scripts",
    "chroot-scripts",
    "post-scripts",
    "init-scripts",
];

/// Elements of the profile itself that are lists.
const LISTS: &[&str] = &["partitioning", "users", "groups"];

/// Reads a document. The finding tells why it is none.
pub(super) fn document(text: &str) -> Result<Document<'_>, Finding> {
    // AutoYaST's profiles name a document type, which is not looked at.
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(text, options).map_err(|error| {
        let pos = error.pos();
        let told = error.to_string();
        let told = told
            .strip_suffix(&format!(" at {}:{}", pos.row, pos.col))
            .unwrap_or(&told);
        Finding::wrong(
            usize::try_from(pos.row).unwrap_or(1).max(1),
            format!("it is no XML: {}", one_line(told)),
        )
        .help("values are written by the filter `e`")
    })
}

pub(super) fn check(text: &str) -> Vec<Finding> {
    let document = match document(text) {
        Ok(document) => document,
        Err(finding) => return vec![finding],
    };
    let line = |node: Node<'_, '_>| {
        let row = document.text_pos_at(node.range().start).row;
        usize::try_from(row).unwrap_or(1).max(1)
    };
    let root = document.root_element();
    let mut findings = Vec::new();
    if root.tag_name().name() != "profile" || root.tag_name().namespace() != Some(PROFILE) {
        findings.push(
            Finding::wrong(
                line(root),
                format!(
                    "an AutoYaST profile is an element `profile` of the name space {PROFILE}, and this is `{}`",
                    shortened(root.tag_name().name())
                ),
            )
            .help("begin it with <profile xmlns=\"http://www.suse.com/1.0/yast2ns\" xmlns:config=\"http://www.suse.com/1.0/configns\">"),
        );
        return findings;
    }
    for node in root.descendants().filter(Node::is_element) {
        typed(node, line(node), &mut findings);
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for node in root.children().filter(Node::is_element) {
        let name = node.tag_name().name();
        let number = line(node);
        if let Some(first) = seen.insert(name, number) {
            findings.push(
                Finding::doubtful(
                    number,
                    format!("<{}> stands in line {first} too", shortened(name)),
                )
                .help("put the contents of the two into one"),
            );
        }
        if LISTS.contains(&name) {
            listed(node, number, &mut findings);
        }
        if name == "scripts" {
            for kind in node.children().filter(Node::is_element) {
                scripts(kind, &line, &mut findings);
            }
        }
    }
    findings
}

/// The type that an element says it has: by `config:type`, or its short forms `type` and `t`.
fn type_of<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    node.attribute((TYPES, "type"))
        .or_else(|| node.attribute("t"))
}

fn typed(node: Node<'_, '_>, line: usize, findings: &mut Vec<Finding>) {
    let Some(kind) = type_of(node) else { return };
    let name = shortened(node.tag_name().name());
    let text = || node.text().unwrap_or_default().trim();
    let alone = !node.children().any(|child| child.is_element());
    match kind {
        "boolean" if alone && !matches!(text(), "true" | "false") => findings.push(Finding::wrong(
            line,
            format!(
                "<{name}> is a boolean, and `{}` is neither true nor false",
                shortened(text())
            ),
        )),
        "integer" if alone && text().parse::<i64>().is_err() => findings.push(Finding::wrong(
            line,
            format!(
                "<{name}> is an integer, and `{}` is none",
                shortened(text())
            ),
        )),
        kind if !KNOWN_TYPES.contains(&kind) => findings.push(Finding::wrong(
            line,
            format!(
                "<{name}> has the type `{}`, which there is not; {} are the types",
                shortened(kind),
                KNOWN_TYPES.join(", ")
            ),
        )),
        _ => {}
    }
}

/// An element that AutoYaST takes for a list only when it is told.
fn listed(node: Node<'_, '_>, line: usize, findings: &mut Vec<Finding>) {
    let is_list = node.attribute("type").or_else(|| type_of(node)) == Some("list");
    let has_elements = node.children().any(|child| child.is_element());
    if has_elements && !is_list {
        let name = node.tag_name().name();
        findings.push(
            Finding::wrong(line, format!("<{name}> is a list and does not say so"))
                .help("write config:type=\"list\" into its tag"),
        );
    }
}

fn scripts(kind: Node<'_, '_>, line: &dyn Fn(Node<'_, '_>) -> usize, findings: &mut Vec<Finding>) {
    let name = kind.tag_name().name();
    if !SCRIPTS.contains(&name) {
        findings.push(Finding::doubtful(
            line(kind),
            format!(
                "<scripts> knows no <{}>; {} are its kinds",
                shortened(name),
                SCRIPTS.join(", ")
            ),
        ));
        return;
    }
    listed(kind, line(kind), findings);
    for script in kind.children().filter(Node::is_element) {
        let has = |name: &str| {
            let mut children = script.children().filter(Node::is_element);
            children.any(|child| child.tag_name().name() == name)
        };
        if !has("source") && !has("location") {
            findings.push(Finding::wrong(
                line(script),
                format!("a script of <{name}> has neither <source> nor <location>"),
            ));
        }
    }
}
