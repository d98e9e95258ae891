//! A log directory made from choices: what writers, crashes, checkpoints and openings of several cores leave behind.

use std::collections::BTreeMap;

use wal_format::limits::HEADER_BLOCK_BYTES;
use wal_format::{
    CoreId, CorePosition, Epoch, LogId, OperationRef, Origin, PerCoreWalEntry, SegmentNumber, Sequence,
    WalOperation,
};
use wal_reader::testing::LogBuilder;
use wal_reader::{LogPosition, MemorySource};

use crate::choices::Choices;
use crate::codec::any_operation;

pub(crate) const LOG: LogId = LogId([7; 16]);
const STEPS_MAX: usize = 40;

/// A directory, and all that was ever put into it.
pub(crate) struct History {
    pub(crate) files: MemorySource,
    /// Every entry, also those that a continuation gave up.
    pub(crate) written: Vec<PerCoreWalEntry>,
    /// What a reader of the intact directory gets: by core, the entries above the checkpoint.
    pub(crate) live: BTreeMap<CoreId, Vec<PerCoreWalEntry>>,
}

/// Where a core's log was durable last, with what follows from it.
#[derive(Clone, Copy)]
struct Durable {
    end: LogPosition,
    timestamp: u64,
    epoch: Epoch,
    live: usize,
}

struct Maker {
    log: LogBuilder,
    epoch: u64,
    durable_epoch: u64,
    cores: Vec<CoreId>,
    durable: BTreeMap<CoreId, Durable>,
    written: Vec<PerCoreWalEntry>,
    live: BTreeMap<CoreId, Vec<PerCoreWalEntry>>,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    next_run: u64,
    /// The bytes of a segment that a checkpoint released.
    released: Option<Vec<u8>>,
}

/// Makes a history of at most `cores_max` cores.
pub(crate) fn make(choices: &mut Choices<'_>, cores_max: usize) -> History {
    let cores = 1 + choices.below(cores_max);
    let mut maker = Maker {
        log: LogBuilder::new(LOG),
        epoch: 1,
        durable_epoch: 0,
        cores: (0..cores).map(|core| CoreId(core as u16)).collect(),
        durable: BTreeMap::new(),
        written: Vec::new(),
        live: BTreeMap::new(),
        state: BTreeMap::new(),
        next_run: 0,
        released: None,
    };
    let steps = choices.below(STEPS_MAX);
    for _ in 0..steps {
        if choices.is_empty() {
            break;
        }
        maker.step(choices);
    }
    let mut files = maker.log.source();
    if choices.once_in(2) {
        // As in files that were filled ahead.
        let names: Vec<_> =
            files.iter().map(|(name, _)| name.to_owned()).filter(|name| name.ends_with(".log")).collect();
        for name in names {
            let zeros = choices.below(5000);
            files.get_mut(&name).unwrap().extend(std::iter::repeat_n(0, zeros));
        }
    }
    History { files, written: maker.written, live: maker.live }
}

impl Maker {
    fn step(&mut self, choices: &mut Choices<'_>) {
        let core = self.cores[choices.below(self.cores.len())];
        match choices.below(16) {
            0..=4 => {
                let operation = any_operation(choices);
                self.append(core, &[operation]);
            }
            5 | 6 => {
                let operations: Vec<_> = (0..=choices.below(4)).map(|_| any_operation(choices)).collect();
                self.append(core, &operations);
            }
            7 => self.sync(core),
            8 => {
                self.sync(core);
                self.log.rotate(core);
                self.sync(core);
            }
            9 | 10 => self.end_epoch(choices),
            11 => self.continue_elsewhere(core),
            12 => self.resume(core),
            13 => self.checkpoint(choices),
            14 => {
                // Made ahead of use: zeros, or the former life of a file that a checkpoint released.
                let next = self.log.end(core).segment.next();
                let bytes = match self.released.clone() {
                    Some(released) if choices.once_in(2) => released,
                    _ => vec![0; choices.below(9000)],
                };
                self.log.file(wal_reader::segment_name(core, next), bytes);
            }
            _ => self.log.file(format!("unknown{}", choices.byte()), choices.bytes(100)),
        }
    }

