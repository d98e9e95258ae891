//! Lays out the new log: identity, checkpoint, every core's entries, and a close over all of them.

use std::path::Path;
use std::sync::Arc;

use wal_format::entry::entry_bytes;
use wal_format::limits::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_TARGET, HEADER_BLOCK_BYTES, frame_aligned};
use wal_format::{
    Barrier, CorePosition, EntryEncoder, EntryRef, Epoch, FileName, FrameKind, LogId, Manifest, Meta,
    OperationRef, Origin, Previous, RunHeader, RunMeta, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
    names,
};
use wal_reader::Source;

use super::SalvageError;
use super::frame_file::{FrameFile, Label, write_file};
use super::report::{SalvageReport, SalvagedCore};
use crate::error::{BoxError, RecoveryError};
use crate::plan::Plan;
use crate::replay::{Replay, replay_state};

/// Writes everything into `place`, an empty directory. All files are durable on return, their names are not.
pub(super) fn write(
    source: &Arc<dyn Source>,
    plan: &Plan,
    report: &mut SalvageReport,
    place: &Path,
    segment_bytes_max: u64,
) -> Result<(), SalvageError> {
    let meta = Meta { log_id: report.log_id }.encode();
    write_file(&place.join(names::META), &meta)?;
    let run = write_run(source, plan, report, place)?;
    let cuts = report.cores.iter().map(|core| (core.core, core.next_sequence)).collect();
    // No epoch that was ever named is used again.
    let last = Epoch(plan.resume.next_epoch.0.saturating_sub(1));
    let barrier = Barrier { durable_epoch: last, cuts };
    let mut bytes = meta.len() as u64 + run.map_or(0, |run| run.length);
    for core in &report.cores {
        let mut log = CoreLog::begin(plan, core, report.log_id, place, segment_bytes_max)?;
        let mut reader = plan.reader(source, core.core);
        while reader.advance().map_err(RecoveryError::from)? {
            log.entry(&reader.entry(), reader.more_of_batch())?;
        }
        bytes += log.finish(&barrier, plan.resume.timestamp_floor)?;
    }
    if let Some(manifest) = manifest(plan, report, run) {
        let encoded = manifest.encode();
        bytes += encoded.len() as u64;
        write_file(&place.join(names::MANIFEST), &encoded)?;
    }
    report.bytes_written = bytes;
    Ok(())
}

/// The checkpoint's state as one run, if it is here at all.
fn write_run(
    source: &Arc<dyn Source>,
    plan: &Plan,
    report: &mut SalvageReport,
    place: &Path,
) -> Result<Option<RunMeta>, SalvageError> {
    let Some(manifest) = plan.manifest.as_ref().filter(|manifest| !manifest.runs.is_empty()) else {
        return Ok(None);
    };
    let header = RunHeader { log_id: report.log_id, run: 0, epoch: manifest.epoch };
    let path = place.join(FileName::Run(header.run).to_string());
    let file = FrameFile::create(path, header.encode(), header.seed(), false)?;
    let mut run =
        Run { file, epoch: manifest.epoch, payload: Vec::new(), pending: 0, entries: 0, failed: None };
    let replayed = replay_state(source, plan, &mut run);
    if let Some(error) = run.failed {
        return Err(error);
    }
    report.recovery.problems.extend(replayed?);
    run.close_frame()?;
    let digest = run.file.seal(manifest.epoch, Sequence(run.entries), 0)?;
    report.checkpoint_keys = run.entries;
    let length = run.file.finish()?;
    Ok(Some(RunMeta { run: header.run, entries: run.entries, length, digest, epoch: manifest.epoch }))
}

/// Takes the checkpoint's keys, ascending.
struct Run {
    file: FrameFile,
    epoch: Epoch,
    payload: Vec<u8>,
    pending: u32,
    entries: u64,
    failed: Option<SalvageError>,
}

impl Run {
    fn close_frame(&mut self) -> Result<(), SalvageError> {
        if self.pending == 0 {
            return Ok(());
        }
        let label = Label {
            kind: FrameKind::Data,
            epoch: self.epoch,
            entries: self.pending,
            first_sequence: Sequence(self.entries - u64::from(self.pending)),
            base_timestamp: 0,
        };
        self.file.frame(label, &self.payload)?;
        self.pending = 0;
        self.payload.clear();
        Ok(())
    }
}

