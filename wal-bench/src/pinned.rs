//! A thread held on one CPU: the cores of an engine do not wander.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Holds the calling thread on the CPU of core number `core`: of those that it may use, in turns.
///
/// # Errors
/// Whatever the system says.
pub fn hold(core: usize) -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let Some(cpu) = cpus.get(core % cpus.len().max(1)) else { return Ok(()) };
    let mut one = CpuSet::new();
    one.set(*cpu);
    Ok(sched_setaffinity(None, &one)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_thread_may_use_one_cpu_and_others_all_that_they_could() {
        let before = sched_getaffinity(None).expect("asked");
        let held = std::thread::spawn(|| {
            hold(7).expect("held");
            sched_getaffinity(None).expect("asked").count()
        });
        assert_eq!(held.join().expect("ended"), 1);
        assert_eq!(sched_getaffinity(None).expect("asked"), before);
    }
}
