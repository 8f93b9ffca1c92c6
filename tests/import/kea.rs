//! Kea.

use bootwright::import::kea::read;
use bootwright::import::{ImportError, Imported, Nothing, Source};
use proptest::prelude::*;

use crate::files::{Site, sample};
use crate::shown::shown;

fn site() -> Site {
    Site::default()
        .file("/etc/kea/never.json", "[ this is no JSON")
        .file("/etc/kea/subnets.json", sample("kea", "subnets.json").text)
}

fn snapshot(name: &str) {
    let imported = read(&[sample("kea", &format!("{name}.json"))], &site()).unwrap();
    insta::assert_snapshot!(name, shown(&imported));
}

#[test]
fn a_small_network_at_home() {
    snapshot("home");
}

#[test]
fn a_campus_of_shared_networks_pools_and_classes() {
    snapshot("campus");
}

#[test]
fn chainloading_in_its_idioms() {
    snapshot("ipxe");
}

#[test]
fn files_in_their_places() {
    snapshot("split");
}

fn of(text: &str) -> Result<Imported, ImportError> {
    let source = Source {
        name: "kea.json".to_owned(),
        text: text.to_owned(),
    };
    read(&[source], &Nothing)
}

#[test]
fn a_text_that_is_no_configuration_names_its_line() {
    for (text, line, word) in [
        ("{ \"Dhcp4\": {\n \"subnet4\": [ }\n}", 2, "value"),
        ("{ \"Dhcp6\": {} }", 1, "Dhcp4"),
        ("", 1, ""),
        ("{ \"Dhcp4\": {}\n", 1, "ends"),
    ] {
        let error = of(text).unwrap_err();
        assert_eq!(error.file, "kea.json");
        assert_eq!(error.line, line, "{text:?}: {error}");
        assert!(error.what.contains(word), "{text:?}: {error}");
    }
    let broken = Site::default().file("a", "[\n  {,}\n]");
    let source = Source {
        name: "kea.json".to_owned(),
        text: "{ \"Dhcp4\": { \"subnet4\":\n<?include \"a\"?>\n} }".to_owned(),
    };
    let error = read(&[source], &broken).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("a", 2));
}

#[test]
fn files_that_include_each_other_end() {
    let site = Site::default().file("a", "<?include \"a\"?>\n<?include \"a\"?>");
    let source = Source {
        name: "kea.json".to_owned(),
        text: "{ \"Dhcp4\": { <?include \"a\"?> } }".to_owned(),
    };
    let imported = read(&[source], &site).unwrap();
    assert!(!imported.left.is_empty());
}

/// Keys of `Dhcp4`, and the texts of which one must show where the key's line is not told.
fn key() -> impl Strategy<Value = (String, String)> {
    let n = || 1..250_u8;
    let told = || "\0".to_owned();
    prop_oneof![
        n().prop_map(|n| (format!("{{ \"id\": {n}, \"subnet\": \"10.0.{n}.0/24\", \"pools\": [ {{ \"pool\": \"10.0.{n}.20 - 10.0.{n}.40\" }} ] }}"), format!("pool=10.0.{n}.20-10.0.{n}.40"))),
        n().prop_map(|n| (format!("{{ \"id\": {n}, \"subnet\": \"10.0.{n}.0/24\", \"option-data\": [ {{ \"name\": \"root-path\", \"data\": \"mark{n}\" }} ] }}"), format!("root-path {{ text = \"mark{n}\" }}"))),
        n().prop_map(|n| (format!("{{ \"id\": {n}, \"subnet\": \"10.0.{n}.0/24\", \"reservations\": [ {{ \"hw-address\": \"02:00:00:00:01:{n:02x}\", \"hostname\": \"h{n}\", \"ip-address\": \"10.0.{n}.5\" }} ] }}"), format!("host h{n} mac=02:00:00:00:01:{n:02x} ip=10.0.{n}.5"))),
        n().prop_map(move |n| (format!("{{ \"id\": {n}, \"subnet\": \"10.0.{n}.0/24\", \"unknown-{n}\": 1 }}"), told())),
        n().prop_map(move |n| (format!("{{ \"id\": {n}, \"subnet\": \"nowhere{n}\" }}"), told())),
        n().prop_map(move |n| (format!("{{ \"id\": {n}, \"subnet\": \"10.0.{n}.0/24\", \"boot-file-name\": \"file{n}.0\" }}"), told())),
    ]
}

proptest! {
    #[test]
    fn no_key_is_lost(keys in prop::collection::vec(key(), 0..40)) {
        let mut text = "{ \"Dhcp4\": { \"subnet4\": [\n".to_owned();
        for (line, _) in &keys {
            text.push_str(line);
            text.push_str(",\n");
        }
        text.push_str("] } }\n");
        let imported = of(&text).unwrap();
        let shown = shown(&imported);
        for (index, (line, mark)) in keys.iter().enumerate() {
            let told = imported.left.iter().any(|left| left.line == index + 2);
            prop_assert!(told || shown.contains(mark.as_str()), "line {}: {line}\nof\n{text}\n{shown}", index + 2);
        }
    }

    #[test]
    fn broken_bytes_never_panic(seed in 0..4_usize, edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..12)) {
        let name = ["home.json", "campus.json", "ipxe.json", "split.json"][seed];
        let mut bytes = sample("kea", name).text.into_bytes();
        for (at, byte, how) in edits {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, b"[]{},\":0"[usize::from(byte) % 8]),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let source = Source { name: "f".to_owned(), text: text.clone() };
        if let Ok(imported) = read(&[source], &site()) {
            prop_assert!(imported.hosts.len() + imported.left.len() <= 8 * text.len() + 100);
        }
    }

    /// Values of other types than are expected.
    #[test]
    fn other_types_never_panic(
        key in "(subnet4|shared-networks|reservations|option-data|option-def|client-classes|valid-lifetime|boot-file-name)",
        value in "(null|true|5|-1|1e300|\"x\"|\\[\\]|\\[null\\]|\\[\\[\\]\\]|\\{\\}|\\[\\{\\}\\]|\\[5,\"a\",\\{\"name\":5\\}\\])",
    ) {
        let text = format!("{{\"Dhcp4\": {{\"{key}\": {value}}}}}");
        let read = of(&text);
        prop_assert!(read.is_ok(), "{}: {:?}", text, read);
    }
}
