//! A clock that does what real ones have done, and worse: stands still, steps back by anything up to a day, jumps ahead by
//! up to a year, and says something else on every thread. For tests.
//!
//! With `WAL_HOSTILE_CLOCK=SEED` in the environment, [`Clock::system`](super::Clock::system) is such a clock in every build
//! with the feature `testing`: a whole test suite runs on it.

use std::cell::Cell;

use super::TimeSource;
use crate::sync::PlainMutex;

/// Nanoseconds of a day.
const DAY: u64 = 86_400_000_000_000;
/// 2024, about.
const BEGIN: u64 = 1_700_000_000_000_000_000;

/// A hostile clock, by seed. Its time depends on how often it is read, and on by whom.
#[derive(Debug)]
pub struct HostileClock(PlainMutex<State>);

#[derive(Debug)]
struct State {
    random: u64,
    now: u64,
    /// Reads for which it goes on as it does.
    rest: u64,
    pace: u64,
}

thread_local! {
    /// How far this thread's counter is ahead of the others'.
    static SKEW: Cell<Option<u64>> = const { Cell::new(None) };
}

impl HostileClock {
    /// The clock with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(PlainMutex::new(State { random: seed, now: BEGIN, rest: 0, pace: 0 }))
    }

    /// The one that the environment asks for.
    pub(super) fn from_environment() -> Option<Self> {
        let seed = std::env::var("WAL_HOSTILE_CLOCK").ok()?;
        Some(Self::new(seed.parse().unwrap_or_else(|_| panic!("WAL_HOSTILE_CLOCK={seed} is not a number"))))
    }
}

impl TimeSource for HostileClock {
    fn now_ns(&self) -> u64 {
        let mut state = self.0.lock();
        if state.rest == 0 {
            state.change();
        }
        state.rest -= 1;
        state.now = state.now.saturating_add(state.pace);
        let skew = SKEW.get().unwrap_or_else(|| state.next() % 3_000);
        SKEW.set(Some(skew));
        state.now.saturating_add(skew)
    }
}

impl State {
    /// What it does next, and for how long.
    fn change(&mut self) {
        self.rest = 1 + self.next() % 40;
        let far = self.next();
        (self.now, self.pace) = match self.next() % 6 {
            0 | 1 => (self.now, 0),
            2 => (self.now, 1 + far % 100),
            3 => (self.now.saturating_sub(far % 10_000), 1),
            4 => (self.now.saturating_sub(far % DAY), far % 3),
            _ if far.is_multiple_of(8) => (self.now + far % (365 * DAY), 1),
            _ => (self.now + far % 1_000_000, 7),
        };
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_clock_steps_back_stands_still_and_jumps_a_day_ahead() {
        let clock = HostileClock::new(1);
        let times: Vec<_> = (0..20_000).map(|_| clock.now_ns()).collect();
        let steps = || times.windows(2).map(|pair| (pair[0], pair[1]));
        assert!(steps().any(|(before, after)| after + DAY / 2 < before), "steps back");
        assert!(steps().any(|(before, after)| after == before), "stands still");
        assert!(steps().any(|(before, after)| after > before + DAY), "jumps ahead");
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| clock.now_ns()).join());
        assert!(elsewhere.is_ok());
    }
}
