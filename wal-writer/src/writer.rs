//! The append side that a core owns.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;

use wal_format::limits::{FRAME_PAYLOAD_BYTES_MAX, SOURCE_NAME_BYTES_MAX, VARINT_BYTES_MAX};
use wal_format::{CoreId, EntryEncoder, Epoch, Offsets, OperationRef, Sequence, entry, varint};

use crate::batch::WriteBatch;
use crate::clock::{Clock, HybridClock};
use crate::drain::{EPOCH_RECORD_BYTES, LARGE_RECORD_BYTES, Large, write_epoch, write_large};
use crate::error::WriterError;
use crate::log::CoreLog;
use crate::options::RING_BYTES_MIN;
use crate::parts::LogParts;
use crate::pin::{GlobalEpoch, Pinner};
use crate::progress::Receipt;
use crate::ring::{Producer, ring};
use crate::stall::{self, Place};

/// Appends to one core's log. Owned by the core's thread: `Send`, not `Sync`, not `Clone`.
///
/// An append costs tens of nanoseconds: no lock, no system call, no allocation, as long as the ring has room. When the
/// ring is full, the append drains it itself (back-pressure). An entry is *appended* when the call returns; to be told
/// when it is written or durable, use [`CoreWalWriter::sync`] or a [`Receipt`].
///
/// ```compile_fail,E0277
/// fn shared_between_threads<T: Sync>() {}
/// shared_between_threads::<wal_writer::CoreWalWriter>();
/// ```
/// ```
/// fn moved_to_a_thread<T: Send>() {}
/// moved_to_a_thread::<wal_writer::CoreWalWriter>();
/// ```
pub struct CoreWalWriter {
    log: Arc<CoreLog>,
    producer: Producer,
    /// Ring position up to which there is space on the medium.
    granted: u64,
    pinner: Pinner,
    global: Arc<GlobalEpoch>,
    clock: HybridClock,
    last_timestamp: u64,
    next: Sequence,
    next_large: u64,
    not_sync: PhantomData<Cell<()>>,
}

/// The rest of what an append may need beside its own bytes: an epoch record before it.
const SLACK_BYTES: usize = EPOCH_RECORD_BYTES;

impl CoreWalWriter {
    /// A writer and the log that it shares with flusher and coordinator. `timestamp_floor`: no timestamp will be
    /// lower.
    ///
    /// # Panics
    /// If the ring size is not a power of two of at least 4096.
    #[must_use]
    pub fn new(
        parts: LogParts,
        global: Arc<GlobalEpoch>,
        clock: Clock,
        timestamp_floor: u64,
    ) -> (Self, Arc<CoreLog>) {
        assert!(parts.options.ring_bytes >= RING_BYTES_MIN, "a ring of at least {RING_BYTES_MIN} bytes");
        let (mut producer, consumer) = ring(parts.options.ring_bytes);
        // Nothing is backed by space on the medium yet: the first append asks for it.
        producer.refresh(0, 0);
        let start = parts.start;
        let log = CoreLog::new(parts, consumer, clock.clone());
        let floor = timestamp_floor.max(start.timestamp_ns);
        let writer = Self {
            pinner: Pinner::new(Arc::clone(&log.pin), start.epoch),
            log: Arc::clone(&log),
            producer,
            granted: 0,
            global,
            clock: HybridClock::new(clock, floor),
            last_timestamp: start.timestamp_ns,
            next: start.sequence,
            next_large: 0,
            not_sync: PhantomData,
        };
        (writer, log)
    }

    /// Appends "set `key` to `value`" and returns the entry's sequence number.
    ///
    /// # Errors
    /// [`WriterError::EntryTooLarge`]; if the ring was full: [`WriterError::NoSpace`], [`WriterError::Io`];
    /// [`WriterError::Poisoned`], [`WriterError::Closed`]. On an error nothing was appended.
    #[inline]
    pub fn append_put(&mut self, key: &[u8], value: &[u8]) -> Result<Sequence, WriterError> {
        let bytes = entry::put_bytes_max(key, value);
        if bytes > self.in_ring_bytes_max() {
            return self.append(&OperationRef::Put { key, value });
        }
        self.append_with(bytes, 1, |stretch, delta| {
            let mut encoder = EntryEncoder::new(stretch);
            encoder.put(delta, key, value);
            encoder.position()
        })
    }

    /// Appends "remove `key`".
    ///
    /// # Errors
    /// As [`CoreWalWriter::append_put`].
    #[inline]
    pub fn append_delete(&mut self, key: &[u8]) -> Result<Sequence, WriterError> {
        self.append_inlined(&OperationRef::Delete { key })
    }

