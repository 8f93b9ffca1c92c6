//! What a machine is told to boot: a loader, its script's URL, or nothing.
//!
//! **Invariant:** an installer or operating system is told no boot file, and no machine gets a file
//! of another architecture than its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Words, joined};
use crate::base::{BootLoader, ClientSystemArchitecture, Firmware, Timestamp};
use crate::config::Snapshot;
use crate::config::signed::{self, Signed, is_signed_ipxe};
use crate::config::snapshot::{Boot, Host, LocalBoot, Profile};
use crate::decide::loops::{Asking, LoopGuard, loop_guard};
use crate::decide::plan::{self, Plan};
use crate::decide::{Facts, Known, Stage};
use crate::journal::event::Reason;
use crate::render::base_url;
use crate::render::paths::encode;
use crate::wire::dhcp::{MessageType, Request};
use crate::wire::names::clean;

/// What a reply says about booting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BootAnswer {
    /// The boot file: a TFTP name or a URL.
    pub(super) file: Option<Arc<str>>,
    /// The server of a boot file by TFTP, when it is another one (of a `tftp://` URL).
    pub(super) server: Option<Ipv4Addr>,
    /// Why.
    pub(super) reason: Reason,
    /// What somebody has to know beyond the reason.
    pub(super) note: Option<Words>,
    /// The loader that firmware is named, as a path under `boot_assets`.
    pub(super) loader: Option<Arc<str>>,
    /// Why it is told as a loop, in an event of its own.
    pub(super) looped: Option<Reason>,
    /// What is done about a loop.
    pub(super) guard: LoopGuard,
    /// The loader is a signed one, for firmware with Secure Boot.
    signed: bool,
}

impl BootAnswer {
    fn file(file: impl Into<Arc<str>>, reason: Reason) -> Self {
        Self {
            file: Some(file.into()),
            server: None,
            reason,
            note: None,
            loader: None,
            looped: None,
            guard: LoopGuard::Pass,
            signed: false,
        }
    }

    pub(super) fn none(reason: Reason, note: Option<String>) -> Self {
        Self {
            file: None,
            server: None,
            reason,
            note: note.map(Words::Owned),
            loader: None,
            looped: None,
            guard: LoopGuard::Pass,
            signed: false,
        }
    }

    fn with_note(mut self, note: impl Into<Words>) -> Self {
        self.note = joined(self.note.take(), Some(note.into()));
        self
    }

    /// Adds what is odd about the way in which the firmware tells its architecture.
    pub(super) fn with_doubt(self, doubt: Option<&str>, stage: Stage) -> Self {
        match doubt.filter(|_| stage.is_boot()) {
            Some(doubt) => self.with_note(doubt.to_owned()),
            None => self,
        }
    }
}

/// The full iPXE for a PC BIOS, for one whose own iPXE cannot boot Linux. Not undionly: chained from
/// iPXE there is no UNDI left under it. On UEFI the loader of its firmware is the fuller one.
const FULLER_IPXE: &str = "ipxe/ipxe.pxe";

const CANNOT_BOOT_LINUX: &str = "this iPXE cannot boot a Linux kernel (option 175)";

const THEN_DISK_LOCAL: &str = "then the machine boots its disk: nothing is asked for";
const THEN_DISK_INSTALLED: &str = "then the machine boots its disk: it is installed";

/// Decides about booting.
pub(super) fn boot(
    request: &Request,
    stage: Stage,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    host: &Host,
    server: Ipv4Addr,
    at: Timestamp,
) -> BootAnswer {
    if stage == Stage::Os {
        return BootAnswer::none(Reason::NetworkOnly, None);
    }
    let plan = plan::plan(
        snapshot,
        host,
        request.mac,
        facts.known,
        stage.architecture(),
        facts.files,
    );
    if let Plan::Disk { reason, detail } = &plan
        && disk_without_file(stage, host.local_boot)
    {
        // Measured with OVMF: 197 s until the disk instead of 53.
        let slow = host.local_boot == LocalBoot::NoFile
            && matches!(stage, Stage::Pxe { .. } | Stage::HttpBoot { .. })
            && stage.firmware().is_some_and(Firmware::is_uefi);
        let slow = slow.then(|| {
            "UEFI without a boot file waits a minute and more for each of its network entries; \
             local_boot = \"auto\" spares that"
                .to_owned()
        });
        let note = match (detail.clone(), slow) {
            (Some(detail), Some(slow)) => Some(format!("{detail}; {slow}")),
            (detail, slow) => detail.or(slow),
        };
        return BootAnswer::none(*reason, note);
    }
    match stage {
        Stage::Os => BootAnswer::none(Reason::NetworkOnly, None),
        Stage::Ipxe {
            firmware,
            http,
            linux,
        } => {
            let needs_linux = matches!(
                &plan,
                Plan::Install { profile, .. } if matches!(profile.boot, Boot::Linux { .. })
            );
            let script = || {
                if http {
                    script_url(request, snapshot, server)
                } else {
                    format!("{}/boot.ipxe", request.mac.dashed())
                }
            };
            if needs_linux && !linux {
                let mut answer = match firmware {
                    Some(firmware) if firmware.is_uefi() => {
                        loader(request, stage, snapshot, facts, host, &plan, server)
                    }
                    _ => fuller_ipxe(facts),
                };
                answer.note = joined(Some(CANNOT_BOOT_LINUX.into()), answer.note.take());
                // Where the fuller one is no better it would go on for ever.
                break_loop(&mut answer, request, stage, facts, at, script);
                return answer;
            }
            let answer = BootAnswer::file(script(), Reason::Script);
            if http {
                answer
            } else {
                answer.with_note("by TFTP: this iPXE has no HTTP")
            }
        }
        Stage::Pxe { .. } | Stage::HttpBoot { .. } => {
            let mut answer = loader(request, stage, snapshot, facts, host, &plan, server);
            break_loop(&mut answer, request, stage, facts, at, || {
                script_url(request, snapshot, server)
            });
            match (&answer.file, plan) {
                (Some(_), Plan::Disk { reason, detail }) if answer.guard == LoopGuard::Pass => {
                    answer.with_note(then_its_disk(reason, detail.as_deref()))
                }
                _ => answer,
            }
        }
    }
}

