//! One life of a log on real threads: cores that append, react to each other and wait for receipts, closers of epochs, a
//! maker of checkpoints. Each checks what it can see at once, and returns what only the whole story can judge.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use wal_coordinator::*;
use wal_reader::MemorySource;
use wal_recovery::{PerCoreRecoveryManager, Recovered};

use super::common::{Random, Seen};
use super::disk::Disk;

/// What all threads of a life see.
pub(crate) struct Board {
    pub(crate) handle: LogHandle,
    pub(crate) disk: Disk,
    /// Every epoch up to this one was closed, as somebody was told.
    closed: AtomicU64,
    /// Cores that still append.
    busy: AtomicUsize,
    /// Per core what it has been told by others, and not yet reacted to.
    mail: Vec<Mutex<Vec<OrderKey>>>,
    /// What was recovered right after an acknowledgement.
    recoveries: Mutex<Vec<Recovery>>,
}

/// What came back of an image, and how much of the log it was to be.
pub(crate) struct Recovery {
    pub(crate) what: String,
    pub(crate) scope: Scope,
    pub(crate) seen: Seen,
    pub(crate) recovered: Recovered,
}

/// An epoch that was closed, with the positions of all cores before and after.
pub(crate) struct Close {
    pub(crate) epoch: Epoch,
    pub(crate) before: Vec<CoreSequence>,
    pub(crate) after: Vec<CoreSequence>,
}

/// What a merge up to an epoch found: per core the first entry's number, and the one after the last.
pub(crate) struct Merge {
    pub(crate) epoch: Epoch,
    pub(crate) found: BTreeMap<CoreId, (u64, u64)>,
}

/// Everything that the threads of a life have to say.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) entries: Vec<PerCoreWalEntry>,
    pub(crate) closes: Vec<Close>,
    pub(crate) merges: Vec<Merge>,
    pub(crate) checkpoints: Vec<CheckpointReport>,
    pub(crate) recoveries: Vec<Recovery>,
}

/// Says that a core is done, also if it panics: the closers must not wait for it for ever.
struct Busy<'a>(&'a Board);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, SeqCst);
    }
}

/// Lives until every writer has made `appends` appends.
pub(crate) fn live(
    manager: &PerCoreWalManager,
    writers: Vec<CoreWalWriter>,
    disk: &Disk,
    appends: u64,
    seed: u64,
) -> Story {
    let board = Board {
        handle: manager.handle(),
        disk: disk.clone(),
        closed: AtomicU64::new(0),
        busy: AtomicUsize::new(writers.len()),
        mail: (0..manager.cores()).map(|_| Mutex::default()).collect(),
        recoveries: Mutex::default(),
    };
    let mut checkpoints = CheckpointCoordinator::new(manager);
    let mut story = std::thread::scope(|scope| {
        let board = &board;
        let cores: Vec<_> = writers
            .into_iter()
            .map(|writer| {
                let random = Random::new(seed ^ (u64::from(writer.core_id().0) << 32));
                scope.spawn(move || Core { writer, board, random, entries: Vec::new() }.work(appends))
            })
            .collect();
        let closers: Vec<_> = (0..3)
            .map(|closer| scope.spawn(move || close_epochs(board, Random::new(seed ^ (closer << 48)))))
            .collect();
        let checkpoint =
            scope.spawn(|| make_checkpoints(board, &mut checkpoints, Random::new(seed ^ (1 << 56))));
        let mut story = Story::default();
        cores.into_iter().for_each(|core| story.entries.extend(joined(core)));
        for (closes, merges) in closers.into_iter().map(joined) {
            story.closes.extend(closes);
            story.merges.extend(merges);
        }
        story.checkpoints = joined(checkpoint);
        story
    });
    story.recoveries = board.recoveries.into_inner();
    story
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Board {
    fn is_over(&self) -> bool {
        self.busy.load(SeqCst) == 0
    }

    /// Recovers an image that was taken after something was acknowledged, and keeps it to be compared.
    fn recover(&self, image: MemorySource, scope: Scope, what: String) -> Arc<Recovered> {
        let mut seen = Seen::default();
        let recovery = PerCoreRecoveryManager::with_source(Arc::new(image)).scope(scope);
        let recovered = recovery.recover(&mut seen).unwrap_or_else(|error| panic!("{what}: {error}"));
        let told = Arc::new(recovered.clone());
        self.recoveries.lock().push(Recovery { what, scope, seen, recovered });
        told
    }

    /// Somebody was told that a checkpoint of `epoch` stands: a power loss leaves it, or a later one.
    fn survives_with_checkpoint(&self, epoch: Epoch) {
        let what = format!("checkpoint of epoch {epoch} made");
        let recovered = self.recover(self.disk.after_power_loss(), Scope::Everything, what.clone());
        let checkpoint = recovered.report.checkpoint.as_ref().map(|checkpoint| checkpoint.epoch);
        assert!(checkpoint >= Some(epoch), "{what}, then lost\n{}", recovered.report);
    }
}

struct Core<'a> {
    writer: CoreWalWriter,
    board: &'a Board,
    random: Random,
    entries: Vec<PerCoreWalEntry>,
}

