//! Mistakes in `secrets.toml`, of which no value is ever shown.

use super::*;

const SECRETS: &str = "config/secrets.toml";

/// Every value in the files below holds this.
const VALUE: &str = "hunter2";

fn shown_of(text: &str) -> String {
    let main = main_with("").replacen("\n\n", "\nsecrets = \"secrets.toml\"\n\n", 1);
    let shown = shown(&with(&[(MAIN, &main), (SECRETS, text)]));
    assert!(!shown.contains(VALUE), "{shown}");
    shown
}

macro_rules! mistake {
    ($name:ident, $text:expr) => {
        #[test]
        fn $name() {
            let text = shown_of($text.as_ref());
            insta::assert_snapshot!(stringify!($name), text);
        }
    };
}

#[test]
fn a_good_file() {
    let text = "root = \"hunter2\"\n\"disk.key\" = { value = 'hunter2', once = true }\n[luks]\nvalue = \"hunter2\"\nonce = true\n[hosts.web01]\nroot = \"hunter2\"\n[hosts.web01.ipmi]\nvalue = \"hunter2\"\n";
    insta::assert_snapshot!(shown_of(text), @"configuration is good: 1 host, 1 profile, 1 subnet");
}

mistake!(
    syntax_next_to_a_secret,
    "root = \"hunter2\nluks = \"hunter2\"\nhunter2\nkey = hunter2\npath = \"hunter2\\hunter2\"\n[hunter2\nvalue = \"hunter2\""
);
mistake!(
    names_twice,
    "root = \"hunter2\"\nroot = \"hunter2\" # hunter2\n"
);
mistake!(open_text, "root = \"\"\"hunter2\nhunter2\n");
mistake!(
    wrong_types,
    "pin = 1234 # hunter2\nlist = [\"hunter2\"]\nwhen = 2026-01-01\nhosts = \"hunter2\"\n"
);
mistake!(
    keys_of_a_secret,
    "[root]\nvalu = \"hunter2\"\n[luks]\nvalue = 7\n[a]\nvalue = \"hunter2\"\nonce = \"hunter2\"\n[b]\nonce = true\n[db]\nroot = \"hunter2\"\n"
);
mistake!(
    names_and_empty_values,
    "\"hunter2 hunter2\" = \"x\"\nroot = \"\"\nluks = { value = \" \", once = true } # hunter2\n"
);
mistake!(
    hosts,
    "[hosts.web10]\nroot = \"hunter2\"\n[hosts.database]\nroot = \"hunter2\"\n[hosts.\"a b\"]\nroot = \"hunter2\"\n[hosts]\nweb01 = \"hunter2\"\n"
);

/// On the disk, where files have a mode.
#[test]
fn a_file_that_others_can_read_is_refused_unread() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("bootwright.toml");
    let secrets = folder.path().join("secrets.toml");
    fs::write(&main, "[server]\ninterfaces = [\"br0\"]\nsecrets = \"secrets.toml\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n").unwrap();
    fs::write(folder.path().join("reservations.toml"), "").unwrap();
    fs::write(&secrets, "root = hunter2\n").unwrap();
    let told = || {
        let loaded = load(&DiskFiles, &main);
        let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
        let text = show::text(&loaded.problems, &loaded.sources, false, false);
        (
            codes,
            text.replace(folder.path().to_str().unwrap(), "config"),
        )
    };
    for mode in [0o644, 0o602, 0o601] {
        fs::set_permissions(&secrets, Permissions::from_mode(mode)).unwrap();
        assert_eq!(told().0, ["secrets-exposed"], "{mode:o}");
    }
    fs::set_permissions(&secrets, Permissions::from_mode(0o644)).unwrap();
    insta::assert_snapshot!("everybody_can_read", told().1);
    for mode in [0o600, 0o640, 0o660] {
        fs::set_permissions(&secrets, Permissions::from_mode(mode)).unwrap();
        assert_eq!(told().0, ["syntax"], "{mode:o}");
    }
    fs::write(&secrets, "root = 'hunter2'\n").unwrap();
    assert_eq!(told().0, [""; 0]);

    fs::remove_file(&secrets).unwrap();
    symlink("secrets.toml", &secrets).unwrap();
    let (codes, text) = told();
    assert_eq!(codes, ["unreadable-file"]);
    assert!(
        text.contains("config/secrets.toml cannot be read"),
        "{text}"
    );
    fs::remove_file(&secrets).unwrap();
    fs::create_dir(&secrets).unwrap();
    assert!(told().1.contains("it is no regular file"));
}

#[test]
fn file_not_there() {
    let main = main_with("").replacen("\n\n", "\nsecrets = \"secrets.toml\"\n\n", 1);
    insta::assert_snapshot!("file_not_there", shown(&with(&[(MAIN, &main)])));
}

proptest! {
    #[test]
    fn whatever_is_mistyped_shows_no_value(edits in prop::collection::vec((0..200_usize, "[\\[\\]={}.,\"'#a \n\\\\]{0,2}"), 1..3)) {
        let mut text = String::from("root = \"hunter2\"\npin = 'hunter2' # hunter2\nluks = { value = \"hunter2\", once = true }\n[web]\nvalue = \"\"\"hunter2\nhunter2\"\"\"\n[hosts.web01]\nroot = \"hunter2\"\n");
        for (at, new) in edits {
            let at = at % text.len();
            if new.is_empty() {
                text.remove(at);
            } else {
                text.insert_str(at, &new);
            }
        }
        let main = main_with("").replacen("\n\n", "\nsecrets = \"secrets.toml\"\n\n", 1);
        let loaded = load_all(&with(&[(MAIN, &main), (SECRETS, &text)]));
        let report = show::report(&loaded.problems, &loaded.sources, false);
        let told = format!(
            "{}{}{loaded:?}",
            show::text(&loaded.problems, &loaded.sources, false, false),
            serde_json::to_string(&report).unwrap(),
        );
        // A comment sign or a quote too many may cut the value; what is left of it is one all the same.
        for part in ["hunter2", "hunter", "unter2"] {
            prop_assert!(!told.contains(part), "{text}\n{told}");
        }
    }
}

#[test]
fn programs_are_told_no_more_than_people() {
    let main = main_with("").replacen("\n\n", "\nsecrets = \"secrets.toml\"\n\n", 1);
    for text in [
        "root = hunter2\nroot = 'hunter2'\n",
        "[root]\nvalue = 'hunter2'\nonze = 'hunter2'\n",
    ] {
        let loaded = load_all(&with(&[(MAIN, &main), (SECRETS, text)]));
        let report = show::report(&loaded.problems, &loaded.sources, false);
        let json = serde_json::to_string(&report).unwrap();
        assert!(report.errors > 0);
        assert!(json.contains("config/secrets.toml"), "{json}");
        assert!(!json.contains(VALUE), "{json}");
        let debug = format!("{loaded:?}");
        assert!(!debug.contains(VALUE), "{debug}");
    }
}
