//! `wal.meta`: the identity of a log (`FORMAT.md#meta`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::checksum::crc;
use crate::error::FormatError;
use crate::fields::{PutFields, is_zero};
use crate::ids::LogId;
use crate::limits::{META_BYTES, VERSION_MAJOR, VERSION_MINOR};
use crate::segment::{Checked, check_crc};

/// First bytes of `wal.meta`.
pub const META_MAGIC: &[u8; 8] = b"PCWALMET";
const CRC_AT: usize = 60;

/// The content of `wal.meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Tells this log from every other.
    pub log_id: LogId,
}

impl Meta {
    /// The file's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(META_BYTES);
        bytes.put(META_MAGIC);
        bytes.put_u16(VERSION_MAJOR);
        bytes.put_u16(VERSION_MINOR);
        bytes.put_u32(0);
        bytes.put(&self.log_id.0);
        bytes.resize(CRC_AT, 0);
        let crc = crc(&bytes);
        bytes.put_u32(crc);
        bytes
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Checksum`], [`FormatError::Version`], [`FormatError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        const BAD: FormatError =
            FormatError::malformed("wal.meta", "wrong length, or reserved bytes are set");
        let (covered, stored) = bytes.split_at_checked(CRC_AT).ok_or(BAD)?;
        let Checked { mut fields, is_extended } = check_crc("wal.meta", META_MAGIC, covered, stored)?;
        let reserved = fields.u32().ok_or(BAD)?;
        let log_id = LogId(fields.array().ok_or(BAD)?);
        let is_reserved_zero = is_extended || (reserved == 0 && is_zero(fields.rest()));
        if is_reserved_zero && bytes.len() == META_BYTES { Ok(Self { log_id }) } else { Err(BAD) }
    }
}
