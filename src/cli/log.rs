//! The log on standard error, which nobody may be reading.
//!
//! A pipe that is full makes whoever writes to it wait: the journal's writer, then the daemon's end. So
//! lines go through a queue of [`QUEUE`], and one thread of their own may wait. What the queue cannot take
//! is counted, and told when there is room again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use crate::base::pace;

/// Lines that may wait.
const QUEUE: usize = 8_192;

/// How long lines gather before they are written together: of a flood each would be a system call and a turn of the
/// processor of its own.
const GATHER: Duration = Duration::from_millis(5);

/// Bytes after which they are written in any case.
const AT_ONCE: usize = 64 << 10;

/// How long the end waits for what is left.
const AT_THE_END: Duration = Duration::from_millis(200);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Takes lines; cheap to clone.
#[derive(Clone)]
pub struct Log {
    queue: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

/// What has gathered; not yet written.
pub struct Waiting {
    taken: Receiver<Message>,
    lost: Arc<AtomicU64>,
}

/// A log and what it gathers until [`Waiting::start`].
pub fn log() -> (Log, Waiting) {
    let (queue, taken) = sync_channel(QUEUE);
    let lost = Arc::new(AtomicU64::new(0));
    let waiting = Waiting {
        taken,
        lost: Arc::clone(&lost),
    };
    (Log { queue, lost }, waiting)
}

impl Log {
    /// Waits a moment until everything is written.
    pub fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(AT_THE_END);
        }
    }
}

impl io::Write for Log {
    /// One call is one line. Never waits, never fails.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Waiting {
    /// Writes from now on, on a thread of its own.
    pub fn start(self, to: impl io::Write + Send + 'static) -> io::Result<()> {
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || self.run(to))
            .map(|_| ())
    }

    fn run(self, mut to: impl io::Write) {
        pace::stand_back();
        let mut text = Vec::new();
        while let Ok(first) = self.taken.recv() {
            let mut done = gather(first, &mut text);
            if done.is_none() {
                // Asleep while lines gather: waiting at the queue would be woken by each of them.
                std::thread::sleep(GATHER);
            }
            let is_all = loop {
                if done.is_some() || text.len() >= AT_ONCE {
                    break false;
                }
                match self.taken.try_recv() {
                    Ok(message) => done = gather(message, &mut text),
                    Err(_) => break true,
                }
            };
            let _ = to.write_all(&text);
            text.clear();
            let lost = if is_all || done.is_some() {
                self.lost.swap(0, Ordering::Relaxed)
            } else {
                0
            };
            if lost > 0 {
                let _ = writeln!(to, "{lost} lines of the log are lost: nobody read them");
            }
            if let Some(done) = done {
                let _ = to.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// Puts a line behind the others; of a flush, whom to tell that all of them are written.
fn gather(message: Message, text: &mut Vec<u8>) -> Option<SyncSender<()>> {
    match message {
        Message::Line(line) => {
            text.extend_from_slice(&line);
            None
        }
        Message::Flush(done) => Some(done),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_is_counted_and_holds_up_nobody() {
        let (mut log, waiting) = log();
        for n in 0..QUEUE + 3 {
            log.write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        let began = Instant::now();
        log.flush();
        assert!(
            began.elapsed() < AT_THE_END,
            "a full queue is not waited for"
        );

        let kept = Kept::default();
        waiting.start(kept.clone()).unwrap();
        let text = loop {
            Log::flush(&log);
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            if text.contains("line 8191\n") {
                break text;
            }
        };
        assert!(
            text.starts_with("line 0\n") && text.contains("line 8191\n3 lines of the log are lost"),
            "{text}"
        );
    }
}
