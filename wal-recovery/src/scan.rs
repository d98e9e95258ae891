//! All cores' logs, each settled and scanned, several at a time.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;

use wal_format::{CoreId, Epoch, LogId, Manifest, SegmentNumber};
use wal_reader::{CoreScan, Inventory, LogPosition, Order, ReadError, ScanOptions, Source};

use crate::options::Mode;
use crate::settle::settle;
use crate::trace;

/// How much a scan reads of what is proven durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Everything: the plan itself says that the log is whole.
    Whole,
    /// The headers of frames: replay checks the rest before it hands anything out.
    Replayed,
}

/// In which way cores are scanned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) mode: Mode,
    pub(crate) depth: Depth,
    pub(crate) threads_max: usize,
}

/// Scans every core that has files or a position in the manifest, in parallel.
pub(crate) fn scan_all(
    source: &Arc<dyn Source>,
    log_id: LogId,
    inventory: &Inventory,
    manifest: Option<&Manifest>,
    how: How,
) -> Result<Vec<CoreScan>, ReadError> {
    let mut cores: Vec<_> = inventory.segments.keys().copied().collect();
    cores.extend(manifest.iter().flat_map(|manifest| &manifest.cores).map(|position| position.core));
    cores.sort_unstable();
    cores.dedup();
    let here = trace::Here::now();
    let scans = in_parallel(&cores, how.threads_max, |core| {
        let span = here.scan(core);
        let scan = scan_core(&**source, log_id, core, inventory.segments_of(core), manifest, how)?;
        let segments = || scan.segments.iter();
        span.done(
            segments().map(|segment| segment.entries).sum(),
            segments().map(|segment| segment.bytes_used).sum(),
        );
        Ok(scan)
    });
    scans.into_iter().collect()
}

/// Settles and scans one core.
pub(crate) fn scan_core(
    source: &dyn Source,
    log_id: LogId,
    core: CoreId,
    segments: &[SegmentNumber],
    manifest: Option<&Manifest>,
    how: How,
) -> Result<CoreScan, ReadError> {
    let position = manifest.and_then(|manifest| manifest.core(core));
    let released = |core: CoreId, segment: SegmentNumber| {
        let position = manifest.and_then(|manifest| manifest.core(core));
        position.is_some_and(|position| segment < position.segment)
    };
    let start_order = position.map_or(Order::default(), |position| Order {
        sequence: position.sequence,
        epoch: position.last_epoch,
        timestamp: position.last_timestamp,
    });
    let needed =
        segments.partition_point(|segment| position.is_some_and(|position| *segment < position.segment));
    let settled = settle(source, log_id, core, segments.get(needed..).unwrap_or(&[]))?;
    let options = ScanOptions {
        start: position.map(|position| LogPosition {
            segment: position.segment,
            offset: position.offset,
            sequence: position.sequence,
        }),
        start_order,
        released: Some(&released),
        replayed: settled.proven.filter(|_| how.depth == Depth::Replayed && how.mode == Mode::Strict),
        barren: &settled.barren,
        salvage: how.mode == Mode::Salvage,
    };
    CoreScan::run(source, log_id, core, segments, &options)
}

/// Highest epoch and timestamp that the manifest names.
pub(crate) fn manifest_bounds(manifest: Option<&Manifest>) -> (Option<Epoch>, u64) {
    let Some(manifest) = manifest else { return (None, 0) };
    let epochs = manifest.cores.iter().map(|position| position.last_epoch);
    let timestamps = manifest.cores.iter().map(|position| position.last_timestamp);
    (epochs.chain([manifest.epoch]).max(), timestamps.max().unwrap_or(0))
}

/// Applies `work` to every item, with as many threads as the machine has, at most `threads_max`; results in the order
/// of the items. With one thread, the items are worked on in that order too.
pub(crate) fn in_parallel<T: Copy + Sync, R: Send>(
    items: &[T],
    threads_max: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = threads_max.min(items.len());
    let threads = if threads > 1 {
        thread::available_parallelism().map_or(1, NonZero::get).min(threads)
    } else {
        threads
    };
    if threads <= 1 {
        return items.iter().map(|item| work(*item)).collect();
    }
    let work = &work;
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    thread::scope(|scope| {
        // Item i goes to thread i modulo their number: no queue to share.
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mine = items.iter().enumerate().skip(thread).step_by(threads);
                    mine.map(|(index, item)| (index, work(*item))).collect::<Vec<_>>()
                })
            })
            .collect();
        for handle in handles {
            match handle.join() {
                Ok(done) => done.into_iter().for_each(|(index, result)| results[index] = Some(result)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results.into_iter().flatten().collect()
}
