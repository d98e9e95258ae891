//! SplitMix64 (Steele, Lea, Flood 2014): enough randomness for test cases, and the same cases from a seed for ever.
//!
//! A failing test prints the seed of its case. `WAL_FORMAT_SEED=<seed>` makes that case the first one of the next run.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::ops::RangeInclusive;

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of any magnitude: small ones are as likely as large ones, since lengths and deltas are small.
    pub(crate) fn magnitude(&mut self) -> u64 {
        let bits = self.u64() % 65;
        if bits == 0 { 0 } else { self.u64() >> (64 - bits) }
    }

    /// Below `bound`, which must not be 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.u64() % bound as u64).expect("below a usize")
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.u64().to_le_bytes()[0]).collect()
    }

    /// Printable, and now and then of two bytes a character.
    pub(crate) fn text(&mut self, characters: usize) -> String {
        (0..characters)
            .map(|_| if self.one_in(8) { 'ü' } else { self.pick(&['a', 'k', 'z', '-', '0']) })
            .collect()
    }
}

/// Runs `case` once per seed, and names the seed if it panics.
#[track_caller]
pub(crate) fn for_each_seed(cases: u64, case: impl Fn(u64)) {
    struct Named(u64);
    impl Drop for Named {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("the case has seed {}", self.0);
            }
        }
    }
    let first = match std::env::var("WAL_FORMAT_SEED") {
        Ok(seed) => seed.parse().expect("WAL_FORMAT_SEED is a number"),
        Err(_) => 0,
    };
    for seed in (0..cases).map(|index| u64::wrapping_add(first, index)) {
        let named = Named(seed);
        case(seed);
        drop(named);
    }
}
