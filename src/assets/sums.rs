//! The lists of sums that distributions publish, in the forms they have.
//!
//! - `HEX  NAME` and `HEX *NAME`, as sha256sum and sha512sum write (Debian, Ubuntu, openSUSE, Flatcar, Talos);
//! - `SHA256 (NAME) = HEX`, as BSD's tools do (Fedora, AlmaLinux, Rocky Linux);
//! - `[checksums]` of `.treeinfo`: `NAME = sha256:HEX` (everything that Anaconda installs);
//! - ` HEX SIZE NAME` of Debian's `Release`;
//! - one sum alone, in a file named after what it is the sum of.
//!
//! Names are relative to the folder of the list. Sums other than SHA-256 and SHA-512 are passed over.
//!
//! **Invariant:** no panics; what cannot be read is no sum.

use std::collections::BTreeMap;

use crate::base::glob;

/// A sum as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// SHA-256, in small hexadecimal digits.
    Sha256(String),
    /// SHA-512, likewise.
    Sha512(String),
}

impl Sum {
    /// A sum by its digits.
    pub fn of_hex(hex: &str) -> Option<Self> {
        let digits = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match hex.len() {
            64 if digits => Some(Self::Sha256(hex.to_ascii_lowercase())),
            128 if digits => Some(Self::Sha512(hex.to_ascii_lowercase())),
            _ => None,
        }
    }
}

/// What one list says, by path below the mirror.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<String, Sum>);

impl Sums {
    /// Reads the list that lies at `path`.
    pub fn read(path: &str, text: &str) -> Self {
        let (folder, own) = path.rsplit_once('/').unwrap_or(("", path));
        let mut found = BTreeMap::new();
        let mut section = "";
        for line in text.lines() {
            let line = line.trim_end();
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = name;
                continue;
            }
            let entry = bsd(line)
                .or_else(|| (section == "checksums").then(|| treeinfo(line)).flatten())
                .or_else(|| plain(line))
                .or_else(|| {
                    let (name, _) = own.rsplit_once('.')?;
                    Some((name, Sum::of_hex(line.trim())?))
                });
            let Some((name, sum)) = entry else { continue };
            let Some(path) = below(folder, name) else {
                continue;
            };
            // The stronger one counts where there are both, in whatever order; the first of a kind stays.
            match (found.get(&path), &sum) {
                (None, _) | (Some(Sum::Sha256(_)), Sum::Sha512(_)) => {
                    found.insert(path, sum);
                }
                _ => {}
            }
        }
        Self(found)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of the file at a path below the mirror; or of the only one of its name, because some lists
    /// name files as they were where the list was made.
    pub fn of(&self, path: &str) -> Option<&Sum> {
        if let Some(sum) = self.0.get(path) {
            return Some(sum);
        }
        let name = file_name(path);
        let mut same = self.0.iter().filter(|(path, _)| file_name(path) == name);
        match (same.next(), same.next()) {
            (Some((_, sum)), None) => Some(sum),
            _ => None,
        }
    }

    /// The newest path that fits a pattern whose last part holds `*`: numbers in names count as numbers.
    pub fn newest(&self, pattern: &str) -> Option<&str> {
        let (folder, wanted) = split(pattern);
        let fits = |path: &&str| {
            let (its_folder, name) = split(path);
            folder == its_folder && glob::fits(wanted, name)
        };
        let paths = self.0.keys().map(String::as_str).filter(fits);
        newest_of(paths, "*")
    }
}

/// The newest of names that fit a pattern: numbers in them count as numbers.
pub fn newest_of<'n>(names: impl Iterator<Item = &'n str>, pattern: &str) -> Option<&'n str> {
    names
        .filter(|name| glob::fits(pattern, name))
        .max_by(|a, b| version_order(a, b))
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn file_name(path: &str) -> &str {
    split(path).1
}

/// `SHA256 (NAME) = HEX`.
fn bsd(line: &str) -> Option<(&str, Sum)> {
    let rest = line
        .strip_prefix("SHA256 (")
        .or_else(|| line.strip_prefix("SHA512 ("))?;
    let (name, hex) = rest.rsplit_once(") = ")?;
    Some((name, Sum::of_hex(hex.trim())?))
}

/// `NAME = sha256:HEX`.
fn treeinfo(line: &str) -> Option<(&str, Sum)> {
    let (name, sum) = line.split_once('=')?;
    let (kind, hex) = sum.trim().split_once(':')?;
    matches!(kind, "sha256" | "sha512").then(|| Some((name.trim(), Sum::of_hex(hex.trim())?)))?
}

/// `HEX  NAME`, `HEX *NAME`, ` HEX SIZE NAME`.
fn plain(line: &str) -> Option<(&str, Sum)> {
    let (hex, rest) = line.trim_start().split_once([' ', '\t'])?;
    let sum = Sum::of_hex(hex)?;
    let rest = rest.trim_start();
    let name = match rest.split_once(' ') {
        Some((size, name)) if line.starts_with(' ') && size.parse::<u64>().is_ok() => {
            name.trim_start()
        }
        _ => rest.strip_prefix('*').unwrap_or(rest),
    };
    (!name.is_empty()).then_some((name, sum))
}

