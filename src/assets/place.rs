//! Puts one file into `boot_assets`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{AssetError, BootFile};

/// A file that was put in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Whether the same bytes were there before; nothing was written then.
    pub unchanged: bool,
}

/// Copies `from` to the file's place under `boot_assets`: whole, or not at all. A transfer of the old
/// file that is under way goes on with the old bytes, because the new file is another one.
pub fn place(file: &BootFile, from: &Path, boot_assets: &Path) -> Result<Placed, AssetError> {
    let target = boot_assets.join(file.path);
    let (size, sum) = checked_sum(file, from)?;
    if let Ok((present_size, present)) = sum_of(&target)
        && present_size == size
        && present == sum
    {
        return Ok(Placed {
            path: target,
            size,
            sha256: sum,
            unchanged: true,
        });
    }
    let writing = |source| AssetError::Io {
        action: "cannot write",
        path: target.clone(),
        source,
    };
    let folder = target.parent().unwrap_or(boot_assets);
    fs::create_dir_all(folder).map_err(writing)?;
    // A leading dot: files of such names are never served.
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}.part", std::process::id()));
    let written = copy_durably(from, &beside).and_then(|()| fs::rename(&beside, &target));
    if let Err(source) = written {
        let _ = fs::remove_file(&beside);
        return Err(writing(source));
    }
    Ok(Placed {
        path: target,
        size,
        sha256: sum,
        unchanged: false,
    })
}

/// Copies, sets the mode that the daemon's own account can read, and waits for the disk.
fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    io::copy(&mut source, &mut target)?;
    target.set_permissions(fs::Permissions::from_mode(0o644))?;
    target.flush()?;
    target.sync_all()
}

/// Size and sum of a file that has to look like what it is to be.
fn checked_sum(file: &BootFile, path: &Path) -> Result<(u64, String), AssetError> {
    let reading = |source| AssetError::Io {
        action: "cannot read",
        path: path.to_owned(),
        source,
    };
    let mut head = Vec::with_capacity(1_024);
    File::open(path)
        .and_then(|opened| opened.take(1_024).read_to_end(&mut head))
        .map_err(reading)?;
    if !file.looks.fits(&head) {
        return Err(AssetError::OtherKind {
            path: path.to_owned(),
            expected: file.looks.describe(),
        });
    }
    sum_of(path).map_err(reading)
}

/// Size and SHA-256 of a file.
pub fn sum_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0_u64;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        digest.update(part);
        size = size.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    let sum = digest
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |text, byte| {
            text + &format!("{byte:02x}")
        });
    Ok((size, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::Looks;

    const INITRD: BootFile = BootFile {
        path: "debian/12/x86_64/initrd.gz",
        in_package: "usr/initrd.gz",
        elsewhere: &[],
        looks: Looks::Initrd,
        optional: false,
    };

    #[test]
    fn a_file_is_put_in_its_place_and_then_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("given");
        fs::write(&from, b"\x1f\x8babc").unwrap();
        let assets = folder.path().join("boot-assets");

        let placed = place(&INITRD, &from, &assets).unwrap();
        assert_eq!(placed.path, assets.join(INITRD.path));
        assert_eq!(placed.size, 5);
        assert!(!placed.unchanged);
        assert_eq!(fs::read(&placed.path).unwrap(), b"\x1f\x8babc");
        assert!(place(&INITRD, &from, &assets).unwrap().unchanged);

        fs::write(&from, b"\x1f\x8bxyz").unwrap();
        assert!(!place(&INITRD, &from, &assets).unwrap().unchanged);
        assert_eq!(fs::read(&placed.path).unwrap(), b"\x1f\x8bxyz");
        // Nothing is left beside it.
        let beside = fs::read_dir(placed.path.parent().unwrap()).unwrap().count();
        assert_eq!(beside, 1);
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let good = folder.path().join("good");
        let page = folder.path().join("page");
        fs::write(&good, b"\x1f\x8babc").unwrap();
        fs::write(&page, b"<html>not found</html>").unwrap();
        place(&INITRD, &good, folder.path()).unwrap();
        let error = place(&INITRD, &page, folder.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("page is not a compressed initial RAM disk"),
            "{error}"
        );
        assert_eq!(
            fs::read(folder.path().join(INITRD.path)).unwrap(),
            b"\x1f\x8babc"
        );
    }

    #[test]
    fn the_sum_is_sha256() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            sum_of(&path).unwrap(),
            (
                3,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".into()
            )
        );
    }
}
