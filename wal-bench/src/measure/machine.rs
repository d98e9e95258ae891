//! The machine that a report was made on: figures without it mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

/// As a list in Markdown.
pub(super) fn describe(directory: &Path) -> String {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let is_dirty = git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty());
    let commit = if is_dirty { format!("{commit}, with changes") } else { commit };
    format!(
        "- machine: {cpu}, {cores} cores, {memory}\n- system: Linux {}, {} at {}\n- commit: {commit}",
        kernel.trim(),
        file_system(directory).unwrap_or_else(|| "unknown file system".to_owned()),
        directory.display(),
    )
}

/// The value of `name` in a file of `name : value` lines, such as `/proc/self/status`.
pub(super) fn field(file: &str, name: &str) -> Option<String> {
    let text = read(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(file).ok()
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Type of the file system that holds `directory`: the mount with the longest matching path.
fn file_system(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = read("/proc/mounts")?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(at, _)| directory.starts_with(at));
    holding.max_by_key(|(at, _)| at.len()).map(|(_, kind)| kind.to_owned())
}
