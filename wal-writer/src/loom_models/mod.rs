//! Models of the lock-free protocols, run by loom under every interleaving that the orderings allow.
//!
//! Each model is a function that panics if its protocol breaks. It is run twice: as it is, and (in `teeth`) once for
//! each ordering that it proves to be needed, without that ordering: then it must fail.

mod closing;
mod drains;
mod epoch;
mod failures;
mod progress;
mod rig;
mod ring;
mod space;
mod syncs;
mod teeth;
mod watch;
