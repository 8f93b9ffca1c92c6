//! Options of the configuration: which ones go out, and to whom.

use super::*;
use crate::config::options::ConfiguredOption;

fn option(code: u8, data: &[u8], force: bool) -> ConfiguredOption {
    ConfiguredOption {
        code,
        data: data.into(),
        force,
    }
}

/// `web01` with options of its own in a subnet that has some.
fn site(host: Vec<ConfiguredOption>, subnet: Vec<ConfiguredOption>) -> Snapshot {
    let mut snapshot = testing::changed(|hosts| hosts[0].options = host.into());
    snapshot.subnets[0].options = subnet;
    snapshot
}

fn read(ask: &Ask, snapshot: &Snapshot) -> Request {
    let decision = answer_with(ask, snapshot, Known::Record(&armed()), &AllThere);
    Request::parse(&sent(&decision).0.encode()).unwrap()
}

fn value(ask: &Ask, snapshot: &Snapshot, code: u8) -> Option<Vec<u8>> {
    read(ask, snapshot)
        .options
        .get(OptionCode::from(code))
        .map(<[u8]>::to_vec)
}

#[test]
fn the_nearest_one_is_sent_when_it_is_asked_for() {
    let snapshot = site(
        vec![option(17, b"/host", false)],
        vec![
            option(17, b"/subnet", true),
            option(26, &[5, 220], false),
            option(224, b"x", true),
        ],
    );
    let asked = Ask::new(1).with(55, &[17, 26]);
    assert_eq!(value(&asked, &snapshot, 17).as_deref(), Some(&b"/host"[..]));
    assert_eq!(value(&asked, &snapshot, 26), Some(vec![5, 220]));
    // Forced ones are sent in any case; the nearer 17 is not forced.
    let other = Ask::new(1).with(55, &[1]);
    assert_eq!(value(&other, &snapshot, 17), None);
    assert_eq!(value(&other, &snapshot, 26), None);
    assert_eq!(value(&other, &snapshot, 224).as_deref(), Some(&b"x"[..]));
    // Who asks for nothing gets all, as RFC 2131 section 4.3.1 says of configured parameters.
    assert_eq!(value(&Ask::new(1), &snapshot, 26), Some(vec![5, 220]));
    // In the client's order, among this server's own.
    let decision = answer_with(
        &Ask::new(1).with(55, &[26, 15, 17]),
        &snapshot,
        Known::Nothing,
        &AllThere,
    );
    assert_eq!(codes(&decision), [53, 54, 51, 1, 26, 15, 17, 3, 6, 224]);
}

/// All files are there, and profiles have options that show what they were rendered with.
struct OfProfile;

impl BootFiles for OfProfile {
    fn is_there(&self, _: &str) -> bool {
        true
    }
    fn missing_for(
        &self,
        _: &Host,
        _: &crate::config::snapshot::Profile,
        _: crate::base::Architecture,
    ) -> Option<String> {
        None
    }
    fn options_of(
        &self,
        host: &Host,
        profile: &crate::config::snapshot::Profile,
        token: &crate::base::Token,
        server: Ipv4Addr,
    ) -> Vec<ConfiguredOption> {
        let url = format!(
            "http://{server}/{}/{}/{}",
            host.name,
            profile.name,
            token.reveal()
        );
        vec![
            option(250, url.as_bytes(), true),
            option(17, b"/profile", false),
        ]
    }
}

#[test]
fn those_of_a_profile_go_to_its_installer_alone() {
    use crate::config::snapshot::{ProfileOption, ProfileValue};
    let own = ProfileOption {
        code: 250,
        value: ProfileValue::Bytes(b"x"[..].into()),
        force: true,
    };
    let snapshot = testing::site(
        |hosts| hosts[0].options = vec![option(17, b"/host", true)].into(),
        |profile| profile.options = vec![own],
    );
    let given = |ask: &Ask, state: InstallState, snapshot: &Snapshot| {
        let record = testing::record("web01", state);
        let decision = answer_with(ask, snapshot, Known::Record(&record), &OfProfile);
        let reply = Request::parse(&sent(&decision).0.encode()).unwrap();
        let get = |code: u8| {
            let value = reply.options.get(OptionCode::from(code))?;
            Some(String::from_utf8(value.to_vec()).unwrap())
        };
        (get(250), get(17))
    };
    let os = Ask::new(1).with(55, &[1, 17]);
    for state in [InstallState::Booting, InstallState::Installing] {
        let (url, path) = given(&os, state, &snapshot);
        let url = url.unwrap();
        assert!(
            url.starts_with("http://10.99.0.2/web01/debian-12/"),
            "{url}"
        );
        // Nearer than the host's.
        assert_eq!(path.as_deref(), Some("/profile"));
    }
    for state in [
        InstallState::Local,
        InstallState::Waiting,
        InstallState::Armed,
        InstallState::Installed,
        InstallState::Failed,
    ] {
        let host_s = (None, Some("/host".to_owned()));
        assert_eq!(given(&os, state, &snapshot), host_s, "{state:?}");
    }
    // Not to firmware and iPXE, which a token is nothing to, nor to another card than the armed one.
    for ask in [
        Ask::new(1).bios(),
        Ask::new(1).uefi(),
        Ask::new(1).ipxe(&[19, 1, 1]),
    ] {
        assert_eq!(given(&ask, InstallState::Booting, &snapshot).0, None);
    }
    let mut elsewhere = testing::record("web01", InstallState::Installing);
    elsewhere.macs = vec!["52:54:00:00:00:99".parse().unwrap()];
    let decision = answer_with(&os, &snapshot, Known::Record(&elsewhere), &OfProfile);
    assert!(!codes(&decision).contains(&250));
    // A profile without options has none.
    let plain = site(vec![option(17, b"/host", true)], Vec::new());
    assert_eq!(given(&os, InstallState::Booting, &plain).0, None);
}

