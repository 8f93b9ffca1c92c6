use super::*;

/// Of a configuration that is not known.
fn attempts(events: &[Event]) -> Vec<Attempt> {
    super::attempts(events, &Expected::default())
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + ms * 1_000)
}

pub(crate) fn mac() -> HardwareAddr {
    HardwareAddr::ethernet([0x52, 0x54, 0, 0x47, 0x86, 0x8e])
}

pub(crate) fn host() -> HostName {
    "web01".parse().unwrap()
}

/// `(milliseconds, kind, reason, stage, file)` as an event of web01.
pub(crate) fn event(ms: i64, kind: Kind, reason: Reason, stage: &str, file: &str) -> Event {
    let mut event = Event::new(at(ms), kind, reason)
        .host(host())
        .mac(mac())
        .ip(std::net::Ipv4Addr::new(10, 99, 0, 11));
    event.stage = (!stage.is_empty()).then(|| stage.into());
    event.file = (!file.is_empty()).then(|| file.to_owned());
    event.bytes = Some(70_000);
    event
}

/// A whole installation by BIOS, as the services tell it, beginning at `ms`.
pub(crate) fn whole_boot(ms: i64) -> Vec<Event> {
    use Kind::{DhcpAck, DhcpOffer, HttpAnswer, HttpAsset, HttpScript, TftpSent};
    let kpxe = "ipxe/undionly.kpxe";
    let script = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe";
    vec![
        event(ms, DhcpOffer, Reason::Loader, "bios", kpxe),
        event(ms + 2_000, DhcpAck, Reason::Loader, "bios", kpxe),
        event(ms + 2_100, TftpSent, Reason::Aborted, "", kpxe),
        event(ms + 2_300, TftpSent, Reason::Done, "", kpxe),
        event(ms + 4_000, DhcpOffer, Reason::Script, "ipxe", script),
        event(ms + 4_500, DhcpAck, Reason::Script, "ipxe", script),
        event(
            ms + 4_600,
            Kind::InstallBooting,
            Reason::ScriptServed,
            "",
            "/boot/52-54-00-47-86-8e/boot.ipxe",
        ),
        event(
            ms + 4_600,
            HttpScript,
            Reason::Installer,
            "",
            "/boot/52-54-00-47-86-8e/boot.ipxe",
        ),
        event(
            ms + 5_000,
            HttpAsset,
            Reason::Done,
            "",
            "/assets/debian/12/x86_64/linux",
        ),
        event(
            ms + 7_000,
            HttpAsset,
            Reason::Done,
            "",
            "/assets/debian/12/x86_64/initrd.gz",
        ),
        event(ms + 30_000, DhcpAck, Reason::NetworkOnly, "os", ""),
        event(
            ms + 31_000,
            Kind::InstallStarted,
            Reason::AnswerServed,
            "",
            "/answers/abcd…/preseed.cfg",
        ),
        event(
            ms + 31_000,
            HttpAnswer,
            Reason::Done,
            "",
            "/answers/abcd…/preseed.cfg",
        ),
        event(
            ms + 32_000,
            Kind::ReportIgnored,
            Reason::SignOfLife,
            "",
            "/report/abcd…/started",
        ),
        event(
            ms + 600_000,
            Kind::InstallInstalled,
            Reason::Reported,
            "",
            "/report/abcd…/installed",
        ),
    ]
}

fn kinds(attempt: &Attempt) -> Vec<StepKind> {
    attempt.steps.iter().map(|step| step.step).collect()
}

#[test]
fn a_whole_installation_is_one_attempt() {
    let events = whole_boot(0);
    let found = attempts(&events);
    assert_eq!(found.len(), 1);
    let boot = &found[0];
    let mut steps = StepKind::ALL[..12].to_vec();
    steps.retain(|step| *step != StepKind::Grub);
    assert_eq!(
        kinds(boot),
        steps,
        "all but the first start of the installed system, and without Secure Boot no GRUB"
    );
    assert_eq!(boot.firmware.as_deref(), Some("bios"));
    assert_eq!(boot.sent, Sent::Installer);
    assert_eq!(boot.loader_fetches, 1, "the size probe is no fetch");
    assert_eq!(boot.remarks, []);
    assert_eq!(boot.step(StepKind::Loader).unwrap().after_ms, 2_300);
    assert!(
        boot.step(StepKind::Initrd)
            .unwrap()
            .what
            .starts_with("initial RAM disk initrd.gz sent, 70 kB")
    );
}

