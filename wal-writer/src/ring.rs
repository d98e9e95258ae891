//! The single-producer single-consumer byte ring between a core and its log. All `unsafe` of the workspace.
//!
//! The producer reserves a contiguous stretch, fills it in place, and publishes it with one Release store of the
//! tail: a record, or a batch, is seen whole or not at all. The consumer reads published stretches in place and
//! releases them when it no longer needs them, which may be long after it has read them (until they are durable).
//!
//! Not for anything but bytes: what a record is, producer and consumer agree on, except for [`WRAP`].
//!
//! # Shared variables
//!
//! Positions are byte counts since the ring was made; `position & mask` is the index. They do not wrap in practice
//! (2^64 bytes). Always `head <= tail <= head + capacity`.
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `tail` | producer, Release, in `publish` | consumer, Acquire, in `published` | the bytes below it are filled |
//! | `head` | consumer, Release, in `release` | producer, Acquire, in `refresh` | reads of the bytes below it are over |
//! | `bytes[head..tail]` | nobody | consumer | |
//! | `bytes[tail..head + capacity]` | producer | nobody | |
//!
//! Nobody waits here: a writer without room drains, or waits for locks that the drain holds (`writer.rs`).
//!
//! # Why the `unsafe` is sound
//!
//! The buffer is an array of `UnsafeCell<u8>` that lives as long as the `Arc<Ring>` held by both halves, and every
//! slice handed out borrows from one of them. Two slices can overlap only if they come from the same half (then the
//! borrow checker keeps a `&mut` exclusive) or from both halves: the producer's lies in `[tail, head' + capacity)`
//! with `head' <= head` the value that it last acquired, the consumer's in `[from, tail']` with `head <= from` and
//! `tail' <= tail` the value that it last acquired. A byte of the consumer's slice was published before it was read
//! (Release/Acquire on `tail`), and a byte that the producer fills again was released after it was read
//! (Release/Acquire on `head`; `release` takes `&mut self`, so no slice of the consumer is alive then). So the two
//! are disjoint, and every access to one byte from both sides is ordered. Each half exists once (made by [`ring`],
//! not `Clone`), and each is used through `&mut self` or hands out shared reads only.
#![allow(unsafe_code, reason = "the home of the workspace's unsafe code, argued above")]

use std::sync::Arc;

use crate::sync::{AtomicU64, ByteCell, CachePadded, Edge};

/// First byte of the unused rest of the buffer: the next record starts at the buffer's front.
pub(crate) const WRAP: u8 = 0;

struct Ring {
    bytes: Box<[ByteCell]>,
    head: CachePadded<AtomicU64>,
    tail: CachePadded<AtomicU64>,
    #[cfg(loom)]
    guards: Box<[loom::cell::UnsafeCell<()>]>,
}

// SAFETY: `bytes` is the only field that is not Sync by itself; who may touch which byte when is argued at the top.
unsafe impl Sync for Ring {}
// SAFETY: bytes have no thread affinity.
unsafe impl Send for Ring {}

/// The filling half. `Send`, not `Clone`.
pub(crate) struct Producer {
    ring: Arc<Ring>,
    /// The true tail; at least the published one.
    tail: u64,
    /// Up to here may be reserved: at most the true `head + capacity`. 0 until the first [`Producer::refresh`].
    limit: u64,
    reserved: usize,
    /// The head as last seen: at most the true one.
    released: u64,
}

/// The reading half. `Send`, not `Clone`.
pub(crate) struct Consumer {
    ring: Arc<Ring>,
    /// The true head.
    head: u64,
}

/// A look at how full the ring is, for whoever watches it. Any number of them.
pub(crate) struct Gauge(Arc<Ring>);

