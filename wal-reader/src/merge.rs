//! The logs of all cores as one stream, in the global order, in bounded memory: one buffer per core.

use wal_format::{EntryRef, Epoch};

use crate::error::{Defect, ReadError};
use crate::reader::PerCoreWalReader;
use crate::tournament::{Key, Tournament};

/// Merges the readers of several cores by [`OrderKey`](wal_format::OrderKey): epoch, then timestamp, then core, then sequence.
///
/// Each reader checks that its own sequence numbers have no gap and that its epochs and timestamps never decrease;
/// this checks that the whole never steps back, so a merge that ends without an error was sorted.
pub struct MergedReader {
    readers: Vec<PerCoreWalReader>,
    /// Which of them holds the least entry, once they were started.
    tournament: Option<Tournament>,
    /// The reader that holds the current entry.
    current: Option<usize>,
    up_to: Option<Epoch>,
    /// Place of the current entry, or of the last.
    last: Option<Key>,
    entries: u64,
}

impl MergedReader {
    /// Merges these readers, at most one per core.
    #[must_use]
    pub fn new(readers: Vec<PerCoreWalReader>) -> Self {
        Self { readers, tournament: None, current: None, up_to: None, last: None, entries: 0 }
    }

    /// Stops before the first entry of an epoch above `epoch`.
    #[must_use]
    pub fn up_to(mut self, epoch: Option<Epoch>) -> Self {
        self.up_to = epoch;
        self
    }

    /// Steps to the next entry in the global order; false at the end.
    ///
    /// # Errors
    /// As of [`PerCoreWalReader::advance`], of any core; [`ReadError::Corrupt`] if the order steps back.
    #[inline]
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        let (Some(current), Some(tournament)) = (self.current, &mut self.tournament) else {
            return self.start();
        };
        let Some(reader) = self.readers.get_mut(current) else { return Ok(false) };
        tournament.replace(if reader.advance()? { Key::of(&reader.order_key()) } else { Key::END });
        let (winner, key) = tournament.winner();
        self.take(winner, key)
    }

    /// The current entry: that to which [`Self::advance`] stepped.
    ///
    /// # Panics
    /// If the last `advance` did not return true.
    #[inline]
    #[must_use]
    pub fn entry(&self) -> EntryRef<'_> {
        match self.current.and_then(|index| self.readers.get(index)) {
            Some(reader) => reader.entry(),
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

    /// Whether the next entry of the current entry's core belongs to the same batch. Entries of other cores with the
    /// same timestamp do not come between: the order ranks the core before the sequence number.
    #[must_use]
    pub fn more_of_batch(&self) -> bool {
        self.current.and_then(|index| self.readers.get(index)).is_some_and(PerCoreWalReader::more_of_batch)
    }

    /// Entries handed out so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes read from files so far, which runs ahead of the current entry by up to a buffer per core.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.readers.iter().map(PerCoreWalReader::bytes_read).sum()
    }

    /// Steps to the first entry; behind the last there is none.
    #[cold]
    fn start(&mut self) -> Result<bool, ReadError> {
        if self.tournament.is_some() {
            return Ok(false);
        }
        let mut keys = Vec::with_capacity(self.readers.len());
        for reader in &mut self.readers {
            keys.push(if reader.advance()? { Key::of(&reader.order_key()) } else { Key::END });
        }
        let tournament = self.tournament.insert(Tournament::new(&keys));
        let (winner, key) = tournament.winner();
        self.take(winner, key)
    }

    #[inline]
    fn take(&mut self, winner: usize, key: Key) -> Result<bool, ReadError> {
        // A reader has checked that its own entries follow from each other.
        let is_ordered = self.current == Some(winner) || self.last.is_none_or(|last| last.is_below(&key));
        if key == Key::END || self.up_to.is_some_and(|up_to| key.epoch() > up_to) {
            self.current = None;
            return Ok(false);
        }
        if !is_ordered {
            self.current = None;
            return Err(stepped_back(&self.readers[winner]));
        }
        (self.current, self.last) = (Some(winner), Some(key));
        self.entries += 1;
        Ok(true)
    }
}

#[cold]
fn stepped_back(reader: &PerCoreWalReader) -> ReadError {
    let position = reader.position();
    ReadError::Corrupt(Box::new(Defect {
        path: reader.path(),
        core: reader.core(),
        segment: position.segment,
        offset: position.offset,
        sequence: position.sequence,
        sequence_end: None,
        evidence: None,
        reason: "an entry sorts before one that precedes it".to_owned(),
    }))
}
