//! How long a thread has worked.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// A thread's time, as the system counts it.
#[derive(Debug)]
pub struct ThreadTime {
    /// In nanoseconds how long it has run, and how long it has waited for a core
    /// (Linux's `Documentation/scheduler/sched-stats.rst`); not there: the kernel does not count it.
    schedstat: Option<File>,
}

impl ThreadTime {
    /// The calling thread's, whoever asks later.
    pub fn of_this_thread() -> Self {
        Self {
            schedstat: File::open("/proc/thread-self/schedstat").ok(),
        }
    }

    /// For how long it has had something to do until now: while it ran, and while others had its core. Right to a tick
    /// of the system's, a few milliseconds. `None`: the system does not tell.
    pub fn worked(&self) -> Option<Duration> {
        let mut text = [0; 96];
        let len = self.schedstat.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..len)?).ok()?;
        let mut numbers = text.split_whitespace().map(str::parse::<u64>);
        let (ran, waited) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Duration::from_nanos(ran.checked_add(waited)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn work_is_counted() {
        let time = ThreadTime::of_this_thread();
        let (before, begun) = (time.worked().unwrap(), Instant::now());
        while time.worked().unwrap() < before + MS * 8 {
            assert!(begun.elapsed() < Duration::from_secs(20));
        }
        assert!(time.worked().unwrap() <= before + begun.elapsed() + MS * 20);
    }

    #[test]
    fn sleep_is_not() {
        let (tell, told) = std::sync::mpsc::channel();
        let (wake, woken) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(ThreadTime::of_this_thread()).unwrap();
            // Until the other end is dropped.
            let _ = woken.recv();
        });
        let time = told.recv().unwrap();
        let before = time.worked().unwrap();
        let own = ThreadTime::of_this_thread();
        let until = own.worked().unwrap() + MS * 200;
        while own.worked().unwrap() < until {}
        assert!(time.worked().unwrap() < before + MS * 100);
        drop(wake);
        sleeper.join().unwrap();
    }
}
