//! The drain: published bytes of the ring become frames in segments.
//!
//! Decides nothing about when: [`crate::log::CoreLog`] calls it under its lock. Promises that what it wrote is
//! exactly what was appended, in order, one epoch a frame, batches whole; that it can start again from the last
//! durable point after a failed sync; and that a ring byte is given back only when the retention policy allows.
//!
//! # Shared state
//!
//! The [`Drain`] itself is one thread's at a time: whoever holds the log's lock `drain`. Through it that thread touches
//!
//! * the ring: reads what is published (Acquire of its tail), gives bytes back (Release of its head): `ring.rs`;
//! * `seal_before`, Relaxed: read after a record of epoch e was seen. Who wrote that record had read e from the global
//!   epoch, and the request for a seal below e had been stored before e was (`pin.rs`). So the request is seen, through
//!   the epoch's Release and Acquire and the tail's. For a barrier of epoch e, who closed e asks for it here, and closed
//!   it after the request under the coordinator's lock of closes;
//! * its core's spare segment, under the supply's lock of this core: `supply.rs`;
//! * files: written here, and synced by the holder of the gate without this lock (`ticket.rs` says what counts then).
//!
//! No loop here waits: each round of `write_published` consumes a record of what was published when it began.

mod record;
mod repeat;
mod space;
mod ticket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wal_format::limits::{FRAME_HEADER_BYTES, frame_aligned};
use wal_format::{
    Barrier, CoreId, Epoch, FrameKind, LogId, Origin, Previous, SegmentHeader, SegmentNumber, Sequence,
};

use self::record::{EPOCH_RECORD, LARGE_RECORD, Span, u64_at};
pub(crate) use self::record::{EPOCH_RECORD_BYTES, LARGE_RECORD_BYTES, Large, write_epoch, write_large};
use self::repeat::Cut;
use crate::error::WriterError;
use crate::flaw::Flaw;
use crate::options::Retention;
use crate::parts::LogParts;
use crate::position::{SealedAt, SegmentPosition};
use crate::ring::{Consumer, WRAP};
use crate::segment::{FrameFields, SegmentWriter};
use crate::stall::{self, Place};
use crate::storage::StorageFile;
use crate::supply::SegmentSupply;
use crate::sync::AtomicU64;
use crate::tally::Tallies;
use crate::trace;

/// How far the drain has come, in all the numbers that depend on it.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    /// In the ring.
    position: u64,
    sequence: Sequence,
    timestamp: u64,
    epoch: Epoch,
    /// Index of the next large batch.
    large: u64,
    /// Encoded bytes of the entries before.
    payload_bytes: u64,
}

/// What went wrong in a drain, by what it means for the bytes.
#[derive(Debug)]
pub(crate) enum DrainError {
    /// No segment to write to. Nothing is in doubt; try again later.
    NoSegment(WriterError),
    /// A write to the current segment failed: its bytes beyond the last durable offset are in doubt.
    InDoubt(WriterError),
}

/// A rotated-out segment that was written but not yet synced.
struct Unsynced {
    file: Arc<dyn StorageFile>,
    name: String,
    /// Where its frames end.
    end: u64,
}

/// The consumer half of a core's log.
pub(crate) struct Drain {
    log_id: LogId,
    core: CoreId,
    retention: Retention,
    supply: Arc<SegmentSupply>,
    consumer: Consumer,
    pub(crate) large: VecDeque<Large>,
    written: Cursor,
    durable: Cursor,
    durable_position: SegmentPosition,
    /// How a segment refers to that position.
    durable_link: Option<Previous>,
    /// Every entry below is in a file, not only in a segment's buffer.
    flushed: Sequence,
    /// Every entry below was in a file that was given up since.
    repeated: Sequence,
    /// Where what is being repeated is to be cut, once it is whole again.
    cut: Option<Cut>,
    /// Ring position up to which the writer may append without asking again.
    granted: u64,
    segment: Option<SegmentWriter>,
    unsynced: Vec<Unsynced>,
    /// How the next segment is to begin.
    link: Option<Previous>,
    origin: Origin,
    sealed_at: SealedAt,
    /// A write failed: nothing more goes to that file, until `rewind`.
    doubt: Option<WriterError>,
    seal_before: Arc<AtomicU64>,
    tallies: Arc<Tallies>,
    /// A file was given up, and no sync has succeeded since.
    is_continuing: bool,
}

