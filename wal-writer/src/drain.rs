//! The drain: published bytes of the ring become frames in segments.
//!
//! Decides nothing about when: [`crate::log::CoreLog`] calls it under its lock. Promises that what it wrote is
//! exactly what was appended, in order, one epoch a frame, batches whole; that it can start again from the last
//! durable point after a failed sync; and that a ring byte is given back only when the retention policy allows.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use wal_format::limits::{FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_TARGET, frame_aligned};
use wal_format::{
    Barrier, CoreId, EntryDecoder, Epoch, FrameKind, LogId, Origin, Previous, SegmentHeader, SegmentNumber,
    Sequence,
};

use crate::error::WriterError;
use crate::log::SegmentPosition;
use crate::options::Retention;
use crate::ring::{Consumer, WRAP};
use crate::segment::{FrameFields, SegmentWriter};
use crate::storage::StorageFile;
use crate::supply::SegmentSupply;
use crate::sync::AtomicU64;

/// Ring record: an epoch begins; 8 bytes of epoch follow. Not an entry: the operation bits of the tag are zero.
pub(crate) const EPOCH_RECORD: u8 = 0x08;
/// Ring record: an entry or batch too large for the ring; 8 bytes of index and 8 of timestamp follow.
pub(crate) const LARGE_RECORD: u8 = 0x10;
pub(crate) const EPOCH_RECORD_BYTES: usize = 9;
pub(crate) const LARGE_RECORD_BYTES: usize = 17;
const OPERATION_BITS: u8 = 0x07;

/// A batch that does not fit the ring, on its way beside it.
pub(crate) struct Large {
    pub(crate) index: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) entry_count: u32,
}

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
}

/// What went wrong in a drain, by what it means for the bytes.
#[derive(Debug)]
pub(crate) enum DrainError {
    /// No segment to write to. Nothing is in doubt; try again later.
    NoSegment(WriterError),
    /// A write to the current segment failed: its bytes beyond the last durable offset are in doubt.
    InDoubt(WriterError),
}

/// Which files a sync must cover, and what is durable once it has.
pub(crate) struct Ticket {
    pub(crate) files: Vec<(Arc<dyn StorageFile>, String)>,
    covered: Cursor,
    position: SegmentPosition,
}

/// A rotated-out segment that was written but not yet synced.
struct Unsynced {
    file: Arc<dyn StorageFile>,
    name: String,
    /// Where the log goes on if this file's sync fails.
    link_if_failed: Option<Previous>,
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
    segment: Option<SegmentWriter>,
    unsynced: Vec<Unsynced>,
    /// How the next segment is to begin.
    link: Option<Previous>,
    origin: Origin,
    sealed_at: SealedAt,
    /// A write failed: nothing more goes to that file, until `rewind`.
    doubt: Option<WriterError>,
    seal_before: Arc<AtomicU64>,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Where the log of all epochs below `before` ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct SealedAt {
    /// Every entry before `end` has a lower epoch, every entry at or after it this epoch or a higher one.
    pub before: Epoch,
    /// The end; `None` if this core never had a segment.
    pub end: Option<SegmentPosition>,
    /// The segment of `end` is sealed and ends there; the log goes on in a later one.
    pub is_complete: bool,
    /// Timestamp of the last entry before the end.
    pub timestamp_ns: u64,
    /// Epoch of the last entry before the end.
    pub epoch: Epoch,
}

/// Where a core's log stands when it is opened.
#[derive(Clone, Copy, Debug)]
pub struct StartAt {
    /// Number of the next entry.
    pub sequence: Sequence,
    /// Timestamp of the last entry.
    pub timestamp_ns: u64,
    /// Epoch of the last entry.
    pub epoch: Epoch,
    /// Where the log ends for good, if there is one.
    pub end: Option<SegmentPosition>,
}

impl Drain {
    pub(crate) fn new(
        log_id: LogId,
        core: CoreId,
        retention: Retention,
        supply: Arc<SegmentSupply>,
        consumer: Consumer,
        start: &StartAt,
        seal_before: Arc<AtomicU64>,
    ) -> Self {
        let cursor = Cursor {
            position: 0,
            sequence: start.sequence,
            timestamp: start.timestamp_ns,
            epoch: start.epoch,
            large: 0,
        };
        let nowhere = SegmentPosition { segment: SegmentNumber(0), offset: 0, sequence: start.sequence };
        Self {
            log_id,
            core,
            retention,
            supply,
            consumer,
            large: VecDeque::new(),
            written: cursor,
            durable: cursor,
            durable_position: start.end.unwrap_or(nowhere),
            segment: None,
            unsynced: Vec::new(),
            link: start.end.map(|end| Previous {
                segment: end.segment,
                end: end.offset,
                synced_through: end.offset,
            }),
            origin: if start.end.is_some() { Origin::Resumption } else { Origin::First },
            sealed_at: SealedAt::default(),
            doubt: None,
            seal_before,
            frames: 0,
            bytes: 0,
        }
    }

