//! What the engine told its parent, over all its lives; and the check that each life begins with what the last one
//! had acknowledged.

use std::time::{Duration, Instant};

use super::core_thread::Failure;
use super::input::Input;
use super::protocol::Event;

/// What has happened so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Per source how far it was acknowledged, or recovered, whichever was later.
    pub(super) known: Vec<u64>,
    pub(super) recoveries: Vec<Recovery>,
    pub(super) kills: usize,
    pub(super) kills_in_recovery: usize,
    pub(super) checkpoints: u64,
    pub(super) checkpoint_bytes: u64,
    pub(super) checkpoint_micros_max: u64,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) work_time: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) time: Duration,
    pub(super) entries: u64,
    pub(super) keys: u64,
}

/// What one life of the engine told.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) recovered: Vec<(usize, u64)>,
    pub(super) begun: Option<Instant>,
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) done: bool,
}

impl Life {
    pub(super) fn note(&mut self, line: &str, input: &Input, story: &mut Story) -> Result<(), Failure> {
        match Event::parse(line).ok_or_else(|| format!("the engine said {line:?}"))? {
            Event::Recovered { micros, entries, keys } => {
                story.recoveries.push(Recovery { time: Duration::from_micros(micros), entries, keys });
            }
            Event::Offset { file, offset } => self.recovered.push((file, offset)),
            Event::Stranger { name } => {
                return Err(format!("the log holds counts of {name}, which is not in the input now").into());
            }
            Event::Begun => {
                self.begun = Some(Instant::now());
                self.check_nothing_is_lost(input, story)?;
            }
            Event::Durable { file, offset } => {
                let known = story.known.get_mut(file).ok_or("an unknown source")?;
                *known = offset.max(*known);
            }
            Event::Logged { entries, bytes } => (self.entries, self.bytes) = (entries, bytes),
            Event::Checkpoint { micros, bytes, .. } => {
                story.checkpoints += 1;
                story.checkpoint_bytes += bytes;
                story.checkpoint_micros_max = story.checkpoint_micros_max.max(micros);
            }
            Event::Done => self.done = true,
        }
        Ok(())
    }

    /// Whatever was acknowledged before the kill must be there after it.
    pub(super) fn check_nothing_is_lost(&self, input: &Input, story: &mut Story) -> Result<(), Failure> {
        let mut found = vec![0; input.files.len()];
        for (file, offset) in &self.recovered {
            *found.get_mut(*file).ok_or("an unknown source")? = *offset;
        }
        for ((source, known), found) in input.files.iter().zip(&mut story.known).zip(found) {
            let name = source.path.display();
            if found < *known {
                return Err(format!("{name}: {known} bytes were acknowledged, {found} came back").into());
            }
            if found > source.bytes {
                return Err(format!("{name} is shorter than what was counted of it before").into());
            }
            *known = found;
        }
        Ok(())
    }

    pub(super) fn finish(&self, story: &mut Story) {
        story.entries += self.entries;
        story.bytes += self.bytes;
        story.work_time += self.begun.map_or(Duration::ZERO, |begun| begun.elapsed());
    }
}
