//! Logs of installers, for operators: the folder itself belongs to the daemon's user.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;

use super::error::ApiError;
use super::hosts::find;
use super::{Admin, Named};
use crate::base::HostName;
use crate::serve::logs::{self, Attempt};

/// The attempt in a URL that stands for the newest one that has the log.
pub const LATEST: &str = "latest";

/// What is kept of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The host.
    pub host: HostName,
    /// Its attempts, newest first.
    pub attempts: Vec<Attempt>,
}

/// The host that a text means; what one has left that is gone is found by its name.
async fn host_of(admin: &Admin, text: &str) -> Result<HostName, ApiError> {
    match find(&admin.ctx.config().snapshot, text) {
        Ok(host) => Ok(host.name.clone()),
        Err(unknown) => {
            let Ok(name) = text.trim().parse::<HostName>() else {
                return Err(unknown);
            };
            match logs::list(&admin.logs, &name).await {
                Ok(attempts) if !attempts.is_empty() => Ok(name),
                _ => Err(unknown),
            }
        }
    }
}

fn unreadable(error: &std::io::Error) -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "logs-unreadable",
        format!("the logs cannot be read: {error}"),
        "look into the folder `logs` of state_dir",
    )
}

pub(super) async fn list(
    State(admin): State<Admin>,
    Path(name): Named,
) -> Result<Json<Kept>, ApiError> {
    let host = host_of(&admin, &name).await?;
    let attempts = logs::list(&admin.logs, &host)
        .await
        .map_err(|error| unreadable(&error))?;
    Ok(Json(Kept { host, attempts }))
}

pub(super) async fn read(
    State(admin): State<Admin>,
    Path((name, attempt, file)): Path<(String, String, String)>,
) -> Result<Response, ApiError> {
    let host = host_of(&admin, &name).await?;
    let attempts = logs::list(&admin.logs, &host)
        .await
        .map_err(|error| unreadable(&error))?;
    let has = |attempt: &&Attempt| attempt.logs.iter().any(|log| log.name == file);
    let found = attempts
        .iter()
        .filter(|kept| attempt == LATEST || kept.id == attempt)
        .find(has);
    let opened = match found {
        None => None,
        Some(kept) => logs::open(&admin.logs, &host, &kept.id, &file)
            .await
            .map_err(|error| unreadable(&error))?,
    };
    let Some((opened, bytes)) = opened else {
        let of = if attempt == LATEST {
            "of any attempt".to_owned()
        } else {
            format!("of attempt {attempt:?}")
        };
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "no-such-log",
            format!("{host} has no log {file:?} {of}"),
            format!("`bootwright host show {host} --logs` lists them"),
        ));
    };
    let mut response = Response::new(Body::from_stream(ReaderStream::new(opened)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    Ok(response)
}
