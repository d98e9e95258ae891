//! What stands behind the end of a log, in the page cache and on the medium, and who asks for it.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers of the tests' own making")]
#![allow(clippy::disallowed_types, reason = "a disk that several handles share")]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use wal_format::{CoreId, Epoch, FrameHeader, FrameKind, LogId, Origin, Row, SegmentNumber};
use wal_reader::testing::LogBuilder;
use wal_reader::{MemorySource, ReadError, Source, SourceFile, segment_name};
use wal_recovery::{Mode, PerCoreRecoveryManager, Plan, RecoveryError};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const PAGE: usize = 4096;

fn name(segment: u64) -> String {
    segment_name(A, SegmentNumber(segment))
}

/// By name: what the cache shows, what the medium has.
type Files = BTreeMap<String, (Vec<u8>, Vec<u8>)>;

/// Of each file what the cache shows, and what the medium has; the page that holds `bad` cannot be read. A drop is exact:
/// of no page more than was asked for.
#[derive(Clone)]
struct Disk {
    files: Arc<Mutex<Files>>,
    bad: Option<(String, usize)>,
}

impl Disk {
    fn new(cache: &MemorySource, medium: &MemorySource) -> Self {
        let both = |(name, bytes): (&str, &[u8])| {
            (name.to_owned(), (bytes.to_vec(), medium.get(name).unwrap().to_vec()))
        };
        Self { files: Arc::new(Mutex::new(cache.iter().map(both).collect())), bad: None }
    }

    fn plan(&self, mode: Mode) -> Result<Plan, RecoveryError> {
        PerCoreRecoveryManager::with_source(Arc::new(self.clone())).mode(mode).plan()
    }

    /// The row with which the log ends, and where.
    fn end(&self) -> (Row, u64) {
        let plan = self.plan(Mode::Strict).unwrap();
        let core = &plan.report.cores[0];
        (core.row, core.end.offset)
    }
}

impl Source for Disk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SourceFile>> {
        if self.files.lock().unwrap().contains_key(name) {
            Ok(Box::new(DiskFile { disk: self.clone(), name: name.to_owned() }))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("disk").join(name)
    }
}

struct DiskFile {
    disk: Disk,
    name: String,
}

impl SourceFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.files.lock().unwrap()[&self.name].0.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let files = self.disk.files.lock().unwrap();
        let cache = &files[&self.name].0;
        let from = (offset as usize).min(cache.len());
        let mut to = (from + buf.len()).min(cache.len());
        if let Some((name, bad)) = &self.disk.bad
            && *name == self.name
            && from < bad + PAGE
        {
            if from >= *bad {
                return Err(io::Error::other("a bad page"));
            }
            to = to.min(*bad);
        }
        buf[..to - from].copy_from_slice(&cache[from..to]);
        Ok(to - from)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, from: u64, to: u64) -> io::Result<()> {
        let mut files = self.disk.files.lock().unwrap();
        let (cache, medium) = files.get_mut(&self.name).unwrap();
        let from = from as usize / PAGE * PAGE;
        let to = usize::try_from(to).unwrap_or(usize::MAX).min(cache.len()).next_multiple_of(PAGE);
        let to = to.min(cache.len());
        if from < to {
            cache[from..to].copy_from_slice(&medium[from..to]);
        }
        Ok(())
    }
}

/// What the two variants of a recorded end are: a later segment goes on before it; or that was given up too, and one more does.
fn followed(is_superseded: bool, before: impl Fn(&mut LogBuilder)) -> LogBuilder {
    let mut log = LogBuilder::new(LOG);
    log.put(A, b"a", b"value");
    let end = log.end(A);
    if is_superseded {
        log.begin(A, SegmentNumber(1), Origin::Continuation, Some(end));
    }
    before(&mut log);
    let last = log.core(A).name();
    let segment = SegmentNumber(1 + u64::from(is_superseded));
    log.begin(A, segment, Origin::Continuation, Some(end));
    log.core(A).sequence = end.sequence;
    log.put(A, b"b", b"value");
    assert_ne!(last, log.core(A).name());
    log
}

