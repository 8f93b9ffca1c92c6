//! Why a step of a boot did not come: one rule for each step.

use super::{Cause, LINK_RESET_MS, cause, is_reported_failure, of_remarks};
use crate::base::BootLoader;
use crate::diagnose::attempts::{Attempt, Remark};
use crate::diagnose::loops::{fruitless_fetches, is_brought_about, of_loop};
use crate::diagnose::steps::{ANOTHER_SERVER, StepKind};
use crate::diagnose::why::Subject;
use crate::journal::event::{Kind, Reason};

/// Why a step of a boot did not come.
pub fn of_missing(
    subject: &Subject<'_>,
    attempt: &Attempt,
    before: &[Attempt],
    missing: StepKind,
) -> Vec<Cause> {
    let broken = of_loop(subject, attempt, before);
    if broken.is_some() && is_brought_about(missing) {
        return broken.into_iter().collect();
    }
    let mut causes = why_missing(subject, attempt, before, missing);
    if let Some(broken) = broken {
        // They say the same, without the server's count.
        let same = [
            "secure-boot",
            "chainload-loop",
            "shim-refuses-grub",
            broken.code.as_str(),
        ];
        causes.retain(|cause| !same.contains(&cause.code.as_str()));
        causes.insert(0, broken);
    }
    causes
}

fn why_missing(
    subject: &Subject<'_>,
    attempt: &Attempt,
    before: &[Attempt],
    missing: StepKind,
) -> Vec<Cause> {
    match missing {
        StepKind::FirmwareOffer => refused_packets(subject, attempt),
        StepKind::FirmwareAddress => offer_not_taken(subject, attempt),
        StepKind::Loader => loader_not_fetched(subject, attempt),
        // iPXE in ROM.
        StepKind::IpxeAddress if attempt.firmware.is_none() => offer_not_taken(subject, attempt),
        StepKind::Grub | StepKind::IpxeAddress => loader_not_run(subject, attempt, before),
        StepKind::Script if attempt.has(StepKind::Grub) => grub_not_run(subject, attempt),
        StepKind::Script => match attempt.boot_loader(subject.expected) {
            BootLoader::Ipxe => script_not_fetched(subject, attempt, before),
            loader => configuration_not_fetched(subject, attempt, before, loader),
        },
        StepKind::Kernel | StepKind::Initrd => boot_file_not_fetched(subject, attempt),
        StepKind::InstallerAddress => installer_without_address(subject, attempt),
        StepKind::Answers => answers_not_fetched(subject, attempt),
        StepKind::Started | StepKind::Installed | StepKind::Up => {
            installer_silent(subject, attempt)
        }
    }
}

const DHCP: [Kind; 7] = [
    // Remarked when there is no loader for the machine.
    Kind::DhcpOffer,
    Kind::DhcpAck,
    Kind::DhcpIgnored,
    Kind::DhcpNak,
    Kind::DhcpFailed,
    Kind::DhcpConflict,
    Kind::HttpRefused,
];
const FILES: [Kind; 6] = [
    // Remarked when it is iPXE's.
    Kind::InstallProgress,
    Kind::TftpFailed,
    Kind::TftpSent,
    Kind::HttpRefused,
    Kind::HttpAsset,
    Kind::HttpScript,
];

fn refused_packets(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    of_remarks(subject, attempt, &DHCP)
}

fn offer_not_taken(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &DHCP);
    if attempt.offers == 0 {
        return causes;
    }
    let offers = match attempt.offers {
        1 => "1 offer and no request".to_owned(),
        offers => format!("{offers} offers and no request"),
    };
    let offers = if attempt.both_ways {
        format!("{offers}, though the last went both as a frame to it and by broadcast")
    } else {
        offers
    };
    if is_beside(attempt) {
        causes.extend([
            cause(
                "no-other-server",
                "the other DHCP server, which gives the addresses here, gave the machine none",
                "see that it runs, serves this network and has an address for the machine; mode = \"authoritative\" in the [[subnet]] has this server give it",
            )
            .seen([offers]),
            cause(
                "reply-lost-on-bridge",
                "the offers do not reach the machine: bridged packets pass through iptables (br_netfilter, Docker), or the switch or VLAN lets broadcasts through one way only",
                "sysctl net.bridge.bridge-nf-call-iptables=0 on the host of the bridge; on the machine's port: tcpdump -ni PORT port 68",
            ),
        ]);
        return causes;
    }
    if attempt.is_uefi()
        && attempt
            .step(StepKind::FirmwareOffer)
            .is_some_and(|offer| offer.what.contains("no boot file"))
    {
        causes.push(
            cause(
                "uefi-ignores-offer",
                "UEFI firmware ignores an offer without a boot file",
                format!("bring the boot loader for {} (bootwright assets list), or set local_boot = \"auto\"", attempt.firmware.as_deref().unwrap_or("it")),
            )
            .seen([offers.clone()]),
        );
    }
    causes.extend([
        cause(
            "reply-lost-on-bridge",
            "the offer does not reach the machine: bridged packets pass through iptables (br_netfilter, Docker), or the switch or VLAN lets broadcasts through one way only",
            "sysctl net.bridge.bridge-nf-call-iptables=0 on the host of the bridge; on the machine's port: tcpdump -ni PORT port 68",
        )
        .seen([offers]),
        cause(
            "other-dhcp-server",
            "another DHCP server answered first and the machine took its address there",
            "stop the other server on this network; `bootwright doctor dhcp` names it",
        ),
        cause(
            "udp-checksum",
            "a virtual link delivers the reply without its checksum (offloading) and the client drops it",
            "ethtool -K BRIDGE tx off on the bridge that the reply passes",
        ),
    ]);
    causes
}

