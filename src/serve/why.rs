//! Gathers what the diagnosis of a host reads: its record, its events, and those of strangers and of the
//! server itself.

use super::context::{Context, KnownOwned};
use super::installs::Installs;
use crate::base::Firmware;
use crate::config::signed::{Signed, is_signed_ipxe, loader};
use crate::config::snapshot::{Host, Profile};
use crate::decide::plan::architecture;
use crate::diagnose::{Diagnosis, Expected, Loads, Subject, diagnose};
use crate::journal::Filter;
use crate::record::InstallState;
use crate::render::load::InForce;

/// Events of the host that are read: dozens of boots.
const OWN: usize = 4_000;

/// Of all events, the newest that are looked through for strangers and for trouble of the server's own.
const OTHERS: usize = 8_000;

/// Explains where a host stands and why it is not further; `is_off`: it is known to be switched off, and
/// nothing more comes. When the store cannot be read, the events are explained without the record, and the
/// trouble is among the causes.
pub async fn why(ctx: &Context, in_force: &InForce, host: &Host, is_off: bool) -> Diagnosis {
    let snapshot = &in_force.snapshot;
    let record = match ctx.known(in_force, &host.name).await {
        KnownOwned::Record(record) => Some(std::sync::Arc::unwrap_or_clone(record)),
        KnownOwned::Nothing | KnownOwned::Unavailable => None,
    };
    let other = record
        .as_ref()
        .filter(|record| record.state == InstallState::Waiting)
        .and_then(|record| snapshot.host(&record.after.as_ref()?.host));
    let awaited = match other {
        None => None,
        Some(other) => {
            let known = ctx.known(in_force, &other.name).await;
            Some(
                known
                    .record()
                    .map(|record| record.state)
                    .unwrap_or_default(),
            )
        }
    };
    let own = Filter {
        host: Some(host.name.clone()),
        limit: Some(OWN),
        ..Filter::default()
    };
    let all = Filter {
        limit: Some(OTHERS),
        ..Filter::default()
    };
    let events = ctx.journal.query(&own).await;
    let mut others = ctx.journal.query(&all).await;
    others.retain(|event| event.host.is_none());
    let profile = record
        .as_ref()
        .and_then(|record| record.profile.as_ref())
        .or(host.profile.as_ref())
        .and_then(|name| snapshot.profile(name));
    let expected = profile.map_or_else(Expected::default, |profile| {
        let signed = signed_loader(ctx, in_force, host, profile);
        Expected {
            shim: signed
                .as_deref()
                .is_some_and(|loader| !is_signed_ipxe(loader)),
            // Which one it is without that, the journal tells.
            loader: signed.or_else(|| match host.named_loader() {
                None => host.loader.clone(),
                Some(_) => firmware_seen(ctx, host)
                    .and_then(|firmware| snapshot.server.loader_of(host, firmware))
                    .map(str::to_owned),
            }),
            loads: ctx
                .boot(in_force, host, profile)
                .map_or(Loads::Unknown, |boot| Loads::from(&boot)),
            answers: !profile.answers.is_empty(),
            lifecycle: profile.lifecycle,
        }
    });
    let macs = host.all_macs();
    let subject = Subject {
        host: &host.name,
        macs: &macs,
        record: record.as_ref(),
        policy: Installs::policy(snapshot, record.as_ref()),
        install: host.install,
        awaited,
        expected: &expected,
        is_off,
    };
    diagnose(&subject, &events, &others, ctx.now())
}

/// The signed loader of a host with Secure Boot; `None`: it has none, or is none.
fn signed_loader(
    ctx: &Context,
    in_force: &InForce,
    host: &Host,
    profile: &Profile,
) -> Option<String> {
    let snapshot = &in_force.snapshot;
    let arch = architecture(host, Some(profile), ctx.architecture_seen(host));
    let firmware = firmware_seen(ctx, host).unwrap_or_else(|| Firmware::usual_for(arch));
    if !snapshot.boots_signed(host) || !firmware.is_uefi() {
        return None;
    }
    let is_there = |path: &str| ctx.assets.is_there(path);
    match loader(snapshot, Some(profile), firmware, false, &is_there) {
        Signed::Loader(shim) => Some(shim),
        Signed::Missing(_) => None,
    }
}

/// The firmware that a host's own packets told.
fn firmware_seen(ctx: &Context, host: &Host) -> Option<Firmware> {
    let mut macs = host.boot_macs().into_iter();
    macs.find_map(|mac| ctx.memory.get(mac)?.firmware)
}
