//! What stands against arming a host, and what it is armed with: for orders and for hosts that are new.
//!
//! **Invariant:** changes nothing. A host is armed with a profile only when the profile is there, fits
//! the host and its variables, has its boot files and can be rendered for it, so that an arming leads to an
//! installer. All that stands against it is told at once.

use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use crate::base::suggest::nearest;
use crate::base::{After, Architecture, Firmware, HostName, ProfileName, Timestamp, Token};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, InstallPolicy, Profile};
use crate::config::variables::unmet;
use crate::decide::BootFiles as _;
use crate::decide::plan::architecture;
use crate::record::Armament;
use crate::render::check::brings_in_snippets;
use crate::render::files::{fetched_by, is_named_there, named, needed};
use crate::render::load::InForce;
use crate::render::{AssetRef, RenderError, View, secrets};

/// What an order says of an arming; by default all of it is as the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The profile; `None`: the one that the file has for the host.
    pub profile: Option<ProfileName>,
    /// What it waits for; `None`: as the file says.
    pub after: Option<After>,
    /// It waits for nothing, whatever the file says.
    pub at_once: bool,
    /// How long the arming holds; `None`: `[install] armed_for`.
    pub armed_for: Option<Duration>,
}

/// Why a host cannot be armed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Obstacle {
    #[error(
        "{host} cannot be armed: the daemon was started on the last good configuration, of {kept_at}, because its files have errors"
    )]
    LastGood { host: HostName, kept_at: Timestamp },
    #[error("{host} has install = \"never\"")]
    Never { host: HostName },
    #[error("{host} has install = \"always\": its live system is served at every boot")]
    Always { host: HostName },
    #[error("{host} has no MAC: no machine could come for the installation")]
    NoMac { host: HostName },
    #[error("{host} has no profile: there is nothing to install")]
    NoProfile { host: HostName },
    #[error("{host} cannot be armed with {profile}: there is no such profile")]
    UnknownProfile {
        host: HostName,
        profile: ProfileName,
        nearest: Option<String>,
    },
    #[error("{host} is {arch}, which the profile {profile} is not for")]
    Architecture {
        host: HostName,
        arch: Architecture,
        profile: ProfileName,
    },
    #[error("{host} cannot be installed with {profile}: the variable {variable} {wanted}")]
    Variable {
        host: HostName,
        profile: ProfileName,
        variable: String,
        wanted: String,
        help: Option<String>,
    },
    #[error(
        "{host} cannot be installed with {profile}: its snippet {snippet} does not work with {family}"
    )]
    SnippetFamily {
        host: HostName,
        profile: ProfileName,
        snippet: String,
        family: String,
    },
    #[error("{host} cannot be installed: its boot file {file} is not in {}", .folder.display())]
    BootFileMissing {
        host: HostName,
        file: String,
        folder: PathBuf,
        fetched_by: Option<String>,
    },
    #[error("{host} cannot be installed: its boot file {file} is {why}")]
    BootFileAmiss {
        host: HostName,
        file: String,
        why: String,
        fetched_by: Option<String>,
    },
    #[error("{host} cannot be installed with {profile}: {error}")]
    DoesNotRender {
        host: HostName,
        profile: ProfileName,
        error: String,
        help: Option<String>,
    },
    #[error(
        "{host} cannot be installed with {profile}: its answers need the secret {secret}, which is not there"
    )]
    SecretMissing {
        host: HostName,
        profile: ProfileName,
        secret: String,
        remedy: String,
    },
    #[error("{host} cannot wait for itself")]
    AwaitsItself { host: HostName },
    #[error("{host} cannot wait for {awaited}: no reservation has this name")]
    UnknownAwaited {
        host: HostName,
        awaited: HostName,
        nearest: Option<String>,
    },
    #[error("the system gives no random numbers for a token: {error}")]
    NoRandomness { error: String },
}

