//! Why a follower cannot go on, by what its owner can do about it.

use thiserror::Error;
use wal_format::{CoreId, LogId, Sequence};

use crate::error::ReadError;

/// Following a log failed. What was handed out before stands, except after [`FollowError::TakenBack`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The log was released beyond what the follower had read. Nothing that it handed out is wrong, but it cannot go on
    /// from there.
    #[error(
        "the follower fell behind: it needs sequence {wanted} of core {core}, and the log begins with {oldest} by now; load \
         the checkpoint and follow from there, and follow inside the engine, with a pin, if that must not happen again"
    )]
    FellBehind {
        /// The core.
        core: CoreId,
        /// The entry that was to come next.
        wanted: Sequence,
        /// The first one that the log still has.
        oldest: Sequence,
    },
    /// Entries that were handed out are not part of the log any more. At level *written* a power loss does that; at
    /// level *durable* only somebody who opened the log with a narrower scope, or put an older copy in its place.
    #[error(
        "the log was taken back: entry {sequence} of core {core} was followed and is not part of the log any more, which a \
         power loss does to what was not durable, and whoever opens a log with a narrower scope or restores an older copy of \
         it; load the checkpoint and follow from there"
    )]
    TakenBack {
        /// The core.
        core: CoreId,
        /// The last entry that was handed out.
        sequence: Sequence,
    },
    /// The position is of another log.
    #[error(
        "the position belongs to log {expected}, this is log {found}: give the directory of that log, or start anew"
    )]
    OtherLog {
        /// The log that the position names.
        expected: LogId,
        /// The log that is there.
        found: LogId,
    },
    /// Reading failed, or what must be there is missing or corrupt. After [`ReadError::Io`] it can be tried again.
    #[error(transparent)]
    Read(#[from] ReadError),
}
