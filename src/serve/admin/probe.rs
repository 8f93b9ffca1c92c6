//! `POST /api/v1/probe`: looks for other DHCP servers on the served interfaces.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::Admin;
use super::error::ApiError;
use crate::base::suggest::nearest;
use crate::config::snapshot::Mode;
use crate::serve::boot::read_body;
use crate::serve::heard::Probed;

/// Largest body, in bytes.
const MAX_BODY: usize = 16 << 10;

/// Where to look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Places {
    /// Interfaces of `[server] interfaces`; all of them when there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}

/// What was found, interface by interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// In the order of the configuration.
    pub probed: Vec<Probed>,
    /// Subnets whose addresses another server is to give (`mode = "proxy"`).
    pub proxied: Vec<String>,
}

/// 200 with what was found, also when there was no search on an interface: it says why. Takes some seconds.
pub(super) async fn probe(
    State(admin): State<Admin>,
    body: Body,
) -> Result<Json<Report>, ApiError> {
    let mut body = body;
    let in_force = admin.ctx.config();
    let snapshot = &in_force.snapshot;
    let served = &snapshot.server.interfaces;
    let places = places(&mut body).await?;
    for name in &places.interfaces {
        if !served.contains(name) {
            let near = nearest(name, served.iter().map(String::as_str));
            return Err(ApiError::new(
                StatusCode::NOT_FOUND,
                "no-such-interface",
                format!("{name} is not among [server] interfaces"),
                match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("they are {}", served.join(", ")),
                },
            ));
        }
    }
    let wanted = if places.interfaces.is_empty() {
        served
    } else {
        &places.interfaces
    };
    let mut searches = JoinSet::new();
    for (place, name) in wanted.iter().cloned().enumerate() {
        let others = admin.ctx.memory.others().clone();
        searches.spawn(async move { (place, others.probe(&name).await) });
    }
    let mut probed = searches.join_all().await;
    probed.sort_by_key(|(place, _)| *place);
    Ok(Json(Report {
        probed: probed.into_iter().map(|(_, probed)| probed).collect(),
        proxied: snapshot
            .subnets
            .iter()
            .filter(|subnet| subnet.mode == Mode::Proxy)
            .map(|subnet| subnet.name.to_string())
            .collect(),
    }))
}

async fn places(body: &mut Body) -> Result<Places, ApiError> {
    let remedy = r#"send {"interfaces": ["br0"]}, or nothing for all"#;
    let bytes = read_body(body, MAX_BODY)
        .await
        .map_err(|error| ApiError::bad_request(error.to_string(), remedy))?
        .bytes;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Places::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::bad_request(format!("the body names no interfaces: {error}"), remedy)
    })
}
