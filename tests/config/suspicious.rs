//! What is legal and probably not meant: told, and silent where `[check] allow` says so.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bootwright::config::problem::WARNINGS;
use bootwright::config::{Severity, show};

use crate::files::{GOOD_HOSTS, GOOD_MAIN, HOSTS, MAIN, load_all, shown, with};

/// Hosts with these MAC addresses.
fn with_macs(macs: &[&str]) -> String {
    let mut hosts = String::new();
    for (index, mac) in macs.iter().enumerate() {
        let _ = write!(
            hosts,
            "[hosts.h{index}]\nmac = \"{mac}\"\nip = \"10.99.0.{}\"\n",
            index + 10
        );
    }
    hosts
}

fn codes(hosts: &str) -> Vec<&'static str> {
    let loaded = load_all(&with(&[(HOSTS, hosts)]));
    loaded
        .problems
        .iter()
        .map(|problem| problem.code)
        .filter(|code| *code != "group-without-hosts")
        .collect()
}

#[test]
fn a_mistyped_manufacturer() {
    let text = shown(&with(&[(
        HOSTS,
        &with_macs(&["3c:ec:ef:12:34:56", "3c:ec:ee:12:34:56"]),
    )]));
    insta::assert_snapshot!(text);
    // The prefix of KVM's machines, too.
    let codes = codes(&with_macs(&["52:54:00:12:34:56", "52:54:01:12:34:56"]));
    assert_eq!(codes, ["mac-one-digit-apart", "mac-locally-administered"]);
}

#[test]
fn a_mistyped_number_of_a_manufacturers() {
    let text = shown(&with(&[(
        HOSTS,
        &with_macs(&["3c:ec:ef:12:34:56", "3c:ec:ef:12:3f:56"]),
    )]));
    insta::assert_snapshot!(text);
}

#[test]
fn neighbours_of_one_batch_and_schemes_are_not_suspicious() {
    for macs in [
        // One batch; the ports of one card.
        &[
            "3c:ec:ef:12:34:56",
            "3c:ec:ef:12:34:57",
            "3c:ec:ef:12:34:66",
        ][..],
        // Two digits.
        &["3c:ec:ef:12:34:56", "3c:ec:ef:12:43:56"],
        &["3c:ec:ef:12:34:56", "3c:ec:12:ef:34:56"],
        // Somebody counts.
        &[
            "52:54:00:00:01:01",
            "52:54:00:00:02:01",
            "52:54:00:00:03:01",
        ],
        &[
            "02:00:01:00:00:01",
            "02:00:01:00:00:02",
            "02:00:01:00:00:03",
        ],
        &[
            "00:16:3e:00:01:01",
            "00:16:3e:00:02:01",
            "00:16:3e:00:03:01",
            "00:16:3e:00:04:01",
        ],
        // Of hypervisors.
        &[
            "52:54:00:47:86:8e",
            "00:50:56:11:22:33",
            "fa:16:3e:44:55:66",
            "08:00:27:00:11:22",
        ],
    ] {
        assert_eq!(codes(&with_macs(macs)), [""; 0], "{macs:?}");
    }
    // The cards of one machine.
    let cards = "[hosts.a]\nmac = \"3c:ec:ef:12:34:56\"\nip = \"10.99.0.11\"\n[[hosts.a.nic]]\nmac = \"3c:ec:ef:12:35:56\"\nip = \"10.99.0.12\"\n";
    assert_eq!(codes(cards), [""; 0]);
}

#[test]
fn an_address_that_nobody_gave() {
    let text = shown(&with(&[(HOSTS, &with_macs(&["9a:3c:77:01:02:03"]))]));
    insta::assert_snapshot!(text);
    let many = [
        "9a:3c:77:01:02:03",
        "aa:3c:78:01:02:04",
        "ba:3c:79:01:02:05",
        "ca:3c:70:01:02:06",
        "da:3c:71:01:02:07",
        "ea:3c:72:01:02:08",
    ];
    assert_eq!(codes(&with_macs(&many)), ["mac-locally-administered"]);
}

