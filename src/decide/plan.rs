//! Whether a host boots its installer or its disk, and why.

use std::sync::Arc;

use super::{BootFiles, Known};
use crate::base::{Architecture, HardwareAddr};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, InstallPolicy, Profile};
use crate::journal::event::Reason;
use crate::record::{self, InstallState, Record};

/// What a network boot of a host leads to.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Its installer.
    Install {
        /// The profile it was armed with.
        profile: Arc<Profile>,
        /// The architecture it is booted for.
        arch: Architecture,
        /// Its live system is served at every boot: no arming stands behind it, and nothing is recorded.
        live: bool,
    },
    /// Its disk.
    Disk {
        /// Why.
        reason: Reason,
        /// The particulars, for the screen and the event.
        detail: Option<String>,
    },
}

/// The architecture that a host is booted for: its own `arch`, else what its firmware runs, else the
/// first of its profile, else x86_64.
pub fn architecture(
    host: &Host,
    profile: Option<&Profile>,
    seen: Option<Architecture>,
) -> Architecture {
    host.arch
        .or(seen)
        .or_else(|| profile.and_then(|profile| profile.arch.first().copied()))
        .unwrap_or(Architecture::X86_64)
}

/// Decides between installer and disk.
///
/// `mac` is the machine that boots. Anything but an arming of that machine that can be carried out leads
/// to the disk: a store that cannot be read, another NIC than those armed, a profile that is gone, a boot
/// file or a secret that is not there, another architecture.
pub fn plan(
    snapshot: &Snapshot,
    host: &Host,
    mac: HardwareAddr,
    known: Known<'_>,
    seen: Option<Architecture>,
    files: &dyn BootFiles,
) -> Plan {
    if host.install == InstallPolicy::Never {
        return disk(
            Reason::DiskLocal,
            Some("it is never installed (install = \"never\")"),
        );
    }
    if !host.boots_by(mac) && host.cards().any(|card| card.macs.contains(&mac)) {
        return disk(Reason::NicDoesNotBoot, Some(mac.to_string()));
    }
    let record = match known {
        // What was begun with another profile goes on.
        Known::Record(record) if record.state.boots_installer() => record,
        _ if host.install == InstallPolicy::Always => {
            return live(snapshot, host, seen, files);
        }
        Known::Record(record) => record,
        Known::Nothing => return disk(Reason::DiskLocal, None::<String>),
        Known::Unavailable => return disk(Reason::DiskStoreUnavailable, None::<String>),
    };
    match record.state {
        InstallState::Local => disk(Reason::DiskLocal, None::<String>),
        InstallState::Waiting => disk(
            Reason::DiskWaiting,
            record.after.as_ref().map(ToString::to_string),
        ),
        InstallState::Installed => disk(Reason::DiskInstalled, None::<String>),
        InstallState::Failed => disk(Reason::DiskFailed, Some(how_it_failed(record))),
        InstallState::Armed | InstallState::Booting | InstallState::Installing => {
            installer(snapshot, host, mac, record, seen, files)
        }
    }
}

fn installer(
    snapshot: &Snapshot,
    host: &Host,
    mac: HardwareAddr,
    record: &Record,
    seen: Option<Architecture>,
    files: &dyn BootFiles,
) -> Plan {
    // An installation goes on with the machine it was begun for. Whatever has got that machine's name
    // since, by a reload, is another one, and nobody armed it.
    if !record.macs.contains(&mac) {
        return disk(
            Reason::NoLongerFits,
            Some(format!("{mac} is not among the addresses it was armed for")),
        );
    }
    // A reload takes back an arming that no longer fits; this is the guard for the time until the store
    // has heard of it.
    if record.state == InstallState::Armed
        && let Some(what) =
            record::misfit(record, &host.boot_macs(), host.ip, host.profile.as_ref())
    {
        return disk(Reason::NoLongerFits, Some(what));
    }
    let Some(name) = &record.profile else {
        return disk(Reason::DiskProfileGone, Some("it was armed with none"));
    };
    let Some(profile) = snapshot.profile(name) else {
        return disk(
            Reason::DiskProfileGone,
            Some(format!("it was armed with `{name}`")),
        );
    };
    served(host, profile, seen, files, false)
}

