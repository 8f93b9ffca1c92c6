//! JSON Schema of every file: for editors, which complete, explain and check with it what is being typed.
//!
//! The schemas are draft-07, with hints for taplo (`x-taplo`). They are written beside the reader
//! (`config::written`), not made from it: they carry the words for people.
//!
//! **Invariant:** what the reader takes, a schema takes. Each table has just the keys that the reader knows, and the
//! words of a choice are the reader's own; both are held together by tests here and in `tests/config/schema.rs`.

mod declared;
mod forms;
mod node;
mod options;
mod profile;
mod reservations;
mod secrets;
mod server;

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use self::node::Node;

/// The kinds of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// `bootwright.toml`.
    Server,
    /// Hosts, groups and defaults.
    Reservations,
    /// `profiles/NAME.toml`.
    Profile,
    /// The file of secrets.
    Secrets,
    /// `templates/…/variables.toml`.
    Variables,
    /// `templates/snippets/NAME.toml`.
    Snippet,
}

impl File {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Server,
        Self::Reservations,
        Self::Profile,
        Self::Secrets,
        Self::Variables,
        Self::Snippet,
    ];

    /// The word for it on the command line and in file names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Reservations => "reservations",
            Self::Profile => "profile",
            Self::Secrets => "secrets",
            Self::Variables => "variables",
            Self::Snippet => "snippet",
        }
    }

    /// Which files they are, for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Server => "bootwright.toml: the daemon's own settings",
            Self::Reservations => "reservations: defaults, groups and hosts",
            Self::Profile => "profiles/NAME.toml: an operating system, live system or tool",
            Self::Secrets => "secrets.toml: passwords and keys",
            Self::Variables => "templates/…/variables.toml: what may be given in `vars`",
            Self::Snippet => "templates/snippets/NAME.toml: what a snippet is and needs",
        }
    }

    /// The name of a file that holds its schema.
    pub fn file_name(self) -> String {
        format!("{self}.schema.json")
    }

    /// Its schema.
    pub fn schema(self) -> Value {
        let root = match self {
            Self::Server => server::file(),
            Self::Reservations => reservations::file(),
            Self::Profile => profile::file(),
            Self::Secrets => secrets::file(),
            Self::Variables => declared::variables_file(),
            Self::Snippet => declared::snippet_file(),
        };
        root.with("$schema", "http://json-schema.org/draft-07/schema#")
            .with("title", format!("Bootwright, {}", self.describe()))
            .into()
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for File {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|file| file.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no kind of file"))
    }
}

/// The variables of a layer.
fn vars(description: &str) -> Node {
    Node::open_table(description).with("propertyNames", serde_json::json!({ "minLength": 1 }))
}

#[cfg(test)]
mod tests;
