//! Boot files by path under `boot_assets` or by URL.
//!
//! **Invariant:** an [`AssetRef::Path`] is normal: no leading slash, no empty, hidden ([`is_hidden`]) or `..`
//! part, no character that a path on the disk or a URL could take otherwise.

use crate::wire::names::is_hidden;

/// A boot file: by path under `boot_assets`, or by URL as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AssetRef {
    /// A path under `boot_assets`, without a leading slash.
    Path(String),
    /// A whole URL.
    Url(String),
}

impl AssetRef {
    /// Reads a rendered text: a whole URL is used as it stands, anything else is a path under
    /// `boot_assets`, which is normalised. The error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("the path of a boot file is empty".to_owned());
        }
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(format!(
                "`{}` holds the control character U+{:04X}",
                text.escape_debug(),
                u32::from(c)
            ));
        }
        if is_url(text) {
            if text.contains(char::is_whitespace) {
                return Err(format!(
                    "the URL `{text}` has a space in it; write it as %20"
                ));
            }
            return Ok(Self::Url(text.to_owned()));
        }
        if text.contains('\\') {
            return Err(format!(
                "`{text}` has a backslash in it; paths are written with `/`"
            ));
        }
        let mut parts = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    return Err(format!(
                        "`{text}` leads out of the boot files by `..`; paths are relative to boot_assets"
                    ));
                }
                hidden if is_hidden(hidden) => {
                    return Err(format!(
                        "`{hidden}` in `{text}` begins with a dot; such files are not served"
                    ));
                }
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return Err(format!("`{text}` names no file"));
        }
        Ok(Self::Path(parts.join("/")))
    }

    /// The path under `boot_assets`, unless this is a URL.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            Self::Url(_) => None,
        }
    }
}

/// Whether a text is a whole URL: a scheme (RFC 3986 section 3.1) and `://`.
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

/// The URL of a boot file; `files` is what stands before its path, such as `http://10.99.0.2/assets`.
pub fn url(files: &str, asset: &AssetRef) -> String {
    match asset {
        AssetRef::Path(path) => format!("{files}/{}", encode(path)),
        AssetRef::Url(url) => url.clone(),
    }
}

/// Percent-encodes a path but for its slashes: all but RFC 3986's unreserved characters, so that
/// neither a shell nor an iPXE script finds anything special in it.
pub fn encode(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEEP: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(path, KEEP).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_cannot_lead_out() {
        let path = |text: &str| AssetRef::parse(text).map(|asset| asset.path().map(str::to_owned));
        assert_eq!(path("debian/12/linux"), Ok(Some("debian/12/linux".into())));
        assert_eq!(
            path(" //debian/./12//linux "),
            Ok(Some("debian/12/linux".into()))
        );
        let of_tree = "alma/9/x86_64/.treeinfo";
        assert_eq!(path(of_tree), Ok(Some(of_tree.into())));
        assert!(path("alma/9/.treeinfo.old").is_err());
        assert!(path("http://a/b c?d").is_err());
        assert_eq!(path("http://a/../b"), Ok(None));
        for bad in ["", "/", "../x", "a/../b", "a/.hidden", "a\\b", "a\nb"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn urls_of_paths_hold_nothing_special() {
        let asset = AssetRef::parse("iso/Rocky 9 (x86)#1 ${net0}.img").unwrap();
        assert_eq!(
            url("http://10.0.0.1:8080/assets", &asset),
            "http://10.0.0.1:8080/assets/iso/Rocky%209%20%28x86%29%231%20%24%7Bnet0%7D.img"
        );
        let asset = AssetRef::parse("https://mirror.example/x?y=${net0/mac}").unwrap();
        assert_eq!(
            url("http://b", &asset),
            "https://mirror.example/x?y=${net0/mac}"
        );
    }

    #[test]
    fn a_scheme_makes_a_url() {
        assert!(is_url("http://x"));
        assert!(is_url("tftp://x"));
        assert!(!is_url("debian/x"));
        assert!(!is_url("://x"));
        assert!(!is_url("a b://x"));
    }
}
