//! Seeded CRCs: a frame is valid only where it was written (`FORMAT.md#frame`).

use crc32fast::Hasher;

use crate::ids::{CoreId, LogId, SegmentNumber};

/// CRC state after (log id, core, segment): what all frames of one file share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSeed {
    state: u32,
    log_id: LogId,
    core: CoreId,
    segment: SegmentNumber,
}

impl SegmentSeed {
    /// The seed of one segment (or run) file.
    #[must_use]
    pub fn new(log_id: LogId, core: CoreId, segment: SegmentNumber) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&log_id.0);
        hasher.update(&u32::from(core.0).to_le_bytes());
        hasher.update(&segment.0.to_le_bytes());
        Self { state: hasher.finalize(), log_id, core, segment }
    }

    /// The core whose file this is.
    #[must_use]
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// The segment that this file holds.
    #[must_use]
    pub fn segment(&self) -> SegmentNumber {
        self.segment
    }

    /// The log that this file belongs to.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The same log, another file.
    #[must_use]
    pub fn of(&self, core: CoreId, segment: SegmentNumber) -> Self {
        Self::new(self.log_id, core, segment)
    }

    /// CRC of `bytes` as part of the frame at `offset`.
    #[must_use]
    pub fn crc_at(&self, offset: u64, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.state);
        hasher.update(&offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// CRC of whole blocks (`wal.meta`, header blocks, manifest).
#[must_use]
pub fn crc(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC of a concatenation, continued: `extend(crc(a), b) == crc(a ‖ b)`. Digest of a seal.
#[must_use]
pub fn extend(state: u32, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new_with_initial(state);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_place_changes_the_crc() {
        let base = SegmentSeed::new(LogId([1; 16]), CoreId(2), SegmentNumber(3));
        let crc = base.crc_at(4096, b"payload");
        assert_eq!(base.crc_at(4096, b"payload"), crc);
        assert_ne!(base.crc_at(4104, b"payload"), crc);
        assert_ne!(base.of(CoreId(1), SegmentNumber(3)).crc_at(4096, b"payload"), crc);
        assert_ne!(base.of(CoreId(2), SegmentNumber(4)).crc_at(4096, b"payload"), crc);
        let other_log = SegmentSeed::new(LogId([0; 16]), CoreId(2), SegmentNumber(3));
        assert_ne!(other_log.crc_at(4096, b"payload"), crc);
    }

    #[test]
    fn extending_is_hashing_the_concatenation() {
        assert_eq!(extend(crc(b"ab"), b"cd"), crc(b"abcd"));
    }
}
