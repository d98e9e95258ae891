//! Failures and crashes at every step: the previous checkpoint stays whole, and what is left over goes away.

use wal_format::{FileName, Manifest};

use super::harness::{Change, Random, Site, apply_to};
use crate::store::{CheckpointStore, StoreError, publish_manifest};

/// A site with some checkpoints behind it, and the changes of the next, which flush, merge and remove.
fn prepare(seed: u64) -> (Site, Vec<Change>) {
    let mut site = Site::new(3000);
    let mut random = Random(seed);
    for _ in 0..5 {
        let changes = random.changes(100, 150, 60);
        site.checkpoint(&changes).unwrap();
    }
    let changes = random.changes(400, 150, 60);
    (site, changes)
}

fn fail_every_operation(for_good: bool) {
    let mut kinds = std::collections::BTreeSet::new();
    for fail_at in 0.. {
        let (mut site, changes) = prepare(11);
        let before = (site.manifest.clone(), site.oracle.clone());
        {
            let mut script = site.probe.0.lock();
            script.operations.clear();
            (script.fail_at, script.for_good, script.failed) = (Some(fail_at), for_good, false);
        }
        let result = site.checkpoint(&changes);
        let (failed, operation) = {
            let mut script = site.probe.0.lock();
            script.fail_at = None;
            (script.failed, script.operations.get(fail_at).cloned())
        };
        if !failed {
            assert!(result.is_ok());
            println!("{fail_at} operations, kinds {kinds:?}");
            assert_eq!(
                kinds.into_iter().collect::<Vec<_>>(),
                ["create", "names", "open", "read", "remove", "rename", "sync", "sync_directory", "write"]
            );
            return;
        }
        let context = format!("operation {fail_at} ({operation:?}) failed, for good: {for_good}");
        kinds.insert(operation.unwrap().0);
        // A failure of best-effort removal does not count; else the state is the one before or, if the failure was
        // that of the directory sync behind the rename, the one after. Nothing in between.
        let (manifest, state) = site.found();
        let mut after = before.1.clone();
        apply_to(&mut after, &changes);
        if manifest == before.0 {
            assert!(result.is_err() && state == before.1, "{context}");
        } else {
            assert!(state == after, "{context}");
        }
        // As a restart would: go on from what is there.
        (site.manifest, site.oracle) = (manifest, state);
        site.checkpoint(&changes).unwrap_or_else(|error| panic!("{context}: then {error}"));
        site.check(&context);
        let mut named: Vec<u64> = site.manifest.as_ref().unwrap().runs.iter().map(|run| run.run).collect();
        named.sort_unstable();
        assert_eq!(site.run_files(), named, "{context}: left over");
    }
}

#[test]
fn one_failure_at_any_operation_leaves_the_previous_checkpoint_or_the_whole_new_one() {
    fail_every_operation(false);
}

#[test]
fn failures_for_good_from_any_operation_on_leave_the_previous_checkpoint_or_the_whole_new_one() {
    fail_every_operation(true);
}

#[test]
fn a_failed_attempt_removes_what_it_made_and_nothing_else() {
    for fail_at in 0.. {
        let (mut site, changes) = prepare(12);
        let before = site.run_files();
        {
            let mut script = site.probe.0.lock();
            script.operations.clear();
            (script.fail_at, script.failed) = (Some(fail_at), false);
        }
        let result = site.apply(&changes);
        let script = site.probe.0.lock();
        if !script.failed {
            return;
        }
        let operation = &script.operations[fail_at];
        match result {
            Err(error) => {
                assert_eq!(site.run_files(), before, "{operation:?}: {error}");
                let message = error.to_string();
                assert!(message.contains("injected"), "{message}");
            }
            // Only a file that was merged into another could not be removed.
            Ok(_) => assert_eq!(operation.0, "remove"),
        }
    }
}

