//! `cargo xtask fuzz`: the fuzz targets of `fuzz/` under libFuzzer.
//!
//! Promises: needs a Rust toolchain and a C++ compiler (libFuzzer's own code), nothing else; each target runs in a
//! process of its own, and a finding is kept with the line that shows it again. New inputs go to the target directory;
//! `--minimize` makes a small corpus of them for the repository, which `cargo xtask test` replays without libFuzzer.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, number, unknown};
use crate::process;

pub(crate) const HELP: &str = "\
Usage: cargo xtask fuzz [--target T]... [--seconds N] [--minimize] [--list]
       cargo xtask fuzz --target T --input FILE

Feeds hostile bytes, and structures with good checksums, to everything that reads a log.

Options:
  --target T     only this target; may be given more than once
  --seconds N    how long each target runs (default 60)
  --minimize     afterwards, make fuzz/corpus anew, small, from what was found
  --input FILE   run one input, and nothing else
  --list         list the targets

Findings are kept in target/fuzz/findings. Inputs are decisions, not encoded structures, so a change
of the format does not spoil the corpus. libFuzzer is C++: a C++ compiler is needed (c++, or CXX).
";

/// As in `TARGETS` of fuzz/src/lib.rs.
const TARGETS: [&str; 8] =
    ["headers", "manifest", "frame", "entries", "segment", "run", "directory", "reopen"];

/// What cargo-fuzz would set: counters on every edge, and comparisons reported. Stable flags all.
const COVERAGE: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longer inputs only make longer histories; every choice fits much less.
const INPUT_BYTES_MAX: usize = 1024;
/// Of the corpus in the repository, per target.
const CORPUS_FILES_MAX: usize = 40;

#[derive(Debug, Default, PartialEq)]
struct Options {
    targets: Vec<&'static str>,
    seconds: u64,
    minimize: bool,
    input: Option<String>,
    list: bool,
}

/// What libFuzzer says at the end of a run.
#[derive(Debug, Default, PartialEq)]
struct Stats {
    executions: u64,
    edges: u64,
    features: u64,
}

/// Fuzzes with `args`.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args)?;
    if options.list {
        options.targets.iter().for_each(|target| println!("{target}"));
        return Ok(());
    }
    let program = build()?;
    if let Some(input) = &options.input {
        let mut one = Command::new(&program);
        return process::run(one.env("WAL_FUZZ_TARGET", options.targets[0]).arg(input));
    }
    let mut failed = Vec::new();
    println!("target       executions    edges  features");
    for target in &options.targets {
        match fuzz(&program, target, options.seconds)? {
            Ok(Stats { executions, edges, features }) => {
                println!("{target:<11}{executions:>12}{edges:>9}{features:>10}");
            }
            Err(output) => {
                eprintln!("{output}");
                println!("{target:<11}FOUND SOMETHING");
                failed.push(*target);
            }
        }
        if options.minimize {
            minimize(&program, target)?;
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let kept = base().join("findings");
    let list = failed.join(", ");
    Err(Failure::failed(format!(
        "found something: {list}\nkept in {}; show it again with `cargo xtask fuzz --target T --input FILE`",
        kept.display()
    )))
}

fn base() -> PathBuf {
    process::target_dir().join("fuzz")
}

fn corpus(target: &str) -> PathBuf {
    process::root().join("fuzz/corpus").join(target)
}

fn build() -> Result<PathBuf, Failure> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let probe = Command::new(&compiler).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        let what =
            format!("libFuzzer is C++, and `{compiler}` cannot be run: install g++ or clang++, or set CXX");
        return Err(Failure::failed(what));
    }
    let host = host()?;
    let mut cargo = process::cargo();
    // The target is named so that build scripts and procedural macros are built without the flags.
    cargo.args(["build", "--release", "--features", "libfuzzer", "--bin", "fuzz", "--target", &host]);
    cargo.arg("--manifest-path").arg(process::root().join("fuzz/Cargo.toml"));
    cargo.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", base().join("build"));
    process::run(&mut cargo)?;
    Ok(base().join("build").join(host).join("release/fuzz"))
}

fn host() -> Result<String, Failure> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    let output = command.arg("-vV").output().map_err(|error| process::not_started(&command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::failed("`rustc -vV` does not name its host"))
}

/// Runs one target; in case of a finding, what libFuzzer printed.
fn fuzz(program: &Path, target: &str, seconds: u64) -> Result<Result<Stats, String>, Failure> {
    let (working, findings) = (base().join("corpus").join(target), base().join("findings"));
    for folder in [&working, &findings, &corpus(target)] {
        make(folder)?;
    }
    plant(&working)
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", working.display())))?;
    let mut command = Command::new(program);
    command.env("WAL_FUZZ_TARGET", target).arg(format!("-max_total_time={seconds}"));
    // Long inputs from the start: a short one is a short history, and covers little.
    command.arg("-len_control=0");
    command.arg(format!("-max_len={INPUT_BYTES_MAX}")).args(["-timeout=20", "-rss_limit_mb=2048"]);
    command.arg(format!("-artifact_prefix={}/{target}-", findings.display()));
    let output = command.arg(&working).arg(corpus(target)).output();
    let output = output.map_err(|error| process::not_started(&command, &error))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { Ok(stats(&text)) } else { Err(tail(&text)) })
}

