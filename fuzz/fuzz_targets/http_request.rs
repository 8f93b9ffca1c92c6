//! Any bytes as a request of the boot plane (path, query, content type, body) and as a TFTP name.

#![no_main]

use bootwright::serve::boot::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = exercise::http_request(bytes) {
        panic!("{broken}");
    }
});
