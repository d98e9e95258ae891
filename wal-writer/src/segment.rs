//! The segment being written: frames into a page-aligned buffer, the buffer into the file.
//!
//! Writes cover whole pages: a page of a recycled file that is not in the page cache would have to be read before a
//! part of it could be changed. The last, partly used page is kept and written again with what follows; its old
//! bytes do not change, so a torn rewrite cannot hurt them (`FORMAT.md#write-ordering-rules`, rule 5).

use std::io;
use std::sync::Arc;

use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES, frame_aligned};
use wal_format::{
    Epoch, FrameHeader, FrameKind, Previous, Seal, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
    checksum,
};

use crate::stall::{self, Place};
use crate::storage::{StorageFile, write_all_at};
use crate::supply::{Spare, fill_with_zeros};
use crate::tally::Tallies;

const PAGE_BYTES: usize = 4096;
/// The buffer is written when it has grown to this, or when a drain is over.
const WRITE_BYTES: usize = 512 * 1024;
/// A commit of less is small: to write it twice, once as zeros, costs less than a change of metadata.
const SMALL_BYTES: usize = 256 * 1024;
/// Small commits stay on filled pages: filled this far ahead, whenever less than the margin is left.
const FILL_AHEAD_BYTES: u64 = 1024 * 1024;
const FILL_MARGIN_BYTES: u64 = 128 * 1024;
/// Room that is kept for the seal frame, with its alignment.
const SEAL_BYTES: u64 = 128;

/// A segment file and what of it is on its way.
pub(crate) struct SegmentWriter {
    file: Arc<dyn StorageFile>,
    name: String,
    header: SegmentHeader,
    seed: SegmentSeed,
    capacity: u64,
    filled: u64,
    /// File content from `buffer_at` (page-aligned) to `end`.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Whether `buffer` holds anything that the file does not.
    is_dirty: bool,
    /// Whether the file's header waits for the frames behind it: see [`SegmentWriter::new`].
    header_last: bool,
    durable: u64,
    entry_count: u64,
    digest: u32,
    tallies: Arc<Tallies>,
    /// Frames in `buffer` that the file does not have, and their bytes: counted when they are written.
    unwritten: (u64, u64),
}

/// What a frame says besides its payload.
#[derive(Clone, Copy)]
pub(crate) struct FrameFields {
    pub(crate) kind: FrameKind,
    pub(crate) entry_count: u32,
    pub(crate) epoch: Epoch,
    pub(crate) first_sequence: Sequence,
    pub(crate) base_timestamp: u64,
}

impl SegmentWriter {
    /// A segment in `spare`. The header is in the buffer, not in the file yet.
    ///
    /// `repeats`: it begins with entries that another file has, whose story the header ends. They were reported as written,
    /// so they must survive the process: the header goes to the file after them.
    pub(crate) fn new(spare: Spare, header: SegmentHeader, repeats: bool, tallies: Arc<Tallies>) -> Self {
        Self {
            file: spare.file,
            name: spare.name,
            header,
            seed: SegmentSeed::new(header.log_id, header.core, header.segment),
            capacity: spare.capacity,
            filled: spare.filled,
            buffer: header.encode(),
            buffer_at: 0,
            is_dirty: true,
            header_last: repeats,
            durable: 0,
            entry_count: 0,
            digest: checksum::crc(&[]),
            tallies,
            unwritten: (0, 0),
        }
    }

    pub(crate) fn number(&self) -> SegmentNumber {
        self.header.segment
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn file(&self) -> &Arc<dyn StorageFile> {
        &self.file
    }

    /// Offset of the next frame.
    pub(crate) fn end(&self) -> u64 {
        self.buffer_at + self.buffer.len() as u64
    }

    /// Everything below is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    pub(crate) fn set_durable(&mut self, durable: u64) {
        self.durable = self.durable.max(durable);
    }

    /// Whether it holds any frame.
    pub(crate) fn has_frames(&self) -> bool {
        self.end() > HEADER_BLOCK_BYTES as u64
    }

    /// Whether it holds any entry.
    pub(crate) fn has_entries(&self) -> bool {
        self.entry_count > 0
    }

