//! Hooks: who is told of which events.

use std::time::Duration;

use super::source::Span;
use crate::journal::event::Kind;

/// Who is told of events: a URL that they are posted to, or a program that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Where they go.
    pub target: HookTarget,
    /// Which events: names, or patterns with `*` such as `install.*`.
    pub events: Vec<String>,
    /// The name of the secret that signs them.
    pub secret: Option<String>,
    /// Longest time for one delivery.
    pub timeout: Duration,
    /// Where it stands.
    pub span: Option<Span>,
}

impl Hook {
    /// Whether an event of this kind is told: when one of its patterns fits, and never when it is about
    /// hooks themselves.
    pub fn wants(&self, kind: Kind) -> bool {
        kind.is_for_hooks()
            && self
                .events
                .iter()
                .any(|pattern| Self::matches_pattern(pattern, kind.as_str()))
    }

    /// Whether a name fits a pattern in which `*` stands for any run of characters.
    pub fn matches_pattern(pattern: &str, name: &str) -> bool {
        let mut parts = pattern.split('*');
        let head = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(head) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // The leftmost place of each part leaves the most room for the next.
        for part in parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

impl std::fmt::Display for Hook {
    /// The receiver, short: of a URL the server only, because paths of webhooks are often secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.target {
            HookTarget::Url(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
                let server = rest.split(['/', '?']).next().unwrap_or(rest);
                write!(f, "{scheme}://{server}")
            }
            HookTarget::Exec(command) => f.write_str(command.first().map_or("", String::as_str)),
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookTarget {
    /// Posted to this URL as JSON.
    Url(String),
    /// Given to this program on its standard input.
    Exec(Vec<String>),
}
