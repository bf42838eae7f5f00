//! The reference under test, whoever implements it.

use ex_rundown::{Check, Platform, RundownRef, WayOut};

/// Run-down protection of one object.
pub trait Reference: Sync {
    /// Runs `body` under protection; `false`, without running it, when protection is refused.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn protect(&self, body: impl FnOnce()) -> bool;

    /// Runs the object down and waits for its holders; how that ended, where the implementation tells.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, or `DISPATCH_LEVEL` when every holder runs on another processor.
    fn run_down(&self) -> Option<WayOut>;

    /// Marks it as run down.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn complete(&self);

    /// Makes it live again.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn reinitialize(&self);
}

impl<P: Platform, C: Check> Reference for RundownRef<P, C> {
    fn protect(&self, body: impl FnOnce()) -> bool {
        self.protect(body).is_some()
    }

    fn run_down(&self) -> Option<WayOut> {
        Some(self.wait())
    }

    fn complete(&self) {
        self.completed();
    }

    fn reinitialize(&self) {
        self.reinitialize();
    }
}
