//! Recording what recovery decided about the logs that were inherited: where each of them ends for good.
//!
//! Follows `FORMAT.md#write-ordering-rules`, rule 8: no entry is accepted while the decision about a log with something
//! behind its end is not on disk, or what was cut off could come back beside it. On a full disk the decision is *owed*:
//! opening succeeds, the log can be read, and the first append that finds room records it. A checkpoint records it as
//! well, in the manifest, and may be what makes the room.

use std::sync::{Arc, Weak};

use wal_format::{Barrier, CoreId, Epoch};
use wal_recovery::ResumePoints;
use wal_writer::stall::{self, Place};
use wal_writer::{CoreLog, EpochEnd, SegmentSupply, WriterError};

use crate::shared::in_parallel;
use crate::sync::Mutex;

/// The logs whose end is not recorded yet although something lies behind it. Shared, `Sync`.
pub(crate) struct Decision {
    epoch: Epoch,
    owed: Mutex<Vec<Arc<CoreLog>>>,
}

impl Decision {
    /// Begins a segment on every core that has a log to go on from: its header says where the log before ends for good,
    /// and the barrier in it makes every core a witness of what all of them had. Of the logs in `logs`, ascending, the
    /// first `active` append.
    ///
    /// # Errors
    /// Those of the first sync, but for want of space.
    pub(crate) fn record(
        resume: &ResumePoints,
        logs: &[Arc<CoreLog>],
        active: usize,
        durable_epoch: Epoch,
        threads_max: usize,
    ) -> Result<Arc<Self>, WriterError> {
        let cuts = logs.iter().map(|log| (log.core(), log.appended())).collect();
        let barrier = Some(Barrier { durable_epoch, cuts });
        let end = EpochEnd { epoch: durable_epoch, barrier, seal: false };
        let begin = |logs: Vec<Arc<CoreLog>>| {
            in_parallel(logs, threads_max, |log| {
                let begun = log.begin(&end);
                stall::at(Place::CoreBegun);
                (log, begun)
            })
        };
        let mut owed = Vec::new();
        let cut_short = inherited(resume, logs, |_, has_discards| has_discards);
        let is_witnessed = !cut_short.is_empty();
        for (log, begun) in begin(cut_short) {
            match begun {
                Err(WriterError::NoSpace { .. }) => owed.push(log),
                begun => begun?,
            }
        }
        let goes_on = |core: CoreId, has_discards: bool| !has_discards && core.index() < active;
        // What is left of the space is needed for what is owed.
        let mut others = if owed.is_empty() { inherited(resume, logs, goes_on) } else { Vec::new() };
        if others.is_empty() && !is_witnessed && durable_epoch > Epoch(0) {
            // Nothing but cores that no longer append, or epochs of which no entry is left: somebody has to say that
            // they are over, or they would be called durable and be no cut after the next crash.
            others.extend(logs.first().cloned());
        }
        for (_, begun) in begin(others) {
            match begun {
                // Nothing was cut off here: the first entries will bring the header with them.
                Err(WriterError::NoSpace { .. }) => {}
                begun => begun?,
            }
        }
        Ok(Arc::new(Self { epoch: durable_epoch, owed: Mutex::new(owed) }))
    }

    /// A new log: nothing was decided.
    #[cfg(all(test, loom))]
    pub(crate) fn nothing() -> Arc<Self> {
        Arc::new(Self { epoch: Epoch(0), owed: Mutex::default() })
    }

    /// Has no core accept an entry before everything is recorded.
    pub(crate) fn guard(self: &Arc<Self>, supply: &SegmentSupply) {
        if !self.owed.lock().is_empty() {
            // Not an `Arc`: the logs hold the supply.
            let decision = Arc::downgrade(self);
            supply
                .set_condition(move || Weak::upgrade(&decision).map_or(Ok(()), |decision| decision.settle()));
        }
    }

    /// Whether the end of the log of `core` is owed.
    pub(crate) fn owes(&self, core: CoreId) -> bool {
        self.owed.lock().iter().any(|log| log.core() == core)
    }

    /// A manifest says from where every log is needed: beyond whatever was cut off.
    pub(crate) fn is_in_checkpoint(&self) {
        self.owed.lock().clear();
    }

    /// Records what is owed. Whoever appends waits for it, holding no lock of any log.
    fn settle(&self) -> Result<(), WriterError> {
        let mut owed = self.owed.lock();
        while let Some(log) = owed.last() {
            // The header alone: by now, the barrier of the opening may be older than what stands in other logs.
            log.begin(&EpochEnd { epoch: self.epoch, barrier: None, seal: false })?;
            owed.pop();
        }
        Ok(())
    }
}

/// The logs that were there before, by core and by whether something lies behind their end.
fn inherited(
    resume: &ResumePoints,
    logs: &[Arc<CoreLog>],
    choose: impl Fn(CoreId, bool) -> bool,
) -> Vec<Arc<CoreLog>> {
    let chosen = |log: &&Arc<CoreLog>| {
        let core = resume.core(log.core());
        core.is_some_and(|core| core.end.is_some() && choose(core.core, core.has_discards))
    };
    logs.iter().filter(chosen).cloned().collect()
}
