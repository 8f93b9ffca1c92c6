//! Firmware families that no capture is of: the nearest capture, changed to what that family is known
//! to send, and the whole reply as a snapshot.

use bootwright::decide::dhcp::Decision;
use bootwright::journal::event::Reason;

use super::capture::{Message, show};
use super::site::{answer, answer_armed, answer_local, changed};

fn armed(message: &Message) -> Decision {
    answer_armed(&message.bytes())
}

/// A UEFI of this number for PXE.
fn pxe(code: u8) -> Message {
    let class = format!("PXEClient:Arch:{code:05}:UNDI:003000");
    Message::of("ovmf-pxe-discover")
        .with(93, &[0, code])
        .with(60, class.as_bytes())
}

/// A UEFI of this number for HTTP Boot.
fn http(code: u8) -> Message {
    let class = format!("HTTPClient:Arch:{code:05}:UNDI:003000");
    Message::of("ovmf-http-discover")
        .with(93, &[0, code])
        .with(60, class.as_bytes())
}

/// Option 175 of a capture without these flags of one byte.
fn features_without(name: &str, flags: &[u8]) -> Vec<u8> {
    let message = Message::of(name);
    let told = message.options.iter().find(|(code, _)| *code == 175);
    let mut rest = told.expect("option 175").1.as_slice();
    let mut kept = Vec::new();
    while let [code, len, tail @ ..] = rest {
        let (data, tail) = tail.split_at(usize::from(*len));
        if !flags.contains(code) {
            kept.extend_from_slice(&[*code, *len]);
            kept.extend_from_slice(data);
        }
        rest = tail;
    }
    kept
}

const HTTP: u8 = 19;
const BZIMAGE: u8 = 24;

#[test]
fn arm64_by_pxe_and_by_http() {
    insta::assert_snapshot!("aavmf-pxe", show(&armed(&pxe(11))));
    insta::assert_snapshot!("aavmf-http", show(&armed(&http(19))));
}

/// A device that knows BOOTP only: its address, in 300 bytes.
#[test]
fn bootp() {
    let request = [53, 55, 57, 60, 61]
        .into_iter()
        .fold(Message::of("udhcpc-discover"), Message::without);
    let mut bytes = request.bytes();
    bytes.resize(300, 0);
    insta::assert_snapshot!("bootp", show(&answer_local(&bytes)));
    // Without the cookie, as before RFC 1048: the header alone.
    bytes[236..].fill(0);
    insta::assert_snapshot!("bootp-without-cookie", show(&answer_local(&bytes)));
}

/// FlexBoot is an iPXE that names itself in option 175 alone.
#[test]
fn flexboot() {
    let flexboot = Message::of("ipxe-bios-rom-discover").without(77);
    insta::assert_snapshot!("flexboot", show(&armed(&flexboot)));
}

/// The iPXE in VirtualBox' ROM: neither HTTP nor bzImage. To install, it gets the full iPXE that
/// drives the card itself; to boot its disk the script by TFTP does.
#[test]
fn virtualbox() {
    let lean = features_without("ipxe-bios-rom-discover", &[HTTP, BZIMAGE]);
    let rom = Message::of("ipxe-bios-rom-discover").with(175, &lean);
    insta::assert_snapshot!("virtualbox-armed", show(&armed(&rom)));
    insta::assert_snapshot!("virtualbox-local", show(&answer_local(&rom.bytes())));
    // With bzImage the script does for the installer as well.
    let features = features_without("ipxe-bios-rom-discover", &[HTTP]);
    let rom = Message::of("ipxe-bios-rom-discover").with(175, &features);
    assert_eq!(
        armed(&rom).boot_file.as_deref(),
        Some("52-54-00-47-86-8e/boot.ipxe")
    );
}

/// A Raspberry Pi 3 or 4 by its own loader: a PC with a BIOS by all its numbers. It looks for its files
/// below the TFTP server of 66 and `siaddr`, whatever the boot file is called.
#[test]
fn raspberry_pi() {
    let mac = [0xdc, 0xa6, 0x32, 1, 2, 3];
    let discover = Message::of("ipxe-bios-rom-discover")
        .without(77)
        .without(175)
        .without(61)
        .with(
            55,
            &[1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135],
        )
        .header(28, &mac);
    let site = changed(|hosts| {
        hosts[0].macs = vec!["dc:a6:32:01:02:03".parse().expect("a MAC")].into();
        hosts[0].arch = Some(bootwright::base::Architecture::Aarch64);
    });
    let mut record = super::site::record(bootwright::record::InstallState::Armed);
    record.macs = site.hosts()[0].macs.to_vec();
    let decision = answer(
        &discover.bytes(),
        &site,
        bootwright::decide::Known::Record(&record),
    );
    insta::assert_snapshot!("raspberry-pi", show(&decision));
    assert_eq!(
        decision.boot_file.as_deref(),
        Some("ipxe/snponly-arm64.efi")
    );
}

/// A board whose text was left as on a PC, and one whose number was.
#[test]
fn numbers_that_disagree() {
    let board = pxe(11).with(60, b"PXEClient:Arch:00000:UNDI:002001");
    let told = armed(&board);
    assert_eq!(told.boot_file.as_deref(), Some("ipxe/snponly-arm64.efi"));
    let detail = told.detail.expect("a detail");
    assert!(
        detail.contains("option 93 says 11 (uefi-arm64), option 60 says 0 (bios)"),
        "{detail}"
    );
    let numbered = pxe(7).with(93, &[0, 0]);
    assert_eq!(
        armed(&numbered).boot_file.as_deref(),
        Some("ipxe/snponly.efi")
    );
    // A loader for the number that was not believed is not taken.
    let mut site = changed(|_| {});
    let loaders = &mut site.server.loaders_by_code;
    loaders.insert(0, "own/pc.kpxe".to_owned());
    let record = super::site::record(bootwright::record::InstallState::Armed);
    let known = bootwright::decide::Known::Record(&record);
    let decision = answer(&numbered.bytes(), &site, known);
    assert_eq!(decision.boot_file.as_deref(), Some("ipxe/snponly.efi"));
}

/// EFI byte code, MIPS, U-Boot and others: no file at all rather than a wrong one, and the number.
#[test]
fn architectures_without_a_loader() {
    for code in [1, 2, 8, 12, 17, 20, 22, 27, 33, 41] {
        let decision = armed(&pxe(code));
        assert_eq!(decision.reason, Reason::UnknownArchitecture, "{code}");
        assert_eq!(decision.boot_file, None);
        let detail = decision.detail.expect("a detail");
        assert!(
            detail.contains(&format!("option 93 says {code};")),
            "{detail}"
        );
        assert_eq!(armed(&http(code)).boot_file, None, "{code}");
    }
}
