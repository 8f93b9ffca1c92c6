//! The operators' plane: JSON over the Unix socket `state_dir/bootwright.sock`.
//!
//! **Invariant:** who may open the socket may do everything (its mode is 0660); who asked is the peer's
//! user. No reply holds a whole token. Several hosts are armed in one change of the store, or none.

pub mod configuration;
pub mod error;
pub mod events;
pub mod free;
pub mod hosts;
pub mod judge;
pub mod logs;
pub mod orders;
pub mod probe;
mod select;
pub mod unknown;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::error::ApiError;
use super::context::Context;
use super::health::Health;
use super::hooks::{HookState, States};
use super::index::FileView;
use super::leases::LeaseView;
use super::listener::{Operator, serve_unix};
use super::reload::{Cause, Outcome, Reloader};
use super::standing::Stands;
use super::transfers::TransferView;
use crate::base::Timestamp;

/// What the operators' plane stands on; cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// What every service holds.
    pub ctx: Context,
    /// What is well.
    pub health: Health,
    /// How hooks do.
    pub hooks: States,
    /// Asks for reloads.
    pub reloader: Reloader,
    /// `bootwright.toml`.
    pub config: PathBuf,
    /// Where logs of installers are kept.
    pub logs: PathBuf,
    /// When the daemon was started.
    pub started: Timestamp,
    /// Ends what would go on for ever, such as a followed journal.
    pub ending: CancellationToken,
}

/// The operators' plane as a service. Every request needs an [`Operator`] among its extensions.
pub fn router(admin: Admin) -> Router {
    let api = Router::new()
        .route("/status", get(status))
        .route("/configuration", get(configuration::show))
        .route("/configuration/files", get(configuration::files))
        .route("/hosts", get(hosts::list))
        .route("/hosts/{name}", get(hosts::show))
        .route("/hosts/{name}/why", get(hosts::why))
        .route("/hosts/{name}/logs", get(logs::list))
        .route("/hosts/{name}/logs/{attempt}/{file}", get(logs::read))
        .route("/hosts/{name}/{order}", post(orders::one))
        .route("/install", post(orders::install_all))
        .route("/cancel", post(orders::cancel_all))
        .route("/local", post(orders::local_all))
        .route("/events", get(events::list))
        .route("/hooks", get(hooks))
        .route("/leases", get(leases))
        .route("/transfers", get(transfers))
        .route("/free", get(free::search))
        .route("/unknown", get(unknown::list))
        .route("/assets", get(assets))
        .route("/probe", post(probe::probe))
        .route("/reload", post(reload));
    Router::new()
        .nest("/api/v1", api)
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(admin.clone(), configuration::tell))
        .with_state(admin)
}

/// Serves on the socket until cancelled, and then until what is under way has ended or was cut.
pub async fn run(
    admin: Admin,
    listener: Arc<std::os::unix::net::UnixListener>,
    cancel: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let opened: io::Result<UnixListener> = listener.try_clone().and_then(|listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    });
    match opened {
        Ok(listener) => serve_unix(listener, router(admin), cancel, tasks.clone()).await,
        Err(error) => tracing::error!(%error, "the operators' socket cannot be served"),
    }
    tasks.close();
    tasks.wait().await;
}

/// What the daemon is and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// When it was started.
    pub started: Timestamp,
    /// `bootwright.toml`.
    pub config: PathBuf,
    /// Counts up with each configuration that took effect.
    pub generation: u64,
    /// Where it keeps what it remembers.
    pub state_dir: PathBuf,
    /// The interfaces it serves.
    pub interfaces: Vec<String>,
    /// How what is in force stands to the files; nothing: it is what they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Stands>,
    /// How many hosts there are in each state.
    pub hosts: BTreeMap<String, usize>,
    /// What is wrong, by part; empty when all is well.
    pub troubles: BTreeMap<String, String>,
}

async fn status(State(admin): State<Admin>) -> Result<Json<Status>, ApiError> {
    let in_force = admin.ctx.config();
    let snapshot = &in_force.snapshot;
    let mut troubles: BTreeMap<String, String> = admin.health.troubles().into_iter().collect();
    let hosts = match hosts::counts(&admin.ctx, snapshot).await {
        Ok(counts) => counts,
        Err(error) => {
            troubles.insert("records".to_owned(), error.to_string());
            BTreeMap::new()
        }
    };
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: admin.started,
        config: admin.config.clone(),
        generation: snapshot.generation,
        state_dir: snapshot.server.state_dir.clone(),
        interfaces: snapshot.server.interfaces.clone(),
        configuration: admin.health.standing().stands(snapshot),
        hosts,
        troubles,
    }))
}

/// How each hook does.
async fn hooks(State(admin): State<Admin>) -> Json<Vec<HookState>> {
    Json(admin.hooks.all())
}

/// The leases of machines without a reservation, by address.
async fn leases(State(admin): State<Admin>) -> Result<Json<Vec<LeaseView>>, ApiError> {
    let ctx = &admin.ctx;
    let in_force = ctx.config();
    let views = ctx.leases().views(&in_force.snapshot, ctx.now()).await?;
    Ok(Json(views))
}

/// The transfers that are under way.
async fn transfers(State(admin): State<Admin>) -> Json<Vec<TransferView>> {
    Json(admin.ctx.memory.transfers().views())
}

/// The boot files, with what is known of them.
async fn assets(State(admin): State<Admin>) -> Result<Json<Vec<FileView>>, ApiError> {
    let assets = admin.ctx.assets.clone();
    Ok(Json(
        aside(move || assets.index().views(&assets.root())).await?,
    ))
}

/// Does long work beside those that answer.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| task_failed(&error))
}

fn task_failed(error: &JoinError) -> ApiError {
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "task-failed",
        error.to_string(),
        "see the log of the daemon",
    )
}

/// 200 with the outcome, also when the configuration was refused: the request itself was done.
async fn reload(
    State(admin): State<Admin>,
    Extension(operator): Extension<Operator>,
) -> Result<Json<Outcome>, ApiError> {
    let by = orders::user_of(operator).await;
    let outcome = admin
        .reloader
        .reload(Cause::Operator(by))
        .await
        .map_err(|error| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ending",
                error.to_string(),
                "try again when it has been started again",
            )
        })?;
    Ok(Json(outcome))
}

async fn nothing() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no-such-url",
        "there is no such URL",
        "see /api/v1/status, /api/v1/hosts and /api/v1/events",
    )
}

async fn wrong_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong-method",
        "this URL does not know the method",
        "reading is GET, commands are POST",
    )
}

/// A path parameter; what cannot be decoded is no host.
type Named = Path<String>;

/// A reply that is streamed.
type Streamed = Response;
