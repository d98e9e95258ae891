//! Where in a core's log something stands.

use std::fmt;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{SegmentNumber, Sequence};

/// A place in one core's log: a segment, a byte offset in its file, and the sequence number there.
///
/// Positions of one core are ordered as its log is. The sequence number is that of the first entry at or behind the
/// offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPosition {
    /// The segment.
    pub segment: SegmentNumber,
    /// Bytes from the start of its file; a frame starts or ends here.
    pub offset: u64,
    /// Sequence number of the next entry from here.
    pub sequence: Sequence,
}

impl LogPosition {
    /// Where the frames of `segment` begin.
    #[must_use]
    pub fn start_of(segment: SegmentNumber, sequence: Sequence) -> Self {
        Self { segment, offset: HEADER_BLOCK_BYTES as u64, sequence }
    }

    /// Segment and offset, by which positions compare.
    #[must_use]
    pub fn place(&self) -> (SegmentNumber, u64) {
        (self.segment, self.offset)
    }
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} offset {} sequence {}", self.segment, self.offset, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_says_segment_offset_and_sequence() {
        let start = LogPosition::start_of(SegmentNumber(3), Sequence(70));
        assert_eq!(start.place(), (SegmentNumber(3), 4096));
        assert_eq!(start.to_string(), "segment 3 offset 4096 sequence 70");
    }
}
