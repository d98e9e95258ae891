//! What a checkpoint is stored in: the narrow trait, and the default store of sorted runs.
//!
//! A checkpoint hands over the merged changes of its epochs ([`Changes`]) and what it is about ([`CheckpointCut`]). The
//! store makes their effect durable and says what the manifest is to record ([`StoredState`]). Only then is the
//! manifest published ([`publish_manifest`]), and only then is the store told what may go
//! ([`CheckpointStore::published`]). A crash or a failure between any two of these steps leaves the former
//! checkpoint whole (`FORMAT.md`, write-ordering rule 6).
//!
//! Not for reading the state back: that is `wal_reader::CheckpointReader`.

mod changes;
mod error;
mod manifest;

mod replace;
mod runs;

mod attempt;
mod delta;
mod run_writer;
mod tiers;

#[cfg(test)]
mod tests;

use wal_format::{Epoch, LogId, Manifest, RunMeta};

pub use changes::Changes;
pub use error::StoreError;
pub use manifest::publish_manifest;
pub(crate) use replace::{ReplaceError, replace};
pub use runs::RunStore;

/// What a checkpoint is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointCut {
    /// Every entry of this epoch and below is in the checkpoint.
    pub epoch: Epoch,
    /// The current checkpoint, which the changes come on top of. `None` for the first one.
    pub previous: Option<Manifest>,
    /// The log.
    pub log_id: LogId,
    /// Nanoseconds since the Unix epoch, for the manifest; informative.
    pub created_ns: u64,
}

/// What the store made durable: goes into the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredState {
    /// The runs that are the state now, oldest first. Empty if `external`.
    pub runs: Vec<RunMeta>,
    /// Above every run number ever used.
    pub next_run: u64,
    /// The state is in the engine's own store.
    pub external: bool,
    /// Bytes written to get there, those of intermediate files included.
    pub bytes_written: u64,
    /// Keys that the changes wrote or deleted. A key counts again if it comes back after the store's memory was
    /// full.
    pub keys: u64,
}

/// Where checkpoints go. [`RunStore`] is the default; an engine that keeps its state in a store of its own implements
/// this over that one.
pub trait CheckpointStore: Send {
    /// Makes the effect of all `changes` durable. When this returns `Ok`, the state survives a power loss, and what
    /// the previous manifest names is still there.
    ///
    /// May be called again with the same cut or a later one after a failure, of this or of publishing the manifest;
    /// changes that were applied before then come once more.
    ///
    /// # Errors
    /// [`StoreError`]: the checkpoint fails; the previous one stays in force, untouched.
    fn apply(&mut self, cut: &CheckpointCut, changes: &mut Changes<'_>) -> Result<StoredState, StoreError>;

    /// The manifest that names the state is durable: what it no longer names may go. Best effort: what is left over
    /// is removed the next time, or when the log is opened.
    ///
    /// # Errors
    /// [`StoreError`]: something is left over. The checkpoint is valid all the same.
    fn published(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let _ = manifest;
        Ok(())
    }
}
