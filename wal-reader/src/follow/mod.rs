//! Following a log that is being written: entries as they become written or durable, of one core or of all cores in the
//! global order, resumable, in bounded memory.
//!
//! ```text
//!  files --look--> trail of each core --spans--> reader of each core --merge--> entry
//!                        |                                              ^
//!                        +--barriers, manifest--> horizon --target------+
//! ```
//!
//! A follower never writes, locks, syncs, or drops a page from the cache, so it may run beside an engine, in its process or in
//! another. It keeps open what it has found and not handed out, up to eight segments of a core, and the one that comes next: a
//! segment that is released in between is read to its end all the same, unless it is written over first. It is told nothing; it looks. Each look lists the
//! directory, reads header blocks of segments that it does not know, and 64 bytes where each log went on last time.
//!
//! **Why no wrong entry.** A segment that is read may be released and written over at any moment. Every frame is checked when
//! it is handed out, as a whole and from memory that nobody else writes: two CRCs, seeded with log, core, segment and offset.
//! A frame of another life of the file is of another segment number, so it fails, and so does a mixture of two lives. Then the
//! file's name tells whether it was released ([`FollowError::FellBehind`]) or is damaged ([`FollowError::Read`]).
//!
//! **What it does not tell.** Damage is told from an end that is being written by what stands before it, and by later segments'
//! headers. Of damage in the last segment that only frames behind it, or other cores, attest, it makes an end, and waits there:
//! recovery, which reads all of them, says what it is.
//!
//! **Why nothing is taken back** at [`Level::Durable`]: see `horizon.rs`. **Why exactly once**: sequence numbers of a core have
//! no gaps, readers check that, and a [`Position`] names the next one.

mod core;
mod error;
mod horizon;
mod joint;
mod lane;
mod merged;
mod pace;
mod position;
mod trail;

pub use self::core::CoreFollower;
pub use error::FollowError;
pub use merged::MergedFollower;
pub use pace::Pace;
pub use position::{CorePoint, Position, PositionError};

use wal_format::LogId;

use crate::inventory::read_manifest;
use crate::source::Source;

/// Which entries a follower hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What stands in files, in whole frames: it survives the engine's process, not a power loss. Merged: of epochs that
    /// are closed.
    Written,
    /// What the files prove durable: it survives a power loss. Merged: whole epochs, as part of a consistent cut.
    Durable,
}

/// Where a follower begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what the checkpoint does not hold: load its state first. Without a checkpoint, with the first entry.
    Checkpoint,
    /// Behind what can be handed out now. Reads all of it once.
    End,
    /// Right behind the last entry that was handed out when the position was taken.
    At(Position),
}

impl Start {
    /// Where that is in the log `log_id`.
    fn position(self, source: &dyn Source, log_id: LogId) -> Result<Position, FollowError> {
        match self {
            Self::At(position) if position.log_id != log_id => {
                Err(FollowError::OtherLog { expected: position.log_id, found: log_id })
            }
            Self::At(position) => Ok(position),
            Self::Checkpoint | Self::End => {
                let manifest = read_manifest(source, log_id)?;
                Ok(manifest
                    .map_or_else(|| Position::beginning(log_id), |manifest| Position::behind(&manifest)))
            }
        }
    }
}
