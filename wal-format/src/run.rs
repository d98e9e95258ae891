//! Headers of checkpoint runs (`FORMAT.md#run`). The frames behind them are those of a segment.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::checksum::SegmentSeed;
use crate::error::FormatError;
use crate::fields::{PutFields, is_zero};
use crate::ids::{CoreId, Epoch, LogId, SegmentNumber};
use crate::limits::RUN_CORE;
use crate::segment::{Checked, block_finish, block_start, check_block};

/// First bytes of a run.
pub const RUN_MAGIC: &[u8; 8] = b"PCWALRUN";

/// The first block of a run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunHeader {
    /// The log that this belongs to.
    pub log_id: LogId,
    /// Number of this run.
    pub run: u64,
    /// The checkpoint that wrote it.
    pub epoch: Epoch,
}

impl RunHeader {
    /// The seed of this run's frames.
    #[must_use]
    pub fn seed(&self) -> SegmentSeed {
        SegmentSeed::new(self.log_id, CoreId(RUN_CORE), SegmentNumber(self.run))
    }

    /// The header's block.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = block_start(RUN_MAGIC);
        bytes.put_u32(0);
        bytes.put(&self.log_id.0);
        bytes.put_u64(self.run);
        bytes.put_u64(self.epoch.0);
        block_finish(bytes)
    }

    /// Reads the first block of a run file. `bytes` is the file's start; what follows the block is not looked at.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Checksum`], [`FormatError::Version`], [`FormatError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        const BAD: FormatError = FormatError::malformed("run header", "reserved bytes are set");
        let Checked { mut fields, is_extended } = check_block("run header", RUN_MAGIC, bytes)?;
        let reserved = fields.u32().ok_or(BAD)?;
        let header = Self {
            log_id: LogId(fields.array().ok_or(BAD)?),
            run: fields.u64().ok_or(BAD)?,
            epoch: Epoch(fields.u64().ok_or(BAD)?),
        };
        if is_extended || (reserved == 0 && is_zero(fields.rest())) { Ok(header) } else { Err(BAD) }
    }
}
