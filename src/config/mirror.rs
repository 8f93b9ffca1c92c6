//! `[[mirror]]`: folders of boot files that are brought from elsewhere when they are asked for.

use std::time::Duration;

use super::source::Span;

/// A folder below `/assets/` that is another server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// The folder's path under `boot_assets`, without a slash at its ends.
    pub path: String,
    /// What it stands for; it ends without `/`.
    pub url: String,
    /// Most bytes that are kept of it; what was not used for longest goes first.
    pub keep: u64,
    /// For so long a file is given out again without a question to its server.
    pub fresh_for: Duration,
    /// Whether a file is given out when its server cannot be asked about it.
    pub stale: bool,
    /// Where it stands.
    pub span: Option<Span>,
}

impl Mirror {
    /// What keys give that are not written.
    pub const KEEP: u64 = 20 << 30;
    /// The same.
    pub const FRESH_FOR: Duration = Duration::from_secs(60);

    /// The part of a clean path that is below this folder.
    pub fn below<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.path.as_str())?.strip_prefix('/')?;
        (!rest.is_empty()).then_some(rest)
    }

    /// The server, for messages: the URL's without its path.
    pub fn server(&self) -> &str {
        let rest = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_what_is_below_it() {
        let mirror = Mirror {
            path: "deb/main".to_owned(),
            url: "http://deb.example:8000/debian".to_owned(),
            keep: Mirror::KEEP,
            fresh_for: Mirror::FRESH_FOR,
            stale: true,
            span: None,
        };
        assert_eq!(mirror.below("deb/main/dists/x"), Some("dists/x"));
        for other in ["deb/main", "deb/main/", "deb/mainx/y", "deb/x", "main/x"] {
            assert_eq!(mirror.below(other), None, "{other}");
        }
        assert_eq!(mirror.server(), "deb.example:8000");
    }
}
