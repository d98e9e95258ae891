//! What this process has used: CPU, memory, the disk. As the kernel counts it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::machine::field;

/// CPU that all threads of this process have used so far, also those that have ended.
#[must_use]
pub fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The most memory that this process ever had in RAM, in KiB; `None` where the kernel does not say.
#[must_use]
pub fn peak_kib() -> Option<u64> {
    field("/proc/self/status", "VmHWM")?.trim_end_matches("kB").trim().parse().ok()
}

/// Bytes that this process has caused to be written to a disk so far; `None` where the kernel does not say.
#[must_use]
pub fn disk_bytes() -> Option<u64> {
    field("/proc/self/io", "write_bytes")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_cpu_and_memory() {
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::spin_loop();
        }
        assert!(peak_kib().is_some_and(|kib| kib > 100));
    }
}
