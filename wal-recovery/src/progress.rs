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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_listener_is_told_every_so_many_entries_and_whenever_a_phase_ends() {
        let (sender, receiver) = mpsc::channel();
        let listener: Listener = Arc::new(move |progress| sender.send(progress).unwrap());
        let mut meter = Meter::new(Some(&listener), 900);
        let entries = |meter: &mut Meter<'_>, bytes| (0..REPORT_EVERY).for_each(|_| meter.entry(|| bytes));
        meter.entry(|| 1);
        entries(&mut meter, 100);
        meter.phase_done(150);
        entries(&mut meter, 20);
        meter.add(5, 30);
        meter.add(6, 40);
        assert_eq!((meter.entries(), meter.bytes()), (2 * REPORT_EVERY + 12, 220));
        let told: Vec<_> = receiver.try_iter().collect();
        let expected = [
            (REPORT_EVERY, 100),
            (REPORT_EVERY + 1, 150),
            (2 * REPORT_EVERY, 170),
            (2 * REPORT_EVERY + 6, 180),
            (2 * REPORT_EVERY + 12, 220),
        ];
        assert_eq!(told, expected.map(|(entries, bytes)| Progress { entries, bytes, bytes_total: 900 }));
    }
}
