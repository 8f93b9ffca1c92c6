//! Serving a machine's boot script, by HTTP and by TFTP alike.
//!
//! **Invariant:** the record is advanced, and is on disk, before the text is handed back; a script
//! that cannot be rendered, or an advance that cannot be recorded, never starts an installer.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::context::{Context, KnownOwned};
use super::installs::{self, Applied};
use crate::base::{Architecture, BootLoader, HardwareAddr, HostName, Token, Uuid};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, Profile};
use crate::decide::configs::{self, ConfigName, Machine, Whose};
use crate::decide::http::{self, Peer, ScriptDecision, ScriptRequest};
use crate::decide::plan::{Plan, plan, why_disk};
use crate::decide::{Known, Stage};
use crate::journal::event::{Event, Kind, Reason};
use crate::record::{Input, Record};
use crate::render::load::InForce;
use crate::render::loaders::{Boots, Texts, Transport, Unable};
use crate::render::{RenderError, RenderedBoot, View, base_url, scripts};

/// Who asks for whose script, and how.
#[derive(Debug, Clone)]
pub struct ScriptAsk {
    /// Whose script.
    pub mac: HardwareAddr,
    /// In whose language.
    pub loader: BootLoader,
    /// Who asks.
    pub peer: Ipv4Addr,
    /// This server's address that was asked.
    pub local: Ipv4Addr,
    /// The UUID in the query; else that of option 97 is used.
    pub uuid: Option<Uuid>,
    /// The serial number in the query.
    pub serial: Option<String>,
    /// Whether the query told `uuid` and `serial` (they may be empty).
    pub identified: bool,
    /// Whether the query told that the machine waits to be adopted.
    pub waiting: bool,
    /// How it is asked for.
    pub via: Via,
    /// The file as named by the machine, for the event.
    pub file: String,
    /// Nothing is changed: a HEAD request. The event says so.
    pub preview: bool,
}

impl ScriptAsk {
    /// What writes the texts for whoever asks.
    fn texts(&self, without_http: bool) -> Texts {
        let by_tftp = match self.loader {
            BootLoader::Ipxe => without_http,
            // Each fetches by what it has fetched this by.
            BootLoader::Grub | BootLoader::Pxelinux => self.via == Via::Tftp,
        };
        Texts {
            loader: self.loader,
            transport: if by_tftp {
                Transport::Tftp
            } else {
                Transport::Http
            },
        }
    }
}

/// By which protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// HTTP: `http.script` is written here.
    Http,
    /// TFTP: the transfer's own event tells; none is written here.
    Tftp,
}

/// The script to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer {
    /// Its text.
    pub text: String,
    /// Why it is this one.
    pub reason: Reason,
    /// The host, when the MAC is reserved.
    pub host: Option<HostName>,
    /// The particulars, for the event.
    pub detail: Option<String>,
}

/// The script for a machine. Always gives one: trouble of the server's own is shown on the machine's
/// screen.
pub async fn serve_script(ctx: &Context, ask: ScriptAsk) -> ScriptAnswer {
    let began = Instant::now();
    let in_force = ctx.config();
    if !ask.preview {
        let host = in_force.snapshot.host_by_mac(ask.mac);
        let macs = host.map(|host| host.boot_macs()).unwrap_or_default();
        ctx.memory.note_script(&macs);
        if host.is_none() {
            let strangers = ctx.memory.strangers();
            strangers.note_identity(ask.mac, ask.uuid, ask.serial.as_deref());
        }
    }
    let answer = answer(ctx, &in_force, &ask).await;
    if ask.via == Via::Http {
        let mut event = Event::new(ctx.now(), Kind::HttpScript, answer.reason)
            .host(answer.host.clone())
            .mac(ask.mac)
            .ip(ask.peer)
            .file(ask.file.as_str());
        event.bytes = u64::try_from(if ask.preview { 0 } else { answer.text.len() }).ok();
        event.took_us = u64::try_from(began.elapsed().as_micros()).ok();
        event.iface = ctx.links.owner_of(ask.local).map(|link| link.name);
        event.generation = in_force.snapshot.generation;
        event.detail = match (&answer.detail, ask.preview) {
            (detail, false) => detail.clone(),
            (None, true) => Some(PREVIEW.to_owned()),
            (Some(detail), true) => Some(format!("{detail}; {PREVIEW}")),
        };
        ctx.journal.append(event);
    }
    answer
}

const PREVIEW: &str = "a preview, nothing was changed";

/// How often a script is made anew because its host was armed anew meanwhile.
const TRIES: usize = 3;

