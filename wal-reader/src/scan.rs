//! One core's log read once from begin to end: every check done, every proof collected, nothing handed out.
//!
//! What it ends with is a value ([`Ending`]): the first position that cannot be read, what stands there, and the row
//! of `FORMAT.md#verdicts` that follows from the proofs. Proofs of other cores come in as a parameter.

use wal_format::{
    Barrier, CoreId, Epoch, Finding, FrameHeader, FrameKind, LogId, Row, SegmentNumber, Sequence, Verdict,
};

use crate::chain::Chain;
use crate::error::{Defect, ReadError};
use crate::evidence::{Evidence, Reach};
use crate::frames::Order;
use crate::position::LogPosition;
use crate::scanner::Scanner;
use crate::segment::segment_name;
use crate::source::Source;
use crate::spans::Span;
use crate::stats::SegmentStats;
use crate::stop::StopReason;
use crate::tail::Barren;

/// What a scan is told from outside.
#[derive(Clone, Default)]
pub struct ScanOptions<'a> {
    /// The checkpoint's position of this core, if there is a checkpoint that knows it.
    pub start: Option<LogPosition>,
    /// Epoch and timestamp of the entry before `start`.
    pub start_order: Order,
    /// Says of a segment whether a checkpoint placed its core's position beyond it; without it, none was released.
    pub released: Option<&'a (dyn Fn(CoreId, SegmentNumber) -> bool + Sync)>,
    /// Everything before this offset of this segment is proven durable, and whoever asks will read and check it again
    /// before he believes it: of its entries only the headers of their frames are looked at.
    pub replayed: Option<(SegmentNumber, u64)>,
    /// Stretches that were searched already. They count where the log ends exactly where one begins.
    pub barren: &'a [Barren],
    /// Go on behind what cannot be read, with the next frame that is whole and in order.
    pub salvage: bool,
}

/// A barrier, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundBarrier {
    /// The core whose log holds it.
    pub core: CoreId,
    /// The epoch that it closes.
    pub epoch: Epoch,
    /// Its content.
    pub barrier: Barrier,
}

/// What lies behind the end and is not part of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Discarded {
    /// Whole frames.
    pub frames: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of these frames.
    pub bytes: u64,
    /// There is something that is neither zero nor of a file's former life, be it a whole frame or not. Of a file that
    /// was used before, what is no frame may differ between the page cache and the medium: then the cache's word counts.
    pub residue: bool,
}

/// A stretch that salvage passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First position that cannot be read.
    pub from: LogPosition,
    /// Where reading went on; for the last gap of a log, how far proofs say that it reached.
    pub to: Option<LogPosition>,
    /// What stood at `from`: the column of `FORMAT.md#verdicts`.
    pub finding: Finding,
    /// The same, with the detail for messages.
    pub reason: String,
}

/// Where the first entry above an epoch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch of the frame there.
    pub epoch: Epoch,
    /// Where it stands.
    pub position: LogPosition,
    /// It is a frame of entries, not a barrier.
    pub has_entries: bool,
    /// Epoch and timestamp of what stands before.
    pub before: Order,
}

/// How a core's log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// First position that is not part of the log.
    pub position: LogPosition,
    /// What stands there.
    pub reason: StopReason,
    /// The row of `FORMAT.md#verdicts`.
    pub row: Row,
    /// The farthest proof of what had been durable, if there is any.
    pub evidence: Option<Evidence>,
}

/// All that one pass over a core's files tells.
#[derive(Clone, Debug)]
pub struct CoreScan {
    /// The core.
    pub core: CoreId,
    /// Where the log begins.
    pub begin: LogPosition,
    /// Without a start position: the log's first segments are gone, and it goes on with this sequence number.
    pub begins_later: Option<Sequence>,
    /// First position that is not part of the log.
    pub end: LogPosition,
    /// What stands there.
    pub reason: StopReason,
    /// What an entry appended at `end` must follow from.
    pub order: Order,
    /// What can be read, in order.
    pub spans: Vec<Span>,
    /// Proofs by this core's own files and the start position.
    pub proofs: Vec<Evidence>,
    /// The barriers found, also behind the end; of those whose epoch is durable, the last. In salvage, all of them.
    pub barriers: Vec<FoundBarrier>,
    /// Highest epoch that a barrier in this log records as durable on every core.
    pub durable_epoch: Option<Epoch>,
    pub(crate) keep_barriers: bool,
    /// By segment headers: entries from this sequence number on have at least this epoch.
    pub bounds: Vec<(Sequence, Epoch)>,
    /// The highest epoch that a resumption's header in this log says to be over.
    pub resumed_above: Option<Epoch>,
    /// First frame of every epoch, ascending, up to `end`.
    pub epoch_starts: Vec<EpochStart>,
    /// What lies behind the end.
    pub discarded: Discarded,
    /// What salvage passed over.
    pub gaps: Vec<Gap>,
    /// Per segment, ascending, as far as it was read.
    pub segments: Vec<SegmentStats>,
    /// Files made ahead of use that hold nothing of this log.
    pub prepared: Vec<SegmentNumber>,
    /// Files above the end whose header block is damaged.
    pub damaged: Vec<SegmentNumber>,
    /// Files given up after a failed sync.
    pub superseded: Vec<SegmentNumber>,
    /// Files below the checkpoint's position.
    pub obsolete: Vec<SegmentNumber>,
    /// Highest epoch named anywhere, also behind the end.
    pub max_epoch: Option<Epoch>,
    /// Highest timestamp named anywhere, also behind the end.
    pub max_timestamp: u64,
    /// There is a segment with a header, or a checkpoint's position.
    pub exists: bool,
    /// Bytes read.
    pub bytes_read: u64,
}

