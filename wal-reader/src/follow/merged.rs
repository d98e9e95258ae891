//! All cores' logs followed as one, in the global order.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use wal_format::{CoreId, EntryRef, Epoch, LogId, OrderKey, SegmentNumber, Sequence};

use super::error::FollowError;
use super::horizon::{Horizon, Target};
use super::lane::{Found, Lane};
use super::pace::{NEWS_MAX, Pace};
use super::position::Position;
use super::{Level, Start};
use crate::error::ReadError;
use crate::inventory::{Inventory, read_manifest, read_meta};
use crate::source::Source;

/// Follows the logs of all cores in the global order, whole epochs at a time, while an engine writes them: in this process
/// or in another one, on files alone, without a lock.
///
/// * Entries come in the order in which recovery replays them: by epoch, timestamp, core, sequence. What was handed out is a
///   prefix of that order for ever. At [`Level::Durable`] that holds across power losses too.
/// * An epoch comes out when it is closed on all cores and, at level durable, called durable by a later barrier or a
///   checkpoint. Cores that are idle, or whose writers were never taken, delay nothing. Cores that a later opening adds
///   appear with their first entry.
/// * One buffer of about 512 KiB per core, whatever the length of the log and however far behind.
/// * Released beyond what it read, it says so ([`FollowError::FellBehind`]); it holds nothing. Inside the engine,
///   `LogHandle::follow` of wal-coordinator pins what it needs.
///
/// ```
/// # use std::sync::Arc;
/// # use wal_format::{CoreId, LogId};
/// # use wal_reader::{Level, MergedFollower, Position, Start, testing::LogBuilder};
/// # let mut log = LogBuilder::new(LogId([7; 16]));
/// # log.put(CoreId(0), b"key", b"value");
/// # log.barrier(CoreId(0), 1, 0, &[(0, 1)]);
/// # log.barrier(CoreId(0), 2, 1, &[(0, 1)]);
/// # let source = Arc::new(log.source());
/// # let saved: Option<Position> = None;
/// let start = saved.map_or(Start::Checkpoint, Start::At);
/// let mut follower = MergedFollower::new(source, Level::Durable, start)?;
/// while follower.advance()? {
///     let entry = follower.entry();
///     // Apply it, and with it, atomically, the position behind it:
///     let saved = follower.position().to_string();
///     # assert!(entry.sequence.0 == 0 && saved.ends_with(":0=1@1.1000"), "{saved}");
/// }
/// # Ok::<(), wal_reader::FollowError>(())
/// ```
pub struct MergedFollower {
    source: Arc<dyn Source>,
    log_id: LogId,
    lanes: Vec<Lane>,
    /// Starting points of cores that have no lane yet.
    start: Position,
    horizon: Horizon,
    target: Option<Target>,
    /// The target is confirmed, and what may be handed out is among `current` and `others`.
    is_ready: bool,
    /// Somebody else says up to where.
    is_led: bool,
    /// The lane that holds the current entry.
    current: Option<usize>,
    /// The other lanes with an entry that may be handed out.
    others: BinaryHeap<Reverse<(OrderKey, usize)>>,
    entries: u64,
}

impl MergedFollower {
    /// Follows the log in `source` from `start`.
    ///
    /// # Errors
    /// [`FollowError::OtherLog`] for a position of another log; [`FollowError::Read`] if `wal.meta` or the manifest
    /// cannot be read, [`ReadError::NotALog`] if there is none.
    pub fn new(source: Arc<dyn Source>, level: Level, start: Start) -> Result<Self, FollowError> {
        let meta = read_meta(&*source)?;
        let log_id = meta.ok_or_else(|| ReadError::NotALog { path: source.path("") })?.log_id;
        let is_at_end = matches!(start, Start::End);
        let start = start.position(&*source, log_id)?;
        let mut follower = Self {
            source,
            log_id,
            lanes: Vec::new(),
            start,
            horizon: Horizon::new(level),
            target: None,
            is_ready: false,
            is_led: false,
            current: None,
            others: BinaryHeap::new(),
            entries: 0,
        };
        let cores: Vec<_> = follower.start.cores.keys().copied().collect();
        cores.into_iter().for_each(|core| follower.add_lane(core));
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
        loop {
            if self.step()? {
                return Ok(true);
            }
            if !self.look()? {
                return Ok(false);
            }
        }
    }

