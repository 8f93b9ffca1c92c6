//! Where the texts come from: files, folders, standard input, a running libvirt.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, anyhow, bail};

use super::{Origin, shown};
use crate::base::has_extension;
use crate::import::{Bring, Left, Source};

/// The largest file that is read: no list of machines is longer.
const LARGEST: u64 = 256 << 20;

/// How deep folders are looked through.
const DEEPEST: usize = 8;

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    pub sources: Vec<Source>,
    pub bring: Disk,
    /// Files of folders that were not read.
    pub left: Vec<Left>,
}

/// Brings further files from the folder of the first one, and addresses of names by this machine's resolver.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
}

impl Bring for Disk {
    fn text(&self, path: &str) -> Option<String> {
        let path = self.folder.join(path);
        // What a text names is a file, not a device that never ends or a pipe that nobody writes to.
        path.is_file().then(|| read(&path).ok())?
    }

    fn list(&self, folder: &str) -> Option<Vec<String>> {
        let mut names: Vec<String> = std::fs::read_dir(self.folder.join(folder))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Some(names)
    }

    fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        (name, 0)
            .to_socket_addrs()
            .ok()?
            .find_map(|address| match address.ip() {
                IpAddr::V4(ip) => Some(ip),
                IpAddr::V6(_) => None,
            })
    }
}

/// Reads files and what lies in folders.
pub(super) fn files(paths: &[PathBuf], from: Origin) -> anyhow::Result<Found> {
    let mut sources = Vec::new();
    let mut left = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            sources.push(Source {
                name: "standard input".to_owned(),
                text: text("standard input", io::stdin().lock())?,
            });
        } else if path.is_dir() {
            let mut inside = Vec::new();
            below(path, from, 0, &mut HashSet::new(), &mut inside)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            if inside.is_empty() {
                bail!(
                    "there is no file of this format in {}: {}",
                    path.display(),
                    wanted(from)
                );
            }
            for file in inside {
                match read(&file) {
                    Ok(text) => sources.push(Source {
                        name: shown(&file),
                        text,
                    }),
                    Err(error) => left.push(Left {
                        file: shown(&file),
                        line: 0,
                        what: "the whole file".to_owned(),
                        why: format!("{error:#}"),
                    }),
                }
            }
        } else {
            sources.push(Source {
                name: shown(path),
                text: read(path)?,
            });
        }
    }
    let first = paths.first().and_then(|path| path.parent());
    Ok(Found {
        sources,
        bring: Disk {
            folder: first.map(Path::to_owned).unwrap_or_default(),
        },
        left,
    })
}

/// Which files of a folder are of this format.
fn wanted(from: Origin) -> &'static str {
    match from {
        Origin::Cobbler | Origin::KvmMgr | Origin::Kea => "files that end in .json",
        Origin::Libvirt => "files that end in .xml",
        Origin::Proxmox | Origin::Dhcpd | Origin::Dnsmasq => "files that end in .conf",
        Origin::Csv => "files that end in .csv or .tsv",
        Origin::Auto => "files that end in .json, .xml, .conf, .csv or .tsv",
    }
}

