//! Room in the ring: writing out, in parts, and what a writer does that has none left.
//!
//! Who writes out leaves the drain after each part to whoever waits for it. So a writer whose ring was full goes on as
//! soon as a part is in its file, on its core, while a flusher takes the next one to the file on another. Only where
//! nobody is at work does the writer write a part itself.

use super::CoreLog;
use crate::drain::DrainError;
use crate::error::WriterError;
use crate::options::Retention;
use crate::sync::unlock_fair;

/// Written between two breaks in which others may have the drain: a writer waits no longer for it.
const PART_BYTES: u64 = if cfg!(loom) { 64 } else { 512 * 1024 };

impl CoreLog {
    /// Writes everything that is appended to files, without a sync.
    ///
    /// # Errors
    /// [`WriterError::NoSpace`] or [`WriterError::Io`] if there is no segment to write to (nothing is lost),
    /// [`WriterError::Poisoned`].
    pub fn write_out(&self) -> Result<(), WriterError> {
        self.check()?;
        let target = self.drain.lock().published();
        // Ends: each round writes something, or returns why it cannot.
        while !self.write_some(target)? {}
        Ok(())
    }

    /// Writes the next part of what is appended. Whether everything up to ring position `target` is written.
    fn write_some(&self, target: u64) -> Result<bool, WriterError> {
        let (result, is_over) = {
            let mut drain = self.drain.lock();
            let result = drain.write_some(PART_BYTES);
            self.publish_drain(&drain);
            let is_over = drain.position() >= target;
            // A writer whose ring was full goes on as soon as it has some room.
            unlock_fair(drain);
            (result, is_over)
        };
        match result {
            Ok(()) => Ok(is_over),
            Err(DrainError::NoSegment(error)) => Err(error),
            // A sync settles what a failed write leaves in doubt, if none has meanwhile.
            Err(DrainError::InDoubt(_)) => self.sync_gated(None).map(|_| true),
        }
    }

    /// Empties the ring: what the retention policy needs before bytes can go.
    pub(crate) fn empty_ring(&self) -> Result<(), WriterError> {
        self.waiting(|| match self.options.retention {
            Retention::UntilDurable => self.sync().map(drop),
            Retention::UntilWritten => self.write_out(),
        })
    }

    /// Makes some room in the ring, of which everything below `released` had been given back when the writer last
    /// looked.
    pub(crate) fn make_room(&self, released: u64) -> Result<(), WriterError> {
        self.waiting(|| {
            if self.options.retention == Retention::UntilDurable {
                return self.sync().map(drop);
            }
            self.check()?;
            self.wake_flusher();
            // Who had the drain meanwhile has made room.
            if self.drain.lock().released() > released {
                return Ok(());
            }
            self.write_some(0).map(drop)
        })
    }

    /// Counts a wait for room.
    fn waiting(&self, make: impl FnOnce() -> Result<(), WriterError>) -> Result<(), WriterError> {
        let begun = self.watch.now_ns();
        let reached = match self.options.retention {
            Retention::UntilDurable => self.durable(),
            Retention::UntilWritten => self.written(),
        };
        let made = make();
        // What goes beside the ring asks for an empty one, which it may be already.
        if reached < self.appended() {
            self.watch.tallies.room_wait_ns.record(self.watch.since_ns(begun));
        }
        made
    }
}
