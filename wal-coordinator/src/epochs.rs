//! Which closed epochs are durable: an epoch is, when every core that took part has synced its end of it, and every
//! earlier epoch is.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `outstanding` | under its mutex | under its mutex | |
//! | `durable` ([`Progress`]) | under the mutex of `outstanding` | anybody | the syncs of all cores that took part |
//!
//! Epochs are counted in their order (`shared.rs` closes and counts under one lock), and leave from the front, so `durable`
//! never passes an epoch that some core still owes.
//!
//! A core reports after its sync has returned, under the mutex; the last one raises `durable`. So whoever reads an
//! epoch from `durable` knows that every one of those syncs has returned.

use std::collections::VecDeque;
use std::sync::Arc;

use wal_format::Epoch;
use wal_writer::{Progress, WriterError};

use crate::sync::Mutex;

/// The closed epochs that are not durable yet.
#[derive(Debug)]
pub(crate) struct EpochTracker {
    outstanding: Mutex<VecDeque<Outstanding>>,
    durable: Arc<Progress>,
}

#[derive(Debug)]
struct Outstanding {
    epoch: Epoch,
    /// Cores that have not synced their end of it.
    remaining: usize,
}

impl EpochTracker {
    /// Every epoch up to `durable` is.
    pub(crate) fn new(durable: Epoch) -> Self {
        Self { outstanding: Mutex::default(), durable: Arc::new(Progress::new(durable.0)) }
    }

    /// The last durable epoch, as a number that can be waited for.
    pub(crate) fn durable(&self) -> &Arc<Progress> {
        &self.durable
    }

    /// The last epoch of which every core is durable up to its end.
    pub(crate) fn durable_epoch(&self) -> Epoch {
        Epoch(self.durable.get())
    }

    /// `epoch` is closed, and `cores` cores have an end of it to sync. Called in the order of the epochs.
    pub(crate) fn closed(&self, epoch: Epoch, cores: usize) {
        let mut outstanding = self.outstanding.lock();
        outstanding.push_back(Outstanding { epoch, remaining: cores });
        self.settle(&mut outstanding);
    }

    /// One core's end of `epoch` is durable.
    pub(crate) fn core_done(&self, epoch: Epoch) {
        let mut outstanding = self.outstanding.lock();
        if let Some(found) = outstanding.iter_mut().find(|outstanding| outstanding.epoch == epoch) {
            found.remaining -= 1;
        }
        self.settle(&mut outstanding);
    }

    /// A checkpoint of `epoch` is durable: so is every epoch up to it, whatever its cores still had to write.
    pub(crate) fn checkpointed(&self, epoch: Epoch) {
        let mut outstanding = self.outstanding.lock();
        outstanding.iter_mut().filter(|closed| closed.epoch <= epoch).for_each(|closed| closed.remaining = 0);
        self.settle(&mut outstanding);
    }

    /// No later epoch will become durable: a core cannot make its end of one so.
    pub(crate) fn fail(&self, error: WriterError) {
        self.durable.fail(error);
    }

    fn settle(&self, outstanding: &mut VecDeque<Outstanding>) {
        while let Some(done) = outstanding.pop_front_if(|first| first.remaining == 0) {
            self.durable.advance(done.epoch.0);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_durable_when_its_last_core_is_and_every_earlier_epoch_is() {
        let tracker = EpochTracker::new(Epoch(4));
        tracker.closed(Epoch(5), 2);
        tracker.closed(Epoch(6), 1);
        tracker.closed(Epoch(7), 0);
        tracker.core_done(Epoch(6));
        assert_eq!(tracker.durable_epoch(), Epoch(4));
        tracker.core_done(Epoch(5));
        assert_eq!(tracker.durable_epoch(), Epoch(4));
        tracker.core_done(Epoch(5));
        assert_eq!(tracker.durable_epoch(), Epoch(7));
    }

    #[test]
    fn a_checkpoint_makes_its_epochs_durable_whatever_cores_had_no_room_to_say() {
        let tracker = EpochTracker::new(Epoch(0));
        tracker.closed(Epoch(1), 2);
        tracker.closed(Epoch(2), 1);
        tracker.closed(Epoch(3), 1);
        tracker.checkpointed(Epoch(2));
        assert_eq!(tracker.durable_epoch(), Epoch(2));
        // What is written late changes nothing.
        tracker.core_done(Epoch(1));
        tracker.core_done(Epoch(3));
        assert_eq!(tracker.durable_epoch(), Epoch(3));
    }
}
