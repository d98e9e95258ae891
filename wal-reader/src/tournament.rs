//! Which of several sorted streams has the least key: a tree of losers (Knuth, The Art of Computer Programming 3, 5.4.1).
//!
//! Every match between two streams is kept as who lost it. When the winner's key changes, only its own matches are
//! played again: as many comparisons as the tree is high, whoever wins. Not for streams that join later.

use wal_format::{Epoch, OrderKey};

/// A place in the global order, without the sequence number: streams are of different cores, so it decides nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    epoch_and_timestamp: u128,
    core: u32,
}

impl Key {
    /// Above every other: that of a stream at its end. No core has this number.
    pub(crate) const END: Self = Self { epoch_and_timestamp: u128::MAX, core: u32::MAX };

    #[inline]
    pub(crate) fn of(key: &OrderKey) -> Self {
        let epoch_and_timestamp = u128::from(key.epoch.0) << 64 | u128::from(key.timestamp_ns);
        Self { epoch_and_timestamp, core: u32::from(key.core_id.0) }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "its upper half")]
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch((self.epoch_and_timestamp >> 64) as u64)
    }

    /// Without branches: in a merge nobody can predict which core is next.
    #[inline]
    pub(crate) fn is_below(&self, other: &Self) -> bool {
        (self.epoch_and_timestamp < other.epoch_and_timestamp)
            | ((self.epoch_and_timestamp == other.epoch_and_timestamp) & (self.core < other.core))
    }
}

/// A stream in a match.
#[derive(Clone, Copy, Debug)]
struct Player {
    key: Key,
    stream: usize,
}

/// The tree. Stream i is the leaf at i + their number; the parent of a node is at half its place.
pub(crate) struct Tournament {
    winner: Player,
    /// Who lost at each inner node; the first is not used.
    losers: Vec<Player>,
}

impl Tournament {
    /// Plays all matches.
    pub(crate) fn new(keys: &[Key]) -> Self {
        let leaves = keys.iter().enumerate().map(|(stream, key)| Player { key: *key, stream });
        let none = Player { key: Key::END, stream: 0 };
        let mut winners: Vec<_> = std::iter::repeat_n(none, keys.len()).chain(leaves).collect();
        let mut losers = vec![none; keys.len()];
        for node in (1..keys.len()).rev() {
            let (left, right) = (winners[2 * node], winners[2 * node + 1]);
            let is_left = left.key.is_below(&right.key);
            (winners[node], losers[node]) = if is_left { (left, right) } else { (right, left) };
        }
        Self { winner: winners.get(1).copied().unwrap_or(none), losers }
    }

    /// The stream with the least key, and that; [`Key::END`] if all are at their ends.
    #[inline]
    pub(crate) fn winner(&self) -> (usize, Key) {
        (self.winner.stream, self.winner.key)
    }

    /// The winner has a new key.
    #[inline]
    pub(crate) fn replace(&mut self, key: Key) {
        let mut winner = Player { key, ..self.winner };
        let mut node = (winner.stream + self.losers.len()) / 2;
        while let Some(loser) = self.losers.get_mut(node)
            && node > 0
        {
            let other = *loser;
            let is_other = other.key.is_below(&winner.key);
            *loser = if is_other { winner } else { other };
            winner = if is_other { other } else { winner };
            node /= 2;
        }
        self.winner = winner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, Sequence};

    fn key(epoch: u64, timestamp_ns: u64, core: u16) -> Key {
        let (epoch, core_id) = (Epoch(epoch), CoreId(core));
        Key::of(&OrderKey { epoch, timestamp_ns, core_id, sequence: Sequence(0) })
    }

    #[test]
    fn keys_rank_epoch_then_timestamp_then_core_and_the_end_last() {
        let keys = [
            key(0, 0, 1),
            key(0, 5, 0),
            key(0, u64::MAX, 0),
            key(1, 0, 0),
            key(1, 0, 1),
            key(1, 2, 0),
            key(u64::MAX, u64::MAX, u16::MAX),
            Key::END,
        ];
        for (at, a) in keys.iter().enumerate() {
            for (beside, b) in keys.iter().enumerate() {
                assert_eq!(a.is_below(b), at < beside, "{a:?} and {b:?}");
            }
        }
        assert_eq!(key(7, u64::MAX, 3).epoch(), Epoch(7));
    }

    #[test]
    fn any_number_of_streams_comes_out_sorted() {
        for count in 0..=17_usize {
            // Stream i has the numbers of a walk, in steps that depend on i, some of them zero.
            let stream = |index: usize| {
                let steps = (0..20 * (index % 4)).scan(index as u64, move |at, step| {
                    *at += (step * 7 + index * 3) as u64 % 5;
                    Some(*at)
                });
                steps.map(move |at| key(at / 16, at, u16::try_from(index).unwrap())).collect::<Vec<_>>()
            };
            let mut expected: Vec<_> = (0..count).flat_map(stream).collect();
            expected.sort_by_key(|key| (key.epoch_and_timestamp, key.core));
            let mut streams: Vec<_> = (0..count).map(|index| stream(index).into_iter()).collect();
            let firsts: Vec<_> = streams.iter_mut().map(|stream| stream.next().unwrap_or(Key::END)).collect();
            let mut tournament = Tournament::new(&firsts);
            let mut found = Vec::new();
            while tournament.winner().1 != Key::END {
                let (winner, key) = tournament.winner();
                found.push(key);
                tournament.replace(streams[winner].next().unwrap_or(Key::END));
            }
            assert_eq!(found, expected, "{count} streams");
        }
    }
}
