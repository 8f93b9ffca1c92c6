//! The forms in which problems are shown.

use bootwright::config::show;

use crate::files::{GOOD_HOSTS, HOSTS, good, load_all, with};

fn bad() -> bootwright::config::LoadedConfig {
    load_all(&with(&[(
        HOSTS,
        &format!(
            "[defaults.vars]\nkeys = [\"...\"]\n{GOOD_HOSTS}gruop = \"web\"\n\n[hosts.web02]\nip = \"10.99.0.11\"\n"
        ),
    )]))
}

#[test]
fn problems_for_programs() {
    let bad = bad();
    let report = show::report(&bad.problems, &bad.sources, false);
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn strict_makes_warnings_errors() {
    let bad = bad();
    assert_eq!(show::counts(&bad.problems, false), (2, 1));
    assert_eq!(show::counts(&bad.problems, true), (3, 0));
    let text = show::text(&bad.problems, &bad.sources, false, true);
    assert!(text.contains("error[inherits-nothing]"), "{text}");
    assert_eq!(
        show::summary(&bad.problems, bad.snapshot.as_ref(), false),
        "2 errors, 1 warning in 1 file"
    );
    assert_eq!(
        show::summary(&bad.problems, bad.snapshot.as_ref(), true),
        "3 errors in 1 file"
    );
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let bad = bad();
    assert!(!show::text(&bad.problems, &bad.sources, false, false).contains('\u{1b}'));
    assert!(show::text(&bad.problems, &bad.sources, true, false).contains("\u{1b}["));
    let good = load_all(&good());
    assert_eq!(show::text(&good.problems, &good.sources, true, false), "");
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let loaded = load_all(&with(&[(
        HOSTS,
        "[hosts.a]\nip = \"10.99.0.\\u001b[2J\"\nx\u{202e}y = 1\n",
    )]));
    let text = show::text(&loaded.problems, &loaded.sources, false, false);
    assert!(!text.is_empty());
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
}
