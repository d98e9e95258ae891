//! One core's log as a stream of borrowed entries.
//!
//! Two ways in. [`PerCoreWalReader::range`] reads between two positions that are known to be good: there, anything
//! that cannot be read is an error. [`PerCoreWalReader::open`] reads a log nobody vouches for, and says how it ended.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{CoreId, EntryRef, Epoch, FrameKind, LogId, OrderKey, SegmentNumber, SegmentSeed, Sequence};

use crate::current::Current;
use crate::error::{Defect, ReadError};
use crate::frames::{Depth, FrameReader, Order};
use crate::inventory::Inventory;
use crate::position::LogPosition;
use crate::scan::{CoreScan, Ending, ScanOptions};
use crate::segment::{open_segment, segment_name};
use crate::source::{SharedFile, Source, SourceFile};
use crate::spans::{Span, link_range};
use crate::stop::{Step, Stop, StopReason};
use crate::witness::Witnesses;

/// Files that a follower keeps open until it has read them.
const HELD_MAX: usize = 8;

/// Reads the entries of one core, in order. One buffer, whatever the length of the log.
///
/// ```
/// # use std::sync::Arc;
/// # use wal_format::{CoreId, LogId, OperationRef};
/// # use wal_reader::{PerCoreWalReader, testing::LogBuilder};
/// # let mut log = LogBuilder::new(LogId([7; 16]));
/// # log.put(CoreId(0), b"key", b"value");
/// # let (source, log_id) = (Arc::new(log.source()), log.log_id());
/// let mut reader = PerCoreWalReader::open(source, log_id, CoreId(0), None)?;
/// while let Some(entry) = reader.next()? {
///     assert_eq!(entry.operation, OperationRef::Put { key: b"key", value: b"value" });
/// }
/// assert!(reader.ending().is_some_and(|ending| !ending.verdict().is_error()));
/// # Ok::<(), wal_reader::ReadError>(())
/// ```
pub struct PerCoreWalReader {
    source: Arc<dyn Source>,
    log_id: LogId,
    core: CoreId,
    spans: VecDeque<Span>,
    /// Files of the first of them, kept open: a follower's, which may be released before they were read.
    held: VecDeque<(SegmentNumber, Arc<dyn SourceFile>)>,
    frames: Option<FrameReader>,
    /// End of the span that `frames` reads.
    span_to: u64,
    /// What the next span must follow from, once there was one.
    reached: Option<Order>,
    /// Sequence number at the end, if the caller knows it.
    end_sequence: Option<Sequence>,
    segment: SegmentNumber,
    up_to: Option<Epoch>,
    /// Entries below this were there before the start and are passed over.
    skip_below: Sequence,
    current: Current,
    /// Between two spans: the buffer of the one before.
    buffer: Vec<u8>,
    /// Entries of the current frame that are still to come, and where in the payload they begin.
    remaining: u32,
    payload_at: usize,
    entries: u64,
    bytes_read: u64,
    ending: Option<Ending>,
}

impl PerCoreWalReader {
    /// Reads the log of `core` from `start` (or from its first entry) to its end as found on disk. The whole log is
    /// checked here, before the first entry is handed out.
    ///
    /// # Errors
    /// [`ReadError::Missing`], [`ReadError::Corrupt`] if the core's own files prove that more had been durable than
    /// can be read; [`ReadError::Io`], [`ReadError::Foreign`], [`ReadError::Misplaced`], [`ReadError::Format`].
    pub fn open(
        source: Arc<dyn Source>,
        log_id: LogId,
        core: CoreId,
        start: Option<LogPosition>,
    ) -> Result<Self, ReadError> {
        let inventory = Inventory::list(&*source)?;
        let options = ScanOptions { start, ..ScanOptions::default() };
        let scan = CoreScan::run(&*source, log_id, core, inventory.segments_of(core), &options)?;
        let witness = Witnesses::new(&scan.barriers, None).proof(core, &scan.bounds);
        let ending = scan.ending(witness);
        if ending.verdict().is_error() {
            return Err(scan.defect(&*source, &ending));
        }
        let skip_below = start.map_or(Sequence(0), |start| start.sequence);
        let mut reader = Self::spans(source, log_id, core, scan.spans, skip_below);
        reader.ending = Some(ending);
        Ok(reader)
    }

