//! Boot files beside other servers, in one run: `make bench-files`, as root.
//!
//! Each round measures every server at every row, one after the other, so that what else the machine does meets all
//! alike. The load checks every byte. Loss and duplicates are made by the load itself, which throws packets away or
//! takes them twice, in both directions: not every kernel has netem, and that way each packet is lost for itself,
//! however the server hands them over.

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

mod ask;
#[path = "../common/mod.rs"]
#[allow(dead_code)]
mod common;
mod fetch;
mod servers;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ask::Ask;
use common::figures::{Better, Figures, command, load_average, machine};
use common::http::Body;
use common::random;
use common::setup::{self, Cpu};
use common::tftp::Want;
use fetch::Load;
use servers::{Kind, LARGE, SMALL, Server, name_of};

const USAGE: &str = "\
bench-files [--quick] [--rounds N] [--seconds N] [--servers a,b] [--only WORD,WORD] [--rows TEXT] [--out FILE]
            [--no-realtime] --folder FOLDER

  --quick    the rows that have a goal, one round of half a second each: about two minutes
  --rounds   5, unless quick
  --seconds  how long each row lasts: 1, quick 0.5; four times as long where packets are lost
  --servers  native,async-tftp,dnsmasq,tftpd-hpa,atftpd,nginx
  --only     of: tftp, many (1,000 transfers at once), error (what is sent after a client's ERROR), http
  --rows     only rows of TFTP and HTTP that have this text in their names
  --out      where the tables go: target/bench-files.md
  --no-realtime  a high priority instead of SCHED_RR, which is taken where it is allowed
";

/// One row of TFTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row {
    /// Packets in ten thousand that are lost, each way.
    loss: u32,
    /// Packets in ten thousand that come twice, each way.
    twice: u32,
    clients: u32,
    size: usize,
    blksize: u16,
    windowsize: u16,
    /// It has a goal.
    is_goal: bool,
}

impl Row {
    fn name(&self) -> String {
        let size = if self.size == SMALL {
            "74 KiB"
        } else {
            "40 MiB"
        };
        let mut name = format!("{} × {size}, blksize {}", self.clients, self.blksize);
        if self.windowsize == 1 {
            name.push_str(", lockstep");
        } else {
            let _ = write!(name, ", windowsize {}", self.windowsize);
        }
        if self.loss > 0 {
            let _ = write!(name, ", {}% lost", f64::from(self.loss) / 100.0);
        }
        if self.twice > 0 {
            let _ = write!(name, ", {}% twice", self.twice / 100);
        }
        name
    }

    fn all() -> Vec<Self> {
        let mut rows = Vec::new();
        for size in [SMALL, LARGE] {
            for clients in [1, 64] {
                for blksize in [512, 1_468] {
                    for windowsize in [1, 16, 64] {
                        for (loss, twice) in [(0, 0), (10, 0), (100, 0), (500, 0), (0, 500)] {
                            // A large file in lockstep under loss is the small one's row many times over.
                            let is_told = blksize == 1_468 && (size == SMALL || windowsize > 1);
                            if loss + twice > 0 && !is_told {
                                continue;
                            }
                            let what = (size, clients, windowsize, loss, twice);
                            let is_goal = blksize == 1_468
                                && matches!(
                                    what,
                                    (_, 1, 1, 0, 0)
                                        | (SMALL, 64, 1, 0 | 100, _)
                                        | (SMALL, 1, 1, 100, 0)
                                        | (LARGE, 1, 16 | 64, 0, 0)
                                        | (LARGE, 64, 16, 0, 0)
                                        | (LARGE, 1, 16, 10, 0)
                                );
                            rows.push(Self {
                                loss,
                                twice,
                                clients,
                                size,
                                blksize,
                                windowsize,
                                is_goal,
                            });
                        }
                    }
                }
            }
        }
        rows.sort_by_key(|row| (row.loss, row.twice));
        rows
    }
}

