//! Reaching a running daemon: HTTP and JSON over its Unix socket.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::daemon::SOCKET;
use crate::serve::admin::error::{Body, Envelope};

/// What stands for itself in a path or query (RFC 3986, "unreserved", and the colon of a MAC).
const KEEP: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// Largest reply that is read as a whole, in bytes.
const MAX_REPLY: usize = 64 << 20;

/// A way to the daemon.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// The daemon refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", .0.message, particulars(.0))]
pub struct Refused(pub Body);

/// What is said below the message: the remedy, and where there are several refusals, each of them.
fn particulars(body: &Body) -> String {
    let line = |text: &str, indent: usize| format!("\n{:indent$}{text}", "");
    let mut told = String::new();
    for refusal in &body.refusals {
        told.push_str(&line(&refusal.message, 2));
        if let Some(remedy) = &refusal.remedy {
            told.push_str(&line(remedy, 4));
        }
    }
    if let Some(remedy) = &body.remedy {
        told.push_str(&line(remedy, 2));
    }
    told
}

impl Client {
    /// To the daemon of this configuration.
    pub fn of(config: &Path) -> anyhow::Result<Self> {
        Ok(Self::at(state_dir(config)?.join(SOCKET)))
    }

    /// To the daemon that listens here.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Whether anybody answers there; an error where that may not be asked.
    pub fn is_there(&self) -> anyhow::Result<bool> {
        match std::os::unix::net::UnixStream::connect(&self.socket) {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// Reads something.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(Method::GET, path, None).await?;
        whole(response).await
    }

    /// Orders something.
    pub async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        let response = self.send(Method::POST, path, Some(body)).await?;
        whole(response).await
    }

    /// Reads bytes as they come, to their end.
    pub async fn bytes(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut response = self.send(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return whole::<serde_json::Value>(response).await.map(|_| ());
        }
        while let Some(frame) = response.frame().await {
            let frame = frame.context("the daemon ended the connection")?;
            if let Ok(data) = frame.into_data() {
                each(&data)?;
            }
        }
        Ok(())
    }

    /// Reads lines as they come, until the daemon ends them or `each` fails.
    pub async fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut response = self.send(Method::GET, path, None).await?;
        if !response.status().is_success() {
            return whole::<serde_json::Value>(response).await.map(|_| ());
        }
        let mut waiting = Vec::new();
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame
                .context("the daemon ended the connection")?
                .into_data()
            else {
                continue;
            };
            waiting.extend_from_slice(&data);
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let rest = waiting.split_off(end + 1);
                let line = String::from_utf8_lossy(&waiting);
                each(line.trim_end())?;
                waiting = rest;
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(HOST, "bootwright")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        sender
            .send_request(request)
            .await
            .context("the daemon did not answer")
    }

    fn unreachable(&self, error: &io::Error) -> anyhow::Error {
        let socket = self.socket.display();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => anyhow::anyhow!(
                "bootwright is not running: nobody answers on {socket}\n  start it with `bootwright serve`, or name its configuration with --config"
            ),
            io::ErrorKind::PermissionDenied => anyhow::anyhow!(
                "you may not open {socket}\n  use sudo, or join the group that owns it"
            ),
            _ => anyhow::anyhow!("{socket} cannot be opened: {error}"),
        }
    }
}

/// A part of a path or query.
pub fn part(text: &str) -> String {
    utf8_percent_encode(text, KEEP).to_string()
}

async fn whole<T: DeserializeOwned>(response: Response<Incoming>) -> anyhow::Result<T> {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), MAX_REPLY)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!("the daemon's answer broke off: {error}"))?
        .to_bytes();
    if !status.is_success() {
        if let Ok(envelope) = serde_json::from_slice::<Envelope>(&body) {
            return Err(Refused(envelope.error).into());
        }
        anyhow::bail!(
            "the daemon answered {status}: {}",
            String::from_utf8_lossy(&body).trim()
        );
    }
    serde_json::from_slice(&body)
        .context("the daemon's answer is not understood; is it of another version?")
}

/// The state folder that a configuration names. Only that is read: a command must reach the daemon also
/// while the files have a mistake elsewhere.
fn state_dir(config: &Path) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(config)
        .with_context(|| format!("{} cannot be read", config.display()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!(
            "{} is no TOML: {}\n  run `bootwright check`",
            config.display(),
            error.message()
        )
    })?;
    let written = table
        .get("server")
        .and_then(|server| server.get("state_dir"))
        .and_then(toml::Value::as_str);
    Ok(match written {
        Some(path) => config.parent().unwrap_or_else(|| Path::new(".")).join(path),
        None => crate::config::snapshot::Server::default().state_dir,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_in_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bootwright.toml");
        std::fs::write(&config, "[server]\nstate_dir = \"../state\"\nfuture = 1\n").unwrap();
        assert_eq!(state_dir(&config).unwrap(), folder.path().join("../state"));
        std::fs::write(&config, "").unwrap();
        assert_eq!(
            state_dir(&config).unwrap(),
            Path::new("/var/lib/bootwright")
        );
        std::fs::write(&config, "[server").unwrap();
        assert!(state_dir(&config).is_err());
    }

    #[test]
    fn parts_are_encoded() {
        assert_eq!(part("52:54:00:47:86:8e"), "52:54:00:47:86:8e");
        assert_eq!(part("a/b ?&ä"), "a%2Fb%20%3F%26%C3%A4");
    }
}
