//! What operators order: install, cancel, local; one host or several at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use hyper::StatusCode;
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::error::ApiError;
use super::hosts::{HostView, find};
use crate::base::HostName;
use crate::base::time::parse_duration;
use crate::config::snapshot::Host;
use crate::record::Input;
use crate::serve::arming::{Terms, armament};
use crate::serve::boot::read_body;
use crate::serve::installs::{Applied, Context as Change};
use crate::serve::listener::Operator;

/// Longest time for which a host may be armed.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Largest body of an order, in bytes: several thousand names.
const MAX_ORDER: usize = 256 << 10;

/// An order as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Names, MACs or addresses; only where the URL names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Also while an installation is under way.
    pub force: bool,
    /// How long the arming holds, such as `7d`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub armed_for: Option<String>,
    /// Who asks, when root asks for somebody else; taken from root only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The hosts, as they stand now, in the order in which they were named.
    pub hosts: Vec<DoneHost>,
}

/// What became of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneHost {
    /// Whether anything is different.
    pub changed: bool,
    /// The host.
    #[serde(flatten)]
    pub host: HostView,
}

/// What is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Install,
    Cancel,
    Local,
}

pub(super) async fn one(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    Path((name, verb)): Path<(String, String)>,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let verb = match verb.as_str() {
        "install" => Verb::Install,
        "cancel" => Verb::Cancel,
        "local" => Verb::Local,
        _ => return Err(super::nothing().await),
    };
    let mut order = read_order(body).await?;
    if !order.hosts.is_empty() {
        return Err(ApiError::bad_request(
            "the URL names the host already",
            "leave `hosts` out, or post to /api/v1/install",
        ));
    }
    order.hosts = vec![name];
    carry_out(&admin, operator, verb, order).await
}

pub(super) async fn install_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Install, order).await
}

pub(super) async fn cancel_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Cancel, order).await
}

pub(super) async fn local_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Json<Done>, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Local, order).await
}

/// An empty body is an order without particulars.
async fn read_order(body: Body) -> Result<Order, ApiError> {
    let body: Bytes = read_body(body, MAX_ORDER)
        .await
        .map_err(|error| ApiError::bad_request(error.to_string(), "name fewer hosts at once"))?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Order::default());
    }
    serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(
            format!("the body is no order: {error}"),
            r#"send {"hosts": ["web01"], "force": false, "for": "24h"}"#,
        )
    })
}

async fn carry_out(
    admin: &Admin,
    operator: Operator,
    verb: Verb,
    order: Order,
) -> Result<Json<Done>, ApiError> {
    let ctx = &admin.ctx;
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    if order.hosts.is_empty() {
        return Err(ApiError::bad_request(
            "no host is named",
            "name at least one in `hosts`",
        ));
    }
    let mut hosts: Vec<Arc<Host>> = Vec::new();
    for name in &order.hosts {
        let host = find(snapshot, name)?;
        // Two names of one machine are one machine.
        if !hosts.iter().any(|other| other.name == host.name) {
            hosts.push(host);
        }
    }
    let by = match order.by {
        Some(by) if operator.uid == 0 && !by.trim().is_empty() => by.trim().to_owned(),
        _ => user_of(operator).await,
    };
    let terms = Terms {
        armed_for: armed_for(order.armed_for.as_deref())?,
        ..Terms::default()
    };
    let mut inputs: Vec<(HostName, Input)> = Vec::new();
    for host in &hosts {
        let input = match verb {
            Verb::Install => Input::Install {
                with: armament(ctx, &in_force, host, &terms)?,
                force: order.force,
                by: by.clone(),
            },
            Verb::Cancel => Input::Cancel {
                force: order.force,
                by: by.clone(),
            },
            Verb::Local => Input::Local {
                force: order.force,
                by: by.clone(),
            },
        };
        inputs.push((host.name.clone(), input));
    }
    let change = Change {
        mac: None,
        ip: None,
        generation: snapshot.generation,
        file: None,
    };
    // In a task of its own: an order is not left half done when its client goes.
    let applied = tokio::spawn({
        let (installs, in_force) = (ctx.installs.clone(), Arc::clone(&in_force));
        async move {
            installs
                .apply_all(&in_force.snapshot, &inputs, &change)
                .await
        }
    })
    .await
    .map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "task-failed",
            error.to_string(),
            "see `bootwright events`",
        )
    })??;
    Ok(Json(Done {
        hosts: hosts
            .iter()
            .zip(&applied)
            .map(|(host, applied)| DoneHost {
                changed: matches!(applied, Applied::Changed(_)),
                host: HostView::of(ctx, snapshot, host, Some(applied.record())),
            })
            .collect(),
    }))
}

fn armed_for(text: Option<&str>) -> Result<Option<Duration>, ApiError> {
    let Some(text) = text else {
        return Ok(None);
    };
    match parse_duration(text) {
        Ok(duration) if !duration.is_zero() && duration <= LONGEST => Ok(Some(duration)),
        Ok(_) => Err(ApiError::bad_request(
            format!("{text:?} is no time for which a host can be armed"),
            "give between 1s and 365d, such as 24h",
        )),
        Err(error) => Err(ApiError::bad_request(
            error,
            "give a time such as 24h or 7d",
        )),
    }
}

/// The name of the peer's user; its number when it has none. Asking for it may take a directory
/// service its time.
pub(super) async fn user_of(operator: Operator) -> String {
    tokio::task::spawn_blocking(move || {
        User::from_uid(Uid::from_raw(operator.uid))
            .ok()
            .flatten()
            .map(|user| user.name)
    })
    .await
    .ok()
    .flatten()
    .unwrap_or_else(|| format!("uid {}", operator.uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armings_have_a_bound() {
        assert_eq!(armed_for(None).unwrap(), None);
        assert_eq!(
            armed_for(Some("7d")).unwrap(),
            Some(Duration::from_secs(604_800))
        );
        for bad in ["0s", "366d", "soon", ""] {
            assert_eq!(
                armed_for(Some(bad)).unwrap_err().code(),
                "bad-request",
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn an_order_with_an_unknown_key_is_none() {
        assert_eq!(
            read_order(Body::from(" \n")).await.unwrap(),
            Order::default()
        );
        assert!(read_order(Body::from(r#"{"froce": true}"#)).await.is_err());
        let order = read_order(Body::from(r#"{"hosts": ["a"], "for": "1h"}"#))
            .await
            .unwrap();
        assert_eq!(order.armed_for.as_deref(), Some("1h"));
    }
}
