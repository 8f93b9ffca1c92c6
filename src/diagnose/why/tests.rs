//! Diagnoses of whole and broken boots.

mod loaders;
mod nothing;

use super::super::attempts::tests::{at, event, host, mac, whole_boot};
use super::*;
use crate::base::{After, AfterEvent, Lifecycle};
use crate::config::snapshot::InstallPolicy;
use crate::diagnose::Loads;
use crate::journal::event::{Kind, Reason};
use crate::render::AssetRef;
use std::time::Duration;

const POLICY: Policy = Policy {
    max_attempts: 3,
    stalled_after: Duration::from_secs(2_700),
    lifecycle: Lifecycle::Install,
    kernel_is_known: true,
};

fn record(state: InstallState) -> Record {
    Record {
        state,
        profile: Some("debian-12".parse().unwrap()),
        attempt: 1,
        armed_at: Some(at(-60_000)),
        armed_until: Some(at(86_400_000)),
        ..Record::new(host())
    }
}

fn about(record: Option<&Record>, events: &[Event], others: &[Event], now_ms: i64) -> Diagnosis {
    let expected = Expected {
        answers: true,
        ..Expected::default()
    };
    expecting(&expected, record, events, others, now_ms)
}

fn expecting(
    expected: &Expected,
    record: Option<&Record>,
    events: &[Event],
    others: &[Event],
    now_ms: i64,
) -> Diagnosis {
    let host = host();
    let subject = Subject {
        host: &host,
        macs: &[mac()],
        record,
        policy: POLICY,
        install: InstallPolicy::Once,
        awaited: None,
        expected,
        is_off: false,
    };
    diagnose(&subject, events, others, at(now_ms))
}

/// The boot cut after some events, looked at an hour later.
fn cut(state: InstallState, events: &[Event]) -> Diagnosis {
    about(Some(&record(state)), events, &[], 3_600_000)
}

fn codes(diagnosis: &Diagnosis) -> Vec<&str> {
    diagnosis
        .causes
        .iter()
        .map(|cause| cause.code.as_str())
        .collect()
}

fn missing(diagnosis: &Diagnosis) -> Option<StepKind> {
    diagnosis.missing.as_ref().map(|missing| missing.step)
}

#[test]
fn each_gap_names_the_step_that_did_not_come() {
    let whole = whole_boot(0);
    let booting = InstallState::Booting;
    for (after, step, first) in [
        (1, StepKind::FirmwareAddress, "reply-lost-on-bridge"),
        (2, StepKind::Loader, "tftp-blocked"),
        (4, StepKind::IpxeAddress, "link-reset"),
        (6, StepKind::Script, "boot-plane-unreachable"),
        (8, StepKind::Kernel, "boot-files"),
        (9, StepKind::InstallerAddress, "kernel-stopped"),
        (10, StepKind::InstallerAddress, "kernel-stopped"),
        (11, StepKind::Answers, "installer-network"),
        (13, StepKind::Installed, "installer-waits"),
    ] {
        let found = cut(booting, &whole[..after]);
        assert_eq!(missing(&found), Some(step), "after {after}");
        assert_eq!(codes(&found).first(), Some(&first), "after {after}");
        assert!(!found.missing.unwrap().under_way);
        assert!(found.causes.iter().all(|cause| !cause.remedy.is_empty()));
        // Looked at while it goes on, nothing is wrong yet.
        let last = whole[after - 1].at;
        let soon = (last.as_micros() - at(0).as_micros()) / 1_000 + 5_000;
        let found = about(Some(&record(booting)), &whole[..after], &[], soon);
        assert!(found.missing.as_ref().unwrap().under_way, "after {after}");
        assert_eq!(found.causes, [], "after {after}");
    }
    let found = cut(InstallState::Installed, &whole);
    assert_eq!((missing(&found), codes(&found)), (None, vec![]));
    assert!(
        found.verdict.contains("nothing is missing"),
        "{}",
        found.verdict
    );
}

