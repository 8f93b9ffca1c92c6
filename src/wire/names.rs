//! File names as machines ask for them, by TFTP and by HTTP alike.
//!
//! Firmware writes `/x`, `//x`, `./x` and `\x` for the same file (shim over HTTP asks for
//! `//grubx64.efi`). All of them become one clean relative path; whatever leads elsewhere is refused.
//!
//! **Invariant:** a clean path has no empty component, none that begins with a dot but [`OF_TREES`], no
//! backslash and no control character; joined to a folder it stays below it.

use std::borrow::Cow;

/// Why a name is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing is left of it.
    #[error("the name is empty")]
    Empty,
    /// It leads upwards.
    #[error("the name holds `..`")]
    Parent,
    /// A component begins with a dot, and is none of [`OF_TREES`].
    #[error("names that begin with a dot are not served")]
    Hidden,
    /// A NUL or another control character.
    #[error("the name holds a control character")]
    Control,
    /// No UTF-8.
    #[error("the name is no UTF-8 text")]
    NotText,
    /// Longer than any path here.
    #[error("the name has {0} bytes, more than {MAX}")]
    TooLong(usize),
}

/// Longest name that is looked at, in bytes: no boot file has a longer one, and the longest that fits
/// a TFTP request of one Ethernet frame is shorter.
pub const MAX: usize = 1_024;

/// The names with a dot that are no hidden files: installation trees have them, and installers ask for them.
pub const OF_TREES: [&str; 2] = [".treeinfo", ".discinfo"];

/// Whether a part of a path is a hidden file or folder, which is never served.
pub fn is_hidden(part: &str) -> bool {
    part.starts_with('.') && !OF_TREES.contains(&part)
}

/// Whether a name of ASCII is a clean path as it stands.
fn is_clean(raw: &[u8]) -> bool {
    // As after a slash: a component begins.
    let mut before = b'/';
    for &byte in raw {
        let is_plain = byte.is_ascii() && !byte.is_ascii_control() && byte != b'\\';
        if !is_plain || (before == b'/' && matches!(byte, b'/' | b'.')) {
            return false;
        }
        before = byte;
    }
    before != b'/' && raw.len() <= MAX
}

/// The clean relative path of a name.
pub fn clean_path(raw: &[u8]) -> Result<String, BadName> {
    clean(raw).map(Cow::into_owned)
}

/// The same, borrowed where the name is clean as it stands.
pub fn clean(raw: &[u8]) -> Result<Cow<'_, str>, BadName> {
    if is_clean(raw)
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return Ok(text.into());
    }
    if raw.len() > MAX {
        return Err(BadName::TooLong(raw.len()));
    }
    let text = std::str::from_utf8(raw).map_err(|_| BadName::NotText)?;
    if text.chars().any(char::is_control) {
        return Err(BadName::Control);
    }
    let mut path = String::with_capacity(text.len());
    for component in text.split(['/', '\\']) {
        match component {
            "" | "." => continue,
            ".." => return Err(BadName::Parent),
            _ if is_hidden(component) => {
                return Err(BadName::Hidden);
            }
            _ => {}
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(component);
    }
    if path.is_empty() {
        return Err(BadName::Empty);
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_file() {
        for name in [
            "ipxe/snponly.efi",
            "/ipxe/snponly.efi",
            "//ipxe//snponly.efi",
            "./ipxe/./snponly.efi",
            "\\ipxe\\snponly.efi",
            "ipxe/snponly.efi/",
        ] {
            assert_eq!(
                clean_path(name.as_bytes()).as_deref(),
                Ok("ipxe/snponly.efi"),
                "{name}"
            );
        }
    }

    #[test]
    fn what_describes_a_tree_is_not_hidden() {
        for name in ["alma/9/x86_64/.treeinfo", ".discinfo"] {
            assert_eq!(clean_path(name.as_bytes()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(clean_path(b""), Err(BadName::Empty));
        assert_eq!(clean_path(b"///."), Err(BadName::Empty));
        assert_eq!(clean_path(b"../etc/passwd"), Err(BadName::Parent));
        assert_eq!(clean_path(b"a\\..\\b"), Err(BadName::Parent));
        assert_eq!(clean_path(b"a/.git/config"), Err(BadName::Hidden));
        assert_eq!(clean_path(b"..."), Err(BadName::Hidden));
        assert_eq!(clean_path(b".treeinfo.old"), Err(BadName::Hidden));
        assert_eq!(clean_path(b"a\0b"), Err(BadName::Control));
        assert_eq!(clean_path(b"a\xffb"), Err(BadName::NotText));
        assert_eq!(clean_path(&[b'a'; 1_025]), Err(BadName::TooLong(1_025)));
    }

    fn is_below(path: &str) -> bool {
        path.split('/')
            .all(|part| OF_TREES.contains(&part) || !part.is_empty() && !part.starts_with('.'))
    }

    /// Dots, slashes, and the names with a dot that are served, in every order.
    fn near_misses() -> impl Strategy<Value = String> {
        let pieces = [".", "/", "\\", "a", OF_TREES[0], OF_TREES[1]];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_clean_path_stays_below(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(path) = clean_path(&raw) {
                prop_assert_eq!(clean_path(path.as_bytes()), Ok(path.clone()));
                prop_assert!(is_below(&path));
                prop_assert!(!path.contains(['\\', '\0']));
            }
        }

        #[test]
        fn near_misses_stay_below(name in near_misses()) {
            if let Ok(path) = clean_path(name.as_bytes()) {
                prop_assert!(is_below(&path));
            }
        }
    }
}
