//! Real boots: QEMU with BIOS and UEFI firmware, iPXE from Debian, Debian's installer, through
//! `bootwright rehearse` on the shipped configuration. One machine at a time; `make test` runs them.
//!
//! Each run has a folder of its own for configuration, boot files and temporary files, so that what a
//! rehearsal leaves behind would be seen.

mod loaders;
mod san;
mod secure;
mod site;

use nix::sys::signal::Signal;
use site::{Ended, Site, one_at_a_time};

/// How long a boot may take on a busy machine without hardware virtualisation.
const PATIENCE: &str = "8m";

/// What the steps of a whole boot say, in their order.
fn assert_steps(ended: &Ended, steps: &[&str]) {
    let mut from = 0;
    for step in steps {
        match ended
            .steps
            .iter()
            .skip(from)
            .position(|line| line.contains(step))
        {
            Some(at) => from += at + 1,
            None => panic!("no step `{step}` where it should be:\n{}", ended.output),
        }
    }
}

fn assert_no_step(ended: &Ended, words: &[&str]) {
    for word in words {
        let found = ended.steps.iter().find(|line| line.contains(word));
        assert_eq!(found, None, "{}", ended.output);
    }
}

/// From one step to the other, in seconds.
fn between(ended: &Ended, from: &str, to: &str) -> f32 {
    let time = |words: &str| -> f32 {
        let found = ended.steps.iter().find(|line| line.contains(words));
        let line = found.unwrap_or_else(|| panic!("no step `{words}`:\n{}", ended.output));
        let (time, _) = line.split_once("s ").expect("a time");
        time.trim().parse().expect("seconds")
    };
    time(to) - time(from)
}

/// iPXE is told that there is no IPv6 router, so that it does not wait 13 s for one.
fn assert_no_wait_for_a_router(ended: &Ended) {
    let waited = between(
        ended,
        "iPXE has its address",
        "boot script with the installer",
    );
    assert!(waited < 10.0, "{waited} s:\n{}", ended.output);
}

/// web01 beside another DHCP server (dnsmasq), which alone knows its address.
fn beside_another_server(firmware: &str, steps: &[&str]) {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.edit(
        "bootwright.toml",
        "[[subnet]]\n",
        "[[subnet]]\nmode = \"proxy\"\n",
    );
    site.edit(
        "reservations.toml",
        "ip    = \"10.99.0.11\"\n",
        "subnet = \"lab\"\n",
    );
    let ended = site.rehearse(&["web01", "--firmware", firmware, "--timeout", PATIENCE]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    let given = "10.99.0.3 from another server";
    ended.assert_shows(&["(dnsmasq) at 10.99.0.1 gives 10.99.0.3"]);
    assert_steps(&ended, steps);
    assert_steps(
        &ended,
        &[
            &format!("iPXE takes {given}"),
            "boot script with the installer served",
            "kernel sent",
            "initial RAM disk sent",
            &format!("the installer takes {given}"),
            "answers sent: preseed.cfg",
        ],
    );
    site.is_clean();
}

#[test]
fn a_bios_machine_comes_to_its_answers_beside_another_server() {
    let steps = [
        "the firmware (BIOS) told what to boot",
        "the firmware takes 10.99.0.3 from another server",
        "boot loader undionly.kpxe sent",
    ];
    beside_another_server("bios", &steps);
}

/// By port 4011: OVMF boots nothing in the proxy's offer itself.
#[test]
fn a_uefi_machine_comes_to_its_answers_beside_another_server() {
    let steps = [
        "the firmware (UEFI) told what to boot",
        "the firmware takes 10.99.0.3 from another server",
        "boot loader snponly.efi sent",
    ];
    beside_another_server("uefi-x64", &steps);
}

#[test]
fn a_bios_machine_comes_to_its_answers() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        "bios",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "address 10.99.0.11 offered to the firmware (BIOS)",
            "boot file ipxe/undionly.kpxe",
            "boot loader undionly.kpxe sent",
            "iPXE has its address 10.99.0.11",
            "boot script with the installer served",
            &format!("kernel sent, {}", site.megabytes("debian/12/x86_64/linux")),
            &format!(
                "initial RAM disk sent, {}",
                site.megabytes("debian/12/x86_64/initrd.gz")
            ),
            "the installer has its address 10.99.0.11",
            "answers sent: preseed.cfg",
        ],
    );
    assert_no_wait_for_a_router(&ended);
    // Its own console agrees with the journal: the loader came by TFTP, the kernel is Debian's.
    ended.assert_shows(&[
        "tftp://10.99.0.2/ipxe/undionly.kpxe",
        "] Linux version ",
        "hostname=web01",
    ]);
    site.is_clean();
}

