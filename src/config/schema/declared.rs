//! Declarations of variables, and what stands beside a snippet.

use serde_json::json;

use super::forms::{self, VARIABLE};
use super::node::Node;
use crate::config::variables::VarKind;
use crate::config::written::profile::FAMILIES;

/// A file of variables.
pub(super) fn variables_file() -> Node {
    Node::named("A table for each variable.", VARIABLE, declaration())
}

/// The file beside a snippet.
pub(super) fn snippet_file() -> Node {
    Node::table(
        "",
        [
            (
                "title",
                forms::line("What it does, in one line.").example("Time by chrony"),
            ),
            (
                "families",
                Node::one_or_list(
                    "The families of operating systems that it is for; without it all.",
                    Node::word("", FAMILIES.map(|family| (family, ""))),
                ),
            ),
            (
                "variables",
                Node::named(
                    "The variables that it reads, a table for each.",
                    VARIABLE,
                    declaration(),
                ),
            ),
        ],
    )
}

fn declaration() -> Node {
    let kinds = VarKind::ALL.map(|(word, kind)| {
        let meaning = match kind {
            VarKind::Text => "a text",
            VarKind::Bool => "true or false",
            VarKind::Integer => "a whole number",
            VarKind::List => "a list; a single text stands for a list of one",
            VarKind::Table => "a table, which nearer layers add to",
            VarKind::Size => "a size such as \"20GiB\"; templates see the number of MiB",
        };
        (word, meaning)
    });
    Node::table(
        "One variable.",
        [
            ("type", Node::word("What its value is.", kinds)),
            ("default", Node::anything("Its value where nobody gives one.")),
            (
                "required",
                Node::flag("Somebody has to give it a value.").default(false),
            ),
            (
                "one_of",
                Node::list("The only values it may have; of a list: its elements.", Node::anything("")),
            ),
            ("help", forms::line("What it is for, in one sentence.")),
        ],
    )
    .required(["type"])
    .also(json!({ "not": { "required": ["required", "default"], "properties": { "required": { "const": true } } } }))
}