    /// As [`Self::advance`], but waits for an entry for about `timeout`. Looks at the files 1 ms after something was
    /// found, then less often, at last every 50 ms: no more than microseconds of each.
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
        match self.current.and_then(|index| self.lanes.get(index)) {
            Some(lane) => lane.entry(),
            None => panic!("entry() needs an advance() that returned true"),
        }
    }

    /// Steps to the next entry and returns it; `None` if there is none within about `timeout`.
    ///
    /// # Errors
    /// As of [`Self::advance_within`].
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    pub fn next(&mut self, timeout: Duration) -> Result<Option<EntryRef<'_>>, FollowError> {
        Ok(if self.advance_within(timeout)? { Some(self.entry()) } else { None })
    }

    /// Whether the next entry of the current entry's core belongs to the same batch; it comes next.
    #[must_use]
    pub fn more_of_batch(&self) -> bool {
        self.current.and_then(|index| self.lanes.get(index)).is_some_and(Lane::more_of_batch)
    }

    /// The position behind the current entry.
    #[must_use]
    pub fn position(&self) -> Position {
        let mut position = self.start.clone();
        position.cores.extend(self.lanes.iter().map(|lane| (lane.core(), lane.point())));
        position
    }

    /// The last epoch of which everything was handed out; `None` before the first.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.horizon.done()
    }

    /// Entries handed out so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The log that is followed.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// For whoever knows better than the files: all entries of `epoch` and below stand in the files, below `reach` (per core
    /// of the log), and no others will. Hands out these next, and from then on nothing but what it is led to. Ignored
    /// while entries of an earlier call wait.
    ///
    /// The engine's own process calls this with its durable epoch and how far each core is durable, in that order.
    pub fn lead(&mut self, epoch: Epoch, reach: Vec<(CoreId, Sequence)>) {
        self.is_led = true;
        if self.target.is_none() && Some(epoch) > self.horizon.done() {
            self.target = Some(Target { epoch, cuts: reach });
        }
    }

    /// Per core the first segment that is needed to go on; cores of which nothing is known are not named.
    pub fn needed(&self) -> impl Iterator<Item = (CoreId, SegmentNumber)> {
        self.lanes.iter().filter_map(|lane| Some((lane.core(), lane.segment()?)))
    }

    /// The next entry below the target, if the files were looked at for it.
    fn step(&mut self) -> Result<bool, FollowError> {
        let stepped = self.try_step();
        if stepped.is_err() {
            self.stop_round();
        }
        stepped
    }

    fn try_step(&mut self) -> Result<bool, FollowError> {
        if let Some(index) = self.current.take() {
            match self.key_of(index)? {
                // The common case, a run of entries from one core, ends here.
                Some(key) if self.others.peek().is_none_or(|Reverse((least, _))| key < *least) => {
                    return Ok(self.hand_out(index));
                }
                Some(key) => self.others.push(Reverse((key, index))),
                None => {}
            }
        }
        let Some(Reverse((_, index))) = self.others.pop() else { return Ok(false) };
        Ok(self.hand_out(index))
    }

    fn hand_out(&mut self, index: usize) -> bool {
        if let Some(lane) = self.lanes.get_mut(index) {
            lane.take();
        }
        self.current = Some(index);
        self.entries += 1;
        true
    }

    /// The key of a lane's next entry, if that may be handed out.
    fn key_of(&mut self, index: usize) -> Result<Option<OrderKey>, FollowError> {
        let (Some(lane), Some(target)) = (self.lanes.get_mut(index), &self.target) else { return Ok(None) };
        let cut = target.cut(lane.core());
        if lane.point().next >= cut {
            return Ok(None);
        }
        if !lane.load()? {
            assert!(lane.reached() < cut, "core {}: nothing to read at {:?}", lane.core(), lane.point());
            // What was written is gone, so what rested on it is void.
            self.target = None;
            self.stop_round();
            return Ok(None);
        }
        let key = lane.key();
        Ok((key.epoch <= target.epoch).then_some(key))
    }

    /// Prepares what comes next; false if there is nothing yet.
    fn look(&mut self) -> Result<bool, FollowError> {
        if self.is_ready {
            let done = self.target.take();
            self.stop_round();
            self.horizon.pass(done.map_or(Epoch(0), |target| target.epoch));
        }
        if self.is_led && self.target.is_none() {
            return Ok(false);
        }
        let mut news = 0;
        // Whether every core was looked at after the target was chosen: what it speaks of was written before, and so were the
        // headers that end logs before it.
        let mut is_confirmed = false;
        // Ends: each turn reads on in some log up to its budget, or is one of `NEWS_MAX`.
        loop {
            let had_target = self.target.is_some();
            let found = self.look_at_all(is_confirmed)?;
            is_confirmed = had_target;
            if is_confirmed && self.lanes_reach() {
                self.start_round()?;
                return Ok(true);
            }
            if !had_target {
                self.choose_target()?;
            }
            news += u32::from(found != Found::More);
            let is_new = found != Found::Nothing || had_target != self.target.is_some();
            if !is_new || news > NEWS_MAX {
                self.check_released()?;
                return Ok(false);
            }
        }
    }

    /// Looks at the files of every core; those of cores that are far enough not, if `only_short`.
    fn look_at_all(&mut self, only_short: bool) -> Result<Found, FollowError> {
        let inventory = Inventory::list(&*self.source)?;
        // Also those of which no file is left: what they had may have been released unread.
        let cuts = self.target.iter().flat_map(|target| &target.cuts).chain(self.horizon.last_cuts());
        let cut = cuts.filter(|(_, cut)| *cut > Sequence(0));
        let cores: Vec<_> = inventory.segments.keys().copied().chain(cut.map(|(core, _)| *core)).collect();
        cores.into_iter().for_each(|core| self.add_lane(core));
        // First, of all cores, whether somebody opened the log: what is read afterwards was written afterwards, or is durable.
        let mut is_reopened = false;
        for lane in &mut self.lanes {
            is_reopened |= lane.is_reopened(inventory.segments_of(lane.core()));
        }
        if is_reopened {
            self.horizon.forget_pending();
            self.target = self.target.take().filter(|_| self.is_led);
        }
        let mut all = Found::Nothing;
        for lane in &mut self.lanes {
            let is_far =
                || self.target.as_ref().is_some_and(|target| lane.reached() >= target.cut(lane.core()));
            if only_short && is_far() {
                continue;
            }
            let found = lane.look(inventory.segments_of(lane.core()));
            lane.barriers().for_each(|(epoch, barrier)| self.horizon.note_barrier(epoch, barrier));
            all = all.max(found?);
        }
        Ok(all)
    }

    fn choose_target(&mut self) -> Result<(), FollowError> {
        self.target = self.known_target();
        if self.target.is_none()
            && let Some(manifest) = read_manifest(&*self.source, self.log_id)?
        {
            self.horizon.note_manifest(&manifest);
            self.target = self.known_target();
        }
        Ok(())
    }

    fn known_target(&self) -> Option<Target> {
        let reaches = |(core, cut): &(CoreId, Sequence)| {
            let lane = self.lanes.iter().find(|lane| lane.core() == *core);
            lane.map_or(Sequence(0), Lane::reached) >= *cut
        };
        self.horizon.target(|cuts| cuts.iter().all(reaches))
    }

    fn lanes_reach(&self) -> bool {
        let Some(target) = &self.target else { return false };
        self.lanes.iter().all(|lane| lane.reached() >= target.cut(lane.core()))
    }

    /// What no segment holds any more may have been released.
    fn check_released(&mut self) -> Result<(), FollowError> {
        if self.lanes.iter().all(Lane::is_attached) {
            return Ok(());
        }
        let manifest = read_manifest(&*self.source, self.log_id)?;
        // What it calls released may have been written since the files were listed.
        self.look_at_all(false)?;
        self.lanes.iter_mut().try_for_each(|lane| lane.check_released(manifest.as_ref()))
    }

    fn start_round(&mut self) -> Result<(), FollowError> {
        self.stop_round();
        for index in 0..self.lanes.len() {
            match self.key_of(index) {
                Ok(None) => {}
                Ok(Some(key)) => self.others.push(Reverse((key, index))),
                Err(error) => {
                    self.stop_round();
                    return Err(error);
                }
            }
        }
        self.is_ready = self.target.is_some();
        Ok(())
    }

    /// What was loaded stays loaded.
    fn stop_round(&mut self) {
        self.others.clear();
        (self.current, self.is_ready) = (None, false);
    }

    fn add_lane(&mut self, core: CoreId) {
        if self.lanes.iter().all(|lane| lane.core() != core) {
            self.lanes.push(Lane::new(&self.source, self.log_id, core, self.start.core(core)));
        }
    }
}
