//! A TFTP client without a socket: what it sends for what it has heard. It checks every byte.
//!
//! As RFC 7440 and RFC 1123 have it: in a window a gap is told once, in lockstep a repeated block is acknowledged
//! again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bootwright::wire::tftp::{Mode, Options, Packet, Request};

/// How long a client waits before it asks for something again.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// How often in a row it does.
const PATIENCE: u32 = 8;

/// What is fetched, and how.
#[derive(Debug, Clone)]
pub struct Want {
    /// What it must be.
    pub file: Arc<Vec<u8>>,
    request: Arc<Vec<u8>>,
}

impl Want {
    /// `blksize` 512 and `windowsize` 1 are not asked for: they are so without.
    pub fn new(name: &str, file: Arc<Vec<u8>>, blksize: u16, windowsize: u16, tsize: bool) -> Self {
        let options = Options {
            blksize: (blksize != 512).then_some(blksize),
            windowsize: (windowsize != 1).then_some(windowsize),
            tsize: tsize.then_some(0),
            ..Options::default()
        };
        let request = Packet::Read(Request {
            name: name.as_bytes(),
            mode: Mode::Octet,
            options,
        });
        Self {
            file,
            request: Arc::new(request.bytes()),
        }
    }

    pub fn request(&self) -> &[u8] {
        &self.request
    }
}

/// What comes of a packet, or of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be done.
    Wait,
    /// What was put down is to be sent: to the server's port, or to the one that it answers from.
    Send,
    /// The file has come; what was put down is to be sent.
    Done,
    /// It will not come: the server's ERROR, or its silence.
    Failed(String),
    /// Something came that must not.
    Wrong(String),
}

/// One transfer.
#[derive(Debug)]
pub struct Fetch {
    want: Want,
    peer: Option<SocketAddr>,
    blksize: usize,
    windowsize: u32,
    at: usize,
    block: u16,
    in_window: u32,
    told: bool,
    timeouts: u32,
}

impl Fetch {
    pub fn new(want: &Want) -> Self {
        Self {
            want: want.clone(),
            peer: None,
            blksize: 512,
            windowsize: 1,
            at: 0,
            block: 0,
            in_window: 0,
            told: false,
            timeouts: 0,
        }
    }

    /// From where the server answers.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Bytes that have come in order.
    pub fn bytes(&self) -> usize {
        self.at
    }

    fn acknowledge(&mut self, out: &mut Vec<u8>) -> Step {
        out.clear();
        self.in_window = 0;
        Packet::Ack(self.block).write(out);
        Step::Send
    }

    /// Nothing has come for [`TIMEOUT`].
    pub fn on_time(&mut self, out: &mut Vec<u8>) -> Step {
        self.timeouts += 1;
        if self.timeouts > PATIENCE {
            return Step::Failed("no answer".to_owned());
        }
        if self.peer.is_some() {
            return self.acknowledge(out);
        }
        out.clear();
        out.extend_from_slice(&self.want.request);
        Step::Send
    }

    /// Takes a packet.
    pub fn on_packet(&mut self, from: SocketAddr, bytes: &[u8], out: &mut Vec<u8>) -> Step {
        if *self.peer.get_or_insert(from) != from {
            return Step::Wait;
        }
        match Packet::read(bytes) {
            Ok(Packet::Oack(granted)) if self.at == 0 && self.block == 0 => {
                self.blksize = granted.blksize.map_or(512, usize::from);
                self.windowsize = granted.windowsize.map_or(1, u32::from);
                if granted
                    .tsize
                    .is_some_and(|size| size != self.want.file.len() as u64)
                {
                    return Step::Wrong(format!("it tells a size of {:?}", granted.tsize));
                }
                self.acknowledge(out)
            }
            Ok(Packet::Data(number, bytes)) if number == self.block.wrapping_add(1) => {
                if self.want.file.get(self.at..self.at + bytes.len()) != Some(bytes) {
                    return Step::Wrong(format!("other bytes at {}", self.at));
                }
                self.at += bytes.len();
                self.block = number;
                self.in_window += 1;
                self.told = false;
                self.timeouts = 0;
                let is_last = bytes.len() < self.blksize;
                if is_last && self.at != self.want.file.len() {
                    return Step::Wrong(format!("{} bytes of {}", self.at, self.want.file.len()));
                }
                if is_last {
                    self.acknowledge(out);
                    return Step::Done;
                }
                if self.in_window >= self.windowsize {
                    return self.acknowledge(out);
                }
                Step::Wait
            }
            Ok(Packet::Data(..)) if self.windowsize == 1 || !self.told => {
                self.told = true;
                self.acknowledge(out)
            }
            Ok(Packet::Error(_, text)) => Step::Failed(String::from_utf8_lossy(text).into_owned()),
            _ => Step::Wait,
        }
    }
}
