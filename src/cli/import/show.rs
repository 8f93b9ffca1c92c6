//! What is printed: the TOML or the difference on standard output, what is left over on standard error, or all of it
//! as one JSON document.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::merge::Merged;
use super::{Import, Origin};
use crate::cli::edit::Daemon;
use crate::cli::output::Format;
use crate::config::show;
use crate::edits::{Applied, Refusal, Touched, What};
use crate::import::{Imported, Left, write};

/// What was done.
#[derive(Debug)]
pub(super) enum Done {
    /// It is to be printed.
    Printed,
    /// It was merged, or would be.
    Merged(Box<Applied<Merged>>, Option<Daemon>),
    /// The configuration would have errors.
    Refused(Box<Refusal>),
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: &'static str,
    groups: usize,
    hosts: usize,
    /// As TOML for a reservations file; not where it was merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    reservations: Option<String>,
    /// Subnets as TOML for bootwright.toml that it does not have.
    #[serde(skip_serializing_if = "String::is_empty")]
    subnets: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged: Option<ReportedMerge<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<show::Report>,
    left: &'a [Left],
}

#[derive(Debug, Serialize)]
struct ReportedMerge<'a> {
    written: bool,
    /// Hosts that say already what was read.
    unchanged: usize,
    entries: Vec<ReportedEntry>,
    files: Vec<ReportedFile>,
    warnings: show::Report,
    notes: &'a [String],
    /// Whether a running daemon has taken it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<&'a Daemon>,
}

#[derive(Debug, Serialize)]
struct ReportedEntry {
    entry: String,
    what: &'static str,
    file: PathBuf,
    line: usize,
}

#[derive(Debug, Serialize)]
struct ReportedFile {
    path: PathBuf,
    created: bool,
    diff: String,
}

const fn word(what: What) -> &'static str {
    match what {
        What::Added => "added",
        What::Changed => "changed",
        What::Removed => "removed",
    }
}

