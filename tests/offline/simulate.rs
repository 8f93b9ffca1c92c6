//! `bootwright simulate`: every firmware, state and kind of subnet; the same decisions as the daemon's.

use std::path::Path;

use bootwright::cli::output::Format;
use bootwright::cli::simulate::{Simulate, run_with};
use bootwright::config::source::{DiskFiles, Files, MemoryFiles};
use bootwright::record::InstallState;
use bootwright::simulate::{Ask, AskError, Boot, End, Machine, Report, VERSION, simulate};
use clap::Parser;
use proptest::prelude::*;

use super::site::{MAIN, files, in_force};

/// The site without a boot file.
fn without(path: &str) -> MemoryFiles {
    let all = files(&[]);
    let mut rest = MemoryFiles::default();
    for file in Files::list(&all, Path::new("")).unwrap() {
        if file != Path::new("/boot-assets").join(path) {
            let text = Files::read(&all, &file).unwrap();
            rest.insert(file, text);
        }
    }
    rest
}

fn ask(machine: &str, host: &str) -> Ask {
    Ask {
        host: Some(host.parse().unwrap()),
        ..Ask::new(machine.parse().unwrap())
    }
}

fn report(ask: &Ask) -> Report {
    report_of(&files(&[]), ask)
}

fn report_of(files: &MemoryFiles, ask: &Ask) -> Report {
    simulate(&in_force(files), files, ask).unwrap()
}

/// One boot in one line for each step.
fn story(boot: &Boot) -> Vec<String> {
    let steps = boot.steps.iter().map(|step| {
        let asked = step.sends.file.as_deref().unwrap_or(step.sends.what);
        let got = match &step.gets {
            None => "nothing".to_owned(),
            Some(got) => match (&got.file, got.delivery.is_some()) {
                (Some(file), true) => format!("{} {file}", got.what),
                _ => got.what.to_owned(),
            },
        };
        format!("{}: {asked} -> {got}", step.stage)
    });
    steps
        .chain([format!("{:?} {}", boot.end, boot.ok)])
        .collect()
}

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    simulate: Simulate,
    #[arg(long)]
    json: bool,
}

