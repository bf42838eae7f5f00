//! Threads and their stacks.

use super::held::Held;
use super::object::{Header, Kind, Mutant};
use crate::export::Export;
use crate::hal::pcr::Pcr;
use crate::hal::{cpu, pcr};
use crate::lock::IrqLock;
use crate::mm::paging::{self, Protection};
use crate::mm::{self, PAGE, region::Region};
use crate::trace;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// Size of a kernel stack, as on x64 Windows, bytes.
pub const STACK_SIZE: u64 = 24 * 1024;
/// What lies above a thread's first frame: the export shim copies stack arguments from there.
const HEADROOM: u64 = 256;
/// Priority of an ordinary thread.
pub const NORMAL_PRIORITY: u8 = 8;
/// The lowest of the priorities that are never boosted (`LOW_REALTIME_PRIORITY`, wdm.h).
const REAL_TIME_PRIORITY: u8 = 16;
/// The highest priority.
pub const HIGH_PRIORITY: u8 = 31;
/// How deep exports may nest in callbacks before the innermost are no longer named.
const MAX_NESTING: usize = 16;

static STACKS: Region = Region::new(mm::STACKS);

/// A kernel stack with an unmapped page below and above.
pub struct Stack(u64);

impl Stack {
    /// A fresh stack; `None` when memory is short.
    pub fn new() -> Option<Self> {
        let pages = STACK_SIZE / PAGE;
        let base = STACKS.take(pages);
        if paging::map(base, pages, Protection::ReadWrite) {
            Some(Self(base))
        } else {
            STACKS.put(base, pages);
            None
        }
    }

    /// Its lowest address.
    pub fn base(&self) -> u64 {
        self.0
    }

    /// The first address above it.
    pub fn top(&self) -> u64 {
        self.0 + STACK_SIZE
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        paging::unmap(self.0, STACK_SIZE / PAGE);
        STACKS.put(self.0, STACK_SIZE / PAGE);
    }
}

/// Whether `address` lies on some thread's stack, or did: stacks have a region of their own.
pub fn is_stack(address: u64) -> bool {
    (mm::STACKS..mm::POOL).contains(&address)
}

/// Who made a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The lab.
    Kernel,
    /// The driver, by `PsCreateSystemThread`.
    Driver,
}

/// What a thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it")]
pub enum State {
    Ready = 0,
    Running = 1,
    Waiting = 2,
    Dead = 3,
}

/// A thread. The address is what the driver knows as `PKTHREAD`; it is waitable through its header.
#[repr(C)]
pub struct Thread {
    /// The dispatcher header: signalled once the thread has ended.
    pub header: Header,
    /// Its number, which is also its thread ID divided by four.
    pub id: u32,
    /// Who made it.
    pub origin: Origin,
    /// What it is for.
    pub name: &'static str,
    stack: Option<Stack>,
    rsp: UnsafeCell<u64>,
    vectors: UnsafeCell<cpu::FxArea>,
    start: IrqLock<Option<Box<dyn FnOnce() + Send>>>,
    /// 0 to 31; guarded by the dispatcher lock, as is all that the scheduler uses. Not below `base_priority`.
    pub priority: AtomicU8,
    /// What the priority falls back to after a boost, one at the end of each quantum.
    base_priority: AtomicU8,
    /// Processors that it may run on.
    pub affinity: AtomicU64,
    /// Processor that it ran on last.
    pub processor: AtomicU32,
    state: AtomicU8,
    /// How its last wait ended, an NTSTATUS.
    pub wait_status: AtomicI32,
    /// How it ended.
    pub exit_status: AtomicI32,
    /// Instructions still to be stepped through (`step`).
    pub burst: AtomicU32,
    /// The line that its emulated MONITORX watches, and what was in it.
    pub monitor: AtomicU64,
    /// The double word at `monitor` when it was armed.
    pub monitored: AtomicU32,
    /// Whether its last emulated instruction was MWAITX.
    pub waited: AtomicBool,
    /// What a wait of NT's code has asked, bits of `ex::native::Question`.
    pub asked: AtomicU32,
    /// Critical regions that it is in; below 0 if it left more than it entered.
    pub regions: AtomicI32,
    /// Guarded regions, likewise.
    pub guarded_regions: AtomicI32,
    /// Resources that it owns, and the one that it acquired last.
    pub resources: (AtomicU32, AtomicU64),
    /// Mutexes that it owns, and the one that it took last; under the dispatcher lock.
    pub mutexes: (AtomicU32, AtomicU64),
    /// One more than the IRQL that its promised wait goes back to ([`Self::promise_wait`]); 0 without one.
    promised: AtomicU8,
    /// Driver spin locks held by it, or by a DPC above it.
    pub spin_locks: AtomicU32,
    /// Those of them that lie in the driver's own memory, for the check of their order.
    pub held: Held,
    /// Exports that it is inside, outermost first.
    exports: [AtomicPtr<Export>; MAX_NESTING],
    callers: [AtomicU64; MAX_NESTING],
    /// Where the home areas of their arguments are, on the driver's stack.
    arguments: [AtomicU64; MAX_NESTING],
    depth: AtomicU32,
}

