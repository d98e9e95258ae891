//! `wal stats DIR`: how large entries and frames are, how many entries a sync makes durable, which keys take the bytes.

mod heavy;
mod histogram;

use std::collections::BTreeMap;

use wal_format::entry::entry_bytes;
use wal_format::{EntryDecoder, FrameKind, OperationRef};

use super::args::Directory;
use super::console::Console;
use super::failure::Failure;
use super::paint::Style;
use super::survey::Survey;
use super::table::{Align, Cell, Table};
use super::text::{bytes, count, quoted};
use super::{Outcome, dump, entry};
use crate::json::Json;

use heavy::HeavyKeys;
use histogram::{Histogram, bar};

/// Counters of the sketch: a key with over a thousandth of all bytes is found for certain.
const COUNTERS: usize = 1000;
/// A bar of this many letters is the largest.
const BAR_WIDTH: u64 = 30;

/// Sizes of entries and frames, entries per sync, the heaviest keys
///
/// Counts what is in the logs, not what the checkpoint has merged. Entries per sync are counted between two syncs that
/// later frames tell of.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) directory: Directory,
    /// How many of the heaviest keys
    #[arg(long, value_name = "N", default_value_t = 10)]
    keys: usize,
}

struct Stats {
    /// Entries and bytes by operation.
    operations: BTreeMap<&'static str, (u64, u64)>,
    entry_bytes: Histogram,
    key_bytes: Histogram,
    value_bytes: Histogram,
    batch_entries: Histogram,
    frame_bytes: Histogram,
    frame_entries: Histogram,
    sync_entries: Histogram,
    keys: HeavyKeys,
    /// Payload of the entries, and all bytes of their files up to the ends.
    payload: u64,
    used: u64,
}

pub(super) fn run(args: &Args, console: &mut Console) -> Result<Outcome, Failure> {
    let survey = Survey::take(&args.directory.path, console)?;
    let plan = survey.readable(console)?;
    console.progress.begin("counting", plan.bytes_to_read());
    let mut stats = Stats::new();
    for core in &plan.cores {
        let mut since_sync = 0;
        let mut durable = None;
        for span in &core.spans {
            dump::frames::each(&survey, core.scan.core, span, |frame| {
                // A frame that says more than the one before: a sync has finished between the two.
                let says = (span.segment, frame.header.synced_through);
                if frame.header.synced_through > 0
                    && durable.replace(says).is_some_and(|before| before != says)
                {
                    stats.sync_entries.add(since_sync);
                    since_sync = 0;
                }
                since_sync += u64::from(frame.header.entry_count);
                stats.frame(frame.header.kind, frame.payload);
                stats.used += frame.header.frame_bytes() as u64;
                Ok(())
            })?;
        }
    }
    console.progress.clear();
    if console.json {
        console.object(|json| stats.write(args.keys, json))?;
    } else {
        stats.print(args.keys, console)?;
    }
    Ok(if survey.is_damaged() { Outcome::Damaged } else { Outcome::Whole })
}

impl Stats {
    fn new() -> Self {
        Self {
            operations: BTreeMap::new(),
            entry_bytes: Histogram::default(),
            key_bytes: Histogram::default(),
            value_bytes: Histogram::default(),
            batch_entries: Histogram::default(),
            frame_bytes: Histogram::default(),
            frame_entries: Histogram::default(),
            sync_entries: Histogram::default(),
            keys: HeavyKeys::new(COUNTERS),
            payload: 0,
            used: 0,
        }
    }

    fn frame(&mut self, kind: FrameKind, payload: &[u8]) {
        if kind != FrameKind::Data {
            return;
        }
        self.frame_bytes.add(payload.len() as u64);
        let mut decoder = EntryDecoder::new(payload);
        let (mut entries, mut batch) = (0, 0);
        // The frame was checked: its entries decode.
        while let Ok(Some(raw)) = decoder.next_entry() {
            let size = entry_bytes(raw.timestamp_delta, &raw.operation) as u64;
            self.entry(&raw.operation, size);
            entries += 1;
            batch += 1;
            if !raw.more {
                self.batch_entries.add(std::mem::take(&mut batch));
            }
        }
        self.frame_entries.add(entries);
    }

