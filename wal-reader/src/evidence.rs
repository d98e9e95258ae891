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
