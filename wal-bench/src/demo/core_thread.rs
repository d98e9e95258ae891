//! One core of the job: reads its shards' files, counts, logs. Owns its writer, its counts, its files.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::SyncSender;

use wal_coordinator::{CoreWalWriter, Receipt, WriteBatch};

use super::counts::{Shard, write_key};
use super::input::SourceFile;
use super::words::{chunk_end, key_of, unfinished_word, words};

/// Text of one atomic batch: small, as the messages of a stream are.
const CHUNK_BYTES: usize = 4096;
/// Text read at once.
const WINDOW_BYTES: usize = 256 * 1024;
/// Text after which the parent is told what is durable.
const RECEIPT_BYTES: u64 = 64 * 1024;

/// What stops a core.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A file of this core, and where to go on in it.
#[derive(Debug)]
pub(super) struct Assignment {
    /// Its place in the list.
    pub(super) file: usize,
    pub(super) source: SourceFile,
    pub(super) offset: u64,
}

/// Progress to be told when `receipt` says that it is durable.
pub(super) struct Ack {
    pub(super) receipt: Receipt,
    /// Per file, by its place in the list, how far it is counted.
    pub(super) progress: Vec<(usize, u64)>,
}

pub(super) struct CoreThread {
    writer: CoreWalWriter,
    /// By number; only those of this core.
    shards: HashMap<usize, Shard>,
    acks: SyncSender<Ack>,
    batch: WriteBatch,
    key: Vec<u8>,
    progress: Vec<(usize, u64)>,
    unacknowledged_bytes: u64,
}

impl CoreThread {
    pub(super) fn new(writer: CoreWalWriter, shards: HashMap<usize, Shard>, acks: SyncSender<Ack>) -> Self {
        Self {
            writer,
            shards,
            acks,
            batch: WriteBatch::new(),
            key: Vec::new(),
            progress: Vec::new(),
            unacknowledged_bytes: 0,
        }
    }

    /// Counts everything assigned to this core.
    pub(super) fn run(mut self, assignments: &[Assignment]) -> Result<(), Failure> {
        for assignment in assignments.iter().filter(|assignment| assignment.offset < assignment.source.bytes)
        {
            self.count_file(assignment)
                .map_err(|error| format!("{}: {error}", assignment.source.path.display()))?;
        }
        self.request_ack()
    }

    fn count_file(&mut self, assignment: &Assignment) -> Result<(), Failure> {
        let Assignment { file, source, offset } = assignment;
        let text = File::open(&source.path)?;
        let mut offset = self.resume_point(&text, source, *offset)?;
        let mut window_bytes = WINDOW_BYTES;
        while offset < source.bytes {
            let window = read_at(&text, offset, (source.bytes - offset).min(window_bytes as u64))?;
            let is_last = offset + window.len() as u64 == source.bytes;
            let mut at = 0;
            while at < window.len() {
                let Some(bytes) = chunk_end(&window[at..], CHUNK_BYTES, is_last) else { break };
                offset += bytes as u64;
                self.count_chunk(source, &window[at..at + bytes], offset)?;
                at += bytes;
                self.unacknowledged_bytes += bytes as u64;
                if self.unacknowledged_bytes >= RECEIPT_BYTES {
                    self.progress.push((*file, offset));
                    self.request_ack()?;
                }
            }
            // A word longer than the window.
            window_bytes = if at == 0 { window_bytes * 2 } else { WINDOW_BYTES };
        }
        self.progress.push((*file, offset));
        Ok(())
    }

    /// Where to go on. If a word was cut by the end that the file had then, the piece is taken back: in the batch that counts
    /// the whole word, so that the offset never goes back.
    fn resume_point(&mut self, text: &File, source: &SourceFile, offset: u64) -> Result<u64, Failure> {
        if offset == 0 {
            return Ok(0);
        }
        let seam = read_at(text, offset - 1, 2)?;
        if unfinished_word(&seam[..1], seam[1]).is_none() {
            return Ok(offset);
        }
        let before = read_at(text, 0, offset)?;
        let Some(start) = unfinished_word(&before, seam[1]) else { return Ok(offset) };
        let word = key_of(&before[start..]);
        let counts = self.shards.get_mut(&source.shard).ok_or("a file of another core's shard")?;
        let count =
            counts.get_mut(word).filter(|count| **count > 0).ok_or("a counted word is not in the counts")?;
        *count -= 1;
        write_key(&mut self.key, source.shard, word);
        if *count == 0 {
            counts.remove(word);
            self.batch.delete(&self.key);
        } else {
            self.batch.put(&self.key, &count.to_le_bytes());
        }
        Ok(start as u64)
    }