/// A name of a list as a path below the mirror; `None` for one that leads out of the list's folder.
fn below(folder: &str, name: &str) -> Option<String> {
    let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return None,
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// `1.10` after `1.9`.
fn version_order(a: &str, b: &str) -> std::cmp::Ordering {
    let key = |text: &str| {
        let mut parts: Vec<(u128, String)> = Vec::new();
        let mut word = String::new();
        let mut number: Option<u128> = None;
        for c in text.chars() {
            if let Some(digit) = c.to_digit(10) {
                let so_far = number.unwrap_or(0);
                number = Some(so_far.saturating_mul(10).saturating_add(digit.into()));
            } else {
                if let Some(number) = number.take() {
                    parts.push((number, std::mem::take(&mut word)));
                }
                word.push(c);
            }
        }
        parts.push((number.unwrap_or(0), word));
        parts
            .into_iter()
            .map(|(number, word)| (word, number))
            .collect::<Vec<_>>()
    };
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn sha(sums: &Sums, path: &str) -> Option<String> {
        match sums.of(path)? {
            Sum::Sha256(hex) | Sum::Sha512(hex) => Some(hex.clone()),
        }
    }

    #[test]
    fn every_form_is_read() {
        let b = A.replace('b', "0");
        let long = format!("{A}{A}");
        for (path, text, file, sum) in [
            (
                "images/SHA256SUMS",
                format!("{A}  ./netboot/linux\n{b} *./netboot/initrd.gz\n"),
                "images/netboot/linux",
                A,
            ),
            (
                "images/SHA256SUMS",
                format!("{b}  ./x/linux\n{A} *./netboot/two words\n"),
                "images/netboot/two words",
                A,
            ),
            (
                "iso/CHECKSUM",
                format!("# x.iso: 3 bytes\nSHA256 (x (1).iso) = {A}\n"),
                "iso/x (1).iso",
                A,
            ),
            (
                "os/.treeinfo",
                format!("[checksums]\nimages/pxeboot/vmlinuz = sha256:{A}\n[general]\nx = y\n"),
                "os/images/pxeboot/vmlinuz",
                A,
            ),
            (
                "dists/x/InRelease",
                format!("SHA256:\n {A}     1234 main/installer-amd64/current/images/SHA256SUMS\n"),
                "dists/x/main/installer-amd64/current/images/SHA256SUMS",
                A,
            ),
            ("x.tar.gz.sha256", format!("{A}\n"), "x.tar.gz", A),
            (
                "f.DIGESTS",
                format!(
                    "# MD5 HASH\n0123456789abcdef0123456789abcdef  f\n# SHA512 HASH\n{long}  f\n"
                ),
                "f",
                &long,
            ),
            // Where the list was made the file lay elsewhere.
            (
                "sha256sum.txt",
                format!("{A}  _out/vmlinuz-amd64\n"),
                "vmlinuz-amd64",
                A,
            ),
        ] {
            let sums = Sums::read(path, &text);
            assert_eq!(sha(&sums, file).as_deref(), Some(sum), "{path}: {sums:?}");
        }
    }

    #[test]
    fn what_is_no_sum_or_leads_out_is_passed_over() {
        let text = format!("{A}  ../../etc/passwd\n{A}\nzz{A}  x\n{A} \n<html>\n");
        assert!(Sums::read("a/SHA256SUMS", &text).is_empty());
        // Two of one name in other folders: neither is meant.
        let text = format!("{A}  a/linux\n{A}  b/linux\n");
        assert_eq!(sha(&Sums::read("S", &text), "c/linux"), None);
    }

    #[test]
    fn a_pattern_stands_for_the_newest() {
        let text = ["24.04.2", "24.04.10", "24.04"]
            .map(|version| format!("{A} *ubuntu-{version}-live-server-amd64.iso\n"))
            .concat()
            + &format!("{A} *ubuntu-24.04.11-desktop-amd64.iso\n");
        let sums = Sums::read("24.04/SHA256SUMS", &text);
        assert_eq!(
            sums.newest("24.04/ubuntu-24.04*-live-server-amd64.iso"),
            Some("24.04/ubuntu-24.04.10-live-server-amd64.iso")
        );
        assert_eq!(sums.newest("24.04/ubuntu-*-netboot.iso"), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_sums_or_none(text in "(?s).{0,400}", path in "[a-z./]{0,20}") {
            let sums = Sums::read(&path, &text);
            for path in sums.0.keys() {
                prop_assert!(path.split('/').all(|part| part != ".." && part != "."));
            }
            let _ = sums.newest("*");
        }

        #[test]
        fn the_order_of_versions_is_an_order(a in "[a-c0-9.]{0,8}", b in "[a-c0-9.]{0,8}") {
            prop_assert_eq!(version_order(&a, &b), version_order(&b, &a).reverse());
        }
    }
}
