//! Which runs to merge: size tiers. Pure; lengths in, groups out.
//!
//! A run is of tier t if its length is at least 4^t units. Only adjacent runs merge, since later ones win over earlier
//! ones. Three rules, applied as if the runs had come one after the other, each merge as long as its parts together:
//!
//! 1. a run takes in those directly before it that are of a lower tier;
//! 2. four runs of one tier merge, which makes one of a higher tier, unless keys repeat;
//! 3. if all the others together are three times as long as the oldest run, all merge.
//!
//! By 1 and 2 there are at most three runs of a tier, so at most `3 * (1 + log4(bytes / unit))`. A byte is written
//! once, once more by rule 1, and then only when it rises a tier (or when as many bytes are found overwritten), so
//! write cost is O(log n) a byte. Rule 3 bounds the space of what was overwritten or deleted to three times that of
//! the oldest run, and costs at most 4/3 more for each new byte.

use std::ops::Range;

/// Runs of one tier that merge, and how much longer each tier is.
const FAN: usize = 4;
const FAN_LOG2: u32 = FAN.ilog2();
/// Shorter runs are all of tier 0: about the size of the smallest run there can be.
const UNIT_BYTES: u64 = 8 * 1024;
/// Rule 3.
const OTHERS_TO_OLDEST: u64 = 3;

/// Some adjacent runs, merged or to be merged.
struct Group {
    runs: Range<usize>,
    bytes: u64,
}

/// Splits the runs, whose lengths are given oldest first, into adjacent groups, each of which is to become one run.
pub(super) fn plan(lengths: impl IntoIterator<Item = u64>) -> Vec<Range<usize>> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, bytes) in lengths.into_iter().enumerate() {
        groups.push(Group { runs: index..index + 1, bytes });
        while let Some(from) = due(&groups) {
            let merged = Group {
                runs: groups[from].runs.start..index + 1,
                bytes: groups[from..].iter().map(|group| group.bytes).sum(),
            };
            groups.truncate(from);
            groups.push(merged);
        }
    }
    groups.into_iter().map(|group| group.runs).collect()
}

/// From which group on all should merge, if so.
fn due(groups: &[Group]) -> Option<usize> {
    let (newest, before) = groups.split_last()?;
    let oldest = before.first()?;
    let others: u64 = groups[1..].iter().map(|group| group.bytes).sum();
    if others >= OTHERS_TO_OLDEST * oldest.bytes {
        return Some(0);
    }
    let tier = tier(newest.bytes);
    let from_first = |is_in: &dyn Fn(u32) -> bool| {
        before.iter().rposition(|group| !is_in(self::tier(group.bytes))).map_or(0, |last_out| last_out + 1)
    };
    let lower = from_first(&|other| other < tier);
    if lower < before.len() {
        return Some(lower);
    }
    let same = from_first(&|other| other == tier);
    (groups.len() - same >= FAN).then_some(same)
}

fn tier(bytes: u64) -> u32 {
    (bytes / UNIT_BYTES).max(1).ilog2() / FAN_LOG2
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[track_caller]
    fn check(lengths: &[u64], expected: &[Range<usize>]) {
        assert_eq!(plan(lengths.iter().copied()), expected, "{lengths:?}");
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, reason = "one group of runs, not a list of numbers")]
    fn groups_follow_the_rules() {
        check(&[], &[]);
        check(&[MIB], &[0..1]);
        // Fewer than four of one tier stay.
        check(&[100 * MIB, MIB, MIB, MIB], &[0..1, 1..2, 2..3, 3..4]);
        check(&[100 * MIB, MIB, MIB, MIB, MIB], &[0..1, 1..5]);
        // A merge that rises a tier meets three there: one merge for all.
        check(&[900 * MIB, 4 * MIB, 4 * MIB, 4 * MIB, MIB, MIB, MIB, MIB], &[0..1, 1..8]);
        // A small run between large ones goes into the newer.
        check(&[900 * MIB, MIB, 64 * MIB], &[0..1, 1..3]);
        // The others are three times the oldest.
        check(&[MIB, MIB, MIB], &[0..1, 1..2, 2..3]);
        check(&[MIB, 1900 * 1024, 1900 * 1024], &[0..3]);
        check(&[MIB, 3 * MIB], &[0..2]);
        // Many new runs of one delta.
        check(&[64 * MIB; 9], &[0..4, 4..8, 8..9]);
        check(&[0; 3], &[0..3]);
    }

    #[test]
    fn each_tier_begins_at_four_times_the_length_of_the_one_before() {
        assert_eq!(tier(0), 0);
        for (expected, length) in (1..20).map(|tier| (tier, UNIT_BYTES << (2 * tier))) {
            assert_eq!((tier(length - 1), tier(length)), (expected - 1, expected), "{length} bytes");
        }
    }

    /// Adds `count` runs one by one, merging as planned; returns the most runs there were and the bytes written.
    fn simulate(lengths: impl Iterator<Item = u64>) -> (usize, u64) {
        let (mut runs, mut runs_max, mut written) = (Vec::<u64>::new(), 0, 0);
        for length in lengths {
            runs.push(length);
            let groups = plan(runs.iter().copied());
            let merges = groups.iter().filter(|group| group.len() > 1 || group.end == runs.len());
            written += merges.flat_map(|group| &runs[group.clone()]).sum::<u64>();
            runs = groups.into_iter().map(|group| runs[group].iter().sum()).collect();
            runs_max = runs_max.max(runs.len());
        }
        (runs_max, written)
    }

    #[test]
    fn runs_and_write_cost_stay_logarithmic_for_equal_growing_shrinking_and_mixed_deltas() {
        let shapes = ["equal", "growing", "shrinking", "alternating", "mixed"];
        for name in shapes {
            let length = |index: u64| match name {
                "equal" => MIB,
                "growing" => (index + 1) * 10_000,
                "shrinking" => (10_001 - index) * 10_000,
                "alternating" if index.is_multiple_of(2) => 5000,
                "alternating" => 8 * MIB,
                _ => 5000 << ((index * 7919) % 13),
            };
            let total: u64 = (0..10_000).map(length).sum();
            let (runs_max, written) = simulate((0..10_000).map(length));
            let tiers = u64::from(tier(total)) + 1;
            assert!(runs_max as u64 <= 3 * tiers, "{name}: {runs_max} runs in {tiers} tiers");
            // Once, once by rule 1, once per tier risen, and what rule 3 adds.
            let bound = total * (tiers + 3);
            assert!(written <= bound, "{name}: {written} bytes written, bound {bound}");
            println!(
                "{name}: {runs_max} runs, {:.2} writes a byte, {tiers} tiers",
                written as f64 / total as f64
            );
        }
    }
}
