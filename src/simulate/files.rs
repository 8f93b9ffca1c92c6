//! Which boot files are there, as decisions ask for them: looked for through [`Files`].

use std::net::Ipv4Addr;

use crate::base::{Architecture, Token};
use crate::config::Files;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Profile};
use crate::decide::BootFiles;
use crate::render::View;
use crate::render::files::usual_architecture;
use crate::render::load::InForce;

/// The boot files of a configuration.
pub(super) struct Looked<'a> {
    pub(super) in_force: &'a InForce,
    pub(super) files: &'a dyn Files,
    /// All of them are taken for there.
    pub(super) assume: bool,
}

impl Looked<'_> {
    /// The first bytes of a boot file, where it can be read.
    pub(super) fn head(&self, path: &str) -> Option<Vec<u8>> {
        let file = self.in_force.snapshot.server.boot_assets.join(path);
        self.files.head(&file, crate::render::files::HEAD).ok()
    }
}

impl BootFiles for Looked<'_> {
    fn is_there(&self, path: &str) -> bool {
        let snapshot = &self.in_force.snapshot;
        if self.assume || snapshot.is_mirrored(path) {
            return true;
        }
        let file = snapshot.server.boot_assets.join(path);
        match path.strip_suffix('/') {
            Some(_) => self.files.is_dir(&file),
            None => self.files.is_file(&file),
        }
    }

    fn missing_for(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        let needs = self.in_force.needs(host, profile, arch)?;
        needs.missing(|path| self.is_there(path))
    }

    /// With example URLs, whatever the token.
    fn options_of(
        &self,
        host: &Host,
        profile: &Profile,
        _token: &Token,
        server: Ipv4Addr,
    ) -> Vec<ConfiguredOption> {
        let view = View {
            snapshot: &self.in_force.snapshot,
            host,
            profile,
            arch: usual_architecture(host, Some(profile)),
            server,
            token: None,
        };
        self.in_force.renderer.options(&view).unwrap_or_default()
    }

    fn missing_secret(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        let needs = self.in_force.needs(host, profile, arch)?;
        needs.lacks_secret.clone()
    }
}
