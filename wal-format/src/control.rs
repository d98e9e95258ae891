//! Payloads of control frames: barrier and seal (`FORMAT.md#barrier`, `FORMAT.md#seal`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::error::FormatError;
use crate::fields::{Fields, PutFields};
use crate::ids::{CoreId, Epoch, Sequence};
use crate::limits::CORES_MAX;

const CUT_BYTES: usize = 12;
const SEAL_BYTES: usize = 40;

/// Bytes of a barrier that names this many cores.
#[must_use]
pub const fn barrier_bytes(cores: usize) -> usize {
    cores.saturating_mul(CUT_BYTES).saturating_add(12)
}

/// An epoch is closed: for every core, where it ends. The epoch itself stands in the frame header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The last epoch of which every core was durable up to its cut when this barrier was built.
    pub durable_epoch: Epoch,
    /// Per core, ascending, the first sequence number beyond the epoch.
    pub cuts: Vec<(CoreId, Sequence)>,
}

/// A segment is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Entries in the segment.
    pub entry_count: u64,
    /// Sequence number after the last entry.
    pub next_sequence: Sequence,
    /// Timestamp of the last entry, or of what preceded the segment.
    pub last_timestamp: u64,
    /// Offset of the seal frame.
    pub length: u64,
    /// CRC of all frame headers before the seal, in order.
    pub digest: u32,
}

impl Barrier {
    /// The payload of a barrier frame.
    ///
    /// # Panics
    /// If the cores are not in ascending order or too many: no reader would accept it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.cuts.is_sorted_by(|a, b| a.0 < b.0), "cores are not in ascending order: {self:?}");
        assert!(self.cuts.len() <= CORES_MAX, "{} cores are too many", self.cuts.len());
        let mut bytes = Vec::with_capacity(barrier_bytes(self.cuts.len()));
        bytes.put_u64(self.durable_epoch.0);
        bytes.put_count(self.cuts.len());
        for (core, cut) in &self.cuts {
            bytes.put_u32(u32::from(core.0));
            bytes.put_u64(cut.0);
        }
        bytes
    }

    /// Reads a barrier's payload.
    ///
    /// # Errors
    /// [`FormatError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, FormatError> {
        const CUT: FormatError = FormatError::malformed("barrier", "its length does not fit its core count");
        let mut fields = Fields::new(payload);
        let durable_epoch = Epoch(fields.u64().ok_or(CUT)?);
        let count = fields.count(CUT_BYTES).ok_or(CUT)?;
        if count > CORES_MAX {
            return Err(FormatError::malformed("barrier", "too many cores"));
        }
        let mut cuts: Vec<(CoreId, Sequence)> = Vec::with_capacity(count);
        for _ in 0..count {
            let core = u16::try_from(fields.u32().ok_or(CUT)?).map_err(|_| CUT)?;
            if cuts.last().is_some_and(|(last, _)| last.0 >= core) {
                return Err(FormatError::malformed("barrier", "cores are not in ascending order"));
            }
            cuts.push((CoreId(core), Sequence(fields.u64().ok_or(CUT)?)));
        }
        if fields.rest().is_empty() { Ok(Self { durable_epoch, cuts }) } else { Err(CUT) }
    }

    /// The cut of one core, if it is named.
    #[must_use]
    pub fn cut(&self, core: CoreId) -> Option<Sequence> {
        let index = self.cuts.binary_search_by_key(&core, |(core, _)| *core).ok()?;
        self.cuts.get(index).map(|(_, cut)| *cut)
    }
}

impl Seal {
    /// The payload of a seal frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEAL_BYTES);
        bytes.put_u64(self.entry_count);
        bytes.put_u64(self.next_sequence.0);
        bytes.put_u64(self.last_timestamp);
        bytes.put_u64(self.length);
        bytes.put_u32(self.digest);
        bytes.put_u32(0);
        bytes
    }

    /// Reads a seal's payload.
    ///
    /// # Errors
    /// [`FormatError::Malformed`].
    pub fn decode(payload: &[u8]) -> Result<Self, FormatError> {
        const BAD: FormatError = FormatError::malformed("seal", "wrong length, or reserved bytes are set");
        if payload.len() != SEAL_BYTES {
            return Err(BAD);
        }
        let mut fields = Fields::new(payload);
        let seal = Self {
            entry_count: fields.u64().ok_or(BAD)?,
            next_sequence: Sequence(fields.u64().ok_or(BAD)?),
            last_timestamp: fields.u64().ok_or(BAD)?,
            length: fields.u64().ok_or(BAD)?,
            digest: fields.u32().ok_or(BAD)?,
        };
        if fields.u32() == Some(0) { Ok(seal) } else { Err(BAD) }
    }
}
