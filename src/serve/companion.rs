//! What shim loads beside itself, wherever it looks for it: GRUB, MokManager, lists of what is revoked.
//!
//! **Invariant:** asked only when there is no file of the name that was asked for; what is proposed is opened like
//! any other, beneath the root of the boot files.

use std::sync::Arc;

use super::assets::Asset;
use super::context::Context;
use crate::base::HostName;
use crate::config::signed::companions;
use crate::config::snapshot::Host;

/// Opens what a machine's shim means by a clean path at which there is nothing; with the path where it is.
pub(crate) fn open(ctx: &Context, host: Option<&HostName>, path: &str) -> Option<(String, Asset)> {
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let host = host.and_then(|name| snapshot.host(name));
    companions(snapshot, host.map(AsRef::as_ref), path)
        .into_iter()
        .find_map(|path| {
            let asset = ctx.assets.open(&path).ok()?;
            Some((path, asset))
        })
}

/// The path at which the file lies that a machine asks for by this clean path: another one where its shim means
/// what is not there.
pub(crate) async fn place(ctx: &Context, host: Option<&Arc<Host>>, path: String) -> String {
    let found = companions(&ctx.config().snapshot, host.map(AsRef::as_ref), &path);
    if found.is_empty() {
        return path;
    }
    let assets = ctx.assets.clone();
    let wanted = path.clone();
    let look = move || {
        let mut places = std::iter::once(wanted).chain(found);
        places.find(|place| assets.is_there(place))
    };
    let looked = tokio::task::spawn_blocking(look).await;
    looked.ok().flatten().unwrap_or(path)
}
