//! What recovery found, decided and did: for machines ([`RecoveryReport::to_json`]) and for people (`Display`).

use std::fmt;

use wal_format::{CoreId, Epoch, LogId, Row, SegmentNumber, Verdict};
use wal_reader::{Discarded, Evidence, Gap, Inventory, LogPosition, SegmentStats};

use crate::json::Json;
use crate::options::{Mode, Scope};
use crate::plan::{CorePlan, Plan};

/// The report of one recovery. Everything in it can be checked again against the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The log; `None` if there is none.
    pub log_id: Option<LogId>,
    /// What was asked for.
    pub scope: Scope,
    /// What damage was accepted.
    pub mode: Mode,
    /// The checkpoint that the state begins with.
    pub checkpoint: Option<CheckpointReport>,
    /// The last epoch that every core holds whole, as far as barriers and the checkpoint tell.
    pub consistent_epoch: Option<Epoch>,
    /// With a scope other than everything: the last epoch that is part of the state.
    pub cut: Option<Epoch>,
    /// Per core, ascending.
    pub cores: Vec<CoreReport>,
    /// Files that are not of this library.
    pub unknown_files: Vec<String>,
    /// Unfinished replacements, which mean nothing.
    pub temporary_files: Vec<String>,
    /// Checkpoint runs that the manifest does not name.
    pub unnamed_runs: Vec<u64>,
    /// In salvage: what was wrong with the checkpoint.
    pub problems: Vec<String>,
    /// Keys of the checkpointed state handed to the engine.
    pub checkpoint_keys: u64,
    /// Entries of the logs handed to the engine.
    pub entries_replayed: u64,
    /// Bytes read during replay.
    pub bytes_read: u64,
}

/// The checkpoint, by its manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointReport {
    /// It holds everything of this epoch and below.
    pub epoch: Epoch,
    /// Number of runs.
    pub runs: u64,
    /// Bytes of all runs.
    pub bytes: u64,
    /// The state is in the engine's own store.
    pub external: bool,
}

/// One core's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreReport {
    /// The core.
    pub core: CoreId,
    /// Where its log begins.
    pub begin: LogPosition,
    /// First position that is not part of the log as found.
    pub end: LogPosition,
    /// Where it ends for the chosen scope.
    pub end_in_scope: LogPosition,
    /// The row of `FORMAT.md#verdicts`.
    pub row: Row,
    /// What the row means.
    pub verdict: Verdict,
    /// What stands at the end.
    pub reason: String,
    /// The farthest proof of what had been durable, and where it stands.
    pub evidence: Option<Evidence>,
    /// What lies behind the end.
    pub discarded: Discarded,
    /// What salvage passed over.
    pub gaps: Vec<Gap>,
    /// Figures of each segment that was read.
    pub segments: Vec<SegmentStats>,
    /// Files made ahead of use.
    pub prepared: Vec<SegmentNumber>,
    /// Files above the end whose header block is damaged.
    pub damaged: Vec<SegmentNumber>,
    /// Files given up after a failed sync.
    pub superseded: Vec<SegmentNumber>,
    /// Files that the checkpoint has made superfluous.
    pub obsolete: Vec<SegmentNumber>,
}

impl RecoveryReport {
    pub(crate) fn of_plan(plan: &Plan, inventory: &Inventory) -> Self {
        let manifest = plan.manifest.as_ref();
        let named =
            |run: &u64| manifest.is_some_and(|manifest| manifest.runs.iter().any(|meta| meta.run == *run));
        Self {
            log_id: plan.resume.log_id,
            scope: plan.scope,
            mode: plan.mode,
            checkpoint: manifest.map(|manifest| CheckpointReport {
                epoch: manifest.epoch,
                runs: manifest.runs.len() as u64,
                bytes: manifest.runs.iter().map(|run| run.length).fold(0, u64::saturating_add),
                external: manifest.external,
            }),
            consistent_epoch: plan.consistent_epoch,
            cut: plan.cut,
            cores: plan.cores.iter().map(CoreReport::new).collect(),
            unknown_files: inventory.unknown.clone(),
            temporary_files: inventory.temporaries.clone(),
            unnamed_runs: inventory.runs.iter().filter(|run| !named(run)).copied().collect(),
            ..Self::default()
        }
    }

    /// Entries that the logs hold up to their ends, whatever the scope.
    #[must_use]
    pub fn entries_found(&self) -> u64 {
        self.cores.iter().flat_map(|core| &core.segments).map(|segment| segment.entries).sum()
    }

    /// Whether salvage had to pass over anything.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        !self.problems.is_empty() || self.cores.iter().any(|core| !core.gaps.is_empty())
    }

    /// The report as one JSON object. Numbers are exact up to 64 bits; positions are objects.
    #[must_use]
    pub fn to_json(&self) -> String {
        Json::document(|json| self.write(json))
    }

    pub(crate) fn write(&self, json: &mut Json) {
        json.optional_string("log_id", self.log_id);
        json.string("scope", self.scope);
        json.string("mode", self.mode);
        match &self.checkpoint {
            Some(checkpoint) => json.object("checkpoint", |json| {
                json.number("epoch", checkpoint.epoch);
                json.number("runs", checkpoint.runs);
                json.number("bytes", checkpoint.bytes);
                json.bool("external", checkpoint.external);
            }),
            None => json.optional_number("checkpoint", None::<u64>),
        }
        json.optional_number("consistent_epoch", self.consistent_epoch);
        json.optional_number("cut", self.cut);
        json.objects("cores", &self.cores, |json, core| core.write(json));
        json.strings("unknown_files", &self.unknown_files);
        json.strings("temporary_files", &self.temporary_files);
        json.numbers("unnamed_runs", &self.unnamed_runs);
        json.strings("problems", &self.problems);
        json.number("checkpoint_keys", self.checkpoint_keys);
        json.number("entries_replayed", self.entries_replayed);
        json.number("bytes_read", self.bytes_read);
    }
}

