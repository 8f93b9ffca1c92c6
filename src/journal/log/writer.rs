//! The writer behind the ring: the log's lines, and what goes into the file.
//!
//! - *Two threads write*, one at a time. The usual one stands back behind those that answer, and on a core that these keep
//!   busy gets a twentieth of it. When [`HURRY`] events wait, the other one, which does not stand back, helps until half of them
//!   are written: thousands of machines that boot at once shall lose none of their steps.
//! - *Events gather* before they are committed. So that a slow disk has time for the records as well, that takes four times
//!   as long as the last commit.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::Disk;
use super::{Shared, lost, write_log};
use crate::base::{Clock as _, SystemClock, pace};
use crate::journal::event::{Event, Reason};

/// How long events gather before they are committed.
const GATHER: Duration = Duration::from_millis(50);

/// The longest that a slow disk makes them wait.
const GATHER_AT_MOST: Duration = Duration::from_secs(2);

/// Events of one commit.
const BATCH: usize = 4_096;

/// The same while the other thread waits to help: who stands back holds it up.
const SMALL_BATCH: usize = 1_024;

/// Events that wait before the other thread helps.
pub(super) const HURRY: usize = 16_384;

/// How long the usual thread sleeps when nothing comes.
const IDLE: Duration = Duration::from_millis(250);

/// What comes through the queue.
#[derive(Debug)]
pub(super) enum Message {
    /// Log it and write it down.
    Event(Arc<Event>),
    /// Write down what has come so far, then answer.
    Flush(oneshot::Sender<()>),
}

/// Writes the log and the file.
pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Option<Disk>,
    taken: Receiver<Message>,
}

/// How a round of writing has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing waited any more.
    All,
    /// As many as it was to take.
    More,
    /// Nothing will come any more.
    Ended,
}

/// The usual thread.
pub(super) fn write_behind(writer: &Mutex<Writer>, shared: &Shared) {
    // What is told of an answer comes after the answer.
    pace::stand_back();
    let (mut gather, mut last) = (GATHER, Round::All);
    loop {
        // Asleep while events gather: waiting at the queue would be woken by each of them.
        if last == Round::All && !shared.is_pressed() {
            if shared.waiting.load(Ordering::Relaxed) == 0 {
                std::thread::park_timeout(IDLE);
            }
            sleep(shared, gather);
        }
        let is_late = shared.waiting.load(Ordering::Relaxed) >= HURRY;
        let mut writer = lock(writer);
        let begun = Instant::now();
        last = writer.round(if is_late { SMALL_BATCH } else { BATCH });
        gather = (begun.elapsed() * 4).clamp(GATHER, GATHER_AT_MOST);
        if last == Round::Ended {
            return;
        }
        if let Some(disk) = &mut writer.disk {
            disk.index();
        }
    }
}

/// Sleeps so long, or until somebody waits for what is written. What else wakes the thread, as an event does that
/// came while it wrote, does not end it.
fn sleep(shared: &Shared, time: Duration) {
    let begun = Instant::now();
    while !shared.is_pressed() && begun.elapsed() < time {
        std::thread::park_timeout(time.saturating_sub(begun.elapsed()));
    }
}

/// The other thread, woken when [`HURRY`] events wait and at the end.
pub(super) fn write_in_a_hurry(writer: &Mutex<Writer>, shared: &Shared) {
    while !shared.is_closing.load(Ordering::SeqCst) {
        if shared.waiting.load(Ordering::Relaxed) < HURRY / 2 {
            std::thread::park();
        } else if lock(writer).round(SMALL_BATCH) == Round::Ended {
            return;
        }
    }
}

