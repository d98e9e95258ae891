//! The one door to atomics, locks and threads: the real ones, loom's when built with `--cfg loom` (every order of the
//! steps of a small model), shuttle's with `--cfg shuttle` (drawn schedules of everything together).
//!
//! Type aliases rather than re-exports, so that clippy's `disallowed-types` guards every other file.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the home that the ban points to"
)]

#[cfg(not(any(loom, shuttle)))]
mod imp {
    pub(crate) use std::sync::atomic::fence;
    pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
    pub(crate) type Mutex<T> = parking_lot::Mutex<T>;
    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;

    /// Leaves a lock to whoever waits for it, also if this thread wants it again at once.
    pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
        parking_lot::MutexGuard::unlock_fair(guard);
    }
    pub(crate) type ByteCell = std::cell::UnsafeCell<u8>;

    /// Gives way to the thread that is waited for: on a machine with fewer CPUs than threads it may not be running.
    pub(crate) fn yield_now() {
        std::thread::yield_now();
    }

    /// Blocks until `waker_of_this_thread` is woken, or for no reason.
    pub(crate) fn park() {
        std::thread::park();
    }

    /// As `park`, for no longer than `limit`; how long that was.
    pub(crate) fn park_for(limit: std::time::Duration) -> std::time::Duration {
        let begun = std::time::Instant::now();
        std::thread::park_timeout(limit);
        begun.elapsed()
    }

    /// Wakes the thread that called this.
    pub(crate) fn thread_waker() -> std::task::Waker {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        std::sync::Arc::new(Unpark(std::thread::current())).into()
    }
}

#[cfg(any(loom, shuttle))]
mod imp {
    #[cfg(loom)]
    use loom as checker;
    #[cfg(shuttle)]
    use shuttle as checker;

    pub(crate) use checker::sync::atomic::fence;
    pub(crate) type AtomicU64 = checker::sync::atomic::AtomicU64;
    pub(crate) type ByteCell = std::cell::UnsafeCell<u8>;
    pub(crate) type MutexGuard<'a, T> = checker::sync::MutexGuard<'a, T>;

    /// Checkers try every order.
    pub(crate) fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
        drop(guard);
    }

    /// parking_lot's interface over the checker's mutex: no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(checker::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }

    pub(crate) fn yield_now() {
        checker::thread::yield_now();
    }

    pub(crate) fn park() {
        checker::thread::park();
    }

    /// No time passes here: others run, and the limit is over.
    pub(crate) fn park_for(limit: std::time::Duration) -> std::time::Duration {
        checker::thread::yield_now();
        limit
    }

    pub(crate) fn thread_waker() -> std::task::Waker {
        struct Unpark(checker::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        std::sync::Arc::new(Unpark(checker::thread::current())).into()
    }
}

pub(crate) use imp::*;

/// A lock of which no checker knows: for figures that are looked at, and for test storages. Both hold it for a moment, and
/// never while they wait. What they are asked is then no step of a schedule, and may be asked of them on any thread.
pub(crate) type PlainMutex<T> = parking_lot::Mutex<T>;

/// A counter of which no checker knows: for figures that order nothing (`tally.rs`).
pub(crate) type AtomicCounter = std::sync::atomic::AtomicU64;

crate::edges! {
    /// `ring.rs`: publishing a record.
    TailPublish: Release,
    /// `ring.rs`: the consumer sees it.
    TailRead: Acquire,
    /// `ring.rs`: giving bytes back.
    HeadRelease: Release,
    /// `ring.rs`: the producer sees that.
    HeadRead: Acquire,
    /// `pin.rs` (a): the epoch advances.
    EpochAdvance: Release,
    /// `pin.rs` (3): an append reads the epoch.
    EpochRead: Acquire,
    /// `pin.rs` (2): between the pin and reading the epoch.
    AppendFence: SeqCst,
    /// `pin.rs` (b): between advancing the epoch and reading the pins.
    CloseFence: SeqCst,
    /// `pin.rs` (4): an append is over.
    Unpin: Release,
    /// `pin.rs` (c): the closer sees that.
    PinRead: Acquire,
    /// `pin.rs`: the next sequence number.
    AppendedStore: Release,
    /// `pin.rs`: the closer reads it.
    AppendedRead: Acquire,
    /// `pin.rs`: where an epoch starts.
    MarkerStore: Release,
    /// `pin.rs`: the closer reads it.
    MarkerRead: Acquire,
    /// `progress.rs`: what the number promises has happened.
    ProgressStore: Release,
    /// `progress.rs`: a waiter sees that.
    ProgressRead: Acquire,
}

impl Edge {
    /// The fence that this edge is.
    #[inline(always)]
    pub(crate) fn fence(self) {
        if !self.is_planted() {
            fence(self.strength());
        }
    }
}

/// Keeps what one thread writes off the cache lines (and the prefetcher's pair) of what another writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}
