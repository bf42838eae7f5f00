//! `RundownRef` over std's threads: the state machine, each way out of a wait, and what misuse ends in.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use ex_rundown::{APC_LEVEL, DISPATCH_LEVEL, Parity, RundownRef, State, Strict, WayOut};
use rundown_std::{Settings, Std};

type Checked = RundownRef<Std, Strict>;
type Unchecked = RundownRef<Std, Parity>;

/// Under NT's policy, which is what these tests compare.
fn unchecked() -> Unchecked {
    // SAFETY: each test keeps the rules, or does what ends without a touch of memory.
    unsafe { Unchecked::with_policy() }
}

/// Releases a reference that the test acquired.
fn release<C: ex_rundown::Check>(reference: &RundownRef<Std, C>) {
    // SAFETY: each test calls this once for each acquire that was granted; the misuse tests end in a panic before
    // anything is touched.
    unsafe { reference.release() };
}

#[test]
fn references_are_counted() {
    let reference = Checked::new();
    for held in 1..=100 {
        assert!(reference.acquire());
        assert_eq!(reference.state(), State::Live(held));
    }
    for held in (0..100).rev() {
        release(&reference);
        assert_eq!(reference.state(), State::Live(held));
    }
}

/// Native code has the word's address.
#[test]
fn the_word_is_where_as_ptr_says() {
    let reference = Checked::new();
    assert!(reference.acquire());
    // SAFETY: the word, and nobody else uses it.
    assert_eq!(unsafe { reference.as_ptr().read() }, 2);
    release(&reference);
}

#[test]
fn a_drained_wait_refuses_until_reinitialized() {
    let reference = Checked::new();
    assert_eq!(reference.wait(), WayOut::Drained);
    assert_eq!(reference.state(), State::RunDown);
    assert!(!reference.acquire());
    assert_eq!(
        reference.wait(),
        WayOut::Drained,
        "a second wait has no effect and is not an error"
    );
    reference.completed();
    assert_eq!(reference.state(), State::RunDown);
    reference.reinitialize();
    assert!(reference.acquire());
    release(&reference);
}

#[test]
fn a_reference_can_start_disabled() {
    let reference = Checked::new_run_down();
    assert!(!reference.acquire());
    reference.reinitialize();
    assert!(reference.acquire());
    release(&reference);
}

/// One wait with one holder, who releases `after` the waiter has published its block.
fn contested<C: ex_rundown::Check>(
    reference: &RundownRef<Std, C>,
    settings: Settings,
    after: Duration,
) -> WayOut {
    assert!(reference.acquire());
    thread::scope(|scope| {
        scope.spawn(|| {
            while !matches!(reference.state(), State::Waiting(_)) {
                thread::yield_now();
            }
            assert!(!reference.acquire(), "granted after run-down began");
            thread::sleep(after);
            release(reference);
        });
        settings.with(|| reference.wait())
    })
}

const PATIENT: Settings = Settings {
    spin_cycles: u32::MAX,
    cycles_per_yield: 1,
    ..Settings::DEFAULT
};

#[test]
fn hand_over_while_spinning_by_pause() {
    assert_eq!(
        contested(&Checked::new(), PATIENT, Duration::from_millis(1)),
        WayOut::Pause
    );
}

#[test]
fn hand_over_while_spinning_by_monitor() {
    let settings = Settings {
        monitorx: true,
        ..PATIENT
    };
    assert_eq!(
        contested(&Checked::new(), settings, Duration::from_millis(1)),
        WayOut::Monitorx
    );
}

#[test]
fn hand_over_while_polling_at_dispatch_level() {
    for irql in [DISPATCH_LEVEL, DISPATCH_LEVEL + 1, 15] {
        // No budget: at this level there is none.
        let settings = Settings {
            irql,
            spin_cycles: 0,
            unparked_processors: 1,
            ..PATIENT
        };
        assert_eq!(
            contested(&Checked::new(), settings, Duration::from_millis(1)),
            WayOut::Dispatch
        );
    }
}

