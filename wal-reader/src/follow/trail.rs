//! Where a core's log reaches right now, found again and again while somebody writes it, from its files alone.
//!
//! Promises: whatever it reports as read was whole, in order and on the chain of segments (`FORMAT.md#segment-header`) when
//! it looked; the segment that it reads stays open, and what it has found until that was handed out, so that a release between
//! two looks loses nothing; it reads a frame's header before it reads more, so a look at a log that stands still costs 64 bytes. Not for handing entries out: it
//! runs ahead of the reader that does, which checks every frame again.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;

use wal_format::limits::{FRAME_HEADER_BYTES, HEADER_BLOCK_BYTES};
use wal_format::{
    Barrier, CoreId, Epoch, Found, FrameHeader, FrameKind, LogId, Origin, SegmentHeader, SegmentNumber,
    SegmentSeed, Sequence,
};

use super::joint::joint;
use crate::error::{Defect, ReadError};
use crate::frames::{Depth, FrameReader, Order};
use crate::segment::{SegmentState, open_segment, read_state, segment_name};
use crate::source::{SharedFile, Source, SourceFile, read_full};
use crate::spans::Span;
use crate::stop::Step;
use crate::window::WINDOW_BYTES;

/// Read at first behind a frame that is there; doubled as long as more frames follow. What lies behind the last frame is
/// no business of ours, and in a recycled file it would have to come from the disk.
const CHUNK_LEAST_BYTES: usize = 8 * 1024;

/// Looks that may find less than a later segment's header promises, before that is damage: the file that is being read
/// may have been released and written over since it was opened.
const DOUBTS_MAX: u32 = 3;

/// What one look found.
#[derive(Default)]
pub(crate) struct Discovered {
    /// Stretches of whole frames, in order.
    pub(crate) spans: Vec<(Span, Arc<dyn SourceFile>)>,
    /// The barriers in them, and the epochs that they close.
    pub(crate) barriers: Vec<(Epoch, Barrier)>,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// At what is not written yet.
    ToEnd,
    /// At the budget.
    ToBudget,
}

/// What the headers above say about what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It still stands.
    Onward,
    /// The log goes on before it: look again from what was handed out.
    Back,
    /// The log begins behind it.
    Behind(Sequence),
}

/// The front of a core's log, as far as it was looked at.
pub(crate) struct Trail {
    log_id: LogId,
    core: CoreId,
    /// The chain from the segment that is read, upward, as far as it is known. Empty: no segment holds `order.sequence`.
    links: VecDeque<SegmentHeader>,
    /// Where segments end that the next link does not name, ascending.
    joints: Vec<(SegmentNumber, u64)>,
    offset: u64,
    order: Order,
    /// The segment that was read last has its seal.
    sealed: bool,
    /// While `links` is empty: begin before `order.sequence` if that is possible, not at it.
    begins_before: bool,
    /// Segments below are passed over, as if they were gone: the checkpoint has what they hold.
    floor: SegmentNumber,
    proven: Option<(SegmentNumber, u64)>,
    /// The last segment with which an opening went on.
    resumed: Option<SegmentNumber>,
    /// The segment that was read last, in case it loses its name.
    file: Option<(SegmentNumber, Arc<dyn SourceFile>)>,
    chunk: usize,
    buffer: Vec<u8>,
    doubts: u32,
}

impl Trail {
    /// A trail that will begin in the segment with the entry before `next`, or at `next` if there is none. Segments below
    /// `floor` are of no concern.
    pub(crate) fn new(log_id: LogId, core: CoreId, next: Sequence, floor: SegmentNumber) -> Self {
        Self {
            log_id,
            core,
            links: VecDeque::new(),
            joints: Vec::new(),
            offset: 0,
            order: Order { sequence: next, ..Order::default() },
            sealed: false,
            begins_before: true,
            floor,
            proven: None,
            resumed: None,
            file: None,
            chunk: CHUNK_LEAST_BYTES,
            buffer: Vec::new(),
            doubts: 0,
        }
    }

    /// Everything below is in files.
    pub(crate) fn sequence(&self) -> Sequence {
        self.order.sequence
    }

    /// Everything before this place is proven durable by the files themselves.
    pub(crate) fn proven(&self) -> Option<(SegmentNumber, u64)> {
        self.proven
    }

    /// The last segment with which an opening went on, of those that were looked at.
    pub(crate) fn resumed(&self) -> Option<SegmentNumber> {
        self.resumed
    }

