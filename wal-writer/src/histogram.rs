//! Distributions in fixed memory: how long, or how many, in buckets that grow with the value.
//!
//! Log-linear, as the field does it: each power of two is cut into eight buckets of equal width. So whatever a quantile
//! returns is at least what it was asked for, and at most an eighth above: a figure that an alarm hangs on never looks
//! better than it was. Values below 16 are exact. 304 buckets reach up to 2^40 (18 minutes in nanoseconds); what is above
//! counts in the last one, and `max` still tells it.
//!
//! Plain values: recording from several threads is [`tally`](crate::tally)'s.

use std::fmt;
use std::time::Duration;

/// Buckets of each power of two, as a power of two.
const SUB_BITS: u32 = 3;
/// Values from 2 to the power of this on are one bucket's.
const VALUE_BITS: u32 = 40;
/// How many buckets there are.
pub(crate) const BUCKETS: usize = ((VALUE_BITS - SUB_BITS + 1) << SUB_BITS) as usize;

/// A distribution of whole numbers: nanoseconds, or entries; whoever has one says which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bucket; those behind the last one that counts are left out, so that equal distributions are equal.
    counts: Vec<u64>,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// Counts `value` once.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// From counts by bucket, and what was counted beside them, perhaps a moment earlier or later.
    pub(crate) fn from_parts(mut counts: Vec<u64>, sum: u64, max: u64) -> Self {
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        counts.truncate(used);
        let max = match used.checked_sub(1) {
            Some(last) => max.max(lowest_of(last)),
            None => 0,
        };
        Self { counts, sum, max }
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum, exact.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Their mean; `None` of nothing.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a mean to 15 digits")]
    pub fn mean(&self) -> Option<f64> {
        let count = self.count();
        (count > 0).then(|| self.sum as f64 / count as f64)
    }

    /// The largest, exact; 0 of nothing. Of a difference ([`Histogram::since`]) as a quantile is: at most an eighth above.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `part` of all (0 to 1) do not exceed, or up to an eighth more; `None` of nothing.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count, rounded up and bounded"
    )]
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let count = self.count();
        // A product that is a whole number but for its rounding is that number.
        let rank = (part.clamp(0.0, 1.0) * count as f64 * (1.0 - 1e-12)).ceil();
        let rank = (rank as u64).clamp(1, count.max(1));
        let mut below = 0;
        let found = self.counts.iter().position(|of_bucket| {
            below += of_bucket;
            below >= rank
        })?;
        Some(highest_of(found).min(self.max))
    }

    /// The buckets that are not empty, ascending: the lowest and highest value that each is for, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> {
        let all = self.counts.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (lowest_of(bucket), highest_of(bucket), *count))
    }

    /// Adds all that `other` recorded.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, others)| *count += others);
        self.sum = self.sum.saturating_add(other.sum);
        self.max = self.max.max(other.max);
    }

    /// What was recorded since this was as `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().copied().chain(std::iter::repeat(0));
        let counts: Vec<_> =
            self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect();
        let last = counts.iter().rposition(|count| *count > 0);
        let max = last.map_or(0, |last| highest_of(last).min(self.max));
        Self::from_parts(counts, self.sum.saturating_sub(earlier.sum), max)
    }

    /// Median, 99th percentile and maximum of nanoseconds, for people.
    #[must_use]
    pub fn as_durations(&self) -> impl fmt::Display {
        let [p50, p99] = [0.5, 0.99].map(|part| self.quantile(part).map(Duration::from_nanos));
        let max = Duration::from_nanos(self.max);
        fmt::from_fn(move |f| match (p50, p99) {
            (Some(p50), Some(p99)) => write!(f, "p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}"),
            _ => f.write_str("none yet"),
        })
    }
}

