//! A log on a recording storage, what was appended to it, and how it is read back.
#![allow(dead_code, reason = "every test file uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, unreachable_pub, reason = "for tests")]
#![allow(clippy::cast_possible_truncation, reason = "any bytes will do")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests stand outside of the loom models"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use wal_reader::{MemorySource, PerCoreWalReader, ReadError};
use wal_writer::format::{
    CoreId, Epoch, FileName, Found, FrameHeader, FrameKind, HeaderBlock, LogId, OperationRef,
    PerCoreWalEntry, SegmentHeader, SegmentNumber, SegmentSeed, Sequence, WalOperation,
};
use wal_writer::storage::recording::{Event, Image, Operation, Pick, RecordingStorage, Survival, splitmix64};
use wal_writer::{
    Clock, CoreLog, CoreWalWriter, Flusher, GlobalEpoch, LogOptions, LogParts, SegmentSupply, StartAt,
    Storage, TimeSource, WriteBatch, WriterError,
};

pub const CORE: CoreId = CoreId(3);
pub const LOG_ID: LogId = LogId([7; 16]);
pub const START: StartAt = StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None };

/// Small enough that a few entries fill a ring and a few rings a segment.
pub const SMALL: LogOptions = LogOptions {
    ring_bytes: 4096,
    segment_bytes: 16 * 1024,
    retention: wal_writer::Retention::UntilDurable,
    on_sync_failure: wal_writer::OnSyncFailure::Continue,
};

/// A clock that gains 10 ns whenever it is read.
pub struct Ticking(AtomicU64);

impl TimeSource for Ticking {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(10, Relaxed)
    }
}

pub fn ticking() -> Clock {
    Clock::injected(Arc::new(Ticking(AtomicU64::new(1_000))))
}

/// One core's log, and what its writer was told to append.
pub struct Rig {
    pub storage: RecordingStorage,
    pub supply: Arc<SegmentSupply>,
    pub global: Arc<GlobalEpoch>,
    pub writer: CoreWalWriter,
    pub log: Arc<CoreLog>,
    pub appended: Vec<WalOperation>,
}

pub struct Setup {
    pub storage: RecordingStorage,
    pub options: LogOptions,
    pub start: StartAt,
    pub next_segment: SegmentNumber,
    pub clock: Clock,
    pub flusher: Option<Arc<dyn Flusher>>,
}

pub fn setup(options: LogOptions) -> Setup {
    Setup {
        storage: RecordingStorage::new(),
        options,
        start: START,
        next_segment: SegmentNumber(0),
        clock: ticking(),
        flusher: None,
    }
}

pub fn rig(options: LogOptions) -> Rig {
    setup(options).build()
}

impl Setup {
    pub fn build(self) -> Rig {
        let seam: Arc<dyn Storage> = Arc::new(self.storage.clone());
        let supply = Arc::new(SegmentSupply::new(seam, self.options.segment_bytes, 4));
        supply.register(CORE, self.next_segment);
        let global = Arc::new(GlobalEpoch::new(Epoch(1)));
        let parts = LogParts {
            log_id: LOG_ID,
            core: CORE,
            options: self.options,
            start: self.start,
            supply: Arc::clone(&supply),
            flusher: self.flusher,
        };
        let (writer, log) = CoreWalWriter::new(parts, Arc::clone(&global), self.clock, 0);
        Rig { storage: self.storage, supply, global, writer, log, appended: Vec::new() }
    }
}

impl Rig {
    /// Appends a value of `bytes` bytes under a key that counts.
    pub fn put(&mut self, bytes: usize) -> Result<Sequence, WriterError> {
        let key = format!("key{}", self.appended.len());
        let value: Vec<u8> =
            (0..bytes).map(|at| (at as u8).wrapping_mul(31) ^ self.appended.len() as u8).collect();
        let sequence = self.writer.append_put(key.as_bytes(), &value)?;
        self.appended.push(WalOperation::Put { key: key.into_bytes(), value });
        Ok(sequence)
    }

    pub fn puts(&mut self, count: usize, bytes: usize) {
        (0..count).for_each(|_| {
            self.put(bytes).unwrap();
        });
    }

    /// Appends `operations` as one.
    pub fn batch(&mut self, operations: &[WalOperation]) -> Result<Sequence, WriterError> {
        let mut batch = WriteBatch::new();
        operations.iter().for_each(|operation| {
            batch.push(&operation.as_ref());
        });
        let sequence = self.writer.append_batch(&batch)?;
        self.appended.extend_from_slice(operations);
        Ok(sequence)
    }

    /// Closes the current epoch, as a coordinator does; returns it and its cut.
    pub fn close_epoch(&self) -> (Epoch, Sequence) {
        let (epoch, cuts) = self.global.close(&[Arc::clone(self.log.pin())]);
        (epoch, cuts[0])
    }

    /// What a process that starts now, without a crash of the machine, would read.
    #[track_caller]
    pub fn read(&self) -> Vec<PerCoreWalEntry> {
        read_image(self.storage.current()).unwrap()
    }

    /// What is left for certain if the power fails now.
    #[track_caller]
    pub fn read_durable(&self) -> Vec<PerCoreWalEntry> {
        read_image(self.storage.image(self.storage.event_count(), &LOSE_ALL)).unwrap()
    }

    /// The log as it stands holds exactly what was appended.
    #[track_caller]
    pub fn check_all(&self) {
        check_entries(&self.read(), &self.appended);
    }

