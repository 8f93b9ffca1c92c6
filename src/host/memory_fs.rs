//! A file system in memory that is this process's own.
//!
//! What `memfd_create` gives lies in pages of 4 KiB unless the whole system is set otherwise, and to send such a file
//! the kernel looks each of them up: measured, that is a third of a large transfer. A `tmpfs` of one's own may have
//! large pages (`huge=within_size`, Linux's `Documentation/filesystems/tmpfs.rst`).
//!
//! **Invariant:** it is mounted nowhere: whoever has not its descriptor does not see it, and it ends with its last
//! file.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

/// Its settings. It has no bound of its own (`size=0`): whoever fills it has one. Files are made after the privileges
/// are gone, by another user than it belongs to.
const SETTINGS: [(&str, &str); 3] = [("huge", "within_size"), ("size", "0"), ("mode", "1777")];

/// A file system in memory; cheap to clone.
#[derive(Debug, Clone)]
pub struct MemoryFs {
    root: Arc<OwnedFd>,
}

impl MemoryFs {
    /// Makes one. That takes `CAP_SYS_ADMIN`, and Linux 5.2; making files in it takes neither.
    pub fn new() -> io::Result<Self> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in SETTINGS {
            fsconfig_set_string(context.as_fd(), key, value)?;
        }
        fsconfig_create(context.as_fd())?;
        let apart = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let root = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, apart)?;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// A file without a name of so many bytes, all 0: to be written, and the same to be read only.
    pub fn file(&self, len: u64) -> io::Result<(File, File)> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.root.as_fd(), c".", flags, Mode::RUSR | Mode::WUSR)?;
        // First of all: how large its pages may be depends on it.
        rustix::fs::ftruncate(&file, len)?;
        let again = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let read_only = rustix::fs::open(again, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok((file.into(), read_only.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn a_file_is_written_by_one_descriptor_and_read_by_the_other() {
        let memory = match MemoryFs::new() {
            Ok(memory) => memory,
            Err(error) => {
                // Not everybody may make one (root in a container neither), and an older kernel lacks the calls, or
                // large pages. Nothing else keeps it from being made.
                use nix::errno::Errno;
                let errno = error.raw_os_error().map(Errno::from_raw);
                let known = [Errno::EPERM, Errno::ENOSYS, Errno::EINVAL];
                assert!(errno.is_some_and(|errno| known.contains(&errno)), "{error}");
                return;
            }
        };
        let (written, read) = memory.file(3 << 20).unwrap();
        written.write_all_at(b"kernel", 2 << 20).unwrap();
        let mut bytes = [0; 6];
        read.read_exact_at(&mut bytes, 2 << 20).unwrap();
        assert_eq!(&bytes, b"kernel");
        assert_eq!(read.metadata().unwrap().len(), 3 << 20);
        assert!(read.write_all_at(b"x", 0).is_err());
        assert!(read.set_len(0).is_err());
    }
}
