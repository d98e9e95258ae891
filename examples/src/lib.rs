//! What the three stores of the examples share: requests, shards, and the lines of the client.
//!
//! The same store runs on plain threads (`thread_per_core.rs`), under tokio (`tokio_store.rs`) and under monoio
//! (`monoio_store.rs`). Keys are divided among the cores by hash; each core owns its map and its log, and nobody is
//! answered before what the answer rests on survives a power loss.
#![forbid(unsafe_code)]

pub mod async_core;
pub mod client;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use wal_coordinator::{
    BoxError, CheckpointCoordinator, CoreWalWriter, EntryRef, LogHandle, OperationRef, PerCoreWalError,
    Replay, WriterError,
};

pub use client::{Job, Reply, serve_lines};

/// What stops an example.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The default is 64 MiB, made ahead of use: more than an example writes in its life.
pub const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Answered when it is durable.
    Put {
        /// Under which name.
        key: String,
        /// What.
        value: String,
    },
    /// Answered when what it saw is durable: nobody is told what a crash could take back.
    Get {
        /// Of what.
        key: String,
    },
    /// Answered when it is durable.
    Delete {
        /// Of what.
        key: String,
    },
}

impl Request {
    /// The key, which decides the core.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Get { key } | Self::Delete { key } => key,
        }
    }

    /// Bytes of the ring that it takes at most: its own, and what the log adds.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        const ENTRY_BYTES: usize = 64;
        match self {
            Self::Put { key, value } => key.len() + value.len() + ENTRY_BYTES,
            Self::Get { key } | Self::Delete { key } => key.len() + ENTRY_BYTES,
        }
    }
}

/// The keys of one core.
pub type Shard = HashMap<Vec<u8>, Vec<u8>>;

/// The core that owns `key` while there are `cores` of them.
#[must_use]
pub fn core_of(key: &[u8], cores: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 32) as usize % cores
}

/// All shards, while they are recovered.
///
/// A key goes to the core that owns it now, whichever wrote it then: replay is in the global order, so that the number of
/// cores may change from run to run.
pub struct Shards(Vec<Shard>);

impl Shards {
    /// Empty ones.
    #[must_use]
    pub fn new(cores: usize) -> Self {
        Self(vec![Shard::new(); cores])
    }

    /// Keys in all of them.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.iter().map(Shard::len).sum()
    }

    /// Each core's, to be moved there.
    #[must_use]
    pub fn into_cores(self) -> Vec<Shard> {
        self.0
    }

    fn owner(&mut self, key: &[u8]) -> &mut Shard {
        let cores = self.0.len();
        &mut self.0[core_of(key, cores)]
    }
}

impl Replay for Shards {
    fn state(&mut self, key: &[u8], value: &[u8]) -> Result<(), BoxError> {
        self.owner(key).state(key, value)
    }

    fn entry(&mut self, entry: &EntryRef<'_>) -> Result<(), BoxError> {
        match entry.operation {
            OperationRef::Put { key, .. } | OperationRef::Delete { key } => {
                Replay::entry(self.owner(key), entry)
            }
            _ => Ok(()),
        }
    }
}

/// Carries `request` out, in the log and in memory, and returns the answer: to be given when `writer.durable()` says so.
///
/// # Errors
/// Of the append. Then nothing has happened: what cannot be logged is not done.
pub fn apply(shard: &mut Shard, writer: &mut CoreWalWriter, request: Request) -> Result<String, WriterError> {
    Ok(match request {
        Request::Put { key, value } => {
            writer.append_put(key.as_bytes(), value.as_bytes())?;
            let answer = format!("stored {key}");
            shard.insert(key.into_bytes(), value.into_bytes());
            answer
        }
        Request::Get { key } => match shard.get(key.as_bytes()) {
            Some(value) => format!("{key} = {}", String::from_utf8_lossy(value)),
            None => format!("no {key}"),
        },
        Request::Delete { key } => {
            writer.append_delete(key.as_bytes())?;
            shard.remove(key.as_bytes());
            format!("deleted {key}")
        }
    })
}

/// Makes checkpoints until `stop` is closed, so that the logs do not grow for ever. A log at rest gets none.
pub fn make_checkpoints(mut checkpoints: CheckpointCoordinator, log: &LogHandle, stop: &Receiver<()>) {
    const EVERY: Duration = Duration::from_millis(200);
    let mut last = Vec::new();
    while stop.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let appended = log.positions();
        if std::mem::replace(&mut last, appended.clone()) == appended {
            continue;
        }
        match checkpoints.create_checkpoint() {
            Ok(report) => eprintln!("checkpoint of epoch {}: {} entries", report.epoch, report.entries),
            // Nothing is lost and the logs are kept; the message says what to do, and the next turn tries again.
            Err(error @ PerCoreWalError::Checkpoint { .. }) => eprintln!("{error}"),
            Err(error) => return eprintln!("no more checkpoints: {error}"),
        }
    }
}
