//! Which boot loader or script a machine is named, and when it is named none.

use super::*;

#[test]
fn firmware_gets_its_loader() {
    let bios = answer_armed(&Ask::new(1).bios());
    is(&bios, Kind::DhcpOffer, Reason::Loader, link());
    assert_eq!(bios.boot_file.as_deref(), Some("ipxe/undionly.kpxe"));
    assert_eq!(bios.detail.as_deref(), None);
    let (reply, _) = sent(&bios);
    assert_eq!(reply.siaddr, ip("10.99.0.2"));
    assert!(codes(&bios).contains(&66) && !codes(&bios).contains(&60));
    let uefi = answer_armed(&Ask::new(1).uefi().with(55, &[67]));
    assert_eq!(uefi.boot_file.as_deref(), Some("ipxe/snponly.efi"));
    assert!(codes(&uefi).contains(&67));
    // The ACK repeats the boot file of the offer.
    let ack = answer_armed(
        &Ask::new(3)
            .uefi()
            .with_ip(54, "10.99.0.2")
            .with_ip(50, "10.99.0.11"),
    );
    assert_eq!(ack.boot_file, uefi.boot_file);
}

#[test]
fn http_boot_gets_a_url_and_its_class_back() {
    let offer = answer_armed(&Ask::new(1).http_boot());
    assert_eq!(
        offer.boot_file.as_deref(),
        Some("http://10.99.0.2:8080/assets/ipxe/snponly.efi")
    );
    let (reply, _) = sent(&offer);
    assert!(reply.options.get(OptionCode::ClassIdentifier) == Some(b"HTTPClient".as_slice()));
    assert_eq!(
        reply.boot_file.as_ref().map(|file| file.terminated),
        Some(false)
    );
}

#[test]
fn ipxe_gets_its_script() {
    let full = [19, 1, 1, 24, 1, 1];
    for answer in [
        answer(&Ask::new(1).ipxe(&full)),
        answer_armed(&Ask::new(1).ipxe(&full)),
        answer_armed(&Ask::new(1).bios().with(77, b"iPXE")),
    ] {
        assert_eq!(answer.reason, Reason::Script);
        assert_eq!(
            answer.boot_file.as_deref(),
            Some("http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe")
        );
    }
    // Without HTTP by TFTP, without bzImage a fuller iPXE: never undionly.
    let no_http = answer_armed(&Ask::new(1).ipxe(&[24, 1, 1]));
    assert_eq!(
        no_http.boot_file.as_deref(),
        Some("52-54-00-47-86-8e/boot.ipxe")
    );
    assert_eq!(sent(&no_http).0.siaddr, ip("10.99.0.2"));
    let no_linux = Ask::new(1).ipxe(&[19, 1, 1]);
    let fuller = answer_armed(&no_linux);
    assert_eq!(fuller.boot_file.as_deref(), Some("ipxe/ipxe.pxe"));
    let none = answer_with(
        &no_linux,
        &testing::snapshot(),
        Known::Record(&armed()),
        &OnlyMissing("ipxe/ipxe.pxe"),
    );
    assert_eq!((none.reason, none.boot_file), (Reason::NoLoader, None));
    // It needs no Linux to boot its disk.
    assert_eq!(answer(&no_linux).reason, Reason::Script);
    // No BIOS program for an EFI iPXE.
    let efi = answer_armed(&Ask::new(1).uefi().with(77, b"iPXE").with(175, &[19, 1, 1]));
    assert_eq!(efi.boot_file.as_deref(), Some("ipxe/snponly.efi"));
    assert_eq!(efi.loader, efi.boot_file);
}