/// What a command line prints, and its exit status.
fn typed(files: &MemoryFiles, line: &str) -> (String, String, u8) {
    let line = Line::try_parse_from(["simulate"].into_iter().chain(line.split(' '))).unwrap();
    let format = if line.json {
        Format::Json
    } else {
        Format::Text
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let status = run_with(
        files,
        Path::new(MAIN),
        &line.simulate,
        format,
        &mut out,
        &mut errors,
    );
    let (status, errors) = match status {
        Ok(status) => (status, String::from_utf8(errors).unwrap()),
        Err(error) => (
            1,
            format!("{}{error}\n", String::from_utf8(errors).unwrap()),
        ),
    };
    (String::from_utf8(out).unwrap(), errors, status)
}

#[test]
fn a_host_is_shown_unarmed_and_armed() {
    let report = report(&ask("bios", "web01"));
    assert!(report.ok);
    let states: Vec<_> = report
        .boots
        .iter()
        .map(|boot| boot.state.unwrap())
        .collect();
    assert_eq!(states, [InstallState::Local, InstallState::Armed]);
    let [local, armed] = report.boots.as_slice() else {
        panic!("{} boots", report.boots.len());
    };
    assert_eq!(
        story(local),
        [
            "bios: DHCPDISCOVER -> DHCPOFFER",
            "bios: DHCPREQUEST -> DHCPACK",
            "Disk true"
        ]
    );
    assert_eq!(
        story(armed),
        [
            "bios: DHCPDISCOVER -> DHCPOFFER ipxe/undionly.kpxe",
            "bios: DHCPREQUEST -> DHCPACK ipxe/undionly.kpxe",
            "bios: ipxe/undionly.kpxe -> boot file",
            "ipxe: DHCPDISCOVER -> DHCPOFFER http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe",
            "ipxe: DHCPREQUEST -> DHCPACK http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe",
            "ipxe: http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe -> script",
            "ipxe: http://10.99.0.2:8080/assets/linux/x86_64/linux -> boot file",
            "ipxe: http://10.99.0.2:8080/assets/linux/x86_64/initrd.gz -> boot file",
            "installer: DHCPDISCOVER -> DHCPOFFER",
            "installer: DHCPREQUEST -> DHCPACK",
            "installer: http://10.99.0.2:8080/answers/example/answer.txt -> answer",
            "Installer true"
        ]
    );
}

#[test]
fn uefi_boots_its_disk_by_a_script_and_arm_its_own_files() {
    let report = report(&ask("uefi-arm64", "arm01"));
    assert!(report.ok);
    let local = story(&report.boots[0]);
    assert_eq!(local[2], "uefi-arm64: ipxe/snponly-arm64.efi -> boot file");
    assert_eq!(local.last().unwrap(), "Disk true");
    let script = report.boots[0].steps.last().unwrap().gets.as_ref().unwrap();
    assert!(script.text.as_ref().unwrap().ends_with("exit 1\n"));
    let armed = story(&report.boots[1]);
    assert!(
        armed
            .iter()
            .any(|step| step.contains("linux/aarch64/linux -> boot file"))
    );
}

#[test]
fn http_boot_gets_a_url_and_grub_and_pxelinux_their_configurations() {
    let boots = report(&ask("httpboot", "web01")).boots;
    let armed = story(&boots[1]);
    assert_eq!(
        armed[2],
        "httpboot: http://10.99.0.2:8080/assets/ipxe/snponly.efi -> boot file"
    );
    assert_eq!(armed.last().unwrap(), "Installer true");

    let boots = report(&ask("grub", "web01")).boots;
    assert_eq!(
        story(&boots[1])[2..5],
        [
            "grub: grub/grub.cfg-01-52-54-00-47-86-8e -> script",
            "grub: linux/x86_64/linux -> boot file",
            "grub: linux/x86_64/initrd.gz -> boot file",
        ]
    );
    let boots = report(&ask("bios", "pxe01")).boots;
    assert_eq!(
        story(&boots[1])[2..4],
        [
            "bios: pxelinux/pxelinux.0 -> boot file",
            "pxelinux: pxelinux/pxelinux.cfg/00000000-0000-0000-0000-5254004786c3 -> script",
        ]
    );
}

#[test]
fn secure_boot_goes_by_shim_and_an_unsigned_loader_is_refused() {
    let boots = report(&Ask {
        secure_boot: true,
        ..ask("uefi-x64", "sb01")
    })
    .boots;
    assert_eq!(
        story(&boots[1])[2..5],
        [
            "uefi-x64: linux/x86_64/shimx64.efi -> boot file",
            "shim: linux/x86_64/grubx64.efi -> boot file",
            "grub: grub/grub.cfg -> script",
        ]
    );
    assert!(boots.iter().all(|boot| boot.ok));
    let boots = report(&Ask {
        secure_boot: true,
        ..ask("uefi-x64", "web01")
    })
    .boots;
    assert_eq!(boots[1].end, End::Stuck);
    assert!(
        boots[1].summary.contains("write secure_boot = true"),
        "{}",
        boots[1].summary
    );
    // Debian's GRUB has no network after HTTP Boot.
    let boots = report(&ask("httpboot", "sb01")).boots;
    assert!(!boots[1].ok);
}

#[test]
fn beside_another_server_port_4011_is_asked_by_uefi_only() {
    let boots = report(&ask("uefi-x64", "proxy01")).boots;
    let armed = &boots[1];
    assert_eq!(
        story(armed)[..4],
        [
            "uefi-x64: DHCPDISCOVER -> DHCPOFFER ipxe/snponly.efi",
            "uefi-x64: DHCPREQUEST -> nothing",
            "uefi-x64: DHCPREQUEST -> DHCPACK ipxe/snponly.efi",
            "uefi-x64: ipxe/snponly.efi -> boot file",
        ]
    );
    assert_eq!(armed.steps[2].sends.to, "192.168.7.130, port 4011");
    assert!(armed.ok && boots[0].ok);
    let boots = report(&ask("bios", "proxy01")).boots;
    let armed = story(&boots[1]);
    assert_eq!(armed[2], "bios: ipxe/undionly.kpxe -> boot file");
    assert_eq!(armed.last().unwrap(), "Installer true");
}

#[test]
fn where_this_server_is_silent_the_other_one_sends_machines_here() {
    let boots = report(&ask("uefi-x64", "silent01")).boots;
    let armed = story(&boots[1]);
    assert_eq!(
        armed[..3],
        [
            "uefi-x64: DHCPDISCOVER -> nothing",
            "uefi-x64: DHCP -> the other server's reply ipxe/snponly.efi",
            "uefi-x64: ipxe/snponly.efi -> boot file",
        ]
    );
    assert!(armed.contains(&"ipxe: http://172.16.0.2:8080/boot/boot.ipxe -> script".to_owned()));
    assert_eq!(armed.last().unwrap(), "Installer true");
}

#[test]
fn strangers() {
    let stranger = |subnet: &str| Ask {
        mac: "52:54:00:99:99:99".parse().ok(),
        subnet: subnet.parse().ok(),
        ..Ask::new("bios".parse().unwrap())
    };
    let ignored = report(&stranger("lab"));
    assert_eq!(
        story(&ignored.boots[0]),
        ["bios: DHCPDISCOVER -> nothing", "Stuck false"]
    );
    let found = report(&stranger("pool"));
    assert!(found.ok);
    let told = story(&found.boots[0]);
    assert_eq!(told.last().unwrap(), "Discovery true");
    assert_eq!(
        found.boots[0].steps[1].gets.as_ref().unwrap().address,
        "10.98.1.10".parse().ok()
    );
    let refused = simulate(
        &in_force(&files(&[])),
        &files(&[]),
        &Ask {
            state: Some(InstallState::Armed),
            ..stranger("lab")
        },
    );
    assert!(matches!(refused, Err(AskError::StateOfStranger(_))));
}

#[test]
fn an_address_may_be_tried_as_a_hosts() {
    let held = Ask {
        mac: "52:54:00:99:99:99".parse().ok(),
        ..ask("bios", "held01")
    };
    let report = report(&held);
    assert!(report.ok);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("bootwright bind held01"))
    );
    let site = files(&[]);
    let error = |ask: &Ask| {
        simulate(&in_force(&site), &site, ask)
            .unwrap_err()
            .to_string()
    };
    assert!(error(&ask("bios", "held01")).contains("--mac"));
    let of_another = Ask {
        mac: "52:54:00:47:86:8e".parse().ok(),
        ..ask("bios", "web02")
    };
    assert_eq!(
        error(&of_another),
        "52:54:00:47:86:8e is the MAC address of web01, not of web02"
    );
    assert!(error(&Ask::new(Machine::Os)).contains("--host"));
    let elsewhere = Ask {
        interface: Some("eth9".to_owned()),
        ..ask("bios", "web01")
    };
    assert!(error(&elsewhere).contains("br0, br1"));
    let nowhere = Ask {
        subnet: "nosuch".parse().ok(),
        ..ask("bios", "web01")
    };
    assert!(error(&nowhere).contains("lab, pool, beside"));
    let never = Ask {
        state: Some(InstallState::Armed),
        ..ask("bios", "never01")
    };
    assert!(error(&never).contains("install = \"never\""));
}

