//! The state that a checkpoint holds: its runs merged by key, the newest run wins.

use std::cmp::Ordering;

use wal_format::{LogId, Manifest, RunMeta};

use crate::error::ReadError;
use crate::run::RunReader;
use crate::source::Source;

/// Streams the keys of several runs in ascending order, each once, with the value of the newest run that has it. One
/// buffer per run, whatever their sizes.
pub struct CheckpointReader {
    /// Oldest first.
    runs: Vec<RunReader>,
    /// Indices of the runs that have a key, descending by it, older before newer: the next one is at the end.
    queue: Vec<usize>,
    current: Option<usize>,
    keep_tombstones: bool,
    started: bool,
    /// Errors of runs that stood behind a key which could still be handed out.
    failed: Vec<ReadError>,
    entries: u64,
}

impl CheckpointReader {
    /// The whole state of a checkpoint. Empty if the state is in the engine's own store.
    ///
    /// # Errors
    /// As of [`RunReader::open`].
    pub fn open(source: &dyn Source, manifest: &Manifest) -> Result<Self, ReadError> {
        Self::of_runs(source, manifest.log_id, &manifest.runs, false)
    }

    /// Some runs, oldest first. With `keep_tombstones`, deleted keys come too, without a value: needed when older
    /// runs than these remain.
    ///
    /// # Errors
    /// As of [`RunReader::open`].
    pub fn of_runs(
        source: &dyn Source,
        log_id: LogId,
        runs: &[RunMeta],
        keep_tombstones: bool,
    ) -> Result<Self, ReadError> {
        let runs: Vec<_> =
            runs.iter().map(|meta| RunReader::open(source, log_id, *meta)).collect::<Result<_, _>>()?;
        let queue = Vec::with_capacity(runs.len());
        Ok(Self {
            runs,
            queue,
            current: None,
            keep_tombstones,
            started: false,
            failed: Vec::new(),
            entries: 0,
        })
    }

    /// Steps to the next key; false at the end, when every run has been found complete.
    ///
    /// # Errors
    /// As of [`RunReader::advance`]. The run that failed is then left out: a caller who wants what is intact steps on,
    /// anyone else gives up.
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if !self.started {
            self.started = true;
            for index in 0..self.runs.len() {
                self.step_behind(index);
            }
        }
        if let Some(error) = self.failed.pop() {
            if let Some(current) = self.current.take() {
                self.step_behind(current);
            }
            return Err(error);
        }
        loop {
            if let Some(current) = self.current.take() {
                self.step(current)?;
            }
            let Some(newest) = self.queue.pop() else { return Ok(false) };
            while let Some(&older) = self.queue.last()
                && self.runs[older].key() == self.runs[newest].key()
            {
                self.queue.pop();
                self.step_behind(older);
            }
            self.current = Some(newest);
            if self.keep_tombstones || self.runs[newest].value().is_some() {
                self.entries += 1;
                return Ok(true);
            }
        }
    }

    /// The current key, after [`Self::advance`] returned true; empty otherwise.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.current.map_or(&[], |index| self.runs[index].key())
    }

    /// The current value; `None` if the key is deleted.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.current.and_then(|index| self.runs[index].value())
    }

    /// Keys handed out so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes read from files so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.runs.iter().map(RunReader::bytes_read).sum()
    }

    fn step_behind(&mut self, index: usize) {
        if let Err(error) = self.step(index) {
            self.failed.push(error);
        }
    }

    /// Steps one run and puts it back in its place, unless it is at its end.
    fn step(&mut self, index: usize) -> Result<(), ReadError> {
        if !self.runs[index].advance()? {
            return Ok(());
        }
        let rank = |&other: &usize| {
            let by_key = self.runs[index].key().cmp(self.runs[other].key());
            // Of equal keys the newer run comes out first, so it stands nearer to the end.
            if by_key == Ordering::Equal { other.cmp(&index) } else { by_key }
        };
        let at = self.queue.partition_point(|other| rank(other) == Ordering::Less);
        self.queue.insert(at, index);
        Ok(())
    }
}
