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
use wal_writer::{Histogram, Progress, WriterError};

use crate::sync::Mutex;

/// The closed epochs that are not durable yet.
#[derive(Debug)]
pub(crate) struct EpochTracker {
    outstanding: Mutex<Epochs>,
    durable: Arc<Progress>,
}

#[derive(Debug, Default)]
struct Epochs {
    /// In their order.
    outstanding: VecDeque<Outstanding>,
    /// How long those took that are durable, from their close, nanoseconds.
    durable_ns: Histogram,
}

#[derive(Debug)]
struct Outstanding {
    epoch: Epoch,
    /// Cores that have not synced their end of it, by index.
    owing: Vec<usize>,
    closed_ns: u64,
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

    /// `epoch` is closed since `now_ns`, and the cores with these indices have an end of it to sync. Called in the order of
    /// the epochs.
    pub(crate) fn closed(&self, epoch: Epoch, cores: &[usize], now_ns: u64) {
        let mut epochs = self.outstanding.lock();
        epochs.outstanding.push_back(Outstanding { epoch, owing: cores.to_vec(), closed_ns: now_ns });
        self.settle(&mut epochs, now_ns);
    }

    /// One core's end of `epoch` is durable.
    pub(crate) fn core_done(&self, epoch: Epoch, core: usize, now_ns: u64) {
        let mut epochs = self.outstanding.lock();
        if let Some(found) = epochs.outstanding.iter_mut().find(|outstanding| outstanding.epoch == epoch) {
            found.owing.retain(|owing| *owing != core);
        }
        self.settle(&mut epochs, now_ns);
    }

    /// A checkpoint of `epoch` is durable: so is every epoch up to it, whatever its cores still had to write.
    pub(crate) fn checkpointed(&self, epoch: Epoch, now_ns: u64) {
        let mut epochs = self.outstanding.lock();
        let covered = epochs.outstanding.iter_mut().filter(|closed| closed.epoch <= epoch);
        covered.for_each(|closed| closed.owing.clear());
        self.settle(&mut epochs, now_ns);
    }

    /// For whoever watches: how long epochs took to become durable, and the oldest that is not, with the indices of the cores
    /// that owe their end of it and the time of its close.
    pub(crate) fn watched(&self) -> (Histogram, Option<(Epoch, Vec<usize>, u64)>) {
        let epochs = self.outstanding.lock();
        let oldest = epochs.outstanding.front();
        let owed = oldest.map(|oldest| (oldest.epoch, oldest.owing.clone(), oldest.closed_ns));
        (epochs.durable_ns.clone(), owed)
    }

    /// No later epoch will become durable: a core cannot make its end of one so.
    pub(crate) fn fail(&self, error: WriterError) {
        self.durable.fail(error);
    }

    fn settle(&self, epochs: &mut Epochs, now_ns: u64) {
        while let Some(done) = epochs.outstanding.pop_front_if(|first| first.owing.is_empty()) {
            self.durable.advance(done.epoch.0);
            epochs.durable_ns.record(now_ns.saturating_sub(done.closed_ns));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_durable_when_its_last_core_is_and_every_earlier_epoch_is() {
        let tracker = EpochTracker::new(Epoch(4));
        tracker.closed(Epoch(5), &[0, 3], 100);
        tracker.closed(Epoch(6), &[1], 200);
        tracker.closed(Epoch(7), &[], 300);
        tracker.core_done(Epoch(6), 1, 400);
        assert_eq!(tracker.durable_epoch(), Epoch(4));
        tracker.core_done(Epoch(5), 0, 500);
        assert_eq!(tracker.durable_epoch(), Epoch(4));
        // The same core once more is not the other one.
        tracker.core_done(Epoch(5), 0, 550);
        assert_eq!(tracker.watched(), (Histogram::default(), Some((Epoch(5), vec![3], 100))));
        tracker.core_done(Epoch(5), 3, 600);
        assert_eq!(tracker.durable_epoch(), Epoch(7));
        let (durable_ns, owed) = tracker.watched();
        assert_eq!((durable_ns.count(), durable_ns.sum(), owed), (3, 500 + 400 + 300, None));
    }

    #[test]
    fn a_checkpoint_makes_its_epochs_durable_whatever_cores_had_no_room_to_say() {
        let tracker = EpochTracker::new(Epoch(0));
        tracker.closed(Epoch(1), &[0, 1], 0);
        tracker.closed(Epoch(2), &[1], 0);
        tracker.closed(Epoch(3), &[1], 0);
        tracker.checkpointed(Epoch(2), 0);
        assert_eq!(tracker.durable_epoch(), Epoch(2));
        // What is written late changes nothing.
        tracker.core_done(Epoch(1), 0, 0);
        tracker.core_done(Epoch(3), 1, 0);
        assert_eq!(tracker.durable_epoch(), Epoch(3));
    }
}
