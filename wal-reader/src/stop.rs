//! Where and why the frames of a segment end: one column of `FORMAT.md#verdicts`, with the detail for messages.

use std::fmt;

use wal_format::{Damage, Finding, SegmentNumber};

/// Outcome of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame: see [`FrameReader::header`](crate::FrameReader::header) and its payload.
    Frame,
    /// No frame follows.
    Stop(Stop),
}

/// Where and why a segment stops being readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// First byte that is not part of a frame.
    pub offset: u64,
    /// What stands there.
    pub reason: StopReason,
}

/// What stands behind the last frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The given end, exactly.
    End,
    /// Zeros, or the end of the file.
    Nothing,
    /// A frame of an earlier life of the file, and the segment that it was then.
    Stale(SegmentNumber),
    /// Bytes that fail a check.
    Damage(Damage),
    /// The log reaches the end of a segment, but the next one cannot follow.
    Successor {
        /// The next segment.
        segment: SegmentNumber,
        /// Which check its header fails.
        damage: Damage,
    },
}

impl StopReason {
    /// The column of the verdict table.
    #[must_use]
    pub fn finding(&self) -> Finding {
        match self {
            Self::End | Self::Nothing => Finding::Nothing,
            Self::Stale(_) => Finding::Stale,
            Self::Damage(_) | Self::Successor { .. } => Finding::Damage,
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end that was asked for"),
            Self::Nothing => f.write_str("nothing stands there"),
            Self::Stale(segment) => {
                write!(f, "a frame from the time when the file was segment {segment} stands there")
            }
            Self::Damage(damage) => damage.fmt(f),
            Self::Successor { segment, damage } => {
                write!(f, "segment {segment} cannot follow: {damage}")
            }
        }
    }
}
