//! Settings of a core's log: plain data, checked once when the log is opened.

/// How long appended bytes stay in the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retention {
    /// Until they are durable: the ring bounds what a power loss can take, and the log can go on after a failed sync.
    #[default]
    UntilDurable,
    /// Until they are written: bursts go to the page cache at full speed. A failed sync then poisons at once.
    UntilWritten,
}

/// What happens when a sync fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSyncFailure {
    /// Write what is not durable again, to a fresh segment; poison the writer if that fails too.
    #[default]
    Continue,
    /// Abort the process: for engines that prefer to fail over.
    Abort,
}

/// Settings of a core's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of the ring, a power of two, at least 4096.
    pub ring_bytes: usize,
    /// Bytes of a segment file. A larger batch gets a segment of its own size.
    pub segment_bytes: u64,
    /// How long appended bytes stay in the ring.
    pub retention: Retention,
    /// What happens when a sync fails.
    pub on_sync_failure: OnSyncFailure,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            ring_bytes: 4 * 1024 * 1024,
            segment_bytes: 64 * 1024 * 1024,
            retention: Retention::default(),
            on_sync_failure: OnSyncFailure::default(),
        }
    }
}

/// Smallest segment that is worth its header. Drawn schedules fill one with two entries: rotation must be among the first
/// things that happen, and writing zeros is no step of interest.
pub const SEGMENT_BYTES_MIN: u64 = if cfg!(shuttle) { 8 * 1024 } else { 16 * 1024 };
/// Smallest ring. Models fill one with three entries: loom follows every step, and the wrap must be among the first.
pub const RING_BYTES_MIN: usize = if cfg!(loom) { 128 } else { 4096 };
