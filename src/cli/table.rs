//! Aligned columns and times.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::base::Timestamp;

/// Writes rows with their columns aligned, two spaces apart. The last column runs free.
pub fn write<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(out, &head, &widths)?;
    for row in rows {
        line(out, &row.each_ref().map(String::as_str), &widths)?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, cells: &[&str], widths: &[usize]) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "{cell:<width$}  ");
    }
    writeln!(out, "{}", text.trim_end())
}

/// Writes names and values below each other, the values aligned. Pairs without a value are left out.
pub fn pairs(out: &mut dyn Write, pairs: &[(&str, Option<String>)]) -> io::Result<()> {
    let width = pairs
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, value) in pairs {
        if let Some(value) = value {
            writeln!(out, "{name:<width$}  {value}")?;
        }
    }
    Ok(())
}

/// A time in the zone of whoever reads it, with its name: `2026-11-21 09:30:00 CET`.
pub fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.as_micros()).map_or_else(
        |_| at.to_string(),
        |at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S %Z")
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut out = Vec::new();
        write(
            &mut out,
            ["NAME", "STATE"],
            &[
                ["web01".into(), "armed".into()],
                ["a".into(), String::new()],
            ],
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "NAME   STATE\nweb01  armed\na\n"
        );
    }

    #[test]
    fn a_time_says_in_which_zone_it_is() {
        let shown = time(Timestamp::from_secs(1_800_000_000));
        let zone = shown.split(' ').nth(2);
        assert!(zone.is_some_and(|zone| !zone.is_empty()), "{shown}");
    }

    #[test]
    fn pairs_without_a_value_are_left_out() {
        let mut out = Vec::new();
        pairs(
            &mut out,
            &[
                ("name", Some("a".into())),
                ("longer one", None),
                ("ip", Some("b".into())),
            ],
        )
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "name  a\nip    b\n");
    }
}