    /// Bytes left for frames, the seal not counted.
    pub(crate) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.end() + SEAL_BYTES)
    }

    /// How a segment that follows this one refers to its end.
    pub(crate) fn link(&self) -> Previous {
        Previous { segment: self.header.segment, end: self.end(), synced_through: self.durable }
    }

    /// Adds a frame. Goes to the file when the buffer is full, or with [`SegmentWriter::flush`].
    pub(crate) fn append(&mut self, fields: &FrameFields, payload: &[u8]) -> io::Result<()> {
        let offset = self.end();
        let start = self.buffer.len();
        let aligned = frame_aligned(payload.len());
        self.buffer.resize(start + FRAME_HEADER_BYTES, 0);
        self.buffer.extend_from_slice(payload);
        self.buffer.resize(start + FRAME_HEADER_BYTES + aligned, 0);
        let payload_bytes =
            u32::try_from(payload.len()).unwrap_or_else(|_| unreachable!("bounded by the writer"));
        let header = FrameHeader {
            kind: fields.kind,
            flags: 0,
            core: self.header.core,
            payload_bytes,
            entry_count: fields.entry_count,
            epoch: fields.epoch,
            first_sequence: fields.first_sequence,
            base_timestamp: fields.base_timestamp,
            segment: self.header.segment,
            synced_through: self.durable,
            payload_crc: 0,
        };
        let (head, body) = self.buffer[start..].split_at_mut(FRAME_HEADER_BYTES);
        let encoded = header.encode(&self.seed, offset, body);
        head.copy_from_slice(&encoded);
        self.entry_count += u64::from(fields.entry_count);
        self.digest = checksum::extend(self.digest, &encoded);
        let (frames, bytes) = self.unwritten;
        self.unwritten = (frames + 1, bytes + (FRAME_HEADER_BYTES + aligned) as u64);
        self.is_dirty = true;
        if self.buffer.len() >= WRITE_BYTES && !self.header_last { self.flush() } else { Ok(()) }
    }

    /// Adds the seal frame and writes everything out.
    pub(crate) fn seal(
        &mut self,
        next_sequence: Sequence,
        last_timestamp: u64,
        epoch: Epoch,
    ) -> io::Result<()> {
        let seal = Seal {
            entry_count: self.entry_count,
            next_sequence,
            last_timestamp,
            length: self.end(),
            digest: self.digest,
        };
        let fields = FrameFields {
            kind: FrameKind::Seal,
            entry_count: 0,
            epoch,
            first_sequence: next_sequence,
            base_timestamp: last_timestamp,
        };
        self.append(&fields, &seal.encode())?;
        self.flush()
    }

    /// Writes the buffer to the file, in whole pages.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.is_dirty {
            return Ok(());
        }
        let used = self.buffer.len();
        self.fill_ahead(used)?;
        // Zeros behind the last frame, also where a page ends with it: the bytes that a recycled file held there before
        // would look like damage.
        let zeroed = (used + FRAME_HEADER_BYTES).next_multiple_of(PAGE_BYTES);
        let capacity = usize::try_from(self.capacity - self.buffer_at).unwrap_or(usize::MAX);
        self.buffer.resize(zeroed.min(capacity).max(used), 0);
        stall::at(Place::Unwritten);
        let first = if self.header_last { HEADER_BLOCK_BYTES } else { 0 };
        write_all_at(self.file.as_ref(), &self.buffer[first..], self.buffer_at + first as u64)?;
        if self.header_last {
            write_all_at(self.file.as_ref(), &self.buffer[..first], self.buffer_at)?;
            self.header_last = false;
        }
        stall::at(Place::Written);
        self.is_dirty = false;
        self.tallies.file_bytes.add(self.buffer.len() as u64);
        let (frames, bytes) = std::mem::take(&mut self.unwritten);
        self.tallies.frames.add(frames);
        self.tallies.frame_bytes.add(bytes);
        self.filled = self.filled.max(self.buffer_at + self.buffer.len() as u64);
        // Keep the page that the next frame shares.
        let kept = used / PAGE_BYTES * PAGE_BYTES;
        self.buffer.copy_within(kept..used, 0);
        self.buffer.truncate(used - kept);
        self.buffer_at += kept as u64;
        Ok(())
    }

    /// Small commits into a file that was not filled in time would each cost a metadata update; fill it a step ahead.
    fn fill_ahead(&mut self, used: usize) -> io::Result<()> {
        let end = self.buffer_at + used as u64;
        let is_small = used < SMALL_BYTES;
        if !is_small || self.filled >= self.capacity || end + FILL_MARGIN_BYTES < self.filled {
            return Ok(());
        }
        let to = (end + FILL_AHEAD_BYTES).min(self.capacity);
        fill_with_zeros(self.file.as_ref(), self.filled, to)?;
        self.filled = to;
        Ok(())
    }
}