#[test]
fn groups_without_hosts() {
    let text = shown(&with(&[(
        HOSTS,
        &format!(
            "{GOOD_HOSTS}\n[groups.outer]\n[groups.inner]\ngroup = \"outer\"\n[groups.empty]\ngroup = \"outer\"\n[hosts.b]\nip = \"10.99.0.12\"\nmac = \"52:54:00:00:00:01\"\ngroup = \"inner\"\n"
        ),
    )]));
    insta::assert_snapshot!(text);
    // Whoever begins has no hosts yet; and what cannot be read may be one.
    assert_eq!(
        load_all(&with(&[(HOSTS, "[groups.web]\n")])).problems.len(),
        0
    );
    let broken = load_all(&with(&[(
        HOSTS,
        &format!("{GOOD_HOSTS}\n[groups.empty]\n[hosts.b\nx = 1\n"),
    )]));
    assert!(
        broken
            .problems
            .iter()
            .all(|problem| problem.code == "syntax")
    );
}

#[test]
fn templates_and_snippets_that_nothing_uses() {
    let files = with(&[
        ("config/templates/snippets/motd.sh.j2", "echo hello\n"),
        ("config/templates/snippets/chrony.sh.j2", "echo time\n"),
        ("config/templates/ours/old.cfg.j2", "x\n"),
        (
            "config/templates/ours/used.j2",
            "d-i passwd/make-user boolean false\n",
        ),
        (
            "config/templates/ours/variables.toml",
            "[x]\ntype = \"text\"\n",
        ),
        ("config/templates/README.md", "z\n"),
        (
            "config/templates/debian/preseed.cfg.j2",
            "{% include \"ours/used.j2\" %}\n",
        ),
    ]);
    let loaded = bootwright::render::load::load(&files, std::path::Path::new(MAIN), 1);
    let problems: Vec<_> = loaded
        .problems
        .iter()
        .filter(|problem| problem.code == "unused-template")
        .cloned()
        .collect();
    insta::assert_snapshot!(show::text(&problems, &loaded.sources, false, false));
}

#[test]
fn what_is_allowed_is_not_told() {
    let hosts = with_macs(&["3c:ec:ef:12:34:56", "3c:ec:ee:12:34:56"]);
    let allow = |list: &str| {
        let main = format!("{GOOD_MAIN}\n[check]\nallow = {list}\n");
        shown(&with(&[(MAIN, &main), (HOSTS, &hosts)]))
    };
    let good = allow("[\"mac-one-digit-apart\"]");
    assert!(!good.contains("warning"), "{good}");
    insta::assert_snapshot!(allow("[\"mac-one-digit-part\", \"unknown-key\"]"));
    // An error cannot be allowed.
    let main = format!("{GOOD_MAIN}colour = 1\n[check]\nallow = [\"unread-variable\"]\n");
    assert!(shown(&with(&[(MAIN, &main)])).contains("error[unknown-key]"));
}

