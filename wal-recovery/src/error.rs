//! Why recovery failed, by what the caller can do about it.
//!
//! A message is the whole story in one line, the cause included, so `source()` does not give the cause once more.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;
use wal_format::{CoreId, Epoch, FormatError, Sequence};
use wal_reader::ReadError;

/// What a [`Replay`](crate::Replay) may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Recovery failed. Nothing was changed on disk, so it can be tried again.
#[derive(Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// There is no such directory. An empty one recovers to nothing; a missing one is more likely a wrong path.
    #[error("{} does not exist: give the log's directory, or create it to begin a new log", path.display())]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// Reading failed, or what had been durable is missing or corrupt.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The beginning of a core's log was released after a checkpoint, but there is no checkpoint.
    #[error(
        "the log of core {core} begins at sequence {sequence} and {} is missing: the state before is lost unless it is \
         restored from a backup; salvage mode takes what the logs hold",
        path.display()
    )]
    CheckpointMissing {
        /// Where the manifest should be.
        path: PathBuf,
        /// The core.
        core: CoreId,
        /// The first sequence number that its log still has.
        sequence: Sequence,
    },
    /// There is a checkpoint manifest, but it cannot be read.
    #[error(
        "{}: {cause}; restore it from a backup, or recover in salvage mode to take what the logs hold",
        path.display()
    )]
    CheckpointCorrupt {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// The checkpoint already holds later epochs than those asked for.
    #[error("epoch {asked} cannot be had any more: the checkpoint holds everything up to epoch {checkpoint}")]
    BeforeCheckpoint {
        /// The epoch of the scope.
        asked: Epoch,
        /// The checkpoint's.
        checkpoint: Epoch,
    },
    /// An engine that has the log open made checkpoints, and released what they hold, faster than it could be scanned.
    #[error(
        "{} is in use, and its engine releases segments faster than they can be scanned: try again, or close the engine",
        path.display()
    )]
    Overtaken {
        /// The directory.
        path: PathBuf,
    },
    /// The checkpointed state is in the engine's own store, so it cannot be returned as a map.
    #[error(
        "the checkpoint of epoch {epoch} is in the engine's own store: use `recover` and replay onto that store"
    )]
    ExternalState {
        /// The checkpoint's epoch.
        epoch: Epoch,
    },
    /// The map of the recovered state does not fit into memory.
    #[error(
        "the recovered state does not fit into memory, {bytes} bytes more cannot be had: use `recover` and keep the state \
         elsewhere"
    )]
    OutOfMemory {
        /// Bytes of the key or value that did not fit, or the number of keys if the map's table could not grow.
        bytes: usize,
    },
    /// The caller's own [`Replay`](crate::Replay) failed.
    #[error("replay refused by the engine: {}", with_sources(&**.0))]
    Replay(BoxError),
}

/// The message: what `unwrap`, `expect` and a `main` that returns an error print is all that many a user sees.
impl fmt::Debug for RecoveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl RecoveryError {
    /// What an engine returned. The maps of this crate fail with errors of its own, which are said as they are.
    pub(crate) fn of_engine(error: BoxError) -> Self {
        error.downcast::<Self>().map_or_else(Self::Replay, |error| *error)
    }
}

/// An engine's own error and those below it, in one line: what it leaves to its sources would be told to nobody.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |told, source| format!("{told}: {source}"))
}
