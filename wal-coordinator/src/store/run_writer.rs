//! Writes one run file (`FORMAT.md#run`).
//!
//! Frames are built in place, in one buffer, and written in large pieces of whole pages. Nothing is durable before
//! the caller has synced the file and its directory.

use std::path::PathBuf;
use std::sync::Arc;

use wal_format::checksum::extend;
use wal_format::entry::entry_bytes;
use wal_format::limits::{
    FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FRAME_PAYLOAD_BYTES_TARGET, HEADER_BLOCK_BYTES, RUN_CORE,
    frame_aligned,
};
use wal_format::{
    CoreId, EntryEncoder, FrameHeader, FrameKind, OperationRef, RunHeader, RunMeta, Seal, SegmentNumber,
    SegmentSeed, Sequence,
};
use wal_writer::storage::{StorageFile, write_all_at};

use super::error::StoreError;

/// Written at once, or a little more. Stays in the L2 cache between encoding, checksum and write.
const WRITE_BYTES: usize = 512 * 1024;
const PAGE_BYTES: usize = 4096;
/// What is about to be written, and the open frame behind it.
const BUFFER_BYTES: usize = WRITE_BYTES + FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_TARGET;

/// A run being written: keys must come in ascending order, each once.
pub(super) struct RunWriter {
    file: Arc<dyn StorageFile>,
    path: PathBuf,
    header: RunHeader,
    seed: SegmentSeed,
    /// Its first `filled` bytes are content.
    buffer: Vec<u8>,
    filled: usize,
    /// File offset of the buffer's first byte: whole pages.
    offset: u64,
    /// Where in the buffer the open frame starts.
    frame_at: usize,
    frame_entries: u32,
    entries: u64,
    digest: u32,
}

impl RunWriter {
    /// Starts a run in an empty file.
    pub(super) fn new(file: Arc<dyn StorageFile>, path: PathBuf, header: RunHeader) -> Self {
        let mut buffer = header.encode();
        buffer.resize(BUFFER_BYTES, 0);
        Self {
            file,
            path,
            header,
            seed: header.seed(),
            buffer,
            filled: HEADER_BLOCK_BYTES + FRAME_HEADER_BYTES,
            offset: 0,
            frame_at: HEADER_BLOCK_BYTES,
            frame_entries: 0,
            entries: 0,
            digest: 0,
        }
    }

    /// Appends a key; without a value, as deleted.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::Write`].
    #[inline]
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let operation = match value {
            Some(value) => OperationRef::Put { key, value },
            None => OperationRef::Delete { key },
        };
        let bytes = entry_bytes(0, &operation);
        // It came out of a frame, with a delta no shorter than the one that it gets here.
        assert!(bytes <= FRAME_PAYLOAD_BYTES_MAX, "an entry of {bytes} bytes did not come from a log");
        if self.frame_entries > 0 && self.payload_bytes() + bytes > FRAME_PAYLOAD_BYTES_TARGET {
            self.close_frame(FrameKind::Data)?;
        }
        self.reserve(bytes);
        let mut encoder = EntryEncoder::new(&mut self.buffer[self.filled..]);
        encoder.entry(false, 0, &operation);
        self.filled += encoder.position();
        self.frame_entries += 1;
        Ok(())
    }

    /// Seals the run and writes what is left of it. To be synced by the caller.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::Write`].
    pub(super) fn finish(mut self) -> Result<RunMeta, StoreError> {
        // It was begun for its first key, so a frame is open that holds one.
        self.close_frame(FrameKind::Data)?;
        let seal = Seal {
            entry_count: self.entries,
            next_sequence: Sequence(self.entries),
            last_timestamp: 0,
            length: self.offset + self.frame_at as u64,
            digest: self.digest,
        };
        let payload = seal.encode();
        self.reserve(payload.len());
        self.buffer[self.filled..self.filled + payload.len()].copy_from_slice(&payload);
        self.filled += payload.len();
        self.close_frame(FrameKind::Seal)?;
        // The last close opened a frame that stays empty.
        let (end, run) = (self.frame_at, self.header.run);
        self.write(end)?;
        let length = self.offset + end as u64;
        Ok(RunMeta { run, entries: self.entries, length, digest: seal.digest, epoch: self.header.epoch })
    }

    fn payload_bytes(&self) -> usize {
        self.filled - self.frame_at - FRAME_HEADER_BYTES
    }

    /// Makes sure that so many bytes, their alignment and a frame header behind them fit the buffer.
    #[inline]
    fn reserve(&mut self, bytes: usize) {
        let needed = frame_aligned(self.filled + bytes) + FRAME_HEADER_BYTES;
        self.buffer.resize(needed.max(self.buffer.len()), 0);
    }

    /// Completes the open frame and opens the next one.
    fn close_frame(&mut self, kind: FrameKind) -> Result<(), StoreError> {
        let payload_bytes = self.payload_bytes();
        let payload_at = self.frame_at + FRAME_HEADER_BYTES;
        let end = payload_at + frame_aligned(payload_bytes);
        self.reserve(0);
        self.buffer[self.filled..end].fill(0);
        let header = FrameHeader {
            kind,
            flags: 0,
            core: CoreId(RUN_CORE),
            payload_bytes: u32::try_from(payload_bytes).expect("push keeps frames within their limit"),
            entry_count: self.frame_entries,
            epoch: self.header.epoch,
            first_sequence: Sequence(self.entries),
            base_timestamp: 0,
            segment: SegmentNumber(self.header.run),
            synced_through: 0,
            payload_crc: 0,
        };
        let offset = self.offset + self.frame_at as u64;
        let bytes = header.encode(&self.seed, offset, &self.buffer[payload_at..end]);
        self.buffer[self.frame_at..payload_at].copy_from_slice(&bytes);
        self.digest = extend(self.digest, &bytes);
        self.entries += u64::from(self.frame_entries);
        self.frame_entries = 0;
        self.frame_at = end;
        if end >= WRITE_BYTES {
            self.write_pages()?;
        }
        self.filled = self.frame_at + FRAME_HEADER_BYTES;
        Ok(())
    }

    /// Writes the whole pages before the open frame and moves what is left to the front.
    fn write_pages(&mut self) -> Result<(), StoreError> {
        let whole = self.frame_at / PAGE_BYTES * PAGE_BYTES;
        self.write(whole)?;
        self.buffer.copy_within(whole..self.frame_at, 0);
        self.offset += whole as u64;
        self.frame_at -= whole;
        // After a value of many megabytes.
        if self.buffer.len() > 4 * BUFFER_BYTES {
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to(BUFFER_BYTES);
        }
        Ok(())
    }

    fn write(&self, bytes: usize) -> Result<(), StoreError> {
        write_all_at(&*self.file, &self.buffer[..bytes], self.offset)
            .map_err(|error| StoreError::space("write", &self.path, bytes as u64, error))
    }
}