// SAFETY: `rsp` and `vectors` are only used by a context switch, under the dispatcher lock; all else is atomic or locked.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
static THREADS: IrqLock<Vec<Arc<Thread>>> = IrqLock::new(Vec::new());

impl Thread {
    /// A thread that has not been started, on its stack and with the function that it begins in; without them it is to adopt
    /// the present stack.
    pub(super) fn new(
        name: &'static str,
        origin: Origin,
        begin: Option<(Stack, extern "C" fn() -> !)>,
        start: Option<Box<dyn FnOnce() + Send>>,
    ) -> Arc<Self> {
        let (stack, first) = begin.unzip();
        let thread = Arc::new(Self {
            header: Header::new(Kind::Thread),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            origin,
            name,
            stack,
            rsp: UnsafeCell::new(0),
            vectors: UnsafeCell::new(cpu::FxArea::initial()),
            start: IrqLock::new(start),
            priority: AtomicU8::new(NORMAL_PRIORITY),
            base_priority: AtomicU8::new(NORMAL_PRIORITY),
            affinity: AtomicU64::new(u64::MAX),
            processor: AtomicU32::new(0),
            state: AtomicU8::new(State::Ready as u8),
            wait_status: AtomicI32::new(0),
            exit_status: AtomicI32::new(0),
            burst: AtomicU32::new(0),
            monitor: AtomicU64::new(0),
            monitored: AtomicU32::new(0),
            waited: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            regions: AtomicI32::new(0),
            guarded_regions: AtomicI32::new(0),
            resources: (AtomicU32::new(0), AtomicU64::new(0)),
            mutexes: (AtomicU32::new(0), AtomicU64::new(0)),
            promised: AtomicU8::new(0),
            spin_locks: AtomicU32::new(0),
            held: Held::default(),
            exports: [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_NESTING],
            callers: [const { AtomicU64::new(0) }; MAX_NESTING],
            arguments: [const { AtomicU64::new(0) }; MAX_NESTING],
            depth: AtomicU32::new(0),
        });
        thread.header.initialize(Kind::Thread, 6, 0);
        if let (Some(stack), Some(first)) = (&thread.stack, first) {
            let rsp = first_frame(stack, first);
            // SAFETY: nobody else knows the thread yet.
            unsafe { thread.rsp.get().write(rsp) };
        }
        THREADS.lock().push(thread.clone());
        let by_driver = u64::from(origin == Origin::Driver) << 32;
        trace::note(
            trace::Kind::Thread,
            [
                thread.address(),
                u64::from(thread.id) | by_driver,
                trace::name(name),
            ],
        );
        thread
    }

    /// Its address: the driver's `PKTHREAD`.
    pub fn address(&self) -> u64 {
        self.header.address()
    }

    /// Its stack's lowest address and the first one above; nothing for an idle thread, which runs on boot's.
    pub fn stack(&self) -> Option<(u64, u64)> {
        self.stack.as_ref().map(|stack| (stack.base(), stack.top()))
    }

    /// RSP when it was last switched away from.
    pub fn saved_rsp(&self) -> u64 {
        // SAFETY: a word that a switch writes whole; a report may read it one switch late.
        unsafe { self.rsp.get().read_volatile() }
    }