async fn answer(ctx: &Context, in_force: &InForce, ask: &ScriptAsk) -> ScriptAnswer {
    for _ in 0..TRIES {
        if let Some(answer) = try_answer(ctx, in_force, ask).await {
            return answer;
        }
    }
    ScriptAnswer {
        text: ask
            .texts(false)
            .trouble("it was armed anew while its boot script was made; boot it again"),
        reason: Reason::VoidToken,
        host: in_force
            .snapshot
            .host_by_mac(ask.mac)
            .map(|host| host.name.clone()),
        detail: Some(format!(
            "armed anew {TRIES} times while its script was made"
        )),
    }
}

/// `None`: what was decided holds no longer.
async fn try_answer(ctx: &Context, in_force: &InForce, ask: &ScriptAsk) -> Option<ScriptAnswer> {
    let snapshot = &in_force.snapshot;
    let known = match snapshot.host_by_mac(ask.mac) {
        Some(host) => ctx.known(in_force, &host.name).await,
        None => KnownOwned::Nothing,
    };
    let seen = ctx.memory.get(ask.mac);
    // Known for the script by TFTP only: whoever fetches it by HTTP has HTTP.
    let without_http = ask.via == Via::Tftp
        && seen.is_some_and(|seen| matches!(seen.stage, Stage::Ipxe { http: false, .. }));
    if ask.waiting && !ask.preview {
        // iPXE renews no lease.
        ctx.leases().touch(ask.mac, ask.peer, ctx.now()).await;
    }
    let request = ScriptRequest {
        mac: ask.mac,
        peer: ctx.who(snapshot, ask.peer).await,
        waiting: ask.waiting,
        uuid: ask.uuid.or_else(|| seen.and_then(|seen| seen.uuid)),
        serial: ask.serial.clone(),
        // It cannot follow the script that asks for its UUID.
        identified: ask.identified || without_http || ask.loader != BootLoader::Ipxe,
        seen: seen.and_then(|seen| seen.architecture),
    };
    let decision = http::script(
        &request,
        snapshot,
        known.as_known(),
        &ctx.boot_files(in_force),
    );
    let texts = ask.texts(without_http);
    let answer = match decision {
        ScriptDecision::Unknown => ScriptAnswer {
            text: texts.unknown(ask.mac),
            reason: Reason::UnknownHost,
            host: None,
            detail: None,
        },
        ScriptDecision::Discover {
            host,
            profile,
            arch,
        } => {
            let discovery = Install {
                ctx,
                in_force,
                ask,
                host: &host,
                profile: &profile,
                arch,
                texts,
            };
            let mut answer = match discovery.rendered(&Record::new(host.name.clone())) {
                Ok((_, text)) => ScriptAnswer {
                    text,
                    reason: Reason::Discovery,
                    host: None,
                    detail: Some(profile.name.to_string()),
                },
                // It tells what this loader can of the same.
                Err(NoText::Unable(unable)) => ScriptAnswer {
                    text: texts.unknown(ask.mac),
                    reason: Reason::UnknownHost,
                    host: None,
                    detail: Some(unable.to_string()),
                },
                Err(error) => discovery.trouble(&error),
            };
            answer.host = None;
            answer
        }
        ScriptDecision::Wait { host } => ScriptAnswer {
            text: scripts::waiting(&host, &own_url(snapshot, &host, ask)),
            reason: Reason::DiskLocal,
            detail: Some("it waits to be armed".to_owned()),
            host: Some(host.name.clone()),
        },
        ScriptDecision::NotThisMachine => ScriptAnswer {
            text: texts.not_this_machine(ask.peer),
            reason: Reason::NotThisMachine,
            host: snapshot.host_by_mac(ask.mac).map(|host| host.name.clone()),
            detail: Some(format!("{} asked for the script of {}", ask.peer, ask.mac)),
        },
        ScriptDecision::Identify { host } => ScriptAnswer {
            text: scripts::identify(&own_url(snapshot, &host, ask)),
            reason: Reason::Script,
            host: Some(host.name.clone()),
            detail: Some("asked back for the UUID and serial number".to_owned()),
        },
        ScriptDecision::Host {
            host,
            plan: Plan::Disk { reason, detail },
        } => disk(texts, &host, reason, detail),
        ScriptDecision::Host {
            host,
            plan:
                Plan::Install {
                    profile,
                    arch,
                    live,
                },
        } => {
            let install = Install {
                ctx,
                in_force,
                ask,
                host: &host,
                profile: &profile,
                arch,
                texts,
            };
            if live {
                return Some(install.serve_live());
            }
            return install.serve(known.record()).await;
        }
    };
    Some(answer)
}

