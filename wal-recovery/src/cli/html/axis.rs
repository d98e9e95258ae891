//! The axis of time, with what is idle on all cores squeezed: a log of bursts stays readable. Pure.

/// Stretches that are idle for more than this part of the busy time are squeezed...
const IDLE_PART: u64 = 20;
/// ...to this share of the axis each.
const BREAK_SHARE: f64 = 0.02;

/// A stretch of time and its place on the axis, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Nothing happened in it, and it is squeezed.
    pub(super) is_idle: bool,
}

/// Lays out stretches in which something happened, given in any order.
pub(super) fn layout(mut busy: Vec<(u64, u64)>) -> Vec<Piece> {
    busy.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in busy {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    let busy_ns: u64 = merged.iter().map(|(from, to)| to - from).sum();
    let idle: Vec<u64> = merged.windows(2).map(|pair| pair[1].0 - pair[0].1).collect();
    // A log of single entries has no busy time at all: then what counts as idle is the longest of the gaps between.
    let scale = busy_ns.max(idle.iter().copied().max().unwrap_or(0) / IDLE_PART);
    let limit = (scale / IDLE_PART).max(1);
    let mut stretches: Vec<(u64, u64, bool)> = Vec::new();
    for (from, to) in merged {
        match stretches.last_mut() {
            Some(last) if from - last.1 <= limit => last.1 = to,
            Some(last) => {
                let before = last.1;
                stretches.push((before, from, true));
                stretches.push((from, to, false));
            }
            None => stretches.push((from, to, false)),
        }
    }
    place(&stretches)
}

#[allow(clippy::cast_precision_loss, reason = "places on a picture")]
fn place(stretches: &[(u64, u64, bool)]) -> Vec<Piece> {
    let breaks = stretches.iter().filter(|(.., is_idle)| *is_idle).count();
    let parts = stretches.len() - breaks;
    // With very many breaks there must be something left for what happened.
    let break_share = BREAK_SHARE.min(0.4 / breaks.max(1) as f64);
    let left = 1.0 - break_share * breaks as f64;
    let busy_ns: u64 = stretches.iter().filter(|(.., is_idle)| !is_idle).map(|(from, to, _)| to - from).sum();
    let share = |from: u64, to: u64| {
        // Half by time, half evenly, so that the shortest stretch can be seen.
        let by_time = if busy_ns > 0 { (to - from) as f64 / busy_ns as f64 } else { 1.0 / parts as f64 };
        left * if parts > 1 { f64::midpoint(by_time, 1.0 / parts as f64) } else { by_time }
    };
    let mut at = 0.0;
    let piece = |(from_ns, to_ns, is_idle): &(u64, u64, bool)| {
        let from = at;
        at += if *is_idle { break_share } else { share(*from_ns, *to_ns) };
        Piece { from_ns: *from_ns, to_ns: *to_ns, from, to: at, is_idle: *is_idle }
    };
    stretches.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(busy: &[(u64, u64)], expected: &[(u64, u64, bool)]) {
        let pieces = layout(busy.to_vec());
        let found: Vec<_> = pieces.iter().map(|piece| (piece.from_ns, piece.to_ns, piece.is_idle)).collect();
        assert_eq!(found, expected);
        for pair in pieces.windows(2) {
            assert!(
                (pair[0].to - pair[1].from).abs() < 1e-9 && pair[0].to_ns == pair[1].from_ns,
                "{pieces:?}"
            );
        }
        assert!(pieces.iter().all(|piece| piece.to > piece.from), "{pieces:?}");
        if let (Some(first), Some(last)) = (pieces.first(), pieces.last()) {
            assert!(first.from.abs() < 1e-9 && (last.to - 1.0).abs() < 1e-9, "{pieces:?}");
        }
    }

    #[test]
    fn what_overlaps_or_is_near_is_one_stretch() {
        check(&[(100, 200), (0, 100), (150, 300)], &[(0, 300, false)]);
        check(&[(0, 100), (105, 200)], &[(0, 200, false)]);
    }

    #[test]
    fn long_idleness_is_squeezed() {
        check(
            &[(0, 100), (1_000_000, 1_000_100)],
            &[(0, 100, false), (100, 1_000_000, true), (1_000_000, 1_000_100, false)],
        );
    }

    #[test]
    fn moments_are_placed_too() {
        check(&[], &[]);
        check(&[(7, 7)], &[(7, 7, false)]);
        let expected = [(0, 0, false), (0, 1000, true), (1000, 1001, false)];
        check(&[(0, 0), (1000, 1000), (1001, 1001)], &expected);
    }

    #[test]
    fn many_breaks_leave_room_for_what_happened() {
        let busy: Vec<_> = (0..100).map(|number| (number * 1_000_000, number * 1_000_000 + 10)).collect();
        let pieces = layout(busy);
        let happened: f64 =
            pieces.iter().filter(|piece| !piece.is_idle).map(|piece| piece.to - piece.from).sum();
        assert!(happened > 0.5 && pieces.len() == 199, "{happened}");
    }

    #[test]
    fn among_moments_what_is_idle_is_a_part_of_the_longest_gap() {
        // A twentieth of a twentieth of 1000: gaps of 2 are none.
        check(&[(0, 0), (1000, 1000), (1002, 1002)], &[(0, 0, false), (0, 1000, true), (1000, 1002, false)]);
        check(&[(0, 0), (1000, 1000)], &[(0, 0, false), (0, 1000, true), (1000, 1000, false)]);
    }
}
