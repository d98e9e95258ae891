//! The oracle: every entry of all lives, and what must be true of epochs, checkpoints, merges and recoveries once the
//! whole story is known.

use std::collections::BTreeMap;

use wal_coordinator::*;
use wal_recovery::Recovered;

use super::common::{Seen, apply};
use super::life::{Close, Merge, Recovery, Story};

/// All lives so far.
#[derive(Default)]
pub(crate) struct Whole {
    /// In the global order.
    entries: Vec<PerCoreWalEntry>,
    /// Per core the epochs of its entries, by sequence.
    epochs: BTreeMap<CoreId, Vec<Epoch>>,
    checkpoints: Vec<Epoch>,
    closes: usize,
    merges: usize,
    recoveries: usize,
}

impl Whole {
    /// Takes in another life, and judges it.
    pub(crate) fn add(&mut self, story: Story) {
        self.entries.extend(story.entries);
        self.entries.sort_by_key(PerCoreWalEntry::order_key);
        self.epochs.clear();
        for entry in &self.entries {
            let epochs = self.epochs.entry(entry.core_id).or_default();
            assert_eq!(entry.sequence.0, epochs.len() as u64, "core {}: a core's own order", entry.core_id);
            epochs.push(entry.epoch);
        }
        let mut from = self.checkpoints.last().copied().unwrap_or_default();
        for report in &story.checkpoints {
            let within = |epochs: &Vec<Epoch>| count(epochs, report.epoch) - count(epochs, from);
            let entries: u64 = self.epochs.values().map(within).sum();
            assert_eq!(report.entries, entries, "checkpoint of epoch {}: its entries", report.epoch);
            from = report.epoch;
            self.checkpoints.push(from);
        }
        story.closes.iter().for_each(|close| self.check_close(close));
        story.merges.iter().for_each(|merge| self.check_merge(merge));
        story.recoveries.iter().for_each(|recovery| self.check_recovery(recovery));
        self.closes += story.closes.len();
        self.merges += story.merges.len();
        self.recoveries += story.recoveries.len();
    }

    /// What was appended before the close is in the epoch or an older one, what came after it is not.
    fn check_close(&self, close: &Close) {
        for (before, after) in close.before.iter().zip(&close.after) {
            let cut = self.epochs.get(&before.core).map_or(0, |epochs| count(epochs, close.epoch));
            assert!(
                before.sequence.0 <= cut && cut <= after.sequence.0,
                "core {}, epoch {}: it ends at #{cut}, but #{} was the position before its close, #{} after it",
                before.core,
                close.epoch,
                before.sequence,
                after.sequence
            );
        }
    }

    /// A merge up to a durable epoch has every entry of it, from some checkpoint on.
    fn check_merge(&self, merge: &Merge) {
        let begins_at = |checkpoint: Epoch| {
            self.epochs.iter().all(|(core, epochs)| {
                let (from, to) = (count(epochs, checkpoint), count(epochs, merge.epoch));
                merge.found.get(core).map_or(to <= from, |found| *found == (from, to))
            })
        };
        let is_whole = begins_at(Epoch(0)) || self.checkpoints.iter().copied().any(begins_at);
        assert!(is_whole, "a merge up to epoch {} found {:?}", merge.epoch, merge.found);
    }

    /// What came back is a prefix of each core, of this scope, and comes to the right state.
    fn check_recovery(&self, recovery: &Recovery) {
        let Recovery { what, scope, seen, recovered } = recovery;
        let cut = match scope {
            Scope::Everything => Epoch(u64::MAX),
            _ => recovered.report.cut.unwrap_or_default(),
        };
        let ends: BTreeMap<_, _> =
            recovered.resume.cores.iter().map(|core| (core.core, core.next_sequence)).collect();
        let is_in = |entry: &PerCoreWalEntry| {
            entry.epoch <= cut && ends.get(&entry.core_id).is_some_and(|end| entry.sequence < *end)
        };
        self.check(seen, recovered, is_in, what);
    }

    /// Everything came back.
    pub(crate) fn check_all(&self, seen: &Seen, recovered: &Recovered, what: &str) {
        self.check(seen, recovered, |_| true, what);
    }

    fn check(
        &self,
        seen: &Seen,
        recovered: &Recovered,
        is_in: impl Fn(&PerCoreWalEntry) -> bool,
        what: &str,
    ) {
        let report = &recovered.report;
        let checkpoint = report.checkpoint.as_ref().map_or(Epoch(0), |checkpoint| checkpoint.epoch);
        let mut state = BTreeMap::new();
        let mut found = seen.entries.iter();
        for entry in self.entries.iter().filter(|entry| entry.epoch <= checkpoint || is_in(entry)) {
            apply(&mut state, &entry.operation.as_ref());
            if entry.epoch > checkpoint {
                let found = found.next();
                assert!(
                    found == Some(entry),
                    "{what}: instead of {:?} came {:?}\n{report}",
                    entry.order_key(),
                    found.map(PerCoreWalEntry::order_key)
                );
            }
        }
        assert_eq!(found.next().map(PerCoreWalEntry::order_key), None, "{what}: nobody wrote that\n{report}");
        assert!(seen.state == state, "{what}: the entries are right, the state is not\n{report}");
    }

    /// How much there was to judge.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} entries of {} cores, {} closes, {} checkpoints, {} merges, {} images recovered",
            self.entries.len(),
            self.epochs.len(),
            self.closes,
            self.checkpoints.len(),
            self.merges,
            self.recoveries
        )
    }
}

/// How many of a core's entries are of `epoch` or an older one.
fn count(epochs: &[Epoch], epoch: Epoch) -> u64 {
    epochs.partition_point(|of| *of <= epoch) as u64
}
