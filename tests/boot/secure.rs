//! Machines with Secure Boot: firmware with Microsoft's keys, Debian's shim, its GRUB and its kernel, each held against
//! the signature of the one before; and what becomes of a loader that nobody has signed.

use crate::site::{Site, one_at_a_time};
use crate::{PATIENCE, assert_no_step, assert_steps};

#[test]
fn a_machine_with_secure_boot_comes_to_its_answers() {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.set("web01", "secure_boot = true");
    let ended = site.rehearse(&["web01", "--console", "--timeout", PATIENCE]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "address 10.99.0.11 offered to the firmware (UEFI)",
            "boot file debian/12/x86_64/shimx64.efi",
            "boot loader shimx64.efi sent",
            "GRUB grubx64.efi sent",
            "with the installer served",
            &format!("kernel sent, {}", site.megabytes("debian/12/x86_64/linux")),
            "initial RAM disk sent",
            "the installer has its address 10.99.0.11",
            "answers sent: preseed.cfg",
        ],
    );
    assert_no_step(&ended, &["iPXE", "snponly"]);
    // The kernel's own words: nothing on the way has switched the check off.
    ended.assert_shows(&["Secure boot enabled", "] Linux version "]);
    site.is_clean();
}

#[test]
fn a_loader_that_nobody_has_signed_is_refused_and_told_so() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        "uefi-x64",
        "--secure-boot",
        "--until",
        "script",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(1), "{}", ended.output);
    assert_steps(&ended, &["boot loader snponly.efi sent"]);
    ended.assert_shows(&[
        "its firmware refused what it was to run (Secure Boot)",
        "1. the loader was fetched and never run: refused by the firmware's signature check (Secure Boot)",
        "write secure_boot = true in [hosts.web01]",
        "Access Denied",
    ]);
    site.is_clean();
}

#[test]
fn an_arm_machine_with_secure_boot_comes_to_its_kernel() {
    let steps = ["shimaa64.efi sent", "GRUB grubaa64.efi sent"];
    arm("secure_boot = true", "kernel", &steps);
}

/// The same without the check, and to the end.
#[test]
#[ignore = "minutes of emulated ARM: of make boot-matrix"]
fn an_arm_machine_comes_to_its_answers_by_grub() {
    let steps = [
        "grubaa64.efi sent",
        "with the installer served",
        "initial RAM disk sent",
        "answers sent: preseed.cfg",
    ];
    arm(
        "loader = \"debian/12/aarch64/grubaa64.efi\"",
        "answers",
        &steps,
    );
}

/// web02 as a machine of 64-bit ARM, with this line in its table.
fn arm(line: &str, until: &str, steps: &[&str]) {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.fetch(&["debian-12", "--arch", "aarch64"]);
    site.edit(
        "reservations.toml",
        "arch  = \"x86_64\"",
        "arch  = \"aarch64\"",
    );
    site.set("web02", line);
    let ended = site.rehearse(&["web02", "--until", until, "--timeout", "15m"]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(&ended, steps);
    let kernel = format!("kernel sent, {}", site.megabytes("debian/12/aarch64/linux"));
    assert_steps(&ended, &["with the installer served", &kernel]);
    site.is_clean();
}