/// Whether another server gives the machine its address.
fn is_beside(attempt: &Attempt) -> bool {
    attempt
        .step(StepKind::FirmwareOffer)
        .is_some_and(|offer| offer.what.contains(ANOTHER_SERVER))
}

fn loader_not_fetched(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &[Kind::DhcpOffer, Kind::DhcpAck]);
    if !causes.is_empty() {
        // It was told none.
        return causes;
    }
    causes.extend(of_remarks(subject, attempt, &FILES));
    let http = attempt.firmware.as_deref() == Some("httpboot");
    if is_beside(attempt) && attempt.is_uefi() && !http {
        causes.push(cause(
            "proxy-port-blocked",
            "UEFI asks for its boot file at UDP port 4011, and is not heard there",
            format!(
                "open UDP 4011 in the firewalls between; once it is heard, bootwright events --host {} shows a dhcp.ack",
                subject.host
            ),
        ));
    }
    if http {
        causes.push(cause(
            "boot-plane-unreachable",
            "the firmware does not reach the boot plane over HTTP",
            "open the port of [http] in the firewall of this server",
        ));
    } else {
        causes.push(cause(
            "tftp-blocked",
            "a firewall lets DHCP through and TFTP not (UDP 69, then high ports both ways)",
            "open UDP 69 and load nf_conntrack_tftp on the firewalls between; try it from the machine's network: curl tftp://SERVER/ipxe/undionly.kpxe -o /dev/null",
        ));
    }
    causes.push(cause(
        "other-boot-server",
        "another server's offer names another boot file or boot server, and the firmware follows that one",
        "look for a second DHCP or proxyDHCP server on this network: bootwright doctor dhcp",
    ));
    causes
}

fn loader_not_run(subject: &Subject<'_>, attempt: &Attempt, before: &[Attempt]) -> Vec<Cause> {
    let fetches = fruitless_fetches(attempt, before);
    let is_shim = subject.expected.shim;
    let never = match attempt.boot_loader(subject.expected) {
        _ if is_shim => "shim never asked for GRUB".to_owned(),
        BootLoader::Ipxe => "iPXE never asked for an address".to_owned(),
        other => format!("{} never asked for its configuration", other.title()),
    };
    let counted = format!("the loader was fetched {fetches} times and {never}");
    let mut causes = of_remarks(subject, attempt, &DHCP);
    let secure_boot = if is_shim {
        cause(
            "secure-boot",
            "shim was fetched and never run: refused by the firmware's signature check (Secure Boot), because it does not trust Microsoft's third-party UEFI CA, or has revoked this shim",
            format!(
                "allow the third-party UEFI CA in the firmware's setup; bring a newer shim (bootwright assets fetch with the profile of {})",
                subject.host
            ),
        )
    } else {
        cause(
            "secure-boot",
            "the loader was fetched and never run: refused by the firmware's signature check (Secure Boot), or it cannot drive this network card",
            format!(
                "write secure_boot = true in [hosts.{0}], so that it gets the signed shim of its distribution, or switch Secure Boot off in the firmware's setup; else name another loader in loader of {0}",
                subject.host
            ),
        )
    }
    .seen((fetches > 1).then(|| counted.clone()));
    let keeps_link = attempt.step(StepKind::Loader).is_some_and(|loader| {
        ["undionly", "snponly"]
            .iter()
            .any(|name| loader.what.contains(name))
    });
    let link = cause(
        "link-reset",
        "iPXE takes the link down and up: the switch port learns anew (spanning tree, LACP) for 30 to 50 s, longer than iPXE waits",
        if keeps_link {
            "make it an edge port (portfast)"
        } else {
            "make it an edge port (portfast), or give the host a loader that keeps the firmware's link (undionly.kpxe, snponly.efi)"
        },
    );
    // iPXE that waits in vain for its address takes longer than that before the machine starts again.
    let at_once = before.last().is_some_and(|earlier| {
        earlier.loader_fetches > 0
            && !earlier.has(StepKind::IpxeAddress)
            && attempt.began.since(earlier.began).as_millis() < u128::from(LINK_RESET_MS)
    });
    let architecture = cause(
        "wrong-loader",
        "the loader is not for this firmware, or its driver hangs on this card",
        format!(
            "look at the machine's screen; name another one in loader of {}",
            subject.host
        ),
    )
    .seen((fetches > 1).then_some(counted));
    if is_shim {
        causes.extend([secure_boot, architecture]);
    } else if attempt.is_uefi() {
        causes.extend([secure_boot, link, architecture]);
    } else if at_once {
        causes.extend([architecture, link]);
    } else {
        causes.extend([link, architecture]);
    }
    causes
}

