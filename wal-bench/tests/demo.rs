//! The demo on a small generated text: the whole job, with kills, and a directory that is used again.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use wal_bench::random::Random;

#[track_caller]
fn check(output: &Output, code: i32, expected: &str) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    assert!(out.contains(expected) || err.contains(expected), "{expected:?} is not in\n{out}\n{err}");
}

fn demo(input: &Path, directory: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
    command.arg("--input").arg(input).arg("--dir").arg(directory).args(["--seed", "5"]).args(more);
    command.output().expect("the demo starts")
}

/// Text with many words, few of them distinct; `files` of them, that do not end where a word ends.
fn generate(folder: &Path, files: u64, words: u64) {
    fs::create_dir_all(folder).expect("a folder");
    for file in 0..files {
        let mut random = Random::new(file);
        let text: String = (0..words)
            .map(|_| {
                format!(
                    "w{:x}{}",
                    random.within(0..5000),
                    "  ,\n".chars().nth(usize::try_from(random.within(0..4)).unwrap_or(0)).unwrap_or(' ')
                )
            })
            .collect();
        fs::write(folder.join(format!("{file}.txt")), text + "half").expect("a file");
    }
}

#[test]
fn every_word_is_counted_once_also_when_cores_and_input_change() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (text, log) = (temporary.path().join("text"), temporary.path().join("work"));
    generate(&text, 40, 20_000);
    check(&demo(&text, &log, &["--kills", "3", "--cores", "3", "--keep"]), 0, "counts are right");
    check(&demo(&text, &log, &["--kills", "1", "--cores", "5", "--keep"]), 0, "counts are right");
    // The files grow: by what makes their last word another one, and by new ones.
    for file in ["0.txt", "7.txt", "39.txt"] {
        let path = text.join(file);
        let grown = fs::read_to_string(&path).expect("a file") + "way through, and more words half half";
        fs::write(path, grown).expect("a file");
    }
    fs::write(text.join("new.txt"), "new words in a new file").expect("a file");
    check(&demo(&text, &log, &["--kills", "2", "--cores", "2", "--keep"]), 0, "counts are right");
    fs::remove_file(text.join("new.txt")).expect("a file");
    check(&demo(&text, &log, &["--kills", "0", "--keep"]), 1, "not in the input");
}

#[test]
fn without_keep_nothing_is_left_behind() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (text, log) = (temporary.path().join("text"), temporary.path().join("work"));
    generate(&text, 3, 1000);
    check(&demo(&text, &log, &["--kills", "0"]), 0, "counts are right");
    assert!(!log.exists());
    assert!(text.exists());
}

#[test]
fn a_wrong_command_line_is_exit_code_2_with_usage() {
    for args in [["--core", "1"], ["--cores", "0"], ["--kills", "many"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_demo")).args(args).output().expect("the demo starts");
        check(&output, 2, "Usage");
    }
}
