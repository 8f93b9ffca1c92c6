//! The fuzz target over its seeds and all captures, under `cargo test`.

use std::path::Path;

use bootwright::wire::dhcp::exercise;

use super::capture::{folder, read_hex};

fn run(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let path = entry.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let bytes = read_hex(&text).unwrap_or_else(|| panic!("{}: no hex", path.display()));
        if let Err(broken) = exercise::dhcp_request(&bytes) {
            panic!("{}: {broken}", path.display());
        }
        // Every beginning of it as well: a datagram may be cut anywhere.
        for len in 0..bytes.len() {
            let cut = bytes.get(..len).unwrap_or_default();
            if let Err(broken) = exercise::dhcp_request(cut) {
                panic!("{}, first {len} bytes: {broken}", path.display());
            }
        }
        count += 1;
    }
    count
}

#[test]
fn the_fuzz_target_over_its_corpus() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/dhcp_request");
    assert!(run(&seeds) >= 5);
    assert!(run(&folder()) >= 17);
}
