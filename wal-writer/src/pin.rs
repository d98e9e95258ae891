//! The epoch pin: closing an epoch without the cores' help.
//!
//! The coordinator must know that no entry of epoch <= e will appear any more, and where each core's entries of
//! epoch e end, while cores append at full speed or sleep for ever. An append pins itself for its few tens of
//! nanoseconds; closing waits for pins that may have seen the old epoch, and for nothing else.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | [`GlobalEpoch`] | closer (one at a time), Release | every core, Acquire, pinned | whoever reads e+1 sees all that happened before the close, also `seal_before` |
//! | `pin`: `seen << 1 \| 1` in an append, even outside | core, Relaxed then fence; unpin Release | closer, fence then Acquire | see the case analysis; unpin: all stores of the append are visible |
//! | `start_sequence`, then `start_epoch` | core, at its first entry of an epoch, Relaxed, then Release | closer: epoch Acquire, then sequence | the sequence belongs to the epoch |
//! | `appended`: next sequence number | core, Release, after the marker | closer, flusher, anybody, Acquire | an entry of e+1 below `appended` implies the marker of e+1 |
//!
//! The closer's other reads and writes need nothing: only one close runs at a time, under the caller's lock.
//!
//! # Case analysis: close(e) against one append
//!
//! The append does: (1) store pin, (2) fence SeqCst, (3) load the global epoch, fill, store the marker if the epoch is
//! new, publish, store `appended`, (4) unpin. The closer does: (a) store epoch e+1, (b) fence SeqCst, (c) load pin until
//! it is even or its `seen` is > e, (d) load `appended`, (e) load the marker.
//!
//! 1. Fence (b) comes before fence (2) in the order of all SeqCst fences. Then (3) sees the store (a): the append
//!    belongs to an epoch > e.
//! 2. Fence (2) comes before fence (b). Then (c) sees the store (1) or a later one of that core.
//!    1. It sees this append's pin, with `seen` <= e: it waits until it sees the unpin (4) or a later store. The unpin's
//!       Release makes the append's stores visible.
//!    2. It sees this append's pin, with `seen` > e. The core appended in an epoch > e before, so (3) returns one too:
//!       a core never reads an older epoch than before.
//!    3. It sees an unpin, this append's or a later one's: that one's Release makes this append's stores visible, too.
//!    4. It sees a later append's pin with `seen` > e: that store is Relaxed and by itself says nothing about the appends
//!       before. But `seen` > e means that an append of an epoch > e came between, and its fence (2) stands between
//!       every append of epoch <= e and this store. A fence before a store that (c) acquires makes everything before
//!       the fence visible.
//!    5. It sees a later append's pin with `seen` <= e: as 2.1, for that append.
//!
//! Therefore, when the closer is past (c), every append that wrote an entry of epoch <= e is over and visible, and every
//! append still to publish belongs to an epoch > e.
//!
//! **The cut.** The closer is past (c), so whatever (d) returns is above every entry of epoch <= e.
//!
//! 1. (e) returns an epoch > e: it is e+1, since the next close has not begun, and the sequence stored before it (Release,
//!    Acquire) is the first of that epoch, so the cut.
//! 2. (e) returns an epoch <= e: no entry of e+1 is below what (d) returned, or its marker, stored before `appended`
//!    (Release, Acquire), would be visible. So what (d) returned is the cut.
//!
//! Therefore every entry of epoch <= e stands below the cut and is published, and every other entry stands at or above it,
//! whenever it is published.
//!
//! **Why the wait (c) ends**: an append pinned at `seen` <= e ends by itself (no lock, no syscall, no wait inside); the
//! next append of that core reads e+1 at (3), and the one after that pins with `seen` = e+1. After 64 looks it gives
//! way, in case the append's thread waits for this CPU. A core that is idle, blocked for room or gone is not pinned, and
//! one whose append panicked was unpinned by that.
//!
//! **Cause and effect.** A core that was told of something of epoch e+1 (by a message that orders memory) has the store (a)
//! before its own append, so (3) returns at least e+1.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use wal_format::{Epoch, Sequence};

use crate::flaw::Flaw;
use crate::stall::{self, Place};
use crate::sync::{AtomicU64, CachePadded, Edge, yield_now};

/// The epoch that all cores of a log read and one closer at a time advances. Shared, `Sync`.
#[derive(Debug)]
pub struct GlobalEpoch(CachePadded<AtomicU64>);

/// Looks at a pin before the closer gives way.
const SPINS_MAX: u32 = 64;

