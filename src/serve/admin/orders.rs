//! What operators order: install, cancel, local; one host or several at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse as _, Response};
use hyper::{StatusCode, header};
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};

use super::error::ApiError;
use super::hosts::{HostView, find};
use super::judge::{Asked, Judged, Verb, awaited_first, judge, preview};
use super::select::select;
use super::{Admin, task_failed};
use crate::base::suggest::nearest;
use crate::base::time::parse_duration;
use crate::base::{After, AfterEvent, HostName, ProfileName, glob};
use crate::config::Snapshot;
use crate::config::snapshot::Host;
use crate::record::{Input, Record};
use crate::render::load::InForce;
use crate::serve::arming::Terms;
use crate::serve::boot::read_body;
use crate::serve::context::Context;
use crate::serve::installs::{Applied, Context as Change};
use crate::serve::listener::Operator;

/// Longest time for which a host may be armed.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Hosts of a reply that are put down together.
const TOLD_AT_ONCE: usize = 256;
/// Largest body of an order, in bytes: several thousand names.
const MAX_ORDER: usize = 256 << 10;

/// An order as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Order {
    /// Names, MACs, addresses or globs; only where the URL names none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// All hosts of a group and of those nested in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Another profile than the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What it waits for, as `HOST:EVENT`; `none`: for nothing, whatever the file says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How long the arming holds, such as `7d`.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub armed_for: Option<String>,
    /// Also while an installation is under way.
    pub force: bool,
    /// Only tell what each host would get.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
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

pub(super) async fn one(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    Path((name, verb)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let verb = match verb.as_str() {
        "install" => Verb::Install,
        "cancel" => Verb::Cancel,
        "local" => Verb::Local,
        _ => return Err(super::nothing().await),
    };
    let mut order = read_order(body).await?;
    if !order.hosts.is_empty() || order.group.is_some() {
        return Err(ApiError::bad_request(
            "the URL names the host already",
            "leave `hosts` and `group` out, or post to /api/v1/install",
        ));
    }
    // Whoever means one host is not to arm all of them.
    if glob::is_glob(&name) {
        return Err(ApiError::bad_request(
            format!("{name:?} is no host"),
            "the URL names one host; post globs to /api/v1/install, cancel or local",
        ));
    }
    order.hosts = vec![name];
    carry_out(&admin, operator, verb, order).await
}

pub(super) async fn install_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Response, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Install, order).await
}

pub(super) async fn cancel_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Response, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Cancel, order).await
}

pub(super) async fn local_all(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
    body: Body,
) -> Result<Response, ApiError> {
    let order = read_order(body).await?;
    carry_out(&admin, operator, Verb::Local, order).await
}

/// An empty body is an order without particulars.
async fn read_order(mut body: Body) -> Result<Order, ApiError> {
    let body: Bytes = read_body(&mut body, MAX_ORDER)
        .await
        .map_err(|error| ApiError::bad_request(error.to_string(), "name fewer hosts at once"))?
        .bytes;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Order::default());
    }
    serde_json::from_slice(&body).map_err(|error| {
        ApiError::bad_request(
            format!("the body is no order: {error}"),
            r#"send {"hosts": ["web01"], "for": "24h", "after": "hv-042:up"}"#,
        )
    })
}

async fn carry_out(
    admin: &Admin,
    operator: Operator,
    verb: Verb,
    order: Order,
) -> Result<Response, ApiError> {
    let ctx = &admin.ctx;
    let in_force = ctx.config();
    let snapshot = &in_force.snapshot;
    let terms = terms(snapshot, verb, &order)?;
    let by = match order.by {
        Some(by) if operator.uid == 0 && !by.trim().is_empty() => by.trim().to_owned(),
        _ => user_of(operator).await,
    };
    let asked = Asked {
        verb,
        terms,
        force: order.force,
        by,
    };
    let records: HashMap<HostName, Arc<Record>> = ctx
        .installs
        .all(snapshot)
        .await?
        .into_iter()
        .map(|record| (record.host.clone(), record))
        .collect();
    // Hosts are looked through, texts rendered and files looked for: not on a thread that serves machines.
    let judged = {
        let (ctx, in_force, asked) = (ctx.clone(), Arc::clone(&in_force), asked.clone());
        tokio::task::spawn_blocking(move || {
            let selected = select(&in_force.snapshot, &order.hosts, order.group.as_deref())?;
            let judged = judge(&ctx, &in_force, selected, &asked, &records);
            let shown = order
                .dry_run
                .then(|| preview(&ctx, &in_force, &judged, &asked.terms));
            Ok::<_, ApiError>((judged, shown))
        })
        .await
        .map_err(|error| task_failed(&error))??
    };
    let judged = match judged {
        (_, Some(preview)) => return Ok(Json(preview).into_response()),
        (judged, None) => judged,
    };
    let mut wrong = Vec::new();
    let mut inputs: Vec<(HostName, Input)> = Vec::new();
    let mut hosts: Vec<(Arc<Host>, Option<Arc<Record>>)> = Vec::new();
    for Judged {
        host,
        record,
        verdict,
        ..
    } in judged
    {
        match verdict {
            Ok(Some(input)) => inputs.push((host.name.clone(), input)),
            Ok(None) => {}
            Err(error) => wrong.push((host.name.to_string(), error)),
        }
        hosts.push((host, record));
    }
    if let Some(error) = ApiError::several(wrong) {
        return Err(error);
    }
    if inputs.is_empty() {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "nothing-to-cancel",
            "none of these hosts is armed or being installed: there is nothing to cancel",
            "`bootwright hosts` tells where they stand",
        ));
    }
    awaited_first(&mut inputs);
    let change = Change {
        mac: None,
        ip: None,
        generation: snapshot.generation,
        file: None,
        because: None,
    };
    let names: Vec<HostName> = inputs.iter().map(|(name, _)| name.clone()).collect();
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
    .map_err(|error| task_failed(&error))??;
    let applied: HashMap<HostName, Applied> = names.into_iter().zip(applied).collect();
    Ok(done(ctx, &in_force, hosts, applied))
}

