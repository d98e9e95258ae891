//! Up to which epoch the entries of all cores may be handed out, by what barriers and the checkpoint say. Pure.
//!
//! # What a reader without the engine's memory can claim
//!
//! Everything that it reads, it may read from the page cache, before it is durable, and a power loss may take it back: entries,
//! and whatever attests them. So *durable* must not rest on the attesting bytes being durable. It rests on what they
//! say, which is about the past: a barrier carries the last epoch of which every core *was durable up to its cut when the
//! barrier was built* (`FORMAT.md#barrier`), `synced_through` what *was known to be durable when the frame was built*, and a
//! manifest is published after everything that it replaces was synced. Whoever built them had seen those syncs return; the
//! checksums, seeded with log, core, segment and offset, say that it was this log's engine, about this place. What was
//! durable stays so. So the claim holds whether or not the bytes that carry it ever reach the medium, and what was
//! handed out is there after a power loss, however much of the evidence is not.
//!
//! That the order is final needs one thing more: no entry of a durable epoch may appear later, or be dropped. Entries of
//! a closed epoch are below its cuts, and there are no others: the close waited for all cores. Recovery cannot drop them
//! either: at least one core's barrier of the epoch is durable with it, and it ends no log below a cut of a durable epoch.
//!
//! One barrier is different: the one that an opening writes names all epochs before its own durable at once, with the
//! points from which it goes on as cuts (`Witnesses` in witness.rs), and that decision is durable only a moment later. What it
//! speaks of is durable: recovery has synced and re-read it. If the power fails in between, the next opening reads the same
//! bytes and decides the same, unless it is told to take less ([`FollowError::TakenBack`] is for that).
//!
//! # Why cuts of that very epoch, and of that life
//!
//! Cuts of an earlier epoch may be of a life that an opening has ended; a later one may not be durable. So an epoch counts only
//! if a barrier of that epoch, or the manifest, gave its cuts, and only what is below them. Every epoch that an engine calls
//! durable has such a barrier in some core's log, written before it was called so.
//!
//! After a failed sync, an opening drops the cache, and a barrier that was only there is gone with its epoch: the next life may
//! close an epoch of the same number elsewhere. So when the log was opened, cuts that were read before count no more
//! ([`Horizon::forget_pending`]). Nothing is lost by it: the opening's own barrier, which does count, covers what was before.
//!
//! [`FollowError::TakenBack`]: super::FollowError::TakenBack

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use wal_format::{Barrier, CoreId, Epoch, Manifest, Sequence};

use super::Level;

/// Cuts that are kept of epochs that are not durable yet, over all of them: a mebibyte. What does not fit delays, since a
/// later epoch will do as well.
const CUTS_MAX: usize = 1 << 16;

/// Up to where entries may be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// No entry of a later epoch.
    pub(super) epoch: Epoch,
    /// Per core, ascending, the first sequence number that is beyond; of other cores nothing is known.
    pub(super) cuts: Cuts,
}

type Cuts = Vec<(CoreId, Sequence)>;

impl Target {
    /// The first sequence number of `core` that is beyond; 0 if nothing is known of it.
    pub(super) fn cut(&self, core: CoreId) -> Sequence {
        let found = self.cuts.binary_search_by_key(&core, |(core, _)| *core).ok();
        found.and_then(|index| self.cuts.get(index)).map_or(Sequence(0), |(_, cut)| *cut)
    }
}

/// The cuts of an epoch.
#[derive(Debug)]
struct Known {
    cuts: Cuts,
    /// What gave them calls the epoch durable itself: an opening, or the manifest.
    is_settled: bool,
}

impl Known {
    /// An opening may close the epoch that was current, of which the life before has barriers of its own: the opening's
    /// word counts, whichever is read first. Else the lower cut does, as everywhere (`Witnesses` in witness.rs).
    fn merge(&mut self, other: Self) {
        if self.is_settled != other.is_settled {
            if other.is_settled {
                *self = other;
            }
            return;
        }
        for (core, cut) in &mut self.cuts {
            let found = other.cuts.binary_search_by_key(core, |(core, _)| *core).ok();
            *cut =
                found.and_then(|index| other.cuts.get(index)).map_or(*cut, |(_, other)| (*cut).min(*other));
        }
    }
}

/// What is known of the epochs to come.
#[derive(Debug)]
pub(super) struct Horizon {
    level: Level,
    /// Everything of this epoch and before was handed out.
    done: Option<Epoch>,
    /// The last epoch that anything calls durable.
    durable: Option<Epoch>,
    /// Cuts of the epochs that may be next.
    cuts: BTreeMap<Epoch, Known>,
    kept: usize,
}

impl Horizon {
    pub(super) fn new(level: Level) -> Self {
        Self { level, done: None, durable: None, cuts: BTreeMap::new(), kept: 0 }
    }

    /// The last epoch of which everything was handed out.
    pub(super) fn done(&self) -> Option<Epoch> {
        self.done
    }

    pub(super) fn note_barrier(&mut self, epoch: Epoch, barrier: Barrier) {
        self.durable = self.durable.max(Some(barrier.durable_epoch));
        self.insert(epoch, Known { is_settled: barrier.durable_epoch >= epoch, cuts: barrier.cuts });
    }

