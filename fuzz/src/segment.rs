//! Target: one core's segments through [`PerCoreWalReader`]. What comes out is in order and without a gap, was written
//! (unless checksums were forged), and is the same however the reads are cut up.

use std::sync::Arc;

use wal_format::{CoreId, PerCoreWalEntry};
use wal_reader::testing::{Faults, FaultySource};
use wal_reader::{PerCoreWalReader, ReadError, Source};

use crate::allocation;
use crate::choices::Choices;
use crate::damage::{self, Harm};
use crate::history::{self, LOG, is_gapless};
use crate::metered::{Metered, total_bytes};

pub(crate) fn check(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut history = history::make(&mut choices, 1);
    let harm = damage::inflict(&mut history.files, &mut choices);
    let files = &history.files;
    let metered = Metered::new(files);
    let (counted, peak) = allocation::peak_bytes(|| count(Arc::new(metered.clone())));
    let total = total_bytes(files);
    assert!(peak <= allocation::bytes_max(total), "{peak} bytes held for {total}");
    // Headers, the scan, the search behind its end, and the reading itself.
    let bytes_max = 8 * total as u64 + 65_536;
    assert!(metered.bytes_read() <= bytes_max, "{} bytes read of {total}", metered.bytes_read());
    let whole = read(Arc::new(files.clone()));
    assert_eq!(counted, whole.as_ref().map(Vec::len).map_err(ToString::to_string));
    let faults = Faults { read_bytes_max: Some(7), interrupt: true, ..Faults::default() };
    let pieces = read(Arc::new(FaultySource::new(Arc::new(files.clone()), faults)));
    assert_eq!(whole.as_ref().map_err(ToString::to_string), pieces.as_ref().map_err(ToString::to_string));
    let Ok(entries) = whole else { return };
    assert!(is_gapless(&entries), "{entries:?}");
    assert!(entries.is_sorted_by_key(PerCoreWalEntry::order_key), "{entries:?}");
    if harm < Harm::Forgery {
        for entry in &entries {
            assert!(history.written.contains(entry), "{entry:?} was never written");
        }
    }
}

fn count(source: Arc<dyn Source>) -> Result<usize, String> {
    let count = || {
        let mut reader = PerCoreWalReader::open(source, LOG, CoreId(0), None)?;
        while reader.advance()? {}
        Ok(reader.entries() as usize)
    };
    count().map_err(|error: ReadError| error.to_string())
}

fn read(source: Arc<dyn Source>) -> Result<Vec<PerCoreWalEntry>, ReadError> {
    let mut reader = PerCoreWalReader::open(source, LOG, CoreId(0), None)?;
    let mut entries = Vec::new();
    while let Some(entry) = reader.next()? {
        entries.push(entry.to_owned());
    }
    Ok(entries)
}
