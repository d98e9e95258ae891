//! Which sequence numbers the pieces of a torn log get in the new one. Pure.

use wal_format::Sequence;
use wal_reader::{Gap, Reach};

use crate::plan::CorePlan;

/// Consecutive entries of one core between two gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of its first entry in the original.
    pub original: Sequence,
    /// How many entries it has.
    pub entries: u64,
    /// Number of its first entry in the new log.
    pub renumbered: Sequence,
}

/// The pieces of a core's log, in order; without entries there is one that says where the log goes on.
pub(super) fn pieces(core: &CorePlan) -> Vec<Piece> {
    let gaps: Vec<_> = core.gaps.iter().filter_map(|gap| bounds(gap, core)).collect();
    number(core.scan.begin.sequence, core.end.sequence, &gaps)
}

/// First number that is lost, and first that is known again, of a gap below the end of what is taken.
fn bounds(gap: &Gap, core: &CorePlan) -> Option<(Sequence, Sequence)> {
    if gap.from.place() > core.end.place() {
        return None;
    }
    // Behind the end only a witness that counts entries knows how many there were.
    let proven = core.ending.evidence.and_then(|evidence| match evidence.reach {
        Reach::Sequence(sequence) => Some(sequence),
        Reach::Place(..) => None,
    });
    let to = gap.to.map_or(proven.unwrap_or(gap.from.sequence), |to| to.sequence);
    Some((gap.from.sequence, to.max(gap.from.sequence)))
}

/// `begin` to `end`, without `gaps` (ascending, each from its first lost number to its first known one).
fn number(begin: Sequence, end: Sequence, gaps: &[(Sequence, Sequence)]) -> Vec<Piece> {
    let mut bounds = vec![];
    let mut from = begin;
    for (lost, known) in gaps {
        bounds.push((from, *lost, known.0 - lost.0));
        from = *known;
    }
    if from < end || gaps.is_empty() {
        bounds.push((from, end, 0));
    }
    let mut pieces = Vec::with_capacity(bounds.len());
    let mut lost_behind = 0_u64;
    for (from, to, lost) in bounds.into_iter().rev() {
        lost_behind = lost_behind.saturating_add(lost);
        let entries = to.0.saturating_sub(from.0);
        pieces.push(Piece { original: from, entries, renumbered: from.plus(lost_behind) });
    }
    pieces.reverse();
    let empty = |piece: &Piece| piece.entries == 0;
    // Where the log begins and goes on is said by the first and the last piece, whether or not they have entries.
    let last = pieces.len().saturating_sub(1);
    let mut index = 0;
    pieces.retain(|piece| {
        index += 1;
        !empty(piece) || index - 1 == last
    });
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(begin: u64, end: u64, gaps: &[(u64, u64)], expected: &[(u64, u64, u64)]) {
        let gaps: Vec<_> = gaps.iter().map(|(from, to)| (Sequence(*from), Sequence(*to))).collect();
        let pieces = number(Sequence(begin), Sequence(end), &gaps);
        let found: Vec<_> =
            pieces.iter().map(|piece| (piece.original.0, piece.entries, piece.renumbered.0)).collect();
        assert_eq!(found, expected);
        // In the new log the pieces follow from each other.
        assert!(pieces.is_sorted_by(|a, b| a.renumbered.plus(a.entries) == b.renumbered), "{pieces:?}");
    }

    #[test]
    fn a_log_without_gaps_keeps_its_numbers() {
        check(0, 10, &[], &[(0, 10, 0)]);
        check(7, 10, &[], &[(7, 3, 7)]);
        check(0, 0, &[], &[(0, 0, 0)]);
    }

    #[test]
    fn pieces_before_a_gap_are_numbered_up_to_the_piece_behind_it() {
        check(0, 10, &[(3, 5)], &[(0, 3, 2), (5, 5, 5)]);
        check(2, 20, &[(3, 5), (6, 16)], &[(2, 1, 14), (5, 1, 15), (16, 4, 16)]);
    }

    #[test]
    fn a_lost_beginning_renumbers_nothing() {
        check(0, 10, &[(0, 6)], &[(6, 4, 6)]);
    }

    #[test]
    fn numbers_of_a_lost_end_are_not_given_out_again() {
        check(0, 10, &[(10, 14)], &[(0, 10, 4)]);
        check(0, 0, &[(0, 14)], &[(0, 0, 14)]);
        check(0, 10, &[(10, 10)], &[(0, 10, 0)]);
    }
}
