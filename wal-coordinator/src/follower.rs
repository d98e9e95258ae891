//! Following the log from inside the process that writes it: what the files say, when the coordinator says so, and held
//! until it was read.
//!
//! # Shared state
//!
//! None of its own. It reads the durable epoch first and each core's durable sequence after it, and the files after both. An
//! epoch becomes durable when every core that took part has synced its end of it (`epochs.rs`), and no entry of it is
//! appended after its close (`pin.rs` of wal-writer). So every entry of the epoch is below the durable sequences, and in files
//! by then. What it needs is pinned (`retention.rs`) before it looks for it, and let go after it was read. Drawn schedules put
//! both beside closes and checkpoints (`tests/schedules/scenarios/followers.rs`).

use std::sync::Arc;
use std::time::Duration;

use wal_format::{EntryRef, Epoch};
use wal_reader::{Level, MergedFollower, Position, Start};
use wal_writer::Receipt;

use crate::error::PerCoreWalError;
use crate::handle::LogHandle;
use crate::retention::Pin;
use crate::shared::Shared;

/// Let go after this many entries what was read until then.
const RAISE_EVERY: u64 = 1 << 14;

/// Settings of a follower. All fields are public; [`FollowOptions::new`] gives the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FollowOptions {
    /// What [`LogHandle::why_pinned`] calls it.
    pub name: String,
    /// Where it begins.
    pub start: Start,
    /// Bytes of segments that checkpoints have made superfluous which it may keep from being released. Beyond them it loses
    /// its hold, and then falls behind if it does not catch up in time. `None`: any number, so that a follower that
    /// nobody drives fills the disk.
    pub pin_bytes_max: Option<u64>,
}

impl FollowOptions {
    /// The defaults: begin behind the checkpoint, hold at most 1 GiB.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), start: Start::Checkpoint, pin_bytes_max: Some(1 << 30) }
    }

    /// Begins elsewhere.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Holds at most so many bytes; `None`: any number.
    #[must_use]
    pub fn pin_bytes_max(mut self, bytes: Option<u64>) -> Self {
        self.pin_bytes_max = bytes;
        self
    }
}

/// Hands out every entry of every durable epoch, in the global order, as [`MergedFollower`] does from the files alone; but as
/// soon as the epoch is durable, woken by that, and with what it needs kept from being released.
///
/// Made by [`LogHandle::follow`]. `Send`; keeps the directory locked as a handle does. Everybody who has read an entry can
/// rely on it: it is part of a consistent cut that survives power losses.
///
/// ```
/// # use std::time::Duration;
/// # use wal_coordinator::{FollowOptions, PerCoreWalConfig, PerCoreWalManager};
/// # let directory = tempfile::tempdir()?;
/// let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new(directory.path(), 2))?;
/// let mut follower = manager.handle().follow(FollowOptions::new("replica"))?;
/// manager.writer(1).append_put(b"key", b"value")?;
/// manager.advance_epoch();
/// let entry = follower.next(Duration::from_secs(10))?.expect("the epoch becomes durable by itself");
/// assert_eq!(entry.core_id.0, 1);
/// // To be saved together with the effects of the entry; `Start::At` goes on right behind it.
/// let saved = follower.position().to_string();
/// # assert!(saved.contains("1=1@1."), "{saved}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogFollower {
    shared: Arc<Shared>,
    inner: MergedFollower,
    pin: Pin,
}

impl LogHandle {
    /// Follows the log: every entry of every durable epoch from `options.start` on, in the global order.
    ///
    /// # Errors
    /// [`PerCoreWalError::Follow`] for a position of another log, or if the manifest cannot be read.
    pub fn follow(&self, options: FollowOptions) -> Result<LogFollower, PerCoreWalError> {
        let FollowOptions { name, start, pin_bytes_max } = options;
        let shared = Arc::clone(&self.shared);
        // First: what the follower finds in the next step must stay.
        let pin = shared.retention.pin_follower(&name, &shared.cores(), pin_bytes_max);
        let is_at_end = start == Start::End;
        let start = if is_at_end { Start::Checkpoint } else { start };
        let inner = MergedFollower::new(Arc::clone(&shared.source), Level::Durable, start)?;
        let mut follower = LogFollower { shared, inner, pin };
        follower.lead();
        while is_at_end && follower.advance()? {}
        Ok(follower)
    }
}

impl LogFollower {
    /// Steps to the next entry of a durable epoch; false if there is none yet.
    ///
    /// # Errors
    /// [`PerCoreWalError::Follow`]: [`FellBehind`](wal_reader::FollowError::FellBehind) if it began with what was
    /// released before, or lost its hold; others as of [`MergedFollower::advance`].
    pub fn advance(&mut self) -> Result<bool, PerCoreWalError> {
        loop {
            if self.inner.advance()? {
                if self.inner.entries().is_multiple_of(RAISE_EVERY) {
                    self.let_go();
                }
                return Ok(true);
            }
            let led = self.lead();
            self.let_go();
            if !led {
                return Ok(false);
            }
        }
    }

    /// As [`Self::advance`], but waits until an epoch with entries becomes durable, for no longer than `timeout`. Does not close
    /// epochs: somebody has to.
    ///
    /// # Errors
    /// As [`Self::advance`]; [`PerCoreWalError::Writer`] if no further epoch will become durable, because the log was closed or
    /// a core is poisoned: everything before was handed out.
    pub fn advance_within(&mut self, timeout: Duration) -> Result<bool, PerCoreWalError> {
        let mut left = timeout;
        loop {
            if self.advance()? {
                return Ok(true);
            }
            // Nobody drives: waiting must not close an epoch.
            let next = self.epoch().next();
            let mut receipt = Receipt::new(Arc::clone(self.shared.tracker.durable()), next.0, None);
            match receipt.wait_for(left)? {
                Some(rest) => left = rest,
                None => return Ok(false),
            }
        }
    }

    /// The current entry: that to which [`Self::advance`] stepped.
    ///
    /// # Panics
    /// If the last `advance` did not return true.
    #[must_use]
    pub fn entry(&self) -> EntryRef<'_> {
        self.inner.entry()
    }

    /// Steps to the next entry and returns it; `None` if there is none within `timeout`.
    ///
    /// # Errors
    /// As of [`Self::advance_within`].
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    pub fn next(&mut self, timeout: Duration) -> Result<Option<EntryRef<'_>>, PerCoreWalError> {
        Ok(if self.advance_within(timeout)? { Some(self.entry()) } else { None })
    }

    /// Whether the next entry of the current entry's core belongs to the same batch; it comes next.
    #[must_use]
    pub fn more_of_batch(&self) -> bool {
        self.inner.more_of_batch()
    }

    /// The position behind the current entry.
    #[must_use]
    pub fn position(&self) -> Position {
        self.inner.position()
    }

    /// The last epoch of which everything was handed out; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch().unwrap_or_default()
    }

    /// Whether what it needs is kept from being released: until it held more than it may.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.pin.holds()
    }

    /// Tells the follower how far it may go; whether that is farther than before.
    fn lead(&mut self) -> bool {
        let epoch = self.shared.tracker.durable_epoch();
        // After the epoch: they reach its end, at least.
        let reach = self.shared.logs.iter().map(|log| (log.core(), log.durable())).collect();
        let is_farther = Some(epoch) > self.inner.epoch();
        self.inner.lead(epoch, reach);
        is_farther
    }

    fn let_go(&mut self) {
        self.pin.raise(self.epoch(), self.inner.needed());
    }
}
