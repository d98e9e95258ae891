//! The load generator at a small size: every mode ends well, and what it says adds up with what recovery reads back.

use std::process::{Command, Output};

use serde_json::Value;

fn load(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
    command.args(["--segment-kib", "256", "--keys", "20", "--verify", "--json"]);
    command.args(words).output().expect("the load starts")
}

/// Runs it, and looks at every number of which another one says what it must be.
#[track_caller]
fn check(words: &[&str], entries: u64) -> Value {
    let output = load(words);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {}\n{out}\n{err}", output.status);
    let outcome: Value = serde_json::from_str(&out).expect("JSON");
    let is = |path: &str, expected: u64| {
        assert_eq!(outcome.pointer(path).and_then(Value::as_u64), Some(expected), "{words:?}: {path}\n{out}");
    };
    for path in ["/entries", "/log_entries", "/log_durable_entries", "/append/count", "/verified/entries"] {
        is(path, entries);
    }
    // All keys of both cores were drawn.
    is("/verified/keys", 40);
    if outcome["checkpoints"] == 0 {
        is("/verified/entries_replayed", entries);
    }
    let number = |path: &str| outcome.pointer(path).and_then(Value::as_f64).expect("a number");
    for ([low, high], what) in [
        (["/append/p50", "/append/p99"], "quantiles"),
        (["/append/p99", "/append/max"], "quantiles"),
        (["/call/max", "/append/max"], "a call is a part of its entry's time"),
        (["/appending_s", "/durable_s"], "durable comes after appended"),
        (["/durable_per_s", "/appended_per_s"], "durable comes after appended"),
    ] {
        assert!(number(low) <= number(high), "{words:?}: {what}: {low} and {high}\n{out}");
    }
    assert!(number("/written_segments") >= 1.0 && number("/cpu_ns") > 0.0, "{words:?}\n{out}");
    assert!((number("/appended_per_s") * number("/appending_s") - number("/entries")).abs() < 1.0);
    outcome
}

#[test]
fn every_sync_mode_adds_up_with_what_recovery_reads_back() {
    for (words, timed) in [
        (&["--sync", "none", "--entries", "20000"][..], 0),
        (&["--sync", "each", "--entries", "200", "--no-pin"], 400),
        (&["--sync", "batch:64", "--entries", "1000"], 2000),
        (&["--sync", "interval:1", "--entries", "20000", "--value", "0-300"], 40_000),
    ] {
        let entries = words[3].parse::<u64>().expect("a number");
        let outcome = check(words, 2 * entries);
        assert_eq!(outcome["durable"]["count"], timed, "{words:?}");
    }
}

#[test]
fn checkpoints_and_skewed_keys_at_a_rate_add_up_as_well() {
    let words =
        ["--rate", "20000", "--entries", "6000", "--distribution", "zipf:0.7", "--checkpoint", "0.05"];
    let outcome = check(&words, 12_000);
    assert!(outcome["checkpoints"].as_u64() >= Some(1), "{outcome}");
    assert!(outcome["written_checkpoints"].as_f64() > Some(0.0), "{outcome}");
    // 6 000 entries at 20 000 a second.
    assert!(outcome["appending_s"].as_f64() > Some(0.29), "{outcome}");
}

#[test]
fn a_load_ends_with_its_time() {
    let output = load(&["--duration", "0.2", "--rate", "1000", "--sync", "interval:5"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let outcome: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let entries = outcome["entries"].as_u64().expect("a number");
    // Two cores, and each its first entry at the very beginning.
    let due = 2.0 * (1000.0 * outcome["appending_s"].as_f64().expect("a number") + 1.0);
    assert!(entries >= 2 && entries as f64 <= due, "{outcome}");
    assert_eq!(outcome["durable"]["count"], entries);
}

#[test]
fn a_wrong_command_line_is_exit_code_2_with_usage() {
    for words in [["--sync", "sometimes"], ["--value", "9-1"], ["--cores", "0"], ["--distribution", "zipf:2"]]
    {
        let output = load(&words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage: load"), "{words:?}");
    }
}
