//! Files that are collected beside their places, and put there together.
//!
//! **Invariant:** nothing comes to its place before all files of one order are whole and checked; each comes
//! by one rename, so nobody sees a half file; when one cannot be put there, those before it are taken back.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256, Sha512};

use super::AssetError;
use super::sums::Sum;
use crate::wire::looks::{HEAD, Looks};

/// A file that is whole and checked, and not in its place yet.
#[derive(Debug)]
pub struct Staged {
    /// Where it is.
    pub file: PathBuf,
    /// Where it belongs, under `boot_assets`.
    pub path: String,
}

/// Puts files in their places: all, or none. A transfer of an old file that is under way goes on with the old
/// bytes, because the new file is another one.
pub fn place(staged: &[Staged], boot_assets: &Path, scratch: &Path) -> Result<(), AssetError> {
    let mut done: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
    for (index, file) in staged.iter().enumerate() {
        let target = boot_assets.join(&file.path);
        let old = scratch.join(format!("old-{index}"));
        let result = place_one(&file.file, &target, &old);
        match result {
            Ok(kept) => done.push((target, kept.then_some(old))),
            Err(source) => {
                for (target, old) in done.into_iter().rev() {
                    let _ = match old {
                        Some(old) => fs::rename(old, target),
                        None => fs::remove_file(target),
                    };
                }
                return Err(AssetError::Io {
                    action: "cannot write",
                    path: target,
                    source,
                });
            }
        }
    }
    for (_, old) in done {
        if let Some(old) = old {
            let _ = fs::remove_file(old);
        }
    }
    Ok(())
}

/// Puts one file in its place; whether there was another one, which now is `old`.
fn place_one(file: &Path, target: &Path, old: &Path) -> io::Result<bool> {
    let folder = target.parent().unwrap_or_else(|| Path::new("."));
    make_folders(folder)?;
    // The daemon's own account reads it.
    let opened = File::open(file)?;
    opened.set_permissions(fs::Permissions::from_mode(0o644))?;
    opened.sync_all()?;
    let _ = fs::remove_file(old);
    let kept = match fs::hard_link(target, old) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) if target.is_dir() => return Err(error),
        // A file system without links, or a file of another owner: its bytes will do.
        Err(_) => fs::copy(target, old).map(|_| true)?,
    };
    fs::rename(file, target)?;
    Ok(kept)
}

/// Makes a folder and those above it that are not there, for the daemon's own account too, whatever the umask is.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_folders(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o755)),
    }
}

/// Copies a file to where files are collected.
pub fn copy(from: &Path, to: &Path) -> Result<(), AssetError> {
    let reading = |source| AssetError::Io {
        action: "cannot read",
        path: from.to_owned(),
        source,
    };
    let mut source = File::open(from).map_err(reading)?;
    let writing = |source| AssetError::Io {
        action: "cannot write",
        path: to.to_owned(),
        source,
    };
    let mut target = File::create(to).map_err(writing)?;
    io::copy(&mut source, &mut target).map_err(writing)?;
    Ok(())
}

/// Size and sums of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Bytes.
    pub size: u64,
    /// In small hexadecimal digits.
    pub sha256: String,
    sha512: Option<String>,
}

impl Measured {
    /// Whether the file has this sum. It was measured with it in mind.
    pub fn has(&self, sum: &Sum) -> bool {
        match sum {
            Sum::Sha256(hex) => *hex == self.sha256,
            Sum::Sha512(hex) => self.sha512.as_ref() == Some(hex),
        }
    }
}

/// Size and SHA-256 of a file, and SHA-512 where that is what it is to be held against.
pub fn measure(path: &Path, against: Option<&Sum>) -> io::Result<Measured> {
    let mut file = File::open(path)?;
    let mut sha256 = Sha256::new();
    let mut sha512 = matches!(against, Some(Sum::Sha512(_))).then(Sha512::new);
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0_u64;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        sha256.update(part);
        if let Some(sha512) = &mut sha512 {
            sha512.update(part);
        }
        size = size.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    Ok(Measured {
        size,
        sha256: HEXLOWER.encode(&sha256.finalize()),
        sha512: sha512.map(|digest| HEXLOWER.encode(&digest.finalize())),
    })
}

/// The error of a file that does not look like what it is to be. `name` is what it is called.
pub fn check_looks(file: &Path, looks: Looks, name: &str) -> Result<(), AssetError> {
    let mut head = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(HEAD as u64).read_to_end(&mut head))
        .map_err(|source| AssetError::Io {
            action: "cannot read",
            path: file.to_owned(),
            source,
        })?;
    if looks.fits(&head) {
        return Ok(());
    }
    Err(AssetError::OtherKind {
        name: name.to_owned(),
        expected: looks.describe(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(folder: &Path, path: &str, bytes: &[u8]) -> Staged {
        let file = folder.join(path.replace('/', "_"));
        fs::write(&file, bytes).unwrap();
        Staged {
            file,
            path: path.to_owned(),
        }
    }

    #[test]
    fn all_come_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let assets = folder.path().join("assets");
        let scratch = folder.path().join("scratch");
        fs::create_dir(&scratch).unwrap();
        let put = |files: &[(&str, &[u8])]| {
            let staged: Vec<Staged> = files
                .iter()
                .map(|(path, bytes)| staged(&scratch, path, bytes))
                .collect();
            place(&staged, &assets, &scratch)
        };
        put(&[("a/x", b"1"), ("a/y", b"1")]).unwrap();
        assert_eq!(fs::read(assets.join("a/x")).unwrap(), b"1");

        // Where the third belongs is a folder.
        fs::create_dir(assets.join("a/z")).unwrap();
        let error = put(&[("a/x", b"2"), ("a/new", b"2"), ("a/z", b"2")]).unwrap_err();
        assert!(error.to_string().contains("a/z"), "{error}");
        assert_eq!(fs::read(assets.join("a/x")).unwrap(), b"1");
        assert!(!assets.join("a/new").exists());

        put(&[("a/x", b"3")]).unwrap();
        assert_eq!(fs::read(assets.join("a/x")).unwrap(), b"3");
        let left = fs::read_dir(&scratch).unwrap().flatten();
        assert_eq!(left.filter(|entry| entry.file_name() == "old-0").count(), 0);
    }

    #[test]
    fn sums_are_sha256_and_sha512() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendices B.1 and C.1.
        let short = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let long = Sum::Sha512("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f".to_owned());
        let measured = measure(&path, Some(&long)).unwrap();
        assert_eq!((measured.size, measured.sha256.as_str()), (3, short));
        assert!(measured.has(&long) && measured.has(&Sum::Sha256(short.to_owned())));
        assert!(!measure(&path, None).unwrap().has(&long));
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("page");
        fs::write(&page, b"<html>not found</html>").unwrap();
        let error = check_looks(&page, Looks::Initrd, "initrd.gz").unwrap_err();
        assert_eq!(
            error.to_string(),
            "initrd.gz is not a compressed initial RAM disk"
        );
    }
}