/// One boot file is missing; what installers load is there.
struct OnlyMissing(&'static str);

impl BootFiles for OnlyMissing {
    fn is_there(&self, path: &str) -> bool {
        path != self.0
    }
    fn missing_for(
        &self,
        _: &Host,
        _: &crate::config::snapshot::Profile,
        _: crate::base::Architecture,
    ) -> Option<String> {
        None
    }
}

#[test]
fn the_disk_is_booted_as_the_firmware_does_it_best() {
    let file = |ask: Ask| answer(&ask).boot_file;
    let bios = answer(&Ask::new(1).bios());
    is(&bios, Kind::DhcpOffer, Reason::DiskLocal, link());
    assert_eq!(bios.boot_file, None);
    assert_eq!(sent(&bios).0.siaddr, Ipv4Addr::UNSPECIFIED);
    assert!(!codes(&bios).contains(&66));
    let uefi = answer(&Ask::new(1).uefi());
    assert_eq!(uefi.boot_file.as_deref(), Some("ipxe/snponly.efi"));
    assert_eq!(
        uefi.detail.as_deref(),
        Some("then the machine boots its disk: nothing is asked for")
    );
    assert!(file(Ask::new(1).http_boot()).is_some());
    let forced = |form, ask: Ask| {
        let snapshot = testing::changed(|hosts| hosts[0].local_boot = form);
        answer_with(&ask, &snapshot, Known::Nothing, &AllThere).boot_file
    };
    for ask in [
        Ask::new(1).bios(),
        Ask::new(1).uefi(),
        Ask::new(1).http_boot(),
        Ask::new(1).ipxe(&[19, 1, 1]),
    ] {
        assert_eq!(forced(LocalBoot::NoFile, ask.clone()), None);
        assert!(forced(LocalBoot::Exit, ask.clone()).is_some());
        assert!(forced(LocalBoot::Sanboot, ask).is_some());
    }
    let snapshot = testing::changed(|hosts| hosts[0].local_boot = LocalBoot::NoFile);
    for (ask, is_slow) in [(Ask::new(1).bios(), false), (Ask::new(1).uefi(), true)] {
        let told = answer_with(&ask, &snapshot, Known::Nothing, &AllThere).detail;
        let is_told = told.is_some_and(|detail| detail.contains("local_boot = \"auto\""));
        assert_eq!(is_told, is_slow);
    }
    // Forms of booting the disk do not keep a host from its installer.
    let snapshot = testing::changed(|hosts| hosts[0].local_boot = LocalBoot::NoFile);
    let install = answer_with(
        &Ask::new(1).bios(),
        &snapshot,
        Known::Record(&armed()),
        &AllThere,
    );
    assert_eq!(install.boot_file.as_deref(), Some("ipxe/undionly.kpxe"));
}

fn looping(ask: &Ask, times: &[i64], known: Known<'_>) -> Decision {
    let mut fetches = Fetches::default();
    let loader = if ask.options.windows(4).any(|part| part == [93, 2, 0, 0]) {
        "ipxe/undionly.kpxe"
    } else {
        "ipxe/snponly.efi"
    };
    for secs in times {
        fetches.note(loader, Timestamp::from_secs(-secs));
    }
    let facts = Facts {
        known,
        files: &AllThere,
        fetches: Some(&fetches),
        held: &[],
        delivery: Delivery::default(),
        route_source: None,
        pool: None,
    };
    decide(
        &ask.request(),
        &arrival(ask.to),
        &testing::snapshot(),
        &facts,
    )
}

#[test]
fn a_loader_that_is_fetched_again_and_again_is_named_no_more() {
    let (script, times) = (
        "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe",
        &[30, 20, 10][..],
    );
    let record = armed();
    let armed = Known::Record(&record);
    let bios = looping(&Ask::new(1).bios(), times, armed);
    is(&bios, Kind::DhcpOffer, Reason::LoopScript, link());
    assert_eq!(bios.boot_file.as_deref(), Some(script));
    assert_eq!(bios.looped, Some(Reason::LoopScript));
    assert_eq!(
        bios.detail.as_deref(),
        Some("ipxe/undionly.kpxe was fetched 3 times and iPXE never asked for an address")
    );
    // A UEFI machine that boots its disk fetches the loader as well.
    let uefi = looping(&Ask::new(1).uefi(), times, Known::Nothing);
    is(&uefi, Kind::DhcpOffer, Reason::LoopScript, link());
    assert_eq!(uefi.boot_file.as_deref(), Some(script));
    assert_eq!(uefi.looped, Some(Reason::RefusedByFirmware));
    assert!(uefi.detail.unwrap().ends_with("3 times and never run"));
    // HTTP Boot would fetch the script as if it were iPXE.
    let http = looping(&Ask::new(1).http_boot(), times, armed);
    is(&http, Kind::DhcpOffer, Reason::LoopNoFile, link());
    assert_eq!(http.boot_file, None);
    assert!(!codes(&http).contains(&60));
    // Two are no loop, and an iPXE gets its script whatever came before.
    let two = looping(&Ask::new(1).bios(), &[30, 20], armed);
    assert_eq!(two.boot_file.as_deref(), Some("ipxe/undionly.kpxe"));
    assert_eq!(two.loader.as_deref(), Some("ipxe/undionly.kpxe"));
    let ipxe = looping(&Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1]), times, armed);
    is(&ipxe, Kind::DhcpOffer, Reason::Script, link());
    assert_eq!((ipxe.loader, ipxe.looped), (None, None));
    // A BIOS that boots its disk is told no loader in any case.
    let disk = looping(&Ask::new(1).bios(), times, Known::Nothing);
    is(&disk, Kind::DhcpOffer, Reason::DiskLocal, link());
}