impl Replay for Run {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        let operation = OperationRef::Put { key, value };
        if self.payload.len() + entry_bytes(0, &operation) > FRAME_PAYLOAD_BYTES_TARGET
            && let Err(error) = self.close_frame()
        {
            self.failed = Some(error);
            return Err("writing failed".into());
        }
        push(&mut self.payload, false, 0, &operation);
        self.pending += 1;
        self.entries += 1;
        Ok(())
    }

    fn entry(&mut self, _entry: &EntryRef<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}

/// One core's new log, open at its end.
struct CoreLog<'a> {
    place: &'a Path,
    header: SegmentHeader,
    file: FrameFile,
    segment_bytes_max: u64,
    /// Bytes of the segments that are finished.
    bytes: u64,
    /// Number of the next entry that goes into a frame.
    next: Sequence,
    /// Of the last entry.
    timestamp: u64,
    epoch: Epoch,
    /// The open frame: its first `batch_at` bytes and `entries` entries are whole batches.
    payload: Vec<u8>,
    batch_at: usize,
    entries: u32,
    batch_entries: u32,
    /// Timestamps before the open frame, and at `batch_at`.
    base_timestamp: u64,
    batch_timestamp: u64,
}

impl<'a> CoreLog<'a> {
    fn begin(
        plan: &Plan,
        core: &SalvagedCore,
        log_id: LogId,
        place: &'a Path,
        segment_bytes_max: u64,
    ) -> Result<Self, SalvageError> {
        let before = plan.manifest.as_ref().and_then(|manifest| manifest.core(core.core));
        let header = SegmentHeader {
            log_id,
            core: core.core,
            segment: SegmentNumber(0),
            origin: Origin::First,
            first_sequence: core.first_sequence,
            epoch: before.map_or(Epoch(0), |before| before.last_epoch),
            last_timestamp: before.map_or(0, |before| before.last_timestamp),
            previous: None,
        };
        Ok(Self {
            place,
            file: create(place, &header)?,
            segment_bytes_max,
            bytes: 0,
            next: core.first_sequence,
            timestamp: header.last_timestamp,
            epoch: header.epoch,
            payload: Vec::new(),
            batch_at: 0,
            entries: 0,
            batch_entries: 0,
            base_timestamp: header.last_timestamp,
            batch_timestamp: header.last_timestamp,
            header,
        })
    }

    fn entry(&mut self, entry: &EntryRef<'_>, more: bool) -> Result<(), SalvageError> {
        if entry.epoch != self.epoch {
            self.close_frame()?;
            self.epoch = entry.epoch;
        }
        let delta = entry.timestamp_ns.checked_sub(self.timestamp).ok_or_else(|| SalvageError::Differs {
            path: self.place.to_owned(),
            what: format!("core {} steps back in time at sequence {}", entry.core_id, entry.sequence),
        })?;
        push(&mut self.payload, more, delta, &entry.operation);
        self.timestamp = entry.timestamp_ns;
        self.batch_entries += 1;
        if more {
            return Ok(());
        }
        // A batch that would make the frame too large goes into the next one.
        if self.payload.len() > FRAME_PAYLOAD_BYTES_TARGET {
            self.close_frame()?;
        }
        self.entries += std::mem::take(&mut self.batch_entries);
        self.batch_at = self.payload.len();
        self.batch_timestamp = self.timestamp;
        Ok(())
    }

    /// Writes the whole batches of the open frame. A batch behind them opens the next.
    fn close_frame(&mut self) -> Result<(), SalvageError> {
        if self.entries == 0 {
            return Ok(());
        }
        let frame_bytes = FRAME_HEADER_BYTES + frame_aligned(self.batch_at);
        // A frame that has no room in any segment gets one of its own.
        if self.has_frames() && self.file.offset() + frame_bytes as u64 > self.segment_bytes_max {
            self.rotate(self.base_timestamp, self.base_timestamp)?;
        }
        let label = Label {
            kind: FrameKind::Data,
            epoch: self.epoch,
            entries: self.entries,
            first_sequence: self.next,
            base_timestamp: self.base_timestamp,
        };
        self.file.frame(label, &self.payload[..self.batch_at])?;
        self.payload.drain(..self.batch_at);
        self.next = self.next.plus(u64::from(self.entries));
        (self.batch_at, self.entries) = (0, 0);
        self.base_timestamp = self.batch_timestamp;
        Ok(())
    }