#[test]
fn what_is_missing_fails() {
    let missing = without("linux/x86_64/initrd.gz");
    let report = report_of(&missing, &ask("bios", "web01"));
    assert!(!report.ok);
    assert!(report.boots[0].ok && !report.boots[1].ok);
    assert!(report.boots[1].summary.contains("linux/x86_64/initrd.gz"));
    assert!(
        report_of(
            &missing,
            &Ask {
                assume_files: true,
                ..ask("bios", "web01")
            }
        )
        .ok
    );
    // No loader for the architecture.
    let report = report_of(&files(&[]), &ask("uefi-ia32", "web01"));
    let step = report.boots[1].steps.last().unwrap();
    assert_eq!(step.reason.as_str(), "no-loader");
    assert!(!report.ok);
}

#[test]
fn states_and_policies() {
    let of = |machine: &str, host: &str, state| {
        let report = report(&Ask {
            state,
            ..ask(machine, host)
        });
        let boots = report.boots.iter();
        boots
            .map(|boot| (boot.state, boot.end, boot.ok))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("bios", "live01", None), [(None, End::Live, true)]);
    assert_eq!(
        of("bios", "never01", None),
        [(Some(InstallState::Local), End::Disk, true)]
    );
    for state in [
        InstallState::Waiting,
        InstallState::Installed,
        InstallState::Failed,
    ] {
        assert_eq!(
            of("uefi-x64", "web01", Some(state)),
            [(Some(state), End::Disk, true)]
        );
    }
    // A second attempt.
    let boots = report(&Ask {
        state: Some(InstallState::Booting),
        ..ask("ipxe", "web01")
    })
    .boots;
    let script = boots[0].steps[2].detail.as_deref();
    assert_eq!(script, Some("linux, attempt 2 of 3"));
    assert_eq!(
        of("os", "web01", None),
        [(Some(InstallState::Local), End::Address, true)]
    );
}

#[test]
fn a_host_that_names_its_uuid_and_serial_is_asked_for_them() {
    let boots = report(&ask("ipxe", "web02")).boots;
    let told = story(&boots[1]);
    assert!(
        told[3].contains("boot.ipxe?uuid=e2e00000-0000-0000-0000-000000000002&serial=SN-2"),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), "Installer true");
    let other = Ask {
        serial: Some("SN-9".to_owned()),
        ..ask("ipxe", "web02")
    };
    let boots = report(&other).boots;
    assert_eq!(boots[1].end, End::Disk);
    assert!(
        boots[1].summary.contains("another machine"),
        "{}",
        boots[1].summary
    );
}