    /// Appends source positions (per source the next offset to read) and a watermark: everything appended before by
    /// this core is their effect. For effects and offsets that must stand or fall together, use a [`WriteBatch`].
    ///
    /// # Errors
    /// As [`CoreWalWriter::append_put`], and [`WriterError::SourceNameTooLong`].
    pub fn append_commit(
        &mut self,
        offsets: &[(&str, u64)],
        watermark: Option<i64>,
    ) -> Result<Sequence, WriterError> {
        self.append(&OperationRef::Commit { offsets: Offsets::new(offsets), watermark })
    }

    /// Appends any operation.
    ///
    /// # Errors
    /// As [`CoreWalWriter::append_commit`].
    pub fn append(&mut self, operation: &OperationRef<'_>) -> Result<Sequence, WriterError> {
        self.append_inlined(operation)
    }

    /// Appends all operations of `batch` as one: they are replayed all or none, and have one timestamp. Returns the
    /// first one's sequence number. An empty batch appends nothing.
    ///
    /// # Errors
    /// As [`CoreWalWriter::append_commit`]. On an error no part of it was appended.
    pub fn append_batch(&mut self, batch: &WriteBatch) -> Result<Sequence, WriterError> {
        if batch.is_empty() {
            return Ok(self.next);
        }
        if batch.has_long_name() {
            return Err(WriterError::SourceNameTooLong { max: SOURCE_NAME_BYTES_MAX });
        }
        let encoded = batch.encoded();
        check_size(encoded.len())?;
        let bytes = encoded.len() + VARINT_BYTES_MAX;
        if bytes > self.in_ring_bytes_max() {
            return self.append_large(batch);
        }
        self.append_with(bytes, batch.count(), |stretch, delta| {
            // All as encoded, but for the first timestamp delta.
            stretch[0] = encoded[0];
            let at = varint::write_varint(stretch, 1, delta);
            stretch[at..at + encoded.len() - 2].copy_from_slice(&encoded[2..]);
            at + encoded.len() - 2
        })
    }

    /// Makes everything appended so far durable, and returns the sequence number after it. Blocks for a device sync,
    /// unless a background flusher's has covered it already.
    ///
    /// # Errors
    /// [`WriterError::NoSpace`], [`WriterError::Io`]: nothing is lost, try again. [`WriterError::Poisoned`]: nothing
    /// more will become durable.
    pub fn sync(&mut self) -> Result<Sequence, WriterError> {
        self.log.sync()
    }

    /// A receipt for everything appended so far being written to files: it then survives this process.
    pub fn written(&self) -> Receipt {
        self.log.written_receipt(self.next)
    }

    /// A receipt for everything appended so far being durable: it then survives a power loss.
    pub fn durable(&self) -> Receipt {
        self.log.durable_receipt(self.next)
    }

    /// Takes note of a timestamp that came with a message from another core: the next entry's is greater, so that a
    /// reaction never sorts before its cause.
    pub fn observe(&mut self, timestamp_ns: u64) {
        self.clock.observe(timestamp_ns);
    }

    /// End of the log: every entry below is appended.
    #[must_use]
    pub fn position(&self) -> Sequence {
        self.next
    }

    /// Every entry below is durable. May have advanced by the time you look.
    #[must_use]
    pub fn synced_position(&self) -> Sequence {
        self.log.durable()
    }

