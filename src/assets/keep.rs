//! What is there of what is needed, and what is there and no longer needed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::AssetError;
use super::builtin;
use super::choice::given as given_values;
use super::manifest::{Entry, Lock, Manifest, NAME, STAGING};
use super::place::measure;
use crate::base::{Architecture, Firmware};
use crate::config::Snapshot;
use crate::config::fetch::may_be;
use crate::config::snapshot::Profile;
use crate::render::AssetRef;
use crate::render::files::{named_by_hosts, needed, usual_architecture};
use crate::render::load::InForce;

/// Who needs a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// Hosts that cannot be booted without it.
    pub hosts: Vec<String>,
    /// Profiles whose `[fetch]` brings it.
    pub profiles: Vec<String>,
}

/// The architectures that a profile's files are fetched for: those of its hosts, else its usual one.
pub fn architectures(config: &InForce, profile: &Profile) -> Vec<Architecture> {
    let hosts = config.snapshot.hosts().iter();
    let of_hosts: BTreeSet<Architecture> = hosts
        .filter(|host| host.profile.as_ref() == Some(&profile.name))
        .map(|host| usual_architecture(host, Some(profile)))
        .collect();
    if of_hosts.is_empty() {
        let usual = profile.arch.first().copied();
        return vec![usual.unwrap_or(Architecture::X86_64)];
    }
    of_hosts.into_iter().collect()
}

/// All files that hosts need and that profiles bring, by path under `boot_assets`.
pub fn users(config: &InForce) -> BTreeMap<String, Users> {
    let mut all: BTreeMap<String, Users> = BTreeMap::new();
    for host in config.snapshot.hosts() {
        for (asset, _) in needed(config, host) {
            // What is mirrored comes when it is asked for, and lies elsewhere.
            if let AssetRef::Path(path) = asset
                && config.snapshot.mirror_of(&path).is_none()
            {
                let users = all.entry(path).or_default();
                if users.hosts.last().map(String::as_str) != Some(host.name.as_str()) {
                    users.hosts.push(host.name.to_string());
                }
            }
        }
    }
    for (path, hosts) in named_by_hosts(config) {
        if config.snapshot.mirror_of(&path).is_none() {
            let users = all.entry(path).or_default();
            users
                .hosts
                .extend(hosts.iter().map(|host| host.name.to_string()));
        }
    }
    for profile in config.snapshot.profiles().values() {
        let Some(fetch) = &profile.fetch else {
            continue;
        };
        for (arch, values) in architectures(config, profile).into_iter().flat_map(|arch| {
            given_values(config, profile)
                .into_iter()
                .map(move |given| (arch, given.values))
        }) {
            let brought = fetch.with(arch, &values).files.into_iter();
            // One that nobody has said a value for is nowhere yet.
            for file in brought.filter(|file| !file.path.contains("{{")) {
                let users = all.entry(file.path).or_default();
                if users.profiles.last().map(String::as_str) != Some(profile.name.as_str()) {
                    users.profiles.push(profile.name.to_string());
                }
            }
        }
    }
    all
}

/// How a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// As it was brought.
    Whole,
    /// It is there, and nobody knows what it should be: the operator's own.
    Own,
    /// It has other bytes than those that were brought.
    Changed,
    /// It is not there.
    Missing,
}

impl State {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Own => "your own",
            Self::Changed => "changed",
            Self::Missing => "missing",
        }
    }
}

/// How a file stands; its bytes are read where there is something to hold them against.
pub fn state(boot_assets: &Path, path: &str, entry: Option<&Entry>) -> State {
    let file = boot_assets.join(path);
    let Ok(found) = fs::metadata(&file) else {
        return State::Missing;
    };
    let Some(entry) = entry else {
        return State::Own;
    };
    let same = found.len() == entry.size
        && measure(&file, None).is_ok_and(|measured| measured.sha256 == entry.sha256);
    if same { State::Whole } else { State::Changed }
}

/// What can be taken away.
#[derive(Debug, Default)]
pub struct Prunable {
    /// Files that were brought and that nothing names any more, with their sizes.
    pub files: Vec<(String, u64)>,
    /// Files of which the same is true, but that were changed since: the operator's own by now.
    pub changed: Vec<String>,
    /// Entries whose files are gone already.
    pub gone: Vec<String>,
    /// Bytes of downloads that were never finished.
    pub unfinished: u64,
}

/// Finds what can be taken away.
pub fn prunable(config: &InForce, manifest: &Manifest) -> Prunable {
    let boot_assets = &config.snapshot.server.boot_assets;
    let mut found = Prunable {
        unfinished: size_below(&boot_assets.join(STAGING)),
        ..Prunable::default()
    };
    let needed = users(config);
    let given = given(&config.snapshot);
    for (path, entry) in &manifest.files {
        if needed.contains_key(path) || is_named(&config.snapshot, &given, path, entry) {
            continue;
        }
        match state(boot_assets, path, Some(entry)) {
            State::Whole => found.files.push((path.clone(), entry.size)),
            State::Missing => found.gone.push(path.clone()),
            State::Changed | State::Own => found.changed.push(path.clone()),
        }
    }
    found
}

