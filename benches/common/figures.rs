//! Medians over the rounds, and tables of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
    /// No ratio is shown.
    Unsaid,
}

/// Figures by row and server, one for each round.
#[derive(Debug, Default)]
pub struct Figures(BTreeMap<(String, String, &'static str), Vec<f64>>);

impl Figures {
    pub fn put(&mut self, what: &'static str, row: &str, server: &str, value: f64) {
        let key = (row.to_owned(), server.to_owned(), what);
        self.0.entry(key).or_default().push(value);
    }

    pub fn median(&self, what: &'static str, row: &str, server: &str) -> Option<f64> {
        median(self.0.get(&(row.to_owned(), server.to_owned(), what))?)
    }

    #[expect(clippy::too_many_arguments, reason = "a table of the report")]
    /// Appends a table: a line for each row, a column for each server, the ratio of the first server (ours) to the
    /// best of the others. Nothing where nothing was measured.
    pub fn table(
        &self,
        text: &mut String,
        title: &str,
        what: &'static str,
        rows: &[String],
        servers: &[&str],
        better: Better,
        digits: usize,
    ) {
        let rows: Vec<&String> = rows
            .iter()
            .filter(|row| {
                let mut found = servers.iter().map(|server| self.median(what, row, server));
                found.any(|value| value.is_some())
            })
            .collect();
        let Some((own, _)) = servers.split_first().filter(|_| !rows.is_empty()) else {
            return;
        };
        // Another engine of our own is none of the peers.
        let peers: Vec<&&str> = servers.iter().filter(|name| !is_ours(name)).collect();
        let ratio = better != Better::Unsaid && !peers.is_empty() && is_ours(own);
        let _ = write!(text, "| {title} |");
        for name in servers {
            let _ = write!(text, " {name} |");
        }
        text.push_str(if ratio {
            " to the best peer |\n|---|"
        } else {
            "\n|---|"
        });
        text.push_str(&"---:|".repeat(servers.len() + usize::from(ratio)));
        text.push('\n');
        for row in rows {
            let _ = write!(text, "| {row} |");
            for name in servers {
                match self.median(what, row, name) {
                    Some(value) => {
                        let _ = write!(text, " {} |", thousands(value, digits));
                    }
                    None => text.push_str(" – |"),
                }
            }
            if ratio {
                let all = peers.iter().filter_map(|name| self.median(what, row, name));
                let best = match better {
                    Better::Less => all.reduce(f64::min),
                    Better::More | Better::Unsaid => all.reduce(f64::max),
                };
                match (self.median(what, row, own), best) {
                    (Some(own), Some(best)) if best > 0.0 => {
                        let _ = write!(text, " {:.2}x |", own / best);
                    }
                    _ => text.push_str(" – |"),
                }
            }
            text.push('\n');
        }
        text.push('\n');
    }
}

/// The names under which we stand in tables.
fn is_ours(name: &str) -> bool {
    matches!(name, "native" | "async-tftp" | "Bootwright")
}

/// The middle one, or the mean of the two in the middle.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        Some((values.get(middle.checked_sub(1)?)? + values.get(middle)?) / 2.0)
    } else {
        values.get(middle).copied()
    }
}

/// The value below which this part of them lies.
pub fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (part * last as f64).ceil() as usize;
    values.get(at).copied().unwrap_or(f64::NAN)
}

pub fn thousands(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// What was typed.
pub fn command() -> String {
    let mut words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    // What the script adds is of no interest.
    if let Some(at) = words.iter().position(|arg| arg == "--folder") {
        words.drain(at..words.len().min(at + 2));
    }
    words.join(" ")
}

/// What it was measured on.
pub fn machine() -> String {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .find(|line| line.starts_with(key))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let cores = fs::read_to_string("/proc/cpuinfo").map_or(count, |text| {
        text.lines()
            .filter(|line| line.starts_with("processor"))
            .count()
    });
    format!(
        "{} cores of {}, Linux {}",
        cores,
        first("/proc/cpuinfo", "model name").unwrap_or_else(|| "an unknown processor".to_owned()),
        kernel.trim()
    )
}

/// How busy the machine is, this run included: the load average of the last minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}
