//! Any bytes as a DHCP message: read, every getter, answer, read the answer back.

#![no_main]

use bootwright::wire::dhcp::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = exercise::dhcp_request(bytes) {
        panic!("{broken}");
    }
});
