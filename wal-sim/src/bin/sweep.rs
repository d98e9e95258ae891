//! The sweeps: see `wal_sim::sweep`.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    wal_sim::sweep::main(std::env::args().skip(1))
}
