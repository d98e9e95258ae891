//! The values behind `golden/v1/`, and the bytes that the codec makes of them: what the example writes and what the
//! tests read back.

#![allow(dead_code, reason = "each test binary uses its part")]

use wal_format::{
    Barrier, CoreId, CorePosition, EntryEncoder, Epoch, FileName, FrameHeader, FrameKind, LogId, Manifest,
    Meta, Origin, Previous, RunHeader, RunMeta, Seal, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
    SourceOffset, WalOperation, entry, limits,
};

/// One entry as a payload holds it: more of this batch follows, timestamp delta, operation.
pub(crate) type Entry = (bool, u64, WalOperation);

/// What a golden frame says.
pub(crate) enum Content {
    Data(Vec<Entry>),
    Barrier(Barrier),
    Seal(Seal),
    Pad(usize),
}

/// A frame by its values: header without what follows from content and place.
pub(crate) struct Frame {
    pub(crate) epoch: u64,
    pub(crate) first_sequence: u64,
    pub(crate) base_timestamp: u64,
    pub(crate) synced_through: u64,
    pub(crate) content: Content,
}

/// Every value of the golden files.
pub(crate) struct Golden {
    pub(crate) meta: Meta,
    pub(crate) segment: SegmentHeader,
    pub(crate) segment_frames: Vec<Frame>,
    /// Zeros behind the last frame of the segment, as in every file that was filled ahead of use.
    pub(crate) segment_rest_bytes: usize,
    pub(crate) run: RunHeader,
    pub(crate) run_frames: Vec<Frame>,
    pub(crate) manifest: Manifest,
}

/// Where the files of this version stand.
pub(crate) fn directory() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
}

impl Golden {
    pub(crate) fn v1() -> Self {
        let log_id = LogId(std::array::from_fn(|index| 0xa0 + u8::try_from(index).expect("below 16")));
        Self {
            meta: Meta { log_id },
            segment: SegmentHeader {
                log_id,
                core: CoreId(3),
                segment: SegmentNumber(7),
                origin: Origin::Rotation,
                first_sequence: Sequence(1000),
                epoch: Epoch(41),
                last_timestamp: 1_700_000_000_000_000_000,
                previous: Some(Previous { segment: SegmentNumber(6), end: 0x12340, synced_through: 0x12300 }),
            },
            segment_frames: segment_frames(),
            segment_rest_bytes: 128,
            run: RunHeader { log_id, run: 2, epoch: Epoch(42) },
            run_frames: run_frames(),
            manifest: manifest(log_id),
        }
    }

    /// Name and bytes of each file.
    pub(crate) fn files(&self) -> [(FileName, Vec<u8>); 4] {
        let seed = SegmentSeed::new(self.segment.log_id, self.segment.core, self.segment.segment);
        let mut segment = file(self.segment.encode(), &seed, &self.segment_frames);
        segment.resize(segment.len() + self.segment_rest_bytes, 0);
        let run = file(self.run.encode(), &self.run.seed(), &self.run_frames);
        [
            (FileName::Meta, self.meta.encode()),
            (FileName::Segment(self.segment.core, self.segment.segment), segment),
            (FileName::Run(self.run.run), run),
            (FileName::Manifest, self.manifest.encode()),
        ]
    }
}

impl Content {
    pub(crate) fn kind(&self) -> FrameKind {
        match self {
            Self::Data(_) => FrameKind::Data,
            Self::Barrier(_) => FrameKind::Barrier,
            Self::Seal(_) => FrameKind::Seal,
            Self::Pad(_) => FrameKind::Pad,
        }
    }

    pub(crate) fn entry_count(&self) -> u32 {
        match self {
            Self::Data(entries) => u32::try_from(entries.len()).expect("a handful"),
            _ => 0,
        }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        match self {
            Self::Data(entries) => encode_entries(entries),
            Self::Barrier(barrier) => barrier.encode(),
            Self::Seal(seal) => seal.encode(),
            Self::Pad(bytes) => vec![0; *bytes],
        }
    }
}

pub(crate) fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let bytes =
        entries.iter().map(|(_, delta, operation)| entry::entry_bytes(*delta, &operation.as_ref())).sum();
    let mut payload = vec![0; bytes];
    let mut encoder = EntryEncoder::new(&mut payload);
    for (more, delta, operation) in entries {
        encoder.entry(*more, *delta, &operation.as_ref());
    }
    assert_eq!(encoder.position(), bytes, "entry_bytes says what the encoder writes");
    payload
}