/// One core's words of the protocol. Written by the core's writer, read by the closer. Shared, `Sync`.
#[derive(Debug)]
pub struct EpochPin(CachePadded<Words>);

#[derive(Debug)]
struct Words {
    pin: AtomicU64,
    start_sequence: AtomicU64,
    start_epoch: AtomicU64,
    appended: AtomicU64,
}

/// The writer's end of an [`EpochPin`]: exists once per core.
#[derive(Debug)]
pub(crate) struct Pinner {
    pin: Arc<EpochPin>,
    seen: u64,
}

/// An append in flight.
pub(crate) struct Pinned<'a> {
    pinner: &'a mut Pinner,
    epoch: Epoch,
}

impl GlobalEpoch {
    /// A global epoch that starts at `first`.
    #[must_use]
    pub fn new(first: Epoch) -> Self {
        Self(CachePadded(AtomicU64::new(first.0)))
    }

    /// The current epoch. May have advanced by the time you look.
    #[must_use]
    pub fn current(&self) -> Epoch {
        Epoch(self.0.load(Edge::EpochRead.order()))
    }

    /// Closes the current epoch e and returns it with the cut of each core of `pins`: the first sequence number
    /// beyond e. When this returns, no entry of epoch <= e will be published any more.
    ///
    /// Waits for appends in flight, tens of nanoseconds; never for a core that is idle, blocked or gone.
    /// Closes must not run concurrently; the caller holds a lock.
    #[must_use]
    pub fn close(&self, pins: &[Arc<EpochPin>]) -> (Epoch, Vec<Sequence>) {
        self.close_telling(pins, |_| ())
    }

    /// As [`GlobalEpoch::close`]. Tells `waits_for` the index of every core whose append takes longer than any should, before
    /// it waits on: who watches can then say which.
    #[must_use]
    pub fn close_telling(&self, pins: &[Arc<EpochPin>], waits_for: impl Fn(usize)) -> (Epoch, Vec<Sequence>) {
        let closing = self.0.load(Relaxed);
        self.0.store(closing + 1, Edge::EpochAdvance.order()); // (a)
        Edge::CloseFence.fence(); // (b)
        stall::at(Place::EpochAdvanced);
        let each = pins.iter().enumerate();
        let cuts = each.map(|(index, pin)| pin.cut(closing, || waits_for(index))).collect();
        (Epoch(closing), cuts)
    }
}

impl EpochPin {
    /// The words of a core whose next entry has number `next`.
    #[must_use]
    pub fn new(next: Sequence) -> Self {
        Self(CachePadded(Words {
            pin: AtomicU64::new(0),
            start_sequence: AtomicU64::new(next.0),
            start_epoch: AtomicU64::new(0),
            appended: AtomicU64::new(next.0),
        }))
    }

    /// Every entry below is appended. May have advanced by the time you look.
    #[must_use]
    pub fn appended(&self) -> Sequence {
        Sequence(self.0.appended.load(Edge::AppendedRead.order()))
    }

    /// Waits until no append of epoch <= `closing` is in flight, then says where that epoch ends.
    fn cut(&self, closing: u64, waits: impl Fn()) -> Sequence {
        // (c); ends: see the top.
        let mut spins = 0_u32;
        while is_pinned_at(self.0.pin.load(Edge::PinRead.order()), closing) && !Flaw::IgnoresPin.is_planted()
        {
            spins = spins.saturating_add(1);
            stall::at(Place::PinAwaited);
            if spins == SPINS_MAX {
                waits();
            }
            // A pinned section is shorter than a context switch, unless its thread lost its CPU inside.
            if cfg!(any(loom, shuttle)) || spins >= SPINS_MAX { yield_now() } else { std::hint::spin_loop() }
        }
        let appended = self.0.appended.load(Edge::AppendedRead.order());
        stall::at(Place::AppendedRead);
        if self.0.start_epoch.load(Edge::MarkerRead.order()) > closing {
            Sequence(self.0.start_sequence.load(Relaxed))
        } else {
            Sequence(appended)
        }
    }
}

fn is_pinned_at(word: u64, closing: u64) -> bool {
    word & 1 == 1 && word >> 1 <= closing
}

impl Pinner {
    /// The writer's end. `seen` is an epoch that the core's last entry does not exceed.
    pub(crate) fn new(pin: Arc<EpochPin>, seen: Epoch) -> Self {
        Self { pin, seen: seen.0 }
    }

