//! Reaching a running daemon: HTTP and JSON over its Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::daemon::{SOCKET, state_dirs};
use crate::serve::admin::configuration::STANDING;
use crate::serve::admin::error::{Body, Envelope};

/// What stands for itself in a path or query (RFC 3986, "unreserved", and the colon of a MAC).
const KEEP: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':');

/// Largest reply that is read as a whole, in bytes: a hundred thousand hosts, each with what is remembered of its
/// installation, are some 100 MB.
const MAX_REPLY: usize = 512 << 20;

/// What the daemon last said of its configuration, when its files are not in force and nobody was told yet.
static TOLD: Mutex<Option<String>> = Mutex::new(None);

/// That its files are not in force, when the daemon that was asked said so: to be told beside whatever it answered.
/// Told once.
pub fn standing() -> Option<String> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner).take()
}

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
        let sockets: Vec<PathBuf> = state_dirs(config)
            .iter()
            .map(|folder| folder.join(SOCKET))
            .collect();
        let there = sockets.iter().find(|socket| socket.exists());
        match there.or_else(|| sockets.first()) {
            Some(socket) if there.is_some() || config.exists() => Ok(Self::at(socket)),
            _ => anyhow::bail!("{} is not there", config.display()),
        }
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
        let mut lines = Lines::default();
        while let Some(frame) = response.frame().await {
            let frame = frame.context("the daemon ended the connection")?;
            if let Ok(data) = frame.into_data() {
                lines.add(&data, &mut each)?;
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
        let response = sender
            .send_request(request)
            .await
            .context("the daemon did not answer")?;
        let standing = response.headers().get(STANDING);
        let standing = standing.map(|value| {
            let text = percent_decode(value.as_bytes()).decode_utf8_lossy();
            text.into_owned()
        });
        *TOLD.lock().unwrap_or_else(PoisonError::into_inner) = standing;
        Ok(response)
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

/// Bytes that become lines. A line may be a whole file, which comes in thousands of pieces: each byte is looked at
/// once.
#[derive(Debug, Default)]
struct Lines {
    /// The beginning of a line of which the end has not come.
    begun: Vec<u8>,
}

impl Lines {
    /// Takes what has come, and hands on each line that is whole.
    fn add(
        &mut self,
        data: &[u8],
        mut each: impl FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.begun);
                each(String::from_utf8_lossy(&line).trim_end())?;
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_lies_in_the_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bootwright.toml");
        let socket = || Client::of(&config).unwrap().socket;
        std::fs::write(&config, "[server]\nstate_dir = \"../state\"\nfuture = 1\n").unwrap();
        assert_eq!(socket(), folder.path().join("../state").join(SOCKET));
        std::fs::write(&config, "").unwrap();
        assert_eq!(socket(), Path::new("/var/lib/bootwright").join(SOCKET));
        // A mistake elsewhere hides no daemon.
        std::fs::write(&config, "[server\nstate_dir = \"../state\"\n").unwrap();
        assert_eq!(socket(), folder.path().join("../state").join(SOCKET));
    }

    #[test]
    fn lines_are_put_together_from_their_pieces() {
        let mut lines = Lines::default();
        let mut told = Vec::new();
        for piece in ["", "{\"a\":", " 1}\r\n{}\n\n", "ä", "b\nlast"] {
            let keep = |line: &str| {
                told.push(line.to_owned());
                Ok(())
            };
            lines.add(piece.as_bytes(), keep).unwrap();
        }
        assert_eq!(told, ["{\"a\": 1}", "{}", "", "äb"]);
        assert!(lines.add(b"\n", |line| anyhow::bail!("{line}")).is_err());
    }

    #[test]
    fn parts_are_encoded() {
        assert_eq!(part("52:54:00:47:86:8e"), "52:54:00:47:86:8e");
        assert_eq!(part("a/b ?&ä"), "a%2Fb%20%3F%26%C3%A4");
    }
}
