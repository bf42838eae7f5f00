//! `DISPATCH_LEVEL`, and grace periods: a DPC on each processor, for which the waiter waits.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    marker::PhantomData,
    mem::MaybeUninit,
    ptr,
    sync::atomic::{AtomicU32, Ordering::AcqRel},
};

use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL, DispatchPlatform};

use crate::{
    Nt, processors,
    system::{
        Dpc, EXECUTIVE, Event, KERNEL_MODE, KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeEvent,
        KeInsertQueueDpc, KeLowerIrql, KeSetEvent, KeSetImportanceDpc, KeSetTargetProcessorDpcEx,
        KeWaitForSingleObject, KfRaiseIrql, MEDIUM_HIGH_IMPORTANCE, NO, NOTIFICATION_EVENT,
    },
};

/// A stretch at `DISPATCH_LEVEL`; when this is dropped the IRQL is again what it was. The last one is dropped first.
#[derive(Debug)]
#[must_use = "the IRQL is lowered at once when this is not bound"]
pub struct Raised {
    // INVARIANT: this processor, on which the thread stays, was raised from here. So it is not `Send`.
    before: u8,
    this_thread: PhantomData<*mut ()>,
}

impl Drop for Raised {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: what the raise gave, and the last one first, as the trait asks.
        unsafe { KeLowerIrql(self.before) };
    }
}

// SAFETY: 1 and 2 are what `DISPATCH_LEVEL` is, and two calls that the compiler cannot look through bound it; the system numbers its processors from 0
// to the maximum. 3: a DPC runs on its processor only when no section is under way there, and the count of those that are to run
// orders what is before and after (docs/dispatch.md).
unsafe impl DispatchPlatform for Nt {
    type Raised = Raised;

    #[inline]
    fn raise() -> Raised {
        Raised {
            // SAFETY: at or below DISPATCH_LEVEL, says the trait.
            before: unsafe { KfRaiseIrql(DISPATCH_LEVEL) },
            this_thread: PhantomData,
        }
    }

    fn grace_period(_level: &AtMostApcLevel) {
        let mut next = 0;
        // Asked anew each time: a processor may have started meanwhile, which gets the next number.
        while next < processors::active() {
            let end = processors::active().min(next + AT_ONCE);
            Round::run(next..end);
            next = end;
        }
    }
}

/// Returns when no DPC of a grace period is on its way out of its routine any more. A driver that has waited on a
/// [reference for `DISPATCH_LEVEL`](ex_rundown::DispatchRundownRef) calls it before it is unloaded.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn flush_grace_periods() {
    // SAFETY: PASSIVE_LEVEL, says the documentation.
    unsafe { KeFlushQueuedDpcs() };
}

/// The processors whose DPCs are queued before the waiter waits for them: their objects lie on its stack, which has 24 KB in all.
const AT_ONCE: u32 = 8;

/// `EVENT_INCREMENT` (`wdm.h`): how much sooner who has waited for the processors goes on than who keeps them busy.
const EVENT_INCREMENT: i32 = 1;

/// DPCs that are to run, in the frame of the waiter.
struct Round {
    /// How many have not run yet, and the waiter, until it has queued them all.
    left: AtomicU32,
    /// Set by the last one, unless that is the waiter.
    all_ran: UnsafeCell<MaybeUninit<Event>>,
}

impl Round {
    /// Queues a DPC on each of at most [`AT_ONCE`] processors, and waits until they have run.
    fn run(processors: core::ops::Range<u32>) {
        let round = Self {
            left: AtomicU32::new(1),
            all_ran: UnsafeCell::new(MaybeUninit::uninit()),
        };
        let mut dpcs = [const { MaybeUninit::<Dpc>::uninit() }; AT_ONCE as usize];
        // SAFETY: in its place, where nobody uses it yet.
        unsafe { KeInitializeEvent(round.all_ran.get().cast(), NOTIFICATION_EVENT, NO) };
        for (processor, dpc) in processors.zip(&mut dpcs) {
            let dpc = dpc.as_mut_ptr();
            // SAFETY: resident, since this frame's thread runs, or waits in kernel mode; and not queued.
            unsafe {
                KeInitializeDpc(
                    dpc,
                    Self::routine as *const c_void,
                    (&raw const round).cast_mut().cast(),
                );
            };
            // Less important, it would wait on another processor for the next clock tick or for company ("Organization of DPC
            // Queues", learn.microsoft.com).
            // SAFETY: initialised, and not queued.
            unsafe { KeSetImportanceDpc(dpc, MEDIUM_HIGH_IMPORTANCE) };
            let target = processors::number(processor).is_some_and(|mut number| {
                // SAFETY: as above; the number is read.
                (unsafe { KeSetTargetProcessorDpcEx(dpc, &raw mut number) }) >= 0
            });
            // A number that no processor has is one on which nothing runs.
            if target {
                // Release pairs with the Acquire of the routine: what follows it on its processor sees what the owner did before.
                round.left.fetch_add(1, AcqRel);
                // SAFETY: initialised, and not queued, so that it is now.
                unsafe { KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut()) };
            }
        }
        // Acquire pairs with the Release of each routine: what preceded it on its processor is before what the owner does next.
        if round.left.fetch_sub(1, AcqRel) != 1 {
            // SAFETY: initialised. Without a time-out and not alertable it ends by the event only, which the last routine sets.
            let _ = unsafe {
                KeWaitForSingleObject(
                    round.all_ran.get().cast(),
                    EXECUTIVE,
                    KERNEL_MODE,
                    NO,
                    ptr::null_mut(),
                )
            };
        }
    }

    /// # Safety
    /// Called by the kernel for a DPC of [`Round::run`], whose context is the round.
    unsafe extern "system" fn routine(
        _dpc: *mut Dpc,
        context: *mut c_void,
        _first: *mut c_void,
        _second: *mut c_void,
    ) {
        let round = context.cast::<Self>().cast_const();
        // Raw pointers: from the subtraction on, another routine may be the last, and then the round is gone.
        // SAFETY: this one is counted, so the waiter's frame is there.
        let left = unsafe { &raw const (*round).left };
        // SAFETY: as above.
        let all_ran = unsafe { &raw const (*round).all_ran };
        // AcqRel: see `run`; and who comes last hands on what the others have released.
        // SAFETY: as above.
        if unsafe { (*left).fetch_sub(1, AcqRel) } == 1 {
            // SAFETY: the waiter waits for it. Wait = FALSE: nothing follows, and the waiter may run before this returns.
            unsafe { KeSetEvent(UnsafeCell::raw_get(all_ran).cast(), EVENT_INCREMENT, NO) };
        }
    }
}