/// The live system of a host that boots it every time.
fn live(
    snapshot: &Snapshot,
    host: &Host,
    seen: Option<Architecture>,
    files: &dyn BootFiles,
) -> Plan {
    let profile = host
        .profile
        .as_ref()
        .and_then(|name| snapshot.profile(name));
    match profile {
        Some(profile) => served(host, profile, seen, files, true),
        None => disk(Reason::DiskProfileGone, Some("it has none")),
    }
}

fn served(
    host: &Host,
    profile: &Arc<Profile>,
    seen: Option<Architecture>,
    files: &dyn BootFiles,
    live: bool,
) -> Plan {
    let name = &profile.name;
    let arch = architecture(host, Some(profile), seen);
    if !profile.arch.is_empty() && !profile.arch.contains(&arch) {
        let names: Vec<_> = profile.arch.iter().map(|arch| arch.as_str()).collect();
        return disk(
            Reason::DiskArchitecture,
            Some(format!("{arch}, but {name} is for {}", names.join(", "))),
        );
    }
    if let Some(missing) = files.missing_for(host, profile, arch) {
        return disk(Reason::DiskFileMissing, Some(missing));
    }
    // Its installer would begin and be refused its answers.
    if let Some(missing) = files.missing_secret(host, profile, arch) {
        return disk(Reason::NoSecret, Some(missing));
    }
    Plan::Install {
        profile: Arc::clone(profile),
        arch,
        live,
    }
}

fn disk(reason: Reason, detail: Option<impl Into<String>>) -> Plan {
    Plan::Disk {
        reason,
        detail: detail.map(Into::into),
    }
}

fn how_it_failed(record: &Record) -> String {
    let attempts = match record.attempt {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    };
    match &record.message {
        Some(message) => format!("after {attempts}: {message}"),
        None => format!("after {attempts}"),
    }
}

