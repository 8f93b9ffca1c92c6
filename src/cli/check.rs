//! `bootwright check`: the whole configuration, all problems together.

use std::io::Write;
use std::path::Path;

use anyhow::Context as _;

use super::output::{Format, colour_on};
use crate::config::show;
use crate::config::source::{DiskFiles, Files};
use crate::render::check::offline_note;
use crate::render::load;

/// Checks a configuration and writes what is wrong with it. The result is the exit status: 1 when there
/// is an error (with `strict` also when there is a warning), else 0.
pub fn run(config: &Path, strict: bool, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let colour = format == Format::Text && colour_on(&std::io::stdout());
    run_with(&DiskFiles, config, strict, format, colour, out)
}

/// As [`run`], over any files.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    strict: bool,
    format: Format,
    colour: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let loaded = load::load(files, config, 0);
    let snapshot = loaded.config.as_ref().map(|config| &config.snapshot);
    let (errors, _) = show::counts(&loaded.problems, strict);
    let note = snapshot.and_then(|snapshot| offline_note(snapshot, None));
    let written = match format {
        Format::Text => {
            let problems = show::text(&loaded.problems, &loaded.sources, colour, strict);
            let summary = show::summary(&loaded.problems, snapshot, strict);
            let note = note.map_or_else(String::new, |note| format!("note: {note}\n"));
            writeln!(out, "{problems}{note}{summary}")
        }
        Format::Json => {
            let report = show::Report {
                note,
                ..show::report(&loaded.problems, &loaded.sources, strict)
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)
        }
    };
    written.context("the result cannot be written")?;
    Ok(u8::from(errors > 0))
}
