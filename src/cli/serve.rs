//! `bootwright serve`.

use std::io::stderr;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use super::check;
use super::log::{Log, log};
use super::output::{Format, colour_on};
use crate::daemon::{self, Options, Prepared, StartError};

/// `serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Serve {
    /// Do not start on the last good configuration when the files have errors
    #[arg(long)]
    pub strict: bool,
}

/// Runs the daemon until it is told to end.
pub fn run(config: &Path, asked: &Serve) -> anyhow::Result<u8> {
    let (log, waiting) = log();
    log_to(&log);
    // Its thread is started once the privileges are dropped: they belong to threads.
    let prepared = Prepared::open(Options {
        strict: asked.strict,
        ..Options::new(config)
    });
    if prepared.as_ref().is_ok_and(Prepared::is_on_last_good) {
        // The journal says what follows from them.
        tell_mistakes(config)?;
    }
    waiting.start(stderr())?;
    let served = prepared.and_then(daemon::serve);
    log.flush();
    match served {
        Ok(()) => Ok(0),
        Err(StartError::Config { instead, .. }) => {
            tell_mistakes(config)?;
            anyhow::bail!("not started: the configuration has errors\n  {instead}")
        }
        Err(error) => Err(match error.remedy() {
            Some(remedy) => anyhow::anyhow!("{error}\n  {remedy}"),
            None => anyhow::anyhow!("{error}"),
        }),
    }
}

/// The same words as `check`, each mistake with its line.
fn tell_mistakes(config: &Path) -> anyhow::Result<()> {
    let asked = check::Check::default();
    check::run(config, &asked, Format::Text, &mut stderr()).map(|_| ())
}

/// The journal's own lines and what the libraries say, filtered by `$BOOTWRIGHT_LOG`.
fn log_to(log: &Log) {
    let log = log.clone();
    let filter =
        EnvFilter::try_from_env("BOOTWRIGHT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .with_target(false)
        .with_ansi(colour_on(&stderr()));
    // The service manager's log has its own times. Not `init`: that would set the logger of `log`,
    // which the TFTP engine's tap has.
    let _ = if std::env::var_os("JOURNAL_STREAM").is_some() {
        tracing::subscriber::set_global_default(lines.without_time().finish())
    } else {
        tracing::subscriber::set_global_default(lines.finish())
    };
}
