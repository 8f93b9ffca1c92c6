//! An HTTP client without a socket: requests, and the checking of answers, byte for byte.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// What an answer must be.
#[derive(Debug, Clone)]
pub enum Body {
    /// These bytes.
    Same(Arc<Vec<u8>>),
    /// Whatever has these words in it.
    With(Vec<String>),
}

/// What comes of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// There is more to come.
    Wait,
    /// The answer is here.
    Done,
    /// Another status than 200, or bytes that must not be.
    Wrong(String),
}

/// One answer as it comes.
#[derive(Debug)]
pub struct Answer {
    expected: Body,
    /// The head as far as it has come, and the body where it is kept.
    kept: Vec<u8>,
    /// Bytes of the body, once the head is here.
    length: Option<usize>,
    at: usize,
}

/// The longest head.
const HEAD: usize = 8_192;

impl Answer {
    pub fn new(expected: Body) -> Self {
        Self {
            expected,
            kept: Vec::new(),
            length: None,
            at: 0,
        }
    }

    /// Bytes of the body so far.
    pub fn bytes(&self) -> usize {
        self.at
    }

    /// The body, where it was not compared as it came.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Takes what was received.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Step {
        if self.length.is_some() {
            return self.on_body(bytes);
        }
        // Mostly the head comes in one piece.
        let mut joined = std::mem::take(&mut self.kept);
        let whole: &[u8] = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let Some(end) = whole.windows(4).position(|four| four == b"\r\n\r\n") else {
            if whole.len() > HEAD {
                return Step::Wrong("a head without an end".to_owned());
            }
            self.kept = whole.to_vec();
            return Step::Wait;
        };
        let (head, body) = whole.split_at(end + 4);
        match length(head) {
            Ok(length) => self.length = Some(length),
            Err(why) => return Step::Wrong(why),
        }
        self.on_body(body)
    }

    fn on_body(&mut self, bytes: &[u8]) -> Step {
        let length = self.length.unwrap_or_default();
        match &self.expected {
            Body::Same(file) => {
                if file.len() != length || file.get(self.at..self.at + bytes.len()) != Some(bytes) {
                    return Step::Wrong(format!("other bytes at {} of {length}", self.at));
                }
            }
            Body::With(_) => self.kept.extend_from_slice(bytes),
        }
        self.at += bytes.len();
        if self.at < length {
            return Step::Wait;
        }
        if self.at > length {
            return Step::Wrong("more than was announced".to_owned());
        }
        if let Body::With(words) = &self.expected {
            let text = self.text();
            if let Some(word) = words.iter().find(|word| !text.contains(*word)) {
                return Step::Wrong(format!("there is no {word} in it"));
            }
        }
        Step::Done
    }
}

/// The length of the body; the error says what is wrong.
fn length(head: &[u8]) -> Result<usize, String> {
    let head = std::str::from_utf8(head).map_err(|error| error.to_string())?;
    let (status, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    if status.split(' ').nth(1) != Some("200") {
        return Err(format!("it says {status}"));
    }
    let length = fields.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    length.ok_or_else(|| "no content-length".to_owned())
}

/// A request, as iPXE writes it.
pub fn request(host: SocketAddr, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nConnection: keep-alive\r\nUser-Agent: iPXE/1.21.1\r\nHost: {host}\r\n\r\n"
    )
    .into_bytes()
}

/// Where an address leads: `http://1.2.3.4:80/path`.
pub fn split(url: &str) -> Option<(SocketAddr, &str)> {
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let address = match authority.split_once(':') {
        Some((host, port)) => (host.parse::<Ipv4Addr>().ok()?, port.parse().ok()?),
        None => (authority.parse::<Ipv4Addr>().ok()?, 80),
    };
    Some((address.into(), if path.is_empty() { "/" } else { path }))
}

/// A connection from this address, ready to be registered.
pub fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<mio::net::TcpStream> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(nix::errno::Errno::EINPROGRESS as i32) => {
            return Err(error);
        }
        _ => {}
    }
    Ok(mio::net::TcpStream::from_std(socket.into()))
}
