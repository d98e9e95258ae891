//! The store on threads, under tokio and under monoio: it answers as a map would, and what it answered outlives it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_types,
    reason = "a failed step is a failed test; the harness has a lock"
)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use common::{Dice, run};

const PROGRAMS: [&str; 3] = [
    env!("CARGO_BIN_EXE_thread_per_core"),
    env!("CARGO_BIN_EXE_tokio_store"),
    env!("CARGO_BIN_EXE_monoio_store"),
];

#[test]
fn requests_are_answered_as_by_a_map_over_restarts_with_other_numbers_of_cores() {
    for program in PROGRAMS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut model = BTreeMap::new();
        let mut dice = Dice::new(7);
        for cores in [2, 3, 1] {
            let (mut input, mut expected) = (String::new(), Vec::new());
            for number in 0..600 {
                let key = format!("key{}", dice.below(50));
                match dice.below(4) {
                    0 => {
                        writeln!(input, "delete {key}").unwrap();
                        model.remove(&key);
                        expected.push(format!("deleted {key}"));
                    }
                    1 => {
                        writeln!(input, "get {key}").unwrap();
                        expected.push(match model.get(&key) {
                            Some(value) => format!("{key} = {value}"),
                            None => format!("no {key}"),
                        });
                    }
                    _ => {
                        let value = format!("{number} of {cores}");
                        writeln!(input, "put {key} {value}").unwrap();
                        expected.push(format!("stored {key}"));
                        model.insert(key, value);
                    }
                }
            }
            let done = run(program, &[path.to_str().unwrap(), &cores.to_string()], &input, None, |_| false);
            assert_eq!(done.lines, expected, "{program}, {cores} cores");
        }
    }
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    const KEYS: usize = 500;
    for program in PROGRAMS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let path = path.to_str().unwrap();
        let input: String = (0..20_000).map(|n| format!("put key{} {n}\n", n % KEYS)).collect();
        let gets: String = (0..KEYS).map(|key| format!("get key{key}\n")).collect();
        let mut was_killed = 0;
        for (answers, cores) in [(1, "2"), (900, "3"), (6_000, "2")] {
            let killed =
                run(program, &[path, cores], &input, Some(answers), |line| line.starts_with("stored"));
            was_killed += usize::from(killed.was_killed);
            let after = run(program, &[path, "2"], &gets, None, |_| false);
            assert_eq!(after.lines.len(), KEYS);
            // The last answer for a key, or a later one that was on its way.
            let answered = killed.lines.len();
            for (key, line) in after.lines.iter().enumerate() {
                let found =
                    line.strip_prefix(&format!("key{key} = ")).map(|value| value.parse::<usize>().unwrap());
                let least = (key < answered).then(|| key + (answered - 1 - key) / KEYS * KEYS);
                assert!(found.is_none_or(|found| found % KEYS == key), "{program}: {line}");
                assert!(
                    found >= least,
                    "{program}: key{key} was answered at {least:?}, came back at {found:?}"
                );
            }
        }
        assert!(was_killed > 0, "{program} always ended before it was killed");
    }
}

/// Values that take a device a while, and an append hardly any time: whoever answers before they are in a file is caught.
#[test]
fn an_answer_waits_for_the_log() {
    const BYTES: usize = 3 << 20;
    for program in PROGRAMS {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let path = path.to_str().unwrap();
        for round in 0..4_u8 {
            let value = String::from_utf8(vec![b'a' + round; BYTES]).unwrap();
            let input = format!("put key{round} {value}\n");
            let killed = run(program, &[path, "1"], &input, Some(1), |line| line.starts_with("stored"));
            assert_eq!(killed.lines, [format!("stored key{round}")], "{program}");
            let after = run(program, &[path, "1"], &format!("get key{round}\n"), None, |_| false);
            assert!(
                after.lines == [format!("key{round} = {value}")],
                "{program}: key{round} was answered, and is gone"
            );
        }
    }
}
