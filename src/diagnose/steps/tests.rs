use super::super::attempts::tests::{event, whole_boot};
use super::*;

const LINUX: &str = "/assets/debian/12/x86_64/linux";
const INITRD: &str = "/assets/debian/12/x86_64/initrd.gz";

fn asset(text: &str) -> AssetRef {
    AssetRef::parse(text).unwrap()
}

fn linux(kernel: &str, initrd: &[&str]) -> Expected {
    Expected {
        loads: Loads::Linux {
            kernel: asset(kernel),
            initrd: initrd.iter().map(|file| asset(file)).collect(),
        },
        answers: true,
        ..Expected::default()
    }
}

/// A boot that has its script with the installer.
fn scripted(expected: Expected) -> Progress {
    let mut progress = Progress::new(expected);
    for event in &whole_boot(0)[..8] {
        progress.read(event);
    }
    progress
}

/// What the fetch of a file shows.
fn fetched(progress: &mut Progress, file: &str) -> Option<(StepKind, String)> {
    let seen = progress.read(&event(9_000, Kind::HttpAsset, Reason::Done, "", file));
    assert!(!seen.is_remark);
    seen.step
}

fn step(progress: &mut Progress, file: &str) -> Option<StepKind> {
    fetched(progress, file).map(|(step, _)| step)
}

fn is_remark(progress: &mut Progress, kind: Kind, reason: Reason, file: &str) -> bool {
    progress
        .read(&event(9_000, kind, reason, "", file))
        .is_remark
}

#[test]
fn files_are_known_by_path_and_by_url() {
    assert!(is_same_file("/assets/a/linux", "a/linux"));
    assert!(is_same_file("a/linux", "a/linux"));
    assert!(!is_same_file("/assets/ba/linux", "a/linux"));
    assert!(is_same_file(
        "/assets/a/linux",
        "http://10.0.0.1/assets/a/linux"
    ));
}

#[test]
fn where_the_files_are_known_their_names_and_order_say_nothing() {
    // A kernel that looks like a RAM disk, and RAM disks that look like nothing, the kernel last.
    let expected = linux("a/vmlinuz.gz", &["a/base", "a/firmware"]);
    let mut boot = scripted(expected);
    assert_eq!(step(&mut boot, "/assets/a/base"), None, "one is left");
    assert_eq!(
        step(&mut boot, "/assets/a/firmware"),
        Some(StepKind::Initrd)
    );
    let (step_kind, words) = fetched(&mut boot, "/assets/a/vmlinuz.gz").unwrap();
    assert_eq!(step_kind, StepKind::Kernel);
    assert_eq!(words, "kernel sent, 70 kB");
    // What the installer fetches later is neither.
    assert_eq!(step(&mut boot, "/assets/a/packages.gz"), None);
    assert_eq!(step(&mut boot, "/assets/a/more"), None);
}

#[test]
fn where_they_are_not_known_names_and_order_are_what_there_is() {
    let mut boot = scripted(Expected::default());
    assert_eq!(step(&mut boot, "/assets/menu.ipxe"), None);
    let (kind, words) = fetched(&mut boot, LINUX).unwrap();
    assert_eq!(
        (kind, &*words),
        (StepKind::Kernel, "kernel linux sent, 70 kB")
    );
    let (kind, words) = fetched(&mut boot, INITRD).unwrap();
    assert_eq!(kind, StepKind::Initrd);
    assert_eq!(words, "initial RAM disk initrd.gz sent, 70 kB");
    assert_eq!(step(&mut boot, "/assets/more"), None);
    // Nor is anything an installer's file where the disk is booted.
    let mut boot = Progress::new(Expected::default());
    boot.read(&event(
        0,
        Kind::HttpScript,
        Reason::DiskLocal,
        "",
        "boot.ipxe",
    ));
    assert_eq!(step(&mut boot, LINUX), None);
}

#[test]
fn a_boot_of_a_configuration_since_changed_is_told_by_names() {
    let mut boot = scripted(linux(
        "debian/13/x86_64/linux",
        &["debian/13/x86_64/initrd.gz"],
    ));
    assert_eq!(step(&mut boot, LINUX), Some(StepKind::Kernel));
    assert_eq!(step(&mut boot, INITRD), Some(StepKind::Initrd));
}

#[test]
fn a_script_that_is_chained_to_is_no_kernel() {
    let mut boot = scripted(Expected {
        loads: Loads::Script(Some(asset("tools/menu.efi"))),
        ..Expected::default()
    });
    assert_eq!(step(&mut boot, "/assets/tools/menu.efi"), None);
    assert_eq!(
        step(&mut boot, "/assets/tools/linux"),
        Some(StepKind::Kernel)
    );
}

