//! `assets add-iso`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::fetch::{carry_out, show};
use super::progress::{Progress, size};
use super::{configuration, configuration_of, now};
use crate::assets::choice::{Given, choose, given_for_image};
use crate::assets::fetch::{From, Order};
use crate::assets::http::Patience;
use crate::assets::image::{copy_tree, declaration, profile_after, profile_text, tree_folder};
use crate::assets::recognise::{Recognised, recognise};
use crate::assets::source::open_image;
use crate::assets::{AssetError, Step};
use crate::base::ProfileName;
use crate::cli::output::Format;
use crate::config::fetch::Fetch;
use crate::config::snapshot::Boot;
use crate::config::source::{DiskFiles, Files};
use crate::render::load::InForce;

/// The configuration as it would be with one more file.
struct With<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Files for With<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == self.path {
            return Ok(self.text.to_owned());
        }
        DiskFiles.read(path)
    }

    fn read_private(&self, path: &Path) -> io::Result<(String, u32)> {
        DiskFiles.read_private(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let mut list = DiskFiles.list(folder)?;
        if self.path.parent() == Some(folder) && !list.iter().any(|path| path == self.path) {
            list.push(self.path.to_owned());
            list.sort();
        }
        Ok(list)
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        DiskFiles.names(folder)
    }

    fn is_file(&self, path: &Path) -> bool {
        path == self.path || DiskFiles.is_file(path)
    }

    fn size(&self, path: &Path) -> Option<u64> {
        if path == self.path {
            return u64::try_from(self.text.len()).ok();
        }
        DiskFiles.size(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        DiskFiles.is_dir(path)
    }

    fn is_executable(&self, path: &Path) -> bool {
        DiskFiles.is_executable(path)
    }
}

#[derive(Serialize)]
struct Added<'a> {
    event: &'static str,
    profile: &'a str,
    /// Whether its file was written, and not there before.
    written: bool,
    title: &'a str,
    tree: Option<String>,
    notes: &'a [&'static str],
}

pub(super) fn run(
    config: &Path,
    asked: &super::AddIso,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    let server = &in_force.snapshot.server;
    let mut image = open_image(&asked.file)?;
    let found = recognise(&mut image).map_err(|source| AssetError::Iso {
        path: asked.file.clone(),
        source,
    })?;
    let Some(found) = found else {
        let udf = if image.nodes().len() < 4 {
            "; images of Windows keep their files in UDF, which is not read here: copy them out with another program"
        } else {
            ""
        };
        bail!(
            "{}: nothing in it tells what it is (volume {}, {} files){udf}",
            asked.file.display(),
            image.name(),
            image.nodes().len()
        );
    };
    drop(image);
    if found.needs_tree() && !asked.tree && format == Format::Text {
        writeln!(
            io::stderr(),
            "{}: its installer takes its packages from a tree on a server; --tree copies it here",
            found.title
        )?;
    }
    let name = asked.name.clone().unwrap_or_else(|| found.profile_name());
    let name: ProfileName = name
        .parse()
        .with_context(|| format!("`{name}` is no name for a profile"))?;
    let path = server.profiles.join(format!("{name}.toml"));
    let there = in_force.snapshot.profile(&name);
    let keeps = there.is_some() && !asked.force;
    if keeps && there.is_none_or(|profile| profile.fetch.is_none()) {
        bail!(
            "the profile {name} is there already and has no [fetch] that tells where its files belong: choose another --name, or overwrite {} with --force",
            path.display()
        );
    }
    if !keeps && path.exists() && !asked.force {
        bail!(
            "{} is there already: choose another --name, or overwrite it with --force",
            path.display()
        );
    }
    let text = profile_of(&in_force, &found, &name, asked.tree)?;
    let with = if keeps {
        Arc::clone(&in_force)
    } else {
        // A profile that would break the configuration is not written.
        let with = With {
            path: &path,
            text: &text,
        };
        configuration_of(&with, config)?
    };
    let fetch = files_of(&with, &found, &name, &asked.vars)?;
    let order = Order {
        name: name.as_str(),
        fetch: &fetch,
        boot_assets: &server.boot_assets,
        from: From::Local(&asked.file),
        signatures: true,
        patience: Patience::default(),
        now: now(),
    };
    let brought = carry_out(&order, format, out)?;
    show(&order, &brought, format, out)?;
    let mut tree = None;
    if asked.tree {
        let folder = tree_folder(&found);
        let mut progress = Progress::new(format);
        let mut tell = |step: Step| progress.show(&step, out);
        let done = copy_tree(
            &asked.file,
            &folder,
            &server.boot_assets,
            name.as_str(),
            &order.now,
            &mut tell,
        )?;
        progress.clear();
        if format == Format::Text {
            writeln!(
                out,
                "{}  {} files, {}",
                server.boot_assets.join(&folder).display(),
                done.files,
                size(done.size)
            )?;
            if done.passed_over > 0 {
                writeln!(
                    io::stderr(),
                    "{} files and links of the image were passed over: their names or where they lead cannot be kept",
                    done.passed_over
                )?;
            }
        }
        tree = Some(folder);
    }
    if !keeps {
        write(&path, &text)?;
    }
    if format == Format::Json {
        let added = Added {
            event: "added",
            profile: name.as_str(),
            written: !keeps,
            title: &found.title,
            tree,
            notes: &found.notes,
        };
        serde_json::to_writer(&mut *out, &added)?;
        writeln!(out)?;
        return Ok(0);
    }
    if keeps {
        writeln!(
            out,
            "{}: its files are where the profile {name} has them",
            found.title
        )?;
    } else {
        writeln!(
            out,
            "{}: the profile {} is written",
            found.title,
            path.display()
        )?;
    }
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    Ok(0)
}

