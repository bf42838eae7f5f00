//! NT as the primitive's platform.

use core::ptr::{self, NonNull};

use crate::{
    pool, processors, shared_data, spin_budget,
    system::{
        EXECUTIVE, Event, KERNEL_MODE, KeBugCheckEx, KeInitializeEvent, KeSetEvent, KeWaitForSingleObject,
        NO, SYNCHRONIZATION_EVENT,
    },
};
use ex_rundown::{
    AtMostApcLevel, AtomicU32, HolderPlatform, Irql, Misuse, Platform, PoolPlatform, ProcessorPlatform, arch,
    wait_block::WaitBlock,
};

/// The bugcheck code of a detected misuse: "RDNP". Its parameters: the [`Misuse`], the word, 0, 0.
pub const RUNDOWN_PROTECTION_MISUSE: u32 = u32::from_be_bytes(*b"RDNP");

/// The NT kernel.
///
/// ```
/// use ex_rundown::{RundownRef, State};
/// use ex_rundown_nt::Nt;
///
/// static REFERENCE: RundownRef<Nt> = RundownRef::new();
/// assert_eq!(REFERENCE.state(), State::Live(0));
/// ```
#[derive(Debug)]
pub enum Nt {}

// The wait block that native code finds in the word.
const _: () = {
    assert!(size_of::<Event>() == 0x18);
    assert!(size_of::<WaitBlock<Event>>() == 0x28);
};

// SAFETY: the IRQL is CR8's; the event is a KEVENT, whose wait is in kernel mode, not alertable and without a
// time-out, and whose setter does not touch it once the waiter can run (`KeSetEvent`, Wait = FALSE).
unsafe impl Platform for Nt {
    type Event = Event;

    #[inline]
    fn current_irql() -> Irql {
        let irql: u64;
        // SAFETY: kernel mode may read CR8, which is the IRQL on x64; it changes nothing.
        unsafe { core::arch::asm!("mov {}, cr8", out(reg) irql, options(nomem, nostack, preserves_flags)) };
        #[expect(clippy::cast_possible_truncation, reason = "CR8 has four bits")]
        let irql = irql as Irql;
        irql
    }

    fn spin_cycles() -> u32 {
        spin_budget::get()
    }

    #[inline]
    fn unparked_processors() -> u16 {
        shared_data::unparked_processor_count()
    }

    #[inline]
    fn has_monitorx() -> bool {
        shared_data::has_monitorx()
    }

    #[inline]
    fn cycles_per_yield() -> u16 {
        shared_data::cycles_per_yield()
    }

    #[inline]
    fn timestamp() -> u64 {
        arch::timestamp()
    }

    #[inline]
    unsafe fn monitor(flag: &AtomicU32) {
        // SAFETY: the system says that the instruction exists, and the flag is readable.
        unsafe { arch::monitorx(flag.as_ptr()) };
    }

    #[inline]
    unsafe fn monitor_wait(cycles: u32) {
        // SAFETY: the system says that the instruction exists.
        unsafe { arch::mwaitx(cycles) };
    }

    #[inline]
    fn yield_processor() {
        core::hint::spin_loop();
    }

    unsafe fn initialize_event(event: *mut Event) {
        // SAFETY: valid for writes and in place, says the caller; not signalled.
        unsafe { KeInitializeEvent(event, SYNCHRONIZATION_EVENT, NO) };
    }

    unsafe fn set_event(event: *const Event) {
        // SAFETY: initialised and in place until the waiter runs, says the caller. Wait = FALSE: nothing follows.
        unsafe { KeSetEvent(event.cast_mut(), 0, NO) };
    }

    unsafe fn wait_for_event(event: *const Event, _level: &AtMostApcLevel) {
        // KernelMode: the stack, with the block in it, must not be paged out under the releaser.
        // SAFETY: initialised, says the caller; without a time-out and not alertable it ends by the event only.
        let _ = unsafe {
            KeWaitForSingleObject(
                event.cast_mut().cast(),
                EXECUTIVE,
                KERNEL_MODE,
                NO,
                ptr::null_mut(),
            )
        };
    }

    #[cold]
    fn misuse(misuse: Misuse, word: usize) -> ! {
        // SAFETY: any IRQL, any state: going on would corrupt memory.
        unsafe { KeBugCheckEx(RUNDOWN_PROTECTION_MISUSE, misuse as usize, word, 0, 0) }
    }
}

/// What slots of a cache-aware reference are kept apart by: the line of every x64 processor.
const CACHE_LINE: usize = 64;

// SAFETY: a constant power of two; the maximum number of processors is fixed when the system starts.
unsafe impl ProcessorPlatform for Nt {
    #[inline]
    fn processor_number() -> u32 {
        processors::current()
    }

    fn processor_count() -> u32 {
        processors::most()
    }

    fn cache_line() -> usize {
        CACHE_LINE
    }
}

// SAFETY: nonpaged pool, aligned to cache lines.
unsafe impl PoolPlatform for Nt {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        pool::allocate(bytes.div_ceil(size_of::<usize>()))
    }

    unsafe fn free(memory: NonNull<usize>, _bytes: usize) {
        // SAFETY: from `allocate`, says the caller, and not used any more.
        unsafe { pool::free(memory) };
    }
}

impl HolderPlatform for Nt {
    /// `KPCR.Prcb.CurrentThread`, as the WDK's `KeGetCurrentThread` has it in line.
    #[inline]
    fn current_thread() -> usize {
        let thread: usize;
        // SAFETY: in the kernel GS is the processor's control region, and this field is where wdm.h reads it.
        unsafe {
            core::arch::asm!("mov {}, gs:[0x188]", out(reg) thread, options(nostack, preserves_flags, readonly));
        };
        thread
    }
}
