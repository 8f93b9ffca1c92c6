//! Any bytes as an ISO 9660 image, from its first volume descriptor on.

#![no_main]

use bootwright::assets::iso::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = exercise(bytes) {
        panic!("{broken}");
    }
});
