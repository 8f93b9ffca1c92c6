//! Proxmox VE's configurations of virtual machines.

use bootwright::import::Source;
use bootwright::import::proxmox::read;

use crate::support::{assert_is_toml, samples, shown, source};

#[test]
fn machines_templates_and_containers() {
    insta::assert_snapshot!(shown(read(&samples("proxmox/"))));
}

#[test]
fn the_node_is_told_by_the_folder() {
    let mut sources = samples("proxmox/100.conf");
    sources[0].name = "/etc/pve/nodes/pve2/qemu-server/100.conf".to_owned();
    let imported = read(&sources).unwrap();
    assert_is_toml(&imported);
    let vm = imported.hosts[0].vars["vm"].as_table().unwrap();
    assert_eq!(vm["hypervisor"].as_str(), Some("pve2"));
    assert_eq!(vm["vmid"].as_integer(), Some(100));
}

#[test]
fn every_model_of_a_card_is_known() {
    for model in ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"] {
        let sources: Vec<Source> = source(
            "1.conf",
            &format!("net0: {model}=BC:24:11:00:00:01,bridge=vmbr0\n"),
        );
        let imported = read(&sources).unwrap();
        assert_eq!(imported.hosts[0].macs.len(), 1, "{model}: {imported:?}");
    }
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("# only\n", 1),
        ("name: a\nnonsense\n", 2),
        ("[snap]\nname: a\n", 1),
    ] {
        let error = read(&source("100.conf", text)).unwrap_err();
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}