/// One script that starts an installer.
struct Install<'a> {
    ctx: &'a Context,
    in_force: &'a InForce,
    ask: &'a ScriptAsk,
    host: &'a Host,
    profile: &'a Profile,
    arch: Architecture,
    /// What writes it.
    texts: Texts,
}

impl Install<'_> {
    /// A live system: under a token of its own, of which nothing is recorded.
    fn serve_live(&self) -> ScriptAnswer {
        let mut random = [0; 16];
        if let Err(error) = getrandom::fill(&mut random) {
            let detail = format!("the system gives no random numbers for a token: {error}");
            return ScriptAnswer {
                text: self.texts.trouble(&detail),
                reason: Reason::StoreUnavailable,
                host: Some(self.host.name.clone()),
                detail: Some(detail),
            };
        }
        let record = Record {
            token: Some(Token::from_bytes(random)),
            ..Record::new(self.host.name.clone())
        };
        let text = match self.rendered(&record) {
            Ok((_, text)) => text,
            Err(error) => return self.trouble(&error),
        };
        if let (false, Some(token)) = (self.ask.preview, record.token) {
            self.ctx.installs.begin_live(self.host, token);
        }
        ScriptAnswer {
            text,
            reason: Reason::Live,
            host: Some(self.host.name.clone()),
            detail: Some(self.profile.name.to_string()),
        }
    }

    /// `None`: the arming that was found is no longer the one that there is.
    async fn serve(&self, record: Option<&Record>) -> Option<ScriptAnswer> {
        let Some((record, token)) = record.and_then(|r| Some((r, r.token.as_ref()?))) else {
            // A plan to install comes from an arming only; without one the disk is the safe answer.
            return Some(disk(self.texts, self.host, Reason::DiskLocal, None));
        };
        // Rendered before the record is advanced: a template that fails must cost no attempt.
        let (boot, text) = match self.rendered(record) {
            Ok(rendered) => rendered,
            Err(error) => return Some(self.trouble(&error)),
        };
        if self.ask.preview {
            return Some(self.answer(text, record));
        }
        let about = installs::Context {
            mac: Some(self.ask.mac),
            ip: Some(self.ask.peer),
            generation: self.in_force.snapshot.generation,
            file: Some(self.ask.file.clone()),
            because: None,
        };
        let snapshot = &self.in_force.snapshot;
        let memory = &self.ctx.memory;
        let applied = self
            .ctx
            .installs
            .apply_under(
                snapshot,
                token,
                &self.host.name,
                // Of the record as it is then: of two that ask at once, one begins the boot.
                |record| Input::Script {
                    further_boot: memory.further_boot(record, &self.host.all_macs()),
                },
                &about,
            )
            .await;
        Some(match applied {
            Ok(Applied::Same(_, Reason::VoidToken)) => return None,
            Ok(applied) if applied.record().state.boots_installer() => {
                // The attempt has changed.
                match self.text(applied.record(), &boot) {
                    Ok(text) => self.answer(text, applied.record()),
                    Err(error) => self.trouble(&error),
                }
            }
            // Its attempts are used up.
            Ok(applied) => {
                let known = Known::Record(applied.record());
                let files = self.ctx.boot_files(self.in_force);
                let (mac, arch) = (self.ask.mac, Some(self.arch));
                match plan(snapshot, self.host, mac, known, arch, &files) {
                    Plan::Disk { reason, detail } => disk(self.texts, self.host, reason, detail),
                    Plan::Install { .. } => disk(self.texts, self.host, Reason::DiskLocal, None),
                }
            }
            Err(error) => disk(
                self.texts,
                self.host,
                Reason::DiskStoreUnavailable,
                Some(error.to_string()),
            ),
        })
    }

    fn view<'r>(&'r self, record: &'r Record) -> View<'r> {
        let snapshot = &self.in_force.snapshot;
        View {
            snapshot,
            host: self.host,
            profile: self.profile,
            arch: self.arch,
            server: server_for(snapshot, self.host, self.ask.peer, self.ask.local),
            token: record.token.as_ref(),
        }
    }

    fn text(&self, record: &Record, boot: &RenderedBoot) -> Result<String, NoText> {
        let boots = Boots {
            view: &self.view(record),
            attempt: record.attempt,
            max_attempts: self.in_force.snapshot.server.max_attempts,
            nic: Some(self.ask.mac),
        };
        Ok(self.texts.install_for_machine(&boots, boot)?)
    }

    /// What it loads, which is the same for all attempts under one token, and the script of this attempt.
    fn rendered(&self, record: &Record) -> Result<(RenderedBoot, String), NoText> {
        let boot = self.in_force.renderer.boot(&self.view(record))?;
        let text = self.text(record, &boot)?;
        Ok((boot, text))
    }

    fn answer(&self, text: String, record: &Record) -> ScriptAnswer {
        ScriptAnswer {
            text,
            reason: Reason::Installer,
            host: Some(self.host.name.clone()),
            detail: Some(format!(
                "{}, attempt {} of {}",
                self.profile.name, record.attempt, self.in_force.snapshot.server.max_attempts
            )),
        }
    }

    fn trouble(&self, error: &NoText) -> ScriptAnswer {
        let name = &self.host.name;
        let (text, reason) = match error {
            NoText::Render(error) => (
                format!("{name}: the boot script cannot be rendered: {error}"),
                Reason::RenderFailed,
            ),
            NoText::Unable(unable) => (
                format!("{name}: {unable}; bootwright why {name}"),
                Reason::LoaderUnable,
            ),
        };
        ScriptAnswer {
            text: self.texts.trouble(&text),
            reason,
            host: Some(name.clone()),
            detail: Some(error.to_string()),
        }
    }
}

