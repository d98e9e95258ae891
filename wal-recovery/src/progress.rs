//! How far recovery has come, told while it runs.

use std::sync::Arc;

/// How far replay has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Checkpoint keys and log entries handed to the engine.
    pub entries: u64,
    /// Bytes read from files.
    pub bytes: u64,
    /// Bytes that there are to read.
    pub bytes_total: u64,
}

/// Who wants to know.
pub(crate) type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

/// Entries between two reports: rare enough to cost nothing, often enough for a smooth bar.
const REPORT_EVERY: u64 = 1 << 16;

/// Counts, and tells the listener now and then and at the end.
pub(crate) struct Meter<'a> {
    listener: Option<&'a Listener>,
    progress: Progress,
    next_report: u64,
    bytes_before: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn new(listener: Option<&'a Listener>, bytes_total: u64) -> Self {
        let progress = Progress { bytes_total, ..Progress::default() };
        Self { listener, progress, next_report: REPORT_EVERY, bytes_before: 0 }
    }

    /// One entry more; `bytes` are those that the current phase has read.
    #[inline]
    pub(crate) fn entry(&mut self, bytes: impl FnOnce() -> u64) {
        self.progress.entries += 1;
        if self.progress.entries >= self.next_report {
            self.next_report += REPORT_EVERY;
            self.progress.bytes = self.bytes_before + bytes();
            self.tell();
        }
    }

    /// Entries and bytes counted elsewhere.
    pub(crate) fn add(&mut self, entries: u64, bytes: u64) {
        self.progress.entries += entries;
        self.bytes_before += bytes;
        self.progress.bytes = self.bytes_before;
        self.tell();
    }

    /// A phase ends: it read this many bytes.
    pub(crate) fn phase_done(&mut self, bytes: u64) {
        self.bytes_before += bytes;
        self.progress.bytes = self.bytes_before;
        self.tell();
    }

    pub(crate) fn entries(&self) -> u64 {
        self.progress.entries
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.progress.bytes
    }

    fn tell(&self) {
        if let Some(listener) = self.listener {
            listener(self.progress);
        }
    }
}
