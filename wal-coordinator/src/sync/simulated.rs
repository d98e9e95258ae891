//! shuttle's face of the door: threads, locks, channels and time in the order of a drawn schedule.
//!
//! Promises that a run is a function of its schedule: nothing here looks at a real clock, a real thread or real chance.
//! Time does not pass by itself: a tick comes when a test calls [`pass_time`], so that a wake-up that was lost is not
//! made up for behind the test's back, and shows as a deadlock.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::{Thread, current, park};

use super::{Mutex, Next};

pub(crate) type JoinHandle<T> = shuttle::thread::JoinHandle<T>;
pub(crate) use shuttle::thread::scope;

/// Starts a named background thread of this crate.
pub(crate) fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    shuttle::thread::Builder::new().name(name).spawn(body)
}

/// A number that the schedule's seed decides.
pub(crate) fn random_u64() -> u64 {
    thread_rng().r#gen()
}

/// The sending half of a channel.
pub(crate) struct Sender<T>(Arc<Mutex<Channel<T>>>);

/// The receiving half of a channel.
pub(crate) struct Receiver<T>(Arc<Mutex<Channel<T>>>);

/// Nobody is left on the other side.
#[derive(Debug)]
pub(crate) struct Disconnected;

struct Channel<T> {
    messages: VecDeque<T>,
    senders: usize,
    has_receiver: bool,
    waiting: Option<Thread>,
}

/// A channel without a bound.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Channel { messages: VecDeque::new(), senders: 1, has_receiver: true, waiting: None };
    let channel = Arc::new(Mutex::new(channel));
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), Disconnected> {
        let waiting = {
            let mut channel = self.0.lock();
            if !channel.has_receiver {
                return Err(Disconnected);
            }
            channel.messages.push_back(message);
            channel.waiting.take()
        };
        waiting.inspect(Thread::unpark);
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut channel = self.0.lock();
            channel.senders -= 1;
            if channel.senders == 0 { channel.waiting.take() } else { None }
        };
        waiting.inspect(Thread::unpark);
    }
}

impl<T> Receiver<T> {
    pub(crate) fn recv(&self) -> Result<T, Disconnected> {
        while !self.is_due() {
            park();
        }
        self.take()
    }

    /// Whether there is a message, or never will be; if not, this thread is woken when that changes.
    fn is_due(&self) -> bool {
        let mut channel = self.0.lock();
        let is_due = !channel.messages.is_empty() || channel.senders == 0;
        channel.waiting = (!is_due).then(current);
        is_due
    }

    fn take(&self) -> Result<T, Disconnected> {
        self.0.lock().messages.pop_front().ok_or(Disconnected)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let messages = {
            let mut channel = self.0.lock();
            channel.has_receiver = false;
            std::mem::take(&mut channel.messages)
        };
        // They may hold senders of other channels.
        drop(messages);
    }
}

/// Says that time has passed; ticks that nobody takes become one.
pub(crate) struct Ticks(Arc<Mutex<Due>>);

#[derive(Default)]
struct Due {
    is_due: bool,
    waiting: Option<Thread>,
}

shuttle::lazy_static! {
    /// Those of this execution.
    static ref TICKS: Mutex<Vec<Weak<Mutex<Due>>>> = Mutex::default();
}

/// Ticks, whatever the period: see [`pass_time`].
pub(crate) fn tick(_period: Duration) -> Ticks {
    let due = Arc::new(Mutex::new(Due::default()));
    TICKS.lock().push(Arc::downgrade(&due));
    Ticks(due)
}

/// Time passes: every background thread of this execution that waits for a tick gets one.
pub fn pass_time() {
    let all: Vec<_> = TICKS.lock().iter().filter_map(Weak::upgrade).collect();
    for ticks in all {
        let waiting = {
            let mut due = ticks.lock();
            due.is_due = true;
            due.waiting.take()
        };
        waiting.inspect(Thread::unpark);
    }
}

/// Waits for a message or for time to pass; takes either if both are there.
pub(crate) fn next<T>(inbox: &Receiver<T>, ticks: &Ticks) -> Next<T> {
    loop {
        let (has_message, has_ticked) = (inbox.is_due(), ticks.is_due());
        if has_ticked && (!has_message || thread_rng().r#gen()) {
            ticks.0.lock().is_due = false;
            return Next::Tick;
        }
        if has_message {
            return inbox.take().map_or(Next::Closed, Next::Message);
        }
        park();
    }
}

impl Ticks {
    fn is_due(&self) -> bool {
        let mut due = self.0.lock();
        due.waiting = (!due.is_due).then(current);
        due.is_due
    }
}
