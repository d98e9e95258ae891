//! The steps of this crate's protocols that could be put wrong, each of which a loom model puts wrong to show that it
//! would see it: see `mistake.rs` of wal-writer.

wal_writer::flaws! {
    /// `woken.rs`: the flusher takes note of a request after it has looked.
    LooksFirst,
    /// `shared.rs`: the seal is asked for when the next epoch has begun.
    AsksForSealLate,
    /// `shared.rs`: a closed epoch is counted when others may have closed the next.
    CountsUnlocked,
    /// `shared.rs`: a core's end of an epoch counts before it is synced.
    CountsUnsynced,
    /// `shared.rs`: who waits without flushers looks for a failure while somebody is still at it.
    LooksOutOfTurn,
    /// `shared.rs`: a checkpoint ends an epoch while somebody without flushers looks for its failure.
    SealsOutOfTurn,
    /// `shared.rs`: closing does not reach those who wait for an epoch.
    ClosesSilently,
    /// `checkpoint.rs`: segments go before the manifest is durable that does without them.
    ReleasesEarly,
    /// `retention.rs`: segments go while somebody reads them.
    ForgetsReaders,
}
