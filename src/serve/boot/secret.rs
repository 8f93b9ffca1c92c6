//! A secret marked `once`, for the machine that is being installed, one time per attempt.
//!
//! Order: token → record → may this peer have it → is there such a secret → record that it was given, on
//! disk → send. Whoever comes second gets nothing, also when the first one's connection broke: which of the
//! two is the machine cannot be told.
//!
//! **Invariant:** the value is read only once the record says that it was given; HEAD never comes so far.

use axum::body::Body;
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};

use super::{Visit, plain};
use crate::base::Token;
use crate::config::secrets::is_name;
use crate::decide;
use crate::journal::event::{Kind, Reason};
use crate::record::{Input, Record};
use crate::serve::installs::{Applied, ApplyError, Context as Change};

/// Serves one secret.
pub(crate) async fn serve(
    visit: Visit,
    token: Option<Token>,
    name: String,
    head: bool,
) -> Response {
    let in_force = visit.in_force.clone();
    let snapshot = &in_force.snapshot;
    let installs = visit.plane.ctx.installs.clone();
    let Some(token) = token else {
        return visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None);
    };
    let record = match installs.by_token(snapshot, &token).await {
        Ok(Some(record)) => record,
        Ok(None) => return visit.refuse(StatusCode::NOT_FOUND, Reason::UnknownToken, None),
        Err(error) => return visit.store_trouble(&error),
    };
    let host = match decide::http::answer(&record, snapshot, visit.who) {
        Ok(host) => host,
        Err(reason) => return visit.refuse_token(&record, reason),
    };
    let secret = snapshot
        .secrets
        .get(Some(&host.name), &name)
        .filter(|_| is_name(&name));
    let secret = match secret {
        Some(secret) if secret.once => secret,
        Some(_) => {
            let detail = format!("the secret {name} is not marked `once` and has no URL");
            return visit.refuse(StatusCode::NOT_FOUND, Reason::NoSecret, detail);
        }
        None => {
            let detail = format!("{} has no secret of this name", host.name);
            return visit.refuse(StatusCode::NOT_FOUND, Reason::NoSecret, detail);
        }
    };
    if head {
        // Neither how long the secret is nor whether it was given.
        let mut event = visit
            .event(Kind::HttpAnswer, Reason::Done)
            .host(host.name.clone())
            .mac(host.mac())
            .detail("HEAD: nothing was sent and nothing is changed".to_owned());
        event.bytes = Some(0);
        visit.tell(event);
        return unkept(plain(StatusCode::OK, String::new()));
    }
    let change = Change {
        mac: host.mac(),
        ip: Some(visit.peer),
        generation: snapshot.generation,
        file: Some(visit.shown.clone()),
        because: None,
    };
    let input = Input::Secret { name: name.clone() };
    let applied = installs
        .apply_under(snapshot, &token, &record.host, |_| input.clone(), &change)
        .await;
    match applied {
        Ok(Applied::Changed(_)) => {}
        Ok(Applied::Same(record, Reason::SecretGiven)) => return again(&visit, &record, &name),
        // Somebody may have cancelled or armed anew since the token was looked up.
        Ok(Applied::Same(..)) | Err(ApplyError::Refused(_)) => {
            return visit.refuse(StatusCode::NOT_FOUND, Reason::VoidToken, None);
        }
        Err(ApplyError::Store(error)) => return visit.store_trouble(&error),
    }
    // Not how long it is: hooks are told of this.
    let event = visit
        .event(Kind::HttpAnswer, Reason::Done)
        .host(host.name.clone())
        .mac(host.mac());
    visit.tell(event);
    unkept(plain(StatusCode::OK, secret.reveal().to_owned()))
}

/// It was given to this attempt already: not found, and an event that somebody should look at.
fn again(visit: &Visit, record: &Record, name: &str) -> Response {
    let mac = visit
        .in_force
        .snapshot
        .host(&record.host)
        .and_then(|host| host.mac());
    let event = visit
        .event(Kind::SecretAgain, Reason::SecretGiven)
        .host(record.host.clone())
        .mac(mac)
        .detail(format!(
            "{} asked for {name} again in attempt {}",
            visit.peer, record.attempt
        ));
    visit.tell(event);
    plain(StatusCode::NOT_FOUND, "not found\n".to_owned())
}

/// Kept by no cache.
fn unkept(mut response: Response<Body>) -> Response {
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
