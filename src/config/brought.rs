//! What `.manifest.json` in `boot_assets` says of the files that were brought: how long each is, and its sum.
//!
//! Written by `assets fetch` and `add-iso` ([`crate::assets::manifest`]); read here by whoever has to know whether a
//! file is all of what it should be.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file's name.
pub const NAME: &str = ".manifest.json";

/// What was brought, by path under `boot_assets`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Brought {
    #[serde(default)]
    files: BTreeMap<String, Sum>,
}

/// What a file should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Sum {
    /// Bytes.
    pub size: u64,
    /// SHA-256 in small hexadecimal digits.
    pub sha256: String,
}

impl Brought {
    /// Reads the file's text. One that cannot be read says nothing: the commands that write it tell so.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// What a file should be; `None`: it was not brought.
    pub fn of(&self, path: &str) -> Option<&Sum> {
        self.files.get(path)
    }

    /// Why a file of this length is not all of what was brought: to stand after "the boot file X is".
    pub fn part(&self, path: &str, size: u64) -> Option<String> {
        let whole = self.of(path)?.size;
        (size < whole).then(|| format!("there only in part: {size} of {whole} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_file_is_a_part() {
        let text =
            r#"{"version": 1, "files": {"a/linux": {"size": 10, "sha256": "00", "origin": "x"}}}"#;
        let brought = Brought::parse(text);
        assert_eq!(brought.part("a/linux", 10), None);
        // The operator's own, in its place.
        assert_eq!(brought.part("a/linux", 11), None);
        assert_eq!(
            brought.part("a/linux", 9).as_deref(),
            Some("there only in part: 9 of 10 bytes")
        );
        assert_eq!(brought.part("b", 0), None);
        assert_eq!(Brought::parse("half").of("a/linux"), None);
    }
}