    /// Pins for one append. Until the result is gone: no lock, no wait.
    #[inline]
    pub(crate) fn pin(&mut self, global: &GlobalEpoch) -> Pinned<'_> {
        self.pin.0.pin.store(self.seen << 1 | 1, Relaxed); // (1)
        Edge::AppendFence.fence(); // (2)
        stall::at(Place::Pinned);
        let epoch = Epoch(global.0.load(Edge::EpochRead.order())); // (3)
        Pinned { pinner: self, epoch }
    }

    /// The epoch of the last entry.
    #[inline]
    pub(crate) fn seen(&self) -> Epoch {
        Epoch(self.seen)
    }
}

impl Pinned<'_> {
    /// The epoch of the append.
    #[inline]
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the append is the core's first of its epoch.
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.epoch.0 != self.pinner.seen
    }

    /// Records that the entry with number `sequence` is the first of the epoch. Before that entry is published.
    #[inline]
    pub(crate) fn start(&mut self, sequence: Sequence) {
        let words = &self.pinner.pin.0;
        words.start_sequence.store(sequence.0, Relaxed);
        stall::at(Place::Marking);
        words.start_epoch.store(self.epoch.0, Edge::MarkerStore.order());
        self.pinner.seen = self.epoch.0;
    }

    /// Says that all entries below `next` are published, and ends the pinned section.
    #[inline]
    pub(crate) fn unpin(self, next: Sequence) {
        self.pinner.pin.0.appended.store(next.0, Edge::AppendedStore.order());
    }
}

impl Drop for Pinned<'_> {
    /// Also on a panic, of a clock of the caller's, say: a pin left behind would stop every close for ever.
    #[inline]
    fn drop(&mut self) {
        self.pinner.pin.0.pin.store(self.pinner.seen << 1, Edge::Unpin.order()); // (4)
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn core_at(next: u64, seen: u64) -> (Arc<EpochPin>, Pinner) {
        let pin = Arc::new(EpochPin::new(Sequence(next)));
        (Arc::clone(&pin), Pinner::new(pin, Epoch(seen)))
    }

    #[test]
    fn closing_waits_for_an_append_of_the_epoch_tells_once_and_cuts_behind_it() {
        for (first, seen) in [(7, 7), (8, 7), (1, 0), (u64::MAX >> 2, 3)] {
            let (global, (pin, mut pinner)) = (GlobalEpoch::new(Epoch(first)), core_at(20, seen));
            let idle = Arc::new(EpochPin::new(Sequence(5)));
            let (tell, told) = mpsc::channel();
            let pinned = pinner.pin(&global);
            assert_eq!((pinned.epoch(), pinned.is_first()), (Epoch(first), first != seen));
            std::thread::scope(|scope| {
                let pins = [idle, Arc::clone(&pin)];
                let global = &global;
                let closing =
                    scope.spawn(move || global.close_telling(&pins, |core| tell.send(core).unwrap()));
                // It has looked often enough to say for whom it waits, and cannot have gone on.
                assert_eq!(told.recv(), Ok(1), "closed while an append was in flight");
                assert_eq!(global.current(), Epoch(first + 1));
                // However often it looks again.
                (0..2_000).for_each(|_| std::thread::yield_now());
                pinned.unpin(Sequence(23));
                assert_eq!(closing.join().unwrap(), (Epoch(first), vec![Sequence(5), Sequence(23)]));
            });
            assert_eq!(told.try_iter().count(), 0, "told more than once");
        }
    }

    #[test]
    fn closing_does_not_wait_for_an_append_of_a_later_epoch_and_cuts_before_it() {
        for closing in [0, 1, 4, 6, 1 << 40] {
            let global = GlobalEpoch::new(Epoch(closing + 1));
            let (pin, mut pinner) = core_at(20, 0);
            let mut first = pinner.pin(&global);
            first.start(Sequence(20));
            first.unpin(Sequence(22));
            let later = pinner.pin(&global);
            assert!(!later.is_first());
            let cut = pin.cut(closing, || panic!("an append of epoch {} is waited for", closing + 1));
            assert_eq!(cut, Sequence(20));
            drop(later);
            assert_eq!((pin.appended(), pinner.seen()), (Sequence(22), Epoch(closing + 1)));
        }
    }

    #[test]
    fn a_pin_is_waited_for_if_its_epoch_is_not_above_the_one_that_closes() {
        for seen in 0..6 {
            for closing in 0..6 {
                assert_eq!(is_pinned_at(seen << 1 | 1, closing), seen <= closing, "{seen}, {closing}");
                assert!(!is_pinned_at(seen << 1, closing), "not pinned: {seen}, {closing}");
            }
        }
    }
}