/// What comes after the loader of a machine that boots its disk.
fn then_its_disk(reason: Reason, detail: Option<&str>) -> Words {
    match (reason, detail) {
        // What nearly every packet is told.
        (Reason::DiskLocal, None) => THEN_DISK_LOCAL.into(),
        (Reason::DiskInstalled, None) => THEN_DISK_INSTALLED.into(),
        (reason, None) => format!("then {}", reason.sentence()).into(),
        (reason, Some(detail)) => format!("then {} ({detail})", reason.sentence()).into(),
    }
}

/// The URL of the script of the machine that asks.
fn script_url(request: &Request, snapshot: &Snapshot, server: Ipv4Addr) -> String {
    let base = base_url(server, snapshot.server.http_port);
    format!("{base}/boot/{}/boot.ipxe", request.mac.dashed())
}

/// Puts another answer in the place of a loader that was fetched again and again in vain.
fn break_loop(
    answer: &mut BootAnswer,
    request: &Request,
    stage: Stage,
    facts: &Facts<'_>,
    at: Timestamp,
    script_url: impl FnOnce() -> String,
) {
    let (Some(fetches), Some(loader)) = (facts.fetches, answer.loader.as_deref()) else {
        return;
    };
    let asking = Asking {
        loader,
        is_discover: request.message_type() == Some(MessageType::Discover),
        // Firmware that runs signed programs only runs no text at all, and the script is iPXE's: a ROM that is to load
        // another loader would take its URL for a name.
        takes_script: !matches!(stage, Stage::HttpBoot { .. })
            && !answer.signed
            && BootLoader::of_file(loader) == BootLoader::Ipxe,
        armed_at: match facts.known {
            Known::Record(record) => record.armed_at,
            Known::Nothing | Known::Unavailable => None,
        },
    };
    let guard = loop_guard(fetches, asking, at);
    let mut broken = match guard {
        LoopGuard::Pass => return,
        LoopGuard::ScriptInstead { .. } => BootAnswer::file(script_url(), Reason::LoopScript),
        LoopGuard::NoBootFile { .. } => BootAnswer::none(Reason::LoopNoFile, None),
    };
    let refused = guard.never_ran() && stage.firmware().is_some_and(Firmware::is_uefi);
    let by_shim = answer.signed && !is_signed_ipxe(loader) && !guard.never_ran();
    let told = format!(
        "{loader} was fetched {} times and {}",
        guard.fetches(),
        match (refused, guard.never_ran()) {
            (true, _) => "never run",
            _ if by_shim => "GRUB never asked for its configuration",
            (false, true) => match BootLoader::of_file(loader) {
                BootLoader::Ipxe => "iPXE never asked for an address",
                BootLoader::Grub => "GRUB never asked for its configuration",
                BootLoader::Pxelinux => "PXELINUX never asked for its configuration",
            },
            (false, false) => "iPXE never asked for its script",
        }
    );
    broken.note = Some(told.into());
    broken.looped = Some(if refused {
        Reason::RefusedByFirmware
    } else if by_shim {
        Reason::RefusedByShim
    } else {
        broken.reason
    });
    broken.loader.clone_from(&answer.loader);
    broken.guard = guard;
    *answer = broken;
}

/// Option 210 (RFC 5071): where PXELINUX looks for everything. It makes the one that knows HTTP use it.
pub(super) const PATH_PREFIX: u8 = 210;

