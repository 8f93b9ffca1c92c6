//! From a boot loader's text to the installer and its answers.

use std::net::Ipv4Addr;

use super::drive::{Drive, Ended, NOW, Via, sent};
use super::machine::Client;
use super::{End, Got, Step};
use crate::base::{Architecture, BootLoader, Lifecycle};
use crate::config::snapshot::{Host, Profile};
use crate::decide::http::{self, ScriptDecision, ScriptRequest};
use crate::decide::plan::{Plan, why_disk};
use crate::journal::event::Reason;
use crate::record::{Input, Policy, Step as Stepped, step};
use crate::render::loaders::{Boots, Texts};
use crate::render::{AssetRef, RenderedBoot, View, files, scripts};

/// What a text boots.
struct Installs<'v> {
    host: &'v Host,
    profile: &'v Profile,
    arch: Architecture,
    /// Nobody armed it: it runs a live system at every boot, or the discovery profile.
    live: bool,
    /// It has no reservation.
    stranger: bool,
}

impl Drive<'_> {
    /// The text that a boot loader asks for by this name or URL.
    pub(super) fn script(
        &mut self,
        stage: &'static str,
        loader: BootLoader,
        via: Via,
        name: &str,
        ip: Ipv4Addr,
    ) -> Ended {
        let texts = Texts {
            loader,
            transport: via.transport(),
        };
        let host = self.site.host.clone();
        let serial = self
            .site
            .ask
            .serial
            .clone()
            .or_else(|| host.as_deref()?.serial.clone());
        let (mut name, mut identified) = (
            name.to_owned(),
            loader != BootLoader::Ipxe || via == Via::Tftp,
        );
        // Asked back once at most.
        for _ in 0..2 {
            let request = ScriptRequest {
                mac: self.site.mac,
                peer: self.peer(ip),
                uuid: Some(self.uuid),
                serial: serial
                    .clone()
                    .filter(|_| identified && loader == BootLoader::Ipxe),
                identified,
                seen: self.seen,
                waiting: false,
            };
            let snapshot = &self.site.in_force.snapshot;
            let decision = http::script(&request, snapshot, self.known(), self.site.files);
            match decision {
                ScriptDecision::Identify { .. } => {
                    let text = scripts::identify(&name);
                    self.told(
                        stage,
                        via,
                        &name,
                        text,
                        Reason::Script,
                        Some("asked back for the UUID and serial number".to_owned()),
                    );
                    let serial = serial.as_deref().unwrap_or_default();
                    name = format!("{name}?uuid={}&serial={serial}", self.uuid);
                    identified = true;
                }
                ScriptDecision::Host {
                    host,
                    plan: Plan::Disk { reason, detail },
                } => {
                    let why = why_disk(&host, reason, detail.as_deref());
                    self.told(stage, via, &name, texts.disk(&host, &why), reason, detail);
                    return (End::Disk, why);
                }
                ScriptDecision::Host {
                    host,
                    plan:
                        Plan::Install {
                            profile,
                            arch,
                            live,
                        },
                } => {
                    let installs = Installs {
                        host: &host,
                        profile: &profile,
                        arch,
                        live,
                        stranger: false,
                    };
                    return self.installer(stage, texts, via, &name, ip, &installs);
                }
                ScriptDecision::Discover {
                    host,
                    profile,
                    arch,
                } => {
                    let installs = Installs {
                        host: &host,
                        profile: &profile,
                        arch,
                        live: true,
                        stranger: true,
                    };
                    return self.installer(stage, texts, via, &name, ip, &installs);
                }
                ScriptDecision::Unknown => {
                    let text = texts.unknown(self.site.mac);
                    self.told(stage, via, &name, text, Reason::UnknownHost, None);
                    return (
                        End::Unknown,
                        format!(
                            "{} is told how to adopt it, and goes on with its next boot device",
                            self.site.mac
                        ),
                    );
                }
                ScriptDecision::NotThisMachine => {
                    let text = texts.not_this_machine(ip);
                    let detail = format!("{ip} asked for the script of {}", self.site.mac);
                    self.told(
                        stage,
                        via,
                        &name,
                        text,
                        Reason::NotThisMachine,
                        Some(detail),
                    );
                    return (
                        End::Stuck,
                        format!("{} is not given its script", self.name()),
                    );
                }
                // Only for machines that say that they wait.
                ScriptDecision::Wait { .. } => break,
            }
        }
        (
            End::Stuck,
            format!(
                "{} is asked for its UUID and serial number again and again",
                self.name()
            ),
        )
    }

    fn told(
        &mut self,
        stage: &'static str,
        via: Via,
        name: &str,
        text: String,
        reason: Reason,
        detail: Option<String>,
    ) {
        self.reason = reason;
        self.detail.clone_from(&detail);
        self.push(Step {
            stage,
            sends: sent(via, name, self.site.server),
            gets: Some(Got::text("script", text)),
            reason,
            why: reason.sentence(),
            detail,
            remedy: reason.remedy(),
        });
    }

    /// What happens to the record, as the daemon would write it down.
    fn step(&mut self, input: &Input) {
        let Some(record) = &self.record else { return };
        let snapshot = &self.site.in_force.snapshot;
        let profile = record.profile.as_ref();
        let policy = Policy {
            max_attempts: snapshot.server.max_attempts,
            stalled_after: snapshot.stalled_after(profile),
            lifecycle: profile
                .and_then(|name| snapshot.profile(name))
                .map(|profile| profile.lifecycle)
                .unwrap_or_default(),
            ..Policy::default()
        };
        if let Stepped::Change(change) = step(record, input, policy, NOW) {
            self.record = Some(change.next);
        }
    }

    fn installer(
        &mut self,
        stage: &'static str,
        texts: Texts,
        via: Via,
        name: &str,
        ip: Ipv4Addr,
        installs: &Installs<'_>,
    ) -> Ended {
        let Installs {
            host,
            profile,
            arch,
            live,
            stranger,
        } = *installs;
        let in_force = self.site.in_force;
        let view = View {
            snapshot: &in_force.snapshot,
            host,
            profile,
            arch,
            server: self.site.server,
            token: None,
        };
        if !live {
            self.step(&Input::Script { further_boot: true });
        }
        let (attempt, boots_installer) = match &self.record {
            Some(record) if !live => (record.attempt, record.state.boots_installer()),
            _ => (1, true),
        };
        let max_attempts = in_force.snapshot.server.max_attempts;
        if !boots_installer {
            let detail = self
                .record
                .as_ref()
                .and_then(|record| record.message.clone());
            let why = why_disk(host, Reason::DiskFailed, detail.as_deref());
            self.told(
                stage,
                via,
                name,
                texts.disk(host, &why),
                Reason::DiskFailed,
                detail,
            );
            return (End::Disk, why);
        }
        let boots = Boots {
            view: &view,
            attempt,
            max_attempts,
            nic: Some(self.site.mac),
        };
        let rendered = in_force.renderer.boot(&view);
        let text = match &rendered {
            Ok(boot) => texts
                .install(&boots, boot)
                .map_err(|unable| (Reason::LoaderUnable, unable.to_string())),
            Err(error) => Err((Reason::RenderFailed, error.to_string())),
        };
        let (boot, text) = match (rendered, text) {
            (Ok(boot), Ok(text)) => (boot, text),
            // It tells what this loader can of the same.
            (_, Err((Reason::LoaderUnable, unable))) if stranger => {
                self.told(
                    stage,
                    via,
                    name,
                    texts.unknown(self.site.mac),
                    Reason::UnknownHost,
                    Some(unable),
                );
                return (
                    End::Unknown,
                    format!("{} is told that nobody knows it", self.site.mac),
                );
            }
            (_, Err((reason, error))) => {
                let screen = format!("{}: {error}", host.name);
                self.told(
                    stage,
                    via,
                    name,
                    texts.trouble(&screen),
                    reason,
                    Some(error.clone()),
                );
                self.failed = true;
                return (End::Stuck, screen);
            }
            (Err(error), Ok(_)) => return (End::Stuck, error.to_string()),
        };
        let (reason, detail) = match (stranger, live) {
            (true, _) => (Reason::Discovery, profile.name.to_string()),
            (false, true) => (Reason::Live, profile.name.to_string()),
            (false, false) => (
                Reason::Installer,
                format!("{}, attempt {attempt} of {max_attempts}", profile.name),
            ),
        };
        self.told(stage, via, name, text, reason, Some(detail));
        self.load(stage, via, &view, &boot);
        self.goes_on(&view, &boot, ip, live, stranger)
    }

    /// What the text has its loader fetch.
    fn load(&mut self, stage: &'static str, via: Via, view: &View<'_>, boot: &RenderedBoot) {
        for asset in boot.assets() {
            let base = self.base();
            let (via, name) = match asset {
                AssetRef::Path(path) => match via {
                    Via::Http => (via, format!("{base}/assets/{path}")),
                    Via::Tftp => (via, path.clone()),
                },
                AssetRef::Url(url) => (Via::Http, url.clone()),
            };
            self.fetch(stage, via, &name, view.server);
        }
        self.step(&Input::Asset { kernel: true });
    }

    /// What has been started asks for its address and its answers.
    fn goes_on(
        &mut self,
        view: &View<'_>,
        boot: &RenderedBoot,
        ip: Ipv4Addr,
        live: bool,
        stranger: bool,
    ) -> Ended {
        let (name, profile) = (self.name(), view.profile);
        match boot {
            RenderedBoot::Script(_) => {
                return (
                    if stranger {
                        End::Discovery
                    } else {
                        End::Elsewhere
                    },
                    format!(
                        "{name} runs the script of {}, which is not followed further",
                        profile.name
                    ),
                );
            }
            RenderedBoot::Local { .. } => {
                return (
                    End::Tool,
                    format!("{name} boots a disk of its own, by {}", profile.name),
                );
            }
            _ => {}
        }
        let is_linux = matches!(boot, RenderedBoot::Linux { .. });
        if is_linux || !profile.answers.is_empty() {
            self.installing = true;
            self.exchange(Client::Os);
        }
        for answer in &profile.answers {
            self.answer(view, &answer.name, &answer.content_type, ip, live);
        }
        // What it names, and fetches itself.
        for path in files::named(self.site.in_force, view) {
            let url = format!("{}/assets/{path}", self.base());
            self.fetch("installer", Via::Http, &url, view.server);
        }
        match (stranger, profile.lifecycle) {
            (true, _) => (End::Discovery, format!("{name} runs {}", profile.name)),
            (false, Lifecycle::Live) => (
                End::Live,
                format!("{name} runs {} from memory", profile.name),
            ),
            (false, Lifecycle::Once) => (
                End::Tool,
                format!(
                    "{name} runs {}, this once; then its disk again",
                    profile.name
                ),
            ),
            (false, Lifecycle::Install) => (
                End::Installer,
                format!(
                    "{name} is installed with {}; when that is reported it boots its disk",
                    profile.name
                ),
            ),
        }
    }

    fn answer(
        &mut self,
        view: &View<'_>,
        name: &str,
        content_type: &str,
        ip: Ipv4Addr,
        live: bool,
    ) {
        let snapshot = &self.site.in_force.snapshot;
        // A live system has a token that nothing is recorded of.
        let refused = match &self.record {
            Some(record) if !live => http::answer(record, snapshot, self.peer(ip)).err(),
            _ => None,
        };
        let rendered = self.site.in_force.renderer.answer(view, name);
        let failure = match rendered {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some(format!("the profile has no answer {name}")),
        };
        let (reason, gets, detail) = match (refused, failure) {
            (Some(reason), _) => (reason, Got::new("404"), None),
            (None, Some(error)) => (Reason::RenderFailed, Got::new("500"), Some(error)),
            (None, None) => (
                Reason::AnswerServed,
                Got::file("answer", name),
                Some(format!(
                    "{content_type}; `bootwright render {} {name}` shows it",
                    view.host.name
                )),
            ),
        };
        self.failed |= reason != Reason::AnswerServed;
        let url = format!("{}/answers/example/{name}", self.base());
        self.push(Step {
            stage: "installer",
            sends: sent(Via::Http, &url, view.server),
            gets: Some(gets),
            reason,
            why: reason.sentence(),
            detail,
            remedy: reason.remedy(),
        });
        if reason == Reason::AnswerServed && !live {
            self.step(&Input::Answer);
        }
    }
}
