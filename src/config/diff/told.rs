//! A difference in words: in one line, and as a list of all of it.

use std::fmt;

use super::{FileChange, FileFate, HostChange, KeyChange, SnapshotDiff};
use crate::base::HostName;

/// How a difference reads where there is none.
pub const NOTHING: &str = "nothing changed";

/// How many names a line of text tells before it counts.
const TOLD: usize = 5;
/// How many changed hosts a line tells one by one.
const ONE_BY_ONE: usize = 3;
/// How many of a host's keys it tells.
const KEYS: usize = 4;
/// Longest value in the list, in characters.
const LONGEST: usize = 120;

/// `a, b and 3 more`.
fn few<T: ToString>(names: &[T]) -> String {
    let told: Vec<String> = names.iter().take(TOLD).map(ToString::to_string).collect();
    let told = told.join(", ");
    match names.len().checked_sub(TOLD) {
        Some(more @ 1..) => format!("{told} and {more} more"),
        _ => told,
    }
}

fn hosts(count: usize) -> String {
    match count {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    }
}

/// Two addresses, short where they are of one /24.
fn addresses(old: &str, new: &str) -> (String, String) {
    let last = |text: &str| text.rfind('.');
    match (last(old), last(new)) {
        (Some(at), Some(other)) if old.get(..at) == new.get(..other) => {
            let rest = |text: &str, at: usize| text.get(at..).unwrap_or_default().to_owned();
            (rest(old, at), rest(new, other))
        }
        _ => (old.to_owned(), new.to_owned()),
    }
}

/// A value, shortened.
fn value(text: Option<&str>) -> String {
    match text {
        None => "–".to_owned(),
        Some(text) if text.chars().count() > LONGEST => {
            text.chars().take(LONGEST).chain(['…']).collect()
        }
        Some(text) => text.to_owned(),
    }
}

impl KeyChange {
    /// What the line calls the key.
    fn word(&self) -> &str {
        match &*self.key {
            "ip" => "address",
            key => key,
        }
    }

    /// For the line of the event: values of variables are not in it.
    fn briefly(&self) -> String {
        let word = self.word();
        match (self.old.as_deref(), self.new.as_deref()) {
            _ if self.key.starts_with("vars.") => word.to_owned(),
            (None, None) => word.to_owned(),
            (Some(old), Some(new)) if self.key == "ip" => {
                let (old, new) = addresses(old, new);
                format!("{word} {old} → {new}")
            }
            (old, new) => format!("{word} {} → {}", value(old), value(new)),
        }
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.old.as_deref(), self.new.as_deref()) {
            (None, None) => f.write_str(&self.key),
            (old, new) => write!(f, "{} {} → {}", self.key, value(old), value(new)),
        }
    }
}

fn list(changes: &[KeyChange]) -> String {
    let list: Vec<String> = changes.iter().map(ToString::to_string).collect();
    list.join(", ")
}

impl FileChange {
    fn briefly(&self) -> String {
        let name = &self.name;
        let whose = match self.hosts.as_slice() {
            [host] => host.to_string(),
            many => hosts(many.len()),
        };
        match self.what {
            FileFate::Changed => format!("{name} changes for {whose}"),
            FileFate::New => format!("{name} is new for {whose}"),
            FileFate::Gone => format!("{name} is gone for {whose}"),
        }
    }
}

impl SnapshotDiff {
    /// The changed hosts for the line: a few one by one, many by what changes.
    fn hosts_briefly(&self, parts: &mut Vec<String>) {
        if self.hosts_changed.len() <= ONE_BY_ONE {
            parts.extend(self.hosts_changed.iter().map(HostChange::briefly));
            return;
        }
        let mut of_keys: Vec<(&str, Vec<(&HostChange, &KeyChange)>)> = Vec::new();
        for host in &self.hosts_changed {
            for change in &host.keys {
                // Which variables these are the list tells.
                let word = match change.word() {
                    word if word.starts_with("vars.") => "vars",
                    word => word,
                };
                let place = of_keys.iter().position(|(key, _)| *key == word);
                let place = place.unwrap_or_else(|| {
                    of_keys.push((word, Vec::new()));
                    of_keys.len() - 1
                });
                let Some((_, of_key)) = of_keys.get_mut(place) else {
                    continue;
                };
                // Several variables of one host count once.
                if of_key.last().is_none_or(|(last, _)| last.name != host.name) {
                    of_key.push((host, change));
                }
            }
        }
        for (word, changes) in of_keys {
            let alike = changes.first().map(|(_, first)| *first).filter(|first| {
                word != "vars" && changes.iter().all(|(_, change)| change == first)
            });
            parts.push(match (changes.as_slice(), alike) {
                ([(host, _)], None) => format!("{} {word}", host.name),
                ([(host, change)], Some(_)) => format!("{} {}", host.name, change.briefly()),
                (many, Some(change)) if change.old.is_some() || change.new.is_some() => {
                    format!("{} for {}", change.briefly(), hosts(many.len()))
                }
                (many, _) => format!("{word} changes for {}", hosts(many.len())),
            });
        }
    }