impl BootAnswer {
    /// The folder of the loader as a URL, for a PXELINUX that fetches by HTTP (`lpxelinux.0`) and is loaded
    /// by TFTP.
    pub(super) fn path_prefix(
        &self,
        stage: Stage,
        snapshot: &Snapshot,
        server: Ipv4Addr,
    ) -> Option<String> {
        let loader = self.loader.as_deref().filter(|_| self.file.is_some())?;
        let (folder, name) = match loader.rsplit_once('/') {
            Some((folder, name)) => (format!("{}/", encode(folder)), name),
            None => (String::new(), loader),
        };
        let is_pxe = matches!(stage, Stage::Pxe { .. });
        (is_pxe && self.guard == LoopGuard::Pass && name.eq_ignore_ascii_case("lpxelinux.0")).then(
            || {
                let base = base_url(server, snapshot.server.http_port);
                format!("{base}/assets/{folder}")
            },
        )
    }
}

/// Whether a machine that boots its disk gets no boot file at all (design section 3.3). A BIOS goes
/// on to its disk at once; EDK2 ignores an offer without a boot file and loses a minute for each of
/// its entries, so it gets the loader and a script that ends the network boot.
fn disk_without_file(stage: Stage, form: LocalBoot) -> bool {
    match form {
        LocalBoot::NoFile => true,
        LocalBoot::Exit | LocalBoot::Sanboot => false,
        LocalBoot::Auto => matches!(
            stage,
            Stage::Pxe {
                firmware: Some(Firmware::Bios) | None,
                ..
            }
        ),
    }
}

fn fuller_ipxe(facts: &Facts<'_>) -> BootAnswer {
    if facts.files.is_there(FULLER_IPXE) {
        BootAnswer {
            loader: Some(FULLER_IPXE.into()),
            ..BootAnswer::file(FULLER_IPXE, Reason::Loader)
        }
    } else {
        BootAnswer::none(
            Reason::NoLoader,
            Some(format!("{FULLER_IPXE} is not there")),
        )
    }
}

/// The boot loader for firmware: the host's own, else a signed one where it has Secure Boot, else the one for the
/// number that its firmware tells, else the one for its firmware.
fn loader(
    request: &Request,
    stage: Stage,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    host: &Host,
    plan: &Plan,
    server: Ipv4Addr,
) -> BootAnswer {
    let (firmware, code) = match stage {
        Stage::Pxe { firmware, code } | Stage::HttpBoot { firmware, code } => (firmware, code),
        Stage::Ipxe { .. } | Stage::Os => (stage.firmware(), None),
    };
    let settings = &snapshot.server;
    let has_secure_boot = snapshot.boots_signed(host);
    if let Some(firmware) = firmware.filter(|firmware| has_secure_boot && firmware.is_uefi()) {
        let by_http = matches!(stage, Stage::HttpBoot { .. });
        let profile = to_boot(snapshot, host, plan);
        return match signed::loader(snapshot, profile, firmware, by_http, &|path| {
            facts.files.is_there(path)
        }) {
            Signed::Loader(shim) => BootAnswer {
                signed: true,
                ..named(&shim, stage, snapshot, facts, server)
            },
            Signed::Missing(why) => BootAnswer::none(
                Reason::NoLoader,
                Some(format!("{why} (secure_boot = true)")),
            ),
        };
    }
    let by_code = by_number(request, firmware, code, &settings.loaders_by_code);
    let by_firmware = || firmware.and_then(|firmware| settings.loaders.get(&firmware));
    let value = match (host.loader.as_ref(), host.named_loader()) {
        (_, Some(named)) => {
            let file = firmware.and_then(|firmware| settings.loader_by_name(named, firmware));
            if let (None, Some(firmware)) = (file, firmware) {
                let note = format!("there is no {} for {firmware}", named.title());
                return BootAnswer::none(Reason::NoLoader, Some(note));
            }
            file
        }
        (Some(own), None) => Some(own.as_str()),
        (None, None) => by_code.or_else(by_firmware).map(String::as_str),
    };
    let Some(value) = value else {
        return no_loader_configured(stage, firmware, code.map(|code| code.0));
    };
    named(value, stage, snapshot, facts, server)
}

/// The profile whose loader a machine gets: the one that it is installed with; for its disk any does.
fn to_boot<'a>(snapshot: &'a Snapshot, host: &Host, plan: &'a Plan) -> Option<&'a Profile> {
    match plan {
        Plan::Install { profile, .. } => Some(profile),
        Plan::Disk { .. } => {
            let name = host.profile.as_ref()?;
            snapshot.profile(name).map(AsRef::as_ref)
        }
    }
}

