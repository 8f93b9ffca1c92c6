//! What became of an edit, as people and programs read it.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cli::client::Client;
use crate::cli::output::Format;
use crate::cli::runtime;
use crate::config::diff::NOTHING;
use crate::config::edit::Entry;
use crate::config::show;
use crate::edits::{Applied, Change, Error, Refusal, Touched, What};
use crate::serve::reload::Outcome;

/// How long a daemon is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Whether any file differs by it.
    changed: bool,
    /// Whether it was written.
    written: bool,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    entries: Vec<EntryView>,
    files: Vec<FileView<'a>>,
    problems: show::Report,
    /// Errors that were there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<show::Report>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<Daemon>,
}

#[derive(Debug, Serialize)]
struct EntryView {
    kind: &'static str,
    name: String,
    what: &'static str,
    file: String,
    line: usize,
}

#[derive(Debug, Serialize)]
struct FileView<'a> {
    path: String,
    created: bool,
    diff: &'a str,
}

/// Whether a running daemon has taken the new files up.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Daemon {
    /// They are in force.
    InForce { generation: u64, changes: String },
    /// It refuses them.
    Refused {
        generation: u64,
        problems: Vec<String>,
    },
    /// None runs.
    NotRunning,
    /// It did not tell.
    Unknown { reason: String },
}

/// Shows what became of an edit. The result is the exit status.
pub fn finish<T>(
    config: &Path,
    applied: Result<Applied<T>, Error>,
    dry_run: bool,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let applied = match applied {
        Ok(applied) => applied,
        Err(Error::Problems(refusal)) => return refused(&refusal, dry_run, format, out),
        Err(error) => return Err(error.into()),
    };
    let daemon = applied.written.then(|| take_up(config));
    match format {
        Format::Json => {
            let report = Report {
                changed: !applied.files.is_empty(),
                written: applied.written,
                dry_run,
                refused: None,
                entries: applied.touched.iter().map(EntryView::of).collect(),
                files: applied.files.iter().map(FileView::of).collect(),
                problems: show::report(&applied.warnings, &applied.sources, false),
                before: (!applied.errors_before.is_empty())
                    .then(|| show::report(&applied.errors_before, &applied.sources, false)),
                notes: &applied.notes,
                daemon,
            };
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => text(&applied, daemon.as_ref(), out)?,
    }
    Ok(0)
}

fn text<T>(
    applied: &Applied<T>,
    daemon: Option<&Daemon>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if applied.files.is_empty() {
        writeln!(out, "nothing to change: the files say so already")?;
        return Ok(());
    }
    if !applied.written {
        for file in &applied.files {
            write!(out, "{}", file.diff)?;
        }
        writeln!(out)?;
    }
    let problems = show::text(&applied.warnings, &applied.sources, false, false);
    write!(out, "{problems}")?;
    for touched in &applied.touched {
        let path = touched.path.display();
        match touched.what {
            What::Removed => writeln!(out, "{} removed from {path}", name(&touched.entry))?,
            what => writeln!(
                out,
                "{} {}: {path}:{}",
                name(&touched.entry),
                word(what),
                touched.line
            )?,
        }
    }
    for note in &applied.notes {
        writeln!(out, "note: {note}")?;
    }
    if !applied.errors_before.is_empty() {
        writeln!(
            out,
            "the configuration had {} before, which `bootwright check` shows: no daemon takes it up until that is mended",
            counted(applied.errors_before.len())
        )?;
    }
    match daemon {
        None => writeln!(out, "nothing was written (--dry-run)")?,
        Some(Daemon::InForce {
            generation,
            changes,
        }) if changes == NOTHING => {
            // It has seen the new file by itself before it was asked.
            writeln!(out, "configuration {generation} is in force")?;
        }
        Some(Daemon::InForce {
            generation,
            changes,
        }) => {
            writeln!(out, "configuration {generation} is in force: {changes}")?;
        }
        Some(Daemon::Refused {
            generation,
            problems,
        }) => writeln!(
            out,
            "the running daemon refuses the files; configuration {generation} stays in force\n  {}",
            problems.join("\n  ")
        )?,
        Some(Daemon::NotRunning) => {
            writeln!(out, "no daemon runs: `bootwright serve` begins with it")?;
        }
        Some(Daemon::Unknown { reason }) => {
            writeln!(
                out,
                "whether a daemon has taken it up is not known: {reason}"
            )?;
        }
    }
    Ok(())
}

fn refused(
    refusal: &Refusal,
    dry_run: bool,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let problems = show::text(&refusal.new, &refusal.sources, false, false);
    let old = refusal.old.len();
    let reason = refusal.to_string();
    if format == Format::Json {
        let report = Report {
            changed: false,
            written: false,
            dry_run,
            refused: Some(reason),
            entries: Vec::new(),
            files: refusal.files.iter().map(FileView::of).collect(),
            problems: show::report(&refusal.new, &refusal.sources, false),
            before: (old > 0).then(|| show::report(&refusal.old, &refusal.sources, false)),
            notes: &[],
            daemon: None,
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(1);
    }
    let before = match old {
        0 => String::new(),
        1 => "\n\n(1 more problem was there before: `bootwright check`)".to_owned(),
        old => format!("\n\n({old} more problems were there before: `bootwright check`)"),
    };
    anyhow::bail!("{reason}\n\n{}{before}", problems.trim_end())
}

/// Has a running daemon read the files now, and waits for what it says.
fn take_up(config: &Path) -> Daemon {
    let asked = || -> anyhow::Result<Daemon> {
        let client = Client::of(config)?;
        if !client.is_there()? {
            return Ok(Daemon::NotRunning);
        }
        let outcome: Option<Outcome> = runtime()?.block_on(async {
            tokio::time::timeout(PATIENCE, client.post("/reload", &()))
                .await
                .ok()
                .transpose()
        })?;
        Ok(match outcome {
            Some(outcome) if outcome.accepted => Daemon::InForce {
                generation: outcome.generation,
                changes: outcome.changes,
            },
            Some(outcome) => Daemon::Refused {
                generation: outcome.generation,
                problems: outcome.problems.iter().map(ToString::to_string).collect(),
            },
            None => Daemon::Unknown {
                reason: format!("it is still reading after {} s", PATIENCE.as_secs()),
            },
        })
    };
    asked().unwrap_or_else(|error| Daemon::Unknown {
        reason: format!("{error:#}"),
    })
}

fn counted(errors: usize) -> String {
    match errors {
        1 => "an error".to_owned(),
        errors => format!("{errors} errors"),
    }
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::Host(name) => name.to_string(),
        Entry::Group(name) => format!("group {name}"),
    }
}

const fn word(what: What) -> &'static str {
    match what {
        What::Added => "added",
        What::Changed => "changed",
        What::Removed => "removed",
    }
}

impl EntryView {
    fn of(touched: &Touched) -> Self {
        Self {
            kind: match touched.entry {
                Entry::Host(_) => "host",
                Entry::Group(_) => "group",
            },
            name: touched.entry.name().to_owned(),
            what: word(touched.what),
            file: touched.path.display().to_string(),
            line: touched.line,
        }
    }
}

impl<'a> FileView<'a> {
    fn of(change: &'a Change) -> Self {
        Self {
            path: change.path.display().to_string(),
            created: change.created,
            diff: &change.diff,
        }
    }
}
