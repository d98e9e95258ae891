//! An epoch that `advance_epoch` names is closed, also if somebody else is only just closing it. Threads are held at named
//! places, so that the one interleaving that matters comes about every time.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; the channels of a test"
)]

mod common;

use std::cell::Cell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use common::*;
use parking_lot::Mutex;
use wal_coordinator::*;
use wal_writer::stall::{Place, install};

/// Longer than any machine takes; a hang becomes a failure.
const LONG: Duration = Duration::from_secs(60);

thread_local! {
    /// The place at which this thread is held, once.
    static HELD_AT: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Says which places were reached, and lets threads go on.
struct Gate {
    reached: Receiver<Place>,
    answer_asker: Sender<()>,
    finish_append: Sender<()>,
}

fn gate() -> Gate {
    let (reach, reached) = channel();
    let (answer_asker, asker) = channel();
    let (finish_append, append) = channel();
    let (reach, asker, append) = (Mutex::new(reach), Mutex::new(asker), Mutex::new(append));
    let hook = move |place: Place| {
        if HELD_AT.get() != Some(place) {
            return;
        }
        HELD_AT.set(None);
        let _ = reach.lock().send(place);
        // The closer only says that it is there: it waits by itself.
        match place {
            Place::NothingToClose => asker.lock().recv_timeout(LONG).unwrap(),
            Place::EpochRead => append.lock().recv_timeout(LONG).unwrap(),
            _ => {}
        }
    };
    assert!(install(hook));
    Gate { reached, answer_asker, finish_append }
}

#[test]
fn an_epoch_that_another_thread_is_still_closing_is_not_named_as_closed() {
    let (_directory, path) = place();
    let mut manager = PerCoreWalManager::new(background(&path, 2)).unwrap();
    let (mut slow, mut quick) = (manager.take_writer(0).unwrap(), manager.take_writer(1).unwrap());
    let log = manager.handle();
    quick.append_put(b"key", b"1").unwrap();
    let first = log.advance_epoch();
    let gate = gate();
    std::thread::scope(|scope| {
        let held_at = |at: Place, work: Box<dyn FnOnce() -> Epoch + Send>| {
            let thread = scope.spawn(move || {
                HELD_AT.set(Some(at));
                work()
            });
            assert_eq!(gate.reached.recv_timeout(LONG), Ok(at));
            thread
        };
        let asking = log.clone();
        let asker = held_at(Place::NothingToClose, Box::new(move || asking.advance_epoch()));
        let appender = held_at(
            Place::EpochRead,
            Box::new(move || {
                slow.append_put(b"key", b"2").unwrap();
                slow.last_epoch()
            }),
        );
        // So that there is something to close.
        quick.append_put(b"key", b"3").unwrap();
        let closing = log.clone();
        let closer = held_at(Place::EpochAdvanced, Box::new(move || closing.advance_epoch()));
        gate.answer_asker.send(()).unwrap();
        let named = asker.join().unwrap();
        gate.finish_append.send(()).unwrap();
        let (appended_in, closed) = (appender.join().unwrap(), closer.join().unwrap());
        assert_eq!((appended_in, closed), (first.next(), first.next()));
        assert!(named < appended_in, "epoch {named} was named as closed, and an entry of it came after that");
    });
}
