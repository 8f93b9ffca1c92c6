//! A boot storm: so many whole PXE clients at once, against Bootwright and against other servers together:
//! `make bench-storm`, as root.
//!
//! Each combination alone, one after the other in each round. What is measured, and how to read it, is in
//! `docs/performance.md`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod boots;
#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod stacks;
mod timeline;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use boots::{Files, Outcome, Stage};
use common::figures::{Better, Figures, command, load_average, machine, thousands};
use common::packet::BOOT_FILE;
use common::random;
use common::setup::{self, Cpu};
use common::tftp::Want;
use stacks::{Kind, Stack};

const USAGE: &str = "\
bench-storm [--quick] [--rounds N] [--machines N,N] [--payload script,small,large] [--servers a,b] [--out FILE]
            [--no-realtime] --folder FOLDER

  --quick     one round, 100 and 1,000 machines to the script and with small files: a few minutes
  --rounds    3, unless quick
  --machines  100,1000,10000; 16,128 at most
  --payload   script: a boot ends with its script; small: after it kernel (16 KiB), initrd (64 KiB) and answers, so
              that the servers are what is measured; large: 1 MiB and 2 MiB, which is the wire and the checking of each
              byte as well
  --servers   bootwright,dnsmasq,dhcpd (the latter two with nginx, dhcpd with tftpd-hpa)
  --out       where the tables go: target/bench-storm.md
  --no-realtime  a high priority instead of SCHED_RR, which is taken where it is allowed
";

/// A loader's usual size.
const LOADER: usize = 74 << 10;

/// How far a boot goes, and how long kernel and initial RAM disk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Payload {
    Script,
    Small,
    Large,
}

impl Payload {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "script" => Some(Self::Script),
            "small" => Some(Self::Small),
            "large" => Some(Self::Large),
            _ => None,
        }
    }

    const fn sizes(self) -> (usize, usize) {
        match self {
            Self::Script | Self::Small => (16 << 10, 64 << 10),
            Self::Large => (1 << 20, 2 << 20),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Script => "to the script",
            Self::Small => "80 KiB each",
            Self::Large => "3 MiB each",
        }
    }

    /// The last stage of a boot.
    const fn last(self) -> Stage {
        match self {
            Self::Script => Stage::Script,
            Self::Small | Self::Large => Stage::Answers,
        }
    }

    fn files(self) -> Files {
        let (kernel, initrd) = self.sizes();
        let loader = Arc::new(random::file(LOADER));
        Files {
            loader: Want::new(BOOT_FILE, loader, 1_468, 1, true),
            kernel: Arc::new(random::file(kernel)),
            initrd: Arc::new(random::file(initrd)),
            last: self.last(),
        }
    }
}

struct Plan {
    rounds: u32,
    machines: Vec<u32>,
    payloads: Vec<Payload>,
    servers: Vec<Kind>,
    out: PathBuf,
    folder: PathBuf,
    cpu: Cpu,
}

