//! The operators' socket.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{GRACE, HEADER_BYTES, pause_after};

/// How long an operator's client may take to send its request's head.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Who asks on the operators' socket; an extension of each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operator {
    /// The user id of the peer (`SO_PEERCRED`).
    pub uid: u32,
    /// Its process, where the kernel tells.
    pub pid: Option<i32>,
}

/// Accepts on the operators' socket until cancelled.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    cancel: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await else {
            return;
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // A peer whose user is not known is nobody that could be named in a record.
        let Ok(credentials) = stream.peer_cred() else {
            continue;
        };
        let operator = Operator {
            uid: credentials.uid(),
            pid: credentials.pid(),
        };
        let (router, cancel) = (router.clone(), cancel.clone());
        tasks.spawn(drive_operator(stream, router, operator, cancel));
    }
}

/// Serves one connection of an operator, in the same way.
async fn drive_operator(
    stream: tokio::net::UnixStream,
    router: Router,
    operator: Operator,
    cancel: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(operator);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
