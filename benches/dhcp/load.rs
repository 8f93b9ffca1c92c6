//! The load generator: one thread, one socket, any number of handshakes under way, every reply checked.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use crate::common::packet::{self, ACK, Asking, DISCOVER, OFFER, REQUEST, Reply, Template, Way};
use crate::common::setup::{self, RELAY, SERVER};

/// A machine that is not answered for so long has lost its packet and begins anew.
const PATIENCE: Duration = Duration::from_secs(1);

/// Room for handshakes under way; a power of two, so that an xid tells its place.
const PLACES: usize = 1 << 18;

/// Sends and receives as a relay agent.
pub struct Load {
    socket: UdpSocket,
    way: Way,
    discover: Template,
    request: Template,
    hosts: u32,
    under_way: Vec<Handshake>,
    waiting: VecDeque<(Instant, u32)>,
    next_xid: u32,
    next_host: u64,
    buffer: [u8; 2048],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Discovered,
    Requested,
}

#[derive(Clone, Copy)]
struct Handshake {
    xid: u32,
    host: u32,
    step: Step,
    begun: Instant,
}

/// What a load has met.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Handshakes (or offers, of a burst) that were finished.
    pub done: u64,
    /// Those that were begun and not answered in time.
    pub dropped: u64,
    /// Replies that are wrong.
    pub wrong: u64,
    /// What is wrong with them, with counts.
    pub faults: BTreeMap<&'static str, u64>,
    /// For how long it was measured.
    pub took: Duration,
    latencies: Vec<Duration>,
}

impl Outcome {
    /// Handshakes in one second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.took.as_secs_f64()
    }

    /// The latency, in microseconds, below which this part of the handshakes stayed.
    pub fn quantile(&mut self, part: f64) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        let at = (part * last as f64).ceil() as usize;
        self.latencies
            .get(at)
            .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    }

    fn fault(&mut self, what: &'static str) {
        self.wrong += 1;
        *self.faults.entry(what).or_default() += 1;
    }
}

/// What became of a changed reservation.
#[derive(Debug)]
pub struct Change {
    /// From the order to the first offer of the new address.
    pub in_force: Option<Duration>,
    /// The longest time without an answer to anybody, until a while after that.
    pub silence: Duration,
    /// Replies that are wrong.
    pub wrong: u64,
}

