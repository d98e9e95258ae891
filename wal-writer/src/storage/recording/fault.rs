//! Which call fails, and how.

use std::io;

use super::record::OperationKind;

/// Makes the `after`-th matching operation from now on fail (0: the next one).
#[derive(Clone, Debug)]
pub struct Fault {
    /// Of which kind; `None` for any.
    pub kind: Option<OperationKind>,
    /// On which file; `None` for any.
    pub name: Option<String>,
    /// How many matching operations succeed before.
    pub after: u64,
    /// What it fails with.
    pub error: io::ErrorKind,
    /// Whether all matching operations after it fail as well.
    pub for_good: bool,
}

/// Harmless hardships that a caller must hide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// Every n-th write accepts only a part of its bytes; 0 for none.
    pub short_every: u64,
    /// How much a short write accepts: all but this many bytes, at least one byte.
    pub short_by: usize,
    /// Every n-th call of write, allocate or sync is interrupted and does nothing; 0 for none, 1 would never end.
    pub interrupt_every: u64,
}

#[derive(Default)]
pub(super) struct Faults {
    pending: Vec<Fault>,
    pub(super) trouble: Trouble,
    writes: u64,
    calls: u64,
}

impl Faults {
    pub(super) fn inject(&mut self, fault: Fault) {
        self.pending.push(fault);
    }

    pub(super) fn heal(&mut self) {
        self.pending.clear();
    }

    /// The error of the operation that begins, if it is to fail.
    pub(super) fn next(&mut self, kind: OperationKind, name: &str) -> Option<io::ErrorKind> {
        let mut error = None;
        self.pending.retain_mut(|fault| {
            let matches =
                fault.kind.is_none_or(|of| of == kind) && fault.name.as_deref().is_none_or(|of| of == name);
            if !matches {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            error = error.or(Some(fault.error));
            fault.for_good
        });
        error
    }

    pub(super) fn interrupts(&mut self, kind: OperationKind) -> bool {
        if !matches!(kind, OperationKind::Write | OperationKind::Allocate | OperationKind::Sync) {
            return false;
        }
        self.calls += 1;
        self.trouble.interrupt_every > 0 && self.calls.is_multiple_of(self.trouble.interrupt_every)
    }

    /// How many of `bytes` the next write accepts.
    pub(super) fn shorten(&mut self, bytes: usize) -> usize {
        self.writes += 1;
        if self.trouble.short_every > 0 && self.writes.is_multiple_of(self.trouble.short_every) {
            bytes.saturating_sub(self.trouble.short_by).max(1).min(bytes)
        } else {
            bytes
        }
    }
}
