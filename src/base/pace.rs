//! Long work beside short answers: a machine with one core has to answer while it reads a configuration.

use std::cell::Cell;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Rounds of a loop, each of some microseconds, after which others have their turn.
const ROUNDS: usize = 64;

/// Of the crate's scale from 0 to 99, on which an ordinary thread (nice 0) has about 48: nice 5. Of a core that is
/// busy with answers such a thread still gets a quarter.
const BEHIND: u8 = 34;

thread_local! {
    /// Whether this thread should stand back and may not.
    static IN_THE_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Puts the calling thread behind those that answer, for as long as it lives: `SCHED_BATCH` and nice 5, also
/// where the daemon runs under a real-time policy. Needs no privilege; where the system refuses all the same (a
/// filter of system calls), the thread lets others have their turn in [`give_way`].
pub fn stand_back() {
    let stood_back = ThreadPriorityValue::try_from(BEHIND).is_ok_and(|priority| {
        set_thread_priority_and_policy(
            thread_native_id(),
            ThreadPriority::Crossplatform(priority),
            ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch),
        )
        .is_ok()
    });
    IN_THE_WAY.set(!stood_back);
}

/// Called in each round of a long loop.
pub fn give_way(round: usize) {
    if round.is_multiple_of(ROUNDS) {
        give_way_now();
    }
}

/// The same in each round that takes long itself. A thread that stands back is stopped by the system whenever
/// there is something to answer: to yield would only put it behind the rest of the machine.
pub fn give_way_now() {
    if IN_THE_WAY.get() {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy and nice value of the calling thread.
    fn standing() -> (String, String) {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        // After the name in parentheses: nice is the 17th field, the policy the 39th.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        (fields[38].to_owned(), fields[16].to_owned())
    }

    #[test]
    fn a_thread_that_stands_back_is_behind_the_others_and_alone_in_it() {
        const SCHED_BATCH: &str = "3";
        let before = standing();
        let behind = std::thread::spawn(|| {
            stand_back();
            standing()
        });
        assert_eq!(
            behind.join().unwrap(),
            (SCHED_BATCH.to_owned(), "5".to_owned())
        );
        assert_eq!(standing(), before);
    }
}
