//! Hosts as operators see them: what the file says and where the installation stands.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::{Admin, Named, aside};
use crate::base::suggest::nearest;
use crate::base::{
    Architecture, GroupName, HardwareAddr, HostName, ProfileName, SubnetName, Timestamp,
};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, InstallPolicy, Nic};
use crate::decide::plan::architecture;
use crate::diagnose::Diagnosis;
use crate::record::{InstallState, Record};
use crate::render::load::InForce;
use crate::serve::conflicts::Conflict;
use crate::serve::context::Context;
use crate::serve::standing::Stands;
use crate::serve::why::why as explain;
use crate::store::StoreError;

/// A host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// Its name.
    pub name: HostName,
    /// Name and domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// The hardware addresses of its first network card.
    pub macs: Vec<HardwareAddr>,
    /// Its reserved address.
    pub ip: Option<Ipv4Addr>,
    /// Its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetName>,
    /// Its further network cards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nics: Vec<NicView>,
    /// Its groups, nearest first.
    pub groups: Vec<GroupName>,
    /// What it would be installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    /// What it is booted for.
    pub arch: Architecture,
    /// Whether it may be armed: `once`, `never` or `always` (served at every boot, never armed).
    pub install: String,
    /// What an order to install it waits for, such as `hv-042:up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// When it was last heard of: by DHCP since the daemon started, or during an installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// Where it stands.
    pub state: InstallState,
    /// What is remembered of its installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installation: Option<Installation>,
    /// How the configuration that says so stands to the files; nothing: it is what they say. Only in listings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Stands>,
    /// Who else has an address of it, as was found on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<Conflict>,
}

/// A network card besides the first one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NicView {
    /// What the file calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its hardware addresses.
    pub macs: Vec<HardwareAddr>,
    /// Its address; without one it is never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The subnet of its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetName>,
    /// Whether it may boot the host.
    pub boot: bool,
}

impl NicView {
    fn of(snapshot: &Snapshot, nic: &Nic) -> Self {
        let subnet = nic.subnet.and_then(|index| snapshot.subnets.get(index));
        Self {
            name: nic.name.clone(),
            macs: nic.macs.to_vec(),
            ip: nic.ip,
            subnet: subnet.map(|subnet| subnet.name.clone()),
            boot: nic.boot,
        }
    }
}

/// What is remembered of an installation. The token is cut to its hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in `record::Record`")]
pub struct Installation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<ProfileName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub attempt: u32,
    pub max_attempts: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl HostView {
    /// What the file says and what is remembered, together.
    pub fn of(ctx: &Context, snapshot: &Snapshot, host: &Host, record: Option<&Record>) -> Self {
        let profile = host
            .profile
            .as_ref()
            .and_then(|name| snapshot.profile(name));
        Self {
            name: host.name.clone(),
            fqdn: host.fqdn().map(std::borrow::Cow::into_owned),
            macs: host.macs.to_vec(),
            ip: host.ip,
            subnet: snapshot.subnet_of(host).map(|subnet| subnet.name.clone()),
            nics: host
                .nics
                .iter()
                .map(|nic| NicView::of(snapshot, nic))
                .collect(),
            groups: host.groups.clone(),
            profile: host.profile.clone(),
            arch: architecture(
                host,
                profile.map(|profile| &**profile),
                ctx.architecture_seen(host),
            ),
            install: match host.install {
                InstallPolicy::Once => "once",
                InstallPolicy::Never => "never",
                InstallPolicy::Always => "always",
            }
            .to_owned(),
            after: host.after.as_ref().map(ToString::to_string),
            notes: host.notes.clone(),
            heard_at: heard_at(ctx, host, record),
            state: record.map_or(InstallState::Local, |record| record.state),
            installation: record.map(|record| Installation::of(record, snapshot)),
            configuration: None,
            conflict: ctx.memory.conflicts().of(host, ctx.now()),
        }
    }
}

/// When one of its network cards, or its installer, was last heard of.
fn heard_at(ctx: &Context, host: &Host, record: Option<&Record>) -> Option<Timestamp> {
    let further = host.nics.iter().flat_map(|nic| nic.macs.iter());
    let cards = host.macs.iter().chain(further);
    cards
        .filter_map(|mac| ctx.memory.get(*mac))
        .map(|seen| seen.dhcp_at)
        .chain(record.and_then(|record| record.seen_at))
        .max()
}

