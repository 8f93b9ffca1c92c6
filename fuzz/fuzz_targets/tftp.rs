//! Any bytes as a TFTP packet, and as a request and what its client says afterwards.

#![no_main]

use bootwright::decide::transfer::exercise::transfer;
use bootwright::wire::exercise::tftp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = tftp(bytes).and_then(|()| transfer(bytes)) {
        panic!("{broken}");
    }
});
