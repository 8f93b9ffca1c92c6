//! A link that loses, repeats, delays and reorders, with a client at its other end: time is a number here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Caps, End, Terms, Transfer};
use crate::wire::tftp::{Mode, Options, Packet, Request, USUAL_BLKSIZE};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// SplitMix64.
#[derive(Debug, Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    fn permille(&mut self, chance: u64) -> bool {
        self.below(1_000) < chance
    }
}

/// What the link does to packets, each way; chances in a thousand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub(super) loss: u64,
    pub(super) copies: u64,
    /// One way, in microseconds.
    pub(super) delay: u64,
    /// Up to so many microseconds more: packets overtake each other.
    pub(super) jitter: u64,
}

impl Weather {
    pub(super) const FAIR: Self = Self {
        loss: 0,
        copies: 0,
        delay: 100,
        jitter: 0,
    };
}

/// How the client behaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Habits {
    pub(super) options: Options,
    /// It answers each packet that is out of order, and not only the first one.
    pub(super) chatty: bool,
    /// Its own time-out.
    pub(super) timeout: Duration,
    /// How often in a row it bears it.
    pub(super) patience: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    Server,
    Client,
}

/// The client's side.
#[derive(Debug)]
struct Client {
    habits: Habits,
    request: Vec<u8>,
    agreed: bool,
    blksize: usize,
    windowsize: u64,
    got: Vec<u8>,
    /// Blocks taken in order.
    taken: u64,
    in_window: u64,
    /// A gap was told, and nothing in order has come since.
    told: bool,
    done: bool,
    gave_up: bool,
    timeouts: u32,
    due: Duration,
}

impl Client {
    fn new(habits: Habits) -> Self {
        let request = Packet::Read(Request {
            name: b"file",
            mode: Mode::Octet,
            options: habits.options,
        });
        Self {
            habits,
            request: request.bytes(),
            agreed: false,
            blksize: usize::from(USUAL_BLKSIZE),
            windowsize: 1,
            got: Vec::new(),
            taken: 0,
            in_window: 0,
            told: false,
            done: false,
            gave_up: false,
            timeouts: 0,
            due: habits.timeout,
        }
    }

    fn ack(&self) -> Vec<u8> {
        Packet::Ack(super::low_bits(self.taken)).bytes()
    }

    fn on_time(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.gave_up || now < self.due {
            return None;
        }
        self.timeouts += 1;
        self.due = now + self.habits.timeout;
        if self.done || self.timeouts > self.habits.patience {
            self.gave_up = true;
            return None;
        }
        self.in_window = 0;
        Some(if self.agreed {
            self.ack()
        } else {
            self.request.clone()
        })
    }

    fn on_packet(&mut self, now: Duration, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.gave_up {
            return None;
        }
        match Packet::read(bytes).expect("a packet of the server") {
            Packet::Oack(granted) => {
                if self.taken > 0 {
                    return None;
                }
                self.agreed = true;
                self.blksize = granted.blksize.map_or(512, usize::from);
                self.windowsize = granted.windowsize.map_or(1, u64::from);
                self.progress(now);
                Some(self.ack())
            }
            Packet::Data(number, bytes) => {
                self.agreed = true;
                if self.done {
                    // It lingers to repeat its last acknowledgement.
                    return Some(self.ack());
                }
                if number != super::low_bits(self.taken + 1) {
                    let tell = self.habits.chatty || !self.told;
                    self.told = true;
                    self.in_window = 0;
                    return tell.then(|| self.ack());
                }
                assert!(bytes.len() <= self.blksize, "a block too long");
                self.progress(now);
                self.taken += 1;
                self.in_window += 1;
                self.told = false;
                self.got.extend_from_slice(bytes);
                self.done = bytes.len() < self.blksize;
                if self.done || self.in_window >= self.windowsize {
                    self.in_window = 0;
                    return Some(self.ack());
                }
                None
            }
            other => panic!("the server says {other:?}"),
        }
    }

    fn progress(&mut self, now: Duration) {
        self.timeouts = 0;
        self.due = now + self.habits.timeout;
    }
}

