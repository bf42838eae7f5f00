//! NT's code against ours, and wrong releasers against NT's waiter.
//!
//! Everything runs on `own.uf`, a listing of routines written for these tests, and once more on the listing that
//! `RUNDOWN_NATIVE_LISTING` names, which is data of whoever runs the tests. Without it those are reported as ignored.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(unsafe_code, reason = "wrong releasers work on a wait block by hand")]

use std::{
    process::Command,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use ex_rundown::{Parity, State, Strict, WayOut};
use libtest_mimic::{Arguments, Failed, Trial};
use rundown_native::{
    Arm, Native, Ours, Word,
    event::KEvent,
    exports::ke_set_event,
    interop::{self, Report},
    lockstep,
    probe::Monitorx,
};

const OWN: &str = include_str!("own.uf");
/// Set in the child of `a_fault_of_somebody_else_still_kills`.
const FAULT: &str = "RUNDOWN_NATIVE_TEST_FAULT";

/// A listing to test with, and how much.
#[derive(Clone)]
struct Subject {
    listing: Vec<u8>,
    steps: u64,
    waits: u64,
}

type Test = fn(&Subject) -> Result<(), Failed>;

fn main() {
    if std::env::var_os(FAULT).is_some() {
        return fault();
    }
    let own = Subject {
        listing: OWN.into(),
        steps: 100_000,
        waits: 100,
    };
    let nt = std::env::var_os("RUNDOWN_NATIVE_LISTING").map(|path| Subject {
        listing: std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        steps: 1_000_000,
        waits: 1_000,
    });
    let tests: [(&str, bool, Test); 9] = [
        ("lockstep_with_parity", false, |subject| {
            in_lockstep(subject, &Ours::<Parity>::new(), false)
        }),
        ("lockstep_with_strict", false, |subject| {
            in_lockstep(subject, &Ours::<Strict>::new(), true)
        }),
        ("interop_by_event", false, |subject| by(subject, WayOut::Event)),
        ("interop_by_pause", false, |subject| by(subject, WayOut::Pause)),
        ("interop_by_mwaitx", true, |subject| by(subject, WayOut::Monitorx)),
        ("interop_at_dispatch_level", false, |subject| {
            by(subject, WayOut::Dispatch)
        }),
        ("wrong_releasers_are_found", false, wrong_releasers),
        (
            "lockstep_finds_wrong_releasers",
            false,
            lockstep_with_wrong_releasers,
        ),
        ("no_page_is_writable_and_executable", false, no_page_is_both),
    ];
    let mut trials = Vec::new();
    for (name, needs_monitorx, test) in tests {
        let mut add = |whose: &str, subject: Option<Subject>, why_not: &str| {
            let name = format!("{whose}::{name}");
            trials.push(match subject {
                Some(_) if needs_monitorx && !Monitorx::probe().executes => {
                    not_run(&name, "user mode may not execute MONITORX here")
                }
                Some(subject) => Trial::test(name, move || test(&subject)),
                None => not_run(&name, why_not),
            });
        };
        add("own", Some(own.clone()), "");
        add("nt", nt.clone(), "no listing");
    }
    trials.push(Trial::test("unusable_listings_are_refused_in_one_line", unusable));
    trials.push(Trial::test("what_is_not_run_here_refuses_nothing", not_run_here));
    trials.push(Trial::test(
        "a_fault_of_somebody_else_still_kills",
        somebody_elses_fault,
    ));
    let mut arguments = Arguments::from_args();
    // They have two processors' worth of threads each.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

fn not_run(name: &str, why: &str) -> Trial {
    Trial::test(format!("{name} (not run: {why})"), || Ok(())).with_ignored_flag(true)
}

fn load(subject: &Subject) -> Result<Native, Failed> {
    Ok(Native::load(&subject.listing)?)
}

fn in_lockstep(subject: &Subject, ours: &dyn Arm, strict: bool) -> Result<(), Failed> {
    let native = load(subject)?;
    let monitorx = Monitorx::probe().executes;
    let plan = lockstep::Plan {
        steps: subject.steps,
        seed: 8,
        monitorx,
        strict,
    };
    let done = lockstep::compare(&native, ours, &|cycles| native.set_spin_cycles(cycles), plan)
        .map_err(|difference| difference.to_string())?;
    assert!(done.steps >= subject.steps);
    for (way_out, waits) in lockstep::WAYS_OUT.iter().zip(done.waits) {
        assert!(
            waits > 20 || (*way_out == WayOut::Monitorx && !monitorx),
            "{way_out:?}: {waits}"
        );
    }
    Ok(())
}

fn plan<'a>(
    holders: &'a [&'a dyn Arm],
    waiter: &'a dyn Arm,
    way_out: WayOut,
    waits: u64,
) -> interop::Plan<'a> {
    interop::Plan {
        holders,
        waiter,
        threads: 2,
        way_out,
        waits,
        patience: Duration::from_mins(3),
        hang: Duration::from_secs(20),
        seed: 8,
    }
}

