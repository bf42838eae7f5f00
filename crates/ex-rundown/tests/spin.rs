//! How a waiter spins, look by look, on a platform that writes down what it is asked for.
#![cfg(not(any(ex_rundown_loom, ex_rundown_shuttle)))]

use std::cell::{Cell, RefCell};

use ex_rundown::{AtMostApcLevel, AtomicU32, Irql, Misuse, PASSIVE_LEVEL, Platform, RundownRef, WayOut};

/// What the waiter asks the platform for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Monitor,
    MonitorWait(u32),
    Yield,
    Event,
}
use Asked::{Event, Monitor, MonitorWait, Yield};

thread_local! {
    static ASKED: RefCell<Vec<Asked>> = const { RefCell::new(Vec::new()) };
    /// The readings of the clock, the next one last.
    static CLOCK: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    static MACHINE: Cell<Machine> = const { Cell::new(Machine { budget: 0, monitorx: false, per_yield: 1, handed_over: usize::MAX }) };
    static REFERENCE: RundownRef<Recorder> = const { RundownRef::new() };
}

#[derive(Clone, Copy)]
struct Machine {
    budget: u32,
    monitorx: bool,
    per_yield: u16,
    /// At which of the waiter's questions its one holder hands over; the event comes after all.
    handed_over: usize,
}

#[derive(Debug)]
struct Recorder;

impl Recorder {
    fn asked(question: Asked) {
        let number = ASKED.with_borrow_mut(|asked| {
            asked.push(question);
            asked.len()
        });
        if number == MACHINE.get().handed_over || question == Event {
            // SAFETY: `wait` acquired it, and this happens once: the event is asked for only by a waiter that still waits.
            REFERENCE.with(|reference| unsafe { reference.release() });
        }
    }
}

// SAFETY: nothing blocks, and the event is nothing.
unsafe impl Platform for Recorder {
    type Event = ();

    fn current_irql() -> Irql {
        PASSIVE_LEVEL
    }
    fn spin_cycles() -> u32 {
        MACHINE.get().budget
    }
    fn unparked_processors() -> u16 {
        2
    }
    fn has_monitorx() -> bool {
        MACHINE.get().monitorx
    }
    fn cycles_per_yield() -> u16 {
        MACHINE.get().per_yield
    }
    fn timestamp() -> u64 {
        CLOCK.with_borrow_mut(|clock| clock.pop().expect("the script has as many readings"))
    }
    unsafe fn monitor(_flag: &AtomicU32) {
        Self::asked(Monitor);
    }
    unsafe fn monitor_wait(cycles: u32) {
        Self::asked(MonitorWait(cycles));
    }
    fn yield_processor() {
        Self::asked(Yield);
    }
    unsafe fn initialize_event(_event: *mut ()) {}
    unsafe fn set_event(_event: *const ()) {}
    unsafe fn wait_for_event(_event: *const (), _level: &AtMostApcLevel) {
        Self::asked(Event);
    }
    fn misuse(misuse: Misuse, word: usize) -> ! {
        panic!("{misuse:?} with word {word:#x}")
    }
}

/// A wait for one holder: how it ended, and what was asked for.
fn wait(machine: Machine, clock: &[u64]) -> (WayOut, Vec<Asked>) {
    ASKED.take();
    MACHINE.set(machine);
    CLOCK.set(clock.iter().rev().copied().collect());
    let way_out = REFERENCE.with(|reference| {
        reference.reinitialize();
        assert!(reference.acquire());
        reference.wait()
    });
    assert!(
        CLOCK.take().is_empty(),
        "the clock is read as often as the script says"
    );
    (way_out, ASKED.take())
}

const BY_MONITOR: Machine = Machine {
    budget: 100,
    monitorx: true,
    per_yield: 1,
    handed_over: usize::MAX,
};

#[test]
fn the_monitor_is_armed_before_each_look() {
    let machine = Machine {
        handed_over: 1,
        ..BY_MONITOR
    };
    assert_eq!(wait(machine, &[1000]), (WayOut::Monitorx, vec![Monitor]));
    let machine = Machine {
        handed_over: 3,
        ..BY_MONITOR
    };
    let asked = vec![Monitor, MonitorWait(70), Monitor];
    assert_eq!(wait(machine, &[1000, 1030]), (WayOut::Monitorx, asked));
}

#[test]
fn it_dozes_for_what_is_left_of_the_budget() {
    // A clock that stands still has not gone backwards.
    let asked = vec![
        Monitor,
        MonitorWait(100),
        Monitor,
        MonitorWait(60),
        Monitor,
        MonitorWait(1),
        Monitor,
        Event,
    ];
    let readings = [1000, 1000, 1040, 1099, 1100];
    assert_eq!(wait(BY_MONITOR, &readings), (WayOut::Event, asked));
}

#[test]
fn a_clock_that_goes_backwards_ends_the_spin() {
    let asked = vec![Monitor, MonitorWait(50), Monitor, Event];
    assert_eq!(wait(BY_MONITOR, &[1000, 1050, 1049]), (WayOut::Event, asked));
}

#[test]
fn it_pauses_as_often_as_the_budget_has_yields() {
    let by_pause = Machine {
        monitorx: false,
        budget: 17,
        per_yield: 5,
        ..BY_MONITOR
    };
    assert_eq!(
        wait(by_pause, &[]),
        (WayOut::Event, vec![Yield, Yield, Yield, Event])
    );
    // It looks once more when the laps are used up.
    let at_the_last = Machine {
        handed_over: 3,
        ..by_pause
    };
    assert_eq!(wait(at_the_last, &[]), (WayOut::Pause, vec![Yield, Yield, Yield]));
    let at_once = Machine {
        handed_over: 1,
        ..by_pause
    };
    assert_eq!(wait(at_once, &[]), (WayOut::Pause, vec![Yield]));
}

/// Each `CyclesPerYield` divides the budget, and 0 is taken for 1.
#[test]
fn every_cost_of_a_yield_divides_the_budget() {
    for (per_yield, laps) in [(0, 7), (1, 7), (2, 3), (7, 1), (8, 0)] {
        let machine = Machine {
            monitorx: false,
            budget: 7,
            per_yield,
            ..BY_MONITOR
        };
        let mut asked = vec![Yield; laps];
        asked.push(Event);
        assert_eq!(
            wait(machine, &[]),
            (WayOut::Event, asked),
            "{per_yield} per yield"
        );
    }
}