    /// After a sync: what is durable for certain is exactly what was appended.
    #[track_caller]
    pub fn check_durable(&self) {
        check_entries(&self.read_durable(), &self.appended);
    }
}

/// No write changes a file's size, which would cost the file system metadata, or fail for want of space.
#[track_caller]
pub fn check_writes_stay_within_what_was_allocated(storage: &RecordingStorage) {
    let mut allocated = BTreeMap::new();
    for event in storage.events() {
        match event {
            Event::Begin(Operation::Allocate { file, length }) => drop(allocated.insert(file, length)),
            Event::Begin(Operation::Write { file, offset, bytes }) => {
                let (end, has) = (offset + bytes.len() as u64, allocated[&file]);
                assert!(end <= has, "a write up to {end} in a file of {has}");
            }
            _ => {}
        }
    }
}

pub const LOSE_ALL: Survival = Survival { sector_bytes: 512, sectors: Pick::Nothing, names: Pick::Nothing };

/// `entries` are `operations`, numbered without a gap from 0, in order of epoch and time.
#[track_caller]
pub fn check_entries(entries: &[PerCoreWalEntry], operations: &[WalOperation]) {
    assert_eq!(entries.len(), operations.len(), "entries read and appended");
    check_prefix(entries, operations);
}

#[track_caller]
pub fn check_prefix(entries: &[PerCoreWalEntry], operations: &[WalOperation]) {
    assert!(
        entries.len() <= operations.len(),
        "{} entries, {} were appended",
        entries.len(),
        operations.len()
    );
    for (at, (entry, operation)) in entries.iter().zip(operations).enumerate() {
        assert_eq!(entry.sequence, Sequence(at as u64));
        assert_eq!(entry.core_id, CORE);
        assert!(entry.operation == *operation, "entry {at} is not what was appended");
    }
    let is_ordered = entries.windows(2).all(|pair| pair[0].order_key() < pair[1].order_key());
    assert!(is_ordered, "the order of epochs, timestamps and sequences is broken");
}

pub fn source(image: Image) -> MemorySource {
    let mut source = MemorySource::new();
    image.into_iter().for_each(|(name, bytes)| source.insert(name, bytes));
    source
}

/// What a strict reader makes of these files.
pub fn read_image(image: Image) -> Result<Vec<PerCoreWalEntry>, ReadError> {
    let mut reader = PerCoreWalReader::open(Arc::new(source(image)), LOG_ID, CORE, None)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry.to_owned());
    }
    Ok(entries)
}

/// Numbers that look random and are the same for the same seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        splitmix64(&mut self.0) % bound
    }
}

/// Any of the five operations.
pub fn any_operation(random: &mut Random, bytes_max: u64) -> WalOperation {
    let bytes = |random: &mut Random| {
        let length = random.below(bytes_max + 1);
        (0..length).map(|_| random.below(256) as u8).collect::<Vec<u8>>()
    };
    match random.below(8) {
        0 => WalOperation::Delete { key: bytes(random) },
        1 => WalOperation::Checkpoint { id: random.below(u64::MAX) },
        2 => WalOperation::EpochBarrier,
        3 => {
            let offsets = (0..random.below(4)).map(|at| (format!("source-{at}"), random.below(u64::MAX)));
            let offsets = offsets.collect();
            let watermark = (random.below(2) == 0).then(|| random.below(u64::MAX) as i64);
            WalOperation::Commit { offsets, watermark }
        }
        _ => WalOperation::Put { key: bytes(random), value: bytes(random) },
    }
}

pub fn put(key: &[u8], value: &[u8]) -> WalOperation {
    OperationRef::Put { key, value }.to_owned()
}

/// The segments of the log, ascending, each with its header and frames as they stand.
pub fn segments(image: &Image) -> Vec<Segment> {
    let names = image.iter().filter_map(|(name, bytes)| match FileName::parse(name) {
        Some(FileName::Segment(core, number)) if core == CORE => Some((number, bytes)),
        _ => None,
    });
    names.filter_map(|(number, bytes)| Segment::parse(number, bytes)).collect()
}

pub struct Segment {
    pub header: SegmentHeader,
    pub frames: Vec<(u64, FrameHeader)>,
}

impl Segment {
    fn parse(number: SegmentNumber, bytes: &[u8]) -> Option<Self> {
        let Ok(HeaderBlock::Header(header)) = HeaderBlock::decode(bytes.get(..4096)?) else { return None };
        if header.segment != number {
            return None;
        }
        let seed = SegmentSeed::new(LOG_ID, CORE, number);
        let (mut frames, mut at) = (Vec::new(), 4096);
        while let Ok(Found::Header(frame)) =
            Found::at(&seed, at as u64, &bytes[at..(at + 64).min(bytes.len())])
        {
            let end = at + frame.frame_bytes();
            frame.check_payload(&seed, at as u64, &bytes[at + 64..end]).unwrap();
            frames.push((at as u64, frame));
            at = end;
        }
        Some(Self { header, frames })
    }

    pub fn data(&self) -> impl Iterator<Item = &FrameHeader> {
        self.frames.iter().map(|(_, frame)| frame).filter(|frame| frame.kind == FrameKind::Data)
    }

    /// Where the frames end.
    pub fn end(&self) -> u64 {
        self.frames.last().map_or(4096, |(offset, frame)| offset + frame.frame_bytes() as u64)
    }

    pub fn is_sealed(&self) -> bool {
        self.frames.last().is_some_and(|(_, frame)| frame.kind == FrameKind::Seal)
    }
}
