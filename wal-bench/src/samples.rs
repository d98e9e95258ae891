//! Many measurements of one thing, and what is said of them.

use std::time::{Duration, Instant};

/// Measurements, in one unit.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// One more.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes each.
    pub fn map(&mut self, change: impl Fn(f64) -> f64) {
        self.0.iter_mut().for_each(|sample| *sample = change(*sample));
    }

    /// Adds all of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The sample in the middle; 0 if there is none.
    pub fn median(&mut self) -> f64 {
        self.quantile(0.5)
    }

    /// The sample below which this part of all lies; 1.0 is the largest.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of an f64 part of a count far below 2^52"
    )]
    pub fn quantile(&mut self, part: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        let last = self.0.len() - 1;
        let at = ((last as f64 * part).round() as usize).min(last);
        *self.0.select_nth_unstable_by(at, f64::total_cmp).1
    }
}

/// Nanoseconds of one of `count` things that `work` does.
///
/// # Errors
/// Those of `work`.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn ns_each<E>(count: u64, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed().as_nanos() as f64 / count as f64)
}

/// Microseconds of `work`.
///
/// # Errors
/// Those of `work`.
pub fn micros<E>(work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let started = Instant::now();
    work()?;
    Ok(as_micros(started.elapsed()))
}

/// For a unit.
#[must_use]
pub fn as_micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let mut samples = Samples::default();
        assert!(samples.median().abs() < f64::EPSILON);
        (0..=100_u32).rev().for_each(|sample| samples.push(f64::from(sample)));
        for (part, expected) in [(0.0, 0.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert!((samples.quantile(part) - expected).abs() < f64::EPSILON, "{part}");
        }
    }
}
