//! A minimal TFTP client (RFC 1350, 2347-2349, 7440), strict: what is out of order is a failure.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its own part of what is shared"
)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Longer than the server waits before it repeats, so that a client never gives up first.
const PATIENCE: Duration = Duration::from_secs(10);

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// A packet of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Block number and bytes.
    Data(u16, Vec<u8>),
    /// The options granted, in order.
    Oack(Vec<(String, String)>),
    /// Code and text.
    Error(u16, String),
}

/// One transfer of one client.
pub struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    /// The server's port of this transfer, once it has answered.
    transfer: Option<SocketAddr>,
}

/// A whole file.
#[derive(Debug, PartialEq, Eq)]
pub struct Got {
    pub bytes: Vec<u8>,
    pub options: Vec<(String, String)>,
    pub blocks: usize,
}

impl Client {
    /// A client at this address of the loopback.
    pub fn new(ip: Ipv4Addr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("patience");
        Self {
            socket,
            server,
            transfer: None,
        }
    }

    /// Asks for a file.
    pub fn ask(&mut self, name: &str, options: &[(&str, &str)]) {
        self.request(RRQ, name, "octet", options);
    }

    /// Asks to write a file.
    pub fn ask_to_write(&mut self, name: &str) {
        self.request(WRQ, name, "octet", &[]);
    }

    /// Asks in any mode.
    pub fn request(&mut self, code: u16, name: &str, mode: &str, options: &[(&str, &str)]) {
        let mut packet = code.to_be_bytes().to_vec();
        let words = options.iter().flat_map(|(name, value)| [*name, *value]);
        for word in [name, mode].into_iter().chain(words) {
            packet.extend_from_slice(word.as_bytes());
            packet.push(0);
        }
        self.transfer = None;
        self.socket.send_to(&packet, self.server).expect("send");
    }

    /// Sends any bytes to the port that requests go to.
    pub fn request_bytes(&mut self, bytes: &[u8]) {
        self.transfer = None;
        self.socket.send_to(bytes, self.server).expect("send");
    }

    /// The bytes of this block. The one before may come again: servers repeat what is not acknowledged in time.
    pub fn data(&mut self, block: u16) -> Vec<u8> {
        loop {
            match self.next() {
                Packet::Data(number, bytes) if number == block => return bytes,
                Packet::Data(number, _) if number.wrapping_add(1) == block => {}
                other => panic!("{other:?} instead of block {block}"),
            }
        }
    }

    /// The next packet; `None` when nothing comes within this time.
    pub fn next_within(&mut self, time: Duration) -> Option<Packet> {
        self.socket.set_read_timeout(Some(time)).expect("patience");
        let packet = self.read();
        self.socket
            .set_read_timeout(Some(PATIENCE))
            .expect("patience");
        packet
    }

    /// The next packet.
    pub fn next(&mut self) -> Packet {
        self.read().expect("an answer in time")
    }

    fn read(&mut self) -> Option<Packet> {
        let mut buf = vec![0; 66_000];
        let (len, from) = self.socket.recv_from(&mut buf).ok()?;
        assert_eq!(from.ip(), self.server.ip(), "answered from another address");
        assert_ne!(from, self.server, "a transfer has a port of its own");
        assert_eq!(*self.transfer.get_or_insert(from), from, "one port");
        let body = buf[2..len].to_vec();
        let number = || u16::from_be_bytes([body[0], body[1]]);
        Some(match u16::from_be_bytes([buf[0], buf[1]]) {
            DATA => Packet::Data(number(), body[2..].to_vec()),
            OACK => Packet::Oack(pairs(&body)),
            ERROR => Packet::Error(number(), text(&body[2..])),
            code => panic!("a packet of type {code}"),
        })
    }

    /// Acknowledges a block.
    pub fn ack(&self, block: u16) {
        self.send(ACK, &block.to_be_bytes());
    }

    /// Ends the transfer from this side.
    pub fn error(&self, code: u16, text: &str) {
        let body = [&code.to_be_bytes(), text.as_bytes(), &[0]].concat();
        self.send(ERROR, &body);
    }

    fn send(&self, code: u16, body: &[u8]) {
        let packet = [&code.to_be_bytes(), body].concat();
        let to = self.transfer.expect("the server has answered");
        self.socket.send_to(&packet, to).expect("send");
    }

    /// The server's port of this transfer.
    pub fn transfer(&self) -> SocketAddr {
        self.transfer.expect("the server has answered")
    }

    /// Fetches a whole file, acknowledging at the end of each window. The error is the server's.
    pub fn fetch(&mut self, name: &str, options: &[(&str, &str)]) -> Result<Got, (u16, String)> {
        self.ask(name, options);
        let mut got = Got {
            bytes: Vec::new(),
            options: Vec::new(),
            blocks: 0,
        };
        let mut packet = self.next();
        if let Packet::Oack(granted) = packet {
            got.options = granted;
            self.ack(0);
            packet = self.next();
        }
        let number = |name: &str| got.options.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let blksize: usize = number("blksize").map_or(512, |v| v.parse().expect("a number"));
        let windowsize: usize = number("windowsize").map_or(1, |v| v.parse().expect("a number"));
        let mut expected: u16 = 1;
        let mut in_window = 0;
        loop {
            match packet {
                Packet::Error(code, text) => return Err((code, text)),
                // Repeated, because this client was slow to answer it.
                Packet::Oack(_) if got.blocks == 0 => {}
                Packet::Oack(_) => panic!("an option acknowledgement among blocks"),
                Packet::Data(block, bytes) if block == expected => {
                    got.bytes.extend_from_slice(&bytes);
                    got.blocks += 1;
                    in_window += 1;
                    let last = bytes.len() < blksize;
                    if last || in_window == windowsize {
                        self.ack(block);
                        in_window = 0;
                    }
                    if last {
                        return Ok(got);
                    }
                    expected = expected.wrapping_add(1);
                }
                // Lost on the way or come twice: the server is told what was last in order.
                Packet::Data(..) => {
                    self.ack(expected.wrapping_sub(1));
                    in_window = 0;
                }
            }
            packet = self.next();
        }
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    let words: Vec<String> = bytes
        .split(|b| *b == 0)
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    words
        .chunks_exact(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect()
}
