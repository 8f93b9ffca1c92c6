//! `GET /api/v1/unknown`: machines without a reservation that were seen, and whose they may be.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU64;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::{Admin, aside};
use crate::base::oui::Owner;
use crate::base::{Architecture, HardwareAddr, HostName, SubnetName, Timestamp, Uuid};
use crate::config::Snapshot;
use crate::diagnose::strangers::{HostSeen, How, Likeness, Reserved, Unknown};
use crate::host::oui;
use crate::journal::{Filter, Kind};
use crate::serve::context::Context;
use crate::serve::leases::LeaseView;
use crate::serve::strangers::Stranger;

/// Hosts of which the journal is asked when they were last seen.
const ASKED: usize = 64;

/// Events of a host that are looked through for it.
const LOOKED_THROUGH: usize = 64;

/// A machine without a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownView {
    /// Its hardware address.
    pub mac: HardwareAddr,
    /// The vendor or hypervisor that the address is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Whether that is a hypervisor: a virtual machine.
    #[serde(default, rename = "virtual")]
    pub is_virtual: bool,
    /// Whether the address was set by software and is no vendor's.
    #[serde(default)]
    pub locally_administered: bool,
    /// What it was when it was last seen to boot: `bios`, `uefi-x64`, `httpboot`, `ipxe`, …; else `os`.
    pub stage: String,
    /// Its firmware.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<String>,
    /// What it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arch: Option<Architecture>,
    /// Its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The interface that it was last seen on.
    pub interface: String,
    /// The VLAN, where interface or relay tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// The relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Ipv4Addr>,
    /// The port that the relay names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit: Option<String>,
    /// The switch that the relay names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The subnet that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<SubnetName>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// How many times it was seen, silences of a minute between them.
    pub times: u32,
    /// How many packets came of it.
    pub packets: u64,
    /// The address that it has leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Ipv4Addr>,
    /// The hosts that it may be, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub like: Vec<LikeView>,
}

/// A host that it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LikeView {
    /// How that is known, which host, and which of its hardware addresses.
    #[serde(flatten)]
    pub likeness: Likeness,
    /// The same as a sentence.
    pub why: String,
}

/// All of them, whoever was seen last first.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Vec<UnknownView>>, ApiError> {
    Ok(Json(views(&admin.ctx).await?))
}

/// All of them, whoever was seen last first.
async fn views(ctx: &Context) -> Result<Vec<UnknownView>, ApiError> {
    let in_force = ctx.config();
    let now = ctx.now();
    // What is leased is told as far as it is known.
    let leases = ctx
        .leases()
        .views(&in_force.snapshot, now)
        .await
        .unwrap_or_default();
    let work = {
        let (ctx, in_force) = (ctx.clone(), Arc::clone(&in_force));
        // A site of a hundred thousand hosts is compared in some hundred milliseconds.
        move || {
            let snapshot = &in_force.snapshot;
            let is_reserved = |mac| snapshot.host_by_mac(mac).is_some();
            let strangers = ctx.memory.strangers().all(is_reserved, now);
            if strangers.is_empty() {
                return Vec::new();
            }
            compare(&ctx, snapshot, &strangers, &leases)
        }
    };
    Ok(with_last_seen(ctx, aside(work).await?).await)
}

