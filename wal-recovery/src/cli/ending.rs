//! When a command that would go on for ever ends: somebody interrupts it, or nobody reads any more.
//!
//! Promises: the first SIGINT or SIGTERM is only noted, so that what is being printed is printed as a whole, and so is
//! the position behind it; the second ends the process at once, whatever it waits for. A reader that is gone is noticed without
//! anything to print, as `tail -f` of coreutils does. Not for commands that end by themselves: a signal ends those as
//! it ends any program.
//!
//! # Shared state
//!
//! One flag. The signal's handler sets it (sequentially consistent, in signal-hook), [`Ending::has_come`] reads it, Relaxed: it
//! orders nothing, a late look is one round of waiting late.
#![allow(clippy::disallowed_types, reason = "the flag that a signal sets; no model can run a signal")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What shells say of a process that SIGINT has ended.
const INTERRUPTED_TWICE: i32 = 130;

/// Knows whether it is time to end.
pub(super) struct Ending {
    interrupted: Arc<AtomicBool>,
}

impl Ending {
    /// From now on signals are noted.
    pub(super) fn armed() -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first one finds the flag unset.
            flag::register_conditional_shutdown(signal, INTERRUPTED_TWICE, Arc::clone(&interrupted))?;
            flag::register(signal, Arc::clone(&interrupted))?;
        }
        Ok(Self { interrupted })
    }

    /// Whether to end now.
    pub(super) fn has_come(&self) -> bool {
        self.is_interrupted() || self.nobody_reads()
    }

    /// Whether a signal came. Without a system call.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Whether standard output is a pipe or a socket whose other end is closed.
    #[allow(clippy::unused_self, reason = "only who is to end by it may ask")]
    pub(super) fn nobody_reads(&self) -> bool {
        let stdout = io::stdout();
        // Errors and hang-ups are told without being asked for.
        let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let told = poll(&mut ends, Some(&at_once));
        told.is_ok() && ends.iter().any(|end| end.revents().contains(PollFlags::ERR))
    }
}
