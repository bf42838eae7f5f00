//! What the engine asks of the thread that it runs on.

/// A thread of the system under test, as seen by itself.
pub trait Thread {
    /// The time stamp counter.
    ///
    /// # IRQL
    /// Any.
    fn cycles() -> u64;

    /// A clock, in nanoseconds from whenever.
    ///
    /// # IRQL
    /// Any.
    fn nanoseconds() -> u64;

    /// Tells the processor that this is a spin loop.
    ///
    /// # IRQL
    /// Any.
    fn pause();

    /// Lets other threads have the processor that are ready to run on it.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn give_way();

    /// Runs `body` at `APC_LEVEL`, and returns to the level before.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R;

    /// Runs `body` at `DISPATCH_LEVEL`, and returns to the level before.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R;

    /// Runs `body` in a DPC on another processor, where there is one, and waits for its end.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R;
}
