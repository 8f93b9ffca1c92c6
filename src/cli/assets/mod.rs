//! `bootwright assets`: which boot files the configuration needs, and how they come, stay whole and go.

pub mod fetch;
pub mod image;
pub mod keep;
pub mod progress;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;

use super::output::Format;
use crate::assets::AssetError;
use crate::assets::choice::fits;
use crate::base::{Architecture, Clock as _, SystemClock};
use crate::config::show;
use crate::config::source::{DiskFiles, Files};
use crate::render::load::{InForce, load};

/// About boot files.
#[derive(Debug, Subcommand)]
pub enum Assets {
    /// Bring the boot files of profiles: from their mirror, a Debian package, or a copy on this machine
    Fetch(Fetch),
    /// Take kernel, initial RAM disk and tree out of an installation image, and write a profile for it
    AddIso(AddIso),
    /// Say for every profile and host which boot files are there, whole, changed or missing; exit status 1 when
    /// one is changed or missing
    Verify,
    /// List boot files with their size, where they came from and who needs them
    List,
    /// Remove files that were fetched or added and that nothing names any more
    Prune(Prune),
}

/// `assets fetch`.
#[derive(Debug, clap::Args)]
pub struct Fetch {
    /// Profiles with a [fetch], or what is built in: ipxe, debian-12
    #[arg(value_name = "PROFILE", required = true)]
    pub names: Vec<String>,
    /// Another mirror than the profile's
    #[arg(long, value_name = "URL", conflicts_with = "from")]
    pub mirror: Option<String>,
    /// A folder with a copy of the mirror or with the files, or an image
    #[arg(long, value_name = "FOLDER|FILE")]
    pub from: Option<PathBuf>,
    /// For this architecture [default: those of the hosts with the profile]
    #[arg(long, value_name = "ARCH", value_parser = architecture)]
    pub arch: Option<Architecture>,
    /// A variable that the boot files depend on, such as release=v1.11.5 [default: as the hosts with the profile have it]
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub vars: Vec<(String, String)>,
    /// Do not check signatures, only sums
    #[arg(long)]
    pub no_signature: bool,
}

/// `assets add-iso`.
#[derive(Debug, clap::Args)]
pub struct AddIso {
    /// The image
    pub file: PathBuf,
    /// The profile's name [default: as the image tells, such as rocky-9]
    #[arg(long)]
    pub name: Option<String>,
    /// Copy all that is in it too, for installers that take their packages from there
    #[arg(long)]
    pub tree: bool,
    /// Write the profile also where there is one of this name
    #[arg(long)]
    pub force: bool,
    /// A variable that the profile's boot files depend on, such as release=43 [default: as the profile has it, else its hosts]
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub vars: Vec<(String, String)>,
}

/// `assets prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Only show what would go
    #[arg(long)]
    pub dry_run: bool,
}

fn architecture(text: &str) -> Result<Architecture, String> {
    text.parse().map_err(|error: String| {
        let known = Architecture::ALL.map(Architecture::as_str).join(", ");
        format!("{error}; there are {known}")
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, value)| !name.is_empty() && !value.is_empty())
        .ok_or("write NAME=VALUE")?;
    if !fits(value) {
        return Err("letters, digits and . _ + - may stand in it".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Does what was asked for; the result is the exit status.
pub fn run(
    config: &Path,
    command: &Assets,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let done = match command {
        Assets::Fetch(asked) => fetch::run(config, asked, format, out),
        Assets::AddIso(asked) => image::run(config, asked, format, out),
        Assets::Verify => keep::verify(config, format, out),
        Assets::List => keep::list(config, format, out),
        Assets::Prune(asked) => keep::prune(config, asked, format, out),
    };
    // Their sentences hold their causes already.
    done.map_err(|error| match error.downcast_ref::<AssetError>() {
        Some(known) => anyhow::Error::msg(known.to_string()),
        None => error,
    })
}

/// The configuration. Boot files can be brought only where it is known where they belong.
fn configuration(config: &Path) -> anyhow::Result<Arc<InForce>> {
    configuration_of(&DiskFiles, config)
}

fn configuration_of(files: &dyn Files, config: &Path) -> anyhow::Result<Arc<InForce>> {
    let loaded = load(files, config, 1);
    loaded.config.with_context(|| {
        let problems = show::text(&loaded.problems, &loaded.sources, false, false);
        format!("the configuration has errors:\n\n{problems}")
    })
}

/// The time, for the manifest.
fn now() -> String {
    SystemClock.now().to_string()
}