    /// Reads the log of `core` between two positions, on a log that may be growing: nothing at or beyond `end` is
    /// looked at.
    ///
    /// # Errors
    /// [`ReadError::Missing`], [`ReadError::Corrupt`] if the segments do not link the two positions; the same from
    /// reading, for anything before `end` that fails a check. [`ReadError::Io`], [`ReadError::Foreign`],
    /// [`ReadError::Format`].
    pub fn range(
        source: Arc<dyn Source>,
        log_id: LogId,
        core: CoreId,
        start: LogPosition,
        end: LogPosition,
    ) -> Result<Self, ReadError> {
        let spans = link_range(&*source, log_id, core, start, end)?;
        let mut reader = Self::spans(source, log_id, core, spans, start.sequence);
        reader.end_sequence = Some(end.sequence);
        Ok(reader)
    }

    /// Reads given stretches, each of which must be intact from end to end; passes over entries below `skip_below`.
    #[must_use]
    pub fn spans(
        source: Arc<dyn Source>,
        log_id: LogId,
        core: CoreId,
        spans: Vec<Span>,
        skip_below: Sequence,
    ) -> Self {
        let spans: VecDeque<_> = spans.into_iter().filter(|span| span.from < span.to).collect();
        Self {
            source,
            log_id,
            core,
            segment: spans.front().map_or(SegmentNumber(0), |span| span.segment),
            spans,
            held: VecDeque::new(),
            frames: None,
            span_to: 0,
            reached: None,
            end_sequence: None,
            up_to: None,
            skip_below,
            current: Current::before(skip_below),
            buffer: Vec::new(),
            remaining: 0,
            payload_at: 0,
            entries: 0,
            bytes_read: 0,
            ending: None,
        }
    }

    /// Adds a stretch that goes on where the last one ends, also after [`Self::advance`] has returned false. `file`: to be
    /// read if it has no name any more by then.
    pub(crate) fn extend(&mut self, span: Span, file: Option<Arc<dyn SourceFile>>) {
        let is_held = self.held.iter().any(|(segment, _)| *segment == span.segment);
        if let Some(file) = file.filter(|_| !is_held && self.held.len() < HELD_MAX) {
            self.held.push_back((span.segment, file));
        }
        if let Some(last) = self.spans.back_mut()
            && (last.segment, last.to) == (span.segment, span.from)
        {
            last.to = span.to;
            return;
        }
        self.spans.push_back(span);
    }

    /// The segment that is read, or that comes next.
    pub(crate) fn next_segment(&self) -> SegmentNumber {
        match (&self.frames, self.spans.front()) {
            (None, Some(span)) => span.segment,
            _ => self.segment,
        }
    }

    /// Stops before the first entry of an epoch above `epoch`.
    #[must_use]
    pub fn up_to(mut self, epoch: Option<Epoch>) -> Self {
        self.up_to = epoch;
        self
    }

