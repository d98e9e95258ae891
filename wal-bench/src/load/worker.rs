//! One core under load: its thread draws entries, appends them when they are due, and notes how long each took.
//!
//! With a rate, the time at which an entry is due is fixed before the first one: `start + number / rate`. Its latency counts
//! from there, so that a core that was held up is charged for every entry that should have been appended meanwhile
//! (Tene's "coordinated omission"). What the call alone took is kept beside it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use wal_coordinator::{CoreWalWriter, Receipt, WriteBatch};
use wal_writer::Histogram;

use super::Failure;
use super::entries::Entries;
use super::settings::{Settings, SyncMode};
use crate::usage;

/// A wait that is longer than this sleeps for a part of it; a shorter one spins, since waking up takes as long.
const NAP_NS: u64 = 200_000;
/// How long before its time a sleeper is up again.
const EARLY_NS: u64 = 100_000;
/// The end of a wait, of which nothing may come between: not even a look at how much CPU the wait took.
const FINAL_NS: u64 = 1_000;

/// Nanoseconds that entries took.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    /// From when it was due until the append returned.
    pub(super) append: Histogram,
    /// The append alone.
    pub(super) call: Histogram,
    /// From when it was due until it was durable.
    pub(super) durable: Histogram,
}

/// What a core tells when asked, and at its end.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) latencies: Latencies,
    /// Entries appended since the part before.
    pub(super) entries: u64,
    /// Bytes of their keys and values.
    pub(super) bytes: u64,
    /// CPU spent waiting for entries to be due.
    pub(super) spun_ns: u64,
}

/// What all threads of a load share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) started: Instant,
    /// Grows when every core is to tell what it did.
    pub(super) tick: AtomicU64,
    pub(super) stop: AtomicBool,
}

/// A core's thread.
pub(super) struct Worker<'a> {
    core: usize,
    writer: CoreWalWriter,
    entries: Entries,
    settings: &'a Settings,
    shared: &'a Shared,
    parts: Sender<(usize, Part)>,
    part: Part,
    tick: u64,
    /// Of the entries of each group that is not durable yet, when they were due.
    groups: VecDeque<(Receipt, Vec<u64>)>,
    group: Vec<u64>,
    group_began: u64,
}

impl Latencies {
    pub(super) fn merge(&mut self, other: &Self) {
        self.append.merge(&other.append);
        self.call.merge(&other.call);
        self.durable.merge(&other.durable);
    }
}

impl Part {
    pub(super) fn merge(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.spun_ns += other.spun_ns;
    }
}