#[test]
fn they_replace_what_is_sent_anyway() {
    let snapshot = site(
        vec![
            option(1, &[255, 255, 0, 0], false),
            option(3, &[10, 99, 0, 7], false),
            option(12, b"other", false),
            option(15, b"other.example", false),
            option(28, &[10, 99, 255, 255], false),
            option(42, &[10, 99, 0, 9], false),
            option(58, &[0, 0, 0, 60], false),
            option(59, &[0, 0, 0, 90], false),
        ],
        Vec::new(),
    );
    let ack = Ask::new(3)
        .with_ip(50, "10.99.0.11")
        .with(55, &[12, 15, 28, 42, 58, 59]);
    for (code, wanted) in [
        (1, &[255, 255, 0, 0][..]),
        (3, &[10, 99, 0, 7]),
        (12, b"other"),
        (15, b"other.example"),
        (28, &[10, 99, 255, 255]),
        (42, &[10, 99, 0, 9]),
        (58, &[0, 0, 0, 60]),
        (59, &[0, 0, 0, 90]),
    ] {
        assert_eq!(value(&ack, &snapshot, code).as_deref(), Some(wanted));
    }
    // An INFORM gets them but for the times of a lease, a NAK none of them.
    let inform = Ask {
        ciaddr: "10.99.0.11",
        ..Ask::new(8)
    };
    assert_eq!(
        value(&inform, &snapshot, 12).as_deref(),
        Some(&b"other"[..])
    );
    assert_eq!(value(&inform, &snapshot, 58), None);
    let nak = Ask::new(3).with_ip(50, "10.99.0.99");
    assert_eq!(value(&nak, &snapshot, 12), None);
}

#[test]
fn a_long_value_is_split_and_reads_back() {
    let long: Vec<u8> = (0..=255).chain(0..=99).collect();
    let snapshot = site(vec![option(224, &long, true)], Vec::new());
    let ask = Ask::new(1).with(57, &[5, 192]);
    assert_eq!(value(&ask, &snapshot, 224), Some(long));
    let decision = answer_with(&ask, &snapshot, Known::Nothing, &AllThere);
    let parts = codes(&decision).into_iter().filter(|code| *code == 224);
    assert_eq!(parts.count(), 2);
}

#[test]
fn a_search_list_is_encoded_as_dns_does() {
    let mut snapshot = site(Vec::new(), Vec::new());
    snapshot.subnets[0].dns_search = vec!["lab.example".to_owned(), "example".to_owned()];
    let ask = Ask::new(1).with(55, &[119]);
    assert_eq!(
        value(&ask, &snapshot, 119).as_deref(),
        Some(&b"\x03lab\x07example\0\xc0\x04"[..])
    );
    assert_eq!(value(&Ask::new(1).with(55, &[1]), &snapshot, 119), None);
    snapshot.subnets[0].options = vec![option(119, b"\x01x\0", false)];
    assert_eq!(
        value(&ask, &snapshot, 119).as_deref(),
        Some(&b"\x01x\0"[..])
    );
}

#[test]
fn a_vendor_class_goes_to_no_uefi_and_no_ipxe() {
    let snapshot = site(
        Vec::new(),
        vec![
            option(60, b"PXEClient", true),
            option(43, &[6, 1, 8, 255], true),
        ],
    );
    let class = |ask: Ask| value(&ask, &snapshot, 60);
    let own = Some(b"PXEClient".to_vec());
    assert_eq!(class(Ask::new(1).bios()), own);
    assert_eq!(class(Ask::new(1)), own);
    assert_eq!(class(Ask::new(1).uefi()), None);
    assert_eq!(class(Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1])), None);
    assert_eq!(class(Ask::new(1).http_boot()), Some(b"HTTPClient".to_vec()));
}

#[test]
fn a_boot_file_of_the_operators_stands_in_67() {
    let snapshot = site(vec![option(67, b"own.efi", false)], Vec::new());
    let ask = Ask::new(1).uefi().with(55, &[66, 67]);
    assert_eq!(value(&ask, &snapshot, 67).as_deref(), Some(&b"own.efi"[..]));
}
