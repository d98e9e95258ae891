//! The one door to atomics, locks and threads: the real ones, or loom's when built with `--cfg loom`.
//!
//! Type aliases rather than re-exports, so that clippy's `disallowed-types` guards every other file.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the home that the ban points to"
)]

#[cfg(not(loom))]
mod imp {
    pub(crate) use std::sync::atomic::fence;
    pub(crate) type AtomicU64 = std::sync::atomic::AtomicU64;
    pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
    pub(crate) type Mutex<T> = parking_lot::Mutex<T>;
    pub(crate) type ByteCell = std::cell::UnsafeCell<u8>;

    /// Gives way to the thread that is waited for: on a machine with fewer CPUs than threads it may not be running.
    pub(crate) fn yield_now() {
        std::thread::yield_now();
    }

    /// Blocks until `waker_of_this_thread` is woken, or for no reason.
    pub(crate) fn park() {
        std::thread::park();
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

#[cfg(loom)]
mod imp {
    pub(crate) use loom::sync::atomic::fence;
    pub(crate) type AtomicU64 = loom::sync::atomic::AtomicU64;
    pub(crate) type AtomicBool = loom::sync::atomic::AtomicBool;
    pub(crate) type ByteCell = std::cell::UnsafeCell<u8>;

    /// parking_lot's interface over loom's mutex: no poisoning.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }
        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    pub(crate) fn yield_now() {
        loom::thread::yield_now();
    }

    pub(crate) fn park() {
        loom::thread::park();
    }

    pub(crate) fn thread_waker() -> std::task::Waker {
        struct Unpark(loom::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        std::sync::Arc::new(Unpark(loom::thread::current())).into()
    }
}

pub(crate) use imp::*;

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