#[test]
fn relays_and_wrong_subnets() {
    let behind = |relay: &str| Ask {
        relay: relay.parse().ok(),
        state: Some(InstallState::Local),
        ..ask("bios", "far01")
    };
    let report = report(&behind("10.50.0.1"));
    let got = report.boots[0].steps[0].gets.as_ref().unwrap();
    assert_eq!(
        got.delivery.as_deref(),
        Some("to the relay 10.50.0.1, port 67")
    );
    assert!(report.ok);
    let wrong = self::report(&behind("10.99.0.1"));
    assert_eq!(wrong.boots[0].steps[0].reason.as_str(), "wrong-subnet");
    assert!(!wrong.ok);
    let unknown = self::report(&behind("10.1.1.1"));
    assert_eq!(unknown.boots[0].steps[0].reason.as_str(), "unknown-relay");
}

#[test]
fn the_same_files_give_the_same_report_without_secrets() {
    let files = files(&[]);
    let all = |line: &str| typed(&files, line).0;
    let line = "--host web01 --firmware uefi-x64 --json";
    assert_eq!(all(line), all(line));
    let value: serde_json::Value = serde_json::from_str(&all(line)).unwrap();
    assert_eq!(value["version"], VERSION);
    assert_eq!(value["boots"][1]["state"], "armed");
    assert_eq!(value["boots"][1]["end"], "installer");
    // The token of the record is no example, and is nowhere.
    assert!(!all(line).contains("aaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

#[test]
fn as_it_is_printed() {
    let files = files(&[]);
    let shown = |line: &str| {
        let (out, errors, status) = typed(&files, line);
        format!(
            "$ bootwright simulate {line}\n{out}-- standard error --\n{errors}-- exit {status} --\n"
        )
    };
    insta::assert_snapshot!("simulate-bios", shown("--host web01 --firmware bios"));
    insta::assert_snapshot!(
        "simulate-secure-texts",
        shown("--host sb01 --firmware uefi-x64 --secure-boot --state armed --texts")
    );
    insta::assert_snapshot!(
        "simulate-proxy",
        shown("--host proxy01 --firmware uefi-x64 --state armed")
    );
    insta::assert_snapshot!(
        "simulate-stranger",
        shown("--mac 52:54:00:99:99:99 --firmware uefi-x64")
    );
    insta::assert_snapshot!(
        "simulate-json",
        shown("--host live01 --firmware ipxe --json")
    );
}

/// The configuration that comes with the product.
#[test]
fn the_shipped_example() {
    let files = DiskFiles;
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/bootwright.toml");
    let line = Line::try_parse_from([
        "simulate",
        "--host",
        "web02",
        "--firmware",
        "httpboot",
        "--assume-files",
    ])
    .unwrap();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let status = run_with(
        &files,
        &main,
        &line.simulate,
        Format::Text,
        &mut out,
        &mut errors,
    )
    .unwrap();
    assert_eq!(status, 0);
    insta::assert_snapshot!("simulate-shipped", String::from_utf8(out).unwrap());
}

proptest! {
    /// Whoever boots by whatever way anywhere, it is told.
    #[test]
    fn anybody_anywhere(
        machine in prop::sample::select(Machine::ALL.to_vec()),
        host in prop::sample::select(vec!["web01", "web02", "arm01", "sb01", "live01", "pxe01", "wide01", "proxy01", "silent01", "far01"]),
        mac in prop::option::of(any::<[u8; 6]>()),
        as_host in any::<bool>(),
        subnet in prop::option::of(prop::sample::select(vec!["lab", "pool", "beside", "silent", "far"])),
        relay in prop::option::of(prop::sample::select(vec!["10.50.0.1", "10.99.0.9", "192.168.7.129", "8.8.8.8"])),
        secure_boot in any::<bool>(),
        assume_files in any::<bool>(),
    ) {
        let files = files(&[]);
        let ask = Ask {
            mac: mac.map(|[_, b, c, d, e, f]| format!("02:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}").parse().unwrap()),
            host: (as_host || mac.is_none()).then(|| host.parse().unwrap()),
            subnet: subnet.map(|subnet| subnet.parse().unwrap()),
            relay: relay.map(|relay| relay.parse().unwrap()),
            secure_boot,
            assume_files,
            ..Ask::new(machine)
        };
        let report = simulate(&in_force(&files), &files, &ask).unwrap();
        prop_assert!(!report.boots.is_empty());
        prop_assert_eq!(report.ok, report.boots.iter().all(|boot| boot.ok));
        for boot in &report.boots {
            prop_assert!(!boot.steps.is_empty() && !boot.summary.is_empty());
            prop_assert!(!boot.ok || boot.steps.iter().all(|step| step.reason.as_str() != "not-found"));
        }
    }
}
