//! Long work beside short answers: a machine with one core has to answer while it reads a configuration.

/// Rounds of a loop, each of some microseconds, after which others have their turn.
const ROUNDS: usize = 64;

/// Lets other threads run now and then; called in each round of a long loop.
pub fn give_way(round: usize) {
    if round.is_multiple_of(ROUNDS) {
        std::thread::yield_now();
    }
}
