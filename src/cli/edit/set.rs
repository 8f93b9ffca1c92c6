//! `bootwright host set`.

use std::io::Write;
use std::path::Path;

use super::{Assignment, finish, key, mode};
use crate::cli::output::Format;
use crate::config::edit::{Entry, Key};
use crate::edits::apply;

/// `host set`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  bootwright host set web01 ip=10.99.0.31
  bootwright host set web01 profile=debian-13 vars.disk=/dev/sda
  bootwright host set web01 vars.packages+=nginx        an element more
  bootwright host set web01 mac-=52:54:00:47:86:99      one less
  bootwright host set web01 --unset vars.disk

A value is TOML (true, 3, [\"a\", \"b\"]), or else a text.")]
pub struct Set {
    /// Name, MAC or address
    pub host: String,
    /// A key and its value; += adds an element to a list, -= takes one out
    #[arg(value_name = "KEY=VALUE", required_unless_present = "unset")]
    pub set: Vec<Assignment>,
    /// Take this key away
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub unset: Vec<Key>,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
}

/// Sets keys of a host.
pub fn set(config: &Path, asked: &Set, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let applied = apply(config, mode(asked.dry_run), &mut |reservations| {
        let entry = Entry::Host(reservations.host_of(&asked.host)?);
        for assignment in &asked.set {
            assignment.make(reservations, &entry)?;
        }
        for key in &asked.unset {
            reservations.unset(&entry, key)?;
        }
        Ok(())
    });
    finish(config, applied, asked.dry_run, format, out)
}
