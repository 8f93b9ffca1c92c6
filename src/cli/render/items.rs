//! The texts of one host: its boot script, its kernel's command line, its answers.

use std::net::Ipv4Addr;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::base::{BootLoader, HardwareAddr, suggest};
use crate::config::Snapshot;
use crate::config::snapshot::{Boot, Host, Profile};
use crate::render::load::InForce;
use crate::render::loaders::{Boots, Texts, Transport};
use crate::render::{Prepared, RenderedAnswer, RenderedBoot, Renderer, View, files};

/// What can be shown of every profile.
const OTHERS: &str = "boot.ipxe, grub.cfg, pxelinux.cfg and cmdline";
/// The name of the kernel's command line.
const CMDLINE: &str = "cmdline";

/// A text of a host.
#[derive(Debug, Serialize)]
pub(super) struct Rendered {
    /// Its name: an answer's, a boot loader's text's, or [`CMDLINE`].
    pub(super) name: String,
    pub(super) content_type: String,
    pub(super) text: String,
}

/// How answers are rendered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// With secrets in clear: for a file.
    pub(super) secrets: bool,
    /// To be put into the installer's initial RAM disk.
    pub(super) injected: bool,
}

/// A host that is looked at.
#[derive(Debug)]
pub(super) struct Preview<'a> {
    pub(super) view: View<'a>,
    renderer: &'a Renderer,
    prepared: Prepared<'a>,
}

impl<'a> Preview<'a> {
    /// Of a host with a profile.
    pub(super) fn of(in_force: &'a InForce, host: &'a Host) -> anyhow::Result<Self> {
        let snapshot = &in_force.snapshot;
        let (name, profile) = profile_of(snapshot, host)?;
        let subnet = snapshot
            .subnet_of(host)
            .with_context(|| format!("{name} belongs to no subnet"))?;
        let view = View {
            snapshot,
            host,
            profile,
            arch: files::usual_architecture(host, Some(profile)),
            server: subnet.example_server,
            token: None,
        };
        Ok(Self {
            view,
            renderer: &in_force.renderer,
            prepared: in_force.renderer.prepare(&view),
        })
    }

    /// The text of a boot loader, with boot files by the protocol that it usually has.
    pub(super) fn script(&self, loader: BootLoader) -> anyhow::Result<Rendered> {
        let boots = Boots {
            view: &self.view,
            attempt: 1,
            max_attempts: self.view.snapshot.server.max_attempts,
            nic: self.view.host.mac(),
        };
        let texts = Texts {
            loader,
            transport: match loader {
                BootLoader::Ipxe => Transport::Http,
                BootLoader::Grub | BootLoader::Pxelinux => Transport::Tftp,
            },
        };
        let text = texts.install(&boots, &self.boot()?)?;
        Ok(plain(loader.text_name(), text))
    }

    fn boot(&self) -> anyhow::Result<RenderedBoot> {
        Ok(self.renderer.prepared_boot(&self.prepared)?)
    }

    /// What is started where the answers lie in the initial RAM disk.
    pub(super) fn boot_of_injected(&self) -> anyhow::Result<RenderedBoot> {
        let prepared = self.renderer.prepare_injected(&self.view);
        Ok(self.renderer.prepared_boot(&prepared)?)
    }

    fn cmdline_of(&self, boot: &RenderedBoot) -> Option<Rendered> {
        let line = boot.command_line(self.view.host)?;
        Some(plain(CMDLINE, format!("{line}\n")))
    }

    /// Everything.
    pub(super) fn all(&self, how: How) -> anyhow::Result<Vec<Rendered>> {
        let names = names(self.view.snapshot, self.view.host, self.view.profile);
        names.iter().map(|name| self.one(name, how)).collect()
    }

    /// The answers.
    pub(super) fn answers(&self, how: How) -> anyhow::Result<Vec<Rendered>> {
        let answers = self.view.profile.answers.iter();
        answers
            .map(|answer| {
                self.answer(&answer.name, how)?
                    .context("it has this answer")
            })
            .collect()
    }

    /// The text of this name.
    pub(super) fn one(&self, name: &str, how: How) -> anyhow::Result<Rendered> {
        if let Some(answer) = self.answer(name, how)? {
            return Ok(answer);
        }
        let loader = BootLoader::ALL
            .into_iter()
            .find(|loader| loader.text_name() == name);
        if let Some(loader) = loader {
            return self.script(loader);
        }
        match name {
            CMDLINE => self.cmdline_of(&self.boot()?).with_context(|| {
                format!(
                    "the profile {} starts no kernel, so there is no command line",
                    self.view.profile.name
                )
            }),
            _ => bail!("{}", no_such_answer(self.view.profile, name)),
        }
    }

