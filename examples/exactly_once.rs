//! Counts the words of a stream exactly once, across cores: `exactly_once DIRECTORY`, with the input in
//! `DIRECTORY/input-0` and `DIRECTORY/input-1`.
//!
//! Core *p* reads input *p*, but a word is counted by the core that owns it. So the offset and its effects stand in the logs
//! of different cores, and only an epoch holds them together. All cores work in rounds: read some lines, send every word to
//! its owner, count what arrived, log counts and offset; then the epoch is closed. A round is a whole epoch, and after a crash
//! recovery takes whole epochs only ([`Scope::ConsistentCut`]): an offset comes back with all of its effects or with none.
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Barrier;
use std::sync::mpsc::{Receiver, Sender, channel};

use wal_coordinator::{
    BoxError, CheckpointCoordinator, CoreWalWriter, LogHandle, PerCoreWalConfig, PerCoreWalManager, Scope,
    WriteBatch,
};

const CORES: usize = 2;
/// Lines that a core reads in a round.
const ROUND_LINES: usize = 50;
const ROUNDS_PER_CHECKPOINT: u64 = 20;

/// What one core sends to another in a round.
struct Message {
    words: Vec<String>,
    is_at_end: bool,
}

/// One core.
struct Core {
    number: usize,
    writer: CoreWalWriter,
    counts: HashMap<String, u64>,
    /// The next line to read.
    offset: u64,
    to_all: Vec<Sender<Message>>,
    inbox: Receiver<Message>,
}

/// Core 0 also ends the rounds.
struct Leader {
    log: LogHandle,
    checkpoints: CheckpointCoordinator,
}

fn main() -> Result<(), BoxError> {
    let path = std::env::args().nth(1).ok_or("usage: exactly_once DIRECTORY")?;
    let path = Path::new(&path);
    let mut config = PerCoreWalConfig::new(path.join("log"), CORES);
    config.scope = Scope::ConsistentCut;
    config.log.segment_bytes = 4 * 1024 * 1024;
    let mut counts = HashMap::new();
    let (mut manager, recovered) = PerCoreWalManager::recover(config, &mut counts)?;
    eprintln!("epoch {}, offsets {:?}", recovered.epoch, recovered.offsets);

    let mut shards = vec![HashMap::new(); CORES];
    for (word, count) in counts {
        let word = String::from_utf8(word)?;
        shards[owner(&word)].insert(word, u64::from_le_bytes(count.as_slice().try_into()?));
    }
    let (to_all, inboxes): (Vec<_>, Vec<_>) = (0..CORES).map(|_| channel()).unzip();
    let mut cores = Vec::new();
    for (number, (counts, inbox)) in shards.into_iter().zip(inboxes).enumerate() {
        let offset = recovered.offsets.get(&source(number)).copied().unwrap_or(0);
        let (writer, to_all) = (manager.take_writer(number)?, to_all.clone());
        cores.push(Core { number, writer, counts, offset, to_all, inbox });
    }
    drop(to_all);
    let mut leader =
        Some(Leader { log: manager.handle(), checkpoints: CheckpointCoordinator::new(&manager) });
    let round_end = &Barrier::new(CORES);
    std::thread::scope(|scope| {
        for core in cores {
            let leader = leader.take();
            scope.spawn(move || {
                // Without one core the others would wait for ever. To come back from a crash is what the log is for.
                core.run(path, leader, round_end).unwrap_or_else(|error| {
                    eprintln!("{error}");
                    std::process::exit(1)
                });
            });
        }
    });
    Ok(manager.close()?)
}

fn source(core: usize) -> String {
    format!("input-{core}")
}

/// The core that counts `word`.
fn owner(word: &str) -> usize {
    word.bytes().map(usize::from).sum::<usize>() % CORES
}

impl Core {
    /// Works in rounds until no core has anything more to read, then prints its counts.
    fn run(
        mut self,
        directory: &Path,
        mut leader: Option<Leader>,
        round_end: &Barrier,
    ) -> Result<(), BoxError> {
        let input = BufReader::new(File::open(directory.join(source(self.number)))?);
        let mut lines = input.lines().skip(usize::try_from(self.offset)?);
        for round in 1.. {
            let is_over = self.round(&mut lines)?;
            // Here all has been logged, and nobody logs more before the leader's next message: the epoch is the round.
            round_end.wait();
            if let Some(leader) = &mut leader {
                leader.end_round(round)?;
            }
            if is_over {
                break;
            }
        }
        self.counts.iter().for_each(|(word, count)| println!("{word} {count}"));
        Ok(())
    }

    /// Reads, sends, counts and logs. Whether no core has read anything.
    fn round(&mut self, lines: &mut impl Iterator<Item = std::io::Result<String>>) -> Result<bool, BoxError> {
        let lines = lines.take(ROUND_LINES).collect::<Result<Vec<_>, _>>()?;
        let mut words: Vec<Vec<String>> = vec![Vec::new(); CORES];
        lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .for_each(|word| words[owner(word)].push(word.to_owned()));
        for (to, words) in self.to_all.iter().zip(words) {
            to.send(Message { words, is_at_end: lines.is_empty() })?;
        }
        let mut is_over = true;
        let mut changed = HashMap::new();
        for message in self.inbox.iter().take(CORES) {
            is_over &= message.is_at_end;
            for word in message.words {
                let count = self.counts.entry(word.clone()).or_default();
                *count += 1;
                changed.insert(word, *count);
            }
        }
        let mut batch = WriteBatch::new();
        for (word, count) in changed {
            batch.put(word.as_bytes(), &count.to_le_bytes());
        }
        if !lines.is_empty() {
            self.offset += lines.len() as u64;
            batch.commit(&[(&source(self.number), self.offset)], None);
        }
        self.writer.append_batch(&batch)?;
        Ok(is_over)
    }
}

impl Leader {
    /// Closes the epoch. When it is durable on all cores, and not before, the world may be told.
    fn end_round(&mut self, round: u64) -> Result<(), BoxError> {
        // A checkpoint closes an epoch too, so it is made between rounds.
        let epoch = match round % ROUNDS_PER_CHECKPOINT {
            0 => self.checkpoints.create_checkpoint()?.epoch,
            _ => self.log.advance_epoch(),
        };
        self.log.epoch_durable(epoch).wait()?;
        eprintln!("round {round} is durable: epoch {epoch}");
        Ok(())
    }
}