fn file(mut bytes: Vec<u8>, seed: &SegmentSeed, frames: &[Frame]) -> Vec<u8> {
    for frame in frames {
        let offset = bytes.len() as u64;
        let mut payload = frame.content.payload();
        let header = FrameHeader {
            kind: frame.content.kind(),
            flags: 0,
            core: seed.core(),
            payload_bytes: u32::try_from(payload.len()).expect("a few bytes"),
            entry_count: frame.content.entry_count(),
            epoch: Epoch(frame.epoch),
            first_sequence: Sequence(frame.first_sequence),
            base_timestamp: frame.base_timestamp,
            segment: seed.segment(),
            synced_through: frame.synced_through,
            payload_crc: 0,
        };
        payload.resize(limits::frame_aligned(payload.len()), 0);
        bytes.extend(header.encode(seed, offset, &payload));
        bytes.extend(payload);
    }
    bytes
}

fn segment_frames() -> Vec<Frame> {
    let put = |key: &str, value: &str| WalOperation::Put { key: key.into(), value: value.into() };
    let time = 1_700_000_000_000_000_500;
    let entries = vec![
        (false, 0, put("key1", "value1")),
        (false, 300, WalOperation::Delete { key: b"key2".into() }),
        (false, 1, WalOperation::Checkpoint { id: 12 }),
        (
            false,
            16_384,
            WalOperation::Commit {
                offsets: vec![("orders".into(), 500), ("zahlungen-ü".into(), u64::MAX)],
                watermark: Some(-2),
            },
        ),
        (false, 0, WalOperation::Commit { offsets: vec![], watermark: None }),
        (false, 5, WalOperation::EpochBarrier),
        (true, 9, put("batch", "1 of 2")),
        (false, 0, put("batch", "")),
    ];
    let frame = |synced_through, content| Frame {
        epoch: 42,
        first_sequence: 1008,
        base_timestamp: time + 16_699,
        synced_through,
        content,
    };
    let barrier = Barrier {
        durable_epoch: Epoch(41),
        cuts: vec![(CoreId(0), Sequence(77)), (CoreId(3), Sequence(1008)), (CoreId(300), Sequence(u64::MAX))],
    };
    let mut frames = vec![
        Frame { first_sequence: 1000, base_timestamp: time, ..frame(0, Content::Data(entries)) },
        frame(4096, Content::Pad(24)),
        frame(4256, Content::Barrier(barrier)),
    ];
    let sealed = Seal {
        entry_count: 8,
        next_sequence: Sequence(1008),
        last_timestamp: time + 16_699,
        length: 4456,
        digest: 0x551e_4eb4,
    };
    frames.push(frame(4344, Content::Seal(sealed)));
    frames
}

fn run_frames() -> Vec<Frame> {
    let entries = vec![
        (false, 0, WalOperation::Put { key: b"batch".into(), value: b"".into() }),
        (false, 0, WalOperation::Put { key: b"key1".into(), value: b"value1".into() }),
        (false, 0, WalOperation::Delete { key: b"key2".into() }),
    ];
    let frame = |first_sequence, content| Frame {
        epoch: 42,
        first_sequence,
        base_timestamp: 0,
        synced_through: 0,
        content,
    };
    let seal = Seal {
        entry_count: 3,
        next_sequence: Sequence(3),
        last_timestamp: 0,
        length: 4192,
        digest: 0x7b3d_1cd3,
    };
    vec![frame(0, Content::Data(entries)), frame(3, Content::Seal(seal))]
}

fn manifest(log_id: LogId) -> Manifest {
    let position = |core, segment, offset, sequence| CorePosition {
        core: CoreId(core),
        segment: SegmentNumber(segment),
        offset,
        sequence: Sequence(sequence),
        last_timestamp: 1_700_000_000_000_017_199,
        last_epoch: Epoch(42),
    };
    Manifest {
        log_id,
        external: false,
        epoch: Epoch(42),
        created_ns: 1_700_000_001_000_000_000,
        cores: vec![position(0, 5, 4096, 77), position(3, 8, 4096, 1008)],
        offsets: vec![
            SourceOffset { source: "orders".into(), offset: 500 },
            SourceOffset { source: "zahlungen-ü".into(), offset: u64::MAX },
        ],
        watermarks: vec![(CoreId(0), 1_699_999_999), (CoreId(3), -2)],
        runs: vec![RunMeta { run: 2, entries: 3, length: 4296, digest: 0x7b3d_1cd3, epoch: Epoch(42) }],
        next_run: 3,
    }
}
