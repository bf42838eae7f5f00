//! A panic that would leave a published wait block behind ends the program.
#![cfg(all(unix, not(any(ex_rundown_loom, ex_rundown_shuttle, miri))))]

use std::{
    env, hint,
    os::unix::process::ExitStatusExt,
    panic::{self, AssertUnwindSafe},
    process::Command,
};

use ex_rundown::{
    AllocatedCacheAwareRundownRef, AtMostApcLevel, AtomicU32, Irql, Misuse, PASSIVE_LEVEL, Platform,
    RundownRef, WideRundownRef,
};
use rundown_std::Std;

/// Breaks the contract: its waiters' looks panic.
#[derive(Debug)]
struct Panics;

// SAFETY: not upheld, which is the test: something unwinds out of a wait.
unsafe impl Platform for Panics {
    type Event = ();

    fn current_irql() -> Irql {
        PASSIVE_LEVEL
    }
    fn spin_cycles() -> u32 {
        1_000
    }
    fn unparked_processors() -> u16 {
        2
    }
    fn has_monitorx() -> bool {
        false
    }
    fn cycles_per_yield() -> u16 {
        1
    }
    fn timestamp() -> u64 {
        0
    }
    unsafe fn monitor(_flag: &AtomicU32) {}
    unsafe fn monitor_wait(_cycles: u32) {}
    fn yield_processor() {
        panic!("the platform panics");
    }
    unsafe fn initialize_event(_event: *mut ()) {}
    unsafe fn set_event(_event: *const ()) {}
    unsafe fn wait_for_event(_event: *const (), _level: &AtMostApcLevel) {
        unreachable!("it panics before")
    }
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("{misuse:?} with word {word:#x}")
    }
}

/// Says to the test program that it is the child.
const CHILD: &str = "RUNDOWN_UNWINDING_CHILD";

/// Runs `body`, which waits, in a process of its own: it aborts, and says why.
fn aborts(test: &str, first: &str, body: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        // If this returned, the holder's release would reach into a frame that is gone.
        let _ = panic::catch_unwind(AssertUnwindSafe(body));
        hint::black_box([0_usize; 64]);
        return;
    }
    let program = env::current_exe().expect("this program");
    let child = Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(said.contains(first), "{said}");
    assert!(
        said.contains("unwinds while its wait block is published"),
        "{said}"
    );
    assert_eq!(child.status.signal(), Some(6), "it aborts: {said}");
}

#[test]
fn out_of_a_plain_wait() {
    aborts("out_of_a_plain_wait", "the platform panics", || {
        let reference = RundownRef::<Panics>::new();
        assert!(reference.acquire());
        reference.wait();
    });
}

#[test]
fn out_of_a_wide_wait() {
    aborts("out_of_a_wide_wait", "the platform panics", || {
        let reference = WideRundownRef::<Panics>::new();
        assert!(reference.acquire());
        reference.wait();
    });
}

/// Releases too many in a cache-aware reference show in the sum only, when the block is published.
#[test]
fn out_of_a_cache_aware_wait() {
    aborts("out_of_a_cache_aware_wait", "ReleaseWithoutAcquire", || {
        let reference = AllocatedCacheAwareRundownRef::<Std>::new().expect("memory");
        // SAFETY: nothing is acquired. The slot becomes negative, and no memory is touched.
        unsafe { reference.release() };
        reference.wait();
    });
}