fn compare(
    ctx: &Context,
    snapshot: &Snapshot,
    strangers: &[Stranger],
    leases: &[LeaseView],
) -> Vec<UnknownView> {
    let listing = oui::listing();
    let seen = |mac: HardwareAddr| {
        let seen = ctx.memory.get(mac);
        HostSeen {
            last: seen.map(|seen| seen.dhcp_at),
            uuid: seen.and_then(|seen| seen.uuid),
            port: seen.and_then(|seen| seen.port).map(NonZeroU64::get),
        }
    };
    let reserved = Reserved::new(snapshot, seen, |mac| listing.owner(mac));
    let leased: HashMap<HardwareAddr, Ipv4Addr> = leases
        .iter()
        .filter(|lease| lease.state == "bound")
        .map(|lease| (lease.mac, lease.ip))
        .collect();
    let links = ctx.links.current();
    let mut vlans: HashMap<&str, Option<u16>> = HashMap::new();
    let mut views = Vec::with_capacity(strangers.len());
    for stranger in strangers {
        let place = &stranger.place;
        let interface = links.interface(&place.iface);
        let own = interface.map(|interface| &*interface.addresses);
        let subnet = stranger.subnet(snapshot, own.unwrap_or_default());
        let owner = listing.owner(stranger.mac);
        let like = reserved.like(&Unknown {
            mac: stranger.mac,
            uuid: stranger.uuid,
            serial: stranger.serial.as_deref(),
            port: place.port,
            subnet,
            first: stranger.first,
            owner: &owner,
        });
        let mut of_link = || {
            let vlan = || interface.and_then(crate::host::links::Interface::vlan);
            *vlans.entry(&place.iface).or_insert_with(vlan)
        };
        views.push(UnknownView {
            mac: stranger.mac,
            vendor: owner.name().map(str::to_owned),
            is_virtual: matches!(owner, Owner::Virtual(_)),
            locally_administered: owner == Owner::Local,
            stage: stranger.stage.clone(),
            firmware: stranger.firmware.clone(),
            arch: stranger.arch,
            uuid: stranger.uuid,
            serial: stranger.serial.clone(),
            name: stranger.name.clone(),
            interface: place.iface.to_string(),
            // The interface's own says nothing of what is behind a relay.
            vlan: match place.relay {
                Some(_) => place.vlan,
                None => of_link(),
            },
            relay: place.relay,
            circuit: place.circuit.clone(),
            remote: place.remote.clone(),
            subnet: subnet
                .and_then(|index| snapshot.subnets.get(index))
                .map(|subnet| subnet.name.clone()),
            first_seen: stranger.first,
            last_seen: stranger.last,
            times: stranger.times,
            packets: stranger.packets,
            ip: leased.get(&stranger.mac).copied(),
            like: like
                .into_iter()
                .map(|likeness| LikeView {
                    why: likeness.in_words(),
                    likeness,
                })
                .collect(),
        });
    }
    views
}

/// Asks the journal when hosts were last seen of which the memory knows nothing: after a restart all of them. A host
/// that was seen after the machine had come is not the one that it has replaced.
async fn with_last_seen(ctx: &Context, mut views: Vec<UnknownView>) -> Vec<UnknownView> {
    let mut known: HashMap<HostName, Option<Timestamp>> = HashMap::new();
    for view in &mut views {
        for like in &mut view.like {
            let likeness = &mut like.likeness;
            if likeness.last_seen.is_some() {
                continue;
            }
            likeness.last_seen = match known.get(&likeness.host) {
                Some(last) => *last,
                None if known.len() < ASKED => {
                    let last = last_seen(ctx, &likeness.host).await;
                    known.insert(likeness.host.clone(), last);
                    last
                }
                None => None,
            };
        }
        let first = view.first_seen;
        view.like.retain(|like| {
            let by_silence = matches!(like.likeness.how, How::Vendor | How::Port);
            !by_silence || like.likeness.last_seen.is_none_or(|last| last < first)
        });
    }
    views
}

async fn last_seen(ctx: &Context, host: &HostName) -> Option<Timestamp> {
    let filter = Filter {
        host: Some(host.clone()),
        after: None,
        limit: Some(LOOKED_THROUGH),
    };
    let events = ctx.journal.query(&filter).await;
    let is_of_machine = |kind: Kind| {
        matches!(
            kind,
            Kind::DhcpOffer | Kind::DhcpAck | Kind::DhcpNak | Kind::DhcpIgnored
        )
    };
    events
        .iter()
        .rev()
        .find(|event| event.host.as_ref() == Some(host) && is_of_machine(event.kind))
        .map(|event| event.at)
}
