//! Places where a test may hold a thread up, so that interleavings that are rare by themselves come about often.
//!
//! With the feature `testing`, every place asks the hook that a test installed, once per process. Without it, [`at`] is
//! empty and inlined: production code compiles to the same instructions with and without its calls.
//!
//! A hook gives way or spins for a bounded time. It must not park the thread, which receipts do, nor come back to the
//! log: some places lie inside a pinned section or under a lock.
//!
//! Not for choosing the schedule: threads run as the system lets them. The models of loom are for that.

/// Where a thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Place {
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
