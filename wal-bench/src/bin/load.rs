//! The load generator: see `wal_bench::load`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    wal_bench::load::main(std::env::args().skip(1))
}
