//! `assets list`, `verify` and `prune`.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;

use anyhow::bail;
use serde::Serialize;

use super::configuration;
use super::progress::size;
use crate::assets::choice::given;
use crate::assets::keep::{self, State, Users, prunable};
use crate::assets::manifest::{Entry, Manifest};
use crate::cli::output::{Format, agrees, on_a_terminal};
use crate::cli::table;
use crate::config::snapshot::Profile;
use crate::render::files::fetched_by;
use crate::render::load::InForce;

/// Names of files shown in a question.
const LISTED: usize = 40;

#[derive(Debug, Serialize)]
struct Listed {
    path: String,
    there: bool,
    /// Only when the bytes were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    size: Option<u64>,
    /// As it was brought.
    sha256: Option<String>,
    origin: Option<String>,
    checked: Option<&'static str>,
    /// The command that brings it.
    fetch: Option<String>,
    hosts: Vec<String>,
    profiles: Vec<String>,
}

impl Listed {
    fn new(in_force: &InForce, path: String, entry: Option<&Entry>, users: Users) -> Self {
        let file = in_force.snapshot.server.boot_assets.join(&path);
        let found = std::fs::metadata(file).ok();
        Self {
            there: found.is_some(),
            state: None,
            size: found.map(|found| found.len()),
            sha256: entry.map(|entry| entry.sha256.clone()),
            origin: entry.map(|entry| entry.origin.clone()),
            checked: entry.map(|entry| entry.checked.as_str()),
            fetch: fetched_by(&in_force.snapshot, &path),
            hosts: users.hosts,
            profiles: users.profiles,
            path,
        }
    }

    /// Whether it is amiss when it is not there.
    fn is_wanted(&self) -> bool {
        !self.hosts.is_empty() || self.origin.is_some()
    }

    fn users(&self) -> String {
        if !self.hosts.is_empty() {
            return in_short(&self.hosts);
        }
        match in_short(&self.profiles) {
            none if none.is_empty() => "nobody".to_owned(),
            profiles => format!("profile {profiles}"),
        }
    }

    fn origin(&self) -> String {
        match (&self.origin, &self.fetch, self.there) {
            (Some(origin), _, true) => {
                let checked = self.checked.unwrap_or_default();
                format!("{origin} ({checked})")
            }
            (_, Some(command), false) => format!("`{command}`"),
            (_, None, false) => "put it there".to_owned(),
            (None, _, true) => "your own".to_owned(),
        }
    }
}

/// Every file that somebody needs, and every one that was brought. Trees count as one each.
fn all(in_force: &InForce, manifest: &Manifest) -> Vec<Listed> {
    let mut users = keep::users(in_force);
    for path in manifest.files.keys() {
        users.entry(path.clone()).or_default();
    }
    users
        .into_iter()
        .map(|(path, users)| {
            let entry = manifest.files.get(&path);
            Listed::new(in_force, path, entry, users)
        })
        .collect()
}

pub(super) fn list(config: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    let boot_assets = &in_force.snapshot.server.boot_assets;
    let manifest = Manifest::read(boot_assets)?;
    let mut files = all(&in_force, &manifest);
    files.retain(|file| file.there || !file.hosts.is_empty() || file.origin.is_some());
    if format == Format::Json {
        let listed = serde_json::json!({ "boot_assets": boot_assets, "files": files });
        serde_json::to_writer_pretty(&mut *out, &listed)?;
        writeln!(out)?;
        return Ok(0);
    }
    writeln!(out, "boot files under {}:", boot_assets.display())?;
    let (trees, single) = by_tree(&files);
    let mut rows: Vec<[String; 5]> = single
        .into_iter()
        .map(|file| {
            [
                file.path.clone(),
                if file.there { "there" } else { "missing" }.to_owned(),
                file.size.map_or_else(String::new, size),
                file.users(),
                file.origin(),
            ]
        })
        .collect();
    rows.extend(trees.into_iter().map(|(tree, files)| {
        let there = files.iter().filter(|file| file.there).count();
        let origin = files.first().and_then(|file| file.origin.as_deref());
        [
            format!("{tree}/"),
            format!("{there} files"),
            size(files.iter().filter_map(|file| file.size).sum()),
            String::new(),
            origin
                .and_then(|origin| origin.split_once(" in "))
                .map_or("", |(_, image)| image)
                .to_owned(),
        ]
    }));
    table::write(
        out,
        ["FILE", "STATE", "SIZE", "NEEDED BY", "COMES FROM"],
        &rows,
    )?;
    let missing = files.iter().filter(|file| !file.there).count();
    writeln!(out, "{} files, {missing} missing", files.len())?;
    Ok(0)
}