impl Drain {
    pub(crate) fn new(
        parts: &LogParts,
        consumer: Consumer,
        seal_before: Arc<AtomicU64>,
        tallies: Arc<Tallies>,
    ) -> Self {
        let start = &parts.start;
        let cursor = Cursor {
            position: 0,
            sequence: start.sequence,
            timestamp: start.timestamp_ns,
            epoch: start.epoch,
            large: 0,
            payload_bytes: 0,
        };
        let link = start.end.map(|end| Previous {
            segment: end.segment,
            end: end.offset,
            synced_through: end.offset,
        });
        let nowhere = SegmentPosition { segment: SegmentNumber(0), offset: 0, sequence: start.sequence };
        Self {
            log_id: parts.log_id,
            core: parts.core,
            retention: parts.options.retention,
            supply: Arc::clone(&parts.supply),
            consumer,
            large: VecDeque::new(),
            written: cursor,
            durable: cursor,
            durable_position: start.end.unwrap_or(nowhere),
            durable_link: link,
            flushed: start.sequence,
            repeated: start.sequence,
            cut: None,
            granted: 0,
            segment: None,
            unsynced: Vec::new(),
            link,
            origin: if start.end.is_some() { Origin::Resumption } else { Origin::First },
            sealed_at: SealedAt::default(),
            doubt: None,
            seal_before,
            tallies,
            is_continuing: false,
        }
    }

    /// Every entry below is in a file. Goes back when a file is given up.
    pub(crate) fn flushed_sequence(&self) -> Sequence {
        self.flushed
    }

    /// Ring position up to which entries were published.
    pub(crate) fn published(&self) -> u64 {
        self.consumer.published()
    }

    /// Ring position up to which entries were written.
    pub(crate) fn position(&self) -> u64 {
        self.written.position
    }

    /// Ring position up to which bytes were given back.
    pub(crate) fn released(&self) -> u64 {
        self.consumer.released()
    }

    /// Where the last completed sync ends.
    pub(crate) fn durable_position(&self) -> SegmentPosition {
        self.durable_position
    }

    /// First sequence number that is not durable.
    pub(crate) fn durable_sequence(&self) -> Sequence {
        self.durable.sequence
    }

    /// Starts the first segment now, so that its header (where the log before it ends) is written with the next sync.
    pub(crate) fn begin(&mut self) -> Result<(), DrainError> {
        if self.segment.is_none() { self.start_segment(0) } else { Ok(()) }
    }

    /// Writes everything that is published to files.
    pub(crate) fn write_out(&mut self) -> Result<(), DrainError> {
        self.write_some(u64::MAX)
    }

    /// Writes about `bytes_max` bytes of what is published to files: at most a frame more.
    pub(crate) fn write_some(&mut self, bytes_max: u64) -> Result<(), DrainError> {
        if let Some(doubt) = &self.doubt {
            return Err(DrainError::InDoubt(doubt.clone()));
        }
        let result = self.write_published(bytes_max);
        if let Err(DrainError::InDoubt(error)) = &result
            && !Flaw::ForgetsDoubt.is_planted()
        {
            self.doubt = Some(error.clone());
            self.tallies.write_failures.add(1);
            trace::write_failed(self.core, error);
        }
        result
    }

    fn write_published(&mut self, bytes_max: u64) -> Result<(), DrainError> {
        let published = self.consumer.published();
        let stop = published.min(self.written.position.saturating_add(bytes_max));
        let mut result = Ok(());
        // What is repeated goes to its file in one go, so that the header can follow it: `repeat.rs`. It has been published,
        // since a drain before this one wrote it.
        while (self.written.position < stop || self.is_repeating()) && result.is_ok() {
            result = self.step(published).and_then(|()| self.cut_repeated());
            stall::at(Place::Draining);
        }
        // Without a next segment, what went before still goes to its file.
        if !matches!(result, Err(DrainError::InDoubt(_))) {
            self.flush()?;
        }
        let until_written = self.retention == Retention::UntilWritten || Flaw::ReleasesWritten.is_planted();
        if until_written && self.flushed == self.written.sequence {
            self.release(self.written);
        }
        result
    }

    /// Adds the barrier of `epoch`, after whatever is written. Without space for it, nothing is lost, try again.
    ///
    /// It never stands before the seal of an earlier epoch, also if that one's end comes later: a checkpoint makes
    /// everything before its seal superfluous, and the barrier may be all that is ever written of its epoch.
    pub(crate) fn barrier(&mut self, epoch: Epoch, barrier: &Barrier) -> Result<(), DrainError> {
        let seal_before = Epoch(self.seal_before.load(Relaxed));
        if epoch >= seal_before {
            self.seal(seal_before)?;
        }
        let payload = barrier.encode();
        let frame_bytes = frame_bytes(payload.len());
        let has_room = self.segment.as_ref().is_some_and(|segment| segment.room() >= frame_bytes);
        if !has_room {
            let ensured = self.supply.ensure(self.core, segment_bytes_around(frame_bytes));
            ensured.map_err(DrainError::NoSegment)?;
        }
        self.room_for(payload.len())?;
        let fields = FrameFields {
            kind: FrameKind::Barrier,
            entry_count: 0,
            epoch,
            first_sequence: self.written.sequence,
            base_timestamp: self.written.timestamp,
        };
        self.append(&fields, &payload)?;
        self.flush()?;
        stall::at(Place::BarrierWritten);
        Ok(())
    }

