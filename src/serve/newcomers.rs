//! Hosts that a reload adds, armed without an order where `[install] when_new = "install"` says so
//! (design section 4).
//!
//! **Invariant:** new is a host only when a running daemon takes it up and the store, read without an
//! error, knows neither its name nor any of its hardware addresses. Hosts found at the start are never
//! new, and a reload that would arm more than [`MOST`] arms none.

use std::sync::Arc;

use super::arming::{Terms, armament};
use super::context::Context;
use super::installs;
use crate::base::HostName;
use crate::config::snapshot::{Host, InstallPolicy};
use crate::journal::event::{Event, Kind, Reason};
use crate::record::Input;
use crate::render::load::InForce;

/// Hosts that one reload arms at most: more of them look like a moved or mistaken file.
pub const MOST: usize = 10;

/// Arms the hosts of this configuration of which nothing was known before, where it says so.
pub(super) async fn arm(ctx: &Context, in_force: &Arc<InForce>, new: &[HostName]) {
    let snapshot = &in_force.snapshot;
    if !snapshot.server.install_new {
        return;
    }
    // What cannot be meant: nothing would be installed by hand either.
    let hosts: Vec<&Arc<Host>> = new
        .iter()
        .filter_map(|name| snapshot.host(name))
        .filter(|host| host.install == InstallPolicy::Once && host.profile.is_some())
        .collect();
    if hosts.len() > MOST {
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        let names = names.join(" ");
        let detail = format!(
            "{} new hosts are not armed, because more than {MOST} came at once: bootwright install --yes {names}",
            hosts.len()
        );
        tell(ctx, in_force, None, detail);
        return;
    }
    let context = installs::Context {
        generation: snapshot.generation,
        because: Some(Reason::NewHost),
        ..installs::Context::default()
    };
    for host in hosts {
        let with = match armament(ctx, in_force, host, &Terms::default()) {
            Ok(with) => with,
            Err(obstacles) => {
                let detail = format!("not armed: {obstacles}");
                tell(ctx, in_force, Some(host), detail);
                continue;
            }
        };
        let input = Input::Install {
            with,
            force: false,
            by: "[install] when_new".to_owned(),
        };
        let applied = ctx
            .installs
            .apply(snapshot, &host.name, &input, &context)
            .await;
        if let Err(error) = applied {
            tell(ctx, in_force, Some(host), format!("not armed: {error}"));
        }
    }
}

fn tell(ctx: &Context, in_force: &InForce, host: Option<&Arc<Host>>, detail: String) {
    let mut event = Event::new(ctx.now(), Kind::InstallNote, Reason::NewHost)
        .host(host.map(|host| host.name.clone()))
        .mac(host.and_then(|host| host.mac()))
        .detail(detail);
    event.generation = in_force.snapshot.generation;
    ctx.journal.append(event);
}
