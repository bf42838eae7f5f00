//! The checker's threads as a platform.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering},
};

use ex_rundown::{
    AtMostApcLevel, AtomicU32, DISPATCH_LEVEL, DispatchPlatform, Irql, Misuse, PASSIVE_LEVEL, Platform,
    PoolPlatform, ProcessorPlatform,
};

use crate::seam::{lazy_static, sync, thread};

/// How the waiter of a scene waits.
pub(crate) trait Way: 'static {
    const IRQL: Irql = PASSIVE_LEVEL;
    const UNPARKED: u16 = 2;
    const MONITORX: bool = false;
    const LAPS: u32 = 1;
    /// The processors that a grace period goes to.
    const VISITED: &'static [usize] = &[0, 1];
}

pub(crate) struct Asleep;
impl Way for Asleep {
    const UNPARKED: u16 = 1;
}

pub(crate) struct ByPause;
impl Way for ByPause {}

pub(crate) struct ByMonitor;
impl Way for ByMonitor {
    const MONITORX: bool = true;
}

pub(crate) struct AtDispatch;
impl Way for AtDispatch {
    const IRQL: Irql = DISPATCH_LEVEL;
}

/// A platform whose grace periods are none.
pub(crate) struct WithoutGrace;
impl Way for WithoutGrace {
    const UNPARKED: u16 = 1;
    const VISITED: &'static [usize] = &[];
}

/// One whose grace periods leave a processor out.
pub(crate) struct OneLeftOut;
impl Way for OneLeftOut {
    const UNPARKED: u16 = 1;
    const VISITED: &'static [usize] = &[0];
}

#[derive(Debug)]
pub(crate) struct Modelled<W>(PhantomData<W>);

pub(crate) struct Event {
    signalled: sync::atomic::AtomicBool,
    waiter: thread::Thread,
}

// SAFETY: the event does not signal before it is set, and the setter clones the handle before it signals.
unsafe impl<W: Way> Platform for Modelled<W> {
    type Event = Event;

    fn current_irql() -> Irql {
        W::IRQL
    }
    fn spin_cycles() -> u32 {
        W::LAPS
    }
    fn unparked_processors() -> u16 {
        W::UNPARKED
    }
    fn has_monitorx() -> bool {
        W::MONITORX
    }
    fn cycles_per_yield() -> u16 {
        1
    }
    /// A clock that moves by one cycle per reading, so that a budget of n is n laps. Outside the checker's sight,
    /// and that is all right: it is only ever read by the one waiter, in its own order.
    fn timestamp() -> u64 {
        thread_clock()
    }
    unsafe fn monitor(_flag: &AtomicU32) {}
    unsafe fn monitor_wait(_cycles: u32) {
        thread::yield_now();
    }
    fn yield_processor() {
        thread::yield_now();
    }
    unsafe fn initialize_event(event: *mut Event) {
        let new = Event {
            signalled: sync::atomic::AtomicBool::new(false),
            waiter: thread::current(),
        };
        // SAFETY: valid for writes, says the caller.
        unsafe { event.write(new) };
    }
    unsafe fn set_event(event: *const Event) {
        // SAFETY: not set yet, so it is still there.
        let waiter = unsafe { (*event).waiter.clone() };
        // SAFETY: as above.
        unsafe { (*event).signalled.store(true, Ordering::Release) };
        waiter.unpark();
    }
    unsafe fn wait_for_event(event: *const Event, _level: &AtMostApcLevel) {
        // SAFETY: initialised, and only this waiter ends its life.
        while !unsafe { (*event).signalled.load(Ordering::Acquire) } {
            thread::park();
        }
    }
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("{misuse:?} with word {word:#x}")
    }
}

/// Each scene's waiter reads it twice or more; the offset between readings is what counts.
fn thread_clock() -> u64 {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    NOW.fetch_add(1, Ordering::Relaxed) as u64
}

thread_local! {
    /// Set right before an operation, which reads it before its first atomic access: threads are switched at those
    /// only.
    static PROCESSOR: Cell<u32> = const { Cell::new(0) };
}

/// Moves the thread to a processor, until it is switched.
pub(crate) fn move_to(processor: usize) {
    PROCESSOR.set(u32::try_from(processor).expect("a small number"));
}

#[cfg(ex_rundown_shuttle)]
impl<W: Way> ex_rundown::HolderPlatform for Modelled<W> {
    fn current_thread() -> usize {
        // Their numbers, so that each begins at another place of a table.
        64 * (1 + usize::from(thread::current().id()))
    }
}

// SAFETY: constants.
unsafe impl<W: Way> ProcessorPlatform for Modelled<W> {
    fn processor_number() -> u32 {
        PROCESSOR.get()
    }
    fn processor_count() -> u32 {
        2
    }
    fn cache_line() -> usize {
        64
    }
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, 64).expect("a small size")
}

// SAFETY: the global allocator's memory.
unsafe impl<W: Way> PoolPlatform for Modelled<W> {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        // SAFETY: the layout is not empty.
        NonNull::new(unsafe { alloc::alloc(layout(bytes)) }).map(NonNull::cast)
    }
    unsafe fn free(memory: NonNull<usize>, bytes: usize) {
        // SAFETY: from `allocate`, says the caller.
        unsafe { alloc::dealloc(memory.as_ptr().cast(), layout(bytes)) };
    }
}

lazy_static! {
    /// `DISPATCH_LEVEL` on each processor: who has the lock is alone there.
    static ref SECTIONS: [sync::Mutex<()>; 2] = [sync::Mutex::new(()), sync::Mutex::new(())];
}

pub(crate) fn section(processor: usize) -> sync::MutexGuard<'static, ()> {
    SECTIONS[processor].lock().expect("no section panics")
}

/// A thread at `DISPATCH_LEVEL`, and the processor that it is kept on.
pub(crate) struct Raised {
    processor: u32,
    _section: sync::MutexGuard<'static, ()>,
}

// SAFETY: sections on a processor have its lock one after the other, and a grace period has each lock once; but for the platforms that are
// to be caught.
unsafe impl<W: Way> DispatchPlatform for Modelled<W> {
    type Raised = Raised;

    fn raise() -> Raised {
        let processor = PROCESSOR.get() % 2;
        Raised {
            processor,
            _section: section(processor as usize),
        }
    }
    fn processor(raised: &Raised) -> u32 {
        raised.processor
    }
    fn grace_period(_level: &AtMostApcLevel) {
        for &processor in W::VISITED {
            drop(section(processor));
        }
    }
}
