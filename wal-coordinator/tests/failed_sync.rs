//! What follows a failed sync, on the whole log above a simulated disk: a continuation, then poison, then abort as
//! configured; and starting again after an error, when the cache shows what the medium does not have.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a failed step is a failed test; few cores"
)]

use std::io::ErrorKind;
use std::sync::Arc;

use wal_coordinator::{
    CheckpointCoordinator, CheckpointFailure, CoreId, OnSyncFailure, PerCoreRecoveredState, PerCoreWalConfig,
    PerCoreWalError, PerCoreWalManager, Retention, Sequence, WriterError,
};
use wal_format::SegmentNumber;
use wal_recovery::PerCoreRecoveryManager;
use wal_sim::disk::{CallKind, Effect, Fault, Image, Pick, SimDisk, Unit};

fn config(disk: &SimDisk, cores: usize) -> PerCoreWalConfig {
    let mut config = PerCoreWalConfig::new(std::env::temp_dir(), cores).inline();
    config.log.segment_bytes = 16 * 1024;
    config.log.ring_bytes = 16 * 1024;
    config.threads_max = 1;
    config.storage = Arc::new(disk.clone());
    config.source = Arc::new(disk.clone());
    config
}

fn left(disk: &SimDisk, pick: Pick) -> Image {
    disk.snapshot().undecided(Unit::Sector).image(pick)
}

fn recover(disk: &SimDisk) -> PerCoreRecoveredState {
    PerCoreRecoveryManager::with_source(Arc::new(disk.clone()))
        .recover_state()
        .unwrap_or_else(|error| panic!("{error}"))
}

fn put(manager: &mut PerCoreWalManager, core: usize, keys: std::ops::Range<u8>) {
    for key in keys {
        manager.writer(core).append_put(&[core as u8, key], b"value").unwrap();
    }
}

/// Of the next syncs of files, counted from 0, these fail.
fn fail_syncs(disk: &SimDisk, which: &[u64]) {
    for after in which {
        let (kinds, effect) = (&[CallKind::Sync][..], Effect::Error(ErrorKind::Other));
        disk.inject(Fault { kinds, after: *after, effect, for_good: false });
    }
}

#[test]
fn after_a_failed_sync_nothing_is_lost_nothing_is_early_and_appends_go_on() {
    for seed in 0..16 {
        let disk = SimDisk::new(seed);
        let mut manager = PerCoreWalManager::new(config(&disk, 2)).unwrap();
        put(&mut manager, 0, 0..4);
        manager.sync_all().unwrap();
        put(&mut manager, 0, 4..8);
        put(&mut manager, 1, 0..4);
        let (durable, appended) = (manager.synced_positions()[0].sequence, manager.positions()[0].sequence);
        assert_eq!((durable, appended), (Sequence(4), Sequence(8)));
        let hooked = disk.clone();
        let log = Arc::clone(manager.writer(0).log());
        let early = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = Arc::clone(&early);
        disk.set_hook(Some(Arc::new(move |kind, _: &str| {
            if kind == CallKind::Sync {
                seen.lock().push(log.durable());
            }
        })));
        fail_syncs(&disk, &[0]);
        manager.writer(0).sync().unwrap();
        hooked.set_hook(None);
        // Neither during the sync that failed, nor during that of the zeros of a fresh file, nor of the continuation.
        assert_eq!(*early.lock(), [Sequence(4); 3], "seed {seed}");
        assert_eq!(manager.stats().cores[0].continuations, 1);
        put(&mut manager, 0, 8..12);
        manager.advance_epoch();
        let state = recover(&SimDisk::from_image(&left(&disk, Pick::Nothing), 0));
        assert_eq!(state.state.len(), 16, "seed {seed}\n{}", state.report);
        assert_eq!(state.report.cores[0].end.segment, SegmentNumber(1), "{}", state.report);
    }
}

