//! Checkpoint runs, byte by byte.

use wal_format::checksum::crc;
use wal_format::entry::entry_bytes;
use wal_format::limits::RUN_CORE;
use wal_format::{
    CoreId, EntryEncoder, Epoch, FrameHeader, FrameKind, LogId, OperationRef, RunHeader, RunMeta, Seal,
    SegmentNumber, Sequence,
};

use super::append_frame;

/// The bytes of a run file and what the manifest says of it.
#[must_use]
pub fn run_file(
    log_id: LogId,
    run: u64,
    epoch: Epoch,
    entries: &[(&[u8], Option<&[u8]>)],
) -> (Vec<u8>, RunMeta) {
    let header = RunHeader { log_id, run, epoch };
    let (seed, mut bytes, mut digest) = (header.seed(), header.encode(), crc(&[]));
    let frame = |kind, first_sequence: u64, entry_count: usize, payload: &[u8]| FrameHeader {
        kind,
        flags: 0,
        core: CoreId(RUN_CORE),
        payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        entry_count: u32::try_from(entry_count).unwrap_or(u32::MAX),
        epoch,
        first_sequence: Sequence(first_sequence),
        base_timestamp: 0,
        segment: SegmentNumber(run),
        synced_through: 0,
        payload_crc: 0,
    };
    let mut sequence = 0;
    // Few entries a frame, so that short tests cross frames.
    for chunk in entries.chunks(3) {
        let mut payload = Vec::new();
        for (key, value) in chunk {
            let operation = match value {
                Some(value) => OperationRef::Put { key, value },
                None => OperationRef::Delete { key },
            };
            let from = payload.len();
            payload.resize(from + entry_bytes(0, &operation), 0);
            EntryEncoder::new(&mut payload[from..]).entry(false, 0, &operation);
        }
        let header = frame(FrameKind::Data, sequence, chunk.len(), &payload);
        append_frame(&mut bytes, &seed, &header, &payload, &mut digest);
        sequence += chunk.len() as u64;
    }
    let sealed = digest;
    let seal = Seal {
        entry_count: sequence,
        next_sequence: Sequence(sequence),
        last_timestamp: 0,
        length: bytes.len() as u64,
        digest,
    };
    let payload = seal.encode();
    let header = frame(FrameKind::Seal, sequence, 0, &payload);
    append_frame(&mut bytes, &seed, &header, &payload, &mut digest);
    let meta = RunMeta { run, entries: sequence, length: bytes.len() as u64, digest: sealed, epoch };
    (bytes, meta)
}
