//! A small good configuration to which each test makes its change.

use std::path::Path;

use bootwright::config::source::MemoryFiles;
use bootwright::config::{LoadedConfig, load, show};

pub(crate) const MAIN: &str = "config/bootwright.toml";
pub(crate) const HOSTS: &str = "config/reservations.toml";
pub(crate) const PROFILE: &str = "config/profiles/debian-12.toml";

pub(crate) const GOOD_MAIN: &str = r#"[server]
interfaces = ["br0"]
domain = "lab.example"

[[subnet]]
name = "lab"
network = "10.99.0.0/24"
server = "10.99.0.2"
router = "10.99.0.1"
"#;

pub(crate) const GOOD_HOSTS: &str = r#"[groups.web]
profile = "debian-12"

[hosts.web01]
mac = "52:54:00:47:86:8e"
ip = "10.99.0.11"
group = "web"
"#;

pub(crate) const GOOD_PROFILE: &str = r#"title = "Debian 12"
family = "debian"

[boot]
kind = "linux"
kernel = "debian/12/{{ arch }}/linux"
initrd = ["debian/12/{{ arch }}/initrd.gz"]
cmdline = "auto=true url={{ answers.url }}"

[[answers]]
name = "preseed.cfg"
template = "debian/preseed.cfg.j2"
"#;

/// The good configuration.
pub(crate) fn good() -> MemoryFiles {
    [
        (MAIN, GOOD_MAIN),
        (HOSTS, GOOD_HOSTS),
        (PROFILE, GOOD_PROFILE),
        (
            "config/templates/debian/preseed.cfg.j2",
            "d-i netcfg/get_hostname string {{ host.name }}\n",
        ),
    ]
    .into_iter()
    .collect()
}

/// The good configuration with some files replaced or added.
pub(crate) fn with(files: &[(&str, &str)]) -> MemoryFiles {
    let mut all = good();
    for (path, text) in files {
        all.insert(*path, *text);
    }
    all
}

/// Loads them. What the reader has nothing against, the schemas must take.
pub(crate) fn load_all(files: &MemoryFiles) -> LoadedConfig {
    let loaded = load(files, Path::new(MAIN));
    crate::schema::takes_what_is_good(files, &loaded);
    loaded
}

/// What `check` shows of a configuration.
pub(crate) fn shown(files: &MemoryFiles) -> String {
    let loaded = load_all(files);
    let text = show::text(&loaded.problems, &loaded.sources, false, false);
    let summary = show::summary(&loaded.problems, loaded.snapshot.as_ref(), false);
    format!("{text}{summary}")
}