fn by(subject: &Subject, way_out: WayOut) -> Result<(), Failed> {
    let native = load(subject)?;
    native.set_spin_cycles(interop::settings(way_out).spin_cycles);
    let ours = Ours::<Parity>::new();
    let strict = Ours::<Strict>::new();
    let sides: [(&dyn Arm, &[&dyn Arm]); 5] = [
        (&native, &[&ours]),
        (&ours, &[&native]),
        (&native, &[&ours, &native]),
        (&ours, &[&ours, &native]),
        (&strict, &[&strict, &native]),
    ];
    for (waiter, holders) in sides {
        let report = interop::run(&plan(holders, waiter, way_out, subject.waits));
        if !report.passed() {
            return Err(format!("{report:?}").into());
        }
        assert_eq!(
            way_out == WayOut::Event,
            report.ke_waits >= report.wanted,
            "{report:?}"
        );
    }
    Ok(())
}

/// What a releaser does wrongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wrong {
    /// Nothing: the control.
    #[default]
    Nothing,
    /// It hands over with every release, not only with the last.
    HandsOverTooEarly,
    /// It looks at the flag and does not clear it.
    LeavesTheFlag,
    /// It clears the flag when it was set, and takes that for a sleeping waiter.
    TakesTheFlagTheWrongWayRound,
    /// It wakes nobody.
    SkipsTheEvent,
    /// It sets the event of a waiter that spins, too.
    AlwaysSetsTheEvent,
    /// `Count` is elsewhere.
    CountAt(usize),
    /// `SpinFlag` is elsewhere.
    FlagAt(usize),
    /// `WakeEvent` is elsewhere.
    EventAt(usize),
    /// It gives two references back.
    SubtractsTwo,
}

/// Acquires as ours, and releases wrongly during a wait.
#[derive(Clone, Copy, Debug, Default)]
struct Mutant(Wrong);

impl Arm for Mutant {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn acquire(&self, word: &Word) -> bool {
        word.as_ours::<Parity>().acquire()
    }