/// A ring of `capacity` bytes, a power of two.
///
/// The buffer is filled with a non-zero pattern: the pages are there before the first append needs them.
pub(crate) fn ring(capacity: usize) -> (Producer, Consumer) {
    assert!(capacity.is_power_of_two(), "the capacity of a ring is a power of two, not {capacity}");
    let ring = Arc::new(Ring {
        bytes: std::iter::repeat_with(|| ByteCell::new(0xA5)).take(capacity).collect(),
        head: CachePadded::default(),
        tail: CachePadded::default(),
        #[cfg(loom)]
        guards: std::iter::repeat_with(|| loom::cell::UnsafeCell::new(())).take(capacity).collect(),
    });
    (
        Producer { ring: Arc::clone(&ring), tail: 0, limit: 0, reserved: 0, released: 0 },
        Consumer { ring, head: 0 },
    )
}

impl Ring {
    fn capacity(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Index of `position`, and how many bytes there are from it to the end of the buffer.
    fn index(&self, position: u64) -> (usize, usize) {
        #[expect(clippy::cast_possible_truncation, reason = "masked to below the buffer's length, a usize")]
        let index = (position & (self.capacity() - 1)) as usize;
        (index, self.bytes.len() - index)
    }

    /// loom sees accesses to its own cells only, so each byte has a guard cell there.
    #[cfg(loom)]
    fn assert_exclusive(&self, index: usize, length: usize) {
        self.guards[index..index + length].iter().for_each(|guard| guard.with_mut(|_| ()));
    }

    #[cfg(loom)]
    fn assert_shared(&self, index: usize, length: usize) {
        self.guards[index..index + length].iter().for_each(|guard| guard.with(|_| ()));
    }
}

impl Producer {
    /// Position of the next record.
    pub(crate) fn position(&self) -> u64 {
        self.tail
    }

    /// Longest record that always fits once the ring is empty, wherever the tail stands.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.ring.bytes.len() / 2
    }

    /// Whether `bytes` can be reserved, judged by the limit as last seen.
    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.end_of(bytes) <= self.limit
    }

    /// Learns what the consumer has released, and that nothing may be reserved beyond `bound`. Allows for `bytes`, if
    /// they fit, and a quarter of the buffer, so as to be asked again soon. Returns whether that much waits to be
    /// read already.
    pub(crate) fn refresh(&mut self, bound: u64, bytes: usize) -> bool {
        let head = self.ring.head.load(Edge::HeadRead.order());
        self.released = head;
        let quarter = self.quarter();
        let hard = (head + self.ring.capacity()).min(bound);
        self.limit = hard.min(self.end_of(bytes).max(self.tail + quarter));
        self.tail - head >= quarter
    }

    /// What the consumer had released when [`Producer::refresh`] last looked.
    pub(crate) fn released(&self) -> u64 {
        self.released
    }

    /// A quarter of the buffer.
    pub(crate) fn quarter(&self) -> u64 {
        self.ring.capacity() / 4
    }

    /// Position behind a record of `bytes`, with what is skipped before it.
    #[inline]
    pub(crate) fn end_of(&self, bytes: usize) -> u64 {
        let (_, to_end) = self.ring.index(self.tail);
        let skipped = if bytes > to_end { to_end } else { 0 };
        self.tail + (skipped as u64) + (bytes as u64)
    }

    /// A contiguous stretch of `bytes` at the tail, to fill before [`Producer::publish`]. Whatever is left of the
    /// buffer before it is marked with [`WRAP`].
    ///
    /// # Panics
    /// If there is no room: ask [`Producer::has_room`] first.
    #[inline]
    pub(crate) fn reserve(&mut self, bytes: usize) -> &mut [u8] {
        assert!(self.has_room(bytes), "reserve() without room");
        let (index, to_end) = self.ring.index(self.tail);
        if bytes > to_end {
            self.stretch(index, to_end)[0] = WRAP;
            self.tail += to_end as u64;
        }
        let (index, _) = self.ring.index(self.tail);
        self.reserved = bytes;
        self.stretch(index, bytes)
    }

    /// Makes the first `bytes` of the reserved stretch visible to the consumer.
    #[inline]
    pub(crate) fn publish(&mut self, bytes: usize) {
        assert!(bytes <= self.reserved, "published more than was reserved");
        self.reserved = 0;
        self.tail += bytes as u64;
        self.ring.tail.store(self.tail, Edge::TailPublish.order());
    }

    #[inline]
    fn stretch(&mut self, index: usize, length: usize) -> &mut [u8] {
        #[cfg(loom)]
        self.ring.assert_exclusive(index, length);
        let cells = &self.ring.bytes[index..index + length];
        let start = ByteCell::raw_get(cells.as_ptr());
        // SAFETY: `cells` bounds-checked the stretch; it lies in [tail, limit), which the producer alone may touch
        // (see the top), and the result borrows the only producer exclusively.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }
}