/// GRUB was fetched, and asked for no configuration.
fn grub_not_run(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let asked = attempt
        .remarks
        .iter()
        .find(|remark| is_about_mok_manager(remark));
    let fetched = attempt.step(StepKind::Grub).map(|step| step.what.clone());
    let mut causes = Vec::new();
    causes.push(
        cause(
            "shim-refuses-grub",
            "shim was run and GRUB was not: refused by shim's signature check (Secure Boot), because it is another distribution's, or so old that its version is revoked (SBAT)",
            format!(
                "bring shim and GRUB anew, both of one distribution and version: bootwright assets fetch with the profile of {}; the machine's screen shows shim's words",
                subject.host
            ),
        )
        .seen(asked.map(|remark| format!("shim asked for its tool to allow what it had refused: {}", remark.what)))
        .seen(fetched),
    );
    // With that evidence nothing else is.
    if asked.is_none() {
        causes.extend(of_remarks(subject, attempt, &FILES));
        causes.push(cause(
            "grub-without-network",
            "GRUB was run and finds no network, or waits at its prompt for a configuration: after UEFI HTTP Boot some builds have no address",
            "see the machine's screen; have the firmware boot by PXE; grub_http = false in [boot] of the profile has this server say so",
        ));
    }
    causes
}

/// Whether a remark is about the tool that shim starts when it has refused a program.
fn is_about_mok_manager(remark: &Remark) -> bool {
    let words = remark.what.split([' ', '/', '\\', ',', ';', ':']);
    let mut names = words.map(str::to_ascii_lowercase);
    names.any(|name| crate::config::signed::is_mok_manager(&name))
}

fn script_not_fetched(subject: &Subject<'_>, attempt: &Attempt, before: &[Attempt]) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &FILES);
    let fetches = fruitless_fetches(attempt, before);
    if fetches >= 3 {
        causes.insert(
            0,
            cause(
                "chainload-loop",
                "the loader is fetched again and again: it does not use the script's address that it is given",
                format!("use iPXE as Debian ships it; an iPXE with a script of its own inside goes its own way; see loader of {}", subject.host),
            )
            .seen([format!("{fetches} fetches of the loader and no script asked for")]),
        );
    }
    causes.extend([
        cause(
            "boot-plane-unreachable",
            "iPXE does not reach the boot plane: a firewall closes its port, or the route back is missing",
            "open the port of [http] in the firewall of this server; from the machine's network: curl http://SERVER:8080/healthz",
        ),
        cause(
            "other-boot-server",
            "another DHCP or proxyDHCP server gives iPXE another boot file",
            "look for a second server on this network: bootwright doctor dhcp",
        ),
    ]);
    causes
}

/// GRUB and PXELINUX take no address of their own: what comes after them is their configuration.
fn configuration_not_fetched(
    subject: &Subject<'_>,
    attempt: &Attempt,
    before: &[Attempt],
    loader: BootLoader,
) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &FILES);
    // It was asked for, and this is what came of it.
    if attempt.remarked(Reason::LoaderUnable).is_some() {
        return causes;
    }
    for found in loader_not_run(subject, attempt, before) {
        // They leave the link as it is.
        let is_told = causes.iter().any(|had| had.code == found.code);
        if !is_told && found.code != "link-reset" {
            causes.push(found);
        }
    }
    let files = match loader {
        BootLoader::Pxelinux => cause(
            "loader-files",
            "PXELINUX found no ldlinux.c32 (on UEFI ldlinux.e64) beside itself, or one of another version",
            "bootwright assets fetch pxelinux brings them together",
        ),
        BootLoader::Ipxe | BootLoader::Grub => cause(
            "loader-files",
            "GRUB was not made for the network, or after UEFI HTTP Boot, and waits at its prompt",
            "take one that was: bootwright assets fetch grub; have UEFI boot by PXE and not by HTTP",
        ),
    };
    causes.push(files);
    causes
}