#[test]
fn sent_to_its_disk_for_a_reason() {
    let mut events = whole_boot(0)[..6].to_vec();
    events.push(
        event(
            4_600,
            Kind::HttpScript,
            Reason::DiskFileMissing,
            "",
            "/boot/52-54-00-47-86-8e/boot.ipxe",
        )
        .detail("debian/12/x86_64/linux is not there"),
    );
    let found = cut(InstallState::Armed, &events);
    assert_eq!(codes(&found), ["disk/boot-file-missing"]);
    assert!(found.causes[0].evidence[0].contains("linux is not there"));
    assert!(found.causes[0].remedy.contains("bootwright assets list"));
    assert_eq!(found.missing, None);

    // BIOS is told so with its address already.
    let offer = event(0, Kind::DhcpOffer, Reason::DiskFileMissing, "bios", "")
        .detail("debian/12/x86_64/linux");
    let found = cut(InstallState::Armed, &[offer]);
    assert_eq!(codes(&found), ["disk/boot-file-missing"]);
    assert!(found.causes[0].evidence[0].contains("x86_64/linux"));

    // A secret has gone since it was armed.
    let offer = event(0, Kind::DhcpOffer, Reason::NoSecret, "bios", "").detail("root-password");
    let found = cut(InstallState::Armed, &[offer]);
    assert_eq!(codes(&found), ["no-secret"]);
    assert!(found.causes[0].evidence[0].contains("root-password"));
    assert!(found.causes[0].remedy.contains("[server] secrets"));

    // Nobody armed it.
    let events = [
        event(0, Kind::DhcpOffer, Reason::DiskLocal, "bios", ""),
        event(100, Kind::DhcpAck, Reason::DiskLocal, "bios", ""),
    ];
    let found = about(None, &events, &[], 3_600_000);
    assert_eq!(codes(&found), ["disk/local"]);
    assert_eq!(found.causes[0].evidence, [""; 0], "it would say the same");
    assert_eq!(
        found.causes[0].remedy,
        "to install it: bootwright install web01"
    );
}

#[test]
fn refusals_on_the_way_come_first() {
    let whole = whole_boot(0);
    let mut events = whole[..11].to_vec();
    events.push(
        event(
            31_000,
            Kind::HttpRefused,
            Reason::NotThisMachine,
            "",
            "/answers/abcd…/preseed.cfg",
        )
        .detail("10.99.0.77 asks"),
    );
    let found = cut(InstallState::Booting, &events);
    assert_eq!(missing(&found), Some(StepKind::Answers));
    assert_eq!(codes(&found)[0], "not-this-machine");
    assert!(found.causes[0].evidence[0].contains("10.99.0.77"));

    let mut events = vec![event(0, Kind::DhcpIgnored, Reason::WrongSubnet, "bios", "")];
    events.push(event(
        4_000,
        Kind::DhcpIgnored,
        Reason::WrongSubnet,
        "bios",
        "",
    ));
    let found = cut(InstallState::Armed, &events);
    assert_eq!(missing(&found), Some(StepKind::FirmwareOffer));
    assert_eq!(codes(&found), ["wrong-subnet"]);
}

#[test]
fn trouble_of_the_server_and_a_slow_link_are_told() {
    let mut events = whole_boot(0);
    for event in &mut events[4..] {
        event.at = event.at.plus(Duration::from_secs(32));
    }
    let trouble = Event::new(at(3_000), Kind::ServerTrouble, Reason::StoreUnavailable)
        .detail("No space left on device");
    let found = about(
        Some(&record(InstallState::Installed)),
        &events,
        &[trouble],
        9_000_000,
    );
    assert_eq!(codes(&found), ["server/store-unavailable", "slow-link"]);
}

#[test]
fn it_survives_json() {
    let found = cut(InstallState::Booting, &whole_boot(0)[..4]);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), found);
}

#[test]
fn a_refusal_is_shown_while_the_boot_goes_on() {
    let mut events = whole_boot(0)[..8].to_vec();
    events.push(event(
        5_000,
        Kind::HttpRefused,
        Reason::NotFound,
        "",
        "/assets/debian/12/x86_64/linux",
    ));
    let found = about(Some(&record(InstallState::Booting)), &events, &[], 8_000);
    assert!(found.missing.as_ref().unwrap().under_way);
    assert_eq!(codes(&found), ["not-found"], "no guesses yet");
    assert!(found.verdict.contains("not all went well"));
}