    /// What it is at.
    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            0 => State::Ready,
            1 => State::Running,
            2 => State::Waiting,
            _ => State::Dead,
        }
    }

    /// What it is given to run, once.
    pub(super) fn take_start(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.start.lock().take()
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// It has got a mutex, whose owner takes no normal kernel APC as a rule. Under the dispatcher lock, here and below.
    pub(super) fn acquired(&self, mutex: &Mutant) {
        self.mutexes.0.fetch_add(1, Ordering::Relaxed);
        self.mutexes.1.store(mutex.header.address(), Ordering::Relaxed);
        self.regions.fetch_add(mutex.apc_disable(), Ordering::Relaxed);
    }

    /// It has given the mutex back.
    pub(super) fn released(&self, mutex: &Mutant) {
        self.mutexes.0.fetch_sub(1, Ordering::Relaxed);
        self.regions.fetch_sub(mutex.apc_disable(), Ordering::Relaxed);
    }

    /// Has it go on more urgently after a wait, by the increment that the object was signalled with, up to the highest priority that is
    /// no real-time one (Microsoft Learn, "Priority Boosts"). Under the dispatcher lock.
    pub(super) fn boost(&self, increment: u8) {
        let base = self.base_priority.load(Ordering::Relaxed);
        if base < REAL_TIME_PRIORITY {
            let boosted = base.saturating_add(increment).min(REAL_TIME_PRIORITY - 1);
            self.priority.fetch_max(boosted, Ordering::Relaxed);
        }
    }

    /// Gives it another priority, without a boost; the one before. Under the dispatcher lock, and in no queue.
    pub fn set_priority(&self, priority: u8) -> u8 {
        self.base_priority.store(priority, Ordering::Relaxed);
        self.priority.swap(priority, Ordering::Relaxed)
    }

    /// Takes one off a boost: its quantum is over. For the running thread, which is in no queue; under the dispatcher lock.
    pub(crate) fn decay(&self) {
        let priority = self.priority.load(Ordering::Relaxed);
        if priority > self.base_priority.load(Ordering::Relaxed) {
            self.priority.store(priority - 1, Ordering::Relaxed);
        }
    }

    /// Notes that a wait follows at once, which goes back to `irql`: what `KeSetEvent` and its like are told by `Wait`.
    pub fn promise_wait(&self, irql: u8) {
        // Relaxed: only the thread itself looks, here and below.
        self.promised.store(irql + 1, Ordering::Relaxed);
    }

    /// Whether it has promised a wait.
    pub fn has_promised_wait(&self) -> bool {
        self.promised.load(Ordering::Relaxed) != 0
    }

    /// Takes the promise back: the IRQL to go back to, if there was one.
    pub(super) fn take_promise(&self) -> Option<u8> {
        self.promised.swap(0, Ordering::Relaxed).checked_sub(1)
    }

    /// Notes that the thread enters `export`, called from `caller`, with the home area of its arguments at `arguments`.
    pub fn enter(&self, export: &'static Export, caller: u64, arguments: u64) {
        let depth = self.depth.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(slot) = self.arguments.get(depth) {
            slot.store(arguments, Ordering::Relaxed);
        }
        if let Some(slot) = self.callers.get(depth) {
            slot.store(caller, Ordering::Relaxed);
        }
        if let Some(slot) = self.exports.get(depth) {
            slot.store((&raw const *export).cast_mut(), Ordering::Relaxed);
        }
    }

    /// Notes that it leaves the innermost one.
    pub fn leave(&self) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many exports it is inside.
    pub fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    /// Forgets the exports that a trial was inside ([`crate::judge::trial`]).
    pub fn set_depth(&self, depth: u32) {
        self.depth.store(depth, Ordering::Relaxed);
    }

    /// The driver's address that the innermost export returns to, or 0.
    pub fn caller(&self) -> u64 {
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        depth
            .checked_sub(1)
            .and_then(|index| self.callers.get(index))
            .map_or(0, |slot| slot.load(Ordering::Relaxed))
    }

    /// The words of the innermost export's arguments on the driver's stack, the first four included, if it is known where they are.
    pub fn arguments(&self) -> Option<*const u64> {
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        let slot = self.arguments.get(depth.checked_sub(1)?)?;
        Some(slot.load(Ordering::Relaxed) as *const u64)
    }

    /// The innermost export that it is inside.
    pub fn inside(&self) -> Option<&'static Export> {
        let depth = self.depth.load(Ordering::Relaxed) as usize;
        let slot = self.exports.get(depth.checked_sub(1)?)?;
        // SAFETY: slots below `depth` hold what `enter` was given, a static.
        unsafe { slot.load(Ordering::Relaxed).as_ref() }
    }
}

