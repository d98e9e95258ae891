//! The state read back is the one that a map would hold.

use std::collections::BTreeSet;

use super::harness::{Change, Random, Site, apply_to};

fn put(key: &[u8], value: &[u8]) -> Change {
    (key.to_vec(), Some(value.to_vec()))
}

fn delete(key: &[u8]) -> Change {
    (key.to_vec(), None)
}

#[test]
fn state_equals_a_map_over_many_checkpoints_with_budgets_that_split_them() {
    for seed in 0..24 {
        let mut random = Random(seed);
        let budget_bytes = [600, 4000, 30_000, 1 << 20][random.index(4)];
        let keys = [5, 300, 3000][random.index(3)];
        let context = format!("seed {seed}: budget {budget_bytes}, {keys} keys");
        println!("{context}");
        let mut site = Site::new(budget_bytes);
        for checkpoint in 0..25 {
            let count = random.below(700);
            let changes = random.changes(count, keys, 90);
            let state = site.checkpoint(&changes).unwrap();
            let numbers: Vec<u64> = state.runs.iter().map(|run| run.run).collect();
            assert!(numbers.iter().all(|run| *run < state.next_run));
            site.check(&format!("{context}, checkpoint {checkpoint}"));
            let mut sorted = numbers;
            sorted.sort_unstable();
            assert_eq!(site.run_files(), sorted, "{context}: files that no manifest names");
        }
    }
}

#[test]
fn a_delta_of_hundreds_of_budgets_merges_in_passes_and_equals_a_map() {
    let mut site = Site::new(2000);
    let mut random = Random(99);
    for pass in 0..3 {
        let changes = random.changes(6000, u64::MAX, 60);
        let keys = changes.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len() as u64;
        let state = site.checkpoint(&changes).unwrap();
        site.check(&format!("pass {pass}"));
        assert_eq!(state.keys, keys);
        assert_eq!(site.probe.0.lock().open, (0, 4), "runs that are open at once");
        assert!(state.next_run > 100, "only {} runs were made", state.next_run);
    }
}

#[test]
fn overwriting_a_few_keys_for_ever_writes_one_small_run() {
    let mut site = Site::new(10_000);
    let changes: Vec<Change> =
        (0..50_000_u32).map(|number| put(&(number % 10).to_le_bytes(), &number.to_le_bytes())).collect();
    let state = site.checkpoint(&changes).unwrap();
    site.check("hot keys");
    assert_eq!((state.runs.len(), state.keys, state.next_run), (1, 10, 1));
    assert!(state.bytes_written < 5000, "{} bytes", state.bytes_written);
}

#[test]
fn deleted_keys_never_come_back_and_are_gone_when_the_oldest_run_merges() {
    for budget_bytes in [20_000, 1 << 20] {
        let mut site = Site::new(budget_bytes);
        let keys: Vec<Vec<u8>> = (0..60_u32).map(|key| key.to_le_bytes().to_vec()).collect();
        // A base large enough that small deltas stay runs of their own above it.
        site.checkpoint(&keys.iter().map(|key| put(key, &[1; 1000])).collect::<Vec<_>>()).unwrap();
        for (round, key) in keys.iter().enumerate() {
            site.checkpoint(&[delete(key)]).unwrap();
            site.check(&format!("budget {budget_bytes}, {round} deleted"));
        }
        assert!(site.oracle.is_empty());
        // One run of so many deletes of nothing that all runs must merge: they leave no trace.
        site.store = site.store.clone().with_budget_bytes(1 << 22);
        let changes: Vec<Change> = (0..30_000_u32).map(|key| delete(&key.to_le_bytes())).collect();
        site.checkpoint(&changes).unwrap();
        site.check("deletes only");
        let left: u64 = site.manifest.iter().flat_map(|manifest| &manifest.runs).map(|run| run.entries).sum();
        assert_eq!(left, 0, "tombstones outlived the oldest run");
    }
}

#[test]
fn large_and_empty_keys_and_values_come_back() {
    for budget_bytes in [1000, 200_000, 1 << 24] {
        let mut site = Site::new(budget_bytes);
        let sizes = [0, 1, 65_000, 65_536, 70_000, 600_000, 3_000_000, 64 * 1024 - 10];
        let mut changes: Vec<Change> =
            sizes.iter().map(|size| put(&size.to_string().into_bytes(), &vec![0xab; *size])).collect();
        changes.push(put(b"", b"value of the empty key"));
        changes.push(put(&vec![b'k'; 100_000], b""));
        for round in 0..6 {
            site.checkpoint(&changes).unwrap();
            site.check(&format!("budget {budget_bytes}, round {round}"));
            site.checkpoint(&[delete(b""), put(b"9", b"small")]).unwrap();
            site.check(&format!("budget {budget_bytes}, round {round}, empty key deleted"));
        }
    }
}

#[test]
fn an_empty_delta_writes_nothing_and_keeps_the_runs() {
    let mut site = Site::new(1 << 20);
    let state = site.checkpoint(&[]).unwrap();
    assert_eq!((state.runs.len(), state.bytes_written, state.keys, state.next_run), (0, 0, 0, 0));
    site.checkpoint(&[delete(b"never there")]).unwrap();
    assert!(site.run_files().is_empty(), "a delete without anything below it became a run");
    let before = site.checkpoint(&[put(b"a", b"1")]).unwrap();
    site.probe.0.lock().operations.clear();
    let state = site.apply(&[]).unwrap();
    assert_eq!((state.runs, state.next_run), (before.runs, before.next_run));
    assert!(site.probe.0.lock().operations.is_empty(), "it touched files");
}

#[test]
fn the_same_changes_give_the_same_bytes() {
    let images = [(); 2].map(|()| {
        let mut site = Site::new(3000);
        let mut random = Random(7);
        let mut images = Vec::new();
        for _ in 0..10 {
            let changes = random.changes(300, 200, 50);
            let state = site.checkpoint(&changes).unwrap();
            images.push(state.runs.iter().map(|run| site.run_bytes(run)).collect::<Vec<_>>());
        }
        (images, site.manifest)
    });
    assert!(images[0] == images[1]);
}

#[test]
fn the_order_of_writes_to_different_keys_does_not_change_the_bytes() {
    let mut random = Random(3);
    let mut changes = random.changes(400, u64::MAX, 30);
    let mut state = super::harness::State::new();
    apply_to(&mut state, &changes);
    let forwards = Site::new(1 << 20).image(&changes);
    changes.reverse();
    assert!(forwards == Site::new(1 << 20).image(&changes));
}

impl Site {
    fn image(mut self, changes: &[Change]) -> Vec<u8> {
        let state = self.checkpoint(changes).unwrap();
        self.run_bytes(&state.runs[0])
    }
}