/// The settings under which a waiter does not spin, or not for long.
fn impatient() -> [Settings; 5] {
    [
        Settings {
            unparked_processors: 1,
            ..PATIENT
        },
        Settings {
            unparked_processors: 0,
            ..PATIENT
        },
        Settings {
            spin_cycles: 0,
            ..PATIENT
        },
        Settings {
            spin_cycles: 0,
            monitorx: true,
            irql: APC_LEVEL,
            ..PATIENT
        },
        // A zero in CyclesPerYield must not divide.
        Settings {
            spin_cycles: 1,
            cycles_per_yield: 0,
            ..PATIENT
        },
    ]
}

#[test]
fn hand_over_by_the_event() {
    for settings in impatient() {
        // A busy host may let the holder release before the waiter sleeps, so it gets longer and longer.
        let slept = (0..10).any(|doubling| {
            contested(&Checked::new(), settings, Duration::from_millis(1 << doubling)) == WayOut::Event
        });
        assert!(slept, "never slept with {settings:?}");
    }
}

#[test]
fn strict_leaves_one_and_parity_leaves_the_stale_pointer() {
    for settings in impatient() {
        let strict = Checked::new();
        contested(&strict, settings, Duration::ZERO);
        assert_eq!(strict.state(), State::RunDown);
        assert_eq!(strict.wait(), WayOut::Drained);

        let parity = unchecked();
        contested(&parity, settings, Duration::ZERO);
        assert!(matches!(parity.state(), State::Waiting(_)));
        assert!(!parity.acquire());
        parity.completed();
        assert_eq!(parity.state(), State::RunDown);
        assert_eq!(parity.wait(), WayOut::Drained);
    }
}

#[test]
fn parity_underflows_as_nt_does() {
    let reference = unchecked();
    release(&reference);
    assert_eq!(reference.state(), State::of(0_usize.wrapping_sub(2)));
}

#[test]
#[should_panic(expected = "ReleaseWithoutAcquire")]
fn a_release_too_many_is_detected() {
    release(&Checked::new());
}

#[test]
#[should_panic(expected = "ReleaseAfterRundown")]
fn a_release_after_run_down_is_detected() {
    release(&Checked::new_run_down());
}

#[test]
#[should_panic(expected = "CompletedInUse")]
fn completing_a_held_reference_is_detected() {
    let reference = Checked::new();
    assert!(reference.acquire());
    reference.completed();
}

#[test]
#[should_panic(expected = "ReinitializedInUse")]
fn reinitializing_a_held_reference_is_detected() {
    let reference = Checked::new();
    assert!(reference.acquire());
    reference.reinitialize();
}

#[test]
fn a_second_waiter_is_detected_while_the_first_waits() {
    let reference = Checked::new();
    assert!(reference.acquire());
    thread::scope(|scope| {
        scope.spawn(|| reference.wait());
        while !matches!(reference.state(), State::Waiting(_)) {
            thread::yield_now();
        }
        let second = scope
            .spawn(|| reference.wait())
            .join()
            .expect_err("two threads waited at a time");
        assert!(
            second
                .downcast_ref::<String>()
                .unwrap()
                .contains("ConcurrentWait")
        );
        release(&reference);
    });
}

/// Many generations with many holders, by each way out.
#[test]
fn no_holder_is_inside_after_a_wait() {
    const GENERATIONS: usize = if cfg!(miri) { 20 } else { 2_000 };
    const HOLDERS: usize = 3;
    let mut all = impatient().to_vec();
    all.extend([
        PATIENT,
        Settings {
            monitorx: true,
            ..PATIENT
        },
        Settings {
            irql: DISPATCH_LEVEL,
            ..PATIENT
        },
        Settings::DEFAULT,
    ]);
    for settings in all {
        let reference = Checked::new();
        let inside = AtomicUsize::new(0);
        let generation = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..HOLDERS {
                scope.spawn(|| {
                    while generation.load(Relaxed) < GENERATIONS {
                        if reference.acquire() {
                            // Relaxed throughout: only the reference orders these.
                            inside.fetch_add(1, Relaxed);
                            thread::yield_now();
                            inside.fetch_sub(1, Relaxed);
                            release(&reference);
                        } else {
                            thread::yield_now();
                        }
                    }
                });
            }
            settings.with(|| {
                for _ in 0..GENERATIONS {
                    reference.wait();
                    assert_eq!(inside.load(Relaxed), 0, "a holder is inside after the wait");
                    reference.completed();
                    reference.reinitialize();
                    generation.fetch_add(1, Relaxed);
                }
            });
        });
    }
}