    /// All of it, one change a line: `+` what is new, `-` what is gone, `~` what differs, `!` what differs and
    /// takes effect only with a restart.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.extend(self.hosts_added.iter().map(|host| format!("+ host {host}")));
        lines.extend(
            self.hosts_removed
                .iter()
                .map(|host| format!("- host {host}")),
        );
        lines.extend(
            self.hosts_changed
                .iter()
                .map(|host| format!("~ host {}: {}", host.name, list(&host.keys))),
        );
        lines.extend(
            self.subnets_added
                .iter()
                .map(|subnet| format!("+ subnet {subnet}")),
        );
        lines.extend(
            self.subnets_removed
                .iter()
                .map(|subnet| format!("- subnet {subnet}")),
        );
        lines.extend(
            self.subnets_changed
                .iter()
                .map(|subnet| format!("~ subnet {}: {}", subnet.name, list(&subnet.keys))),
        );
        lines.extend(
            self.profiles
                .iter()
                .map(|profile| format!("~ profile {profile}")),
        );
        lines.extend(
            self.templates
                .iter()
                .map(|template| format!("~ template {template}")),
        );
        lines.extend(
            self.secrets
                .iter()
                .map(|secret| format!("~ secret {secret}")),
        );
        lines.extend(self.server.iter().map(|setting| format!("~ {setting}")));
        let restart = self.restart.iter();
        lines.extend(restart.map(|setting| format!("! {setting}: takes effect with a restart")));
        lines.extend(self.files.iter().map(|file| {
            let names: Vec<&str> = file.hosts.iter().map(HostName::as_str).collect();
            let sign = match file.what {
                FileFate::Changed => '~',
                FileFate::New => '+',
                FileFate::Gone => '-',
            };
            format!(
                "{sign} {} of {}: {}",
                file.name,
                hosts(names.len()),
                names.join(" ")
            )
        }));
        lines
    }
}

impl HostChange {
    fn briefly(&self) -> String {
        let mut keys: Vec<String> = self
            .keys
            .iter()
            .take(KEYS)
            .map(KeyChange::briefly)
            .collect();
        if let Some(more @ 1..) = self.keys.len().checked_sub(KEYS) {
            keys.push(format!("{more} more"));
        }
        format!("{} {}", self.name, keys.join(" and "))
    }
}

impl fmt::Display for SnapshotDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        for (sign, names) in [('+', &self.hosts_added), ('-', &self.hosts_removed)] {
            if !names.is_empty() {
                parts.push(format!("{sign}{} ({})", hosts(names.len()), few(names)));
            }
        }
        self.hosts_briefly(&mut parts);
        parts.extend(self.files.iter().take(TOLD).map(FileChange::briefly));
        if let Some(more @ 1..) = self.files.len().checked_sub(TOLD) {
            parts.push(format!("{more} more files change"));
        }
        let mut groups: Vec<String> = Vec::new();
        if !parts.is_empty() {
            groups.push(parts.join(", "));
        }
        let mut tell = |what: &str, names: String| {
            if !names.is_empty() {
                groups.push(format!("{what}: {names}"));
            }
        };
        let briefly = |changes: &[KeyChange]| -> String {
            few(&changes.iter().map(KeyChange::briefly).collect::<Vec<_>>())
        };
        tell("subnets added", few(&self.subnets_added));
        tell("subnets removed", few(&self.subnets_removed));
        let subnets = self.subnets_changed.iter();
        let subnets: Vec<String> = subnets
            .map(|change| format!("{} ({})", change.name, briefly(&change.keys)))
            .collect();
        tell("subnets changed", few(&subnets));
        tell("profiles changed", few(&self.profiles));
        tell("templates changed", few(&self.templates));
        tell("secrets changed", few(&self.secrets));
        tell("settings changed", briefly(&self.server));
        tell("needs a restart", briefly(&self.restart));
        if groups.is_empty() {
            f.write_str(NOTHING)
        } else {
            f.write_str(&groups.join("; "))
        }
    }
}
