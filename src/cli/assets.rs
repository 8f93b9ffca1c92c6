//! `bootwright assets`: which boot files the configuration needs, and how they come.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde::Serialize;

use super::output::Format;
use super::{later, table};
use crate::assets::origin::Origin;
use crate::assets::place::{Placed, place, sum_of};
use crate::assets::{COLLECTIONS, Collection, brought_by, collection};
use crate::base::suggest;
use crate::config::show;
use crate::config::source::DiskFiles;
use crate::render::AssetRef;
use crate::render::files::needed;
use crate::render::load::{InForce, load};

/// About boot files.
#[derive(Debug, Subcommand)]
pub enum Assets {
    /// Bring boot files: from their Debian packages (installed, or downloaded without installing), or from a folder
    Fetch {
        /// What to bring: ipxe, debian-12
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// Take the files from this folder instead
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
    },
    /// List the boot files that the configuration needs, and whether they are there
    List,
    /// Later.
    #[command(hide = true)]
    Verify,
    /// Later.
    #[command(hide = true, name = "add-iso")]
    AddIso {
        /// An image.
        file: PathBuf,
    },
}

/// Does what was asked for; the result is the exit status.
pub fn run(
    config: &Path,
    command: &Assets,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    match command {
        Assets::Fetch { names, from } => fetch(config, names, from.as_deref(), format, out),
        Assets::List => list(config, format, out),
        Assets::Verify => later::refuse("assets verify"),
        Assets::AddIso { .. } => later::refuse("assets add-iso"),
    }
}

/// The configuration. Boot files can be brought only where it is known where they belong.
fn configuration(config: &Path) -> anyhow::Result<std::sync::Arc<InForce>> {
    let loaded = load(&DiskFiles, config, 1);
    loaded.config.with_context(|| {
        let problems = show::text(&loaded.problems, &loaded.sources, false, false);
        format!("the configuration has errors:\n\n{problems}")
    })
}

fn named(name: &str) -> anyhow::Result<&'static Collection> {
    if let Some(found) = collection(name) {
        return Ok(found);
    }
    let known: Vec<&str> = COLLECTIONS
        .iter()
        .map(|collection| collection.name)
        .collect();
    match suggest::nearest(name, known.iter().copied()) {
        Some(near) => bail!("there are no boot files `{name}` to fetch; did you mean {near}?"),
        None => bail!(
            "there are no boot files `{name}` to fetch in this version; there are {}",
            known.join(", ")
        ),
    }
}

#[derive(Debug, Serialize)]
struct Fetched {
    collection: &'static str,
    path: PathBuf,
    size: u64,
    sha256: String,
    origin: String,
    unchanged: bool,
}

fn fetch(
    config: &Path,
    names: &[String],
    from: Option<&Path>,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    // All names first: nothing is brought when one is wrong.
    let collections = names
        .iter()
        .map(|name| named(name))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let in_force = configuration(config)?;
    let boot_assets = &in_force.snapshot.server.boot_assets;
    let mut all = Vec::new();
    for collection in collections {
        // What is being done goes to standard error, so that the result can be read by programs.
        let mut tell = |what: &str| {
            let _ = writeln!(io::stderr(), "{what}");
        };
        let origin = Origin::find(collection, from, &mut tell)?;
        for file in collection.files {
            let Some(source) = origin.locate(collection, file)? else {
                tell(&format!(
                    "{}: {} is not in {}; it is not needed",
                    collection.name,
                    file.path,
                    origin.describe(collection)
                ));
                continue;
            };
            let placed = place(file, &source, boot_assets)?;
            if format == Format::Text {
                show_placed(out, &placed)?;
            }
            all.push(Fetched {
                collection: collection.name,
                path: placed.path,
                size: placed.size,
                sha256: placed.sha256,
                origin: origin.describe(collection),
                unchanged: placed.unchanged,
            });
        }
    }
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
    }
    Ok(0)
}

