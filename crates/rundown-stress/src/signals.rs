//! What the threads of a run block on.

/// Gates between turns, and the conductor's alarm clock.
///
/// Turns are numbered from 0. Turn *n* + 1 is opened only when all threads have passed the gate of turn *n* and have arrived
/// behind it.
pub trait Signals: Send + Sync {
    /// Lets all threads pass to turn `turn`.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn open(&self, turn: u32);

    /// Blocks until turn `turn` is open.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn pass(&self, turn: u32);

    /// Tells the conductor that the last thread has finished its turn.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn all_arrived(&self);

    /// Blocks until [`all_arrived`](Self::all_arrived), once per call of that, or for `microseconds`; `true` when they have.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn await_arrival(&self, microseconds: u64) -> bool;

    /// Ends every [`sleep`](Self::sleep) from now on.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn wake(&self);

    /// Blocks for `microseconds`, or until [`wake`](Self::wake).
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn sleep(&self, microseconds: u64);
}
