//! What an order would do to each host, before anything is done: for refusing it with all reasons at once,
//! and for `--dry-run`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, Body};
use super::select::Selected;
use crate::base::time::show_duration;
use crate::base::{After, Architecture, HostName, Lifecycle, ProfileName, Timestamp};
use crate::config::snapshot::{Host, ImageKind, Profile};
use crate::record::{self, Input, InstallState, Record, Refusal, Step};
use crate::render::load::InForce;
use crate::render::{AssetRef, RenderedBoot, RenderedTarget};
use crate::serve::arming::{self, Terms, armament, missing_files};
use crate::serve::context::Context;
use crate::serve::installs::Installs;

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Install,
    Cancel,
    Local,
}

/// An order that was read and makes sense.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) terms: Terms,
    pub(super) force: bool,
    pub(super) by: String,
}

/// One host of an order.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) host: Arc<Host>,
    pub(super) record: Option<Arc<Record>>,
    /// What is to be done; `None`: nothing, which a glob or a group may well lead to.
    pub(super) verdict: Result<Option<Input>, ApiError>,
    /// What it waits for has not come yet.
    pub(super) waits: bool,
}

/// Judges an order against the records as they are now. What another order changes meanwhile is met when
/// it is carried out.
pub(super) fn judge(
    ctx: &Context,
    in_force: &InForce,
    selected: Vec<Selected>,
    asked: &Asked,
    records: &HashMap<HostName, Arc<Record>>,
) -> Vec<Judged> {
    let mut judged: Vec<Judged> = selected
        .into_iter()
        .map(|Selected { host, named }| {
            let record = records.get(&host.name).cloned();
            let verdict = one(ctx, in_force, &host, named, asked, record.as_deref());
            Judged {
                host,
                record,
                verdict,
                waits: false,
            }
        })
        .collect();
    circles(&mut judged, records);
    let armed_anew: HashSet<HostName> = judged
        .iter()
        .filter(|judged| judged.verdict.is_ok())
        .map(|judged| judged.host.name.clone())
        .collect();
    for judged in &mut judged {
        let Ok(Some(Input::Install { with, .. })) = &judged.verdict else {
            continue;
        };
        // What the last arming of another host has come to already is not waited for, unless that one
        // is armed anew beside it.
        let came = |after: &After| {
            !armed_anew.contains(&after.host)
                && records
                    .get(&after.host)
                    .is_some_and(|other| record::reached(other, after.event))
        };
        judged.waits = with.after.as_ref().is_some_and(|after| !came(after));
    }
    judged
}

fn one(
    ctx: &Context,
    in_force: &InForce,
    host: &Host,
    named: bool,
    asked: &Asked,
    record: Option<&Record>,
) -> Result<Option<Input>, ApiError> {
    let (force, by) = (asked.force, asked.by.clone());
    let input = match asked.verb {
        Verb::Install => Input::Install {
            with: armament(ctx, in_force, host, &asked.terms)?,
            force,
            by,
        },
        Verb::Cancel => Input::Cancel { force, by },
        Verb::Local => Input::Local { force, by },
    };
    let new = Record::new(host.name.clone());
    let record = record.unwrap_or(&new);
    let policy = Installs::policy(&in_force.snapshot, Some(record));
    let now = ctx.now();
    match record::step(record, &input, policy, now) {
        Step::Refused(Refusal::UnderWay { .. }) => Err(under_way(
            record,
            in_force.snapshot.server.max_attempts,
            asked.verb,
            now,
        )),
        Step::Refused(Refusal::NothingToCancel { .. }) if !named => Ok(None),
        Step::Refused(refusal) => Err(refusal.into()),
        Step::Change(_) | Step::Same(_) => Ok(Some(input)),
    }
}

