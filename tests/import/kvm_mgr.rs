//! kvm-mgr manifests.

use bootwright::import::kvm_mgr::read;

use crate::support::{assert_is_toml, samples, shown, source};

#[test]
fn a_manifest_of_two_hypervisors() {
    insta::assert_snapshot!(shown(read(&samples("kvm-mgr/site.json"))));
}

#[test]
fn machines_are_held_by_name_and_address() {
    let imported = read(&samples("kvm-mgr/site.json")).unwrap();
    assert_is_toml(&imported);
    assert!(imported.hosts.iter().all(|host| host.macs.is_empty()));
}

#[test]
fn one_hypervisor_without_a_list_around_it() {
    let text =
        r#"{"host": "hv", "vmspecs": [{"name": "a", "hostname": "a", "ipaddress": "10.0.0.1"}]}"#;
    assert_eq!(read(&source("m", text)).unwrap().hosts.len(), 1);
}

#[test]
fn what_is_no_manifest_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("{}", 1),
        ("[\n1]", 2),
        ("[\n{\"host\": \"a\",\n", 3),
        ("3", 1),
    ] {
        let error = read(&source("m", text)).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}
