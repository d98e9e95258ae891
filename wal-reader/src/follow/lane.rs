//! One core's part of a follower: the trail that runs ahead, and the reader that hands out behind it.
//!
//! Promises that entries come out in the core's order, each once, from the entry behind the starting point on; and that
//! an entry is handed out only after the reader has checked its frame as a whole, whatever the trail saw before. When
//! the log turns back (a file given up after a failed sync, an opening that cut something off), it begins again at
//! the last entry that it handed out, and compares: the same entry stands there, or the log was taken back.

use std::sync::Arc;

use wal_format::{CoreId, EntryRef, Epoch, LogId, Manifest, OrderKey, SegmentNumber, Sequence};

use super::error::FollowError;
use super::position::CorePoint;
use super::trail::{Discovered, Moved, Trail, Turn};
use crate::error::{Defect, ReadError};
use crate::inventory::{Inventory, read_manifest};
use crate::reader::PerCoreWalReader;
use crate::source::Source;

/// Bytes that a trail reads ahead in one go.
const BUDGET_BYTES: u64 = 16 * 1024 * 1024;

/// What a look at one core's files found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Found {
    /// Nothing new.
    Nothing,
    /// Frames, up to where they end now.
    News,
    /// Frames, and there are more.
    More,
}

/// One core's log as a follower sees it.
pub(super) struct Lane {
    source: Arc<dyn Source>,
    log_id: LogId,
    core: CoreId,
    trail: Trail,
    reader: PerCoreWalReader,
    /// Behind the last entry that was handed out.
    point: CorePoint,
    /// The reader stands at an entry that was not handed out yet.
    is_loaded: bool,
    /// The reader begins with the last entry that was handed out.
    compares: bool,
    /// Begin anew before anything else: the reader failed.
    is_broken: bool,
    /// What the checkpoint made superfluous below this segment, and cannot be read.
    floor: SegmentNumber,
    /// What [`Self::is_reopened`] found.
    turn: Option<Turn>,
    /// The last segment with which an opening went on; `None` before the first look.
    resumed: Option<Option<SegmentNumber>>,
    discovered: Discovered,
}

impl Lane {
    pub(super) fn new(source: &Arc<dyn Source>, log_id: LogId, core: CoreId, point: CorePoint) -> Self {
        Self {
            source: Arc::clone(source),
            log_id,
            core,
            trail: Trail::new(log_id, core, point.next, SegmentNumber(0)),
            reader: reader_behind(source, log_id, core, point),
            point,
            is_loaded: false,
            compares: true,
            is_broken: false,
            floor: SegmentNumber(0),
            turn: None,
            resumed: None,
            discovered: Discovered::default(),
        }
    }

    pub(super) fn core(&self) -> CoreId {
        self.core
    }

    pub(super) fn point(&self) -> CorePoint {
        self.point
    }

    /// Goes on from another point.
    pub(super) fn seek(&mut self, point: CorePoint) {
        self.point = point;
        self.trail = Trail::new(self.log_id, self.core, point.next, self.floor);
        self.reader = reader_behind(&self.source, self.log_id, self.core, point);
        (self.is_loaded, self.compares, self.is_broken) = (false, true, false);
        self.turn = None;
    }

    /// Everything below is in files, as far as the last look tells, or was handed out.
    pub(super) fn reached(&self) -> Sequence {
        self.trail.sequence().max(self.point.next)
    }

    /// The first segment that is needed to go on; `None` if none is, yet.
    pub(super) fn segment(&self) -> Option<SegmentNumber> {
        if self.point.next < self.trail.sequence() {
            return Some(self.reader.next_segment());
        }
        self.trail.segment()
    }

    /// Whether there is a segment that holds, or will hold, what comes next.
    pub(super) fn is_attached(&self) -> bool {
        self.trail.is_attached()
    }

    /// Looks for segments that came since the last look; whether an opening began one of them. To be followed by
    /// [`Self::look`], which also says what went wrong.
    pub(super) fn is_reopened(&mut self, segments: &[SegmentNumber]) -> bool {
        if self.is_broken {
            self.seek(self.point);
        }
        self.turn = self.trail.refresh(&*self.source, segments).ok();
        let before = self.resumed.replace(self.trail.resumed().max(self.resumed.flatten()));
        before.is_some() && before < self.resumed
    }

