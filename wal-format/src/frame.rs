//! Frame headers, and what stands at a given offset of a segment (`FORMAT.md#frame`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::checksum::SegmentSeed;
use crate::error::FormatError;
use crate::fields::{Fields, PutFields, is_zero};
use crate::ids::{CoreId, Epoch, SegmentNumber, Sequence};
use crate::limits::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, frame_aligned};

/// First bytes of every frame; not zero, so that zero-filled space is no frame.
pub const FRAME_MAGIC: u32 = 0x4C57_4346;

const HEADER_CRC_AT: usize = 60;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Entries.
    Data = 1,
    /// An epoch is closed ([`crate::Barrier`]).
    Barrier = 2,
    /// The segment is complete ([`crate::Seal`]).
    Seal = 3,
    /// Filler.
    Pad = 4,
}

impl FrameKind {
    fn from_code(code: u8) -> Option<Self> {
        [Self::Data, Self::Barrier, Self::Seal, Self::Pad].into_iter().find(|kind| *kind as u8 == code)
    }
}

/// A frame header, without magic and CRCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the frame is for.
    pub kind: FrameKind,
    /// Must be 0 in this version.
    pub flags: u8,
    /// The core whose log this is.
    pub core: CoreId,
    /// Payload without alignment.
    pub payload_bytes: u32,
    /// Entries in the payload; 0 unless data.
    pub entry_count: u32,
    /// Epoch of all entries; of a barrier, the epoch that it closes.
    pub epoch: Epoch,
    /// Sequence number of the first entry; without entries, of the next one.
    pub first_sequence: Sequence,
    /// Timestamp that the first entry's delta adds to, in nanoseconds since the Unix epoch.
    pub base_timestamp: u64,
    /// The segment that this frame was written for.
    pub segment: SegmentNumber,
    /// Offset in this segment below which all was known durable when the frame was built; 0 for nothing.
    pub synced_through: u64,
    /// CRC of the aligned payload. Set by [`FrameHeader::encode`].
    pub payload_crc: u32,
}

/// What stands at an offset where a frame may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A header whose CRC holds. Its payload is yet to be checked.
    Header(FrameHeader),
    /// Zeros, or the end of the file.
    Nothing,
    /// A whole header from an earlier life of this file.
    Stale(SegmentNumber),
    /// Bytes that fail a check.
    Damaged(Damage),
}

/// Which check failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// No frame starts with these bytes.
    #[error("no frame header: the magic number is {found:#010x}")]
    Magic {
        /// What stands there.
        found: u32,
    },
    /// Header bytes end with the file.
    #[error("the file ends inside a frame header")]
    HeaderCut,
    /// The header's CRC does not hold.
    #[error("header checksum is {found:#010x}, expected {expected:#010x}")]
    HeaderChecksum {
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// The payload ends with the file.
    #[error("payload of {payload_bytes} bytes reaches beyond the end of the file")]
    PayloadCut {
        /// By the header.
        payload_bytes: u32,
    },
    /// The payload's CRC does not hold.
    #[error("payload checksum is {found:#010x}, expected {expected:#010x}")]
    PayloadChecksum {
        /// Computed.
        expected: u32,
        /// Stored.
        found: u32,
    },
    /// Checksums hold and yet the content is impossible.
    #[error("{0}")]
    Content(FormatError),
    /// Checksums hold, but the frame does not follow from the one before.
    #[error("{field} is {found}, after {expected}")]
    Order {
        /// Which number does not follow.
        field: &'static str,
        /// The least (or only) value that would.
        expected: u64,
        /// What stands there.
        found: u64,
    },
}