impl CoreReport {
    fn new(core: &CorePlan) -> Self {
        let scan = &core.scan;
        Self {
            core: scan.core,
            begin: scan.begin,
            end: scan.end,
            end_in_scope: core.end,
            row: core.ending.row,
            verdict: core.ending.verdict(),
            reason: core.ending.reason.to_string(),
            evidence: core.ending.evidence,
            discarded: scan.discarded,
            gaps: core.gaps.clone(),
            segments: scan.segments.clone(),
            prepared: scan.prepared.clone(),
            damaged: scan.damaged.clone(),
            superseded: scan.superseded.clone(),
            obsolete: scan.obsolete.clone(),
        }
    }

    fn write(&self, json: &mut Json) {
        json.number("core", self.core);
        write_position(json, "begin", &self.begin);
        write_position(json, "end", &self.end);
        write_position(json, "end_in_scope", &self.end_in_scope);
        json.string("row", self.row);
        json.string("verdict", self.verdict);
        json.string("reason", &self.reason);
        json.optional_string("evidence", self.evidence);
        json.object("discarded", |json| {
            json.number("frames", self.discarded.frames);
            json.number("entries", self.discarded.entries);
            json.number("bytes", self.discarded.bytes);
            json.bool("residue", self.discarded.residue);
        });
        json.objects("gaps", &self.gaps, |json, gap| {
            write_position(json, "from", &gap.from);
            match &gap.to {
                Some(to) => write_position(json, "to", to),
                None => json.optional_number("to", None::<u64>),
            }
            json.string("reason", &gap.reason);
        });
        json.objects("segments", &self.segments, write_segment);
        json.numbers("prepared", &self.prepared);
        json.numbers("damaged", &self.damaged);
        json.numbers("superseded", &self.superseded);
        json.numbers("obsolete", &self.obsolete);
    }
}

pub(crate) fn write_position(json: &mut Json, name: &str, position: &LogPosition) {
    json.object(name, |json| {
        json.number("segment", position.segment);
        json.number("offset", position.offset);
        json.number("sequence", position.sequence);
    });
}

pub(crate) fn write_segment(json: &mut Json, segment: &SegmentStats) {
    json.number("segment", segment.segment);
    json.number("entries", segment.entries);
    json.number("frames", segment.frames);
    json.number("bytes_used", segment.bytes_used);
    json.number("bytes_wasted", segment.bytes_wasted);
    json.optional_number("first_sequence", segment.sequences.map(|(first, _)| first));
    json.optional_number("last_sequence", segment.sequences.map(|(_, last)| last));
    json.optional_number("first_epoch", segment.epochs.map(|(first, _)| first));
    json.optional_number("last_epoch", segment.epochs.map(|(_, last)| last));
    json.optional_number("first_timestamp_ns", segment.timestamps.map(|(first, _)| first));
    json.optional_number("last_timestamp_ns", segment.timestamps.map(|(_, last)| last));
    json.bool("sealed", segment.sealed);
    json.number("digest", segment.digest);
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "recovery of {} ({})", self.scope, self.mode)?;
        match &self.checkpoint {
            Some(checkpoint) => writeln!(
                f,
                "checkpoint   epoch {}, {} runs, {} bytes, {} keys",
                checkpoint.epoch, checkpoint.runs, checkpoint.bytes, self.checkpoint_keys
            )?,
            None => writeln!(f, "checkpoint   none")?,
        }
        match (self.cut, self.consistent_epoch) {
            (Some(cut), _) => writeln!(f, "cut          epoch {cut}")?,
            (None, Some(epoch)) => writeln!(f, "cut          none; epoch {epoch} is whole on every core")?,
            (None, None) => writeln!(f, "cut          none")?,
        }
        writeln!(f, "replayed     {} entries, {} bytes read", self.entries_replayed, self.bytes_read)?;
        let columns = ("core", "segment", "offset", "sequence", "row", "discarded");
        let (core, segment, offset, sequence, row, discarded) = columns;
        writeln!(f, "{core:>5} {segment:>8} {offset:>12} {sequence:>12}  {row:<13}{discarded:>10}  verdict")?;
        self.cores.iter().try_for_each(|core| core.fmt(f))?;
        for file in &self.unknown_files {
            writeln!(f, "unknown file {file}: left alone")?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem      {problem}"))
    }
}

impl fmt::Display for CoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = &self.end_in_scope;
        writeln!(
            f,
            "{:>5} {:>8} {:>12} {:>12}  {:<13}{:>10}  {}",
            self.core.0,
            end.segment.0,
            end.offset,
            end.sequence.0,
            self.row.label(),
            self.discarded.entries,
            self.verdict
        )?;
        if self.verdict != Verdict::Clean {
            writeln!(f, "      at {}: {}", self.end, self.reason)?;
            if let Some(evidence) = &self.evidence {
                writeln!(f, "      evidence: {evidence}")?;
            }
        }
        for gap in &self.gaps {
            match &gap.to {
                Some(to) => writeln!(f, "      gap from {} to {to}: {}", gap.from, gap.reason)?,
                None => writeln!(f, "      gap from {} on: {}", gap.from, gap.reason)?,
            }
        }
        Ok(())
    }
}