    /// Sequence number after the last entry written to a file.
    pub(crate) fn written_sequence(&self) -> Sequence {
        self.written.sequence
    }

    /// Where the last completed sync ends.
    pub(crate) fn durable_position(&self) -> SegmentPosition {
        self.durable_position
    }

    /// First sequence number that is not durable.
    pub(crate) fn durable_sequence(&self) -> Sequence {
        self.durable.sequence
    }

    /// Ring position up to which there is space on the medium.
    pub(crate) fn space_limit(&self) -> u64 {
        let usable = |room: u64| room.saturating_sub(room / 64 + 1024);
        let room = self.segment.as_ref().map_or(0, SegmentWriter::room);
        let spare = self.supply.spare_bytes(self.core);
        self.written.position + usable(room) + usable(spare.saturating_sub(8192))
    }

    /// Starts the first segment now, so that its header (where the log before it ends) is written with the next sync.
    pub(crate) fn begin(&mut self) -> Result<(), DrainError> {
        if self.segment.is_none() { self.start_segment(0) } else { Ok(()) }
    }

    /// Writes everything that is published to files.
    pub(crate) fn write_out(&mut self) -> Result<(), DrainError> {
        if let Some(doubt) = &self.doubt {
            return Err(DrainError::InDoubt(doubt.clone()));
        }
        let result = self.write_published();
        if let Err(DrainError::InDoubt(error)) = &result {
            self.doubt = Some(error.clone());
        }
        result
    }

    fn write_published(&mut self) -> Result<(), DrainError> {
        let published = self.consumer.published();
        while self.written.position < published {
            self.step(published)?;
        }
        self.flush()?;
        if self.retention == Retention::UntilWritten {
            self.release(self.written);
        }
        Ok(())
    }

    /// Adds the barrier of `epoch`, after whatever is written.
    pub(crate) fn barrier(&mut self, epoch: Epoch, barrier: &Barrier) -> Result<(), DrainError> {
        let payload = barrier.encode();
        self.room_for(payload.len())?;
        let fields = FrameFields {
            kind: FrameKind::Barrier,
            entry_count: 0,
            epoch,
            first_sequence: self.written.sequence,
            base_timestamp: self.written.timestamp,
        };
        self.append(&fields, &payload)?;
        self.flush()
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
            };
        }
        Ok(self.sealed_at)
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

    /// What a sync that starts now must cover; `None` if nothing is in doubt.
    pub(crate) fn submit(&self) -> Option<Ticket> {
        let mut files: Vec<_> = self
            .unsynced
            .iter()
            .map(|unsynced| (Arc::clone(&unsynced.file), unsynced.name.clone()))
            .collect();
        if let Some(segment) = self.segment.as_ref().filter(|segment| segment.durable() < segment.end()) {
            files.push((Arc::clone(segment.file()), segment.name().to_owned()));
        }
        let position = self.written_position().filter(|_| !files.is_empty())?;
        Some(Ticket { files, covered: self.written, position })
    }

    /// The sync of `ticket` succeeded: what it covered is durable.
    pub(crate) fn complete(&mut self, ticket: &Ticket) {
        let through = ticket.position.segment;
        if let Some(segment) = self.segment.as_mut().filter(|segment| segment.number() == through) {
            segment.set_durable(ticket.position.offset);
        }
        self.unsynced
            .retain(|unsynced| !ticket.files.iter().any(|(file, _)| Arc::ptr_eq(file, &unsynced.file)));
        if let Some(link) =
            self.link.as_mut().filter(|link| link.segment <= through && self.unsynced.is_empty())
        {
            link.synced_through = link.end;
        }
        self.durable = ticket.covered;
        self.durable_position = ticket.position;
        if self.retention == Retention::UntilDurable {
            self.release(self.durable);
        }
    }

    /// A sync or write failed: forget what is not durable, to write it again to a fresh segment. Only while the ring
    /// still has it.
    pub(crate) fn rewind(&mut self) {
        assert!(self.retention == Retention::UntilDurable, "the bytes are gone from the ring");
        // The chain goes on from the oldest file in doubt: those after it are passed over.
        let current = self.segment.take();
        self.link = match (self.unsynced.first(), &current) {
            (Some(oldest), _) => oldest.link_if_failed,
            (None, Some(segment)) => segment.link(true),
            (None, None) => self.link,
        };
        self.origin = if self.link.is_some() { Origin::Continuation } else { Origin::First };
        self.unsynced.clear();
        self.written = self.durable;
        self.doubt = None;
        // A seal that is durable stands; one that is not is made again.
        let durable = (self.durable_position.segment, self.durable_position.offset);
        if self.sealed_at.end.is_none_or(|end| (end.segment, end.offset) > durable) {
            self.sealed_at = SealedAt::default();
        }
    }