impl FrameHeader {
    /// Bytes of the whole frame: header, payload, alignment.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES.saturating_add(frame_aligned(self.payload_bytes as usize))
    }

    /// Bytes of the payload with its alignment.
    #[must_use]
    pub fn aligned_payload_bytes(&self) -> usize {
        frame_aligned(self.payload_bytes as usize)
    }

    /// Sequence number after the last entry.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.first_sequence.plus(u64::from(self.entry_count))
    }

    /// The header's bytes for a frame at `offset` with this payload, which must be zero-padded to its alignment.
    /// `payload_crc` is computed here.
    ///
    /// # Panics
    /// If the payload is not as long as the header says, or its alignment is not zero: no reader would accept it.
    #[must_use]
    pub fn encode(
        &self,
        seed: &SegmentSeed,
        offset: u64,
        aligned_payload: &[u8],
    ) -> [u8; FRAME_HEADER_BYTES] {
        assert_eq!(aligned_payload.len(), self.aligned_payload_bytes(), "payload and header differ");
        assert!(self.split_alignment(aligned_payload).is_some(), "the alignment of the payload is not zero");
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES);
        bytes.put_u32(FRAME_MAGIC);
        bytes.put(&[self.kind as u8, self.flags]);
        bytes.put_u16(self.core.0);
        bytes.put_u32(self.payload_bytes);
        bytes.put_u32(self.entry_count);
        bytes.put_u64(self.epoch.0);
        bytes.put_u64(self.first_sequence.0);
        bytes.put_u64(self.base_timestamp);
        bytes.put_u64(self.segment.0);
        bytes.put_u64(self.synced_through);
        bytes.put_u32(seed.crc_at(offset, aligned_payload));
        bytes.put_u32(seed.crc_at(offset, &bytes));
        let mut header = [0; FRAME_HEADER_BYTES];
        header.copy_from_slice(&bytes);
        header
    }

    /// Checks the CRC of the payload that follows the header at `offset`.
    ///
    /// # Errors
    /// [`Damage::PayloadCut`] if `aligned_payload` is shorter than the header says, [`Damage::PayloadChecksum`],
    /// [`Damage::Content`] if the alignment is not zero.
    pub fn check_payload<'a>(
        &self,
        seed: &SegmentSeed,
        offset: u64,
        aligned_payload: &'a [u8],
    ) -> Result<&'a [u8], Damage> {
        let cut = Damage::PayloadCut { payload_bytes: self.payload_bytes };
        let aligned = aligned_payload.get(..self.aligned_payload_bytes()).ok_or(cut)?;
        let expected = seed.crc_at(offset, aligned);
        if expected != self.payload_crc {
            return Err(Damage::PayloadChecksum { expected, found: self.payload_crc });
        }
        self.split_alignment(aligned)
            .ok_or(Damage::Content(FormatError::malformed("frame", "its alignment is not zero")))
    }

    /// The payload without its alignment, if that is zero.
    fn split_alignment<'a>(&self, aligned_payload: &'a [u8]) -> Option<&'a [u8]> {
        let (payload, alignment) = aligned_payload.split_at_checked(self.payload_bytes as usize)?;
        is_zero(alignment).then_some(payload)
    }
}

impl Found {
    /// What stands at `offset`, given the file's bytes from there: at least a header's worth, unless the file ends.
    ///
    /// # Errors
    /// [`FormatError::Flags`] for an intact header that this version cannot read.
    pub fn at(seed: &SegmentSeed, offset: u64, bytes: &[u8]) -> Result<Self, FormatError> {
        let Some((header, _)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(if is_zero(bytes) { Self::Nothing } else { Self::Damaged(Damage::HeaderCut) });
        };
        if is_zero(header) {
            return Ok(Self::Nothing);
        }
        let Some(parsed) = Parsed::new(header) else {
            return Ok(Self::Damaged(Damage::HeaderCut));
        };
        if parsed.magic != FRAME_MAGIC {
            return Ok(Self::Damaged(Damage::Magic { found: parsed.magic }));
        }
        let (covered, _) = header.split_at(HEADER_CRC_AT);
        let expected = seed.crc_at(offset, covered);
        if expected == parsed.crc && parsed.is_of(seed) {
            return parsed.into_header().map(|header| match header {
                Ok(header) => Self::Header(header),
                Err(damage) => Self::Damaged(damage),
            });
        }
        let own_seed = seed.of(parsed.core, parsed.segment);
        if !parsed.is_of(seed) && own_seed.crc_at(offset, covered) == parsed.crc {
            return Ok(Self::Stale(parsed.segment));
        }
        Ok(Self::Damaged(Damage::HeaderChecksum { expected, found: parsed.crc }))
    }
}

