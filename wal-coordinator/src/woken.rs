//! Whether a flusher is on its way to a log: many who ask for it, and one message at a time.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `0` | who asks: swap to true, Release; the flusher: swap to false, Acquire, before it looks at the log | both, by the same swaps | what was appended, and who waits for what, before the request is seen by the look that answers it |
//!
//! # Why no request is lost
//!
//! All swaps of one flag stand in one order. Take a request, and the flusher's swaps to false around it.
//!
//! 1. The request finds false: whoever makes it sends a message, and the flusher's swap that follows the message comes
//!    after the request in that order.
//! 2. The request finds true: an earlier request set it and sent a message, and no look has taken note of that one
//!    since, or the flag would be false. The swap that will comes after both.
//!
//! In both cases the first swap to false behind the request reads from it, or from a later request that read from it
//! (a chain of swaps carries a Release through), so its Acquire makes visible all that happened before the request.
//! The look follows that swap: it sees what the request was made for. A flag that was reset after the look would take
//! requests with it that the look did not see; so would either ordering, if it were Relaxed.

use crate::edge::Edge;
use crate::flaw::Flaw;
use crate::sync::AtomicBool;

/// The flag of one log. Shared, `Sync`.
#[derive(Debug)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    /// Nobody has asked yet.
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Asks for a look; true if the flusher must be sent a message, since none is on its way.
    #[must_use]
    pub(crate) fn ask(&self) -> bool {
        !self.0.swap(true, Edge::Ask.order())
    }

    /// The message has arrived: from here on, whoever asks sends another. Then looks.
    pub(crate) fn answer<T>(&self, look: impl FnOnce() -> T) -> T {
        if Flaw::LooksFirst.is_planted() {
            let seen = look();
            self.0.swap(false, Edge::Answer.order());
            return seen;
        }
        self.0.swap(false, Edge::Answer.order());
        look()
    }
}
