//! A number that only grows, and those who wait for it: one rung of the durability ladder.
//!
//! A [`Receipt`] waits until the number reaches its target: blocking, or as a plain `Future` under any executor.
//!
//! # Shared variables
//!
//! | variable | written by | read by | pairs |
//! |---|---|---|---|
//! | `value` | the one who made progress, Release | anybody, Acquire | what the number promises has happened |
//! | `waiters` (list, failure) | under its mutex | under its mutex | the mutex |
//!
//! `value` is stored under the mutex too, so that it only ever grows; the mutex is left before wakers are called.
//!
//! # Why no wake-up is lost, and none is early
//!
//! A waiter takes the mutex, checks value and failure, and registers, all in one critical section. Progress stores the
//! value first, then takes the mutex and wakes those whose target is reached.
//!
//! 1. The waiter's section comes first: progress finds the registration and wakes it.
//! 2. Progress' section comes first: the mutex orders its store of the value before the waiter's check, which sees it.
//!
//! The same holds for a failure, which is stored and told to everybody in one section. So a waiter either sees the progress
//! or is woken by it. It is ready only when it has read a value that reaches its
//! target, and the value is stored only after what it promises has happened: a wake-up by itself proves nothing.
//!
//! A thread that waits is parked, so it gives way; it ends when the number reaches its target or the log fails. Who drives
//! the number is asked once before: without flushers the waiting thread has done the work itself by then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::WriterError;
use crate::flaw::Flaw;
use crate::stall::{self, Place};
use crate::sync::{AtomicU64, Edge, Mutex, park, park_for, thread_waker};

/// A number that only grows, with waiters. Shared, `Sync`.
#[derive(Debug)]
pub struct Progress {
    value: AtomicU64,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    list: Vec<Waiting>,
    next_key: u64,
    failure: Option<WriterError>,
}

#[derive(Debug)]
struct Waiting {
    key: u64,
    target: u64,
    waker: Waker,
}