/// Says how far a machine is that an order would interrupt.
fn under_way(record: &Record, max_attempts: u32, verb: Verb, now: Timestamp) -> ApiError {
    let host = &record.host;
    let ago = |what: &str, at: Option<Timestamp>| {
        at.map(|at| format!("{what} {} ago", show_duration(whole(now.since(at)))))
    };
    let told = [
        Some(format!("attempt {} of {max_attempts}", record.attempt)),
        ago("its kernel was fetched", record.kernel_at),
        ago("its installer began", record.started_at),
        record.percent.map(|percent| format!("{percent} % done")),
        record
            .message
            .as_ref()
            .map(|message| format!("it last said {message:?}")),
        ago("it was last heard of", record.seen_at.or(record.script_at)),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    let remedy = match verb {
        Verb::Install => {
            "wait for it, or say --force: it begins anew with the machine's next network boot"
        }
        Verb::Cancel | Verb::Local => {
            "wait for it, or say --force; its disk may be half written then, and the running installer goes on until the machine is stopped"
        }
    };
    ApiError::new(
        StatusCode::CONFLICT,
        "under-way",
        format!("{host} is {}: {}", record.state, told.join(", ")),
        remedy,
    )
}

/// To the second: nobody wants to know it better.
fn whole(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(time.as_secs().max(1))
}

/// Refuses hosts that would wait for one another: by this order, and by what waits already.
fn circles(judged: &mut [Judged], records: &HashMap<HostName, Arc<Record>>) {
    let mut waits: HashMap<HostName, HostName> = records
        .values()
        .filter(|record| record.state == InstallState::Waiting)
        .filter_map(|record| Some((record.host.clone(), record.after.as_ref()?.host.clone())))
        .collect();
    for judged in judged.iter() {
        let Ok(Some(Input::Install { with, .. })) = &judged.verdict else {
            continue;
        };
        match &with.after {
            Some(after) => waits.insert(judged.host.name.clone(), after.host.clone()),
            None => waits.remove(&judged.host.name),
        };
    }
    for judged in judged {
        let Ok(Some(Input::Install { .. })) = &judged.verdict else {
            continue;
        };
        let start = &judged.host.name;
        let mut way = vec![start.as_str()];
        let mut next = waits.get(start);
        while let Some(here) = next {
            // A circle further on is refused at the hosts that are in it.
            if way.contains(&here.as_str()) {
                break;
            }
            way.push(here.as_str());
            next = waits.get(here);
        }
        if next != Some(start) {
            continue;
        }
        way.push(start.as_str());
        judged.verdict = Err(ApiError::new(
            StatusCode::CONFLICT,
            "after-circle",
            format!(
                "{start} cannot wait for {}: {}; none of them could ever be installed",
                way.get(1).copied().unwrap_or_default(),
                way.join(" waits for ")
            ),
            "name another host, or --after none to wait for nothing",
        ));
    }
}

/// Who is waited for comes first: whether it has come to its event is judged of its new arming.
pub(super) fn awaited_first(inputs: &mut [(HostName, Input)]) {
    let waits: HashMap<HostName, HostName> = inputs
        .iter()
        .filter_map(|(host, input)| match input {
            Input::Install { with, .. } => Some((host.clone(), with.after.as_ref()?.host.clone())),
            _ => None,
        })
        .collect();
    let depth = |host: &HostName| {
        let mut depth = 0;
        let mut next = waits.get(host);
        // Circles have been refused; the bound holds all the same.
        while let Some(here) = next.filter(|_| depth <= waits.len()) {
            depth += 1;
            next = waits.get(here);
        }
        depth
    };
    inputs.sort_by_cached_key(|(host, _)| depth(host));
}

/// What an order to install would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// Always true: nothing was changed.
    pub dry_run: bool,
    /// The hosts, in the order in which they were named.
    pub hosts: Vec<WouldGet>,
    /// How many of them would be refused; if any, none would be armed.
    pub refused: usize,
}

/// What one host would get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldGet {
    /// The host.
    pub name: HostName,
    /// Where it stands now.
    pub state: InstallState,
    /// Where it would stand; nothing when it would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_be: Option<InstallState>,
    /// What it would wait for, such as `hv-042:up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// What it would be installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// The profile in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the profile does with the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// What it would be booted for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// How long the arming would hold, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_for: Option<u64>,
    /// What it would load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootView>,
    /// Its answer files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// Boot files that are not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Why it would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Body>,
}

/// What a machine would load. URLs in it hold an example in place of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum BootView {
    /// A Linux kernel.
    Linux {
        /// The kernel: a path under `boot_assets`, or a URL.
        kernel: String,
        /// The initial RAM disks.
        initrd: Vec<String>,
        /// The command line.
        cmdline: String,
    },
    /// A multiboot kernel.
    Multiboot {
        /// The kernel.
        kernel: String,
        /// Its modules, with their arguments.
        modules: Vec<String>,
        /// The command line.
        cmdline: String,
    },
    /// An EFI binary.
    Efi {
        /// The binary.
        file: String,
        /// The command line.
        cmdline: String,
    },
    /// Windows PE.
    Wimboot {
        /// The files that it sees.
        files: Vec<String>,
    },
    /// The image of a disk or CD.
    Memdisk {
        /// The image.
        image: String,
    },
    /// A disk or CD over the network.
    Sanboot {
        /// The path or URL of its image, or an iSCSI root path.
        target: String,
        /// The name that the machine has at an iSCSI target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        initiator: Option<String>,
        /// The name that it logs in by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
    },
    /// A disk of the machine's own.
    Local {
        /// Its number as the BIOS counts.
        drive: u8,
    },
    /// Another script.
    Chain {
        /// Its path or URL.
        url: String,
        /// The path or URL of its signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
    },
    /// A script of the operator's own.
    Script {
        /// The whole of it.
        text: String,
    },
}