/// The files that are taken out of the image, with their places.
fn files_of(
    config: &InForce,
    found: &Recognised,
    name: &ProfileName,
    vars: &[(String, String)],
) -> Result<Fetch, AssetError> {
    let profile = config.snapshot.profile(name);
    let declared = profile
        .and_then(|profile| Some((profile.fetch.as_deref()?, given_for_image(config, profile))));
    let own = declaration(found);
    let (fetch, given) = declared.unwrap_or_else(|| (&own, vec![Given::default()]));
    let chosen = choose(name.as_str(), fetch, given, vars, true)?;
    Ok(fetch.with(found.arch, &chosen.into_iter().next().unwrap_or_default()))
}

/// The text of the profile: after the one of the same distribution and version, where there is one. Another version's
/// would start the image's kernel with the other one's second stage, packages and answers.
fn profile_of(
    in_force: &InForce,
    found: &Recognised,
    name: &ProfileName,
    with_tree: bool,
) -> anyhow::Result<String> {
    let of_image = found.profile_name().parse::<ProfileName>().ok();
    let pattern = of_image.and_then(|name| in_force.snapshot.profile(&name));
    let pattern = pattern.filter(|profile| {
        profile.family == found.family
            && matches!(profile.boot, Boot::Linux { .. })
            && profile.fetch.is_some()
            // A disc of Debian cannot be installed from over the network: its profile would promise it.
            && !matches!(found.family, "debian" | "tool" | "other")
    });
    if let Some(pattern) = pattern {
        let profiles = &in_force.snapshot.server.profiles;
        let path = profiles.join(format!("{}.toml", pattern.name));
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let pattern = (pattern.name.as_str(), text.as_str());
        if let Some(text) = profile_after(found, pattern, name.as_str()) {
            return Ok(text);
        }
    }
    Ok(profile_text(found, with_tree))
}

/// Writes a file: whole, or not at all.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    // The daemon takes files of this folder up that end in .toml.
    let beside = path.with_extension("toml.new");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