fn show_placed(out: &mut dyn Write, placed: &Placed) -> io::Result<()> {
    let note = if placed.unchanged {
        "  (was there already)"
    } else {
        ""
    };
    writeln!(
        out,
        "{}  {} bytes  sha256 {}{note}",
        placed.path.display(),
        placed.size,
        placed.sha256
    )?;
    out.flush()
}

#[derive(Debug, Serialize)]
struct Listed {
    path: String,
    there: bool,
    size: Option<u64>,
    sha256: Option<String>,
    /// The command that brings it.
    fetch: Option<String>,
    package: Option<&'static str>,
    hosts: Vec<String>,
}

fn list(config: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    let boot_assets = &in_force.snapshot.server.boot_assets;
    let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for host in in_force.snapshot.hosts() {
        for (asset, _) in needed(&in_force, host) {
            if let AssetRef::Path(path) = asset {
                let hosts = wanted.entry(path).or_default();
                if !hosts.iter().any(|name| name == host.name.as_str()) {
                    hosts.push(host.name.to_string());
                }
            }
        }
    }
    let files: Vec<Listed> = wanted
        .into_iter()
        .map(|(path, hosts)| {
            let found = sum_of(&boot_assets.join(&path)).ok();
            let collection = brought_by(&path);
            Listed {
                there: found.is_some(),
                size: found.as_ref().map(|(size, _)| *size),
                sha256: found.map(|(_, sum)| sum),
                fetch: collection.map(|it| format!("bootwright assets fetch {}", it.name)),
                package: collection.map(|it| it.package),
                hosts,
                path,
            }
        })
        .collect();
    match format {
        Format::Json => {
            let listed = serde_json::json!({ "boot_assets": boot_assets, "files": files });
            serde_json::to_writer_pretty(&mut *out, &listed)?;
            writeln!(out)?;
        }
        Format::Text => show_list(out, boot_assets, &files)?,
    }
    Ok(0)
}

fn show_list(out: &mut dyn Write, boot_assets: &Path, files: &[Listed]) -> io::Result<()> {
    writeln!(out, "boot files under {}:", boot_assets.display())?;
    let rows: Vec<[String; 5]> = files
        .iter()
        .map(|file| {
            [
                file.path.clone(),
                if file.there { "there" } else { "missing" }.to_owned(),
                file.size.map_or_else(String::new, |size| size.to_string()),
                hosts_in_short(&file.hosts),
                match (&file.fetch, file.package, file.there) {
                    (Some(command), Some(package), false) => {
                        format!("`{command}` (package {package})")
                    }
                    (_, Some(package), true) => format!("package {package}"),
                    (_, _, false) => "put it there".to_owned(),
                    (_, _, true) => "your own".to_owned(),
                },
            ]
        })
        .collect();
    table::write(
        out,
        ["FILE", "STATE", "BYTES", "NEEDED BY", "COMES FROM"],
        &rows,
    )?;
    let missing = files.iter().filter(|file| !file.there).count();
    writeln!(out, "{} files, {missing} missing", files.len())
}

/// `web01, web02 and 38 more`.
fn hosts_in_short(hosts: &[String]) -> String {
    match hosts {
        [first, second, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second} and {} more", rest.len())
        }
        hosts => hosts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_known_gets_the_nearest() {
        assert!(named("ipxe").is_ok());
        let error = named("debian-21").unwrap_err().to_string();
        assert!(error.ends_with("did you mean debian-12?"), "{error}");
        let error = named("windows").unwrap_err().to_string();
        assert!(error.ends_with("there are ipxe, debian-12"), "{error}");
    }

    #[test]
    fn many_hosts_are_counted() {
        let hosts =
            |count: usize| -> Vec<String> { (1..=count).map(|n| format!("h{n}")).collect() };
        assert_eq!(hosts_in_short(&hosts(3)), "h1, h2, h3");
        assert_eq!(hosts_in_short(&hosts(4)), "h1, h2 and 2 more");
    }
}