    /// Seals the current segment if it holds entries below `epoch`; the next entry starts a new one. Returns where
    /// the log of everything below `epoch` ends: a later call for the same epoch returns the same.
    pub(crate) fn seal(&mut self, epoch: Epoch) -> Result<SealedAt, DrainError> {
        if self.sealed_at.before < epoch {
            if self.segment.as_ref().is_some_and(SegmentWriter::has_entries) {
                self.rotate()?;
            }
            self.sealed_at = SealedAt {
                before: epoch,
                end: self.written_position(),
                is_complete: self.segment.is_none(),
                timestamp_ns: self.written.timestamp,
                epoch: self.written.epoch,
                has_barrier: false,
            };
        }
        Ok(self.sealed_at)
    }

    /// What [`Drain::seal`] returns for this epoch, if that one is made.
    pub(crate) fn sealed(&self, epoch: Epoch) -> Option<SealedAt> {
        Some(self.sealed_at).filter(|sealed| sealed.before == epoch)
    }

    /// Where the log ends, as written: the end of the current segment, or of the one before if none is begun.
    pub(crate) fn written_position(&self) -> Option<SegmentPosition> {
        let sequence = self.written.sequence;
        match (&self.segment, self.link) {
            (Some(segment), _) => {
                Some(SegmentPosition { segment: segment.number(), offset: segment.end(), sequence })
            }
            (None, Some(link)) => Some(SegmentPosition { segment: link.segment, offset: link.end, sequence }),
            (None, None) => None,
        }
    }

    /// One ring record, or one frame of entries.
    fn step(&mut self, published: u64) -> Result<(), DrainError> {
        let bytes = self.consumer.readable(self.written.position, published);
        match bytes[0] {
            WRAP => self.written.position = self.consumer.after_wrap(self.written.position),
            EPOCH_RECORD => {
                let epoch = Epoch(u64_at(bytes, 1));
                let seal_before = Epoch(self.seal_before.load(Relaxed));
                if epoch >= seal_before && !Flaw::IgnoresSealRequest.is_planted() {
                    self.seal_requested(seal_before)?;
                }
                self.written.epoch = epoch;
                self.written.position += EPOCH_RECORD_BYTES as u64;
            }
            LARGE_RECORD => {
                let (index, timestamp) = (u64_at(bytes, 1), u64_at(bytes, 9));
                self.large_frame(index, timestamp)?;
            }
            _ => self.data_frame(published)?,
        }
        Ok(())
    }

    /// As many whole batches as make one frame.
    fn data_frame(&mut self, published: u64) -> Result<(), DrainError> {
        let span = Span::measure(self.consumer.readable(self.written.position, published));
        self.room_for(span.bytes)?;
        let payload = &self.consumer.readable(self.written.position, published)[..span.bytes];
        let fields = FrameFields {
            kind: FrameKind::Data,
            entry_count: span.entries,
            epoch: self.written.epoch,
            first_sequence: self.written.sequence,
            base_timestamp: self.written.timestamp,
        };
        let segment = self.segment.as_mut().unwrap_or_else(|| unreachable!("room_for started one"));
        segment.append(&fields, payload).map_err(|error| in_doubt(&self.supply, segment, error))?;
        self.written.position += span.bytes as u64;
        self.written.payload_bytes += span.bytes as u64;
        self.written.sequence = self.written.sequence.plus(u64::from(span.entries));
        self.written.timestamp += span.timestamp_delta;
        Ok(())
    }

