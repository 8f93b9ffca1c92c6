//! Reads the captures, edits them, and shows replies as text.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use bootwright::decide::dhcp::{Decision, Outcome};
use bootwright::wire::dhcp::options::encapsulated;

/// Where the captures are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packets/captures")
}

/// The bytes of one capture.
pub(crate) fn capture(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(
        text.starts_with("# "),
        "{name}: no word of where it came from"
    );
    read_hex(&text).unwrap_or_else(|| panic!("{name}: no hexadecimal text"))
}

/// Bytes in hexadecimal, without lines that begin with `#`.
pub(crate) fn read_hex(text: &str) -> Option<Vec<u8>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}

/// A message taken apart so that a test can change it in a way that can be read.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The header with its cookie.
    pub(crate) header: Vec<u8>,
    /// The options in order.
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Message {
    pub(crate) fn of(name: &str) -> Self {
        Self::read(&capture(name))
    }

    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self {
            header: bytes[..240].to_vec(),
            options: encapsulated(&bytes[240..])
                .map(|(code, data)| (code, data.to_vec()))
                .collect(),
        }
    }

    /// Without this option.
    pub(crate) fn without(mut self, code: u8) -> Self {
        self.options.retain(|(other, _)| *other != code);
        self
    }

    /// With this option, in place of one of the same code or at the end.
    pub(crate) fn with(mut self, code: u8, data: &[u8]) -> Self {
        match self.options.iter_mut().find(|(other, _)| *other == code) {
            Some((_, old)) => *old = data.to_vec(),
            None => self.options.push((code, data.to_vec())),
        }
        self
    }

    pub(crate) fn with_ip(self, code: u8, address: &str) -> Self {
        let address: Ipv4Addr = address.parse().expect("an address");
        self.with(code, &address.octets())
    }

    /// With bytes of the header changed.
    pub(crate) fn header(mut self, at: usize, bytes: &[u8]) -> Self {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// As a relay agent passes it on.
    pub(crate) fn relayed(self, giaddr: &str) -> Self {
        let giaddr: Ipv4Addr = giaddr.parse().expect("an address");
        self.header(3, &[1]).header(24, &giaddr.octets())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        for (code, data) in &self.options {
            bytes.push(*code);
            bytes.push(u8::try_from(data.len()).expect("a short option"));
            bytes.extend_from_slice(data);
        }
        bytes.push(255);
        bytes
    }
}

/// A decision as text: what an event would tell, and the reply as it stands on the wire.
pub(crate) fn show(decision: &Decision) -> String {
    let mut text = format!(
        "{} ({}) {}\n{}\n",
        decision.kind,
        decision.reason,
        decision.stage.as_str(),
        decision.detail.as_deref().unwrap_or("-"),
    );
    if let Outcome::Send {
        payload, to, from, ..
    } = &decision.outcome
    {
        let _ = writeln!(text, "{from} -> {to:?}");
        text.push_str(&show_reply(payload));
    }
    text
}

/// The bytes of a reply as text, in their own order.
fn show_reply(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes\n", bytes.len());
    let ip = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let _ = writeln!(
        text,
        "op {} htype {} hlen {} hops {} xid {} secs {} flags {}",
        bytes[0],
        bytes[1],
        bytes[2],
        bytes[3],
        hex(&bytes[4..8]),
        hex(&bytes[8..10]),
        hex(&bytes[10..12]),
    );
    let _ = writeln!(
        text,
        "ciaddr {} yiaddr {} siaddr {} giaddr {}",
        ip(12),
        ip(16),
        ip(20),
        ip(24)
    );
    let _ = writeln!(text, "chaddr {}", hex(&bytes[28..44]));
    for (name, range) in [("sname", 44..108), ("file", 108..236)] {
        let field = &bytes[range];
        let end = field
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(field.len());
        let _ = writeln!(text, "{name} {}", String::from_utf8_lossy(&field[..end]));
    }
    for (code, data) in encapsulated(&bytes[240..]) {
        let _ = writeln!(text, "{code:3} {}", show_option(code, data));
    }
    text
}

fn show_option(code: u8, data: &[u8]) -> String {
    match code {
        1 | 3 | 6 | 28 | 42 | 54 => data
            .chunks_exact(4)
            .map(|ip| Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).to_string())
            .collect::<Vec<_>>()
            .join(" "),
        51 | 58 | 59 => data
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            .to_string(),
        12 | 15 | 56 | 60 | 66 | 67 => format!("{:?}", String::from_utf8_lossy(data)),
        _ => hex(data),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes in hexadecimal, 16 on a line; lines of zeros are left out.
pub(crate) fn dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        if line.iter().any(|byte| *byte != 0) {
            let _ = writeln!(text, "{:04x} {}", at * 16, hex(line));
        }
    }
    let _ = writeln!(text, "{} bytes", bytes.len());
    text
}