#[test]
fn loaders_by_host_number_and_firmware() {
    let with = |change: &dyn Fn(&mut Snapshot), ask: &Ask| {
        let mut snapshot = testing::changed(|_| {});
        change(&mut snapshot);
        let decision = answer_with(ask, &snapshot, Known::Record(&armed()), &AllThere);
        (decision.reason, decision.boot_file)
    };
    let loaded = |file: &str| (Reason::Loader, Some(Arc::from(file)));
    let by_number = |code: u16| {
        move |snapshot: &mut Snapshot| {
            snapshot
                .server
                .loaders_by_code
                .insert(code, "own/loader.efi".to_owned());
        }
    };
    let pxe = |codes: &[u8]| Ask::new(1).with(60, b"PXEClient").with(93, codes);
    assert_eq!(with(&by_number(7), &pxe(&[0, 7])), loaded("own/loader.efi"));
    assert_eq!(
        with(&by_number(7), &pxe(&[0, 9])),
        loaded("ipxe/snponly.efi")
    );
    assert_eq!(
        with(&by_number(27), &pxe(&[0, 27])),
        loaded("own/loader.efi")
    );
    assert_eq!(
        with(&by_number(27), &pxe(&[0, 27, 0, 7])),
        loaded("own/loader.efi")
    );
    assert_eq!(
        with(&by_number(27), &pxe(&[0, 7, 0, 27])),
        loaded("ipxe/snponly.efi")
    );
    let nothing = |_: &mut Snapshot| {};
    assert_eq!(
        with(&nothing, &pxe(&[0, 27])),
        (Reason::UnknownArchitecture, None)
    );
    let no_ia32 = |snapshot: &mut Snapshot| {
        snapshot
            .server
            .loaders
            .remove(&crate::base::Firmware::UefiIa32);
    };
    assert_eq!(with(&no_ia32, &pxe(&[0, 6])), (Reason::NoLoader, None));
}

#[test]
fn a_loader_by_its_name_fits_the_firmware() {
    let with = |loader: &str, ask: &Ask| {
        let mut snapshot = testing::changed(|hosts| hosts[0].loader = Some(loader.to_owned()));
        let own = crate::base::Firmware::UefiIa32;
        let path = "own/grubia32.efi".to_owned();
        snapshot.server.loaders.insert(own, path);
        answer_with(ask, &snapshot, Known::Record(&armed()), &AllThere)
    };
    let pxe = |code: u8| Ask::new(1).with(60, b"PXEClient").with(93, &[0, code]);
    for (loader, ask, file) in [
        ("pxelinux", Ask::new(1).bios(), "pxelinux/pxelinux.0"),
        (
            "pxelinux",
            Ask::new(1).uefi(),
            "pxelinux/efi64/syslinux.efi",
        ),
        ("grub", Ask::new(1).bios(), "grub/i386-pc/core.0"),
        ("grub", Ask::new(1).uefi(), "grub/grubx64.efi"),
        ("grub", pxe(11), "grub/grubaa64.efi"),
        // What [boot] loaders says, where it is that loader.
        ("grub", pxe(6), "own/grubia32.efi"),
        ("ipxe", pxe(6), "ipxe/snponly-ia32.efi"),
        ("ipxe", Ask::new(1).bios(), "ipxe/undionly.kpxe"),
        (
            "grub",
            Ask::new(1).http_boot(),
            "http://10.99.0.2:8080/assets/grub/grubx64.efi",
        ),
    ] {
        let decision = with(loader, &ask);
        assert_eq!(decision.boot_file.as_deref(), Some(file), "{loader}");
    }
    let none = with("pxelinux", &pxe(11));
    assert_eq!((none.reason, &none.boot_file), (Reason::NoLoader, &None));
    assert_eq!(
        none.detail.as_deref(),
        Some("there is no PXELINUX for uefi-arm64")
    );
}

