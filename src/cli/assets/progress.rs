//! What is shown while files come: on a terminal one line that changes, elsewhere a line for each file and
//! sentence, for programs a line of JSON for each step.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::assets::Step;
use crate::cli::output::Format;

/// The line on a terminal changes so often, a line of JSON comes so often.
const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(1);

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Said {
        message: &'a str,
    },
    Begins {
        file: &'a str,
        bytes: u64,
        total: Option<u64>,
    },
    Progress {
        file: &'a str,
        bytes: u64,
        total: Option<u64>,
        bytes_per_second: u64,
    },
}

/// Shows steps.
pub struct Progress {
    format: Format,
    terminal: bool,
    /// When the file began, with how many bytes; and when it was last shown.
    began: (Instant, u64),
    shown: Option<Instant>,
    /// Whether the terminal's line has something on it.
    line: bool,
}

impl Progress {
    /// For results in this format.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            terminal: format == Format::Text && io::stderr().is_terminal(),
            began: (Instant::now(), 0),
            shown: None,
            line: false,
        }
    }

    /// Shows one step. A reader that is gone does not matter here.
    pub fn show(&mut self, step: &Step, out: &mut dyn Write) {
        let now = Instant::now();
        match step {
            Step::Said(message) if self.format == Format::Json => {
                json(out, &Line::Said { message });
            }
            Step::Said(message) => {
                self.clear();
                let _ = writeln!(io::stderr(), "{message}");
            }
            Step::Begins { name, have, total } => {
                self.began = (now, *have);
                self.shown = Some(now);
                if self.format == Format::Json {
                    json(
                        out,
                        &Line::Begins {
                            file: name,
                            bytes: *have,
                            total: *total,
                        },
                    );
                } else if !self.terminal {
                    let whole =
                        total.map_or_else(String::new, |total| format!(", {}", size(total)));
                    let kept = if *have > 0 {
                        format!(", {} are there already", size(*have))
                    } else {
                        String::new()
                    };
                    let _ = writeln!(io::stderr(), "fetching {name}{whole}{kept}");
                }
            }
            Step::Bytes { name, have, total } => {
                let pause = if self.format == Format::Json {
                    SELDOM
                } else {
                    OFTEN
                };
                let whole = *total == Some(*have);
                let due = self
                    .shown
                    .is_none_or(|shown| now.duration_since(shown) >= pause);
                let last = whole && self.terminal;
                if !(due || last) {
                    return;
                }
                self.shown = Some(now);
                let (began, kept) = self.began;
                let rate = rate(have.saturating_sub(kept), now.duration_since(began));
                if self.format == Format::Json {
                    json(
                        out,
                        &Line::Progress {
                            file: name,
                            bytes: *have,
                            total: *total,
                            bytes_per_second: rate,
                        },
                    );
                } else if self.terminal {
                    let _ = write!(io::stderr(), "\r\x1b[K{}", line(name, *have, *total, rate));
                    let _ = io::stderr().flush();
                    self.line = true;
                }
            }
        }
    }

    /// Takes the terminal's line away.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.line) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn json(out: &mut dyn Write, line: &Line<'_>) {
    let _ = serde_json::to_writer(&mut *out, line);
    let _ = writeln!(out);
}

/// `linux  12.3 of 40.8 MiB  30 %  5.2 MiB/s`.
fn line(name: &str, have: u64, total: Option<u64>, rate: u64) -> String {
    let amount = match total {
        Some(total) if total > 0 => {
            let percent = u128::from(have) * 100 / u128::from(total);
            format!("{} of {}  {percent} %", size(have), size(total))
        }
        _ => size(have),
    };
    format!("{name}  {amount}  {}/s", size(rate))
}

fn rate(bytes: u64, time: Duration) -> u64 {
    let millis = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1_000 / millis).unwrap_or(u64::MAX)
}

/// Bytes for people: `40.8 MiB`.
pub fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut tenths = u128::from(bytes) * 10;
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1_024;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (42_781_901, "40.8 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(
            line("linux", 3 << 19, Some(3 << 20), 1 << 20),
            "linux  1.5 MiB of 3.0 MiB  50 %  1.0 MiB/s"
        );
        assert_eq!(line("linux", 10, None, 5), "linux  10 B  5 B/s");
        assert_eq!(rate(1_000, Duration::from_millis(500)), 2_000);
        assert_eq!(rate(1_000, Duration::ZERO), 1_000_000);
    }
}
