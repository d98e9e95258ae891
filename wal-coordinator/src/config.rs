//! Settings of a log: plain data, checked once when the log is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wal_format::limits::CORES_MAX;
use wal_reader::{Directory, Source};
use wal_recovery::Scope;
use wal_writer::{Clock, DirectoryStorage, LogOptions, RING_BYTES_MIN, SEGMENT_BYTES_MIN, Storage};

use crate::error::PerCoreWalError;

/// Who drains and syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// Background threads flush whenever the device is free and somebody waits. `threads` 0 means one per core, at
    /// most eight: they spend their time waiting for the device.
    Background {
        /// How many.
        threads: usize,
    },
    /// No threads at all: the engine calls `sync`. A receipt that is waited for blocking syncs by itself; one that is
    /// awaited needs somebody to sync.
    Inline,
}

/// Settings of a log. All fields are public; [`PerCoreWalConfig::new`] gives the defaults.
#[derive(Clone)]
#[non_exhaustive]
pub struct PerCoreWalConfig {
    /// The directory. Made if it does not exist; its parent must.
    pub path: PathBuf,
    /// How many cores append. May differ from run to run; every log on disk takes part, whatever its core.
    pub cores: usize,
    /// Ring, segments, retention, what happens when a sync fails.
    pub log: LogOptions,
    /// Who drains and syncs.
    pub flush: FlushMode,
    /// With background flushing: an entry is written to its file within about this time, so that it survives the
    /// process, even if nobody waits for it.
    pub memory_time_max: Duration,
    /// Released segments kept for reuse, over all cores.
    pub free_segments_max: usize,
    /// Bytes of memory that the default checkpoint store may use for the changes since the last checkpoint.
    pub checkpoint_budget_bytes: usize,
    /// Most cores that opening and recovery, and in inline mode syncing, work on at a time, each on a thread of its own
    /// that ends with the call. With 1, everything happens on the calling thread, one core after the other, so that
    /// the same calls give the same operations below: what simulations need.
    pub threads_max: usize,
    /// How much of what is on disk is taken over when the log is opened. What is not is cut off for good. Damage is
    /// always an error here: salvage what is left with `wal-recovery`, into a new log.
    pub scope: Scope,
    /// Where timestamps come from.
    pub clock: Clock,
    /// The file system below, append side.
    pub storage: Arc<dyn Storage>,
    /// The file system below, read side. Must show the same directory.
    pub source: Arc<dyn Source>,
}

impl PerCoreWalConfig {
    /// The defaults, for a log of `cores` cores in the directory `path`.
    #[must_use]
    pub fn new(path: impl AsRef<Path>, cores: usize) -> Self {
        let path = path.as_ref();
        Self {
            path: path.to_owned(),
            cores,
            log: LogOptions::default(),
            flush: FlushMode::Background { threads: 0 },
            memory_time_max: Duration::from_millis(10),
            free_segments_max: 2 * cores,
            checkpoint_budget_bytes: 64 * 1024 * 1024,
            threads_max: usize::MAX,
            scope: Scope::Everything,
            clock: Clock::system(),
            storage: Arc::new(DirectoryStorage::new(path)),
            source: Arc::new(Directory::new(path)),
        }
    }

    /// Without background threads ([`FlushMode::Inline`]).
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.flush = FlushMode::Inline;
        self
    }

    pub(crate) fn check(&self) -> Result<(), PerCoreWalError> {
        let reject = |why: String| Err(PerCoreWalError::Config(why));
        let LogOptions { ring_bytes, segment_bytes, .. } = self.log;
        if self.cores == 0 {
            return reject("a log needs at least one core".to_owned());
        }
        if self.cores > CORES_MAX {
            return reject(format!("{} cores are more than the format's {CORES_MAX}", self.cores));
        }
        if !ring_bytes.is_power_of_two() || ring_bytes < RING_BYTES_MIN {
            return reject(format!(
                "a ring of {ring_bytes} bytes: use a power of two, at least {RING_BYTES_MIN}"
            ));
        }
        if segment_bytes < SEGMENT_BYTES_MIN || !segment_bytes.is_multiple_of(4096) {
            return reject(format!(
                "segments of {segment_bytes} bytes: use a multiple of 4096, at least {SEGMENT_BYTES_MIN}"
            ));
        }
        if self.threads_max == 0 {
            return reject("threads_max is 0: the calling thread itself counts as one".to_owned());
        }
        if self.memory_time_max.is_zero() {
            return reject("memory_time_max is zero: flushers would never rest".to_owned());
        }
        Ok(())
    }

    pub(crate) fn flusher_threads(&self) -> usize {
        match self.flush {
            FlushMode::Background { threads: 0 } => self.cores.min(8),
            FlushMode::Background { threads } => threads.min(self.cores),
            FlushMode::Inline => 0,
        }
    }
}

impl std::fmt::Debug for PerCoreWalConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PerCoreWalConfig")
            .field("path", &self.path)
            .field("cores", &self.cores)
            .field("log", &self.log)
            .field("flush", &self.flush)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_its_limit_is_taken_and_what_is_beyond_is_refused_by_name() {
        let check = |change: &dyn Fn(&mut PerCoreWalConfig), word: Option<&str>| {
            let mut config = PerCoreWalConfig::new("log", 2);
            change(&mut config);
            match (config.check(), word) {
                (Ok(()), None) => {}
                (Err(PerCoreWalError::Config(why)), Some(word)) => assert!(why.contains(word), "{why}"),
                (result, word) => panic!("{result:?} where {word:?} was expected"),
            }
        };
        check(&|config| config.cores = 1, None);
        check(&|config| config.cores = 0, Some("core"));
        check(&|config| config.cores = CORES_MAX, None);
        check(&|config| config.cores = CORES_MAX + 1, Some("cores"));
        check(&|config| config.log.ring_bytes = RING_BYTES_MIN, None);
        check(&|config| config.log.ring_bytes = RING_BYTES_MIN / 2, Some("ring"));
        check(&|config| config.log.ring_bytes = RING_BYTES_MIN + 8, Some("ring"));
        check(&|config| config.log.segment_bytes = SEGMENT_BYTES_MIN, None);
        check(&|config| config.log.segment_bytes = SEGMENT_BYTES_MIN - 4096, Some("segments"));
        check(&|config| config.log.segment_bytes = SEGMENT_BYTES_MIN + 8, Some("segments"));
        check(&|config| config.threads_max = 0, Some("threads_max"));
        check(&|config| config.memory_time_max = std::time::Duration::ZERO, Some("memory_time_max"));
    }

    #[test]
    fn as_many_threads_flush_as_were_asked_for_and_no_more_than_there_are_cores() {
        let threads = |cores, flush| {
            PerCoreWalConfig { flush, ..PerCoreWalConfig::new("log", cores) }.flusher_threads()
        };
        for (cores, asked, expected) in [(1, 0, 1), (8, 0, 8), (9, 0, 8), (4, 3, 3), (4, 9, 4)] {
            assert_eq!(threads(cores, FlushMode::Background { threads: asked }), expected);
        }
        assert_eq!(threads(4, FlushMode::Inline), 0);
    }

    #[test]
    fn it_prints_with_its_path_and_sizes() {
        let printed = format!("{:?}", PerCoreWalConfig::new("some/where", 3));
        assert!(
            ["some/where", "cores: 3", "ring_bytes", "flush"].iter().all(|part| printed.contains(part)),
            "{printed}"
        );
    }
}
