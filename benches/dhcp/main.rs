//! DHCP side by side: Bootwright, Kea, ISC dhcpd and dnsmasq, each alone on one core, the load on another.
//!
//! `make bench-dhcp` runs it. It needs root (network namespaces, priorities) and two cores, and leaves
//! nothing behind. What is measured, and how to read it, is in `docs/performance.md`.

#![allow(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    missing_docs
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod load;
mod report;
mod servers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use common::packet::Way;
use common::process::{cpu_time, memory};
use common::setup::{self, Cpu};
use load::{Load, Outcome};
use report::{Key, Report, What};
use servers::{Kind, Server};

const USAGE: &str = "\
dhcp [--quick] [--rounds N] [--sizes N,N] [--servers NAME,NAME] [--no-realtime] [--only WORD,WORD]

  --quick      one round, 1,000 and 100,000 reservations, the main loads: about three minutes
  --rounds     5, unless quick
  --sizes      reservations: 1000,10000,100000
  --servers    bootwright,kea,dhcpd,dnsmasq
  --baseline   another build of Bootwright: its program, measured in turn with this one
  --seconds    how long each load lasts: 2, quick 1
  --no-realtime  a high priority instead of SCHED_RR, which is taken where it is allowed
  --only       of: closed, open, burst, reload, check, probe (the start is always measured)
  --direct     machines on the wire instead of behind a relay agent
  --no-probe   Bootwright does not ask the wire who has a reserved address; what that question costs is measured
               in any case (probe)
  --out        where the tables go: target/bench-dhcp.md
  --folder     an empty folder on a real disk for the servers' files: one in /var/tmp, removed at the end

dnsmasq with more than 50,000 reservations is measured in the first round only, and not in a quick run: it
needs a minute to start, and as long for a reload.
";

/// What is asked for.
struct Plan {
    quick: bool,
    rounds: u32,
    sizes: Vec<u32>,
    servers: Vec<Kind>,
    lasting: Duration,
    cpu: Cpu,
    way: Way,
    probe: bool,
    only: Option<Vec<String>>,
    out: PathBuf,
    folder: Option<PathBuf>,
}

impl Plan {
    fn read() -> Result<Self, String> {
        let mut args: Vec<String> = std::env::args()
            .skip(1)
            .filter(|arg| arg != "--bench")
            .collect();
        let mut flag = |name: &str| {
            let before = args.len();
            args.retain(|arg| arg != name);
            args.len() != before
        };
        let quick = flag("--quick");
        let way = if flag("--direct") {
            Way::Direct
        } else {
            Way::Relay
        };
        let probe = !flag("--no-probe");
        let realtime = !flag("--no-realtime") && setup::realtime_is_allowed();
        if flag("--help") {
            return Err(USAGE.to_owned());
        }
        let mut values = BTreeMap::new();
        let mut words = args.into_iter();
        while let Some(name) = words.next() {
            let known = [
                "--rounds",
                "--sizes",
                "--servers",
                "--baseline",
                "--seconds",
                "--only",
                "--out",
                "--folder",
            ];
            let value = words.next().filter(|_| known.contains(&name.as_str()));
            values.insert(name, value.ok_or(USAGE)?);
        }
        let number = |name: &str, default: f64| match values.get(name) {
            Some(text) => text
                .parse()
                .map_err(|_| format!("{name}: {text} is no number")),
            None => Ok(default),
        };
        let list = |name: &str, default: &str| -> Vec<String> {
            let text = values.get(name).map_or(default, String::as_str);
            text.split(',').map(str::to_owned).collect()
        };
        let mut servers: Vec<Kind> = list("--servers", "bootwright,kea,dhcpd,dnsmasq")
            .iter()
            .map(|name| Kind::parse(name).ok_or_else(|| format!("there is no server {name}")))
            .collect::<Result<_, _>>()?;
        servers.retain(|kind| *kind != Kind::Baseline);
        if let Some(program) = values.get("--baseline") {
            let program = fs::canonicalize(program).map_err(|why| format!("{program}: {why}"))?;
            Kind::set_baseline(program);
            servers.insert(0, Kind::Baseline);
        }
        let sizes = if quick {
            "1000,100000"
        } else {
            "1000,10000,100000"
        };
        Ok(Self {
            quick,
            rounds: number("--rounds", if quick { 1.0 } else { 5.0 })? as u32,
            sizes: list("--sizes", sizes)
                .iter()
                .map(|text| {
                    text.parse()
                        .map_err(|_| format!("{text} is no number of reservations"))
                })
                .collect::<Result<_, _>>()?,
            servers,
            lasting: Duration::from_secs_f64(number("--seconds", if quick { 1.0 } else { 2.0 })?),
            cpu: Cpu { realtime },
            way,
            probe,
            only: values.contains_key("--only").then(|| list("--only", "")),
            out: PathBuf::from(list("--out", "target/bench-dhcp.md").join(",")),
            folder: values.get("--folder").map(PathBuf::from),
        })
    }

