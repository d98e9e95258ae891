//! What looking at the clock takes, so that it can be subtracted from what was timed with it.

use std::time::Instant;

use super::samples::Samples;

/// The least that two looks at the clock, one after the other, are apart: the median of many. Nanoseconds.
///
/// The time stamp counter is read through the vDSO, in the steps that the kernel's conversion makes; a time of one append is
/// known to about this step, and never to less.
pub(super) fn overhead_ns() -> f64 {
    let mut samples = Samples::default();
    for _ in 0..100_000 {
        let started = Instant::now();
        samples.push(started.elapsed().as_secs_f64() * 1e9);
    }
    samples.median()
}

/// `samples` without what the clock took.
pub(super) fn subtract(samples: &mut Samples, overhead_ns: f64) {
    samples.map(|sample| (sample - overhead_ns).max(0.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clock_took_is_not_in_a_sample() {
        let overhead = overhead_ns();
        assert!((1.0..10_000.0).contains(&overhead), "{overhead}");
        let mut samples = Samples::default();
        [10.0, 30.0, 50.0].into_iter().for_each(|sample| samples.push(sample));
        subtract(&mut samples, 20.0);
        assert!(samples.quantile(0.0).abs() < f64::EPSILON && (samples.median() - 10.0).abs() < 1e-9);
    }
}
