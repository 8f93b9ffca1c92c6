//! Machines with Secure Boot: which loader they are named, and what is said when it is of no use.

use super::*;
use crate::base::Architecture;
use crate::config::snapshot::{Profile, SignedLoaders};
use crate::decide::BootFiles;

const SHIM: &str = "debian/12/x86_64/shimx64.efi";

/// What is there but a signed iPXE.
struct NoSignedIpxe;

impl BootFiles for NoSignedIpxe {
    fn is_there(&self, path: &str) -> bool {
        !path.starts_with("ipxeboot/")
    }
    fn missing_for(&self, _: &Host, _: &Profile, _: Architecture) -> Option<String> {
        None
    }
}

fn site(http: bool) -> Snapshot {
    testing::changed_with(
        |hosts| hosts[0].secure_boot = Some(true),
        |profile| {
            profile.signed = Some(SignedLoaders {
                shim: "debian/12/{{ arch }}/shim{{ efi_arch }}.efi".to_owned(),
                grub: None,
                http,
            });
        },
    )
}

fn told(ask: &Ask, snapshot: &Snapshot, known: Known<'_>) -> (Reason, Option<String>) {
    let decision = answer_with(ask, snapshot, known, &NoSignedIpxe);
    (
        decision.reason,
        decision.boot_file.map(|file| file.to_string()),
    )
}

#[test]
fn uefi_gets_its_distributions_shim_and_bios_what_it_always_got() {
    let snapshot = site(true);
    let record = armed();
    for known in [Known::Record(&record), Known::Nothing] {
        let shim = (Reason::Loader, Some(SHIM.to_owned()));
        assert_eq!(told(&Ask::new(1).uefi(), &snapshot, known), shim);
        let url = format!("http://10.99.0.2:8080/assets/{SHIM}");
        let shim = (Reason::Loader, Some(url));
        assert_eq!(told(&Ask::new(1).http_boot(), &snapshot, known), shim);
    }
    let bios = told(&Ask::new(1).bios(), &snapshot, Known::Record(&record));
    assert_eq!(bios.1.as_deref(), Some("ipxe/undionly.kpxe"));
    // Which firmware asks is what its packet says, and not what its host is for.
    let arm = Ask::new(1).with(60, b"PXEClient").with(93, &[0, 11]);
    let arm = told(&arm, &snapshot, Known::Record(&record));
    assert_eq!(arm.1.as_deref(), Some("debian/12/aarch64/shimaa64.efi"));
    let ia32 = Ask::new(1).with(60, b"PXEClient").with(93, &[0, 6]);
    let ia32 = answer_with(&ia32, &snapshot, Known::Record(&record), &NoSignedIpxe);
    assert_eq!((ia32.reason, ia32.boot_file), (Reason::NoLoader, None));
    assert!(ia32.detail.unwrap().contains("secure_boot"));
    // An iPXE runs already: it gets its script.
    let ipxe = told(
        &Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1]),
        &snapshot,
        Known::Record(&record),
    );
    assert_eq!(ipxe.0, Reason::Script);
}

#[test]
fn grub_without_http_is_not_loaded_by_it() {
    let snapshot = site(false);
    let record = armed();
    let known = Known::Record(&record);
    let pxe = told(&Ask::new(1).uefi(), &snapshot, known);
    assert_eq!(pxe.1.as_deref(), Some(SHIM));
    let http = answer_with(&Ask::new(1).http_boot(), &snapshot, known, &NoSignedIpxe);
    assert_eq!((http.reason, http.boot_file), (Reason::NoLoader, None));
    assert!(
        http.detail
            .unwrap()
            .contains("have the firmware boot by PXE")
    );
}

#[test]
fn the_nearest_says_whether_it_has_it() {
    let mut snapshot = site(true);
    let record = armed();
    let of = |snapshot: &Snapshot| {
        let told = told(&Ask::new(1).uefi(), snapshot, Known::Record(&record));
        told.1.as_deref() == Some(SHIM)
    };
    assert!(of(&snapshot));
    snapshot.subnets[0].secure_boot = Some(false);
    assert!(of(&snapshot));
    let layers = |host, profile, subnet| {
        let mut snapshot = testing::changed_with(
            |hosts| hosts[0].secure_boot = host,
            |its| {
                its.secure_boot = profile;
                its.signed
                    .clone_from(&site(true).profiles().values().next().unwrap().signed);
            },
        );
        snapshot.subnets[0].secure_boot = subnet;
        of(&snapshot)
    };
    for (host, profile, subnet, has_it) in [
        (None, None, None, false),
        (None, None, Some(true), true),
        (None, Some(false), Some(true), false),
        (None, Some(true), Some(false), true),
        (Some(false), Some(true), Some(true), false),
        (Some(true), Some(false), Some(false), true),
    ] {
        assert_eq!(
            layers(host, profile, subnet),
            has_it,
            "{host:?} {profile:?} {subnet:?}"
        );
    }
}

#[test]
fn a_signed_ipxe_is_taken_where_it_is_there_and_a_loader_of_the_host_in_any_case() {
    let snapshot = site(false);
    let record = armed();
    let signed = answer_with(
        &Ask::new(1).http_boot(),
        &snapshot,
        Known::Record(&record),
        &AllThere,
    );
    let url = signed.boot_file.unwrap();
    assert!(
        url.ends_with("/assets/ipxeboot/x86_64-sb/snponly-shim.efi"),
        "{url}"
    );
    let own = testing::changed_with(
        |hosts| {
            hosts[0].secure_boot = Some(true);
            hosts[0].loader = Some("own/signed.efi".to_owned());
        },
        |_| {},
    );
    let own = told(&Ask::new(1).uefi(), &own, Known::Record(&record));
    assert_eq!(own.1.as_deref(), Some("own/signed.efi"));
}

#[test]
fn a_shim_that_leads_nowhere_ends_without_a_boot_file() {
    let snapshot = site(true);
    let record = armed();
    let mut fetches = Fetches::default();
    for secs in [30, 20, 10] {
        fetches.note(SHIM, Timestamp::from_secs(-secs));
    }
    let looped = |fetches: &Fetches| {
        let facts = Facts {
            known: Known::Record(&record),
            files: &NoSignedIpxe,
            fetches: Some(fetches),
            held: &[],
            delivery: Delivery::default(),
            route_source: None,
            pool: None,
        };
        let ask = Ask::new(1).uefi();
        decide(&ask.request(), &arrival(ask.to), &snapshot, &facts)
    };
    // A script in its place would be of no use: it is not signed.
    let refused = looped(&fetches);
    assert_eq!(
        (refused.reason, refused.boot_file),
        (Reason::LoopNoFile, None)
    );
    assert_eq!(refused.looped, Some(Reason::RefusedByFirmware));
    fetches.ran = true;
    let by_shim = looped(&fetches);
    assert_eq!(
        (by_shim.reason, by_shim.boot_file),
        (Reason::LoopNoFile, None)
    );
    assert_eq!(by_shim.looped, Some(Reason::RefusedByShim));
    assert!(
        by_shim
            .detail
            .unwrap()
            .ends_with("GRUB never asked for its configuration")
    );
}