    unsafe fn release(&self, word: &Word) {
        // SAFETY: everybody accesses it atomically.
        let value = unsafe { AtomicUsize::from_ptr(word.as_ptr()) };
        let mut old = value.load(SeqCst);
        loop {
            match State::of(old) {
                // A mutant has let the waiter go too early, and the object is dead: NT would write to address 0 now.
                State::RunDown => return,
                State::Live(_) => (),
                State::Waiting(_) => break,
            }
            match value.compare_exchange(old, old.wrapping_sub(2), SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
        let at = |offset: usize| std::ptr::with_exposed_provenance_mut::<u64>((old & !1) + offset);
        let Self(wrong) = *self;
        let count = at(if let Wrong::CountAt(offset) = wrong {
            offset
        } else {
            0
        });
        // SAFETY: within the block, whose waiter waits for this (unless a mutant has let it go before: then it is the
        // unused stack far below its frames).
        let count = unsafe { AtomicUsize::from_ptr(count.cast()) };
        let before = count.fetch_sub(if wrong == Wrong::SubtractsTwo { 2 } else { 1 }, SeqCst);
        if before != 1 && wrong != Wrong::HandsOverTooEarly {
            return;
        }
        let flag = at(if let Wrong::FlagAt(offset) = wrong {
            offset
        } else {
            0x20
        });
        // SAFETY: as above.
        let flag = unsafe { AtomicU32::from_ptr(flag.cast()) };
        let spinning = match wrong {
            Wrong::LeavesTheFlag => flag.load(SeqCst),
            _ => flag.fetch_and(!1, SeqCst),
        } & 1
            == 1;
        let sets = match wrong {
            Wrong::SkipsTheEvent => false,
            Wrong::AlwaysSetsTheEvent => true,
            Wrong::TakesTheFlagTheWrongWayRound => spinning,
            _ => !spinning,
        };
        if sets {
            let event = at(if let Wrong::EventAt(offset) = wrong {
                offset
            } else {
                0x08
            });
            // SAFETY: within the block, as above.
            unsafe { ke_set_event(event.cast::<KEvent>(), 0, 0) };
        }
    }

    fn wait(&self, word: &Word) -> WayOut {
        word.as_ours::<Parity>().wait()
    }
}

fn with_mutant(native: &Native, wrong: Wrong, way_out: WayOut, waits: u64) -> Report {
    native.set_spin_cycles(interop::settings(way_out).spin_cycles);
    let mutant = Mutant(wrong);
    let holders: [&dyn Arm; 1] = [&mutant];
    interop::run(&interop::Plan {
        patience: Duration::from_secs(10),
        // Longer than a spin of 2^32 cycles.
        hang: Duration::from_secs(4),
        ..plan(&holders, native, way_out, waits)
    })
}

fn wrong_releasers(subject: &Subject) -> Result<(), Failed> {
    let native = load(subject)?;
    for way_out in [WayOut::Event, WayOut::Pause, WayOut::Dispatch] {
        let report = with_mutant(&native, Wrong::Nothing, way_out, 20);
        assert!(report.passed(), "the control: {report:?}");
    }
    for (wrong, way_out) in [
        (Wrong::HandsOverTooEarly, WayOut::Dispatch),
        (Wrong::HandsOverTooEarly, WayOut::Pause),
        (Wrong::LeavesTheFlag, WayOut::Dispatch),
        (Wrong::TakesTheFlagTheWrongWayRound, WayOut::Event),
        (Wrong::TakesTheFlagTheWrongWayRound, WayOut::Dispatch),
        (Wrong::SkipsTheEvent, WayOut::Event),
        (Wrong::AlwaysSetsTheEvent, WayOut::Dispatch),
        (Wrong::CountAt(0x08), WayOut::Event),
        (Wrong::CountAt(0x18), WayOut::Dispatch),
        (Wrong::FlagAt(0x24), WayOut::Dispatch),
        (Wrong::FlagAt(0x1c), WayOut::Dispatch),
        (Wrong::EventAt(0x10), WayOut::Event),
        (Wrong::EventAt(0x00), WayOut::Event),
        (Wrong::SubtractsTwo, WayOut::Event),
    ] {
        let report = with_mutant(&native, wrong, way_out, 1_000);
        if report.sound() {
            return Err(format!("{wrong:?} was not found: {report:?}").into());
        }
    }
    Ok(())
}

/// NT's waiter with a wrong releaser, against NT's waiter with NT's.
struct NativeWaiter<'a>(&'a Native, Mutant);

impl Arm for NativeWaiter<'_> {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn acquire(&self, word: &Word) -> bool {
        self.0.acquire(word)
    }

    unsafe fn release(&self, word: &Word) {
        // SAFETY: the caller's promise.
        unsafe { self.1.release(word) };
    }

    fn wait(&self, word: &Word) -> WayOut {
        self.0.wait(word)
    }
}

