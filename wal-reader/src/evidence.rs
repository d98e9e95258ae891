//! What proves that bytes had been durable (`FORMAT.md#verdicts`, the D of its table).

use std::fmt;

use wal_format::{CoreId, Epoch, SegmentNumber, Sequence};

use crate::position::LogPosition;

/// One proof that a core's log had been durable up to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Up to where.
    pub reach: Reach,
    /// Who says so.
    pub witness: Witness,
}

/// Up to where a log had been durable: witnesses count either in bytes or in entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All earlier segments, and this one below the offset.
    Place(SegmentNumber, u64),
    /// All entries below this sequence number.
    Sequence(Sequence),
}

/// Where a proof stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Witness {
    /// `synced_through` of a later frame of the same core.
    Frame {
        /// Segment of the frame.
        segment: SegmentNumber,
        /// Offset of the frame.
        offset: u64,
    },
    /// The header of a later segment of the same core.
    Header {
        /// That segment.
        segment: SegmentNumber,
    },
    /// The checkpoint manifest's position of this core.
    Manifest,
    /// The cut of a barrier, in any core's log, of an epoch recorded as durable.
    Barrier {
        /// The core whose log holds the barrier.
        core: CoreId,
        /// The epoch that it closes.
        epoch: Epoch,
    },
}

impl Evidence {
    /// Whether the log had been durable beyond `at`: a log that ends at `at` lost something.
    #[must_use]
    pub fn is_beyond(&self, at: &LogPosition) -> bool {
        match self.reach {
            Reach::Place(segment, offset) => at.place() < (segment, offset),
            Reach::Sequence(sequence) => at.sequence < sequence,
        }
    }

    /// The farthest of several proofs against `at`: one that reaches beyond it if there is one.
    #[must_use]
    pub fn strongest(proofs: &[Self], at: &LogPosition) -> Option<Self> {
        let rank = |proof: &&Self| match proof.reach {
            Reach::Place(segment, offset) => (proof.is_beyond(at), segment.0, offset),
            Reach::Sequence(sequence) => (proof.is_beyond(at), at.segment.0, sequence.0),
        };
        proofs.iter().max_by_key(rank).copied()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reach {
            Reach::Place(segment, offset) => write!(f, "segment {segment} below offset {offset}")?,
            Reach::Sequence(sequence) => write!(f, "entries below sequence {sequence}")?,
        }
        f.write_str(" had been durable, says ")?;
        match self.witness {
            Witness::Frame { segment, offset } => {
                write!(f, "the frame at segment {segment} offset {offset}")
            }
            Witness::Header { segment } => write!(f, "the header of segment {segment}"),
            Witness::Manifest => f.write_str("the checkpoint manifest"),
            Witness::Barrier { core, epoch } => {
                write!(f, "the barrier of epoch {epoch} in the log of core {core}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proof that the manifest has of this reach.
    fn proof(reach: Reach) -> Evidence {
        Evidence { reach, witness: Witness::Manifest }
    }

    fn place(segment: u64, offset: u64) -> Evidence {
        proof(Reach::Place(SegmentNumber(segment), offset))
    }

    #[test]
    fn a_log_that_ends_where_a_proof_reaches_has_lost_nothing() {
        let at = LogPosition { segment: SegmentNumber(3), offset: 500, sequence: Sequence(70) };
        for (segment, offset, is_beyond) in
            [(2, 900, false), (3, 499, false), (3, 500, false), (3, 501, true), (4, 0, true), (4, 600, true)]
        {
            assert_eq!(place(segment, offset).is_beyond(&at), is_beyond, "{segment} {offset}");
        }
        for (sequence, is_beyond) in [(69, false), (70, false), (71, true)] {
            assert_eq!(proof(Reach::Sequence(Sequence(sequence))).is_beyond(&at), is_beyond, "{sequence}");
        }
    }

    #[test]
    fn the_strongest_proof_is_one_that_the_end_falls_short_of() {
        let at = LogPosition { segment: SegmentNumber(3), offset: 500, sequence: Sequence(70) };
        assert_eq!(Evidence::strongest(&[], &at), None);
        let (entries, far) = (proof(Reach::Sequence(Sequence(71))), place(4, 4096));
        for proofs in
            [[place(2, 900), far, entries], [entries, far, place(3, 500)], [far, entries, place(3, 600)]]
        {
            assert_eq!(Evidence::strongest(&proofs, &at), Some(far));
        }
        assert_eq!(Evidence::strongest(&[place(3, 500), entries, place(2, 900)], &at), Some(entries));
        assert_eq!(Evidence::strongest(&[place(2, 900), place(3, 20)], &at), Some(place(3, 20)));
    }

    #[test]
    fn a_proof_says_how_far_it_reaches_and_where_it_stands() {
        let place = Reach::Place(SegmentNumber(3), 4096);
        let segment = SegmentNumber(4);
        for (reach, witness, text) in [
            (place, Witness::Frame { segment, offset: 64 }, "the frame at segment 4 offset 64"),
            (place, Witness::Header { segment }, "the header of segment 4"),
            (place, Witness::Manifest, "the checkpoint manifest"),
            (
                Reach::Sequence(Sequence(9)),
                Witness::Barrier { core: CoreId(1), epoch: Epoch(5) },
                "the barrier of epoch 5 in the log of core 1",
            ),
        ] {
            let reaches =
                if reach == place { "segment 3 below offset 4096" } else { "entries below sequence 9" };
            let expected = format!("{reaches} had been durable, says {text}");
            assert_eq!(Evidence { reach, witness }.to_string(), expected);
        }
    }
}