impl Plan {
    fn read() -> Result<Self, String> {
        let mut plan = Self {
            rounds: 3,
            machines: vec![100, 1_000, 10_000],
            payloads: vec![Payload::Script, Payload::Small, Payload::Large],
            servers: Kind::ALL.to_vec(),
            out: PathBuf::from("target/bench-storm.md"),
            folder: PathBuf::new(),
            cpu: Cpu {
                realtime: setup::realtime_is_allowed(),
            },
        };
        let mut words: Vec<String> = std::env::args()
            .skip(1)
            .filter(|word| word != "--bench")
            .collect();
        if let Some(at) = words.iter().position(|word| word == "--quick") {
            words.remove(at);
            plan.rounds = 1;
            plan.machines.truncate(2);
            plan.payloads.truncate(2);
        }
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--no-realtime" => plan.cpu.realtime = false,
                "--rounds" => plan.rounds = value()?.parse().map_err(|_| USAGE)?,
                "--machines" => plan.machines = list(&value()?, |word| word.parse().ok())?,
                "--payload" => plan.payloads = list(&value()?, Payload::parse)?,
                "--servers" => plan.servers = list(&value()?, Kind::parse)?,
                "--out" => plan.out = value()?.into(),
                "--folder" => plan.folder = value()?.into(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if plan.folder.as_os_str().is_empty() || plan.machines.iter().any(|count| *count > 16_128) {
            return Err(USAGE.to_owned());
        }
        Ok(plan)
    }
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let words = text.split(',');
    words
        .map(|word| read(word).ok_or_else(|| format!("{word} is not known\n\n{USAGE}")))
        .collect()
}

fn main() -> std::process::ExitCode {
    let plan = match Plan::read() {
        Ok(plan) => plan,
        Err(text) => {
            eprintln!("{text}");
            return std::process::ExitCode::from(2);
        }
    };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("bench-storm: it makes network namespaces and needs root: sudo make bench-storm");
        return std::process::ExitCode::FAILURE;
    }
    match setup::enter(plan.cpu).and_then(|()| run(&plan)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-storm: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> io::Result<()> {
    let _network = setup::network()?;
    setup::machines()?;
    setup::raise_descriptor_limit()?;
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    for round in 1..=plan.rounds {
        for &payload in &plan.payloads {
            let files = payload.files();
            stacks::write_files(&plan.folder, &files)?;
            for &count in &plan.machines {
                for &kind in &plan.servers {
                    let row = row(count, payload);
                    eprintln!("round {round} of {}: {row}, {}", plan.rounds, kind.name());
                    if let Err(error) =
                        measure(plan, kind, count, &row, &files, &mut figures, &mut failures)
                    {
                        eprintln!("  {error}");
                        failures.push(format!("{}, {row}: {error}", kind.name()));
                    }
                }
            }
        }
        fs::write(&plan.out, markdown(plan, &figures, &failures))?;
    }
    println!("{}", markdown(plan, &figures, &failures));
    println!("written to {}", plan.out.display());
    Ok(())
}

fn row(count: u32, payload: Payload) -> String {
    format!(
        "{} machines, {}",
        thousands(f64::from(count), 0),
        payload.name()
    )
}

fn measure(
    plan: &Plan,
    kind: Kind,
    count: u32,
    row: &str,
    files: &Files,
    figures: &mut Figures,
    failures: &mut Vec<String>,
) -> io::Result<()> {
    let mut stack = Stack::start(kind, count, &plan.folder, plan.cpu)?;
    let before = stack.cpu()?;
    let mut outcome: Outcome = boots::run(count, files)?;
    let cpu = stack.cpu()?.saturating_sub(before);
    let memory = stack.memory();
    let name = kind.name();
    if let Some(why) = stack.ended() {
        failures.push(format!("{name}, {row}: {why}"));
    }
    let mut put = |what, value| figures.put(what, row, name, value);
    let (p50, p99) = (outcome.quantile(0.5), outcome.quantile(0.99));
    let cpu_of_each = cpu.as_secs_f64() * 1e3 / outcome.finished.max(1) as f64;
    eprintln!(
        "  {} finished, failed {:?} {:?}; {:.0}/s, p50 {:.3} s, p99 {:.3} s; again {} by DHCP, {} by TFTP; {cpu_of_each:.2} \
         ms each, {memory:.0} MiB",
        outcome.finished,
        outcome.failed,
        outcome.reasons,
        outcome.rate(),
        p50,
        p99,
        outcome.dhcp_again,
        outcome.tftp_again
    );
    put("finished", outcome.finished as f64);
    put("rate", outcome.rate());
    put("p50", p50);
    put("p99", p99);
    put("dhcp", outcome.dhcp_again as f64);
    put("tftp", outcome.tftp_again as f64);
    put("cpu", cpu_of_each);
    put("memory", memory);
    for stage in Stage::up_to(files.last) {
        let lost = outcome.failed.get(&stage).copied().unwrap_or_default();
        let stage_row = format!("{row}: {}", stage.name());
        let (p50, p99) = (outcome.stage(stage, 0.5), outcome.stage(stage, 0.99));
        eprintln!(
            "    {:<13} p50 {:>8.1} ms  p99 {:>8.1} ms",
            stage.name(),
            p50 * 1e3,
            p99 * 1e3
        );
        figures.put("stage p50", &stage_row, name, p50 * 1e3);
        figures.put("stage p99", &stage_row, name, p99 * 1e3);
        figures.put("lost", &stage_row, name, lost as f64);
    }
    // A server that has not ended has not written everything down.
    let state = stack.state.clone();
    drop(stack);
    if kind == Kind::Bootwright {
        let told = timeline::read(&state, count, files.last)?;
        eprintln!(
            "  timelines: {} complete of {count}, {} events; {}",
            told.complete, told.events, told.lacks
        );
        figures.put("complete", row, name, told.complete as f64);
        if told.complete < u64::from(count) {
            failures.push(format!(
                "{row}: only {} timelines are complete: {}",
                told.complete, told.lacks
            ));
        }
    }
    Ok(())
}

fn markdown(plan: &Plan, figures: &Figures, failures: &[String]) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "`make bench-storm ARGS=\"{}\"`; {}, {}, load average {:.1}; {} rounds, medians.\n",
        command(),
        if plan.cpu.realtime {
            "SCHED_RR"
        } else {
            "nice -20"
        },
        machine(),
        load_average(),
        plan.rounds,
    );
    let servers: Vec<&str> = plan.servers.iter().map(|kind| kind.name()).collect();
    let mut rows = Vec::new();
    let mut stages = Vec::new();
    for &payload in &plan.payloads {
        for &count in &plan.machines {
            let row = row(count, payload);
            stages.extend(
                Stage::up_to(payload.last()).map(|stage| format!("{row}: {}", stage.name())),
            );
            rows.push(row);
        }
    }
    for (title, what, better, digits) in [
        ("Finished", "finished", Better::Unsaid, 0),
        ("Boots/s", "rate", Better::More, 0),
        ("p50, s", "p50", Better::Less, 2),
        ("p99, s", "p99", Better::Less, 2),
        ("Asked again by DHCP", "dhcp", Better::Unsaid, 0),
        ("Asked again by TFTP", "tftp", Better::Unsaid, 0),
        ("CPU of each boot, ms", "cpu", Better::Less, 2),
        ("Peak memory, MiB", "memory", Better::Less, 0),
        ("Complete timelines", "complete", Better::Unsaid, 0),
    ] {
        figures.table(&mut text, title, what, &rows, &servers, better, digits);
    }
    figures.table(
        &mut text,
        "Failed or unfinished, by stage",
        "lost",
        &stages,
        &servers,
        Better::Unsaid,
        0,
    );
    figures.table(
        &mut text,
        "Stages, p50, ms",
        "stage p50",
        &stages,
        &servers,
        Better::Unsaid,
        1,
    );
    figures.table(
        &mut text,
        "Stages, p99, ms",
        "stage p99",
        &stages,
        &servers,
        Better::Unsaid,
        1,
    );
    for failure in failures {
        let _ = writeln!(text, "Failed: {failure}\n");
    }
    text
}
