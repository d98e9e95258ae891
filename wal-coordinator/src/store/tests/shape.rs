//! How many runs there are, what they cost to write, and that they are durable in the right order.

use super::harness::{Change, Random, Site};

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
