//! From what was found to what is replayed and where each log goes on. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use wal_format::{CoreId, Epoch, LogId, Manifest, SegmentNumber, Sequence};
use wal_reader::{
    CoreScan, Ending, Gap, Inventory, LogPosition, MergedReader, Order, PerCoreWalReader, Source, Span,
    Witnesses,
};

use crate::options::{Mode, Scope};
use crate::report::RecoveryReport;
use crate::resume::{CoreResume, ResumePoints};
use crate::scan::manifest_bounds;

/// What recovery decided, before anything is replayed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What was asked for.
    pub scope: Scope,
    /// What damage is accepted.
    pub mode: Mode,
    /// The checkpoint that the state begins with.
    pub manifest: Option<Manifest>,
    /// Per core, ascending.
    pub cores: Vec<CorePlan>,
    /// The last epoch that every core holds whole, as far as barriers and the checkpoint tell.
    pub consistent_epoch: Option<Epoch>,
    /// With a scope other than [`Scope::Everything`]: the last epoch that is part of the state.
    pub cut: Option<Epoch>,
    /// From where the log goes on.
    pub resume: ResumePoints,
    /// The same for people and machines; replay adds its figures.
    pub report: RecoveryReport,
}

/// What recovery decided for one core.
#[derive(Clone, Debug)]
pub struct CorePlan {
    /// What was found.
    pub scan: CoreScan,
    /// How the log ends on disk, with the verdict and its evidence.
    pub ending: Ending,
    /// What salvage passes over.
    pub gaps: Vec<Gap>,
    /// Where the log ends for the chosen scope.
    pub end: LogPosition,
    /// What an entry behind `end` must follow from.
    pub order: Order,
    /// What is replayed.
    pub spans: Vec<Span>,
    /// Entries of this epoch and above are dropped because an earlier opening decided so.
    pub dropped_from: Option<Epoch>,
}

/// Everything that the decision rests on.
pub(crate) struct Findings {
    pub(crate) log_id: Option<LogId>,
    pub(crate) inventory: Inventory,
    pub(crate) manifest: Option<Manifest>,
    pub(crate) scans: Vec<CoreScan>,
    pub(crate) witnesses: Witnesses,
}

/// Decides. The caller turns endings whose verdict is an error into one, unless it salvages.
pub(crate) fn decide(findings: Findings, scope: Scope, mode: Mode) -> Plan {
    let Findings { log_id, inventory, manifest, scans, witnesses } = findings;
    let checkpoint = manifest.as_ref().map(|manifest| manifest.epoch);
    let consistent_epoch = consistent_epoch(&witnesses, &scans, checkpoint);
    let limit = match scope {
        Scope::Everything => None,
        Scope::ConsistentCut => Some(consistent_epoch),
        Scope::UpToEpoch(epoch) => Some(Some(epoch)),
    };
    let (manifest_epoch, manifest_timestamp) = manifest_bounds(manifest.as_ref());
    let max_epoch = scans.iter().map(|scan| scan.max_epoch).fold(manifest_epoch, Option::max);
    let timestamp_floor = scans.iter().map(|scan| scan.max_timestamp).fold(manifest_timestamp, u64::max);
    let cores: Vec<_> = scans.into_iter().map(|scan| plan_core(scan, &witnesses, limit)).collect();
    // The epoch that new segments' headers state. One that nobody has reached yet is not over; and where an earlier
    // opening decided more narrowly, that counts.
    let dropped =
        cores.iter().filter_map(|core| core.dropped_from).map(|epoch| Epoch(epoch.0.saturating_sub(1)));
    let decided = dropped.chain(limit.map(Option::unwrap_or_default)).min();
    let cut_epoch = decided.unwrap_or_default().min(max_epoch.unwrap_or_default());
    let resume = ResumePoints {
        log_id,
        // Epoch 0 is the one that counts as durable before anything was written.
        next_epoch: max_epoch.unwrap_or_default().next(),
        timestamp_floor,
        cores: cores.iter().map(|core| resume_core(core, &inventory, manifest.as_ref(), cut_epoch)).collect(),
        manifest: manifest.clone(),
        scope,
        cut: limit.flatten(),
    };
    let mut plan = Plan {
        scope,
        mode,
        manifest,
        cores,
        consistent_epoch,
        cut: limit.flatten(),
        resume,
        report: RecoveryReport::default(),
    };
    plan.report = RecoveryReport::of_plan(&plan, &inventory);
    plan
}

/// The largest epoch, not below the checkpoint's, that every core's log holds whole.
fn consistent_epoch(witnesses: &Witnesses, scans: &[CoreScan], checkpoint: Option<Epoch>) -> Option<Epoch> {
    let is_whole = |epoch: &Epoch| {
        scans.iter().all(|scan| {
            witnesses.cut(*epoch, scan.core, &scan.bounds).is_none_or(|cut| cut <= scan.end.sequence)
        })
    };
    // An opening closes every epoch below its own. Its barrier says so; if the power went between header and barrier,
    // the header alone does, and what it cut off may have held the barrier by which the epoch was chosen.
    let resumed = scans.iter().filter_map(|scan| scan.resumed_above);
    let candidates: BTreeSet<_> = witnesses.epochs().chain(resumed).collect();
    candidates.into_iter().rev().find(is_whole).max(checkpoint)
}

