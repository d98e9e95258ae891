//! Models of what the cores' logs, the flushers and a checkpoint hand to each other, run by loom under every
//! interleaving that the orderings allow, on the production code and the model storage of wal-writer.
//!
//! Each model is a function that panics if its protocol breaks. It is run twice: as it is, and (in `teeth`) once for
//! each mistake that it is there to see: then it must fail. Channels and threads of the flushers are not loom's: what
//! stands between two of them is modelled by `loom::sync::Notify`, and logs without flushers do their work on the
//! threads that call.

mod checkpoints;
mod closing;
mod epochs;
mod requests;
mod rig;
mod teeth;