/// What came of a transfer.
#[derive(Debug)]
pub(super) struct Came {
    pub(super) got: Vec<u8>,
    pub(super) done: bool,
    pub(super) server: Option<End>,
    /// When the last of the two had ended, the client's lingering left out.
    pub(super) took: Duration,
    /// Packets that the server sent.
    pub(super) sent: u64,
    /// How many of them it says it sent again.
    pub(super) resent: u64,
    pub(super) acknowledged: u64,
}

/// When it arrives, which one it is, where to, and its bytes.
type Flying = Reverse<(Duration, u64, To, Vec<u8>)>;

struct Link {
    weather: Weather,
    random: Random,
    queue: BinaryHeap<Flying>,
    count: u64,
}

impl Link {
    fn send(&mut self, now: Duration, to: To, bytes: &[u8]) {
        let copies = 1 + u64::from(self.random.permille(self.weather.copies));
        for _ in 0..copies {
            if self.random.permille(self.weather.loss) {
                continue;
            }
            let jitter = self.random.below(self.weather.jitter + 1);
            let at = now + Duration::from_micros(self.weather.delay + jitter);
            self.count += 1;
            self.queue
                .push(Reverse((at, self.count, to, bytes.to_vec())));
        }
    }
}

/// Longer than any transfer may take here.
pub(super) const BOUND: Duration = Duration::from_secs(3_600);

/// Fetches a file over the link.
pub(super) fn fetch(file: &[u8], habits: Habits, caps: Caps, weather: Weather, seed: u64) -> Came {
    let mut random = Random(seed);
    let mut parts = Random(random.next());
    let mut link = Link {
        weather,
        random,
        queue: BinaryHeap::new(),
        count: 0,
    };
    let mut client = Client::new(habits);
    let mut server: Option<Transfer> = None;
    let (mut given, mut sent) = (0, 0);
    let mut now = ms(0);
    let mut took = ms(0);
    link.send(now, To::Server, &client.request.clone());
    let mut buffer = Vec::new();
    loop {
        if let Some(transfer) = &mut server {
            transfer.on_time(now);
            while transfer.wants() > 0 {
                let most = 1 + parts.below(9_000);
                let most = usize::try_from(most).expect("small").min(transfer.wants());
                let part = &file[given..file.len().min(given + most)];
                given += part.len();
                transfer.supply(part);
            }
            buffer.clear();
            while let Some(batch) = transfer.poll_transmit(now, &mut buffer) {
                assert_eq!(buffer.chunks(batch.segment).count(), batch.packets);
                for packet in buffer.chunks(batch.segment) {
                    sent += 1;
                    link.send(now, To::Client, packet);
                }
                buffer.clear();
            }
        }
        let due = server.as_ref().and_then(Transfer::poll_timeout);
        let ended = server.as_ref().is_none_or(|server| server.end().is_some());
        if ended && (client.done || client.gave_up) {
            break;
        }
        took = now;
        let arrives = link.queue.peek().map(|Reverse((at, ..))| *at);
        let own = (!client.gave_up).then_some(client.due);
        let Some(next) = [due, arrives, own].into_iter().flatten().min() else {
            panic!("nothing will ever happen again: {server:?}");
        };
        assert!(next >= now, "a deadline in the past");
        assert!(next < BOUND, "it does not end");
        now = next;
        if let Some(packet) = client.on_time(now) {
            link.send(now, To::Server, &packet);
        }
        while let Some(Reverse((at, ..))) = link.queue.peek()
            && *at <= now
        {
            let Some(Reverse((_, _, to, packet))) = link.queue.pop() else {
                break;
            };
            if to == To::Client {
                if let Some(answer) = client.on_packet(now, &packet) {
                    link.send(now, To::Server, &answer);
                }
            } else if let Ok(Packet::Read(asked)) = Packet::read(&packet) {
                let size = u64::try_from(file.len()).ok();
                let terms = Terms::agree(&asked.options, caps, size);
                // A second copy of the request gives no second transfer.
                server.get_or_insert_with(|| Transfer::new(terms, now));
            } else if let Some(transfer) = &mut server {
                transfer.on_packet(now, &packet);
            }
        }
    }
    Came {
        got: client.got,
        done: client.done,
        server: server.as_ref().and_then(|server| server.end().cloned()),
        took,
        sent,
        resent: server.as_ref().map_or(0, Transfer::resent),
        acknowledged: server.as_ref().map_or(0, Transfer::acknowledged),
    }
}
