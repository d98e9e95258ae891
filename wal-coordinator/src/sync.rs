//! The one door to locks, atomics and threads of this crate: the real ones, or loom's when built with `--cfg loom`.
//!
//! Type aliases rather than re-exports, so that clippy's `disallowed-types` guards every other file.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the home that the ban points to"
)]

use std::io;
use std::thread::JoinHandle;

pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;

#[cfg(not(loom))]
pub(crate) type Mutex<T> = parking_lot::Mutex<T>;

#[cfg(loom)]
mod imp {
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
}
#[cfg(loom)]
pub(crate) use imp::Mutex;

/// Starts a named background thread of this crate.
pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(body)
}
