//! A global allocator that counts, per thread, what is allocated at once: tests run in parallel and must not see
//! each other. The test binary that declares this module has it installed.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    // Constant and without destructor, so that using them allocates nothing, at any time of the thread's life.
    static NOW: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The most bytes that this thread held at once during `action`, beyond what it held before.
pub(crate) fn peak_bytes(action: impl FnOnce()) -> usize {
    NOW.set(0);
    PEAK.set(0);
    action();
    usize::try_from(PEAK.get()).expect("the peak is at least what was held at the start")
}

fn count(allocated: usize, freed: usize) {
    let change = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    let now = NOW.get().saturating_add(change(allocated));
    PEAK.set(PEAK.get().max(now));
    NOW.set(now.saturating_sub(change(freed)));
}

// SAFETY: every call goes to `System` unchanged; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
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
        count(layout.size(), 0);
        // SAFETY: the caller's obligations are those of `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    // Old and new block are counted as held together, as if the block always moved.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes, layout.size());
        // SAFETY: the caller's obligations are those of `System`, which made `block`.
        unsafe { System.realloc(block, layout, bytes) }
    }
}