/// The files of trees, by tree, and the others.
fn by_tree(files: &[Listed]) -> (BTreeMap<&str, Vec<&Listed>>, Vec<&Listed>) {
    let mut trees: BTreeMap<&str, Vec<&Listed>> = BTreeMap::new();
    let mut single = Vec::new();
    for file in files {
        let tree = file
            .path
            .find("/tree/")
            .and_then(|at| file.path.get(..at + "/tree".len()));
        match tree {
            Some(tree) => trees.entry(tree).or_default().push(file),
            None => single.push(file),
        }
    }
    (trees, single)
}

#[derive(Debug, Serialize)]
struct OfProfile {
    profile: String,
    hosts: usize,
    /// `whole`, `your own`, `changed`, `missing`, `not fetched`; `by hand`: not fetched, and nothing brings them;
    /// empty: it needs no file of this server.
    state: &'static str,
    /// What brings files that are not fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    fetch: Option<String>,
    files: Vec<String>,
}

pub(super) fn verify(config: &Path, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    let boot_assets = &in_force.snapshot.server.boot_assets;
    let manifest = Manifest::read(boot_assets)?;
    let mut files = all(&in_force, &manifest);
    let mut states: BTreeMap<String, State> = BTreeMap::new();
    for file in &mut files {
        let state = keep::state(boot_assets, &file.path, manifest.files.get(&file.path));
        file.state = Some(state.as_str());
        states.insert(file.path.clone(), state);
    }
    let bad = files
        .iter()
        .filter(|file| file.is_wanted())
        .filter(|file| {
            matches!(
                states.get(&file.path),
                Some(State::Changed | State::Missing)
            )
        })
        .count();
    let profiles = of_profiles(&in_force, &files, &states);
    if format == Format::Json {
        let told = serde_json::json!({
            "boot_assets": boot_assets, "files": files, "profiles": profiles, "bad": bad,
        });
        serde_json::to_writer_pretty(&mut *out, &told)?;
        writeln!(out)?;
        return Ok(u8::from(bad > 0));
    }
    let (trees, single) = by_tree(&files);
    let is_bad = |file: &&&Listed| {
        matches!(
            states.get(&file.path),
            Some(State::Changed | State::Missing)
        )
    };
    let shown = single.into_iter().filter(|file| file.is_wanted()).chain(
        trees
            .values()
            .flatten()
            .copied()
            .filter(|file| is_bad(&file)),
    );
    let mut rows: Vec<[String; 4]> = shown
        .map(|file| {
            [
                file.path.clone(),
                file.state.unwrap_or_default().to_owned(),
                file.users(),
                match states.get(&file.path) {
                    Some(State::Whole) => file.checked.unwrap_or_default().to_owned(),
                    Some(State::Own) => "nothing to hold it against".to_owned(),
                    _ => file.fetch.as_ref().map_or_else(
                        || "put it there".to_owned(),
                        |command| format!("`{command}`"),
                    ),
                },
            ]
        })
        .collect();
    for (tree, files) in &trees {
        let whole = files
            .iter()
            .filter(|file| states.get(&file.path) == Some(&State::Whole))
            .count();
        rows.push([
            format!("{tree}/"),
            format!("{whole} of {} files whole", files.len()),
            String::new(),
            String::new(),
        ]);
    }
    table::write(
        out,
        ["FILE", "STATE", "NEEDED BY", "CHECKED BY, OR BROUGHT BY"],
        &rows,
    )?;
    writeln!(out)?;
    let rows: Vec<[String; 3]> = profiles
        .iter()
        .map(|profile| {
            [
                profile.profile.clone(),
                profile.hosts.to_string(),
                match (profile.state, &profile.fetch) {
                    ("", _) => "needs no file of this server".to_owned(),
                    ("by hand", _) => format!(
                        "put there by hand (`bootwright assets fetch {}` tells how)",
                        profile.profile
                    ),
                    (state, Some(command)) => format!("{state} (`{command}`)"),
                    (state, None) => state.to_owned(),
                },
            ]
        })
        .collect();
    table::write(out, ["PROFILE", "HOSTS", "BOOT FILES"], &rows)?;
    writeln!(
        out,
        "{} files, {bad} changed or missing",
        files.iter().filter(|file| file.is_wanted()).count()
    )?;
    Ok(u8::from(bad > 0))
}

