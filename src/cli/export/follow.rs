//! `bootwright export … --follow FILE`: the file is kept as the configuration has it.
//!
//! With a daemon its events tell when a change has taken effect; without one the files are looked at every second,
//! and the file is written when they are without an error. A daemon that comes or goes is noticed by itself.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;

use super::super::client::Client;
use super::super::runtime;
use super::{Export, exported, tell, write_if_changed};
use crate::base::{Clock as _, SystemClock};
use crate::config::show;
use crate::config::source::DiskFiles;
use crate::export;
use crate::journal::Event;
use crate::journal::event::Kind;
use crate::render::load;
use crate::serve::reload::texts;

/// Between two looks at the files, while no daemon runs.
const LOOK: Duration = Duration::from_secs(1);

/// How many looks until a daemon is tried for again.
const LOOKS: u32 = 10;

/// How coarse file systems' times are, at most.
const GRAIN: Duration = Duration::from_secs(2);

/// What was last written, and from what.
#[derive(Default)]
struct Kept {
    /// The files that the configuration was read from, and a fingerprint of each.
    read: BTreeMap<PathBuf, u64>,
    /// These files and their folders when they were last looked at: reading a large configuration takes its time.
    seen: BTreeMap<PathBuf, Option<(SystemTime, u64)>>,
    is_begun: bool,
}

/// What tells that something was written.
fn state(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// As it was when the reading began; nothing for what may have been written since, which is then read again.
fn state_before(path: &Path, begun: SystemTime) -> Option<(SystemTime, u64)> {
    let settled = begun.checked_sub(GRAIN)?;
    state(path).filter(|(modified, _)| *modified < settled)
}

fn now() -> SystemTime {
    let micros = u64::try_from(SystemClock.now().as_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

pub(super) fn run(
    config: &Path,
    asked: &Export,
    file: &Path,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    anyhow::ensure!(
        asked.what != export::Format::Zone,
        "zones are several files: follow one of the other formats, or run `export zone --into DIR` again"
    );
    let mut kept = Kept::default();
    let runtime = runtime()?;
    loop {
        kept.look(config, asked, file, errors)?;
        if let Ok(client) = Client::of(config) {
            // The last event comes at once: what has changed since the look above is seen then.
            let mut is_first = true;
            let followed = runtime.block_on(client.lines("/events?follow=1&limit=1", |line| {
                let event: Event = serde_json::from_str(line)?;
                if std::mem::take(&mut is_first) || event.kind == Kind::ConfigReloaded {
                    kept.look(config, asked, file, errors)?;
                }
                Ok(())
            }));
            // What cannot be written ends it; a daemon that does not run, or has ended, does not.
            if let Err(error) = followed
                && error.downcast_ref::<CannotWrite>().is_some()
            {
                return Err(error);
            }
        }
        for _ in 0..LOOKS {
            std::thread::sleep(LOOK);
            kept.look(config, asked, file, errors)?;
        }
    }
}

/// What ends the following.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CannotWrite(String);

impl Kept {
    /// Reads the configuration, and writes the file when it has become another one.
    fn look(
        &mut self,
        config: &Path,
        asked: &Export,
        file: &Path,
        errors: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let is_as_before = |(path, before): (&PathBuf, &_)| state(path) == *before;
        if self.is_begun && self.seen.iter().all(is_as_before) {
            return Ok(());
        }
        let begun = now();
        let loaded = load::load(&DiskFiles, config, 0);
        let read: BTreeMap<PathBuf, u64> = texts(&loaded.sources).into_iter().collect();
        let folders = read.keys().filter_map(|path| path.parent());
        let looked_at = read
            .keys()
            .map(PathBuf::as_path)
            .chain(folders)
            .chain([config]);
        self.seen = looked_at
            .map(|path| (path.to_owned(), state_before(path, begun)))
            .collect();
        if self.is_begun && read == self.read {
            return Ok(());
        }
        self.read = read;
        self.is_begun = true;
        let Some(in_force) = loaded.config else {
            let problems = show::text(&loaded.problems, &loaded.sources, false, false);
            writeln!(
                errors,
                "{problems}\nthe configuration has errors: {} stays as it is",
                file.display()
            )?;
            return Ok(());
        };
        let exported = exported(&in_force.snapshot, asked)?;
        let text = exported.texts.first().map_or("", |text| text.text.as_str());
        let changed = write_if_changed(file, text)
            .map_err(|error| anyhow::Error::new(CannotWrite(format!("{error:#}"))))?;
        if !changed {
            return Ok(());
        }
        tell(&exported, errors)?;
        writeln!(errors, "wrote {}", file.display())?;
        if let Some(command) = &asked.reload_command {
            let status = Command::new("sh")
                .args(["-c", command])
                .status()
                .context("sh cannot be run")?;
            if !status.success() {
                writeln!(errors, "`{command}` ended with {status}")?;
            }
        }
        Ok(())
    }
}
