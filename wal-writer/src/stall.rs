//! Places where a test may hold a thread up, so that interleavings that are rare by themselves come about often; or
//! kill the process, so that what a crash leaves between any two steps is seen.
//!
//! With the feature `testing`, every place asks the hook that a test installed, once per process. Without it, [`at`] is
//! empty and inlined: production code compiles to the same instructions with and without its calls.
//!
//! A hook gives way or spins for a bounded time. It must not park the thread, which receipts do, nor come back to the
//! log: some places lie inside a pinned section or under a lock.
//!
//! Not for choosing the schedule: threads run as the system lets them. The models of loom are for that.

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Where a thread stands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Place { $($(#[$doc])* $name,)* }

        impl Place {
            /// All of them, for tests that must have been everywhere.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

places! {
    /// Append: pinned, the epoch not yet read.
    Pinned,
    /// Append: the epoch is read, nothing is encoded.
    EpochRead,
    /// Append: encoded, the start of a new epoch not yet recorded, nothing published.
    Encoded,
    /// Append: half of the marker of a new epoch is stored.
    Marking,
    /// Append: published, still pinned.
    Published,
    /// Close: the epoch is advanced, no pin is read.
    EpochAdvanced,
    /// Close: one core's pin is waited for.
    PinAwaited,
    /// Close: one core's number of appended entries is read, its marker is not.
    AppendedRead,
    /// Drain: between two records or frames.
    Draining,
    /// Sync: written out, nothing submitted.
    WrittenOut,
    /// Sync: submitted, the drain is free again, no file is synced.
    Submitted,
    /// Sync: all files are synced, the drain does not know yet.
    Synced,
    /// Sync: the drain knows, waiters do not.
    Completed,
    /// Progress: the number is raised, nobody is woken.
    Raised,
    /// Supply: the next segment is made, but not handed over.
    SegmentMade,
    /// Coordinator: seals are requested, the epoch is open.
    SealRequested,
    /// Coordinator: there was nothing to close, the caller has not been told.
    NothingToClose,
    /// Coordinator: the epoch is closed, but not yet counted as outstanding.
    EpochClosed,
    /// Coordinator: the epoch is outstanding, no core has been told.
    EpochOutstanding,
    /// Coordinator: one core has synced its end of an epoch, but that is not counted yet.
    CoreEnded,
    /// Flusher: it took note of a wake-up, and has not looked at the log.
    Woken,
    /// Checkpoint: all cores are sealed, nothing is read.
    Sealed,
    /// Checkpoint: the store has taken the changes, the manifest is not published.
    Stored,
    /// Checkpoint: the manifest is published, nobody has been told.
    ManifestPublished,
    /// Checkpoint: nothing keeps the old segments, none is released.
    Releasing,
    /// Segment: frames stand in the buffer, their write has not begun.
    Unwritten,
    /// Segment: frames are written, not synced.
    Written,
    /// Segment: the next one is taken from the supply, its header is only in memory.
    SegmentTaken,
    /// Segment: the seal is written, not synced; no next segment is begun.
    SegmentSealed,
    /// Epoch: this core's barrier is written, not synced.
    BarrierWritten,
    /// Failed sync: the drain went back to the last durable point.
    Rewound,
    /// Failed sync: all is durable in a fresh segment, nobody has been told.
    Continued,
    /// Supply: an empty file has the next segment's name, which is not durable.
    SegmentCreated,
    /// Supply: its space is allocated.
    SegmentAllocated,
    /// Supply: it is filled with zeros, not synced.
    SegmentFilled,
    /// Supply: its name is durable.
    SegmentNamed,
    /// Supply: a free file, or one that was overtaken, has a new name, which is not durable.
    SegmentRenamed,
    /// Release: one segment became a free file, or is gone; not durable.
    SegmentReleased,
    /// Release: one core's released segments are durably so.
    CoreReleased,
    /// Store: a run has its name and nothing in it.
    RunCreated,
    /// Store: a run is written, not synced.
    RunWritten,
    /// Store: one run is synced.
    RunSynced,
    /// Store: all runs and their names are durable.
    RunsDurable,
    /// Store: one run that was merged into another of the same checkpoint is gone.
    RunDiscarded,
    /// Store: one run that the new manifest does not name is gone.
    RunRemoved,
    /// Identity: the temporary file is made.
    MetaCreated,
    /// Identity: it is written.
    MetaWritten,
    /// Identity: it is synced.
    MetaSynced,
    /// Identity: it has its final name, which is not durable.
    MetaRenamed,
    /// Identity: all is durable.
    MetaDurable,
    /// Manifest: the temporary file is made.
    ManifestCreated,
    /// Manifest: it is written.
    ManifestWritten,
    /// Manifest: it is synced.
    ManifestSynced,
    /// Manifest: it has its final name, which is not durable.
    ManifestRenamed,
    /// Manifest: all is durable.
    ManifestDurable,
    /// Opening: the directory is there.
    DirectoryMade,
    /// Opening: the lock is held, nothing is changed.
    Locked,
    /// Opening: unfinished replacements are gone.
    TemporariesRemoved,
    /// Opening: recovery has decided, nothing is recorded.
    Decided,
    /// Opening: one core's first segment records where its log before ends.
    CoreBegun,
    /// Opening: all of them do.
    DecisionRecorded,
    /// Opening: segments that were made ahead are back in the pool.
    PreparedRecycled,
}

/// Called at a place.
#[cfg(not(all(feature = "testing", not(loom))))]
#[inline(always)]
pub fn at(_place: Place) {}

#[cfg(all(feature = "testing", not(loom)))]
pub use hooked::{at, install};

#[cfg(all(feature = "testing", not(loom)))]
mod hooked {
    use super::Place;
    use std::sync::OnceLock;

    type Hook = Box<dyn Fn(Place) + Send + Sync>;

    static HOOK: OnceLock<Hook> = OnceLock::new();

    /// Called at a place.
    #[inline]
    pub fn at(place: Place) {
        if let Some(hook) = HOOK.get() {
            hook(place);
        }
    }

    /// Has `hook` called at every place, on every thread of this process, from now on. Returns whether it was the
    /// first: there is only one.
    pub fn install(hook: impl Fn(Place) + Send + Sync + 'static) -> bool {
        HOOK.set(Box::new(hook)).is_ok()
    }
}
