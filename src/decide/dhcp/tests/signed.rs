//! Which signed loader a machine gets, and what shim's further requests stand for.

use crate::base::Firmware;
use crate::config::Snapshot;
use crate::config::signed::{IsThere, Signed, companions, is_signed_ipxe, loader};
use crate::config::snapshot::{Profile, SignedLoaders};
use crate::decide::testing;

fn signed() -> SignedLoaders {
    SignedLoaders {
        shim: "debian/12/{{ arch }}/shim{{ efi_arch }}.efi".to_owned(),
        grub: None,
        http: false,
    }
}

fn site() -> Snapshot {
    testing::with_profile(|profile| profile.signed = Some(signed()))
}

fn profile(snapshot: &Snapshot) -> Profile {
    (**snapshot.profiles().values().next().unwrap()).clone()
}

#[test]
fn shim_goes_with_the_profile_and_the_architecture() {
    let snapshot = site();
    let profile = profile(&snapshot);
    let of = |firmware, by_http| loader(&snapshot, Some(&profile), firmware, by_http, &|_| false);
    let shim = |path: &str| Signed::Loader(path.to_owned());
    assert_eq!(
        of(Firmware::UefiX64, false),
        shim("debian/12/x86_64/shimx64.efi")
    );
    assert_eq!(
        of(Firmware::UefiArm64, false),
        shim("debian/12/aarch64/shimaa64.efi")
    );
    assert!(matches!(of(Firmware::UefiX64, true), Signed::Missing(why) if why.contains("PXE")));
    assert!(matches!(of(Firmware::UefiIa32, false), Signed::Missing(_)));
    let without = loader(&snapshot, None, Firmware::UefiX64, true, &|_| false);
    assert_eq!(without, shim("shim/shimx64.efi"));
}

#[test]
fn signed_ipxe_is_taken_where_both_of_it_are_there() {
    let snapshot = site();
    let profile = profile(&snapshot);
    let of = |is_there: IsThere<'_>| {
        loader(&snapshot, Some(&profile), Firmware::UefiX64, true, is_there)
    };
    let shim = "ipxeboot/x86_64-sb/ipxe-shimx64.efi";
    let both = |path: &str| [shim, "ipxeboot/x86_64-sb/ipxe.efi"].contains(&path);
    assert_eq!(of(&both), Signed::Loader(shim.to_owned()));
    assert!(is_signed_ipxe(shim) && !is_signed_ipxe("debian/12/x86_64/shimx64.efi"));
    assert!(matches!(of(&|path| path == shim), Signed::Missing(_)));
    assert!(matches!(of(&|_| true), Signed::Loader(shim) if shim.ends_with("snponly-shim.efi")));
}

#[test]
fn what_shim_asks_for_is_found_from_wherever_it_asks() {
    let snapshot = site();
    let mut host = (*testing::host(&snapshot, "web01")).clone();
    host.secure_boot = Some(true);
    let grub = ["debian/12/x86_64/grubx64.efi".to_owned()];
    for asked in [
        "grubx64.efi",
        "EFI/BOOT/GRUBX64.EFI",
        "debian/grubx64.efi",
        "Debian/12/x86_64/Grubx64.efi",
    ] {
        assert_eq!(companions(&snapshot, Some(&host), asked), grub, "{asked}");
    }
    assert_eq!(
        companions(&snapshot, Some(&host), "grubaa64.efi"),
        ["debian/12/aarch64/grubaa64.efi"]
    );
    assert_eq!(
        companions(&snapshot, Some(&host), "MMX64.EFI"),
        ["debian/12/x86_64/mmx64.efi"]
    );
    // Of whom nothing is known, the folder tells.
    let beside = companions(&snapshot, None, "debian/12/x86_64/GRUBX64.EFI");
    assert_eq!(beside, grub);
    assert!(companions(&snapshot, None, "grubx64.efi").is_empty());
    host.secure_boot = Some(false);
    assert!(companions(&snapshot, Some(&host), "grubx64.efi").is_empty());
    for other in ["linux", "snponly.efi", "shimx64.efi", "grub/grub.cfg", ""] {
        assert!(
            companions(&snapshot, Some(&host), other).is_empty(),
            "{other}"
        );
    }
}

#[test]
fn grub_may_lie_elsewhere_under_another_name() {
    let snapshot = testing::with_profile(|profile| {
        profile.signed = Some(SignedLoaders {
            grub: Some("grub/net{{ efi_arch }}.signed".to_owned()),
            ..signed()
        });
    });
    let asked = "debian/12/x86_64/grubx64.efi";
    assert_eq!(companions(&snapshot, None, asked), ["grub/netx64.signed"]);
    let asked = "debian/12/x86_64/revocations_sbat.efi";
    assert_eq!(companions(&snapshot, None, asked), [asked]);
}