    /// The file of this segment, if it is the one that was read last.
    pub(crate) fn file(&self, segment: SegmentNumber) -> Option<Arc<dyn SourceFile>> {
        self.file.as_ref().filter(|(last, _)| *last == segment).map(|(_, file)| Arc::clone(file))
    }

    /// Nothing more was found: a segment that is complete is not needed to look on.
    pub(crate) fn let_go(&mut self) {
        if self.sealed {
            self.file = None;
        }
    }

    /// Whether it stands in a segment.
    pub(crate) fn is_attached(&self) -> bool {
        !self.links.is_empty()
    }

    /// Whether the last look found less than there should be.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.doubts > 0
    }

    /// The first segment that is needed to go on from here.
    pub(crate) fn segment(&self) -> Option<SegmentNumber> {
        let segment = self.links.front()?.segment;
        Some(if self.sealed { segment.next() } else { segment })
    }

    /// Looks for segments above those that are known. `segments`: those of this core, ascending, listed just now.
    pub(crate) fn refresh(
        &mut self,
        source: &dyn Source,
        segments: &[SegmentNumber],
    ) -> Result<Turn, ReadError> {
        let Some(last) = self.links.back().map(|link| link.segment) else {
            return self.attach(source, segments);
        };
        let above = segments.get(segments.partition_point(|segment| *segment <= last)..).unwrap_or(&[]);
        let Some(top) = self.top_of(source, above)? else { return Ok(Turn::Onward) };
        let mut fresh = vec![top];
        // At once, also if the chain cannot be followed yet: somebody has opened the log, perhaps.
        self.note_link(&top);
        // Ends: a header links only to a lower segment.
        let joint = loop {
            let Some(previous) = fresh.last().and_then(|header| header.previous) else { break None };
            if previous.segment <= last {
                break Some(previous.segment);
            }
            let Some(header) = self.header_of(source, previous.segment)? else {
                // Not there yet; or released, and the file that we are at came back in a power loss.
                self.doubts += 1;
                if self.doubts <= DOUBTS_MAX {
                    return Ok(Turn::Onward);
                }
                self.links.clear();
                self.begins_before = false;
                return self.attach(source, segments);
            };
            self.note_link(&header);
            fresh.push(header);
        };
        let kept = joint.and_then(|joint| self.links.iter().position(|link| link.segment == joint));
        self.links.truncate(kept.map_or(0, |kept| kept + 1));
        self.links.extend(fresh.into_iter().rev());
        Ok(match kept {
            None => self.restart(),
            Some(_) => self.step_back(),
        })
    }

    /// Reads frames as far as there are, or about `budget` bytes of them.
    pub(crate) fn step(
        &mut self,
        source: &dyn Source,
        budget: u64,
        found: &mut Discovered,
    ) -> Result<Moved, ReadError> {
        let mut taken = 0;
        // Ends: each turn reads a frame, at least, or goes to the next link.
        while let Some(header) = self.links.front().copied() {
            let end = self.end();
            if end.is_some_and(|end| self.offset >= end) {
                self.next_link()?;
                continue;
            }
            if taken >= budget {
                return Ok(Moved::ToBudget);
            }
            let path = source.path(&segment_name(self.core, header.segment));
            let named = open_segment(source, self.core, header.segment)?;
            let is_named = named.is_some();
            if let Some(file) = named {
                self.file = Some((header.segment, Arc::from(file)));
            }
            let Some(file) = self.file(header.segment) else { return Ok(self.detach()) };
            let read = self.read(file, &path, header.segment, end, found)?;
            if read == 0 && !is_named {
                return Ok(self.detach());
            }
            if read == 0 {
                // A later header's word alone proves nothing: after a power loss it may be there, and what it speaks of not.
                // Whoever opens the log next will say so (`FORMAT.md#verdicts`).
                if let Some(proven) = self.proven.filter(|proven| (header.segment, self.offset) < *proven) {
                    let reason = format!("nothing whole stands there, and it is durable up to {proven:?}");
                    self.doubt(header.segment, self.offset, &reason)?;
                }
                return Ok(Moved::ToEnd);
            }
            (taken, self.doubts) = (taken + read, 0);
        }
        Ok(Moved::ToEnd)
    }

    /// The segment was released, and read as far as that goes. What comes next may be there all the same.
    fn detach(&mut self) -> Moved {
        (self.file, self.begins_before) = (None, false);
        self.links.clear();
        Moved::ToEnd
    }

    /// Reads what one chunk holds of whole frames; how many bytes that was.
    fn read(
        &mut self,
        held: Arc<dyn SourceFile>,
        path: &Path,
        segment: SegmentNumber,
        end: Option<u64>,
        found: &mut Discovered,
    ) -> Result<u64, ReadError> {
        let seed = SegmentSeed::new(self.log_id, self.core, segment);
        let file = Box::new(SharedFile(Arc::clone(&held)));
        let length = file.len().map_err(|error| ReadError::io("measure", path, error))?;
        let mut head = [0; FRAME_HEADER_BYTES];
        let filled = read_full(&*file, &mut head, self.offset);
        let filled = filled.map_err(|error| ReadError::io("read", path, error))?;
        let at = Found::at(&seed, self.offset, head.get(..filled).unwrap_or(&head));
        let first = match at.map_err(|cause| ReadError::Format { path: path.to_path_buf(), cause })? {
            Found::Header(first) => first,
            Found::Nothing | Found::Stale(_) | Found::Damaged(_) => return Ok(0),
        };
        let chunk = self.chunk.max(first.frame_bytes()) as u64;
        let limit = self.offset.saturating_add(chunk).min(length);
        let (from, order) = (self.offset, self.order);
        let buffer = std::mem::take(&mut self.buffer);
        let file = Box::new(Limited { file, limit });
        let mut frames =
            FrameReader::new(file, path, seed, from, end, order, Depth::Frame)?.with_buffer(buffer);
        let stepped = loop {
            match frames.step() {
                Ok(Step::Frame) => self.note_frame(&frames, found),
                Ok(Step::Stop(_)) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (self.offset, self.order) = (frames.next_offset(), frames.order());
        self.sealed = frames.is_sealed();
        self.buffer = frames.into_buffer();
        let read = self.offset - from;
        // Whether the chunk was what it stopped at.
        let is_full = limit.saturating_sub(self.offset) < chunk / 2;
        self.chunk = if is_full { (2 * self.chunk).min(WINDOW_BYTES) } else { CHUNK_LEAST_BYTES };
        if read > 0 {
            let span = Span { segment, from, to: self.offset, order, after_gap: false };
            found.spans.push((span, held));
        }
        stepped.map(|()| read)
    }

    fn note_frame(&mut self, frames: &FrameReader, found: &mut Discovered) {
        let Some(FrameHeader { kind, epoch, segment, synced_through, .. }) = frames.header().copied() else {
            return;
        };
        if synced_through > 0 {
            self.proven = self.proven.max(Some((segment, synced_through)));
        }
        if kind == FrameKind::Barrier
            && let Ok(barrier) = Barrier::decode(frames.payload())
        {
            found.barriers.push((epoch, barrier));
        }
    }

    /// What a segment's header proves of the one before (`FORMAT.md#verdicts`).
    fn note_link(&mut self, header: &SegmentHeader) {
        let Some(previous) = header.previous else { return };
        let is_resumed = header.origin == Origin::Resumption;
        if is_resumed {
            self.resumed = self.resumed.max(Some(header.segment));
        }
        let through = if is_resumed { previous.end } else { previous.synced_through };
        if through > 0 {
            self.proven = self.proven.max(Some((previous.segment, through)));
        }
    }

    /// Where the segment that is read ends for good, if the next one is known.
    fn end(&self) -> Option<u64> {
        let (segment, previous) = (self.links.front()?.segment, self.links.get(1)?.previous?);
        if previous.segment == segment {
            return Some(previous.end);
        }
        self.joints.iter().find(|(joined, _)| *joined == segment).map(|(_, end)| *end)
    }

    fn next_link(&mut self) -> Result<(), ReadError> {
        self.links.pop_front();
        let Some(header) = self.links.front().copied() else { return Ok(()) };
        if header.first_sequence != self.order.sequence {
            let reason = format!(
                "it begins with sequence {}, but the segment before ends at {}",
                header.first_sequence, self.order.sequence
            );
            return Err(self.corrupt(header.segment, 0, &reason));
        }
        self.begin(&header, self.order);
        Ok(())
    }

    fn begin(&mut self, header: &SegmentHeader, before: Order) {
        self.offset = HEADER_BLOCK_BYTES as u64;
        self.order = Order { sequence: header.first_sequence, ..before }.raised_by(header);
        (self.sealed, self.chunk, self.doubts) = (false, CHUNK_LEAST_BYTES, 0);
    }

    /// The chain jumps over all that was known: a file was given up. It says the same again, from the first link on.
    fn restart(&mut self) -> Turn {
        let Some(first) = self.links.front().copied() else { return Turn::Onward };
        if first.first_sequence != self.order.sequence {
            return Turn::Back;
        }
        self.begin(&first, self.order);
        Turn::Onward
    }

    /// The segment that is read may have ended before where we are.
    fn step_back(&mut self) -> Turn {
        let next = self.links.get(1).map(|next| next.first_sequence);
        match (self.end(), next) {
            (Some(end), Some(next)) if end < self.offset && next != self.order.sequence => Turn::Back,
            _ => Turn::Onward,
        }
    }

    /// Finds the segment to begin in.
    fn attach(&mut self, source: &dyn Source, segments: &[SegmentNumber]) -> Result<Turn, ReadError> {
        let wanted = self.order.sequence;
        let mut chain = Vec::new();
        let mut found = None;
        let mut header = self.top_of(source, segments)?;
        self.joints.clear();
        // Ends: a header links only to a lower segment.
        while let Some(link) = header.take() {
            chain.push(link);
            let is_before = link.first_sequence < wanted;
            if link.first_sequence == wanted || (is_before && (self.begins_before || found.is_none())) {
                found = Some(chain.len());
            }
            if is_before {
                break;
            }
            if let Some(previous) = link.previous {
                header = self.header_of(source, previous.segment)?;
                if header.is_none() {
                    header = self.joined_below(source, segments, previous.segment, &link)?;
                }
            }
        }
        let Some(count) = found else {
            return Ok(chain.last().map_or(Turn::Onward, |lowest| Turn::Behind(lowest.first_sequence)));
        };
        chain.truncate(count);
        chain.iter().for_each(|header| self.note_link(header));
        self.links = chain.into_iter().rev().collect();
        let Some(first) = self.links.front().copied() else { return Ok(Turn::Onward) };
        if !self.begins_before && first.first_sequence != wanted {
            self.links.clear();
            return Ok(Turn::Back);
        }
        let before = if self.begins_before { Order::default() } else { self.order };
        self.begin(&first, before);
        Ok(Turn::Onward)
    }

    /// The segment that comes before `upper`, which links to `missing`; its end is remembered.
    fn joined_below(
        &mut self,
        source: &dyn Source,
        segments: &[SegmentNumber],
        missing: SegmentNumber,
        upper: &SegmentHeader,
    ) -> Result<Option<SegmentHeader>, ReadError> {
        let below = segments.get(..segments.partition_point(|segment| *segment < missing)).unwrap_or(&[]);
        let Some(lower) = self.top_of(source, below)? else { return Ok(None) };
        let end = joint(source, &lower, upper)?;
        self.joints.extend(end.map(|end| (lower.segment, end)));
        Ok(end.map(|_| lower))
    }

    /// The highest of these segments that is in use.
    fn top_of(
        &self,
        source: &dyn Source,
        segments: &[SegmentNumber],
    ) -> Result<Option<SegmentHeader>, ReadError> {
        for segment in segments.iter().rev() {
            if let Some(header) = self.header_of(source, *segment)? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// A segment's header; `None` if it has none, yet or any more.
    fn header_of(
        &self,
        source: &dyn Source,
        segment: SegmentNumber,
    ) -> Result<Option<SegmentHeader>, ReadError> {
        if segment < self.floor {
            return Ok(None);
        }
        let state = read_state(source, self.log_id, self.core, segment)?;
        Ok(state.as_ref().and_then(SegmentState::header).copied())
    }

    /// Less is there than should be: an error, if it stays so.
    fn doubt(&mut self, segment: SegmentNumber, offset: u64, reason: &str) -> Result<Turn, ReadError> {
        self.doubts += 1;
        if self.doubts <= DOUBTS_MAX { Ok(Turn::Onward) } else { Err(self.corrupt(segment, offset, reason)) }
    }

    fn corrupt(&self, segment: SegmentNumber, offset: u64, reason: &str) -> ReadError {
        ReadError::Corrupt(Box::new(Defect {
            path: segment_name(self.core, segment).into(),
            core: self.core,
            segment,
            offset,
            sequence: self.order.sequence,
            sequence_end: None,
            evidence: None,
            reason: reason.to_owned(),
        }))
    }
}

/// A file of which no more than `limit` bytes are looked at.
struct Limited {
    file: Box<dyn SourceFile>,
    limit: u64,
}

impl SourceFile for Limited {
    fn len(&self) -> io::Result<u64> {
        self.file.len().map(|length| length.min(self.limit))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}
