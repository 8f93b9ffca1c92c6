//! Every shipped profile on a virtual machine: real firmware, real iPXE, a rehearsal's own daemon. It has to
//! ask for its loader, its script and each file of its plan, in that order, and start what it has loaded with
//! the command line of the plan. Where the files of a system cannot be had, others take their places. In those of
//! Linux systems a Linux that does what the profile's installer does until it would write to a disk: connects,
//! fetches its second stage and its answers, runs their scripts, reports (`linux.rs`). For everything else, and for
//! loaders, stand-ins that tell how they were started (`stand_ins.rs`). Debian's own files are booted as they are.
//!
//! `make boot-matrix` runs it, one machine at a time: some 40 minutes. With arguments, only those whose
//! profile or firmware is named: `make boot-matrix ARGS="alma-9 uefi-x64"`.

#![expect(clippy::print_stdout, reason = "a program for people who wait")]

mod archive;
mod expected;
#[expect(dead_code, reason = "the validators' own")]
#[path = "../validators/hosts.rs"]
mod hosts;
mod linux;
mod machine;
#[expect(dead_code, reason = "the validators' own")]
#[path = "../validators/profiles.rs"]
mod profiles;
mod site;
mod stand_ins;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use expected::{Expected, Files, Turn};
use machine::Seen;
use site::Site;

/// Names a folder of boot files with what can be had of the systems themselves (scripts/boot-matrix.sh).
const INSTALLERS: &str = "BOOT_MATRIX_INSTALLERS";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, config, host, firmware, sign] = args.as_slice()
        && first == machine::ARGUMENT
    {
        return machine::run(config, host, firmware, sign);
    }
    let (profiles, firmwares): (Vec<&String>, Vec<&String>) = args
        .iter()
        .filter(|arg| !arg.starts_with('-'))
        .partition(|arg| !["bios", "uefi-x64"].contains(&arg.as_str()));
    let stand_ins = Site::with_stand_ins();
    let installers = std::env::var_os(INSTALLERS).map(PathBuf::from);
    let own = installers.as_deref().map(Site::with_files_of);
    let linux = installers
        .as_deref()
        .filter(|folder| linux::can_be_had(folder));
    let linux = linux.map(Site::with_linux);
    let linux_turns = linux
        .as_ref()
        .map(expected::linux_turns)
        .unwrap_or_default();
    let is_linux = |turn: &Turn| {
        linux_turns
            .iter()
            .any(|linux| linux.profile == turn.profile && linux.firmware == turn.firmware)
    };
    let mut turns = expected::turns(&stand_ins);
    turns.retain(|turn| !is_linux(turn));
    let turns: Vec<Turn> = turns
        .into_iter()
        .chain(linux_turns)
        .chain(own.as_ref().map(expected::own_turns).unwrap_or_default())
        .filter(|turn| profiles.is_empty() || profiles.contains(&&turn.profile))
        .filter(|turn| firmwares.is_empty() || firmwares.iter().any(|name| **name == turn.firmware))
        .collect();
    if turns.is_empty() {
        println!("no such profile: {args:?}");
        return ExitCode::FAILURE;
    }
    let began = Instant::now();
    let mut failed = Vec::new();
    for (index, turn) in turns.iter().enumerate() {
        let name = format!("{} ({}, {})", turn.profile, turn.told(), turn.files.told());
        let site = match turn.files {
            Files::StandIns => Some(&stand_ins),
            Files::Linux => linux.as_ref(),
            Files::Own => own.as_ref(),
        };
        let site = site.unwrap_or(&stand_ins);
        let from = Instant::now();
        let wrong = boot(site, turn);
        let took = from.elapsed().as_secs_f32();
        let place = format!("[{}/{}]", index + 1, turns.len());
        match wrong {
            Ok(what) => println!("{place} {name}: ok, {took:.0} s: {what}"),
            Err(wrong) => {
                println!("{place} {name}: WRONG, {took:.0} s\n{wrong}");
                failed.push(name);
            }
        }
    }
    let took = began.elapsed().as_secs();
    println!("{} machines, {took} s, {} wrong", turns.len(), failed.len());
    for name in &failed {
        println!("  wrong: {name}");
    }
    ExitCode::from(u8::from(!failed.is_empty()))
}

/// Boots one machine and looks at what it did: in a few words, or what is wrong with it.
fn boot(site: &Site, turn: &Turn) -> Result<String, String> {
    let expected = Expected::of(site, turn);
    // A rehearsal moves its process into a network of its own, for good.
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(machine::ARGUMENT)
        .arg(site.config())
        .args([&turn.host, &turn.firmware, &expected.sign])
        .env("TMPDIR", site.temporary())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("the rehearsal did not take place: {said}"));
    }
    let seen: Seen = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stdout)))?;
    expected.compare(&seen).map_err(|wrong| {
        let console: Vec<&str> = seen.console.lines().map(str::trim_end).collect();
        let tail = console.len().saturating_sub(25);
        format!(
            "{wrong}\n  it fetched {:#?}\n  its steps:\n{}\n  the end of its console:\n  | {}",
            seen.fetched,
            seen.lines.join("\n"),
            console.get(tail..).unwrap_or_default().join("\n  | ")
        )
    })
}
