//! Any bytes as a frame from a packet socket: ARP, router solicitations and advertisements, replies of other DHCP
//! servers.

#![no_main]

use bootwright::wire::exercise;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = exercise::frame(bytes) {
        panic!("{broken}");
    }
});