    fn large_frame(&mut self, index: u64, timestamp: u64) -> Result<(), DrainError> {
        self.room_for(large_at(&self.large, index).payload.len())?;
        let large = large_at(&self.large, index);
        let entries = large.entry_count;
        let fields = FrameFields {
            kind: FrameKind::Data,
            entry_count: entries,
            epoch: self.written.epoch,
            first_sequence: self.written.sequence,
            // The batch was encoded with delta 0, before its timestamp was known.
            base_timestamp: timestamp,
        };
        let segment = self.segment.as_mut().unwrap_or_else(|| unreachable!("room_for started one"));
        segment.append(&fields, &large.payload).map_err(|error| in_doubt(&self.supply, segment, error))?;
        self.written.position += LARGE_RECORD_BYTES as u64;
        self.written.payload_bytes += large.payload.len() as u64;
        self.written.sequence = self.written.sequence.plus(u64::from(entries));
        self.written.timestamp = timestamp;
        self.written.large = index + 1;
        Ok(())
    }

    fn append(&mut self, fields: &FrameFields, payload: &[u8]) -> Result<(), DrainError> {
        let segment = self.segment.as_mut().unwrap_or_else(|| unreachable!("room_for started one"));
        segment.append(fields, payload).map_err(|error| in_doubt(&self.supply, segment, error))
    }

    fn flush(&mut self) -> Result<(), DrainError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.flush().map_err(|error| in_doubt(&self.supply, segment, error))?;
        self.all_flushed();
        Ok(())
    }

    /// All that was drained is in files.
    fn all_flushed(&mut self) {
        self.flushed = self.written.sequence;
        // No sum: what is written again after a failed sync has been counted.
        self.tallies.payload_bytes.raise(self.written.payload_bytes);
    }

    /// Makes the current segment one that can hold a frame with this payload.
    fn room_for(&mut self, payload_bytes: usize) -> Result<(), DrainError> {
        let frame_bytes = frame_bytes(payload_bytes);
        match &self.segment {
            Some(segment) if segment.room() >= frame_bytes => return Ok(()),
            Some(segment) if segment.has_frames() => self.rotate()?,
            // Too small even when empty: passed over, by a successor with the same link.
            _ => self.segment = None,
        }
        if self.segment.is_none() {
            self.start_segment(frame_bytes)?;
        }
        Ok(())
    }

    /// Seals the current segment, if there is one.
    fn rotate(&mut self) -> Result<(), DrainError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment
            .seal(self.written.sequence, self.written.timestamp, self.written.epoch)
            .map_err(|error| in_doubt(&self.supply, segment, error))?;
        stall::at(Place::SegmentSealed);
        self.link = Some(segment.link());
        self.origin = Origin::Rotation;
        self.unsynced.push(Unsynced {
            file: Arc::clone(segment.file()),
            name: segment.name().to_owned(),
            end: segment.end(),
        });
        self.tallies.rotations.add(1);
        self.all_flushed();
        self.segment = None;
        Ok(())
    }

    fn start_segment(&mut self, frame_bytes: u64) -> Result<(), DrainError> {
        let needed = segment_bytes_around(frame_bytes.max(self.repeated_bytes()));
        let spare = self.supply.take(self.core, needed).map_err(DrainError::NoSegment)?;
        stall::at(Place::SegmentTaken);
        let header = SegmentHeader {
            log_id: self.log_id,
            core: self.core,
            segment: spare.number,
            origin: self.origin,
            first_sequence: self.written.sequence,
            epoch: self.written.epoch,
            last_timestamp: self.written.timestamp,
            previous: self.link,
        };
        let tallies = Arc::clone(&self.tallies);
        self.segment = Some(SegmentWriter::new(spare, header, self.is_repeating(), tallies));
        Ok(())
    }

    fn release(&mut self, to: Cursor) {
        while self.large.front().is_some_and(|large| large.index < to.large) {
            self.large.pop_front();
        }
        if to.position > self.consumer.released() {
            // The fill only grows between two releases, so it is highest right before one. Not for the checkers: a look
            // more at the tail would only multiply their schedules, and might hide what another lacks.
            if !cfg!(any(loom, shuttle)) {
                self.tallies.ring_fill_bytes_max.raise(self.consumer.fill());
            }
            self.consumer.release(to.position);
        }
    }
}

fn large_at(all: &VecDeque<Large>, index: u64) -> &Large {
    let found = all.iter().find(|large| large.index == index);
    found.unwrap_or_else(|| unreachable!("kept until released"))
}

fn in_doubt(supply: &SegmentSupply, segment: &SegmentWriter, error: std::io::Error) -> DrainError {
    DrainError::InDoubt(WriterError::io("write", supply.storage().path(segment.name()), error))
}

fn frame_bytes(payload_bytes: usize) -> u64 {
    (FRAME_HEADER_BYTES + frame_aligned(payload_bytes)) as u64
}

/// A segment that holds one frame of this size.
fn segment_bytes_around(frame_bytes: u64) -> u64 {
    frame_bytes + space::SEGMENT_OVERHEAD_BYTES
}
