//! L7, the command line: what people type. Only this layer prints.
//!
//! Exit status: 0 done, 1 refused or failed (the reason on standard error), 2 wrong usage.

pub mod adopt;
pub mod args;
pub mod assets;
mod busy;
pub mod check;
pub mod client;
pub mod command;
pub mod complete;
pub mod doctor;
pub mod edit;
pub mod events;
pub mod explain;
pub mod export;
pub mod hosts;
pub mod import;
pub mod ip;
pub mod later;
pub mod log;
pub mod man;
pub mod orders;
pub mod output;
pub mod rehearse;
pub mod reload;
pub mod render;
pub mod router_config;
pub mod schema;
pub mod serve;
pub mod show_events;
pub mod simulate;
pub mod table;
pub mod transfers;
pub mod unknown;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::FromArgMatches as _;

use self::args::{Args, Command, HostCommand};
use self::client::{Client, Refused};
use crate::serve::admin::error::BAD_REQUEST;

/// Wrong usage that no definition of arguments tells: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Where the configuration is looked for, in this order, when nothing names it.
const PLACES: [&str; 2] = ["config/bootwright.toml", "/etc/bootwright/bootwright.toml"];

/// Runs the command that was typed.
pub fn main() -> ExitCode {
    match complete::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        // A shell shows what is written here in the middle of what is being typed.
        Err(_) => return ExitCode::FAILURE,
    }
    let parsed = command::command()
        .try_get_matches()
        .and_then(|matches| Args::from_arg_matches(&matches));
    let args = match parsed {
        Ok(args) => args,
        Err(error) => {
            // Help and version are no errors: they go to standard output with status 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = run(args);
    // Whatever was asked of a daemon whose files have errors: the answer is about what was in force before.
    if let Some(standing) = client::standing() {
        let _ = writeln!(io::stderr(), "bootwright: {standing}");
    }
    match done {
        Ok(status) => ExitCode::from(status),
        // A reader that has had enough, as `head` does, is no failure.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bootwright: {}", told(&error));
            // What was typed makes no sense, which only the command or the daemon could tell.
            let by_daemon = error
                .downcast_ref::<Refused>()
                .is_some_and(|Refused(body)| body.code == BAD_REQUEST);
            if by_daemon || error.is::<Usage>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

fn run(args: Args) -> anyhow::Result<u8> {
    let mut stdout = io::stdout().lock();
    let out = &mut stdout;
    let format = args.format;
    let config = || find_config(args.config.as_deref());
    let client = || config().and_then(|config| Client::of(&config));
    match args.command {
        Command::Serve(asked) => {
            drop(stdout);
            serve::run(&config()?, &asked)
        }
        Command::Check(asked) => check::run(&config()?, &asked, format, out),
        Command::Reload => reload::run(&client()?, format, out),
        Command::Hosts => hosts::list(&client()?, format, out),
        Command::Host { command } => match command {
            HostCommand::Show(asked) if asked.explain => {
                explain::run(&config()?, &asked.host, format, out)
            }
            HostCommand::Show(asked) => hosts::show(&client()?, &asked, format, out),
            HostCommand::Add(asked) => edit::add(&config()?, &asked, format, out),
            HostCommand::Set(asked) => edit::set(&config()?, &asked, format, out),
            HostCommand::Remove(asked) => edit::remove(&config()?, &asked, format, out),
        },
        Command::Bind(asked) => edit::bind(&config()?, &asked, format, out),
        Command::Install(install) => orders::install(&client()?, install, format, out),
        Command::Cancel(order) => orders::cancel(&client()?, order, format, out),
        Command::Local(order) => orders::local(&client()?, order, format, out),
        Command::Events(asked) => events::run(&client()?, &asked, format, out),
        Command::Why { host } => hosts::why(&client()?, &host, format, out),
        Command::Render(asked) => {
            render::run(&config()?, &asked.into(), format, out, &mut io::stderr())
        }
        Command::Export(asked) => export::run(&config()?, &asked, format, out, &mut io::stderr()),
        Command::RouterConfig(asked) => {
            router_config::run(&config()?, &asked, format, out, &mut io::stderr())
        }
        Command::Simulate(asked) => {
            simulate::run(&config()?, &asked, format, out, &mut io::stderr())
        }
        Command::Rehearse(asked) => rehearse::run(&config()?, &asked, format, out),
        Command::Assets { command } => assets::run(&config()?, &command, format, out),
        Command::Transfers => transfers::list(&client()?, format, out),
        Command::Ip { command } => ip::run(&config()?, &command, format, out),
        Command::Adopt(asked) => adopt::run(&config()?, &asked, format, out),
        Command::Unknown(asked) => unknown::run(&client()?, &asked, format, out),
        Command::Completions(asked) => complete::run(&asked, out),
        Command::Man(asked) => man::run(&asked, out),
        Command::Schema(asked) => schema::run(&asked, out),
        Command::Doctor(asked) => doctor::run(&config()?, &asked, format, out),
        Command::Import(asked) => import::run(config, &asked, format, out, &mut io::stderr()),
        other @ Command::Capture(_) => later::refuse(other.name()),
    }
}

/// The configuration that is meant.
fn find_config(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if let Some(named) = std::env::var_os("BOOTWRIGHT_CONFIG").filter(|name| !name.is_empty()) {
        return Ok(named.into());
    }
    PLACES
        .iter()
        .map(PathBuf::from)
        // One that may not be looked at is there: reading it tells why.
        .find(|place| place.try_exists().unwrap_or(true))
        .ok_or_else(|| {
            anyhow::anyhow!(
                "there is no configuration: neither {} nor {} is there; name it with --config FILE or $BOOTWRIGHT_CONFIG",
                PLACES[0],
                PLACES[1]
            )
        })
}

/// An error and its causes, each said once: many say their cause themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut all, cause| {
        let cause = cause.to_string();
        if !all.contains(&cause) {
            if !all.is_empty() {
                all.push_str(": ");
            }
            all.push_str(&cause);
        }
        all
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// A runtime for one command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}
