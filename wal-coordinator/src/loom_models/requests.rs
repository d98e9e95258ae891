//! Requests to a flusher: none is lost, and what it was made for is seen by the look that answers it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::sync::Notify;
use loom::sync::atomic::AtomicU64;
use loom::thread;
use wal_format::CoreId;
use wal_writer::storage::model::ModelStorage;
use wal_writer::{CoreLog, Flusher, Retention};

use super::rig::{assert_durable, check, core, put};
use crate::flusher::serve;
use crate::woken::Woken;

/// A flusher's flag and its inbox, which holds at most one message.
struct Inbox {
    woken: Woken,
    message: Notify,
}

impl Inbox {
    fn new() -> Arc<Self> {
        Arc::new(Self { woken: Woken::new(), message: Notify::new() })
    }

    fn ask(&self) {
        if self.woken.ask() {
            self.message.notify();
        }
    }

    fn answer<T>(&self, look: impl FnOnce() -> T) -> T {
        self.message.wait();
        self.woken.answer(look)
    }
}

impl Flusher for Inbox {
    fn wake(&self, _core: CoreId) {
        self.ask();
    }
}

/// Two ask, each for something of its own: the flusher sees both, or loom sees it wait for ever.
pub(super) fn two_who_ask() {
    let inbox = Inbox::new();
    let wanted = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    for number in 0..2 {
        let (inbox, wanted) = (Arc::clone(&inbox), Arc::clone(&wanted));
        thread::spawn(move || {
            wanted[number].store(1, Relaxed);
            inbox.ask();
        });
    }
    let sees_all = || wanted.iter().all(|wanted| wanted.load(Relaxed) == 1);
    while !inbox.answer(sees_all) {}
}

/// The production flusher's answer to a core that appends and waits for its entries.
fn flush(retention: Retention) {
    let (storage, inbox) = (ModelStorage::default(), Inbox::new());
    let (mut writer, log) = core(&storage, retention, Some(Arc::clone(&inbox) as _));
    put(&mut writer);
    let flushing = thread::spawn({
        let log: Arc<CoreLog> = Arc::clone(&log);
        move || {
            while log.durable().0 < 2 {
                inbox.answer(|| serve(&log));
            }
        }
    });
    writer.durable().wait().unwrap();
    assert_durable(&storage, CoreId(0), writer.sequence());
    put(&mut writer);
    writer.durable().wait().unwrap();
    assert_durable(&storage, CoreId(0), writer.sequence());
    flushing.join().unwrap();
}

fn flush_until_durable() {
    flush(Retention::UntilDurable);
}

fn flush_until_written() {
    flush(Retention::UntilWritten);
}

#[test]
fn every_request_is_seen_by_a_look_that_follows() {
    check(two_who_ask);
}

#[test]
fn a_flusher_completes_every_receipt_of_a_ring_that_waits_for_syncs() {
    check(flush_until_durable);
}

#[test]
fn a_flusher_completes_every_receipt_of_a_ring_that_waits_for_writes() {
    check(flush_until_written);
}
