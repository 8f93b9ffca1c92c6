//! One item of a collection, and of which collection it is.

use crate::import::json::{Json, Node};

/// What Cobbler writes where a value comes from above.
const INHERIT: &str = "<<inherit>>";

/// The collection of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Distro,
    Profile,
    System,
    /// A network card of a system, which Cobbler 3.4 keeps apart.
    Interface,
    Other,
}

/// One item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub kind: Kind,
    pub file: &'a str,
    pub name: &'a str,
    pub node: &'a Node,
}

impl<'a> Item<'a> {
    /// A value of its own: not empty, and not inherited.
    pub(super) fn own(&self, key: &str) -> Option<&'a Node> {
        self.node
            .get(key)
            .filter(|node| !node.is_empty() && node.text() != Some(INHERIT))
    }

    /// Whether it says this itself.
    pub(super) fn is_own(&self, key: &str) -> bool {
        self.own(key).is_some()
    }

    /// A text of its own.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.own(key)?
            .text()
            .map(str::trim)
            .filter(|text| !text.is_empty() && *text != "~")
    }

    /// The line of a key, or of the item.
    pub(super) fn line(&self, key: &str) -> usize {
        self.node.get(key).map_or(self.node.line, |node| node.line)
    }
}

/// Finds the items of a file: one, a list of them, or lists by the names of collections.
pub(super) fn collect<'a>(file: &'a str, top: &'a Node, items: &mut Vec<Item<'a>>) {
    let by_path = of_path(file);
    match &top.value {
        Json::List(elements) => {
            for node in elements {
                one(file, node, by_path, items);
            }
        }
        Json::Object(entries) if top.get("name").is_none() => {
            for entry in entries {
                let kind = of_word(&entry.key);
                match &entry.node.value {
                    Json::List(elements) => {
                        for node in elements {
                            one(file, node, kind.or(by_path), items);
                        }
                    }
                    // By name.
                    Json::Object(inner) if kind.is_some() => {
                        for entry in inner {
                            one(file, &entry.node, kind, items);
                        }
                    }
                    _ => {}
                }
            }
        }
        _ => one(file, top, by_path, items),
    }
}

fn one<'a>(file: &'a str, node: &'a Node, kind: Option<Kind>, items: &mut Vec<Item<'a>>) {
    let Some(name) = node.get("name").and_then(Node::text) else {
        return;
    };
    let has = |key: &str| node.get(key).is_some();
    let told = if has("interfaces") {
        Some(Kind::System)
    } else if has("system_uid") || has("mac_address") {
        Some(Kind::Interface)
    } else if has("kernel") && has("initrd") {
        Some(Kind::Distro)
    } else if has("distro") {
        Some(Kind::Profile)
    } else if has("hostname") && has("profile") {
        Some(Kind::System)
    } else {
        None
    };
    items.push(Item {
        kind: told.or(kind).unwrap_or(Kind::Other),
        file,
        name,
        node,
    });
}

/// The collection that a file lies in.
fn of_path(file: &str) -> Option<Kind> {
    file.rsplit('/').skip(1).find_map(of_word)
}

fn of_word(word: &str) -> Option<Kind> {
    match word.trim_end_matches(".d") {
        "systems" | "system" => Some(Kind::System),
        "profiles" | "profile" => Some(Kind::Profile),
        "distros" | "distro" => Some(Kind::Distro),
        "network_interfaces" | "network_interface" => Some(Kind::Interface),
        "images" | "repos" | "mgmtclasses" | "packages" | "files" | "menus" | "templates" => {
            Some(Kind::Other)
        }
        _ => None,
    }
}
