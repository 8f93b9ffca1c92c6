//! The file of secrets.

use serde_json::json;

use super::forms::{HOST, SECRET};
use super::node::Node;

/// The whole file.
pub(super) fn file() -> Node {
    let hosts = Node::named(
        "Secrets of one host, by its name: they stand before those of all hosts.",
        HOST,
        Node::named("The secrets of this host.", SECRET, secret()),
    );
    Node::named("Secrets of all hosts, by name.", SECRET, secret()).with(
        "properties",
        json!({ "hosts": serde_json::Value::from(hosts) }),
    )
}

fn value() -> Node {
    Node::like("The secret itself.", "\\S")
}

fn secret() -> Node {
    let table = Node::table(
        "A secret with more to say of it.",
        [
            ("value", value()),
            (
                "once",
                Node::flag("Never written into an answer: `secret_url` gives an address that answers once per attempt.")
                    .default(false),
            ),
        ],
    )
    .required(["value"]);
    Node::anything("Its value, or a table with `value` and `once`.").with(
        "anyOf",
        vec![serde_json::Value::from(value()), table.into()],
    )
}