    fn entry(&mut self, operation: &OperationRef<'_>, size: u64) {
        let (entries, total) = self.operations.entry(entry::name(operation)).or_default();
        (*entries, *total) = (*entries + 1, *total + size);
        self.entry_bytes.add(size);
        let (key, value) = match *operation {
            OperationRef::Put { key, value } => (key, Some(value)),
            OperationRef::Delete { key } => (key, None),
            _ => return,
        };
        let own = (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        self.payload += own;
        self.key_bytes.add(key.len() as u64);
        if let Some(value) = value {
            self.value_bytes.add(value.len() as u64);
        }
        self.keys.add(key, own);
    }

    fn distributions(&self) -> [(&'static str, &'static str, &Histogram); 7] {
        [
            ("entry_bytes", "bytes of an entry", &self.entry_bytes),
            ("key_bytes", "bytes of a key", &self.key_bytes),
            ("value_bytes", "bytes of a value", &self.value_bytes),
            ("batch_entries", "entries of a batch", &self.batch_entries),
            ("frame_bytes", "bytes of a frame", &self.frame_bytes),
            ("frame_entries", "entries of a frame", &self.frame_entries),
            ("sync_entries", "entries that a sync made durable", &self.sync_entries),
        ]
    }

    fn print(&self, keys: usize, console: &mut Console) -> Result<(), Failure> {
        let heading = console.painted(Style::Heading, "operations");
        console.line(heading)?;
        let mut table = Table::new(&[("", Align::Left), ("entries", Align::Right), ("bytes", Align::Right)]);
        for (name, (entries, total)) in &self.operations {
            table.row([(*name).into(), count(*entries).into(), bytes(*total).into()]);
        }
        table.print(console)?;
        let (payload, used) = (bytes(self.payload), bytes(self.used));
        console.line(format_args!("  {payload} of keys and values in {used} of frames"))?;
        for (_, title, histogram) in self.distributions() {
            print_histogram(title, histogram, console)?;
        }
        let top = self.keys.top(keys);
        if top.is_empty() {
            return Ok(());
        }
        console.heading("heaviest keys, by bytes of keys and values")?;
        let most = top.first().map_or(1, |heavy| heavy.bytes);
        let mut table = Table::new(&[
            ("at most", Align::Right),
            ("at least", Align::Right),
            ("", Align::Left),
            ("key", Align::Left),
        ]);
        for heavy in &top {
            let bar = format!("{:<1$}", bar(heavy.bytes, most, BAR_WIDTH / 3), (BAR_WIDTH / 3) as usize);
            table.row([
                bytes(heavy.bytes).into(),
                bytes(heavy.bytes - heavy.error).into(),
                bar.into(),
                quoted(heavy.key.get(..60).unwrap_or(&heavy.key)).into(),
            ]);
        }
        table.print(console)
    }

    fn write(&self, keys: usize, json: &mut Json) {
        let operations: Vec<_> = self.operations.iter().collect();
        json.objects("operations", &operations, |json, (name, (entries, total))| {
            json.string("op", name);
            json.number("entries", entries);
            json.number("bytes", total);
        });
        json.number("payload_bytes", self.payload);
        json.number("frame_bytes_total", self.used);
        for (name, _, histogram) in self.distributions() {
            json.object(name, |json| {
                json.number("count", histogram.count());
                json.number("min", histogram.min());
                json.number("mean", histogram.mean());
                json.number("max", histogram.max());
                json.objects("buckets", &histogram.lines(), |json, line| {
                    json.number("from", line.from);
                    json.number("to", line.to);
                    json.number("count", line.count);
                });
            });
        }
        json.objects("heaviest_keys", &self.keys.top(keys), |json, heavy| {
            entry::write_bytes(json, "key", &heavy.key, false);
            json.number("bytes_at_most", heavy.bytes);
            json.number("bytes_at_least", heavy.bytes - heavy.error);
        });
    }
}

fn print_histogram(title: &str, histogram: &Histogram, console: &mut Console) -> Result<(), Failure> {
    if histogram.count() == 0 {
        return Ok(());
    }
    let (min, mean, max) = (count(histogram.min()), count(histogram.mean()), count(histogram.max()));
    console.heading(format_args!("{title}: {min} to {max}, {mean} on average"))?;
    let lines = histogram.lines();
    let most = lines.iter().map(|line| line.count).max().unwrap_or(1);
    let mut table = Table::new(&[
        ("from", Align::Right),
        ("to", Align::Right),
        ("count", Align::Right),
        ("", Align::Left),
    ]);
    for line in &lines {
        table.row([
            count(line.from).into(),
            count(line.to).into(),
            count(line.count).into(),
            Cell::styled(bar(line.count, most, BAR_WIDTH), Style::Good),
        ]);
    }
    table.print(console)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wal_format::EntryEncoder;

    #[test]
    fn a_frame_is_counted_by_entries_batches_and_bytes() {
        let mut payload = [0; 200];
        let mut encoder = EntryEncoder::new(&mut payload);
        encoder.entry(true, 5, &OperationRef::Put { key: b"key", value: b"value" });
        encoder.entry(false, 0, &OperationRef::Delete { key: b"key" });
        encoder.entry(false, 1, &OperationRef::Checkpoint { id: 1 });
        let length = encoder.position();
        let mut stats = Stats::new();
        stats.frame(FrameKind::Data, &payload[..length]);
        stats.frame(FrameKind::Barrier, b"not entries");
        assert_eq!(stats.operations[&"put"], (1, 12));
        assert_eq!(
            (stats.entry_bytes.count(), stats.batch_entries.count(), stats.frame_bytes.count()),
            (3, 2, 1)
        );
        assert_eq!((stats.batch_entries.max(), stats.payload), (2, 11));
        assert_eq!(stats.keys.top(1)[0].bytes, 11);
    }
}
