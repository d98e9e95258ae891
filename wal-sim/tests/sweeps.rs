//! Every row of the sweeps in small: `cargo xtask sweep` runs them at full size.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use wal_sim::sweep::{Budget, ROWS, Tally, run};

/// Runs a row; it must have tried at least so many cases.
#[track_caller]
fn check(name: &str, cases_min: u64) -> Tally {
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let tally = run(row, &Budget::TEST).unwrap_or_else(|what| panic!("{what}"));
    println!("{name}: {} cases, {} recovered, {:?}", tally.cases(), tally.checked(), tally.notes());
    assert!(tally.cases() >= cases_min, "only {} cases", tally.cases());
    tally
}

#[test]
fn any_subset_of_what_is_unsynced_may_survive_a_power_loss() {
    check("power-loss", 1_000);
}

#[test]
fn any_name_that_is_not_durable_may_be_dropped() {
    assert!(check("names", 100).noted("names, or pairs of names, dropped and kept") > 10);
}

#[test]
fn a_lost_write_is_detected_or_cut_by_the_rule() {
    let tally = check("lost-writes", 100);
    assert!(tally.noted("detected") > 10 && tally.noted("cut at the first damaged frame") > 0);
    // Other cores are witnesses; where there is none, nobody can know.
    assert!(tally.noted("tails that only other cores' barriers prove: refused") > 0);
    assert!(tally.noted("tails that nothing proves: the log ends earlier") > 0);
}

#[test]
fn a_misdirected_write_is_detected_or_cut_by_the_rule() {
    let tally = check("misdirected", 200);
    assert!(tally.noted("detected") > 50);
}

#[test]
fn no_flipped_bit_is_taken_for_a_tail_or_yields_another_entry() {
    let tally = check("bit-rot", 1_000);
    assert!(tally.noted("detected") > 500 && tally.noted("several bits at once") == 40);
}

#[test]
fn a_failed_call_takes_nothing_that_was_acknowledged() {
    assert!(check("io-errors", 200).noted("faults that nobody was told of") > 0);
}

#[test]
fn a_full_disk_takes_nothing_and_the_log_goes_on_when_there_is_space() {
    check("no-space", 100);
}

#[test]
fn interrupted_and_partial_calls_leave_the_same_bytes() {
    check("short-calls", 20);
}

#[test]
fn recovery_and_opening_can_be_interrupted_anywhere() {
    let tally = check("interrupted", 500);
    assert!(tally.whole() > 0, "nothing was nested");
}
