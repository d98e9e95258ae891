//! Barriers as witnesses: what the cut vectors of all cores prove of each (`FORMAT.md#barrier`, `FORMAT.md#verdicts`).

use std::collections::{BTreeMap, BTreeSet};

use wal_format::{CoreId, Epoch, Manifest, Sequence};

use crate::evidence::{Evidence, Reach, Witness};
use crate::scan::FoundBarrier;

/// The barriers of all cores, by epoch.
///
/// A barrier outlives what it speaks of: if a core lost its tail before the epoch was durable, recovery cut that core
/// short, and later barriers say so. Cuts never step back while the log lives, so where a later epoch has a lower cut,
/// the earlier one is of a life that recovery has ended, and the lower one counts. A checkpoint's positions are the cuts
/// of its epoch, and overrule in the same way: what an opening decided may have been released with the segment that said
/// so.
#[derive(Clone, Debug, Default)]
pub struct Witnesses {
    /// Per epoch and core: the cut, and whose log says so.
    cuts: BTreeMap<Epoch, BTreeMap<CoreId, (Sequence, CoreId)>>,
    /// The same, of the barriers that an opening wrote.
    decisions: BTreeMap<Epoch, BTreeMap<CoreId, (Sequence, CoreId)>>,
    /// All epochs up to this one are recorded as durable on every core.
    durable: Option<Epoch>,
}

impl Witnesses {
    /// Collects barriers, and what the checkpoint's manifest says, if there is one.
    #[must_use]
    pub fn new<'a>(
        barriers: impl IntoIterator<Item = &'a FoundBarrier>,
        manifest: Option<&Manifest>,
    ) -> Self {
        let checkpoint = manifest.map(|manifest| manifest.epoch);
        let mut witnesses = Self { durable: checkpoint, ..Self::default() };
        for found in barriers {
            witnesses.durable = witnesses.durable.max(Some(found.barrier.durable_epoch));
            let is_decision = found.barrier.durable_epoch >= found.epoch;
            for (core, cut) in &found.barrier.cuts {
                let cut = (*cut, found.core);
                lower(witnesses.cuts.entry(found.epoch).or_default(), *core, cut);
                if is_decision {
                    lower(witnesses.decisions.entry(found.epoch).or_default(), *core, cut);
                }
            }
        }
        witnesses.settle();
        if let Some(manifest) = manifest {
            witnesses.lower_to(manifest);
        }
        witnesses
    }

    /// Whether an opening has decided that entries of this epoch at this sequence number are not part of the log.
    ///
    /// Whoever opens a log closes all epochs before its own with a barrier that names them durable at once; no other
    /// barrier does. If that opening was interrupted, only some cores' headers record where their logs end. The barrier
    /// speaks for the rest, so that recovery after recovery comes to the same.
    #[must_use]
    pub fn is_dropped(&self, core: CoreId, epoch: Epoch, sequence: Sequence) -> bool {
        let later = self.decisions.range(epoch..).filter_map(|(_, cuts)| cuts.get(&core));
        later.map(|(cut, _)| *cut).any(|cut| cut <= sequence)
    }

    /// The last epoch that any barrier, or the checkpoint, records as durable on every core.
    #[must_use]
    pub fn durable_epoch(&self) -> Option<Epoch> {
        self.durable
    }

    /// Every epoch of which a barrier was found, highest first.
    pub fn epochs(&self) -> impl Iterator<Item = Epoch> {
        self.cuts.keys().rev().copied()
    }

    /// Every core that any barrier names, whether or not it has files.
    #[must_use]
    pub fn cores(&self) -> BTreeSet<CoreId> {
        self.cuts.values().flat_map(BTreeMap::keys).copied().collect()
    }

    /// The first sequence number of `core` beyond `epoch`; `None` if the epoch's barrier does not know the core, or
    /// was not found. `bounds` are the least epochs that the core's segment headers state ([`CoreScan::bounds`]).
    ///
    /// [`CoreScan::bounds`]: crate::CoreScan::bounds
    #[must_use]
    pub fn cut(&self, epoch: Epoch, core: CoreId, bounds: &[(Sequence, Epoch)]) -> Option<Sequence> {
        let (cut, _) = self.cuts.get(&epoch)?.get(&core)?;
        Some(bounded(*cut, epoch, bounds))
    }

    /// The farthest that barriers of durable epochs prove a core's log to have reached.
    #[must_use]
    pub fn proof(&self, core: CoreId, bounds: &[(Sequence, Epoch)]) -> Option<Evidence> {
        let durable = self.cuts.range(..=self.durable?);
        let cuts = durable.filter_map(|(epoch, cuts)| Some((*epoch, *cuts.get(&core)?)));
        let farthest = cuts
            .map(|(epoch, (cut, witness))| (bounded(cut, epoch, bounds), epoch, witness))
            .max_by_key(|(cut, epoch, _)| (*cut, *epoch))?;
        let (cut, epoch, witness) = farthest;
        Some(Evidence { reach: Reach::Sequence(cut), witness: Witness::Barrier { core: witness, epoch } })
    }

    /// Lowers every cut to the least of the later epochs.
    fn settle(&mut self) {
        let mut least = BTreeMap::new();
        for cuts in self.cuts.values_mut().rev() {
            for (core, cut) in cuts {
                lower(&mut least, *core, *cut);
                *cut = least[core];
            }
        }
    }

    /// Lowers the cuts of every epoch that the checkpoint contains to where it found the cores.
    fn lower_to(&mut self, manifest: &Manifest) {
        for cuts in self.cuts.range_mut(..=manifest.epoch).map(|(_, cuts)| cuts) {
            for (core, (cut, _)) in cuts {
                *cut = manifest.core(*core).map_or(*cut, |position| position.sequence.min(*cut));
            }
        }
    }
}

