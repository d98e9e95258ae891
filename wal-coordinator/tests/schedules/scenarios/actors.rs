//! Those who use a log: a core that appends and asks for acknowledgements, somebody who closes epochs, somebody who
//! makes checkpoints, somebody who lets time pass. Each notes what it was told.

use shuttle::future::block_on;
use shuttle::thread::JoinHandle;
use wal_coordinator::{
    CheckpointCoordinator, CoreWalWriter, Epoch, LogHandle, PerCoreWalManager, Receipt, WriteBatch,
    WriterError, pass_time,
};

use crate::dice::Dice;
use crate::oracle::check_merge;
use crate::story::{Entry, Told};
use crate::world::{Shape, World, give_way};

/// A core's thread.
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) writer: CoreWalWriter,
    pub(crate) handle: LogHandle,
    pub(crate) dice: Dice,
    pub(crate) is_inline: bool,
    index: usize,
    appended: u64,
}

/// What became of an attempt that may fail.
pub(crate) type Attempt = Result<(), WriterError>;

impl Core {
    /// The cores of a log that was just opened.
    pub(crate) fn all(
        world: &World,
        manager: &mut PerCoreWalManager,
        shape: &Shape,
        dice: &mut Dice,
    ) -> Vec<Self> {
        let core = |index| {
            let writer = manager.take_writer(index).unwrap();
            Self {
                world: world.clone(),
                appended: writer.position().0,
                writer,
                handle: manager.handle(),
                dice: dice.fork(),
                is_inline: shape.is_inline(),
                index,
            }
        };
        (0..shape.cores).map(core).collect()
    }

    /// Appends one entry, or a batch, and says in which epoch.
    pub(crate) fn append(&mut self) -> Result<Epoch, WriterError> {
        let count = if self.dice.once_in(6) { 2 } else { 1 };
        let entries: Vec<_> = (0..count).map(|_| self.entry()).collect();
        // Whatever it turns out to be, it is none before this one.
        let before = self.writer.epoch();
        self.world.story.begin(self.index, &entries);
        let result = match &entries[..] {
            [Entry { key, value: Some(value), .. }] => self.writer.append_put(key, value),
            [Entry { key, value: None, .. }] => self.writer.append_delete(key),
            entries => self.writer.append_batch(&batch(entries)),
        };
        match result {
            Ok(sequence) => {
                assert_eq!(sequence.0, self.appended, "core {} lost count", self.index);
                self.appended += count as u64;
                let epoch = self.writer.last_epoch();
                self.world.story.appended(self.index, count, epoch);
                assert!(epoch >= before, "an append of {epoch} after {before} was seen");
                Ok(epoch)
            }
            Err(error) => {
                self.world.story.refused(self.index, count);
                Err(error)
            }
        }
    }

    /// Asks for an acknowledgement of what was appended, of a kind that the dice choose, or for none.
    pub(crate) fn acknowledge(&mut self) -> Attempt {
        let durable = Told::Durable(self.index, self.appended);
        match self.dice.below(if self.is_inline { 6 } else { 8 }) {
            0 | 1 => {}
            2 => {
                let synced = self.writer.sync().map(drop);
                self.tell(synced, durable)?;
            }
            3 => self.tell(self.writer.durable().wait(), durable)?,
            4 => self.tell(self.writer.written().wait(), Told::Written(self.index, self.appended))?,
            5 => self.look(),
            6 => self.tell(block_on(self.writer.durable()), durable)?,
            _ => self.tell(block_on(self.writer.written()), Told::Written(self.index, self.appended))?,
        }
        Ok(())
    }

    /// A thread that appends so often, and asks for acknowledgements now and then.
    pub(crate) fn appending(mut self, appends: usize) -> JoinHandle<()> {
        shuttle::thread::spawn(move || {
            for _ in 0..appends {
                self.append().unwrap();
                if self.dice.once_in(3) {
                    self.acknowledge().unwrap();
                }
            }
        })
    }

    /// What the positions say without waiting.
    pub(crate) fn look(&self) {
        let durable = self.writer.synced_position().0;
        self.world.told(Told::Durable(self.index, durable));
        let epoch = self.handle.durable_epoch();
        self.world.told_epoch(epoch);
    }

    fn tell(&self, result: Attempt, told: Told) -> Attempt {
        if result.is_ok() {
            self.world.told(told);
        }
        result
    }

