//! TFTP beside other servers, in one run: `make bench-tftp`, as root.
//!
//! Each round measures every server at every row, one after the other, so that what else the machine does meets all
//! alike. The load checks every byte. Loss is made by the load itself, which throws packets away in both directions:
//! not every kernel has netem, and that way each packet is lost for itself, however the server hands them over.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod load;
mod servers;
#[path = "../dhcp/setup.rs"]
#[allow(dead_code)]
mod setup;

/// What the network is made of.
mod packet {
    use std::net::Ipv4Addr;

    /// The server's address.
    pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 76, 0, 1);
    /// Where the load comes from.
    pub const RELAY: Ipv4Addr = Ipv4Addr::new(10, 76, 0, 2);
}

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use load::{Load, Outcome};
use servers::{Kind, Server};
use setup::Cpu;

const USAGE: &str = "bench-tftp [--quick] [--rounds N] [--seconds N] [--servers a,b] [--out FILE] [--folder FOLDER] \
                     [--no-realtime]\nservers: native, async-tftp, dnsmasq, tftpd-hpa";

/// One row of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    /// Packets in a thousand that are lost, each way.
    loss: u32,
    clients: usize,
    blksize: u16,
    windowsize: u16,
    /// Bytes of the file.
    size: usize,
}

impl Row {
    fn name(&self) -> String {
        let size = if self.size >= 1 << 20 {
            format!("{} MiB", self.size >> 20)
        } else {
            format!("{} KiB", self.size >> 10)
        };
        let loss = self.loss / 10;
        format!(
            "{} × {size}, blksize {}, windowsize {}, loss {loss}%",
            self.clients, self.blksize, self.windowsize
        )
    }

    fn all(quick: bool) -> Vec<Self> {
        let mut rows = Vec::new();
        for loss in [0, 10] {
            for clients in [1, 16, 64] {
                for blksize in [512, 1_428, 1_468] {
                    for windowsize in [1, 4, 16] {
                        let is_usual = blksize == 1_468 && clients != 16;
                        if quick && !is_usual {
                            continue;
                        }
                        // A boot loader where packets are lost and each costs time; a kernel where they are not.
                        let size = if loss > 0 {
                            servers::SMALL
                        } else {
                            servers::LARGE
                        };
                        rows.push(Self {
                            loss,
                            clients,
                            blksize,
                            windowsize,
                            size,
                        });
                    }
                }
            }
        }
        for clients in [1, 64] {
            rows.push(Self {
                loss: 0,
                clients,
                blksize: 1_468,
                windowsize: 1,
                size: servers::SMALL,
            });
        }
        rows
    }
}

struct Plan {
    quick: bool,
    rounds: u32,
    lasting: Duration,
    servers: Vec<Kind>,
    out: PathBuf,
    folder: Option<PathBuf>,
    cpu: Cpu,
}