#[test]
fn pxelinux_with_http_is_told_where_its_files_are() {
    let prefix = |loader: &str, ask: &Ask, own: &[(u8, &str)]| {
        let snapshot = testing::changed(|hosts| {
            hosts[0].loader = Some(loader.to_owned());
            hosts[0].options = own
                .iter()
                .map(|(code, text)| ConfiguredOption {
                    code: *code,
                    data: text.as_bytes().into(),
                    force: true,
                })
                .collect();
        });
        let decision = answer_with(ask, &snapshot, Known::Record(&armed()), &AllThere);
        let options = &sent(&decision).0.configured;
        let found: Vec<_> = options.iter().filter(|(code, _)| *code == 210).collect();
        assert!(found.len() < 2);
        found
            .first()
            .map(|(_, data)| String::from_utf8(data.to_vec()).unwrap())
    };
    let bios = Ask::new(1).bios();
    assert_eq!(
        prefix("pxe linux/lpxelinux.0", &bios, &[]).as_deref(),
        Some("http://10.99.0.2:8080/assets/pxe%20linux/")
    );
    assert_eq!(
        prefix("lpxelinux.0", &bios, &[]).as_deref(),
        Some("http://10.99.0.2:8080/assets/")
    );
    assert_eq!(prefix("pxelinux", &bios, &[]), None);
    assert_eq!(
        prefix("lpxelinux.0", &Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1]), &[]),
        None
    );
    assert_eq!(
        prefix("lpxelinux.0", &bios, &[(210, "http://own/")]).as_deref(),
        Some("http://own/")
    );
}

#[test]
fn a_loop_of_another_loader_is_not_sent_to_a_script_of_ipxes() {
    let mut fetches = Fetches::default();
    for secs in [30, 20, 10] {
        fetches.note("pxelinux/pxelinux.0", Timestamp::from_secs(-secs));
    }
    let record = armed();
    let facts = Facts {
        known: Known::Record(&record),
        files: &AllThere,
        fetches: Some(&fetches),
        held: &[],
        delivery: Delivery::default(),
        route_source: None,
        pool: None,
    };
    let ask = Ask::new(1).bios();
    let snapshot = testing::changed(|hosts| hosts[0].loader = Some("pxelinux".to_owned()));
    let decision = decide(&ask.request(), &arrival(ask.to), &snapshot, &facts);
    assert_eq!(decision.boot_file, None);
    assert_eq!(decision.looped, Some(Reason::LoopNoFile));
    let told =
        "pxelinux/pxelinux.0 was fetched 3 times and PXELINUX never asked for its configuration";
    assert_eq!(decision.detail.as_deref(), Some(told));
}

#[test]
fn loader_of_the_host_and_urls() {
    let with = |loader: &str, ask: &Ask| {
        let snapshot = testing::changed(|hosts| hosts[0].loader = Some(loader.to_owned()));
        answer_with(ask, &snapshot, Known::Record(&armed()), &AllThere)
    };
    let (pxe, http) = (Ask::new(1).uefi(), Ask::new(1).http_boot());
    assert_eq!(
        with("x/y z.efi", &http).boot_file.as_deref(),
        Some("http://10.99.0.2:8080/assets/x/y%20z.efi")
    );
    assert_eq!(
        with("x/y z.efi", &pxe).boot_file.as_deref(),
        Some("x/y z.efi")
    );
    let url = "http://files.example/ipxe.efi";
    assert_eq!(with(url, &http).boot_file.as_deref(), Some(url));
    let refused = with(url, &pxe);
    assert_eq!(
        (refused.reason, &refused.boot_file),
        (Reason::NoLoader, &None)
    );
    assert!(refused.detail.unwrap().contains(url));
    let tftp = with("tftp://10.99.0.9/ipxe.efi", &pxe);
    assert_eq!(tftp.boot_file.as_deref(), Some("ipxe.efi"));
    assert_eq!(sent(&tftp).0.siaddr, ip("10.99.0.9"));
    assert_eq!(with("tftp://10.99.0.9/ipxe.efi", &http).boot_file, None);
    assert_eq!(with("tftp://name/ipxe.efi", &pxe).boot_file, None);
}

#[test]
fn an_absent_loader_is_no_other_architectures() {
    let decision = answer_with(
        &Ask::new(1).uefi(),
        &testing::snapshot(),
        Known::Nothing,
        &Missing("ipxe/snponly.efi"),
    );
    assert_eq!(decision.reason, Reason::NoLoader);
    assert_eq!(decision.boot_file, None);
    assert_eq!(
        decision.detail.as_deref(),
        Some("ipxe/snponly.efi is not there")
    );
    assert_eq!(sent(&decision).0.yiaddr, ip("10.99.0.11"));
}
