//! The lock against another process, which is killed. In a binary of its own: a process that is being spawned holds all
//! locks of its parent for a moment.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test; another process runs this binary")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use wal_coordinator::*;

const ROLE: &str = "WAL_TEST_LOCK_HOLDER";

/// In a child process, named by an environment variable: holds the lock until it is killed.
#[test]
fn role_of_the_child_that_holds_the_lock() {
    let Some(path) = std::env::var_os(ROLE) else { return };
    let mut manager = PerCoreWalManager::new(config(Path::new(&path), 2)).unwrap();
    manager.writer(0).append_put(b"of the child", b"value").unwrap();
    manager.sync_all().unwrap();
    println!("\nlocked");
    std::io::stdout().flush().unwrap();
    // Until the parent kills this process, or is gone.
    let _ = std::io::stdin().lines().next();
}

fn child_that_holds_the_lock(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role_of_the_child_that_holds_the_lock", "--nocapture"])
        .env(ROLE, path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "locked"), "the child did not come up");
    child
}

#[test]
fn a_directory_in_use_by_another_process_is_refused_until_that_process_is_killed() {
    let (_directory, path) = place();
    for round in 1..=10 {
        let mut child = child_that_holds_the_lock(&path);
        let before = contents(&path);
        for _ in 0..3 {
            let error = PerCoreWalManager::new(config(&path, 2)).err().unwrap();
            assert!(matches!(&error, PerCoreWalError::InUse { path: found } if *found == path), "{error}");
            says(&error, &[path.to_str().unwrap(), "in use", "another process", "close it first"]);
        }
        assert_eq!(contents(&path), before, "a refused log was changed");
        child.kill().unwrap();
        child.wait().unwrap();
        let mut manager = PerCoreWalManager::new(config(&path, 2)).unwrap();
        manager.writer(1).append_put(b"of the parent", b"value").unwrap();
        manager.close().unwrap();
        assert_eq!(recover(&path).0.entries.len(), 2 * round);
    }
}