fn lower(cuts: &mut BTreeMap<CoreId, (Sequence, CoreId)>, core: CoreId, cut: (Sequence, CoreId)) {
    let least = cuts.entry(core).or_insert(cut);
    if cut.0 < least.0 {
        *least = cut;
    }
}

/// A segment that begins above `epoch` begins behind the epoch's cut.
fn bounded(cut: Sequence, epoch: Epoch, bounds: &[(Sequence, Epoch)]) -> Sequence {
    let above = bounds.iter().filter(|(_, least)| *least > epoch);
    above.map(|(sequence, _)| *sequence).fold(cut, Sequence::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{Barrier, CorePosition, SegmentNumber};

    fn barrier(core: u16, epoch: u64, durable_epoch: u64, cuts: &[(u16, u64)]) -> FoundBarrier {
        let cuts = cuts.iter().map(|(core, cut)| (CoreId(*core), Sequence(*cut))).collect();
        let barrier = Barrier { durable_epoch: Epoch(durable_epoch), cuts };
        FoundBarrier { core: CoreId(core), epoch: Epoch(epoch), barrier }
    }

    #[track_caller]
    fn check(barriers: &[FoundBarrier], bounds: &[(u64, u64)], core: u16, proven: Option<u64>) {
        let bounds: Vec<_> = bounds.iter().map(|(at, epoch)| (Sequence(*at), Epoch(*epoch))).collect();
        let proof = Witnesses::new(barriers, None).proof(CoreId(core), &bounds);
        assert_eq!(proof.map(|proof| proof.reach), proven.map(|cut| Reach::Sequence(Sequence(cut))));
    }

    #[test]
    fn a_cut_proves_nothing_until_its_epoch_is_recorded_as_durable() {
        let first = barrier(0, 1, 0, &[(0, 5), (1, 7)]);
        check(std::slice::from_ref(&first), &[], 1, None);
        let second = barrier(0, 2, 1, &[(0, 9), (1, 9)]);
        check(&[first, second], &[], 1, Some(7));
    }

    #[test]
    fn a_core_that_the_barrier_does_not_name_is_not_bound_by_it() {
        check(&[barrier(0, 1, 1, &[(0, 5)])], &[], 1, None);
    }

    #[test]
    fn a_lower_cut_of_a_later_epoch_overrules_an_earlier_life() {
        let lost = barrier(0, 5, 4, &[(0, 5), (1, 90)]);
        let opening = barrier(0, 6, 5, &[(0, 5), (1, 70)]);
        let later = barrier(0, 7, 6, &[(0, 5), (1, 75)]);
        check(&[lost, opening, later], &[], 1, Some(70));
    }

    #[test]
    fn the_checkpoint_overrules_an_earlier_life_whose_end_was_released() {
        let residue = [barrier(2, 1, 0, &[(0, 0), (2, 1)]), barrier(0, 3, 2, &[(0, 9), (2, 4)])];
        let position = |core| CorePosition {
            core: CoreId(core),
            segment: SegmentNumber(0),
            offset: 4096,
            sequence: Sequence(0),
            last_timestamp: 0,
            last_epoch: Epoch(0),
        };
        let manifest = Manifest {
            log_id: wal_format::LogId([7; 16]),
            external: false,
            epoch: Epoch(2),
            created_ns: 0,
            cores: vec![position(0), position(2)],
            offsets: Vec::new(),
            watermarks: Vec::new(),
            runs: Vec::new(),
            next_run: 0,
        };
        let reach = |barriers: &[FoundBarrier]| {
            let proof = Witnesses::new(barriers, Some(&manifest)).proof(CoreId(2), &[]);
            proof.map(|proof| proof.reach)
        };
        assert_eq!(reach(&residue[..1]), Some(Reach::Sequence(Sequence(0))));
        // An epoch beyond the checkpoint is not its business.
        let later = barrier(0, 4, 3, &[(0, 9), (2, 4)]);
        assert_eq!(reach(&[residue[1].clone(), later]), Some(Reach::Sequence(Sequence(4))));
    }

    #[test]
    fn a_segment_that_begins_above_the_epoch_bounds_its_cut() {
        check(&[barrier(0, 5, 5, &[(1, 90)])], &[(0, 0), (70, 6)], 1, Some(70));
        check(&[barrier(0, 5, 5, &[(1, 90)])], &[(0, 0), (70, 5)], 1, Some(90));
    }

    #[test]
    fn the_barriers_tell_which_cores_and_epochs_there_are_and_of_equal_cuts_the_first_counts() {
        let barriers = [barrier(3, 1, 0, &[(0, 5), (2, 6)]), barrier(2, 2, 1, &[(0, 5), (3, 7)])];
        let witnesses = Witnesses::new(&barriers, None);
        assert_eq!(witnesses.cores(), [0, 2, 3].map(CoreId).into());
        assert_eq!(witnesses.durable_epoch(), Some(Epoch(1)));
        assert_eq!(witnesses.epochs().collect::<Vec<_>>(), [Epoch(2), Epoch(1)]);
        assert_eq!(Witnesses::new(&[], None).durable_epoch(), None);
        for order in [[3, 1], [1, 3]] {
            let same = order.map(|core| barrier(core, 1, 1, &[(0, 5)]));
            let proof = Witnesses::new(&same, None).proof(CoreId(0), &[]).unwrap();
            assert_eq!(proof.witness, Witness::Barrier { core: CoreId(order[0]), epoch: Epoch(1) });
        }
    }
}
