//! Initial RAM disks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// An archive as kernels unpack it (cpio, `newc`).
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    number: u32,
    made: BTreeSet<String>,
}

impl Archive {
    /// With this mode; of a device its numbers, of a link where it leads as its content. What is there already stays.
    pub(crate) fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), body: &[u8]) {
        if !self.made.insert(name.to_owned()) {
            return;
        }
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder);
        }
        self.number += 1;
        let size = u32::try_from(body.len()).unwrap();
        let name_size = u32::try_from(name.len() + 1).unwrap();
        let mut header = String::from("070701");
        for field in [
            self.number,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            device.0,
            device.1,
            name_size,
            0,
        ] {
            let _ = write!(header, "{field:08x}");
        }
        self.bytes.extend(header.bytes().chain(name.bytes()));
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(body);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(crate) fn folder(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    pub(crate) fn file(&mut self, name: &str, mode: u32, body: &[u8]) {
        self.entry(name, 0o100_000 | mode, (0, 0), body);
    }

    /// A program of this machine, and the libraries that it needs.
    pub(crate) fn program(&mut self, name: &str) {
        let path = ["/usr/bin", "/bin"]
            .map(|folder| PathBuf::from(folder).join(name))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("there is no {name}: apt-get install {name}"));
        self.file(&format!("bin/{name}"), 0o755, &fs::read(&path).unwrap());
        let told = Command::new("ldd").arg(&path).output().unwrap();
        for line in String::from_utf8_lossy(&told.stdout).lines() {
            // `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or the loader's path alone; nothing for a static one.
            let Some(library) = line.split_whitespace().find(|word| word.starts_with('/')) else {
                continue;
            };
            let place = library.trim_start_matches('/');
            self.file(place, 0o755, &fs::read(library).unwrap());
        }
    }

    pub(crate) fn ended(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }
}