/// Every warning of the source is in the list that `[check] allow` knows, and in the manual.
#[test]
fn every_warning_can_be_allowed_and_is_explained() {
    fn sources(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    sources(&root.join("src"), &mut texts);
    let mut count = 0;
    for text in &texts {
        for part in text.split("Problem::warning(").skip(1) {
            let argument = part.trim_start();
            let Some(code) = argument.strip_prefix('"') else {
                continue;
            };
            let code = code.split('"').next().unwrap();
            assert!(WARNINGS.iter().any(|(known, _)| *known == code), "{code}");
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
    assert!(WARNINGS.is_sorted_by_key(|(code, _)| *code));
    let manual = std::fs::read_to_string(root.join("docs/check.md")).unwrap();
    for (code, what) in WARNINGS {
        assert!(
            manual.contains(&format!("| `{code}` | {what} |")),
            "docs/check.md: | `{code}` | {what} |"
        );
    }
}

/// A hundred thousand reservations are looked through in a moment, also where all have one manufacturer or the
/// same numbers below many.
#[test]
fn many_addresses_take_no_long_time() {
    let site = |mac: &dyn Fn(u32) -> String| {
        let mut hosts = String::new();
        for n in 0..20_000_u32 {
            let _ = write!(
                hosts,
                "[hosts.h{n}]\nmac = \"{}\"\nip = \"10.{}.{}.{}\"\n",
                mac(n),
                10 + n / 62_500,
                n / 250 % 250,
                n % 250 + 1
            );
        }
        let main = GOOD_MAIN.replace("10.99.0.0/24", "10.0.0.0/8");
        let main = main.replace("server = \"10.99.0.2\"\n", "");
        let files = with(&[(MAIN, &main), (HOSTS, &hosts)]);
        let begun = Instant::now();
        let loaded = load_all(&files);
        let errors = loaded
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        assert_eq!(errors, 0, "{:?}", loaded.problems.first());
        begun.elapsed()
    };
    let plain = site(&|n| {
        format!(
            "3c:ec:ef:{:02x}:{:02x}:{:02x}",
            n >> 16,
            n >> 8 & 255,
            n & 255
        )
    });
    let same_numbers = site(&|n| {
        format!(
            "{:02x}:{:02x}:{:02x}:12:34:56",
            n >> 16 << 2,
            n >> 8 & 255,
            n & 255
        )
    });
    // Quadratic work would take minutes.
    for took in [plain, same_numbers] {
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

#[test]
fn an_editor_is_told_what_to_write() {
    let files = with(&[(
        HOSTS,
        "[groups.web]\n[hosts.a]\nip = \"10.99.0.11\"\nmac = \"52:54:00:00:00:01\"\ngruop = \"web\"\n[hosts.b]\nip = \"10.99.0.12\"\ngroup = \"wbe\"\narch = \"amd64\"\nserial = 17\nsnippets = \"x\"\nsecure_boot = \"true\"\ninstall = \"alwys\"\n",
    )]);
    let loaded = load_all(&files);
    let text = std::cell::RefCell::new(Vec::new());
    for problem in &loaded.problems {
        if let Some(suggestion) = &problem.suggestion {
            let source = loaded.sources.get(suggestion.span.source).unwrap();
            let old = source.text.get(suggestion.span.range()).unwrap();
            text.borrow_mut()
                .push(format!("{old} -> {}", suggestion.replacement));
        }
    }
    assert_eq!(
        text.into_inner(),
        [
            "gruop -> group",
            "\"wbe\" -> \"web\"",
            "\"amd64\" -> \"x86_64\"",
            "17 -> \"17\"",
            "\"x\" -> [\"x\"]",
            "\"true\" -> true",
            "\"alwys\" -> \"always\"",
        ]
    );
}

/// Each change that is suggested, made by a program, leaves fewer problems.
#[test]
fn suggestions_put_things_right() {
    let mut text = "[groups.web]\n[hosts.a]\nip = \"10.99.0.11/24\"\nmac = \"52:54:00:00:00:01\"\ngruop = \"web\"\nsecure_boot = \"false\"\ninstall = \"alwys\"\narch = \"amd64\"\nserial = 4.5\n".to_owned();
    for _ in 0..10 {
        let loaded = load_all(&with(&[(HOSTS, &text)]));
        let Some(suggestion) = loaded
            .problems
            .iter()
            .find_map(|problem| problem.suggestion.clone())
        else {
            break;
        };
        text.replace_range(suggestion.span.range(), &suggestion.replacement);
    }
    let loaded = load_all(&with(&[(HOSTS, &text)]));
    let left: Vec<_> = loaded.problems.iter().map(|problem| problem.code).collect();
    // It has no live profile: that is a decision.
    assert_eq!(left, ["always-without-profile"], "{text}");
}
