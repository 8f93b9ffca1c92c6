//! `bootwright host remove`.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::{finish, mode};
use crate::base::HostName;
use crate::cli::client::{Client, Refused, part};
use crate::cli::output::{Format, agrees, on_a_terminal};
use crate::cli::runtime;
use crate::config::edit::Entry;
use crate::edits::{Mode, apply};
use crate::record::InstallState;
use crate::serve::admin::hosts::HostView;

/// Names listed in a question.
const LISTED: usize = 20;

/// `host remove`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bootwright host remove web09
  bootwright host remove 'lab-*' --dry-run

A host that is armed or being installed is kept, unless --force is given: its machine would be a stranger.")]
pub struct Remove {
    /// Names, MACs, addresses, or quoted globs such as 'web*'
    #[arg(value_name = "HOST", required = true)]
    pub hosts: Vec<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Also hosts that are armed or being installed
    #[arg(long)]
    pub force: bool,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// Takes hosts away.
pub fn remove(
    config: &Path,
    asked: &Remove,
    format: Format,
    out: &mut dyn Write,
) -> anyhow::Result<u8> {
    // What is asked about is what goes, whatever fits a glob a moment later.
    let found = apply(config, Mode::DryRun, &mut |reservations| {
        reservations.hosts_of(&asked.hosts)
    })?;
    let hosts = found.value;
    if !asked.force {
        may_go(&Client::of(config)?, &hosts)?;
    }
    if !asked.yes && !asked.dry_run {
        ask(&hosts)?;
    }
    let applied = apply(config, mode(asked.dry_run), &mut |reservations| {
        let entries: Vec<Entry> = hosts.iter().cloned().map(Entry::Host).collect();
        reservations.remove(&entries)
    });
    finish(config, applied, asked.dry_run, format, out)
}

/// Whether none of them is armed or being installed. Where no daemon runs nothing is under way.
fn may_go(client: &Client, hosts: &[HostName]) -> anyhow::Result<()> {
    let there = client.is_there().context(
        "whether a host is being installed cannot be asked (--force removes it all the same)",
    )?;
    if !there {
        return Ok(());
    }
    let runtime = runtime()?;
    let mut busy = Vec::new();
    for host in hosts {
        let path = format!("/hosts/{}", part(host.as_str()));
        let view: HostView = match runtime.block_on(client.get(&path)) {
            Ok(view) => view,
            // It is in the files and not in force: the daemon does nothing for it.
            Err(error) if error.downcast_ref::<Refused>().is_some() => continue,
            Err(error) => return Err(error),
        };
        match view.state {
            InstallState::Waiting
            | InstallState::Armed
            | InstallState::Booting
            | InstallState::Installing => busy.push(format!("{host} is {}", view.state)),
            InstallState::Local | InstallState::Installed | InstallState::Failed => {}
        }
    }
    if !busy.is_empty() {
        bail!(
            "{}: nothing was removed\n  `bootwright cancel HOST` takes that back, --force removes it all the same",
            busy.join(", ")
        );
    }
    Ok(())
}

fn ask(hosts: &[HostName]) -> anyhow::Result<()> {
    let mut names: Vec<String> = hosts.iter().take(LISTED).map(ToString::to_string).collect();
    if hosts.len() > LISTED {
        names.push(format!("{} more", hosts.len() - LISTED));
    }
    let names = names.join(", ");
    if !on_a_terminal() {
        if hosts.len() == 1 {
            return Ok(());
        }
        bail!("this removes {} hosts ({names}): say --yes", hosts.len());
    }
    if !agrees(&format!("Remove {names} from the reservations?"))? {
        bail!("nothing was changed");
    }
    Ok(())
}
