//! Writes the golden files of the current format version, or compares them (`-- --check`).
//!
//! A file that exists is never changed: logs of an older release must stay readable, so other bytes need another
//! format version, and with it another directory.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command")]

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/common/golden.rs"]
mod golden;

fn main() -> ExitCode {
    let check_only = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            eprintln!("usage: golden [--check]");
            return ExitCode::from(2);
        }
    };
    let mut failed = false;
    for (name, bytes) in golden::Golden::v1().files() {
        let path = golden::directory().join(name.to_string());
        match settle(&path, &bytes, check_only) {
            Ok(outcome) => println!("{}: {outcome}", path.display()),
            Err(reason) => {
                eprintln!("{}: {reason}", path.display());
                failed = true;
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn settle(path: &Path, bytes: &[u8], check_only: bool) -> Result<&'static str, String> {
    match std::fs::read(path) {
        Ok(existing) if existing == bytes => Ok("as it was"),
        Ok(existing) => Err(difference(&existing, bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound && !check_only => {
            std::fs::create_dir_all(golden::directory()).map_err(|error| error.to_string())?;
            std::fs::write(path, bytes).map_err(|error| error.to_string())?;
            Ok("written")
        }
        Err(error) => Err(error.to_string()),
    }
}

fn difference(existing: &[u8], made: &[u8]) -> String {
    let at = existing.iter().zip(made).take_while(|(a, b)| a == b).count();
    format!(
        "the codec makes other bytes, from offset {at} on ({} and {} bytes in all); a golden file is never changed: \
         give the format a new version",
        existing.len(),
        made.len()
    )
}
