//! What the store promises, on a real directory: against an oracle, in shape, and under failures.

mod faults;
mod harness;
mod oracle;
mod shape;
