//! Chance that is the same in each run: SplitMix64.

/// The same packets are lost with each server.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// Whether this happens, of ten thousand times so many.
    pub fn happens(&mut self, in_ten_thousand: u32) -> bool {
        if in_ten_thousand == 0 {
            return false;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 10_000 < u64::from(in_ten_thousand)
    }
}

/// The bytes of a file.
pub fn file(len: usize) -> Vec<u8> {
    let words = (0_u64..).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    words.flatten().take(len).collect()
}
