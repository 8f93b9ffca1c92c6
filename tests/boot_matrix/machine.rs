//! One rehearsal, in a process of its own.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bootwright::config::source::DiskFiles;
use bootwright::rehearse::qemu::GuestFirmware;
use bootwright::rehearse::{Ask, End, Milestone, Plan, Told, rehearse};
use bootwright::render::load::load;
use serde::{Deserialize, Serialize};

/// What tells the process that it is to rehearse.
pub(crate) const ARGUMENT: &str = "--machine";

/// How long a boot may take on a busy machine without hardware virtualisation.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The sign was shown.
    pub(crate) reached: bool,
    /// How the rehearsal ended.
    pub(crate) end: String,
    /// What was fetched, in order: the event's kind and the file.
    pub(crate) fetched: Vec<(String, String)>,
    /// Its steps and remarks.
    pub(crate) lines: Vec<String>,
    /// All that the serial console has shown.
    pub(crate) console: String,
    /// The state of the host in the end.
    pub(crate) state: String,
    /// Where it stands, in a sentence, with the last report.
    pub(crate) standing: String,
    /// What `why` then says.
    pub(crate) verdict: String,
    /// What it says to be the causes of what is missing.
    pub(crate) causes: Vec<String>,
}

/// Rehearses a host until its console shows the sign, without one until it has its answers, and prints what was
/// seen.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "for its parent")]
pub(crate) fn run(config: &str, host: &str, firmware: &str, sign: &str) -> ExitCode {
    let in_force = load(&DiskFiles, Path::new(config), 1).config.unwrap();
    let host = in_force.snapshot.host(&host.parse().unwrap()).unwrap();
    let ask = Ask {
        firmware: Some(firmware.parse::<GuestFirmware>().unwrap()),
        secure_boot: false,
        until: if sign.is_empty() {
            Milestone::Answers
        } else {
            Milestone::Script
        },
        timeout: PATIENCE,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut plan = match Plan::make(in_force.clone(), host.clone(), &ask, &path) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    plan.until_shown = (!sign.is_empty()).then(|| sign.to_owned());
    let mut console = Vec::new();
    let outcome = rehearse(&plan, &mut |told| {
        if let Told::Console(bytes) = told {
            console.extend_from_slice(bytes);
        }
    });
    match outcome {
        Ok(outcome) => {
            let standing = outcome.standing.as_ref();
            let seen = Seen {
                reached: outcome.end == End::Reached,
                end: format!("{:?}", outcome.end),
                fetched: outcome
                    .fetched
                    .iter()
                    .map(|file| (file.by.to_string(), file.file.clone()))
                    .collect(),
                lines: outcome.lines.iter().map(ToString::to_string).collect(),
                console: String::from_utf8_lossy(&console).into_owned(),
                state: standing.map_or_else(String::new, |found| found.state.to_string()),
                standing: standing.map_or_else(String::new, |found| found.standing.clone()),
                verdict: standing.map_or_else(String::new, |found| found.verdict.clone()),
                causes: standing.map_or_else(Vec::new, |found| {
                    found
                        .causes
                        .iter()
                        .map(|cause| cause.what.clone())
                        .collect()
                }),
            };
            println!("{}", serde_json::to_string(&seen).unwrap());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}: {:?}", std::error::Error::source(&error));
            ExitCode::FAILURE
        }
    }
}
