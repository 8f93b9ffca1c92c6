//! `render --all --into DIR`: every file of every host as `HOST/NAME`, secrets masked, for a review.
//!
//! The same configuration gives the same bytes, and a file that is as it was is not touched: what a version
//! control shows as changed has changed.
//!
//! **Invariant:** only files that [`MANIFEST`] lists are replaced or taken away. A file is on the list before
//! it is written, so that a run that was cut off leaves none that the next one would not know.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::items::{How, Preview, names};
use super::place::{Mode, make_folder, replace, writable};
use crate::base::HostName;
use crate::cli::output::Format;
use crate::config::snapshot::Host;
use crate::render::check;
use crate::render::load::InForce;

/// The list of files that were written here: one `HOST/NAME` a line.
const MANIFEST: &str = ".bootwright-rendered";

/// What the list begins with.
const HEAD: &str = "# Written by `bootwright render --all`, which replaces and removes the files named here, and no others.\n";

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    folder: &'a Path,
    hosts: usize,
    files: usize,
    written: Vec<String>,
    removed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Brings the folder to what the configuration gives.
pub(super) fn write(
    in_force: &InForce,
    folder: &Path,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let snapshot = &in_force.snapshot;
    let hosts: Vec<(&Host, Vec<String>)> = snapshot
        .hosts()
        .iter()
        .filter_map(|host| {
            let profile = snapshot.profile(host.profile.as_ref()?)?;
            let files = names(snapshot, host, profile).into_iter();
            let paths = files.map(|name| format!("{}/{name}", host.name)).collect();
            Some((&**host, paths))
        })
        .collect();
    let wanted: BTreeSet<&str> = hosts
        .iter()
        .flat_map(|(_, paths)| paths.iter().map(String::as_str))
        .collect();

    let listed = read_list(folder)?;
    let known: BTreeSet<&str> = listed.iter().flatten().map(String::as_str).collect();
    for (host, paths) in &hosts {
        own_folder(&folder.join(host.name.as_str()))?;
        for path in paths {
            let place = folder.join(path);
            writable(&place)?;
            if !known.contains(path.as_str()) && place.exists() {
                bail!(
                    "{} is there, and this command has not written it; take it away, or name another folder",
                    place.display()
                );
            }
        }
    }
    make_folder(folder, Mode::Usual)?;
    let both: BTreeSet<&str> = wanted.union(&known).copied().collect();
    if listed.is_none() || both.len() != known.len() {
        write_list(folder, &both)?;
    }

    let mut written = Vec::new();
    for (host, paths) in &hosts {
        make_folder(&folder.join(host.name.as_str()), Mode::Usual)?;
        let texts = Preview::of(in_force, host)
            .and_then(|preview| preview.all(How::default()))
            .with_context(|| format!("{} cannot be rendered", host.name))?;
        for (path, text) in paths.iter().zip(&texts) {
            let place = folder.join(path);
            if !is_already(&place, &text.text)? {
                replace(&place, &text.text, Mode::Usual)?;
                written.push(path.clone());
            }
        }
    }
    let mut removed = Vec::new();
    for path in known.difference(&wanted) {
        if remove(folder, path)? {
            removed.push((*path).to_owned());
        }
    }
    if wanted.len() != both.len() {
        write_list(folder, &wanted)?;
    }

    let note = check::offline_note(snapshot, None);
    match format {
        Format::Json => {
            let report = Report {
                folder,
                hosts: hosts.len(),
                files: wanted.len(),
                written,
                removed,
                note,
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => {
            if let Some(note) = note {
                writeln!(errors, "note: {note}")?;
            }
            writeln!(
                out,
                "{}: {} files of {} hosts; {} written, {} as they were, {} removed",
                folder.display(),
                wanted.len(),
                hosts.len(),
                written.len(),
                wanted.len() - written.len(),
                removed.len()
            )?;
        }
    }
    Ok(0)
}

/// The list, or `None` where there is none.
fn read_list(folder: &Path) -> anyhow::Result<Option<Vec<String>>> {
    let path = folder.join(MANIFEST);
    writable(&path)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let mut paths = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Whoever can change the list must not be able to name a file elsewhere.
        if !is_ours(line) {
            bail!(
                "{}:{}: `{}` is no HOST/NAME; this list is made by `bootwright render --all`: take the folder away and have it made anew",
                path.display(),
                index + 1,
                line.escape_debug()
            );
        }
        paths.push(line.to_owned());
    }
    Ok(Some(paths))
}

/// Whether a line of the list is a host's name and a file's.
fn is_ours(path: &str) -> bool {
    let Some((host, name)) = path.split_once('/') else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    host.parse::<HostName>().is_ok()
        && host.chars().all(plain)
        && !host.starts_with('.')
        && !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(plain)
}

fn write_list(folder: &Path, paths: &BTreeSet<&str>) -> anyhow::Result<()> {
    let mut text = HEAD.to_owned();
    for path in paths {
        text.push_str(path);
        text.push('\n');
    }
    replace(&folder.join(MANIFEST), &text, Mode::Usual)
}

/// Refuses a host's folder that is none, or a link to another place.
fn own_folder(path: &Path) -> anyhow::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => bail!(
            "{} is no folder of this command; take it away, or name another folder",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be looked at", path.display())),
    }
}

fn is_already(path: &Path, text: &str) -> anyhow::Result<bool> {
    match fs::read(path) {
        Ok(bytes) => Ok(bytes == text.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Takes a file of the list away, and its folder with the last one. The result: whether it was there.
fn remove(folder: &Path, path: &str) -> anyhow::Result<bool> {
    let place: PathBuf = folder.join(path);
    let host = place.parent().unwrap_or(folder);
    own_folder(host)?;
    writable(&place)?;
    let there = match fs::remove_file(&place) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be removed", place.display()));
        }
    };
    match fs::remove_dir(host) {
        Ok(()) => {}
        // Something of the operator's is in it, or it is gone.
        Err(error) if is_in_use(&error) => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be removed", host.display()));
        }
    }
    Ok(there)
}

fn is_in_use(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound
    )
}