/// What became of each host ([`Done`]). Of many they are put down some at a time: all of ten thousand views take more
/// room than the machines themselves.
fn done(
    ctx: &Context,
    in_force: &Arc<InForce>,
    hosts: Vec<(Arc<Host>, Option<Arc<Record>>)>,
    applied: HashMap<HostName, Applied>,
) -> Response {
    let (ctx, in_force, count) = (ctx.clone(), Arc::clone(in_force), hosts.len());
    let mut hosts = hosts.into_iter();
    let mut part = move || -> Result<Option<Bytes>, serde_json::Error> {
        let left = hosts.len();
        if left == 0 {
            return Ok(None);
        }
        let mut text = Vec::new();
        if left == count {
            text.extend_from_slice(b"{\"hosts\":[");
        }
        for (host, record) in hosts.by_ref().take(TOLD_AT_ONCE) {
            if !matches!(text.last(), Some(b'[')) {
                text.push(b',');
            }
            let applied = applied.get(&host.name);
            let record = applied.map(Applied::record).or(record.as_deref());
            let told = DoneHost {
                changed: matches!(applied, Some(Applied::Changed(_))),
                host: HostView::of(&ctx, &in_force.snapshot, &host, record),
            };
            serde_json::to_writer(&mut text, &told)?;
        }
        if hosts.len() == 0 {
            text.extend_from_slice(b"]}");
        }
        Ok(Some(text.into()))
    };
    let mut parts = std::iter::from_fn(move || part().transpose());
    // Of few the length is told.
    let body = match parts.next() {
        Some(Ok(all)) if count <= TOLD_AT_ONCE => Body::from(all),
        first => Body::from_stream(tokio_stream::iter(first.into_iter().chain(parts))),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What an order says of the arming.
fn terms(snapshot: &Snapshot, verb: Verb, order: &Order) -> Result<Terms, ApiError> {
    if verb != Verb::Install {
        for (key, given) in [
            ("profile", order.profile.is_some()),
            ("after", order.after.is_some()),
            ("for", order.armed_for.is_some()),
            ("dry_run", order.dry_run),
        ] {
            if given {
                return Err(ApiError::bad_request(
                    format!("`{key}` belongs to an order to install"),
                    "leave it out",
                ));
            }
        }
    }
    let profile = order
        .profile
        .as_deref()
        .map(|name| {
            name.parse::<ProfileName>().map_err(|error| {
                ApiError::bad_request(
                    format!("{name:?} is no profile's name: {error}"),
                    "a profile is a file profiles/NAME.toml",
                )
            })
        })
        .transpose()?;
    let after = match order.after.as_deref() {
        None | Some("none") => None,
        Some(text) => Some(after(snapshot, text)?),
    };
    Ok(Terms {
        profile,
        at_once: order.after.as_deref() == Some("none"),
        after,
        armed_for: armed_for(order.armed_for.as_deref())?,
    })
}

/// `HOST:EVENT`, where HOST is a name, a MAC or an address.
fn after(snapshot: &Snapshot, text: &str) -> Result<After, ApiError> {
    let events = || AfterEvent::ALL.map(AfterEvent::as_str).join(", ");
    let Some((host, event)) = text.rsplit_once(':') else {
        return Err(ApiError::bad_request(
            format!("{text:?} is nothing that can be waited for"),
            format!(
                "write HOST:EVENT, such as hv-042:up, or none; the events are {}",
                events()
            ),
        ));
    };
    let Some(event) = AfterEvent::from_name(event.trim()) else {
        return Err(ApiError::bad_request(
            format!("{event:?} is no event that can be waited for"),
            match nearest(event, AfterEvent::ALL.map(AfterEvent::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the events are {}", events()),
            },
        ));
    };
    Ok(After {
        host: find(snapshot, host)?.name.clone(),
        event,
    })
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
