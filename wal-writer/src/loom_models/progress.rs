//! Receipts: no wake-up is lost (loom would report a deadlock) and none is early (a cell that is written before the
//! progress is made, and read after the wait, would be accessed by two threads at once).

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::future::block_on;
use loom::thread;
use wal_format::CoreId;

use crate::error::WriterError;
use crate::progress::{Progress, Receipt};

/// A number and what it promises: cell i is written before the number reaches i + 1.
struct Promise {
    progress: Arc<Progress>,
    kept: Arc<[UnsafeCell<bool>; 2]>,
}

impl Promise {
    fn new() -> Self {
        let cells = [UnsafeCell::new(false), UnsafeCell::new(false)];
        Self { progress: Arc::new(Progress::new(0)), kept: Arc::new(cells) }
    }

    fn share(&self) -> Self {
        Self { progress: Arc::clone(&self.progress), kept: Arc::clone(&self.kept) }
    }

    #[allow(unsafe_code, reason = "loom's cells are read and written through raw pointers")]
    fn keep(&self, step: usize) {
        // SAFETY: loom checks that the access is exclusive; that is the test.
        self.kept[step].with_mut(|kept| unsafe { *kept = true });
        self.progress.advance(step as u64 + 1);
    }

    #[allow(unsafe_code, reason = "loom's cells are read and written through raw pointers")]
    fn check(&self, step: usize) {
        // SAFETY: loom checks that nobody writes meanwhile; that is the test.
        assert!(self.kept[step].with(|kept| unsafe { *kept }), "woken before the promise was kept");
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
    loom::model(blocking);
}

#[test]
fn an_awaiting_task_is_woken_and_never_early() {
    loom::model(awaited);
}

#[test]
fn waiters_for_different_numbers_are_each_woken() {
    loom::model(two_waiters);
}

#[test]
fn a_failure_wakes_whoever_waits_for_more() {
    loom::model(failure);
}

#[test]
fn a_dropped_receipt_disturbs_nobody() {
    loom::model(dropped);
}