    /// One ring record, or one frame of entries.
    fn step(&mut self, published: u64) -> Result<(), DrainError> {
        let bytes = self.consumer.readable(self.written.position, published);
        match bytes[0] {
            WRAP => self.written.position = self.consumer.after_wrap(self.written.position),
            EPOCH_RECORD => {
                let epoch = Epoch(u64_at(bytes, 1));
                let seal_before = Epoch(self.seal_before.load(Acquire));
                if epoch >= seal_before {
                    self.seal(seal_before)?;
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
        self.frames += 1;
        self.written.position += span.bytes as u64;
        self.written.sequence = self.written.sequence.plus(u64::from(span.entries));
        self.written.timestamp += span.timestamp_delta;
        Ok(())
    }

    fn large_frame(&mut self, index: u64, timestamp: u64) -> Result<(), DrainError> {
        let found = self.large.iter().position(|large| large.index == index);
        let at = found.unwrap_or_else(|| unreachable!("kept until released"));
        self.room_for(self.large[at].payload.len())?;
        let large = &self.large[at];
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
        self.frames += 1;
        self.written.position += LARGE_RECORD_BYTES as u64;
        self.written.sequence = self.written.sequence.plus(u64::from(entries));
        self.written.timestamp = timestamp;
        self.written.large = index + 1;
        Ok(())
    }

    fn append(&mut self, fields: &FrameFields, payload: &[u8]) -> Result<(), DrainError> {
        let segment = self.segment.as_mut().unwrap_or_else(|| unreachable!("room_for started one"));
        self.frames += 1;
        segment.append(fields, payload).map_err(|error| in_doubt(&self.supply, segment, error))
    }

    fn flush(&mut self) -> Result<(), DrainError> {
        let Some(segment) = &mut self.segment else { return Ok(()) };
        segment.flush().map_err(|error| in_doubt(&self.supply, segment, error))
    }

    /// Makes the current segment one that can hold a frame with this payload.
    fn room_for(&mut self, payload_bytes: usize) -> Result<(), DrainError> {
        let frame_bytes = (FRAME_HEADER_BYTES + frame_aligned(payload_bytes)) as u64;
        self.bytes += frame_bytes;
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

    /// Seals the current segment, if there is one with anything in it.
    fn rotate(&mut self) -> Result<(), DrainError> {
        let Some(segment) = self.segment.as_mut().filter(|segment| segment.has_frames()) else {
            return Ok(());
        };
        let link_if_failed = segment.link(true);
        segment
            .seal(self.written.sequence, self.written.timestamp, self.written.epoch)
            .map_err(|error| in_doubt(&self.supply, segment, error))?;
        self.link = segment.link(false);
        self.origin = Origin::Rotation;
        self.unsynced.push(Unsynced {
            file: Arc::clone(segment.file()),
            name: segment.name().to_owned(),
            link_if_failed,
        });
        self.segment = None;
        Ok(())
    }

    fn start_segment(&mut self, frame_bytes: u64) -> Result<(), DrainError> {
        // Header block, the frame, a barrier and the seal behind it.
        let spare = self.supply.take(self.core, frame_bytes + 16 * 1024).map_err(DrainError::NoSegment)?;
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
        self.segment = Some(SegmentWriter::new(spare, header));
        Ok(())
    }

    fn release(&mut self, to: Cursor) {
        while self.large.front().is_some_and(|large| large.index < to.large) {
            self.large.pop_front();
        }
        if to.position > self.consumer.released() {
            self.consumer.release(to.position);
        }
    }
}

fn in_doubt(supply: &SegmentSupply, segment: &SegmentWriter, error: std::io::Error) -> DrainError {
    DrainError::InDoubt(WriterError::io("write", supply.storage().path(segment.name()), error))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut array = [0; 8];
    array.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(array)
}

/// The entries at the front of a stretch of the ring that make one frame.
struct Span {
    bytes: usize,
    entries: u32,
    timestamp_delta: u64,
}

impl Span {
    /// Whole batches up to the target size, at least one, none of them beyond a control record.
    fn measure(stretch: &[u8]) -> Self {
        let mut decoder = EntryDecoder::new(stretch);
        let mut span = Self { bytes: 0, entries: 0, timestamp_delta: 0 };
        let mut batch = Self { bytes: 0, entries: 0, timestamp_delta: 0 };
        loop {
            let at = stretch.len() - decoder.remaining();
            if at == stretch.len() || stretch[at] & OPERATION_BITS == 0 {
                return span;
            }
            let entry = decoder.next_entry().ok().flatten().unwrap_or_else(|| unreachable!("we encoded it"));
            batch.entries += 1;
            batch.timestamp_delta += entry.timestamp_delta;
            if entry.more {
                continue;
            }
            batch.bytes = stretch.len() - decoder.remaining();
            if batch.bytes > FRAME_PAYLOAD_BYTES_TARGET && span.entries > 0 {
                return span;
            }
            span = Self { ..batch };
            if span.bytes >= FRAME_PAYLOAD_BYTES_TARGET {
                return span;
            }
        }
    }
}
