//! L3, texts: answer files, boot scripts, kernel command lines, and the proof that all of them render.
//!
//! **Invariant:** pure, but for reading configuration through [`crate::config::Files`] in [`load`].

pub mod load;
pub mod scripts;

use std::net::Ipv4Addr;

use crate::base::{Architecture, Token};
use crate::config::Snapshot;
use crate::config::snapshot::{Boot, Host, Profile};

/// The templates of one snapshot, parsed.
#[derive(Debug, Clone, Default)]
pub struct Renderer {
    // helper D
}

/// For whom a text is rendered.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// The host.
    pub host: &'a Host,
    /// Its profile, as armed or as the file says.
    pub profile: &'a Profile,
    /// The architecture it boots for.
    pub arch: Architecture,
    /// This server as the machine sees it.
    pub server: Ipv4Addr,
    /// The token of its URLs; without one they are examples.
    pub token: Option<&'a Token>,
}

/// A rendered answer file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedAnswer {
    /// Content-Type.
    pub content_type: String,
    /// The text.
    pub text: String,
}

/// A boot file: by path under `boot_assets`, or by URL as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssetRef {
    /// A path under `boot_assets`, without a leading slash.
    Path(String),
    /// A whole URL.
    Url(String),
}

/// The `[boot]` of a profile, rendered for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RenderedBoot {
    /// A Linux kernel.
    Linux {
        /// The kernel.
        kernel: AssetRef,
        /// The initial RAM disks, in order.
        initrd: Vec<AssetRef>,
        /// The command line, without `initrd=`.
        cmdline: String,
    },
    /// Another script.
    Chain(AssetRef),
    /// A whole iPXE script.
    Script(String),
}

impl RenderedBoot {
    /// The paths under `boot_assets` that it loads; the kernel first.
    pub fn paths(&self) -> Vec<&str> {
        let _ = self;
        Vec::new()
    }
}

/// Why a text could not be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{template}:{line}: {message}")]
pub struct RenderError {
    /// The template, or the profile's key such as `profiles/debian-12.toml [boot] cmdline`.
    pub template: String,
    /// Its line, from 1.
    pub line: usize,
    /// What is wrong: one sentence.
    pub message: String,
    /// Bytes within the template, when known.
    pub range: Option<(usize, usize)>,
}

impl Renderer {
    /// Parses all templates and boot texts of a snapshot. Templates that do not parse are reported by
    /// [`load::load`]; here they fail when they are rendered.
    pub fn new(snapshot: &Snapshot) -> Self {
        let _ = snapshot;
        Self::default()
    }

    /// Renders one answer file of the view's profile; `None`: it has none of this name.
    pub fn answer(
        &self,
        view: &View<'_>,
        name: &str,
    ) -> Option<Result<RenderedAnswer, RenderError>> {
        let _ = (view, name);
        None
    }

    /// Renders what the view's profile loads.
    pub fn boot(&self, view: &View<'_>) -> Result<RenderedBoot, RenderError> {
        let _: &Boot = &view.profile.boot;
        Err(RenderError {
            template: String::new(),
            line: 0,
            message: String::new(),
            range: None,
        })
    }
}

/// `http://ADDRESS[:PORT]`: the boot plane as a machine reaches it; the port only when it is not 80.
pub fn base_url(server: Ipv4Addr, port: u16) -> String {
    if port == 80 {
        format!("http://{server}")
    } else {
        format!("http://{server}:{port}")
    }
}
