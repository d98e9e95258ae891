//! The command `wal`. All of it is in the library's module `cli`, where it can be tested in parts.
use std::process::ExitCode;

fn main() -> ExitCode {
    wal_recovery::cli::main()
}