/// The bucket that counts `value`.
pub(crate) fn bucket_of(value: u64) -> usize {
    let shift = value.checked_ilog2().map_or(0, |bits| bits.saturating_sub(SUB_BITS));
    let bucket = (u64::from(shift) << SUB_BITS) + (value >> shift);
    usize::try_from(bucket).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// Lowest value of a bucket.
fn lowest_of(bucket: usize) -> u64 {
    let (bucket, subs) = (bucket as u64, 1 << SUB_BITS);
    if bucket < subs { bucket } else { (bucket % subs + subs) << (bucket / subs - 1) }
}

/// Highest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    if bucket + 1 >= BUCKETS { u64::MAX } else { lowest_of(bucket + 1) - 1 }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::storage::recording::splitmix64;

    #[test]
    fn buckets_follow_each_other_without_a_gap_or_overlap() {
        assert_eq!(lowest_of(0), 0);
        for bucket in 0..BUCKETS {
            assert!(lowest_of(bucket) <= highest_of(bucket), "{bucket}");
            assert_eq!(bucket_of(lowest_of(bucket)), bucket);
            assert_eq!(bucket_of(highest_of(bucket)), bucket);
            if bucket + 1 < BUCKETS {
                assert_eq!(highest_of(bucket) + 1, lowest_of(bucket + 1));
                assert!(highest_of(bucket) - lowest_of(bucket) <= lowest_of(bucket) / 8, "{bucket}");
            }
        }
        assert_eq!(lowest_of(BUCKETS - 1), (1 << 40) - (1 << 36));
    }

    /// Any distribution: mostly small values, some huge ones, by a seed.
    fn values(seed: u64, count: u64) -> Vec<u64> {
        let mut state = seed;
        (0..count).map(|_| splitmix64(&mut state) >> (24 + splitmix64(&mut state) % 40)).collect()
    }

    #[test]
    fn a_quantile_is_never_below_the_true_one_and_at_most_an_eighth_above() {
        for seed in 0..50 {
            let mut values = values(seed, 1 + seed * 37);
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.record(*value));
            values.sort_unstable();
            for thousandths in 0..=1000_u32 {
                let part = f64::from(thousandths) / 1000.0;
                let rank = (values.len() * thousandths as usize).div_ceil(1000).max(1);
                let (exact, told) = (values[rank - 1], histogram.quantile(part).unwrap());
                assert!(
                    exact <= told && told - exact <= exact / 8,
                    "seed {seed}, {part}: {told} for {exact}"
                );
            }
            assert_eq!(histogram.quantile(1.0), values.last().copied());
            assert_eq!(histogram.max(), *values.last().unwrap());
            assert_eq!(histogram.count(), values.len() as u64);
            assert_eq!(histogram.sum(), values.iter().sum::<u64>());
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_is_beyond_the_last_bucket_is_counted_and_its_maximum_known() {
        let mut histogram = Histogram::default();
        [1 << 50, u64::MAX / 4].into_iter().for_each(|value| histogram.record(value));
        assert_eq!((histogram.count(), histogram.quantile(0.99)), (2, Some(u64::MAX / 4)));
    }

    #[test]
    fn a_difference_is_what_came_in_between_and_a_sum_is_both() {
        for seed in 0..20 {
            let (first, second) = (values(seed, 50), values(seed + 1000, 30));
            let record = |values: &[u64]| {
                let mut histogram = Histogram::default();
                values.iter().for_each(|value| histogram.record(*value));
                histogram
            };
            let (before, between) = (record(&first), record(&second));
            let mut after = before.clone();
            second.iter().for_each(|value| after.record(*value));
            let since = after.since(&before);
            assert_eq!(since.buckets().collect::<Vec<_>>(), between.buckets().collect::<Vec<_>>());
            assert_eq!(since.sum(), between.sum());
            assert!(since.max() >= between.max() && since.max() - between.max() <= between.max() / 8);
            assert!(between.buckets().all(|(low, high, count)| count > 0 && low <= high));
            let mut merged = before.clone();
            merged.merge(&between);
            assert_eq!(merged, after);
            assert_eq!(after.since(&after), Histogram::default());
        }
    }
}