impl Core<'_> {
    fn work(mut self, appends: u64) -> Vec<PerCoreWalEntry> {
        let _busy = Busy(self.board);
        for number in 0..appends {
            self.append(number);
            match self.random.below(100) {
                0 => self.acknowledged(true, |writer| writer.sync().map(drop)),
                1 => self.acknowledged(true, |writer| writer.durable().wait()),
                2 => self.acknowledged(true, |writer| poll_until_ready(writer.durable())),
                3 => self.acknowledged(false, |writer| writer.written().wait()),
                // Dropped while it is registered.
                4 => {
                    let mut receipt = self.writer.durable();
                    let _ = pin!(&mut receipt).poll(&mut Context::from_waker(Waker::noop()));
                }
                _ => {}
            }
        }
        self.acknowledged(true, |writer| writer.sync().map(drop));
        self.entries
    }

    /// Appends something, perhaps in reaction to what another core did, and perhaps tells another core.
    fn append(&mut self, number: u64) {
        let core_id = self.writer.core_id();
        let cause = self.board.mail[usize::from(core_id.0)].lock().pop();
        if let Some(cause) = cause {
            self.writer.observe(cause.timestamp_ns);
        }
        let closed = self.board.closed.load(SeqCst);
        let count = if self.random.once_in(12) { 1 + self.random.index(4) } else { 1 };
        let operations: Vec<_> = (0..count).map(|_| self.operation(number)).collect();
        let sequence = if let [operation] = &operations[..] {
            self.writer.append(&operation.as_ref()).unwrap()
        } else {
            let mut batch = WriteBatch::new();
            for operation in &operations {
                batch.push(&operation.as_ref());
            }
            self.writer.append_batch(&batch).unwrap()
        };
        let (epoch, timestamp_ns) = (self.writer.last_epoch(), self.writer.last_timestamp_ns());
        assert!(
            epoch.0 > closed,
            "core {core_id} wrote #{sequence} into epoch {epoch}, and knew that {closed} was closed"
        );
        for (index, operation) in operations.into_iter().enumerate() {
            let sequence = sequence.plus(index as u64);
            self.entries.push(PerCoreWalEntry { epoch, sequence, core_id, timestamp_ns, operation });
        }
        let Some(last) = self.entries.last().map(PerCoreWalEntry::order_key) else { return };
        if let Some(cause) = cause {
            assert!(cause < last, "a reaction {last:?} sorts before its cause {cause:?}");
        }
        if self.random.once_in(8) {
            let other = self.random.index(self.board.mail.len());
            self.board.mail[other].lock().push(last);
        }
    }

    fn operation(&mut self, number: u64) -> WalOperation {
        let core = self.writer.core_id();
        let key = if self.random.once_in(3) {
            format!("shared {}", self.random.below(40))
        } else {
            format!("{core}/{}", self.random.below(100))
        };
        let key = key.into_bytes();
        match self.random.below(40) {
            0..=3 => WalOperation::Delete { key },
            4 => WalOperation::Commit { offsets: vec![(format!("source {core}"), number)], watermark: None },
            // Some do not fit the ring.
            5 => WalOperation::Put { key, value: vec![7; self.random.index(12_000)] },
            _ => WalOperation::Put { key, value: format!("{core}:{number}").into_bytes() },
        }
    }

    /// Waits for an acknowledgement. What was appended before is then where it should be, on an image too.
    fn acknowledged(
        &mut self,
        is_durable: bool,
        wait: impl FnOnce(&mut CoreWalWriter) -> Result<(), WriterError>,
    ) {
        let (core, position) = (self.writer.core_id(), self.writer.position());
        wait(&mut self.writer).unwrap();
        if is_durable {
            assert!(self.writer.synced_position() >= position, "core {core}: acknowledged, but not durable");
        }
        if !self.random.once_in(6) {
            return;
        }
        let disk = &self.board.disk;
        let image = if is_durable { disk.after_power_loss() } else { disk.after_kill() };
        let what = format!("core {core} acknowledged below #{position}, durable: {is_durable}");
        let recovered = self.board.recover(image, Scope::Everything, what.clone());
        let came_back = recovered.resume.cores.iter().find(|resume| resume.core == core);
        let came_back = came_back.map(|resume| resume.next_sequence);
        assert!(came_back >= Some(position), "{what}: {came_back:?} came back\n{}", recovered.report);
    }
}

