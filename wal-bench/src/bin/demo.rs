//! The demo: see `wal_bench::demo`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    wal_bench::demo::main(std::env::args().skip(1))
}