    fn answer(&self, name: &str, how: How) -> anyhow::Result<Option<Rendered>> {
        let (renderer, view) = (self.renderer, &self.view);
        let answer = match how {
            How {
                secrets: true,
                injected: false,
            } => renderer.answer_for_machine(view, name),
            How {
                secrets: true,
                injected: true,
            } => renderer.answer_to_inject(view, name),
            How {
                secrets: false,
                injected: false,
            } => renderer.prepared_answer(&self.prepared, name),
            How {
                secrets: false,
                injected: true,
            } => renderer.prepared_answer(&renderer.prepare_injected(view), name),
        };
        match answer {
            None => Ok(None),
            Some(Ok(RenderedAnswer { content_type, text })) => Ok(Some(Rendered {
                name: name.to_owned(),
                content_type,
                text,
            })),
            Some(Err(error)) => match error.help.clone() {
                Some(help) => Err(anyhow::anyhow!("{error}; {help}")),
                None => Err(error.into()),
            },
        }
    }
}

/// The names of all texts that a host with this profile has, in order: the text of iPXE, or of the loader
/// that the host has instead. An answer wins over another text of its name.
pub(super) fn names<'a>(snapshot: &Snapshot, host: &Host, profile: &'a Profile) -> Vec<&'a str> {
    let mut loaders = snapshot.server.boot_loaders(host);
    // Only iPXE can boot a script of iPXE's.
    if matches!(profile.boot, Boot::Script { .. }) {
        loaders = vec![BootLoader::Ipxe];
    }
    let answers = profile.answers.iter().map(|answer| answer.name.as_str());
    let cmdline: Option<&'a str> =
        matches!(profile.boot, Boot::Linux { .. } | Boot::Image { .. }).then_some(CMDLINE);
    let scripts = loaders
        .into_iter()
        .map(|loader| -> &'a str { loader.text_name() });
    scripts
        .chain(cmdline)
        .filter(|name| answers.clone().all(|answer| answer != *name))
        .chain(answers.clone())
        .collect()
}

fn plain(name: &str, text: String) -> Rendered {
    Rendered {
        name: name.to_owned(),
        content_type: "text/plain".to_owned(),
        text,
    }
}

/// The host of this name, MAC or address.
pub(in crate::cli) fn find<'a>(snapshot: &'a Snapshot, asked: &str) -> anyhow::Result<&'a Host> {
    let found = asked
        .parse()
        .ok()
        .and_then(|name| snapshot.host(&name))
        .or_else(|| {
            let mac: HardwareAddr = asked.parse().ok()?;
            snapshot.host_by_mac(mac)
        })
        .or_else(|| {
            let ip: Ipv4Addr = asked.parse().ok()?;
            snapshot.host_by_ip(ip)
        });
    if let Some(host) = found {
        return Ok(host);
    }
    let names = snapshot.hosts().iter().map(|host| host.name.as_str());
    match suggest::nearest(asked, names) {
        Some(near) => bail!("there is no host {asked}; did you mean {near}?"),
        None => bail!(
            "there is no host {asked}; HOST is a name, a MAC or an address of the reservations"
        ),
    }
}

fn profile_of<'a>(
    snapshot: &'a Snapshot,
    host: &'a Host,
) -> anyhow::Result<(&'a str, &'a Profile)> {
    let name = host.name.as_str();
    let Some(profile) = &host.profile else {
        bail!(
            "{name} has no profile: it only gets its address; give `profile` to it, its group or [defaults]"
        );
    };
    let profile = snapshot
        .profile(profile)
        .with_context(|| format!("{name} has the profile {profile}, which is not there"))?;
    Ok((name, profile))
}

fn no_such_answer(profile: &Profile, asked: &str) -> String {
    let names: Vec<&str> = profile
        .answers
        .iter()
        .map(|answer| answer.name.as_str())
        .collect();
    if names.is_empty() {
        return format!(
            "the profile {} has no answers; {OTHERS} can be shown",
            profile.name
        );
    }
    format!(
        "the profile {} has no answer {asked}; it has {} ({OTHERS} can be shown too)",
        profile.name,
        names.join(", ")
    )
}
