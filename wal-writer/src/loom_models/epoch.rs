//! The epoch pin with the ring behind it: every entry lands on its side of the cut, whatever the core is doing while
//! the epoch closes.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::thread;
use wal_format::{Epoch, Sequence};

use super::rig::check;
use crate::pin::{EpochPin, GlobalEpoch, Pinner};
use crate::ring::{Consumer, Producer, ring};
use crate::sync::AtomicU64;

/// The appending half of a core: its entries are single bytes that hold their epoch.
struct Core {
    pinner: Pinner,
    producer: Producer,
    global: Arc<GlobalEpoch>,
    next: Sequence,
}

/// A core whose next entry is number 0 of epoch 1, and what others see of it.
fn core(global: &Arc<GlobalEpoch>) -> (Core, Arc<EpochPin>, Consumer) {
    let pin = Arc::new(EpochPin::new(Sequence(0)));
    let (mut producer, consumer) = ring(8);
    producer.refresh(u64::MAX, 8);
    let pinner = Pinner::new(Arc::clone(&pin), Epoch(1));
    (Core { pinner, producer, global: Arc::clone(global), next: Sequence(0) }, pin, consumer)
}

impl Core {
    /// The steps of `CoreWalWriter::append_reserved`.
    fn append(&mut self) {
        let mut pinned = self.pinner.pin(&self.global);
        let epoch = pinned.epoch();
        self.producer.reserve(1).fill(u8::try_from(epoch.0).unwrap());
        if pinned.is_first() {
            pinned.start(self.next);
        }
        self.producer.publish(1);
        self.next = self.next.plus(1);
        pinned.unpin(self.next);
    }
}

/// Entry i stands below `cut` if and only if its epoch is 1; `complete` says that all below the cut must be there.
fn check_cut(consumer: &Consumer, cut: Sequence) {
    let published = consumer.published();
    assert!(published >= cut.0, "{published} entries are published, but the cut is {cut}");
    for (at, epoch) in (0..).zip(consumer.readable(0, published)) {
        assert_eq!(at < cut.0, *epoch == 1, "entry {at} of epoch {epoch} is on the wrong side of cut {cut}");
    }
}

fn close_while_appending(entries: usize) {
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let (mut core, pin, consumer) = core(&global);
    let appending = thread::spawn(move || (0..entries).for_each(|_| core.append()));
    let (closed, cuts) = global.close(&[pin]);
    assert_eq!(closed, Epoch(1));
    check_cut(&consumer, cuts[0]);
    appending.join().unwrap();
    check_cut(&consumer, cuts[0]);
}

pub(super) fn cut() {
    close_while_appending(2);
}

fn cut_of_three() {
    close_while_appending(3);
}

/// Two closes, one after the other: the second must not take the first one's marker for its own.
fn two_cuts() {
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let (mut core, pin, consumer) = core(&global);
    let appending = thread::spawn(move || (0..2).for_each(|_| core.append()));
    let pins = [pin];
    let cuts = [global.close(&pins).1[0], global.close(&pins).1[0]];
    appending.join().unwrap();
    let published = consumer.published();
    for (at, epoch) in (0..).zip(consumer.readable(0, published)) {
        let expected = 1 + u8::from(at >= cuts[0].0) + u8::from(at >= cuts[1].0);
        assert_eq!(*epoch, expected, "entry {at} of epoch {epoch}, cuts {cuts:?}");
    }
}

/// A core that appended once and then sleeps for ever, or never appended: nobody waits for it.
fn idle() {
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let (mut active, active_pin, consumer) = core(&global);
    let (mut idle, idle_pin, _idle_consumer) = core(&global);
    let (_unborn, unborn_pin, _unborn_consumer) = core(&global);
    idle.append();
    let appending = thread::spawn(move || active.append());
    let (_, cuts) = global.close(&[active_pin, idle_pin, unborn_pin]);
    check_cut(&consumer, cuts[0]);
    assert_eq!(cuts[1..], [Sequence(1), Sequence(0)]);
    appending.join().unwrap();
    // It wakes up in the new epoch.
    idle.append();
    assert_eq!(idle.pinner.seen(), Epoch(2));
}

/// Core 0 tells core 1 of an entry; what core 1 then appends is of that entry's epoch or a later one, so that no cut
/// has the effect without the cause.
pub(super) fn cause_and_effect() {
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let (mut cause, cause_pin, _cause_consumer) = core(&global);
    let (mut effect, effect_pin, effect_consumer) = core(&global);
    let message = Arc::new(AtomicU64::new(0));
    let causing = {
        let message = Arc::clone(&message);
        thread::spawn(move || {
            cause.append();
            message.store(cause.pinner.seen().0, Release);
        })
    };
    let reacting = {
        thread::spawn(move || {
            let told = message.load(Acquire);
            effect.append();
            assert!(effect.pinner.seen().0 >= told, "an effect of epoch {told} is in an epoch before it");
        })
    };
    let (_, cuts) = global.close(&[cause_pin, effect_pin]);
    check_cut(&effect_consumer, cuts[1]);
    causing.join().unwrap();
    reacting.join().unwrap();
    check_cut(&effect_consumer, cuts[1]);
}

/// What happened before the close is seen by whoever drains an entry of the new epoch: here, the wish for a seal.
pub(super) fn seal_request() {
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let seal_before = Arc::new(AtomicU64::new(u64::MAX));
    let (mut core, pin, consumer) = core(&global);
    let appending = thread::spawn(move || core.append());
    let draining = {
        let seal_before = Arc::clone(&seal_before);
        thread::spawn(move || {
            if let Some(2) = consumer.readable(0, consumer.published()).first() {
                assert_eq!(seal_before.load(Relaxed), 2, "the seal request was not seen");
            }
        })
    };
    seal_before.store(2, Relaxed);
    let _ = global.close(&[pin]);
    appending.join().unwrap();
    draining.join().unwrap();
}

#[test]
fn an_append_in_flight_lands_on_its_side_of_the_cut() {
    check(cut);
}

#[test]
fn appends_around_the_first_of_an_epoch_land_on_their_sides_of_the_cut() {
    check(cut_of_three);
}

#[test]
fn two_closes_in_a_row_cut_twice() {
    check(two_cuts);
}

#[test]
fn an_effect_is_never_in_an_epoch_before_its_cause() {
    check(cause_and_effect);
}

#[test]
fn an_idle_core_delays_nobody() {
    check(idle);
}

#[test]
fn a_seal_request_is_seen_by_whoever_drains_the_new_epoch() {
    check(seal_request);
}
