//! One plan as the text of whichever boot loader asks: iPXE's script, GRUB's or PXELINUX's configuration.
//!
//! All of them start the same kernel with the same arguments. What only one of them can do is refused by
//! the others with a text that says so ([`Unable`]), before a record is changed.

use std::net::Ipv4Addr;

use super::{AssetRef, RenderedBoot, Urls, View, grub, pxelinux, scripts};
use crate::base::{BootLoader, HardwareAddr, Lifecycle};
use crate::config::snapshot::Host;

/// Seconds that a message stays on the screen before the firmware goes on.
pub(super) const PAUSE: u32 = 15;

/// By which protocol a boot loader fetches what its text names: the one by which it has fetched the text,
/// because that is what it surely has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

/// What a boot loader cannot do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot boot this: {what}", .loader.title())]
pub struct Unable {
    /// The loader.
    pub loader: BootLoader,
    /// What it cannot do: a clause.
    pub what: String,
}

/// Writes the texts of one boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Texts {
    /// Which one.
    pub loader: BootLoader,
    /// How it fetches.
    pub transport: Transport,
}

/// What an installer's text says beside what is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Boots<'a> {
    /// For whom.
    pub view: &'a View<'a>,
    /// The attempt.
    pub attempt: u32,
    /// The most there may be.
    pub max_attempts: u32,
    /// The card that boots; `None`: it is not known.
    pub nic: Option<HardwareAddr>,
}

impl Boots<'_> {
    /// What is going to happen, for the screen.
    pub(super) fn headline(&self) -> String {
        let view = self.view;
        let (host, profile, title) = (&view.host.name, &view.profile.name, &view.profile.title);
        match view.profile.lifecycle {
            Lifecycle::Install => format!(
                "{host} is to be installed with {profile} ({title}), attempt {} of {}",
                self.attempt, self.max_attempts
            ),
            Lifecycle::Live => format!("{host} runs {profile} ({title}) from memory"),
            Lifecycle::Once => format!("{host} boots {profile} ({title}), this once"),
        }
    }

    /// `BOOTIF=` and a space, unless the command line has its own.
    pub(super) fn boot_interface(&self, cmdline: &super::Cmdline) -> String {
        let nic = self.nic.or_else(|| self.view.host.mac());
        nic.map_or_else(String::new, |nic| {
            super::cmdline::prefix(cmdline, 0, &nic.dashed())
        })
    }
}

impl Texts {
    /// Boots the installer, for the machine itself: with the passwords that its script logs in by.
    pub fn install_for_machine(
        self,
        boots: &Boots<'_>,
        boot: &RenderedBoot,
    ) -> Result<String, Unable> {
        match self.loader {
            BootLoader::Ipxe => Ok(scripts::install_for_machine(
                boots.view,
                boot,
                boots.attempt,
                boots.max_attempts,
                self.transport == Transport::Tftp,
            )),
            // They log in nowhere.
            BootLoader::Grub | BootLoader::Pxelinux => self.install(boots, boot),
        }
    }

    /// Boots the installer; a preview, without passwords.
    pub fn install(self, boots: &Boots<'_>, boot: &RenderedBoot) -> Result<String, Unable> {
        let (view, transport) = (boots.view, self.transport);
        let text = match self.loader {
            BootLoader::Ipxe => {
                let install = match transport {
                    Transport::Http => scripts::install,
                    Transport::Tftp => scripts::install_by_tftp,
                };
                Ok(install(view, boot, boots.attempt, boots.max_attempts))
            }
            BootLoader::Grub => grub::install(boots, boot, transport),
            BootLoader::Pxelinux => pxelinux::install(boots, boot, transport),
        };
        text.map_err(|what| Unable {
            loader: self.loader,
            what,
        })
    }

    /// Boots the disk and says why.
    pub fn disk(self, host: &Host, why: &str) -> String {
        match self.loader {
            BootLoader::Ipxe => scripts::disk(host, why),
            BootLoader::Grub => grub::disk(host, why),
            BootLoader::Pxelinux => pxelinux::disk(host, why),
        }
    }