impl Plan {
    fn read() -> Result<Self, String> {
        let mut plan = Self {
            quick: false,
            rounds: 5,
            lasting: Duration::from_secs(1),
            servers: Kind::ALL.to_vec(),
            out: PathBuf::from("target/bench-tftp.md"),
            folder: None,
            cpu: Cpu {
                realtime: setup::realtime_is_allowed(),
            },
        };
        let mut rounds = None;
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--quick" => plan.quick = true,
                "--no-realtime" => plan.cpu.realtime = false,
                "--rounds" => rounds = Some(value()?.parse().map_err(|_| USAGE)?),
                "--seconds" => {
                    let secs = value()?.parse().map_err(|_| USAGE)?;
                    plan.lasting = Duration::try_from_secs_f64(secs).map_err(|_| USAGE)?;
                }
                "--servers" => {
                    let names = value()?;
                    let kinds = names.split(',').map(|name| {
                        Kind::parse(name).ok_or_else(|| format!("there is no server {name}"))
                    });
                    plan.servers = kinds.collect::<Result<_, _>>()?;
                }
                "--out" => plan.out = value()?.into(),
                "--folder" => plan.folder = Some(value()?.into()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        plan.rounds = rounds.unwrap_or(if plan.quick { 1 } else { plan.rounds });
        Ok(plan)
    }
}

/// What was measured of one server in one row, a number for each round.
#[derive(Debug, Default)]
struct Measured {
    rate: Vec<f64>,
    middle: Vec<f64>,
    cpu: Vec<f64>,
}

type Report = BTreeMap<(Row, Kind), Measured>;

fn main() -> std::process::ExitCode {
    let plan = match Plan::read() {
        Ok(plan) => plan,
        Err(text) => {
            eprintln!("{text}");
            return std::process::ExitCode::from(2);
        }
    };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("bench-tftp: it makes network namespaces and needs root: sudo make bench-tftp");
        return std::process::ExitCode::FAILURE;
    }
    match setup::enter(plan.cpu).and_then(|()| run(&plan)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-tftp: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> io::Result<()> {
    let folder = match &plan.folder {
        Some(folder) => folder.clone(),
        None => {
            return Err(io::Error::other(
                "name a folder for the files: --folder FOLDER",
            ));
        }
    };
    let _network = setup::network()?;
    let load = Load::new(servers::file(servers::LARGE));
    servers::write_files(&folder)?;
    let mut report = Report::new();
    let mut memory: BTreeMap<Kind, f64> = BTreeMap::new();
    for round in 1..=plan.rounds {
        let mut running = Vec::new();
        for &kind in &plan.servers {
            running.push(Server::start(kind, &folder, plan.cpu)?);
        }
        for row in Row::all(plan.quick) {
            eprintln!("round {round} of {}: {}", plan.rounds, row.name());
            for server in &mut running {
                server.wake();
                measure(plan, row, server, &load, &mut report)?;
                server.sleep();
            }
        }
        for server in &mut running {
            let most = memory.entry(server.kind()).or_default();
            *most = most.max(server.memory()?);
        }
        drop(running);
        fs::write(&plan.out, markdown(plan, &report, &memory))?;
    }
    println!("{}", markdown(plan, &report, &memory));
    println!("written to {}", plan.out.display());
    Ok(())
}

fn measure(
    plan: &Plan,
    row: Row,
    server: &mut Server,
    load: &Load,
    report: &mut Report,
) -> io::Result<()> {
    // What a lost packet costs has to show: time-outs are of a second and more.
    let lasting = if row.loss > 0 {
        plan.lasting * 4
    } else {
        plan.lasting
    };
    let before = server.cpu()?;
    let mut outcome: Outcome = load.run(
        server.address(),
        row.size,
        row.clients,
        row.blksize,
        row.windowsize,
        row.loss,
        lasting,
    )?;
    let cpu = server.cpu()?.saturating_sub(before);
    let middle = outcome.quantile(0.5);
    let megabytes = outcome.bytes as f64 / 1e6;
    eprintln!(
        "  {:<11} {:>8.1} MB/s  p50 {:>8.1} ms  {:>6} files, {} failed  {:>7.0} MB per CPU second",
        server.kind().name(),
        outcome.rate(),
        middle,
        outcome.done,
        outcome.failed,
        megabytes / cpu.as_secs_f64().max(0.001)
    );
    if let Some(fault) = outcome.fault {
        return Err(io::Error::other(format!(
            "{}: {}: {fault}",
            server.kind().name(),
            row.name()
        )));
    }
    let measured = report.entry((row, server.kind())).or_default();
    measured.rate.push(outcome.rate());
    measured.middle.push(middle);
    // Of a server that forks for each transfer, the time of its children is not known.
    if server.kind() != Kind::TftpdHpa {
        measured.cpu.push(megabytes / cpu.as_secs_f64().max(0.001));
    }
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn table(
    text: &mut String,
    plan: &Plan,
    report: &Report,
    rows: &[Row],
    of: impl Fn(&Measured) -> &[f64],
    digits: usize,
) {
    let _ = write!(text, "| |");
    for kind in &plan.servers {
        let _ = write!(text, " {} |", kind.name());
    }
    let _ = writeln!(text, "\n|---|{}", "---:|".repeat(plan.servers.len()));
    for row in rows {
        let _ = write!(text, "| {} |", row.name());
        for &kind in &plan.servers {
            let values = report.get(&(*row, kind)).map_or(&[][..], &of);
            if values.is_empty() {
                text.push_str(" – |");
            } else {
                let _ = write!(text, " {:.digits$} |", median(values));
            }
        }
        text.push('\n');
    }
    text.push('\n');
}

fn markdown(plan: &Plan, report: &Report, memory: &BTreeMap<Kind, f64>) -> String {
    let mut text = String::new();
    let rows = Row::all(plan.quick);
    let (fair, lossy): (Vec<Row>, Vec<Row>) = rows.iter().partition(|row| row.loss == 0);
    let rounds = plan.rounds;
    let _ = writeln!(text, "Medians of {rounds} rounds.\n\nMB/s:\n");
    table(&mut text, plan, report, &fair, |m| &m.rate, 1);
    let _ = writeln!(text, "MB per CPU second of the server:\n");
    table(&mut text, plan, report, &fair, |m| &m.cpu, 0);
    let _ = writeln!(text, "With loss, the time of a file in ms, p50:\n");
    table(&mut text, plan, report, &lossy, |m| &m.middle, 0);
    let _ = writeln!(text, "With loss, MB/s:\n");
    table(&mut text, plan, report, &lossy, |m| &m.rate, 1);
    let _ = writeln!(text, "Peak memory, MiB:\n");
    for (kind, mib) in memory {
        let _ = writeln!(text, "- {}: {mib:.1}", kind.name());
    }
    text
}

/// What is at this path under the servers' folder.
fn below(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}
