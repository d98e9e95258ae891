//! Crash from empty memory and back, with the real programs and real SIGKILL.

use std::process::{Command, Output};

#[track_caller]
fn check(output: &Output, expected: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert!(out.contains(expected), "{expected:?} is not in\n{out}\n{err}");
}

fn crash(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crash")).args(args).output().expect("the crash program starts")
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let output = crash(&["--kills", "20", "--seed", "11"]);
    check(&output, "nothing was lost");
}

#[test]
fn one_core_alone_survives_sigkill() {
    let output = crash(&["--kills", "8", "--seed", "12", "--cores", "1"]);
    check(&output, "nothing was lost");
}

#[test]
fn a_wrong_command_line_is_exit_code_2_with_usage() {
    let cases: [&[&str]; 4] = [&["--kill", "1"], &["--kills"], &["--kills", "some"], &["--cores", "0"]];
    for args in cases {
        let output = crash(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage"), "{args:?}");
    }
}