/// Why there is no text that boots an installer.
#[derive(Debug, thiserror::Error)]
enum NoText {
    /// A template fails.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The boot loader cannot do it.
    #[error(transparent)]
    Unable(#[from] Unable),
}

/// The URL of the script that is asked for.
fn own_url(snapshot: &Snapshot, host: &Host, ask: &ScriptAsk) -> String {
    let server = server_for(snapshot, host, ask.peer, ask.local);
    let base = base_url(server, snapshot.server.http_port);
    format!("{base}/boot/{}/boot.ipxe", ask.mac.dashed())
}

/// This server as a host's machine sees it from the network card that asks: the subnet's `server`, else
/// the address that was asked.
pub fn server_for(snapshot: &Snapshot, host: &Host, peer: Ipv4Addr, local: Ipv4Addr) -> Ipv4Addr {
    snapshot
        .subnet_towards(host, peer)
        .and_then(|subnet| subnet.server)
        .unwrap_or(local)
}

fn disk(texts: Texts, host: &Host, reason: Reason, detail: Option<String>) -> ScriptAnswer {
    ScriptAnswer {
        text: texts.disk(host, &why_disk(host, reason, detail.as_deref())),
        reason,
        host: Some(host.name.clone()),
        detail,
    }
}

/// What a boot loader gets under the name of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Configuration {
    /// That of this machine, which has told its UUID by the name.
    Machine(HardwareAddr, Option<Uuid>),
    /// This text, because nothing is known of it but its address.
    Stranger(String),
    /// What lies under `boot_assets`, if anything does.
    File,
}

/// Finds out whose configuration is asked for. What is rendered wins over a file (`path`, under
/// `boot_assets`) for machines with a reservation; others get the file, where there is one.
pub fn configuration(
    ctx: &Context,
    snapshot: &Snapshot,
    peer: Peer,
    name: &ConfigName,
    path: Option<&str>,
    via: Via,
) -> Configuration {
    let booted_at = |mac| ctx.memory.get(mac)?.boot_dhcp_at;
    let is_file = || path.is_some_and(|path| ctx.assets.is_there(path));
    let uuid = match name.whose {
        Whose::Uuid(uuid) => Some(uuid),
        Whose::Mac(_) | Whose::Address(_) | Whose::Asker => None,
    };
    match configs::machine(name, snapshot, peer, &booted_at) {
        Machine::Mac(mac) if snapshot.host_by_mac(mac).is_some() || !is_file() => {
            Configuration::Machine(mac, uuid)
        }
        Machine::Stranger if !is_file() => {
            let texts = Texts {
                loader: name.loader,
                transport: match via {
                    Via::Tftp => Transport::Tftp,
                    Via::Http => Transport::Http,
                },
            };
            Configuration::Stranger(texts.stranger(peer.ip))
        }
        Machine::Mac(_) | Machine::Stranger | Machine::None => Configuration::File,
    }
}

/// The script for any machine (`/boot/boot.ipxe`, by TFTP `boot.ipxe` and `autoexec.ipxe`): chains to
/// the machine's own. `local` is the address that was asked.
pub fn chain_script(ctx: &Context, peer: Ipv4Addr, local: Ipv4Addr) -> String {
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let server = snapshot
        .subnet_containing(peer)
        .and_then(|subnet| subnet.server)
        .unwrap_or(local);
    scripts::chain(&base_url(server, snapshot.server.http_port))
}
