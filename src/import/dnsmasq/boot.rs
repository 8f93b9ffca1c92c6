//! `dhcp-boot` and `pxe-service`.

use super::lines::Directive;
use super::tags::{Whom, condition};
use super::{Reader, refused};
use crate::base::Firmware;
use crate::import::boot::{self, CHAINLOADING};

/// Client systems by dnsmasq's names, with the number of option 93.
const SYSTEMS: &[(&str, u16)] = &[
    ("x86pc", 0),
    ("pc98", 1),
    ("ia64_efi", 2),
    ("alpha", 3),
    ("arc_x86", 4),
    ("intel_lean_client", 5),
    ("ia32_efi", 6),
    ("x86-64_efi", 7),
    ("xscale_efi", 8),
    ("bc_efi", 9),
    ("arm32_efi", 10),
    ("arm64_efi", 11),
];

impl Reader<'_> {
    pub(super) fn boot_files(&mut self, directives: &[Directive]) {
        for directive in directives {
            match directive.key.as_str() {
                "dhcp-boot" => self.boot_file(directive),
                "pxe-service" => self.service(directive),
                _ => {}
            }
        }
    }

    fn boot_file(&mut self, directive: &Directive) {
        let shown = directive.shown();
        let (condition, rest) = condition(&directive.fields());
        let file = rest.first().map(String::as_str).unwrap_or_default();
        if file.is_empty() {
            self.gather.left(&directive.at, &shown, boot::NEXT_SERVER);
            return;
        }
        match self.tags.whom(&condition) {
            Whom::Ipxe => self.gather.left(&directive.at, &shown, CHAINLOADING),
            Whom::Firmware(numbers) => self.for_firmware(&numbers, file, directive, &shown),
            Whom::All | Whom::Subnet(_) => self.for_firmware(&[], file, directive, &shown),
            Whom::Hosts(tag) => {
                let loader = self.gather.own_loader(file, &directive.at, &shown);
                let group = self.groups.entry(tag).or_default();
                if group.loader.is_some() && loader.is_some() {
                    self.gather.left(&directive.at, &shown, "the group has another boot file already: left out");
                } else {
                    group.loader = group.loader.take().or(loader);
                }
            }
            Whom::Unknown => self.gather.left(
                &directive.at,
                &shown,
                "a boot file under a condition that no host of the file fulfils by itself: name it as `loader` of the hosts that it is for",
            ),
        }
    }

    /// A boot file of these numbers of firmware, or of the one that its name tells.
    fn for_firmware(&mut self, numbers: &[u16], file: &str, directive: &Directive, shown: &str) {
        let mut firmware: Vec<Firmware> = numbers
            .iter()
            .filter_map(|number| boot::firmware(*number))
            .collect();
        firmware.sort_unstable();
        firmware.dedup();
        if numbers.is_empty() {
            firmware.extend(boot::firmware_of_file(file));
        }
        for firmware in &firmware {
            self.gather.loader(*firmware, file, &directive.at, shown);
        }
        if firmware.is_empty() {
            let why = match boot::kind(file) {
                boot::Kind::Ipxe | boot::Kind::Script => CHAINLOADING,
                boot::Kind::Other => {
                    "a network has no boot file of its own: machines get iPXE and go on to their profile; a host, a group or [defaults] may name another `loader`"
                }
            };
            self.gather.left(&directive.at, shown, why);
        }
    }

    /// `pxe-service=[tag:…,]SYSTEM,TEXT[,FILE or TYPE[,SERVER]]`.
    fn service(&mut self, directive: &Directive) {
        let shown = directive.shown();
        let (condition, rest) = condition(&directive.fields());
        let system = rest
            .first()
            .map(|name| name.to_ascii_lowercase())
            .unwrap_or_default();
        let number = SYSTEMS
            .iter()
            .find(|(name, _)| *name == system)
            .map(|(_, number)| *number)
            .or_else(|| system.parse().ok());
        let file = rest.get(2).map(String::as_str).unwrap_or_default();
        let boots_disk = file.parse::<u16>() == Ok(0);
        let whom = self.tags.whom(&condition);
        match number {
            _ if whom == Whom::Ipxe
                || file.is_empty()
                || boots_disk
                || file.parse::<u16>().is_ok() =>
            {
                self.gather.left(&directive.at, &shown, CHAINLOADING);
            }
            Some(number) => {
                // A layer number is added where the name has no ending.
                let has_ending = file
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.contains('.'));
                let file = if has_ending || file.contains("://") {
                    file.to_owned()
                } else {
                    format!("{file}.0")
                };
                if boot::firmware(number).is_none() {
                    self.gather.left(
                        &directive.at,
                        &shown,
                        "there is no loader for machines of this kind",
                    );
                } else {
                    self.for_firmware(&[number], &file, directive, &shown);
                }
            }
            None => self
                .gather
                .left(&directive.at, &shown, refused::why("pxe-service")),
        }
    }
}
