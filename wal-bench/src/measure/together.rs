//! Threads that begin at the same time, and how long it took from there until the last had ended.
//!
//! Each is held on a CPU, as the cores of an engine are: the scheduler would need longer to spread them than a burst lasts.
//! They meet by spinning, since waking a sleeping thread takes as long as a fifth of what is measured. The time counts from the
//! first that began, so that threads which share a CPU, one after the other, are not taken for threads that ran at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Failure;
use crate::pinned;

/// Has `work` done on every item, a thread each.
pub(super) fn together<T: Send>(
    items: &mut [T],
    work: impl Fn(&mut T) -> Result<(), Failure> + Sync,
) -> Result<Duration, Failure> {
    let missing = AtomicUsize::new(items.len());
    let times = thread::scope(|scope| {
        let threads: Vec<_> = items
            .iter_mut()
            .enumerate()
            .map(|(core, item)| {
                let (missing, work) = (&missing, &work);
                scope.spawn(move || {
                    // Whoever waits for all must not wait in vain.
                    let held = pinned::hold(core);
                    missing.fetch_sub(1, Ordering::AcqRel);
                    while missing.load(Ordering::Acquire) > 0 {
                        // More threads than CPUs would otherwise wait for each other's time slices.
                        thread::yield_now();
                    }
                    held?;
                    let begun = Instant::now();
                    work(item).map(|()| (begun, Instant::now()))
                })
            })
            .collect();
        let times =
            threads.into_iter().map(|thread| thread.join().map_err(|_| Failure::from("a core panicked"))?);
        times.collect::<Result<Vec<_>, _>>()
    })?;
    let begun = times.iter().map(|(begun, _)| *begun).min();
    let ended = times.iter().map(|(_, ended)| *ended).max();
    Ok(begun.zip(ended).map_or(Duration::ZERO, |(begun, ended)| ended.duration_since(begun)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_is_done_in_turns_counts_as_long_as_all_of_it() {
        let one_at_a_time = std::sync::Mutex::new(());
        let time = together(&mut [(), (), ()], |()| {
            let _turn = one_at_a_time.lock().map_err(|_| "poisoned")?;
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(5) {
                std::hint::spin_loop();
            }
            Ok(())
        });
        assert!(time.expect("done") >= Duration::from_millis(15));
    }

    #[test]
    fn a_failure_of_one_is_a_failure() {
        let failing = |item: &mut u32| if *item == 2 { Err("two".into()) } else { Ok(()) };
        assert!(together(&mut [1, 2, 3], failing).is_err());
    }
}
