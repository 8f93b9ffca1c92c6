//! What the tests have in common: files that look like boot files, a declaration, an order, a configuration.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bootwright::assets::fetch::{Brought, From, Order, fetch};
use bootwright::assets::http::Patience;
use bootwright::assets::{AssetError, Step};
use bootwright::config::fetch::{Fetch, FetchFile, Signature, SumList};
use bootwright::wire::looks::Looks;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Something that looks like a kernel, and is told apart by `seed`.
pub(crate) fn kernel(seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; 40_000];
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes
}

/// Something that looks like an initial RAM disk.
pub(crate) fn initrd(seed: u8) -> Vec<u8> {
    let mut bytes = vec![seed; 300_000];
    bytes[..3].copy_from_slice(&[0x1f, 0x8b, 8]);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

pub(crate) fn file(path: &str, from: &str, looks: Looks) -> FetchFile {
    FetchFile {
        path: path.to_owned(),
        from: Some(from.to_owned()),
        looks,
        ..FetchFile::default()
    }
}

/// Kernel and initial RAM disk in a folder with a list of sums.
pub(crate) fn declaration() -> Fetch {
    Fetch {
        sums: vec![SumList {
            path: "images/SHA256SUMS".to_owned(),
            signature: None,
        }],
        files: vec![
            file("os/1/linux", "images/linux", Looks::LinuxKernel),
            file("os/1/initrd.gz", "images/initrd.gz", Looks::Initrd),
        ],
        ..Fetch::default()
    }
}

/// The same, the list signed.
pub(crate) fn signed(keyring: &Path, signature: Signature) -> Fetch {
    let mut fetch = declaration();
    fetch.sums[0].signature = Some(signature);
    fetch.keyring = vec![keyring.to_owned()];
    fetch.keyring_package = Some("os-keyring".to_owned());
    fetch
}

/// A list of the sums of these files, by name.
pub(crate) fn sums(files: &[(&str, &[u8])]) -> String {
    let lines = files
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes)));
    lines.collect()
}

/// A patience for tests: short, because the server is near.
pub(crate) const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    silence: Duration::from_millis(700),
    pause: Duration::from_millis(1),
    tries: 3,
};

/// A folder for boot files, and what was told while fetching into it.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) told: Vec<Step>,
    pub(crate) patience: Patience,
    pub(crate) signatures: bool,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            told: Vec::new(),
            patience: PATIENCE,
            signatures: true,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("boot-assets")
    }

    pub(crate) fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path().join(path)).ok()
    }

    pub(crate) fn fetch(
        &mut self,
        fetch_: &Fetch,
        from: From<'_>,
    ) -> Result<Vec<Brought>, AssetError> {
        std::fs::create_dir_all(self.path()).unwrap();
        let boot_assets = self.path();
        let order = Order {
            name: "os-1",
            fetch: fetch_,
            boot_assets: &boot_assets,
            from,
            signatures: self.signatures,
            patience: self.patience,
            now: "2026-11-21T12:00:00Z".to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let told = &mut self.told;
        runtime.block_on(fetch(&order, &mut |step| told.push(step)))
    }

    /// The paths of all that is served: names with a dot before them are not.
    pub(crate) fn served(&self) -> Vec<String> {
        let mut found = Vec::new();
        below(&self.path(), &mut found);
        let mut names: Vec<String> = found
            .iter()
            .filter_map(|path| path.strip_prefix(self.path()).ok()?.to_str())
            .filter(|path| !path.split('/').any(|part| part.starts_with('.')))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            below(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Runs a program that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error} (scripts/setup.sh installs it)");
    });
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
