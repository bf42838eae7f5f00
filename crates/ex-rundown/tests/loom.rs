//! Every interleaving of small scenes, by loom: `RUSTFLAGS="--cfg loom" cargo test -p ex-rundown --release --test loom`.
//!
//! A scene checks what the contract promises: no wake is lost (loom reports a deadlock), no holder is inside after
//! the wait and everything that it did is visible (loom's cells), and no releaser touches the wait block once the
//! waiter may return (the block's frame is such a cell too).
#![cfg(loom)]

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use ex_rundown::{
    AtMostApcLevel, AtomicU32, Check, DISPATCH_LEVEL, Irql, Misuse, PASSIVE_LEVEL, Parity, Platform,
    RundownRef, Strict, WayOut,
};
use loom::{cell::UnsafeCell, model::Builder, sync::Arc, thread};

/// How the waiter of a scene waits.
trait Way: 'static {
    const IRQL: Irql = PASSIVE_LEVEL;
    const UNPARKED: u16 = 2;
    const MONITORX: bool = false;
    const LAPS: u32 = 1;
}

struct Asleep;
impl Way for Asleep {
    const UNPARKED: u16 = 1;
}

struct ByPause;
impl Way for ByPause {}

struct ByMonitor;
impl Way for ByMonitor {
    const MONITORX: bool = true;
}

struct AtDispatch;
impl Way for AtDispatch {
    const IRQL: Irql = DISPATCH_LEVEL;
}

struct Loom<W>(PhantomData<W>);

struct Event {
    signalled: loom::sync::atomic::AtomicBool,
    waiter: thread::Thread,
}

// SAFETY: the event does not signal before it is set, and the setter clones the handle before it signals.
unsafe impl<W: Way> Platform for Loom<W> {
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
    /// A clock that moves by one cycle per reading, so that a budget of n is n laps. Outside loom's sight, and
    /// that is all right: it is only ever read by the one waiter, in its own order.
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
            signalled: loom::sync::atomic::AtomicBool::new(false),
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

/// What protection protects: loom fails a run in which an access is not ordered after a conflicting one.
struct Object<W: Way, C: Check> {
    reference: RundownRef<Loom<W>, C>,
    /// One cell per holder, so that holders do not conflict with each other.
    cells: Vec<UnsafeCell<u32>>,
}

impl<W: Way, C: Check> Object<W, C> {
    fn new(holders: usize) -> Arc<Self> {
        let cells = (0..holders).map(|_| UnsafeCell::new(0)).collect();
        Arc::new(Self {
            reference: RundownRef::new(),
            cells,
        })
    }

    fn use_cell(&self, holder: usize) {
        // SAFETY: the holder has a reference, and the cell is its own; loom checks that the waiter stays away.
        self.cells[holder].with_mut(|cell| unsafe { *cell += 1 });
    }

    fn release(&self) {
        // SAFETY: each holder calls this once for the one reference that it acquired.
        unsafe { self.reference.release() };
    }

    /// What the owner does once it has the object to itself.
    fn tear_down(&self) {
        for cell in &self.cells {
            // SAFETY: the wait has returned; loom checks that nobody is inside.
            cell.with_mut(|cell| unsafe { *cell = u32::MAX });
        }
    }
}

/// Runs a scene over every interleaving with at most `bound` preemptions, and prints what that came to.
fn model(name: &str, bound: Option<usize>, scene: impl Fn() + Sync + Send + 'static) {
    let start = Instant::now();
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.preemption_bound = bound;
    // No limit in time or branches: loom would stop there and call the model passed.
    builder.max_duration = None;
    builder.max_permutations = None;
    let count = executions.clone();
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        scene();
    });
    let bound = bound.map_or("none".into(), |bound| bound.to_string());
    println!(
        "loom: {name}: bound {bound}, {} executions, {:.1} s, complete",
        executions.load(Ordering::Relaxed),
        start.elapsed().as_secs_f64()
    );
}