#[test]
fn after_the_attempts_are_used_the_boots_of_the_installer_are_explained() {
    let mut events = whole_boot(0)[..10].to_vec();
    let mut last = whole_boot(400_000)[..8].to_vec();
    last[6].kind = Kind::InstallFailed;
    last[6].reason = Reason::AttemptsUsed;
    last[7].reason = Reason::DiskFailed;
    last[7].detail = Some("after 3 attempts".to_owned());
    events.extend(last);
    let found = cut(InstallState::Failed, &events);
    assert_eq!(missing(&found), Some(StepKind::InstallerAddress));
    assert_eq!(codes(&found)[..2], ["disk/failed", "kernel-stopped"]);
    assert!(found.causes[0].evidence[0].contains("after 3 attempts"));
    assert!(
        found.verdict.contains("last boot of the installer"),
        "{}",
        found.verdict
    );
}

#[test]
fn a_reported_failure_is_the_cause_and_no_guess_stands_beside_it() {
    let mut events = whole_boot(0)[..13].to_vec();
    events
        .push(event(32_000, Kind::InstallFailed, Reason::Reported, "", "").detail("no disk found"));
    let found = cut(InstallState::Failed, &events);
    assert_eq!(missing(&found), Some(StepKind::Installed));
    assert_eq!(codes(&found), ["reported"]);
    assert_eq!(found.causes[0].what, "the installer reported a failure");
    assert!(found.causes[0].evidence[0].contains("no disk found"));
}

#[test]
fn a_running_system_that_renews_its_address_is_no_network_boot() {
    // It was sent to its disk, its system started, and only then it was armed.
    let mut events = vec![
        event(0, Kind::DhcpOffer, Reason::DiskLocal, "bios", ""),
        event(100, Kind::DhcpAck, Reason::DiskLocal, "bios", ""),
    ];
    let renewal = |ms| event(ms, Kind::DhcpAck, Reason::NetworkOnly, "os", "");
    events.push(renewal(90_000));
    let mut armed = record(InstallState::Armed);
    armed.armed_at = Some(at(60_000));
    let found = about(Some(&armed), &events, &[], 100_000);
    assert_eq!(codes(&found), ["boots-its-disk-first"]);
    assert_eq!(
        found.causes[0].evidence,
        ["it asked for its address 10 s ago"]
    );
    // Started anew soon after: that is another boot.
    events.push(event(
        95_000,
        Kind::DhcpOffer,
        Reason::Loader,
        "bios",
        "ipxe/undionly.kpxe",
    ));
    let found = about(Some(&armed), &events, &[], 3_600_000);
    assert_eq!(found.boots_seen, 2);
    assert_eq!(missing(&found), Some(StepKind::FirmwareAddress));
}

#[test]
fn ipxe_in_rom_has_no_firmware_to_wait_for() {
    let script = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe";
    let offer = event(0, Kind::DhcpOffer, Reason::Script, "ipxe", script);
    let found = cut(InstallState::Armed, &[offer]);
    assert_eq!(missing(&found), Some(StepKind::IpxeAddress));
    assert_eq!(codes(&found)[0], "reply-lost-on-bridge");
    assert_eq!(found.causes[0].evidence, ["1 offer and no request"]);
    let ignored = event(0, Kind::DhcpIgnored, Reason::WrongSubnet, "ipxe", "");
    let found = cut(InstallState::Armed, &[ignored]);
    assert_eq!(missing(&found), Some(StepKind::IpxeAddress));
    assert_eq!(codes(&found), ["wrong-subnet"]);
}

#[test]
fn scripts_alone_are_told_for_what_they_are() {
    let path = "/boot/52-54-00-47-86-8e/boot.ipxe";
    // It has its address from elsewhere.
    let foreign = event(0, Kind::HttpScript, Reason::NotThisMachine, "", path)
        .detail("10.99.0.77 asked for the script of 52:54:00:47:86:8e");
    let found = cut(InstallState::Armed, &[foreign]);
    assert_eq!(missing(&found), Some(StepKind::Script));
    assert_eq!(codes(&found)[0], "not-this-machine");
    // The script for any machine is no boot of this one.
    let chain = event(0, Kind::TftpSent, Reason::ChainScript, "", "boot.ipxe");
    let found = cut(InstallState::Armed, &[chain]);
    assert_eq!(found.boots_seen, 0);
}

