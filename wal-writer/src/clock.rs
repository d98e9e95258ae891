//! Timestamps: a hybrid clock that is cheap to read and never goes back within a core.
//!
//! The time comes from the CPU's counter, calibrated once and anchored to the wall clock when the log is opened; it
//! is then made monotonic (`max(last, now)`) and causal ([`HybridClock::observe`]). A counter read is not ordered
//! with memory accesses and cores' counters differ by nanoseconds, so the time alone does not put a reaction behind
//! its cause on another core: `observe` does, and so does the epoch.

#[cfg(feature = "testing")]
pub(crate) mod hostile;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Where the time comes from. Tests inject their own.
pub trait TimeSource: Send + Sync {
    /// Nanoseconds since the Unix epoch. May step back or stand still: the caller guards against it.
    fn now_ns(&self) -> u64;

    /// Nanoseconds since any moment, for durations: what statistics say of how long things took. The system's monotonic
    /// clock unless overridden, so that a source that steps or stands still does not take them with it.
    fn monotonic_ns(&self) -> u64 {
        system_monotonic_ns()
    }
}

/// The clock of a log: shared by its cores, each of which makes its own [`HybridClock`] of it.
#[derive(Clone)]
pub struct Clock(Kind);

#[derive(Clone)]
enum Kind {
    /// Held by value and called without indirection: the append path.
    Counter {
        counter: quanta::Clock,
        anchor: u64,
        anchor_unix_ns: u64,
    },
    Injected(Arc<dyn TimeSource>),
}

impl Clock {
    /// The CPU's counter where it is usable, the system's monotonic clock otherwise, anchored to the wall clock now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the home of the wall clock")]
    pub fn system() -> Self {
        #[cfg(feature = "testing")]
        if let Some(hostile) = hostile::HostileClock::from_environment() {
            return Self::injected(Arc::new(hostile));
        }
        let counter = quanta::Clock::new();
        let anchor = counter.raw();
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let anchor_unix_ns = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
        Self(Kind::Counter { counter, anchor, anchor_unix_ns })
    }

    /// A clock of the caller's.
    #[must_use]
    pub fn injected(source: Arc<dyn TimeSource>) -> Self {
        Self(Kind::Injected(source))
    }

    /// Nanoseconds since the Unix epoch; about 10 ns to read. May go back when threads compare.
    #[inline]
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        match &self.0 {
            Kind::Counter { counter, anchor, anchor_unix_ns } => {
                anchor_unix_ns + counter.delta_as_nanos(*anchor, counter.raw())
            }
            Kind::Injected(source) => source.now_ns(),
        }
    }
}

impl Clock {
    /// Nanoseconds since any moment, for durations. Never on the append path.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        match &self.0 {
            Kind::Counter { counter, anchor, .. } => counter.delta_as_nanos(*anchor, counter.raw()),
            Kind::Injected(source) => source.monotonic_ns(),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the home of clocks")]
fn system_monotonic_ns() -> u64 {
    static ANCHOR: OnceLock<Instant> = OnceLock::new();
    let since = ANCHOR.get_or_init(Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Counter { .. } => "Clock::system",
            Kind::Injected(_) => "Clock::injected",
        })
    }
}

/// One core's timestamps: never decreasing, never below what was observed.
#[derive(Debug)]
pub struct HybridClock {
    clock: Clock,
    /// No timestamp below this is given out.
    floor: u64,
}

impl HybridClock {
    /// A clock whose timestamps are at least `floor`: what recovery saw.
    #[must_use]
    pub fn new(clock: Clock, floor: u64) -> Self {
        Self { clock, floor }
    }

    /// The next timestamp: at least every one before, greater than every observed one.
    #[inline]
    pub fn next_ns(&mut self) -> u64 {
        self.floor = self.floor.max(self.clock.now_ns());
        self.floor
    }

    /// Takes note of a timestamp from another core: the next one is greater.
    pub fn observe(&mut self, timestamp_ns: u64) {
        self.floor = self.floor.max(timestamp_ns.saturating_add(1));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::AtomicU64;
    use std::sync::atomic::Ordering::Relaxed;

    struct Stepping(AtomicU64);
    impl TimeSource for Stepping {
        fn now_ns(&self) -> u64 {
            // 100, 50, 0, 0, ...: a clock that is set back and then stands still.
            self.0.fetch_update(Relaxed, Relaxed, |now| Some(now.saturating_sub(50))).unwrap_or(0)
        }
    }

    #[test]
    fn a_clock_that_steps_back_never_takes_timestamps_with_it() {
        let mut clock = HybridClock::new(Clock::injected(Arc::new(Stepping(AtomicU64::new(100)))), 60);
        assert_eq!([clock.next_ns(), clock.next_ns(), clock.next_ns()], [100; 3]);
    }

    #[test]
    fn a_reaction_is_later_than_what_it_observed() {
        let mut clock = HybridClock::new(Clock::injected(Arc::new(Stepping(AtomicU64::new(100)))), 0);
        clock.observe(5_000);
        assert_eq!(clock.next_ns(), 5_001);
    }

    #[test]
    fn the_floor_from_recovery_holds() {
        let mut clock = HybridClock::new(Clock::system(), u64::MAX - 1);
        assert_eq!(clock.next_ns(), u64::MAX - 1);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "compared with the clock that it is to be")]
    fn durations_are_of_the_systems_clock_whatever_the_time_does() {
        let clock = Clock::injected(Arc::new(Stepping(AtomicU64::new(0))));
        let (begun, first) = (Instant::now(), clock.monotonic_ns());
        let mut last = first;
        while last == first || begun.elapsed().as_micros() < 100 {
            let now = clock.monotonic_ns();
            assert!(now >= last);
            last = now;
        }
        assert!(u128::from(last - first) <= begun.elapsed().as_nanos());
    }

    #[test]
    fn it_prints_as_what_it_is() {
        let injected = Clock::injected(Arc::new(Stepping(AtomicU64::new(0))));
        assert_eq!(
            format!("{:?}", [Clock(Clock::system().0), injected.clone()]).matches("Clock::").count(),
            2
        );
        assert_eq!(format!("{injected:?}"), "Clock::injected");
    }
}
