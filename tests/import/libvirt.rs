//! libvirt's domains and networks.

use bootwright::import::libvirt::read;

use crate::support::{assert_is_toml, samples, shown, source};

#[test]
fn domains_with_the_addresses_of_their_network() {
    insta::assert_snapshot!(shown(read(&samples("libvirt/"))));
}

#[test]
fn a_domain_alone() {
    insta::assert_snapshot!(shown(read(&samples("libvirt/web01.xml"))));
}

#[test]
fn the_order_of_files_changes_no_host() {
    let forth = samples("libvirt/");
    let mut back = forth.clone();
    back.reverse();
    let sorted = |sources: &[bootwright::import::Source]| {
        let imported = read(sources).unwrap();
        assert_is_toml(&imported);
        let mut hosts = imported.hosts;
        hosts.sort_by(|a, b| a.name.cmp(&b.name));
        // The domain that is there twice is taken from the first file.
        hosts.retain(|host| host.name.as_str() != "web01");
        hosts
    };
    assert_eq!(sorted(&forth), sorted(&back));
}

#[test]
fn an_isolated_network_has_no_router_and_classes_have_their_masks() {
    let text = "<network><name>iso</name><ip address='192.168.7.1'/></network>\n<network><name>wide</name><forward/><ip address='10.1.0.1' prefix='16'/><dns enable='no'/></network>";
    let imported = read(&source("n", text)).unwrap();
    let [iso, wide] = imported.subnets.as_slice() else {
        panic!("{imported:?}");
    };
    assert_eq!(iso.network.to_string(), "192.168.7.0/24");
    assert_eq!(iso.router, None);
    assert_eq!(wide.network.to_string(), "10.1.0.0/16");
    assert_eq!(wide.router, Some([10, 1, 0, 1].into()));
    assert!(wide.dns.is_empty());
}

#[test]
fn what_is_no_xml_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("\n\n", 1),
        ("<domain>\n<name>a</nam>\n</domain>", 2),
        ("<domain>\n\n", 3),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>\n<domain/>", 1),
        ("name: web01\n", 1),
    ] {
        let error = read(&source("x", text)).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}
