//! Logs built frame by frame in memory, with the encoders of `wal-format` and nothing else: for tests of whatever
//! reads a log, including logs that no writer would write.

mod faults;
mod runs;

use std::collections::BTreeMap;

use wal_format::checksum::{crc, extend};
use wal_format::entry::entry_bytes;
use wal_format::limits::frame_aligned;
use wal_format::{
    Barrier, CoreId, EntryEncoder, Epoch, FileName, FrameHeader, FrameKind, LogId, Manifest, Meta,
    OperationRef, Origin, Previous, RunMeta, Seal, SegmentHeader, SegmentNumber, SegmentSeed, Sequence,
    names,
};

use crate::position::LogPosition;
use crate::segment::segment_name;
use crate::source::MemorySource;

pub use faults::{Faults, FaultySource};
pub use runs::run_file;

/// Lays out the files of a log. Every append is one frame, unless [`LogBuilder::batch`] is used.
pub struct LogBuilder {
    log_id: LogId,
    cores: BTreeMap<CoreId, CoreBuilder>,
    files: MemorySource,
    epoch: Epoch,
    clock: u64,
}

/// The open end of one core's log.
#[derive(Clone, Debug)]
pub struct CoreBuilder {
    /// Header of the current segment.
    pub header: SegmentHeader,
    /// Its bytes so far, header block included.
    pub bytes: Vec<u8>,
    /// Sequence number of the next entry.
    pub sequence: Sequence,
    /// Timestamp of the last entry.
    pub timestamp: u64,
    /// Epoch of the last entry.
    pub epoch: Epoch,
    /// Offset known durable: goes into every frame.
    pub synced_through: u64,
    entries: u64,
    digest: u32,
}

impl LogBuilder {
    /// An empty log with `wal.meta`, in epoch 1.
    #[must_use]
    pub fn new(log_id: LogId) -> Self {
        let mut files = MemorySource::new();
        files.insert(names::META, Meta { log_id }.encode());
        Self { log_id, cores: BTreeMap::new(), files, epoch: Epoch(1), clock: 1000 }
    }

    /// Goes on with these files, whatever they hold; every core needs a [`LogBuilder::resume`] before it appends.
    #[must_use]
    pub fn from_files(log_id: LogId, files: MemorySource) -> Self {
        Self { files, ..Self::new(log_id) }
    }

    /// Begins a segment with this header; the core's other files stay as they are.
    pub fn resume(&mut self, header: SegmentHeader) {
        self.cores.insert(header.core, CoreBuilder::new(header));
    }

    /// The log's id.
    #[must_use]
    pub fn log_id(&self) -> LogId {
        self.log_id
    }

    /// The epoch of what is appended from now on.
    pub fn set_epoch(&mut self, epoch: u64) {
        self.epoch = Epoch(epoch);
    }

    /// The timestamp of the next append; every append adds 10 to it.
    pub fn set_clock(&mut self, clock: u64) {
        self.clock = clock;
    }

    /// The timestamp of the next append.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// The open end of a core's log; begins segment 0 if there is none.
    pub fn core(&mut self, core: CoreId) -> &mut CoreBuilder {
        let log_id = self.log_id;
        self.cores.entry(core).or_insert_with(|| {
            CoreBuilder::new(SegmentHeader {
                log_id,
                core,
                segment: SegmentNumber(0),
                origin: Origin::First,
                first_sequence: Sequence(0),
                epoch: Epoch(0),
                last_timestamp: 0,
                previous: None,
            })
        })
    }

    /// One frame with one put.
    pub fn put(&mut self, core: CoreId, key: &[u8], value: &[u8]) -> LogPosition {
        self.batch(core, &[OperationRef::Put { key, value }])
    }

