//! The background thread that makes segments ahead of need, and keeps out of the way of those who sync.
//!
//! A segment that is filled with zeros in one go keeps the device busy for tens of milliseconds, and every sync that comes
//! meanwhile waits for it. So the supplier fills a step at a time and rests after each, for as long as nobody is in a hurry:
//! for a core that has written half as much as is filled, or another that waits for its turn, the rest is filled in one go.
//!
//! How fast a segment is made decides about no promise: a core that needs one sooner makes it itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wal_format::CoreId;
use wal_writer::{CoreLog, Pace, SegmentSupply};

use crate::sync::{Next, Receiver, Ticks, next, tick};

/// Rest after a step of 1 MiB: a segment of 64 MiB takes 1.4 s, of which the device is busy for a tenth.
const REST: Duration = Duration::from_millis(20);
/// Of a segment, what a core may write while it waits for its turn, before the one that is served is hurried.
const PATIENCE: u64 = 8;

/// The thread's state: who is to be served.
pub(crate) struct Supplier {
    supply: Arc<SegmentSupply>,
    logs: Vec<Arc<CoreLog>>,
    /// A core that wants a segment, or `None` for the end.
    inbox: Receiver<Option<CoreId>>,
    ticks: Ticks,
    queue: VecDeque<Order>,
}

/// A core that wants a segment.
struct Order {
    core: CoreId,
    /// What it had written to files when it said so.
    written_bytes: u64,
}

impl Supplier {
    pub(crate) fn new(
        supply: Arc<SegmentSupply>,
        logs: Vec<Arc<CoreLog>>,
        inbox: Receiver<Option<CoreId>>,
    ) -> Self {
        Self { supply, logs, inbox, ticks: tick(REST), queue: VecDeque::new() }
    }

    /// Makes one segment after the other, until it is told that this is the end.
    pub(crate) fn run(mut self) {
        loop {
            let order = match self.queue.pop_front() {
                Some(order) => order,
                None => match self.inbox.recv() {
                    Ok(Some(core)) => self.order(core),
                    _ => return,
                },
            };
            let mut is_over = false;
            // Without a spare, the log makes one itself, and there the error is reported.
            let supply = Arc::clone(&self.supply);
            let _ = supply.prepare_paced(order.core, |filled| {
                let pace = self.rest(&order, filled);
                is_over = pace == Pace::Stop;
                pace
            });
            if is_over {
                return;
            }
        }
    }

    fn order(&self, core: CoreId) -> Order {
        Order { core, written_bytes: self.written_bytes(core) }
    }

    /// Waits, unless somebody is in a hurry.
    fn rest(&mut self, order: &Order, filled: u64) -> Pace {
        while !self.is_hurried(order, filled) {
            match next(&self.inbox, &self.ticks) {
                Next::Message(Some(core)) => {
                    // Who wants one says so again and again.
                    if self.queue.iter().all(|order| order.core != core) {
                        self.queue.push_back(self.order(core));
                    }
                }
                Next::Message(None) | Next::Closed => return Pace::Stop,
                Next::Tick => return Pace::Step,
            }
        }
        Pace::Rush
    }

    fn is_hurried(&self, order: &Order, filled: u64) -> bool {
        let since = |order: &Order| self.written_bytes(order.core) - order.written_bytes;
        let patience = self.supply.segment_bytes() / PATIENCE;
        since(order) >= filled / 2 || self.queue.iter().any(|order| since(order) >= patience)
    }

    fn written_bytes(&self, core: CoreId) -> u64 {
        self.logs.iter().find(|log| log.core() == core).map_or(0, |log| log.file_bytes())
    }
}

#[cfg(all(test, not(loom), not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "tests")]
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a thread to be told apart, and ticks by hand"
)]
mod tests {
    use std::time::Instant;

    use wal_format::{Epoch, LogId, SegmentNumber, Sequence};
    use wal_writer::storage::recording::RecordingStorage;
    use wal_writer::{Clock, CoreWalWriter, GlobalEpoch, LogOptions, LogParts, StartAt};

    use super::*;
    use crate::sync::{Sender, unbounded};

    const MIB: u64 = 1 << 20;
    const SEGMENT_BYTES: u64 = 8 * MIB;

    struct Rig {
        supplier: Supplier,
        orders: Sender<Option<CoreId>>,
        ticks: Sender<Instant>,
        writers: Vec<CoreWalWriter>,
    }

