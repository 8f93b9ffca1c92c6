//! One TFTP transfer from the server's side, as a state machine: packets and the time go in, packets and the next
//! deadline come out.
//!
//! Whoever drives it does so in this order: [`Transfer::on_packet`] for what came, [`Transfer::on_time`] when
//! [`Transfer::poll_timeout`] has passed, [`Transfer::supply`] for what [`Transfer::wants`], [`Transfer::poll_transmit`]
//! until it has no more, and [`Transfer::end`].
//!
//! What it does beyond RFC 1350 and 7440:
//!
//! - The time before something is repeated comes from the measured round trip (RFC 6298), 50 ms at least, and doubles
//!   with each repetition.
//! - An acknowledgement inside a window says where the gap is: the window is sent again from there at once.
//! - One that repeats the last one sends nothing in lockstep (the Sorcerer's Apprentice, RFC 1123 section 4.2.3.1). With
//!   a window it may say that the window's first block was lost: it is believed once, and only when it can be an
//!   answer to what was sent. Clients that answer each block behind a gap are noticed and believed later.
//!
//! **Invariant:** before the client has acknowledged anything, at most [`FIRST_SENDS`] packets are sent, so that forged
//! requests gain nothing. Without new acknowledgements it ends within [`PATIENCE`] (or five of the client's own time-outs).

pub mod exercise;
pub mod round_trip;

use std::sync::Arc;
use std::time::Duration;

use self::round_trip::RoundTrip;
use crate::wire::tftp::{self, ErrorCode, HEADER, Options, Packet, USUAL_BLKSIZE};

/// How often the first packet is sent, at 0, 0.5, 1.5 and 3.5 s.
pub const FIRST_SENDS: u32 = 4;

/// Silence after which a client that has acknowledged something is given up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The longest `timeout` that is granted, in seconds: nobody may hold a transfer for minutes.
pub const MAX_TIMEOUT: u8 = 10;

/// A client's own time-outs that are waited for.
const OWN_TIMEOUTS: u32 = 5;

/// Most bytes and most packets of one [`Batch`]: what the kernel takes in one call with `UDP_SEGMENT`.
const MAX_BATCH: usize = 64_000;
const MAX_SEGMENTS: usize = 64;

/// Bytes that are held ready at least, where blocks and windows are small.
const MIN_READY: usize = 24 * 1_024;

/// What a client may have at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Bytes in a block: what fits the path in one piece.
    pub blksize: u16,
    /// Blocks in a window.
    pub windowsize: u16,
}

/// What both sides go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Bytes in a block.
    pub blksize: u16,
    /// Blocks in a window.
    pub windowsize: u16,
    /// Seconds before something is repeated, where the client asked for that.
    pub timeout: Option<u8>,
    /// What is told the client; empty: nothing, and the first block comes at once.
    pub granted: Options,
}

impl Terms {
    /// What is granted of what was asked for. `size` is the file's where it is known.
    pub fn agree(asked: &Options, caps: Caps, size: Option<u64>) -> Self {
        let blksize = asked
            .blksize
            .map(|n| n.min(caps.blksize.max(tftp::MIN_BLKSIZE)));
        let windowsize = asked.windowsize.map(|n| n.min(caps.windowsize.max(1)));
        let timeout = asked.timeout.filter(|secs| *secs <= MAX_TIMEOUT);
        Self {
            blksize: blksize.unwrap_or(USUAL_BLKSIZE),
            windowsize: windowsize.unwrap_or(1),
            timeout,
            granted: Options {
                blksize,
                timeout,
                tsize: asked.tsize.and(size),
                windowsize,
            },
        }
    }
}

/// How a transfer has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The client has acknowledged the last block.
    Done,
    /// It has ended the transfer once it had been told the size.
    Probed,
    /// It has ended the transfer with this error.
    Aborted(ErrorCode, String),
    /// It fell silent.
    Silent,
    /// Its port was closed.
    Gone,
    /// The server has ended it ([`Transfer::fail`]).
    Failed,
}

/// Packets that can be sent in one call: all of `segment` bytes, but for the last one, which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Bytes in each packet.
    pub segment: usize,
    /// How many there are.
    pub packets: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The options are not acknowledged yet.
    Options,
    /// Blocks are sent.
    Blocks,
}

/// One transfer. Times are since any moment that its driver has chosen.
#[derive(Debug)]
pub struct Transfer {
    terms: Terms,
    phase: Phase,
    end: Option<End>,
    /// An ERROR that is to be sent before the end.
    farewell: Option<(ErrorCode, String)>,
    /// The options are to be sent, now or again.
    options_due: bool,

