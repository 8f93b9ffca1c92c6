//! `bootwright events`: the journal, read from the daemon line by line.

use std::io::Write;

use super::args::Events;
use super::client::{Client, part};
use super::output::Format;
use super::runtime;
use super::show_events::event_line;
use crate::journal::Event;

/// Shows events that were kept, and with `--follow` those that come.
pub fn run(
    client: &Client,
    asked: &Events,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mut path = format!("/events?limit={}", asked.limit);
    if let Some(host) = &asked.host {
        path = format!("{path}&host={}", part(host));
    }
    if asked.follow {
        path.push_str("&follow=1");
    }
    runtime()?.block_on(client.lines(&path, |line| {
        if format == Format::Json {
            writeln!(out, "{line}")?;
        } else {
            let event: Event = serde_json::from_str(line)?;
            writeln!(out, "{}", event_line(&event))?;
        }
        out.flush()?;
        Ok(())
    }))?;
    anyhow::ensure!(!asked.follow, "the daemon has ended");
    Ok(0)
}
