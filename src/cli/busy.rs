//! A word on the terminal while something takes long, and nothing of it afterwards.

use std::io::{self, IsTerminal as _, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Nothing is said of what takes less.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the cursor back and what stands in the line away (ECMA-48).
const CLEAR: &str = "\r\x1b[K";

/// Until it is dropped, it is told that something is being done.
#[must_use]
#[derive(Debug)]
pub(super) struct Busy(Option<(mpsc::Sender<()>, JoinHandle<()>)>);

/// Begins to tell, on standard error where that is a terminal, what is done: `checking the configuration`.
pub(super) fn busy(what: &'static str) -> Busy {
    let stderr = io::stderr();
    Busy(
        stderr
            .is_terminal()
            .then(|| begin(what, stderr, PATIENCE))
            .flatten(),
    )
}

fn begin(
    what: &'static str,
    mut terminal: impl Write + Send + 'static,
    every: Duration,
) -> Option<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (end, ended) = mpsc::channel();
    let tell = move || {
        let mut told = 0_u32;
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            told = told.saturating_add(1);
            let _ = write!(terminal, "{CLEAR}{what} … {} s", (every * told).as_secs());
            let _ = terminal.flush();
        }
        if told > 0 {
            let _ = write!(terminal, "{CLEAR}");
            let _ = terminal.flush();
        }
    };
    // Without a thread for it nothing is told.
    let thread = std::thread::Builder::new().name("busy".to_owned());
    Some((end, thread.spawn(tell).ok()?))
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            // The line is clear before anything else is written.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on whatever is written.
    struct Told(mpsc::Sender<String>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_takes_long_is_told_and_leaves_nothing() {
        let (tell, told) = mpsc::channel();
        let busy = Busy(begin("working", Told(tell), Duration::from_millis(1)));
        let mut seen = String::new();
        while !seen.contains("working") {
            seen.push_str(&told.recv().unwrap());
        }
        drop(busy);
        seen.extend(told.iter());
        assert!(seen.starts_with(CLEAR) && seen.ends_with(CLEAR), "{seen:?}");
    }

    #[test]
    fn of_what_is_done_soon_nothing_is_told() {
        let (tell, told) = mpsc::channel();
        drop(Busy(begin(
            "working",
            Told(tell),
            Duration::from_secs(3_600),
        )));
        assert_eq!(told.iter().count(), 0);
    }
}
