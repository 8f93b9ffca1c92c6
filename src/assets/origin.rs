//! Boot files of Debian packages: an installed one, or one that is downloaded and unpacked without being installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{AssetError, Step, Tell};

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

/// The files of a Debian package.
#[derive(Debug)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The folder below which they lie as the package has them.
    root: PathBuf,
    _scratch: Option<Scratch>,
}

impl Package {
    /// Finds a package: installed, when all of these files are there, else freshly downloaded.
    pub fn find<'a>(
        package: &str,
        files: impl IntoIterator<Item = &'a str>,
        tell: Tell<'_>,
    ) -> Result<Self, AssetError> {
        let mut files = files.into_iter();
        if files.all(|file| Path::new("/").join(file).is_file()) {
            tell(Step::Said(format!("from the installed package {package}")));
            return Ok(Self {
                name: package.to_owned(),
                root: PathBuf::from("/"),
                _scratch: None,
            });
        }
        let scratch = download(package, tell)?;
        Ok(Self {
            name: package.to_owned(),
            root: scratch.path().join("root"),
            _scratch: Some(scratch),
        })
    }

    /// The path of one of its files; `None`: it has no such file.
    pub fn file(&self, path: &str) -> Option<PathBuf> {
        let path = self.root.join(path);
        path.is_file().then_some(path)
    }
}

/// Downloads and unpacks a package without installing it. Packages are checked by apt against the
/// distribution's signature.
fn download(package: &str, tell: Tell<'_>) -> Result<Scratch, AssetError> {
    let scratch = Scratch::new("assets").map_err(|source| AssetError::Io {
        action: "cannot make a folder in",
        path: std::env::temp_dir(),
        source,
    })?;
    tell(Step::Said(format!(
        "downloading the package {package} (apt-get download; nothing is installed)"
    )));
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
    tell(Step::Said(format!("unpacking {package}")));
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
fn run(package: &str, tool: &'static str, command: &mut Command) -> Result<(), AssetError> {
    let output = command
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                AssetError::NoTool {
                    package: package.to_owned(),
                    tool,
                }
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

    #[test]
    fn a_tool_that_is_not_there_is_named() {
        let error = run("ipxe", "apt-get", &mut Command::new("/nonexistent/apt-get")).unwrap_err();
        assert!(error.to_string().contains("--from"), "{error}");
    }

    #[test]
    fn an_installed_package_is_used_where_it_is() {
        let package = Package::find("base-files", ["etc/debian_version"], &mut |_| ()).unwrap();
        assert_eq!(
            package.file("etc/debian_version"),
            Some(PathBuf::from("/etc/debian_version"))
        );
        assert_eq!(package.file("etc/nothing"), None);
    }
}
