// The platform of `ex-rundown` over std's threads: for its examples, which bring it in by `include!` so that they can be run wherever the
// package lies, and for tests and benchmarks, as the crate `rundown-std`.
//
// A thread's IRQL, and what `KUSER_SHARED_DATA` would say, are thread-local settings, so that a test takes the
// way out that it wants: see `Settings`.

#[cfg(target_pointer_width = "64")]
pub use self::section::Raised;
pub use self::{platform::Std, settings::Settings};

/// A one-shot event whose setter is done with it before the waiter can run.
#[allow(
    unsafe_code,
    reason = "the platform's event is reached through pointers into a dying stack frame"
)]
mod event {
    use std::{
        sync::atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
        thread::{self, Thread},
    };

    /// A synchronization event for one waiter, the thread that made it.
    #[derive(Debug)]
    pub struct Event {
        signalled: AtomicBool,
        waiter: Thread,
    }

    impl Event {
        pub(crate) fn new() -> Self {
            Self {
                signalled: AtomicBool::new(false),
                waiter: thread::current(),
            }
        }

        pub(crate) fn wait(&self) {
            // Pairs with the store in `set`.
            while !self.signalled.load(Acquire) {
                thread::park();
            }
        }

        /// # Safety
        /// `event` is valid until it is signalled here; it may be gone right after.
        pub(crate) unsafe fn set(event: *const Self) {
            // The handle is cloned first: from the store on, the waiter may return and take the event with it.
            // SAFETY: not signalled yet, so still valid.
            let waiter = unsafe { (*event).waiter.clone() };
            // Pairs with the load in `wait`.
            // SAFETY: as above.
            unsafe { (*event).signalled.store(true, Release) };
            waiter.unpark();
        }
    }
}

/// The seam, answered by std.
#[allow(unsafe_code, reason = "`Platform` is an unsafe trait")]
mod platform {
    use std::{
        alloc::{self, Layout},
        hint,
        ptr::NonNull,
        sync::OnceLock,
        thread,
        time::Instant,
    };

    use ex_rundown::{
        AtMostApcLevel, AtomicU32, HolderPlatform, Irql, Misuse, Platform, PoolPlatform, ProcessorPlatform,
    };

    use super::{Settings, event::Event, processor};

    /// std's threads as a platform; see `Settings` for what it claims about the machine.
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

    impl HolderPlatform for Std {
        fn current_thread() -> usize {
            thread_local! {
                static THREAD: u8 = const { 0 };
            }
            THREAD.with(|own| std::ptr::from_ref(own).addr())
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
}

/// The number of the processor that a thread runs on, or claims to.
#[allow(
    unsafe_code,
    reason = "the C library keeps the processor's number in the thread's control block"
)]
mod processor {
    use std::cell::Cell;

    /// No processor is claimed. Not an `Option`: this is read at each cache-aware operation, and so it is one comparison.
    const NONE: u32 = u32::MAX;

    thread_local! {
        static CLAIMED: Cell<u32> = const { Cell::new(NONE) };
    }

    /// Claims a processor, or none.
    pub(crate) fn claim(processor: Option<u32>) {
        CLAIMED.set(processor.unwrap_or(NONE));
    }

    /// The claimed number, else the real one.
    #[inline]
    pub(crate) fn current() -> u32 {
        match CLAIMED.get() {
            NONE => number(),
            claimed => claimed,
        }
    }

    /// The number, as the kernel keeps it up to date in the thread's restartable-sequences area (`struct rseq`), which
    /// glibc registers from 2.35 on. One load, like NT's from the processor's control block.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri)))]
    #[inline]
    fn number() -> u32 {
        unsafe extern "C" {
            /// From the thread pointer to the area.
            #[link_name = "__rseq_offset"]
            static RSEQ_OFFSET: isize;
        }
        /// `cpu_id_start` in `struct rseq`: the number, or 0 when the area is not registered.
        const CPU_ID_START: isize = 0;

        // SAFETY: glibc's constant, initialised before main.
        let offset = unsafe { RSEQ_OFFSET };
        let number: u32;
        // SAFETY: glibc keeps the area at this offset in every thread's control block, registered or not.
        unsafe {
            core::arch::asm!(
                "mov {number:e}, dword ptr fs:[{address}]",
                number = out(reg) number,
                address = in(reg) offset + CPU_ID_START,
                options(nostack, preserves_flags, readonly),
            );
        };
        number
    }

    /// A number per thread: enough to spread threads over the slots.
    #[cfg(not(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64", not(miri))))]
    #[inline]
    fn number() -> u32 {
        use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

        static NEXT: AtomicU32 = AtomicU32::new(0);
        thread_local! {
            static NUMBER: u32 = NEXT.fetch_add(1, Relaxed);
        }
        NUMBER.with(|number| *number)
    }
}

