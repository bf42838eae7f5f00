//! The seam, answered by std.

use std::{
    alloc::{self, Layout},
    hint,
    ptr::NonNull,
    sync::OnceLock,
    thread,
    time::Instant,
};

use ex_rundown::{AtMostApcLevel, AtomicU32, Irql, Misuse, Platform, PoolPlatform, ProcessorPlatform};

use crate::{Settings, event::Event, processor};

/// std's threads as a platform; see [`Settings`] for what it claims about the machine.
#[derive(Debug)]
pub struct Std;

// SAFETY: an IRQL is only claimed here, never real, so blocking is always possible; the event does not signal
// before it is set, and its setter's last touch is the signal (see `Event::set`). Nothing unwinds but `misuse` (and a wait by a
// thread whose locals are destroyed already, which aborts).
unsafe impl Platform for Std {
    type Event = Event;

    fn current_irql() -> Irql {
        Settings::current().irql
    }

    fn spin_cycles() -> u32 {
        Settings::current().spin_cycles
    }

    fn unparked_processors() -> u16 {
        Settings::current().unparked_processors
    }

    fn has_monitorx() -> bool {
        Settings::current().monitorx
    }

    fn cycles_per_yield() -> u16 {
        Settings::current().cycles_per_yield
    }

    /// Nanoseconds: a clock that every system has.
    fn timestamp() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let nanoseconds = START.get_or_init(Instant::now).elapsed().as_nanos();
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    unsafe fn monitor(_flag: &AtomicU32) {}

    /// Wakes for no reason, as the contract allows: the caller polls.
    unsafe fn monitor_wait(_cycles: u32) {
        hint::spin_loop();
    }

    /// Gives the processor away now and then: on a busy host the releaser may need it.
    fn yield_processor() {
        hint::spin_loop();
        std::thread::yield_now();
    }

    unsafe fn initialize_event(event: *mut Event) {
        // SAFETY: the caller gives a pointer that is valid for writes.
        unsafe { event.write(Event::new()) };
    }

    unsafe fn set_event(event: *const Event) {
        // SAFETY: the caller gives an initialised event whose waiter waits for this.
        unsafe { Event::set(event) };
    }

    unsafe fn wait_for_event(event: *const Event, level: &AtMostApcLevel) {
        level.debug_check::<Self>();
        // SAFETY: the caller gives an initialised event; only this waiter ends its life.
        unsafe { (*event).wait() };
    }

    /// # Panics
    /// Always: a test expects it, or has found a bug.
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("misuse of run-down protection: {misuse:?} (word {word:#x})")
    }
}

/// The cache line of every x86-64 and nearly every ARM64 processor is 64 bytes, and its neighbour is often fetched
/// with it.
const CACHE_LINE: usize = 128;

// SAFETY: the cache line is a constant, and the processors are counted once.
unsafe impl ProcessorPlatform for Std {
    #[inline]
    fn processor_number() -> u32 {
        processor::current()
    }

    /// At least the processors that this process may use: numbers beyond are reduced.
    fn processor_count() -> u32 {
        static COUNT: OnceLock<u32> = OnceLock::new();
        *COUNT.get_or_init(|| {
            let count = thread::available_parallelism().map_or(1, usize::from);
            u32::try_from(count).unwrap_or(u32::MAX)
        })
    }

    fn cache_line() -> usize {
        CACHE_LINE
    }
}

/// How the pool's memory is laid out; `None` for a size that no memory has.
fn layout(bytes: usize) -> Option<Layout> {
    Layout::from_size_align(bytes.max(1), align_of::<usize>()).ok()
}

// SAFETY: user memory is as resident as it gets; it is aligned as a pointer, and the global allocator gives it once.
unsafe impl PoolPlatform for Std {
    fn allocate(bytes: usize) -> Option<NonNull<usize>> {
        // SAFETY: the layout is not empty.
        let memory = NonNull::new(unsafe { alloc::alloc(layout(bytes)?) })?;
        // The layout has a word's alignment.
        Some(memory.cast())
    }

    unsafe fn free(memory: NonNull<usize>, bytes: usize) {
        let layout = layout(bytes).expect("the size that was allocated");
        // SAFETY: from `allocate`, with the same layout, says the caller.
        unsafe { alloc::dealloc(memory.as_ptr().cast(), layout) };
    }
}