#[test]
fn a_ram_disk_that_is_known_to_be_needed_is_missed() {
    let file = |name: &str| AssetRef::Path(format!("debian/12/x86_64/{name}"));
    let expected = Expected {
        loads: Loads::Linux {
            kernel: file("linux"),
            initrd: vec![file("initrd.gz"), file("firmware.cpio")],
        },
        answers: true,
        ..Expected::default()
    };
    let booting = record(InstallState::Booting);
    let look = |events: &[Event]| expecting(&expected, Some(&booting), events, &[], 3_600_000);
    let whole = whole_boot(0);
    // With the first of two, too.
    for after in [9, 10] {
        let found = look(&whole[..after]);
        assert_eq!(missing(&found), Some(StepKind::Initrd), "after {after}");
        assert_eq!(codes(&found)[0], "boot-files");
    }
    assert_eq!(missing(&look(&whole[..11])), Some(StepKind::Answers));
}

#[test]
fn what_is_never_installed_and_what_always_runs_is_not_sent_to_be_installed() {
    let of = |install, record: Option<&Record>, awaited| {
        let subject = Subject {
            host: &host(),
            macs: &[mac()],
            record,
            policy: POLICY,
            install,
            awaited,
            expected: &Expected::default(),
            is_off: false,
        };
        diagnose(&subject, &[], &[], at(0))
    };
    let always = of(InstallPolicy::Always, None, None);
    assert!(always.standing.contains("live system at every boot"));
    assert!(!always.verdict.contains("none is needed"), "{always:?}");
    assert!(!codes(&always).contains(&"disk/local"), "{always:?}");
    let never = of(InstallPolicy::Never, None, None);
    assert!(never.standing.contains("never installed"), "{never:?}");
    assert_eq!(codes(&never)[0], "disk/local");
    assert!(
        never.causes[0].remedy.starts_with("take install"),
        "{never:?}"
    );
    let waiting = Record {
        after: Some(After {
            host: "hv".parse().unwrap(),
            event: AfterEvent::Up,
        }),
        ..record(InstallState::Waiting)
    };
    for (awaited, what, remedy) in [
        (None, "no reservation has hv", "--after none"),
        (
            Some(InstallState::Local),
            "hv is local: nothing",
            "install hv,",
        ),
        (Some(InstallState::Armed), "hv is armed", "why hv "),
    ] {
        let found = of(InstallPolicy::Once, Some(&waiting), awaited);
        assert_eq!(codes(&found)[0], "disk/waiting");
        assert!(found.causes[0].what.contains(what), "{found:?}");
        assert!(found.causes[0].remedy.contains(remedy), "{found:?}");
    }
}

#[test]
fn a_live_system_has_all_that_it_boots() {
    let mut events = whole_boot(0)[..11].to_vec();
    // Nothing of it is recorded, but for the script's event.
    events.retain(|event| event.kind != Kind::InstallBooting);
    for event in &mut events {
        if event.kind == Kind::HttpScript {
            event.reason = Reason::Live;
        }
    }
    let expected = Expected {
        lifecycle: Lifecycle::Live,
        ..Expected::default()
    };
    let live = |upto: usize| expecting(&expected, None, &events[..upto], &[], 3_600_000);
    let found = live(7);
    assert_eq!(found.missing.as_ref().unwrap().step, StepKind::Kernel);
    let found = live(10);
    assert_eq!(found.missing, None, "{found:?}");
    assert!(found.verdict.contains("nothing is missing"), "{found:?}");
    assert!(found.causes.is_empty(), "{found:?}");
}

#[test]
fn of_a_machine_that_is_switched_off_nothing_more_comes() {
    let host = host();
    let events = &whole_boot(0)[..8];
    let booting = record(InstallState::Booting);
    let subject = Subject {
        host: &host,
        macs: &[mac()],
        record: Some(&booting),
        policy: POLICY,
        install: InstallPolicy::Once,
        awaited: None,
        expected: &Expected::default(),
        is_off: true,
    };
    let found = diagnose(&subject, events, &[], at(5_000));
    assert!(!found.missing.as_ref().unwrap().under_way);
    assert_eq!(codes(&found)[0], "boot-files");
}