impl Shared {
    /// Nanoseconds since the beginning.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        core: usize,
        writer: CoreWalWriter,
        entries: Entries,
        settings: &'a Settings,
        shared: &'a Shared,
        parts: Sender<(usize, Part)>,
    ) -> Self {
        Self {
            core,
            writer,
            entries,
            settings,
            shared,
            parts,
            part: Part::default(),
            tick: 0,
            groups: VecDeque::new(),
            group: Vec::new(),
            group_began: 0,
        }
    }

    /// Until the end of the load; how many entries were appended.
    pub(super) fn run(mut self) -> Result<u64, Failure> {
        let limit = self.settings.entries.unwrap_or(u64::MAX);
        let batch = match self.settings.sync {
            SyncMode::Batch(entries) => entries,
            _ => 1,
        };
        let mut number = 0;
        while number < limit && !self.shared.stop.load(Ordering::Relaxed) {
            let count = batch.min(limit - number);
            number += if batch == 1 { self.one(number)? } else { self.batch(number, count)? };
            self.tell_if_asked();
        }
        self.end_group();
        for (receipt, due) in std::mem::take(&mut self.groups) {
            receipt.wait()?;
            self.group_is_durable(&due);
        }
        self.tell();
        Ok(number)
    }

    /// Appends the entry with this number when it is due; how many were appended before the end.
    fn one(&mut self, number: u64) -> Result<u64, Failure> {
        let Some(due) = self.wait_for(number) else { return Ok(0) };
        let (key, value) = self.entries.draw();
        let bytes = key.len() + value.len();
        let begun = self.shared.now();
        self.writer.append_put(&key, value)?;
        let ended = self.shared.now();
        self.appended(&[due], begun, ended, bytes);
        match self.settings.sync {
            SyncMode::Each | SyncMode::Batch(_) => {
                self.writer.sync()?;
                self.group_is_durable(&[due]);
            }
            SyncMode::Interval(time) => {
                self.group.push(due);
                if u128::from(ended - self.group_began) >= time.as_nanos() {
                    self.end_group();
                }
                self.look_at_groups()?;
            }
            SyncMode::None => {}
        }
        Ok(1)
    }

    /// Appends `count` entries as one batch, when the last of them is due, and syncs; how many were appended before the
    /// end.
    fn batch(&mut self, number: u64, count: u64) -> Result<u64, Failure> {
        let (mut batch, mut bytes, mut due) = (WriteBatch::new(), 0, Vec::new());
        for number in number..number + count {
            let Some(at) = self.wait_for(number) else { break };
            due.push(at);
            let (key, value) = self.entries.draw();
            batch.put(&key, value);
            bytes += key.len() + value.len();
        }
        if due.is_empty() {
            return Ok(0);
        }
        let begun = self.shared.now();
        self.writer.append_batch(&batch)?;
        let ended = self.shared.now();
        self.appended(&due, begun, ended, bytes);
        self.writer.sync()?;
        self.group_is_durable(&due);
        Ok(due.len() as u64)
    }

    fn appended(&mut self, due: &[u64], begun: u64, ended: u64, bytes: usize) {
        let Latencies { append, call, .. } = &mut self.part.latencies;
        due.iter().for_each(|due| append.record(ended.saturating_sub(*due)));
        call.record(ended - begun);
        self.part.entries += due.len() as u64;
        self.part.bytes += bytes as u64;
    }

    /// Waits until the entry with this number is due, and returns when that was: in a closed loop, now. `None` if the load
    /// ended before.
    fn wait_for(&mut self, number: u64) -> Option<u64> {
        let Some(rate) = self.settings.rate else { return Some(self.shared.now()) };
        let due = due_ns(number, rate);
        let mut now = self.shared.now();
        // The thread's own CPU clock is a system call: it is asked only where there is time for it.
        let begun = (now + 2 * FINAL_NS < due).then(usage::thread_cpu_time);
        while now + FINAL_NS < due {
            if self.shared.stop.load(Ordering::Relaxed) {
                return None;
            }
            if due - now > NAP_NS {
                std::thread::sleep(Duration::from_nanos(self.nap_ns(due - now)));
            } else {
                std::hint::spin_loop();
            }
            self.tell_if_asked();
            if self.look_at_groups().is_err() {
                // The next append will say why.
                break;
            }
            now = self.shared.now();
        }
        let spun = begun.map(|begun| usage::thread_cpu_time().saturating_sub(begun));
        while self.shared.now() < due {
            std::hint::spin_loop();
        }
        if let Some(spun) = spun {
            self.part.spun_ns += u64::try_from(spun.as_nanos()).unwrap_or(u64::MAX) + FINAL_NS;
        }
        Some(due)
    }

    /// Not longer than a group may wait to be noticed.
    fn nap_ns(&self, left: u64) -> u64 {
        if self.groups.is_empty() { left - EARLY_NS } else { EARLY_NS }
    }

    /// Asks for what was appended since the group before to become durable.
    fn end_group(&mut self) {
        self.group_began = self.shared.now();
        if self.group.is_empty() {
            return;
        }
        let receipt = self.writer.durable();
        receipt.start();
        self.groups.push_back((receipt, std::mem::take(&mut self.group)));
    }

    /// Notes the groups that have become durable since the last look.
    fn look_at_groups(&mut self) -> Result<(), Failure> {
        while self.groups.front().is_some_and(|(receipt, _)| receipt.is_ready()) {
            let Some((receipt, due)) = self.groups.pop_front() else { break };
            receipt.wait()?;
            self.group_is_durable(&due);
        }
        Ok(())
    }

    fn group_is_durable(&mut self, due: &[u64]) {
        let now = self.shared.now();
        due.iter().for_each(|due| self.part.latencies.durable.record(now.saturating_sub(*due)));
    }

    fn tell_if_asked(&mut self) {
        let tick = self.shared.tick.load(Ordering::Relaxed);
        if tick != self.tick {
            self.tick = tick;
            self.tell();
        }
    }

    fn tell(&mut self) {
        // Nobody listens any more only when the load has failed elsewhere.
        let _ = self.parts.send((self.core, std::mem::take(&mut self.part)));
    }
}

/// When the entry with this number is due, in nanoseconds since the beginning.
fn due_ns(number: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(number) * 1_000_000_000 / u128::from(rate)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_due_at_even_distances_that_do_not_drift() {
        assert_eq!(
            [0, 1, 2, 3].map(|number| due_ns(number, 3)),
            [0, 333_333_333, 666_666_666, 1_000_000_000]
        );
        assert_eq!(due_ns(3_600 * 7_777_777, 7_777_777), 3_600_000_000_000);
        assert_eq!(due_ns(u64::MAX, 1), u64::MAX);
    }
}