    /// One frame whose entries are one batch. Returns where the frame starts.
    pub fn batch(&mut self, core: CoreId, operations: &[OperationRef<'_>]) -> LogPosition {
        let (epoch, timestamp) = (self.epoch, self.clock);
        self.clock += 10;
        self.core(core).batch(epoch, timestamp, operations)
    }

    /// One barrier frame. Returns where it starts.
    pub fn barrier(
        &mut self,
        core: CoreId,
        epoch: u64,
        durable_epoch: u64,
        cuts: &[(u16, u64)],
    ) -> LogPosition {
        let cuts = cuts.iter().map(|(core, cut)| (CoreId(*core), Sequence(*cut))).collect();
        let payload = Barrier { durable_epoch: Epoch(durable_epoch), cuts }.encode();
        self.core(core).frame(FrameKind::Barrier, Epoch(epoch), 0, &payload)
    }

    /// Everything so far counts as synced: later frames say so.
    pub fn sync(&mut self, core: CoreId) {
        let builder = self.core(core);
        builder.synced_through = builder.bytes.len() as u64;
    }

    /// Where the core's log ends.
    pub fn end(&mut self, core: CoreId) -> LogPosition {
        self.core(core).end()
    }

    /// Seals the segment and begins the next.
    pub fn rotate(&mut self, core: CoreId) -> SegmentNumber {
        self.core(core).seal();
        let end = self.end(core);
        let next = end.segment.next();
        self.begin(core, next, Origin::Rotation, Some(end))
    }

    /// Begins a segment behind `end`; bytes of the former one beyond it stay in its file.
    pub fn begin(
        &mut self,
        core: CoreId,
        segment: SegmentNumber,
        origin: Origin,
        end: Option<LogPosition>,
    ) -> SegmentNumber {
        let builder = self.core(core).clone();
        self.store(&builder);
        let synced_through = builder.synced_through;
        let previous = end.map(|end| Previous {
            segment: end.segment,
            end: end.offset,
            synced_through: if end.segment == builder.header.segment && origin == Origin::Rotation {
                synced_through
            } else {
                end.offset
            },
        });
        let header = SegmentHeader {
            segment,
            origin,
            first_sequence: end.map_or(Sequence(0), |end| end.sequence),
            epoch: builder.epoch,
            last_timestamp: builder.timestamp,
            previous,
            ..builder.header
        };
        self.cores.insert(core, CoreBuilder::new(header));
        segment
    }

    /// Puts a file into the directory.
    pub fn file(&mut self, name: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(name, bytes);
    }

    /// Removes a segment's file: what a release does.
    pub fn release(&mut self, core: CoreId, segment: SegmentNumber) {
        self.files.remove(&segment_name(core, segment));
    }

    /// Writes the manifest.
    pub fn manifest(&mut self, manifest: &Manifest) {
        self.files.insert(names::MANIFEST, manifest.encode());
    }

    /// A manifest of this log with nothing in it.
    #[must_use]
    pub fn empty_manifest(&self, epoch: u64) -> Manifest {
        Manifest {
            log_id: self.log_id,
            external: false,
            epoch: Epoch(epoch),
            created_ns: 0,
            cores: Vec::new(),
            offsets: Vec::new(),
            watermarks: Vec::new(),
            runs: Vec::new(),
            next_run: 0,
        }
    }

    /// Writes a run file; keys must be ascending. Returns what the manifest says of it.
    pub fn run(&mut self, run: u64, epoch: u64, entries: &[(&[u8], Option<&[u8]>)]) -> RunMeta {
        let (bytes, meta) = run_file(self.log_id, run, Epoch(epoch), entries);
        self.files.insert(FileName::Run(run).to_string(), bytes);
        meta
    }

    /// The directory as it stands.
    #[must_use]
    pub fn source(&self) -> MemorySource {
        let mut files = self.files.clone();
        for builder in self.cores.values() {
            files.insert(builder.name(), builder.bytes.clone());
        }
        files
    }

    fn store(&mut self, builder: &CoreBuilder) {
        self.files.insert(builder.name(), builder.bytes.clone());
    }
}

impl CoreBuilder {
    /// A segment with this header and no frames.
    #[must_use]
    pub fn new(header: SegmentHeader) -> Self {
        Self {
            header,
            bytes: header.encode(),
            sequence: header.first_sequence,
            timestamp: header.last_timestamp,
            epoch: header.epoch,
            synced_through: 0,
            entries: 0,
            digest: crc(&[]),
        }
    }

    /// The name of its file.
    #[must_use]
    pub fn name(&self) -> String {
        segment_name(self.header.core, self.header.segment)
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> LogPosition {
        LogPosition { segment: self.header.segment, offset: self.bytes.len() as u64, sequence: self.sequence }
    }

    /// One frame whose entries are one batch.
    pub fn batch(&mut self, epoch: Epoch, timestamp: u64, operations: &[OperationRef<'_>]) -> LogPosition {
        let mut payload = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let delta = if index == 0 { timestamp - self.timestamp } else { 0 };
            let from = payload.len();
            payload.resize(from + entry_bytes(delta, operation), 0);
            EntryEncoder::new(&mut payload[from..]).entry(index + 1 < operations.len(), delta, operation);
        }
        let at = self.frame(FrameKind::Data, epoch, operations.len() as u64, &payload);
        self.timestamp = timestamp;
        self.epoch = epoch;
        at
    }

    /// One frame with any payload.
    pub fn frame(&mut self, kind: FrameKind, epoch: Epoch, entries: u64, payload: &[u8]) -> LogPosition {
        let header = FrameHeader {
            kind,
            flags: 0,
            core: self.header.core,
            payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            entry_count: u32::try_from(entries).unwrap_or(u32::MAX),
            epoch,
            first_sequence: self.sequence,
            base_timestamp: self.timestamp,
            segment: self.header.segment,
            synced_through: self.synced_through,
            payload_crc: 0,
        };
        self.raw_frame(header, payload)
    }

    /// One frame with any header, checksums made to fit.
    pub fn raw_frame(&mut self, header: FrameHeader, payload: &[u8]) -> LogPosition {
        let at = self.end();
        let seed = SegmentSeed::new(self.header.log_id, self.header.core, self.header.segment);
        append_frame(&mut self.bytes, &seed, &header, payload, &mut self.digest);
        self.entries += u64::from(header.entry_count);
        self.sequence = header.next_sequence();
        at
    }

    /// The seal frame.
    pub fn seal(&mut self) -> LogPosition {
        let seal = Seal {
            entry_count: self.entries,
            next_sequence: self.sequence,
            last_timestamp: self.timestamp,
            length: self.bytes.len() as u64,
            digest: self.digest,
        };
        self.frame(FrameKind::Seal, self.epoch, 0, &seal.encode())
    }
}

fn append_frame(
    bytes: &mut Vec<u8>,
    seed: &SegmentSeed,
    header: &FrameHeader,
    payload: &[u8],
    digest: &mut u32,
) {
    let mut aligned = payload.to_vec();
    aligned.resize(frame_aligned(payload.len()), 0);
    let encoded = header.encode(seed, bytes.len() as u64, &aligned);
    *digest = extend(*digest, &encoded);
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(&aligned);
}
