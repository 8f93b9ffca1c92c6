//! Cobbler's collections.

use bootwright::import::cobbler::read;

use crate::support::{assert_is_toml, samples, shown, source};

#[test]
fn version_3_a_file_for_each_item() {
    insta::assert_snapshot!(shown(read(&samples("cobbler/"))));
}

#[test]
fn version_2_with_its_older_names() {
    insta::assert_snapshot!(shown(read(&samples("cobbler-2/"))));
}

#[test]
fn version_3_4_with_cards_of_their_own_in_one_document() {
    insta::assert_snapshot!(shown(read(&samples("cobbler-3.4/"))));
}

#[test]
fn no_secret_of_theirs_is_shown() {
    let imported = read(&samples("cobbler/")).unwrap();
    assert_is_toml(&imported);
    let all = shown(Ok(imported));
    for secret in ["hunter2", "$6$never", "1-secretkey"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[test]
fn systems_alone_say_what_is_missing() {
    insta::assert_snapshot!(shown(read(&samples("cobbler/systems/web01.json"))));
}

#[test]
fn what_is_none_of_it_is_refused() {
    for text in ["", "[]", "{}", "[1]", "{\"systems\": []}", "{\"name\": 1"] {
        let error = read(&source("x.json", text)).unwrap_err();
        assert_eq!((error.file.as_str(), error.line), ("x.json", 1), "{text}");
    }
}