#[test]
fn the_boot_after_it_is_another_one_and_the_systems_renewals_are_none() {
    let mut events = whole_boot(0);
    let disk = |ms, kind, stage| event(ms, kind, Reason::DiskInstalled, stage, "");
    events.push(disk(620_000, Kind::DhcpOffer, "bios"));
    events.push(disk(622_000, Kind::DhcpAck, "bios"));
    for i in 0..50 {
        events.push(event(
            640_000 + i * 1_800_000,
            Kind::DhcpAck,
            Reason::NetworkOnly,
            "os",
            "",
        ));
    }
    events.push(event(660_000, Kind::InstallUp, Reason::Reported, "", ""));
    let found = attempts(&events);
    assert_eq!(found.len(), 2);
    assert_eq!(found[1].sent, Sent::Disk(Reason::DiskInstalled));
    assert_eq!(
        kinds(&found[1]),
        [
            StepKind::FirmwareOffer,
            StepKind::FirmwareAddress,
            StepKind::Up
        ]
    );
    assert!(found[1].ended < at(700_000));
}

#[test]
fn retries_of_one_boot_stay_together_and_a_restart_does_not() {
    let offer = |ms| {
        event(
            ms,
            Kind::DhcpOffer,
            Reason::Loader,
            "uefi-x64",
            "ipxe/snponly.efi",
        )
    };
    // EDK2 asks after 4, 8, 16 and 32 s.
    let found = attempts(&[
        offer(0),
        offer(4_000),
        offer(12_000),
        offer(28_000),
        offer(60_000),
    ]);
    assert_eq!((found.len(), found[0].offers), (1, 5));
    let found = attempts(&[offer(0), offer(4_000), offer(200_000)]);
    assert_eq!(found.len(), 2);
    // UEFI that gave up on PXE tries HTTP Boot: another boot, with another loader.
    let http = event(
        64_000,
        Kind::DhcpOffer,
        Reason::Loader,
        "httpboot",
        "http://10.99.0.2/assets/x.efi",
    );
    assert_eq!(attempts(&[offer(0), http]).len(), 2);
}

#[test]
fn a_restart_in_the_middle_begins_anew_at_each_place() {
    let whole = whole_boot(0);
    for cut in 3..whole.len() {
        let mut events = whole[..cut].to_vec();
        let again = events[cut - 1].at.as_micros() / 1_000 - at(0).as_micros() / 1_000 + 10_000;
        events.extend(whole_boot(again));
        let found = attempts(&events);
        // Before the loader was fetched it may as well be a retry.
        let expected = if cut <= 3 { 1 } else { 2 };
        assert_eq!(found.len(), expected, "cut after {cut}");
    }
}

#[test]
fn ipxe_in_rom_and_addresses_of_another_server() {
    let whole = whole_boot(0);
    // iPXE in ROM: no firmware packet, no loader.
    let found = attempts(&whole[4..]);
    assert_eq!(found.len(), 1);
    assert_eq!(
        kinds(&found[0])[..2],
        [StepKind::IpxeAddress, StepKind::Script]
    );
    let mut twice = whole[4..9].to_vec();
    let mut again = whole[4..9].to_vec();
    for event in &mut again {
        event.at = event.at.plus(Duration::from_secs(60));
    }
    twice.extend(again);
    assert_eq!(attempts(&twice).len(), 2);
    // No DHCP at all.
    let found = attempts(&whole[7..8]);
    assert_eq!(kinds(&found[0]), [StepKind::Script]);
}

#[test]
fn what_need_not_be_there_is_no_remark() {
    let mut events = whole_boot(0);
    events.insert(
        4,
        event(
            2_400,
            Kind::TftpFailed,
            Reason::NotFound,
            "",
            "ipxe/autoexec.ipxe",
        ),
    );
    events.insert(
        4,
        event(
            2_500,
            Kind::TftpFailed,
            Reason::NotFound,
            "",
            "ipxe/undionly.kpxe",
        ),
    );
    events.insert(
        4,
        event(
            2_600,
            Kind::TftpFailed,
            Reason::Timeout,
            "",
            "ipxe/undionly.kpxe",
        ),
    );
    let found = attempts(&events);
    let remarks: Vec<Reason> = found[0]
        .remarks
        .iter()
        .map(|remark| remark.reason)
        .collect();
    assert_eq!(remarks, [Reason::Timeout, Reason::NotFound]);
}
