//! `bootwright simulate`: each packet and file that a machine would get, and why, from the files alone.

use std::fmt::Write as _;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::bail;

use super::output::Format;
use super::render::{configuration, find};
use crate::base::{HardwareAddr, ProfileName, SubnetName, Uuid};
use crate::config::source::{DiskFiles, Files};
use crate::record::InstallState;
use crate::simulate::{self, Ask, Boot, Got, Machine, OptionShown, Report, Step};

/// `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --state a host is shown twice: as it boots when nothing is asked for, and when it is armed.
Exit status 1: it would not come where it is to come. The form of --format json is told in docs/simulate.md.

Examples:
  bootwright simulate --host web01 --firmware uefi-x64
  bootwright simulate --mac 52:54:00:00:00:99 --firmware bios --subnet lab
  bootwright simulate --host web01 --firmware bios --state armed --texts
  bootwright simulate --host web01 --firmware httpboot --assume-files --format json > web01.json")]
pub struct Simulate {
    /// The machine's hardware address; with --host, as if it were that host's
    #[arg(long, value_name = "MAC", required_unless_present = "host")]
    pub mac: Option<HardwareAddr>,
    /// What boots: bios, uefi-x64, uefi-ia32, uefi-arm32, uefi-arm64, httpboot, ipxe, grub, or os (a system that is there already)
    #[arg(long, value_name = "FIRMWARE")]
    pub firmware: Machine,
    /// The host: name, MAC or address
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The subnet that the machine is plugged into [default: its host's, or the relay's]
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Option<SubnetName>,
    /// The address of the relay between
    #[arg(long, value_name = "ADDRESS")]
    pub relay: Option<Ipv4Addr>,
    /// The interface that its messages come in on [default: the first one]
    #[arg(long, value_name = "INTERFACE")]
    pub interface: Option<String>,
    /// Where its installation stands: local, waiting, armed, booting, installing, installed or failed [default: both local and armed]
    #[arg(long, value_name = "STATE", value_parser = state)]
    pub state: Option<InstallState>,
    /// Armed with another profile than the file's
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<ProfileName>,
    /// The firmware runs signed programs only
    #[arg(long)]
    pub secure_boot: bool,
    /// The UUID that the firmware tells [default: the host's, else one made of its MAC]
    #[arg(long, value_name = "UUID")]
    pub uuid: Option<Uuid>,
    /// The serial number that the firmware tells [default: the host's]
    #[arg(long, value_name = "SERIAL")]
    pub serial: Option<String>,
    /// Take every boot file for there, for checks where there are none
    #[arg(long)]
    pub assume_files: bool,
    /// Show the texts of scripts and boot loaders' configurations too
    #[arg(long)]
    pub texts: bool,
}

fn state(text: &str) -> Result<InstallState, String> {
    const ALL: [InstallState; 7] = [
        InstallState::Local,
        InstallState::Waiting,
        InstallState::Armed,
        InstallState::Booting,
        InstallState::Installing,
        InstallState::Installed,
        InstallState::Failed,
    ];
    ALL.into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("there are {}", ALL.map(InstallState::as_str).join(", ")))
}

/// Simulates and prints it. The result is the exit status: 1 when the machine would not come where it is to come.
pub fn run(
    config: &Path,
    asked: &Simulate,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    run_with(&DiskFiles, config, asked, format, out, errors)
}

/// As [`run`], over any files.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    asked: &Simulate,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    if asked.secure_boot && !can_be_signed(asked.firmware) {
        bail!("--firmware {} has no Secure Boot", asked.firmware);
    }
    let in_force = configuration(files, config, errors)?;
    let host = match &asked.host {
        Some(host) => Some(find(&in_force.snapshot, host)?.name.clone()),
        None => None,
    };
    let ask = Ask {
        machine: asked.firmware,
        mac: asked.mac,
        host,
        subnet: asked.subnet.clone(),
        relay: asked.relay,
        interface: asked.interface.clone(),
        state: asked.state,
        profile: asked.profile.clone(),
        secure_boot: asked.secure_boot,
        uuid: asked.uuid,
        serial: asked.serial.clone(),
        assume_files: asked.assume_files,
    };
    let report = simulate::simulate(&in_force, files, &ask)?;
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            writeln!(out)?;
        }
        Format::Text => {
            for note in &report.notes {
                writeln!(errors, "note: {note}")?;
            }
            show(out, &report, asked.texts)?;
        }
    }
    Ok(u8::from(!report.ok))
}

fn can_be_signed(machine: Machine) -> bool {
    match machine {
        Machine::Pxe(firmware) => firmware.is_uefi(),
        Machine::HttpBoot => true,
        Machine::Ipxe | Machine::Grub | Machine::Os => false,
    }
}

