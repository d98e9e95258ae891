//! How many runs there are, what they cost to write, and that they are durable in the right order.

use wal_format::{Epoch, RunMeta};
use wal_reader::Directory;

use super::harness::{Change, LOG_ID, Random, Site};
use crate::store::attempt::Attempt;
use crate::store::delta::Delta;
use crate::store::{CheckpointCut, StoredState};

/// A checkpoint of `count` runs, one for each key, as a large delta leaves them.
fn site_of_runs(budget_bytes: usize, count: u8) -> (Site, Vec<RunMeta>) {
    let mut site = Site::new(budget_bytes);
    let source = Directory::new(site.directory.path());
    let cut = CheckpointCut { epoch: Epoch(1), previous: None, log_id: LOG_ID, created_ns: 77 };
    let mut attempt = Attempt::new(&*site.storage, &source, &cut, 0);
    let runs = (0..count).map(|key| {
        let mut delta = Delta::new(1 << 20);
        delta.push(&[key], Some(&[key; 100]));
        delta.sort();
        site.oracle.insert(vec![key], vec![key; 100]);
        attempt.write_run(&[], Some(&delta), false).unwrap().unwrap()
    });
    let runs: Vec<_> = runs.collect();
    let (next_run, bytes_written, keys) = (u64::from(count), attempt.bytes_written(), u64::from(count));
    let state = StoredState { runs: runs.clone(), next_run, external: false, bytes_written, keys };
    site.manifest = Some(site.manifest_of(&state));
    site.probe.0.lock().operations.clear();
    (site, runs)
}

/// Reading a run takes 320 KiB, for which there is a quarter of the budget; four at once are always read.
#[test]
fn as_many_runs_merge_at_once_as_a_quarter_of_the_budget_has_room_for() {
    for (inputs, at_once) in [(0, 4), (4, 4), (7, 7)] {
        for count in [3, 4, 5, 7, 8, 9, 14, 15] {
            let (mut site, _) = site_of_runs(4 * inputs * 320 * 1024, count);
            let state = site.apply(&[(vec![0], Some(vec![9; 1 << 20]))]).unwrap();
            assert_eq!(state.runs.len(), 1, "all merge into what is so much larger");
            let mut left = usize::from(count);
            let mut made = 1;
            while left > at_once {
                // A group of one is left as it is.
                made += left / at_once + usize::from(left % at_once > 1);
                left = left.div_ceil(at_once);
            }
            let script = site.probe.0.lock();
            let created = script.operations.iter().filter(|(operation, _)| *operation == "create").count();
            assert_eq!(created, made, "{count} runs, {at_once} at once");
            assert_eq!(script.open, (0, at_once.min(usize::from(count))), "{count} runs, {at_once} at once");
        }
    }
}

#[test]
fn three_quarters_of_the_budget_collect_changes_before_the_first_of_them_becomes_a_run() {
    let key = |number: usize| number.swap_bytes().to_le_bytes().to_vec();
    let cost = Delta::cost_bytes(&key(0), Some(&[7; 100]));
    for budget in [64 * cost, 64 * cost - 4] {
        let fit = budget / 4 * 3 / cost;
        for count in [fit, fit + 1] {
            let mut site = Site::new(budget);
            let changes: Vec<Change> = (0..count).map(|number| (key(number), Some(vec![7; 100]))).collect();
            site.apply(&changes).unwrap();
            let script = site.probe.0.lock();
            let created = script.operations.iter().filter(|(operation, _)| *operation == "create").count();
            // One of all, or two that merge into a third or stay beside each other.
            assert_eq!(created, if count == fit { 1 } else { 2 }, "{count} of {fit}");
        }
    }
}

#[test]
fn a_checkpoint_without_changes_writes_nothing_although_runs_could_merge() {
    let (mut site, runs) = site_of_runs(1 << 20, 6);
    for _ in 0..2 {
        let state = site.apply(&[]).unwrap();
        assert_eq!((state.runs, state.next_run, state.bytes_written, state.keys), (runs.clone(), 6, 0, 0));
    }
    assert!(site.probe.0.lock().operations.iter().all(|(operation, _)| *operation != "create"));
    let state = site.checkpoint(&[(vec![9], Some(vec![9]))]).unwrap();
    assert_eq!((state.runs.len(), state.keys), (1, 1), "who changes something pays for the merge");
    site.check("merged");
}