/// PXELINUX in iPXE's place: it takes over from the ROM, and goes on with the address that the ROM has.
#[test]
fn a_bios_machine_comes_to_its_answers_by_pxelinux() {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.fetch(&["pxelinux"]);
    site.set("web01", "loader = \"pxelinux\"");
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        "bios",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "boot file pxelinux/pxelinux.0",
            "boot loader pxelinux.0 sent",
            "boot script with the installer served",
            &format!("kernel sent, {}", site.megabytes("debian/12/x86_64/linux")),
            &format!(
                "initial RAM disk sent, {}",
                site.megabytes("debian/12/x86_64/initrd.gz")
            ),
            "the installer has its address 10.99.0.11",
            "answers sent: preseed.cfg",
        ],
    );
    assert_no_step(&ended, &["iPXE has its address"]);
    ended.assert_shows(&[
        "PXELINUX 6.",
        "Bootwright: web01 is to be installed with debian-12",
        "] Linux version ",
        "BOOTIF=01-52-54-00-47-86-8e",
        "hostname=web01",
    ]);
    site.is_clean();
}

/// GRUB as Debian signs it: it asks for `/grub/grub.cfg` and nothing else.
#[test]
fn a_uefi_machine_comes_to_its_kernel_by_grub() {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.fetch(&["grub"]);
    site.set("web02", "loader = \"grub\"");
    let ended = site.rehearse(&[
        "web02",
        "--firmware",
        "uefi-x64",
        "--until",
        "kernel",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "boot file grub/grubx64.efi",
            "boot loader grubx64.efi sent",
            "boot script with the installer served",
            "kernel sent",
        ],
    );
    assert_no_step(&ended, &["iPXE has its address"]);
    let words = "Bootwright: web02 is to be installed with debian-12";
    ended.assert_shows(&[words]);
    site.is_clean();
}

#[test]
fn a_uefi_machine_comes_to_its_answers() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&[
        "52:54:00:47:86:8f",
        "--firmware",
        "uefi-x64",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "address 10.99.0.12 offered to the firmware (UEFI)",
            "boot file ipxe/snponly.efi",
            "boot loader snponly.efi sent",
            "iPXE has its address 10.99.0.12",
            "boot script with the installer served",
            "kernel sent",
            "initial RAM disk sent",
            "the installer has its address 10.99.0.12",
            "answers sent: preseed.cfg",
        ],
    );
    assert_no_wait_for_a_router(&ended);
    ended.assert_shows(&["NBP file downloaded successfully", "] Linux version "]);
    site.is_clean();
}

/// The part that TFTP has in a boot, by the engine that is not the default.
fn comes_to_its_script_by_async_tftp(firmware: &str, loader: &str) {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.edit(
        "bootwright.toml",
        "[tftp]\n",
        "[tftp]\nengine = \"async-tftp\"\n",
    );
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        firmware,
        "--until",
        "script",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    let sent = format!("boot loader {loader} sent");
    assert_steps(&ended, &[&sent, "boot script with the installer served"]);
    site.is_clean();
}

#[test]
fn a_bios_machine_comes_to_its_script_by_async_tftp() {
    comes_to_its_script_by_async_tftp("bios", "undionly.kpxe");
}

#[test]
fn a_uefi_machine_comes_to_its_script_by_async_tftp() {
    comes_to_its_script_by_async_tftp("uefi-x64", "snponly.efi");
}

#[test]
fn an_installed_bios_machine_boots_its_disk() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&["web01", "--installed", "--console", "--timeout", PATIENCE]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    // BIOS: an address and no boot file, and the ROM goes on to the disk.
    assert_steps(&ended, &["no boot file", "the disk was booted"]);
    assert_no_step(&ended, &["loader", "script", "kernel", "answers"]);
    ended.assert_shows(&["bootwright rehearsal: this is the disk"]);
    site.is_clean();
}

