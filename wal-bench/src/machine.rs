//! The machine that a report was made on: figures without it mean nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// The machine, and the revision of the code. What could not be found out is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Its name for itself.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// With its unit.
    pub memory: String,
    /// Its release.
    pub kernel: String,
    /// Type of the file system that was written to, and its device.
    pub file_system: String,
    /// Where on it.
    pub directory: String,
    /// Of the code.
    pub commit: String,
    /// Whether the code differed from the commit.
    pub is_dirty: bool,
}

impl Machine {
    /// This machine, with the file system that holds `directory`.
    #[must_use]
    pub fn here(directory: &Path) -> Self {
        let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory: gigabytes(&memory).unwrap_or(memory),
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            file_system: file_system(directory).unwrap_or_default(),
            directory: directory.display().to_string(),
            commit: git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default(),
            is_dirty: git(&["status", "--porcelain"]).is_some_and(|status| !status.is_empty()),
        }
    }

    /// Name and value of each property.
    #[must_use]
    pub fn properties(&self) -> Vec<(&'static str, String)> {
        let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
        let dirty = if self.is_dirty { ", with changes that are not committed" } else { "" };
        vec![
            ("CPU", format!("{}, {} usable", known(&self.cpu), self.cpus)),
            ("memory", known(&self.memory)),
            ("kernel", format!("Linux {}", known(&self.kernel))),
            ("files", format!("{}, in {}", known(&self.file_system), self.directory)),
            ("commit", format!("{}{dirty}", known(&self.commit))),
        ]
    }
}

/// The value of `name` in a file of `name : value` lines, such as `/proc/self/status`.
#[must_use]
pub fn field(file: &str, name: &str) -> Option<String> {
    let text = read(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

fn read(file: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(file).ok()
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `24684084 kB` in GB.
#[allow(clippy::cast_precision_loss, reason = "for people")]
fn gigabytes(memory: &str) -> Option<String> {
    let kib: u64 = memory.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GB", kib as f64 * 1024.0 / 1e9))
}

/// Type and device of the file system that holds `directory`.
fn file_system(directory: &Path) -> Option<String> {
    let (device, kind) = mount(&read("/proc/mounts")?, &directory.canonicalize().ok()?)?;
    let name = device.rsplit('/').next().unwrap_or_default();
    let disk = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let of = |what: &str| [name, disk].iter().find_map(|disk| read(format!("/sys/block/{disk}/{what}")));
    let model = of("device/model").map_or(String::new(), |model| format!(", {}", model.trim()));
    let cache = of("queue/write_cache").map_or(String::new(), |cache| format!(", {}", cache.trim()));
    Some(format!("{kind} on {device}{model}{cache}"))
}

/// Device and type: of the mount with the longest path above `directory`.
fn mount(mounts: &str, directory: &Path) -> Option<(String, String)> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let holding = mounts.filter(|(_, at, _)| directory.starts_with(at));
    let (device, _, kind) = holding.max_by_key(|(_, at, _)| at.len())?;
    Some((device.to_owned(), kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_with_the_longest_path_holds_a_directory() {
        let mounts = "proc /proc proc rw 0 0\n/dev/a / ext4 rw 0 0\n/dev/b /data xfs rw 0 0\n";
        let of = |path: &str| mount(mounts, Path::new(path)).map(|(device, kind)| format!("{device} {kind}"));
        assert_eq!(of("/data/log"), Some("/dev/b xfs".to_owned()));
        assert_eq!(of("/database"), Some("/dev/a ext4".to_owned()));
        assert_eq!(mount("", Path::new("/")), None);
    }

    #[test]
    fn what_is_unknown_is_said() {
        let machine = Machine { is_dirty: true, commit: "abc".to_owned(), ..Machine::default() };
        let text = machine.properties().into_iter().map(|(_, value)| value).collect::<Vec<_>>().join("; ");
        assert!(text.contains("unknown") && text.contains("abc, with changes"), "{text}");
        assert_eq!(gigabytes("24684084 kB"), Some("25.3 GB".to_owned()));
    }
}
