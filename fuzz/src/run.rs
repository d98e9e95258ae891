//! Target: checkpoint runs, alone and merged. Keys ascend, each is there once, the newest run wins, and a run that is
//! read to its end is the one that the manifest describes.

use std::collections::BTreeMap;

use wal_format::{Epoch, FileName, RunMeta};
use wal_reader::testing::run_file;
use wal_reader::{CheckpointReader, MemorySource, ReadError, RunReader};

use crate::allocation;
use crate::choices::Choices;
use crate::damage::{self, Harm};
use crate::history::LOG;
use crate::metered::{Metered, total_bytes};

type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(crate) fn check(input: &[u8]) {
    let mut choices = Choices::new(input);
    let mut files = MemorySource::new();
    let (mut metas, mut written) = (Vec::new(), Vec::new());
    for run in 0..=choices.below(3) as u64 {
        let entries: Entries = (0..choices.below(12))
            .map(|_| (choices.bytes(80), (!choices.once_in(4)).then(|| choices.bytes(3000))))
            .collect();
        let listed: Vec<_> = entries.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        let (bytes, meta) = run_file(LOG, run, Epoch(1 + run), &listed);
        files.insert(FileName::Run(run).to_string(), bytes);
        metas.push(meta);
        written.push(entries);
    }
    let mut harm = damage::inflict(&mut files, &mut choices);
    if choices.once_in(5) {
        // A manifest that describes another run.
        let meta = &mut metas[0];
        meta.entries ^= choices.below(3) as u64;
        meta.digest ^= choices.below(2) as u32;
        meta.length = meta.length.wrapping_add(choices.below(64) as u64);
        harm = harm.max(Harm::Rot);
    }
    let total = total_bytes(&files);
    for (meta, written) in metas.iter().zip(&written) {
        let (found, peak) = allocation::peak_bytes(|| count(&files, *meta));
        assert!(peak <= allocation::bytes_max(total), "{peak} bytes held for {total}");
        let read = read(&files, *meta);
        assert_eq!(found, read.as_ref().map(Vec::len).map_err(ToString::to_string));
        let Ok(read) = read else {
            assert!(harm > Harm::Intact, "an intact run is refused");
            continue;
        };
        assert!(read.is_sorted_by(|a, b| a.0 < b.0), "keys ascend");
        assert_eq!(read.len() as u64, meta.entries);
        if harm < Harm::Forgery {
            assert!(read.iter().map(|(key, value)| (key, value)).eq(written), "another run than was written");
        }
    }
    merged(&files, &metas);
}

fn merged(files: &MemorySource, metas: &[RunMeta]) {
    let metered = Metered::new(files);
    let total = total_bytes(files);
    let merge = |keep_tombstones| {
        let mut reader = CheckpointReader::of_runs(&metered, LOG, metas, keep_tombstones)?;
        let mut found = Vec::new();
        while reader.advance()? {
            found.push((reader.key().to_vec(), reader.value().map(<[u8]>::to_vec)));
        }
        Ok::<_, ReadError>(found)
    };
    let found = merge(true);
    assert!(metered.bytes_read() <= 2 * total as u64 + 65_536, "{} bytes read", metered.bytes_read());
    let Ok(found) = found else { return };
    let mut expected = Entries::new();
    for meta in metas {
        expected.extend(read(files, *meta).expect("the merge read it"));
    }
    assert!(found.iter().map(|(key, value)| (key, value)).eq(&expected), "the newest run wins");
    let alive = merge(false).expect("as before");
    assert!(alive.into_iter().eq(expected.into_iter().filter(|(_, value)| value.is_some())));
}

fn count(files: &MemorySource, meta: RunMeta) -> Result<usize, String> {
    let count = || {
        let mut reader = RunReader::open(files, LOG, meta)?;
        let mut count = 0;
        while reader.advance()? {
            count += 1;
        }
        Ok(count)
    };
    count().map_err(|error: ReadError| error.to_string())
}

fn read(files: &MemorySource, meta: RunMeta) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, ReadError> {
    let mut reader = RunReader::open(files, LOG, meta)?;
    let mut found = Vec::new();
    while reader.advance()? {
        found.push((reader.key().to_vec(), reader.value().map(<[u8]>::to_vec)));
    }
    Ok(found)
}
