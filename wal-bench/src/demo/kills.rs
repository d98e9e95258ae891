//! When to kill: decided before the run, from the seed.

use std::time::Duration;

use crate::random::Random;

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// When this many thousandths of the work are acknowledged, and this much later.
    AtWork { thousandths: u64, delay: Duration },
    /// While the engine starts and recovers: when this many thousandths of the last recovery's time have passed.
    InRecovery { thousandths: u64 },
}

/// `count` kills, spread over the work; every third one hits the recovery from the one before.
pub(super) fn plan(seed: u64, count: usize) -> Vec<Kill> {
    let mut random = Random::new(seed);
    let in_recovery = count / 3;
    let mut moments: Vec<u64> = (0..count - in_recovery).map(|_| random.within(20..970)).collect();
    moments.sort_unstable();
    let mut kills = Vec::with_capacity(count);
    for (index, thousandths) in moments.into_iter().enumerate() {
        let delay = Duration::from_micros(random.within(0..15_000));
        kills.push(Kill::AtWork { thousandths, delay });
        if index % 2 == 1 && kills.len() < count {
            kills.push(Kill::InRecovery { thousandths: random.within(50..950) });
        }
    }
    while kills.len() < count {
        kills.push(Kill::InRecovery { thousandths: random.within(50..950) });
    }
    kills
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_as_many_kills_as_asked_in_order_of_the_work() {
        for count in 0..40 {
            let kills = plan(7, count);
            assert_eq!(kills.len(), count);
            let works: Vec<_> = kills
                .iter()
                .filter_map(|kill| match kill {
                    Kill::AtWork { thousandths, .. } => Some(*thousandths),
                    Kill::InRecovery { .. } => None,
                })
                .collect();
            assert!(works.is_sorted(), "{works:?}");
            assert_eq!(kills, plan(7, count), "the same seed, the same plan");
        }
    }
}