impl Consumer {
    /// The published tail: everything below it can be read.
    pub(crate) fn published(&self) -> u64 {
        self.ring.tail.load(Edge::TailRead.order())
    }

    /// The published bytes from `from` up to `published` or to the end of the buffer, whichever comes first.
    /// `published` is a value that [`Consumer::published`] returned.
    ///
    /// # Panics
    /// If `from` has been released, or lies beyond `published`.
    pub(crate) fn readable(&self, from: u64, published: u64) -> &[u8] {
        assert!(self.head <= from && from <= published, "read of released or unpublished bytes");
        assert!(published - self.head <= self.ring.capacity(), "a tail that this ring never had");
        let (index, to_end) = self.ring.index(from);
        let length = usize::try_from(published - from).map_or(to_end, |length| length.min(to_end));
        #[cfg(loom)]
        self.ring.assert_shared(index, length);
        let cells = &self.ring.bytes[index..index + length];
        let start = ByteCell::raw_get(cells.as_ptr()).cast_const();
        // SAFETY: `cells` bounds-checked the stretch; it lies in [head, tail), which nobody writes (see the top), and
        // the result borrows the consumer, so `release`, which takes `&mut self`, cannot come in between.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    /// Position behind a [`WRAP`] at `position`.
    pub(crate) fn after_wrap(&self, position: u64) -> u64 {
        position + self.ring.index(position).1 as u64
    }

    /// Gives everything below `to` back to the producer.
    pub(crate) fn release(&mut self, to: u64) {
        assert!(self.head <= to, "release() goes back");
        self.head = to;
        self.ring.head.store(to, Edge::HeadRelease.order());
    }

    /// Published bytes that have not been given back.
    pub(crate) fn fill(&self) -> u64 {
        self.published() - self.head
    }

    pub(crate) fn gauge(&self) -> Gauge {
        Gauge(Arc::clone(&self.ring))
    }

    /// Everything below has been given back.
    pub(crate) fn released(&self) -> u64 {
        self.head
    }
}

impl Gauge {
    pub(crate) fn capacity(&self) -> u64 {
        self.0.capacity()
    }