#[test]
fn only_what_the_boot_needs_is_missed() {
    use Kind::{HttpRefused, TftpFailed};
    let mut known = scripted(linux("debian/12/x86_64/linux", &[]));
    for (kind, file, needed) in [
        (TftpFailed, "ipxe/undionly.kpxe", true),
        (TftpFailed, "autoexec.ipxe", false),
        (TftpFailed, "debian/12/x86_64/linux", true),
        (HttpRefused, LINUX, true),
    ] {
        let seen = is_remark(&mut known, kind, Reason::NotFound, file);
        assert_eq!(seen, needed, "{file}");
    }
    step(&mut known, LINUX).unwrap();
    let tried = "/assets/debian/12/x86_64/extra.udeb";
    assert!(!is_remark(&mut known, HttpRefused, Reason::NotFound, tried));
    // Which one it needs is not known: it may be this one.
    let mut unknown = scripted(Expected::default());
    assert!(is_remark(
        &mut unknown,
        HttpRefused,
        Reason::NotFound,
        tried
    ));
    assert!(!is_remark(
        &mut unknown,
        TftpFailed,
        Reason::NotFound,
        tried
    ));
    // What is refused for another reason always counts, a client that changes its mind about a file it does not need never.
    assert!(is_remark(&mut known, TftpFailed, Reason::Timeout, tried));
    assert!(!is_remark(&mut known, TftpFailed, Reason::Aborted, tried));
}

#[test]
fn answers_that_systems_only_try_are_not_missed() {
    let mut boot = scripted(linux("ubuntu/24.04/x86_64/linux", &[]));
    for (file, missed) in [
        ("/answers/abcd…/network-config", false),
        ("/answers/abcd…/autorun3", false),
        ("/answers/abcd…/autorun", true),
        ("/answers/abcd…/user-dta", true),
    ] {
        let seen = is_remark(&mut boot, Kind::HttpRefused, Reason::UnknownAnswer, file);
        assert_eq!(seen, missed, "{file}");
    }
}

#[test]
fn lengths_previews_and_chains_are_no_steps() {
    let mut boot = Progress::new(Expected::default());
    let script = |reason| event(0, Kind::HttpScript, reason, "", "/boot/x/boot.ipxe");
    let preview = script(Reason::Installer).detail("a preview, nothing was changed");
    for event in [script(Reason::ChainScript), script(Reason::Script), preview] {
        assert_eq!(boot.read(&event), Sighting::default());
    }
    assert_eq!(boot.sent(), Sent::Undecided);
    let mut head = event(
        0,
        Kind::HttpAnswer,
        Reason::Done,
        "",
        "/answers/x/preseed.cfg",
    );
    head.bytes = Some(0);
    assert_eq!(boot.read(&head), Sighting::default());
}

#[test]
fn what_this_server_does_not_send_is_not_missed() {
    let here = linux("a/linux", &["a/initrd.gz"]);
    let there = linux("http://mirror/linux", &["http://mirror/initrd.gz"]);
    let script = Expected {
        loads: Loads::Script(None),
        ..Expected::default()
    };
    for (expected, kernel, initrd) in [
        (&here, true, true),
        (&there, false, false),
        (&script, false, false),
        // One kernel there is in any case.
        (&Expected::default(), true, false),
    ] {
        assert_eq!(expected.is_on_the_way(StepKind::Kernel), kernel);
        assert_eq!(expected.is_on_the_way(StepKind::Initrd), initrd);
    }
}

#[test]
fn a_disk_that_is_read_in_pieces_is_one_step() {
    let mut progress = scripted(Expected {
        loads: Loads::Disk(Some(asset("cd/hello.iso"))),
        ..Expected::default()
    });
    let (step, what) = fetched(&mut progress, "/assets/cd/hello.iso").unwrap();
    assert_eq!(step, StepKind::Kernel);
    assert_eq!(what, "hello.iso is read as a disk");
    // What was counted since belongs to this boot, and a count may be told when another one has begun.
    let mut counted = event(
        9_500,
        Kind::HttpAsset,
        Reason::Done,
        "",
        "/assets/cd/hello.iso",
    );
    counted.count = Some(412);
    counted.bytes = Some(843_776);
    assert_eq!(progress.read(&counted), Sighting::default());
}

#[test]
fn a_loaders_own_modules_are_no_kernel() {
    let mut progress = scripted(linux("a/linux", &["a/initrd.gz"]));
    for module in ["grub/i386-pc/command.lst", "grub/i386-pc/linux.mod"] {
        assert_eq!(step(&mut progress, module), None, "{module}");
    }
    assert_eq!(
        step(&mut progress, "/assets/a/linux"),
        Some(StepKind::Kernel)
    );
}