    fn wants(&self, what: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.iter().any(|word| word == what))
    }

    /// The seconds that a start may take: dnsmasq's time grows with the square of the reservations.
    fn patience(kind: Kind, hosts: u32) -> Duration {
        Duration::from_secs(if kind == Kind::Dnsmasq && hosts > 50_000 {
            180
        } else {
            30
        })
    }
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
        eprintln!("bench-dhcp: it makes network namespaces and needs root: sudo make bench-dhcp");
        return std::process::ExitCode::FAILURE;
    }
    match setup::enter(plan.cpu).and_then(|()| run(&plan)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-dhcp: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// The folder of the servers' files, on a real disk; what is in it is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(given: Option<&Path>) -> io::Result<Self> {
        if let Some(folder) = given {
            return Ok(Self(folder.to_owned()));
        }
        let began = fs::metadata("/proc/self")?.modified().ok();
        let mark = began
            .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
            .map_or(0, |at| at.as_micros());
        let folder = Path::new("/var/tmp").join(format!("bootwright-bench-{mark}"));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn run(plan: &Plan) -> io::Result<()> {
    let folder = Folder::new(plan.folder.as_deref())?;
    let _network = setup::network()?;
    let scheduling = if plan.cpu.realtime {
        "SCHED_RR"
    } else {
        "nice -20"
    };
    let mut report = Report::new(
        &plan.servers,
        &plan.sizes,
        plan.rounds,
        plan.lasting,
        scheduling,
    );
    for round in 1..=plan.rounds {
        for &hosts in &plan.sizes {
            for &kind in &plan.servers {
                // Nine milliseconds a packet and a minute's start: it would be most of the time.
                if kind == Kind::Dnsmasq && hosts > 50_000 && (plan.quick || round > 1) {
                    continue;
                }
                eprintln!(
                    "round {round} of {}, {hosts} reservations, {}",
                    plan.rounds,
                    kind.name()
                );
                let measured = measure(plan, kind, hosts, &folder.0, &mut report)
                    .and_then(|()| measure_probe(plan, kind, hosts, &folder.0, &mut report));
                if let Err(error) = measured {
                    eprintln!("  {error}");
                    report.failed(kind, hosts, &error.to_string());
                }
            }
        }
        fs::write(&plan.out, report.markdown())?;
    }
    println!("{}", report.markdown());
    println!("written to {}", plan.out.display());
    Ok(())
}

fn measure(
    plan: &Plan,
    kind: Kind,
    hosts: u32,
    folder: &Path,
    report: &mut Report,
) -> io::Result<()> {
    let mut load = Load::new(hosts, plan.way)?;
    let mut server = Server::start(kind, hosts, folder, plan.cpu, plan.probe)?;
    let mut put = |what: What, value: f64| report.put(Key { kind, hosts, what }, value);
    let patience = Plan::patience(kind, hosts);
    let Some(took) = load.first_answer(server.started(), patience)? else {
        let why = server.ended();
        let why = why.unwrap_or_else(|| format!("no answer within {} s", patience.as_secs()));
        return Err(io::Error::other(why));
    };
    put(What::Start, took.as_secs_f64());
    // What a start leaves to be done, and the caches of the first packets.
    load.closed(4, Duration::from_millis(300))?;

    let mut wrong = 0;
    let mut tell = |name: &str, outcome: &mut Outcome| {
        wrong += outcome.wrong;
        eprintln!(
            "  {name}: {:.0}/s, p50 {:.0} us, p99 {:.0} us, dropped {}, wrong {} {:?}",
            outcome.rate(),
            outcome.quantile(0.5),
            outcome.quantile(0.99),
            outcome.dropped,
            outcome.wrong,
            outcome.faults
        );
    };
    if plan.wants("closed") {
        for outstanding in [1, 16, 256] {
            let before = cpu_time(server.pid())?;
            let mut outcome = load.closed(outstanding, plan.lasting)?;
            let cpu = cpu_time(server.pid())?.saturating_sub(before);
            tell(&format!("{outstanding} outstanding"), &mut outcome);
            put(What::Rate(outstanding), outcome.rate());
            put(What::ClosedP50(outstanding), outcome.quantile(0.5));
            put(What::ClosedP99(outstanding), outcome.quantile(0.99));
            put(What::ClosedMax(outstanding), outcome.quantile(1.0));
            put(What::ClosedDropped(outstanding), outcome.dropped as f64);
            if outstanding == 16 && outcome.done > 0 {
                put(What::Cpu, cpu.as_secs_f64() * 1e6 / outcome.done as f64);
            }
        }
    }
    if plan.wants("open") {
        let rates: &[u32] = if plan.quick {
            &[10_000]
        } else {
            &[2_000, 10_000, 50_000]
        };
        for &rate in rates {
            rest();
            let mut outcome = load.open(rate, plan.lasting)?;
            tell(&format!("{rate}/s offered"), &mut outcome);
            put(What::Open(rate), outcome.rate());
            put(What::OpenP50(rate), outcome.quantile(0.5));
            put(What::OpenP99(rate), outcome.quantile(0.99));
            put(What::OpenMax(rate), outcome.quantile(1.0));
            put(What::OpenDropped(rate), outcome.dropped as f64);
        }
    }
    if plan.wants("burst") {
        let mut outcome = load.burst(10_000)?;
        tell("burst of 10,000", &mut outcome);
        put(What::Burst, outcome.done as f64);
        put(What::BurstTook, outcome.took.as_secs_f64());
    }
    put(What::Memory, memory(server.pid())?);
    if plan.wants("reload") {
        server.prepare_move()?;
        rest();
        let order = || server.put_in_place().and_then(|()| server.take_up());
        let change = load.change(order, patience)?;
        wrong += change.wrong;
        eprintln!(
            "  reload: in force {:?}, silence {:?}",
            change.in_force, change.silence
        );
        match change.in_force {
            Some(took) => put(What::InForce, took.as_secs_f64()),
            None => eprintln!("  the change did not take effect"),
        }
        put(What::Silence, change.silence.as_secs_f64());
        std::thread::sleep(Duration::from_millis(1_500));
        put(What::MemoryAfter, memory(server.pid())?);
    }
    put(What::Wrong, wrong as f64);
    // A baseline need not know it.
    if kind == Kind::Bootwright && plan.wants("check") {
        for diff in [false, true] {
            put(What::Check(diff), server.check(diff)?.as_secs_f64());
        }
    }
    if let Some(why) = server.ended() {
        return Err(io::Error::other(why));
    }
    Ok(())
}

/// What it costs to ask the wire who has a reserved address: the same load from the wire itself with and without.
fn measure_probe(
    plan: &Plan,
    kind: Kind,
    hosts: u32,
    folder: &Path,
    report: &mut Report,
) -> io::Result<()> {
    if !kind.is_bootwright() || !plan.wants("probe") {
        return Ok(());
    }
    for probe in [true, false] {
        let mut load = Load::new(hosts, Way::Direct)?;
        let mut server = Server::start(kind, hosts, folder, plan.cpu, probe)?;
        let patience = Plan::patience(kind, hosts);
        if load.first_answer(server.started(), patience)?.is_none() {
            let why = server.ended();
            return Err(io::Error::other(why.unwrap_or_else(|| {
                "no answer to a machine on the wire".to_owned()
            })));
        }
        load.closed(4, Duration::from_millis(300))?;
        let before = cpu_time(server.pid())?;
        let mut outcome = load.closed(16, plan.lasting)?;
        let cpu = cpu_time(server.pid())?.saturating_sub(before);
        eprintln!(
            "  on the wire, {} probe: {:.0}/s, p99 {:.0} us, wrong {} {:?}",
            if probe { "with" } else { "without" },
            outcome.rate(),
            outcome.quantile(0.99),
            outcome.wrong,
            outcome.faults
        );
        let mut put = |what: What, value: f64| report.put(Key { kind, hosts, what }, value);
        put(What::ProbeRate(probe), outcome.rate());
        put(What::ProbeP50(probe), outcome.quantile(0.5));
        put(What::ProbeP99(probe), outcome.quantile(0.99));
        if outcome.done > 0 {
            let each = cpu.as_secs_f64() * 1e6 / outcome.done as f64;
            put(What::ProbeCpu(probe), each);
        }
        put(What::Wrong, outcome.wrong as f64);
    }
    Ok(())
}

/// A core that real-time work has filled owes the rest of the machine some time, which the kernel takes as soon as
/// it can: 50 ms that are not the next load's.
fn rest() {
    std::thread::sleep(Duration::from_secs(2));
}
