//! Where boot files are taken from: an installed package, a downloaded one, a folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{AssetError, BootFile, Collection};

/// Where the files of a collection lie.
#[derive(Debug)]
pub enum Origin {
    /// The package is installed.
    Installed,
    /// The package was downloaded and unpacked here; the folder goes when this is dropped.
    Downloaded(Scratch),
    /// The operator's folder.
    Folder(PathBuf),
}

/// A folder that goes when this is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new folder that only this user can enter, in the folder for temporary files.
    pub fn new(name: &str) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let path = std::env::temp_dir().join(format!(
            "bootwright-{name}-{:016x}",
            u64::from_ne_bytes(random)
        ));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What is being done, for the operator to read while it lasts.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

impl Origin {
    /// Finds the files of a collection: in `folder` when one is given, else in the installed package,
    /// else in the package freshly downloaded.
    pub fn find(
        collection: &Collection,
        folder: Option<&Path>,
        tell: Tell<'_>,
    ) -> Result<Self, AssetError> {
        if let Some(folder) = folder {
            return Ok(Self::Folder(folder.to_owned()));
        }
        let installed = collection
            .files
            .iter()
            .filter(|file| !file.optional)
            .all(|file| Path::new("/").join(file.in_package).is_file());
        if installed {
            tell(&format!(
                "{}: from the installed package {}",
                collection.name, collection.package
            ));
            return Ok(Self::Installed);
        }
        download(collection, tell).map(Self::Downloaded)
    }

    /// The path of one file; `Ok(None)` for an optional one that is not there.
    pub fn locate(
        &self,
        collection: &Collection,
        file: &BootFile,
    ) -> Result<Option<PathBuf>, AssetError> {
        let found = match self {
            Self::Installed => vec![Path::new("/").join(file.in_package)],
            Self::Downloaded(scratch) => vec![scratch.path().join("root").join(file.in_package)],
            Self::Folder(folder) => file
                .candidates()
                .into_iter()
                .map(|candidate| folder.join(candidate))
                .collect(),
        }
        .into_iter()
        .find(|path| path.is_file());
        if found.is_some() || file.optional {
            return Ok(found);
        }
        Err(match self {
            Self::Folder(folder) => AssetError::NotInFolder {
                folder: folder.clone(),
                file: file.path,
                looked_for: file
                    .candidates()
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            Self::Installed | Self::Downloaded(_) => AssetError::NotInPackage {
                package: collection.package,
                file: file.in_package,
            },
        })
    }

    /// Where the files come from, in a few words.
    pub fn describe(&self, collection: &Collection) -> String {
        match self {
            Self::Installed | Self::Downloaded(_) => format!("package {}", collection.package),
            Self::Folder(folder) => folder.display().to_string(),
        }
    }
}

/// Downloads and unpacks a package without installing it. Packages are checked by apt against the
/// distribution's signature.
fn download(collection: &Collection, tell: Tell<'_>) -> Result<Scratch, AssetError> {
    let package = collection.package;
    let scratch = Scratch::new("assets").map_err(|source| AssetError::Io {
        action: "cannot make a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    tell(&format!(
        "{}: downloading the package {package} (apt-get download; nothing is installed)",
        collection.name
    ));
    run(
        package,
        "apt-get",
        Command::new("apt-get")
            .args(["download", "--quiet", package])
            .current_dir(scratch.path()),
    )
    .map_err(|error| match error {
        AssetError::Tool { command, message } => AssetError::Tool {
            command,
            message: format!(
                "{message}\nrun `apt-get update` as root and try again, or give the files with --from FOLDER"
            ),
        },
        other => other,
    })?;
    let deb = std::fs::read_dir(scratch.path())
        .ok()
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| AssetError::Tool {
            command: format!("apt-get download {package}"),
            message: "it left no file".into(),
        })?;
    tell(&format!("{}: unpacking {package}", collection.name));
    run(
        package,
        "dpkg-deb",
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&deb)
            .arg(scratch.path().join("root")),
    )?;
    Ok(scratch)
}

/// Runs a tool to its end; its words only when it fails.
fn run(package: &'static str, tool: &'static str, command: &mut Command) -> Result<(), AssetError> {
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                AssetError::NoTool { package, tool }
            } else {
                AssetError::Tool {
                    command: tool.to_owned(),
                    message: error.to_string(),
                }
            }
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said
        .lines()
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(3)
        .collect::<Vec<_>>();
    Err(AssetError::Tool {
        command: std::iter::once(tool.to_owned())
            .chain(
                command
                    .get_args()
                    .map(|arg| arg.to_string_lossy().into_owned()),
            )
            .collect::<Vec<_>>()
            .join(" "),
        message: last.into_iter().rev().collect::<Vec<_>>().join("\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::collection;

    #[test]
    fn a_folder_may_be_an_unpacked_netboot_archive_or_a_flat_one() {
        let debian = collection("debian-12").unwrap();
        for layout in ["debian-installer/amd64", "", "debian/12/x86_64"] {
            let folder = tempfile::tempdir().unwrap();
            let inner = folder.path().join(layout);
            std::fs::create_dir_all(&inner).unwrap();
            std::fs::write(inner.join("linux"), "").unwrap();
            let origin = Origin::find(debian, Some(folder.path()), &mut |_| ()).unwrap();
            let found = origin.locate(debian, &debian.files[0]).unwrap();
            assert_eq!(found, Some(inner.join("linux")), "{layout}");
            let error = origin.locate(debian, &debian.files[1]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("has no debian/12/x86_64/initrd.gz")
            );
        }
    }

    #[test]
    fn optional_files_may_be_absent() {
        let ipxe = collection("ipxe").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let origin = Origin::Folder(folder.path().to_owned());
        for file in ipxe.files {
            assert_eq!(origin.locate(ipxe, file).is_ok(), file.optional);
        }
    }

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = run("ipxe", "apt-get", &mut Command::new("/nonexistent/apt-get")).unwrap_err();
        assert!(error.to_string().contains("--from"), "{error}");
    }
}
