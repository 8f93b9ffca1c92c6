//! Which changes of files make one reload.
//!
//! Whoever saves several files, or swaps a folder, does not do it at once; and files that belong together are wrong
//! one without the other. So what changes within about a second is taken up together.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Ask;

/// From the first change on, for what belongs to it.
const TOGETHER: Duration = Duration::from_millis(900);
/// Without a change, before files are read.
const QUIET: Duration = Duration::from_millis(200);
/// Whoever changes files all the time waits no longer than this.
const MOST: Duration = Duration::from_millis(2_400);

/// What the waiting came to.
#[derive(Debug)]
pub(super) enum Gathered {
    /// Files have changed and rest now.
    Files,
    /// Somebody asks for a reload: no more is waited for.
    Asked(Ask),
    /// The daemon ends.
    Ended,
}

/// The changes that are taken up together, in time since the first of them.
#[derive(Debug, Default)]
struct Window {
    last: Duration,
}

impl Window {
    /// One more.
    fn changed(&mut self, at: Duration) {
        self.last = at;
    }

    /// When they are taken up, should no more come.
    fn due(&self) -> Duration {
        TOGETHER.max(self.last + QUIET).min(MOST)
    }
}

/// Waits, after a change, for those that belong to it.
pub(super) async fn gather(
    changes: &mut mpsc::Receiver<()>,
    asks: &mut mpsc::Receiver<Ask>,
    cancel: &CancellationToken,
) -> Gathered {
    let first = Instant::now();
    let mut window = Window::default();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return Gathered::Ended,
            ask = asks.recv() => return ask.map_or(Gathered::Ended, Gathered::Asked),
            () = tokio::time::sleep_until(first + window.due()) => return Gathered::Files,
            Some(()) = changes.recv() => window.changed(first.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::reload::Cause;

    /// When changes at these times, in ms, are taken up.
    fn taken_up(at: &[u64]) -> Vec<u128> {
        let mut times = Vec::new();
        let mut waiting = at.iter().map(|at| Duration::from_millis(*at)).peekable();
        while let Some(first) = waiting.next() {
            let mut window = Window::default();
            while let Some(next) = waiting.next_if(|next| next.saturating_sub(first) < window.due())
            {
                window.changed(next.saturating_sub(first));
            }
            times.push((first + window.due()).as_millis());
        }
        times
    }

    #[test]
    fn what_is_saved_within_a_second_is_one_reload() {
        // One save is taken up within a second.
        assert_eq!(taken_up(&[0]), [900]);
        assert_eq!(taken_up(&[0, 3, 5, 9]), [900]);
        assert_eq!(taken_up(&[0, 250, 500, 750, 890]), [1_090]);
        // What comes later is another.
        assert_eq!(taken_up(&[0, 2_000]), [900, 2_900]);
    }

    #[test]
    fn a_writer_that_never_rests_is_not_waited_for_for_ever() {
        let all_the_time: Vec<u64> = (0..24).map(|n| n * 100).collect();
        assert_eq!(taken_up(&all_the_time), [2_400]);
    }

    #[tokio::test]
    async fn whoever_asks_waits_for_nothing() {
        let (tell, mut changes) = mpsc::channel(1);
        let (asks, mut inbox) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let ask = Ask {
            cause: Cause::Signal,
            reply: None,
        };
        asks.send(ask).await.unwrap();
        tell.send(()).await.unwrap();
        let gathered = gather(&mut changes, &mut inbox, &cancel).await;
        assert!(matches!(gathered, Gathered::Asked(_)), "{gathered:?}");
        cancel.cancel();
        let gathered = gather(&mut changes, &mut inbox, &cancel).await;
        assert!(matches!(gathered, Gathered::Ended), "{gathered:?}");
    }
}
