//! What holds threads up: at every place of the log that has a name, now and then, for a bounded time.
//!
//! The choices come from a seed and the thread; the rest is the system's scheduler. So a seed does not replay an
//! interleaving, it replays the odds, and they are what makes a rare one frequent.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::yield_now;

use wal_writer::stall::{self, Place};

use super::common::Random;

const PLACES: usize = Place::ALL.len();
/// Places up to this one come about in every run; the rest are steps on files, all of which the crash loop visits.
const LAST_ON_THE_WAY: Place = Place::Releasing;

/// How often each place was passed.
static PASSED: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
/// One in so many times, a thread is held up at a place. 0: never.
static ONCE_IN: [AtomicU64; PLACES] = [const { AtomicU64::new(0) }; PLACES];
/// Places passed by anybody.
static STEPS: AtomicU64 = AtomicU64::new(0);
static STALLS: AtomicU64 = AtomicU64::new(0);
static SEED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Makes every place a place to be held up at. To be called before any thread of a log is there: a thread that is started
/// afterwards needs nothing else to see it, which a sanitizer that does not know the insides of `OnceLock` understands.
pub(crate) fn install() {
    stall::install(pass);
}

/// Chooses by `seed` where threads are held up often, seldom or never, from now on.
pub(crate) fn begin(seed: u64) {
    let mut random = Random::new(seed);
    SEED.store(random.next(), Relaxed);
    for once_in in &ONCE_IN {
        once_in.store([0, 3, 30, 300, 300, 300][random.index(6)], Relaxed);
    }
}

/// Holds nobody up any more.
pub(crate) fn end() {
    ONCE_IN.iter().for_each(|once_in| once_in.store(0, Relaxed));
}

/// How often threads were held up, and the places that nobody passed.
pub(crate) fn report() -> (u64, Vec<Place>) {
    let on_the_way = Place::ALL.iter().copied().filter(|place| *place <= LAST_ON_THE_WAY);
    let unvisited = on_the_way.filter(|place| PASSED[*place as usize].load(Relaxed) == 0);
    (STALLS.load(Relaxed), unvisited.collect())
}

fn pass(place: Place) {
    let place = place as usize;
    PASSED[place].fetch_add(1, Relaxed);
    let steps = STEPS.fetch_add(1, Relaxed);
    let once_in = ONCE_IN[place].load(Relaxed);
    if once_in == 0 {
        return;
    }
    let last = match RANDOM.get() {
        0 => SEED.load(Relaxed) ^ steps,
        last => last,
    };
    let mut random = Random::new(last);
    let drawn = random.next();
    RANDOM.set(drawn | 1);
    if random.once_in(once_in) {
        STALLS.fetch_add(1, Relaxed);
        hold_up(&mut random, steps);
    }
}

/// Not by parking: that would eat the wake-up of a receipt.
fn hold_up(random: &mut Random, now: u64) {
    match random.below(4) {
        0 => yield_now(),
        1 => (0..random.below(3_000)).for_each(|_| std::hint::spin_loop()),
        2 => (0..random.below(20)).for_each(|_| yield_now()),
        _ => {
            // Until the others have passed many places; bounded, since they may all wait for this thread.
            let steps = random.below(2_000);
            for _ in 0..200 {
                if STEPS.load(Relaxed) > now + steps {
                    break;
                }
                yield_now();
            }
        }
    }
}
