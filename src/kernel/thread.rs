//! System threads that are joined on their thread object: after that, none of their code runs any more.

use core::{
    mem, ptr,
    sync::atomic::{AtomicUsize, Ordering::Acquire},
};

use ex_rundown::{APC_LEVEL, AtMostApcLevel, DISPATCH_LEVEL, arch};
use rundown_stress::Thread;
use wdk_sys::{
    HANDLE, LARGE_INTEGER, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, PVOID, STATUS_SUCCESS, STATUS_TIMEOUT,
    THREAD_ALL_ACCESS,
    ntddk::{
        KeDelayExecutionThread, KeLowerIrql, KeSetPriorityThread, KeSetSystemGroupAffinityThread,
        KfRaiseIrql, ObReferenceObjectByHandle, ObfDereferenceObject, PsCreateSystemThread,
        PsTerminateSystemThread, ZwClose,
    },
};

use super::{
    PoolBox, RemoteProcessor, check, clock, processors, size_of_u32,
    wait::{self, KERNEL_MODE, NO},
};

/// The first priority that does not decay (`LOW_REALTIME_PRIORITY`, `wdm.h`).
const LOW_REALTIME_PRIORITY: i32 = 16;

/// What a thread does. The thread owns it, and drops it when it is done.
pub(crate) trait Body: Send {
    /// Runs on the thread.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    fn run(&self, thread: &mut CurrentThread);
}

/// A system thread. Dropping this waits for its end.
pub(crate) struct SystemThread {
    // INVARIANT: a referenced thread object.
    object: PVOID,
}

impl SystemThread {
    /// Starts a thread; `None` when the system cannot make one.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn start<B: Body>(body: B) -> Option<Self> {
        let body = PoolBox::new(body)?.into_raw();
        let mut attributes = OBJECT_ATTRIBUTES {
            Length: size_of_u32::<OBJECT_ATTRIBUTES>(),
            // Not a handle of the process that the request happens to come from.
            Attributes: OBJ_KERNEL_HANDLE,
            ..OBJECT_ATTRIBUTES::default()
        };
        let mut handle: HANDLE = ptr::null_mut();
        // SAFETY: attributes and handle are valid during the call; `main` takes the body over.
        let status = unsafe {
            PsCreateSystemThread(
                &raw mut handle,
                THREAD_ALL_ACCESS,
                &raw mut attributes,
                ptr::null_mut(),
                ptr::null_mut(),
                Some(main::<B>),
                body.as_ptr().cast(),
            )
        };
        if check(status).is_err() {
            // SAFETY: no thread took it over.
            drop(unsafe { PoolBox::from_raw(body) });
            return None;
        }
        let mut object: PVOID = ptr::null_mut();
        // SAFETY: the handle is open, and no access is checked in kernel mode; a null type is not checked either.
        let status = unsafe {
            ObReferenceObjectByHandle(
                handle,
                THREAD_ALL_ACCESS,
                ptr::null_mut(),
                KERNEL_MODE,
                &raw mut object,
                ptr::null_mut(),
            )
        };
        // The handle was opened a moment ago, with the access that is asked for here.
        assert!(
            check(status).is_ok(),
            "the thread object of an open handle could not be referenced"
        );
        // SAFETY: open, and closed once.
        let _ = unsafe { ZwClose(handle) };
        Some(Self { object })
    }

    /// Whether the thread has not ended yet.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn is_running(&self) -> bool {
        let mut at_once = LARGE_INTEGER::default();
        self.wait(&raw mut at_once) == STATUS_TIMEOUT
    }

    /// Waits until the thread has ended.
    ///
    /// # IRQL
    /// `PASSIVE_LEVEL`.
    pub(crate) fn join(&self) {
        let _ = self.wait(ptr::null_mut());
    }

    /// Lets the thread run before every ordinary one.
    ///
    /// # IRQL
    /// `<= DISPATCH_LEVEL`.
    pub(crate) fn raise_priority(&self) {
        // SAFETY: by the invariant. The previous priority is of no use.
        let _ = unsafe { KeSetPriorityThread(self.object.cast(), LOW_REALTIME_PRIORITY) };
    }

    fn wait(&self, timeout: *mut LARGE_INTEGER) -> i32 {
        // SAFETY: by the invariant; the callers' time-outs are null or valid.
        unsafe { wait::for_object(self.object, timeout) }
    }
}

impl Drop for SystemThread {
    /// # IRQL
    /// `PASSIVE_LEVEL`: it waits.
    fn drop(&mut self) {
        self.join();
        // SAFETY: by the invariant, and given back once.
        unsafe { ObfDereferenceObject(self.object) };
    }
}

