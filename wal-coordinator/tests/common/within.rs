//! A bound on the time of what must end.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a test's own thread, which waits in its stead"
)]

use std::sync::mpsc;
use std::time::Duration;

/// Does `work` on a thread of its own. A hang becomes a failure.
#[track_caller]
pub(crate) fn within_a_minute<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|error| panic!("{what}: {error}"))
}
