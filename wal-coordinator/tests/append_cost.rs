//! What an append costs: no allocation, no system call, one look at the clock, few bytes beside its own.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "a failed step is a failed test; a counter")]

#[path = "../../wal-format/tests/common/allocation.rs"]
mod allocation;
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use allocation::peak_bytes;
use common::*;
use wal_coordinator::*;

/// Counts its readers.
struct Counting(AtomicU64);
impl TimeSource for Counting {
    fn now_ns(&self) -> u64 {
        1_700_000_000_000_000_000 + 50 * self.0.fetch_add(1, Relaxed)
    }
}

#[test]
fn m17_an_append_allocates_nothing_calls_nobody_and_reads_the_clock_once() {
    const APPENDS: u64 = 5_000;
    let (_directory, path) = place();
    let watched = Watched::new(&path);
    let clock = Arc::new(Counting(AtomicU64::new(0)));
    let mut options = watched.under(config(&path, 1));
    options.log.ring_bytes = 4 << 20;
    options.log.segment_bytes = 8 << 20;
    options.clock = Clock::injected(Arc::clone(&clock) as _);
    let mut manager = PerCoreWalManager::new(options).unwrap();
    let mut writer = manager.take_writer(0).unwrap();
    let mut batch = WriteBatch::new();
    batch.put(&[1; 16], &[2; 100]).delete(&[1; 16]).commit(&[("source", 1)], Some(5));
    // The first one makes the first segment.
    writer.append_batch(&batch).unwrap();
    writer.sync().unwrap();
    watched.forget();
    let looks = clock.0.load(Relaxed);
    let bytes_before = manager.stats().cores[0].bytes;
    let mut results = Vec::with_capacity(3);
    let allocated = peak_bytes(|| {
        for _ in 0..APPENDS {
            results.clear();
            results.push(writer.append_put(&[1; 16], &[2; 100]));
            results.push(writer.append_delete(&[1; 16]));
            results.push(writer.append_batch(&batch));
        }
    });
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(allocated, 0, "bytes allocated by appends");
    assert_eq!(watched.touched(""), Vec::<String>::new(), "calls to the file system by appends");
    assert_eq!(clock.0.load(Relaxed) - looks, 3 * APPENDS, "looks at the clock");
    // One copy of each byte goes to the file, with a small header.
    writer.sync().unwrap();
    let payload = APPENDS * ((16 + 100) + 16 + (16 + 100) + 16 + ("source".len() as u64 + 8 + 8));
    let entries = APPENDS * 5;
    let overhead = manager.stats().cores[0].bytes - bytes_before - payload;
    assert!(overhead <= 7 * entries, "{overhead} bytes beside the payload of {entries} entries");
}