/// Writes the frame that the first switch to a thread returns through, into `first`; the RSP to switch to.
fn first_frame(stack: &Stack, first: extern "C" fn() -> !) -> u64 {
    // Six callee-saved registers, the return address, and one more word: a function begins with RSP 8 below a multiple of 16.
    let rsp = stack.top() - HEADROOM - 8 - 7 * 8;
    let return_address = (rsp + 6 * 8) as *mut u64;
    // SAFETY: inside the fresh stack, which nobody else uses.
    unsafe { return_address.write(first as *const () as u64) };
    rsp
}

/// The running thread.
pub fn current() -> &'static Thread {
    let thread = pcr::current().cast::<Thread>();
    // SAFETY: a running thread is in the thread table, which keeps it alive until it has been switched away from.
    unsafe { &*thread }
}

/// The running thread's address, as dispatcher objects name it.
pub fn current_address() -> u64 {
    (&raw const *current()) as u64
}

/// The thread that runs on a processor, if it has begun to run threads.
///
/// # Safety
/// The caller holds the dispatcher lock: a running thread is in the thread table, and leaves it only after a switch, under
/// that lock.
pub(super) unsafe fn running_on(pcr: &Pcr) -> Option<&Thread> {
    // SAFETY: the caller promises that the thread stays.
    unsafe { pcr.current.load(Ordering::Relaxed).cast::<Thread>().as_ref() }
}

/// Calls `f` for every thread, for a report on a frozen machine; false if the table was being changed.
pub fn try_for_each(mut f: impl FnMut(&Arc<Thread>)) -> bool {
    THREADS
        .try_lock()
        .map(|threads| threads.iter().for_each(&mut f))
        .is_some()
}

/// Calls `f` for every thread that has not been reaped.
pub fn for_each(mut f: impl FnMut(&Arc<Thread>)) {
    THREADS.lock().iter().for_each(&mut f);
}

/// How many threads of the driver's have not ended.
pub fn live_driver_threads() -> usize {
    THREADS
        .lock()
        .iter()
        .filter(|thread| thread.origin == Origin::Driver && thread.state() != State::Dead)
        .count()
}

/// The `Arc` of a thread in the table.
pub fn by_address(address: u64) -> Option<Arc<Thread>> {
    THREADS
        .lock()
        .iter()
        .find(|thread| thread.address() == address)
        .cloned()
}

/// Takes a thread from the table that has been switched away from for the last time.
pub(super) fn reap(address: *const Thread) {
    let thread = {
        let mut threads = THREADS.lock();
        let index = threads.iter().position(|thread| Arc::as_ptr(thread) == address);
        index.map(|index| threads.swap_remove(index))
    };
    // Dropped without the lock: this may be the last reference, which frees the stack.
    drop(thread);
}

/// Switches stacks and vector state from one thread to another; returns when `from` is switched to again.
///
/// # Safety
/// The dispatcher lock is held, `from` is the running thread, and `to` is not running anywhere.
pub(super) unsafe fn switch(from: &Thread, to: &Thread) {
    // SAFETY: a read under the dispatcher lock, which guards it.
    let rsp = unsafe { to.rsp.get().read() };
    // SAFETY: `rsp` was stored by this function or by `first_frame`; both areas belong to the threads.
    unsafe { swap_context(from.rsp.get(), rsp, from.vectors.get(), to.vectors.get()) };
}

/// Saves the callee-saved registers and vector state of one thread, and takes those of another.
#[unsafe(naked)]
unsafe extern "C" fn swap_context(
    from: *mut u64,
    to: u64,
    from_vectors: *mut cpu::FxArea,
    to_vectors: *const cpu::FxArea,
) {
    core::arch::naked_asm!(
        "push rbp; push rbx; push r12; push r13; push r14; push r15",
        "fxsave64 [rdx]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "fxrstor64 [rcx]",
        "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
        "ret",
    )
}
