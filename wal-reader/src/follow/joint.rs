//! Which segment comes before one that links to a segment that never was.
//!
//! A checkpoint points behind the segment in which it cut the log, at one that may not be there yet. If the engine ends before
//! it is begun, the next opening links its segment to that place (`FORMAT.md#segment-header`): recovery needs nothing before
//! it. A follower that was late does, and a pin has kept it.
//!
//! Promises to name only a segment whose whole frames lead to exactly the sequence number and the timestamp with which the
//! upper one begins. So it is not one that an opening cut off, which a power loss brought back after its release: a later
//! life does not repeat an earlier one's timestamps. Reads such a segment once, with one buffer. Not for chains as they are:
//! those are followed by their headers alone.

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{SegmentHeader, SegmentSeed};

use crate::error::ReadError;
use crate::frames::{Depth, FrameReader, Order};
use crate::segment::{open_segment, segment_name};
use crate::source::Source;
use crate::stop::Step;

/// Where the segment of `lower` ends, if it is what comes right before that of `upper`.
pub(super) fn joint(
    source: &dyn Source,
    lower: &SegmentHeader,
    upper: &SegmentHeader,
) -> Result<Option<u64>, ReadError> {
    let SegmentHeader { log_id, core, segment, .. } = *lower;
    let Some(file) = open_segment(source, core, segment)? else { return Ok(None) };
    let path = source.path(&segment_name(core, segment));
    let order = Order { sequence: lower.first_sequence, ..Order::default() }.raised_by(lower);
    let (seed, from) = (SegmentSeed::new(log_id, core, segment), HEADER_BLOCK_BYTES as u64);
    let mut frames = FrameReader::new(file, &path, seed, from, None, order, Depth::Entries)?;
    // Ends: each turn reads a frame. The first look is before any: an opening may have begun it, and nothing came.
    loop {
        let Order { sequence, timestamp, .. } = frames.order();
        if sequence >= upper.first_sequence {
            let is_next = (sequence, timestamp) == (upper.first_sequence, upper.last_timestamp);
            return Ok(is_next.then(|| frames.next_offset()));
        }
        if frames.step()? != Step::Frame {
            return Ok(None);
        }
    }
}
