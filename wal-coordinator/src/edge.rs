//! Names every ordering that a protocol of this crate rests on: see `mistake.rs` of wal-writer.

wal_writer::edges! {
    /// `woken.rs`: somebody asks for a look.
    Ask: Release,
    /// `woken.rs`: the flusher takes note, and looks.
    Answer: Acquire,
}