#[test]
fn when_the_continuation_fails_too_every_later_call_says_since_when_and_the_other_cores_go_on() {
    let disk = SimDisk::new(3);
    let mut manager = PerCoreWalManager::new(config(&disk, 2)).unwrap();
    put(&mut manager, 0, 0..4);
    manager.sync_all().unwrap();
    put(&mut manager, 0, 4..8);
    let receipt = manager.writer(0).durable();
    // Between the two a fresh file is made, and its zeros synced.
    fail_syncs(&disk, &[0, 2]);
    let poisoned = |error: WriterError| {
        let message = error.to_string();
        let is_told = matches!(error, WriterError::Poisoned { core: CoreId(0), since: Sequence(4), .. });
        assert!(is_told, "{message}");
        for part in ["core 0", "nothing from sequence 4 on is durable", "cannot sync", "recover"] {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    poisoned(manager.writer(0).sync().unwrap_err());
    disk.heal();
    poisoned(manager.writer(0).append_put(b"key", b"value").unwrap_err());
    poisoned(manager.writer(0).sync().unwrap_err());
    poisoned(receipt.wait().unwrap_err());
    let epoch = manager.advance_epoch();
    poisoned(manager.handle().epoch_durable(epoch).wait().unwrap_err());
    let mut checkpoints = CheckpointCoordinator::new(&manager);
    match checkpoints.create_checkpoint().unwrap_err() {
        PerCoreWalError::Checkpoint {
            cause: CheckpointFailure::Core { core: CoreId(0), cause: source },
            ..
        } => {
            poisoned(source);
        }
        error => panic!("{error}"),
    }
    assert!(manager.durable_epoch() < epoch);
    // The other core is none the worse.
    put(&mut manager, 1, 0..4);
    manager.writer(1).sync().unwrap();
    let state = recover(&SimDisk::from_image(&left(&disk, Pick::Nothing), 0));
    assert_eq!(state.resume.cores[1].next_sequence, Sequence(4), "{}", state.report);
    assert!(state.resume.cores[0].next_sequence >= Sequence(4), "{}", state.report);
}

#[test]
fn while_no_fresh_segment_can_be_made_nothing_is_acknowledged_and_nothing_is_given_up() {
    let disk = SimDisk::new(3);
    let mut manager = PerCoreWalManager::new(config(&disk, 1)).unwrap();
    put(&mut manager, 0, 0..4);
    let (kinds, effect) = (&[CallKind::Sync][..], Effect::Error(ErrorKind::Other));
    disk.inject(Fault { kinds, after: 0, effect, for_good: true });
    for _ in 0..3 {
        let error = manager.writer(0).sync().unwrap_err();
        assert!(matches!(error, WriterError::Io { operation: "sync", .. }), "{error}");
        assert_eq!(manager.synced_positions()[0].sequence, Sequence(0));
    }
    disk.heal();
    put(&mut manager, 0, 4..8);
    manager.writer(0).sync().unwrap();
    let state = recover(&SimDisk::from_image(&left(&disk, Pick::Nothing), 0));
    assert_eq!(state.state.len(), 8, "{}", state.report);
}

#[test]
fn with_bytes_kept_only_until_written_a_failed_sync_poisons_at_once() {
    let disk = SimDisk::new(3);
    let mut config = config(&disk, 1);
    config.log.retention = Retention::UntilWritten;
    let mut manager = PerCoreWalManager::new(config).unwrap();
    put(&mut manager, 0, 0..4);
    fail_syncs(&disk, &[0]);
    let error = manager.writer(0).sync().unwrap_err();
    assert!(matches!(error, WriterError::Poisoned { since: Sequence(0), .. }), "{error}");
}

#[test]
fn an_error_then_a_new_process_then_a_power_loss_give_the_same_twice() {
    let mut lost = 0;
    for seed in 0..32 {
        let disk = SimDisk::new(seed);
        let mut config_ = config(&disk, 1);
        config_.log.retention = Retention::UntilWritten;
        let mut manager = PerCoreWalManager::new(config_).unwrap();
        put(&mut manager, 0, 0..4);
        manager.sync_all().unwrap();
        put(&mut manager, 0, 4..8);
        fail_syncs(&disk, &[0]);
        manager.writer(0).sync().unwrap_err();
        // The cache shows all of it. A new process asks the medium.
        let disk = disk.reboot();
        let before = recover(&disk).resume.cores[0].next_sequence;
        assert!(before >= Sequence(4), "seed {seed}");
        lost += u32::from(before < Sequence(8));
        let after =
            recover(&SimDisk::from_image(&left(&disk, Pick::Nothing), 0)).resume.cores[0].next_sequence;
        assert_eq!(after, before, "seed {seed}");
        let mut manager = PerCoreWalManager::new(config(&disk, 1)).unwrap();
        put(&mut manager, 0, 8..9);
        manager.sync_all().unwrap();
        let last =
            recover(&SimDisk::from_image(&left(&disk, Pick::Nothing), 0)).resume.cores[0].next_sequence;
        assert_eq!(last, before.plus(1), "seed {seed}");
    }
    assert!((1..32).contains(&lost), "the medium lost something {lost} times of 32");
}

#[test]
fn a_name_that_a_failed_opening_left_in_the_cache_is_durable_before_the_next_one_builds_on_it() {
    let disk = SimDisk::new(1);
    disk.inject(Fault {
        kinds: &[CallKind::SyncDirectory],
        after: 1,
        effect: Effect::Error(ErrorKind::Other),
        for_good: false,
    });
    let error = PerCoreWalManager::new(config(&disk, 1)).err().unwrap();
    assert!(error.to_string().contains("sync"), "{error}");
    assert!(disk.current().has("wal.meta"), "it has its name already, in the cache");
    let disk = disk.reboot().recording();
    let mut manager = PerCoreWalManager::new(config(&disk, 1)).unwrap();
    put(&mut manager, 0, 0..1);
    manager.sync_all().unwrap();
    for snapshot in disk.snapshots() {
        let undecided = snapshot.undecided(Unit::Sector);
        for name in 0..undecided.names() {
            // Of the undecided names one alone survives: no segment without wal.meta.
            recover(&SimDisk::from_image(&undecided.image_by(Pick::All, |at| Some(at == name)), 0));
        }
    }
}

const ABORTS: &str = "WAL_TEST_ABORTS_ON_A_FAILED_SYNC";

#[test]
fn the_policy_to_abort_ends_the_process_with_the_reason() {
    if std::env::var_os(ABORTS).is_some() {
        let disk = SimDisk::new(1);
        let mut config = config(&disk, 2);
        config.log.on_sync_failure = OnSyncFailure::Abort;
        let mut manager = PerCoreWalManager::new(config).unwrap();
        put(&mut manager, 1, 0..4);
        fail_syncs(&disk, &[0]);
        let result = manager.writer(1).sync();
        unreachable!("the process goes on, with {result:?}");
    }
    let name = "the_policy_to_abort_ends_the_process_with_the_reason";
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    let output = child.args([name, "--exact", "--nocapture"]).env(ABORTS, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("core 1: cannot sync") && said.contains("aborting, as configured"), "{said}");
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    // SIGABRT.
    assert_eq!(signal, Some(6), "{:?}: {said}", output.status);
}