/// Why a host boots its disk, as one line for its screen: "web01: failed after 3 attempts; bootwright
/// install web01".
pub fn why_disk(host: &Host, reason: Reason, detail: Option<&str>) -> String {
    let name = &host.name;
    let with = |text: &str| match detail {
        Some(detail) => format!("{name}: {text} ({detail})"),
        None => format!("{name}: {text}"),
    };
    match reason {
        Reason::DiskLocal if host.install == InstallPolicy::Never => {
            format!("{name}: it is never installed; booting its disk")
        }
        Reason::DiskLocal => {
            format!("{name}: nothing is asked for, booting its disk; bootwright install {name}")
        }
        Reason::DiskInstalled => format!("{name}: installed, booting its disk"),
        Reason::DiskFailed => match detail {
            Some(detail) => format!("{name}: failed {detail}; bootwright install {name}"),
            None => format!("{name}: failed; bootwright install {name}"),
        },
        Reason::DiskWaiting => with("waiting for another host, booting its disk"),
        Reason::DiskFileMissing => {
            with("not installed, a boot file is missing") + "; bootwright check"
        }
        Reason::NoSecret => with("not installed, a secret is missing") + "; bootwright check",
        Reason::DiskStoreUnavailable => {
            with("not installed, the server cannot record it; bootwright events")
        }
        Reason::DiskIdentity => {
            with("not installed, this is another machine than the reserved one")
        }
        Reason::DiskArchitecture => with("not installed, its profile is for another architecture"),
        Reason::DiskProfileGone => with("not installed, its profile is gone"),
        Reason::NicDoesNotBoot => {
            with("this network card does not boot the host (boot = true in its [[hosts.NAME.nic]])")
        }
        Reason::NoLongerFits => {
            with("not installed, the arming no longer fits")
                + &format!("; bootwright install {name}")
        }
        _ => with("booting its disk"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, AllThere, Missing};
    use super::*;
    use crate::base::Timestamp;

    fn reason(plan: &Plan) -> Option<Reason> {
        match plan {
            Plan::Disk { reason, .. } => Some(*reason),
            Plan::Install { .. } => None,
        }
    }

    #[test]
    fn each_state_leads_where_the_design_says() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        for (state, expected) in [
            (InstallState::Local, Some(Reason::DiskLocal)),
            (InstallState::Waiting, Some(Reason::DiskWaiting)),
            (InstallState::Armed, None),
            (InstallState::Booting, None),
            (InstallState::Installing, None),
            (InstallState::Installed, Some(Reason::DiskInstalled)),
            (InstallState::Failed, Some(Reason::DiskFailed)),
        ] {
            let record = testing::record("web01", state);
            let known = Known::Record(&record);
            let plan = plan(&snapshot, &host, host.macs[0], known, None, &AllThere);
            assert_eq!(reason(&plan), expected, "{state}");
        }
        let mac = host.macs[0];
        let of = |known| reason(&plan(&snapshot, &host, mac, known, None, &AllThere));
        assert_eq!(of(Known::Nothing), Some(Reason::DiskLocal));
        assert_eq!(of(Known::Unavailable), Some(Reason::DiskStoreUnavailable));
    }

    #[test]
    fn an_arming_that_cannot_be_carried_out_boots_the_disk() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let mut record = testing::record("web01", InstallState::Armed);
        let of = |record: &Record, host: &Host, seen, files: &dyn BootFiles| {
            let known = Known::Record(record);
            reason(&plan(&snapshot, host, host.macs[0], known, seen, files))
        };
        assert_eq!(
            of(&record, &host, None, &Missing("debian/linux")),
            Some(Reason::DiskFileMissing)
        );
        assert_eq!(
            of(&record, &host, Some(Architecture::Aarch64), &AllThere),
            Some(Reason::DiskArchitecture)
        );
        assert_eq!(
            of(&record, &host, None, &testing::NoSecret("root")),
            Some(Reason::NoSecret)
        );
        let mut never = (*host).clone();
        never.install = InstallPolicy::Never;
        assert_eq!(
            of(&record, &never, None, &AllThere),
            Some(Reason::DiskLocal)
        );
        let mut moved = (*host).clone();
        moved.macs = vec!["52:54:00:99:99:99".parse().unwrap()].into();
        assert_eq!(
            of(&record, &moved, None, &AllThere),
            Some(Reason::NoLongerFits)
        );
        let mut readdressed = (*host).clone();
        readdressed.ip = Some(std::net::Ipv4Addr::new(10, 99, 0, 99));
        let mut reprofiled = (*host).clone();
        reprofiled.profile = "rocky-9".parse().ok();
        for other in [&readdressed, &reprofiled] {
            assert_eq!(
                of(&record, other, None, &AllThere),
                Some(Reason::NoLongerFits)
            );
        }
        record.state = InstallState::Booting;
        // It goes on with what it was armed with, but not on another machine.
        for other in [&readdressed, &reprofiled] {
            assert_eq!(of(&record, other, None, &AllThere), None);
        }
        record.profile = "gone".parse().ok();
        assert_eq!(
            of(&record, &host, None, &AllThere),
            Some(Reason::DiskProfileGone)
        );
        record.profile = None;
        assert_eq!(
            of(&record, &host, None, &AllThere),
            Some(Reason::DiskProfileGone)
        );
    }

    #[test]
    fn another_machine_under_the_name_of_one_that_is_installed_gets_its_disk() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let (own, new) = (
            host.macs[0],
            "52:54:00:99:99:99".parse::<HardwareAddr>().unwrap(),
        );
        let mut swapped = (*host).clone();
        swapped.macs = new.into();
        let mut widened = (*host).clone();
        widened.macs = vec![own, new].into();
        for state in [
            InstallState::Armed,
            InstallState::Booting,
            InstallState::Installing,
        ] {
            let record = testing::record("web01", state);
            let of = |host: &Host, mac| {
                let known = Known::Record(&record);
                reason(&plan(&snapshot, host, mac, known, None, &AllThere))
            };
            assert_eq!(of(&swapped, new), Some(Reason::NoLongerFits), "{state}");
            assert_eq!(of(&widened, new), Some(Reason::NoLongerFits), "{state}");
            assert_eq!(of(&widened, own), None, "{state}");
        }
    }

    #[test]
    fn only_cards_that_may_boot_a_host_get_its_installer() {
        use crate::config::snapshot::Nic;

        let snapshot = testing::snapshot();
        let nic = |mac: &str, boot| Nic {
            macs: [mac.parse().unwrap()].into(),
            ip: "10.99.0.21".parse().ok(),
            subnet: Some(0),
            name: None,
            boot,
        };
        let (storage, second) = ("52:54:00:47:86:90", "52:54:00:47:86:91");
        let mut host = (*testing::host(&snapshot, "web01")).clone();
        host.nics = [nic(storage, false), nic(second, true)].into();
        let mut record = testing::record("web01", InstallState::Armed);
        record.macs = host.boot_macs();
        let of = |host: &Host, known, mac: &str| {
            let mac = mac.parse().unwrap();
            reason(&plan(&snapshot, host, mac, known, None, &AllThere))
        };
        let armed = Known::Record(&record);
        assert_eq!(of(&host, armed, testing::WEB01), None);
        assert_eq!(of(&host, armed, second), None);
        assert_eq!(of(&host, armed, storage), Some(Reason::NicDoesNotBoot));
        // Nor a live system, which no arming stands behind.
        host.install = InstallPolicy::Always;
        let local = Known::Nothing;
        assert_eq!(of(&host, local, second), None);
        assert_eq!(of(&host, local, storage), Some(Reason::NicDoesNotBoot));
        // A card that is added, or allowed to boot, after the arming gets its disk.
        host.install = InstallPolicy::Once;
        host.nics = [nic(storage, true), nic(second, true)].into();
        assert_eq!(of(&host, armed, storage), Some(Reason::NoLongerFits));
        assert_eq!(of(&host, armed, second), None);
    }

    #[test]
    fn a_live_system_is_served_whatever_is_remembered() {
        let snapshot = testing::snapshot();
        let mut host = (*testing::host(&snapshot, "web01")).clone();
        host.install = InstallPolicy::Always;
        let mac = host.macs[0];
        let of = |known, files: &dyn BootFiles| plan(&snapshot, &host, mac, known, None, files);
        let is_live = |plan: &Plan| matches!(plan, Plan::Install { live: true, .. });
        let done = testing::record("web01", InstallState::Installed);
        for known in [Known::Nothing, Known::Unavailable, Known::Record(&done)] {
            assert!(is_live(&of(known, &AllThere)));
        }
        // What was begun before its profile became a live one goes on.
        let begun = testing::record("web01", InstallState::Installing);
        assert!(matches!(
            of(Known::Record(&begun), &AllThere),
            Plan::Install { live: false, .. }
        ));
        assert_eq!(
            reason(&of(Known::Nothing, &Missing("debian/linux"))),
            Some(Reason::DiskFileMissing)
        );
        let mut bare = host.clone();
        bare.profile = None;
        assert_eq!(
            reason(&plan(
                &snapshot,
                &bare,
                mac,
                Known::Nothing,
                None,
                &AllThere
            )),
            Some(Reason::DiskProfileGone)
        );
    }

    #[test]
    fn the_screen_says_what_to_do() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let mut record = testing::record("web01", InstallState::Failed);
        record.attempt = 3;
        record.changed_at = Some(Timestamp::from_secs(0));
        let Plan::Disk { reason, detail } = plan(
            &snapshot,
            &host,
            host.macs[0],
            Known::Record(&record),
            None,
            &AllThere,
        ) else {
            panic!("a failed host gets its installer");
        };
        assert_eq!(
            why_disk(&host, reason, detail.as_deref()),
            "web01: failed after 3 attempts; bootwright install web01"
        );
    }
}
