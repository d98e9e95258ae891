//! What salvage took and what it had to leave, for machines.

use wal_format::{CoreId, Epoch, LogId, Sequence};

use super::pieces::{Piece, pieces};
use crate::json::Json;
use crate::plan::{CorePlan, Plan};
use crate::report::RecoveryReport;

/// What became of a log. Everything that was lost stands in `recovery`: each core's gaps with their reason, and the
/// checkpoint's problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvageReport {
    /// The new log.
    pub log_id: LogId,
    /// Per core, ascending.
    pub cores: Vec<SalvagedCore>,
    /// Everything of this epoch and below is in the new log's checkpoint.
    pub checkpoint_epoch: Option<Epoch>,
    /// The checkpoint's state is in the engine's own store: the new log refers to it, and does not hold it.
    pub external: bool,
    /// Keys written to the new log's checkpoint; 0 before it is written.
    pub checkpoint_keys: u64,
    /// Bytes of the new log; 0 before it is written.
    pub bytes_written: u64,
    /// What recovery in salvage mode found in the original.
    pub recovery: RecoveryReport,
}

/// What became of one core's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedCore {
    /// The core.
    pub core: CoreId,
    /// Entries taken.
    pub entries: u64,
    /// Entries that are known to be lost.
    pub lost: u64,
    /// Number with which the new log begins.
    pub first_sequence: Sequence,
    /// Number of the next entry.
    pub next_sequence: Sequence,
    /// What was renumbered to what.
    pub pieces: Vec<Piece>,
}

impl SalvageReport {
    pub(super) fn of_plan(plan: &Plan, log_id: LogId) -> Self {
        Self {
            log_id,
            cores: plan.cores.iter().map(SalvagedCore::of_plan).collect(),
            checkpoint_epoch: plan.checkpoint_epoch(),
            external: plan.manifest.as_ref().is_some_and(|manifest| manifest.external),
            checkpoint_keys: 0,
            bytes_written: 0,
            recovery: plan.report.clone(),
        }
    }

    /// Whether everything was intact: then the new log is a copy.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.recovery.has_gaps()
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        Json::document(|json| self.write(json))
    }

    pub(crate) fn write(&self, json: &mut Json) {
        json.string("log_id", self.log_id);
        json.bool("complete", self.is_complete());
        json.optional_number("checkpoint_epoch", self.checkpoint_epoch);
        json.bool("external", self.external);
        json.number("checkpoint_keys", self.checkpoint_keys);
        json.number("bytes_written", self.bytes_written);
        json.objects("cores", &self.cores, |json, core| {
            json.number("core", core.core);
            json.number("entries", core.entries);
            json.number("lost", core.lost);
            json.number("first_sequence", core.first_sequence);
            json.number("next_sequence", core.next_sequence);
            json.objects("pieces", &core.pieces, |json, piece| {
                json.number("original", piece.original);
                json.number("entries", piece.entries);
                json.number("renumbered", piece.renumbered);
            });
        });
        json.object("recovery", |json| self.recovery.write(json));
    }
}

impl SalvagedCore {
    fn of_plan(core: &CorePlan) -> Self {
        let pieces = pieces(core);
        let (begin, entries) = (core.scan.begin.sequence, pieces.iter().map(|piece| piece.entries).sum());
        let first_sequence = pieces.first().map_or(begin, |piece| piece.renumbered);
        let next = first_sequence.plus(entries);
        let lost = next.0.saturating_sub(begin.0).saturating_sub(entries);
        Self { core: core.scan.core, entries, lost, first_sequence, next_sequence: next, pieces }
    }
}
