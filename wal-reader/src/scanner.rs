//! The pass that a [`CoreScan`] is the result of: reads what can be read, searches the rest.

use std::path::PathBuf;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{
    CoreId, Damage, EntryDecoder, FrameHeader, FrameKind, LogId, Origin, SegmentHeader, SegmentNumber,
    SegmentSeed, Sequence,
};

use crate::chain::{Above, Chain};
use crate::error::ReadError;
use crate::evidence::{Evidence, Reach, Witness};
use crate::frames::{Depth, FrameReader, Order, out_of_order};
use crate::position::LogPosition;
use crate::scan::{CoreScan, Discarded, Gap, ScanOptions};
use crate::segment::{SegmentState, open_segment, segment_name};
use crate::source::{Source, SourceFile};
use crate::spans::Span;
use crate::stats::SegmentStats;
use crate::stop::{Step, StopReason};
use crate::tail::{Barren, Hit, Search};

/// One file, and how much of it may belong to the log.
#[derive(Clone, Copy)]
struct Piece {
    segment: SegmentNumber,
    header: Option<SegmentHeader>,
    from: u64,
    end: Option<u64>,
}

type OpenFile = (Box<dyn SourceFile>, PathBuf);

pub(crate) struct Scanner<'a> {
    source: &'a dyn Source,
    log_id: LogId,
    salvage: bool,
    replayed: Option<(SegmentNumber, u64)>,
    barren: &'a [Barren],
    pieces: Vec<Piece>,
    above: Vec<Above>,
    /// Whether everything so far could be read.
    reading: bool,
    /// In salvage: where and why reading stopped last.
    stopped: Option<(LogPosition, StopReason)>,
    buffer: Vec<u8>,
    found: CoreScan,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        log_id: LogId,
        core: CoreId,
        chain: Chain,
        options: &ScanOptions<'a>,
    ) -> Self {
        let from = chain.read_from();
        let header_block = HEADER_BLOCK_BYTES as u64;
        let of_link = |link: &crate::chain::Link| Piece {
            segment: link.header.segment,
            header: Some(link.header),
            from: if link.header.segment == from.segment { from.offset } else { header_block },
            end: link.end,
        };
        let of_file = |above: &Above| Piece {
            segment: above.segment,
            header: above.state.header().copied(),
            from: header_block,
            end: above.end,
        };
        let links = chain.links.len();
        let pieces: Vec<_> = chain.links.iter().map(of_link).chain(chain.above.iter().map(of_file)).collect();
        let headers = || pieces.iter().filter_map(|piece| piece.header);
        let max_epoch =
            headers().map(|header| header.epoch).chain(options.start.map(|_| options.start_order.epoch));
        let proofs = chain.proofs.iter().copied().chain(options.start.map(|start| Evidence {
            reach: Reach::Place(start.segment, start.offset),
            witness: Witness::Manifest,
        }));
        let order = Order { sequence: from.sequence, ..options.start_order };
        let found = CoreScan {
            core,
            begin: chain.begin,
            begins_later: begins_later(&chain, options),
            end: if links == 0 { chain.begin } else { from },
            reason: StopReason::Nothing,
            order,
            spans: Vec::new(),
            proofs: proofs.collect(),
            barriers: Vec::new(),
            durable_epoch: None,
            keep_barriers: options.salvage,
            bounds: headers()
                .map(|header| (header.first_sequence, header.epoch))
                .chain(options.start.map(|start| (start.sequence, options.start_order.epoch)))
                .collect(),
            resumed_above: chain
                .links
                .iter()
                .filter(|link| link.header.origin == Origin::Resumption)
                .map(|link| link.header.epoch)
                .max(),
            epoch_starts: Vec::new(),
            discarded: Discarded::default(),
            gaps: Vec::new(),
            segments: Vec::new(),
            prepared: Vec::new(),
            damaged: Vec::new(),
            superseded: chain.superseded,
            obsolete: chain.obsolete,
            max_epoch: max_epoch.max(),
            max_timestamp: headers()
                .map(|header| header.last_timestamp)
                .fold(options.start_order.timestamp, u64::max),
            exists: options.start.is_some() || headers().next().is_some(),
            bytes_read: 0,
        };
        Self {
            source,
            log_id,
            salvage: options.salvage,
            replayed: options.replayed,
            barren: options.barren,
            pieces,
            above: chain.above,
            reading: links > 0,
            stopped: None,
            buffer: Vec::new(),
            found,
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), ReadError> {
        if !self.reading {
            self.stop(self.found.end, self.reason_at_unreadable_header());
        }
        for index in 0..self.pieces.len() {
            let piece = self.pieces[index];
            let hits = self.piece(&piece)?;
            self.note_state(piece.segment, hits);
        }
        Ok(())
    }

    /// Reads or searches one file to its end; whether a search found own frames in it.
    fn piece(&mut self, piece: &Piece) -> Result<bool, ReadError> {
        let mut at = piece.from;
        let mut hits = false;
        // Where salvage went on last.
        let mut resumed_at = None;
        if self.reading {
            self.check_beginning(piece);
        }
        loop {
            if self.reading {
                match self.walk(piece, at)? {
                    None => return Ok(hits),
                    Some(stopped_at) => at = stopped_at,
                }
            }
            // A frame whose checksums hold, at which reading stops all the same: not a place to go on from. Ends:
            // every turn resumes beyond the one before.
            let refused = resumed_at.filter(|resumed_at| *resumed_at == at);
            if refused.is_some() {
                self.forget_resumption();
            }
            let Some(hit) = self.search(piece, at, refused, &mut hits)? else { return Ok(hits) };
            self.resume(piece, &hit);
            at = hit.offset;
            resumed_at = Some(at);
        }
    }

    /// Stops where a segment does not begin with the sequence number at which the one before ended.
    fn check_beginning(&mut self, piece: &Piece) {
        let Some(header) = &piece.header else { return };
        let (expected, found) = (self.found.order.sequence, header.first_sequence);
        if piece.from == HEADER_BLOCK_BYTES as u64 && expected != found {
            let damage = out_of_order("sequence", expected.0, found.0);
            self.stop(self.found.end, StopReason::Successor { segment: piece.segment, damage });
        }
    }

    /// Reads frames from `at`; `None` at the known end of the segment, else where and why the log stopped.
    fn walk(&mut self, piece: &Piece, at: u64) -> Result<Option<u64>, ReadError> {
        let Some((file, path)) = self.open(piece)? else {
            let sequence = self.found.order.sequence;
            let position = LogPosition { segment: piece.segment, offset: at, sequence };
            self.stop(position, StopReason::Nothing);
            return Ok(Some(at));
        };
        let length = file.len().map_err(|error| ReadError::io("measure", &path, error))?;
        let mut order = self.found.order;
        if let Some(header) = &piece.header {
            order = order.raised_by(header);
        }
        let seed = SegmentSeed::new(self.log_id, self.found.core, piece.segment);
        let buffer = std::mem::take(&mut self.buffer);
        let depth = match self.replayed {
            Some((segment, _)) if piece.segment < segment => Depth::Skim(u64::MAX),
            Some((segment, through)) if piece.segment == segment => Depth::Skim(through),
            _ => Depth::Entries,
        };
        let mut frames =
            FrameReader::new(file, &path, seed, at, piece.end, order, depth)?.with_buffer(buffer);
        let mut stats =
            SegmentStats { segment: piece.segment, bytes_used: piece.from, ..SegmentStats::default() };
        let (span_order, after_gap) = (
            order,
            self.found
                .gaps
                .last()
                .is_some_and(|gap| gap.to.is_some_and(|to| to.place() == (piece.segment, at))),
        );
        let stop = loop {
            match frames.step()? {
                Step::Frame => {}
                Step::Stop(stop) => break stop,
            }
            let before = frames.before();
            let Some(header) = frames.header().copied() else { continue };
            stats.note(&header, frames.order().timestamp, frames.is_sealed());
            let position =
                LogPosition { segment: piece.segment, offset: frames.offset(), sequence: before.sequence };
            self.found.note_epoch_start(&header, position, before);
            self.found.note_frame(&header, frames.payload(), frames.order().timestamp);
        };
        self.found.order = frames.order();
        self.found.max_timestamp = self.found.max_timestamp.max(self.found.order.timestamp);
        stats.note_end(self.found.order.timestamp);
        self.found.bytes_read += frames.bytes_read();
        self.buffer = frames.into_buffer();
        let sequence = self.found.order.sequence;
        if stop.offset > at {
            self.found.spans.push(Span {
                segment: piece.segment,
                from: at,
                to: stop.offset,
                order: span_order,
                after_gap,
            });
        }
        stats.bytes_wasted = length.saturating_sub(stop.offset);
        self.found.segments.push(stats);
        let position = LogPosition { segment: piece.segment, offset: stop.offset, sequence };
        self.found.end = position;
        if stop.reason == StopReason::End {
            return Ok(None);
        }
        let reason = match stop.reason {
            // The last of the chain is followed by a file whose header block was not written whole.
            StopReason::Nothing if piece.end.is_none() => self.reason_at_unreadable_header(),
            reason => reason,
        };
        self.stop(position, reason);
        Ok(Some(stop.offset))
    }

    /// Searches from `at` for later frames. In salvage, stops at the first that can be read on from, which is not the
    /// one at `refused`.
    fn search(
        &mut self,
        piece: &Piece,
        at: u64,
        refused: Option<u64>,
        hits: &mut bool,
    ) -> Result<Option<Hit>, ReadError> {
        let known = |barren: &&Barren| (barren.segment, barren.from) == (piece.segment, at);
        if let Some(barren) = self.barren.iter().find(known) {
            self.found.discarded.residue |= barren.residue;
            return Ok(None);
        }
        let Some((file, path)) = self.open(piece)? else { return Ok(None) };
        let seed = SegmentSeed::new(self.log_id, self.found.core, piece.segment);
        let mut search = Search::new(file, &path, seed, at, piece.end)?;
        while let Some(hit) = search.next()? {
            *hits = true;
            if hit.header.synced_through > 0 && hit.header.synced_through <= hit.offset {
                self.found.proofs.push(Evidence {
                    reach: Reach::Place(piece.segment, hit.header.synced_through),
                    witness: Witness::Frame { segment: piece.segment, offset: hit.offset },
                });
            }
            if !hit.whole {
                continue;
            }
            if self.salvage && refused != Some(hit.offset) && follows(&self.found.order, &hit) {
                return Ok(Some(hit));
            }
            let payload = search.payload(&hit)?;
            let timestamp = last_timestamp(&hit.header, payload);
            self.found.note_frame(&hit.header, payload, timestamp);
            self.found.discarded.frames += 1;
            self.found.discarded.entries += u64::from(hit.header.entry_count);
            self.found.discarded.bytes += hit.header.frame_bytes() as u64;
        }
        self.found.discarded.residue |= search.residue();
        Ok(None)
    }

    /// In salvage: goes on with a frame behind what could not be read.
    fn resume(&mut self, piece: &Piece, hit: &Hit) {
        let sequence = hit.header.first_sequence;
        let to = LogPosition { segment: piece.segment, offset: hit.offset, sequence };
        if let Some((from, reason)) = self.stopped.take() {
            let finding = reason.finding();
            self.found.gaps.push(Gap { from, to: Some(to), finding, reason: reason.to_string() });
        }
        self.found.order.sequence = sequence;
        self.reading = true;
    }

    /// The frame at which salvage went on cannot be read after all: the gap before it goes on.
    fn forget_resumption(&mut self) {
        if let (Some(gap), Some((from, _))) = (self.found.gaps.pop(), &mut self.stopped) {
            *from = gap.from;
        }
    }

    fn stop(&mut self, position: LogPosition, reason: StopReason) {
        self.reading = false;
        self.found.end = position;
        self.found.reason = reason.clone();
        self.stopped = Some((position, reason));
    }

    /// If the first file above the chain has a damaged header block, that is what the log ends with.
    fn reason_at_unreadable_header(&self) -> StopReason {
        match self.above.first() {
            Some(Above { segment, state: SegmentState::Damaged(error), .. }) => {
                StopReason::Successor { segment: *segment, damage: Damage::Content(error.clone()) }
            }
            _ => StopReason::Nothing,
        }
    }

    fn note_state(&mut self, segment: SegmentNumber, hits: bool) {
        let state = self.above.iter().find(|above| above.segment == segment).map(|above| &above.state);
        match state {
            Some(SegmentState::Prepared(_)) if !hits => self.found.prepared.push(segment),
            Some(SegmentState::Prepared(_) | SegmentState::Damaged(_)) => {
                self.found.damaged.push(segment);
                self.found.discarded.residue = true;
            }
            Some(SegmentState::InUse(_)) => self.found.discarded.residue = true,
            Some(SegmentState::Absent) | None => {}
        }
    }

    fn open(&self, piece: &Piece) -> Result<Option<OpenFile>, ReadError> {
        let path = self.source.path(&segment_name(self.found.core, piece.segment));
        Ok(open_segment(self.source, self.found.core, piece.segment)?.map(|file| (file, path)))
    }

    pub(crate) fn finish(mut self) -> CoreScan {
        if self.found.reason == StopReason::End {
            self.found.reason = StopReason::Nothing;
        }
        self.found
    }
}

