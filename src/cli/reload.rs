//! `bootwright reload`.

use std::io::Write;

use super::client::Client;
use super::output::Format;
use super::runtime;
use crate::config::diff::NOTHING;
use crate::serve::reload::Outcome;

/// Has the daemon take its files up, and shows what became of it.
pub fn run(client: &Client, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let outcome: Outcome = runtime()?.block_on(client.post("/reload", &()))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
        return Ok(u8::from(!outcome.accepted));
    }
    let problems: Vec<String> = outcome
        .problems
        .iter()
        .map(|problem| format!("{}: {problem}", problem.severity))
        .collect();
    if outcome.accepted {
        // The daemon looks at changed files by itself: mostly it has taken them up before.
        let changes = match outcome.changes.as_str() {
            NOTHING => format!(
                "{NOTHING} since configuration {}",
                outcome.generation.saturating_sub(1)
            ),
            changes => changes.to_owned(),
        };
        writeln!(
            out,
            "configuration {} is in force: {changes}",
            outcome.generation
        )?;
        for problem in problems {
            writeln!(out, "{problem}")?;
        }
        return Ok(0);
    }
    anyhow::bail!(
        "the files have errors; configuration {} stays in force\n  {}",
        outcome.generation,
        problems.join("\n  ")
    )
}
