//! A log that an engine has open: looked at without being in its way, and its growing tail not taken for damage.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use wal_coordinator::{CheckpointCoordinator, PerCoreWalConfig, PerCoreWalManager};

use crate::fixture::{Fixture, Ran, config, run};

#[test]
fn an_engine_that_runs_is_said_to_run_and_goes_on() {
    let fixture = Fixture::small();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
    for round in 0..3_u8 {
        manager.writer(0).append_put(&[round], b"value").unwrap();
        manager.writer(0).sync().unwrap();
        for words in ["inspect", "verify", "stats", "dump"] {
            let ran = fixture.wal(&[words]);
            ran.expect(0);
            assert!(
                ["stats", "dump"].contains(&words) || ran.out.contains("running (LOCK is held)"),
                "{}",
                ran.out
            );
        }
        assert_eq!(fixture.wal(&["verify", "--json"]).json()["engine"], "running");
    }
    let (log, out) = (fixture.log(), fixture.place.path().join("out"));
    let refused = run(&["salvage"], &[&log, &out]);
    refused.expect(2);
    assert!(refused.err.contains("an engine has") && !out.exists(), "{}", refused.err);
    manager.sync_all().unwrap();
    drop(manager);
    assert!(fixture.wal(&["inspect"]).out.contains("not running"));
    // No lock stays behind.
    PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
}

/// What was being read was checkpointed and released: said to be, and no verdict.
fn is_released(ran: &Ran) -> bool {
    ran.code == 3 && ran.err.contains("try again")
}

#[test]
fn a_log_that_never_stands_still_is_never_called_damaged() {
    let fixture = Fixture::empty();
    let mut config = PerCoreWalConfig::new(fixture.log(), 2);
    config.log.segment_bytes = 1 << 20;
    let mut manager = PerCoreWalManager::new(config).unwrap();
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    let writers = [manager.take_writer(0).unwrap(), manager.take_writer(1).unwrap()];
    let (is_over, fixture) = (AtomicBool::new(false), &fixture);
    std::thread::scope(|scope| {
        for (core, mut writer) in writers.into_iter().enumerate() {
            let is_over = &is_over;
            scope.spawn(move || {
                let mut number = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    writer.append_put(&number.to_le_bytes(), &[u8::try_from(core).unwrap(); 3000]).unwrap();
                    number += 1;
                    if number.is_multiple_of(16) {
                        writer.sync().unwrap();
                    }
                }
            });
        }
        // One checkpoint for every look, somewhere within it: then each look ends with a verdict.
        let (begun, looks) = mpsc::channel();
        let looker = scope.spawn(move || {
            (0..9).find_map(|look| {
                begun.send(()).unwrap();
                let ran = fixture.wal(&[["verify", "inspect", "stats"][look % 3]]);
                let is_released = look % 3 == 2 && is_released(&ran);
                (ran.code != 0 && !is_released).then(|| format!("{}\n{}", ran.out, ran.err))
            })
        });
        for () in looks {
            manager.advance_epoch();
            checkpoints.create_checkpoint().unwrap();
        }
        let found = looker.join();
        // One after the other: whoever cannot tell says so, and nothing worse.
        let looker = scope.spawn(move || {
            (0..3).find_map(|_| {
                let ran = fixture.wal(&["verify"]);
                (ran.code != 0 && !is_released(&ran)).then(|| format!("{}\n{}", ran.out, ran.err))
            })
        });
        while !looker.is_finished() {
            manager.advance_epoch();
            checkpoints.create_checkpoint().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert_eq!((found.unwrap(), looker.join().unwrap()), (None, None));
    });
}

#[test]
fn damage_is_found_while_the_engine_runs() {
    let fixture = Fixture::small();
    let mut manager = PerCoreWalManager::new(config(&fixture.log(), 2)).unwrap();
    manager.writer(0).append_put(b"more", b"entries").unwrap();
    manager.sync_all().unwrap();
    let segment = fixture.segments(0).remove(0);
    fixture.flip(&segment, fixture.frame(0, &segment, 0) + 70);
    let ran = fixture.wal(&["verify"]);
    ran.expect(1);
    assert!(ran.out.contains("corrupt: ") && ran.out.contains("running"), "{}", ran.out);
}