    /// Looks how far the log reaches. `segments`: those of this core, ascending, listed just now.
    pub(super) fn look(&mut self, segments: &[SegmentNumber]) -> Result<Found, FollowError> {
        if self.is_broken {
            self.seek(self.point);
        }
        match self.try_look(segments) {
            Err(error) => match self.judge(error) {
                Some(error) => Err(self.fail(error)),
                None => {
                    self.seek(self.point);
                    let again = self.try_look(segments);
                    again.map_err(|error| self.fail(error))
                }
            },
            Ok(found) => Ok(found),
        }
    }

    fn try_look(&mut self, segments: &[SegmentNumber]) -> Result<Found, FollowError> {
        let source = Arc::clone(&self.source);
        let mut turn = match self.turn.take() {
            Some(turn) => turn,
            None => self.trail.refresh(&*source, segments)?,
        };
        // What only was to be compared may be gone.
        let is_behind_enough = matches!(turn, Turn::Behind(oldest) if oldest <= self.point.next);
        if turn == Turn::Back || is_behind_enough {
            self.seek(self.point);
            turn = self.trail.refresh(&*source, segments)?;
        }
        if let Turn::Behind(oldest) = turn {
            return Err(self.begins_later(oldest));
        }
        let moved = self.trail.step(&*source, BUDGET_BYTES, &mut self.discovered);
        let is_new = !self.discovered.spans.is_empty();
        self.discovered.spans.drain(..).for_each(|(span, file)| self.reader.extend(span, Some(file)));
        let moved = moved?;
        if !is_new {
            self.trail.let_go();
        }
        let is_whole = self.trail.is_attached() && !self.trail.is_in_doubt();
        if moved == Moved::ToEnd && is_whole && self.trail.sequence() < self.point.next {
            // All that is there, and less than what was handed out.
            return Err(self.taken_back());
        }
        Ok(match moved {
            Moved::ToBudget => Found::More,
            Moved::ToEnd if is_new => Found::News,
            Moved::ToEnd => Found::Nothing,
        })
    }

    /// The barriers that looks have found since the last call.
    pub(super) fn barriers(&mut self) -> impl Iterator<Item = (Epoch, wal_format::Barrier)> {
        self.discovered.barriers.drain(..)
    }

    /// Loads the next entry, if it was found yet.
    pub(super) fn load(&mut self) -> Result<bool, FollowError> {
        if self.is_broken {
            return Ok(false);
        }
        let mut is_again = false;
        // Ends: each turn loads an entry, the one before it, or begins anew, once.
        while !self.is_loaded {
            match self.reader.advance() {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if std::mem::replace(&mut is_again, true) => return Err(self.fail(error.into())),
                Err(error) => {
                    self.begin_anew(error)?;
                    continue;
                }
            }
            let key = self.reader.order_key();
            if std::mem::take(&mut self.compares) && key.sequence < self.point.next {
                let CorePoint { epoch, timestamp_ns, .. } = self.point;
                if epoch > Epoch(0) && (epoch, timestamp_ns) != (key.epoch, key.timestamp_ns) {
                    return Err(self.taken_back());
                }
                continue;
            }
            self.is_loaded = true;
        }
        Ok(true)
    }

    /// Place of the loaded entry in the global order.
    pub(super) fn key(&self) -> OrderKey {
        self.reader.order_key()
    }

    /// Whether the frame of the loaded entry is proven durable by the core's own files.
    pub(super) fn is_proven(&self) -> bool {
        // What is proven ends where a frame does.
        self.trail.proven().is_some_and(|proven| self.reader.position().place() < proven)
    }

    /// The loaded entry is handed out.
    pub(super) fn take(&mut self) {
        let key = self.key();
        self.is_loaded = false;
        self.point =
            CorePoint { next: key.sequence.plus(1), epoch: key.epoch, timestamp_ns: key.timestamp_ns };
    }