    /// Says something, waits, and leaves the network boot.
    pub fn trouble(self, text: &str) -> String {
        match self.loader {
            BootLoader::Ipxe => scripts::trouble(text),
            BootLoader::Grub => grub::message(&[text]),
            BootLoader::Pxelinux => pxelinux::message(&[text]),
        }
    }

    /// For whoever asks for another machine's.
    pub fn not_this_machine(self, peer: Ipv4Addr) -> String {
        let lines = [
            "not this machine",
            &format!(
                "this configuration is for the machine with that MAC address, and {peer} is not its address"
            ),
        ];
        match self.loader {
            BootLoader::Ipxe => scripts::not_this_machine(),
            BootLoader::Grub => grub::message(&lines),
            BootLoader::Pxelinux => pxelinux::message(&lines),
        }
    }

    /// For a machine without a reservation: how it becomes a host.
    pub fn unknown(self, mac: HardwareAddr) -> String {
        let lines = [
            &format!("no host has the MAC address {mac}; nothing is installed"),
            "to adopt it, say on the server:",
            &format!("  bootwright adopt {mac} --name NAME"),
        ];
        match self.loader {
            BootLoader::Ipxe => scripts::unknown(mac),
            BootLoader::Grub => grub::message(&lines),
            BootLoader::Pxelinux => pxelinux::message(&lines),
        }
    }

    /// For a machine of which only the address is known.
    pub fn stranger(self, peer: Ipv4Addr) -> String {
        let text = format!("this server does not know the machine at {peer}; nothing is installed");
        self.trouble(&text)
    }
}

/// How a boot loader names files.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) server: Ipv4Addr,
    pub(super) transport: Transport,
    /// Before the path of a boot file by HTTP: `http://10.99.0.2:8080/assets`.
    pub(super) urls: Urls,
}

/// Where a file is, as far as boot loaders tell places apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// On this server, by TFTP: the path as it is.
    Tftp(String),
    /// By HTTP: host with port, and the path, percent-encoded, with its slash.
    Http(String, String),
    /// On another server by TFTP.
    OtherTftp(String, String),
}

impl Places {
    pub(super) fn of(view: &View<'_>, transport: Transport) -> Self {
        Self {
            server: view.server,
            transport,
            urls: Urls::of(view),
        }
    }

    /// Where a boot file is.
    pub(super) fn place(&self, asset: &AssetRef) -> Result<Place, String> {
        if let (AssetRef::Path(path), Transport::Tftp) = (asset, self.transport) {
            return Ok(Place::Tftp(path.clone()));
        }
        let url = self.urls.asset(asset);
        let unable = || format!("it loads by http and tftp only, and {url} is neither");
        let (scheme, rest) = url.split_once("://").ok_or_else(unable)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        match scheme.to_ascii_lowercase().as_str() {
            "http" => Ok(Place::Http(host.to_owned(), format!("/{path}"))),
            "tftp" => Ok(Place::OtherTftp(host.to_owned(), path.to_owned())),
            _ => Err(unable()),
        }
    }
}

/// A line for a screen: printable, ASCII, and not endless. It may come from anywhere (a report's message,
/// a template's error).
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .take(400)
        .map(|c| match c {
            c if c.is_control() || c.is_whitespace() => ' ',
            c if !c.is_ascii() => '?',
            c => c,
        })
        .collect()
}

/// The last part of a path or URL.
pub(super) fn file_name(asset: &AssetRef) -> String {
    let (AssetRef::Path(text) | AssetRef::Url(text)) = asset;
    let text = match asset {
        AssetRef::Path(_) => text.as_str(),
        AssetRef::Url(_) => text.split(['?', '#']).next().unwrap_or_default(),
    };
    let name = text.rsplit('/').next().unwrap_or_default();
    name.replace(char::is_whitespace, "_")
}
