//! The crash loop: see `wal_bench::crash`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    wal_bench::crash::main(std::env::args().skip(1))
}