/// Inputs to begin with: every choice at the front of an input, followed by bytes of several kinds.
fn plant(working: &Path) -> std::io::Result<()> {
    for first in 0..16_u8 {
        for second in [0_u8, 1, 2, 7, 30] {
            let step = (2 * first + second) | 1;
            let of = |at: u8| (at.wrapping_mul(step) ^ first).rotate_left(u32::from(second));
            let input: Vec<u8> = [first, second].into_iter().chain((0..=u8::MAX).map(of)).collect();
            std::fs::write(working.join(format!("seed-{first}-{second}")), input)?;
        }
    }
    Ok(())
}

/// What follows the last line of progress: the panic, the input, the stack.
fn tail(text: &str) -> String {
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.starts_with('#') && !line.contains("NEW_FUNC")).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// From the last line of the kind `#1000 DONE cov: 10 ft: 20 corp: 3/30b exec/s: 500`.
fn stats(text: &str) -> Stats {
    let line = text.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or("");
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(0)
    };
    let executions = words.first().and_then(|word| word.trim_start_matches('#').parse().ok()).unwrap_or(0);
    Stats { executions, edges: after("cov:"), features: after("ft:") }
}

/// Makes the corpus in the repository anew: some of a set of inputs that together cover what all do.
fn minimize(program: &Path, target: &str) -> Result<(), Failure> {
    let merged = base().join("merged").join(target);
    let _ = std::fs::remove_dir_all(&merged);
    make(&merged)?;
    let mut command = Command::new(program);
    command.env("WAL_FUZZ_TARGET", target).args(["-set_cover_merge=1", "-max_len=512"]).arg(&merged);
    command.arg(base().join("corpus").join(target)).arg(corpus(target));
    let output = command.output().map_err(|error| process::not_started(&command, &error))?;
    if !output.status.success() {
        return Err(Failure::failed(tail(&String::from_utf8_lossy(&output.stderr))));
    }
    let kept = keep_some(&merged, &corpus(target));
    kept.map_err(|error| Failure::failed(format!("cannot write {}: {error}", corpus(target).display())))
}

/// Of each size some: the longest inputs alone would be much alike, the shortest cover little.
fn keep_some(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut inputs: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        inputs.push((entry.metadata()?.len(), entry.path()));
    }
    inputs.sort();
    std::fs::remove_dir_all(to)?;
    std::fs::create_dir_all(to)?;
    let step = inputs.len().div_ceil(CORPUS_FILES_MAX).max(1);
    for (_, path) in inputs.iter().rev().step_by(step) {
        std::fs::copy(path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::failed(format!("cannot make {}: {error}", folder.display())))
}

fn parse(args: &[String]) -> Result<Options, Failure> {
    let mut options = Options { seconds: 60, ..Options::default() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--target" => {
                let name = args.next().map_or("", String::as_str);
                let known = TARGETS.iter().find(|target| **target == name);
                options.targets.push(known.ok_or_else(|| {
                    Failure::usage(format!("no target `{name}`; there are: {}", TARGETS.join(", ")))
                })?);
            }
            // libFuzzer takes 0 for "for ever".
            "--seconds" => options.seconds = number("fuzz", arg, args.next())?.max(1),
            "--minimize" => options.minimize = true,
            "--list" => options.list = true,
            "--input" => {
                let file =
                    args.next().ok_or_else(|| Failure::usage("`fuzz --input` needs a file behind it"))?;
                options.input = Some(file.clone());
            }
            _ => return Err(unknown("fuzz", arg)),
        }
    }
    if options.input.is_some() && options.targets.len() != 1 {
        return Err(Failure::usage("`fuzz --input` needs one `--target`"));
    }
    if options.targets.is_empty() {
        options.targets.extend(TARGETS);
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Options, Failure> {
        parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn targets_are_known_by_name_and_all_run_unless_some_are_named() {
        assert!(parsed(&[]).is_ok_and(|options| options.targets == TARGETS && options.seconds == 60));
        let two = parsed(&["--target", "run", "--target", "frame", "--seconds", "5"]);
        assert!(two.is_ok_and(|options| options.targets == ["run", "frame"] && options.seconds == 5));
        for wrong in [&["--target", "x"][..], &["--target"], &["--input", "f"], &["--seconds", "x"], &["run"]]
        {
            assert!(matches!(parsed(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn the_table_is_that_of_the_targets() {
        let library = std::fs::read_to_string(process::root().join("fuzz/src/lib.rs")).unwrap_or_default();
        for target in TARGETS {
            assert!(library.contains(&format!("name: \"{target}\"")), "{target}");
        }
        assert_eq!(library.matches("name: \"").count(), TARGETS.len());
    }

    #[test]
    fn the_last_line_of_progress_tells_the_figures() {
        let text = "#2 INITED cov: 1 ft: 1\n#8 NEW cov: 3 ft: 4 corp: 2/9b\n#99\tDONE   cov: 30 ft: 41 corp: 1/2b\nDone 99 runs";
        assert_eq!(stats(text), Stats { executions: 99, edges: 30, features: 41 });
    }
}
