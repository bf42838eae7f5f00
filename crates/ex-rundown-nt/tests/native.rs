//! The safe interface over the system's routines, whose names are lent by `ex_rundown`'s NT-exact policy here: where NT corrupts memory,
//! so does that one, and a test that gets there fails under Miri at least. The lab runs the same over its own routines.
#![cfg(all(target_arch = "x86_64", not(windows)))]

use std::{
    alloc::{self, Layout},
    cell::Cell,
    env,
    ffi::c_void,
    process::{self, Command},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
};

use ex_rundown::{
    DISPATCH_LEVEL, Held, Misuse, Parity, Platform, Protection, Rundown, WayOut, nt_names::Rules,
};
use ex_rundown_nt::{
    NativeCacheAware, NativeRundown, RUNDOWN_PROTECTION_MISUSE,
    native::{Native, Routines},
    protect,
};
use rundown_std::{Settings, Std};

// SAFETY: this program defines the names nowhere else; what keeps the rules is under test.
ex_rundown::nt_names!(Std, Parity, unsafe { Rules::kept() });

thread_local! {
    static REGIONS: Cell<u32> = const { Cell::new(0) };
}

#[unsafe(no_mangle)]
extern "system" fn KeEnterCriticalRegion() {
    REGIONS.set(REGIONS.get() + 1);
}

#[unsafe(no_mangle)]
extern "system" fn KeLeaveCriticalRegion() {
    REGIONS.set(REGIONS.get() - 1);
}

static DELAYS: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
extern "system" fn KeDelayExecutionThread(_mode: i8, _alertable: u8, _interval: *mut i64) -> i32 {
    DELAYS.fetch_add(1, Relaxed);
    thread::yield_now();
    0
}

#[unsafe(no_mangle)]
extern "system" fn KeGetCurrentIrql() -> u8 {
    Std::current_irql()
}

/// Ends the process, as a bug check ends the system.
#[unsafe(no_mangle)]
extern "system" fn KeBugCheckEx(code: u32, misuse: usize, _: usize, _: usize, _: usize) {
    assert_eq!(code, RUNDOWN_PROTECTION_MISUSE);
    process::exit(BUG_CHECK + i32::try_from(misuse).unwrap());
}

/// What a process ends with beyond its misuse.
const BUG_CHECK: i32 = 70;

/// # Safety
/// Any.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExAllocatePool2(flags: u64, bytes: usize, _tag: u32) -> *mut c_void {
    assert_eq!(flags, ex_rundown_nt::pool::FLAGS);
    let layout = Layout::from_size_align(bytes + 64, 64).unwrap();
    // SAFETY: not empty.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    // SAFETY: the first line of it.
    unsafe { memory.cast::<usize>().write_unaligned(layout.size()) };
    // SAFETY: a line longer than what was asked for.
    unsafe { memory.add(64) }.cast()
}

/// # Safety
/// From `ExAllocatePool2`, once.
#[unsafe(no_mangle)]
unsafe extern "system" fn ExFreePoolWithTag(memory: *mut c_void, tag: u32) {
    assert_eq!(tag, ex_rundown_nt::pool::TAG);
    // SAFETY: the line before it.
    let memory = unsafe { memory.cast::<u8>().sub(64) };
    // SAFETY: written there.
    let size = unsafe { memory.cast::<usize>().read_unaligned() };
    // SAFETY: as it was allocated.
    unsafe { alloc::dealloc(memory, Layout::from_size_align(size, 64).unwrap()) };
}

const GENERATIONS: u32 = if cfg!(miri) { 10 } else { 2_000 };

/// Readers on any processor against an owner that takes the data and puts it back.
fn generations<R: Protection + Sync>(protection: R) {
    let data = Rundown::new(vec![0; 8], protection);
    let over = AtomicBool::new(false);
    let reads = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    if let Some(held) = data.acquire() {
                        assert!(held.windows(2).all(|pair| pair[0] == pair[1]), "torn: {held:?}");
                        reads.fetch_add(1, Relaxed);
                    }
                    thread::yield_now();
                }
            });
        }
        for generation in 1..=GENERATIONS {
            let mut taken = data.run_down().expect("the only owner");
            assert!(data.acquire().is_none());
            taken.fill(generation);
            data.renew(taken).expect("the only owner");
        }
        while reads.load(Relaxed) == 0 {
            thread::yield_now();
        }
        over.store(true, Relaxed);
    });
}

#[test]
fn plain_over_generations() {
    generations(NativeRundown::new());
}

#[test]
fn cache_aware_over_generations() {
    generations(NativeCacheAware::new().expect("memory"));
}

#[test]
fn a_static_is_filled_later_and_held_by_a_request() {
    static NAME: Rundown<String, NativeRundown> = Rundown::<_, NativeRundown>::empty();
    assert!(NAME.acquire().is_none());
    assert_eq!(NAME.renew(String::from("device")), Ok(()));
    let request = Held::into_raw(NAME.acquire().expect("live")).expose_provenance();
    let completion = thread::spawn(move || {
        let raw = std::ptr::with_exposed_provenance::<Rundown<String, NativeRundown>>(request);
        // SAFETY: from `into_raw`, once.
        unsafe { Held::from_raw(raw) }.len()
    });
    assert_eq!(NAME.run_down(), Some(String::from("device")));
    assert_eq!(completion.join().expect("no panic"), 6);
}

