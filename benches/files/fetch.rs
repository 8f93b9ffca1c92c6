//! TFTP clients, any number of them in one thread: each has an address of its own and fetches one file again and again.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::common::figures::quantile;
use crate::common::random::Random;
use crate::common::setup::machine;
use crate::common::tftp::{Fetch, Step, TIMEOUT, Want};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Load {
    pub server: SocketAddr,
    pub want: Want,
    pub clients: u32,
    /// Packets in ten thousand that are lost, each way.
    pub loss: u32,
    /// Packets in ten thousand that come twice, each way.
    pub twice: u32,
    pub lasting: Duration,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Bytes that came in order, of unfinished files too.
    pub bytes: u64,
    pub done: u64,
    pub failed: u64,
    /// Why, and how often.
    pub reasons: BTreeMap<String, u64>,
    pub took: Duration,
    /// Seconds of each file; of those that were under way at the end, so far.
    times: Vec<f64>,
    /// What came that must not.
    pub fault: Option<String>,
}

impl Outcome {
    /// MB/s.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// Milliseconds.
    pub fn quantile(&mut self, part: f64) -> f64 {
        quantile(&mut self.times, part) * 1e3
    }
}

struct Client {
    socket: UdpSocket,
    fetch: Fetch,
    random: Random,
    begun: Instant,
    /// When it asks again.
    due: Instant,
}

impl Client {
    fn open(number: u32, poll: &Poll) -> io::Result<UdpSocket> {
        let socket = std::net::UdpSocket::bind((machine(number), 0))?;
        socket.set_nonblocking(true)?;
        let mut socket = UdpSocket::from_std(socket);
        let token = Token(number as usize);
        poll.registry()
            .register(&mut socket, token, Interest::READABLE)?;
        Ok(socket)
    }

    fn send(&mut self, load: &Load, bytes: &[u8]) {
        let to = self.fetch.peer().unwrap_or(load.server);
        if self.random.happens(load.loss) {
            return;
        }
        // What cannot be sent is lost like any packet.
        let _ = self.socket.send_to(bytes, to);
        if self.random.happens(load.twice) {
            let _ = self.socket.send_to(bytes, to);
        }
    }
}

/// Fetches with all clients at once for so long.
pub fn run(load: &Load) -> io::Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1_024);
    let mut outcome = Outcome::default();
    let mut clients = Vec::new();
    let mut timers = BinaryHeap::new();
    let begun = Instant::now();
    let until = begun + load.lasting;
    for number in 0..load.clients {
        let now = Instant::now();
        let mut client = Client {
            socket: Client::open(number, &poll)?,
            fetch: Fetch::new(&load.want),
            random: Random(u64::from(number)),
            begun: now,
            due: now + TIMEOUT,
        };
        client.send(load, load.want.request());
        timers.push(Reverse((client.due, number)));
        clients.push(client);
    }
    let mut buffer = [0; 2_048];
    let mut out = Vec::new();
    loop {
        let now = Instant::now();
        if now >= until || outcome.fault.is_some() {
            break;
        }
        while let Some(Reverse((at, number))) = timers.peek().copied() {
            if at > now {
                break;
            }
            timers.pop();
            let client = &mut clients[number as usize];
            if client.due <= now {
                client.due = now + TIMEOUT;
                let step = client.fetch.on_time(&mut out);
                act(load, &poll, client, number, step, &out, &mut outcome)?;
            }
            timers.push(Reverse((client.due, number)));
        }
        let next = timers
            .peek()
            .map_or(until, |Reverse((at, _))| until.min(*at));
        match poll.poll(
            &mut events,
            Some(next.saturating_duration_since(Instant::now())),
        ) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            let number = u32::try_from(event.token().0).map_err(io::Error::other)?;
            let client = &mut clients[number as usize];
            while let Ok((len, from)) = client.socket.recv_from(&mut buffer) {
                if client.random.happens(load.loss) {
                    continue;
                }
                let times = 1 + u32::from(client.random.happens(load.twice));
                for _ in 0..times {
                    let before = client.fetch.bytes();
                    let step = client.fetch.on_packet(from, &buffer[..len], &mut out);
                    outcome.bytes += (client.fetch.bytes() - before) as u64;
                    if step != Step::Wait {
                        client.due = Instant::now() + TIMEOUT;
                    }
                    let is_over = matches!(step, Step::Done | Step::Failed(_));
                    act(load, &poll, client, number, step, &out, &mut outcome)?;
                    if is_over {
                        break;
                    }
                }
            }
        }
    }
    outcome.took = begun.elapsed();
    for client in &mut clients {
        outcome.times.push(client.begun.elapsed().as_secs_f64());
        if let Some(peer) = client.fetch.peer() {
            // The server need not go on.
            let _ = client.socket.send_to(b"\0\x05\0\0over\0", peer);
        }
    }
    Ok(outcome)
}

fn act(
    load: &Load,
    poll: &Poll,
    client: &mut Client,
    number: u32,
    step: Step,
    out: &[u8],
    outcome: &mut Outcome,
) -> io::Result<()> {
    match step {
        Step::Wait => return Ok(()),
        Step::Send => {
            client.send(load, out);
            return Ok(());
        }
        Step::Wrong(what) => {
            outcome.fault = Some(what);
            return Ok(());
        }
        Step::Done => {
            client.send(load, out);
            outcome.done += 1;
        }
        Step::Failed(why) => {
            outcome.failed += 1;
            *outcome.reasons.entry(why).or_default() += 1;
        }
    }
    outcome.times.push(client.begun.elapsed().as_secs_f64());
    client.socket = Client::open(number, poll)?;
    client.fetch = Fetch::new(&load.want);
    client.begun = Instant::now();
    client.due = client.begun + TIMEOUT;
    client.send(load, load.want.request());
    Ok(())
}

/// How many packets still come after an ERROR from the client: at once after its options were acknowledged, as ROMs
/// do that want to know the size, and in the middle of the file.
pub fn after_error(server: SocketAddr, want: &Want, lasting: Duration) -> io::Result<u64> {
    let sockets = [0, 1].map(|number| std::net::UdpSocket::bind((machine(number), 0)));
    let mut late = 0;
    let mut buffer = [0; 2_048];
    let mut peers = Vec::new();
    let sockets: Vec<_> = sockets.into_iter().collect::<io::Result<_>>()?;
    for (number, socket) in sockets.iter().enumerate() {
        socket.set_read_timeout(Some(Duration::from_secs(3)))?;
        socket.send_to(want.request(), server)?;
        let mut fetch = Fetch::new(want);
        let mut out = Vec::new();
        // The first asks for nothing but the options, the other for some blocks.
        for _ in 0..=number * 3 {
            let (len, from) = socket.recv_from(&mut buffer)?;
            if number > 0 && fetch.on_packet(from, &buffer[..len], &mut out) == Step::Send {
                socket.send_to(&out, from)?;
            }
            if peers.len() == number {
                peers.push(from);
            }
        }
        socket.send_to(b"\0\x05\0\x08over\0", peers[number])?;
    }
    // What was under way when the ERROR was sent does not count.
    std::thread::sleep(Duration::from_millis(100));
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        while socket.recv_from(&mut buffer).is_ok() {}
    }
    std::thread::sleep(lasting);
    for socket in &sockets {
        while socket.recv_from(&mut buffer).is_ok() {
            late += 1;
        }
    }
    Ok(late)
}