#[cfg(test)]
mod tests {
    use wal_format::{Epoch, Found, LogId};
    use wal_writer::storage::Storage;
    use wal_writer::storage::recording::RecordingStorage;

    use super::*;

    /// A run of `count` values of `value_bytes`; its frames.
    fn frames(count: u32, value_bytes: usize) -> Vec<FrameHeader> {
        let storage = RecordingStorage::new();
        let header = RunHeader { log_id: LogId([7; 16]), run: 3, epoch: Epoch(5) };
        let mut writer = RunWriter::new(storage.create("run").unwrap(), "run".into(), header);
        for key in 0..count {
            writer.push(&key.swap_bytes().to_le_bytes(), Some(&vec![1; value_bytes])).unwrap();
            assert!(writer.buffer.len() <= 4 * BUFFER_BYTES.max(value_bytes + PAGE_BYTES));
        }
        let meta = writer.finish().unwrap();
        let bytes = &storage.current()["run"];
        assert_eq!((meta.length, meta.entries), (bytes.len() as u64, u64::from(count)));
        let (mut found, mut at) = (Vec::new(), HEADER_BLOCK_BYTES);
        while at < bytes.len() {
            let Found::Header(frame) = Found::at(&header.seed(), at as u64, &bytes[at..]).unwrap() else {
                panic!("no frame at {at}");
            };
            at += frame.frame_bytes();
            found.push(frame);
        }
        found
    }

    #[test]
    fn frames_are_filled_to_their_size_and_no_further() {
        for bytes in [9_usize, 63, 64, 65, 1000, 21_000, 32_767, 32_768, 65_535, 65_536, 65_537, 200_000] {
            let value_bytes = (0..bytes)
                .rev()
                .find(|value_bytes| {
                    let operation = OperationRef::Put { key: &[0; 4], value: &vec![1; *value_bytes] };
                    entry_bytes(0, &operation) <= bytes
                })
                .unwrap();
            let entry = entry_bytes(0, &OperationRef::Put { key: &[0; 4], value: &vec![1; value_bytes] });
            let each = (FRAME_PAYLOAD_BYTES_TARGET / entry).max(1);
            let count = u32::try_from(3 * each + 1).unwrap();
            let frames = frames(count, value_bytes);
            let (seal, data) = frames.split_last().unwrap();
            assert_eq!(seal.kind, FrameKind::Seal);
            let counts: Vec<_> = data.iter().map(|frame| frame.entry_count as usize).collect();
            assert_eq!(counts, [each, each, each, 1], "entries of {entry} bytes");
        }
    }

    #[test]
    fn the_buffer_is_given_back_after_a_value_of_many_megabytes() {
        let storage = RecordingStorage::new();
        let header = RunHeader { log_id: LogId([7; 16]), run: 0, epoch: Epoch(1) };
        let mut writer = RunWriter::new(storage.create("run").unwrap(), "run".into(), header);
        writer.push(&[0], Some(&vec![1; 16 * BUFFER_BYTES])).unwrap();
        writer.push(&[1], None).unwrap();
        assert!(writer.buffer.capacity() <= 4 * BUFFER_BYTES, "{} bytes are held", writer.buffer.capacity());
        writer.finish().unwrap();
    }
}