impl Obstacle {
    /// A stable name.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LastGood { .. } => "last-good",
            Self::Never { .. } => "install-never",
            Self::Always { .. } => "install-always",
            Self::NoMac { .. } => "no-mac",
            Self::NoProfile { .. } => "no-profile",
            Self::UnknownProfile { .. } => "unknown-profile",
            Self::Architecture { .. } => "architecture",
            Self::Variable { .. } => "variable",
            Self::SnippetFamily { .. } => "snippet-family",
            Self::BootFileMissing { .. } => "boot-file-missing",
            Self::BootFileAmiss { .. } => "boot-file-partial",
            Self::DoesNotRender { .. } => "render-failed",
            Self::SecretMissing { .. } => "secret-missing",
            Self::AwaitsItself { .. } => "after-itself",
            Self::UnknownAwaited { .. } => "after-unknown",
            Self::NoRandomness { .. } => "no-randomness",
        }
    }

    /// The host, as it is told beside the message.
    pub fn host(&self) -> String {
        match self {
            Self::LastGood { host, .. }
            | Self::Never { host }
            | Self::Always { host }
            | Self::NoMac { host }
            | Self::NoProfile { host }
            | Self::UnknownProfile { host, .. }
            | Self::Architecture { host, .. }
            | Self::Variable { host, .. }
            | Self::SnippetFamily { host, .. }
            | Self::BootFileMissing { host, .. }
            | Self::BootFileAmiss { host, .. }
            | Self::DoesNotRender { host, .. }
            | Self::SecretMissing { host, .. }
            | Self::AwaitsItself { host }
            | Self::UnknownAwaited { host, .. } => host.to_string(),
            Self::NoRandomness { .. } => String::new(),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let did_you_mean = |nearest: &Option<String>, otherwise: &str| {
            nearest.as_ref().map_or_else(
                || otherwise.to_owned(),
                |name| format!("did you mean {name}?"),
            )
        };
        match self {
            Self::LastGood { .. } => {
                "put the files right: `bootwright check` shows every mistake, and the next save of good files is taken up by itself"
                    .to_owned()
            }
            Self::Never { .. } => {
                "take that out of its reservation or group to install it".to_owned()
            }
            Self::Always { .. } => {
                "start it from the network; install = \"once\" makes its live system one that is armed"
                    .to_owned()
            }
            Self::NoMac { host } => format!("add mac = \"…\" to [hosts.{host}]"),
            Self::NoProfile { host } => {
                format!("add profile = \"…\" to [hosts.{host}], its group or [defaults], or name one with --profile")
            }
            Self::UnknownProfile { nearest, .. } => {
                did_you_mean(nearest, "a profile is a file profiles/NAME.toml")
            }
            Self::Architecture { .. } => {
                "choose another profile, or correct `arch`".to_owned()
            }
            Self::BootFileAmiss { fetched_by, .. } => fetched_by.clone().unwrap_or_else(|| {
                "bring it again, or give a file of your own another name".to_owned()
            }),
            Self::Variable { host, variable, help, .. } => {
                let help = help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
                format!("give `{variable}` in [hosts.{host}.vars] or those of its group{help}")
            }
            Self::SnippetFamily { host, .. } => {
                format!("choose another profile, or take the snippet out of [hosts.{host}] or its group")
            }
            Self::BootFileMissing { fetched_by, .. } => fetched_by.clone().unwrap_or_else(|| {
                "put it there; `bootwright check` lists all that are missing".to_owned()
            }),
            Self::DoesNotRender { host, help, .. } => help.clone().unwrap_or_else(|| {
                format!("give [hosts.{host}] or its group what the profile's templates ask for, or choose another profile")
            }),
            Self::SecretMissing { remedy, .. } => remedy.clone(),
            Self::AwaitsItself { .. } => {
                "name another host, or --after none to wait for nothing".to_owned()
            }
            Self::UnknownAwaited { nearest, .. } => {
                did_you_mean(nearest, "`bootwright hosts` lists them")
            }
            Self::NoRandomness { .. } => "try again".to_owned(),
        }
    }
}

/// All that stands against arming a host: one thing at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacles {
    /// In the order in which they are told.
    pub list: Vec<Obstacle>,
}

impl From<Obstacle> for Obstacles {
    fn from(obstacle: Obstacle) -> Self {
        Self {
            list: vec![obstacle],
        }
    }
}

impl std::fmt::Display for Obstacles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, obstacle) in self.list.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{obstacle}; {}", obstacle.remedy())?;
        }
        Ok(())
    }
}

