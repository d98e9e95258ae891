//! One core's log followed by itself.

use std::sync::Arc;
use std::time::Duration;

use wal_format::{CoreId, EntryRef, LogId};

use super::error::FollowError;
use super::lane::{Found, Lane};
use super::pace::{NEWS_MAX, Pace};
use super::position::Position;
use super::{Level, Start};
use crate::inventory::{Inventory, read_manifest};
use crate::reader::PerCoreWalReader;
use crate::source::Source;

/// Follows the log of one core while an engine writes it, in this process or in another one, on its files alone.
///
/// At [`Level::Written`] it hands out what stands in whole frames: what survives the process. At [`Level::Durable`] what the
/// core's own files prove durable, which is a sync or so behind what is (`synced_through` of the frame that comes next).
/// Epochs play no part: an entry may come out that a recovery to a consistent cut drops. For an order of all cores that
/// recovery never takes back, use [`MergedFollower`](super::MergedFollower).
///
/// One buffer of about 512 KiB. Made by [`PerCoreWalReader::follow`](crate::PerCoreWalReader::follow).
pub struct CoreFollower {
    source: Arc<dyn Source>,
    log_id: LogId,
    level: Level,
    lane: Lane,
    entries: u64,
}

impl PerCoreWalReader {
    /// Follows the log of `core` while an engine writes it: the entries from `start` on, as they reach `level`.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use wal_format::{CoreId, LogId};
    /// # use wal_reader::{Level, PerCoreWalReader, Start, testing::LogBuilder};
    /// # let mut log = LogBuilder::new(LogId([7; 16]));
    /// # log.put(CoreId(0), b"key", b"value");
    /// # let (source, log_id) = (Arc::new(log.source()), log.log_id());
    /// let mut follower = PerCoreWalReader::follow(source, log_id, CoreId(0), Level::Written, Start::Checkpoint)?;
    /// while follower.advance()? {
    ///     assert_eq!(follower.entry().sequence.0, 0);
    /// }
    /// # Ok::<(), wal_reader::FollowError>(())
    /// ```
    ///
    /// # Errors
    /// [`FollowError::OtherLog`] for a position of another log; [`FollowError::Read`] if the manifest cannot be read.
    pub fn follow(
        source: Arc<dyn Source>,
        log_id: LogId,
        core: CoreId,
        level: Level,
        start: Start,
    ) -> Result<CoreFollower, FollowError> {
        CoreFollower::new(source, log_id, core, level, start)
    }
}

impl CoreFollower {
    fn new(
        source: Arc<dyn Source>,
        log_id: LogId,
        core: CoreId,
        level: Level,
        start: Start,
    ) -> Result<Self, FollowError> {
        let is_at_end = matches!(start, Start::End);
        let point = start.position(&*source, log_id)?.core(core);
        let lane = Lane::new(&source, log_id, core, point);
        let mut follower = Self { source, log_id, level, lane, entries: 0 };
        if is_at_end {
            while follower.advance()? {}
            follower.entries = 0;
        }
        Ok(follower)
    }

    /// Steps to the next entry that may be handed out; false if there is none yet. Looks at the files if it has to.
    ///
    /// # Errors
    /// [`FollowError::FellBehind`], [`FollowError::TakenBack`]; [`FollowError::Read`]. After an I/O error it can be tried
    /// again, and goes on where it was.
    pub fn advance(&mut self) -> Result<bool, FollowError> {
        let mut news = 0;
        // Ends: each turn reads on up to its budget, or is one of `NEWS_MAX`.
        loop {
            if self.lane.load()? && (self.level == Level::Written || self.lane.is_proven()) {
                self.lane.take();
                self.entries += 1;
                return Ok(true);
            }
            let inventory = Inventory::list(&*self.source)?;
            let found = self.lane.look(inventory.segments_of(self.lane.core()))?;
            // What a single core's barriers say of the others is of no use here.
            self.lane.barriers().for_each(drop);
            news += u32::from(found != Found::More);
            if found == Found::Nothing || news > NEWS_MAX {
                if !self.lane.is_attached() {
                    self.check_released()?;
                }
                return Ok(false);
            }
        }
    }

    /// As [`Self::advance`], but waits for an entry for about `timeout`, looking at the files after 1 ms, then less often,
    /// at last every 50 ms.
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn advance_within(&mut self, timeout: Duration) -> Result<bool, FollowError> {
        Pace::until(timeout, || self.advance())
    }

    /// The current entry: that to which [`Self::advance`] stepped.
    ///
    /// # Panics
    /// If the last `advance` did not return true.
    #[must_use]
    pub fn entry(&self) -> EntryRef<'_> {
        self.lane.entry()
    }

    /// Steps to the next entry and returns it; `None` if there is none within about `timeout`.
    ///
    /// # Errors
    /// As of [`Self::advance_within`].
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    pub fn next(&mut self, timeout: Duration) -> Result<Option<EntryRef<'_>>, FollowError> {
        Ok(if self.advance_within(timeout)? { Some(self.entry()) } else { None })
    }

    /// Whether the next entry belongs to the same batch as the current one.
    #[must_use]
    pub fn more_of_batch(&self) -> bool {
        self.lane.more_of_batch()
    }

    /// The position behind the current entry: of this core alone.
    #[must_use]
    pub fn position(&self) -> Position {
        let mut position = Position::beginning(self.log_id);
        position.cores.insert(self.lane.core(), self.lane.point());
        position
    }

    /// Entries handed out so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// No segment holds what comes next: it may have been released.
    fn check_released(&mut self) -> Result<(), FollowError> {
        let manifest = read_manifest(&*self.source, self.log_id)?;
        // What it calls released may have been written since the files were listed.
        let inventory = Inventory::list(&*self.source)?;
        self.lane.look(inventory.segments_of(self.lane.core()))?;
        self.lane.check_released(manifest.as_ref())
    }
}
