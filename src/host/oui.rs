//! The listing of vendors that this machine has, where it is newer than the embedded one: of Debian's package
//! ieee-data (`update-ieee-data` brings it up to date), or Wireshark's.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::base::oui::Listing;

/// The parts of ieee-data.
const IEEE: [&str; 3] = ["oui.csv", "mam.csv", "oui36.csv"];
/// Its folder.
const IEEE_FOLDER: &str = "/usr/share/ieee-data";
/// Wireshark's, where it is a file.
const WIRESHARK: [&str; 2] = ["/usr/share/wireshark/manuf", "/etc/manuf"];
/// Largest file read, in bytes; the listing has some four million.
const LARGEST: u64 = 32 << 20;

/// The listing to be used here: read once, when it is first asked for. May take some tens of milliseconds.
pub fn listing() -> &'static Listing {
    static LISTING: OnceLock<Listing> = OnceLock::new();
    LISTING.get_or_init(|| read(Path::new(IEEE_FOLDER), &WIRESHARK.map(Path::new)))
}

fn read(ieee: &Path, wireshark: &[&Path]) -> Listing {
    if let Some(first) = IEEE.first()
        && is_newer(&ieee.join(first))
    {
        let texts = IEEE.iter().filter_map(|name| text(&ieee.join(name)));
        let names: Vec<_> = texts.flat_map(|text| of_csv(&text)).collect();
        if !names.is_empty() {
            return Listing::newer(names);
        }
    }
    let manuf = wireshark.iter().find(|path| is_newer(path));
    Listing::newer(
        manuf
            .and_then(|path| text(path))
            .map(|text| of_manuf(&text))
            .unwrap_or_default(),
    )
}

fn text(path: &Path) -> Option<String> {
    if fs::metadata(path).ok()?.len() > LARGEST {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Whether a file was made after the embedded listing.
fn is_newer(path: &Path) -> bool {
    let Ok(modified) = fs::metadata(path).and_then(|found| found.modified()) else {
        return false;
    };
    embedded().is_some_and(|embedded| modified > embedded)
}

/// The end of the embedded listing's day.
fn embedded() -> Option<SystemTime> {
    let (year, month, day) = Listing::embedded_day()?;
    let end = jiff::civil::Date::new(year, month, day)
        .ok()?
        .at(23, 59, 59, 0)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    let secs = u64::try_from(end.timestamp().as_second()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
}

/// `MA-L,AABBCC,"Name, Inc.",address`: names by prefix.
fn of_csv(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(',')?;
            let (prefix, rest) = rest.split_once(',')?;
            let name = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next()?,
                None => rest.split(',').next()?,
            };
            entry(prefix, name)
        })
        .collect()
}

/// `AA:BB:CC[:DD:EE:FF/28]<TAB>Short<TAB>Name`: names by prefix.
fn of_manuf(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut columns = line.split('\t').map(str::trim);
            let prefix = columns.next()?;
            let short = columns.next()?;
            let name = columns.next().filter(|name| !name.is_empty());
            let (digits, bits) = match prefix.split_once('/') {
                Some((digits, bits)) => (digits, bits.parse::<usize>().ok()?),
                None => (prefix, 24),
            };
            let digits: String = digits.chars().filter(char::is_ascii_hexdigit).collect();
            entry(digits.get(..bits / 4)?, name.unwrap_or(short))
        })
        .collect()
}

fn entry(prefix: &str, name: &str) -> Option<(String, String)> {
    let is_prefix =
        matches!(prefix.len(), 6 | 7 | 9) && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    let is_somebody =
        !name.is_empty() && name != "IEEE Registration Authority" && name != "Private";
    (is_prefix && is_somebody).then(|| (prefix.to_ascii_uppercase(), name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::HardwareAddr;

    fn shown(listing: &Listing, mac: &str) -> String {
        listing
            .owner(mac.parse::<HardwareAddr>().unwrap())
            .to_string()
    }

    #[test]
    fn a_listing_of_the_machine_counts_when_it_is_newer() {
        let folder = tempfile::tempdir().unwrap();
        let csv = "Registry,Assignment,Organization Name,Organization Address\n\
                   MA-L,00000C,\"Newer, Inc.\",\"170 WEST, US\"\n\
                   MA-L,3CECEF,Plain,San Jose US 95131\n\
                   MA-L,001BC5,IEEE Registration Authority,US\nrubbish\nMA-L,00\n";
        let file = folder.path().join("oui.csv");
        fs::write(&file, csv).unwrap();
        fs::write(folder.path().join("oui36.csv"), "MA-S,001BC5FFF,Small,US\n").unwrap();
        // The clock of whoever runs this may stand before the listing's day.
        let touch = |secs: u64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
            fs::File::open(&file).unwrap().set_modified(at).unwrap();
        };
        touch(4_000_000_000);
        let newer = read(folder.path(), &[]);
        assert_eq!(shown(&newer, "00:00:0c:00:00:01"), "Newer, Inc.");
        assert_eq!(shown(&newer, "3c:ec:ef:00:00:01"), "Plain");
        assert_eq!(shown(&newer, "00:1b:c5:ff:f0:01"), "Small");
        touch(1_600_000_000);
        let older = read(folder.path(), &[]);
        assert_eq!(shown(&older, "00:00:0c:00:00:01"), "Cisco Systems");
        let nothing = read(&folder.path().join("none"), &[&file]);
        assert_eq!(shown(&nothing, "00:00:0c:00:00:01"), "Cisco Systems");
    }

    #[test]
    fn wireshark_s_form_is_read() {
        let text = "# a comment\n00:00:0C\tCisco\tCisco Systems, Inc\n\
                    00:1B:C5:00:00:00/36\tConvergi\tConverging Systems Inc.\n\
                    00:55:DA:10:00:00/28\tShortOnly\n00:00:0D/99\tx\ty\nnothing\n\n";
        assert_eq!(
            of_manuf(text),
            [
                ("00000C".to_owned(), "Cisco Systems, Inc".to_owned()),
                ("001BC5000".to_owned(), "Converging Systems Inc.".to_owned()),
                ("0055DA1".to_owned(), "ShortOnly".to_owned()),
            ]
        );
    }
}
