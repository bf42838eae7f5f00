//! The seam between the primitive and the system that it runs on.

use core::ptr::NonNull;

use crate::{AtMostApcLevel, AtomicU32, Irql, Misuse};

/// What the primitive needs from a system: the NT kernel in a driver, threads in a test.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::{PASSIVE_LEVEL, Platform};
/// use rundown_std::Std;
///
/// assert_eq!(Std::current_irql(), PASSIVE_LEVEL);
/// ```
///
/// # Safety
///
/// An implementation upholds what each function promises. In particular [`Platform::current_irql`] must not claim
/// a level below the real one, [`Platform::wait_for_event`] must not return before
/// [`Platform::set_event`] was called on the same event, and `set_event` must not touch the event from the moment
/// in which the waiter can run: the event lies in a stack frame that is gone then.
///
/// [`Platform::misuse`] may unwind, and no other function may. While a wait block is published (from the moment in which run-down
/// begins with references out until the wait returns) nothing can unwind past it without leaving its address behind: there the
/// waiter aborts the program instead, also when it is `misuse` that unwinds.
pub unsafe trait Platform: 'static {
    /// A synchronization event: `KEVENT` in NT. It may be moved before it is initialised, and never after.
    type Event;

    /// The IRQL of this processor.
    ///
    /// # IRQL
    /// Any.
    fn current_irql() -> Irql;

    /// How long a wait below `DISPATCH_LEVEL` spins before it sleeps, in cycles of [`Platform::timestamp`].
    /// NT's `ExpSpinCycleCount`: 10240 with more than one processor, else 0.
    fn spin_cycles() -> u32;

    /// `KUSER_SHARED_DATA.UnparkedProcessorCount`: with at most one, spinning is pointless.
    fn unparked_processors() -> u16;

    /// `KUSER_SHARED_DATA.ProcessorFeatures[PF_MONITORX_INSTRUCTION_AVAILABLE]`: use [`Platform::monitor`] and
    /// [`Platform::monitor_wait`].
    fn has_monitorx() -> bool;

    /// `KUSER_SHARED_DATA.CyclesPerYield`: what one [`Platform::yield_processor`] costs in cycles.
    fn cycles_per_yield() -> u16;

    /// The time stamp counter.
    fn timestamp() -> u64;

    /// Arms the monitor on the line of `flag` (`MONITORX`).
    ///
    /// # Safety
    /// [`Platform::has_monitorx`] is true.
    unsafe fn monitor(flag: &AtomicU32);

    /// Waits until the monitored line is written, `cycles` have passed, or for no reason (`MWAITX` with its
    /// timer).
    ///
    /// # Safety
    /// [`Platform::has_monitorx`] is true.
    unsafe fn monitor_wait(cycles: u32);

    /// Tells the processor that this is a spin loop (`PAUSE`).
    fn yield_processor();

    /// Initialises a synchronization event that is not signalled.
    ///
    /// # IRQL
    /// `<= APC_LEVEL` as the caller is.
    ///
    /// # Safety
    /// `event` is valid for writes, properly aligned, and stays where it is until it is dropped.
    unsafe fn initialize_event(event: *mut Self::Event);

    /// Signals the event, once in its life.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// The event is initialised and [`Platform::wait_for_event`] is or will be called on it; it may cease to
    /// exist as soon as the waiter can run.
    unsafe fn set_event(event: *const Self::Event);

    /// Blocks until the event is signalled. The wait neither ends early nor lets the stack be paged out
    /// (`Executive`, `KernelMode`, not alertable, no time-out).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`, as `level` proves.
    ///
    /// # Safety
    /// The event is initialised, and this is the only wait on it.
    unsafe fn wait_for_event(event: *const Self::Event, level: &AtMostApcLevel);

    /// Ends the system, or the test: the caller broke the contract.
    ///
    /// It does not return, and may unwind. Under [`Strict`](crate::Strict) the word is as it was found; but what follows is
    /// about a reference whose rules were broken, and only memory safety is promised for it.
    ///
    /// # IRQL
    /// Any.
    fn misuse(misuse: Misuse, word: usize) -> !;
}

/// What the [cache-aware reference](crate::CacheAwareRundownRef) needs besides.
///
/// # Safety
///
/// [`ProcessorPlatform::cache_line`] is a power of two, at least a pointer's size, and like
/// [`ProcessorPlatform::processor_count`] the same at each call.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::ProcessorPlatform;
/// use rundown_std::Std;
///
/// assert!(Std::processor_count() >= 1);
/// ```
pub unsafe trait ProcessorPlatform: Platform {
    /// The number of the processor that this runs on (`KeGetCurrentProcessorNumberEx`). It may be another one by
    /// the time that the caller looks at it, and any number is allowed: it is reduced to the slots that there are.
    ///
    /// # IRQL
    /// Any.
    fn processor_number() -> u32;

    /// How many processors there can be (`KeQueryMaximumProcessorCountEx(ALL_PROCESSOR_GROUPS)`).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn processor_count() -> u32;

    /// The bytes that two processors can write without disturbing each other: the largest cache line
    /// (`KeGetRecommendedSharedDataAlignment`).
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    fn cache_line() -> usize;
}

/// What an [allocated](crate::AllocatedCacheAwareRundownRef) cache-aware reference needs besides.
///
/// # Safety
///
/// Memory from [`PoolPlatform::allocate`] is resident, is aligned as its type says, and belongs to the caller until
/// [`PoolPlatform::free`].
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::PoolPlatform;
/// use rundown_std::Std;
///
/// let memory = Std::allocate(64).expect("64 bytes");
/// // SAFETY: from `allocate`, with the same size, once.
/// unsafe { Std::free(memory, 64) };
/// ```
pub unsafe trait PoolPlatform: ProcessorPlatform {
    /// `bytes` of non-paged pool; `None` when there is none.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    fn allocate(bytes: usize) -> Option<NonNull<usize>>;

    /// Returns memory from [`PoolPlatform::allocate`] to the pool.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    ///
    /// # Safety
    /// `memory` came from `allocate` with the same `bytes` and is not used any more.
    unsafe fn free(memory: NonNull<usize>, bytes: usize);
}

/// What a protection that [records its holders](crate::Tracked) needs besides.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// use ex_rundown::HolderPlatform;
/// use rundown_std::Std;
///
/// assert_ne!(Std::current_thread(), 0);
/// ```
pub trait HolderPlatform: Platform {
    /// The thread that this runs on: the address of its `KTHREAD` (`KeGetCurrentThread`), and never 0.
    ///
    /// # IRQL
    /// Any.
    fn current_thread() -> usize;
}