/// Holders that hold a reference when the waiter begins.
fn holders_release<W: Way, C: Check>(name: &str, holders: usize, bound: Option<usize>) {
    model(name, bound, move || {
        let object = Object::<W, C>::new(holders);
        for _ in 0..holders {
            assert!(object.reference.acquire());
        }
        let threads: Vec<_> = (0..holders)
            .map(|holder| {
                let object = object.clone();
                thread::spawn(move || {
                    object.use_cell(holder);
                    object.release();
                })
            })
            .collect();
        object.reference.wait();
        object.tear_down();
        assert!(!object.reference.acquire());
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A holder that acquires while the waiter begins, and the next generation after it.
fn acquirer_and_two_generations<W: Way, C: Check>(name: &str, bound: Option<usize>) {
    model(name, bound, move || {
        let object = Object::<W, C>::new(1);
        let holder = object.clone();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                if holder.reference.acquire() {
                    holder.use_cell(0);
                    holder.release();
                }
            }
        });
        object.reference.wait();
        object.tear_down();
        object.reference.completed();
        object.reference.reinitialize();
        object.reference.wait();
        object.tear_down();
        thread.join().unwrap();
    });
}

#[test]
fn one_holder_asleep() {
    holders_release::<Asleep, Strict>("1 holder, event", 1, None);
    holders_release::<Asleep, Parity>("1 holder, event, parity", 1, None);
}

#[test]
fn one_holder_by_pause() {
    holders_release::<ByPause, Strict>("1 holder, pause then event", 1, None);
}

#[test]
fn one_holder_by_monitor() {
    holders_release::<ByMonitor, Strict>("1 holder, monitor then event", 1, None);
}

#[test]
fn one_holder_at_dispatch() {
    holders_release::<AtDispatch, Strict>("1 holder, dispatch", 1, None);
}

#[test]
fn two_holders_asleep() {
    holders_release::<Asleep, Strict>("2 holders, event", 2, Some(5));
}

#[test]
fn two_holders_by_pause() {
    holders_release::<ByPause, Strict>("2 holders, pause then event", 2, Some(3));
}

#[test]
fn two_holders_at_dispatch() {
    holders_release::<AtDispatch, Strict>("2 holders, dispatch", 2, Some(5));
}

#[test]
fn generations_asleep() {
    acquirer_and_two_generations::<Asleep, Strict>("acquirer across 2 generations, event", Some(5));
}

#[test]
fn generations_parity() {
    acquirer_and_two_generations::<Asleep, Parity>("acquirer across 2 generations, event, parity", Some(3));
}

/// The ways out that the scenes are named for do occur.
#[test]
fn each_way_out_is_reached() {
    fn ways<W: Way>() -> Vec<WayOut> {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let ways = seen.clone();
        model("ways out", None, move || {
            let object = Object::<W, Strict>::new(1);
            assert!(object.reference.acquire());
            let holder = object.clone();
            let thread = thread::spawn(move || holder.release());
            let way = object.reference.wait();
            let mut ways = ways.lock().unwrap();
            if !ways.contains(&way) {
                ways.push(way);
            }
            drop(ways);
            thread.join().unwrap();
        });
        seen.lock().unwrap().clone()
    }
    let contains = |ways: &[WayOut], expected: &[WayOut]| expected.iter().all(|way| ways.contains(way));
    assert!(contains(
        &ways::<Asleep>(),
        &[WayOut::Drained, WayOut::Event, WayOut::Late]
    ));
    assert!(contains(
        &ways::<ByPause>(),
        &[WayOut::Drained, WayOut::Pause, WayOut::Event, WayOut::Late]
    ));
    assert!(contains(
        &ways::<ByMonitor>(),
        &[WayOut::Drained, WayOut::Monitorx, WayOut::Event, WayOut::Late]
    ));
    assert!(contains(
        &ways::<AtDispatch>(),
        &[WayOut::Drained, WayOut::Dispatch]
    ));
}