    /// The first block that is not acknowledged; they are counted from 1 and not by 16 bits.
    base: u64,
    /// The block to be sent next.
    next: u64,
    /// The last block that was ever sent.
    sent: u64,
    /// Bytes of the file from `base` on, behind `head` bytes that are done with.
    data: Vec<u8>,
    /// The whole file, where it lies in memory for all who are sent it; `data` is empty then.
    shared: Option<Arc<Box<[u8]>>>,
    head: usize,
    /// The file ends where `data` ends.
    is_whole: bool,

    round_trip: RoundTrip,
    /// When something was sent last.
    sent_at: Duration,
    /// When something new was acknowledged last, or when the first packet behind that was sent.
    moved_at: Duration,
    /// When to repeat; `None` while nothing is under way.
    due: Option<Duration>,
    /// What is under way was sent once only, so that its round trip can be measured.
    is_fresh: bool,
    /// How often was repeated since something new was acknowledged.
    repeats: u32,
    /// Something was acknowledged.
    heard: bool,
    /// An acknowledgement that said nothing new has come since the last whole window.
    is_noisy: bool,
    /// The same since the window that is under way was begun.
    was_repeated_to: bool,
    resent: u64,
    acknowledged: u64,
    /// Put down at the end, where the data goes.
    sent_out: Option<u64>,
}

impl Transfer {
    /// On these terms. `now` is when the first packet will be sent.
    pub fn new(terms: Terms, now: Duration) -> Self {
        let is_plain = terms.granted.is_empty();
        Self {
            terms,
            phase: if is_plain {
                Phase::Blocks
            } else {
                Phase::Options
            },
            end: None,
            farewell: None,
            options_due: !is_plain,
            base: 1,
            next: 1,
            sent: 0,
            data: Vec::new(),
            shared: None,
            head: 0,
            is_whole: false,
            round_trip: RoundTrip::new(terms.timeout),
            sent_at: now,
            moved_at: now,
            due: None,
            is_fresh: true,
            repeats: 0,
            heard: false,
            is_noisy: false,
            was_repeated_to: false,
            resent: 0,
            acknowledged: 0,
            sent_out: None,
        }
    }

    /// The terms it goes by.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Bytes of a block.
    fn block(&self) -> usize {
        usize::from(self.terms.blksize)
    }

    fn window(&self) -> u64 {
        u64::from(self.terms.windowsize)
    }

    /// Bytes from `base` on that are here.
    fn ready(&self) -> usize {
        self.here().len().saturating_sub(self.head)
    }

    /// Bytes that are here, those that are done with included.
    fn here(&self) -> &[u8] {
        self.shared.as_ref().map_or(self.data.as_slice(), |file| &***file)
    }

    /// The client has agreed to the options, or there are none: a script may be made for it.
    pub fn is_agreed(&self) -> bool {
        self.phase == Phase::Blocks
    }

    /// Whether anything was acknowledged: the client is there.
    pub const fn is_heard(&self) -> bool {
        self.heard
    }

