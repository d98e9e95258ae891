//! What this process has used of CPU and memory, as the kernel counts it.
//!
//! Not of the disk: with pages in large pieces, `/proc/self/io` counts a write of one page as one of a whole piece.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::machine::field;

/// CPU that all threads of this process have used so far, also those that have ended.
#[must_use]
pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// CPU that the calling thread has used so far.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The most memory that this process ever had in RAM, in KiB; `None` where the kernel does not say.
#[must_use]
pub fn peak_kib() -> Option<u64> {
    field("/proc/self/status", "VmHWM")?.trim_end_matches("kB").trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_cpu_and_memory() {
        let before = cpu_time();
        assert!(thread_cpu_time() <= before);
        while cpu_time() == before {
            std::hint::spin_loop();
        }
        assert!(peak_kib().is_some_and(|kib| kib > 100));
    }
}
