use std::path::Path;

use serde_json::Value;

use super::*;
use crate::config::table::Keys;
use crate::config::written::{declared, fetch, hook, hosts, mirror, options, profile, server};

/// Each table that the reader has keys for, and where it stands in the schemas.
const PLACES: &[(File, &str, &Keys)] = &[
    (File::Server, "", &server::TABLES),
    (File::Server, "/server", &server::SERVER),
    (File::Server, "/dhcp", &server::DHCP),
    (File::Server, "/boot", &server::BOOT),
    (File::Server, "/tftp", &server::TFTP),
    (File::Server, "/http", &server::HTTP),
    (File::Server, "/admin", &server::ADMIN),
    (File::Server, "/install", &server::INSTALL),
    (File::Server, "/assets", &server::ASSETS),
    (File::Server, "/journal", &server::JOURNAL),
    (File::Server, "/store", &server::STORE),
    (File::Server, "/check", &server::CHECK),
    (File::Server, "/subnet[]", &server::SUBNET),
    (File::Server, "/subnet[]/options[]", &options::OPTION),
    (File::Server, "/hook[]", &hook::HOOK),
    (File::Server, "/mirror[]", &mirror::MIRROR),
    (File::Reservations, "", &hosts::TABLES),
    (File::Reservations, "/defaults", &hosts::DEFAULTS),
    (File::Reservations, "/groups*", &hosts::GROUP),
    (File::Reservations, "/hosts*", &hosts::HOST),
    (File::Reservations, "/hosts*/nic[]", &hosts::NIC),
    (File::Reservations, "/hosts*/after", &hosts::AFTER),
    (File::Reservations, "/hosts*/options[]", &options::OPTION),
    (File::Profile, "", &profile::PROFILE),
    (File::Profile, "/boot", &profile::BOOT),
    (File::Profile, "/answers[]", &profile::ANSWER),
    (File::Profile, "/options[]", &options::OPTION),
    (File::Profile, "/fetch", &fetch::FETCH),
    (File::Profile, "/fetch/sums[]", &fetch::SUMS),
    (File::Profile, "/fetch/files[]", &fetch::FILE),
    (File::Variables, "*", &declared::DECLARATION),
    (File::Snippet, "", &declared::SNIPPET),
    (File::Snippet, "/variables*", &declared::DECLARATION),
];

/// The part of a schema at a path such as `/hosts*/nic[]`.
fn at<'s>(mut schema: &'s Value, path: &str) -> &'s Value {
    for step in path.split('/') {
        let key = step.trim_end_matches("[]").trim_end_matches('*');
        if !key.is_empty() {
            schema = &schema["properties"][key];
        }
        if step.ends_with("[]") {
            schema = &schema["items"];
        } else if step.ends_with('*') {
            schema = &schema["additionalProperties"];
        }
        assert!(schema.is_object(), "{path} at {step}");
    }
    schema
}

#[test]
fn each_table_has_the_keys_that_the_reader_knows() {
    for (file, path, keys) in PLACES {
        let schema = file.schema();
        let table = at(&schema, path);
        let mut found: Vec<&str> = table["properties"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut known = keys.known.to_vec();
        found.sort_unstable();
        known.sort_unstable();
        assert_eq!(found, known, "{file}{path}");
        assert_eq!(table["additionalProperties"], false, "{file}{path}");
    }
}

#[test]
fn no_table_of_the_reader_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/written");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        count += text.matches(": Keys = Keys {").count();
    }
    let mut tables: Vec<*const Keys> = PLACES.iter().map(|(.., keys)| &raw const **keys).collect();
    tables.sort_unstable();
    tables.dedup();
    // `DECLARATION` and `OPTION` stand in several places.
    assert!(count > 0);
    assert_eq!(
        PLACES.len() - 2 - 1,
        count,
        "a `Keys` table has no place in a schema"
    );
}

