//! `GET /api/v1/free?subnet=S&count=N`: addresses of a subnet that may be reserved; with `ip=A` whether that one may.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use hyper::StatusCode;
use serde::Deserialize;

use super::Admin;
use super::error::ApiError;
use crate::base::suggest::nearest;
use crate::config::Snapshot;
use crate::decide::free::subnet_called;
use crate::serve::context::Context;
use crate::serve::free::{Around, Leased, MOST, Suggestion, Wanted, suggest};

/// What is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A name, a network or an address in it.
    subnet: String,
    /// How many addresses.
    count: Option<usize>,
    /// Only whether this one is free.
    ip: Option<Ipv4Addr>,
}

/// Takes a second or two.
pub(super) async fn search(
    State(admin): State<Admin>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Suggestion>, ApiError> {
    let Query(asked) = asked.map_err(|error| {
        ApiError::bad_request(error.body_text(), "the query knows subnet, count and ip")
    })?;
    let wanted = match asked.ip {
        Some(ip) => Wanted::This(ip),
        None => Wanted::Free(asked.count.unwrap_or(1)),
    };
    if let Wanted::Free(count) = wanted
        && !(1..=MOST).contains(&count)
    {
        return Err(ApiError::bad_request(
            format!("{count} addresses cannot be looked for at once"),
            format!("ask for 1 to {MOST}"),
        ));
    }
    let in_force = admin.ctx.config();
    let snapshot = &in_force.snapshot;
    let subnet = subnet_called(snapshot, &asked.subnet)
        .and_then(|index| snapshot.subnets.get(index))
        .ok_or_else(|| unknown(snapshot, &asked.subnet))?;
    if let Wanted::This(ip) = wanted
        && !subnet.network.contains(&ip)
    {
        return Err(ApiError::bad_request(
            format!("{ip} is not in {} ({})", subnet.name, subnet.network),
            "name an address of the subnet",
        ));
    }
    let leased = leased(&admin.ctx, snapshot).await;
    let links = admin.ctx.links.current();
    let around = Around {
        snapshot,
        subnet,
        links: &links,
    };
    Ok(Json(suggest(around, wanted, leased).await))
}

/// Who has leased what, and what is kept from everybody.
async fn leased(ctx: &Context, snapshot: &Snapshot) -> Leased {
    let views = ctx
        .leases()
        .views(snapshot, ctx.now())
        .await
        .map_err(|error| error.to_string())?;
    let held: HashMap<Ipv4Addr, String> = views
        .into_iter()
        .filter_map(|lease| match lease.state.as_str() {
            "bound" => Some((lease.ip, format!("leased by {}", lease.mac))),
            "declined" => Some((
                lease.ip,
                format!("declined by {}: somebody has it", lease.mac),
            )),
            _ => None,
        })
        .collect();
    Ok(held)
}

fn unknown(snapshot: &Snapshot, text: &str) -> ApiError {
    let names = || snapshot.subnets.iter().map(|subnet| subnet.name.as_str());
    let remedy = match nearest(text, names()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    ApiError::new(
        StatusCode::NOT_FOUND,
        "unknown-subnet",
        format!("no [[subnet]] is called {text:?}, is that network or holds that address"),
        remedy,
    )
}
