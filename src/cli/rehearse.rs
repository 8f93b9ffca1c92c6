//! `bootwright rehearse`: a virtual machine boots through the configuration, step by step.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::output::Format;
use super::{later, show_events};
use crate::base::time::show_duration;
use crate::base::{HardwareAddr, HostName};
use crate::config::show;
use crate::config::source::DiskFiles;
use crate::diagnose::Diagnosis;
use crate::rehearse::qemu::GuestFirmware;
use crate::rehearse::story::{Fetched, Line, Step};
use crate::rehearse::{Ask, End, Milestone, Outcome, Plan, Told, rehearse};
use crate::render::load::{InForce, load};
use crate::serve::admin::hosts;

/// `rehearse`.
#[derive(Debug, clap::Args)]
pub struct Rehearse {
    /// Name, MAC or address
    pub host: String,
    /// The virtual machine's firmware [default: by the host's architecture; bios for x86_64]
    #[arg(long, value_name = "FIRMWARE", value_parser = ["bios", "uefi-x64", "uefi-arm64", "httpboot"])]
    pub firmware: Option<String>,
    /// Firmware that runs signed programs only; a host with secure_boot = true has it anyway
    #[arg(long)]
    pub secure_boot: bool,
    /// How far it is to come
    #[arg(long, value_name = "MILESTONE", value_parser = ["script", "kernel", "answers", "installed"], default_value = "answers")]
    pub until: String,
    /// Rehearse the boot of a machine that is installed: it has to boot its disk
    #[arg(long, conflicts_with = "until")]
    pub installed: bool,
    /// Show the machine's serial console while it boots
    #[arg(long)]
    pub console: bool,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = crate::base::time::parse_duration)]
    pub timeout: Duration,
}

/// Rehearses; the result is the exit status: 0 when the milestone is reached. To be called before any
/// thread is started.
pub fn run(
    config: &Path,
    asked: &Rehearse,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    let until = match asked.until.as_str() {
        _ if asked.installed => Milestone::Disk,
        "script" => Milestone::Script,
        "kernel" => Milestone::Kernel,
        "installed" => return later::refuse("rehearse --until installed"),
        _ => Milestone::Answers,
    };
    let firmware = asked
        .firmware
        .as_deref()
        .map(str::parse::<GuestFirmware>)
        .transpose()
        .map_err(|error| anyhow!(error))?;
    let in_force = configuration(config)?;
    let host = hosts::find(&in_force.snapshot, &asked.host).map_err(|error| {
        anyhow!(match error.remedy() {
            Some(remedy) => format!("{error}: {remedy}"),
            None => error.to_string(),
        })
    })?;
    let ask = Ask {
        firmware,
        secure_boot: asked.secure_boot,
        until,
        timeout: asked.timeout,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let plan = Plan::make(in_force, host, &ask, &path)?;

    let text = format == Format::Text;
    if text {
        writeln!(
            out,
            "rehearsing {} ({}{}) until {}",
            plan.host.name,
            plan.firmware.describe(),
            if plan.secure_boot {
                ", Secure Boot"
            } else {
                ""
            },
            goal(until)
        )?;
    }
    let console = asked.console && text;
    // A reader that goes away does not end the rehearsal before it has tidied up.
    let mut written: io::Result<()> = Ok(());
    let outcome = rehearse(&plan, &mut |told| {
        if written.is_ok() && text {
            written = show_told(out, &told, console);
        }
    })?;
    written?;
    match format {
        Format::Text => show_outcome(out, &plan, &outcome)?,
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &Report::of(&plan, &outcome))?;
            writeln!(out)?;
        }
    }
    if let End::Interrupted(name) = outcome.end {
        bail!("the rehearsal was ended by {name}; nothing of it is left");
    }
    Ok(u8::from(outcome.end != End::Reached))
}

/// The configuration, or all that is wrong with it.
fn configuration(config: &Path) -> anyhow::Result<Arc<InForce>> {
    let loaded = load(&DiskFiles, config, 1);
    loaded.config.with_context(|| {
        let problems = show::text(&loaded.problems, &loaded.sources, false, false);
        format!("the configuration has errors:\n\n{problems}")
    })
}

