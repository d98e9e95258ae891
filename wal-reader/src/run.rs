//! A checkpoint run as a stream of keys in ascending order (`FORMAT.md#run`).

use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{
    EntryDecoder, FileName, FormatError, FrameKind, LogId, OperationRef, RunHeader, RunMeta, Seal, Sequence,
};

use crate::error::ReadError;
use crate::frames::{Depth, FrameReader, Order};
use crate::source::{Source, SourceFile, read_full};
use crate::stop::{Step, StopReason};
use crate::window::grow;

/// Reads one run. What it hands out is checked up to there; that the run is *complete* is known when
/// [`Self::advance`] returned false: then count, length and digest agree with its seal and with the manifest.
pub struct RunReader {
    frames: FrameReader,
    path: PathBuf,
    meta: RunMeta,
    remaining: u32,
    payload_at: usize,
    /// Where key and value stand in the payload; a deleted key has no value.
    key: (usize, usize),
    value: Option<(usize, usize)>,
    /// The last key of the frame before.
    last_key: Vec<u8>,
    entries: u64,
    sealed: bool,
    done: bool,
}

impl RunReader {
    /// Opens the run that `meta` describes.
    ///
    /// # Errors
    /// [`ReadError::RunMissing`], [`ReadError::RunCorrupt`] if its header or length is not what `meta` says,
    /// [`ReadError::Foreign`] if it belongs to another log, [`ReadError::Format`] for a newer version,
    /// [`ReadError::Io`].
    pub fn open(source: &dyn Source, log_id: LogId, meta: RunMeta) -> Result<Self, ReadError> {
        let name = FileName::Run(meta.run).to_string();
        let path = source.path(&name);
        let file = match source.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ReadError::RunMissing { path, run: meta.run });
            }
            Err(error) => return Err(ReadError::io("open", &path, error)),
        };
        let corrupt = |offset, reason: String| ReadError::RunCorrupt {
            path: path.clone(),
            run: meta.run,
            offset,
            reason,
        };
        let length = file.len().map_err(|error| ReadError::io("measure", &path, error))?;
        if length != meta.length {
            let reason = format!("the file has {length} bytes, the manifest says {}", meta.length);
            return Err(corrupt(length.min(meta.length), reason));
        }
        let header = read_header(&*file, &path)?;
        let header = match header {
            Ok(header) if header.log_id != log_id => {
                return Err(ReadError::Foreign { path, expected: log_id, found: header.log_id });
            }
            Ok(header) if header.run == meta.run && header.epoch == meta.epoch => header,
            Ok(header) => {
                let reason = format!(
                    "its header says run {} of epoch {}, the manifest says run {} of epoch {}",
                    header.run, header.epoch, meta.run, meta.epoch
                );
                return Err(corrupt(0, reason));
            }
            Err(cause @ FormatError::Version { .. }) => return Err(ReadError::Format { path, cause }),
            Err(error) => return Err(corrupt(0, error.to_string())),
        };
        let order = Order { sequence: Sequence(0), epoch: meta.epoch, timestamp: 0 };
        let from = HEADER_BLOCK_BYTES as u64;
        let frames =
            FrameReader::new(file, &path, header.seed(), from, Some(meta.length), order, Depth::Frame)?;
        Ok(Self {
            frames,
            path,
            meta,
            remaining: 0,
            payload_at: 0,
            key: (0, 0),
            value: None,
            last_key: Vec::new(),
            entries: 0,
            sealed: false,
            done: false,
        })
    }

    /// Steps to the next key; false at the end of a run that is complete.
    ///
    /// # Errors
    /// [`ReadError::RunCorrupt`], [`ReadError::Io`].
    #[inline]
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if self.done {
            return Ok(false);
        }
        while self.remaining == 0 {
            if !self.next_frame()? {
                return Ok(false);
            }
        }
        match self.decode_entry() {
            Ok(()) => Ok(true),
            Err(reason) => Err(self.corrupt(self.frames.offset(), reason.to_owned())),
        }
    }

    /// The current key, after [`Self::advance`] returned true.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.frames.payload()[self.key.0..self.key.1]
    }

    /// The current value; `None` if the key is deleted.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.map(|(from, to)| &self.frames.payload()[from..to])
    }

    /// The manifest's word on this run.
    #[must_use]
    pub fn meta(&self) -> &RunMeta {
        &self.meta
    }

    /// Bytes read from the file so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.frames.bytes_read()
    }

    fn decode_entry(&mut self) -> Result<(), &'static str> {
        const BAD: &str = "the frame's checksum holds, but its entries do not decode as its header says";
        let payload = self.frames.payload();
        let mut decoder = EntryDecoder::new(payload.get(self.payload_at..).unwrap_or(&[]));
        let entry = decoder.next_entry().ok().flatten().ok_or(BAD)?;
        let end = payload.len() - decoder.remaining();
        let (key, value) = match entry.operation {
            OperationRef::Put { key, value } => {
                let value_at = end - value.len();
                ((value_at - key.len(), value_at), Some((value_at, end)))
            }
            OperationRef::Delete { key } => ((end - key.len(), end), None),
            _ => return Err("it holds an operation that is neither a put nor a delete"),
        };
        let before = if self.payload_at == 0 { &self.last_key } else { &payload[self.key.0..self.key.1] };
        if self.entries > 0 && before.cmp(&payload[key.0..key.1]) != Ordering::Less {
            return Err("its keys are not in ascending order");
        }
        if self.remaining == 1 && end != payload.len() {
            return Err(BAD);
        }
        (self.key, self.value, self.payload_at) = (key, value, end);
        self.remaining -= 1;
        self.entries += 1;
        Ok(())
    }

    /// Loads the next frame; false at the end.
    fn next_frame(&mut self) -> Result<bool, ReadError> {
        // A frame without entries has no last key: that of the frame before still counts.
        if self.frames.header().is_some_and(|header| header.entry_count > 0) {
            let last_key = &self.frames.payload()[self.key.0..self.key.1];
            grow(&mut self.last_key, last_key.len(), &self.path)?;
            self.last_key.clear();
            self.last_key.extend_from_slice(last_key);
        }
        (self.key, self.value) = ((0, 0), None);
        match self.frames.step()? {
            Step::Frame => {}
            Step::Stop(stop) if stop.reason == StopReason::End && self.sealed => {
                self.done = true;
                return Ok(false);
            }
            Step::Stop(stop) => {
                let reason = match stop.reason {
                    StopReason::End => "it ends without a seal".to_owned(),
                    reason => reason.to_string(),
                };
                return Err(self.corrupt(stop.offset, reason));
            }
        }
        let Some(header) = self.frames.header().copied() else { return Ok(true) };
        match header.kind {
            FrameKind::Data if header.epoch != self.meta.epoch => {
                return Err(self.corrupt(self.frames.offset(), "a frame of another epoch".to_owned()));
            }
            FrameKind::Data => {
                self.remaining = header.entry_count;
                self.payload_at = 0;
            }
            FrameKind::Seal => self.check_seal()?,
            FrameKind::Barrier | FrameKind::Pad => {}
        }
        Ok(true)
    }

    /// The seal already agrees with the frames before it; here, with the manifest.
    fn check_seal(&mut self) -> Result<(), ReadError> {
        let seal = Seal::decode(self.frames.payload())
            .map_err(|error| self.corrupt(self.frames.offset(), error.to_string()))?;
        if (seal.entry_count, seal.digest) != (self.meta.entries, self.meta.digest) {
            let reason = "its entry count or digest is not what the manifest says".to_owned();
            return Err(self.corrupt(self.frames.offset(), reason));
        }
        self.sealed = true;
        Ok(())
    }

    fn corrupt(&self, offset: u64, reason: String) -> ReadError {
        ReadError::RunCorrupt { path: self.path.clone(), run: self.meta.run, offset, reason }
    }
}

fn read_header(
    file: &dyn SourceFile,
    path: &std::path::Path,
) -> Result<Result<RunHeader, FormatError>, ReadError> {
    let mut block = vec![0; HEADER_BLOCK_BYTES];
    let filled = read_full(file, &mut block, 0).map_err(|error| ReadError::io("read", path, error))?;
    block.truncate(filled);
    Ok(RunHeader::decode(&block))
}