    /// How it has ended; `None` while it runs, and as long as an ERROR is still to be sent.
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref().filter(|_| self.farewell.is_none())
    }

    /// Bytes that the client has acknowledged.
    pub const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Packets that were sent more than once.
    pub const fn resent(&self) -> u64 {
        self.resent
    }

    /// The whole file's bytes where the client most likely has it: all were sent, and of these it has acknowledged
    /// some, which takes more than the options.
    pub fn presumed_whole(&self) -> Option<u64> {
        self.sent_out().filter(|_| self.acknowledged > 0)
    }

    /// The whole file's bytes once all have been sent, with or without an acknowledgement.
    fn sent_out(&self) -> Option<u64> {
        let size = || self.acknowledged + u64::try_from(self.ready()).unwrap_or_default();
        let all = || {
            self.last()
                .filter(|last| self.sent >= *last)
                .map(|_| size())
        };
        self.sent_out.or_else(all)
    }

    /// The block whose acknowledgement is waited for.
    pub const fn awaited(&self) -> u64 {
        self.base
    }

    /// How many more bytes of the file it takes: a whole window, or some blocks in lockstep, once what is here is less
    /// than a window. Nothing is read ahead: what the system has read ahead is here in a moment, and a thousand
    /// transfers shall not hold twice what they send.
    pub fn wants(&self) -> usize {
        let window = self.block() * usize::from(self.terms.windowsize);
        if self.is_whole || self.end.is_some() || self.ready() >= window {
            return 0;
        }
        window.max(MIN_READY).saturating_sub(self.ready())
    }

    /// Takes bytes of the file, in order; none: the file has ended.
    pub fn supply(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            self.is_whole = true;
            return;
        }
        self.make_room(bytes.len());
        self.data.extend_from_slice(bytes);
    }

    /// The same, of bytes that are read to where they belong: as many as it wants at most. None read: the file has ended.
    pub fn supply_with<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<(), E> {
        let wants = self.wants();
        self.make_room(wants);
        let at = self.data.len();
        self.data.resize(at + wants, 0);
        let result = read(self.data.get_mut(at..).unwrap_or_default());
        let count = *result.as_ref().unwrap_or(&0);
        self.data.truncate(at + count.min(wants));
        self.is_whole |= matches!(result, Ok(0));
        result.map(|_| ())
    }

    /// The same, of the whole file at once, before any other bytes: it is held once for all transfers of it.
    pub fn supply_whole(&mut self, file: Arc<Box<[u8]>>) {
        self.shared = Some(file);
        self.is_whole = true;
    }

    fn make_room(&mut self, more: usize) {
        if self.head > 0 && self.head >= self.ready() {
            self.data.drain(..self.head);
            self.head = 0;
        }
        self.data.reserve_exact(more);
    }

    /// Ends it with an ERROR.
    pub fn fail(&mut self, code: ErrorCode, text: &str) {
        if self.end.is_none() {
            self.end = Some(End::Failed);
            self.farewell = Some((code, text.to_owned()));
            self.due = None;
        }
    }

    /// The system says that nobody listens at the client's port.
    pub fn on_refused(&mut self) {
        let end = if self.told_size_only() {
            End::Probed
        } else {
            End::Gone
        };
        self.finish(end);
    }

    /// The client was told the size and has not said that it wants the file.
    pub fn told_size_only(&self) -> bool {
        self.phase == Phase::Options && self.terms.granted.tsize.is_some()
    }

    fn finish(&mut self, end: End) {
        if self.end.is_none() {
            self.sent_out = self.sent_out();
            self.end = Some(end);
            self.due = None;
            self.data = Vec::new();
            self.shared = None;
            self.head = 0;
        }
    }

    /// The last block, once it is known.
    fn last(&self) -> Option<u64> {
        let blocks = u64::try_from(self.ready() / self.block().max(1)).ok()?;
        self.is_whole.then_some(self.base + blocks)
    }

    /// Takes a packet from the client's port.
    pub fn on_packet(&mut self, now: Duration, bytes: &[u8]) {
        if self.end.is_some() {
            return;
        }
        match Packet::read(bytes) {
            Ok(Packet::Ack(number)) => self.on_ack(now, number),
            Ok(Packet::Error(code, text)) => {
                let end = if self.told_size_only() {
                    End::Probed
                } else {
                    End::Aborted(code, words(text))
                };
                self.finish(end);
            }
            // Answering what makes no sense would answer forged packets.
            _ => {}
        }
    }

    fn on_ack(&mut self, now: Duration, number: u16) {
        if self.phase == Phase::Options {
            if number == 0 && !self.options_due {
                self.measure(now);
                self.phase = Phase::Blocks;
                self.moved(now);
                self.is_fresh = true;
                self.due = None;
            }
            return;
        }
        let before = self.base - 1;
        // By 16 bits: block numbers roll over, and a window is far smaller.
        let ahead = u64::from(number.wrapping_sub(low_bits(before)));
        if ahead == 0 {
            self.on_repeated_ack(now);
        } else if ahead <= self.sent.saturating_sub(before) {
            self.on_new_ack(now, ahead);
        }
    }

    /// Blocks were acknowledged that had not been.
    fn on_new_ack(&mut self, now: Duration, blocks: u64) {
        let last = self.last();
        let is_whole_window = self.base + blocks > self.sent;
        if is_whole_window {
            self.measure(now);
        }
        let bytes = usize::try_from(blocks).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_mul(self.block()).min(self.ready());
        self.head += bytes;
        self.acknowledged += u64::try_from(bytes).unwrap_or_default();
        self.base += blocks;
        self.next = self.next.max(self.base);
        let was_repeated = self.repeats > 0;
        self.moved(now);
        if last.is_some_and(|last| self.base > last) {
            self.finish(End::Done);
            return;
        }
        if is_whole_window {
            self.is_noisy = self.was_repeated_to;
            self.was_repeated_to = false;
            self.is_fresh = true;
            self.due = None;
            return;
        }
        // A gap behind what was acknowledged. After a time-out it may also be the late answer to what was sent first.
        let can_be_believed = !was_repeated && !self.is_noisy;
        if can_be_believed || self.is_old_enough(now) {
            self.send_again();
        } else {
            self.arm(now);
        }
    }

    /// The last acknowledgement once more: a copy of it, or a gap at the window's beginning.
    fn on_repeated_ack(&mut self, now: Duration) {
        if self.terms.windowsize == 1 || self.sent < self.base {
            return;
        }
        let is_gap = self.sent_at < now
            && self.next > self.base
            && if self.is_noisy || self.was_repeated_to || self.repeats > 0 {
                self.is_old_enough(now)
            } else {
                now.saturating_sub(self.sent_at) >= self.round_trip.least() / 2
            };
        self.was_repeated_to = true;
        self.is_noisy = true;
        if is_gap {
            self.send_again();
        }
    }

    /// Whatever answers what was sent before the last packets would be here by now.
    fn is_old_enough(&self, now: Duration) -> bool {
        now.saturating_sub(self.sent_at) >= self.round_trip.before_repeating() / 2
    }

    fn measure(&mut self, now: Duration) {
        if self.is_fresh {
            self.round_trip.measured(now.saturating_sub(self.sent_at));
        }
    }

    fn moved(&mut self, now: Duration) {
        self.heard = true;
        self.moved_at = now;
        self.repeats = 0;
        self.round_trip.moved();
    }

    /// Goes back to the first block that is not acknowledged.
    fn send_again(&mut self) {
        self.next = self.base;
        self.is_fresh = false;
        self.due = None;
    }

    fn arm(&mut self, now: Duration) {
        self.due = Some(now.saturating_add(self.round_trip.before_repeating()));
    }

    /// When [`Self::on_time`] is to be called.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.due.filter(|_| self.end.is_none())
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Duration) {
        if self.end.is_some() || self.due.is_none_or(|due| due > now) {
            return;
        }
        let silent = now.saturating_sub(self.moved_at);
        let over = if self.heard {
            silent >= self.patience()
        } else {
            self.repeats + 1 >= FIRST_SENDS
        };
        if over {
            self.finish(End::Silent);
            return;
        }
        self.repeats += 1;
        self.round_trip.back_off();
        match self.phase {
            Phase::Options => {
                self.options_due = true;
                self.is_fresh = false;
                self.due = None;
            }
            Phase::Blocks => self.send_again(),
        }
    }

    fn patience(&self) -> Duration {
        let own = self.terms.timeout.map_or(0, u64::from);
        PATIENCE.max(Duration::from_secs(own) * OWN_TIMEOUTS)
    }

    /// Appends the packets that are to be sent now; `None`: nothing is, for now.
    pub fn poll_transmit(&mut self, now: Duration, to: &mut Vec<u8>) -> Option<Batch> {
        let start = to.len();
        if let Some((code, text)) = self.farewell.take() {
            Packet::Error(code, text.as_bytes()).write(to);
            return Some(Batch {
                segment: to.len() - start,
                packets: 1,
            });
        }
        if self.end.is_some() {
            return None;
        }
        let batch = if self.options_due {
            self.options_due = false;
            self.resent += u64::from(self.repeats > 0);
            Packet::Oack(self.terms.granted).write(to);
            Batch {
                segment: to.len() - start,
                packets: 1,
            }
        } else {
            // So long it was the file that was waited for, and not the client.
            let was_idle = self.sent < self.base;
            let batch = self.blocks(to)?;
            if was_idle {
                self.moved_at = now;
            }
            batch
        };
        self.sent_at = now;
        self.arm(now);
        Some(batch)
    }

    /// Appends the blocks that can be sent.
    fn blocks(&mut self, to: &mut Vec<u8>) -> Option<Batch> {
        if self.phase != Phase::Blocks {
            return None;
        }
        let (size, start) = (self.block(), to.len());
        let segment = size + HEADER;
        let most = (MAX_BATCH / segment).clamp(1, MAX_SEGMENTS);
        let mut packets = 0;
        while packets < most && self.next < self.base + self.window() {
            let at = usize::try_from(self.next - self.base).ok()?;
            let at = self.head + at * size;
            let here = self.shared.as_ref().map_or(self.data.as_slice(), |file| &***file);
            let left = here.get(at..).unwrap_or_default();
            let is_last = left.len() < size;
            if is_last && (!self.is_whole || at > here.len()) {
                break;
            }
            to.extend(tftp::data_header(low_bits(self.next)));
            to.extend_from_slice(left.get(..size).unwrap_or(left));
            self.resent += u64::from(self.next <= self.sent);
            self.sent = self.sent.max(self.next);
            self.next += 1;
            packets += 1;
            if is_last {
                break;
            }
        }
        debug_assert!(to.len() - start <= packets * segment);
        (packets > 0).then_some(Batch { segment, packets })
    }
}

/// A block's number on the wire: 65,535 is followed by 0.
fn low_bits(block: u64) -> u16 {
    let [.., a, b] = block.to_be_bytes();
    u16::from_be_bytes([a, b])
}

/// A client's text, fit to be shown.
fn words(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = text.chars().take(120);
    shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod link;
#[cfg(test)]
mod tests;