#[test]
fn what_ipxe_reports_is_no_sign_of_the_installer() {
    let mut events = whole_boot(0)[..8].to_vec();
    events.push(event(
        5_000,
        Kind::HttpRefused,
        Reason::NotFound,
        "",
        "/assets/debian/12/x86_64/linux",
    ));
    events.push(
        event(26_000, Kind::InstallProgress, Reason::Reported, "", "")
            .detail("attempt 1 of 3: iPXE failed at kernel, error 0x2d https://ipxe.org/err/0x2d"),
    );
    let found = cut(InstallState::Booting, &events);
    assert_eq!(missing(&found), Some(StepKind::Kernel));
    assert_eq!(codes(&found)[..2], ["not-found", "ipxe-error"]);
    assert_eq!(
        found.causes[1].evidence,
        ["install.progress: iPXE failed at kernel, error 0x2d https://ipxe.org/err/0x2d"]
    );
    // A message of the installer's is one.
    events.pop();
    let said = event(26_000, Kind::InstallProgress, Reason::Reported, "", "").detail("partman");
    events.push(said);
    let found = cut(InstallState::Booting, &events);
    assert_eq!(missing(&found), Some(StepKind::Installed));
}

#[test]
fn offers_that_went_both_ways_are_told() {
    let offer = |ms, note: Option<&str>| {
        let mut offer = event(
            ms,
            Kind::DhcpOffer,
            Reason::Loader,
            "bios",
            "ipxe/undionly.kpxe",
        );
        offer.detail = note.map(str::to_owned);
        offer
    };
    let unheard = "then the machine boots its disk; sent as a frame and by broadcast: 2 offers went unanswered";
    let mut events = vec![
        offer(0, None),
        offer(8_000, None),
        offer(24_000, Some(unheard)),
    ];
    let found = cut(InstallState::Armed, &events);
    assert_eq!(codes(&found)[0], "reply-lost-on-bridge");
    assert_eq!(
        found.causes[0].evidence,
        ["3 offers and no request, though the last went both as a frame to it and by broadcast"]
    );
    // It has helped: what the machine answered to stays to be seen.
    let mut taken = event(
        28_000,
        Kind::DhcpAck,
        Reason::Loader,
        "bios",
        "ipxe/undionly.kpxe",
    );
    let helped =
        "sent as a frame and by broadcast: it has requested nothing before it was offered so";
    taken.detail = Some(helped.to_owned());
    events.push(taken);
    let found = cut(InstallState::Armed, &events);
    assert_eq!(missing(&found), Some(StepKind::Loader));
    let steps = &found.boot.as_ref().expect("a boot").steps;
    let last = &steps.last().expect("a step").what;
    assert!(last.ends_with(&format!(", {helped}")), "{last}");
}

#[test]
fn a_card_that_does_not_boot_is_named_before_all_guesses() {
    let offer = event(0, Kind::DhcpOffer, Reason::NicDoesNotBoot, "uefi-x64", "");
    let found = cut(InstallState::Armed, &[offer]);
    assert_eq!(codes(&found)[0], "nic-does-not-boot");
}

/// Where another server gives the addresses, that it does not is the likeliest; that it is there is no
/// trouble.
#[test]
fn beside_another_server() {
    let mut offer = event(
        0,
        Kind::DhcpOffer,
        Reason::Loader,
        "uefi-x64",
        "ipxe/snponly.efi",
    );
    offer.ip = None;
    let alone = cut(InstallState::Armed, std::slice::from_ref(&offer));
    assert_eq!(missing(&alone), Some(StepKind::FirmwareAddress));
    assert_eq!(codes(&alone), ["no-other-server", "reply-lost-on-bridge"]);

    let mut taken = event(900, Kind::DhcpIgnored, Reason::ProxyOnly, "uefi-x64", "");
    taken.ip = Some([10, 99, 0, 50].into());
    let deaf = cut(InstallState::Armed, &[offer, taken]);
    assert_eq!(missing(&deaf), Some(StepKind::Loader));
    assert_eq!(codes(&deaf)[0], "proxy-port-blocked");
}