#[test]
fn over_200_checkpoints_runs_and_write_cost_stay_logarithmic() {
    let mut site = Site::new(1 << 20);
    let (mut random, mut runs_max, mut written, mut delta_bytes) = (Random(1), 0, 0, 0_u32);
    for number in 0..200_u64 {
        // New keys only: nothing shrinks in a merge.
        let changes: Vec<Change> = (0..600)
            .map(|key| (format!("{:016x}", random.next() ^ key ^ number).into_bytes(), Some(vec![7; 100])))
            .collect();
        delta_bytes += 600 * (16 + 100 + 4);
        let state = site.checkpoint(&changes).unwrap();
        runs_max = runs_max.max(state.runs.len());
        written += state.bytes_written;
    }
    site.check("after 200 checkpoints");
    assert_eq!(site.oracle.len(), 200 * 600);
    // 14 MB, so tiers 0 to 5 of 8 KiB x 4^t.
    println!("{runs_max} runs at most, {:.2} bytes written a byte", written as f64 / f64::from(delta_bytes));
    assert!(runs_max <= 12, "{runs_max} runs");
    assert!(written <= 5 * u64::from(delta_bytes), "{written} bytes written for {delta_bytes}");
}

#[test]
fn overwriting_everything_again_and_again_takes_bounded_space() {
    let mut site = Site::new(1 << 20);
    let mut bytes_max = 0;
    let mut written = 0;
    for round in 0..100_u8 {
        let changes: Vec<Change> =
            (0..500_u32).map(|key| (key.to_le_bytes().to_vec(), Some(vec![round; 100]))).collect();
        let state = site.checkpoint(&changes).unwrap();
        bytes_max = bytes_max.max(state.runs.iter().map(|run| run.length).sum::<u64>());
        written += state.bytes_written;
    }
    site.check("overwritten");
    let one = 500 * 110 + 5000;
    assert!(bytes_max <= 4 * one, "{bytes_max} bytes for a state of {one}");
    assert!(written <= 100 * one, "{written} bytes written for 100 rounds of {one}");
}

#[test]
fn what_is_named_is_synced_and_so_is_its_name_before_the_manifest_is_written() {
    for budget_bytes in [700, 1 << 20] {
        let mut site = Site::new(budget_bytes);
        let mut random = Random(5);
        for checkpoint in 0..20 {
            site.probe.0.lock().operations.clear();
            let state = site.checkpoint(&random.changes(200, 400, 40)).unwrap();
            let operations = site.probe.0.lock().operations.clone();
            let last = |operation: &str, name: &str| {
                operations.iter().rposition(|done| (done.0, done.1.as_str()) == (operation, name))
            };
            let first = |operation: &str, name: &str| {
                operations.iter().position(|done| (done.0, done.1.as_str()) == (operation, name))
            };
            let manifest = "checkpoint.manifest.tmp";
            let directory = first("sync_directory", "").unwrap();
            let context = format!("budget {budget_bytes}, checkpoint {checkpoint}");
            let created = state.runs.iter().map(|run| wal_format::FileName::Run(run.run).to_string());
            for name in created.filter(|name| first("create", name).is_some()) {
                let synced = last("sync", &name).expect("synced");
                assert!(last("write", &name).unwrap() < synced, "{context}: written after its sync");
                assert!(last("create", &name).unwrap() < directory, "{context}: name not synced");
                assert!(
                    synced.max(directory) < first("write", manifest).unwrap(),
                    "{context}: manifest first"
                );
            }
            let renamed = first("rename", manifest).unwrap();
            assert!(last("write", manifest).unwrap() < last("sync", manifest).unwrap(), "{context}");
            assert!(last("sync", manifest).unwrap() < renamed, "{context}: renamed before its sync");
            let after = operations[renamed..].iter().position(|done| done.0 == "sync_directory");
            assert!(after.is_some_and(|after| operations[renamed..][..after].len() == after));
            // The names of what was removed go as well, before the space is counted on.
            let removed = operations[renamed..].iter().filter(|done| done.0 == "remove").count();
            let syncs = operations[renamed..].iter().filter(|done| done.0 == "sync_directory").count();
            assert_eq!(syncs, 1 + usize::from(removed > 0), "{context}");
            assert!(removed == 0 || operations.last().unwrap().0 == "sync_directory", "{context}");
            // Nothing that an earlier manifest named goes before this one is durable.
            let created: Vec<&String> =
                operations.iter().filter(|done| done.0 == "create").map(|done| &done.1).collect();
            let early = operations[..renamed + after.unwrap()]
                .iter()
                .find(|done| done.0 == "remove" && done.1 != manifest && !created.contains(&&done.1));
            assert_eq!(early, None, "{context}");
        }
    }
}