impl Load {
    pub fn new(hosts: u32, way: Way) -> io::Result<Self> {
        let socket = match way {
            Way::Relay => UdpSocket::bind(SocketAddrV4::new(RELAY, 67))?,
            Way::Direct => UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68))?,
        };
        // Its own losses would be taken for the server's.
        setsockopt(&socket, sockopt::RcvBufForce, &(256 << 20))?;
        setsockopt(&socket, sockopt::SndBufForce, &(64 << 20))?;
        match way {
            Way::Relay => socket.connect(SocketAddrV4::new(SERVER, 67))?,
            // Not connected: what is broadcast would not be heard.
            Way::Direct => {
                setsockopt(&socket, sockopt::BindToDevice, &setup::LOAD_IFACE.into())?;
                socket.set_broadcast(true)?;
            }
        }
        socket.set_nonblocking(true)?;
        let nothing = Handshake {
            xid: 0,
            host: 0,
            step: Step::Nothing,
            begun: Instant::now(),
        };
        Ok(Self {
            socket,
            way,
            discover: Template::new(DISCOVER, way, Asking::Firmware),
            request: Template::new(REQUEST, way, Asking::Firmware),
            hosts,
            under_way: vec![nothing; PLACES],
            waiting: VecDeque::new(),
            next_xid: 1,
            next_host: 0,
            buffer: [0; 2048],
        })
    }

    /// So many machines, each of which begins anew when it has its address.
    pub fn closed(&mut self, outstanding: usize, lasting: Duration) -> io::Result<Outcome> {
        self.forget()?;
        let mut outcome = Outcome::default();
        let begun = Instant::now();
        let end = begun + lasting;
        for _ in 0..outstanding {
            self.begin(Instant::now())?;
        }
        loop {
            let mut finished = self.receive(&mut outcome)?;
            let now = Instant::now();
            if now >= end {
                break;
            }
            finished += self.give_up(now, &mut outcome);
            for _ in 0..finished {
                self.begin(Instant::now())?;
            }
        }
        outcome.took = begun.elapsed();
        // Those under way at the end are neither finished nor lost.
        Ok(outcome)
    }

    /// So many machines a second, whether the others are answered or not. Latency counts from the time at
    /// which a machine was due, so that a server which is behind cannot hide it.
    pub fn open(&mut self, per_second: u32, lasting: Duration) -> io::Result<Outcome> {
        self.forget()?;
        let mut outcome = Outcome::default();
        let begun = Instant::now();
        let every = Duration::from_secs(1) / per_second;
        let mut due = begun;
        let end = begun + lasting;
        loop {
            let now = Instant::now();
            while due <= now && due < end {
                self.begin(due)?;
                due += every;
            }
            self.receive(&mut outcome)?;
            self.give_up(now, &mut outcome);
            if due < end {
                self.rest(due)?;
            }
            if due >= end && self.waiting.is_empty() {
                break;
            }
        }
        outcome.took = lasting;
        Ok(outcome)
    }

    /// So many DISCOVERs as fast as they can be sent, each of another machine where there are enough;
    /// counts the offers.
    pub fn burst(&mut self, count: u32) -> io::Result<Outcome> {
        self.forget()?;
        let mut outcome = Outcome::default();
        let begun = Instant::now();
        for _ in 0..count {
            self.begin(Instant::now())?;
        }
        let mut last = Instant::now();
        while outcome.done < u64::from(count) && last.elapsed() < PATIENCE {
            if let Some(reply) = self.next(&mut outcome)? {
                let place = Self::place(reply.xid);
                let one = self.under_way[place];
                if one.step == Step::Discovered && Self::is_for(&one, &reply, OFFER) {
                    self.under_way[place].step = Step::Nothing;
                    last = Instant::now();
                    outcome.done += 1;
                    outcome.latencies.push(one.begun.elapsed());
                } else {
                    outcome.fault("an answer to nobody");
                }
            }
        }
        outcome.took = last - begun;
        outcome.dropped = u64::from(count) - outcome.done;
        Ok(outcome)
    }

    /// Asks each millisecond until somebody answers.
    pub fn first_answer(
        &mut self,
        since: Instant,
        patience: Duration,
    ) -> io::Result<Option<Duration>> {
        let mut outcome = Outcome::default();
        while since.elapsed() < patience {
            let xid = self.next_xid;
            self.next_xid = xid.wrapping_add(1).max(1);
            let _ = send(&self.socket, self.way, self.discover.fill(xid, 0));
            let until = Instant::now() + Duration::from_millis(1);
            while Instant::now() < until {
                if self.next(&mut outcome)?.is_some() {
                    return Ok(Some(since.elapsed()));
                }
            }
        }
        Ok(None)
    }

    /// Asks each millisecond, one time for the machine whose reservation changes, the other for another;
    /// `order` makes the change be taken up, at the time that counts.
    pub fn change(
        &mut self,
        order: impl FnOnce() -> io::Result<()>,
        patience: Duration,
    ) -> io::Result<Change> {
        self.forget()?;
        let mut outcome = Outcome::default();
        let mut in_force = None;
        let mut silence = Duration::ZERO;
        let mut order = Some(order);
        let begun = Instant::now();
        let warm = begun + Duration::from_millis(200);
        let mut ordered = warm;
        let mut end = warm + patience;
        let mut last_answer = begun;
        let mut due = begun;
        let mut turn = 0_u32;
        while Instant::now() < end {
            let now = Instant::now();
            if now >= warm
                && let Some(order) = order.take()
            {
                // Before: dhcpd is stopped by it and silent from then on.
                ordered = Instant::now();
                order()?;
            }
            if due <= Instant::now() {
                due = now + Duration::from_millis(1);
                turn = turn.wrapping_add(1);
                let host = if turn.is_multiple_of(2) {
                    0
                } else {
                    1 + turn % (self.hosts - 1)
                };
                let xid = self.next_xid;
                self.next_xid = xid.wrapping_add(1).max(1);
                let _ = send(&self.socket, self.way, self.discover.fill(xid, host));
            }
            self.rest(due)?;
            while let Some(reply) = self.next(&mut outcome)? {
                let now = Instant::now();
                if order.is_none() {
                    silence = silence.max(now - last_answer.max(ordered));
                }
                last_answer = now;
                let is_first = reply.chaddr == packet::mac(0);
                if is_first && reply.yiaddr == packet::MOVED {
                    if in_force.is_none() {
                        in_force = Some(now - ordered);
                        end = now + Duration::from_millis(500);
                    }
                } else if is_first && in_force.is_some() {
                    // A reply that was under way when the change took effect is none.
                    if now - ordered > in_force.unwrap_or_default() + Duration::from_millis(5) {
                        outcome.fault("the old address after the new one");
                    }
                }
            }
        }
        silence = silence.max(last_answer.max(ordered).elapsed());
        Ok(Change {
            in_force,
            silence,
            wrong: outcome.wrong,
        })
    }

    /// Sleeps until something comes, at most until shortly before this time. One that never sleeps is
    /// stopped by the kernel for 50 ms of each second (`SCHED_RR`), which would stand in the latencies.
    fn rest(&self, until: Instant) -> io::Result<()> {
        const WAKING: Duration = Duration::from_micros(30);
        let left = until.saturating_duration_since(Instant::now());
        let Some(left) = left.checked_sub(WAKING) else {
            return Ok(());
        };
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut sockets, Some(TimeSpec::from(left)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn place(xid: u32) -> usize {
        xid as usize & (PLACES - 1)
    }

    /// Waits until nothing of the load before comes any more.
    fn forget(&mut self) -> io::Result<()> {
        self.waiting.clear();
        for one in &mut self.under_way {
            one.step = Step::Nothing;
        }
        let mut quiet = Instant::now();
        let most = Instant::now() + Duration::from_secs(20);
        while quiet.elapsed() < Duration::from_millis(100) && Instant::now() < most {
            match self.socket.recv(&mut self.buffer) {
                Ok(_) => quiet = Instant::now(),
                Err(error) if is_nothing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Machines come in an order without a pattern: neighbours in the file are none in time.
    fn begin(&mut self, due: Instant) -> io::Result<()> {
        // A step that has no divisor in common with any of the sizes.
        let host = (self.next_host.wrapping_mul(61_813) % u64::from(self.hosts)) as u32;
        self.next_host += 1;
        let xid = self.next_xid;
        self.next_xid = xid.wrapping_add(1).max(1);
        let place = Self::place(xid);
        self.under_way[place] = Handshake {
            xid,
            host,
            step: Step::Discovered,
            begun: due,
        };
        self.waiting.push_back((due + PATIENCE, xid));
        send(&self.socket, self.way, self.discover.fill(xid, host))
    }

    /// Takes in what has come, at most some of it; how many handshakes were finished.
    fn receive(&mut self, outcome: &mut Outcome) -> io::Result<usize> {
        let mut finished = 0;
        for _ in 0..32 {
            let Some(reply) = self.next(outcome)? else {
                break;
            };
            let place = Self::place(reply.xid);
            let one = self.under_way[place];
            match one.step {
                Step::Discovered if Self::is_for(&one, &reply, OFFER) => {
                    self.under_way[place].step = Step::Requested;
                    send(&self.socket, self.way, self.request.fill(one.xid, one.host))?;
                }
                Step::Requested if Self::is_for(&one, &reply, ACK) => {
                    self.under_way[place].step = Step::Nothing;
                    outcome.done += 1;
                    outcome.latencies.push(one.begun.elapsed());
                    finished += 1;
                }
                // The answer to one that was given up.
                Step::Nothing => {}
                _ => outcome.fault("another address, machine or message type"),
            }
        }
        Ok(finished)
    }

    fn is_for(one: &Handshake, reply: &Reply, message_type: u8) -> bool {
        one.xid == reply.xid
            && reply.message_type == message_type
            && reply.chaddr == packet::mac(one.host)
            && reply.yiaddr == packet::address(one.host)
    }

    /// Those that waited too long.
    fn give_up(&mut self, now: Instant, outcome: &mut Outcome) -> usize {
        let mut lost = 0;
        while let Some((until, xid)) = self.waiting.front().copied() {
            let place = Self::place(xid);
            let one = &mut self.under_way[place];
            let over = one.xid != xid || one.step == Step::Nothing;
            if !over && until > now {
                break;
            }
            self.waiting.pop_front();
            if !over {
                one.step = Step::Nothing;
                lost += 1;
            }
        }
        outcome.dropped += lost as u64;
        lost
    }

    fn next(&mut self, outcome: &mut Outcome) -> io::Result<Option<Reply>> {
        loop {
            match self.socket.recv(&mut self.buffer) {
                Ok(len) => match packet::read(&self.buffer[..len], self.way) {
                    Ok(reply) => return Ok(Some(reply)),
                    Err(what) => outcome.fault(what),
                },
                Err(error) if is_nothing(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// Refused: nobody listens yet, or any more.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

/// A full queue of the interface's loses what was sent, as a network would.
fn send(socket: &UdpSocket, way: Way, bytes: &[u8]) -> io::Result<()> {
    let sent = match way {
        Way::Relay => socket.send(bytes),
        Way::Direct => socket.send_to(bytes, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67)),
    };
    match sent {
        Ok(_) => Ok(()),
        Err(error) if is_nothing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}
