//! Segment headers (`FORMAT.md#segment-header`) and the block codec that run headers share.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::checksum::crc;
use crate::error::FormatError;
use crate::fields::{Fields, PutFields, is_zero};
use crate::ids::{CoreId, Epoch, LogId, SegmentNumber, Sequence};
use crate::limits::{HEADER_BLOCK_BYTES, VERSION_MAJOR, VERSION_MINOR};

/// First bytes of a segment.
pub const SEGMENT_MAGIC: &[u8; 8] = b"PCWALSEG";
const NO_SEGMENT: u64 = u64::MAX;
const BLOCK_CRC_AT: usize = 4092;
const _: () = assert!(BLOCK_CRC_AT.saturating_add(4) == HEADER_BLOCK_BYTES);

/// Why a segment was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// First segment of this core.
    First = 0,
    /// The one before was full, or sealed for a checkpoint.
    Rotation = 1,
    /// A sync of the one before failed: its bytes beyond the last durable offset stand here again.
    Continuation = 2,
    /// Recovery decided where the log ends.
    Resumption = 3,
}

/// Where the log before a segment ends, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The segment before.
    pub segment: SegmentNumber,
    /// Its bytes at and beyond this offset are not part of the log.
    pub end: u64,
    /// How much of it was known durable when this header was built.
    pub synced_through: u64,
}

/// The first block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The log that this belongs to.
    pub log_id: LogId,
    /// The core whose log this is.
    pub core: CoreId,
    /// Number of this segment.
    pub segment: SegmentNumber,
    /// Why it was begun.
    pub origin: Origin,
    /// Sequence number of its first entry, to be or not.
    pub first_sequence: Sequence,
    /// No entry in it has a lower epoch.
    pub epoch: Epoch,
    /// No entry in it has a lower timestamp.
    pub last_timestamp: u64,
    /// Where the log before it ends; `None` for the first.
    pub previous: Option<Previous>,
}

/// What the first block of a segment file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderBlock {
    /// All zeros: prepared ahead of use.
    Zero,
    /// A whole header; whether it is of *this* file is for the caller to compare.
    Header(SegmentHeader),
}

impl SegmentHeader {
    /// The header's block.
    ///
    /// # Panics
    /// If the link to the segment before is one that no reader would accept.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.links_back(), "impossible link to the segment before: {self:?}");
        let previous = self.previous.unwrap_or(Previous {
            segment: SegmentNumber(NO_SEGMENT),
            end: 0,
            synced_through: 0,
        });
        let mut bytes = block_start(SEGMENT_MAGIC);
        bytes.put_u16(self.core.0);
        bytes.put(&[self.origin as u8, 0]);
        bytes.put(&self.log_id.0);
        bytes.put_u64(self.segment.0);
        bytes.put_u64(self.first_sequence.0);
        bytes.put_u64(self.epoch.0);
        bytes.put_u64(self.last_timestamp);
        bytes.put_u64(previous.segment.0);
        bytes.put_u64(previous.end);
        bytes.put_u64(previous.synced_through);
        block_finish(bytes)
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        const BAD: FormatError = FormatError::malformed("segment header", "fields contradict each other");
        let Checked { mut fields, is_extended } = check_block("segment header", SEGMENT_MAGIC, bytes)?;
        let core = CoreId(fields.u16().ok_or(BAD)?);
        let origin = match fields.u8().ok_or(BAD)? {
            0 => Origin::First,
            1 => Origin::Rotation,
            2 => Origin::Continuation,
            3 => Origin::Resumption,
            _ => return Err(FormatError::malformed("segment header", "unknown origin")),
        };
        let reserved = fields.u8().ok_or(BAD)?;
        let log_id = LogId(fields.array().ok_or(BAD)?);
        let segment = SegmentNumber(fields.u64().ok_or(BAD)?);
        let first_sequence = Sequence(fields.u64().ok_or(BAD)?);
        let epoch = Epoch(fields.u64().ok_or(BAD)?);
        let last_timestamp = fields.u64().ok_or(BAD)?;
        let previous = (fields.u64().ok_or(BAD)?, fields.u64().ok_or(BAD)?, fields.u64().ok_or(BAD)?);
        if !is_extended && (reserved != 0 || !is_zero(fields.rest())) {
            return Err(FormatError::malformed("segment header", "reserved bytes are set"));
        }
        let previous = match previous {
            (NO_SEGMENT, 0, 0) => None,
            (segment, end, synced_through) => {
                Some(Previous { segment: SegmentNumber(segment), end, synced_through })
            }
        };
        let header = Self { log_id, core, segment, origin, first_sequence, epoch, last_timestamp, previous };
        if header.links_back() {
            Ok(header)
        } else {
            Err(FormatError::malformed("segment header", "its link to the segment before is impossible"))
        }
    }

    /// Nothing precedes the first segment, and an earlier one every other.
    fn links_back(&self) -> bool {
        match self.previous {
            None => self.origin == Origin::First,
            Some(previous) => {
                self.origin != Origin::First
                    && previous.segment < self.segment
                    && previous.end >= HEADER_BLOCK_BYTES as u64
                    && previous.synced_through <= previous.end
            }
        }
    }
}

