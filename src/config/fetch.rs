//! The `[fetch]` of a profile: where its boot files come from, as data.
//!
//! Paths may hold `{{ arch }}` (x86_64, i386, aarch64, arm) and `{{ debian_arch }}` (amd64, i386, arm64,
//! armhf), `{{ efi_arch }}` (x64, ia32, aa64, arm), by which UEFI's loaders are called, and `{{ grub_arch }}`
//! (x86_64, i386, arm64, arm), by which GRUB's folders are. Those of `[fetch]` may hold variables too (`{{ vars.release }}`):
//! the files are then brought for each value that hosts of the profile have. Nothing else is rendered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use crate::base::Architecture;
use crate::base::glob;
use crate::wire::looks::Looks;

/// Where a profile's boot files come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetch {
    /// The address that the files' `from` are below, unless another is named; it ends without `/`.
    pub mirror: Option<String>,
    /// How an operator comes by the files where no mirror gives them to everybody: one sentence.
    pub by_hand: Option<String>,
    /// A Debian package that has the files that name their place `in_package`.
    pub package: Option<String>,
    /// Files of keys (OpenPGP) by which the lists of sums are signed.
    pub keyring: Vec<PathBuf>,
    /// The package that has the keys, for messages.
    pub keyring_package: Option<String>,
    /// The distribution's lists of sums, in the order in which they vouch for each other: a later one is
    /// checked by what an earlier one says of it.
    pub sums: Vec<SumList>,
    /// A document that tells the addresses and sums of files (CoreOS's stream metadata).
    pub stream: Option<String>,
    /// The files.
    pub files: Vec<FetchFile>,
}

/// One list of sums. Its names are relative to the folder it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumList {
    /// Where it is, below the mirror.
    pub path: String,
    /// How it is signed.
    pub signature: Option<Signature>,
}

/// How a file is signed (OpenPGP).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// The file is its own: a clear-signed text (RFC 9580 section 7).
    Inline,
    /// By the file at this path below the mirror.
    Detached(String),
}

/// One file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FetchFile {
    /// Where it belongs, under `boot_assets`.
    pub path: String,
    /// Where it is below the mirror, or a whole URL. `*` in the last part stands for the newest name that fits
    /// and that the lists of sums have.
    pub from: Option<String>,
    /// Where the stream document tells of it: a JSON pointer (RFC 6901).
    pub in_stream: Option<String>,
    /// The file within `from`, which is an ISO image or a tar archive.
    pub member: Option<String>,
    /// Where the Debian package has it, without the leading slash.
    pub in_package: Option<String>,
    /// The Debian package that has it, where that is another one than [`Fetch::package`].
    pub package: Option<String>,
    /// What it looks like.
    pub looks: Looks,
    /// Its SHA-256 in hexadecimal, where the operator vouches for it.
    pub sha256: Option<String>,
    /// Its own signature.
    pub signature: Option<Signature>,
    /// Whether the profile is of use without it.
    pub optional: bool,
}

/// Variables by name, as they stand in paths.
pub type Values = BTreeMap<String, String>;

/// Replaces the placeholders of a path by what an architecture is called.
pub fn expand(text: &str, arch: Architecture) -> String {
    expand_with(text, arch, &Values::new())
}

/// The same with variables; one that has no value stays a placeholder.
pub fn expand_with(text: &str, arch: Architecture, values: &Values) -> String {
    let debian = match arch {
        Architecture::X86_64 => "amd64",
        Architecture::I386 => "i386",
        Architecture::Aarch64 => "arm64",
        Architecture::Arm => "armhf",
    };
    let efi = match arch {
        Architecture::X86_64 => "x64",
        Architecture::I386 => "ia32",
        Architecture::Aarch64 => "aa64",
        Architecture::Arm => "arm",
    };
    replace(text, |name| match name {
        "arch" => Some(arch.as_str()),
        "debian_arch" => Some(debian),
        "efi_arch" => Some(efi),
        "grub_arch" => Some(match arch {
            Architecture::X86_64 => "x86_64",
            Architecture::I386 => "i386",
            Architecture::Aarch64 => "arm64",
            Architecture::Arm => "arm",
        }),
        _ => values.get(variable(name)?).map(String::as_str),
    })
}

