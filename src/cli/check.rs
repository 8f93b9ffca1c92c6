//! `bootwright check`: the whole configuration, all problems together; and what it would change of what is in force.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::busy::busy;
use super::client::Client;
use super::output::{Format, colour_on};
use super::runtime;
use crate::config::source::{DiskFiles, Files};
use crate::config::{SnapshotDiff, show};
use crate::render::check::offline_note;
use crate::render::compare::difference;
use crate::render::load::{self, InForce};
use crate::serve::admin::configuration::{FileLine, FilesHead};
use crate::serve::last_good::KeptFiles;

/// What is told while it takes long.
const CHECKING: &str = "checking the configuration";

/// `check`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Check {
    /// Warnings count as errors
    #[arg(long)]
    pub strict: bool,
    /// Show also what would change of what the running daemon has in force; secrets are not compared
    #[arg(long)]
    pub diff: bool,
}

/// What would change.
#[derive(Debug, Serialize)]
struct Compared {
    /// The configuration in force that the files were compared with.
    generation: u64,
    /// In one line.
    changes: String,
    /// All of it.
    #[serde(flatten)]
    diff: SnapshotDiff,
}

/// A report with what would change beside it.
#[derive(Debug, Serialize)]
struct WithDiff {
    #[serde(flatten)]
    report: show::Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<Compared>,
}

/// Checks a configuration and writes what is wrong with it. The result is the exit status: 1 when there
/// is an error (with `strict` also when there is a warning), else 0.
pub fn run(
    config: &Path,
    asked: &Check,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let colour = format == Format::Text && colour_on(&std::io::stdout());
    if !asked.diff {
        return run_with(&DiskFiles, config, asked.strict, format, colour, out);
    }
    let working = busy(CHECKING);
    let loaded = load::load(&DiskFiles, config, 0);
    // Of files with errors nothing would change: they would not be taken up. Nobody is asked then.
    let compared = loaded.config.as_ref().map(|candidate| {
        let (generation, in_force) = in_force(config)?;
        let diff = difference(&in_force, candidate);
        Ok(Compared {
            generation,
            changes: diff.to_string(),
            diff,
        })
    });
    let (compared, failed) = match compared.transpose() {
        Ok(compared) => (compared, None),
        Err(error) => (None, Some(error)),
    };
    drop(working);
    let errors = report(&loaded, asked.strict, format, colour, compared, out)?;
    match failed {
        // After the report: the check itself was done.
        Some(error) => Err(error),
        None => Ok(u8::from(errors > 0)),
    }
}

/// As [`run`], over any files and without a daemon.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    strict: bool,
    format: Format,
    colour: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let working = busy(CHECKING);
    let loaded = load::load(files, config, 0);
    drop(working);
    let errors = report(&loaded, strict, format, colour, None, out)?;
    Ok(u8::from(errors > 0))
}

/// Writes what was found; how many errors there are.
fn report(
    loaded: &load::Loaded,
    strict: bool,
    format: Format,
    colour: bool,
    compared: Option<Compared>,
    out: &mut dyn Write,
) -> anyhow::Result<usize> {
    let snapshot = loaded.config.as_ref().map(|config| &config.snapshot);
    let (errors, _) = show::counts(&loaded.problems, strict);
    let note = snapshot.and_then(|snapshot| offline_note(snapshot, None));
    let written = match format {
        Format::Text => {
            let problems = show::text(&loaded.problems, &loaded.sources, colour, strict);
            let summary = show::summary(&loaded.problems, snapshot, strict);
            let note = note.map_or_else(String::new, |note| format!("note: {note}\n"));
            let compared = compared.map_or_else(String::new, |compared| compared.text());
            writeln!(out, "{problems}{note}{summary}{compared}")
        }
        Format::Json => {
            let report = show::Report {
                note,
                ..show::report(&loaded.problems, &loaded.sources, strict)
            };
            let report = WithDiff {
                report,
                diff: compared,
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
    };
    written.context("the result cannot be written")?;
    Ok(errors)
}

impl Compared {
    fn text(&self) -> String {
        let lines: Vec<String> = self
            .diff
            .lines()
            .into_iter()
            .map(|line| format!("\n  {line}"))
            .collect();
        format!(
            "\nagainst configuration {} in force: {}{}",
            self.generation,
            self.changes,
            lines.concat()
        )
    }
}

/// What the running daemon has in force, made anew from its files; secrets are those on the disk here, if any.
fn in_force(config: &Path) -> anyhow::Result<(u64, InForce)> {
    let client = Client::of(config)?;
    let mut head: Option<FilesHead> = None;
    let mut kept: Option<KeptFiles> = None;
    let mut came = 0;
    runtime()?.block_on(client.lines("/configuration/files", |line| {
        match &mut kept {
            None => {
                let first: FilesHead = serde_json::from_str(line)?;
                kept = Some(KeptFiles::new(config, &first.folders));
                head = Some(first);
            }
            Some(kept) => {
                let file: FileLine = serde_json::from_str(line)?;
                kept.add(config, &file.path, &file.text);
                came += 1;
            }
        }
        Ok(())
    }))?;
    let (Some(head), Some(kept)) = (head, kept) else {
        bail!("the daemon's answer broke off; try again");
    };
    if came != head.files {
        bail!("another configuration has taken effect meanwhile; try again");
    }
    let mut loaded = load::load(&kept, config, head.generation);
    if loaded.config.is_none() {
        loaded = load::load(&kept.without_secrets(), config, head.generation);
    }
    let Some(in_force) = loaded.config else {
        let problems = show::text(&loaded.problems, &loaded.sources, false, false);
        bail!(
            "configuration {} is in force there and has errors here; is the daemon of another version?\n{}",
            head.generation,
            problems.trim_end()
        );
    };
    Ok((head.generation, std::sync::Arc::unwrap_or_clone(in_force)))
}
