//! Whatever stands in the files, checking gives problems with places, never a panic.

use std::collections::HashSet;

use bootwright::config::source::MemoryFiles;
use bootwright::config::{Severity, show};
use proptest::prelude::*;

use crate::files::{GOOD_HOSTS, GOOD_MAIN, GOOD_PROFILE, HOSTS, MAIN, PROFILE, load_all, with};

/// Loads, shows in every way, and checks what must hold of any result.
fn holds(files: &MemoryFiles) -> Result<(), TestCaseError> {
    let loaded = load_all(files);
    for problem in &loaded.problems {
        prop_assert!(!problem.message.is_empty());
        for label in &problem.labels {
            let source = loaded.sources.get(label.span.source).expect("a source");
            prop_assert!(
                source.text.get(label.span.range()).is_some(),
                "{problem:?} points outside of its file"
            );
        }
    }
    let text = show::text(&loaded.problems, &loaded.sources, true, false);
    prop_assert_eq!(text.is_empty(), loaded.problems.is_empty());
    let report = show::report(&loaded.problems, &loaded.sources, true);
    prop_assert_eq!(report.errors, loaded.problems.len());
    let snapshot = loaded.snapshot.expect("there is a bootwright.toml");
    let (mut addresses, mut macs) = (HashSet::new(), HashSet::new());
    for host in snapshot.hosts() {
        let subnet = snapshot.subnet_of(host).expect("a subnet");
        for ip in host.addresses() {
            prop_assert!(addresses.insert(ip), "{ip} twice");
        }
        if let Some(ip) = host.ip {
            prop_assert!(subnet.network.contains(&ip));
        }
        prop_assert!(host.macs.iter().all(|mac| macs.insert(*mac)));
    }
    let good = loaded
        .problems
        .iter()
        .all(|problem| problem.severity == Severity::Warning);
    if good {
        prop_assert!(!snapshot.subnets.is_empty() && !snapshot.server.interfaces.is_empty());
        let profiles = snapshot.profiles();
        prop_assert!(
            snapshot
                .hosts()
                .iter()
                .filter_map(|host| host.profile.as_ref())
                .all(|profile| profiles.contains_key(profile))
        );
    }
    Ok(())
}

/// What a slip of the hand does to a text.
#[derive(Debug, Clone)]
enum Slip {
    Delete(usize, usize),
    Insert(usize, String),
    RepeatLine(usize),
    DropLine(usize),
    SwapLines(usize, usize),
}

fn slip() -> impl Strategy<Value = Slip> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "\"",
            "'",
            "[",
            "]",
            "[[",
            "{",
            "}",
            "=",
            ".",
            ",",
            "#",
            "\\",
            "\n",
            "\0",
            "é",
            "\u{202e}",
            "\"\"\"",
            "...",
            "0",
            "-1",
            "true",
            "1979-05-27",
            "inf",
            "[hosts.x]\n",
            "[[subnet]]\n",
            "vars = 1\n",
            "ip = []\n",
            "x.y.z = {a = [\"...\"]}\n",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    prop_oneof![
        (any::<usize>(), 0..20_usize).prop_map(|(at, length)| Slip::Delete(at, length)),
        (any::<usize>(), piece).prop_map(|(at, text)| Slip::Insert(at, text)),
        any::<usize>().prop_map(Slip::RepeatLine),
        any::<usize>().prop_map(Slip::DropLine),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Slip::SwapLines(a, b)),
    ]
}

fn slipped(text: &str, slips: &[Slip]) -> String {
    let mut text = text.to_owned();
    for slip in slips {
        let mut chars: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        if chars.is_empty() || lines.is_empty() {
            break;
        }
        text = match slip {
            Slip::Delete(at, length) => {
                let at = at % chars.len();
                chars.drain(at..(at + length).min(chars.len()));
                chars.into_iter().collect()
            }
            Slip::Insert(at, piece) => {
                let at = at % chars.len();
                chars.splice(at..at, piece.chars());
                chars.into_iter().collect()
            }
            Slip::RepeatLine(at) => {
                let at = at % lines.len();
                lines.insert(at, lines[at]);
                lines.concat()
            }
            Slip::DropLine(at) => {
                lines.remove(at % lines.len());
                lines.concat()
            }
            Slip::SwapLines(a, b) => {
                let (a, b) = (a % lines.len(), b % lines.len());
                lines.swap(a, b);
                lines.concat()
            }
        };
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_problems_with_places(
        file in prop::sample::select(vec![MAIN, HOSTS, PROFILE]),
        text in r#"([\[\]{}=."',#\\\n ]|[a-z]{1,8}|\PC|0x|hosts|groups|subnet|vars){0,60}"#,
    ) {
        holds(&with(&[(file, &text)]))?;
    }

    #[test]
    fn slips_of_the_hand_give_problems_with_places(
        main in prop::collection::vec(slip(), 0..3),
        hosts in prop::collection::vec(slip(), 0..4),
        profile in prop::collection::vec(slip(), 0..3),
    ) {
        let more = format!(
            "[defaults.vars]\nkeys = [\"a\"]\n{GOOD_HOSTS}[hosts.web01.vars]\nkeys = [\"...\", 1]\n[hosts.web02]\nip = \"10.99.0.12\"\n"
        );
        holds(&with(&[
            (MAIN, &slipped(GOOD_MAIN, &main)),
            (HOSTS, &slipped(&more, &hosts)),
            (PROFILE, &slipped(GOOD_PROFILE, &profile)),
        ]))?;
    }
}