impl From<RenderedBoot> for BootView {
    fn from(boot: RenderedBoot) -> Self {
        let text = |asset: AssetRef| match asset {
            AssetRef::Path(text) | AssetRef::Url(text) => text,
        };
        match boot {
            RenderedBoot::Linux {
                kernel,
                initrd,
                cmdline,
            } => Self::Linux {
                kernel: text(kernel),
                initrd: initrd.into_iter().map(text).collect(),
                cmdline: cmdline.to_string(),
            },
            RenderedBoot::Image {
                kind,
                image,
                files,
                cmdline,
            } => {
                let cmdline = cmdline.to_string();
                let mut files: Vec<String> = files
                    .into_iter()
                    .map(|(file, args)| format!("{} {args}", text(file)).trim_end().to_owned())
                    .collect();
                match kind {
                    ImageKind::Multiboot => Self::Multiboot {
                        kernel: text(image),
                        modules: files,
                        cmdline,
                    },
                    ImageKind::Efi => Self::Efi {
                        file: text(image),
                        cmdline,
                    },
                    ImageKind::Wimboot => Self::Wimboot { files },
                    ImageKind::Memdisk => Self::Memdisk {
                        image: files.pop().unwrap_or_default(),
                    },
                }
            }
            RenderedBoot::San(san) => match san.target {
                RenderedTarget::Image(image) => Self::Sanboot {
                    target: text(image),
                    initiator: None,
                    username: None,
                },
                RenderedTarget::Iscsi(path) => Self::Sanboot {
                    target: path.to_string(),
                    initiator: Some(san.initiator),
                    username: san.login.map(|login| login.user),
                },
            },
            RenderedBoot::Local { drive } => Self::Local { drive },
            RenderedBoot::Chain { script, signature } => Self::Chain {
                url: text(script),
                signature: signature.map(text),
            },
            RenderedBoot::Script(text) => Self::Script { text },
        }
    }
}

/// Shows what was judged.
pub(super) fn preview(
    ctx: &Context,
    in_force: &InForce,
    judged: &[Judged],
    terms: &Terms,
) -> Preview {
    let hosts: Vec<WouldGet> = judged
        .iter()
        .map(|judged| would_get(ctx, in_force, judged, terms))
        .collect();
    Preview {
        dry_run: true,
        refused: hosts.iter().filter(|host| host.refused.is_some()).count(),
        hosts,
    }
}

fn would_get(ctx: &Context, in_force: &InForce, judged: &Judged, terms: &Terms) -> WouldGet {
    let snapshot = &in_force.snapshot;
    let host = &*judged.host;
    let profile: Option<&Profile> = terms
        .profile
        .as_ref()
        .or(host.profile.as_ref())
        .and_then(|name| snapshot.profile(name))
        .map(AsRef::as_ref);
    let view = profile.and_then(|profile| arming::view(ctx, in_force, host, profile));
    let after: Option<&After> = match &judged.verdict {
        Ok(Some(Input::Install { with, .. })) => with.after.as_ref(),
        _ if terms.at_once => None,
        _ => terms.after.as_ref().or(host.after.as_ref()),
    };
    WouldGet {
        name: host.name.clone(),
        state: judged
            .record
            .as_ref()
            .map_or(InstallState::Local, |record| record.state),
        would_be: judged.verdict.is_ok().then_some(if judged.waits {
            InstallState::Waiting
        } else {
            InstallState::Armed
        }),
        after: after.map(ToString::to_string),
        profile: terms.profile.clone().or_else(|| host.profile.clone()),
        title: profile.map(|profile| profile.title.clone()),
        lifecycle: profile.map(|profile| profile.lifecycle),
        arch: view.as_ref().map(|view| view.arch),
        armed_for: Some(
            terms
                .armed_for
                .unwrap_or(snapshot.server.armed_for)
                .as_secs(),
        ),
        boot: view
            .as_ref()
            .and_then(|view| in_force.renderer.boot(view).ok())
            .map(BootView::from),
        answers: profile.map_or_else(Vec::new, |profile| {
            profile
                .answers
                .iter()
                .map(|answer| answer.name.clone())
                .collect()
        }),
        missing: profile.map_or_else(Vec::new, |profile| {
            missing_files(ctx, in_force, host, profile)
        }),
        refused: judged.verdict.as_ref().err().map(ApiError::body),
    }
}