/// What a host is armed with on these terms, when nothing stands against it.
pub fn armament(
    ctx: &Context,
    in_force: &InForce,
    host: &Host,
    terms: &Terms,
) -> Result<Armament, Obstacles> {
    let snapshot = &in_force.snapshot;
    let name = || host.name.clone();
    if let Some(kept_at) = snapshot.last_good {
        let host = name();
        return Err(Obstacle::LastGood { host, kept_at }.into());
    }
    match host.install {
        InstallPolicy::Never => return Err(Obstacle::Never { host: name() }.into()),
        InstallPolicy::Always => return Err(Obstacle::Always { host: name() }.into()),
        InstallPolicy::Once => {}
    }
    if host.boot_macs().is_empty() {
        return Err(Obstacle::NoMac { host: name() }.into());
    }
    let Some(profile_name) = terms.profile.as_ref().or(host.profile.as_ref()) else {
        return Err(Obstacle::NoProfile { host: name() }.into());
    };
    let Some(profile) = snapshot.profile(profile_name) else {
        let names = snapshot.profiles().keys().map(ProfileName::as_str);
        return Err(Obstacle::UnknownProfile {
            host: name(),
            profile: profile_name.clone(),
            nearest: nearest(profile_name.as_str(), names).map(str::to_owned),
        }
        .into());
    };
    if let Some(arch) = host.arch
        && !profile.arch.is_empty()
        && !profile.arch.contains(&arch)
    {
        return Err(Obstacle::Architecture {
            host: name(),
            arch,
            profile: profile_name.clone(),
        }
        .into());
    }
    let mut list = unfit(snapshot, host, profile);
    // What is not given would be told once more, by the template that needs it.
    if list.is_empty() {
        list.extend(unrendered(ctx, in_force, host, profile));
    }
    let missing = missing_files(ctx, in_force, host, profile).into_iter();
    list.extend(missing.map(|file| {
        let (host, fetched_by) = (name(), fetched_by(snapshot, &file));
        match ctx.assets.amiss(&file) {
            Some(why) => Obstacle::BootFileAmiss {
                host,
                file,
                why,
                fetched_by,
            },
            None => Obstacle::BootFileMissing {
                host,
                file,
                folder: snapshot.server.boot_assets.clone(),
                fetched_by,
            },
        }
    }));
    let after = match awaited(snapshot, host, terms) {
        Ok(after) => after,
        Err(obstacle) => {
            list.push(obstacle);
            None
        }
    };
    if !list.is_empty() {
        return Err(Obstacles { list });
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Obstacle::NoRandomness {
        error: error.to_string(),
    })?;
    Ok(Armament {
        profile: profile_name.clone(),
        file_profile: host.profile.clone(),
        macs: host.boot_macs(),
        ip: host.ip,
        token: Token::from_bytes(random),
        armed_for: terms.armed_for.unwrap_or(snapshot.server.armed_for),
        after,
    })
}

/// What of a host's variables and snippets is not for a profile. A reload has proved it for the profile of the file,
/// but not for another one.
fn unfit(snapshot: &Snapshot, host: &Host, profile: &Profile) -> Vec<Obstacle> {
    if host.profile.as_ref() == Some(&profile.name) {
        return Vec::new();
    }
    let with_snippets = brings_in_snippets(snapshot, profile);
    let variables = unmet(snapshot, host, profile, with_snippets)
        .into_iter()
        .map(|unmet| Obstacle::Variable {
            host: host.name.clone(),
            profile: profile.name.clone(),
            variable: unmet.name,
            wanted: unmet.wanted,
            help: unmet.help,
        });
    let snippets = host
        .snippets
        .iter()
        .filter(|_| with_snippets)
        .filter(|name| {
            snapshot.snippets.get(*name).is_some_and(|snippet| {
                !snippet.families.is_empty()
                    && snippet
                        .families
                        .iter()
                        .all(|family| *family != profile.family)
            })
        })
        .map(|name| Obstacle::SnippetFamily {
            host: host.name.clone(),
            profile: profile.name.clone(),
            snippet: name.clone(),
            family: profile.family.clone(),
        });
    variables.chain(snippets).collect()
}

/// What a host is to wait for.
fn awaited(snapshot: &Snapshot, host: &Host, terms: &Terms) -> Result<Option<After>, Obstacle> {
    if terms.at_once {
        return Ok(None);
    }
    let Some(after) = terms.after.as_ref().or(host.after.as_ref()) else {
        return Ok(None);
    };
    if after.host == host.name {
        return Err(Obstacle::AwaitsItself {
            host: host.name.clone(),
        });
    }
    if snapshot.host(&after.host).is_none() {
        let names = snapshot.hosts().iter().map(|host| host.name.as_str());
        return Err(Obstacle::UnknownAwaited {
            host: host.name.clone(),
            awaited: after.host.clone(),
            nearest: nearest(after.host.as_str(), names).map(str::to_owned),
        });
    }
    Ok(Some(after.clone()))
}

