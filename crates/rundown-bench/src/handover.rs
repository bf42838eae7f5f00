//! How long it takes from the last release to the waiter's return, by way out.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Release},
    },
    thread,
    time::{Duration, Instant},
};

use core_affinity::CoreId;
use ex_rundown::{DISPATCH_LEVEL, Protection, WayOut};
use rundown_std::Settings;

use crate::measure::Slice;

/// How often a hand-over is tried before another way out counts as none.
const TRIES: usize = 60;

/// A hand-over that took longer met a preemption: one line moves in a fraction of a microsecond, and a sleeper is woken
/// in some tens.
fn is_clean(way_out: WayOut, nanoseconds: f64) -> bool {
    nanoseconds
        < if way_out == WayOut::Event {
            150_000.0
        } else {
            3_000.0
        }
}

/// The settings that lead to a way out.
#[must_use]
pub fn settings(way_out: WayOut) -> Settings {
    let patient = Settings {
        spin_cycles: u32::MAX,
        cycles_per_yield: 1,
        ..Settings::DEFAULT
    };
    match way_out {
        WayOut::Dispatch => Settings {
            irql: DISPATCH_LEVEL,
            ..patient
        },
        WayOut::Event => Settings {
            unparked_processors: 1,
            ..patient
        },
        _ => patient,
    }
}

fn pin(cores: &[CoreId], number: usize) {
    if let Some(core) = cores.get(number) {
        core_affinity::set_for_current(*core);
    }
}

/// Nanoseconds of one hand-over that took `way_out`.
///
/// # Panics
/// When `make` does not make a live reference.
pub fn latency<R: Protection + Sync>(cores: &[CoreId], make: impl Fn() -> R, way_out: WayOut) -> Slice {
    let held = || {
        let reference = make();
        assert!(reference.acquire(), "it is new");
        reference
    };
    between(
        cores,
        way_out,
        held,
        |reference| settings(way_out).with(|| reference.wait()),
        |reference| {
            // SAFETY: `held` acquired it.
            #[allow(unsafe_code, reason = "the release that is measured")]
            unsafe {
                reference.release();
            }
        },
    )
}

/// As [`latency`], by whatever waits and releases: `held` makes a reference that is acquired once.
///
/// # Panics
/// When `wait` does.
pub fn between<R: Sync>(
    cores: &[CoreId],
    way_out: WayOut,
    held: impl Fn() -> R,
    wait: impl Fn(&R) -> WayOut + Sync,
    release: impl Fn(&R),
) -> Slice {
    let mut last = Slice {
        nanoseconds: f64::NAN,
        clean: false,
    };
    for _ in 0..TRIES {
        let reference = held();
        let (seen, nanoseconds) = one(cores, || wait(&reference), || release(&reference));
        if seen == way_out {
            last = Slice {
                nanoseconds,
                clean: is_clean(way_out, nanoseconds),
            };
            if last.clean {
                break;
            }
        }
    }
    last
}

/// Nanoseconds from a store to its sight by a spinning thread: no hand-over is faster.
#[must_use]
pub fn floor(cores: &[CoreId]) -> Slice {
    let mut last = Slice {
        nanoseconds: f64::NAN,
        clean: false,
    };
    for _ in 0..TRIES {
        let flag = AtomicBool::new(false);
        let ((), nanoseconds) = one(
            cores,
            || {
                while !flag.load(Acquire) {
                    std::hint::spin_loop();
                }
            },
            || flag.store(true, Release),
        );
        last = Slice {
            nanoseconds,
            clean: is_clean(WayOut::Pause, nanoseconds),
        };
        if last.clean {
            break;
        }
    }
    last
}

/// Waits on one processor, wakes from another once the waiter has surely begun, and times what is between.
fn one<T: Send>(cores: &[CoreId], wait: impl FnOnce() -> T + Send, wake: impl FnOnce()) -> (T, f64) {
    let origin = Instant::now();
    let begun = AtomicBool::new(false);
    let returned = AtomicU64::new(0);
    let nanoseconds = |since: Instant| u64::try_from(since.elapsed().as_nanos()).expect("seconds");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            pin(cores, 1);
            begun.store(true, Release);
            let result = wait();
            returned.store(nanoseconds(origin), Release);
            result
        });
        pin(cores, 0);
        while !begun.load(Acquire) {
            std::hint::spin_loop();
        }
        let settle = Instant::now();
        while settle.elapsed() < Duration::from_micros(60) {
            std::hint::spin_loop();
        }
        let released = nanoseconds(origin);
        wake();
        let result = waiter.join().expect("the waiter does not panic");
        #[expect(clippy::cast_precision_loss, reason = "seconds in nanoseconds")]
        let between = returned.load(Acquire).saturating_sub(released) as f64;
        (result, between)
    })
}