    /// The entry that was handed out last, until the next is loaded.
    pub(super) fn entry(&self) -> EntryRef<'_> {
        self.reader.entry()
    }

    pub(super) fn more_of_batch(&self) -> bool {
        self.reader.more_of_batch()
    }

    /// No segment holds what comes next: an error if there was one, by what the checkpoint says.
    pub(super) fn check_released(&mut self, manifest: Option<&Manifest>) -> Result<(), FollowError> {
        if self.trail.is_attached() {
            return Ok(());
        }
        let released = manifest.and_then(|manifest| manifest.core(self.core)).map(|core| core.sequence);
        let released = released.unwrap_or_default();
        if released > self.reached() {
            return Err(self.fell_behind(released));
        }
        if released < self.point.next {
            return Err(self.taken_back());
        }
        if released != self.trail.sequence() {
            // What was found beyond was not durable, and is gone, and nobody was shown it; or what is gone was only to be
            // compared.
            self.seek(self.point);
        }
        Ok(())
    }

    /// After a failed read. By itself it means nothing: the file may have been released meanwhile, or given up, and what comes
    /// next is in another one; and what was whole in the cache and not durable may be gone, since whoever opens a log after
    /// a failed sync drops it. What is damaged still is at the next look.
    fn begin_anew(&mut self, error: ReadError) -> Result<(), FollowError> {
        if matches!(error, ReadError::Io { .. }) {
            return Err(self.fail(error.into()));
        }
        self.seek(self.point);
        // Ends: each turn reads on up to its budget.
        while self.look(Inventory::list(&*self.source)?.segments_of(self.core))? == Found::More {}
        Ok(())
    }

    /// What it means that something cannot be read, or is not there, although its file is; `None` if it is not needed. Of what the
    /// checkpoint has, anything may be left: a released file may come back in a power loss, with parts of another life.
    fn judge(&mut self, error: FollowError) -> Option<FollowError> {
        let is_damage = match &error {
            FollowError::Read(error) => matches!(error, ReadError::Corrupt(_) | ReadError::Missing(_)),
            error => matches!(error, FollowError::TakenBack { .. }),
        };
        let manifest = if is_damage { read_manifest(&*self.source, self.log_id) } else { Ok(None) };
        let released = manifest.ok().flatten().and_then(|manifest| manifest.core(self.core).copied());
        match released {
            Some(released) if released.sequence > self.point.next => {
                Some(self.fell_behind(released.sequence))
            }
            Some(released) => {
                self.floor = released.segment;
                None
            }
            None => Some(error),
        }
    }

    /// The log begins behind what comes next: if no checkpoint holds that (see [`Self::judge`]), it is missing.
    fn begins_later(&self, oldest: Sequence) -> FollowError {
        let defect = Defect {
            path: self.source.path(""),
            core: self.core,
            segment: SegmentNumber(0),
            offset: 0,
            sequence: self.point.next,
            sequence_end: Some(oldest),
            evidence: None,
            reason: "no segment holds them, and no checkpoint does".to_owned(),
        };
        ReadError::Missing(Box::new(defect)).into()
    }

    fn fail(&mut self, error: FollowError) -> FollowError {
        self.is_broken = true;
        error
    }

    fn fell_behind(&mut self, oldest: Sequence) -> FollowError {
        let (core, wanted) = (self.core, self.point.next);
        self.fail(FollowError::FellBehind { core, wanted, oldest })
    }

    fn taken_back(&mut self) -> FollowError {
        let sequence = Sequence(self.point.next.0.saturating_sub(1));
        self.fail(FollowError::TakenBack { core: self.core, sequence })
    }
}

/// A reader that begins with the entry before `point`.
fn reader_behind(
    source: &Arc<dyn Source>,
    log_id: LogId,
    core: CoreId,
    point: CorePoint,
) -> PerCoreWalReader {
    let before = Sequence(point.next.0.saturating_sub(1));
    PerCoreWalReader::spans(Arc::clone(source), log_id, core, Vec::new(), before)
}
