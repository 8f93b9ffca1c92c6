//! Boot loaders that were not run, not allowed or not fetched.

use super::*;

#[test]
fn a_loader_that_never_runs() {
    let efi = "ipxe/snponly.efi";
    let boot = |ms| {
        [
            event(ms, Kind::DhcpOffer, Reason::Loader, "uefi-x64", efi),
            event(ms + 100, Kind::DhcpAck, Reason::Loader, "uefi-x64", efi),
            event(ms + 300, Kind::TftpSent, Reason::Done, "", efi),
        ]
    };
    let events: Vec<Event> = [0, 5_000, 10_000].into_iter().flat_map(boot).collect();
    let found = cut(InstallState::Armed, &events);
    assert_eq!(found.boots_seen, 3);
    assert_eq!(codes(&found)[0], "secure-boot");
    assert!(
        found.causes[0].evidence[0].contains("3 times"),
        "{:?}",
        found.causes[0]
    );

    // The same with iPXE taking an address each time: a loop.
    let mut events = events;
    events.push(event(
        12_000,
        Kind::DhcpAck,
        Reason::Script,
        "ipxe",
        "http://10.99.0.2:8080/boot/x/boot.ipxe",
    ));
    let found = cut(InstallState::Armed, &events);
    assert_eq!(missing(&found), Some(StepKind::Script));
    assert_eq!(codes(&found)[0], "chainload-loop");
}

#[test]
fn a_loop_that_the_server_has_broken() {
    let (efi, script) = ("ipxe/snponly.efi", "http://10.99.0.2:8080/boot/x/boot.ipxe");
    let boot = |ms| {
        [
            event(ms, Kind::DhcpOffer, Reason::Loader, "uefi-x64", efi),
            event(ms + 100, Kind::DhcpAck, Reason::Loader, "uefi-x64", efi),
            event(ms + 300, Kind::TftpSent, Reason::Done, "", efi),
        ]
    };
    let refused = |ms, words: &str| {
        event(
            ms,
            Kind::BootLoop,
            Reason::RefusedByFirmware,
            "uefi-x64",
            efi,
        )
        .detail(format!("{efi} was fetched 3 times and never run; {words}"))
    };
    let mut events: Vec<Event> = [0, 5_000, 10_000].into_iter().flat_map(boot).collect();
    events.extend([
        event(
            15_000,
            Kind::DhcpOffer,
            Reason::LoopScript,
            "uefi-x64",
            script,
        ),
        refused(15_000, "this once the reply names its script instead"),
        event(
            15_100,
            Kind::DhcpAck,
            Reason::LoopScript,
            "uefi-x64",
            script,
        ),
        event(15_200, Kind::TftpFailed, Reason::NotFound, "", script),
    ]);
    let instead = cut(InstallState::Armed, &events);
    events.extend([
        event(20_000, Kind::DhcpOffer, Reason::LoopNoFile, "uefi-x64", ""),
        refused(20_000, "it gets no boot file for 10 minutes"),
    ]);
    let nothing = cut(InstallState::Armed, &events);
    // It is asked again and again meanwhile, in boots of their own.
    events.push(event(
        300_000,
        Kind::DhcpOffer,
        Reason::LoopNoFile,
        "uefi-x64",
        "",
    ));
    let later = cut(InstallState::Armed, &events);
    // Nothing to install: the loop is told all the same.
    let installed = cut(InstallState::Installed, &events);
    for (found, step) in [
        (instead, Some(StepKind::Loader)),
        (nothing, Some(StepKind::Loader)),
        (later, Some(StepKind::FirmwareAddress)),
        (installed, None),
    ] {
        assert_eq!(missing(&found), step, "{found:?}");
        assert_eq!(codes(&found), ["refused-by-firmware"]);
        assert!(found.causes[0].what.contains("Secure Boot"));
        assert!(found.causes[0].evidence[0].contains("3 times"), "{found:?}");
        assert!(found.causes[0].remedy.contains("loader of"));
    }
}