/// What a thread's next wait finds.
mod settings {
    use std::cell::Cell;

    use ex_rundown::{Irql, PASSIVE_LEVEL};

    use super::processor;

    thread_local! {
        static CURRENT: Cell<Settings> = const { Cell::new(Settings::DEFAULT) };
    }

    /// The IRQL and the shared-data fields, as the calling thread sees them.
    #[derive(Clone, Copy, Debug)]
    pub struct Settings {
        /// The IRQL that the thread claims to run at.
        pub irql: Irql,
        /// `ExpSpinCycleCount`.
        pub spin_cycles: u32,
        /// `KUSER_SHARED_DATA.UnparkedProcessorCount`.
        pub unparked_processors: u16,
        /// `KUSER_SHARED_DATA.ProcessorFeatures[35]`. The monitor is then played by polling.
        pub monitorx: bool,
        /// `KUSER_SHARED_DATA.CyclesPerYield`.
        pub cycles_per_yield: u16,
        /// The processor that the thread claims to run on; `None` for the one that it does run on.
        pub processor: Option<u32>,
    }

    impl Settings {
        /// A two-processor machine without `MONITORX`, at `PASSIVE_LEVEL`.
        pub const DEFAULT: Self = Self {
            irql: PASSIVE_LEVEL,
            spin_cycles: 10_240,
            unparked_processors: 2,
            monitorx: false,
            cycles_per_yield: 40,
            processor: None,
        };

        /// Those of the calling thread.
        #[inline]
        #[must_use]
        pub fn current() -> Self {
            CURRENT.get()
        }

        /// Makes them those of the calling thread while `body` runs.
        pub fn with<R>(self, body: impl FnOnce() -> R) -> R {
            struct Restore(Settings);
            impl Drop for Restore {
                fn drop(&mut self) {
                    self.0.enter();
                }
            }
            let _restore = Restore(self.enter());
            body()
        }

        /// Makes them current, and gives those that were.
        pub(crate) fn enter(self) -> Self {
            processor::claim(self.processor);
            CURRENT.replace(self)
        }
    }
}

/// `DISPATCH_LEVEL`, played by a lock per processor: who has it is alone on that processor.
#[cfg(target_pointer_width = "64")]
#[allow(unsafe_code, reason = "`DispatchPlatform` is an unsafe trait")]
mod section {
    use std::{
        cell::Cell,
        sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    };

    use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL, DispatchPlatform, ProcessorPlatform};

    use super::{Settings, Std};

    thread_local! {
        /// The processor that the thread is kept on.
        static KEPT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    fn processors() -> &'static [Mutex<()>] {
        static LOCKS: OnceLock<Vec<Mutex<()>>> = OnceLock::new();
        LOCKS.get_or_init(|| (0..Std::processor_count()).map(|_| Mutex::new(())).collect())
    }

    fn lock(processor: u32) -> MutexGuard<'static, ()> {
        // A section that panicked has left nothing behind: its guards were dropped.
        processors()[processor as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread at `DISPATCH_LEVEL`.
    #[derive(Debug)]
    pub struct Raised {
        processor: u32,
        before: Settings,
        /// None in a section within another one.
        lock: Option<MutexGuard<'static, ()>>,
    }

    impl Drop for Raised {
        fn drop(&mut self) {
            if self.lock.is_some() {
                KEPT.set(None);
            }
            self.before.enter();
        }
    }

    // SAFETY: sections on a processor have its lock one after the other. The number that is given is the lock's, and while there is a section
    // the thread claims to be there. A grace period has each lock once: what had it before happens before, what has it later after.
    unsafe impl DispatchPlatform for Std {
        type Raised = Raised;

        fn raise() -> Raised {
            let (processor, lock) = if let Some(processor) = KEPT.get() {
                (processor, None)
            } else {
                let processor = Self::processor_number() % Self::processor_count();
                (processor, Some(lock(processor)))
            };
            KEPT.set(Some(processor));
            let now = Settings {
                irql: DISPATCH_LEVEL,
                processor: Some(processor),
                ..Settings::current()
            };
            Raised {
                processor,
                before: now.enter(),
                lock,
            }
        }

        fn processor(raised: &Raised) -> u32 {
            raised.processor
        }

        /// Not what [`Settings`] claim: whether there is a section.
        fn is_at_dispatch_level() -> bool {
            KEPT.get().is_some()
        }

        fn grace_period(level: &AtMostApcLevel) {
            level.debug_check::<Self>();
            assert!(
                KEPT.get().is_none(),
                "a grace period within a section would not end"
            );
            (0..Self::processor_count()).map(lock).for_each(drop);
        }
    }
}