/// The variable that a placeholder names.
fn variable(placeholder: &str) -> Option<&str> {
    let name = placeholder.strip_prefix("vars.")?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_part)).then_some(name)
}

/// The first placeholder of a text that there is not, or that has no end. Variables are known where `with_vars` says so.
pub fn unknown_placeholder(text: &str, with_vars: bool) -> Option<String> {
    let mut unknown = None;
    replace(text, |name| {
        let is_known = matches!(name, "arch" | "debian_arch" | "efi_arch" | "grub_arch")
            || with_vars && variable(name).is_some();
        if !is_known && unknown.is_none() {
            unknown = Some(name.to_owned());
        }
        None
    });
    unknown.or_else(|| {
        let rest = text.rsplit_once("{{").map(|(_, rest)| rest)?;
        (!rest.contains("}}")).then(|| rest.trim().to_owned())
    })
}

fn replace<'v>(text: &str, mut value: impl FnMut(&str) -> Option<&'v str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        out.push_str(before);
        match value(name.trim()) {
            Some(value) => out.push_str(value),
            None => {
                let _ = write!(out, "{{{{{name}}}}}");
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

impl Fetch {
    /// The same for one architecture: no placeholders are left but variables.
    #[must_use]
    pub fn for_arch(&self, arch: Architecture) -> Self {
        self.with(arch, &Values::new())
    }

    /// The same for one architecture and values of variables.
    #[must_use]
    pub fn with(&self, arch: Architecture, values: &Values) -> Self {
        let path = |text: &String| expand_with(text, arch, values);
        let optional = |text: &Option<String>| text.as_ref().map(path);
        let signature = |signature: &Option<Signature>| {
            signature.as_ref().map(|signature| match signature {
                Signature::Inline => Signature::Inline,
                Signature::Detached(text) => Signature::Detached(path(text)),
            })
        };
        Self {
            mirror: optional(&self.mirror),
            by_hand: self.by_hand.clone(),
            package: optional(&self.package),
            keyring: self.keyring.clone(),
            keyring_package: self.keyring_package.clone(),
            sums: self
                .sums
                .iter()
                .map(|list| SumList {
                    path: path(&list.path),
                    signature: signature(&list.signature),
                })
                .collect(),
            stream: optional(&self.stream),
            files: self
                .files
                .iter()
                .map(|file| FetchFile {
                    path: path(&file.path),
                    from: optional(&file.from),
                    in_stream: optional(&file.in_stream),
                    member: optional(&file.member),
                    in_package: optional(&file.in_package),
                    package: optional(&file.package),
                    looks: file.looks,
                    sha256: file.sha256.clone(),
                    signature: signature(&file.signature),
                    optional: file.optional,
                })
                .collect(),
        }
    }

    /// The variables that its paths hold.
    pub fn variables(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut look = |text: &str| {
            replace(text, |name| {
                found.extend(variable(name).map(str::to_owned));
                None
            });
        };
        for text in self.mirror.iter().chain(&self.package).chain(&self.stream) {
            look(text);
        }
        for list in &self.sums {
            look(&list.path);
            if let Some(Signature::Detached(path)) = &list.signature {
                look(path);
            }
        }
        for file in &self.files {
            look(&file.path);
            let others = [
                &file.from,
                &file.in_stream,
                &file.member,
                &file.in_package,
                &file.package,
            ];
            others.into_iter().flatten().for_each(|text| look(text));
            if let Some(Signature::Detached(path)) = &file.signature {
                look(path);
            }
        }
        found
    }

    /// The architecture for which this brings the file at `path`, for some value of each variable; `None`: it does
    /// not.
    pub fn brings(&self, path: &str) -> Option<Architecture> {
        Architecture::ALL.into_iter().find(|arch| {
            self.files
                .iter()
                .any(|file| may_be(&expand(&file.path, *arch), path))
        })
    }

    /// Whether somebody has to bring an image or a copy: no mirror and no package is named.
    pub fn is_by_hand(&self) -> bool {
        self.mirror.is_none() && self.package.is_none()
    }

    /// Whether the files are other ones for other architectures.
    pub fn is_per_arch(&self) -> bool {
        self.files.iter().any(|file| {
            expand(&file.path, Architecture::X86_64) != expand(&file.path, Architecture::Aarch64)
        })
    }
}

/// Whether the template of a path may give `path`: what it puts in is not known here.
pub fn may_be(template: &str, path: &str) -> bool {
    let mut pattern = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        pattern.extend(before.chars().flat_map(literal));
        pattern.push('*');
        rest = after.split_once("}}").map_or("", |(_, after)| after);
    }
    pattern.extend(rest.chars().flat_map(literal));
    if template.contains("{%") {
        // What is chosen among is not looked into.
        return true;
    }
    glob::fits(&pattern, path)
}

/// A character as a glob that fits only it.
fn literal(c: char) -> Vec<char> {
    if matches!(c, '*' | '?' | '[') {
        vec!['[', c, ']']
    } else {
        vec![c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_the_architecture_in_two_spellings() {
        let text = "dists/{{debian_arch}}/{{ arch }}/x";
        assert_eq!(expand(text, Architecture::X86_64), "dists/amd64/x86_64/x");
        assert_eq!(expand(text, Architecture::Aarch64), "dists/arm64/aarch64/x");
        assert_eq!(
            expand("s{{ efi_arch }}.efi", Architecture::Aarch64),
            "saa64.efi"
        );
        assert_eq!(unknown_placeholder(text, false), None);
        let of_variable = "a/{{ vars.suite }}/b";
        assert_eq!(
            unknown_placeholder(of_variable, false).as_deref(),
            Some("vars.suite")
        );
        assert_eq!(unknown_placeholder(of_variable, true), None);
        for text in ["{{ vars. }}", "{{ vars.a | e }}", "{{ host.name }}"] {
            assert!(unknown_placeholder(text, true).is_some(), "{text}");
        }
        assert_eq!(
            unknown_placeholder("a/{{ arch", true).as_deref(),
            Some("arch")
        );
    }

    #[test]
    fn variables_stand_in_paths() {
        let fetch = Fetch {
            sums: vec![SumList {
                path: "{{ vars.build }}/SUMS".to_owned(),
                signature: Some(Signature::Detached("{{vars.key}}.sig".to_owned())),
            }],
            files: vec![FetchFile {
                path: "d/{{ vars.build }}/linux".to_owned(),
                from: Some("{{ vars.build }}/{{ arch }}".to_owned()),
                ..FetchFile::default()
            }],
            ..Fetch::default()
        };
        let names: Vec<String> = fetch.variables().into_iter().collect();
        assert_eq!(names, ["build", "key"]);
        let values = Values::from([("build".to_owned(), "7".to_owned())]);
        let of_seven = fetch.with(Architecture::X86_64, &values);
        assert_eq!(of_seven.files[0].path, "d/7/linux");
        assert_eq!(of_seven.files[0].from.as_deref(), Some("7/x86_64"));
        assert_eq!(
            of_seven.variables().into_iter().collect::<Vec<_>>(),
            ["key"]
        );
        assert!(!fetch.is_per_arch());
        assert_eq!(fetch.brings("d/any/linux"), Some(Architecture::X86_64));
        assert_eq!(fetch.brings("e/any/linux"), None);
    }

    #[test]
    fn a_file_is_known_by_its_path_for_some_architecture() {
        let fetch = Fetch {
            files: vec![FetchFile {
                path: "d/{{ arch }}/linux".to_owned(),
                ..FetchFile::default()
            }],
            ..Fetch::default()
        };
        assert_eq!(fetch.brings("d/x86_64/linux"), Some(Architecture::X86_64));
        assert_eq!(fetch.brings("d/aarch64/linux"), Some(Architecture::Aarch64));
        assert_eq!(fetch.brings("d/mips/linux"), None);
        assert!(fetch.is_per_arch());
        assert_eq!(
            fetch.for_arch(Architecture::I386).files[0].path,
            "d/i386/linux"
        );
    }

    #[test]
    fn templates_of_paths_are_patterns() {
        assert!(may_be("debian/{{ vars.v }}/linux", "debian/13/linux"));
        assert!(!may_be("debian/{{ vars.v }}/linux", "debian/13/initrd"));
        assert!(may_be("a[1]*/linux", "a[1]*/linux"));
        assert!(!may_be("a[1]*/linux", "a1/linux"));
        assert!(may_be("{% if vars.x %}a{% endif %}", "b"));
    }
}
