//! What proves that a caller is at `DISPATCH_LEVEL`, and what the system does with that.

use core::marker::PhantomData;

use crate::{AtMostApcLevel, DISPATCH_LEVEL, PoolPlatform};

/// What the [reference for `DISPATCH_LEVEL`](crate::DispatchRundownRef) needs besides.
///
/// A *section* is a stretch of code at `DISPATCH_LEVEL` for which there is an [`AtDispatchLevel`]: from where the IRQL was raised, or
/// a DPC began, to where it is lowered, or the DPC returns.
///
/// # Safety
///
/// 1. Sections on one processor follow each other, and each happens before the next: at `DISPATCH_LEVEL` a thread is neither preempted
///    nor moved, and a DPC interrupts no other code at that level. [`raise`](Self::raise) keeps what follows from being moved before it, and the
///    drop of what it gives keeps what precedes from being moved behind it.
/// 2. In a section [`processor_number`](crate::ProcessorPlatform::processor_number) says the same at each call, no two processors have the same number,
///    and it is below [`processor_count`](crate::ProcessorPlatform::processor_count).
/// 3. For each section, on whichever processor, and each call of [`grace_period`](Self::grace_period): the section happens before the call
///    returns, or the call happens before the section begins. That includes sections on processors that start while it goes on.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{DISPATCH_LEVEL, DispatchPlatform, Platform};
/// use rundown_std::Std;
///
/// let raised = Std::raise();
/// assert_eq!(Std::current_irql(), DISPATCH_LEVEL);
/// drop(raised);
/// assert!(Std::current_irql() < DISPATCH_LEVEL);
/// ```
pub unsafe trait DispatchPlatform: PoolPlatform {
    /// What [`raise`](Self::raise) did: its drop undoes it.
    type Raised;

    /// Raises the IRQL to `DISPATCH_LEVEL` (`KeRaiseIrql`), until what it gives is dropped (`KeLowerIrql`): the last one first.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn raise() -> Self::Raised;

    /// The number of the processor that this is kept on, as [`processor_number`](crate::ProcessorPlatform::processor_number) has it.
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`.
    #[inline]
    fn processor(_raised: &Self::Raised) -> u32 {
        Self::processor_number()
    }

    /// Whether the IRQL is `DISPATCH_LEVEL`, and not above: code above may have interrupted a section.
    ///
    /// # IRQL
    /// Any.
    #[inline]
    #[must_use]
    fn is_at_dispatch_level() -> bool {
        Self::current_irql() == DISPATCH_LEVEL
    }

    /// Returns when every section that was under way on another processor has ended, as 3 says more exactly.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as `level` proves.
    fn grace_period(level: &AtMostApcLevel);
}

/// Says that this code is at `DISPATCH_LEVEL`, and on which processor. While it lives the thread is neither preempted nor moved.
///
/// It cannot be sent to another thread, nor outlive what it was made in. Unlike [`AtMostApcLevel`] it is more than a reminder: an
/// operation that relies on it without reason loses a count, and then memory is freed that is in use. That nothing lowers
/// the IRQL while it lives is something that no type can see, since a spin lock's guard may be dropped anywhere; so each way to make one
/// is unsafe, with that promise. It is kept by code that lowers what it has raised itself, and nothing else.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{AtDispatchLevel, DispatchRundownRef};
/// # type Nt = rundown_std::Std;
/// let reference = DispatchRundownRef::<Nt>::new()?;
/// // SAFETY: nothing in here lowers the IRQL.
/// let granted = unsafe { AtDispatchLevel::raise(|level| reference.try_acquire(level).is_some()) };
/// assert!(granted);
/// # Ok::<(), ex_rundown::MemoryError>(())
/// ```
#[derive(Debug)]
pub struct AtDispatchLevel<P> {
    processor: u32,
    this_thread: PhantomData<*mut P>,
}

impl<P: DispatchPlatform> AtDispatchLevel<P> {
    const fn on(processor: u32) -> Self {
        Self {
            processor,
            this_thread: PhantomData,
        }
    }

    /// Raises the IRQL, runs `body`, and lowers the IRQL again.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// `body` returns at the IRQL that it was called at, and was not below it meanwhile.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// // See the type.
    /// # use ex_rundown::AtDispatchLevel;
    /// # type Nt = rundown_std::Std;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// assert_eq!(unsafe { AtDispatchLevel::<Nt>::raise(|_level| 42) }, 42);
    /// ```
    #[inline]
    pub unsafe fn raise<R>(body: impl FnOnce(&Self) -> R) -> R {
        let raised = P::raise();
        body(&Self::on(P::processor(&raised)))
    }

    /// Reads the IRQL, and runs `body` if it is `DISPATCH_LEVEL`; else `None`.
    ///
    /// # IRQL
    /// Any.
    ///
    /// # Safety
    /// `body` returns at the IRQL that it was called at, and was not below it meanwhile.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::AtDispatchLevel;
    /// # type Nt = rundown_std::Std;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// assert_eq!(unsafe { AtDispatchLevel::<Nt>::check(|_level| 42) }, None);
    /// ```
    #[inline]
    pub unsafe fn check<R>(body: impl FnOnce(&Self) -> R) -> Option<R> {
        P::is_at_dispatch_level().then(|| body(&Self::on(P::processor_number())))
    }

    /// Takes the caller's word for it, as a DPC's routine can give it, or code that has taken a spin lock. (A *threaded* DPC's cannot: it
    /// may run at `PASSIVE_LEVEL`.)
    ///
    /// # IRQL
    /// `DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The IRQL is `DISPATCH_LEVEL` now, and not below as long as this lives; and this code is no part of an interrupt's service that has
    /// interrupted `DISPATCH_LEVEL`.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{AtDispatchLevel, DispatchPlatform, DispatchRundownRef};
    /// # type Nt = rundown_std::Std;
    /// # let reference = DispatchRundownRef::<Nt>::new()?;
    /// # let raised = Nt::raise();
    /// // SAFETY: this is a DPC's routine, and ends before that returns.
    /// let level = unsafe { AtDispatchLevel::<Nt>::assume() };
    /// assert!(reference.try_acquire(&level).is_some());
    /// # Ok::<(), ex_rundown::MemoryError>(())
    /// ```
    #[inline]
    #[must_use]
    pub unsafe fn assume() -> Self {
        Self::on(P::processor_number())
    }

    /// The number of the processor, over all groups.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{AtDispatchLevel, ProcessorPlatform};
    /// # type Nt = rundown_std::Std;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// let processor = unsafe { AtDispatchLevel::<Nt>::raise(|level| level.processor()) };
    /// assert!(processor < Nt::processor_count());
    /// ```
    #[inline]
    #[must_use]
    pub const fn processor(&self) -> u32 {
        self.processor
    }

    /// Reads the IRQL again, in debug builds.
    ///
    /// # IRQL
    /// `>= DISPATCH_LEVEL`.
    ///
    /// # Panics
    /// In debug builds, when the IRQL was lowered since this was made.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::AtDispatchLevel;
    /// # type Nt = rundown_std::Std;
    /// // SAFETY: nothing in here lowers the IRQL.
    /// unsafe { AtDispatchLevel::<Nt>::raise(|level| level.debug_check()) };
    /// ```
    #[inline]
    pub fn debug_check(&self) {
        debug_assert!(
            P::current_irql() >= DISPATCH_LEVEL,
            "the IRQL was lowered since it was checked"
        );
    }
}