fn boot_file_not_fetched(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &FILES);
    causes.extend(refused_kernel(subject, attempt));
    causes.extend([
        match attempt.boot_loader(subject.expected) {
            BootLoader::Ipxe => cause(
                "boot-files",
                "the file is cut short, is another one than the script says, or this iPXE cannot boot it",
                "bootwright assets list; the machine's screen shows iPXE's error and its number (ipxe.org/NUMBER)",
            ),
            loader => cause(
                "boot-files",
                format!("the file is cut short, or {loader} cannot boot it", loader = loader.title()),
                "bootwright assets list; the machine's screen shows what it says",
            ),
        },
        cause(
            "memory",
            "the machine has too little memory for kernel and initial RAM disk",
            "give it at least 1 GiB (iPXE says: not enough space)",
        ),
    ]);
    causes
}

/// With Secure Boot: the kernel was fetched, and nothing after it.
fn refused_kernel(subject: &Subject<'_>, attempt: &Attempt) -> Option<Cause> {
    let kernel = attempt.step(StepKind::Kernel)?;
    attempt.step(StepKind::Grub)?;
    Some(
        cause(
            "shim-refuses-kernel",
            "GRUB has fetched the kernel and not started it: refused by shim's signature check (Secure Boot), because it is not signed, or by another distribution than shim",
            format!(
                "give {} the shim and GRUB of its own distribution (shim and grub in [boot] of its profile), and a kernel that is signed; the screen says: bad shim signature",
                subject.host
            ),
        )
        .seen([kernel.what.clone()]),
    )
}

fn installer_without_address(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &[Kind::InstallProgress]);
    // A kernel without a RAM disk, or one whose RAM disk is not known.
    if !attempt.has(StepKind::Initrd) {
        causes.extend(refused_kernel(subject, attempt));
    }
    causes.extend(of_remarks(subject, attempt, &DHCP));
    causes.extend([
        cause(
            "kernel-stopped",
            "the kernel did not start, or stopped: memory, command line, a kernel that does not know the machine",
            format!("look at the machine's console; bootwright render {} shows its command line; bootwright rehearse {} boots the same in a virtual machine", subject.host, subject.host),
        ),
        cause(
            "no-driver",
            "the installer's kernel has no driver or firmware for the network card",
            "add the firmware to the initial RAM disk, or take a newer kernel for the profile",
        ),
        cause(
            "other-card",
            "the installer asks on another card than the one that booted",
            "name the card on the command line: interface=auto (Debian), BOOTIF from the booting MAC",
        ),
    ]);
    if let (Some(kernel), true) = (attempt.step(StepKind::Kernel), attempt.is_uefi()) {
        causes.push(
            cause(
                "initrd-name",
                "under UEFI the kernel is told the name of its initial RAM disk (initrd=NAME), and it is not this one",
                format!("bootwright render {} shows the script", subject.host),
            )
            .seen([kernel.what.clone()]),
        );
    }
    causes
}

fn answers_not_fetched(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(subject, attempt, &[Kind::HttpRefused]);
    causes.extend([
        cause(
            "installer-network",
            "the installer has its address and does not reach the boot plane, or asks a person something before",
            "look at the machine's console; from its network: curl http://SERVER:8080/healthz",
        ),
        cause(
            "answers-url",
            "the command line does not name the answers",
            format!("bootwright render {} shows it; the profile's cmdline needs {{{{ answers.url }}}}", subject.host),
        ),
    ]);
    causes
}

fn installer_silent(subject: &Subject<'_>, attempt: &Attempt) -> Vec<Cause> {
    let mut causes = of_remarks(
        subject,
        attempt,
        &[
            Kind::InstallFailed,
            Kind::InstallStalled,
            Kind::InstallNote,
            Kind::HttpRefused,
            Kind::ReportIgnored,
        ],
    );
    if attempt.remarks.iter().any(is_reported_failure) {
        return causes;
    }
    causes.push(cause(
        "installer-waits",
        "the installer waits for a person, or works on: partitioning, packages, a mirror that does not answer",
        format!("look at the machine's console; its log, when it sent one, lies in state_dir; bootwright events --host {}", subject.host),
    ));
    causes
}
