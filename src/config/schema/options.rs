//! `options`: DHCP options by code or name.

use serde_json::json;

use super::forms::{self, HEX};
use super::node::Node;
use crate::config::options::names;
use crate::config::written::options::VALUES;

/// A list of options; `description` says who gets them.
pub(super) fn options(description: &str) -> Node {
    Node::list(description, option())
        .example(json!([{ "code": 26, "u16": 1500 }, { "name": "root-path", "text": "/srv/root" }]))
}

fn option() -> Node {
    let known: Vec<&str> = names().collect();
    let number = |bits: u32| {
        Node::whole(
            &format!("The value: a whole number of {bits} bits."),
            0..=(1_i64 << bits) - 1,
        )
    };
    Node::table(
        "One option: `code` or `name`, and one value under the key of its type.",
        [
            (
                "code",
                Node::whole("The option's number. Those of the protocol itself (50 to 55, 57, 61, 82) are not for the configuration.", 1..=254).example(26),
            ),
            (
                "name",
                // Upper case is taken as well.
                Node::text("IANA's name of the option, or the one that other servers' files have.")
                    .with("anyOf", json!([{ "enum": known }, { "pattern": "[A-Z]" }]))
                    .example("root-path"),
            ),
            ("u8", number(8)),
            ("u16", number(16)),
            ("u32", number(32)),
            ("bool", Node::flag("The value: one byte, 1 or 0.")),
            ("text", Node::text("The value: a text. In a profile it is a template.")),
            (
                "ip",
                Node::one_or_list("The value: an IPv4 address, or several.", Node::like("", forms::ADDRESS)),
            ),
            ("hex", Node::like("The value: bytes in hexadecimal digits.", HEX).example("01:02:ff")),
            (
                "force",
                Node::flag("Sent also to machines that do not ask for it.").default(false),
            ),
        ],
    )
    .also(json!({ "anyOf": [{ "required": ["code"] }, { "required": ["name"] }] }))
    .also(json!({ "oneOf": VALUES.map(|key| json!({ "required": [key] })) }))
}
