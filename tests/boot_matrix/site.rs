//! A configuration with one host for each shipped profile, and boot files for all of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bootwright::config::snapshot::{Host, Profile};
use bootwright::config::source::DiskFiles;
use bootwright::render::files::usual_architecture;
use bootwright::render::load::{InForce, load};
use bootwright::render::{RenderedBoot, View};
use tempfile::TempDir;

use crate::profiles::PROFILES;
use crate::{hosts, linux, stand_ins};

/// The configuration in a folder of its own, and what is in force of it.
pub(crate) struct Site {
    folder: TempDir,
    pub(crate) in_force: Arc<InForce>,
}

impl Site {
    /// With stand-ins for what the profiles load.
    pub(crate) fn with_stand_ins() -> Self {
        let site = Self::new(None);
        stand_ins::place(&site);
        site
    }

    /// With a Linux in the place of each one, made of Debian's installer in this folder.
    pub(crate) fn with_linux(installers: &Path) -> Self {
        let site = Self::new(None);
        linux::place(&site, installers);
        site
    }

    /// With the boot files that are in this folder.
    pub(crate) fn with_files_of(folder: &Path) -> Self {
        Self::new(Some(folder))
    }

    fn new(boot_assets: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let place = |name: &str| shipped.join(name).display().to_string();
        let server = hosts::SERVER
            .replace("PROFILES", &place("profiles"))
            .replace("TEMPLATES", &place("templates"))
            .replace("[[subnet]]\nname    = \"lab\"", BOOT);
        let server = match boot_assets {
            Some(folder) => server.replace(
                "[server]\n",
                &format!(
                    "[server]\nboot_assets = {:?}\n",
                    folder.display().to_string()
                ),
            ),
            None => server,
        };
        let config = folder.path().join("config");
        fs::create_dir_all(&config).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let main = config.join("bootwright.toml");
        fs::write(&main, server).unwrap();
        let secrets = config.join("secrets.toml");
        fs::write(&secrets, hosts::SECRETS).unwrap();
        fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(config.join("reservations.toml"), reservations()).unwrap();

        let fetched = Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .arg("--config")
            .arg(&main)
            .args(["assets", "fetch", "ipxe"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&fetched.stderr);
        assert!(fetched.status.success(), "iPXE: {said}");
        let loaded = load(&DiskFiles, &main, 1);
        let wrong: Vec<_> = loaded
            .problems
            .iter()
            .filter(|problem| {
                problem.code != "boot-file-missing" && problem.code != "nobody-gets-in"
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        Self {
            folder,
            in_force: loaded.config.unwrap(),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config/bootwright.toml")
    }

    pub(crate) fn boot_assets(&self) -> PathBuf {
        self.in_force.snapshot.server.boot_assets.clone()
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The hosts, each with its profile.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = (&Host, &Profile)> {
        let snapshot = &self.in_force.snapshot;
        snapshot.hosts().iter().map(|host| {
            let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
            (&**host, &**profile)
        })
    }

    /// What a host boots, with an example's URLs for its answers.
    pub(crate) fn boot(&self, host: &Host, profile: &Profile) -> RenderedBoot {
        let snapshot = &self.in_force.snapshot;
        let view = View {
            snapshot,
            host,
            profile,
            arch: usual_architecture(host, Some(profile)),
            server: snapshot.subnet_of(host).unwrap().example_server,
            token: None,
        };
        self.in_force.renderer.boot(&view).unwrap()
    }
}

/// As the example has it: it spares each machine 26 s.
const BOOT: &str = "[boot]\nrouter_advertisement = \"ipxe\"\n[[subnet]]\nname    = \"lab\"";

/// One host for each profile, named after it.
fn reservations() -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (index, profile) in PROFILES.iter().enumerate() {
        let has_console = ["windows", "esxi", "smartos", "menu", "discovery"]
            .iter()
            .all(|family| !profile.name.starts_with(family));
        let host = profile.name.replace('.', "-");
        let _ = writeln!(
            text,
            "[hosts.{host}]\nprofile = {:?}\nmac = \"52:54:00:00:02:{:02x}\"\nip = \"10.99.0.{}\"\n[hosts.{host}.vars]\n{}\n{}",
            profile.name,
            index + 1,
            index + 10,
            profile.vars,
            if has_console {
                "console = \"ttyS0,115200n8\""
            } else {
                ""
            },
        );
    }
    text
}