    pub(super) fn note_manifest(&mut self, manifest: &Manifest) {
        self.durable = self.durable.max(Some(manifest.epoch));
        let cuts = manifest.cores.iter().map(|core| (core.core, core.sequence)).collect();
        self.insert(manifest.epoch, Known { cuts, is_settled: true });
    }

    /// Cuts of the last epoch that is known.
    pub(super) fn last_cuts(&self) -> &[(CoreId, Sequence)] {
        self.cuts.last_key_value().map_or(&[], |(_, known)| &known.cuts)
    }

    /// Somebody opened the log: see the top.
    pub(super) fn forget_pending(&mut self) {
        self.cuts.retain(|_, known| known.is_settled);
        self.kept = self.cuts.values().map(|known| known.cuts.len()).sum();
    }

    /// Everything of `epoch` and before was handed out.
    pub(super) fn pass(&mut self, epoch: Epoch) {
        self.done = self.done.max(Some(epoch));
        self.forget();
    }

    /// Up to where entries may be handed out next, if `reaches` (or, at level durable, will reach) those cuts.
    pub(super) fn target(&self, reaches: impl Fn(&Cuts) -> bool) -> Option<Target> {
        let known = match self.level {
            Level::Durable => self.durable.and_then(|epoch| self.cuts.get_key_value(&epoch)),
            Level::Written => self.cuts.iter().rev().find(|(_, known)| reaches(&known.cuts)),
        };
        // None of an epoch that is done is kept.
        known.map(|(epoch, known)| Target { epoch: *epoch, cuts: known.cuts.clone() })
    }

    fn insert(&mut self, epoch: Epoch, known: Known) {
        if Some(epoch) <= self.done {
            return;
        }
        match self.cuts.entry(epoch) {
            Entry::Vacant(vacant) => {
                self.kept += known.cuts.len();
                vacant.insert(known);
            }
            Entry::Occupied(mut former) => {
                self.kept -= former.get().cuts.len();
                former.get_mut().merge(known);
                self.kept += former.get().cuts.len();
            }
        }
        self.forget();
        // The last one must stay: nothing may come after it for a long time. And the first: it may become durable next.
        while self.kept > CUTS_MAX && self.cuts.len() > 2 {
            let second_last = self.cuts.keys().rev().nth(1).copied();
            let cuts = second_last.and_then(|epoch| self.cuts.remove(&epoch));
            self.kept -= cuts.map_or(0, |known| known.cuts.len());
        }
    }

