//! Any bytes as one option: the first says which codec, the rest is its value.

#![no_main]

use bootwright::wire::dhcp::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = exercise::option_codec(bytes) {
        panic!("{broken}");
    }
});
