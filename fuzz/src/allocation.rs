//! A global allocator that counts what the whole process holds, and fails where it is told: recovery works on several
//! threads.
//!
//! Whoever links this library has it installed. Measurements must not overlap: one at a time.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Requests of at least this many bytes count for [`FAILS_AT`].
static COUNTS_FROM: AtomicUsize = AtomicUsize::new(usize::MAX);
/// How many requests that count are still granted before one fails.
static FAILS_AT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// What `action` returns, and the most bytes that were held at once meanwhile, beyond those held before.
pub fn peak_bytes<T>(action: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = action();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

/// What `action` returns while the n-th request (from 0) of at least `bytes_min` bytes fails, and whether one did.
pub fn failing<T>(n: usize, bytes_min: usize, action: impl FnOnce() -> T) -> (T, bool) {
    FAILS_AT.store(n, Relaxed);
    COUNTS_FROM.store(bytes_min, Relaxed);
    let result = action();
    COUNTS_FROM.store(usize::MAX, Relaxed);
    // Below zero it has wrapped around.
    (result, FAILS_AT.load(Relaxed) > n)
}

/// Whether this request is the one that is to fail.
fn is_refused(bytes: usize) -> bool {
    bytes >= COUNTS_FROM.load(Relaxed) && FAILS_AT.fetch_sub(1, Relaxed) == 0
}

/// What reading `input_bytes` may hold at most: twice the input, and a mebibyte.
#[must_use]
pub fn bytes_max(input_bytes: usize) -> usize {
    2 * input_bytes + (1 << 20)
}

fn count(allocated: usize, freed: usize) {
    let now = NOW.fetch_add(allocated, Relaxed).wrapping_add(allocated);
    PEAK.fetch_max(now, Relaxed);
    NOW.fetch_sub(freed, Relaxed);
}

// SAFETY: every call goes to `System` unchanged, or is refused with null as the trait allows; counting neither allocates
// nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        count(layout.size(), 0);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's obligations are those of `System`, which made `block`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_refused(layout.size()) {
            return std::ptr::null_mut();
        }
        count(layout.size(), 0);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Old and new block are counted as held together, as if the block always moved.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        if is_refused(bytes) {
            return std::ptr::null_mut();
        }
        count(bytes, layout.size());
        // SAFETY: the caller's obligations are those of `System`, which made `block`.
        unsafe { System.realloc(block, layout, bytes) }
    }
}
