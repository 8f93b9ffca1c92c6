//! Drives one transfer: what comes in, what the file gives, what goes out, and the time.

use std::fmt::Write as _;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Running;
use super::socket::Connected;
use crate::base::locked;
use crate::decide::transfer::{End, Transfer};
use crate::journal::event::Reason;
use crate::serve::tftp::body::Body;
use crate::serve::tftp::limits::{Stop, UNHEARD};
use crate::serve::tftp::outcome::{self, Outcome};
use crate::wire::tftp::{ErrorCode, netascii};

/// What a client sends is an acknowledgement or an error; longer texts are cut.
const LONGEST: usize = 600;

/// Packets taken one after the other before others have their turn.
const IN_A_ROW: u32 = 32;

/// One transfer and what it needs.
pub(super) struct Drive {
    pub(super) transfer: Transfer,
    pub(super) body: Box<Body>,
    pub(super) socket: Connected,
    pub(super) is_netascii: bool,
    pub(super) running: Arc<Running>,
    /// Where packets are put together.
    pub(super) out: Arc<Mutex<Vec<u8>>>,
}

/// What a transfer was woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Woken {
    Packet,
    Data,
    Time,
    Stop,
}

/// A timer that is only set anew when it is to ring earlier: it rings too early instead now and then, which costs less
/// than setting it with each packet.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
    at: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            at: None,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>, due: Option<Instant>) -> Poll<()> {
        let Some(due) = due else {
            return Poll::Pending;
        };
        if self.at.is_none_or(|at| at > due) {
            self.sleep.as_mut().reset(due);
            self.at = Some(due);
        }
        if self.sleep.as_mut().poll(cx).is_ready() {
            self.at = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// The bytes have to be waited for.
fn not_now() -> io::Result<usize> {
    Err(io::ErrorKind::WouldBlock.into())
}

impl Drive {
    /// Serves the client until the transfer has ended, and has its event say how.
    pub(super) async fn run(mut self: Box<Self>) {
        let mut stopped = pin!(self.running.holder.stop.clone().cancelled_owned());
        let mut alarm = Alarm::new();
        let mut trouble = None;
        let mut woken = Woken::Data;
        let mut in_a_row = 0;
        loop {
            let now = self.running.began.elapsed();
            let mut is_drained = true;
            match woken {
                Woken::Packet => is_drained = self.receive(now),
                Woken::Time => {
                    // What was left in the queue, so that nothing is repeated that was acknowledged.
                    for _ in 0..IN_A_ROW {
                        if self.receive(now) {
                            break;
                        }
                    }
                    if now >= UNHEARD && !self.transfer.is_heard() {
                        self.running.holder.note_silent();
                    }
                    self.transfer.on_time(now);
                }
                Woken::Data => {}
                Woken::Stop => {
                    let why = self.running.holder.why();
                    if why.is_none() {
                        self.transfer
                            .fail(ErrorCode::Undefined, "the server is stopping");
                        self.send(now).await.ok();
                    }
                    let outcome = self.stopped(why);
                    self.body.ended(outcome);
                    return;
                }
            }
            poll_fn(|cx| {
                self.poll_feed(cx);
                Poll::Ready(())
            })
            .await;
            // A packet that cannot be sent is lost as others are: it is repeated, and tried again.
            match self.send(now).await {
                // Whoever was answered now says the next word. Should there be another packet already, it is taken
                // with the next one or when it is time to repeat: looking for it costs as much as a packet.
                Ok(any) => is_drained |= any,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => self.refused(now),
                Err(error) => trouble = Some(error),
            }
            if let Some(end) = self.transfer.end().cloned() {
                let outcome = self.outcome(&end, trouble.as_ref());
                self.body.ended(outcome);
                return;
            }
            if !is_drained {
                in_a_row += 1;
                if in_a_row >= IN_A_ROW {
                    // Whoever sends faster than is taken stops neither the others nor the clock, and can be stopped.
                    in_a_row = 0;
                    woken = Woken::Time;
                    tokio::task::yield_now().await;
                }
                continue;
            }
            in_a_row = 0;
            let due = self.transfer.poll_timeout();
            let due = due.map(|due| Instant::from_std(self.running.began + due));
            woken = poll_fn(|cx| {
                if stopped.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Woken::Stop);
                }
                if self.socket.socket().poll_recv_ready(cx).is_ready() {
                    return Poll::Ready(Woken::Packet);
                }
                if self.poll_feed(cx) {
                    return Poll::Ready(Woken::Data);
                }
                alarm.poll(cx, due).map(|()| Woken::Time)
            })
            .await;
        }
    }

    /// Takes one packet; `false`: there may be another one. It is answered before the next is looked for.
    fn receive(&mut self, now: Duration) -> bool {
        let mut buffer = [0; LONGEST];
        match self.socket.receive(&mut buffer) {
            Ok(len) => {
                self.take(now, buffer.get(..len).unwrap_or_default());
                false
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    self.refused(now);
                }
                // Others say that a packet did not come through: it is repeated.
                false
            }
        }
    }

    fn take(&mut self, now: Duration, packet: &[u8]) {
        let before = self.transfer.acknowledged();
        self.transfer.on_packet(now, packet);
        self.note(now, before);
    }

    /// The client has closed its port. The system tells that before it gives what came earlier: its last
    /// acknowledgement may still wait there.
    fn refused(&mut self, now: Duration) {
        let mut buffer = [0; LONGEST];
        for _ in 0..IN_A_ROW {
            let Ok(len) = self.socket.receive(&mut buffer) else {
                break;
            };
            self.take(now, buffer.get(..len).unwrap_or_default());
        }
        self.transfer.on_refused();
    }

    /// Lets others see how far it is.
    fn note(&mut self, now: Duration, before: u64) {
        if self.transfer.is_heard() {
            self.running.holder.note_heard();
        }
        if self.transfer.acknowledged() > before {
            let moved = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            self.running.moved_ms.store(moved, Ordering::Relaxed);
            self.body.note_progress(self.transfer.acknowledged());
        }
    }

    /// Gives the transfer what it takes and the file has; whether there was anything.
    fn poll_feed(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut any = false;
        let mut turned = Vec::new();
        loop {
            let wants = self.transfer.wants();
            // A script is made for a client that wants it, and not for one that asks for its size.
            if wants == 0 || !(self.transfer.is_agreed() || self.body.is_file()) {
                return any;
            }
            if !self.is_netascii {
                let (transfer, body) = (&mut self.transfer, &mut self.body);
                match transfer.supply_with(|to| body.read_now(to).unwrap_or_else(not_now)) {
                    Ok(()) => {
                        any = true;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => {
                        self.transfer.fail(ErrorCode::Undefined, "transfer failed");
                        return true;
                    }
                }
            }
            match self.body.poll_part(cx, wants) {
                Poll::Pending => return any,
                Poll::Ready(Ok(part)) if self.is_netascii => {
                    turned.clear();
                    netascii::encode(part, &mut turned);
                    self.transfer.supply(&turned);
                }
                Poll::Ready(Ok(part)) => self.transfer.supply(part),
                Poll::Ready(Err(_)) => self.transfer.fail(ErrorCode::Undefined, "transfer failed"),
            }
            any = true;
        }
    }

    /// Sends what is to be sent; whether there was anything.
    async fn send(&mut self, now: Duration) -> io::Result<bool> {
        // All transfers put their packets down in the same place, unless one has to wait for its socket meanwhile.
        let mut out = std::mem::take(&mut *locked(&self.out));
        let mut sent = Ok(false);
        loop {
            out.clear();
            let Some(batch) = self.transfer.poll_transmit(now, &mut out) else {
                break;
            };
            sent = self.socket.send(&out, batch).await.map(|()| true);
            if sent.is_err() {
                break;
            }
        }
        *locked(&self.out) = out;
        sent
    }

    fn stopped(&self, why: Option<Stop>) -> Outcome {
        let bytes = self.transfer.acknowledged();
        match why {
            Some(Stop::AskedAnew | Stop::AskedForAnother) if self.transfer.told_size_only() => {
                outcome::aborted()
            }
            Some(stop @ (Stop::AskedAnew | Stop::AskedForAnother)) => {
                // Whoever has its file goes on to the next; what was lost is its last acknowledgement.
                let whole = self.transfer.presumed_whole();
                match whole.filter(|_| stop == Stop::AskedForAnother) {
                    Some(all) => outcome::sent(
                        all,
                        Some(
                            "the client asked for another file before its last acknowledgement came"
                                .to_owned(),
                        ),
                    ),
                    None => outcome::failed(
                        Reason::Aborted,
                        format!("the client asked anew from the same port after {bytes} bytes"),
                    ),
                }
            }
            Some(Stop::Evicted) => outcome::failed(
                Reason::Busy,
                "another request needed the place, and the client had not answered".to_owned(),
            ),
            None => outcome::failed(Reason::Incomplete, "the server stopped".to_owned()),
        }
    }

    fn outcome(&self, end: &End, trouble: Option<&io::Error>) -> Outcome {
        let transfer = &self.transfer;
        let bytes = transfer.acknowledged();
        match end {
            End::Done => outcome::sent(bytes, outcome::repeated(transfer.resent())),
            End::Probed => outcome::aborted(),
            // It has looked whether the file is there, or will ask with other options.
            End::Aborted(code, text) if !transfer.is_heard() => Outcome {
                detail: Some(format!(
                    "the client ended the transfer at its first packet: ERROR {} ({text})",
                    code.number()
                )),
                ..outcome::aborted()
            },
            End::Aborted(code, text) => outcome::failed(
                Reason::Aborted,
                format!(
                    "the client ended the transfer after {bytes} bytes: ERROR {} ({text})",
                    code.number()
                ),
            ),
            // Whoever has its file closes its port; what was lost is its last acknowledgement.
            End::Gone => match transfer.presumed_whole() {
                Some(all) => outcome::sent(
                    all,
                    Some(
                        "the client closed its port before its last acknowledgement came"
                            .to_owned(),
                    ),
                ),
                None => outcome::failed(
                    Reason::Incomplete,
                    format!("the client closed its port after {bytes} bytes"),
                ),
            },
            End::Silent => {
                let mut text = if transfer.is_agreed() {
                    format!(
                        "block {} of {} bytes was not acknowledged, {bytes} bytes in all",
                        transfer.awaited(),
                        transfer.terms().blksize
                    )
                } else {
                    "the client did not acknowledge the options".to_owned()
                };
                if let Some(error) = trouble {
                    let _ = write!(text, "; sending failed: {error}");
                }
                outcome::failed(Reason::Timeout, text)
            }
            End::Failed => outcome::failed(Reason::Incomplete, "the server stopped".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