fn show(out: &mut dyn Write, report: &Report, texts: bool) -> std::io::Result<()> {
    let name = match &report.host {
        Some(host) => format!("{host} ({})", report.mac),
        None => format!("{} (no reservation)", report.mac),
    };
    let relay = match report.relay {
        Some(relay) => format!(" behind the relay {relay}"),
        None => String::new(),
    };
    writeln!(
        out,
        "{name}, {}, in {}{relay}; this server is {}",
        report.firmware, report.subnet, report.server
    )?;
    for boot in &report.boots {
        writeln!(out)?;
        heading(out, boot)?;
        let mut before: Option<&Got> = None;
        for (index, step) in boot.steps.iter().enumerate() {
            show_step(out, index + 1, step, before, texts)?;
            before = step.gets.as_ref().or(before);
        }
        let verdict = if boot.ok { "ok" } else { "not ok" };
        writeln!(out, "  {verdict}: {}", boot.summary)?;
    }
    Ok(())
}

fn heading(out: &mut dyn Write, boot: &Boot) -> std::io::Result<()> {
    match (boot.state, &boot.profile) {
        (None, None) => writeln!(out, "Its boot:"),
        (None, Some(profile)) => writeln!(out, "Every boot, with {profile}:"),
        (Some(InstallState::Local), _) => writeln!(out, "When nothing is asked for (local):"),
        (Some(state), Some(profile)) => writeln!(out, "When it is {state}, with {profile}:"),
        (Some(state), None) => writeln!(out, "When it is {state}:"),
    }
}

fn show_step(
    out: &mut dyn Write,
    number: usize,
    step: &Step,
    before: Option<&Got>,
    texts: bool,
) -> std::io::Result<()> {
    /// Options of a request by which something is decided.
    const TOLD: [u8; 7] = [50, 54, 60, 77, 93, 97, 175];
    let sends = &step.sends;
    match &sends.file {
        Some(file) => writeln!(out, "  {number:>2}  {}: {} {file}", step.stage, sends.what)?,
        None => writeln!(
            out,
            "  {number:>2}  {}: {} to {}",
            step.stage, sends.what, sends.to
        )?,
    }
    let told: Vec<&OptionShown> = sends
        .options
        .iter()
        .filter(|option| TOLD.contains(&option.code))
        .collect();
    wrapped(out, "with ", &told)?;
    match &step.gets {
        None => writeln!(out, "      gets nothing")?,
        Some(got) => show_got(out, got, before, texts)?,
    }
    match &step.detail {
        Some(detail) => writeln!(out, "      why  {} ({detail})", step.why)?,
        None => writeln!(out, "      why  {}", step.why)?,
    }
    Ok(())
}

fn show_got(
    out: &mut dyn Write,
    got: &Got,
    before: Option<&Got>,
    texts: bool,
) -> std::io::Result<()> {
    let mut line = format!("      gets {}", got.what);
    if let Some(address) = got.address {
        let _ = write!(line, ", address {address}");
    }
    if let Some(delivery) = &got.delivery {
        let _ = write!(line, ", {delivery}");
    }
    match (&got.file, got.next_server) {
        (Some(file), Some(server)) => {
            let _ = write!(line, "; boot file {file} from {server}");
        }
        (Some(file), None) if got.delivery.is_some() => {
            let _ = write!(line, "; boot file {file}");
        }
        (Some(file), None) => {
            let _ = write!(line, " {file}");
        }
        (None, _) if got.delivery.is_some() => line.push_str("; no boot file"),
        (None, _) => {}
    }
    writeln!(out, "{line}")?;
    // The message type stands in the line above.
    let options = |got: &Got| -> Vec<OptionShown> {
        let others = got.options.iter().filter(|option| option.code != 53);
        others.cloned().collect()
    };
    let own = options(got);
    if !own.is_empty() && before.is_some_and(|before| options(before) == own) {
        writeln!(out, "           with the same options")?;
    } else {
        wrapped(out, "with ", &own.iter().collect::<Vec<_>>())?;
    }
    if let Some(text) = got.text.as_ref().filter(|_| texts) {
        for line in text.lines() {
            writeln!(out, "{}", format!("      | {line}").trim_end())?;
        }
    }
    Ok(())
}

/// Options, as many in a line as have room.
fn wrapped(out: &mut dyn Write, head: &str, options: &[&OptionShown]) -> std::io::Result<()> {
    const WIDTH: usize = 100;
    let indent = " ".repeat(11);
    let mut line = format!("{indent}{head}");
    let mut is_begun = false;
    for (index, option) in options.iter().enumerate() {
        let mut text = format!("{} {} {}", option.code, option.name, option.value);
        if option.name.is_empty() {
            text = format!("{} {}", option.code, option.value);
        }
        if index + 1 < options.len() {
            text.push(',');
        }
        if is_begun && line.chars().count() + text.chars().count() >= WIDTH {
            writeln!(out, "{}", line.trim_end())?;
            line = format!("{indent}{}", " ".repeat(head.len()));
        }
        line.push_str(&text);
        line.push(' ');
        is_begun = true;
    }
    if is_begun {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
