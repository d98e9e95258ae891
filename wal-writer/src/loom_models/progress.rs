//! Receipts: no wake-up is lost (loom would report a deadlock) and none is early (a number that is stored,
//! Relaxed, before the progress is made is seen after the wait).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use loom::future::block_on;
use loom::thread;
use wal_format::CoreId;

use super::rig::check;
use crate::error::WriterError;
use crate::progress::{Progress, Receipt};
use crate::sync::AtomicU64;

/// A number and what it promises: number i is set before the number reaches i + 1.
struct Promise {
    progress: Arc<Progress>,
    kept: Arc<[AtomicU64; 2]>,
}

impl Promise {
    fn new() -> Self {
        let kept = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        Self { progress: Arc::new(Progress::new(0)), kept }
    }

    fn share(&self) -> Self {
        Self { progress: Arc::clone(&self.progress), kept: Arc::clone(&self.kept) }
    }

    fn keep(&self, step: usize) {
        self.kept[step].store(1, Relaxed);
        self.progress.advance(step as u64 + 1);
    }

    fn check(&self, step: usize) {
        assert_eq!(self.kept[step].load(Relaxed), 1, "woken before the promise was kept");
    }

    fn receipt(&self, target: u64) -> Receipt {
        Receipt::new(Arc::clone(&self.progress), target, None)
    }
}

pub(super) fn blocking() {
    let promise = Promise::new();
    let keeper = promise.share();
    let keeping = thread::spawn(move || (0..2).for_each(|step| keeper.keep(step)));
    promise.receipt(2).wait().unwrap();
    (0..2).for_each(|step| promise.check(step));
    keeping.join().unwrap();
}

fn awaited() {
    let promise = Promise::new();
    let keeper = promise.share();
    let keeping = thread::spawn(move || (0..2).for_each(|step| keeper.keep(step)));
    block_on(promise.receipt(2)).unwrap();
    (0..2).for_each(|step| promise.check(step));
    keeping.join().unwrap();
}

/// Two that wait for different numbers; one of them blocks, the other is a task.
fn two_waiters() {
    let promise = Promise::new();
    let other = promise.share();
    let waiting = thread::spawn(move || {
        other.receipt(1).wait().unwrap();
        other.check(0);
    });
    let keeper = promise.share();
    let keeping = thread::spawn(move || (0..2).for_each(|step| keeper.keep(step)));
    block_on(promise.receipt(2)).unwrap();
    promise.check(1);
    waiting.join().unwrap();
    keeping.join().unwrap();
}

/// A failure reaches whoever waits for more, and nobody who waited for less.
fn failure() {
    let promise = Promise::new();
    let keeper = promise.share();
    let failing = thread::spawn(move || {
        keeper.keep(0);
        keeper.progress.fail(WriterError::Closed { core: CoreId(0) });
    });
    let other = promise.share();
    let awaiting = thread::spawn(move || block_on(other.receipt(2)).is_err());
    promise.receipt(1).wait().unwrap();
    promise.check(0);
    assert!(promise.receipt(2).wait().is_err(), "what failed cannot be reached");
    assert!(awaiting.join().unwrap(), "what failed cannot be reached");
    failing.join().unwrap();
}

/// Dropping a receipt that is being waited for disturbs nobody.
fn dropped() {
    let promise = Promise::new();
    let keeper = promise.share();
    let keeping = thread::spawn(move || keeper.keep(0));
    let other = promise.share();
    let giving_up = thread::spawn(move || {
        let mut receipt = Box::pin(other.receipt(1));
        let waker = crate::sync::thread_waker();
        let _ = receipt.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    });
    promise.receipt(1).wait().unwrap();
    promise.check(0);
    keeping.join().unwrap();
    giving_up.join().unwrap();
    assert!(!promise.progress.has_waiters());
}

#[test]
fn a_blocked_waiter_is_woken_and_never_early() {
    check(blocking);
}

#[test]
fn an_awaiting_task_is_woken_and_never_early() {
    check(awaited);
}

#[test]
fn waiters_for_different_numbers_are_each_woken() {
    check(two_waiters);
}

#[test]
fn a_failure_wakes_whoever_waits_for_more() {
    check(failure);
}

#[test]
fn a_dropped_receipt_disturbs_nobody() {
    check(dropped);
}