    /// The current epoch: an entry appended now gets this or a later one.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.global.current()
    }

    /// The epoch of the last entry.
    #[must_use]
    pub fn last_epoch(&self) -> Epoch {
        self.pinner.seen()
    }

    /// Timestamp of the last entry, nanoseconds since the Unix epoch.
    #[must_use]
    pub fn last_timestamp_ns(&self) -> u64 {
        self.last_timestamp
    }

    /// Sequence number of the next entry.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.next
    }

    /// The core whose log this is.
    #[must_use]
    pub fn core_id(&self) -> CoreId {
        self.log.core()
    }

    /// The log that this writer appends to.
    #[must_use]
    pub fn log(&self) -> &Arc<CoreLog> {
        &self.log
    }

    /// The append of one operation. Inlined, so that whoever knows the operation pays for that one only.
    #[inline(always)]
    fn append_inlined(&mut self, operation: &OperationRef<'_>) -> Result<Sequence, WriterError> {
        let bytes = operation.body_bytes().saturating_add(1 + VARINT_BYTES_MAX);
        if bytes > self.in_ring_bytes_max() || !operation.is_encodable() {
            check_size(entry::entry_bytes(0, operation))?;
            return self.append_batch(WriteBatch::new().push(operation));
        }
        self.append_with(bytes, 1, |stretch, delta| {
            let mut encoder = EntryEncoder::new(stretch);
            encoder.entry(false, delta, operation);
            encoder.position()
        })
    }

    /// The append: room, pin, epoch, time, encode, publish, unpin.
    #[inline(always)]
    fn append_with(
        &mut self,
        bytes: usize,
        count: u32,
        encode: impl FnOnce(&mut [u8], u64) -> usize,
    ) -> Result<Sequence, WriterError> {
        let reserved = bytes + SLACK_BYTES;
        if !self.producer.has_room(reserved) || self.log.needs_attention() {
            self.make_room(reserved)?;
        }
        Ok(self.append_reserved(reserved, count, encode))
    }

    /// The append itself, once there is room.
    #[inline]
    fn append_reserved(
        &mut self,
        reserved: usize,
        count: u32,
        encode: impl FnOnce(&mut [u8], u64) -> usize,
    ) -> Sequence {
        let sequence = self.next;
        let next = sequence.plus(u64::from(count));
        let mut pinned = self.pinner.pin(&self.global);
        stall::at(Place::EpochRead);
        // The counter read hides the fence of the pin.
        let timestamp = self.clock.next_ns();
        assert!(timestamp >= self.last_timestamp, "a core's timestamps never decrease");
        let stretch = self.producer.reserve(reserved);
        let mut at = if pinned.is_first() { write_epoch(stretch, pinned.epoch()) } else { 0 };
        at += encode(&mut stretch[at..], timestamp - self.last_timestamp);
        stall::at(Place::Encoded);
        if pinned.is_first() {
            pinned.start(sequence);
        }
        self.producer.publish(at);
        stall::at(Place::Published);
        pinned.unpin(next);
        self.last_timestamp = timestamp;
        self.next = next;
        sequence
    }

    /// A batch that does not fit the ring goes beside it, with a record in its place. One at a time: the ring, and what
    /// goes beside it, is empty before.
    #[cold]
    fn append_large(&mut self, batch: &WriteBatch) -> Result<Sequence, WriterError> {
        self.log.check()?;
        self.log.empty_ring()?;
        let payload = batch.encoded().to_vec();
        // As if it were in the ring: the file must have room for it. Then for its record; from there on nothing fails,
        // because the record must follow once the batch stands beside the ring.
        let position = self.producer.position();
        self.granted =
            self.log.grant(position + payload.len() as u64 + LARGE_RECORD_BYTES as u64, position)?;
        let reserved = LARGE_RECORD_BYTES + SLACK_BYTES;
        self.make_room(reserved)?;
        let index = self.next_large;
        self.log.push_large(Large { index, payload, entry_count: batch.count() });
        self.next_large += 1;
        let last_timestamp = self.last_timestamp;
        Ok(self.append_reserved(reserved, batch.count(), |stretch, delta| {
            write_large(stretch, index, last_timestamp + delta)
        }))
    }

    /// Waits until `bytes` fit: in the ring, and on the medium. Also where a failed log is noticed, and where a
    /// flusher is woken when a quarter of the ring was filled since the last look.
    #[cold]
    fn make_room(&mut self, bytes: usize) -> Result<(), WriterError> {
        loop {
            let needed = self.producer.end_of(bytes);
            self.ask_for_space(needed)?;
            let is_filling = self.producer.refresh(self.granted, bytes);
            if self.producer.has_room(bytes) {
                if is_filling {
                    self.log.wake_flusher();
                }
                return Ok(());
            }
            // Ends: the space is granted, and each round frees what was appended so far, or returns why it cannot.
            self.log.make_room(self.producer.released())?;
        }
    }

    /// Has what the ring can take backed by space on the medium, at least up to position `needed`. Waits for whoever is
    /// draining only if there is no other way.
    fn ask_for_space(&mut self, needed: u64) -> Result<(), WriterError> {
        let position = self.producer.position();
        let wanted = position + 4 * self.producer.quarter();
        if needed > self.granted || self.log.needs_attention() {
            self.granted = self.log.grant(needed, wanted)?;
        } else if self.granted < position + 2 * self.producer.quarter()
            && let Some(granted) = self.log.try_grant(needed, wanted)?
        {
            self.granted = granted;
        }
        Ok(())
    }

    /// Largest record that goes through the ring; with the longest delta it is still no larger than a frame may be.
    #[inline]
    fn in_ring_bytes_max(&self) -> usize {
        (self.producer.record_bytes_max() - SLACK_BYTES).min(FRAME_PAYLOAD_BYTES_MAX)
    }
}

fn check_size(bytes: usize) -> Result<(), WriterError> {
    if bytes > FRAME_PAYLOAD_BYTES_MAX {
        return Err(WriterError::EntryTooLarge { bytes, max: FRAME_PAYLOAD_BYTES_MAX });
    }
    Ok(())
}

const _: () = assert!(entry::TAG_MORE & 0x7f == 0);
