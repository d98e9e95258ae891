//! Repeating what stood in a file that was given up, so that a process that is killed meanwhile loses none of it.
//!
//! Those entries were reported as written: they survive the process, in the old file. The header of the next segment ends
//! that file's story, so it goes to its file last (`SegmentWriter::new`), and the segment is made large enough for everything
//! that is repeated: at no moment does the log end before it.
//!
//! A checkpoint may want a seal within that stretch. The first segment is completed all the same, with the entries beyond
//! the cut. Then another repeats those alone, and its header ends the first one at the cut. So no segment is sealed there,
//! and the one that holds the cut is needed until the next checkpoint ([`SealedAt::is_complete`]).

use std::sync::Arc;

use wal_format::{Epoch, Origin, Previous};

use super::record::{EPOCH_RECORD, EPOCH_RECORD_BYTES, LARGE_RECORD, LARGE_RECORD_BYTES, Span, u64_at};
use super::{Cursor, Drain, DrainError, Unsynced, frame_bytes, large_at};
use crate::position::SealedAt;
use crate::ring::WRAP;
use crate::segment::SegmentWriter;

/// A place within what is being repeated.
pub(super) struct Cut {
    /// The first epoch beyond it.
    before: Epoch,
    at: Cursor,
    /// In the current segment.
    offset: u64,
}

impl Drain {
    /// Whether what comes next stood in a file that was given up.
    pub(super) fn is_repeating(&self) -> bool {
        self.written.sequence < self.repeated
    }

    /// Bytes of the frames that everything that is still to be repeated will make; 0 if nothing is.
    pub(super) fn repeated_bytes(&self) -> u64 {
        if !self.is_repeating() {
            return 0;
        }
        // Read again, so that this is never less than what the drain will write: more that is published can lengthen the
        // last frame, and changes none before it.
        let published = self.consumer.published();
        let (mut at, mut bytes) = (self.written, 0);
        // Ends: each round passes over a record, and all that is repeated is still in the ring.
        while at.sequence < self.repeated {
            let records = self.consumer.readable(at.position, published);
            match records[0] {
                WRAP => at.position = self.consumer.after_wrap(at.position),
                EPOCH_RECORD => at.position += EPOCH_RECORD_BYTES as u64,
                LARGE_RECORD => {
                    let large = large_at(&self.large, u64_at(records, 1));
                    bytes += frame_bytes(large.payload.len());
                    at.position += LARGE_RECORD_BYTES as u64;
                    at.sequence = at.sequence.plus(u64::from(large.entry_count));
                }
                _ => {
                    let span = Span::measure(records);
                    bytes += frame_bytes(span.bytes);
                    at.position += span.bytes as u64;
                    at.sequence = at.sequence.plus(u64::from(span.entries));
                }
            }
        }
        bytes
    }

    /// Seals as asked for, or remembers to cut here if that would tear apart what is being repeated.
    pub(super) fn seal_requested(&mut self, before: Epoch) -> Result<(), DrainError> {
        let segment = self.segment.as_ref().filter(|segment| segment.has_entries());
        match segment.filter(|_| self.is_repeating()).map(SegmentWriter::end) {
            Some(offset) if self.sealed_at.before < before && self.cut.is_none() => {
                self.cut = Some(Cut { before, at: self.written, offset });
                Ok(())
            }
            Some(_) => Ok(()),
            None => self.seal(before).map(drop),
        }
    }

    /// If everything is repeated and was to be cut: completes the segment, ends it at the cut, and goes back there.
    pub(super) fn cut_repeated(&mut self) -> Result<(), DrainError> {
        if self.is_repeating() {
            return Ok(());
        }
        let Some(cut) = self.cut.take() else { return Ok(()) };
        self.flush()?;
        let segment = self.segment.take().unwrap_or_else(|| unreachable!("the cut is in it"));
        self.link =
            Some(Previous { segment: segment.number(), end: cut.offset, synced_through: segment.durable() });
        self.origin = Origin::Continuation;
        self.unsynced.push(Unsynced {
            file: Arc::clone(segment.file()),
            name: segment.name().to_owned(),
            end: cut.offset,
        });
        self.repeated = self.flushed;
        self.written = cut.at;
        self.sealed_at = SealedAt {
            before: cut.before,
            end: self.written_position(),
            is_complete: false,
            timestamp_ns: cut.at.timestamp,
            epoch: cut.at.epoch,
            has_barrier: false,
        };
        Ok(())
    }
}
