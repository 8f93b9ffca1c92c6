//! `bootwright export`: hosts, groups and subnets as files of other programs, from the files alone.
//!
//! **Invariant:** a file is written whole, beside its place and then moved there, and only when it would become another.

mod follow;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::output::Format;
use super::render::{configuration, place};
use crate::base::time::parse_duration;
use crate::base::{Clock as _, SystemClock};
use crate::config::Snapshot;
use crate::config::source::{DiskFiles, Files};
use crate::export::{self, Exported, Text, ZoneSettings};

/// `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What a format cannot say is told on standard error. No secret and no variable is exported.

Examples:
  bootwright export dnsmasq > /etc/dnsmasq.d/hosts.conf
  bootwright export zone --into /etc/bind/zones --ns ns1.lab.example
  bootwright export ansible | ansible-inventory -i /dev/stdin --list
  bootwright export hosts --follow /etc/dnsmasq.hosts/bootwright --reload-command 'systemctl reload dnsmasq'")]
pub struct Export {
    /// What to write: hosts, dnsmasq, dhcpd, kea, zone, ansible or csv
    #[arg(value_name = "FORMAT")]
    pub what: export::Format,
    /// Write into this file instead of printing; of zones, into this folder
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "follow")]
    pub into: Option<PathBuf>,
    /// Keep this file up to date, until interrupted: written when the daemon has taken a change up, or, without a daemon, when the files change
    #[arg(long, value_name = "FILE")]
    pub follow: Option<PathBuf>,
    /// Run this by the shell each time the followed file was written
    #[arg(long, value_name = "COMMAND", requires = "follow")]
    pub reload_command: Option<String>,
    /// The serial number of zones [default: the date and 00; with --into at least one more than before when a zone changes]
    #[arg(long, value_name = "NUMBER")]
    pub serial: Option<u32>,
    /// A name server of the zones; may be given again
    #[arg(long = "ns", value_name = "NAME")]
    pub name_servers: Vec<String>,
    /// The mailbox of whoever is responsible for the zones [default: hostmaster of the zone]
    #[arg(long, value_name = "MAILBOX")]
    pub contact: Option<String>,
    /// How long records of the zones may be kept
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub ttl: Duration,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    format: &'a str,
    texts: Vec<ReportedText<'a>>,
    left: Vec<ReportedLeft<'a>>,
}

#[derive(Debug, Serialize)]
struct ReportedText<'a> {
    name: &'a str,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct ReportedLeft<'a> {
    what: &'a str,
    why: &'a str,
}

/// Exports. The result is the exit status.
pub fn run(
    config: &Path,
    asked: &Export,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    if let Some(file) = &asked.follow {
        return follow::run(config, asked, file, errors);
    }
    run_with(&DiskFiles, config, asked, format, out, errors)
}

/// As [`run`], over any files, and without following.
pub fn run_with(
    files: &dyn Files,
    config: &Path,
    asked: &Export,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let in_force = configuration(files, config, errors)?;
    let snapshot = &in_force.snapshot;
    let exported = exported(snapshot, asked)?;
    if format == Format::Json {
        let texts = exported.texts.iter().map(|text| ReportedText {
            name: &text.name,
            text: &text.text,
        });
        let left = exported.left.iter().map(|left| ReportedLeft {
            what: &left.what,
            why: &left.why,
        });
        let report = Report {
            format: asked.what.as_str(),
            texts: texts.collect(),
            left: left.collect(),
        };
        serde_json::to_writer_pretty(&mut *out, &report)?;
        writeln!(out)?;
        return Ok(0);
    }
    tell(&exported, errors)?;
    let Some(into) = &asked.into else {
        for (index, text) in exported.texts.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            out.write_all(text.text.as_bytes())?;
        }
        return Ok(0);
    };
    if asked.what != export::Format::Zone {
        for text in &exported.texts {
            told(out, into, write_if_changed(into, &text.text)?)?;
        }
        return Ok(0);
    }
    std::fs::create_dir_all(into).with_context(|| format!("{} cannot be made", into.display()))?;
    for text in &exported.texts {
        let file = into.join(&text.name);
        let changed = write_zone(snapshot, asked, &file, text)?;
        told(out, &file, changed)?;
    }
    Ok(0)
}

fn told(out: &mut dyn Write, file: &Path, changed: bool) -> std::io::Result<()> {
    if changed {
        writeln!(out, "wrote {}", file.display())
    } else {
        writeln!(out, "{} is as it should be", file.display())
    }
}

fn tell(exported: &Exported, errors: &mut dyn Write) -> std::io::Result<()> {
    for left in &exported.left {
        writeln!(errors, "not exported: {left}")?;
    }
    Ok(())
}

fn exported(snapshot: &Snapshot, asked: &Export) -> anyhow::Result<Exported> {
    let serial = match asked.serial {
        Some(serial) => serial,
        None => today()?,
    };
    Ok(export::export(
        snapshot,
        asked.what,
        &settings(asked, serial)?,
    ))
}

fn settings(asked: &Export, serial: u32) -> anyhow::Result<ZoneSettings> {
    let is_name = |text: &str| {
        let of_names = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !text.is_empty() && text.chars().all(of_names)
    };
    if let Some(odd) = asked.name_servers.iter().find(|name| !is_name(name)) {
        bail!("--ns {odd}: a name server is a name, such as ns1.lab.example");
    }
    let contact = asked.contact.as_ref();
    if let Some(odd) = contact.filter(|contact| !is_name(&contact.replacen('@', ".", 1))) {
        bail!("--contact {odd}: a mailbox looks like ops@lab.example");
    }
    Ok(ZoneSettings {
        serial,
        name_servers: asked.name_servers.clone(),
        contact: contact.cloned(),
        ttl: asked.ttl,
    })
}

/// The date as the number that most zones have: 2026112200.
fn today() -> anyhow::Result<u32> {
    let now = jiff::Timestamp::from_microsecond(SystemClock.now().as_micros())?;
    let date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let text = date.strftime("%Y%m%d00").to_string();
    text.parse().context("the date is no serial number")
}

/// Writes a file when its text is another one; whether it was.
fn write_if_changed(file: &Path, text: &str) -> anyhow::Result<bool> {
    if std::fs::read(file).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(false);
    }
    place::writable(file)?;
    place::replace(file, text, place::Mode::of(false))?;
    Ok(true)
}

/// A zone file is written only when something but its serial number would change; the number then grows.
fn write_zone(
    snapshot: &Snapshot,
    asked: &Export,
    file: &Path,
    text: &Text,
) -> anyhow::Result<bool> {
    let Ok(old) = std::fs::read_to_string(file) else {
        return write_if_changed(file, &text.text);
    };
    let (Some(before), Some(now), None) = (serial_of(&old), serial_of(&text.text), asked.serial)
    else {
        return write_if_changed(file, &text.text);
    };
    let without = |text: &str, serial: u32| text.replacen(&serial_line(serial), "", 1);
    if without(&old, before) == without(&text.text, now) {
        return Ok(false);
    }
    let serial = now.max(before.saturating_add(1));
    let again = export::export(snapshot, asked.what, &settings(asked, serial)?);
    let same = again.texts.iter().find(|other| other.name == text.name);
    let Some(same) = same else {
        bail!("{} is no zone any more", text.name);
    };
    write_if_changed(file, &same.text)
}

fn serial_line(serial: u32) -> String {
    format!("    {serial} ; serial\n")
}

fn serial_of(zone: &str) -> Option<u32> {
    let line = zone.lines().find(|line| line.ends_with("; serial"))?;
    line.split_whitespace().next()?.parse().ok()
}
