//! The steps of this crate's protocols that could be put wrong, each of which a loom model puts wrong to show that it
//! would see it: see `mistake.rs`.

crate::flaws! {
    /// `log.rs`: a sync is acknowledged when it begins.
    AcknowledgesBegunSync,
    /// `log.rs`: two syncs of one core at a time.
    LeavesGate,
    /// `log.rs`: the writer's overdraft is forgiven after the drain's lock is left.
    ForgivesUnlocked,
    /// `log.rs`: a drain that overdraws what was granted tells nobody.
    OverdrawsSilently,
    /// `log.rs`: the flusher is woken before it could know what for.
    WakesBeforeWanted,
    /// `log.rs`: closing does not reach those who wait.
    ClosesSilently,
    /// `drain/mod.rs`: ring bytes are given back when they are written, although they must stay until durable.
    ReleasesWritten,
    /// `drain/mod.rs`: a failed write is forgotten by the next.
    ForgetsDoubt,
    /// `drain/mod.rs`: the seal is left to the coordinator, whoever drains the next epoch before it.
    IgnoresSealRequest,
    /// `drain/ticket.rs`: a finished sync covers what was written while it ran.
    CoversArrivals,
    /// `drain/ticket.rs`: a finished sync covers the whole of a file that was left while it ran.
    CoversRotation,
    /// `pin.rs`: closing does not wait for appends in flight.
    IgnoresPin,
    /// `progress.rs`: who waits looks at the number before it takes the lock, and not again.
    ChecksUnlocked,
    /// `supply.rs`: a file that was overtaken while it was made keeps its number.
    KeepsOvertakenNumber,
    /// `watch.rs`: the rungs of a snapshot are read from the lowest up.
    LooksUpwards,
    /// `watch.rs`: what was drained in the middle of its append does not count as appended.
    LooksPastDrains,
}
