//! What the engine writes to `log`: the only way to learn how one of its transfers has ended.
//!
//! `async-tftp` has no callback for the end of a transfer; it writes trace lines. This logger picks
//! those of `async_tftp::server::read_req` up, on the engine's own thread, and keeps them until the
//! transfer's body is dropped. The crate is pinned to one version, and `tests/async_tftp_contract.rs`
//! holds it to these texts.
//!
//! **Invariant:** notes exist on engine threads only, one for each running transfer; nothing else of
//! the process is slowed down by more than a comparison of the record's target.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

/// The engine's module that serves read requests.
const TARGET: &str = "async_tftp::server::read_req";

/// Longest line looked at, in bytes.
const MAX_LINE: usize = 512;

/// How a transfer ended, in the engine's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Its last block was acknowledged.
    Served,
    /// This block was repeated in vain; 0 is the option acknowledgement.
    Unacknowledged(u16),
    /// Something else went wrong.
    Error(String),
}

/// What the engine said of one transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Note {
    /// An option acknowledgement was sent.
    pub(super) oack: bool,
    /// It told the size (`tsize`).
    pub(super) told_size: bool,
    /// How often something was repeated.
    pub(super) repeats: u32,
    /// How it ended; `None` while it runs.
    pub(super) end: Option<End>,
}

/// One line of the engine.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Oack { told_size: bool },
    Timeout,
    End(End),
}

thread_local! {
    static NOTES: RefCell<Option<HashMap<SocketAddr, Note>>> = const { RefCell::new(None) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Takes notes on this thread from now on.
pub(super) fn begin_thread() {
    NOTES.with(|notes| *notes.borrow_mut() = Some(HashMap::new()));
}

/// What was noted of the transfer to this peer on this thread; `None` when nothing listens.
pub(super) fn take(peer: SocketAddr) -> Option<Note> {
    if !INSTALLED.load(Ordering::Relaxed) {
        return None;
    }
    NOTES.with(|notes| {
        notes
            .try_borrow_mut()
            .ok()?
            .as_mut()
            .map(|notes| notes.remove(&peer).unwrap_or_default())
    })
}

/// Listens to what the TFTP engine writes to `log`. Called once, first thing in `main`, before
/// anything else sets a logger (so `tracing_subscriber` is set by
/// `tracing::subscriber::set_global_default`, which leaves `log` alone). Warnings of other crates are
/// handed on to `tracing`. Without it, or when another logger was set before, the outcome of a
/// transfer is told from the time of its last read.
pub fn install_tap() {
    if log::set_boxed_logger(Box::new(Tap)).is_ok() {
        log::set_max_level(LevelFilter::Trace);
        INSTALLED.store(true, Ordering::Relaxed);
    }
}

struct Tap;

impl Log for Tap {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // `tracing` writes under the target `log` what nobody subscribed to: not handed back to it.
        metadata.target() == TARGET
            || (metadata.level() <= Level::Warn && metadata.target() != "log")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.target() == TARGET {
            note(record);
            return;
        }
        let (from, text) = (record.target(), record.args());
        if record.level() == Level::Error {
            tracing::error!(target: "log", "{from}: {text}");
        } else {
            tracing::warn!(target: "log", "{from}: {text}");
        }
    }

    fn flush(&self) {}
}

fn note(record: &Record<'_>) {
    NOTES.with(|notes| {
        let Ok(mut notes) = notes.try_borrow_mut() else {
            return;
        };
        let Some(notes) = notes.as_mut() else {
            return;
        };
        let mut text = Head(String::new());
        // An error of the writer is only its way of saying that the line is of no interest.
        if write!(text, "{}", record.args()).is_err() {
            return;
        }
        let Some((peer, line)) = parse(&text.0) else {
            return;
        };
        let note = notes.entry(peer).or_default();
        match line {
            Line::Oack { told_size } => {
                note.oack = true;
                note.told_size = told_size;
            }
            Line::Timeout => note.repeats += 1,
            Line::End(end) => note.end = Some(end),
        }
    });
}

/// Takes a line in, but gives up on those that come with every acknowledgement.
struct Head(String);

impl fmt::Write for Head {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if part.starts_with(", window_base: ") || self.0.len() + part.len() > MAX_LINE {
            return Err(fmt::Error);
        }
        self.0.push_str(part);
        Ok(())
    }
}

fn parse(text: &str) -> Option<(SocketAddr, Line)> {
    let (what, rest) = text.split_once(" (peer: ")?;
    let end = rest.find([',', ')'])?;
    let (peer, rest) = rest.split_at_checked(end)?;
    let peer = peer.parse().ok()?;
    let line = match what {
        "RRQ OACK" => Line::Oack {
            told_size: rest.contains("transfer_size: Some("),
        },
        "RRQ" if rest.ends_with("- Timeout") => Line::Timeout,
        "RRQ request served" => Line::End(End::Served),
        "RRQ request failed" => {
            let error = rest.strip_prefix(", error: ").unwrap_or(rest);
            let error = error.strip_suffix(')').unwrap_or(error);
            let block = error
                .starts_with("Max send retries reached")
                .then(|| error.rsplit_once("block id: "))
                .flatten()
                .and_then(|(_, block)| block.trim_end_matches(')').parse().ok());
            Line::End(match block {
                Some(block) => End::Unacknowledged(block),
                None => End::Error(error.to_owned()),
            })
        }
        _ => return None,
    };
    Some((peer, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_engine() {
        let peer: SocketAddr = "10.99.0.11:2070".parse().unwrap();
        for (text, expected) in [
            (
                "RRQ OACK (peer: 10.99.0.11:2070, opts: Opts { block_size: Some(1468), timeout: None, \
                 transfer_size: Some(74), window_size: None }",
                Line::Oack { told_size: true },
            ),
            (
                "RRQ OACK (peer: 10.99.0.11:2070, opts: Opts { block_size: Some(1468), timeout: None, \
                 transfer_size: None, window_size: None }",
                Line::Oack { told_size: false },
            ),
            (
                "RRQ (peer: 10.99.0.11:2070, block_id: 7) - Timeout",
                Line::Timeout,
            ),
            (
                "RRQ request served (peer: 10.99.0.11:2070)",
                Line::End(End::Served),
            ),
            (
                "RRQ request failed (peer: 10.99.0.11:2070, error: Max send retries reached (peer: \
                 10.99.0.11:2070,  block id: 0))",
                Line::End(End::Unacknowledged(0)),
            ),
            (
                "RRQ request failed (peer: 10.99.0.11:2070, error: IO error: Network is unreachable \
                 (os error 101))",
                Line::End(End::Error(
                    "IO error: Network is unreachable (os error 101)".into(),
                )),
            ),
        ] {
            assert_eq!(parse(text), Some((peer, expected)), "{text}");
        }
        for text in [
            "",
            "RRQ",
            "RRQ (peer: nobody)",
            "WRQ request served (peer: 10.99.0.11:2070)",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn acknowledgements_are_not_formatted() {
        let mut head = Head(String::new());
        let peer: SocketAddr = "10.99.0.11:2070".parse().unwrap();
        let written = write!(head, "RRQ (peer: {peer}, window_base: {}, ...)", 7);
        assert!(written.is_err());
    }
}