/// Calls back with each schema within one.
fn walk(path: &str, schema: &Value, each: &mut impl FnMut(&str, &serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(map) => {
            each(path, map);
            for (key, value) in map {
                if !matches!(key.as_str(), "examples" | "default" | "enum" | "x-taplo") {
                    walk(&format!("{path}/{key}"), value, each);
                }
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(&format!("{path}/{index}"), value, each);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_explained_and_every_word_has_its_meaning() {
    for file in File::ALL {
        walk("", &file.schema(), &mut |path, map| {
            if let Some(Value::Object(keys)) = map.get("properties")
                && map.contains_key("additionalProperties")
            {
                for (key, node) in keys {
                    let said = node["description"].as_str().unwrap_or_default();
                    assert!(said.ends_with('.'), "{file}{path}: {key}: {said:?}");
                }
            }
            if let Some(meanings) = map
                .get("x-taplo")
                .and_then(|hint| hint["docs"]["enumValues"].as_array())
            {
                let words = map["enum"].as_array().unwrap();
                assert_eq!(words.len(), meanings.len(), "{file}{path}");
                for (word, meaning) in words.iter().zip(meanings) {
                    assert_ne!(meaning, "", "{file}{path}: {word}");
                }
            }
        });
    }
}

#[test]
fn names_of_files_read_back() {
    for file in File::ALL {
        assert_eq!(file.as_str().parse(), Ok(file));
        assert!(!file.describe().is_empty());
    }
    assert!("hosts".parse::<File>().is_err());
}

mod forms_of_texts {
    //! What the reader takes, the pattern takes.

    use proptest::prelude::*;

    use super::super::forms::*;
    use crate::base::{GroupName, HostName, SubnetName};
    use crate::config::values;

    fn takes(pattern: &str, text: &str) -> bool {
        let schema = serde_json::json!({ "pattern": pattern });
        jsonschema::is_valid(&schema, &text.into())
    }

    /// A reader, its pattern, and what may be typed.
    fn check(text: &str) {
        let readers: [(&str, &str, bool); 15] = [
            ("mac", MAC, values::mac(text).is_ok()),
            ("address", ADDRESS, values::address(text).is_ok()),
            (
                "machine",
                MACHINE_ADDRESS,
                values::machine_address(text).is_ok(),
            ),
            ("network", NETWORK, values::network(text).is_ok()),
            ("pool", POOL, values::pool(text).is_ok()),
            ("duration", DURATION, values::duration(text).is_ok()),
            ("size", SIZE, values::size(text).is_ok()),
            ("domain", DOMAIN, values::domain(text).is_ok()),
            ("fqdn", FQDN, values::fqdn(text).is_ok()),
            ("boot file", BOOT_FILE, values::boot_file(text).is_ok()),
            ("interface", INTERFACE, values::interface(text).is_ok()),
            ("answer", ANSWER, values::answer_name(text).is_ok()),
            ("media type", MEDIA_TYPE, values::content_type(text).is_ok()),
            ("uuid", UUID, values::uuid(text).is_ok()),
            ("line", LINE, values::line(text).is_ok()),
        ];
        for (what, pattern, reads) in readers {
            assert!(!reads || takes(pattern, text), "{what}: {text:?}");
        }
        for (what, pattern, reads) in [
            ("host", HOST, text.parse::<HostName>().is_ok()),
            ("group", WORD, text.parse::<GroupName>().is_ok()),
            ("subnet", SUBNET, text.parse::<SubnetName>().is_ok()),
            ("secret", SECRET, crate::config::secrets::is_name(text)),
        ] {
            assert_eq!(reads, takes(pattern, text), "{what}: {text:?}");
        }
    }

    proptest! {
        #[test]
        fn addresses(text in "[ ]?[0-2]?[0-9]{1,2}(\\.[0-2]?[0-9]{1,2}){3}(/[0-3]?[0-9])?( ?- ?10\\.[0-9]\\.[0-9]\\.[0-9])?") {
            check(&text);
        }

        #[test]
        fn hardware_addresses(text in "[ ]?([0-9a-fA-F]{2}[:.-]?){6}|([0-9a-f]{4}[:.-]){2}[0-9A-F]{4}|[0-9a-f]{6}[:.-]?[0-9a-f]{6}") {
            check(&text);
            check(text.trim_end_matches([':', '.', '-']));
        }

        #[test]
        fn times_and_sizes(text in "[ ]?([0-9]{1,3}[smhdw]?){1,3}[ ]?|[0-9]{1,4} ?(KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB|B)?") {
            check(&text);
        }

        #[test]
        fn names_and_paths(text in "[a-zA-Z0-9._/ ä:\\\\-]{0,70}") {
            check(&text);
        }

        #[test]
        fn whatever_is_typed(text in "\\PC{0,40}") {
            check(&text);
        }

        #[test]
        fn universal_ids(text in "[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}") {
            check(&text);
        }
    }

    #[test]
    fn loaders_of_a_profile_have_no_variables_and_what_it_fetches_may() {
        let schema = super::File::Profile.schema();
        let pattern = |path: &str| super::at(&schema, path)["pattern"].as_str().unwrap();
        let of_arch = "os/{{ arch }}/shim{{efi_arch}}.efi";
        let of_variable = "os/{{ vars.release }}/linux";
        for key in ["/boot/shim", "/boot/grub"] {
            assert!(takes(pattern(key), of_arch), "{key}");
            assert!(!takes(pattern(key), of_variable), "{key}");
        }
        for key in ["path", "from", "member", "in_package"] {
            let key = format!("/fetch/files[]/{key}");
            assert!(takes(pattern(&key), of_arch), "{key}");
            assert!(takes(pattern(&key), of_variable), "{key}");
            assert!(takes(pattern(&key), "os/.treeinfo"), "{key}");
            assert!(takes(pattern(&key), ".treeinfo"), "{key}");
        }
    }

    #[test]
    fn a_pattern_refuses_what_is_plainly_wrong() {
        for (pattern, bad) in [
            (MAC, "52:54:00:47:86"),
            (MAC, "01:00:5e:00:00:01"),
            (MAC, "52:54:00:47:86:8g"),
            (MACHINE_ADDRESS, "10.99.0.300"),
            (MACHINE_ADDRESS, "224.0.0.5"),
            (NETWORK, "10.99.0.0"),
            (NETWORK, "10.99.0.0/33"),
            (DURATION, "24"),
            (DURATION, "0s"),
            (SIZE, "256"),
            (HOST, "web01.lab"),
            (DOMAIN, "lab..example"),
            (PLACE, "os/{{ vars.release }}/shim.efi"),
            (FETCHED, "os/{{ host.name }}/linux"),
            (FETCHED, ".hidden"),
            (BOOT_FILE, "/srv/x"),
            (BOOT_FILE, "../x"),
            (BOOT_FILE, "gopher://x"),
        ] {
            assert!(!takes(pattern, bad), "{pattern} {bad}");
        }
    }
}