/// The sequence number with which a log goes on whose beginning is in no file, not even in a damaged one.
fn begins_later(chain: &Chain, options: &ScanOptions<'_>) -> Option<Sequence> {
    let is_gone = options.start.is_none() && chain.links.is_empty();
    let lowest = chain.above.first().filter(|_| is_gone).map(|above| &above.state)?;
    if !matches!(lowest, SegmentState::Absent | SegmentState::InUse(_)) {
        return None;
    }
    let first = chain.above.iter().find_map(|above| above.state.header())?;
    (first.first_sequence > Sequence(0)).then_some(first.first_sequence)
}

/// Whether reading can go on with this frame: it must not go back behind what was read.
fn follows(order: &Order, hit: &Hit) -> bool {
    let header = &hit.header;
    header.first_sequence >= order.sequence
        && (header.kind != FrameKind::Data
            || (header.epoch >= order.epoch && header.base_timestamp >= order.timestamp))
        && header.synced_through <= hit.offset
}

fn last_timestamp(header: &FrameHeader, payload: &[u8]) -> u64 {
    let mut decoder = EntryDecoder::new(payload);
    let mut timestamp = header.base_timestamp;
    for _ in 0..header.entry_count {
        let Ok(Some(entry)) = decoder.next_entry() else { break };
        timestamp = timestamp.saturating_add(entry.timestamp_delta);
    }
    timestamp
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::{Epoch, OperationRef, entry};

    const HEADER: FrameHeader = FrameHeader {
        kind: FrameKind::Data,
        flags: 0,
        core: CoreId(0),
        payload_bytes: 8,
        entry_count: 2,
        epoch: Epoch(5),
        first_sequence: Sequence(70),
        base_timestamp: 900,
        segment: SegmentNumber(3),
        synced_through: 8192,
        payload_crc: 0,
    };

    #[test]
    fn salvage_goes_on_with_a_frame_that_does_not_go_back() {
        let order = Order { sequence: Sequence(70), epoch: Epoch(5), timestamp: 900 };
        let goes_on = |header| follows(&order, &Hit { offset: 8192, header, whole: true });
        assert!(goes_on(HEADER), "neither forward nor back");
        assert!(goes_on(FrameHeader { first_sequence: Sequence(71), ..HEADER }));
        assert!(goes_on(FrameHeader { epoch: Epoch(6), base_timestamp: 901, synced_through: 0, ..HEADER }));
        assert!(!goes_on(FrameHeader { first_sequence: Sequence(69), ..HEADER }));
        assert!(!goes_on(FrameHeader { epoch: Epoch(4), ..HEADER }));
        assert!(!goes_on(FrameHeader { base_timestamp: 899, ..HEADER }));
        assert!(!goes_on(FrameHeader { epoch: Epoch(4), base_timestamp: 899, ..HEADER }));
        assert!(!goes_on(FrameHeader { synced_through: 8193, ..HEADER }));
        // Of frames without entries the sequence alone counts: a barrier closes an epoch that is over.
        let barrier = FrameHeader { kind: FrameKind::Barrier, entry_count: 0, ..HEADER };
        assert!(goes_on(FrameHeader { epoch: Epoch(4), base_timestamp: 899, ..barrier }));
        assert!(!goes_on(FrameHeader { first_sequence: Sequence(69), ..barrier }));
    }

    #[test]
    fn the_last_timestamp_is_that_of_the_last_entry_that_decodes() {
        let operation = OperationRef::EpochBarrier;
        let mut payload = vec![0; entry::entry_bytes(30, &operation) + entry::entry_bytes(4, &operation)];
        let mut encoder = entry::EntryEncoder::new(&mut payload);
        encoder.entry(false, 30, &operation);
        encoder.entry(false, 4, &operation);
        assert_eq!(last_timestamp(&HEADER, &payload), 934);
        assert_eq!(last_timestamp(&HEADER, &payload[..2]), 930);
        assert_eq!(last_timestamp(&HEADER, &[]), 900);
        assert_eq!(last_timestamp(&FrameHeader { entry_count: 1, ..HEADER }, &payload), 930);
    }
}
