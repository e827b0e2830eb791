//! Chance that can be repeated.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers from a seed (`SplitMix64`). The seed is printed when a test that uses it fails; `WEIR_SEED` sets it.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// With the seed of `WEIR_SEED`, else one of the clock's.
    pub fn new() -> Self {
        let given = std::env::var("WEIR_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            since.as_nanos() as u64
        });
        Self { seed, state: seed }
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The reason of the failure is told in any case.
            let _unheard = writeln!(std::io::stderr(), "WEIR_SEED={} repeats it", self.seed);
        }
    }
}
