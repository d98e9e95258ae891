//! One attempt at storing a checkpoint: the run files that it makes, and what becomes of them.
//!
//! It only ever adds files. If it succeeds, those that are still needed have been synced, then their names; if not,
//! they are removed. Whatever a manifest names is never touched.

use std::cmp::Ordering;
use std::io;
use std::sync::Arc;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{Epoch, FileName, LogId, RunHeader, RunMeta};
use wal_reader::{CheckpointReader, Source};
use wal_writer::stall::{self, Place};
use wal_writer::storage::{Storage, StorageFile, uninterrupted};

use super::CheckpointCut;
use super::delta::Delta;
use super::error::StoreError;
use super::run_writer::RunWriter;
use crate::trace;

/// What reading one run takes: the reader's buffer, and a little.
const INPUT_BYTES: usize = 320 * 1024;
/// However small the budget, this many runs merge at once.
const INPUTS_MIN: usize = 4;

/// Makes run files for one checkpoint.
pub(super) struct Attempt<'a> {
    storage: &'a dyn Storage,
    source: &'a dyn Source,
    log_id: LogId,
    epoch: Epoch,
    inputs_max: usize,
    next_run: u64,
    /// Files that exist because of this attempt.
    created: Vec<Created>,
    bytes_written: u64,
}

struct Created {
    run: u64,
    file: Arc<dyn StorageFile>,
    /// 0 until it is complete.
    bytes: u64,
}

impl<'a> Attempt<'a> {
    /// Nothing made yet. Merging will use about `merge_bytes` of memory.
    pub(super) fn new(
        storage: &'a dyn Storage,
        source: &'a dyn Source,
        cut: &CheckpointCut,
        merge_bytes: usize,
    ) -> Self {
        Self {
            storage,
            source,
            log_id: cut.log_id,
            epoch: cut.epoch,
            inputs_max: (merge_bytes / INPUT_BYTES).max(INPUTS_MIN),
            next_run: cut.previous.as_ref().map_or(0, |previous| previous.next_run),
            created: Vec::new(),
            bytes_written: 0,
        }
    }

    /// Above every number used so far.
    pub(super) fn next_run(&self) -> u64 {
        self.next_run
    }

    /// Bytes written so far.
    pub(super) fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Merges any number of runs, oldest first, and the delta on top of them, with a bounded number of files open.
    /// Inputs that this attempt made itself are removed. `None` if no key is left.
    ///
    /// # Errors
    /// As of [`Self::write_run`].
    pub(super) fn merge(
        &mut self,
        inputs: &[RunMeta],
        newest: Option<&Delta>,
        keep_tombstones: bool,
    ) -> Result<Option<RunMeta>, StoreError> {
        let mut inputs = inputs.to_vec();
        while inputs.len() > self.inputs_max {
            let mut merged = Vec::new();
            for (index, chunk) in inputs.chunks(self.inputs_max).enumerate() {
                if let [only] = chunk {
                    merged.push(*only);
                    continue;
                }
                let keep_tombstones = keep_tombstones || index > 0;
                merged.extend(self.write_run(chunk, None, keep_tombstones)?);
                self.discard(chunk);
            }
            inputs = merged;
        }
        let merged = self.write_run(&inputs, newest, keep_tombstones)?;
        self.discard(&inputs);
        Ok(merged)
    }

    /// Writes one run from others, oldest first, and the delta on top of them. `None` if no key is left.
    ///
    /// # Errors
    /// [`StoreError::Read`], [`StoreError::NoSpace`], [`StoreError::Write`].
    pub(super) fn write_run(
        &mut self,
        inputs: &[RunMeta],
        newest: Option<&Delta>,
        keep_tombstones: bool,
    ) -> Result<Option<RunMeta>, StoreError> {
        let span = trace::run();
        let mut older = CheckpointReader::of_runs(self.source, self.log_id, inputs, keep_tombstones)?;
        let mut has_older = older.advance()?;
        let mut newer = newest.into_iter().flat_map(Delta::iter).peekable();
        // Made with the first key: there may be none.
        let mut writer = None;
        loop {
            let order = match (newer.peek(), has_older) {
                (None, false) => break,
                (None, true) => Ordering::Greater,
                (Some(_), false) => Ordering::Less,
                (Some((key, _)), true) => key.cmp(&older.key()),
            };
            let (key, value) = match newer.peek() {
                Some(newer) if order != Ordering::Greater => *newer,
                _ => (older.key(), older.value()),
            };
            if keep_tombstones || value.is_some() {
                let writer = match &mut writer {
                    Some(writer) => writer,
                    None => writer.insert(self.create_run()?),
                };
                writer.push(key, value)?;
            }
            if order != Ordering::Greater {
                newer.next();
            }
            if order != Ordering::Less {
                has_older = older.advance()?;
            }
        }
        let meta = writer.map(RunWriter::finish).transpose()?;
        if let Some(meta) = &meta {
            span.run_done(meta.run, meta.length);
        }
        stall::at(Place::RunWritten);
        if let (Some(meta), Some(created)) = (meta, self.created.last_mut()) {
            created.bytes = meta.length;
            self.bytes_written += meta.length;
        }
        Ok(meta)
    }

    /// Syncs the files that are left, then the directory. On return, they survive a power loss.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::Write`].
    pub(super) fn make_durable(&self) -> Result<(), StoreError> {
        if self.created.is_empty() {
            return Ok(());
        }
        for Created { run, file, bytes } in &self.created {
            uninterrupted(|| file.sync_data()).map_err(|error| {
                let path = self.storage.path(&FileName::Run(*run).to_string());
                StoreError::space("sync", &path, *bytes, error)
            })?;
            stall::at(Place::RunSynced);
        }
        self.storage
            .sync_directory()
            .map_err(|error| StoreError::write("sync", &self.storage.path(""), error))?;
        stall::at(Place::RunsDurable);
        Ok(())
    }

    /// Removes all that was made. Best effort: no manifest names it, and the next one published clears it away.
    pub(super) fn abandon(self) {
        for Created { run, .. } in &self.created {
            let _ = self.storage.remove(&FileName::Run(*run).to_string());
        }
    }

    /// Starts a run under the next number that is free. One that is taken was left by an attempt that failed.
    fn create_run(&mut self) -> Result<RunWriter, StoreError> {
        loop {
            let run = self.next_run;
            let name = FileName::Run(run).to_string();
            self.next_run += 1;
            match uninterrupted(|| self.storage.create(&name)) {
                Ok(file) => {
                    stall::at(Place::RunCreated);
                    self.created.push(Created { run, file: Arc::clone(&file), bytes: 0 });
                    let header = RunHeader { log_id: self.log_id, run, epoch: self.epoch };
                    return Ok(RunWriter::new(file, self.storage.path(&name), header));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    // The least that a run takes.
                    let path = self.storage.path(&name);
                    return Err(StoreError::space("create", &path, HEADER_BLOCK_BYTES as u64, error));
                }
            }
        }
    }

    /// Removes those of `runs` that this attempt made: they have been merged into another.
    fn discard(&mut self, runs: &[RunMeta]) {
        for meta in runs {
            if let Some(index) = self.created.iter().position(|created| created.run == meta.run) {
                self.created.swap_remove(index);
                let _ = self.storage.remove(&FileName::Run(meta.run).to_string());
                stall::at(Place::RunDiscarded);
            }
        }
    }
}
