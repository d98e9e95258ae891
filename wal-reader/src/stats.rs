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

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{CoreId, FrameKind};

    /// A frame of so many entries, the first of them with number and timestamp as given.
    fn frame(first_sequence: u64, entry_count: u32, epoch: u64, base_timestamp: u64) -> FrameHeader {
        FrameHeader {
            kind: if entry_count > 0 { FrameKind::Data } else { FrameKind::Barrier },
            flags: 0,
            core: CoreId(0),
            payload_bytes: 20,
            entry_count,
            epoch: Epoch(epoch),
            first_sequence: Sequence(first_sequence),
            base_timestamp,
            segment: SegmentNumber(3),
            synced_through: 0,
            payload_crc: entry_count,
        }
    }

    #[test]
    fn figures_add_up_over_frames_with_entries_and_without() {
        let mut stats =
            SegmentStats { segment: SegmentNumber(3), bytes_used: 4096, ..SegmentStats::default() };
        stats.note_end(900);
        assert_eq!(stats.timestamps, None, "without entries there is no last one");
        stats.note(&frame(7, 2, 4, 100), 110, false);
        stats.note(&frame(9, 0, 4, 110), 110, false);
        stats.note(&frame(9, 3, 6, 120), 150, false);
        let first_three = stats.digest;
        stats.note(&frame(12, 0, 6, 150), 150, true);
        stats.note_end(160);
        stats.note_end(155);
        let payload_crcs = [2_u32, 0, 3].map(u32::to_le_bytes).concat();
        assert_eq!(first_three, wal_format::checksum::crc(&payload_crcs));
        let expected = SegmentStats {
            segment: SegmentNumber(3),
            entries: 5,
            frames: 4,
            bytes_used: 4096 + 4 * (64 + 24),
            bytes_wasted: 0,
            sequences: Some((Sequence(7), Sequence(11))),
            epochs: Some((Epoch(4), Epoch(6))),
            timestamps: Some((100, 160)),
            sealed: true,
            digest: extend(first_three, &0_u32.to_le_bytes()),
        };
        assert_eq!(stats, expected);
        stats.note(&frame(12, 1, 7, 170), 170, false);
        assert!(stats.sealed, "sealed once is sealed");
    }
}
