//! `bootwright reload`.

use std::io::Write;

use super::busy::busy;
use super::client::Client;
use super::output::Format;
use super::runtime;
use crate::config::diff::NOTHING;
use crate::serve::reload::Outcome;

/// Has the daemon take its files up, and shows what became of it.
pub fn run(client: &Client, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let working = busy("the daemon reads the configuration");
    let outcome: anyhow::Result<Outcome> = runtime()?.block_on(client.post("/reload", &()));
    drop(working);
    let outcome = outcome?;
    show(&outcome, format, out)
}

fn show(outcome: &Outcome, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
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
        for line in outcome.diff.lines() {
            writeln!(out, "  {line}")?;
        }
        for problem in problems {
            writeln!(out, "{problem}")?;
        }
        return Ok(0);
    }
    // Said by the error already.
    let _ = super::client::standing();
    anyhow::bail!(
        "the files have errors; configuration {} stays in force\n  {}",
        outcome.generation,
        problems.join("\n  ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SnapshotDiff;
    use crate::config::diff::{FileChange, FileFate, HostChange, KeyChange};

    #[test]
    fn all_that_changes_is_listed_below_the_line() {
        let name = |text: &str| text.parse().unwrap();
        let diff = SnapshotDiff {
            hosts_added: vec![name("web04"), name("web05")],
            hosts_changed: vec![HostChange {
                name: name("web03"),
                keys: vec![KeyChange {
                    key: "ip".into(),
                    old: Some("10.99.0.31".to_owned()),
                    new: Some("10.99.0.41".to_owned()),
                }],
            }],
            files: vec![FileChange {
                name: "preseed.cfg".to_owned(),
                what: FileFate::Changed,
                hosts: vec![name("web01"), name("web03")],
            }],
            ..SnapshotDiff::default()
        };
        let outcome = Outcome {
            accepted: true,
            generation: 7,
            changes: diff.to_string(),
            diff,
            problems: Vec::new(),
        };
        let mut out = Vec::new();
        assert_eq!(show(&outcome, Format::Text, &mut out).unwrap(), 0);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "configuration 7 is in force: +2 hosts (web04, web05), web03 address .31 → .41, preseed.cfg changes for 2 hosts\n\
             \u{20}\u{20}+ host web04\n  + host web05\n  ~ host web03: ip 10.99.0.31 → 10.99.0.41\n\
             \u{20}\u{20}~ preseed.cfg of 2 hosts: web01 web03\n"
        );
        let mut out = Vec::new();
        show(&outcome, Format::Json, &mut out).unwrap();
        let back: Outcome = serde_json::from_slice(&out).unwrap();
        assert_eq!(back, outcome);
    }
}