    /// Steps to the next entry; false at the end.
    ///
    /// # Errors
    /// As of [`Self::range`]. After an error, and after the end, every further call returns false.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        if self.remaining == 0 && !self.next_data_frame()? {
            return Ok(false);
        }
        if self.decode_entry() { Ok(true) } else { Err(self.undecodable()) }
    }

    /// The current entry: that to which [`Self::advance`] stepped.
    ///
    /// # Panics
    /// If the last `advance` did not return true.
    #[inline]
    #[must_use]
    pub fn entry(&self) -> EntryRef<'_> {
        match self.current.entry(self.core, self.payload()) {
            Some(entry) => entry,
            None => panic!("entry() needs an advance() that returned true"),
        }
    }

    /// Steps to the next entry and returns it; `None` at the end.
    ///
    /// # Errors
    /// As of [`Self::advance`].
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend from its own buffer")]
    pub fn next(&mut self) -> Result<Option<EntryRef<'_>>, ReadError> {
        Ok(if self.advance()? { Some(self.entry()) } else { None })
    }

    /// Place of the current entry in the global order.
    #[inline]
    #[must_use]
    pub fn order_key(&self) -> OrderKey {
        self.current.order_key(self.core)
    }

    /// Whether the next entry belongs to the same batch as the current one.
    #[must_use]
    pub fn more_of_batch(&self) -> bool {
        self.current.more
    }

    /// The core whose log this is.
    #[must_use]
    pub fn core(&self) -> CoreId {
        self.core
    }

    /// The file that holds the current entry.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.source.path(&segment_name(self.core, self.segment))
    }

    /// Segment and offset of the current frame; sequence number of the current entry.
    #[must_use]
    pub fn position(&self) -> LogPosition {
        let offset = self.frames.as_ref().map_or(HEADER_BLOCK_BYTES as u64, FrameReader::offset);
        LogPosition { segment: self.segment, offset, sequence: self.current.sequence }
    }

    /// How the log ends, if it was opened to its end rather than for a range.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Entries handed out so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes read from files so far, which runs ahead of the current entry by up to a buffer.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read + self.frames.as_ref().map_or(0, FrameReader::bytes_read)
    }

    #[inline]
    fn payload(&self) -> &[u8] {
        self.frames.as_ref().map_or(&[], FrameReader::payload)
    }

    /// Decodes the entry at `payload_at`; false if it is none.
    #[inline]
    fn decode_entry(&mut self) -> bool {
        let payload = self.frames.as_ref().map_or(&[][..], FrameReader::payload);
        let Some(end) = self.current.step(payload, self.payload_at) else { return false };
        self.remaining -= 1;
        if self.remaining == 0 && (self.current.more || end != payload.len()) {
            return false;
        }
        self.payload_at = end;
        self.entries += 1;
        true
    }

    /// Loads the next frame that holds wanted entries; false at the end.
    fn next_data_frame(&mut self) -> Result<bool, ReadError> {
        let step = self.try_next_data_frame();
        if !matches!(step, Ok(true)) {
            self.spans.clear();
            self.held.clear();
            self.close();
            self.current.leave();
        }
        step
    }

    fn try_next_data_frame(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(frames) = &mut self.frames else {
                let Some(span) = self.spans.pop_front() else {
                    return self.check_end().map(|()| false);
                };
                self.open_span(&span)?;
                continue;
            };
            if self.current.leave() {
                frames.set_last_timestamp(self.current.timestamp_ns);
            }
            match frames.step()? {
                Step::Frame => {}
                Step::Stop(Stop { reason: StopReason::End, .. }) => {
                    self.close();
                    continue;
                }
                Step::Stop(stop) => {
                    return Err(self.unreadable(stop.offset, &stop.reason));
                }
            }
            let Some(header) = frames.header() else { continue };
            if self.up_to.is_some_and(|epoch| header.epoch > epoch) {
                return Ok(false);
            }
            if header.kind != FrameKind::Data {
                continue;
            }
            self.remaining = header.entry_count;
            self.payload_at = 0;
            self.current = Current::before_frame(header);
            self.skip_entries()?;
            if self.remaining > 0 {
                return Ok(true);
            }
        }
    }

    /// Passes over entries below the start: a segment that was begun anew may repeat them.
    fn skip_entries(&mut self) -> Result<(), ReadError> {
        while self.remaining > 0 && self.current.sequence.0.wrapping_add(1) < self.skip_below.0 {
            if !self.decode_entry() {
                return Err(self.undecodable());
            }
            self.entries -= 1;
        }
        Ok(())
    }

    fn open_span(&mut self, span: &Span) -> Result<(), ReadError> {
        self.segment = span.segment;
        self.span_to = span.to;
        let path = self.source.path(&segment_name(self.core, span.segment));
        while self.held.pop_front_if(|(segment, _)| *segment < span.segment).is_some() {}
        let named = open_segment(&*self.source, self.core, span.segment)?;
        let held = || self.held.front().filter(|(segment, _)| *segment == span.segment);
        let file = named.or_else(|| held().map(|(_, file)| Box::new(SharedFile(Arc::clone(file))) as Box<_>));
        let Some(file) = file else {
            return Err(self.missing(span.segment, span.order.sequence));
        };
        let seed = SegmentSeed::new(self.log_id, self.core, span.segment);
        let order = self.order_at(span)?;
        let buffer = std::mem::take(&mut self.buffer);
        let frames = FrameReader::new(file, &path, seed, span.from, Some(span.to), order, Depth::Frame)?
            .with_buffer(buffer);
        self.frames = Some(frames);
        Ok(())
    }

    fn close(&mut self) {
        if let Some(frames) = self.frames.take() {
            self.bytes_read += frames.bytes_read();
            self.reached = Some(frames.order());
            self.buffer = frames.into_buffer();
        }
        self.remaining = 0;
    }

    /// What a span's first frame must follow from, given where the span before ended.
    fn order_at(&self, span: &Span) -> Result<Order, ReadError> {
        let Some(reached) = self.reached else { return Ok(span.order) };
        let follows = if span.after_gap {
            span.order.sequence >= reached.sequence
        } else {
            span.order.sequence == reached.sequence
        };
        if !follows {
            let reason = format!(
                "it begins with sequence {}, but the segment before ends at {}",
                span.order.sequence, reached.sequence
            );
            return Err(ReadError::Corrupt(self.defect(span.segment, 0, reached.sequence, reason)));
        }
        Ok(Order {
            sequence: span.order.sequence,
            epoch: span.order.epoch.max(reached.epoch),
            timestamp: span.order.timestamp.max(reached.timestamp),
        })
    }

    fn check_end(&self) -> Result<(), ReadError> {
        let (Some(reached), Some(expected)) = (self.reached, self.end_sequence) else { return Ok(()) };
        if reached.sequence == expected {
            return Ok(());
        }
        let reason = format!("the log ends at sequence {} here, not at {expected}", reached.sequence);
        Err(ReadError::Corrupt(self.defect(self.segment, self.span_to, reached.sequence, reason)))
    }

    fn unreadable(&self, offset: u64, reason: &StopReason) -> ReadError {
        let sequence = self.frames.as_ref().map_or(self.current.sequence, |frames| frames.order().sequence);
        let detail = format!("{reason}, but the log goes on to offset {}", self.span_to);
        let defect = self.defect(self.segment, offset, sequence, detail);
        match reason {
            StopReason::Damage(_) | StopReason::Successor { .. } => ReadError::Corrupt(defect),
            StopReason::End | StopReason::Nothing | StopReason::Stale(_) => ReadError::Missing(defect),
        }
    }

    #[cold]
    fn undecodable(&mut self) -> ReadError {
        let position = self.position();
        self.spans.clear();
        self.close();
        self.current.leave();
        let reason = "the frame's checksum holds, but its entries do not decode as its header says";
        let sequence = Sequence(position.sequence.0.wrapping_add(1));
        ReadError::Corrupt(self.defect(position.segment, position.offset, sequence, reason.to_owned()))
    }

    fn missing(&self, segment: SegmentNumber, sequence: Sequence) -> ReadError {
        let reason = "the segment's file does not exist".to_owned();
        ReadError::Missing(self.defect(segment, 0, sequence, reason))
    }

    fn defect(&self, segment: SegmentNumber, offset: u64, sequence: Sequence, reason: String) -> Box<Defect> {
        Box::new(Defect {
            path: self.source.path(&segment_name(self.core, segment)),
            core: self.core,
            segment,
            offset,
            sequence,
            sequence_end: None,
            evidence: None,
            reason,
        })
    }
}