    fn append(&mut self, core: CoreId, operations: &[WalOperation]) {
        let refs: Vec<OperationRef<'_>> = operations.iter().map(WalOperation::as_ref).collect();
        let (epoch, timestamp_ns) = (Epoch(self.epoch), self.log.clock());
        self.log.set_epoch(self.epoch);
        let at = self.log.batch(core, &refs);
        for (index, operation) in (0_u64..).zip(operations) {
            let entry = PerCoreWalEntry {
                epoch,
                sequence: at.sequence.plus(index),
                core_id: core,
                timestamp_ns,
                operation: operation.clone(),
            };
            self.written.push(entry.clone());
            self.live.entry(core).or_default().push(entry);
        }
    }

    fn sync(&mut self, core: CoreId) {
        self.log.sync(core);
        let end = self.log.end(core);
        let (timestamp, epoch) = (self.log.core(core).timestamp, self.log.core(core).epoch);
        let live = self.live.get(&core).map_or(0, Vec::len);
        self.durable.insert(core, Durable { end, timestamp, epoch, live });
    }

    /// Closes the epoch; some cores write its barrier, and if all have synced it is durable.
    fn end_epoch(&mut self, choices: &mut Choices<'_>) {
        let cores = self.cores.clone();
        let cuts: Vec<_> = cores.iter().map(|core| (core.0, self.log.end(*core).sequence.0)).collect();
        let mut is_durable = true;
        for core in cores {
            if choices.once_in(3) {
                is_durable = false;
                continue;
            }
            self.log.barrier(core, self.epoch, self.durable_epoch, &cuts);
            self.sync(core);
        }
        // Known to later barriers only, and only if every core has synced its end of it.
        if is_durable {
            self.durable_epoch = self.epoch;
        }
        self.epoch += 1;
    }

    /// A failed sync: what is not durable is given up, and a new segment goes on from the last durable place.
    fn continue_elsewhere(&mut self, core: CoreId) {
        let Some(durable) = self.durable.get(&core).copied() else { return };
        let next = self.log.end(core).segment.next();
        let builder = self.log.core(core);
        (builder.timestamp, builder.epoch) = (durable.timestamp, durable.epoch);
        self.log.begin(core, next, Origin::Continuation, Some(durable.end));
        self.live.entry(core).or_default().truncate(durable.live);
        self.durable.remove(&core);
    }

    /// An opening: recovery accepted all that is there.
    fn resume(&mut self, core: CoreId) {
        let end = self.log.end(core);
        self.epoch += 1;
        self.log.begin(core, end.segment.next(), Origin::Resumption, Some(end));
        self.durable.remove(&core);
    }

    fn checkpoint(&mut self, choices: &mut Choices<'_>) {
        let mut manifest = self.log.empty_manifest(self.epoch);
        for core in self.cores.clone() {
            self.sync(core);
            self.log.rotate(core);
            let (segment, builder) = (self.log.end(core).segment, self.log.core(core));
            manifest.cores.push(CorePosition {
                core,
                segment,
                offset: HEADER_BLOCK_BYTES as u64,
                sequence: builder.sequence,
                last_timestamp: builder.timestamp,
                last_epoch: builder.epoch,
            });
            self.sync(core);
            let passed = self.live.remove(&core).unwrap_or_default();
            for entry in passed {
                match entry.operation {
                    WalOperation::Put { key, value } => drop(self.state.insert(key, value)),
                    WalOperation::Delete { key } => drop(self.state.remove(&key)),
                    _ => {}
                }
            }
            let last = SegmentNumber(segment.0 - 1);
            if choices.once_in(2) {
                self.released =
                    self.log.source().get(&wal_reader::segment_name(core, last)).map(<[u8]>::to_vec);
                self.log.release(core, last);
            }
            self.durable.insert(core, Durable { live: 0, ..self.durable[&core] });
        }
        let entries: Vec<_> =
            self.state.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice()))).collect();
        manifest.runs.push(self.log.run(self.next_run, self.epoch, &entries));
        self.next_run += 1;
        manifest.next_run = self.next_run;
        self.log.manifest(&manifest);
        self.epoch += 1;
    }
}

/// Per core, the sequence numbers of `entries` ascend without a gap.
pub(crate) fn is_gapless(entries: &[PerCoreWalEntry]) -> bool {
    let mut next: BTreeMap<CoreId, Sequence> = BTreeMap::new();
    entries.iter().all(|entry| {
        let expected = next.insert(entry.core_id, entry.sequence.plus(1));
        expected.is_none_or(|expected| expected == entry.sequence)
    })
}