/// How each profile stands: as its worst file.
fn of_profiles(
    in_force: &InForce,
    files: &[Listed],
    states: &BTreeMap<String, State>,
) -> Vec<OfProfile> {
    let snapshot = &in_force.snapshot;
    let told = snapshot.profiles().values().map(|profile| {
        let hosts: HashSet<&str> = snapshot
            .hosts()
            .iter()
            .filter(|host| host.profile.as_ref() == Some(&profile.name))
            .map(|host| host.name.as_str())
            .collect();
        let own: Vec<&Listed> = files
            .iter()
            .filter(|file| {
                let by_name = file
                    .profiles
                    .iter()
                    .any(|name| name == profile.name.as_str());
                by_name || file.hosts.iter().any(|host| hosts.contains(host.as_str()))
            })
            .collect();
        let worst = own.iter().filter_map(|file| states.get(&file.path)).max();
        let unused = hosts.is_empty() && own.iter().all(|file| file.origin.is_none());
        // Which files they are depends on variables that no host has set.
        let fetch = profile.fetch.as_ref().filter(|_| hosts.is_empty());
        let state = match (worst, fetch) {
            (None, Some(fetch)) if fetch.is_by_hand() => "by hand",
            (None, None) => "",
            (None, Some(_)) => "not fetched",
            (Some(State::Missing), _) if unused => "not fetched",
            (Some(state), _) => state.as_str(),
        };
        OfProfile {
            profile: profile.name.to_string(),
            hosts: hosts.len(),
            state,
            fetch: (state == "not fetched").then(|| command(in_force, profile)),
            files: own.iter().map(|file| file.path.clone()).collect(),
        }
    });
    told.collect()
}

/// What brings the files of a profile that no host has.
fn command(in_force: &InForce, profile: &Profile) -> String {
    let mut command = format!("bootwright assets fetch {}", profile.name);
    let given = given(in_force, profile).into_iter().next();
    if let (Some(fetch), Some(given)) = (&profile.fetch, given) {
        for unset in fetch.variables() {
            if !given.values.contains_key(&unset) {
                let _ = write!(command, " --var {unset}=…");
            }
        }
    }
    command
}

pub(super) fn prune(
    config: &Path,
    asked: &super::Prune,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let in_force = configuration(config)?;
    let boot_assets = &in_force.snapshot.server.boot_assets;
    let manifest = Manifest::read(boot_assets)?;
    let found = prunable(&in_force, &manifest);
    let bytes = found.files.iter().map(|(_, size)| size).sum::<u64>() + found.unfinished;
    if format == Format::Json {
        if !asked.yes && !asked.dry_run {
            bail!("with --format json nobody is asked: give --yes or --dry-run");
        }
        let paths: Vec<&str> = found.files.iter().map(|(path, _)| path.as_str()).collect();
        let told = serde_json::json!({
            "removed": paths, "kept_changed": found.changed, "bytes": bytes,
            "unfinished": found.unfinished, "dry_run": asked.dry_run,
        });
        if !asked.dry_run {
            keep::prune(boot_assets, &found)?;
        }
        serde_json::to_writer_pretty(&mut *out, &told)?;
        writeln!(out)?;
        return Ok(0);
    }
    for path in &found.changed {
        writeln!(
            out,
            "kept: {path} (it was changed since it was brought: it is yours)"
        )?;
    }
    if found.files.is_empty() && found.unfinished == 0 && found.gone.is_empty() {
        writeln!(out, "nothing to remove")?;
        if !found.changed.is_empty() && !asked.dry_run {
            keep::prune(boot_assets, &found)?;
        }
        return Ok(0);
    }
    for (path, bytes) in found.files.iter().take(LISTED) {
        writeln!(out, "{path}  {}", size(*bytes))?;
    }
    if let Some(more) = found
        .files
        .len()
        .checked_sub(LISTED)
        .filter(|more| *more > 0)
    {
        writeln!(out, "and {more} more")?;
    }
    if found.unfinished > 0 {
        writeln!(
            out,
            "downloads that were not finished  {}",
            size(found.unfinished)
        )?;
    }
    if asked.dry_run {
        writeln!(
            out,
            "{} files, {} would be removed",
            found.files.len(),
            size(bytes)
        )?;
        return Ok(0);
    }
    if !asked.yes {
        out.flush()?;
        confirm(found.files.len(), bytes)?;
    }
    keep::prune(boot_assets, &found)?;
    writeln!(out, "{} files, {} removed", found.files.len(), size(bytes))?;
    Ok(0)
}

fn confirm(files: usize, bytes: u64) -> anyhow::Result<()> {
    if !on_a_terminal() {
        bail!("nobody can be asked here: give --yes, or --dry-run to see what would go");
    }
    if agrees(&format!("Remove {files} files, {}?", size(bytes)))? {
        Ok(())
    } else {
        bail!("nothing was removed")
    }
}

/// `web01, web02 and 38 more`.
fn in_short(names: &[String]) -> String {
    match names {
        [first, second, rest @ ..] if rest.len() > 1 => {
            format!("{first}, {second} and {} more", rest.len())
        }
        names => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let names =
            |count: usize| -> Vec<String> { (1..=count).map(|n| format!("h{n}")).collect() };
        assert_eq!(in_short(&names(3)), "h1, h2, h3");
        assert_eq!(in_short(&names(4)), "h1, h2 and 2 more");
    }
}
