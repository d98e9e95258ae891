//! What reading frames costs: how much is read of a file, and in which pieces.
#![allow(clippy::unwrap_used, reason = "a test that fails may panic")]
#![allow(clippy::disallowed_types, reason = "notes what a reader asks for; no model runs on it")]

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use wal_format::{CoreId, LogId, SegmentNumber, SegmentSeed};
use wal_reader::testing::LogBuilder;
use wal_reader::{Depth, FrameReader, Order, SourceFile, Step};

const LOG: LogId = LogId([7; 16]);
const A: CoreId = CoreId(0);
const HEADER: usize = 4096;
const FRAME_HEADER: usize = 64;
const WINDOW: usize = 256 * 1024;
/// Frames from this size on are passed by with this much of each.
const SKIM: usize = 4096;

/// A file that notes how many bytes each read gave.
struct Noting {
    bytes: Vec<u8>,
    reads: Arc<Mutex<Vec<usize>>>,
}

impl SourceFile for Noting {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.bytes.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let count = buf.len().min(rest.len());
        buf[..count].copy_from_slice(&rest[..count]);
        self.reads.lock().unwrap().push(count);
        Ok(count)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn drop_cache(&self, _from: u64, _to: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The reads that it takes to step over `count` frames of `frame` bytes each.
fn reads(frame: usize, count: usize, depth: Depth) -> Vec<usize> {
    let mut log = LogBuilder::new(LOG);
    // Tag, timestamp, two lengths and the key take 8 to 11 bytes; a frame is a multiple of 8.
    let value = vec![9; frame - FRAME_HEADER - 12];
    for _ in 0..count {
        log.put(A, b"key", &value);
    }
    let bytes = log.core(A).bytes.clone();
    assert_eq!(bytes.len(), HEADER + count * frame, "frames of {frame}");
    let reads = Arc::new(Mutex::new(Vec::new()));
    let file = Box::new(Noting { bytes, reads: Arc::clone(&reads) });
    let seed = SegmentSeed::new(LOG, A, SegmentNumber(0));
    let (from, order) = (HEADER as u64, Order::default());
    let mut frames = FrameReader::new(file, Path::new("file"), seed, from, None, order, depth).unwrap();
    for _ in 0..count {
        assert_eq!(frames.step().unwrap(), Step::Frame);
    }
    assert!(matches!(frames.step().unwrap(), Step::Stop(_)));
    let reads = reads.lock().unwrap().clone();
    assert_eq!(frames.bytes_read(), reads.iter().sum::<usize>() as u64);
    reads
}

#[test]
fn frames_of_a_size_are_read_whole_many_at_a_time_each_byte_once() {
    for frame in [1000, 4096, 65_536, 100_000, 262_144] {
        let count = 4 * WINDOW / frame + 3;
        for depth in [Depth::Frame, Depth::Entries] {
            let reads = reads(frame, count, depth);
            assert_eq!(reads.iter().sum::<usize>(), count * frame, "frames of {frame}");
            assert_eq!(reads[0], WINDOW);
            // The first read cut a frame in two. From then on, whole frames, with the header behind them read ahead.
            let [_, second, middle @ .., _] = &reads[..] else { panic!("{reads:?}") };
            let at_once = WINDOW / frame * frame;
            assert_eq!(second + WINDOW % frame, at_once + FRAME_HEADER, "frames of {frame}: {reads:?}");
            assert!(middle.iter().all(|read| *read == at_once), "frames of {frame}: {reads:?}");
        }
    }
}

#[test]
fn of_large_frames_that_are_passed_by_a_page_is_read_and_small_ones_are_read_through() {
    for frame in [1000, SKIM - 8, SKIM, SKIM + 8, 100_000, 262_144, 300_000] {
        let count = 4 * WINDOW / frame + 3;
        let reads = reads(frame, count, Depth::Skim(u64::MAX));
        let [first, middle @ .., last] = &reads[..] else { panic!("{reads:?}") };
        assert_eq!(*first, WINDOW);
        if frame < SKIM {
            let at_once = WINDOW / frame * frame + FRAME_HEADER;
            assert!(middle.iter().all(|read| *read == at_once), "frames of {frame}: {reads:?}");
        } else {
            // The last one is read whole: what comes next needs its last timestamp.
            assert!(middle.iter().all(|read| *read == SKIM), "frames of {frame}: {reads:?}");
            assert!(*last <= frame, "frames of {frame}: {reads:?}");
            let beyond_first = count - WINDOW.div_ceil(frame);
            assert!(middle.len().abs_diff(beyond_first) <= 1, "frames of {frame}: {reads:?}");
        }
    }
}
