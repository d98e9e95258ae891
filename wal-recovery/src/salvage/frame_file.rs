//! A file of frames being written, front to back: a segment or a checkpoint run (`FORMAT.md#frame`).
//!
//! Nothing counts before the directory has its name, and it gets that when everything is durable. So every frame may
//! say that all before it is (`synced_through`), and the least damage to the new log will be told from a torn write.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use wal_format::checksum::extend;
use wal_format::limits::frame_aligned;
use wal_format::{Epoch, FrameHeader, FrameKind, Seal, SegmentSeed, Sequence};

use super::{SalvageError, failed};

/// Written at once, or a little more.
const WRITE_BYTES: usize = 1 << 20;

pub(super) struct FrameFile {
    file: File,
    path: PathBuf,
    seed: SegmentSeed,
    buffer: Vec<u8>,
    /// Offset of the next frame.
    offset: u64,
    entries: u64,
    digest: u32,
    /// Whether frames say that what precedes them is durable; those of runs do not.
    is_segment: bool,
}

/// What a frame says beside its payload.
#[derive(Clone, Copy)]
pub(super) struct Label {
    pub(super) kind: FrameKind,
    pub(super) epoch: Epoch,
    pub(super) entries: u32,
    pub(super) first_sequence: Sequence,
    pub(super) base_timestamp: u64,
}

impl FrameFile {
    /// A new file that begins with this header block.
    pub(super) fn create(
        path: PathBuf,
        block: Vec<u8>,
        seed: SegmentSeed,
        is_segment: bool,
    ) -> Result<Self, SalvageError> {
        let file = File::create_new(&path).map_err(|error| failed("create", &path, error))?;
        let offset = block.len() as u64;
        Ok(Self { file, path, seed, buffer: block, offset, entries: 0, digest: 0, is_segment })
    }

    /// Offset of the next frame.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Appends one frame.
    pub(super) fn frame(&mut self, label: Label, payload: &[u8]) -> Result<(), SalvageError> {
        let mut aligned = payload.to_vec();
        aligned.resize(frame_aligned(payload.len()), 0);
        let header = FrameHeader {
            kind: label.kind,
            flags: 0,
            core: self.seed.core(),
            payload_bytes: u32::try_from(payload.len()).expect("no batch is larger than a frame may be"),
            entry_count: label.entries,
            epoch: label.epoch,
            first_sequence: label.first_sequence,
            base_timestamp: label.base_timestamp,
            segment: self.seed.segment(),
            synced_through: if self.is_segment { self.offset } else { 0 },
            payload_crc: 0,
        };
        let bytes = header.encode(&self.seed, self.offset, &aligned);
        self.digest = extend(self.digest, &bytes);
        self.entries += u64::from(label.entries);
        self.offset += header.frame_bytes() as u64;
        self.buffer.extend_from_slice(&bytes);
        self.buffer.extend_from_slice(&aligned);
        if self.buffer.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Appends the seal. Returns the digest in it.
    pub(super) fn seal(&mut self, epoch: Epoch, next: Sequence, timestamp: u64) -> Result<u32, SalvageError> {
        let seal = Seal {
            entry_count: self.entries,
            next_sequence: next,
            last_timestamp: timestamp,
            length: self.offset,
            digest: self.digest,
        };
        let base_timestamp = timestamp;
        let label = Label { kind: FrameKind::Seal, epoch, entries: 0, first_sequence: next, base_timestamp };
        self.frame(label, &seal.encode())?;
        Ok(seal.digest)
    }

    /// Writes what is left and makes the file durable. Returns its length.
    pub(super) fn finish(mut self) -> Result<u64, SalvageError> {
        self.flush()?;
        self.file.sync_all().map_err(|error| failed("sync", &self.path, error))?;
        Ok(self.offset)
    }

    fn flush(&mut self) -> Result<(), SalvageError> {
        self.file.write_all(&self.buffer).map_err(|error| failed("write", &self.path, error))?;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes a whole small file and makes it durable.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SalvageError> {
    let write = File::create_new(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    write.map_err(|error| failed("write", path, error))
}