/// Header fields before anything is believed.
struct Parsed {
    magic: u32,
    kind: u8,
    flags: u8,
    core: CoreId,
    payload_bytes: u32,
    entry_count: u32,
    epoch: Epoch,
    first_sequence: Sequence,
    base_timestamp: u64,
    segment: SegmentNumber,
    synced_through: u64,
    payload_crc: u32,
    crc: u32,
}

impl Parsed {
    fn new(header: &[u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let mut fields = Fields::new(header);
        Some(Self {
            magic: fields.u32()?,
            kind: fields.u8()?,
            flags: fields.u8()?,
            core: CoreId(fields.u16()?),
            payload_bytes: fields.u32()?,
            entry_count: fields.u32()?,
            epoch: Epoch(fields.u64()?),
            first_sequence: Sequence(fields.u64()?),
            base_timestamp: fields.u64()?,
            segment: SegmentNumber(fields.u64()?),
            synced_through: fields.u64()?,
            payload_crc: fields.u32()?,
            crc: fields.u32()?,
        })
    }

    fn is_of(&self, seed: &SegmentSeed) -> bool {
        self.core == seed.core() && self.segment == seed.segment()
    }

    fn into_header(self) -> Result<Result<FrameHeader, Damage>, FormatError> {
        let malformed = |detail| Ok(Err(Damage::Content(FormatError::malformed("frame header", detail))));
        if self.flags != 0 {
            return Err(FormatError::Flags { what: "frame header", flags: u32::from(self.flags) });
        }
        let Some(kind) = FrameKind::from_code(self.kind) else {
            return malformed("unknown kind");
        };
        if self.payload_bytes as usize > FRAME_PAYLOAD_BYTES_MAX {
            return malformed("payload larger than the format allows");
        }
        // An entry takes at least two bytes: tag and timestamp delta.
        if u64::from(self.entry_count).saturating_mul(2) > u64::from(self.payload_bytes) {
            return malformed("more entries than the payload can hold");
        }
        if (kind == FrameKind::Data) != (self.entry_count > 0) {
            return malformed("entry count does not fit the kind");
        }
        Ok(Ok(FrameHeader {
            kind,
            flags: self.flags,
            core: self.core,
            payload_bytes: self.payload_bytes,
            entry_count: self.entry_count,
            epoch: self.epoch,
            first_sequence: self.first_sequence,
            base_timestamp: self.base_timestamp,
            segment: self.segment,
            synced_through: self.synced_through,
            payload_crc: self.payload_crc,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_with_the_number_after_its_last_entry_at_a_multiple_of_eight() {
        for (entry_count, payload_bytes) in [(0, 0), (1, 2), (3, 8), (4, 9), (u32::MAX, u32::MAX)] {
            let header = FrameHeader {
                kind: FrameKind::Data,
                flags: 0,
                core: CoreId(1),
                payload_bytes,
                entry_count,
                epoch: Epoch(1),
                first_sequence: Sequence(7),
                base_timestamp: 1,
                segment: SegmentNumber(1),
                synced_through: 0,
                payload_crc: 0,
            };
            assert_eq!(header.next_sequence(), Sequence(7 + u64::from(entry_count)));
            let aligned = (payload_bytes as usize).next_multiple_of(8);
            assert_eq!((header.aligned_payload_bytes(), header.frame_bytes()), (aligned, 64 + aligned));
        }
    }
}
