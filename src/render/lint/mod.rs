//! What the formats of answers say of a rendered text: the same kind of answer as the installers' own
//! validators give, without them. It knows less than they do, and is made so that it complains of nothing
//! that an installer takes.
//!
//! **Invariant:** pure; any text gives findings, never a panic.

mod agama;
mod autoyast;
mod cloud;
mod json;
mod kickstart;
mod tree;

use super::preseed;

/// The format of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// debian-installer's preseed file.
    Preseed,
    /// Anaconda's kickstart file.
    Kickstart,
    /// AutoYaST's XML.
    AutoYast,
    /// Agama's JSON.
    Agama,
    /// Ignition's JSON.
    Ignition,
    /// cloud-init's user data, autoinstall among it.
    UserData,
    /// cloud-init's meta data.
    MetaData,
    /// Other XML.
    Xml,
    /// Other JSON.
    Json,
    /// Other YAML.
    Yaml,
    /// TOML.
    Toml,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// The installer cannot read it, or stops.
    Wrong,
    /// It is hardly meant so.
    Doubtful,
}

/// One thing that is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its line in the rendered text, from 1.
    pub line: usize,
    /// How bad it is.
    pub weight: Weight,
    /// One sentence.
    pub message: String,
    /// What to do about it, where there is more to say than to look at the text.
    pub help: Option<&'static str>,
}

impl Finding {
    fn wrong(line: usize, message: impl Into<String>) -> Self {
        Self {
            line,
            weight: Weight::Wrong,
            message: message.into(),
            help: None,
        }
    }

    fn doubtful(line: usize, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Doubtful,
            ..Self::wrong(line, message)
        }
    }

    fn help(self, help: &'static str) -> Self {
        Self {
            help: Some(help),
            ..self
        }
    }
}

/// The format of an answer, by its profile's family, its name, its media type and its text; `None`: none that
/// is known here, such as a script.
pub fn format_of(family: &str, name: &str, content_type: &str, text: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let ends = |ending: &str| name.ends_with(ending);
    if text.starts_with("#!") {
        return None;
    }
    if matches!(family, "debian" | "ubuntu") && (ends("preseed.cfg") || preseed::looks_like(text)) {
        return Some(Format::Preseed);
    }
    match family {
        "redhat" if ends("ks.cfg") || ends(".ks") => return Some(Format::Kickstart),
        "suse" if ends(".xml") => return Some(Format::AutoYast),
        "suse" if ends(".json") => return Some(Format::Agama),
        "coreos" | "flatcar" if ends(".json") || ends(".ign") => return Some(Format::Ignition),
        _ => {}
    }
    match name.as_str() {
        "user-data" | "vendor-data" | "autoinstall.yaml" => return Some(Format::UserData),
        "meta-data" => return Some(Format::MetaData),
        "network-config" => return Some(Format::Yaml),
        _ => {}
    }
    let media = content_type.split(';').next().unwrap_or_default();
    let media = media.trim().to_ascii_lowercase();
    let is = |endings: &[&str], kinds: &[&str]| {
        endings.iter().any(|ending| ends(ending)) || kinds.contains(&media.as_str())
    };
    if is(&[".ign"], &["application/vnd.coreos.ignition+json"]) {
        Some(Format::Ignition)
    } else if is(&[".json"], &["application/json"]) {
        Some(Format::Json)
    } else if is(&[".xml"], &["application/xml", "text/xml"]) {
        Some(Format::Xml)
    } else if is(
        &[".yaml", ".yml"],
        &["application/yaml", "application/x-yaml", "text/yaml"],
    ) {
        Some(Format::Yaml)
    } else if is(&[".toml"], &["application/toml"]) {
        Some(Format::Toml)
    } else {
        None
    }
}

/// What is wrong with a rendered text, in the order of its lines.
pub fn check(format: Format, text: &str) -> Vec<Finding> {
    let mut findings = match format {
        Format::Preseed => preseed::check(text)
            .into_iter()
            .map(|error| {
                Finding::wrong(error.line, error.message)
                    .help("values with line breaks are refused by the filter `line`")
            })
            .collect(),
        Format::Kickstart => kickstart::check(text),
        Format::AutoYast => autoyast::check(text),
        Format::Agama => agama::agama(text),
        Format::Ignition => json::ignition(text),
        Format::UserData => cloud::user_data(text),
        Format::MetaData => cloud::meta_data(text),
        Format::Xml => autoyast::document(text).err().into_iter().collect(),
        Format::Json => json::check(text),
        Format::Yaml => tree::check(text),
        Format::Toml => toml(text),
    };
    findings.sort_by_key(|finding| finding.line);
    findings
}

fn toml(text: &str) -> Vec<Finding> {
    match text.parse::<toml::Table>() {
        Ok(_) => Vec::new(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            vec![Finding::wrong(
                line_of(text, at),
                format!("it is no TOML: {}", one_line(error.message())),
            )]
        }
    }
}

/// The line of a byte, from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// A parser's message as part of a sentence.
fn one_line(message: &str) -> String {
    const LONGEST: usize = 200;
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST).collect()
}

/// What of a text is shown in a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    let mut shown: String = text.chars().take(LONGEST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

#[cfg(test)]
mod tests;