fn lockstep_with_wrong_releasers(subject: &Subject) -> Result<(), Failed> {
    let native = load(subject)?;
    let compare = |wrong| {
        let plan = lockstep::Plan {
            steps: 20_000,
            seed: 8,
            monitorx: false,
            strict: false,
        };
        let set = |cycles| native.set_spin_cycles(cycles);
        lockstep::compare(
            &NativeWaiter(&native, Mutant(wrong)),
            &Ours::<Parity>::new(),
            &set,
            plan,
        )
    };
    compare(Wrong::Nothing).map_err(|difference| format!("the control: {difference}"))?;
    for wrong in [
        Wrong::HandsOverTooEarly,
        Wrong::LeavesTheFlag,
        Wrong::TakesTheFlagTheWrongWayRound,
        Wrong::SkipsTheEvent,
        Wrong::CountAt(0x08),
        Wrong::FlagAt(0x24),
        Wrong::EventAt(0x10),
        Wrong::SubtractsTwo,
    ] {
        let Err(difference) = compare(wrong) else {
            return Err(format!("{wrong:?} was not found").into());
        };
        let trace = difference.to_string();
        assert!(trace.contains("mutant: ") && trace.contains("ours: "), "{trace}");
    }
    Ok(())
}

fn no_page_is_both(subject: &Subject) -> Result<(), Failed> {
    let _native = load(subject)?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    assert!(maps.contains(" r-xp "));
    match maps.lines().find(|line| line.contains(" rwx")) {
        Some(line) => Err(line.into()),
        None => Ok(()),
    }
}

fn unusable() -> Result<(), Failed> {
    let without = |from: &str, to: &str| {
        let (start, end) = (OWN.find(from).unwrap(), OWN.find(to).unwrap_or(OWN.len()));
        [&OWN[..start], &OWN[end..]].concat()
    };
    let release = "nt!ExReleaseRundownProtection:";
    let wait = "nt!ExWaitForRundownProtectionRelease:";
    for (listing, what) in [
        (String::new(), "there is no row"),
        (
            without(wait, "\u{0}"),
            "ExWaitForRundownProtectionRelease is not listed; dump it too: `uf nt!ExWait",
        ),
        // The command stays, and its answer is another routine's.
        (
            without(release, wait),
            "where ExReleaseRundownProtection was asked for, the debugger printed nt!ExWait",
        ),
        (
            OWN.replace("KeYieldProcessorEx", "KeStallSomehow"),
            "refers to nt!KeStallSomehow",
        ),
        (OWN.replace("pause", "nop"), "the bytes mean `pause`"),
    ] {
        let error = Native::load(listing.as_bytes()).err().ok_or(what)?.to_string();
        assert!(
            error.contains(what) && error.lines().count() == 1,
            "{what}: {error}"
        );
    }
    Ok(())
}

/// Only the cache-aware routines set the event themselves.
fn not_run_here() -> Result<(), Failed> {
    let native = Native::load(OWN.replace("nt!KeSetEvent", "nt!KeSomehow").as_bytes())?;
    let origin = |name: &str| {
        let origins = native.origins();
        let origin = origins.iter().find(|(symbol, _)| symbol == name);
        origin.map(|(_, origin)| origin.to_string())
    };
    let release = origin("nt!ExReleaseRundownProtectionCacheAwareEx").ok_or("it is not told of")?;
    assert!(release.ends_with(", which is not run"), "{release}");
    assert_eq!(origin("nt!KeSomehow"), None);
    Ok(())
}

/// Runs a wait whose faults are answered, and then faults on its own account.
fn fault() {
    let native = Native::load(OWN.as_bytes()).unwrap();
    // SAFETY: one thread has it.
    let word = unsafe { Word::new() };
    assert!(native.acquire(&word));
    // SAFETY: as above.
    let fresh = unsafe { Word::new() };
    assert_eq!(native.wait(&fresh), WayOut::Drained);
    let nowhere = std::ptr::without_provenance::<u8>(std::env::args().count() * 8);
    // SAFETY: none: this is the fault.
    std::process::exit(i32::from(unsafe { nowhere.read_volatile() }));
}

fn somebody_elses_fault() -> Result<(), Failed> {
    use std::os::unix::process::ExitStatusExt;
    let status = Command::new(std::env::current_exe()?).env(FAULT, "1").status()?;
    // SIGSEGV.
    assert_eq!(status.signal(), Some(11), "{status}");
    Ok(())
}
