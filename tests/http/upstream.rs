//! A server to mirror from, that behaves as badly as it is told.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    /// 200 when it is nought.
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    /// Further lines of the head, each with its end.
    pub(crate) head: String,
    /// After so many bytes of the body it waits until it is let go on.
    pub(crate) waits: Option<usize>,
    /// After so many bytes of the body the connection ends, at this many requests.
    pub(crate) cut: Option<(usize, usize)>,
    /// No length is told, and no end but that of the connection.
    pub(crate) without_length: bool,
    /// The body comes in chunks, without a length.
    pub(crate) chunked: bool,
}

impl Page {
    pub(crate) fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::default()
        }
    }

    pub(crate) fn tagged(self, tag: &str) -> Self {
        Self {
            etag: Some(format!("\"{tag}\"")),
            ..self
        }
    }
}

struct State {
    page: Mutex<Page>,
    asked: Mutex<Vec<String>>,
    go: Semaphore,
}

/// The server; it ends when it is dropped.
pub(crate) struct Upstream {
    pub(crate) url: String,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn new(page: Page) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            page: Mutex::new(page),
            asked: Mutex::default(),
            go: Semaphore::new(0),
        });
        let task = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let state = Arc::clone(&state);
                    // A client that goes away is no fault of the server's.
                    tokio::spawn(async move { answer(stream, &state).await.ok() });
                }
            }
        });
        Self { url, state, task }
    }

    /// Answers otherwise from now on.
    pub(crate) fn change(&self, page: Page) {
        *self.state.page.lock().unwrap() = page;
    }

    /// Lets one answer that waits go on.
    pub(crate) fn go(&self) {
        self.state.go.add_permits(1);
    }

    /// What was asked for so far: the heads of requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The machine is switched off.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let count = {
        let mut asked = state.asked.lock().unwrap();
        asked.push(head.clone());
        asked.len()
    };
    let page = state.page.lock().unwrap().clone();
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let etag = page.etag.as_ref().map(|tag| tag.to_ascii_lowercase());
    let tag = page
        .etag
        .as_ref()
        .map_or_else(String::new, |tag| format!("ETag: {tag}\r\n"));
    if etag.is_some() && header("if-none-match:") == etag {
        let text = format!("HTTP/1.1 304 Not Modified\r\n{tag}Connection: close\r\n\r\n");
        return stream.write_all(text.as_bytes()).await;
    }
    let from = header("range:")
        .filter(|_| etag.is_some() && header("if-range:") == etag)
        .and_then(|range| {
            let from = range.strip_prefix("bytes=")?.strip_suffix('-')?;
            from.parse::<usize>().ok()
        });
    let total = page.body.len();
    let body = page.body.get(from.unwrap_or(0)..).unwrap_or_default();
    let status = match (from, page.status) {
        (Some(_), _) => 206,
        (None, 0) => 200,
        (None, status) => status,
    };
    let mut text = format!(
        "HTTP/1.1 {status} Whatever\r\nConnection: close\r\n{tag}{}",
        page.head
    );
    if page.chunked {
        text.push_str("Transfer-Encoding: chunked\r\n");
    } else if !page.without_length {
        let _ = write!(text, "Content-Length: {}\r\n", body.len());
    }
    if let Some(from) = from {
        let _ = write!(
            text,
            "Content-Range: bytes {from}-{}/{total}\r\n",
            total - 1
        );
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    let cut = page
        .cut
        .filter(|(_, requests)| count <= *requests)
        .map_or(body.len(), |(at, _)| at.min(body.len()));
    let pause = page.waits.unwrap_or(cut).min(cut);
    put(&mut stream, &body[..pause], page.chunked).await?;
    if page.waits.is_some() {
        state.go.acquire().await.unwrap().forget();
    }
    put(&mut stream, &body[pause..cut], page.chunked).await?;
    if page.chunked && cut == body.len() {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    stream.shutdown().await
}

async fn put(stream: &mut TcpStream, bytes: &[u8], chunked: bool) -> std::io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if chunked {
        stream
            .write_all(format!("{:x}\r\n", bytes.len()).as_bytes())
            .await?;
    }
    stream.write_all(bytes).await?;
    if chunked {
        stream.write_all(b"\r\n").await?;
    }
    stream.flush().await
}