#[test]
fn a_crash_between_runs_and_manifest_leaves_orphans_that_published_removes() {
    let (mut site, changes) = prepare(13);
    let named = site.run_files();
    let lost = site.apply(&changes).unwrap();
    assert!(site.run_files().len() > named.len());
    site.check("crashed before the manifest");
    // Files that are no runs stay, whatever they are called.
    for name in ["run-7.ckpt", "run-0000000000000001.ckpt.bak", "wal-00000-0000000000000001.log"] {
        std::fs::write(site.directory.path().join(name), b"not mine").unwrap();
    }
    // The same numbers are taken: the next attempt passes over them.
    let state = site.checkpoint(&changes).unwrap();
    let fresh = |run: u64| named.contains(&run) || lost.runs.iter().all(|orphan| orphan.run != run);
    assert!(state.runs.iter().all(|run| fresh(run.run)), "a number was used again");
    site.check("made again");
    let mut expected: Vec<u64> = state.runs.iter().map(|run| run.run).collect();
    expected.sort_unstable();
    assert_eq!(site.run_files(), expected);
    let kept = std::fs::read_dir(site.directory.path()).unwrap().count();
    assert_eq!(kept, expected.len() + 3 + 1, "runs, three strangers, the manifest");
}

#[test]
fn opening_cleans_orphans_by_the_manifest_that_it_finds() {
    let (mut site, changes) = prepare(14);
    let named = site.run_files();
    site.apply(&changes).unwrap();
    let manifest = site.manifest.clone().unwrap();
    site.store.published(&manifest).unwrap();
    assert_eq!(site.run_files(), named);
    site.check("cleaned");
}

#[test]
fn a_stale_temporary_manifest_is_in_nobodys_way() {
    let (mut site, changes) = prepare(15);
    let temporary = site.directory.path().join("checkpoint.manifest.tmp");
    std::fs::write(&temporary, vec![0xff; 10_000]).unwrap();
    site.check("beside a torn replacement");
    site.checkpoint(&changes).unwrap();
    site.check("replaced");
    assert!(!temporary.exists());
}

#[test]
fn failed_publishing_says_which_step_and_leaves_a_whole_manifest() {
    for (operation, fail_at) in [("create", 1), ("write", 2), ("sync", 3), ("rename", 4), ("sync", 5)] {
        let (site, _) = prepare(16);
        let manifest = Manifest { created_ns: 78, ..site.manifest.clone().unwrap() };
        {
            let mut script = site.probe.0.lock();
            script.operations.clear();
            script.fail_at = Some(fail_at);
        }
        let error = publish_manifest(&*site.storage, &manifest).unwrap_err();
        let StoreError::Write { operation: said, path, .. } = error else { panic!("{error:?}") };
        assert_eq!(said, operation);
        assert!(path.starts_with(site.directory.path()), "{path:?}");
        let found = site.found().0.unwrap();
        assert_eq!(found.created_ns, if fail_at == 5 { 78 } else { 77 });
        assert!(!site.directory.path().join("checkpoint.manifest.tmp").exists(), "{operation} left its file");
    }
}

#[test]
fn a_damaged_run_fails_the_merge_and_stays_as_it_is() {
    let (mut site, changes) = prepare(17);
    let before = site.run_files();
    let oldest = site.manifest.as_ref().unwrap().runs[0];
    let path = site.storage.path(&FileName::Run(oldest.run).to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let mut merged = false;
    for _ in 0..10 {
        match site.apply(&changes) {
            Ok(state) => site.manifest = Some(site.manifest_of(&state)),
            Err(error) => {
                assert!(matches!(error, StoreError::Read(_)), "{error:?}");
                merged = true;
                break;
            }
        }
    }
    assert!(merged, "damage was merged into a sound run");
    assert!(before.iter().all(|run| site.run_files().contains(run)));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn runs_are_refused_on_top_of_an_engines_own_store() {
    let (mut site, changes) = prepare(18);
    let previous = site.manifest.take().unwrap();
    site.manifest = Some(Manifest { external: true, runs: Vec::new(), ..previous });
    assert!(matches!(site.apply(&changes), Err(StoreError::OtherStore)));
}

/// What is in the way and cannot be removed might be there after the rename.
#[test]
fn a_temporary_file_that_cannot_be_removed_is_told_before_anything_is_written() {
    let (site, _) = prepare(3);
    let manifest = site.manifest.clone().unwrap();
    {
        let mut script = site.probe.0.lock();
        script.operations.clear();
        script.fail_at = Some(0);
    }
    let error = publish_manifest(&*site.storage, &manifest).unwrap_err();
    assert!(matches!(&error, StoreError::Write { operation: "remove", .. }), "{error:?}");
    assert_eq!(site.probe.0.lock().operations.len(), 1);
    site.check("not published");
}