/// A boot by shim and GRUB, as far as some step.
fn by_shim(fetched: &[&str]) -> Diagnosis {
    let shim = "debian/12/x86_64/shimx64.efi";
    let mut events = vec![
        event(0, Kind::DhcpOffer, Reason::Loader, "uefi-x64", shim),
        event(100, Kind::DhcpAck, Reason::Loader, "uefi-x64", shim),
        event(300, Kind::TftpSent, Reason::Done, "", shim),
    ];
    for (file, ms) in fetched.iter().zip(1_000_i64..) {
        let (kind, reason) = match *file {
            "/boot/52-54-00-47-86-8e/grub.cfg" => (Kind::HttpScript, Reason::Installer),
            file if file.contains("mmx64") => (Kind::TftpFailed, Reason::NotFound),
            _ => (Kind::TftpSent, Reason::Done),
        };
        events.push(event(ms, kind, reason, "", file));
    }
    let expected = Expected {
        answers: true,
        shim: true,
        ..Expected::default()
    };
    let booting = record(InstallState::Booting);
    expecting(&expected, Some(&booting), &events, &[], 3_600_000)
}

#[test]
fn with_secure_boot_each_signature_check_is_told_by_what_did_not_come() {
    let grub = "debian/12/x86_64/grubx64.efi";
    let script = "/boot/52-54-00-47-86-8e/grub.cfg";
    let linux = "debian/12/x86_64/linux";
    let firmware = by_shim(&[]);
    assert_eq!(missing(&firmware), Some(StepKind::Grub));
    assert_eq!(codes(&firmware)[0], "secure-boot");
    assert!(firmware.causes[0].what.contains("third-party UEFI CA"));
    let shim = by_shim(&[grub]);
    assert_eq!(missing(&shim), Some(StepKind::Script));
    assert_eq!(codes(&shim)[0], "shim-refuses-grub");
    assert!(codes(&shim).len() > 1);
    // shim starts its tool only when it has refused what it should have started.
    let sure = by_shim(&[grub, "debian/12/x86_64/mmx64.efi"]);
    assert_eq!(codes(&sure), ["shim-refuses-grub"]);
    assert!(sure.causes[0].evidence[0].contains("mmx64.efi"), "{sure:?}");
    let kernel = by_shim(&[grub, script, linux]);
    assert_eq!(missing(&kernel), Some(StepKind::InstallerAddress));
    assert_eq!(codes(&kernel)[0], "shim-refuses-kernel");
}

#[test]
fn a_machine_that_was_told_no_loader_is_told_so_at_once() {
    let none = |ms, kind| {
        event(ms, kind, Reason::NoLoader, "uefi-arm64", "")
            .detail("ipxe/snponly-arm64.efi is not there")
    };
    let events = [none(0, Kind::DhcpOffer), none(500, Kind::DhcpAck)];
    let armed = record(InstallState::Armed);
    for now in [2_000, 3_600_000] {
        let found = about(Some(&armed), &events, &[], now);
        assert_eq!(missing(&found), Some(StepKind::Loader));
        assert_eq!(codes(&found), ["no-loader"], "after {now} ms");
        assert!(
            found.causes[0]
                .remedy
                .contains("bootwright assets fetch ipxe")
        );
    }
    // An offer that firmware does not even take.
    let found = about(Some(&armed), &events[..1], &[], 3_600_000);
    assert_eq!(codes(&found)[..2], ["no-loader", "uefi-ignores-offer"]);
}

#[test]
fn a_loader_that_gives_up_at_once_is_not_blamed_on_the_switch() {
    let boot = |ms| whole_boot(ms)[..4].to_vec();
    let quick = [boot(0), boot(5_000), boot(10_000)].concat();
    let found = cut(InstallState::Armed, &quick);
    assert_eq!(missing(&found), Some(StepKind::IpxeAddress));
    assert_eq!(codes(&found)[..2], ["wrong-loader", "link-reset"]);
    assert!(found.causes[0].evidence[0].contains("3 times"));
    let slow = [boot(0), boot(60_000)].concat();
    let found = cut(InstallState::Armed, &slow);
    assert_eq!(codes(&found)[..2], ["link-reset", "wrong-loader"]);
    assert_eq!(
        found.causes[0].remedy, "make it an edge port (portfast)",
        "undionly.kpxe keeps the firmware's link already"
    );
}

