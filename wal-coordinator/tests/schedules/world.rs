//! What a log stands on here: a disk in memory that gives way in the middle of every call, a clock that only calls move.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wal_coordinator::{Clock, Epoch, FlushMode, PerCoreWalConfig, PerCoreWalManager, Retention, TimeSource};
use wal_reader::{Source, SourceFile};
use wal_writer::storage::recording::{Image, RecordedFile, RecordingStorage};

use crate::dice::Dice;
use crate::story::{Story, Told};

/// One disk, and the story of what was written to it. Clones share both.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) storage: RecordingStorage,
    pub(crate) story: Story,
}

/// The settings that a schedule draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) cores: usize,
    pub(crate) flush: FlushMode,
    pub(crate) retention: Retention,
}

impl Shape {
    /// 2 or 3 cores, with or without flushers.
    pub(crate) fn drawn(dice: &mut Dice) -> Self {
        let cores = 2 + dice.below(2);
        let flush = match dice.below(4) {
            0 => FlushMode::Inline,
            1 => FlushMode::Background { threads: 1 },
            _ => FlushMode::Background { threads: 0 },
        };
        let retention = if dice.once_in(4) { Retention::UntilWritten } else { Retention::UntilDurable };
        Self { cores, flush, retention }
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.flush == FlushMode::Inline
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::on(RecordingStorage::new(), Story::default())
    }

    /// A disk as a crash left it, and what is known to be on it.
    pub(crate) fn after_crash(image: Image, story: Story) -> Self {
        Self::on(RecordingStorage::from_image(image), story)
    }

    fn on(storage: RecordingStorage, story: Story) -> Self {
        storage.set_hook(Some(Arc::new(|_, _| give_way())));
        Self { storage, story }
    }

    pub(crate) fn config(&self, shape: &Shape) -> PerCoreWalConfig {
        // There is such a directory, and nothing is done in it.
        let mut config = PerCoreWalConfig::new(Path::new("."), shape.cores);
        config.log.ring_bytes = 4096;
        config.log.segment_bytes = wal_writer::SEGMENT_BYTES_MIN;
        config.log.retention = shape.retention;
        config.flush = shape.flush;
        config.free_segments_max = 1;
        config.clock = Clock::injected(Arc::new(Stepping(AtomicU64::new(1_000_000))));
        config.storage = Arc::new(self.storage.clone());
        config.source = Arc::new(Live(self.storage.clone()));
        config
    }

    /// Opens the log.
    pub(crate) fn open(&self, shape: &Shape) -> PerCoreWalManager {
        PerCoreWalManager::new(self.config(shape)).unwrap_or_else(|error| panic!("{shape:?}: {error}"))
    }

    /// Somebody was just told this.
    pub(crate) fn told(&self, told: Told) {
        self.story.promise(self.storage.event_count(), told);
    }

    /// Somebody just read this off the log.
    pub(crate) fn told_epoch(&self, epoch: Epoch) {
        if epoch > Epoch(0) {
            self.told(Told::Epoch(epoch));
        }
    }
}

/// Lets others take steps.
pub(crate) fn give_way() {
    shuttle::thread::sleep(std::time::Duration::ZERO);
}

/// Goes on by one with every look, and now and then steps back.
struct Stepping(AtomicU64);

impl TimeSource for Stepping {
    fn now_ns(&self) -> u64 {
        let looks = self.0.fetch_add(1, Relaxed);
        if looks.is_multiple_of(7) { looks - 5 } else { looks }
    }
}

/// Reads what the process itself would see on the disk.
struct Live(RecordingStorage);

struct LiveFile(RecordedFile);

impl Source for Live {
    fn names(&self) -> io::Result<Vec<String>> {
        give_way();
        Ok(self.0.current().into_keys().collect())
    }
    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        give_way();
        let file = self.0.reader(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(LiveFile(file)))
    }
    fn path(&self, name: &str) -> PathBuf {
        Path::new("recorded").join(name)
    }
}

impl SourceFile for LiveFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes_now())
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        give_way();
        Ok(self.0.read_at(buffer, offset))
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}
