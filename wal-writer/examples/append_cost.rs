//! Scratch: cost of an append.
use std::sync::Arc;
use std::time::Instant;
use wal_format::*;
use wal_writer::*;
fn main() {
    let dir = std::path::PathBuf::from("/work/tmpwal");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let storage: Arc<dyn Storage> = Arc::new(DirectoryStorage::new(&dir));
    let retention = if std::env::args().any(|a| a == "written") {
        Retention::UntilWritten
    } else {
        Retention::UntilDurable
    };
    let options = LogOptions { retention, ..Default::default() };
    let supply = Arc::new(SegmentSupply::new(storage, options.segment_bytes, 4));
    let core = CoreId(0);
    supply.register(core, SegmentNumber(0));
    for _ in 0..1 {
        supply.prepare(core).unwrap();
    }
    let parts = LogParts {
        log_id: LogId([7; 16]),
        core,
        options,
        start: StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None },
        supply,
        flusher: None,
    };
    let t = Instant::now();
    let clock = Clock::system();
    println!("clock {:?}", t.elapsed());
    let (mut w, log) = CoreWalWriter::new(parts, Arc::new(GlobalEpoch::new(Epoch(1))), clock, 0);
    let key = [1u8; 16];
    let value = [2u8; 100];
    w.append_put(&key, &value).unwrap();
    w.sync().unwrap();
    let mut best = vec![];
    for _ in 0..100 {
        let n = 20_000;
        let t = Instant::now();
        for _ in 0..n {
            w.append_put(&key, &value).unwrap();
        }
        best.push(t.elapsed().as_nanos() as f64 / n as f64);
        w.sync().unwrap();
    }
    best.sort_by(f64::total_cmp);
    println!("burst append ns: min {:.1} median {:.1}", best[0], best[50]);
    let n = 4_000_000;
    let t = Instant::now();
    for _ in 0..n {
        w.append_put(&key, &value).unwrap();
    }
    println!("sustained {:.1} ns/entry", t.elapsed().as_nanos() as f64 / n as f64);
    w.sync().unwrap();
    let mut l = vec![];
    for _ in 0..2000 {
        let t = Instant::now();
        w.append_put(&key, &value).unwrap();
        w.sync().unwrap();
        l.push(t.elapsed().as_micros());
    }
    l.sort();
    println!("append+sync us p50 {} p99 {}", l[1000], l[1980]);
    println!("{:?}", log.stats());
}
