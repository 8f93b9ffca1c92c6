//! HTTP clients, any number of connections in one thread: each has an address of its own and asks again and again.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::common::figures::quantile;
use crate::common::http::{self, Answer, Body, Step};
use crate::common::setup::machine;

/// What one connection asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub path: String,
    pub expected: Body,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub done: u64,
    /// Bytes of bodies, of unfinished ones too.
    pub bytes: u64,
    /// Connections that the server has closed.
    pub closed: u64,
    pub took: Duration,
    times: Vec<f64>,
    /// What came that must not.
    pub fault: Option<String>,
}

impl Outcome {
    /// Answers in one second.
    pub fn answers(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    /// MB/s.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// Milliseconds.
    pub fn quantile(&mut self, part: f64) -> f64 {
        quantile(&mut self.times, part) * 1e3
    }
}

struct Client<'a> {
    stream: TcpStream,
    ask: &'a Ask,
    request: Vec<u8>,
    answer: Answer,
    is_asked: bool,
    begun: Instant,
}

/// Asks by one connection for each of these for so long.
pub fn run(server: SocketAddr, asks: &[Ask], lasting: Duration) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1_024);
    let mut outcome = Outcome::default();
    let open = |number: usize, poll: &Poll| {
        let address = machine(u32::try_from(number).unwrap_or_default());
        let mut stream = http::connect(address, server)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(number), both)?;
        Ok::<_, io::Error>(stream)
    };
    let begun = Instant::now();
    let mut clients = Vec::new();
    for (number, ask) in asks.iter().enumerate() {
        clients.push(Client {
            stream: open(number, &poll)?,
            ask,
            request: http::request(server, &ask.path),
            answer: Answer::new(ask.expected.clone()),
            is_asked: false,
            begun: Instant::now(),
        });
    }
    let mut buffer = vec![0; 256 << 10];
    let until = begun + lasting;
    while outcome.fault.is_none() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match poll.poll(&mut events, Some(left)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            let number = event.token().0;
            let client = &mut clients[number];
            if !client.is_asked && event.is_writable() {
                client.is_asked = true;
                client.begun = Instant::now();
                client.stream.write_all(&client.request)?;
            }
            if client.is_asked
                && event.is_readable()
                && client.take(&mut buffer, until, &mut outcome)?
            {
                outcome.closed += 1;
                client.stream = open(number, &poll)?;
                client.is_asked = false;
                client.answer = Answer::new(client.ask.expected.clone());
            }
        }
    }
    outcome.took = begun.elapsed();
    Ok(outcome)
}

impl Client<'_> {
    /// Takes in what is there, and asks again where an answer is whole; whether the server has closed the connection.
    fn take(
        &mut self,
        buffer: &mut [u8],
        until: Instant,
        outcome: &mut Outcome,
    ) -> io::Result<bool> {
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => return Ok(true),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
                Err(error) => return Err(error),
            };
            let before = self.answer.bytes();
            let step = self.answer.on_bytes(&buffer[..len]);
            outcome.bytes += (self.answer.bytes() - before) as u64;
            match step {
                Step::Wait => {}
                Step::Wrong(what) => {
                    outcome.fault = Some(format!("{}: {what}", self.ask.path));
                    return Ok(false);
                }
                Step::Done => {
                    outcome.done += 1;
                    outcome.times.push(self.begun.elapsed().as_secs_f64());
                    self.answer = Answer::new(self.ask.expected.clone());
                    self.begun = Instant::now();
                    if self.begun >= until {
                        return Ok(false);
                    }
                    self.stream.write_all(&self.request)?;
                }
            }
            // The rest is told by another event.
            if len < buffer.len() {
                return Ok(false);
            }
        }
    }
}