fn below(
    folder: &Path,
    from: Origin,
    depth: usize,
    seen: &mut HashSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> io::Result<()> {
    // Links may lead back to a folder that holds them.
    if !seen.insert(std::fs::canonicalize(folder)?) {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST {
                below(&path, from, depth + 1, seen, found)?;
            }
            continue;
        }
        let kind = path.extension().unwrap_or_default().to_string_lossy();
        let kind = kind.to_ascii_lowercase();
        let is = |kinds: &[&str]| kinds.contains(&kind.as_str());
        let fits = match from {
            Origin::Cobbler | Origin::KvmMgr | Origin::Kea => is(&["json"]),
            Origin::Libvirt => is(&["xml"]),
            Origin::Proxmox | Origin::Dhcpd | Origin::Dnsmasq => is(&["conf"]),
            Origin::Csv => is(&["csv", "tsv"]),
            Origin::Auto => is(&["json", "xml", "conf", "csv", "tsv"]),
        };
        if fits {
            found.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let name = shown(path);
    let file = std::fs::File::open(path).with_context(|| cannot(&name))?;
    text(&name, file)
}

fn cannot(name: &str) -> String {
    format!("{name} cannot be read")
}

/// All of a text; whatever is wrong with it is told with its name.
fn text(name: &str, from: impl io::Read) -> anyhow::Result<String> {
    let bytes = bytes(from).with_context(|| cannot(name))?;
    decoded(bytes).with_context(|| cannot(name))
}

/// What is read to its end, as long as no list of machines is.
fn bytes(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::take(from, LARGEST + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        return Err(io::Error::other(format!(
            "it is longer than {} MiB, as no list of machines is",
            LARGEST >> 20
        )));
    }
    Ok(bytes)
}

/// Bytes as text: UTF-8, or UTF-16 with its mark, as spreadsheets write it.
fn decoded(bytes: Vec<u8>) -> anyhow::Result<String> {
    let wide = |big: bool| {
        let units = bytes.get(2..).unwrap_or_default().chunks_exact(2);
        let units = units.map(|pair| {
            let pair = [
                pair.first().copied().unwrap_or_default(),
                pair.get(1).copied().unwrap_or_default(),
            ];
            if big {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            }
        });
        String::from_utf16(&units.collect::<Vec<_>>()).map_err(|error| anyhow!("{error}"))
    };
    match bytes.as_slice() {
        [0xff, 0xfe, ..] => wide(false),
        [0xfe, 0xff, ..] => wide(true),
        _ => String::from_utf8(bytes).map_err(|error| {
            let before = error
                .as_bytes()
                .get(..error.utf8_error().valid_up_to())
                .unwrap_or_default();
            let line = before.split(|byte| *byte == b'\n').count();
            anyhow!(
                "it is no UTF-8 (line {line}): turn it into UTF-8 first, such as by `iconv -f latin1 -t utf8`"
            )
        }),
    }
}

/// Asks libvirt for all its domains and networks.
pub(super) fn running(uri: Option<&str>) -> anyhow::Result<Found> {
    let names = |arguments: &[&str]| -> anyhow::Result<Vec<String>> {
        Ok(virsh(uri, arguments)?
            .lines()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    };
    let mut sources = Vec::new();
    let mut left = Vec::new();
    let domains = names(&["list", "--all", "--name"])?;
    if domains.is_empty() {
        bail!(
            "libvirt{} has no domains; --connect URI asks another one",
            uri.map_or_else(String::new, |uri| format!(" at {uri}"))
        );
    }
    let networks = names(&["net-list", "--all", "--name"]);
    if let Err(error) = &networks {
        left.push(Left {
            file: "virsh net-list".to_owned(),
            line: 0,
            what: "networks".to_owned(),
            why: format!("addresses that they give are not known: {error:#}"),
        });
    }
    let all = networks
        .unwrap_or_default()
        .into_iter()
        .map(|name| ("net-dumpxml", name))
        .chain(domains.into_iter().map(|name| ("dumpxml", name)));
    for (command, name) in all {
        // What is defined, not how it happens to run; a domain that only runs has no other.
        let inactive = virsh(uri, &[command, "--inactive", "--", &name]);
        match inactive.or_else(|_| virsh(uri, &[command, "--", &name])) {
            Ok(text) => sources.push(Source {
                name: format!("virsh {command} {name}"),
                text,
            }),
            Err(error) => left.push(Left {
                file: format!("virsh {command} {name}"),
                line: 0,
                what: name,
                why: format!("{error:#}"),
            }),
        }
    }
    Ok(Found {
        sources,
        bring: Disk {
            folder: PathBuf::new(),
        },
        left,
    })
}

fn virsh(uri: Option<&str>, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("virsh");
    command.env("LC_ALL", "C").arg("--quiet");
    if let Some(uri) = uri {
        command.args(["--connect", uri]);
    }
    let output = command
        .args(arguments)
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!(
                "there is no `virsh` on this machine: install it (apt-get install libvirt-clients), or run `virsh dumpxml NAME > NAME.xml` where it is and name the files"
            ),
            _ => anyhow!("virsh cannot be run: {error}"),
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        bail!(
            "`virsh {}` failed: {}; --connect URI names another libvirt, and sudo may be needed",
            arguments.join(" "),
            said.join(" ")
        );
    }
    String::from_utf8(output.stdout).context("virsh printed what is no text")
}

/// Which format texts have, by what stands in them and by their names.
pub(super) fn guess(sources: &[Source]) -> anyhow::Result<Origin> {
    let mut found: Option<(Origin, &str)> = None;
    for source in sources {
        let Some(from) = guess_one(source) else {
            bail!(
                "{} is of no format that is known: name one ({})",
                source.name,
                [
                    Origin::Dhcpd,
                    Origin::Dnsmasq,
                    Origin::Kea,
                    Origin::Cobbler,
                    Origin::KvmMgr,
                    Origin::Libvirt,
                    Origin::Proxmox,
                    Origin::Csv
                ]
                .map(Origin::name)
                .join(", ")
            );
        };
        match found {
            Some((first, name)) if first != from => bail!(
                "{name} looks like {}, {} like {}: import them one after the other",
                first.name(),
                source.name,
                from.name()
            ),
            _ => found = Some((from, &source.name)),
        }
    }
    found.map(|(from, _)| from).context("there is no text")
}

fn guess_one(source: &Source) -> Option<Origin> {
    let text = source.text.trim_start_matches('\u{feff}').trim_start();
    let has = |word: &str| text.contains(word);
    let line = |test: &dyn Fn(&str) -> bool| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
            .take(2_000)
            .any(test)
    };
    if text.starts_with('<') {
        return (has("<domain") || has("<network")).then_some(Origin::Libvirt);
    }
    if has("\"Dhcp4\"") {
        return Some(Origin::Kea);
    }
    if text.starts_with(['[', '{']) && (has("\"vmspecs\"") || text.starts_with("[]")) {
        return Some(Origin::KvmMgr);
    }
    if text.starts_with(['[', '{']) && has("\"name\"") {
        return Some(Origin::Cobbler);
    }
    if line(&|line| {
        (line.starts_with("net") && line.contains("bridge=")) || line.starts_with("scsihw:")
    }) {
        return Some(Origin::Proxmox);
    }
    if line(&|line| {
        ["dhcp-host=", "dhcp-range=", "dhcp-option=", "dhcp-boot="]
            .iter()
            .any(|key| line.starts_with(key))
    }) {
        return Some(Origin::Dnsmasq);
    }
    if line(&|line| {
        line.ends_with('{')
            && ["host ", "subnet ", "group", "shared-network "]
                .iter()
                .any(|key| line.starts_with(key))
            || line.starts_with("option ") && line.ends_with(';')
    }) {
        return Some(Origin::Dhcpd);
    }
    let first = text.lines().next().unwrap_or_default();
    let table = has_extension(&source.name, "csv")
        || has_extension(&source.name, "tsv")
        || [',', ';', '\t', '|'].iter().any(|c| first.contains(*c));
    table.then_some(Origin::Csv)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken;

    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the pipe burst"))
        }
    }

    #[test]
    fn whatever_cannot_be_read_is_told_with_its_name() {
        let told = |from: &mut dyn io::Read| {
            let error = text("standard input", from).unwrap_err();
            format!("{error:#}")
        };
        assert_eq!(
            told(&mut Broken),
            "standard input cannot be read: the pipe burst"
        );
        let latin = told(&mut &b"a\nb\xfc\n"[..]);
        assert!(
            latin.starts_with("standard input cannot be read: it is no UTF-8 (line 2)"),
            "{latin}"
        );
    }
}
