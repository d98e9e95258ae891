//! Space: how much may be accepted, given what files are at hand.
//!
//! An entry is accepted only if the rest of the current segment, or the spare one, can hold all that is not written
//! yet: one of them alone, since a frame that does not fit the rest leaves it unused. Many small frames use up more
//! than they were counted for; the drain notices ([`Drain::is_overdrawn`]) and the writer asks again. What can still
//! meet a full disk is the next segment after a seal or a failed sync: then entries stay in the ring until there is
//! room.

use super::Drain;
use crate::segment::SegmentWriter;
use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};

/// What a segment needs besides its frames: header block, seal, and the alignment of what follows.
pub(super) const SEGMENT_OVERHEAD_BYTES: u64 = HEADER_BLOCK_BYTES as u64 + 1024;
/// Frames that are not full: some epochs, a barrier.
const SLACK_BYTES: u64 = 1024;

/// Ring bytes that `room` bytes of a file can hold for certain.
fn usable(room: u64) -> u64 {
    room.saturating_sub(room / 64 + SLACK_BYTES)
}

/// A segment of which at least `bytes` are usable.
fn segment_bytes_for(bytes: u64) -> u64 {
    bytes + bytes / 32 + 2 * SLACK_BYTES + SEGMENT_OVERHEAD_BYTES
}

impl Drain {
    /// Lets the writer fill the ring up to the returned position: at least to `needed`, at most to `wanted`.
    pub(crate) fn grant(&mut self, needed: u64, wanted: u64) -> Result<u64, crate::error::WriterError> {
        if self.space_limit() < needed {
            let bytes = needed - self.written.position + self.large_bytes();
            self.supply.ensure(self.core, segment_bytes_for(bytes))?;
            assert!(self.space_limit() >= needed, "a segment made for these bytes holds them");
        }
        self.granted = self.space_limit().min(wanted.max(needed));
        Ok(self.granted)
    }

    /// Whether what was granted is no longer backed by space.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.space_limit() < self.granted
    }

    /// Ring position up to which there is space on the medium.
    fn space_limit(&self) -> u64 {
        let room = self.segment.as_ref().map_or(0, SegmentWriter::room);
        let spare = self.supply.spare_bytes(self.core).saturating_sub(SEGMENT_OVERHEAD_BYTES);
        self.written.position + usable(room.max(spare)).saturating_sub(self.large_bytes())
    }

    /// Bytes that are beside the ring and not yet written.
    fn large_bytes(&self) -> u64 {
        let pending = self.large.iter().filter(|large| large.index >= self.written.large);
        pending.map(|large| (large.payload.len() + FRAME_HEADER_BYTES) as u64).sum()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use wal_format::limits::{FRAME_ALIGN_BYTES, FRAME_PAYLOAD_BYTES_TARGET};

    use super::*;

    #[test]
    fn a_segment_made_for_some_bytes_holds_them() {
        for bytes in (0..64).flat_map(|bits| [(1_u64 << bits) / 64, ((1_u64 << bits) - 1) / 64]) {
            assert!(usable(segment_bytes_for(bytes) - SEGMENT_OVERHEAD_BYTES) >= bytes, "{bytes}");
        }
    }

    #[test]
    fn what_is_usable_has_room_with_the_frames_around_it() {
        for room in (10..40).flat_map(|bits| [1_u64 << bits, (1 << bits) + 63, (3 << bits) - 1]) {
            let bytes = usable(room);
            // An entry that does not fit closes a frame, so that of two in a row the larger one is half full.
            let frames = 1 + bytes.div_ceil(FRAME_PAYLOAD_BYTES_TARGET as u64 / 2);
            let around = (FRAME_HEADER_BYTES + FRAME_ALIGN_BYTES) as u64;
            assert!(bytes == 0 || bytes + frames * around <= room, "{room}");
            assert!(bytes >= (room - room / 32).saturating_sub(2 * SLACK_BYTES), "{room}: {bytes} is little");
        }
    }
}