    fn entry(&mut self) -> Entry {
        let key = format!("{}/{}", self.index, self.dice.below(3)).into_bytes();
        // Four of the large ones fill a segment, two of the largest a ring.
        let value_bytes = [1, 40, 40, 700, 1500, 2500][self.dice.below(6)];
        let value = (!self.dice.once_in(7)).then(|| vec![self.dice.next().to_le_bytes()[0]; value_bytes]);
        Entry { epoch: None, key, value }
    }
}

fn batch(entries: &[Entry]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for Entry { key, value, .. } in entries {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        };
    }
    batch
}

/// Waits for an epoch: blocking, or as a future if somebody else drives it.
pub(crate) fn wait_for(receipt: Receipt, is_inline: bool, dice: &mut Dice) -> Attempt {
    if is_inline || dice.once_in(2) { receipt.wait() } else { block_on(receipt) }
}

/// A thread that closes an epoch or two.
pub(crate) fn closing(world: World, handle: LogHandle, shape: Shape, mut dice: Dice) -> JoinHandle<()> {
    shuttle::thread::spawn(move || {
        for _ in 0..1 + dice.below(2) {
            close_epoch(&world, &handle, &shape, &mut dice).unwrap();
        }
    })
}

/// A thread that makes so many checkpoints.
pub(crate) fn checkpointing(
    world: &World,
    manager: &PerCoreWalManager,
    checkpoints: usize,
) -> JoinHandle<()> {
    let (handle, noted) = (manager.handle(), world.clone());
    let mut coordinator = CheckpointCoordinator::new(manager);
    shuttle::thread::spawn(move || {
        for _ in 0..checkpoints {
            assert!(checkpoint(&noted, &mut coordinator, &handle), "a checkpoint failed");
        }
    })
}

/// Closes an epoch, and waits for it if the dice say so.
pub(crate) fn close_epoch(world: &World, handle: &LogHandle, shape: &Shape, dice: &mut Dice) -> Attempt {
    let epoch = handle.advance_epoch();
    assert!(handle.epoch() > epoch, "{epoch} was returned as closed");
    match dice.below(3) {
        0 => {}
        // The current one, or one that somebody else may have closed meanwhile.
        1 => {
            let current = handle.epoch();
            wait_for(handle.epoch_durable(current), shape.is_inline(), dice)?;
            world.told_epoch(current);
        }
        _ => {
            wait_for(handle.epoch_durable(epoch), shape.is_inline(), dice)?;
            world.told_epoch(epoch);
        }
    }
    let durable = handle.durable_epoch();
    world.told_epoch(durable);
    Ok(())
}

/// Makes a checkpoint; whether it succeeded.
pub(crate) fn checkpoint(world: &World, coordinator: &mut CheckpointCoordinator, handle: &LogHandle) -> bool {
    let Ok(report) = coordinator.create_checkpoint() else { return false };
    world.told(Told::Checkpoint(report.epoch));
    let durable = handle.durable_epoch();
    assert!(durable >= report.epoch, "the checkpoint of {} is done, durable is {durable}", report.epoch);
    world.told_epoch(durable);
    true
}

/// Merges all cores and compares with the story: exactly what was appended, gapless, in order, with everything that was
/// durable before.
pub(crate) fn merge(world: &World, handle: &LogHandle) {
    let durable = handle.synced_positions();
    let entries = handle.merge_segments().unwrap_or_else(|error| panic!("merge: {error}"));
    let notes = world.story.notes();
    // It begins where the checkpoint of the time ended, which only it knows.
    let begin = |core: usize| {
        let first = entries.iter().find(|entry| entry.core_id.index() == core);
        first.map(|entry| usize::try_from(entry.sequence.0).unwrap())
    };
    let mut ends: Vec<_> =
        (0..notes.cores.len().max(durable.len())).map(|core| begin(core).unwrap_or(0)).collect();
    check_merge(&entries, &notes, &mut ends, "merge");
    for (end, position) in ends.iter().zip(&durable) {
        assert!(
            *end == 0 || *end as u64 >= position.sequence.0,
            "merge: core {} ends at {end}, durable before was {}",
            position.core,
            position.sequence
        );
    }
}

/// Time passes, a few times, at moments of the schedule's choice.
pub(crate) fn clock(ticks: usize) -> JoinHandle<()> {
    shuttle::thread::spawn(move || {
        for _ in 0..ticks {
            give_way();
            pass_time();
        }
    })
}
