//! The measurements: see `wal_bench::measure`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    wal_bench::measure::main(std::env::args().skip(1))
}
