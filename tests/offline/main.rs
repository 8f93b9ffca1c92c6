//! Commands that need no daemon: what machines would get, what other programs are told.

mod export;
mod simulate;
mod site;
