//! IRQLs: CR8 itself.

use crate::hal::cpu;

/// Threads run here.
pub const PASSIVE_LEVEL: u8 = 0;
/// Asynchronous procedure calls.
pub const APC_LEVEL: u8 = 1;
/// The scheduler and DPCs: nothing here may wait.
pub const DISPATCH_LEVEL: u8 = 2;
/// Everything is masked.
pub const HIGH_LEVEL: u8 = 15;

/// The present IRQL.
pub fn current() -> u8 {
    cpu::read_cr8()
}

/// Raises to `DISPATCH_LEVEL` until dropped.
#[must_use = "the IRQL falls again once the guard is dropped"]
pub struct Raised(u8);

impl Raised {
    /// Raises the IRQL to `level`, which is not below the present one.
    pub fn to(level: u8) -> Self {
        let old = current();
        assert!(old <= level, "raising from IRQL {old} to {level}");
        cpu::write_cr8(level);
        Self(old)
    }

    /// The IRQL before.
    pub fn old(&self) -> u8 {
        self.0
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        cpu::write_cr8(self.0);
    }
}
