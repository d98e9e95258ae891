//! A core's log seen from inside: what is granted, what makes room, what stands beside the ring.

use wal_format::limits::FRAME_HEADER_BYTES;
use wal_format::{LogId, SegmentNumber};

use super::*;
use crate::pin::GlobalEpoch;
use crate::position::StartAt;
use crate::storage::recording::RecordingStorage;
use crate::writer::CoreWalWriter;

fn log(retention: Retention) -> (CoreWalWriter, Arc<CoreLog>, RecordingStorage) {
    let options =
        LogOptions { ring_bytes: 4096, segment_bytes: 16 * 1024, retention, ..LogOptions::default() };
    let storage = RecordingStorage::new();
    let supply = Arc::new(SegmentSupply::new(Arc::new(storage.clone()), 16 * 1024, 4));
    supply.register(CoreId(0), SegmentNumber(0));
    let start = StartAt { sequence: Sequence(0), timestamp_ns: 0, epoch: Epoch(0), end: None };
    let parts = LogParts { log_id: LogId([7; 16]), core: CoreId(0), options, start, supply, flusher: None };
    let global = Arc::new(GlobalEpoch::new(Epoch(1)));
    let (writer, log) = CoreWalWriter::new(parts, global, Clock::system(), 0);
    assert_eq!(log.retention(), retention);
    (writer, log, storage)
}

#[test]
fn of_entries_beside_the_ring_one_at_a_time_is_held_and_none_that_is_no_longer_needed() {
    for retention in [Retention::UntilDurable, Retention::UntilWritten] {
        let (mut writer, log, _) = log(retention);
        let held = || log.drain.lock().large.len();
        for bytes in [10, 9_000, 5_000, 10, 70_000] {
            writer.append_put(b"key", &vec![7; bytes]).unwrap();
            assert!(held() <= 1, "{retention:?}");
        }
        assert_eq!(held(), 1);
        log.sync().unwrap();
        assert_eq!(held(), 0, "{retention:?}");
    }
}

#[test]
fn what_stands_beside_the_ring_takes_its_bytes_and_a_frame_header_from_what_is_granted() {
    for bytes in [0, 1, 64, 5_000] {
        let (mut writer, log, _) = log(Retention::UntilDurable);
        writer.append_put(b"key", b"value").unwrap();
        let granted = || log.drain.lock().grant(0, u64::MAX).unwrap();
        let before = granted();
        log.push_large(Large { index: 0, payload: vec![7; bytes], entry_count: 1 });
        assert_eq!(before - granted(), (bytes + FRAME_HEADER_BYTES) as u64);
    }
}

/// A writer that waited for whoever was draining goes on without a write of its own.
#[test]
fn room_that_another_made_meanwhile_is_enough() {
    let (mut writer, log, storage) = log(Retention::UntilWritten);
    writer.append_put(b"key", &[7; 300]).unwrap();
    let looked = log.drain.lock().released();
    log.write_out().unwrap();
    writer.append_put(b"key", &[7; 300]).unwrap();
    let calls = storage.event_count();
    log.make_room(looked).unwrap();
    assert_eq!((storage.event_count(), log.written()), (calls, Sequence(1)), "it was there already");
    let looked = log.drain.lock().released();
    log.make_room(looked).unwrap();
    assert_eq!(log.written(), Sequence(2));
    assert!(log.drain.lock().released() > looked);
}

#[test]
fn nothing_is_accepted_before_what_must_be_done_is_done() {
    let (mut writer, log, storage) = log(Retention::UntilDurable);
    let (done, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (is_done, asking) = (Arc::clone(&done), Arc::clone(&asked));
    log.supply.set_condition(move || {
        asking.fetch_add(1, Relaxed);
        match is_done.load(Relaxed) {
            0 => Err(WriterError::Closed { core: CoreId(9) }),
            _ => Ok(()),
        }
    });
    log.supply.set_condition(|| Err(WriterError::Closed { core: CoreId(8) }));
    for bytes in [1, 9_000] {
        let refused = writer.append_put(b"key", &vec![7; bytes]);
        assert!(matches!(refused, Err(WriterError::Closed { core: CoreId(9) })), "{refused:?}");
    }
    assert_eq!((asked.load(Relaxed), storage.event_count(), log.appended()), (2, 0, Sequence(0)));
    done.store(1, Relaxed);
    writer.append_put(b"key", b"value").unwrap();
    assert_eq!((log.appended(), writer.sync().unwrap()), (Sequence(1), Sequence(1)));
}

#[test]
fn a_sync_is_wanted_until_what_was_asked_for_is_durable() {
    let (mut writer, log, _) = log(Retention::UntilDurable);
    writer.append_put(b"key", b"value").unwrap();
    assert!(!log.is_wanted(), "nobody asked");
    log.durable_receipt(Sequence(1)).start();
    assert!(log.is_wanted());
    log.sync().unwrap();
    assert!(!log.is_wanted());
    writer.append_put(b"key", b"value").unwrap();
    assert!(!log.is_wanted(), "nobody asked for more");
}