struct Plan {
    quick: bool,
    rounds: u32,
    lasting: Duration,
    servers: Vec<Kind>,
    only: Option<Vec<String>>,
    rows: Option<String>,
    out: PathBuf,
    folder: PathBuf,
    cpu: Cpu,
}

impl Plan {
    fn read() -> Result<Self, String> {
        let mut plan = Self {
            quick: false,
            rounds: 0,
            lasting: Duration::ZERO,
            servers: Kind::ALL.to_vec(),
            only: None,
            rows: None,
            out: PathBuf::from("target/bench-files.md"),
            folder: PathBuf::new(),
            cpu: Cpu {
                realtime: setup::realtime_is_allowed(),
            },
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(USAGE);
            match word.as_str() {
                "--quick" => plan.quick = true,
                "--no-realtime" => plan.cpu.realtime = false,
                "--rounds" => plan.rounds = value()?.parse().map_err(|_| USAGE)?,
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
                "--only" => plan.only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--rows" => plan.rows = Some(value()?),
                "--out" => plan.out = value()?.into(),
                "--folder" => plan.folder = value()?.into(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        if plan.folder.as_os_str().is_empty() {
            return Err(USAGE.to_owned());
        }
        if plan.rounds == 0 {
            plan.rounds = if plan.quick { 1 } else { 5 };
        }
        if plan.lasting.is_zero() {
            plan.lasting = Duration::from_millis(if plan.quick { 500 } else { 1_000 });
        }
        Ok(plan)
    }

    fn wants(&self, what: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.iter().any(|word| word == what))
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Row::all();
        rows.retain(|row| {
            (row.is_goal || !self.quick)
                && self
                    .rows
                    .as_ref()
                    .is_none_or(|text| row.name().contains(text))
        });
        rows
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
        eprintln!("bench-files: it makes network namespaces and needs root: sudo make bench-files");
        return std::process::ExitCode::FAILURE;
    }
    match setup::enter(plan.cpu).and_then(|()| run(&plan)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-files: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// What is fetched: the files, and what was measured so far.
struct Bench<'a> {
    plan: &'a Plan,
    small: Arc<Vec<u8>>,
    large: Arc<Vec<u8>>,
    figures: Figures,
    failures: Vec<String>,
}

fn run(plan: &Plan) -> io::Result<()> {
    let _network = setup::network()?;
    setup::machines()?;
    setup::raise_descriptor_limit()?;
    let large = random::file(LARGE);
    let mut bench = Bench {
        plan,
        small: Arc::new(large[..SMALL].to_vec()),
        large: Arc::new(large),
        figures: Figures::default(),
        failures: Vec::new(),
    };
    servers::write_files(&plan.folder)?;
    for round in 1..=plan.rounds {
        bench.round(round)?;
        fs::write(&plan.out, bench.markdown())?;
    }
    println!("{}", bench.markdown());
    println!("written to {}", plan.out.display());
    Ok(())
}

impl Bench<'_> {
    fn start(&self, folder: &Path, answer: Option<usize>) -> io::Result<Vec<Server>> {
        let mut running: Vec<Server> = Vec::new();
        let mut answer = answer;
        for &kind in &self.plan.servers {
            let server = Server::start(kind, folder, self.plan.cpu, answer)?;
            if let Some(path) = server.answers.first().filter(|_| kind == Kind::Native) {
                // nginx is to send as much.
                server.wake();
                answer = Some(server.get(0, path)?.len());
                server.sleep();
            }
            running.push(server);
        }
        Ok(running)
    }

    fn round(&mut self, round: u32) -> io::Result<()> {
        let plan = self.plan;
        let mut running = self.start(&plan.folder, None)?;
        let all = format!("round {round} of {}", plan.rounds);
        if plan.wants("tftp") {
            for row in plan.rows() {
                eprintln!("{all}: {}", row.name());
                for server in running.iter().filter(|server| server.kind().has_tftp()) {
                    server.wake();
                    self.fetch(server, row)?;
                    server.sleep();
                }
            }
        }
        if plan.wants("error") && round == 1 {
            eprintln!("{all}: after a client's ERROR");
            for server in running.iter().filter(|server| server.kind().has_tftp()) {
                server.wake();
                let want = Want::new("small", Arc::clone(&self.small), 1_468, 1, true);
                match fetch::after_error(server.tftp(), &want, Duration::from_secs(4)) {
                    Ok(late) => {
                        self.put("late", "packets in 4 s", server.kind().name(), late as f64);
                    }
                    Err(error) => self.failed(server, "after a client's ERROR", &error.to_string()),
                }
                server.sleep();
            }
        }
        for server in running.iter().filter(|server| server.kind().has_tftp()) {
            self.put(
                "memory",
                "after these rows",
                server.kind().name(),
                server.memory(),
            );
        }
        if plan.wants("http") {
            self.http(&running, &all)?;
        }
        for server in &mut running {
            if let Some(why) = server.ended() {
                self.failed(server, "a row", &why);
            }
        }
        drop(running);
        if plan.wants("many") {
            eprintln!("{all}: 1,000 transfers at once");
            for &kind in plan.servers.iter().filter(|kind| kind.has_tftp()) {
                self.many(kind)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, what: &'static str, row: &str, server: &str, value: f64) {
        self.figures.put(what, row, server, value);
    }

    fn failed(&mut self, server: &Server, row: &str, why: &str) {
        eprintln!("  {}: {why}", server.kind().name());
        self.failures
            .push(format!("{}, {row}: {why}", server.kind().name()));
    }

    fn file(&self, size: usize) -> Arc<Vec<u8>> {
        Arc::clone(if size == SMALL {
            &self.small
        } else {
            &self.large
        })
    }

    fn fetch(&mut self, server: &Server, row: Row) -> io::Result<()> {
        // What a lost packet costs has to show: time-outs are of a second and more.
        let longer = if row.loss > 0 { 4 } else { 1 };
        let load = Load {
            server: server.tftp(),
            want: Want::new(
                name_of(row.size),
                self.file(row.size),
                row.blksize,
                row.windowsize,
                false,
            ),
            clients: row.clients,
            loss: row.loss,
            twice: row.twice,
            lasting: self.plan.lasting * longer,
        };
        self.measure(server, &row.name(), &load)
    }

    fn measure(&mut self, server: &Server, row: &str, load: &Load) -> io::Result<()> {
        let before = server.cpu()?;
        let mut outcome = fetch::run(load)?;
        let cpu = server.cpu()?.saturating_sub(before).as_secs_f64();
        let megabytes = outcome.bytes as f64 / 1e6;
        let name = server.kind().name();
        eprintln!(
            "  {name:<11} {:>8.1} MB/s  p50 {:>7.1}  p99 {:>7.1} ms  {:>6} files, {} failed {:?}  {:>6.0} MB per CPU s",
            outcome.rate(),
            outcome.quantile(0.5),
            outcome.quantile(0.99),
            outcome.done,
            outcome.failed,
            outcome.reasons,
            megabytes / cpu.max(0.001)
        );
        if let Some(fault) = outcome.fault {
            self.failed(server, row, &fault);
            return Ok(());
        }
        self.put("rate", row, name, outcome.rate());
        self.put("p50", row, name, outcome.quantile(0.5));
        self.put("p99", row, name, outcome.quantile(0.99));
        self.put("cpu", row, name, megabytes / cpu.max(0.001));
        self.put("failed", row, name, outcome.failed as f64);
        Ok(())
    }

    /// A thousand large files at once, of a server that has done nothing else.
    fn many(&mut self, kind: Kind) -> io::Result<()> {
        let mut server = match Server::start(kind, &self.plan.folder, self.plan.cpu, None) {
            Ok(server) => server,
            Err(error) => {
                self.failures.push(error.to_string());
                return Ok(());
            }
        };
        server.wake();
        for (row, windowsize) in [
            ("1,000 × 40 MiB, lockstep", 1),
            ("1,000 × 40 MiB, windowsize 16", 16),
        ] {
            let load = Load {
                server: server.tftp(),
                want: Want::new("large", self.file(LARGE), 1_468, windowsize, false),
                clients: 1_000,
                loss: 0,
                twice: 0,
                lasting: self.plan.lasting * 3,
            };
            self.measure(&server, row, &load)?;
            // One that has ended has used nothing.
            let why = server.ended();
            match why {
                Some(why) => {
                    self.failed(&server, row, &why);
                    break;
                }
                None => self.put("memory", row, kind.name(), server.memory()),
            }
        }
        Ok(())
    }

    fn http(&mut self, running: &[Server], all: &str) -> io::Result<()> {
        for (row, clients, size) in HTTP {
            if self
                .plan
                .rows
                .as_ref()
                .is_some_and(|text| !row.contains(text))
            {
                continue;
            }
            eprintln!("{all}: {row}");
            for server in running.iter().filter(|server| server.kind().has_http()) {
                server.wake();
                let ask = |client: usize| -> io::Result<Ask> {
                    if let Some(size) = size {
                        return Ok(Ask {
                            path: format!("/assets/{}", name_of(size)),
                            expected: Body::Same(self.file(size)),
                        });
                    }
                    let path = server.answers[client].clone();
                    // What it says once it says always.
                    let text = server.get(u32::try_from(client).unwrap_or_default(), &path)?;
                    Ok(Ask {
                        path,
                        expected: Body::Same(Arc::new(text.into_bytes())),
                    })
                };
                let asks = (0..clients).map(ask).collect::<io::Result<Vec<_>>>()?;
                let before = server.cpu()?;
                let mut outcome = ask::run(server.http(), &asks, self.plan.lasting)?;
                let cpu = server.cpu()?.saturating_sub(before).as_secs_f64();
                server.sleep();
                let name = server.kind().http_name();
                let megabytes = outcome.bytes as f64 / 1e6;
                eprintln!(
                    "  {name:<11} {:>8.0}/s  {:>8.1} MB/s  p50 {:>6.2}  p99 {:>6.2} ms  closed {}  {:>6.0} MB per CPU s",
                    outcome.answers(),
                    outcome.rate(),
                    outcome.quantile(0.5),
                    outcome.quantile(0.99),
                    outcome.closed,
                    megabytes / cpu.max(0.001)
                );
                if let Some(fault) = outcome.fault {
                    self.failed(server, row, &fault);
                    continue;
                }
                self.put("answers", row, name, outcome.answers());
                self.put("rate", row, name, outcome.rate());
                self.put("cpu", row, name, megabytes / cpu.max(0.001));
                self.put(
                    "answer cpu",
                    row,
                    name,
                    cpu * 1e6 / outcome.done.max(1) as f64,
                );
                self.put("p99", row, name, outcome.quantile(0.99));
            }
        }
        for server in running.iter().filter(|server| server.kind().has_http()) {
            self.put(
                "memory",
                "after HTTP too",
                server.kind().http_name(),
                server.memory(),
            );
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let plan = self.plan;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "`make bench-files ARGS=\"{}\"`; {}, {}, load average {:.1}; {} rounds of {} s, medians.\n",
            command(),
            if plan.cpu.realtime {
                "SCHED_RR"
            } else {
                "nice -20"
            },
            machine(),
            load_average(),
            plan.rounds,
            plan.lasting.as_secs_f64()
        );
        let names = |wanted: fn(Kind) -> bool| -> Vec<&str> {
            let kinds = plan.servers.iter().filter(|kind| wanted(**kind));
            kinds.map(|kind| kind.name()).collect()
        };
        let servers = names(Kind::has_tftp);
        let rows = plan.rows();
        let named = |wanted: fn(&Row) -> bool| -> Vec<String> {
            rows.iter()
                .filter(|row| wanted(row))
                .map(Row::name)
                .collect()
        };
        let fair = named(|row| row.loss + row.twice == 0);
        let lossy = named(|row| row.loss + row.twice > 0);
        let many = ["1,000 × 40 MiB, lockstep", "1,000 × 40 MiB, windowsize 16"].map(str::to_owned);
        let f = &self.figures;
        let t = &mut text;
        f.table(t, "TFTP, MB/s", "rate", &fair, &servers, Better::More, 1);
        f.table(
            t,
            "TFTP, MB per CPU second of the server",
            "cpu",
            &fair,
            &servers,
            Better::More,
            0,
        );
        f.table(
            t,
            "TFTP, lost or twice each way: a file, p50, ms",
            "p50",
            &lossy,
            &servers,
            Better::Less,
            1,
        );
        f.table(
            t,
            "TFTP, lost or twice each way: a file, p99, ms",
            "p99",
            &lossy,
            &servers,
            Better::Less,
            0,
        );
        f.table(
            t,
            "TFTP, lost or twice each way: MB/s",
            "rate",
            &lossy,
            &servers,
            Better::More,
            1,
        );
        let mut failing = named(|_| true);
        failing.retain(|row| {
            let mut medians = servers
                .iter()
                .filter_map(|name| f.median("failed", row, name));
            medians.any(|count| count > 0.0)
        });
        f.table(
            t,
            "TFTP, transfers that failed (elsewhere none)",
            "failed",
            &failing,
            &servers,
            Better::Unsaid,
            0,
        );
        f.table(
            t,
            "TFTP, many at once: MB/s",
            "rate",
            &many,
            &servers,
            Better::More,
            1,
        );
        f.table(
            t,
            "TFTP, many at once: failed",
            "failed",
            &many,
            &servers,
            Better::Unsaid,
            0,
        );
        let peaks: Vec<String> = ["after these rows".to_owned()]
            .into_iter()
            .chain(many)
            .collect();
        f.table(
            t,
            "TFTP, peak memory, MiB",
            "memory",
            &peaks,
            &servers,
            Better::Unsaid,
            1,
        );
        let late = ["packets in 4 s".to_owned()];
        f.table(
            t,
            "TFTP, sent after a client's ERROR",
            "late",
            &late,
            &servers,
            Better::Unsaid,
            0,
        );
        let kinds = plan.servers.iter().filter(|kind| kind.has_http());
        let servers: Vec<&str> = kinds.map(|kind| kind.http_name()).collect();
        let of = |is_file: bool| -> Vec<String> {
            let rows = HTTP.iter().filter(|(_, _, size)| size.is_some() == is_file);
            rows.map(|(name, _, _)| (*name).to_owned()).collect()
        };
        let (answers, files) = (of(false), of(true));
        f.table(
            t,
            "HTTP, answers/s",
            "answers",
            &answers,
            &servers,
            Better::More,
            0,
        );
        f.table(
            t,
            "HTTP, answers, p99, ms",
            "p99",
            &answers,
            &servers,
            Better::Less,
            2,
        );
        f.table(
            t,
            "HTTP, CPU per answer, us",
            "answer cpu",
            &answers,
            &servers,
            Better::Less,
            1,
        );
        f.table(t, "HTTP, MB/s", "rate", &files, &servers, Better::More, 0);
        f.table(
            t,
            "HTTP, MB per CPU second of the server",
            "cpu",
            &files,
            &servers,
            Better::More,
            0,
        );
        let peak = ["after HTTP too".to_owned()];
        f.table(
            t,
            "HTTP, peak memory, MiB",
            "memory",
            &peak,
            &servers,
            Better::Unsaid,
            1,
        );
        for failure in &self.failures {
            let _ = writeln!(t, "Failed: {failure}\n");
        }
        text
    }
}

/// The rows of HTTP: connections, and the size of the file; none: a rendered answer.
const HTTP: [(&str, usize, Option<usize>); 5] = [
    ("a rendered preseed, 1 connection", 1, None),
    ("a rendered preseed, 64 connections", 64, None),
    ("74 KiB, 64 connections", 64, Some(SMALL)),
    ("40 MiB, 1 connection", 1, Some(LARGE)),
    ("40 MiB, 8 connections", 8, Some(LARGE)),
];