fn lock(writer: &Mutex<Writer>) -> MutexGuard<'_, Writer> {
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, disk: Option<Disk>, taken: Receiver<Message>) -> Self {
        Self {
            shared,
            disk,
            taken,
        }
    }

    /// Writes down what waits, so many events of it at most.
    fn round(&mut self, most: usize) -> Round {
        let mut batch = Vec::new();
        let mut flushes = Vec::new();
        let mut round = Round::More;
        while batch.len() < most {
            match self.taken.try_recv() {
                Ok(message) => {
                    pace::give_way_now();
                    self.take(message, &mut batch, &mut flushes);
                }
                Err(TryRecvError::Empty) => {
                    round = Round::All;
                    break;
                }
                Err(TryRecvError::Disconnected) => {
                    round = Round::Ended;
                    break;
                }
            }
        }
        let queued = batch.last().map(|event| event.id);
        self.summarise(&mut batch);
        let last = self.write(&batch);
        self.settle(queued, last);
        for flush in flushes {
            self.shared.pressing.fetch_sub(1, Ordering::SeqCst);
            let _ = flush.send(());
        }
        round
    }

    fn take(
        &self,
        message: Message,
        batch: &mut Vec<Arc<Event>>,
        flushes: &mut Vec<oneshot::Sender<()>>,
    ) {
        match message {
            Message::Event(event) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                write_log(&event);
                batch.push(event);
            }
            Message::Flush(reply) => flushes.push(reply),
        }
    }

    /// Tells what was counted instead of kept.
    fn summarise(&self, batch: &mut Vec<Arc<Event>>) {
        let mut tell = Vec::new();
        {
            let mut ring = self.shared.ring();
            if ring.flood.is_over() {
                tell = ring.flood.close();
            }
        }
        let overrun = self.shared.overrun.swap(0, Ordering::Relaxed);
        if overrun > 0 {
            tell.push(lost(
                SystemClock.now(),
                Reason::Overload,
                overrun,
                "they came faster than they could be written",
            ));
        }
        for event in tell {
            let event = self.shared.tell(event);
            write_log(&event);
            batch.push(event);
        }
    }

    /// Tells how far everything is written or dropped. What the writer itself told may have overtaken
    /// events that still wait in the queue.
    fn settle(&self, queued: Option<u64>, last: Option<u64>) {
        let is_last = self.shared.waiting.load(Ordering::SeqCst) == 0;
        if let Some(id) = if is_last { last.max(queued) } else { queued } {
            self.shared.settled.send_if_modified(|settled| {
                let later = id > *settled;
                *settled = id.max(*settled);
                later
            });
        }
    }

    /// Writes a batch and what there is to tell about that; the highest id among them.
    fn write(&mut self, batch: &[Arc<Event>]) -> Option<u64> {
        let highest = |events: &[Arc<Event>]| events.iter().map(|event| event.id).max();
        let Some(disk) = &mut self.disk else {
            return highest(batch);
        };
        // A disk that refuses is tried again also when nothing happens.
        if batch.is_empty() && disk.refused().is_none() {
            return None;
        }
        let mut dropped = 0;
        let told = disk.write(batch, &mut dropped);
        self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        let told: Vec<_> = told
            .into_iter()
            .map(|event| {
                let event = self.shared.tell(event);
                write_log(&event);
                event
            })
            .collect();
        if !told.is_empty() {
            // What there is to tell about this is told already.
            let mut dropped = 0;
            disk.write(&told, &mut dropped);
            self.shared.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
        *self.shared.refused() = disk.refused();
        highest(batch).max(highest(&told))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::base::Timestamp;
    use crate::journal::event::Kind;

    #[test]
    fn what_woke_the_writer_earlier_does_not_end_its_gathering() {
        let shared = Shared::new(None, 1);
        std::thread::current().unpark();
        let begun = Instant::now();
        sleep(&shared, GATHER);
        assert!(begun.elapsed() >= GATHER);
        // Who waits ends it, though nothing wakes the thread any more.
        shared.pressing.fetch_add(1, Ordering::SeqCst);
        sleep(&shared, Duration::MAX);
    }

    #[test]
    fn who_hurries_writes_until_few_wait() {
        let shared = Arc::new(Shared::new(None, 1));
        let (queue, taken) = channel();
        for id in 1..=u64::try_from(HURRY).unwrap() {
            let mut event = Event::new(Timestamp::from_secs(1), Kind::TftpSent, Reason::Done);
            event.id = id;
            shared.waiting.fetch_add(1, Ordering::Relaxed);
            queue.send(Message::Event(Arc::new(event))).unwrap();
        }
        let mut settled = shared.settled.subscribe();
        let writer = Mutex::new(Writer::new(Arc::clone(&shared), None, taken));
        std::thread::scope(|scope| {
            let hurried = scope.spawn(|| write_in_a_hurry(&writer, &shared));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let half = u64::try_from(HURRY / 2).unwrap();
            let wait = runtime.block_on(async {
                let there = settled.wait_for(|id| *id > half);
                tokio::time::timeout(Duration::from_secs(60), there)
                    .await
                    .map(drop)
            });
            shared.is_closing.store(true, Ordering::SeqCst);
            hurried.thread().unpark();
            hurried.join().unwrap();
            wait.unwrap();
        });
        let left = shared.waiting.load(Ordering::Relaxed);
        assert!(left < HURRY / 2, "{left}");
        // The rest is for the one that stands back, and nothing is lost at the end.
        assert!(left >= HURRY / 2 - SMALL_BATCH, "{left}");
        drop(queue);
        std::thread::scope(|scope| {
            scope.spawn(|| write_behind(&writer, &shared));
        });
        assert_eq!(shared.waiting.load(Ordering::Relaxed), 0);
        assert_eq!(*shared.settled.borrow(), u64::try_from(HURRY).unwrap());
    }
}
