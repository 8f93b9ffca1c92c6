//! `bootwright router-config`: the lines that have another DHCP server send its machines here.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::output::Format;
use super::render::configuration;
use crate::base::SubnetName;
use crate::config::source::{DiskFiles, Files};
use crate::export::router::{Router, router_config};
use crate::render::check;

/// `router-config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bootwright router-config dhcpd
  bootwright router-config mikrotik --subnet lab
  bootwright router-config dnsmasq > /etc/dnsmasq.d/bootwright.conf")]
pub struct RouterConfig {
    /// The other server: edgeos, mikrotik, opnsense, msdhcp, dnsmasq, kea or dhcpd
    #[arg(value_name = "SERVER")]
    pub router: Router,
    /// The subnet that it serves [default: those in which another server gives the addresses, else all]
    #[arg(long, value_name = "SUBNET")]
    pub subnet: Option<SubnetName>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    server: &'a str,
    text: &'a str,
    left: Vec<String>,
}

/// Prints the lines. The result is the exit status.
pub fn run(
    config: &Path,
    asked: &RouterConfig,
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
    asked: &RouterConfig,
    format: Format,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> anyhow::Result<u8> {
    let in_force = configuration(files, config, errors)?;
    let snapshot = &in_force.snapshot;
    let written = router_config(snapshot, asked.router, asked.subnet.as_ref())?;
    let text = written.texts.first().map_or("", |text| text.text.as_str());
    let mut left: Vec<String> = written.left.iter().map(ToString::to_string).collect();
    left.extend(check::offline_note(snapshot, None));
    match format {
        Format::Json => {
            let server = asked.router.as_str();
            serde_json::to_writer_pretty(&mut *out, &Report { server, text, left })?;
            writeln!(out)?;
        }
        Format::Text => {
            for note in left {
                writeln!(errors, "note: {note}")?;
            }
            out.write_all(text.as_bytes())?;
        }
    }
    Ok(0)
}
