//! Long work beside short answers: a machine with one core has to answer while it reads a configuration.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

/// Rounds of a loop, each of some microseconds, after which others have their turn.
const ROUNDS: usize = 64;

/// Of the crate's scale from 0 to 99, on which an ordinary thread (nice 0) has about 50: nice 10. Of a core
/// that is busy with answers such a thread still gets a tenth.
const BEHIND: u8 = 22;

/// Lets other threads run now and then; called in each round of a long loop.
pub fn give_way(round: usize) {
    if round.is_multiple_of(ROUNDS) {
        std::thread::yield_now();
    }
}

/// Puts the calling thread behind those that answer, for as long as it lives: `SCHED_BATCH` and nice 10, also
/// where the daemon runs under a real-time policy. Needs no privilege. Where the system refuses all the same (a
/// filter of system calls) the thread stays what it is.
pub fn stand_back() {
    let Ok(priority) = ThreadPriorityValue::try_from(BEHIND) else {
        return;
    };
    let _ = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Crossplatform(priority),
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch),
    );
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
            (SCHED_BATCH.to_owned(), "10".to_owned())
        );
        assert_eq!(standing(), before);
    }
}
