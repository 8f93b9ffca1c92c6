//! A small HTTP server that behaves as badly as it is told.

use std::collections::HashMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// One file of a server.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) etag: Option<String>,
    /// Whether parts of it are given.
    pub(crate) ranges: bool,
    /// After so many bytes of the body the connection ends: one number for each request, first one first.
    pub(crate) cuts: Vec<usize>,
    /// After so many bytes nothing more comes.
    pub(crate) stalls: Option<usize>,
    pub(crate) location: Option<String>,
}

impl Page {
    pub(crate) fn new(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            status: 200,
            kind: "application/octet-stream",
            etag: None,
            ranges: true,
            cuts: Vec::new(),
            stalls: None,
            location: None,
        }
    }
}

/// One request as it came: the first line, and the headers in small letters.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
}

type Pages = Arc<Mutex<HashMap<String, Page>>>;

/// A server on a port of 127.0.0.1, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    pages: Pages,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pages = Pages::default();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (pages, asked, stop) = (pages.clone(), asked.clone(), stop.clone());
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let (pages, asked, stop) = (pages.clone(), asked.clone(), stop.clone());
                    std::thread::spawn(move || {
                        // A client that goes away is no fault of the server's.
                        let _ = answer(stream?, &pages, &asked, &stop);
                        Ok::<_, std::io::Error>(())
                    });
                }
            }
        });
        Self {
            address,
            pages,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(format!("/{path}"), page);
    }

    pub(crate) fn put_file(&self, path: &str, body: impl Into<Vec<u8>>) {
        self.put(path, Page::new(body));
    }

    /// What was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    /// How often a path was asked for since the last look.
    pub(crate) fn count(&self, path: &str) -> usize {
        let wanted = format!("GET /{path} ");
        let asked = self.asked();
        asked
            .iter()
            .filter(|asked| asked.line.starts_with(&wanted))
            .count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(
    stream: TcpStream,
    pages: &Pages,
    asked: &Mutex<Vec<Asked>>,
    stop: &AtomicBool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let request = read_head(&mut reader)?;
    let target = request.line.split(' ').nth(1).unwrap_or_default();
    if request.line.starts_with("CONNECT ") {
        asked.lock().unwrap().push(request.clone());
        return tunnel(stream, target);
    }
    // A proxy is asked for a whole URL.
    let path = target
        .strip_prefix("http://")
        .and_then(|rest| rest.find('/').map(|at| rest[at..].to_owned()))
        .unwrap_or_else(|| target.to_owned());
    asked.lock().unwrap().push(request.clone());
    let page = {
        let mut pages = pages.lock().unwrap();
        pages.get_mut(&path).map(|page| {
            let now = page.clone();
            if !page.cuts.is_empty() {
                page.cuts.remove(0);
            }
            now
        })
    };
    let mut out = stream;
    let Some(page) = page else {
        return out.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html>no such",
        );
    };
    let range = request
        .headers
        .get("range")
        .filter(|_| page.ranges)
        // Only the same file is gone on with.
        .filter(|_| match (request.headers.get("if-range"), &page.etag) {
            (Some(wanted), Some(etag)) => wanted == etag,
            (Some(_), None) => false,
            (None, _) => true,
        })
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
    let total = page.body.len();
    let (status, body, extra) = match range {
        Some(from) if from >= total => (
            416,
            Vec::new(),
            format!("Content-Range: bytes */{total}\r\n"),
        ),
        Some(from) => (
            206,
            page.body[from..].to_vec(),
            format!("Content-Range: bytes {from}-{}/{total}\r\n", total - 1),
        ),
        None => (page.status, page.body.clone(), String::new()),
    };
    let etag = page
        .etag
        .as_ref()
        .map_or_else(String::new, |etag| format!("ETag: {etag}\r\n"));
    let location = page
        .location
        .as_ref()
        .map_or_else(String::new, |to| format!("Location: {to}\r\n"));
    write!(
        out,
        "HTTP/1.1 {status} Whatever\r\nContent-Type: {}\r\nContent-Length: {}\r\n{etag}{location}{extra}Connection: close\r\n\r\n",
        page.kind,
        body.len()
    )?;
    let cut = page.cuts.first().copied().or(page.stalls);
    out.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
    if page.stalls.is_some() {
        // Until the client has had enough, or the test is over.
        let mut rest = [0; 1];
        out.set_read_timeout(Some(Duration::from_millis(50)))?;
        while !stop.load(Ordering::SeqCst) {
            match reader.get_mut().read(&mut rest) {
                Ok(0) => break,
                Err(error)
                    if !matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// What a proxy does for HTTPS.
fn tunnel(mut client: TcpStream, target: &str) -> std::io::Result<()> {
    let Ok(mut server) = TcpStream::connect(target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    };
    client.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let there = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = there.join();
    Ok(())
}

fn read_head(reader: &mut impl std::io::BufRead) -> std::io::Result<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Asked {
        line: line.trim_end().to_owned(),
        headers,
    })
}
