//! The one door to locks, atomics, threads, channels, ticks and chance of this crate: the real ones, loom's when built
//! with `--cfg loom`, shuttle's with `--cfg shuttle`.
//!
//! Type aliases rather than re-exports, so that clippy's `disallowed-types` guards every other file. loom models single
//! protocols and takes the real channels and threads, which no model uses; shuttle runs everything together.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the home that the ban points to"
)]

#[cfg(shuttle)]
mod simulated;
#[cfg(shuttle)]
pub use simulated::pass_time;
#[cfg(shuttle)]
pub(crate) use simulated::{
    JoinHandle, Receiver, Sender, Ticks, next, random_u64, scope, spawn, tick, unbounded,
};

#[cfg(not(shuttle))]
pub(crate) use real::*;

/// What a background thread is woken by.
pub(crate) enum Next<T> {
    /// A message came.
    Message(T),
    /// Time passed.
    Tick,
    /// Nobody is left to send.
    Closed,
}

#[cfg(not(any(loom, shuttle)))]
mod locks {
    pub(crate) type AtomicBool = std::sync::atomic::AtomicBool;
    pub(crate) type Mutex<T> = parking_lot::Mutex<T>;
    pub(crate) type MutexGuard<'a, T> = parking_lot::MutexGuard<'a, T>;
}

#[cfg(any(loom, shuttle))]
mod locks {
    #[cfg(loom)]
    use loom as checker;
    #[cfg(shuttle)]
    use shuttle as checker;

    pub(crate) type AtomicBool = checker::sync::atomic::AtomicBool;
    pub(crate) type MutexGuard<'a, T> = checker::sync::MutexGuard<'a, T>;

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
    }
}
pub(crate) use locks::{AtomicBool, Mutex, MutexGuard};

/// A lock of which no checker knows: for figures that are looked at. Held for a moment, and never while anybody waits.
pub(crate) type PlainMutex<T> = parking_lot::Mutex<T>;

#[cfg(not(shuttle))]
mod real {
    use std::hash::{BuildHasher, Hasher, RandomState};
    use std::io;
    use std::time::Instant;

    use super::Next;

    pub(crate) type JoinHandle<T> = std::thread::JoinHandle<T>;
    pub(crate) type Sender<T> = crossbeam_channel::Sender<T>;
    pub(crate) type Receiver<T> = crossbeam_channel::Receiver<T>;
    pub(crate) type Ticks = crossbeam_channel::Receiver<Instant>;
    pub(crate) use crossbeam_channel::{tick, unbounded};
    pub(crate) use std::thread::scope;

    /// Starts a named background thread of this crate.
    pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name).spawn(body)
    }

    /// Waits for a message or for time to pass; takes either if both are there.
    pub(crate) fn next<T>(inbox: &Receiver<T>, ticks: &Ticks) -> Next<T> {
        crossbeam_channel::select! {
            recv(inbox) -> message => message.map_or(Next::Closed, Next::Message),
            recv(ticks) -> _ => Next::Tick,
        }
    }

    /// A number that no other log has: the standard library's per-process random keys, hashed with the process.
    pub(crate) fn random_u64() -> u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        hasher.finish()
    }
}