/// `limit`: the last epoch that counts (`Some(None)`: none does); `None` if all do.
fn plan_core(scan: CoreScan, witnesses: &Witnesses, limit: Option<Option<Epoch>>) -> CorePlan {
    let ending = scan.ending(witnesses.proof(scan.core, &scan.bounds));
    let mut gaps = scan.gaps.clone();
    if ending.verdict().is_error() {
        let finding = ending.reason.finding();
        gaps.push(Gap { from: scan.end, to: None, finding, reason: ending.reason.to_string() });
    }
    let dropped = scan.epoch_starts.iter().find(|start| {
        start.has_entries && witnesses.is_dropped(scan.core, start.epoch, start.position.sequence)
    });
    let dropped_from = dropped.map(|start| start.epoch);
    let above = limit.and_then(|epoch| scan.cut_above(epoch));
    let (end, order) = match dropped.into_iter().chain(above).min_by_key(|start| start.position) {
        Some(start) => (start.position, start.before),
        None => (scan.end, scan.order),
    };
    let spans = truncated(&scan.spans, end);
    CorePlan { scan, ending, gaps, end, order, spans, dropped_from }
}

/// The spans below `end`.
fn truncated(spans: &[Span], end: LogPosition) -> Vec<Span> {
    let below = spans.iter().filter(|span| (span.segment, span.from) < end.place());
    below
        .map(|span| Span {
            to: if span.segment == end.segment { span.to.min(end.offset) } else { span.to },
            ..*span
        })
        .collect()
}

fn resume_core(
    core: &CorePlan,
    inventory: &Inventory,
    manifest: Option<&Manifest>,
    cut: Epoch,
) -> CoreResume {
    let scan = &core.scan;
    let named = manifest.and_then(|manifest| manifest.core(scan.core)).map(|position| position.segment);
    let free = inventory.free.iter().filter(|(other, _)| *other == scan.core).map(|(_, segment)| *segment);
    let used = inventory.segments_of(scan.core).iter().copied().chain(named).chain(free);
    // A file that lost its header stands between others: without it, a recovery before the decision is on disk would miss it.
    let is_prepared = |segment: &SegmentNumber| scan.prepared.contains(segment);
    let highest =
        inventory.segments_of(scan.core).iter().copied().filter(|segment| !is_prepared(segment)).max();
    // An offset inside the header block: not even the first segment can be read.
    let exists = scan.exists && core.end.offset >= wal_format::limits::HEADER_BLOCK_BYTES as u64;
    CoreResume {
        core: scan.core,
        end: exists.then_some(core.end),
        next_sequence: core.end.sequence,
        last_timestamp: core.order.timestamp,
        last_epoch: core.order.epoch.max(cut),
        next_segment: used.max().map_or(SegmentNumber(0), SegmentNumber::next),
        has_discards: scan.discarded.residue || core.end.place() < scan.end.place(),
        prepared: scan.prepared.iter().copied().filter(|segment| Some(*segment) > highest).collect(),
    }
}

impl Plan {
    /// The checkpoint's epoch: entries of it and below are not replayed from the log.
    #[must_use]
    pub fn checkpoint_epoch(&self) -> Option<Epoch> {
        self.manifest.as_ref().map(|manifest| manifest.epoch)
    }

    /// The entries of one core up to where the plan ends its log. What the checkpoint holds is passed over as far as its
    /// position tells; compare epochs with [`Self::checkpoint_epoch`] for the rest.
    #[must_use]
    pub fn reader(&self, source: &Arc<dyn Source>, core: CoreId) -> PerCoreWalReader {
        let planned = self.cores.iter().find(|planned| planned.scan.core == core);
        let spans = planned.map(|planned| planned.spans.clone()).unwrap_or_default();
        let log_id = self.resume.log_id.unwrap_or(LogId([0; 16]));
        PerCoreWalReader::spans(Arc::clone(source), log_id, core, spans, self.first_sequence(core))
    }

    /// The same of all cores, in the global order.
    #[must_use]
    pub fn merged(&self, source: &Arc<dyn Source>) -> MergedReader {
        MergedReader::new(self.cores.iter().map(|core| self.reader(source, core.scan.core)).collect())
    }

    /// First sequence number of a core that the checkpoint does not hold.
    pub(crate) fn first_sequence(&self, core: CoreId) -> Sequence {
        let position = self.manifest.as_ref().and_then(|manifest| manifest.core(core));
        position.map_or(Sequence(0), |position| position.sequence)
    }

    /// Bytes that replay will read: of logs and of checkpoint runs.
    #[must_use]
    pub fn bytes_to_read(&self) -> u64 {
        let spans = self.cores.iter().flat_map(|core| &core.spans).map(|span| span.to - span.from);
        let runs = self.manifest.iter().flat_map(|manifest| &manifest.runs).map(|run| run.length);
        spans.chain(runs).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_end_where_the_log_is_cut() {
        let span = |segment, from, to| Span {
            segment: SegmentNumber(segment),
            from,
            to,
            order: Order::default(),
            after_gap: false,
        };
        let spans = [span(1, 4096, 5000), span(1, 5100, 6000), span(2, 4096, 5000), span(3, 4096, 5000)];
        let cut = |segment, offset| {
            truncated(&spans, LogPosition { segment: SegmentNumber(segment), offset, sequence: Sequence(0) })
        };
        assert_eq!(cut(3, 5000), spans);
        assert_eq!(cut(3, 4096), spans[..3], "nothing is left of a span that begins at the cut");
        assert_eq!(cut(2, 4500), [spans[0], spans[1], span(2, 4096, 4500)]);
        assert_eq!(cut(1, 5100), spans[..1]);
        assert_eq!(cut(1, 5050), spans[..1]);
        assert_eq!(cut(1, 4096), []);
    }
}
