//! Commands that need no daemon: what machines would get, what other programs are told.

mod export;
mod round_trip;
mod simulate;
mod site;
