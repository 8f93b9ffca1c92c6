//! Numbers that can be had again: `SplitMix64`, from a seed that a test prints.

pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// One of these, each as often as its weight says.
    pub(crate) fn pick<T: Copy>(&mut self, weighted: &[(u64, T)]) -> T {
        let mut left = self.below(weighted.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in weighted {
            if left < *weight {
                return *choice;
            }
            left -= weight;
        }
        unreachable!("weights add up")
    }
}

/// The seed of this run, told so that it can be repeated.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("BOOTWRIGHT_SEED") {
        Ok(text) => text.parse().expect("BOOTWRIGHT_SEED is a number"),
        Err(_) => {
            u64::from(std::process::id()) << 32
                | u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos())
        }
    };
    tell(&format!("BOOTWRIGHT_SEED={seed}"));
    seed
}

/// For whoever runs the test with `--nocapture`, or reads why it failed.
#[expect(clippy::print_stdout, reason = "figures of a test")]
pub(crate) fn tell(what: &str) {
    println!("{what}");
}