    /// Epochs below one that is durable or done never come to be next.
    fn forget(&mut self) {
        let floor = match self.level {
            Level::Durable => self.durable.max(self.done.map(Epoch::next)),
            Level::Written => self.done.map(Epoch::next),
        };
        while let Some(first) = self.cuts.first_entry()
            && Some(*first.key()) < floor
        {
            self.kept -= first.remove().cuts.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier(durable: u64, cuts: &[u64]) -> Barrier {
        let cuts = (0..).map(CoreId).zip(cuts.iter().copied().map(Sequence)).collect();
        Barrier { durable_epoch: Epoch(durable), cuts }
    }

    fn epoch_of(horizon: &Horizon) -> Option<u64> {
        horizon.target(|_| true).map(|target| target.epoch.0)
    }

    #[test]
    fn an_epoch_counts_as_durable_only_when_a_later_barrier_says_so() {
        let mut horizon = Horizon::new(Level::Durable);
        horizon.note_barrier(Epoch(5), barrier(4, &[10, 20]));
        assert_eq!(epoch_of(&horizon), None);
        horizon.note_barrier(Epoch(6), barrier(5, &[11, 20]));
        assert_eq!(
            horizon.target(|_| true),
            Some(Target { epoch: Epoch(5), cuts: barrier(0, &[10, 20]).cuts })
        );
        horizon.pass(Epoch(5));
        assert_eq!(epoch_of(&horizon), None);
    }

    #[test]
    fn cuts_of_another_epoch_than_the_durable_one_are_not_used() {
        let mut horizon = Horizon::new(Level::Durable);
        horizon.note_barrier(Epoch(5), barrier(4, &[10]));
        // Epoch 7 is what an opening decided; its barrier has not been read yet.
        horizon.note_barrier(Epoch(8), barrier(7, &[12]));
        assert_eq!(epoch_of(&horizon), None);
        horizon.note_barrier(Epoch(7), barrier(7, &[9]));
        assert_eq!(epoch_of(&horizon), Some(7));
    }

    #[test]
    fn what_an_opening_says_of_an_epoch_counts_whichever_barrier_is_read_first() {
        let (cut_off, decided) = (barrier(4, &[147, 101]), barrier(5, &[125, 101]));
        for order in [[&cut_off, &decided], [&decided, &cut_off]] {
            let mut horizon = Horizon::new(Level::Durable);
            order.into_iter().for_each(|barrier| horizon.note_barrier(Epoch(5), barrier.clone()));
            assert_eq!(horizon.target(|_| true).map(|target| target.cuts), Some(decided.cuts.clone()));
            assert_eq!(horizon.kept, 2);
        }
    }

    #[test]
    fn cuts_of_a_life_that_an_opening_ended_are_not_used() {
        let mut horizon = Horizon::new(Level::Durable);
        horizon.note_barrier(Epoch(5), barrier(4, &[10]));
        // The opening that dropped epoch 5, and another one that was given its number.
        horizon.forget_pending();
        horizon.note_barrier(Epoch(4), barrier(4, &[7]));
        assert_eq!(epoch_of(&horizon), Some(4));
        horizon.note_barrier(Epoch(6), barrier(5, &[20]));
        assert_eq!(epoch_of(&horizon), None);
        horizon.note_barrier(Epoch(5), barrier(4, &[12]));
        assert_eq!(horizon.target(|_| true), Some(Target { epoch: Epoch(5), cuts: barrier(0, &[12]).cuts }));
    }

    #[test]
    fn a_closed_epoch_counts_as_written_when_all_that_is_below_its_cuts_is_there() {
        let mut horizon = Horizon::new(Level::Written);
        horizon.note_barrier(Epoch(5), barrier(3, &[10]));
        horizon.note_barrier(Epoch(6), barrier(3, &[20]));
        let reached = |cuts: &Cuts| cuts[0].1 <= Sequence(10);
        assert_eq!(horizon.target(reached).map(|target| target.epoch), Some(Epoch(5)));
        assert_eq!(epoch_of(&horizon), Some(6));
    }

    #[test]
    fn epochs_that_wait_for_one_core_take_bounded_memory_and_the_last_is_kept() {
        for level in [Level::Durable, Level::Written] {
            let mut horizon = Horizon::new(level);
            for epoch in 2..10_000 {
                horizon.note_barrier(Epoch(epoch), barrier(1, &[epoch; 64]));
                let count = usize::try_from(epoch - 1).unwrap().min(CUTS_MAX / 64);
                assert_eq!((horizon.cuts.len(), horizon.kept), (count, 64 * count));
            }
            horizon.note_barrier(Epoch(10_000), barrier(9_999, &[0; 64]));
            assert_eq!(horizon.kept, horizon.cuts.values().map(|known| known.cuts.len()).sum::<usize>());
            assert_eq!(epoch_of(&horizon), Some(if level == Level::Durable { 9_999 } else { 10_000 }));
        }
    }

    #[test]
    fn the_first_and_the_last_epoch_are_kept_however_many_cores_there_are() {
        let many = vec![7; 40_000];
        let mut horizon = Horizon::new(Level::Durable);
        for epoch in [2, 3, 4, 5] {
            horizon.note_barrier(Epoch(epoch), barrier(1, &many));
            let epochs: Vec<_> = horizon.cuts.keys().map(|epoch| epoch.0).collect();
            assert_eq!(epochs, if epoch == 2 { vec![2] } else { vec![2, epoch] });
        }
    }

    #[test]
    fn a_checkpoint_gives_the_cuts_of_its_epoch_and_calls_it_durable() {
        let position = |core, sequence| wal_format::CorePosition {
            core: CoreId(core),
            segment: wal_format::SegmentNumber(1),
            offset: 4096,
            sequence: Sequence(sequence),
            last_timestamp: 0,
            last_epoch: Epoch(5),
        };
        let manifest = Manifest {
            log_id: wal_format::LogId([7; 16]),
            external: false,
            epoch: Epoch(5),
            created_ns: 0,
            cores: vec![position(0, 10), position(3, 20)],
            offsets: Vec::new(),
            watermarks: Vec::new(),
            runs: Vec::new(),
            next_run: 0,
        };
        let mut horizon = Horizon::new(Level::Durable);
        // A barrier of a life that an opening has ended says otherwise, and counts for nothing.
        horizon.note_barrier(Epoch(5), barrier(4, &[12]));
        horizon.note_manifest(&manifest);
        let cuts = vec![(CoreId(0), Sequence(10)), (CoreId(3), Sequence(20))];
        assert_eq!(horizon.target(|_| true), Some(Target { epoch: Epoch(5), cuts }));
        // What is done is not handed out again, whoever names it.
        horizon.pass(Epoch(5));
        horizon.note_manifest(&manifest);
        horizon.note_barrier(Epoch(5), barrier(5, &[10]));
        for level in [Level::Durable, Level::Written] {
            horizon.level = level;
            assert_eq!((horizon.target(|_| true), horizon.cuts.len()), (None, 0));
        }
    }

    #[test]
    fn of_two_barriers_of_one_kind_the_lower_cut_counts_core_by_core() {
        for durable in [4, 5] {
            let mut horizon = Horizon::new(Level::Written);
            horizon.note_barrier(Epoch(5), barrier(durable, &[10, 20, 30]));
            horizon.note_barrier(Epoch(5), barrier(durable, &[11, 19]));
            assert_eq!(
                horizon.target(|_| true).map(|target| target.cuts),
                Some(barrier(0, &[10, 19, 30]).cuts)
            );
            assert_eq!(horizon.last_cuts(), barrier(0, &[10, 19, 30]).cuts);
        }
    }
}