/// Shows it.
pub(super) fn show(
    from: Origin,
    imported: &Imported,
    done: &Done,
    asked: &Import,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<()> {
    if format == Format::Json {
        let report = Report {
            format: from.name(),
            groups: imported.groups.len(),
            hosts: imported.hosts.len(),
            reservations: match done {
                Done::Printed => Some(imported.reservations()?),
                _ => None,
            },
            subnets: match done {
                Done::Printed => write::subnets(&imported.subnets),
                Done::Merged(applied, _) => applied.value.subnets.clone(),
                Done::Refused(_) => String::new(),
            },
            merged: match done {
                Done::Merged(applied, daemon) => Some(reported(applied, daemon.as_ref())),
                _ => None,
            },
            refused: match done {
                Done::Refused(refusal) => Some(show::report(&refusal.new, &refusal.sources, false)),
                _ => None,
            },
            left: &imported.left,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(());
    }
    match done {
        Done::Printed => {
            out.write_all(imported.reservations()?.as_bytes())?;
            commented(out, &write::subnets(&imported.subnets))?;
        }
        Done::Merged(applied, _) => merged(applied, asked, out, errors)?,
        Done::Refused(refusal) => {
            if asked.dry_run {
                for file in &refusal.files {
                    out.write_all(file.diff.as_bytes())?;
                }
            }
            let problems = show::text(&refusal.new, &refusal.sources, colour(), false);
            write!(errors, "{problems}")?;
        }
    }
    out.flush()?;
    left(imported, asked, errors)?;
    match done {
        Done::Printed => writeln!(
            errors,
            "{}",
            list(&[
                count(imported.groups.len(), "group", "groups"),
                count(imported.hosts.len(), "host", "hosts"),
                count(imported.subnets.len(), "subnet", "subnets"),
            ])
        )?,
        Done::Merged(_, daemon) => {
            if let Some(daemon) = daemon {
                daemon.tell(errors)?;
            }
        }
        Done::Refused(_) => writeln!(
            errors,
            "bootwright: nothing was changed: the configuration would have these errors"
        )?,
    }
    Ok(())
}

/// What a merge did, or would do.
fn merged(
    applied: &Applied<Merged>,
    asked: &Import,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<()> {
    if asked.dry_run {
        for file in &applied.files {
            out.write_all(file.diff.as_bytes())?;
        }
    }
    if !applied.value.subnets.is_empty() {
        writeln!(
            errors,
            "bootwright.toml lacks these subnets (--with-subnets adds them):\n"
        )?;
        commented(errors, &applied.value.subnets)?;
    }
    if !applied.warnings.is_empty() {
        let problems = show::text(&applied.warnings, &applied.sources, colour(), false);
        write!(errors, "{problems}")?;
    }
    if !applied.errors_before.is_empty() {
        writeln!(
            errors,
            "the configuration had errors before, and no daemon takes it up until they are gone: bootwright check"
        )?;
    }
    for note in &applied.notes {
        writeln!(errors, "note: {note}")?;
    }
    let of = |what: What| {
        let is = |touched: &&Touched| touched.what == what;
        let hosts = applied.touched.iter().filter(is);
        hosts
            .filter(|touched| matches!(touched.entry, crate::config::edit::Entry::Host(_)))
            .count()
    };
    let groups = applied
        .touched
        .iter()
        .filter(|touched| matches!(touched.entry, crate::config::edit::Entry::Group(_)))
        .count();
    let same = applied.value.same;
    let done = list(&[
        count(groups, "group added", "groups added"),
        count(of(What::Added), "host added", "hosts added"),
        count(of(What::Changed), "host changed", "hosts changed"),
        count(same, "host as it was", "hosts as they were"),
    ]);
    if applied.files.is_empty() {
        return writeln!(errors, "nothing changes: {done}");
    }
    let files: Vec<String> = applied
        .files
        .iter()
        .map(|file| file.path.display().to_string())
        .collect();
    let would = if applied.written {
        ""
    } else {
        " (not written)"
    };
    writeln!(errors, "{}: {done}{would}", files.join(", "))
}

fn reported<'a>(applied: &'a Applied<Merged>, daemon: Option<&'a Daemon>) -> ReportedMerge<'a> {
    ReportedMerge {
        written: applied.written,
        unchanged: applied.value.same,
        entries: applied
            .touched
            .iter()
            .map(|touched| ReportedEntry {
                entry: touched.entry.to_string(),
                what: word(touched.what),
                file: touched.path.clone(),
                line: touched.line,
            })
            .collect(),
        files: applied
            .files
            .iter()
            .map(|file| ReportedFile {
                path: file.path.clone(),
                created: file.created,
                diff: file.diff.clone(),
            })
            .collect(),
        warnings: show::report(&applied.warnings, &applied.sources, false),
        notes: &applied.notes,
        daemon,
    }
}

/// Subnets as a comment that can be pasted into another file.
fn commented(out: &mut dyn Write, subnets: &str) -> io::Result<()> {
    if subnets.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n# For bootwright.toml, without the `# `:\n#")?;
    for line in subnets.lines() {
        writeln!(out, "{}", format!("# {line}").trim_end())?;
    }
    Ok(())
}

/// What is left over.
fn left(imported: &Imported, asked: &Import, errors: &mut dyn Write) -> io::Result<()> {
    use std::fmt::Write as _;
    if asked.report == Format::Json {
        let text = serde_json::to_string_pretty(&imported.left).map_err(io::Error::other)?;
        return writeln!(errors, "{text}");
    }
    if imported.left.is_empty() {
        return Ok(());
    }
    // Standard error keeps nothing back: thousands of lines go in one piece.
    let mut text = String::from("\nnot carried over, or to be looked at:\n\n");
    for Left {
        file,
        line,
        what,
        why,
    } in &imported.left
    {
        let line = match line {
            0 => String::new(),
            line => format!(":{line}"),
        };
        let _ = writeln!(text, "{file}{line}: {what}\n    {why}");
    }
    text.push('\n');
    errors.write_all(text.as_bytes())
}

fn colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn count(number: usize, one: &str, several: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {several}")),
    }
}

fn list(parts: &[Option<String>]) -> String {
    let parts: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
    if parts.is_empty() {
        "no hosts".to_owned()
    } else {
        parts.join(", ")
    }
}