    /// Whether anything stands in the open segment.
    fn has_frames(&self) -> bool {
        self.file.offset() > HEADER_BLOCK_BYTES as u64
    }

    /// Seals the segment, whose last entry is of `timestamp`, and begins the next: it says of the one before that all of
    /// it is durable, and that no entry will come from before `floor`.
    fn rotate(&mut self, timestamp: u64, floor: u64) -> Result<(), SalvageError> {
        self.file.seal(self.epoch, self.next, timestamp)?;
        let end = self.file.offset();
        let previous = Previous { segment: self.header.segment, end, synced_through: end };
        self.header = SegmentHeader {
            segment: self.header.segment.next(),
            origin: Origin::Rotation,
            first_sequence: self.next,
            epoch: self.epoch,
            last_timestamp: floor,
            previous: Some(previous),
            ..self.header
        };
        let file = create(self.place, &self.header)?;
        self.bytes += std::mem::replace(&mut self.file, file).finish()?;
        Ok(())
    }

    /// Closes the log: a last segment whose header and barrier prove all before. Returns the bytes of the log.
    fn finish(mut self, barrier: &Barrier, timestamp_floor: u64) -> Result<u64, SalvageError> {
        self.close_frame()?;
        if self.has_frames() {
            self.rotate(self.timestamp, self.timestamp.max(timestamp_floor))?;
        }
        if barrier.durable_epoch > Epoch(0) {
            let label = Label {
                kind: FrameKind::Barrier,
                epoch: barrier.durable_epoch,
                entries: 0,
                first_sequence: self.next,
                base_timestamp: self.timestamp.max(timestamp_floor),
            };
            self.file.frame(label, &barrier.encode())?;
        }
        Ok(self.bytes + self.file.finish()?)
    }
}

fn create(place: &Path, header: &SegmentHeader) -> Result<FrameFile, SalvageError> {
    let path = place.join(FileName::Segment(header.core, header.segment).to_string());
    let seed = SegmentSeed::new(header.log_id, header.core, header.segment);
    FrameFile::create(path, header.encode(), seed, true)
}

fn push(payload: &mut Vec<u8>, more: bool, timestamp_delta: u64, operation: &OperationRef<'_>) {
    let from = payload.len();
    payload.resize(from + entry_bytes(timestamp_delta, operation), 0);
    EntryEncoder::new(&mut payload[from..]).entry(more, timestamp_delta, operation);
}

/// The new log's checkpoint; `None` if nothing needs one: no state, and all numbers begin with 0.
fn manifest(plan: &Plan, report: &SalvageReport, run: Option<RunMeta>) -> Option<Manifest> {
    let before = plan.manifest.as_ref();
    if before.is_none() && report.cores.iter().all(|core| core.first_sequence == Sequence(0)) {
        return None;
    }
    let position = |core: &SalvagedCore| {
        let before = before.and_then(|manifest| manifest.core(core.core));
        CorePosition {
            core: core.core,
            segment: SegmentNumber(0),
            offset: HEADER_BLOCK_BYTES as u64,
            sequence: core.first_sequence,
            last_timestamp: before.map_or(0, |before| before.last_timestamp),
            last_epoch: before.map_or(Epoch(0), |before| before.last_epoch),
        }
    };
    Some(Manifest {
        log_id: report.log_id,
        external: report.external,
        // Without a checkpoint, one of the epoch that is over before anything is written.
        epoch: before.map_or(Epoch(0), |manifest| manifest.epoch),
        created_ns: before.map_or(0, |manifest| manifest.created_ns),
        cores: report.cores.iter().map(position).collect(),
        offsets: before.map_or_else(Vec::new, |manifest| manifest.offsets.clone()),
        watermarks: before.map_or_else(Vec::new, |manifest| manifest.watermarks.clone()),
        next_run: run.map_or(0, |run| run.run + 1),
        runs: run.into_iter().collect(),
    })
}
