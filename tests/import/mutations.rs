//! Damaged files: any change of any sample gives a result that can be written, or an error with a line.

use bootwright::import::{self, ImportError, Imported, Source};

use crate::support::{assert_is_toml, samples};

type Read = fn(&[Source]) -> Result<Imported, ImportError>;

/// The same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound.max(1)
    }
}

const PIECES: [&str; 14] = [
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    "\n",
    ":",
    ",",
    "=",
    "\u{feff}ß",
    "0",
];

fn damaged(text: &str, numbers: &mut Numbers) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(chars.len());
        let to = (at + numbers.below(40)).min(chars.len());
        match numbers.below(4) {
            0 => {
                chars.drain(at..to);
            }
            1 => {
                let piece = PIECES[numbers.below(PIECES.len())];
                chars.splice(at..at, piece.chars());
            }
            2 => {
                let copy: Vec<char> = chars[at..to].to_vec();
                chars.splice(at..at, copy);
            }
            _ => chars.truncate(at),
        }
    }
    chars.into_iter().collect()
}

#[test]
fn nothing_panics_and_every_error_has_a_line() {
    let formats: [(&str, Read); 7] = [
        ("cobbler/", import::cobbler::read),
        ("cobbler-2/", import::cobbler::read),
        ("cobbler-3.4/", import::cobbler::read),
        ("csv/", import::csv::read),
        ("kvm-mgr/", import::kvm_mgr::read),
        ("libvirt/", import::libvirt::read),
        ("proxmox/", import::proxmox::read),
    ];
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (below, read) in formats {
        let whole = samples(below);
        let (mut good, mut bad) = (0, 0);
        for _ in 0..400 {
            let mut sources = whole.clone();
            let at = numbers.below(sources.len());
            sources[at].text = damaged(&sources[at].text, &mut numbers);
            match read(&sources) {
                Ok(imported) => {
                    good += 1;
                    assert_is_toml(&imported);
                }
                Err(error) => {
                    bad += 1;
                    let lines = sources[at].text.lines().count().max(1);
                    assert!((1..=lines + 1).contains(&error.line), "{error}");
                    assert_eq!(error.file, sources[at].name);
                }
            }
        }
        // Most damage is to values, or to the form: both have to come.
        assert!(good > 20, "{below}: {good} of {}", good + bad);
    }
}
