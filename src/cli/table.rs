//! Aligned columns and times.

use std::fmt::Write as _;
use std::io::{self, Write};

use crate::base::Timestamp;

/// What stands between two columns.
const GAP: usize = 2;

/// A column is not made narrower than this.
const LEAST: usize = 8;

/// Writes rows with their columns aligned, two spaces apart. The last column runs free. On a terminal that is too
/// narrow the widest columns are cut; what is read by programs never is.
pub fn write<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    write_within(out, head, rows, terminal())
}

/// The width of the terminal that standard output is.
fn terminal() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

fn write_within<const N: usize>(
    out: &mut dyn Write,
    head: [&str; N],
    rows: &[[String; N]],
    most: Option<usize>,
) -> io::Result<()> {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    if let Some(most) = most {
        shrink(&mut widths, most);
    }
    line(out, &head, &widths)?;
    for row in rows {
        line(out, &row.each_ref().map(String::as_str), &widths)?;
    }
    Ok(())
}

/// Takes from the widest column, the last one first, until all fit or none can be made narrower.
fn shrink(widths: &mut [usize], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max_by_key(|width| **width) {
            Some(widest) if *widest > LEAST => *widest -= 1,
            _ => return,
        }
    }
}

fn line(out: &mut dyn Write, cells: &[&str], widths: &[usize]) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "{:<width$}  ", cut(cell, *width));
    }
    writeln!(out, "{}", text.trim_end())
}

/// A cell of at most this width; one that was longer ends in `…`.
fn cut(cell: &str, width: usize) -> std::borrow::Cow<'_, str> {
    if cell.chars().count() <= width {
        return cell.into();
    }
    let mut kept: String = cell.chars().take(width.saturating_sub(1)).collect();
    kept.push('…');
    kept.into()
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
    fn a_narrow_terminal_cuts_the_widest_columns() {
        let rows = [[
            "web01".to_owned(),
            "a-profile-with-a-long-name".to_owned(),
            "attempt 1 of 3: partitions made".to_owned(),
        ]];
        let shown = |most| {
            let mut out = Vec::new();
            write_within(&mut out, ["NAME", "PROFILE", ""], &rows, most).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all = shown(None);
        assert!(all.contains("partitions made\n"), "{all}");
        assert_eq!(shown(Some(80)), all);
        let narrow = shown(Some(40));
        assert_eq!(
            narrow,
            "NAME   PROFILE\nweb01  a-profile-with-…  attempt 1 of 3…\n"
        );
        assert!(narrow.lines().all(|line| line.chars().count() <= 40));
        // What cannot be made to fit is shown all the same.
        assert!(shown(Some(5)).contains("web01"));
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
