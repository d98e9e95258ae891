//! Figures of one segment, counted while it is read.

use wal_format::checksum::extend;
use wal_format::{Epoch, FrameHeader, SegmentNumber, Sequence};

/// What one segment holds, as far as it belongs to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentStats {
    /// The segment.
    pub segment: SegmentNumber,
    /// Entries read.
    pub entries: u64,
    /// Frames read, of all kinds.
    pub frames: u64,
    /// Bytes of header block and frames.
    pub bytes_used: u64,
    /// Bytes of the file behind the last frame.
    pub bytes_wasted: u64,
    /// First and last sequence number; `None` without entries.
    pub sequences: Option<(Sequence, Sequence)>,
    /// First and last epoch of entries.
    pub epochs: Option<(Epoch, Epoch)>,
    /// First frame's base timestamp and last entry's timestamp, nanoseconds since the Unix epoch.
    pub timestamps: Option<(u64, u64)>,
    /// The segment ends with a seal.
    pub sealed: bool,
    /// CRC of the payload checksums of all frames, in order: tells content from other content of the same shape.
    pub digest: u32,
}

impl SegmentStats {
    pub(crate) fn note(&mut self, header: &FrameHeader, last_timestamp: u64, sealed: bool) {
        self.frames += 1;
        self.entries += u64::from(header.entry_count);
        self.bytes_used += header.frame_bytes() as u64;
        self.sealed |= sealed;
        self.digest = extend(self.digest, &header.payload_crc.to_le_bytes());
        if header.entry_count == 0 {
            return;
        }
        let first = header.first_sequence;
        let last = Sequence(header.next_sequence().0.saturating_sub(1));
        self.sequences = Some((self.sequences.map_or(first, |(first, _)| first), last));
        self.epochs = Some((self.epochs.map_or(header.epoch, |(first, _)| first), header.epoch));
        let base = header.base_timestamp;
        self.timestamps = Some((self.timestamps.map_or(base, |(first, _)| first), last_timestamp));
    }

    /// The last entry's timestamp, if it became known only after its frame.
    pub(crate) fn note_end(&mut self, last_timestamp: u64) {
        if let Some((_, last)) = &mut self.timestamps {
            *last = last_timestamp.max(*last);
        }
    }
}
