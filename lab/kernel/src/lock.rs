//! The kernel's own lock: a spin lock that is held with interrupts disabled, so any handler but NMI's may take it.
//!
//! Lock order: dispatcher, then DPC queues, then memory (pool, page tables, frames, heap), then the log.

use crate::hal::{cpu, nmi};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A value behind a spin lock that disables interrupts on this processor while it is held.
pub struct IrqLock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `held` admits one guard at a time, but for one on a processor that stands still for good; the guard is the only way to the value.
unsafe impl<T: Send> Sync for IrqLock<T> {}

impl<T> IrqLock<T> {
    /// A lock around `value`, free.
    pub const fn new(value: T) -> Self {
        Self {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock, spinning with interrupts disabled. On a machine that this processor has frozen nobody ever gives it back, and a report
    /// must go on: it is taken all the same.
    pub fn lock(&self) -> IrqGuard<'_, T> {
        let interrupts = cpu::disable_interrupts();
        // Acquire: pairs with the Release in `release`.
        while self
            .held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            while self.held.load(Ordering::Relaxed) && !nmi::frozen_here() {
                core::hint::spin_loop();
            }
            if nmi::frozen_here() {
                break;
            }
        }
        IrqGuard {
            lock: self,
            interrupts,
        }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<IrqGuard<'_, T>> {
        let interrupts = cpu::disable_interrupts();
        // Acquire: as in `lock`.
        if self
            .held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            Some(IrqGuard {
                lock: self,
                interrupts,
            })
        } else {
            cpu::restore_interrupts(interrupts);
            None
        }
    }

    /// Frees a lock whose guard was forgotten: the dispatcher's, which one thread takes and the next one frees.
    ///
    /// # Safety
    /// This processor holds the lock, and no guard of it will be used or dropped.
    pub unsafe fn release(&self) {
        // Release: publishes the value to the next holder's Acquire.
        self.held.store(false, Ordering::Release);
    }
}

/// The right to use an [`IrqLock`]'s value; dropping it frees the lock and restores the interrupt flag.
#[must_use = "the lock is free again once the guard is dropped"]
#[clippy::has_significant_drop]
pub struct IrqGuard<'a, T> {
    lock: &'a IrqLock<T>,
    interrupts: bool,
}

impl<T> IrqGuard<'_, T> {
    /// Whether interrupts were enabled when the lock was taken.
    pub fn interrupts(&self) -> bool {
        self.interrupts
    }
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard holds the lock, so nobody else has a reference to the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this guard holds the lock, on this processor, since interrupts are disabled; it ends here.
        unsafe { self.lock.release() };
        cpu::restore_interrupts(self.interrupts);
    }
}