#[test]
fn a_frame_of_a_newer_version_behind_a_recorded_end_is_nobodys_business() {
    for is_superseded in [false, true] {
        let mut log = followed(is_superseded, |log| {
            let core = log.core(A);
            let header = FrameHeader {
                kind: FrameKind::Data,
                flags: 1,
                core: A,
                payload_bytes: 8,
                entry_count: 1,
                epoch: Epoch(1),
                first_sequence: core.sequence,
                base_timestamp: 1000,
                segment: SegmentNumber(u64::from(is_superseded)),
                synced_through: 0,
                payload_crc: 0,
            };
            core.raw_frame(header, &[1; 8]);
        });
        let disk = Disk::new(&log.source(), &log.source());
        assert_eq!(disk.end(), (Row::ZeroPast, log.end(A).offset), "superseded: {is_superseded}");
        assert!(disk.plan(Mode::Salvage).is_ok());
    }
}

#[test]
fn a_page_that_cannot_be_read_behind_a_recorded_end_is_nobodys_business() {
    for is_superseded in [false, true] {
        let mut log = followed(is_superseded, |_| {});
        let given_up = u64::from(is_superseded);
        let mut source = log.source();
        let file = source.get_mut(&name(given_up)).unwrap();
        let zeroed = (file.len() + 64).next_multiple_of(PAGE);
        file.resize(zeroed, 0);
        // What the file held in a former life.
        file.resize(1 << 20, 0xab);
        let mut disk = Disk::new(&source, &source);
        disk.bad = Some((name(given_up), 1 << 19));
        assert_eq!(disk.end(), (Row::ZeroPast, log.end(A).offset), "superseded: {is_superseded}");
        // In the file that the log ends in, nobody knows what stands there.
        let last = log.core(A).name();
        source.get_mut(&last).unwrap().resize(1 << 20, 0);
        let mut disk = Disk::new(&source, &source);
        disk.bad = Some((last, 1 << 19));
        let refused = disk.plan(Mode::Strict);
        assert!(matches!(refused, Err(RecoveryError::Read(ReadError::Io { .. }))), "{refused:?}");
    }
}

/// A log whose last frame ends with its page.
fn with_a_page_full() -> LogBuilder {
    let with = |value: usize| {
        let mut log = LogBuilder::new(LOG);
        log.put(A, b"k", &vec![1; value]);
        log
    };
    (3900..PAGE).map(with).find_map(|mut log| (log.end(A).offset == 2 * PAGE as u64).then_some(log)).unwrap()
}

#[test]
fn what_stands_where_the_log_ends_is_read_from_the_medium() {
    let log = with_a_page_full();
    let (mut cache, mut medium) = (log.source(), log.source());
    for source in [&mut cache, &mut medium] {
        source.get_mut(&name(0)).unwrap().resize(1 << 16, 0xab);
    }
    // The zeros that the writer puts behind a frame: the sync that should have brought them to the medium failed.
    cache.get_mut(&name(0)).unwrap()[2 * PAGE..3 * PAGE].fill(0);
    let cold = Disk::new(&medium, &medium).end();
    assert_eq!(cold, (Row::DamagePast, 2 * PAGE as u64));
    assert_eq!(Disk::new(&cache, &medium).end(), cold);
}

#[test]
fn a_frame_that_only_the_cache_shows_damaged_is_not_lost() {
    let mut log = with_a_page_full();
    log.put(A, b"b", b"acknowledged");
    let (mut cache, medium) = (log.source(), log.source());
    for bit in 0..8 * 64 {
        let byte = &mut cache.get_mut(&name(0)).unwrap()[2 * PAGE + bit / 8];
        *byte ^= 1 << (bit % 8);
        let end = Disk::new(&cache, &medium).end();
        assert_eq!(end, (Row::ZeroPast, log.end(A).offset), "bit {bit}");
        cache.get_mut(&name(0)).unwrap()[2 * PAGE + bit / 8] ^= 1 << (bit % 8);
    }
}
