//! Syncs, seen from the drain: what one must cover, what has become durable, and the way back if it failed.

use std::sync::Arc;

use super::{Cursor, Drain, Unsynced};
use crate::flaw::Flaw;
use crate::options::Retention;
use crate::position::{SealedAt, SegmentPosition};
use crate::storage::StorageFile;
use crate::trace;
use wal_format::{Origin, Previous, Sequence};

/// Which files a sync must cover, and what is durable once it has.
pub(crate) struct Ticket {
    /// Oldest first.
    pub(crate) files: Vec<TicketFile>,
    covered: Cursor,
    position: SegmentPosition,
}

pub(crate) struct TicketFile {
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) name: String,
    /// Bytes below this are covered.
    through: u64,
}

impl Ticket {
    /// Every entry below is covered.
    pub(crate) fn covered_sequence(&self) -> Sequence {
        self.covered.sequence
    }
}

impl Drain {
    /// What a sync that starts now must cover; `None` if nothing is in doubt.
    pub(crate) fn submit(&self) -> Option<Ticket> {
        let of_unsynced = |unsynced: &Unsynced| TicketFile {
            file: Arc::clone(&unsynced.file),
            name: unsynced.name.clone(),
            through: unsynced.end,
        };
        let mut files: Vec<_> = self.unsynced.iter().map(of_unsynced).collect();
        if let Some(segment) = self.segment.as_ref().filter(|segment| segment.durable() < segment.end()) {
            let (file, name) = (Arc::clone(segment.file()), segment.name().to_owned());
            files.push(TicketFile { file, name, through: segment.end() });
        }
        let position = self.written_position().filter(|_| !files.is_empty())?;
        Some(Ticket { files, covered: self.written, position })
    }

    /// The sync of `ticket` succeeded, in `took_ns`: what it covered is durable. What was written meanwhile is not, also
    /// if it went to the same files.
    pub(crate) fn complete(&mut self, ticket: &Ticket, took_ns: u64) {
        let covers = |file: &Arc<dyn StorageFile>, end: u64| {
            let reaches = |through: u64| through >= end || Flaw::CoversRotation.is_planted();
            ticket.files.iter().any(|of| Arc::ptr_eq(&of.file, file) && reaches(of.through))
        };
        self.unsynced.retain(|unsynced| !covers(&unsynced.file, unsynced.end));
        if let Some(segment) = self.segment.as_mut().filter(|segment| covers(segment.file(), 0)) {
            segment.set_durable(ticket.position.offset);
        }
        if let Some(link) = self.link.as_mut().filter(|link| link.segment <= ticket.position.segment) {
            let through = if self.unsynced.is_empty() { link.end } else { link.synced_through };
            link.synced_through = through;
        }
        let entries = ticket.covered.sequence.0 - self.durable.sequence.0;
        self.durable = if Flaw::CoversArrivals.is_planted() { self.written } else { ticket.covered };
        self.durable_position = ticket.position;
        let SegmentPosition { segment, offset, .. } = ticket.position;
        self.durable_link = Some(Previous { segment, end: offset, synced_through: offset });
        self.tallies.sync_ns.record(took_ns);
        self.tallies.sync_entries.record(entries);
        if std::mem::take(&mut self.is_continuing) {
            self.tallies.continuations.add(1);
            trace::continued(self.core, self.durable.sequence);
        }
        if self.retention == Retention::UntilDurable {
            self.release(self.durable);
        }
    }

    /// A sync or write failed: forget what is not durable, to write it again to a fresh segment. Only while the ring
    /// still has it.
    ///
    /// The chain goes on from where the last completed sync ended; the files in doubt beyond that are passed over.
    pub(crate) fn rewind(&mut self) {
        assert!(self.retention == Retention::UntilDurable, "the bytes are gone from the ring");
        self.segment = None;
        self.unsynced.clear();
        self.link = self.durable_link;
        self.origin = if self.link.is_some() { Origin::Continuation } else { Origin::First };
        self.repeated = self.repeated.max(self.flushed);
        self.cut = None;
        self.written = self.durable;
        self.flushed = self.durable.sequence;
        self.doubt = None;
        // A seal that is not durable is made again, at the same entry; one that is durable stands.
        let durable = self.durable_position.place();
        if self.sealed_at.end.is_some_and(|end| end.place() > durable) {
            self.sealed_at = SealedAt::default();
        }
        self.is_continuing = true;
    }
}
