//! Where files are taken from: a mirror, a folder, an image or another single file of the operator's.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::download::download;
use super::http::Client;
use super::iso::Image;
use super::place::copy;
use super::sums::newest_of;
use super::{AssetError, Step, Tell};
use crate::wire::looks::{HEAD, Looks};

/// A list of sums or a document of addresses is not longer than this.
const TEXT: usize = 64 << 20;

/// Where files are taken from.
#[derive(Debug)]
pub enum Source {
    /// A server: its address ends without `/`.
    Mirror(Box<Client>, String),
    /// A folder.
    Folder(PathBuf),
    /// An ISO image: itself, and what is in it.
    Image(PathBuf, Box<Image<File>>),
    /// One other file.
    File(PathBuf),
}

impl Source {
    /// What lies at a path of this machine.
    pub fn local(path: &Path) -> Result<Self, AssetError> {
        let reading = |source| AssetError::Io {
            action: "cannot read",
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(reading)?.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut head = Vec::new();
        let opened = File::open(path).map_err(reading)?;
        opened
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(reading)?;
        if Looks::Iso.fits(&head) {
            return Ok(Self::Image(path.to_owned(), Box::new(open_image(path)?)));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// Whether it is on this machine, where lists of sums need not be.
    pub const fn is_local(&self) -> bool {
        !matches!(self, Self::Mirror(..))
    }

    /// Takes the file that the distribution has at `from` into `part`. `others` are further places where a
    /// folder may have it. The result is where it came from; `None`: it is not there.
    pub async fn take(
        &mut self,
        from: &str,
        others: &[&str],
        part: &Path,
        tell: Tell<'_>,
    ) -> Result<Option<String>, AssetError> {
        match self {
            Self::Mirror(client, base) => {
                let url = url(base, from);
                let name = from.rsplit('/').next().unwrap_or(from);
                match download(client, &url, part, name, tell).await {
                    Ok(()) => Ok(Some(url)),
                    Err(AssetError::Http(error)) if error.is_not_there() => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Self::Folder(folder) => {
                let Some(found) = candidates(from, others)
                    .iter()
                    .find_map(|candidate| in_folder(folder, candidate))
                else {
                    return Ok(None);
                };
                tell(Step::Said(format!("copying {}", found.display())));
                copy(&found, part)?;
                Ok(Some(found.display().to_string()))
            }
            Self::Image(path, image) => {
                if from.to_ascii_lowercase().ends_with(".iso") {
                    tell(Step::Said(format!("copying {}", path.display())));
                    copy(path, part)?;
                    return Ok(Some(path.display().to_string()));
                }
                let Some(found) = candidates(from, others)
                    .into_iter()
                    .find(|candidate| image.find(candidate).is_some())
                else {
                    return Ok(None);
                };
                from_image(path, image, &found, part)?;
                Ok(Some(format!("{} in {}", found, path.display())))
            }
            Self::File(path) => {
                let wanted = from.rsplit('/').next().unwrap_or(from);
                let own = path.file_name().unwrap_or_default().to_string_lossy();
                if !crate::base::glob::fits(wanted, &own) {
                    return Ok(None);
                }
                copy(path, part)?;
                Ok(Some(path.display().to_string()))
            }
        }
    }

    /// A small file of the distribution's: a list, a signature. `None`: it is not there.
    pub async fn text(&mut self, path: &str) -> Result<Option<Vec<u8>>, AssetError> {
        let read = |found: PathBuf| {
            fs::read(&found).map(Some).map_err(|source| AssetError::Io {
                action: "cannot read",
                path: found,
                source,
            })
        };
        match self {
            Self::Mirror(client, base) => match client.text(&url(base, path), TEXT).await {
                Ok(text) => Ok(Some(text)),
                Err(error) if error.is_not_there() => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Folder(folder) => candidates(path, &[])
                .iter()
                .find_map(|candidate| in_folder(folder, candidate))
                .map_or(Ok(None), read),
            Self::Image(file, image) => {
                let mut text = Vec::new();
                if image.find(path).is_some() && image.file_size(path) < Some(TEXT as u64) {
                    image
                        .copy(path, &mut text)
                        .map_err(|source| AssetError::Iso {
                            path: file.clone(),
                            source,
                        })?;
                    return Ok(Some(text));
                }
                beside(file, path).map_or(Ok(None), read)
            }
            Self::File(file) => beside(file, path).map_or(Ok(None), read),
        }
    }

    /// The places that were looked at, and where, for a message.
    pub fn looked_for(&self, from: &str, others: &[&str]) -> (PathBuf, String) {
        match self {
            Self::Mirror(_, base) => (PathBuf::from(base), url(base, from)),
            Self::Folder(place) | Self::Image(place, _) => {
                (place.clone(), candidates(from, others).join(", "))
            }
            Self::File(place) => (
                place.clone(),
                from.rsplit('/').next().unwrap_or(from).to_owned(),
            ),
        }
    }
}

/// A list that lies beside a file.
fn beside(file: &Path, path: &str) -> Option<PathBuf> {
    let name = path.rsplit('/').next()?;
    let found = file.parent()?.join(name);
    found.is_file().then_some(found)
}

fn url(base: &str, from: &str) -> String {
    if from.contains("://") {
        from.to_owned()
    } else {
        format!("{base}/{from}")
    }
}

/// Opens an image.
pub fn open_image(path: &Path) -> Result<Image<File>, AssetError> {
    let file = File::open(path).map_err(|source| AssetError::Io {
        action: "cannot read",
        path: path.to_owned(),
        source,
    })?;
    Image::open(file).map_err(|source| AssetError::Iso {
        path: path.to_owned(),
        source,
    })
}

/// Copies one file out of an image.
pub fn from_image(
    path: &Path,
    image: &mut Image<File>,
    member: &str,
    to: &Path,
) -> Result<(), AssetError> {
    let writing = |source| AssetError::Io {
        action: "cannot write",
        path: to.to_owned(),
        source,
    };
    let mut out = File::create(to).map_err(writing)?;
    image
        .copy(member, &mut out)
        .map(|_| ())
        .map_err(|source| AssetError::Iso {
            path: path.to_owned(),
            source,
        })
}

/// Copies one file out of an image or a tar archive.
pub fn member_of(container: &Path, member: &str, to: &Path) -> Result<(), AssetError> {
    match Source::local(container)? {
        Source::Image(path, mut image) => from_image(&path, &mut image, member, to),
        _ => from_tar(container, member, to),
    }
}

fn from_tar(archive: &Path, member: &str, to: &Path) -> Result<(), AssetError> {
    let mut said = String::new();
    for name in [member.to_owned(), format!("./{member}")] {
        let out = File::create(to).map_err(|source| AssetError::Io {
            action: "cannot write",
            path: to.to_owned(),
            source,
        })?;
        let output = Command::new("tar")
            .args(["--extract", "--to-stdout", "--file"])
            .arg(archive)
            .args(["--", &name])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(out)
            .output()
            .map_err(|error| AssetError::Tool {
                command: "tar".to_owned(),
                message: error.to_string(),
            })?;
        if output.status.success() {
            return Ok(());
        }
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .clone_into(&mut said);
    }
    Err(AssetError::Tool {
        command: format!("tar --extract {member}"),
        message: said,
    })
}

/// The places of a file within a folder, likeliest first: as on the mirror, then without one folder after the
/// other, as unpacked archives have it; then the further ones.
fn candidates(from: &str, others: &[&str]) -> Vec<String> {
    let path = from.split_once("://").map_or(from, |(_, rest)| {
        rest.split_once('/').map_or(rest, |(_, path)| path)
    });
    let mut found = vec![path.to_owned()];
    found.extend(others.iter().map(|other| (*other).to_owned()));
    let mut rest = path;
    while let Some((_, shorter)) = rest.split_once('/') {
        found.push(shorter.to_owned());
        rest = shorter;
    }
    let bare = others
        .iter()
        .filter_map(|other| Some(other.rsplit_once('/')?.1.to_owned()));
    found.extend(bare);
    let mut seen = std::collections::HashSet::new();
    found.retain(|place| !place.is_empty() && seen.insert(place.clone()));
    found
}

/// A file below a folder; the last part may be a pattern.
fn in_folder(folder: &Path, place: &str) -> Option<PathBuf> {
    let path = folder.join(place);
    if !place.contains('*') {
        return path.is_file().then_some(path);
    }
    let within = path.parent()?;
    let pattern = path.file_name()?.to_str()?;
    let names: Vec<String> = fs::read_dir(within)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let newest = newest_of(names.iter().map(String::as_str), pattern)?;
    Some(within.join(newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_a_mirror_an_unpacked_archive_or_flat() {
        let from = "dists/x/images/netboot/debian-installer/amd64/linux";
        for layout in [
            "dists/x/images/netboot/debian-installer/amd64",
            "debian-installer/amd64",
            "",
            "debian/12/x86_64",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join(layout);
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("linux"), "").unwrap();
            let found = candidates(from, &["debian/12/x86_64/linux"])
                .iter()
                .find_map(|place| in_folder(folder.path(), place));
            assert_eq!(found, Some(inner.join("linux")), "{layout}");
        }
    }

    #[test]
    fn a_pattern_is_looked_for_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "u-24.04.2-server.iso",
            "u-24.04.10-server.iso",
            "u-24.04.11-desktop.iso",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(
            in_folder(folder.path(), "u-24.04*-server.iso"),
            Some(folder.path().join("u-24.04.10-server.iso"))
        );
    }

    #[test]
    fn a_member_of_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        let boot = folder.path().join("boot");
        fs::create_dir(&boot).unwrap();
        fs::write(boot.join("vmlinuz-lts"), "kernel").unwrap();
        let archive = folder.path().join("x.tar.gz");
        let made = Command::new("tar")
            .args(["czf"])
            .arg(&archive)
            .arg("-C")
            .arg(folder.path())
            .arg("./boot")
            .status()
            .unwrap();
        assert!(made.success());
        let to = folder.path().join("out");
        member_of(&archive, "boot/vmlinuz-lts", &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"kernel");
        let error = member_of(&archive, "boot/none", &to).unwrap_err();
        assert!(error.to_string().contains("boot/none"), "{error}");
    }
}