/// A host as it is rendered for, with a profile that need not be the file's.
pub fn view<'a>(
    ctx: &Context,
    in_force: &'a InForce,
    host: &'a Host,
    profile: &'a Profile,
) -> Option<View<'a>> {
    let snapshot = &in_force.snapshot;
    let subnet = snapshot.subnet_of(host)?;
    Some(View {
        snapshot,
        host,
        profile,
        arch: architecture(host, Some(profile), ctx.architecture_seen(host)),
        server: subnet.server.unwrap_or(subnet.example_server),
        token: None,
    })
}

/// What keeps the boot texts and answers of a profile from being rendered for a host, with all secrets. A reload has
/// proved it for the profile of the file, but not for each architecture nor for another profile.
fn unrendered(ctx: &Context, in_force: &InForce, host: &Host, profile: &Profile) -> Vec<Obstacle> {
    let Some(view) = view(ctx, in_force, host, profile) else {
        return Vec::new();
    };
    let renderer = &in_force.renderer;
    let prepared = renderer.prepare(&view);
    let answers = profile
        .answers
        .iter()
        .filter_map(|answer| renderer.prepared_answer(&prepared, &answer.name))
        .map(|answer| answer.map(|_| ()));
    let boot = renderer.prepared_boot(&prepared).map(|_| ());
    let mut errors: Vec<RenderError> = Vec::new();
    for error in std::iter::once(boot).chain(answers).filter_map(Result::err) {
        // Several answers may bring in the same template.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    let mut list: Vec<Obstacle> = errors
        .into_iter()
        .map(|error| Obstacle::DoesNotRender {
            host: host.name.clone(),
            profile: profile.name.clone(),
            error: error.to_string(),
            help: error.help,
        })
        .collect();
    // Known once all that may ask for one has been rendered.
    let missing = prepared.missing_secrets().into_iter();
    list.extend(missing.map(|secret| Obstacle::SecretMissing {
        host: host.name.clone(),
        profile: profile.name.clone(),
        remedy: secrets::remedy(&in_force.snapshot, Some(host), &secret),
        secret,
    }));
    list
}

/// The files that keep a host from being installed with a profile: its boot loader, what the profile
/// loads, then what its texts name by `asset()`. What firmware it has is known only once it was seen; until then each usual loader is needed.
pub fn missing_files(
    ctx: &Context,
    in_force: &InForce,
    host: &Host,
    profile: &Profile,
) -> Vec<String> {
    let snapshot = &in_force.snapshot;
    let files = ctx.boot_files(in_force);
    let loaders = &snapshot.server.loaders;
    let own = host
        .boot_macs()
        .into_iter()
        .find_map(|mac| ctx.memory.get(mac)?.firmware)
        .and_then(|firmware| snapshot.server.loader_of(host, firmware));
    let is_loader = |path: &String| match (&host.loader, host.named_loader(), own) {
        (Some(loader), None, _) => path == loader,
        (_, _, Some(loader)) => path == loader,
        (_, Some(named), None) => Firmware::ALL
            .into_iter()
            .filter_map(|firmware| snapshot.server.loader_by_name(named, firmware))
            .any(|loader| loader == path),
        (None, None, None) => loaders.values().any(|loader| loader == path),
    };
    let mut as_armed = host.clone();
    as_armed.profile = Some(profile.name.clone());
    let mut missing: Vec<String> = needed(in_force, &as_armed)
        .into_iter()
        .filter_map(|(asset, _)| match asset {
            AssetRef::Path(path) => Some(path),
            AssetRef::Url(_) => None,
        })
        .filter(|path| is_loader(path) && !files.is_there(path))
        .collect();
    // As it will be asked for when the machine boots: thousands at once then find it here.
    let arch = architecture(host, Some(profile), ctx.architecture_seen(host));
    let needs = in_force.needs(host, profile, arch);
    let paths = needs.and_then(|needs| needs.paths.clone().ok());
    let mut loaded = paths.unwrap_or_default();
    loaded.retain(|path| !files.is_there(path));
    let is_there = |path: &str| match path.strip_suffix('/') {
        Some(folder) => ctx.assets.is_folder(folder),
        None => files.is_there(path),
    };
    let named = view(ctx, in_force, host, profile)
        .map(|view| named(in_force, &view))
        .unwrap_or_default()
        .into_iter()
        .filter(|path| !is_named_there(&is_there, path));
    for path in loaded.into_iter().chain(named) {
        if !missing.contains(&path) {
            missing.push(path);
        }
    }
    missing
}