    /// Counts one chunk, in memory and in the log.
    fn count_chunk(&mut self, source: &SourceFile, chunk: &[u8], end: u64) -> Result<(), Failure> {
        let counts = self.shards.get_mut(&source.shard).ok_or("a file of another core's shard")?;
        let mut found: HashMap<&[u8], u64> = HashMap::with_capacity(256);
        words(chunk).for_each(|word| *found.entry(word).or_default() += 1);
        for (word, times) in found {
            let count = match counts.get_mut(word) {
                Some(count) => {
                    *count += times;
                    *count
                }
                None => {
                    counts.insert(word.into(), times);
                    times
                }
            };
            write_key(&mut self.key, source.shard, word);
            self.batch.put(&self.key, &count.to_le_bytes());
        }
        self.append(source, end)
    }

    /// Appends the batch with the source's new offset, and begins another: counts and offset stand or fall together.
    fn append(&mut self, source: &SourceFile, offset: u64) -> Result<(), Failure> {
        let watermark_ms = i64::try_from(self.writer.last_timestamp_ns() / 1_000_000)?;
        self.batch.commit(&[(&source.name(), offset)], Some(watermark_ms));
        self.writer.append_batch(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    /// Has the parent told of the progress so far, once it is durable. Counting goes on meanwhile.
    fn request_ack(&mut self) -> Result<(), Failure> {
        self.unacknowledged_bytes = 0;
        let ack = Ack { receipt: self.writer.durable(), progress: std::mem::take(&mut self.progress) };
        self.acks.send(ack).map_err(|_| "nobody waits for receipts any more".into())
    }
}

fn read_at(text: &File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    text.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wal_coordinator::{EntryRef, OperationRef, PerCoreWalConfig, PerCoreWalManager, Replay};
    use wal_recovery::BoxError;

    use super::super::input::Input;
    use super::*;

    /// The offsets of all commits, in order.
    #[derive(Default)]
    struct Offsets(Vec<u64>);

    impl Replay for Offsets {
        fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
            if let OperationRef::Commit { offsets, .. } = entry.operation {
                self.0.extend(offsets.iter().map(|(_, offset)| offset));
            }
            Ok(())
        }
    }

    /// A process may be killed behind any batch, and who was told of an offset must find at least that.
    #[test]
    fn an_offset_never_goes_back_also_where_the_end_of_a_file_had_cut_a_word() {
        let directory = tempfile::tempdir().expect("a directory");
        let (text, log) = (directory.path().join("a.txt"), directory.path().join("log"));
        let mut offset = 0;
        let mut shard = Shard::new();
        let words = "again half ".repeat(2000);
        for (content, halves) in
            [("one ha", 0), ("one half way, ha", 1), (&format!("one half way, half {words}"), 2002)]
        {
            fs::write(&text, content).expect("a file");
            let source = Input::below(&text).expect("listed").files.remove(0);
            let mut manager = PerCoreWalManager::new(PerCoreWalConfig::new(&log, 1).inline()).expect("open");
            let (acks, _told) = std::sync::mpsc::sync_channel(100);
            let writer = manager.take_writer(0).expect("a writer");
            let shards = HashMap::from([(source.shard, shard)]);
            let mut thread = CoreThread::new(writer, shards, acks);
            let number = source.shard;
            thread.count_file(&Assignment { file: 0, source, offset }).expect("counted");
            shard = thread.shards.remove(&number).expect("the same shard");
            assert_eq!(shard.get(&b"half"[..]).copied().unwrap_or(0), halves);
            drop(thread);
            manager.close().expect("closed");
            let mut offsets = Offsets::default();
            wal_recovery::PerCoreRecoveryManager::new(&log).recover(&mut offsets).expect("recovered");
            assert!(offsets.0.is_sorted(), "{:?}", offsets.0);
            offset = content.len() as u64;
            assert_eq!(offsets.0.last(), Some(&offset));
        }
        assert_eq!(shard.get(&b"ha"[..]), None, "a piece of a word is no word");
    }
}