#[test]
fn an_installed_uefi_machine_boots_its_disk() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        "uefi-x64",
        "--installed",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    // UEFI: the loader, and a script that gives the disk its turn.
    assert_steps(
        &ended,
        &[
            "boot loader snponly.efi sent",
            "boot script for the disk served",
            "the disk was booted",
        ],
    );
    assert_no_step(&ended, &["with the installer", "kernel", "answers"]);
    ended.assert_shows(&["bootwright rehearsal: this is the disk"]);
    site.is_clean();
}

/// A machine that is installed boots its disk by one form of section 3.3 of the design; what its steps
/// and its console show on the way.
fn boots_its_disk(firmware: &str, form: &str, steps: &[&str], console: &str) {
    let _turn = one_at_a_time();
    let site = Site::new();
    site.set("web01", &format!("local_boot = \"{form}\""));
    let ended = site.rehearse(&[
        "web01",
        "--firmware",
        firmware,
        "--installed",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(&ended, steps);
    assert_steps(&ended, &["the disk was booted"]);
    assert_no_step(&ended, &["with the installer", "kernel", "answers"]);
    ended.assert_shows(&[console]);
    site.is_clean();
}

const SCRIPT: &[&str] = &["boot loader", "boot script for the disk served"];

#[test]
fn no_file_on_a_bios_machine() {
    boots_its_disk("bios", "no-file", &["no boot file"], "this is the disk");
}

#[test]
fn exit_on_a_bios_machine() {
    // iPXE fails with the 1 of the script, and the BIOS goes on.
    boots_its_disk("bios", "exit", SCRIPT, "Error 0x00000001");
}

#[test]
fn sanboot_on_a_bios_machine() {
    boots_its_disk("bios", "sanboot", SCRIPT, "Booting from SAN device 0x8");
}

#[test]
fn sanboot_on_a_uefi_machine() {
    // There is no such disk under UEFI: the script ends, and the firmware goes on.
    boots_its_disk("uefi-x64", "sanboot", SCRIPT, "No such device");
}

/// The same as `auto` on the wire.
#[test]
#[ignore = "a minute; the script is the one of `auto` on UEFI"]
fn exit_on_a_uefi_machine() {
    boots_its_disk("uefi-x64", "exit", SCRIPT, "Error 0x00000001");
}

#[test]
#[ignore = "three minutes: what OVMF loses without a boot file"]
fn no_file_on_a_uefi_machine() {
    boots_its_disk("uefi-x64", "no-file", &["no boot file"], "PXE-E16");
}

#[test]
fn uefi_http_boot_comes_to_its_kernel() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&[
        "web02",
        "--firmware",
        "httpboot",
        "--until",
        "kernel",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    assert_steps(
        &ended,
        &[
            "boot file http://10.99.0.2:8080/assets/ipxe/snponly.efi",
            "boot loader snponly.efi sent",
            "kernel sent",
        ],
    );
    site.is_clean();
}

/// Debian has no iPXE for ARM: AAVMF loads the installer's kernel itself, a UEFI program too, as its
/// loader.
#[test]
fn uefi_http_boot_of_an_arm64_machine() {
    const KERNEL: &str =
        "/usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux";
    let _turn = one_at_a_time();
    let site = Site::without_boot_files();
    let folder = site.boot_assets().join("debian/12/aarch64");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(KERNEL, folder.join("linux.efi")).expect("debian-installer-12-netboot-arm64");
    std::fs::write(folder.join("initrd.gz"), [0x1f, 0x8b]).unwrap();
    let profile = "profiles/debian-12.toml";
    site.edit(profile, "{{ arch }}/linux\"", "{{ arch }}/linux.efi\"");
    site.edit(
        "reservations.toml",
        "arch  = \"x86_64\"",
        "arch  = \"aarch64\"",
    );
    site.set("web02", "loader = \"debian/12/aarch64/linux.efi\"");
    let ended = site.rehearse(&[
        "web02",
        "--firmware",
        "httpboot",
        "--until",
        "kernel",
        "--console",
        "--timeout",
        PATIENCE,
    ]);
    assert_eq!(ended.status, Some(0), "{}", ended.output);
    let url = "http://10.99.0.2:8080/assets/debian/12/aarch64/linux.efi";
    assert_steps(
        &ended,
        &[
            "address 10.99.0.12 offered to the firmware (UEFI HTTP Boot)",
            &format!("boot file {url}"),
            &format!("sent, {}", site.megabytes("debian/12/aarch64/linux.efi")),
        ],
    );
    // The firmware's own words.
    ended.assert_shows(&[&format!("URI: {url}")]);
    site.is_clean();
}

#[test]
fn a_boot_that_does_not_come_far_enough_is_told() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let ended = site.rehearse(&["web01", "--until", "script", "--timeout", "2s"]);
    assert_eq!(ended.status, Some(1), "{}", ended.output);
    ended.assert_shows(&["missing step: ", "serial console"]);
    site.is_clean();

    let ended = site.rehearse(&[
        "web01",
        "--until",
        "script",
        "--timeout",
        "1s",
        "--format",
        "json",
    ]);
    let report: serde_json::Value = serde_json::from_str(&ended.output).unwrap();
    assert_eq!(ended.status, Some(1));
    assert_eq!(report["reached"], false);
    assert_eq!(report["host"], "web01");
    assert!(report["missing"].is_string(), "{report}");
}

#[test]
fn a_boot_that_fails_is_explained() {
    let _turn = one_at_a_time();
    let site = Site::new();
    let mut running = site.start(&["web01", "--until", "kernel", "--timeout", "40s"]);
    running.wait_for("machine switched on");
    let kernel = "debian/12/x86_64/linux";
    std::fs::remove_file(site.boot_assets().join(kernel)).unwrap();
    let (status, output) = running.finish();
    assert_eq!(status.code(), Some(1), "{output}");
    let mut from = 0;
    for part in [
        "offered to the firmware (BIOS), no boot file (",
        "last step:    the firmware taking its address",
        "it was sent to its disk and not to its installer",
        "1. the machine boots its disk: a boot file of its installer is not there",
        kernel,
        "do:   bring the file",
        "the end of its serial console",
    ] {
        let at = output[from..].find(part);
        assert!(
            at.is_some(),
            "{part:?} is missing or misplaced in:\n{output}"
        );
        from += at.unwrap_or_default();
    }
    site.is_clean();
}

#[test]
fn nothing_is_left_of_a_rehearsal_however_it_ends() {
    let _turn = one_at_a_time();
    let site = Site::new();

    // Killed: the machine goes with it; its folder stays until the next rehearsal.
    let mut killed = site.start(&["web01"]);
    killed.wait_for("machine switched on");
    // Its process may still be on the way from `setpriv` to QEMU.
    site.wait_for_machines(1);
    killed.end(Signal::SIGKILL);
    site.wait_for_machines(0);
    assert_eq!(site.leftovers().len(), 1);

    // The next one tidies up, and takes its own things with it when it is told to end.
    let mut ended = site.start(&["web01"]);
    ended.wait_for("machine switched on");
    assert_eq!(site.leftovers().len(), 1, "{:?}", site.leftovers());
    let status = ended.end(Signal::SIGTERM);
    assert_eq!(status.code(), Some(1));
    site.is_clean();
}

#[test]
fn what_cannot_be_rehearsed_is_refused_with_a_remedy() {
    let site = Site::without_boot_files();
    for (args, words) in [
        (
            &["web01", "--until", "installed"][..],
            "rehearse --until installed is not available in this version",
        ),
        (&["web01", "--firmware", "uefi-arm64"], "does not run"),
        (&["web0"], "did you mean web01?"),
        (&["web01"], "`bootwright assets fetch ipxe` brings it"),
    ] {
        let ended = site.rehearse(args);
        assert_eq!(ended.status, Some(1), "{args:?}: {}", ended.output);
        ended.assert_shows(&[words]);
    }
    assert_eq!(
        site.rehearse(&["web01", "--firmware", "bois"]).status,
        Some(2)
    );
    site.is_clean();
}