/// Whether something names a file, or may name it: a template may hold any path, so a file stays as long as
/// its path, or a folder it lies in, stands in some profile, template or variable (`given`), or may be what one of
/// them gives.
fn is_named(snapshot: &Snapshot, given: &BTreeSet<&str>, path: &str, entry: &Entry) -> bool {
    let server = &snapshot.server;
    let loaders = server
        .loaders
        .values()
        .chain(server.loaders_by_code.values());
    let own = snapshot.hosts().iter().flat_map(|host| {
        let named = host.named_loader();
        let files = Firmware::ALL
            .into_iter()
            .filter_map(move |firmware| server.loader_by_name(named?, firmware));
        files.chain(host.loader.as_deref())
    });
    let mut named = loaders.map(String::as_str).chain(own);
    if let Some(fetch) = builtin(&entry.name).filter(|fetch| fetch.brings(path).is_some()) {
        // A loader needs its modules as well.
        let is_needed = match entry.name.as_str() {
            "ipxe" => true,
            "pxelinux" => named.any(|loader| fetch.brings(loader).is_some()),
            _ => named.any(|loader| loader == path),
        };
        if is_needed {
            return true;
        }
    } else if named.any(|loader| loader == path) {
        return true;
    }
    let by_profile = |profile: &Profile| {
        let fetched = profile
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.brings(path).is_some());
        // A command line may hold the addresses of further ones.
        let named = profile.boot.texts().into_iter().any(|(key, text)| {
            let is_path = !key.starts_with("cmdline");
            is_path && may_be(&text.text, path) || holds(&text.text, path)
        });
        fetched || named
    };
    snapshot
        .profiles()
        .values()
        .any(|profile| by_profile(profile))
        || snapshot
            .templates()
            .values()
            .any(|template| holds(&template.text, path))
        || given.iter().any(|text| holds(text, path))
}

/// The texts among all variables that may hold a path: each once, however many hosts have it.
fn given(snapshot: &Snapshot) -> BTreeSet<&str> {
    fn collect<'a>(value: &'a toml::Value, texts: &mut BTreeSet<&'a str>) {
        match value {
            toml::Value::String(text) if text.contains('/') => {
                texts.insert(text);
            }
            toml::Value::Array(list) => list.iter().for_each(|value| collect(value, texts)),
            toml::Value::Table(table) => table.values().for_each(|value| collect(value, texts)),
            _ => {}
        }
    }
    let mut texts = BTreeSet::new();
    let mut last = None;
    for host in snapshot.hosts() {
        // Neighbours in the file mostly share what their group gives.
        if last.is_some_and(|last| Arc::ptr_eq(last, &host.own.settings)) {
            continue;
        }
        last = Some(&host.own.settings);
        host.vars
            .values()
            .for_each(|value| collect(value, &mut texts));
    }
    for profile in snapshot.profiles().values() {
        let declared = profile.variables.values();
        let defaults = declared.filter_map(|declared| declared.default.as_ref());
        defaults
            .chain(profile.vars.values())
            .for_each(|value| collect(value, &mut texts));
    }
    texts
}

/// Whether a text holds a path, or the folder of a tree that it lies in.
fn holds(text: &str, path: &str) -> bool {
    let tree = path
        .match_indices("/tree/")
        .filter_map(|(at, _)| path.get(..at + "/tree".len()));
    std::iter::once(path)
        .chain(tree)
        .any(|path| text.contains(path))
}

fn size_below(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The trees of images that files were in.
fn trees(files: &[(String, u64)]) -> BTreeSet<&str> {
    let tree = |path: &'_ str| path.find("/tree/").map(|at| at + "/tree".len());
    files
        .iter()
        .filter_map(|(path, _)| path.get(..tree(path)?))
        .collect()
}

/// Takes links away that lead nowhere, and folders that are empty; they are not in the manifest.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sweep(&path),
            Ok(kind) if kind.is_symlink() && !path.exists() => {
                let _ = fs::remove_file(&path);
            }
            _ => {}
        }
    }
    let _ = fs::remove_dir(folder);
}

/// Takes away what was found, and the folders that are empty then.
pub fn prune(boot_assets: &Path, prunable: &Prunable) -> Result<(), AssetError> {
    let lock = Lock::take(boot_assets)?;
    let mut manifest = Manifest::read(boot_assets)?;
    for (path, _) in &prunable.files {
        let file = boot_assets.join(path);
        fs::remove_file(&file).map_err(|source| AssetError::Io {
            action: "cannot remove",
            path: file.clone(),
            source,
        })?;
        manifest.files.remove(path);
        let mut folder = file.parent();
        // Only empty ones go.
        while let Some(empty) = folder.filter(|folder| *folder != boot_assets) {
            if fs::remove_dir(empty).is_err() {
                break;
            }
            folder = empty.parent();
        }
    }
    for tree in trees(&prunable.files) {
        sweep(&boot_assets.join(tree));
    }
    for path in prunable.gone.iter().chain(&prunable.changed) {
        manifest.files.remove(path);
    }
    for entry in fs::read_dir(lock.staging()).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    if manifest.files.is_empty() {
        let _ = fs::remove_file(boot_assets.join(NAME));
        return Ok(());
    }
    manifest.write(&lock, boot_assets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_text_keeps_its_file_and_its_tree() {
        let text = "inst.repo={{ asset(\"rocky/9.4/x86_64/tree\") }}";
        assert!(holds(text, "rocky/9.4/x86_64/tree/images/install.img"));
        assert!(!holds(text, "rocky/9.4/x86_64/vmlinuz"));
        assert!(holds(
            "a rocky/9.4/x86_64/vmlinuz b",
            "rocky/9.4/x86_64/vmlinuz"
        ));
    }
}
