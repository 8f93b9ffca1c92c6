//! Files of a sample, and names that have addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use bootwright::import::{Bring, Source};
use proptest::prelude::*;

/// Folder of the samples of one format.
pub(crate) fn folder(format: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/import/samples")
        .join(format)
}

/// A sample as a source.
pub(crate) fn sample(format: &str, name: &str) -> Source {
    let path = folder(format).join(name);
    Source {
        name: name.to_owned(),
        text: std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    }
}

/// A text with some bytes replaced or put in, or cut short; what is put in is one of `marks`.
pub(crate) fn damaged(
    text: String,
    edits: &[(prop::sample::Index, u8, u8)],
    marks: &[u8],
) -> String {
    let mut bytes = text.into_bytes();
    for (at, byte, how) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = *byte,
            1 => bytes.truncate(at),
            _ => bytes.insert(at, marks[usize::from(*byte) % marks.len()]),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Files by the path that the samples have for them, and addresses by name.
#[derive(Debug, Default)]
pub(crate) struct Site {
    files: BTreeMap<String, String>,
    addresses: BTreeMap<String, Ipv4Addr>,
}

impl Site {
    /// With a file of this path and text.
    pub(crate) fn file(mut self, path: &str, text: impl Into<String>) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    /// With an address of a name.
    pub(crate) fn address(mut self, name: &str, ip: [u8; 4]) -> Self {
        self.addresses.insert(name.to_owned(), ip.into());
        self
    }
}

impl Bring for Site {
    fn text(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        let names: Vec<String> = self
            .files
            .keys()
            .filter_map(|path| path.strip_prefix(&folder))
            .filter(|name| !name.contains('/'))
            .map(str::to_owned)
            .collect();
        (!names.is_empty()).then_some(names)
    }

    fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        self.addresses.get(name).copied()
    }
}
