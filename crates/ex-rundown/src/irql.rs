//! Interrupt request levels, and the proof that one is low enough to block.

use core::marker::PhantomData;

use crate::Platform;

/// An interrupt request level (`KIRQL`).
pub type Irql = u8;

/// `PASSIVE_LEVEL`: threads run here.
pub const PASSIVE_LEVEL: Irql = 0;
/// `APC_LEVEL`: asynchronous procedure calls are off; blocking is still allowed.
pub const APC_LEVEL: Irql = 1;
/// `DISPATCH_LEVEL`: the scheduler is off, so nothing may block.
pub const DISPATCH_LEVEL: Irql = 2;

/// Proves that the processor is at or below `APC_LEVEL`, where a thread may block.
///
/// It is neither `Send` nor `Copy`: the fact holds for the thread that checked it. Whatever raises the IRQL
/// borrows the proof mutably for as long, so that it cannot be used meanwhile.
#[derive(Debug)]
pub struct AtMostApcLevel {
    this_thread: PhantomData<*mut ()>,
}

impl AtMostApcLevel {
    /// Takes the caller's word for it, as a framework callback with `WdfExecutionLevelPassive` can give it.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// This thread runs at or below `APC_LEVEL` for as long as the proof lives, but for stretches that borrow it
    /// mutably.
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self {
            this_thread: PhantomData,
        }
    }

    /// Reads the IRQL and gives the proof when it is low enough.
    ///
    /// # IRQL
    /// Any.
    #[inline]
    #[must_use]
    pub fn check<P: Platform>() -> Option<Self> {
        (P::current_irql() < DISPATCH_LEVEL).then_some(Self {
            this_thread: PhantomData,
        })
    }
}