impl HeaderBlock {
    /// Reads the first block of a segment file. `bytes` is the file's start; a file shorter than a block whose bytes
    /// are all zero counts as zero: it was being prepared.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Checksum`], [`FormatError::Version`], [`FormatError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let block = bytes.get(..HEADER_BLOCK_BYTES).unwrap_or(bytes);
        if is_zero(block) { Ok(Self::Zero) } else { SegmentHeader::decode(block).map(Self::Header) }
    }
}

pub(crate) fn block_start(magic: &[u8; 8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BLOCK_BYTES);
    bytes.put(magic);
    bytes.put_u16(VERSION_MAJOR);
    bytes.put_u16(VERSION_MINOR);
    bytes
}

pub(crate) fn block_finish(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(BLOCK_CRC_AT, 0);
    let crc = crc(&bytes);
    bytes.put_u32(crc);
    bytes
}

/// A structure whose magic, CRC and major version are right.
pub(crate) struct Checked<'a> {
    /// The fields behind the version.
    pub(crate) fields: Fields<'a>,
    /// Written by a newer minor version: what is reserved here may mean something there, and may be ignored.
    pub(crate) is_extended: bool,
}

/// Checks magic, CRC and version of a block.
pub(crate) fn check_block<'a>(
    what: &'static str,
    magic: &[u8; 8],
    block: &'a [u8],
) -> Result<Checked<'a>, FormatError> {
    let cut = FormatError::malformed(what, "shorter than its block");
    let (covered, stored) = block.split_at_checked(BLOCK_CRC_AT).ok_or(cut.clone())?;
    check_crc(what, magic, covered, stored)
}

/// The checks that are the same in every version: magic, CRC, and only then the version.
pub(crate) fn check_crc<'a>(
    what: &'static str,
    magic: &[u8; 8],
    covered: &'a [u8],
    stored: &[u8],
) -> Result<Checked<'a>, FormatError> {
    let cut = FormatError::malformed(what, "shorter than its block");
    let mut fields = Fields::new(covered);
    if fields.bytes(8) != Some(magic) {
        return Err(FormatError::Magic { what });
    }
    let found = Fields::new(stored).u32().ok_or(cut.clone())?;
    let expected = crc(covered);
    if expected != found {
        return Err(FormatError::Checksum { what, expected, found });
    }
    let major = fields.u16().ok_or(cut.clone())?;
    let minor = fields.u16().ok_or(cut)?;
    if major != VERSION_MAJOR {
        return Err(FormatError::Version { what, found: major, supported: VERSION_MAJOR });
    }
    Ok(Checked { fields, is_extended: minor > VERSION_MINOR })
}