/// Runs a future by asking again and again, without ever being woken.
fn poll_until_ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        std::thread::yield_now();
    }
}

fn close_epochs(board: &Board, mut random: Random) -> (Vec<Close>, Vec<Merge>) {
    let (mut closes, mut merges) = (Vec::new(), Vec::new());
    let mut awaited: Option<(Epoch, Receipt)> = None;
    while !board.is_over() {
        let before = board.handle.positions();
        let epoch = board.handle.advance_epoch();
        let after = board.handle.positions();
        board.closed.fetch_max(epoch.0, SeqCst);
        closes.push(Close { epoch, before, after });
        // A checkpoint's maker tells others before its own call returns.
        if let Some((epoch, _)) = awaited.take_if(|(_, receipt)| receipt.is_ready()) {
            board.survives_with_checkpoint(epoch);
        }
        if epoch > Epoch(0) {
            awaited.get_or_insert_with(|| (epoch, board.handle.checkpointed(epoch)));
        }
        if !random.once_in(8) {
            continue;
        }
        board.handle.epoch_durable(epoch).wait().unwrap();
        assert!(board.handle.durable_epoch() >= epoch, "epoch {epoch}: acknowledged, but not durable");
        if random.once_in(4) {
            let what = format!("epoch {epoch} acknowledged");
            let recovered = board.recover(board.disk.after_power_loss(), Scope::ConsistentCut, what.clone());
            assert!(
                recovered.report.cut.unwrap_or_default() >= epoch,
                "{what}, then lost\n{}",
                recovered.report
            );
        }
        if random.once_in(3) {
            merges.push(merge(&board.handle, epoch));
        }
    }
    (closes, merges)
}

/// Reads everything up to `epoch` while the cores go on; each core's part is gapless, the whole is in order.
fn merge(handle: &LogHandle, epoch: Epoch) -> Merge {
    let mut merged = handle.merged(Some(epoch), "stress").unwrap();
    let mut found: BTreeMap<CoreId, (u64, u64)> = BTreeMap::new();
    let mut last: Option<OrderKey> = None;
    while let Some(entry) = merged.next().unwrap() {
        let key = entry.order_key();
        assert!(
            entry.epoch <= epoch && last.is_none_or(|last| last < key),
            "a merge goes from {last:?} to {key:?}"
        );
        last = Some(key);
        let (_, next) = found.entry(entry.core_id).or_insert((entry.sequence.0, entry.sequence.0));
        assert_eq!(*next, entry.sequence.0, "a merge leaves a gap in core {}", entry.core_id);
        *next += 1;
    }
    Merge { epoch, found }
}

fn make_checkpoints(
    board: &Board,
    coordinator: &mut CheckpointCoordinator,
    mut random: Random,
) -> Vec<CheckpointReport> {
    let mut made = Vec::new();
    while made.is_empty() || !board.is_over() {
        let report = coordinator.create_checkpoint().unwrap();
        board.closed.fetch_max(report.epoch.0, SeqCst);
        let (handle, epoch) = (&board.handle, report.epoch);
        assert!(handle.durable_epoch() >= epoch, "checkpoint of epoch {epoch}, which is not durable");
        handle.checkpointed(epoch).wait().unwrap();
        if random.once_in(3) {
            board.survives_with_checkpoint(epoch);
        }
        made.push(report);
        (0..random.below(60)).for_each(|_| std::thread::yield_now());
    }
    made
}
