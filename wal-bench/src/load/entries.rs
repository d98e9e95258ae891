//! The entries of one core, in order: drawn from a seed, so that whoever reads the log back knows what to expect.
//!
//! Every core has keys of its own, so the last value of a key is that of the last entry of one core, whatever the order
//! of the cores is. A value begins with the number of its entry.

use std::ops::RangeInclusive;

use super::settings::{Distribution, Settings};
use crate::random::{Random, mix};
use crate::workload::{KEY_BYTES, key};

/// An endless sequence of entries; the same for the same seed and core.
#[derive(Clone, Debug)]
pub(super) struct Entries {
    random: Random,
    numbers: Numbers,
    keys_before: u64,
    value_bytes: RangeInclusive<usize>,
    number: u64,
    value: Vec<u8>,
}

/// Draws numbers from 0 to below a bound.
#[derive(Clone, Debug)]
enum Numbers {
    Uniform(u64),
    Zipf(Zipf),
}

/// Zipf's distribution by the approximation of Gray et al., "Quickly generating billion-record synthetic databases"
/// (SIGMOD 1994): one power a number, after a sum over all of them.
#[derive(Clone, Debug)]
struct Zipf {
    count: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
    second: f64,
}

impl Entries {
    /// Those of core number `core`.
    pub(super) fn new(settings: &Settings, core: usize) -> Self {
        let core = core as u64;
        Self {
            random: Random::new(mix(settings.seed ^ mix(core + 1))),
            numbers: match settings.distribution {
                Distribution::Uniform => Numbers::Uniform(settings.keys),
                Distribution::Zipf(theta) => Numbers::Zipf(Zipf::new(settings.keys, theta)),
            },
            keys_before: core * settings.keys,
            value_bytes: settings.value_bytes.clone(),
            number: 0,
            value: vec![42; *settings.value_bytes.end()],
        }
    }

    /// Key and value of the next entry.
    #[inline]
    pub(super) fn draw(&mut self) -> ([u8; KEY_BYTES], &[u8]) {
        let key = key(self.keys_before + self.numbers.draw(&mut self.random));
        let (low, high) = (*self.value_bytes.start(), *self.value_bytes.end());
        let more = if low == high { 0 } else { self.random.within(0..(high - low + 1) as u64) };
        let length = low + usize::try_from(more).unwrap_or(0);
        self.number += 1;
        let number = self.number.to_le_bytes();
        let marked = length.min(number.len());
        self.value[..marked].copy_from_slice(&number[..marked]);
        (key, &self.value[..length])
    }
}

impl Numbers {
    #[inline]
    fn draw(&mut self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform(count) => random.within(0..*count),
            Self::Zipf(zipf) => zipf.draw(part(random)),
        }
    }
}

/// From 0 to below 1.
#[allow(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
fn part(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts far below 2^52, and a part of one"
)]
impl Zipf {
    fn new(count: u64, theta: f64) -> Self {
        let zeta = |count: u64| (1..=count).map(|rank| (rank as f64).powf(-theta)).sum::<f64>();
        let (all, two) = (zeta(count), zeta(count.min(2)));
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - theta)) / (1.0 - two / all);
        Self { count, zeta: all, alpha: 1.0 / (1.0 - theta), eta, second: two }
    }

    /// The number for a part of all; 0 is the most frequent.
    #[inline]
    fn draw(&self, part: f64) -> u64 {
        let scaled = part * self.zeta;
        if scaled < 1.0 || self.count == 1 {
            return 0;
        }
        if scaled < self.second || self.count == 2 {
            return 1;
        }
        let number = self.count as f64 * (self.eta * part - self.eta + 1.0).powf(self.alpha);
        (number as u64).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::settings;

    #[test]
    fn entries_are_the_same_for_the_same_seed_and_others_for_another_core() {
        let settings = settings(&["--distribution", "zipf", "--value", "0-40"]);
        let draw = |core| {
            let mut entries = Entries::new(&settings, core);
            (0..500)
                .map(|_| {
                    let (key, value) = entries.draw();
                    (key, value.to_vec())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(0), draw(0));
        let (zero, one) = (draw(0), draw(1));
        assert!(zero.iter().all(|(key, _)| one.iter().all(|(other, _)| key != other)), "keys are shared");
        let lengths: std::collections::BTreeSet<_> = zero.iter().map(|(_, value)| value.len()).collect();
        assert!(lengths.len() > 35 && lengths.iter().all(|length| *length <= 40), "{lengths:?}");
    }

    /// How often each number comes, of a million.
    fn shares(count: u64, theta: f64) -> Vec<f64> {
        let (zipf, mut random) = (Zipf::new(count, theta), Random::new(3));
        let mut shares = vec![0.0; usize::try_from(count).expect("small")];
        (0..1_000_000)
            .for_each(|_| shares[usize::try_from(zipf.draw(part(&mut random))).expect("small")] += 1e-6);
        shares
    }

    #[test]
    fn the_most_frequent_keys_come_as_often_as_zipf_says() {
        for (count, theta) in [(1, 0.99), (2, 0.5), (3, 0.7), (1000, 0.5), (1000, 0.99)] {
            let zeta: f64 = (1..=count).map(|rank: u64| (rank as f64).powf(-theta)).sum();
            let shares = shares(count, theta);
            // The two most frequent are exact; of the others, the upper half together.
            for (rank, share) in shares.iter().enumerate().take(2) {
                let expected = ((rank + 1) as f64).powf(-theta) / zeta;
                assert!(
                    (share - expected).abs() < 0.003,
                    "{count} {theta}: {rank} is {share}, not {expected}"
                );
            }
            let half = shares.len().div_ceil(2);
            let expected: f64 = (1..=half).map(|rank| (rank as f64).powf(-theta) / zeta).sum();
            let found: f64 = shares[..half].iter().sum();
            assert!((found - expected).abs() < 0.02, "{count} {theta}: {found}, not {expected}");
        }
    }
}
