//! The logs of all cores as one stream, in the global order, in bounded memory: one buffer per core.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use wal_format::{EntryRef, Epoch, OrderKey};

use crate::error::{Defect, ReadError};
use crate::reader::PerCoreWalReader;

/// Merges the readers of several cores by [`OrderKey`]: epoch, then timestamp, then core, then sequence.
///
/// Each reader checks that its own sequence numbers have no gap and that its epochs and timestamps never decrease;
/// this checks that the whole never steps back, so a merge that ends without an error was sorted.
pub struct MergedReader {
    readers: Vec<PerCoreWalReader>,
    /// The reader that holds the current entry.
    current: Option<usize>,
    /// All other readers that have an entry, by its key. Its least key bounds how long `current` may go on.
    others: BinaryHeap<Reverse<(OrderKey, usize)>>,
    up_to: Option<Epoch>,
    started: bool,
    last: Option<OrderKey>,
    entries: u64,
}

impl MergedReader {
    /// Merges these readers, at most one per core.
    #[must_use]
    pub fn new(readers: Vec<PerCoreWalReader>) -> Self {
        let others = BinaryHeap::with_capacity(readers.len());
        Self { readers, current: None, others, up_to: None, started: false, last: None, entries: 0 }
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
        if !self.started {
            self.start()?;
        }
        if let Some(current) = self.current {
            let Some(reader) = self.readers.get_mut(current) else { return Ok(false) };
            if reader.advance()? {
                let key = reader.order_key();
                // The common case, a run of entries from one core, ends here.
                if self.others.peek().is_some_and(|Reverse((other, _))| *other < key) {
                    self.change_to_least(key, current);
                }
            } else {
                self.current = self.others.pop().map(|Reverse((_, index))| index);
            }
        } else {
            self.current = self.others.pop().map(|Reverse((_, index))| index);
        }
        self.check_step()
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

    fn start(&mut self) -> Result<(), ReadError> {
        self.started = true;
        for (index, reader) in self.readers.iter_mut().enumerate() {
            if reader.advance()? {
                self.others.push(Reverse((reader.order_key(), index)));
            }
        }
        Ok(())
    }

    /// Puts the current reader back among the others and takes the one with the least key.
    fn change_to_least(&mut self, key: OrderKey, index: usize) {
        // One sift-down in place of a pop and a push.
        if let Some(mut least) = self.others.peek_mut() {
            let Reverse((_, next)) = std::mem::replace(&mut *least, Reverse((key, index)));
            self.current = Some(next);
        }
    }

    #[inline]
    fn check_step(&mut self) -> Result<bool, ReadError> {
        let Some(reader) = self.current.and_then(|index| self.readers.get(index)) else {
            return Ok(false);
        };
        let key = reader.order_key();
        if self.up_to.is_some_and(|epoch| key.epoch > epoch) {
            self.current = None;
            self.others.clear();
            return Ok(false);
        }
        if self.last.is_some_and(|last| last >= key) {
            return Err(stepped_back(reader));
        }
        self.last = Some(key);
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