impl Progress {
    /// Starts at `value`.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self { value: AtomicU64::new(value), waiters: Mutex::new(Waiters::default()) }
    }

    /// The number. May have grown by the time you look.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.value.load(Edge::ProgressRead.order())
    }

    /// Raises the number to `value`, if it is lower, and wakes whoever waited for that. What the number promises must
    /// have happened before.
    pub fn advance(&self, value: u64) {
        let woken = {
            let mut waiters = self.waiters.lock();
            // Only ever raised under this lock.
            if value <= self.value.load(Relaxed) {
                return;
            }
            self.value.store(value, Edge::ProgressStore.order());
            stall::at(Place::Raised);
            waiters.take(|waiting| waiting.target <= value)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// The number will not grow any more: everybody who waits, or will wait, for more gets `error`. The first one
    /// counts.
    pub fn fail(&self, error: WriterError) {
        let woken = {
            let mut waiters = self.waiters.lock();
            waiters.failure.get_or_insert(error);
            waiters.take(|_| true)
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn has_waiters(&self) -> bool {
        !self.waiters.lock().list.is_empty()
    }

    /// The result for `target`, if there is one; else registers `waker` under `key`.
    fn poll(&self, target: u64, key: &mut Option<u64>, waker: &Waker) -> Poll<Result<(), WriterError>> {
        if self.get() >= target {
            return Poll::Ready(Ok(()));
        }
        let mut waiters = self.waiters.lock();
        if self.get() >= target && !Flaw::ChecksUnlocked.is_planted() {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = &waiters.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        if let Some(known) = key.and_then(|key| waiters.list.iter_mut().find(|waiting| waiting.key == key)) {
            known.waker.clone_from(waker);
        } else {
            let fresh = waiters.next_key;
            waiters.next_key += 1;
            waiters.list.push(Waiting { key: fresh, target, waker: waker.clone() });
            *key = Some(fresh);
        }
        Poll::Pending
    }

    fn forget(&self, key: u64) {
        self.waiters.lock().list.retain(|waiting| waiting.key != key);
    }
}

impl Waiters {
    fn take(&mut self, is_due: impl Fn(&Waiting) -> bool) -> Vec<Waker> {
        self.list.extract_if(.., |waiting| is_due(waiting)).map(|waiting| waiting.waker).collect()
    }
}

/// Who makes progress happen: told that somebody waits for it.
pub trait Driver: Send + Sync {
    /// Somebody waits until the number reaches `target`. With `may_block`, the implementation may do the work itself,
    /// on this thread; without, it only passes the word on.
    fn wanted(&self, target: u64, may_block: bool);

    /// As [`Driver::wanted`] with `may_block`, for a thread that is about to block: an error says that the work was
    /// tried on this thread and nobody else will try it again by itself.
    ///
    /// # Errors
    /// Why the number was not reached.
    fn drive(&self, target: u64) -> Result<(), WriterError> {
        self.wanted(target, true);
        Ok(())
    }
}

/// A claim on the future: resolves when a rung of the durability ladder is reached, or never will be.
///
/// `Send`. Wait with [`Receipt::wait`], or `.await` it: then somebody else must sync, a flusher or a call to `sync`.
/// Dropping it cancels nothing but the waiting. Wakers are called by the thread that made the progress, while it holds
/// the log's locks: like those of any executor they may schedule the task, but must not run it there and then.
#[must_use = "a receipt that nobody waits for acknowledges nothing"]
pub struct Receipt {
    progress: Arc<Progress>,
    driver: Option<Arc<dyn Driver>>,
    target: u64,
    key: Option<u64>,
}

impl Receipt {
    /// A receipt for `progress` reaching `target`; `driver` is told when somebody starts to wait.
    pub fn new(progress: Arc<Progress>, target: u64, driver: Option<Arc<dyn Driver>>) -> Self {
        Self { progress, driver, target, key: None }
    }

    /// Whether the rung is reached. Does not wait.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.progress.get() >= self.target
    }

    /// Has the flushers begin now, and does not wait: for a thread that goes on with other work and looks at
    /// [`Receipt::is_ready`] from time to time, which by itself asks nobody. Does nothing without background flushers.
    pub fn start(&self) {
        if let (false, Some(driver)) = (self.is_ready(), &self.driver) {
            driver.wanted(self.target, false);
        }
    }

    /// Blocks this thread until the rung is reached. Without background flushers, does the flushing itself.
    ///
    /// # Errors
    /// [`WriterError::Poisoned`] or [`WriterError::Closed`]: the rung will not be reached. Without background flushers
    /// also [`WriterError::NoSpace`] or [`WriterError::Io`]: it is not reached yet; nothing is lost, ask again.
    pub fn wait(mut self) -> Result<(), WriterError> {
        if self.is_ready() {
            return Ok(());
        }
        if let Some(driver) = &self.driver {
            driver.drive(self.target)?;
        }
        let waker = thread_waker();
        loop {
            // Ends: progress or failure wakes this thread (see the top), and both are final.
            if let Poll::Ready(result) = self.progress.poll(self.target, &mut self.key, &waker) {
                return result;
            }
            park();
        }
    }

    /// Blocks this thread until the rung is reached, or for `timeout`, while others do the work: drives nothing. Returns
    /// what is left of the time, `None` if it is over.
    ///
    /// # Errors
    /// [`WriterError::Poisoned`] or [`WriterError::Closed`]: the rung will not be reached.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<Duration>, WriterError> {
        let waker = thread_waker();
        let mut left = timeout;
        loop {
            // Ends: as above, and the time does, too.
            if let Poll::Ready(result) = self.progress.poll(self.target, &mut self.key, &waker) {
                return result.map(|()| Some(left));
            }
            if left.is_zero() {
                return Ok(None);
            }
            left = left.saturating_sub(park_for(left));
        }
    }
}

impl Future for Receipt {
    type Output = Result<(), WriterError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let is_first = this.key.is_none();
        let poll = this.progress.poll(this.target, &mut this.key, context.waker());
        if let (Poll::Pending, true, Some(driver)) = (&poll, is_first, &this.driver) {
            driver.wanted(this.target, false);
        }
        poll
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // A model that deadlocked is torn down without its scheduler: no lock can be taken there any more.
        if cfg!(loom) && std::thread::panicking() {
            return;
        }
        if let Some(key) = self.key {
            self.progress.forget(key);
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("target", &self.target)
            .field("reached", &self.progress.get())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::task::Wake;

    use wal_format::CoreId;

    use super::*;
    use crate::sync::PlainMutex;

    /// What happened, in order.
    #[derive(Default)]
    struct Seen(PlainMutex<Vec<String>>);

    impl Seen {
        fn note(&self, what: impl Into<String>) {
            self.0.lock().push(what.into());
        }
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock())
        }
    }

    impl Driver for Seen {
        fn wanted(&self, target: u64, may_block: bool) {
            self.note(format!("wanted {target}, may block: {may_block}"));
        }
    }

    struct Named(&'static str, Arc<Seen>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.note(self.0);
        }
    }

    fn poll(receipt: &mut Receipt, name: &'static str, seen: &Arc<Seen>) -> bool {
        let waker = Waker::from(Arc::new(Named(name, Arc::clone(seen))));
        Pin::new(receipt).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn everybody_is_woken_once_for_his_own_target_and_who_went_away_is_forgotten() {
        let (progress, seen) = (Arc::new(Progress::new(5)), Arc::new(Seen::default()));
        let receipt = |target| Receipt::new(Arc::clone(&progress), target, None);
        let [mut low, mut high, mut gone] = [receipt(7), receipt(9), receipt(8)];
        assert!(receipt(5).is_ready() && poll(&mut receipt(5), "reached", &seen));
        assert!(!poll(&mut low, "low", &seen) && !poll(&mut high, "high", &seen));
        assert!(!poll(&mut gone, "gone", &seen));
        // Asked again by another task: that one is woken, and only that one.
        assert!(!poll(&mut low, "low again", &seen));
        drop(gone);
        progress.advance(6);
        progress.advance(5);
        assert_eq!((progress.get(), seen.take().len()), (6, 0));
        progress.advance(8);
        assert_eq!(seen.take(), ["low again"]);
        assert!(poll(&mut low, "low", &seen) && progress.has_waiters());
        progress.fail(WriterError::Closed { core: CoreId(0) });
        assert_eq!(seen.take(), ["high"]);
        assert!(poll(&mut high, "high", &seen) && high.wait().is_err());
        assert!(!progress.has_waiters());
        receipt(8).wait().unwrap();
    }

    #[test]
    fn who_panics_while_he_waits_is_forgotten_as_well() {
        let (progress, seen) = (Arc::new(Progress::new(5)), Arc::new(Seen::default()));
        let waiting = std::panic::AssertUnwindSafe(|| {
            let mut receipt = Receipt::new(Arc::clone(&progress), 7, None);
            assert!(!poll(&mut receipt, "task", &seen) && progress.has_waiters());
            std::panic::resume_unwind(Box::new("the task"));
        });
        assert!(std::panic::catch_unwind(waiting).is_err());
        assert!(!progress.has_waiters());
    }

    #[test]
    fn who_makes_progress_is_told_once_that_somebody_waits() {
        let (progress, seen) = (Arc::new(Progress::new(0)), Arc::new(Seen::default()));
        let receipt = |target| Receipt::new(Arc::clone(&progress), target, Some(Arc::clone(&seen) as _));
        let mut awaited = receipt(3);
        assert!(!poll(&mut awaited, "first", &seen) && !poll(&mut awaited, "again", &seen));
        assert_eq!(seen.take(), ["wanted 3, may block: false"]);
        receipt(4).start();
        assert_eq!(seen.take(), ["wanted 4, may block: false"]);
        assert!(receipt(6).wait_for(Duration::ZERO).unwrap().is_none() && seen.take().is_empty());
        progress.fail(WriterError::Closed { core: CoreId(0) });
        receipt(5).wait().unwrap_err();
        assert_eq!(
            seen.take(),
            ["first", "wanted 5, may block: true"].map(|what| what.replace("first", "again"))
        );
        progress.advance(9);
        receipt(9).start();
        receipt(9).wait().unwrap();
        assert!(seen.take().is_empty(), "what is reached is asked of nobody");
        assert_eq!(format!("{:?}", receipt(4)), "Receipt { target: 4, reached: 9 }");
    }
}
