//! The driver's spin locks: a word that holds its owner's thread while it is held, as NT's checked kernel keeps it.

use super::thread::{self, current_address};
use crate::bug::{self, code};
use core::sync::atomic::{AtomicU64, Ordering};

/// `KSPIN_LOCK`.
#[derive(Default)]
#[repr(transparent)]
pub struct SpinLock(AtomicU64);

impl SpinLock {
    /// A free lock, for the lab's own use towards the driver.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The lock at `address`.
    ///
    /// # Safety
    /// A `KSPIN_LOCK` lies there and stays as long as the lock is used.
    pub unsafe fn at(address: *const Self) -> &'static Self {
        // SAFETY: the caller promises it; the word is atomic.
        unsafe { &*address }
    }

    /// Makes it free.
    pub fn initialize(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Takes it, at `DISPATCH_LEVEL` or above.
    pub fn acquire(&self) {
        let owner = current_address() | 1;
        // Acquire: pairs with the Release in `release`.
        while let Err(held) = self
            .0
            .compare_exchange_weak(0, owner, Ordering::Acquire, Ordering::Relaxed)
        {
            if held == owner {
                bug::bugcheck(
                    code::SPIN_LOCK_ALREADY_OWNED,
                    [(&raw const *self) as u64, 0, 0, 0],
                    format_args!("the driver takes a spin lock that it already holds on this processor"),
                );
            }
            core::hint::spin_loop();
        }
        thread::current().spin_locks.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes it if it is free; whether it was.
    pub fn try_acquire(&self) -> bool {
        let owner = current_address() | 1;
        // Acquire: as in `acquire`.
        let free = (self.0)
            .compare_exchange(0, owner, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        thread::current()
            .spin_locks
            .fetch_add(free.into(), Ordering::Relaxed);
        free
    }

    /// Whether nobody has it, for the moment.
    pub fn is_free(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Gives it back.
    pub fn release(&self) {
        let owner = current_address() | 1;
        let held = self.0.load(Ordering::Relaxed);
        if held != owner {
            bug::bugcheck(
                code::SPIN_LOCK_NOT_OWNED,
                [(&raw const *self) as u64, held, 0, 0],
                format_args!("the driver releases a spin lock that this processor does not hold"),
            );
        }
        thread::current().spin_locks.fetch_sub(1, Ordering::Relaxed);
        // Release: what was written under the lock reaches its next owner.
        self.0.store(0, Ordering::Release);
    }
}