    /// Two cores whose time passes by hand.
    fn rig() -> Rig {
        let supply = Arc::new(SegmentSupply::new(Arc::new(RecordingStorage::new()), SEGMENT_BYTES, 0));
        let global = Arc::new(GlobalEpoch::new(Epoch(1)));
        let start = StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None };
        let open = |core| {
            supply.register(CoreId(core), SegmentNumber(0));
            let parts = LogParts {
                log_id: LogId([7; 16]),
                core: CoreId(core),
                options: LogOptions { segment_bytes: SEGMENT_BYTES, ..LogOptions::default() },
                start,
                supply: Arc::clone(&supply),
                flusher: None,
            };
            CoreWalWriter::new(parts, Arc::clone(&global), Clock::system(), 0)
        };
        let (writers, logs) = (0..2).map(open).unzip();
        let (orders, inbox) = unbounded();
        let (ticks, due) = unbounded();
        let supplier = Supplier { ticks: due, ..Supplier::new(supply, logs, inbox) };
        Rig { supplier, orders, ticks, writers }
    }

    impl Rig {
        /// Has `core` write at least so many bytes to its file, in whole pages.
        fn write(&mut self, core: usize, bytes: u64) {
            self.writers[core].append_put(b"key", &vec![7; usize::try_from(bytes).unwrap()]).unwrap();
            self.writers[core].sync().unwrap();
        }

        /// Orders a segment for each of `cores`, then tells of the end; what was made by then, and whether ticks are left.
        fn run(self, cores: &[u16], ticks: usize) -> ([bool; 2], usize) {
            let Self { supplier, orders, ticks: sender, writers } = self;
            let supply = Arc::clone(&supplier.supply);
            cores.iter().for_each(|core| orders.send(Some(CoreId(*core))).unwrap());
            (0..ticks).for_each(|_| sender.send(Instant::now()).unwrap());
            let due = supplier.ticks.clone();
            let thread = std::thread::spawn(|| supplier.run());
            while !due.is_empty() && !thread.is_finished() {
                std::thread::yield_now();
            }
            let is_wanting = || cores.iter().any(|core| supply.is_wanting(CoreId(*core)));
            while ticks == 7 * cores.len() && is_wanting() && !thread.is_finished() {
                std::thread::yield_now();
            }
            orders.send(None).unwrap();
            thread.join().unwrap();
            drop(writers);
            ([0, 1].map(|core| !supply.is_wanting(CoreId(core))), due.len())
        }
    }

    #[test]
    fn a_segment_is_made_in_as_many_steps_as_it_has_with_a_rest_after_each() {
        assert_eq!(rig().run(&[0], 7), ([true, false], 0));
        assert_eq!(rig().run(&[1, 0], 14), ([true, true], 0));
    }

    #[test]
    fn an_end_comes_amid_a_rest_and_leaves_nothing_half_made() {
        assert_eq!(rig().run(&[0], 6), ([false, false], 0));
        assert_eq!(rig().run(&[0, 1], 13), ([true, false], 0));
        assert_eq!(rig().run(&[], 0), ([false, false], 0));
    }

    #[test]
    fn who_writes_half_of_what_is_filled_is_not_kept_waiting() {
        let mut rig = rig();
        rig.write(0, MIB);
        let order = rig.supplier.order(CoreId(0));
        let of_other = rig.supplier.order(CoreId(1));
        assert!(!rig.supplier.is_hurried(&order, MIB), "it wrote before it asked");
        rig.write(0, MIB);
        let written = rig.supplier.written_bytes(CoreId(0)) - order.written_bytes;
        assert!(written >= MIB);
        for (filled, is_hurried) in [(MIB, true), (2 * written, true), (2 * written + 2, false)] {
            assert_eq!(rig.supplier.is_hurried(&order, filled), is_hurried, "{filled} of {written}");
        }
        assert_eq!(rig.supplier.rest(&order, MIB), Pace::Rush, "without a tick");
        assert!(!rig.supplier.is_hurried(&of_other, MIB), "another core's writes");
    }

    #[test]
    fn who_waits_for_its_turn_too_long_hurries_the_one_that_is_served() {
        let mut rig = rig();
        let order = rig.supplier.order(CoreId(0));
        for _ in 0..3 {
            rig.orders.send(Some(CoreId(1))).unwrap();
        }
        while rig.supplier.queue.is_empty() || !rig.supplier.inbox.is_empty() {
            rig.ticks.send(Instant::now()).unwrap();
            assert_eq!(rig.supplier.rest(&order, MIB), Pace::Step);
        }
        assert_eq!(rig.supplier.queue.len(), 1, "it said so three times");
        rig.write(1, SEGMENT_BYTES / PATIENCE - MIB / 2);
        assert!(!rig.supplier.is_hurried(&order, MIB));
        rig.write(1, MIB / 2);
        assert!(rig.supplier.is_hurried(&order, MIB));
    }
}