#[test]
fn waits_have_no_effect_after_the_first() {
    fn of(protection: &impl Protection) {
        assert_eq!(protection.wait(), WayOut::Untold);
        assert_eq!(protection.wait(), WayOut::Drained);
        protection.completed();
        protection.completed();
        assert_eq!(protection.wait(), WayOut::Drained);
        assert!(protection.try_acquire().is_none());
        protection.reinitialize();
        assert_eq!(protection.protect(|| 7), Some(7));
        assert_eq!(protection.try_acquire_ex(3).map(|guard| guard.count()), Some(3));
        assert_eq!(protection.wait(), WayOut::Untold);
    }
    of(&NativeRundown::new());
    of(&NativeCacheAware::new().expect("memory"));
}

#[test]
fn protect_is_a_critical_region() {
    let reference = NativeRundown::new();
    assert_eq!(protect(&reference, || REGIONS.get()), Some(1));
    assert_eq!(REGIONS.get(), 0);
    reference.wait();
    assert_eq!(protect(&reference, || REGIONS.get()), None);
    assert_eq!(REGIONS.get(), 0);
}

#[test]
fn a_forgotten_guard_cannot_wrap_the_count() {
    assert!(NativeRundown::new().try_acquire_ex(65_535).is_some());
    assert_eq!(NativeRundown::new().routines().word(), 0);
    let reference = NativeRundown::new();
    std::mem::forget(reference.try_acquire_ex(65_535).expect("live"));
    assert_eq!(reference.routines().word(), 2 * 65_535);
    // SAFETY: the forgotten ones.
    unsafe { reference.routines().release(65_535) };
    reference.wait();
}

/// Routines whose re-initialise has made one slot live, and stops there until it may go on.
struct Stopped {
    live: AtomicBool,
    may_go_on: AtomicBool,
    out: AtomicU32,
}

// SAFETY: acquires are counted, and nobody waits.
unsafe impl Routines for Stopped {
    const BY_SLOT: bool = true;

    fn acquire(&self, count: u32) -> bool {
        let granted = self.live.load(Relaxed);
        self.out.fetch_add(if granted { count } else { 0 }, Relaxed);
        granted
    }

    unsafe fn release_at(this: *const Self, count: u32) {
        // SAFETY: valid, says the caller.
        unsafe { &*this }.out.fetch_sub(count, Relaxed);
    }

    unsafe fn wait(&self) {
        self.live.store(false, Relaxed);
    }

    unsafe fn completed(&self) {}

    unsafe fn reinitialize(&self) {
        self.live.store(true, Relaxed);
        while !self.may_go_on.load(Relaxed) {
            thread::yield_now();
        }
    }
}

#[test]
fn nobody_has_a_reference_before_all_slots_are_live() {
    // SAFETY: live.
    let reference = unsafe {
        Native::over(Stopped {
            live: AtomicBool::new(true),
            may_go_on: AtomicBool::new(false),
            out: AtomicU32::new(0),
        })
    };
    let routines = reference.routines();
    reference.wait();
    thread::scope(|scope| {
        scope.spawn(|| reference.reinitialize());
        while !routines.live.load(Relaxed) {
            thread::yield_now();
        }
        // At DISPATCH_LEVEL it cannot wait, and cannot change the processor: it gives back at once.
        let raised = Settings {
            irql: DISPATCH_LEVEL,
            ..Settings::DEFAULT
        };
        assert!(raised.with(|| reference.try_acquire().is_none() && reference.try_acquire_ex(3).is_none()));
        assert_eq!(routines.out.load(Relaxed), 0);
        // Below, it waits.
        let before = DELAYS.load(Relaxed);
        let newcomer = scope.spawn(|| {
            let guard = reference.try_acquire();
            (guard.is_some(), routines.may_go_on.load(Relaxed))
        });
        while DELAYS.load(Relaxed) < before + 3 {
            thread::yield_now();
        }
        assert!(!newcomer.is_finished());
        routines.may_go_on.store(true, Relaxed);
        assert_eq!(newcomer.join().expect("no panic"), (true, true));
    });
    assert_eq!(routines.out.load(Relaxed), 0);
}

/// What is misuse of the system's routines, and what is said of it.
const MISUSES: [(&str, Misuse); 5] = [
    ("completed while live", Misuse::CompletedInUse),
    ("re-initialised while live", Misuse::ReinitializedInUse),
    ("waited for by two", Misuse::ConcurrentWait),
    ("completed during a wait", Misuse::CompletedInUse),
    ("too many at once", Misuse::TooManyReferences),
];

/// In a process of its own, which it ends.
#[test]
#[ignore = "ends its process; misuse_is_a_bug_check runs it"]
fn misused() {
    let case = env::var("RUNDOWN_MISUSE").expect("the case");
    let reference = NativeRundown::new();
    match case.as_str() {
        "completed while live" => reference.completed(),
        "re-initialised while live" => reference.reinitialize(),
        "too many at once" => drop(reference.try_acquire_ex(65_536)),
        _ => thread::scope(|scope| {
            let guard = reference.try_acquire();
            scope.spawn(|| reference.wait());
            while reference.try_acquire().is_some() {
                thread::yield_now();
            }
            if case == "waited for by two" {
                reference.wait();
            } else {
                reference.completed();
            }
            drop(guard);
        }),
    }
}

#[test]
#[cfg_attr(miri, ignore = "processes")]
fn misuse_is_a_bug_check() {
    for (case, misuse) in MISUSES {
        let status = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", "misused"])
            .env("RUNDOWN_MISUSE", case)
            .output()
            .unwrap()
            .status;
        assert_eq!(status.code(), Some(BUG_CHECK + misuse as i32), "{case}: {status}");
    }
}
