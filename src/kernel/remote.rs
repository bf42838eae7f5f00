//! Work for another processor, at its `DISPATCH_LEVEL`: a DPC that its requester waits for.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::{ManuallyDrop, MaybeUninit},
    ptr,
};

use wdk_sys::{
    KDPC, KEVENT, PKDPC, PVOID,
    ntddk::{
        KeFlushQueuedDpcs, KeInitializeDpc, KeInitializeEvent, KeInsertQueueDpc, KeSetEvent,
        KeSetImportanceDpc, KeSetTargetProcessorDpcEx,
    },
};

use super::{
    Event, PoolArc, PoolBox, check, processors,
    wait::{self, NO},
};

/// Lets one requester at a time have a DPC on a processor. Several whose DPCs followed each other would keep it at
/// `DISPATCH_LEVEL` for as long as they go on, which the system's DPC watchdog answers with a bugcheck.
#[derive(Clone)]
pub(crate) struct Turnstile(PoolArc<Event>);

impl Turnstile {
    /// One that is free; `None` when there is no pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new() -> Option<Self> {
        let free = Event::new()?;
        free.set();
        PoolArc::new(free).map(Self)
    }
}

/// A DPC for one processor, and the event that tells of its end. One thread uses it, for one piece of work at a time.
pub(crate) struct RemoteProcessor {
    /// The processor's number over all groups.
    processor: u32,
    turnstile: Turnstile,
    parts: PoolBox<Parts>,
}

struct Parts {
    dpc: UnsafeCell<KDPC>,
    done: UnsafeCell<KEVENT>,
}

// SAFETY: only the kernel's routines touch the parts, but for the thread that has it.
unsafe impl Send for Parts {}
// SAFETY: as above.
unsafe impl Sync for Parts {}

/// What the DPC's routine finds: the work, and where its result goes.
struct Errand<'a, F, R> {
    work: ManuallyDrop<F>,
    result: MaybeUninit<R>,
    done: &'a UnsafeCell<KEVENT>,
}

impl RemoteProcessor {
    /// The processor with this number over all groups, behind the turnstile of those who ask for it; `None` when there is no
    /// pool left.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn new(processor: u32, turnstile: Turnstile) -> Option<Self> {
        let parts = PoolBox::new(Parts {
            dpc: UnsafeCell::new(KDPC::default()),
            done: UnsafeCell::new(KEVENT::default()),
        })?;
        // SAFETY: in its place, where nobody uses it yet.
        unsafe { KeInitializeEvent(parts.done.get(), wdk_sys::_EVENT_TYPE::SynchronizationEvent, NO) };
        Some(Self {
            processor,
            turnstile,
            parts,
        })
    }

    /// Runs `work` in a DPC there, and waits for its end.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn run<F: FnOnce() -> R + Send, R: Send>(&mut self, work: F) -> R {
        let mut errand = Errand {
            work: ManuallyDrop::new(work),
            result: MaybeUninit::uninit(),
            done: &self.parts.done,
        };
        self.turnstile.0.wait();
        let dpc = self.parts.dpc.get();
        // SAFETY: in resident memory, and not queued: the DPC before has run. The context lives on this stack, which the
        // wait below keeps resident and in place.
        unsafe { KeInitializeDpc(dpc, Some(routine::<F, R>), (&raw mut errand).cast()) };
        // Of the importance that KeInitializeDpc gives it, a DPC for another processor waits there for the next clock tick or for
        // company ("Organization of DPC Queues", learn.microsoft.com), and the requester with it.
        // SAFETY: initialised above, and not queued.
        unsafe { KeSetImportanceDpc(dpc, wdk_sys::_KDPC_IMPORTANCE::MediumHighImportance) };
        if let Some(mut number) = processors::number(self.processor) {
            // Should the processor have gone away, the DPC runs on this one.
            // SAFETY: initialised above; the number is read.
            let _ = unsafe { check(KeSetTargetProcessorDpcEx(dpc, &raw mut number)) };
        }
        // SAFETY: initialised above, and not queued, so that it is now.
        unsafe { KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut()) };
        // SAFETY: initialised; set by the routine as its last touch of it.
        unsafe { wait::for_object(self.parts.done.get().cast(), ptr::null_mut()) };
        self.turnstile.0.set();
        // SAFETY: the routine has written it before it set the event.
        unsafe { errand.result.assume_init() }
    }
}

impl Drop for RemoteProcessor {
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn drop(&mut self) {
        // The routine may still be on its way out of the driver's code.
        // SAFETY: PASSIVE_LEVEL, where its one owner, a thread of a run, drops it.
        unsafe { KeFlushQueuedDpcs() };
    }
}

/// # Safety
/// Called by the kernel for a DPC of [`RemoteProcessor::run`], whose context is an `Errand<F, R>`.
unsafe extern "C" fn routine<F: FnOnce() -> R + Send, R: Send>(
    _dpc: PKDPC,
    context: *mut c_void,
    _first: PVOID,
    _second: PVOID,
) {
    // SAFETY: the errand is on the stack of the requester, which waits; nobody else has it.
    let errand = unsafe { &mut *context.cast::<Errand<'_, F, R>>() };
    let done = errand.done.get();
    // SAFETY: taken once: the DPC was queued once.
    let work = unsafe { ManuallyDrop::take(&mut errand.work) };
    errand.result.write(work());
    // From here on the errand may be gone; the event is not, since its owner flushes DPCs before it frees it.
    // SAFETY: initialised. Wait = FALSE: nothing follows.
    unsafe { KeSetEvent(done, 0, NO) };
}