impl Installation {
    fn of(record: &Record, snapshot: &Snapshot) -> Self {
        Self {
            profile: record.profile.clone(),
            after: record.after.as_ref().map(ToString::to_string),
            token: record.token.as_ref().map(ToString::to_string),
            attempt: record.attempt,
            max_attempts: snapshot.server.max_attempts,
            percent: record.percent,
            message: record.message.clone(),
            by: record.by.clone(),
            armed_at: record.armed_at,
            armed_until: record
                .armed_until
                .filter(|_| record.state == InstallState::Armed),
            script_at: record.script_at,
            kernel_at: record.kernel_at,
            started_at: record.started_at,
            installed_at: record.installed_at,
            up_at: record.up_at,
            failed_at: record.failed_at,
            seen_at: record.seen_at,
            changed_at: record.changed_at,
        }
    }
}

/// How many hosts there are in each state.
pub(super) async fn counts(
    ctx: &Context,
    snapshot: &Snapshot,
) -> Result<BTreeMap<String, usize>, StoreError> {
    let records = ctx.installs.all(snapshot).await?;
    let reserved = records
        .iter()
        .filter(|record| snapshot.host(&record.host).is_some());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut recorded = 0;
    for record in reserved {
        recorded += 1;
        *counts.entry(record.state.as_str().to_owned()).or_default() += 1;
    }
    // Of whom nothing is remembered.
    let others = snapshot.hosts().len().saturating_sub(recorded);
    if others > 0 {
        let local = InstallState::Local.as_str().to_owned();
        *counts.entry(local).or_default() += others;
    }
    Ok(counts)
}

/// All hosts, in the order of the file. A hundred thousand take their time, which packets do not have.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Response, ApiError> {
    let Admin { ctx, health, .. } = admin;
    let in_force = ctx.config();
    let records = ctx.installs.all(&in_force.snapshot).await?;
    let listed = aside(move || {
        let snapshot = &in_force.snapshot;
        let stands = health.standing().stands(snapshot);
        let records: HashMap<&HostName, &Record> = records
            .iter()
            .map(|record| (&record.host, &**record))
            .collect();
        let views: Vec<HostView> = snapshot
            .hosts()
            .iter()
            .map(|host| HostView {
                configuration: stands,
                ..HostView::of(&ctx, snapshot, host, records.get(&host.name).copied())
            })
            .collect();
        Json(views).into_response()
    });
    listed.await
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path(name): Named,
) -> Result<Json<HostView>, ApiError> {
    let in_force = admin.ctx.config();
    let host = find(&in_force.snapshot, &name)?;
    let mut view = view(&admin.ctx, &in_force, &host).await?;
    view.configuration = admin.health.standing().stands(&in_force.snapshot);
    Ok(Json(view))
}

pub(super) async fn why(
    State(admin): State<Admin>,
    Path(name): Named,
) -> Result<Json<Diagnosis>, ApiError> {
    let in_force = admin.ctx.config();
    let host = find(&in_force.snapshot, &name)?;
    Ok(Json(explain(&admin.ctx, &in_force, &host, false).await))
}

/// One host as it stands now.
pub(super) async fn view(
    ctx: &Context,
    in_force: &InForce,
    host: &Host,
) -> Result<HostView, ApiError> {
    let record = ctx.installs.known(&in_force.snapshot, &host.name).await?;
    Ok(HostView::of(
        ctx,
        &in_force.snapshot,
        host,
        record.as_deref(),
    ))
}

/// The host that a name, a MAC in any spelling, or an address means.
pub fn find(snapshot: &Snapshot, text: &str) -> Result<Arc<Host>, ApiError> {
    let text = text.trim();
    let found = if let Ok(ip) = text.parse::<Ipv4Addr>() {
        snapshot.host_by_ip(ip)
    } else if let Some(host) = text
        .parse::<HostName>()
        .ok()
        .and_then(|name| snapshot.host(&name))
    {
        // A name may look like a MAC without separators; it is the host of that name then.
        Some(host)
    } else {
        text.parse::<HardwareAddr>()
            .ok()
            .and_then(|mac| snapshot.host_by_mac(mac))
    };
    found.cloned().ok_or_else(|| {
        let names = snapshot.hosts().iter().map(|host| host.name.as_str());
        let remedy = match nearest(text, names) {
            Some(name) => format!("did you mean {name}?"),
            None => "`bootwright hosts` lists them; HOST is a name, a MAC or an address".to_owned(),
        };
        ApiError::new(
            StatusCode::NOT_FOUND,
            "unknown-host",
            format!("no reservation has {text:?}"),
            remedy,
        )
    })
}
