//! Medians over the rounds, and the tables of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::common::figures::{command, machine, median, thousands};
use crate::servers::Kind;

/// One figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Rate(usize),
    ClosedP50(usize),
    ClosedP99(usize),
    ClosedMax(usize),
    ClosedDropped(usize),
    Cpu,
    Open(u32),
    OpenP50(u32),
    OpenP99(u32),
    OpenMax(u32),
    OpenDropped(u32),
    Burst,
    BurstTook,
    Memory,
    MemoryAfter,
    Start,
    InForce,
    Silence,
    /// `bootwright check` (or `check --diff`, against the running daemon).
    Check(bool),
    /// On the wire, with the question who has the address (or without it).
    ProbeRate(bool),
    ProbeP50(bool),
    ProbeP99(bool),
    ProbeCpu(bool),
    Wrong,
}

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
    /// No ratio is shown.
    Unsaid,
}

/// Whose figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    pub hosts: u32,
    pub what: What,
}

/// All figures of a run.
pub struct Report {
    servers: Vec<Kind>,
    sizes: Vec<u32>,
    rounds: u32,
    lasting: Duration,
    scheduling: &'static str,
    figures: BTreeMap<Key, Vec<f64>>,
    failures: Vec<String>,
}

impl Report {
    pub fn new(
        servers: &[Kind],
        sizes: &[u32],
        rounds: u32,
        lasting: Duration,
        scheduling: &'static str,
    ) -> Self {
        Self {
            servers: servers.to_vec(),
            sizes: sizes.to_vec(),
            rounds,
            lasting,
            scheduling,
            figures: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    pub fn put(&mut self, key: Key, value: f64) {
        self.figures.entry(key).or_default().push(value);
    }

    pub fn failed(&mut self, kind: Kind, hosts: u32, why: &str) {
        self.failures
            .push(format!("{}, {hosts} reservations: {why}", kind.name()));
    }

    fn median(&self, kind: Kind, hosts: u32, what: What) -> Option<f64> {
        median(self.figures.get(&Key { kind, hosts, what })?)
    }

    fn sum(&self, kind: Kind, hosts: u32, what: What) -> Option<f64> {
        Some(self.figures.get(&Key { kind, hosts, what })?.iter().sum())
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let versions: Vec<String> = self.servers.iter().map(|kind| kind.version()).collect();
        let _ = writeln!(
            text,
            "`make bench-dhcp ARGS=\"{}\"`; {}, {}; {} rounds of {} s, medians. {}.\n",
            command(),
            self.scheduling,
            machine(),
            self.rounds,
            self.lasting.as_secs_f64(),
            versions.join(", ")
        );
        self.table(
            &mut text,
            "Handshakes/s, closed loop",
            Better::More,
            &[
                ("1 outstanding", What::Rate(1), 0),
                ("16 outstanding", What::Rate(16), 0),
                ("256 outstanding", What::Rate(256), 0),
            ],
        );
        self.table(
            &mut text,
            "Latency of a handshake, closed loop, us",
            Better::Less,
            &[
                ("1 outstanding, p50", What::ClosedP50(1), 0),
                ("1 outstanding, p99", What::ClosedP99(1), 0),
                ("16 outstanding, p50", What::ClosedP50(16), 0),
                ("16 outstanding, p99", What::ClosedP99(16), 0),
                ("16 outstanding, max", What::ClosedMax(16), 0),
                ("256 outstanding, p50", What::ClosedP50(256), 0),
                ("256 outstanding, p99", What::ClosedP99(256), 0),
                ("256 outstanding, max", What::ClosedMax(256), 0),
                ("256 outstanding, given up", What::ClosedDropped(256), 0),
            ],
        );
        for rate in [2_000, 10_000, 50_000] {
            let title = format!("Open loop, {rate} handshakes/s offered");
            self.table(
                &mut text,
                &title,
                Better::Unsaid,
                &[
                    ("finished/s", What::Open(rate), 0),
                    ("p50, us", What::OpenP50(rate), 0),
                    ("p99, us", What::OpenP99(rate), 0),
                    ("max, us", What::OpenMax(rate), 0),
                    ("dropped", What::OpenDropped(rate), 0),
                ],
            );
        }
        self.table(
            &mut text,
            "Burst of 10,000 DISCOVERs",
            Better::Unsaid,
            &[
                ("answered", What::Burst, 0),
                ("until the last answer, s", What::BurstTook, 3),
            ],
        );
        self.table(
            &mut text,
            "Cost",
            Better::Less,
            &[
                ("CPU per handshake, us (16 outstanding)", What::Cpu, 1),
                ("peak memory, MiB", What::Memory, 0),
                ("peak memory after a reload, MiB", What::MemoryAfter, 0),
                ("start to first answer, s", What::Start, 3),
                ("changed reservation in force, s", What::InForce, 3),
                (
                    "longest time without an answer meanwhile, s",
                    What::Silence,
                    4,
                ),
                ("`bootwright check`, s", What::Check(false), 3),
                ("`bootwright check --diff`, s", What::Check(true), 3),
            ],
        );
        self.table(
            &mut text,
            "Conflict probe, machines on the wire, 16 outstanding",
            Better::Unsaid,
            &[
                ("handshakes/s, with it", What::ProbeRate(true), 0),
                ("handshakes/s, without", What::ProbeRate(false), 0),
                ("p50 with it, us", What::ProbeP50(true), 0),
                ("p50 without, us", What::ProbeP50(false), 0),
                ("p99 with it, us", What::ProbeP99(true), 0),
                ("p99 without, us", What::ProbeP99(false), 0),
                ("CPU per handshake with it, us", What::ProbeCpu(true), 1),
                ("CPU per handshake without, us", What::ProbeCpu(false), 1),
            ],
        );
        let _ = writeln!(text, "Wrong answers (all rounds):");
        for &kind in &self.servers {
            let wrong: f64 = self
                .sizes
                .iter()
                .filter_map(|&hosts| self.sum(kind, hosts, What::Wrong))
                .sum();
            let _ = write!(text, " {} {};", kind.name(), wrong as u64);
        }
        text.push('\n');
        for failure in &self.failures {
            let _ = writeln!(text, "\nFailed: {failure}");
        }
        text
    }

    fn table(&self, text: &mut String, title: &str, better: Better, rows: &[(&str, What, usize)]) {
        let any = rows
            .iter()
            .any(|(_, what, _)| self.figures.keys().any(|key| key.what == *what));
        if !any {
            return;
        }
        let peers: Vec<Kind> = self
            .servers
            .iter()
            .copied()
            .filter(|kind| !kind.is_bootwright())
            .collect();
        let ratio = better != Better::Unsaid
            && !peers.is_empty()
            && self.servers.contains(&Kind::Bootwright);
        let _ = write!(text, "| {title} | reservations |");
        for kind in &self.servers {
            let _ = write!(text, " {} |", kind.name());
        }
        if ratio {
            text.push_str(" to the best peer |");
        }
        text.push_str("\n|---|---|");
        text.push_str(&"---|".repeat(self.servers.len() + usize::from(ratio)));
        text.push('\n');
        for (name, what, digits) in rows {
            for &hosts in &self.sizes {
                let _ = write!(text, "| {name} | {} |", thousands(f64::from(hosts), 0));
                for &kind in &self.servers {
                    match self.median(kind, hosts, *what) {
                        Some(value) => {
                            let _ = write!(text, " {} |", thousands(value, *digits));
                        }
                        None => text.push_str(" – |"),
                    }
                }
                if ratio {
                    let peers = peers
                        .iter()
                        .filter_map(|&kind| self.median(kind, hosts, *what));
                    let best = match better {
                        Better::Less => peers.reduce(f64::min),
                        Better::More | Better::Unsaid => peers.reduce(f64::max),
                    };
                    match (self.median(Kind::Bootwright, hosts, *what), best) {
                        (Some(own), Some(best)) if best > 0.0 => {
                            let _ = write!(text, " {:.2}x |", own / best);
                        }
                        _ => text.push_str(" – |"),
                    }
                }
                text.push('\n');
            }
        }
        text.push('\n');
    }
}
