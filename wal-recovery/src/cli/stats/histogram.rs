//! Counts by powers of two, for a table with small bars. Pure, of one size whatever is counted.

/// How many numbers fall between one power of two and the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Bucket 0 counts zeros, bucket n the numbers from 2^(n-1) to below 2^n.
    buckets: [u64; 65],
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; 65], count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

/// One line of the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) from: u64,
    /// Included.
    pub(super) to: u64,
    pub(super) count: u64,
}

impl Histogram {
    pub(super) fn add(&mut self, number: u64) {
        self.buckets[(u64::BITS - number.leading_zeros()) as usize] += 1;
        self.count += 1;
        self.sum += u128::from(number);
        (self.min, self.max) = (self.min.min(number), self.max.max(number));
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn max(&self) -> u64 {
        self.max
    }

    pub(super) fn min(&self) -> u64 {
        if self.count > 0 { self.min } else { 0 }
    }

    /// Rounded down; 0 if nothing was counted.
    pub(super) fn mean(&self) -> u64 {
        u64::try_from(self.sum.checked_div(u128::from(self.count)).unwrap_or(0)).unwrap_or(u64::MAX)
    }

    /// From the first to the last that is not empty.
    pub(super) fn lines(&self) -> Vec<Bucket> {
        let used = |count: &u64| *count > 0;
        let first = self.buckets.iter().position(used).unwrap_or(0);
        let last = self.buckets.iter().rposition(used).map_or(0, |last| last + 1);
        let bucket = |index: usize| Bucket {
            from: if index == 0 { 0 } else { 1 << (index - 1) },
            to: if index == 0 { 0 } else { u64::MAX >> (64 - index) },
            count: self.buckets[index],
        };
        (first..last).map(bucket).collect()
    }
}

/// A bar of at most `width` blocks, with eighths of one at its end; something for every part that is not nothing.
pub(super) fn bar(part: u64, whole: u64, width: u64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = u128::from(part) * u128::from(width) * 8 / u128::from(whole.max(1));
    let eighths = usize::try_from(eighths).unwrap_or(0).max(usize::from(part > 0));
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_falls_into_one_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.lines().len(), histogram.mean(), histogram.min()), (0, 0, 0));
        for number in [1, 2, 3, 4, 7, 8] {
            histogram.add(number);
        }
        let lines: Vec<_> = histogram.lines().iter().map(|line| (line.from, line.to, line.count)).collect();
        assert_eq!(lines, [(1, 1, 1), (2, 3, 2), (4, 7, 2), (8, 15, 1)]);
        assert_eq!((histogram.min(), histogram.mean(), histogram.max(), histogram.count()), (1, 4, 8, 6));
        histogram.add(0);
        histogram.add(u64::MAX);
        let lines = histogram.lines();
        assert_eq!((lines[0].to, lines[64].from, lines[64].to), (0, 1 << 63, u64::MAX));
    }

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(0, 10, 4), "");
        assert_eq!(bar(10, 10, 4), "████");
        assert_eq!(bar(5, 10, 4), "██");
        assert_eq!(bar(1, 16, 4), "▎");
        assert_eq!(bar(1, 1_000_000, 4), "▏", "little is not nothing");
        assert_eq!(bar(0, 0, 4), "");
    }
}