    /// Published bytes that have not been given back; a few less while both ends move. The tail is read first, so it is never
    /// more than there were.
    pub(crate) fn fill(&self) -> u64 {
        let tail = self.0.tail.load(Edge::TailRead.order());
        let head = self.0.head.load(Edge::HeadRead.order());
        tail.saturating_sub(head)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Writes `length` bytes of `fill` as one record.
    fn push(producer: &mut Producer, length: usize, fill: u8) -> bool {
        producer.refresh(u64::MAX, length);
        if !producer.has_room(length) {
            return false;
        }
        producer.reserve(length).fill(fill);
        producer.publish(length);
        true
    }

    #[test]
    fn records_come_out_whole_and_in_order_across_the_wrap() {
        let (mut producer, mut consumer) = ring(16);
        let mut position = 0;
        for round in 1..100_u8 {
            let length = usize::from(round % 7) + 1;
            assert!(push(&mut producer, length, round), "round {round}");
            let published = consumer.published();
            if consumer.readable(position, published)[0] == WRAP {
                position = consumer.after_wrap(position);
            }
            assert_eq!(consumer.readable(position, published), vec![round; length]);
            position += length as u64;
            consumer.release(position);
        }
    }

    #[test]
    fn a_full_ring_has_no_room_until_released() {
        let (mut producer, mut consumer) = ring(16);
        assert!(push(&mut producer, 8, 1));
        assert!(push(&mut producer, 8, 2));
        assert!(!push(&mut producer, 1, 3));
        assert_eq!((consumer.fill(), consumer.gauge().fill()), (16, 16));
        consumer.release(8);
        assert_eq!((consumer.fill(), consumer.gauge().fill()), (8, 8));
        assert!(push(&mut producer, 8, 3));
        assert_eq!(consumer.readable(8, consumer.published()), [2; 8]);
        assert_eq!(consumer.readable(16, consumer.published()), [3; 8]);
    }

    /// Wherever head and tail stand: a quarter that waits is told, and what may be reserved is a quarter, or what is asked for,
    /// within the ring and the bound.
    #[test]
    fn a_look_tells_whether_a_quarter_waits_and_allows_for_a_quarter_or_what_is_asked() {
        for released in 0..40 {
            let (mut producer, mut consumer) = ring(16);
            for _ in 0..released {
                assert!(push(&mut producer, 1, 1));
                consumer.release(consumer.published());
            }
            for waiting in 0..16 {
                for (bytes, bound) in [(1, u64::MAX), (4, u64::MAX), (8, u64::MAX), (8, 2), (1, 0)] {
                    let tail = producer.position();
                    assert_eq!(producer.refresh(tail.saturating_add(bound), bytes), waiting >= 4);
                    assert_eq!((producer.released(), tail), (released, released + waiting));
                    let asked = producer.end_of(bytes) - tail;
                    let most = asked.max(4).min(16 - waiting).min(bound);
                    assert_eq!(producer.limit - tail, most, "{released}, {waiting}: {bytes} up to {bound}");
                    assert_eq!(producer.has_room(bytes), asked <= most);
                }
                if !push(&mut producer, 1, 1) {
                    break;
                }
            }
        }
    }

    #[test]
    fn nothing_is_visible_before_publish() {
        let (mut producer, consumer) = ring(16);
        producer.refresh(u64::MAX, 4);
        producer.reserve(4).fill(9);
        assert_eq!(consumer.published(), 0);
        producer.publish(4);
        assert_eq!(consumer.readable(0, consumer.published()), [9; 4]);
    }

    /// For ThreadSanitizer above all: it sees whether every access of one side is ordered with those of the other.
    #[test]
    fn two_threads_hand_bytes_over_and_back() {
        const RECORDS: u8 = 250;
        const ROUNDS: usize = 8;
        let (mut producer, mut consumer) = ring(256);
        let records = || (1..=RECORDS).cycle().take(usize::from(RECORDS) * ROUNDS);
        let length = |fill: u8| usize::from(fill % 13) + 1;
        let mut wrong = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for fill in records() {
                    while !push(&mut producer, length(fill), fill) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut position = 0;
            for fill in records() {
                while consumer.published() == position {
                    std::thread::yield_now();
                }
                let published = consumer.published();
                if consumer.readable(position, published)[0] == WRAP {
                    position = consumer.after_wrap(position);
                }
                // Not asserted here: the other thread would wait for room for ever.
                let is_right = consumer.readable(position, published).starts_with(&vec![fill; length(fill)]);
                wrong.extend((!is_right).then_some(position));
                position += length(fill) as u64;
                // Now and then long after it was read.
                if fill % 4 == 0 {
                    consumer.release(position);
                }
            }
        });
        assert_eq!(wrong, [], "positions of records that came out different");
    }
}
