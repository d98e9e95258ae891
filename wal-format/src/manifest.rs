//! `checkpoint.manifest`: what the current checkpoint consists of (`FORMAT.md#manifest`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "decodes untrusted bytes")]

use crate::checksum::crc;
use crate::error::FormatError;
use crate::fields::{Fields, PutFields};
use crate::ids::{CoreId, Epoch, LogId, SegmentNumber, Sequence};
use crate::limits::{CORES_MAX, SOURCE_NAME_BYTES_MAX, VERSION_MAJOR, VERSION_MINOR};
use crate::segment::{Checked, check_crc};

/// First bytes of the manifest.
pub const MANIFEST_MAGIC: &[u8; 8] = b"PCWALCKP";
/// Flag: the state is in the engine's own store.
pub const FLAG_EXTERNAL: u32 = 1;
const WHAT: &str = "checkpoint manifest";
const CUT: FormatError = FormatError::malformed(WHAT, "cut off, or a count beyond its end");

/// The current checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The log that this belongs to.
    pub log_id: LogId,
    /// The state is in the engine's own store: there are no runs.
    pub external: bool,
    /// Every entry of this epoch and below is in the checkpoint.
    pub epoch: Epoch,
    /// When it was made, nanoseconds since the Unix epoch; informative.
    pub created_ns: u64,
    /// From where each core's log is still needed, ascending by core.
    pub cores: Vec<CorePosition>,
    /// Per source the next offset to read, ascending by name.
    pub offsets: Vec<SourceOffset>,
    /// Each core's last watermark, ascending by core.
    pub watermarks: Vec<(CoreId, i64)>,
    /// The runs, oldest first; later ones win.
    pub runs: Vec<RunMeta>,
    /// Number of the next run: never reused.
    pub next_run: u64,
}

/// From where a core's log is still needed, and what stood before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CorePosition {
    /// The core.
    pub core: CoreId,
    /// First segment that is needed; it may not exist yet.
    pub segment: SegmentNumber,
    /// Offset in it.
    pub offset: u64,
    /// Sequence number there.
    pub sequence: Sequence,
    /// Timestamp of the entry before.
    pub last_timestamp: u64,
    /// Epoch of the entry before.
    pub last_epoch: Epoch,
}

/// A source and the next offset to read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOffset {
    /// The source's name.
    pub source: String,
    /// Next offset to read.
    pub offset: u64,
}

/// One run of the checkpoint, and what it must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunMeta {
    /// Number of the run.
    pub run: u64,
    /// Entries in it.
    pub entries: u64,
    /// Bytes of the file.
    pub length: u64,
    /// CRC of all its frame headers, as in its seal.
    pub digest: u32,
    /// Epoch in its header.
    pub epoch: Epoch,
}