/// What firmware is told of a loader that was chosen.
fn named(
    value: &str,
    stage: Stage,
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    server: Ipv4Addr,
) -> BootAnswer {
    let settings = &snapshot.server;
    match Loader::read(value) {
        Loader::Path(path) if !facts.files.is_there(path) => {
            BootAnswer::none(Reason::NoLoader, Some(format!("{path} is not there")))
        }
        Loader::Path(path) => {
            let mut answer = match stage {
                Stage::HttpBoot { .. } => {
                    let base = base_url(server, settings.http_port);
                    let answer =
                        BootAnswer::file(format!("{base}/assets/{}", encode(path)), Reason::Loader);
                    // EDK2 tells by it what to do with the file.
                    if path.to_ascii_lowercase().ends_with(".efi") {
                        answer
                    } else {
                        answer.with_note(format!(
                            "UEFI HTTP Boot may refuse {path}: it runs files whose names end in .efi"
                        ))
                    }
                }
                _ => BootAnswer::file(path, Reason::Loader),
            };
            // As it will be asked for.
            let clean = clean(path.as_bytes()).ok();
            answer.loader = match (clean, &answer.file) {
                (Some(clean), Some(file)) if *clean == **file => Some(Arc::clone(file)),
                (clean, _) => clean.map(Arc::from),
            };
            answer
        }
        Loader::Tftp(address, path) if matches!(stage, Stage::Pxe { .. }) => BootAnswer {
            server: Some(address),
            ..BootAnswer::file(path, Reason::Loader)
        },
        Loader::Http if matches!(stage, Stage::HttpBoot { .. }) => {
            BootAnswer::file(value, Reason::Loader)
        }
        Loader::Tftp(..) | Loader::Http | Loader::OtherUrl => BootAnswer::none(
            Reason::NoLoader,
            Some(match stage {
                Stage::HttpBoot { .. } => {
                    format!("HTTP Boot cannot load {value}; it takes a path or an http URL")
                }
                _ => format!(
                    "this firmware loads by TFTP and cannot load {value}; give a path or tftp://ADDRESS/PATH"
                ),
            }),
        ),
    }
}

/// The loader configured for a number: the first of option 93 that has one, up to the first number
/// that is known by itself. `code` may stem from option 60. Numbers of another firmware than it was taken
/// for do not count.
fn by_number<'a>(
    request: &Request,
    firmware: Option<Firmware>,
    code: Option<ClientSystemArchitecture>,
    loaders: &'a BTreeMap<u16, String>,
) -> Option<&'a String> {
    let numbers = request.architectures().chain(code);
    for number in numbers.filter(|number| number.firmware().is_none_or(|f| Some(f) == firmware)) {
        let configured = loaders.get(&number.0);
        if configured.is_some() || number.firmware().is_some() {
            return configured;
        }
    }
    None
}

fn no_loader_configured(stage: Stage, firmware: Option<Firmware>, code: Option<u16>) -> BootAnswer {
    match (firmware, code) {
        (Some(firmware), _) => BootAnswer::none(
            Reason::NoLoader,
            Some(format!("[boot] loaders has none for {firmware}")),
        ),
        (None, Some(code)) => BootAnswer::none(
            Reason::UnknownArchitecture,
            Some(format!(
                "option 93 says {code}; [boot] loaders may name one for it: loaders = {{ \"{code}\" = \"…\" }}"
            )),
        ),
        (None, None) => BootAnswer::none(
            Reason::UnknownArchitecture,
            Some(format!(
                "{stage_word} tells no architecture",
                stage_word = stage.as_str()
            )),
        ),
    }
}

/// What a configured loader is.
enum Loader<'a> {
    /// A path under `boot_assets`.
    Path(&'a str),
    /// `tftp://ADDRESS/PATH`, which is what `siaddr` and `file` can say.
    Tftp(Ipv4Addr, &'a str),
    /// An http or https URL.
    Http,
    /// A URL that no firmware here can be given.
    OtherUrl,
}

impl<'a> Loader<'a> {
    fn read(value: &'a str) -> Self {
        // Most are paths, in which it is quicker to look for one byte.
        let url = value.contains(':').then(|| value.split_once("://"));
        let Some((scheme, rest)) = url.flatten() else {
            return Self::Path(value.trim_start_matches('/'));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Self::Http,
            "tftp" => rest
                .split_once('/')
                .and_then(|(address, path)| Some(Self::Tftp(address.parse().ok()?, path)))
                .unwrap_or(Self::OtherUrl),
            _ => Self::OtherUrl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nearly_every_packet_is_told_is_what_its_reason_says() {
        for reason in [Reason::DiskLocal, Reason::DiskInstalled, Reason::DiskFailed] {
            let expected = format!("then {}", reason.sentence());
            assert_eq!(then_its_disk(reason, None), expected);
            assert_eq!(
                then_its_disk(reason, Some("why")),
                format!("{expected} (why)")
            );
        }
    }
}
