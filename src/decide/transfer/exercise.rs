//! One transfer under any packets: what the fuzz target and the test of its seeds run.

use std::time::Duration;

use super::{Caps, End, FIRST_SENDS, Terms, Transfer};
use crate::wire::tftp::{Options, Packet, Request};

const CAPS: Caps = Caps {
    blksize: 1_468,
    windowsize: 16,
};

/// Reads the first datagram of `bytes` as a request, serves it, and gives the transfer the others. A datagram is two
/// bytes of length, one that says how much later it comes, and its own. The error is a sentence that names the
/// property that does not hold.
pub fn transfer(bytes: &[u8]) -> Result<(), String> {
    let mut rest = bytes;
    let options = match datagram(&mut rest).map(|(_, bytes)| Packet::read(bytes)) {
        Some(Ok(Packet::Read(Request { options, .. }))) => options,
        _ => Options::default(),
    };
    let size = bytes.len() * 20;
    let terms = Terms::agree(&options, CAPS, u64::try_from(size).ok());
    let mut it = Transfer::new(terms, Duration::ZERO);
    it.supply(&vec![7; size]);
    it.supply(&[]);
    let mut now = Duration::ZERO;
    let mut run = Run::default();
    run.sends(&mut it, now)?;
    while let Some((later, packet)) = datagram(&mut rest) {
        now += Duration::from_millis(u64::from(later) * 4);
        it.on_time(now);
        run.sends(&mut it, now)?;
        it.on_packet(now, packet);
        run.sends(&mut it, now)?;
        if it.end() == Some(&End::Done) && it.acknowledged() != u64::try_from(size).unwrap_or(0) {
            return Err(format!("done after {} of {size} bytes", it.acknowledged()));
        }
    }
    // The client falls silent for good.
    let silent = now;
    while let Some(due) = it.poll_timeout() {
        now = now.max(due);
        it.on_time(now);
        run.sends(&mut it, now)?;
        if now > silent + Duration::from_secs(70) {
            return Err("it does not end".to_owned());
        }
    }
    if it.end().is_none() {
        return Err("it waits for nothing".to_owned());
    }
    Ok(())
}

/// What was sent so far.
#[derive(Default)]
struct Run {
    unheard: u32,
}

impl Run {
    fn sends(&mut self, it: &mut Transfer, now: Duration) -> Result<(), String> {
        let mut out = Vec::new();
        while let Some(batch) = it.poll_transmit(now, &mut out) {
            if it.end().is_some() {
                return Err("packets after the end".to_owned());
            }
            for packet in out.chunks(batch.segment.max(1)) {
                if !matches!(
                    Packet::read(packet),
                    Ok(Packet::Data(..) | Packet::Oack(_) | Packet::Error(..))
                ) {
                    return Err("no packet of a server".to_owned());
                }
                self.unheard += u32::from(!it.is_heard());
            }
            out.clear();
        }
        if self.unheard > FIRST_SENDS {
            return Err(format!("{} packets to nobody", self.unheard));
        }
        Ok(())
    }
}

/// The next datagram, and how much later it comes.
fn datagram<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let ([high, low, later], tail) = rest.split_first_chunk::<3>()?;
    let len = usize::from(u16::from_be_bytes([*high, *low])).min(tail.len());
    let (bytes, tail) = tail.split_at_checked(len)?;
    *rest = tail;
    Some((*later, bytes))
}
