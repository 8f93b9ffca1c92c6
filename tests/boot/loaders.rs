//! Loaders in iPXE's place that `make boot-matrix` boots: PXELINUX on UEFI, GRUB on a BIOS. Each comes to its kernel
//! by a configuration that is rendered for it.

use std::process::Command;

use crate::site::{Ended, Site, one_at_a_time};
use crate::{PATIENCE, assert_no_step, assert_steps};

/// Boots web01 by a loader.
fn boots_by(site: &Site, loader: &str, firmware: &str) -> Ended {
    site.set("web01", &format!("loader = \"{loader}\""));
    let args = ["web01", "--firmware", firmware, "--console"];
    let ended = site.rehearse(&[&args[..], &["--until", "kernel", "--timeout", PATIENCE]].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    let sent = format!("boot loader {} sent", loader.rsplit('/').next().unwrap());
    let kernel = format!("kernel sent, {}", site.megabytes("debian/12/x86_64/linux"));
    let script = "boot script with the installer served";
    assert_steps(&ended, &[&sent, script, &kernel]);
    assert_no_step(&ended, &["iPXE has its address"]);
    site.is_clean();
    ended
}

#[test]
#[ignore = "of make boot-matrix"]
fn a_uefi_machine_comes_to_its_kernel_by_pxelinux() {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.fetch(&["pxelinux"]);
    let loader = "pxelinux/efi64/syslinux.efi";
    boots_by(&site, loader, "uefi-x64");
}

#[test]
#[ignore = "of make boot-matrix"]
fn a_bios_machine_comes_to_its_kernel_by_grub() {
    let _turn = one_at_a_time();
    let site = Site::new();
    // Debian has none that is ready made.
    let made = Command::new("grub-mknetdir")
        .arg(format!("--net-directory={}", site.boot_assets().display()))
        .args(["--subdir=grub", "--directory=/usr/lib/grub/i386-pc"])
        .output()
        .expect("grub-mknetdir, of grub-common");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "grub-pc-bin is needed: {said}");
    let ended = boots_by(&site, "grub/i386-pc/core.0", "bios");
    ended.assert_shows(&["Bootwright: web01 is to be installed with debian-12"]);
}
