//! Any edits of any reservations file: what is read afterwards is what was there and what the edits say, and all else
//! stands as it stood.

#![no_main]

use bootwright::config::edit::exercise::edit_keeps_meaning;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = edit_keeps_meaning(bytes) {
        panic!("{broken}");
    }
});