const fn goal(until: Milestone) -> &'static str {
    match until {
        Milestone::Script => "its boot script is served",
        Milestone::Kernel => "its kernel is fetched",
        Milestone::Answers => "its installer has fetched its answers",
        Milestone::Disk => "it boots its disk",
    }
}

fn show_told(out: &mut dyn Write, told: &Told<'_>, console: bool) -> io::Result<()> {
    match told {
        Told::Note(note) => writeln!(out, "         {note}")?,
        Told::Line(line) => writeln!(out, "{}", show_events::one_line(&line.to_string()))?,
        Told::Console(bytes) if console => out.write_all(bytes)?,
        Told::Console(_) => return Ok(()),
    }
    out.flush()
}

fn show_outcome(out: &mut dyn Write, plan: &Plan, outcome: &Outcome) -> io::Result<()> {
    let name = &plan.host.name;
    let took = show_duration(outcome.took);
    if outcome.end == End::Reached {
        return writeln!(out, "{name}: done in {took}: {}", reached(plan.until));
    }
    writeln!(out)?;
    writeln!(out, "{name}: {} after {took}", failure(&outcome.end))?;
    let found = outcome.diagnosis.as_ref();
    let last = found
        .and_then(|found| found.last_step.as_deref())
        .or_else(|| outcome.last.map(Step::describe));
    writeln!(out, "  last step:    {}", last.unwrap_or("none"))?;
    match (found, outcome.missing) {
        // It came to its end, if not to the one that was expected.
        (Some(found), _) if found.missing.is_none() => writeln!(out, "  {}", found.verdict)?,
        (_, Some(step)) => writeln!(out, "  missing step: {}", step.describe())?,
        (_, None) => {}
    }
    if let Some(found) = found {
        write!(out, "{}", show_events::causes(&found.causes))?;
        if found.missing.as_ref().is_some_and(|step| step.under_way) {
            writeln!(
                out,
                "  it was still under way: it may need a longer --timeout"
            )?;
        }
        writeln!(out)?;
    }
    if outcome.console.is_empty() {
        writeln!(out, "  its serial console showed nothing")
    } else {
        writeln!(out, "  the end of its serial console:")?;
        for line in &outcome.console {
            writeln!(out, "    | {line}")?;
        }
        Ok(())
    }
}

const fn reached(until: Milestone) -> &'static str {
    match until {
        Milestone::Script => "its boot script was served",
        Milestone::Kernel => "its kernel was fetched",
        Milestone::Answers => "its installer has fetched its answers",
        Milestone::Disk => "it boots its disk and was not offered its installer",
    }
}

fn failure(end: &End) -> String {
    match end {
        End::Reached => "done".to_owned(),
        End::TimedOut => "not reached in time (--timeout): it stopped".to_owned(),
        End::MachineEnded(why) => why.clone(),
        End::Refused => {
            "its firmware refused what it was to run (Secure Boot): it stopped".to_owned()
        }
        End::OfferedInstaller => "it is installed and was offered its installer again".to_owned(),
        End::Interrupted(name) => format!("ended by {name}"),
    }
}

/// What `--format json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    host: &'a HostName,
    mac: HardwareAddr,
    firmware: &'static str,
    secure_boot: bool,
    until: &'static str,
    reached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    took_ms: u128,
    steps: &'a [Line],
    fetched: &'a [Fetched],
    last: Option<Step>,
    missing: Option<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagnosis: Option<&'a Diagnosis>,
    console: &'a [String],
}

impl<'a> Report<'a> {
    fn of(plan: &'a Plan, outcome: &'a Outcome) -> Self {
        let reached = outcome.end == End::Reached;
        Self {
            host: &plan.host.name,
            mac: plan.mac,
            firmware: plan.firmware.as_str(),
            secure_boot: plan.secure_boot,
            until: plan.until.as_str(),
            reached,
            failure: (!reached).then(|| failure(&outcome.end)),
            took_ms: outcome.took.as_millis(),
            steps: &outcome.lines,
            fetched: &outcome.fetched,
            last: outcome.last,
            missing: outcome.missing.filter(|_| !reached),
            diagnosis: outcome.diagnosis.as_ref(),
            console: &outcome.console,
        }
    }
}