/// # Safety
/// Called by the kernel on a new thread; `body` is a `PoolBox<B>` that is this thread's.
unsafe extern "C" fn main<B: Body>(body: PVOID) {
    let body = ptr::NonNull::new(body.cast::<B>());
    // SAFETY: the caller's promise; `start` gave it away.
    let body = body.map(|body| unsafe { PoolBox::from_raw(body) });
    if let Some(body) = body {
        // SAFETY: a system thread begins at PASSIVE_LEVEL, and only `CurrentThread` raises it.
        let level = unsafe { AtMostApcLevel::assume() };
        body.run(&mut CurrentThread { level, remote: None });
    }
    // SAFETY: this is a system thread, and owns nothing any more.
    let _ = unsafe { PsTerminateSystemThread(STATUS_SUCCESS) };
}

/// The thread that runs, as it sees itself.
pub(crate) struct CurrentThread {
    level: AtMostApcLevel,
    remote: Option<RemoteProcessor>,
}

impl CurrentThread {
    /// Gives the thread what it does work on other processors with.
    pub(crate) fn attach(&mut self, remote: Option<RemoteProcessor>) {
        self.remote = remote;
    }

    /// Keeps the calling thread on the processor with this index, over all groups, until it ends.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    pub(crate) fn stay_on(processor: u32) {
        let Some(mut affinity) = processors::affinity(processor) else {
            // The processor went away; the thread runs where it may.
            return;
        };
        // SAFETY: an affinity of one active processor; the previous one is not asked for, since the thread keeps
        // this to its end.
        unsafe { KeSetSystemGroupAffinityThread(&raw mut affinity, ptr::null_mut()) };
    }
}

/// Lets other threads run.
///
/// # IRQL
/// `<= APC_LEVEL`.
pub(crate) fn yield_thread() {
    // ZwYieldExecution is exported, but the WDK does not declare it.
    let mut no_time = LARGE_INTEGER { QuadPart: 0 };
    // SAFETY: the interval is read. Not alertable; a delay of no time ends at once.
    let _ = unsafe { KeDelayExecutionThread(KERNEL_MODE, NO, &raw mut no_time) };
}

/// How far below an address in a thread's first frames its stack surely reaches: an x64 kernel stack has 24 KB.
const STACK: usize = 16 << 10;

/// The word at `address`, if that lies in the stack whose `frame` is given, below the frame; zero otherwise.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// `frame` is zero or an address in one of the first frames of a system thread that does not return to it meanwhile.
pub(crate) unsafe fn stack_word(frame: usize, address: usize) -> u64 {
    let below = frame.wrapping_sub(address);
    if frame == 0
        || !address.is_multiple_of(size_of::<usize>())
        || !(size_of::<usize>()..=STACK).contains(&below)
    {
        return 0;
    }
    let word = ptr::with_exposed_provenance_mut(address);
    // Acquire pairs with the releasers' subtractions.
    // SAFETY: aligned, and in a stack that is resident and stays, says the caller; the other side works on the count by
    // locked instructions.
    unsafe { AtomicUsize::from_ptr(word) }.load(Acquire) as u64
}

/// Raises the IRQL for as long as it lives, and borrows the proof that it was at most `APC_LEVEL`.
struct Raised<'a> {
    old: u8,
    _level: &'a mut AtMostApcLevel,
}

impl<'a> Raised<'a> {
    fn to_dispatch_level(level: &'a mut AtMostApcLevel) -> Self {
        // SAFETY: below DISPATCH_LEVEL, as the proof says.
        let old = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
        Self { old, _level: level }
    }

    fn to_apc_level(level: &'a mut AtMostApcLevel) -> Self {
        // SAFETY: at most APC_LEVEL, as the proof says.
        let old = unsafe { KfRaiseIrql(APC_LEVEL) };
        Self { old, _level: level }
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        // SAFETY: the level that this processor was at when it was raised.
        unsafe { KeLowerIrql(self.old) };
    }
}

impl Thread for CurrentThread {
    #[inline]
    fn cycles() -> u64 {
        arch::timestamp()
    }

    fn nanoseconds() -> u64 {
        clock::nanoseconds()
    }

    #[inline]
    fn pause() {
        core::hint::spin_loop();
    }

    fn give_way() {
        yield_thread();
    }

    #[inline]
    fn at_dispatch_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let raised = Raised::to_dispatch_level(&mut self.level);
        let result = body();
        mem::drop(raised);
        result
    }

    fn at_apc_level<R>(&mut self, body: impl FnOnce() -> R) -> R {
        let raised = Raised::to_apc_level(&mut self.level);
        let result = body();
        mem::drop(raised);
        result
    }

    fn in_dpc<R: Send>(&mut self, body: impl FnOnce() -> R + Send) -> R {
        match &mut self.remote {
            Some(remote) => remote.run(body),
            // Nobody attached one: the level is right, the processor is this one.
            None => self.at_dispatch_level(body),
        }
    }
}