impl Manifest {
    /// The file's bytes.
    ///
    /// # Panics
    /// If a list is not in the order that its field promises, is too long, or contradicts another: no reader would
    /// accept it, and the checkpoint would be lost with it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        assert_eq!(self.check(), Ok(()), "this manifest could not be read again");
        let mut bytes = Vec::new();
        bytes.put(MANIFEST_MAGIC);
        bytes.put_u16(VERSION_MAJOR);
        bytes.put_u16(VERSION_MINOR);
        bytes.put_u32(if self.external { FLAG_EXTERNAL } else { 0 });
        bytes.put(&self.log_id.0);
        bytes.put_u64(self.epoch.0);
        bytes.put_u64(self.created_ns);
        bytes.put_count(self.cores.len());
        for position in &self.cores {
            bytes.put_u16(position.core.0);
            bytes.put_u64(position.segment.0);
            bytes.put_u64(position.offset);
            bytes.put_u64(position.sequence.0);
            bytes.put_u64(position.last_timestamp);
            bytes.put_u64(position.last_epoch.0);
        }
        bytes.put_count(self.offsets.len());
        for offset in &self.offsets {
            bytes.put_count(offset.source.len());
            bytes.put(offset.source.as_bytes());
            bytes.put_u64(offset.offset);
        }
        bytes.put_count(self.watermarks.len());
        for (core, watermark) in &self.watermarks {
            bytes.put_u16(core.0);
            bytes.put(&watermark.to_le_bytes());
        }
        bytes.put_count(self.runs.len());
        for run in &self.runs {
            bytes.put_u64(run.run);
            bytes.put_u64(run.entries);
            bytes.put_u64(run.length);
            bytes.put_u32(run.digest);
            bytes.put_u64(run.epoch.0);
        }
        bytes.put_u64(self.next_run);
        let crc = crc(&bytes);
        bytes.put_u32(crc);
        bytes
    }

    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`FormatError::Magic`], [`FormatError::Checksum`], [`FormatError::Version`], [`FormatError::Flags`],
    /// [`FormatError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (covered, stored) =
            bytes.len().checked_sub(4).and_then(|at| bytes.split_at_checked(at)).ok_or(CUT)?;
        let Checked { mut fields, is_extended } = check_crc(WHAT, MANIFEST_MAGIC, covered, stored)?;
        let flags = fields.u32().ok_or(CUT)?;
        if flags & !FLAG_EXTERNAL != 0 {
            return Err(FormatError::Flags { what: WHAT, flags });
        }
        let manifest = Self::decode_fields(&mut fields, flags)?;
        if !is_extended && !fields.rest().is_empty() {
            return Err(FormatError::malformed(WHAT, "bytes behind its end"));
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// The position of one core, if the checkpoint knows it.
    #[must_use]
    pub fn core(&self, core: CoreId) -> Option<&CorePosition> {
        self.cores.iter().find(|position| position.core == core)
    }

    fn decode_fields(fields: &mut Fields<'_>, flags: u32) -> Result<Self, FormatError> {
        let log_id = LogId(fields.array().ok_or(CUT)?);
        let epoch = Epoch(fields.u64().ok_or(CUT)?);
        let created_ns = fields.u64().ok_or(CUT)?;
        let cores = list(fields, 42, |fields| {
            Some(CorePosition {
                core: CoreId(fields.u16()?),
                segment: SegmentNumber(fields.u64()?),
                offset: fields.u64()?,
                sequence: Sequence(fields.u64()?),
                last_timestamp: fields.u64()?,
                last_epoch: Epoch(fields.u64()?),
            })
        })?;
        let offsets = list(fields, 12, |fields| {
            let name_bytes = usize::try_from(fields.u32()?).ok()?;
            let name = std::str::from_utf8(fields.bytes(name_bytes)?).ok()?;
            Some(SourceOffset { source: name.to_owned(), offset: fields.u64()? })
        })?;
        let watermarks = list(fields, 10, |fields| Some((CoreId(fields.u16()?), fields.i64()?)))?;
        let runs = list(fields, 36, |fields| {
            Some(RunMeta {
                run: fields.u64()?,
                entries: fields.u64()?,
                length: fields.u64()?,
                digest: fields.u32()?,
                epoch: Epoch(fields.u64()?),
            })
        })?;
        let next_run = fields.u64().ok_or(CUT)?;
        let external = flags & FLAG_EXTERNAL != 0;
        Ok(Self { log_id, external, epoch, created_ns, cores, offsets, watermarks, runs, next_run })
    }

    fn check(&self) -> Result<(), FormatError> {
        if !self.cores.is_sorted_by(|a, b| a.core < b.core) || self.cores.len() > CORES_MAX {
            return Err(FormatError::malformed(WHAT, "cores are not in ascending order, or too many"));
        }
        if self.offsets.iter().any(|offset| offset.source.len() > SOURCE_NAME_BYTES_MAX) {
            return Err(FormatError::malformed(WHAT, "the name of a source is too long"));
        }
        if !self.offsets.is_sorted_by(|a, b| a.source < b.source) {
            return Err(FormatError::malformed(WHAT, "sources are not in ascending order"));
        }
        if !self.watermarks.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(FormatError::malformed(WHAT, "watermarks are not in ascending order of cores"));
        }
        let mut numbers: Vec<u64> = Vec::new();
        let bytes = self.runs.len().saturating_mul(size_of::<u64>());
        let reserved = numbers.try_reserve_exact(self.runs.len());
        reserved.map_err(|_| FormatError::OutOfMemory { what: WHAT, bytes })?;
        numbers.extend(self.runs.iter().map(|run| run.run));
        numbers.sort_unstable();
        if !numbers.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::malformed(WHAT, "a run is named twice"));
        }
        if self.runs.iter().any(|run| run.run >= self.next_run) || (self.external && !self.runs.is_empty()) {
            return Err(FormatError::malformed(WHAT, "its list of runs contradicts the rest"));
        }
        Ok(())
    }
}

fn list<T>(
    fields: &mut Fields<'_>,
    item_bytes_min: usize,
    mut item: impl FnMut(&mut Fields<'_>) -> Option<T>,
) -> Result<Vec<T>, FormatError> {
    let count = fields.count(item_bytes_min).ok_or(CUT)?;
    // Not `collect`: it cannot know the length and would hold twice as much while it grows.
    let mut items = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    items.try_reserve_exact(count).map_err(|_| FormatError::OutOfMemory { what: WHAT, bytes })?;
    for _ in 0..count {
        items.push(item(fields).ok_or(CUT)?);
    }
    Ok(items)
}
