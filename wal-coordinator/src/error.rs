//! What can go wrong with a whole log, by what the caller can do about it.
//!
//! A message is the whole story in one line, the cause included, so `source()` does not give the cause once more. What a
//! core's failure means for a checkpoint is said here, not by the core.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use wal_format::{CoreId, Epoch};
use wal_reader::{FollowError, ReadError};
use wal_recovery::RecoveryError;
use wal_writer::WriterError;
use wal_writer::storage::remedy;

use crate::store::StoreError;

/// Why the manager or the checkpoint coordinator did not do what it was asked.
#[derive(Error)]
#[non_exhaustive]
pub enum PerCoreWalError {
    /// A setting makes no sense.
    #[error("invalid configuration: {0}")]
    Config(String),
    /// There is no such core.
    #[error("core {core} does not exist: this log was opened with {cores} cores, 0 to {}", cores - 1)]
    CoreOutOfRange {
        /// The index that was given.
        core: usize,
        /// How many there are.
        cores: usize,
    },
    /// The writer of this core belongs to somebody else already.
    #[error("the writer of core {core} was taken before: each core's log has exactly one writer")]
    WriterTaken {
        /// The core.
        core: CoreId,
    },
    /// Another process, or another manager in this one, has the log open.
    #[error(
        "{path} is in use by another process, or by a manager, writer, checkpoint coordinator, handle or epoch \
         receipt of this one: close it first"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {operation} {path}: {cause}; {}, then try again", remedy(cause))]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the file system said.
        cause: io::Error,
    },
    /// There is no space for the identity of a new log. Free some and open it again.
    #[error(
        "no space for {needed_bytes} bytes of {path}: no log was made; free some space, then open it again"
    )]
    NoSpace {
        /// The file that would have been made.
        path: PathBuf,
        /// Bytes that it needs.
        needed_bytes: u64,
        /// What the file system said.
        source: io::Error,
    },
    /// The append side failed.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// Reading the log failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Following the log failed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// What is on disk cannot be opened as it is.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The checkpoint was not made. The one before still holds, and all logs are kept.
    #[error("checkpoint of epoch {epoch} failed, all logs are kept: {cause}")]
    Checkpoint {
        /// The epoch that was closed for it.
        epoch: Epoch,
        /// Why.
        cause: CheckpointFailure,
    },
}

/// The message: what `unwrap`, `expect` and a `main` that returns an error print is all that many a user sees.
impl fmt::Debug for PerCoreWalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which part of a checkpoint failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointFailure {
    /// A core could not make its part durable.
    #[error("{}", of_core(*core, cause))]
    Core {
        /// The core.
        core: CoreId,
        /// Why.
        cause: WriterError,
    },
    /// The logs could not be read back.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The merged entries are not as many as the cores appended.
    #[error(
        "the merge found {found} entries where the cores appended {expected}: refusing to release \
         anything; a store must take all changes before it returns"
    )]
    Incomplete {
        /// Entries appended.
        expected: u64,
        /// Entries merged.
        found: u64,
    },
    /// The manager was closed meanwhile.
    #[error("the log was closed; open it again")]
    Closed,
}

/// What a checkpoint can go on with later, and what it cannot.
fn of_core(core: CoreId, cause: &WriterError) -> String {
    let again = match cause {
        WriterError::NoSpace { .. } => "free some space",
        WriterError::Io { cause, .. } => remedy(cause),
        // Names the core, and says what is left to do.
        final_failure => return final_failure.to_string(),
    };
    let what = cause.what();
    format!(
        "core {core}: {what}; nothing is lost and the log goes on: {again}, then make the checkpoint again"
    )
}