impl Ending {
    /// What the row means.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.row.verdict()
    }
}

impl CoreScan {
    /// Scans the files of one core (`segments`, ascending).
    ///
    /// # Errors
    /// As of [`Chain::find`], and [`ReadError::Io`] from reading. Damage is not an error here: see
    /// [`Self::ending`].
    pub fn run(
        source: &dyn Source,
        log_id: LogId,
        core: CoreId,
        segments: &[SegmentNumber],
        options: &ScanOptions<'_>,
    ) -> Result<Self, ReadError> {
        let released = |core, segment| options.released.is_some_and(|released| released(core, segment));
        let chain = Chain::find(source, log_id, core, segments, options.start, &released)?;
        let mut scanner = Scanner::new(source, log_id, core, chain, options);
        scanner.run()?;
        Ok(scanner.finish())
    }

    /// How the log ends, given what barriers prove of it ([`Witnesses::proof`](crate::Witnesses::proof)).
    #[must_use]
    pub fn ending(&self, witness: Option<Evidence>) -> Ending {
        let proofs = self.proofs.iter().copied().chain(witness).collect::<Vec<_>>();
        let evidence = Evidence::strongest(&proofs, &self.end);
        let short = evidence.is_some_and(|evidence| evidence.is_beyond(&self.end));
        let row = Row::of(self.reason.finding(), short);
        Ending { position: self.end, reason: self.reason.clone(), row, evidence }
    }

    /// The error that a strict reader makes of an ending whose verdict is one.
    #[must_use]
    pub fn defect(&self, source: &dyn Source, ending: &Ending) -> ReadError {
        let sequence_end = ending.evidence.and_then(|evidence| match evidence.reach {
            Reach::Sequence(sequence) => Some(sequence),
            Reach::Place(..) => None,
        });
        let defect = Box::new(Defect {
            path: source.path(&segment_name(self.core, ending.position.segment)),
            core: self.core,
            segment: ending.position.segment,
            offset: ending.position.offset,
            sequence: ending.position.sequence,
            sequence_end,
            evidence: ending.evidence,
            reason: ending.reason.to_string(),
        });
        if ending.verdict() == Verdict::Corrupt {
            ReadError::Corrupt(defect)
        } else {
            ReadError::Missing(defect)
        }
    }

    /// The first frame of an epoch above `epoch` (`None`: of any): where a log that is cut at an epoch ends.
    #[must_use]
    pub fn cut_above(&self, epoch: Option<Epoch>) -> Option<&EpochStart> {
        self.epoch_starts.iter().find(|start| epoch.is_none_or(|epoch| start.epoch > epoch))
    }
}

impl CoreScan {
    pub(crate) fn note_frame(&mut self, header: &FrameHeader, payload: &[u8], last_timestamp: u64) {
        self.max_epoch = self.max_epoch.max(Some(header.epoch));
        self.max_timestamp = self.max_timestamp.max(last_timestamp).max(header.base_timestamp);
        if header.kind == FrameKind::Barrier
            && let Ok(barrier) = Barrier::decode(payload)
        {
            self.max_epoch = self.max_epoch.max(Some(barrier.durable_epoch));
            self.durable_epoch = self.durable_epoch.max(Some(barrier.durable_epoch));
            self.barriers.push(FoundBarrier { core: self.core, epoch: header.epoch, barrier });
            self.forget_barriers();
        }
    }

    /// Of the barriers of durable epochs the last one says all: keeps memory bounded on a log of many epochs.
    fn forget_barriers(&mut self) {
        let durable = self.durable_epoch;
        let spent = |pair: &[FoundBarrier]| Some(pair[1].epoch) <= durable && pair[0].epoch <= pair[1].epoch;
        let count = self.barriers.windows(2).take_while(|pair| spent(pair)).count();
        if !self.keep_barriers {
            self.barriers.drain(..count);
        }
    }

    pub(crate) fn note_epoch_start(&mut self, header: &FrameHeader, position: LogPosition, before: Order) {
        let counts = matches!(header.kind, FrameKind::Data | FrameKind::Barrier);
        let is_new = self.epoch_starts.last().is_none_or(|last| header.epoch > last.epoch);
        if counts && is_new {
            let has_entries = header.kind == FrameKind::Data;
            self.epoch_starts.push(EpochStart { epoch: header.epoch, position, has_entries, before });
        }
    }
}