/// A boot by PXELINUX: no address of its own, configuration and files by TFTP.
fn by_pxelinux() -> Vec<Event> {
    let loader = "pxelinux/pxelinux.0";
    let sent = |ms, file| event(ms, Kind::TftpSent, Reason::Done, "", file);
    vec![
        event(0, Kind::DhcpOffer, Reason::Loader, "bios", loader),
        event(1_000, Kind::DhcpAck, Reason::Loader, "bios", loader),
        sent(1_300, loader),
        sent(1_400, "pxelinux/ldlinux.c32"),
        event(
            1_600,
            Kind::TftpSent,
            Reason::Installer,
            "",
            "pxelinux/pxelinux.cfg/01-52-54-00-47-86-8e",
        ),
        sent(1_700, "debian/12/x86_64/linux"),
        sent(1_900, "debian/12/x86_64/initrd.gz"),
        event(9_000, Kind::DhcpAck, Reason::NetworkOnly, "os", ""),
    ]
}

#[test]
fn a_boot_by_another_loader_takes_no_address_of_ipxes() {
    let whole = by_pxelinux();
    let booting = InstallState::Booting;
    for (after, step, words) in [
        (3, StepKind::Script, "PXELINUX fetching its configuration"),
        (4, StepKind::Script, "PXELINUX fetching its configuration"),
        (5, StepKind::Kernel, "PXELINUX fetching the kernel"),
        (
            7,
            StepKind::InstallerAddress,
            "the installer taking its address",
        ),
        (8, StepKind::Answers, "the installer fetching its answers"),
    ] {
        let found = cut(booting, &whole[..after]);
        assert_eq!(missing(&found), Some(step), "after {after}");
        assert_eq!(found.missing.as_ref().unwrap().what, words);
        assert!(!codes(&found).contains(&"link-reset"), "after {after}");
    }
    let found = cut(booting, &whole[..3]);
    assert!(codes(&found).contains(&"loader-files"), "{found:?}");
    assert_eq!(
        found.last_step.unwrap(),
        "the firmware fetching its boot loader"
    );
    // Its module was asked for and is not there.
    let mut events = whole[..3].to_vec();
    let (failed, absent) = (Kind::TftpFailed, Reason::NotFound);
    events.push(event(1_400, failed, absent, "", "pxelinux/ldlinux.c32"));
    let found = cut(booting, &events);
    assert_eq!(codes(&found)[0], absent.code());
    // A name that another machine has no configuration under says nothing.
    let mut events = whole[..4].to_vec();
    let by_uuid = "pxelinux/pxelinux.cfg/e2e00000-0000-0000-0000-000000000001";
    events.push(event(1_500, failed, absent, "", by_uuid));
    assert!(cut(booting, &events).boot.unwrap().remarks.is_empty());
    // An operator's own file of that name is no script.
    let mut events = whole[..4].to_vec();
    events.push(event(
        1_600,
        Kind::TftpSent,
        Reason::Done,
        "",
        "pxelinux/pxelinux.cfg/default",
    ));
    assert_eq!(missing(&cut(booting, &events)), Some(StepKind::Script));
    // What the loader cannot do is said.
    let mut events = whole[..4].to_vec();
    let unable = event(
        1_600,
        Kind::TftpSent,
        Reason::LoaderUnable,
        "",
        "grub/grub.cfg",
    );
    events.push(unable.detail("GRUB cannot boot this: the profile is a whole script of iPXE's"));
    let found = cut(booting, &events);
    assert_eq!(codes(&found)[0], "loader-unable");
    assert!(
        found.causes[0]
            .remedy
            .contains("loader = \"ipxe\" in [hosts.web01]")
    );
}
