//! The kernel's test of itself, on as many processors as the machine has: no driver is needed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use rundown_lab_kernel::bug::code;
use rundown_lab_kernel::config::Config;
use rundown_lab_kernel::export::Export;
use rundown_lab_kernel::hal::{apic, clock, cpu, hpet, pcr};
use rundown_lab_kernel::interrupt;
use rundown_lab_kernel::judge::trial;
use rundown_lab_kernel::ke::dpc::{Dpc, importance};
use rundown_lab_kernel::ke::event::{self, Event};
use rundown_lab_kernel::ke::irql::{DISPATCH_LEVEL, HIGH_LEVEL, Raised};
use rundown_lab_kernel::ke::object::{Header, Kind, Semaphore, Timer};
use rundown_lab_kernel::ke::spawn;
use rundown_lab_kernel::ke::{irql, processor, sched, thread, timer, wait};
use rundown_lab_kernel::ldr::{
    export,
    image::{Image, Role},
    pe::Headers,
};
use rundown_lab_kernel::mm::pool::{self, FreeError, Placement, Tag};
use rundown_lab_kernel::mm::{self, PAGE, frames, paging};
use rundown_lab_kernel::rtl::printf;
use rundown_lab_kernel::{log, rng};

type Outcome = Result<(), &'static str>;

macro_rules! ensure {
    ($condition:expr) => {
        if !$condition {
            return Err(concat!(file!(), ":", line!(), ": ", stringify!($condition)));
        }
    };
}

type Test = fn(&Config) -> Outcome;

const TESTS: &[(&str, Test)] = &[
    ("threads run and end", threads),
    ("threads give their memory back", thread_memory),
    (
        "a synchronization event lets one through, a notification event all",
        events,
    ),
    ("two threads hand a turn to and fro", ping_pong),
    ("time keeps the HPET's pace", pace),
    ("the clock ticks equally often on every processor", ticks),
    ("waits end at their time, not before", timeouts),
    ("waiting for all takes nothing until all are there", wait_for_all),
    ("a semaphore counts", semaphores),
    ("the clock preempts", preemption),
    ("a more urgent thread runs first", priorities),
    ("affinity moves a thread", affinity),
    ("DPCs run on their processor at DISPATCH_LEVEL", dpcs),
    (
        "DPCs are queued and begin as their importance says",
        dpc_importance,
    ),
    ("timers expire, repeat and are cancelled", timers),
    ("a pool block ends at a page that is not mapped", pool_guard),
    ("pool misuse is told apart", pool_misuse),
    ("freed pool rests before its addresses are used again", pool_rest),
    ("KUSER_SHARED_DATA says what was asked for", shared_data),
    ("each export has one place", exports),
    (
        "each export may be called at the IRQLs that it names, and no other",
        export_irqls,
    ),
    ("DbgPrint formats as Windows does", formats),
    ("bad images are refused", bad_images),
    ("random numbers fill their range", random),
];

/// Runs every test; how many failed.
pub(crate) fn run(config: &'static Config) -> usize {
    let mut failed = 0;
    for (name, test) in TESTS {
        if let Err(place) = test(config) {
            log!("log: FAILED: {name}: {place}");
            failed += 1;
        }
    }
    log!("log: {} passed, {failed} failed", TESTS.len() - failed);
    failed
}

/// Something that the threads of a test share, for ever: the machine is switched off afterwards.
fn shared<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn join(thread: &Arc<thread::Thread>) {
    // SAFETY: the `Arc` keeps the thread until the wait is over.
    let header = unsafe { Header::at(&raw const thread.header) };
    wait::wait(&[header], false, None, false);
}

fn threads(_: &Config) -> Outcome {
    const EACH: u64 = 500;
    let count = shared(AtomicU64::new(0));
    let threads: Vec<_> = (0..24)
        .map(|_| {
            spawn::spawn("count", move || {
                for turn in 0..EACH {
                    count.fetch_add(1, SeqCst);
                    if turn % 50 == 0 {
                        sched::yield_now();
                    }
                }
            })
        })
        .collect();
    threads.iter().for_each(join);
    ensure!(count.load(SeqCst) == 24 * EACH);
    ensure!(threads.iter().all(|thread| thread.state() == thread::State::Dead));
    Ok(())
}

fn thread_memory(_: &Config) -> Outcome {
    let run = || {
        (0..8)
            .map(|_| spawn::spawn("short", || {}))
            .collect::<Vec<_>>()
            .iter()
            .for_each(join);
    };
    (0..16).for_each(|_| run());
    wait::sleep(20);
    let before = frames::free_pages();
    (0..64).for_each(|_| run());
    wait::sleep(20);
    // Only page tables may have been added: one covers 73 stacks.
    ensure!(before - frames::free_pages() < 32);
    Ok(())
}

fn events(_: &Config) -> Outcome {
    for (kind, through) in [(Kind::SynchronizationEvent, 1), (Kind::NotificationEvent, 4)] {
        let event = shared(Event::new(kind));
        let passed = shared(AtomicU32::new(0));
        let threads = [0, 1, 2, 3].map(|_| {
            spawn::spawn("waiter", move || {
                event.wait();
                passed.fetch_add(1, SeqCst);
            })
        });
        wait::sleep(5);
        ensure!(passed.load(SeqCst) == 0);
        event.set();
        wait::sleep(50);
        ensure!(passed.load(SeqCst) == through);
        while passed.load(SeqCst) < 4 {
            event.set();
            wait::sleep(1);
        }
        threads.iter().for_each(join);
    }
    Ok(())
}

fn ping_pong(_: &Config) -> Outcome {
    const TURNS: u32 = 3_000;
    let there = shared(Event::new(Kind::SynchronizationEvent));
    let back = shared(Event::new(Kind::SynchronizationEvent));
    let other = spawn::spawn("pong", move || {
        for _ in 0..TURNS {
            there.wait();
            back.set();
        }
    });
    for _ in 0..TURNS {
        there.set();
        ensure!(back.wait_for(20_000));
    }
    join(&other);
    Ok(())
}

/// However busy the host was when the clocks were calibrated.
fn pace(_: &Config) -> Outcome {
    let (start, first) = clock::together(hpet::counter);
    wait::sleep(20);
    let (end, last) = clock::together(hpet::counter);
    let nanoseconds = u128::from(end - start) * 1_000_000_000 / u128::from(clock::cycles_per_second());
    let expected = u128::from(last.wrapping_sub(first)) * u128::from(hpet::period()) / 1_000_000;
    ensure!(nanoseconds.abs_diff(expected) * 100 < expected);
    Ok(())
}

/// What each measured by itself, however busy the host was then, is the same.
fn ticks(config: &Config) -> Outcome {
    let mut rates = Vec::new();
    for number in 0..config.cpus {
        let before = processor::set_affinity(1 << number);
        rates.push(apic::ticks_per_interrupt());
        processor::set_affinity(before);
    }
    ensure!(rates.iter().all(|rate| rate.abs_diff(rates[0]) * 50 < rates[0]));
    Ok(())
}

fn timeouts(_: &Config) -> Outcome {
    let event = shared(Event::new(Kind::SynchronizationEvent));
    for milliseconds in [1, 7, 20] {
        let start = clock::interrupt_time();
        ensure!(!event.wait_for(milliseconds));
        ensure!(clock::interrupt_time() - start >= milliseconds * 10_000);
    }
    let start = clock::interrupt_time();
    wait::delay((clock::system_time() + 100_000) as i64);
    ensure!(clock::interrupt_time() - start >= 100_000);
    event.set();
    ensure!(event.wait_for(20_000));
    ensure!(!event.is_set());
    Ok(())
}

fn header(kind: Kind, signal: i32) -> &'static Header {
    let header = shared(Header::new(kind));
    header.initialize(kind, 6, signal);
    header
}

fn wait_for_all(_: &Config) -> Outcome {
    let first = header(Kind::SynchronizationEvent, 1);
    let second = header(Kind::SynchronizationEvent, 0);
    let done = shared(AtomicBool::new(false));
    let waiter = spawn::spawn("all", move || {
        wait::wait(&[first, second], true, None, false);
        done.store(true, SeqCst);
    });
    wait::sleep(10);
    ensure!(first.signal() == 1 && !done.load(SeqCst));
    event::set(second, 0);
    join(&waiter);
    ensure!(first.signal() == 0 && second.signal() == 0);
    let third = header(Kind::NotificationEvent, 1);
    ensure!(wait::wait(&[first, third], false, None, false) == 1);
    ensure!(wait::wait(&[first, second], false, Some(0), false) == wait::STATUS_TIMEOUT);
    Ok(())
}

fn semaphores(_: &Config) -> Outcome {
    let header = shared([const { AtomicU64::new(0) }; 4]);
    // SAFETY: 0x20 bytes, aligned, leaked, all of them atomic.
    let semaphore: &'static Semaphore = unsafe { &*(&raw const *header).cast() };
    semaphore.header.initialize(Kind::Semaphore, 8, 1);
    semaphore.limit.store(3, SeqCst);
    ensure!(event::release_semaphore(semaphore, 2, 0) == Some(1));
    ensure!(event::release_semaphore(semaphore, 1, 0).is_none());
    for _ in 0..3 {
        ensure!(wait::wait(&[&semaphore.header], false, Some(0), false) == wait::STATUS_SUCCESS);
    }
    ensure!(wait::wait(&[&semaphore.header], false, Some(0), false) == wait::STATUS_TIMEOUT);
    Ok(())
}

fn preemption(config: &Config) -> Outcome {
    // More spinners than processors, none of which ever yields: each must still get its turns.
    let stop = shared(AtomicBool::new(false));
    let turns: Vec<_> = (0..=config.cpus).map(|_| shared(AtomicU64::new(0))).collect();
    let spinners: Vec<_> = turns
        .iter()
        .map(|&turn| {
            spawn::spawn("spinner", move || {
                while !stop.load(SeqCst) {
                    turn.fetch_add(1, SeqCst);
                    core::hint::spin_loop();
                }
            })
        })
        .collect();
    let start = clock::interrupt_time();
    while turns.iter().any(|turn| turn.load(SeqCst) == 0) && clock::interrupt_time() - start < 100_000_000 {
        wait::sleep(5);
    }
    stop.store(true, SeqCst);
    spinners.iter().for_each(join);
    ensure!(turns.iter().all(|turn| turn.load(SeqCst) != 0));
    Ok(())
}

fn priorities(_: &Config) -> Outcome {
    let order = shared(AtomicU32::new(0));
    let raised = Raised::to(DISPATCH_LEVEL);
    let number = pcr::current_number();
    let [low, high] = [6, 12].map(|priority| {
        let thread = spawn::spawn("urgent", move || {
            // The digits of `order` are who came when.
            let _ = order.fetch_update(SeqCst, SeqCst, |order| Some(order * 100 + priority));
        });
        let mut dispatcher = sched::DISPATCHER.lock();
        if let Some(queued) = dispatcher.unready(&thread) {
            thread.affinity.store(1 << number, SeqCst);
            thread.set_priority(priority as u8);
            dispatcher.ready(queued, false);
        }
        drop(dispatcher);
        thread
    });
    drop(raised);
    join(&low);
    join(&high);
    // On several processors another one may have taken either before its affinity was set.
    ensure!(order.load(SeqCst) == 1206 || processor::count() > 1);
    Ok(())
}

fn affinity(config: &Config) -> Outcome {
    for turn in 0..32 {
        let number = turn % config.cpus;
        let before = processor::set_affinity(1 << number);
        let here = pcr::current_number();
        processor::set_affinity(before);
        ensure!(here == number);
    }
    Ok(())
}

struct DpcLog {
    runs: AtomicU32,
    wrong: AtomicU32,
    expected: AtomicU32,
}

unsafe extern "win64" fn dpc_routine(_dpc: u64, log: &DpcLog, first: u64, second: u64) {
    let right = irql::current() == DISPATCH_LEVEL
        && pcr::this().in_dpc.load(SeqCst)
        && pcr::current_number() as u32 == log.expected.load(SeqCst)
        && (first, second) == (3, 4);
    log.wrong.fetch_add(u32::from(!right), SeqCst);
    log.runs.fetch_add(1, SeqCst);
}

/// Zeroed words that hold one of the driver's objects.
fn object<T>() -> &'static T {
    const WORDS: usize = 8;
    assert!(size_of::<T>() == WORDS * 8);
    let words = shared([const { AtomicU64::new(0) }; WORDS]);
    // SAFETY: as large as `T`, aligned, leaked; `T` is a DPC or a timer, all of whose fields are atomic and may be 0.
    unsafe { &*(&raw const *words).cast() }
}

fn dpcs(config: &Config) -> Outcome {
    let log = shared(DpcLog {
        runs: AtomicU32::new(0),
        wrong: AtomicU32::new(0),
        expected: AtomicU32::new(0),
    });
    let dpc: &'static Dpc = object();
    let routine: unsafe extern "win64" fn(u64, &DpcLog, u64, u64) = dpc_routine;
    dpc.initialize(routine as usize as u64, (&raw const *log) as u64);
    for turn in 0..40 {
        let number = turn % config.cpus;
        log.expected.store(number as u32, SeqCst);
        dpc.set_target(number);
        ensure!(dpc.queue([3, 4]));
        interrupt::flush();
        ensure!(log.runs.load(SeqCst) == turn as u32 + 1);
    }
    ensure!(log.wrong.load(SeqCst) == 0);
    let raised = Raised::to(DISPATCH_LEVEL);
    dpc.set_target(pcr::current_number());
    let (first, second, removed, again) = (dpc.queue([3, 4]), dpc.queue([3, 4]), dpc.remove(), dpc.remove());
    drop(raised);
    ensure!(first && !second && removed && !again);
    ensure!(log.runs.load(SeqCst) == 40);
    Ok(())
}

/// Who ran, a digit for each; and when the last one did, clock ticks of its processor.
struct DpcOrder {
    digits: AtomicU64,
    tick: AtomicU64,
}

static ORDER: DpcOrder = DpcOrder {
    digits: AtomicU64::new(0),
    tick: AtomicU64::new(0),
};

unsafe extern "win64" fn note_order(_dpc: u64, digit: u64, _first: u64, _second: u64) {
    ORDER.tick.store(pcr::this().ticks.load(SeqCst), SeqCst);
    let _ = ORDER
        .digits
        .fetch_update(SeqCst, SeqCst, |digits| Some(digits * 10 + digit));
}

fn order_dpc(digit: u64, importance: u8) -> &'static Dpc {
    let dpc: &'static Dpc = object();
    let routine: unsafe extern "win64" fn(u64, u64, u64, u64) = note_order;
    dpc.initialize(routine as usize as u64, digit);
    dpc.set_importance(importance);
    dpc
}

/// For a processor that is busy, on which the caller does not run: queues it, and whether it ran at the same clock tick.
fn runs_at_once(dpc: &'static Dpc, number: usize) -> Result<bool, &'static str> {
    ORDER.digits.store(0, SeqCst);
    dpc.set_target(number);
    // The last one's interrupt is over.
    cpu::stall(clock::cycles_per_millisecond() / 4);
    let tick = pcr::of(number).ticks.load(SeqCst);
    ensure!(dpc.queue([0, 0]));
    let start = clock::interrupt_time();
    while ORDER.digits.load(SeqCst) == 0 {
        ensure!(clock::interrupt_time() - start < 100_000_000);
        core::hint::spin_loop();
    }
    Ok(ORDER.tick.load(SeqCst) == tick)
}

/// By Microsoft's "Organization of DPC Queues".
fn dpc_importance(config: &Config) -> Outcome {
    const ROUNDS: u32 = 60;
    const PATIENCE: u64 = 20 * clock::UNITS_PER_SECOND;
    let all = [
        importance::LOW,
        importance::MEDIUM,
        importance::MEDIUM_HIGH,
        importance::HIGH,
    ];
    // The one of high importance comes first, the others in order; that of low importance alone has to wait.
    let raised = Raised::to(DISPATCH_LEVEL);
    for (digit, importance) in (1..).zip(all) {
        ensure!(order_dpc(digit, importance).queue([0, 0]));
    }
    drop(raised);
    ensure!(ORDER.digits.load(SeqCst) == 4123);
    // On another processor, which is busy.
    if config.cpus > 1 {
        let before = processor::set_affinity(1);
        let stop = shared(AtomicBool::new(false));
        let busy = shared(AtomicBool::new(false));
        let spinner = spawn::spawn("busy", move || {
            processor::set_affinity(2);
            while !stop.load(SeqCst) {
                busy.store(true, SeqCst);
                core::hint::spin_loop();
            }
        });
        while !busy.load(SeqCst) {
            wait::sleep(1);
        }
        for importance in all {
            let dpc = order_dpc(9, importance);
            let waits = importance < importance::HIGH;
            let (mut at_once, mut rounds) = (0, 0);
            let start = clock::interrupt_time();
            // A busy host may let the two processors run by turns, and then a tick comes first however the DPC begins.
            while rounds < ROUNDS || (!waits && at_once == 0 && clock::interrupt_time() - start < PATIENCE) {
                at_once += u32::from(runs_at_once(dpc, 1)?);
                rounds += 1;
            }
            // One that waits may meet the end of another interrupt.
            ensure!(if waits { at_once < ROUNDS / 2 } else { at_once > 0 });
        }
        // A queue that is too long does not wait, and neither does a flush.
        let several = [1, 2, 3, 4, 5].map(|digit| order_dpc(digit, importance::MEDIUM));
        ORDER.digits.store(0, SeqCst);
        for dpc in several {
            dpc.set_target(1);
            dpc.queue([0, 0]);
        }
        interrupt::flush();
        ensure!(ORDER.digits.load(SeqCst) == 12_345);
        stop.store(true, SeqCst);
        join(&spinner);
        processor::set_affinity(before);
    }
    Ok(())
}

fn timers(_: &Config) -> Outcome {
    let timer: &'static Timer = object();
    timer.header.initialize(Kind::SynchronizationTimer, 10, 0);
    let start = clock::interrupt_time();
    ensure!(!timer::set(timer, -20_000, 3, 0));
    for _ in 0..4 {
        ensure!(wait::wait(&[&timer.header], false, Some(-100_000_000), false) == wait::STATUS_SUCCESS);
    }
    ensure!(clock::interrupt_time() - start >= 20_000 + 3 * 30_000);
    ensure!(timer::cancel(timer) && !timer::cancel(timer));
    ensure!(timer::pending() == 0);
    ensure!(
        !timer::set(timer, -1_000_000_000, 0, 0)
            && timer::set(timer, -1_000_000_000, 0, 0)
            && timer::cancel(timer)
    );
    Ok(())
}

const TAG: Tag = Tag(u32::from_le_bytes(*b"Self"));

fn pool_guard(_: &Config) -> Outcome {
    for size in [1, 15, 16, 17, 40, 4000, 4095, 4096, 4097, 12_288, 20_000] {
        let Some(block) = pool::allocate(size, TAG, true, Placement::Block, 1) else {
            return Err("memory");
        };
        let address = block as u64;
        let end = (address + size).next_multiple_of(PAGE);
        ensure!(address.is_multiple_of(16) && (size < PAGE || address.is_multiple_of(PAGE)));
        ensure!(size >= PAGE || end - (address + size) < 16);
        ensure!(!paging::is_mapped(end) && paging::is_mapped(end - 1));
        for index in 0..size {
            // SAFETY: inside the block.
            ensure!(unsafe { block.wrapping_add(index as usize).read() } == 0);
        }
        ensure!(pool::free(address, Some(TAG), 1).is_ok());
        ensure!(!paging::is_mapped(address));
    }
    let Some(line) = pool::allocate(100, TAG, true, Placement::CacheAligned, 1) else {
        return Err("memory");
    };
    ensure!((line as u64).is_multiple_of(64));
    ensure!(pool::free(line as u64, None, 1).is_ok());
    Ok(())
}

fn pool_misuse(_: &Config) -> Outcome {
    let Some(block) = pool::allocate(20, TAG, false, Placement::Block, 77) else {
        return Err("memory");
    };
    let address = block as u64;
    ensure!(
        matches!(pool::free(address, Some(Tag(1)), 1), Err(FreeError::WrongTag(block)) if block.caller == 77)
    );
    ensure!(matches!(
        pool::free(address + 1, None, 1),
        Err(FreeError::NotAllocated { freed_before: None })
    ));
    // SAFETY: the slack behind the block's 20 bytes is mapped.
    let slack = unsafe { block.add(20) };
    // SAFETY: as above.
    let before = unsafe { slack.read() };
    // SAFETY: as above; this is the overrun that is to be found.
    unsafe { slack.write(0) };
    ensure!(matches!(pool::free(address, None, 1), Err(FreeError::Overrun(_, byte)) if byte == address + 20));
    // SAFETY: as above.
    unsafe { slack.write(before) };
    ensure!(pool::live_blocks().len() == 1);
    ensure!(pool::free(address, Some(TAG), 5).is_ok());
    ensure!(matches!(
        pool::free(address, None, 1),
        Err(FreeError::NotAllocated {
            freed_before: Some((TAG, 5))
        })
    ));
    ensure!(pool::live_blocks().is_empty());
    Ok(())
}

fn pool_rest(_: &Config) -> Outcome {
    let mut last = 0;
    for _ in 0..200 {
        let Some(block) = pool::allocate(64, TAG, false, Placement::Block, 1) else {
            return Err("memory");
        };
        ensure!(block as u64 != last);
        last = block as u64;
        ensure!(pool::free(last, None, 1).is_ok());
    }
    Ok(())
}

fn shared_data(config: &Config) -> Outcome {
    let byte = |offset: u64| {
        // SAFETY: the page is mapped from boot on.
        unsafe { ((mm::shared::ADDRESS + offset) as *const u8).read_volatile() }
    };
    let word = |offset| u16::from_le_bytes([byte(offset), byte(offset + 1)]);
    ensure!((byte(0x297) == 1) == config.monitorx);
    ensure!(word(0x2D6) == config.cycles_per_yield);
    ensure!(word(0x36A) == config.unparked());
    ensure!(word(0x26C) == 10 && word(0x3C0) as usize == config.cpus);
    let time = || u32::from_le_bytes([byte(8), byte(9), byte(10), byte(11)]);
    let before = time();
    wait::sleep(20);
    ensure!(time() != before);
    Ok(())
}

fn exports(_: &Config) -> Outcome {
    let mut names = Vec::new();
    export::for_each(|export| names.push((export.module, export.name)));
    names.sort_unstable();
    ensure!(names.len() > 100);
    ensure!(names.windows(2).all(|pair| pair[0] != pair[1]));
    ensure!(
        export::find("NTOSKRNL.EXE", "KeSetEvent").is_some()
            && export::find("ntoskrnl.exe", "kesetevent").is_none()
    );
    Ok(())
}

unsafe extern "win64" fn no_routine() {}

/// Each with its own range and nothing in it, through its thunk and the shim.
fn export_irqls(_: &Config) -> Outcome {
    let mut all: Vec<&'static Export> = Vec::new();
    export::for_each(|export| all.push(export));
    let (mut allowed, mut refused) = (0, 0);
    for export in all {
        let (least, most) = (*export.irql.start(), *export.irql.end());
        let empty = shared(Export::function(
            export.name,
            least..=most,
            no_routine as *const (),
        ));
        let Some(thunk) = export::bind(empty) else {
            return Err("memory");
        };
        for level in 0..=HIGH_LEVEL {
            // SAFETY: the thunk of a routine without arguments, which does nothing.
            let verdict = unsafe { trial::at(level, thunk) };
            let expected = if level < least {
                Some(code::IRQL_NOT_GREATER_OR_EQUAL)
            } else if level > most {
                Some(code::DRIVER_VERIFIER_DETECTED_VIOLATION)
            } else {
                None
            };
            if verdict.map(|verdict| verdict.code) != expected {
                log!(
                    "log: {} at IRQL {level}, allowed {least} to {most}: {verdict:x?}",
                    export.name
                );
                return Err(export.name);
            }
            if level > most {
                let rule = if most < DISPATCH_LEVEL {
                    code::sub::IRQL_APC_LTE
                } else {
                    code::sub::IRQL_DISPATCH
                };
                ensure!(verdict.is_some_and(|verdict| verdict.first == rule));
            }
            *(if expected.is_some() {
                &mut refused
            } else {
                &mut allowed
            }) += 1;
        }
    }
    ensure!(irql::current() == 0 && allowed > 1_000 && refused > 1_000);
    Ok(())
}

fn formats(_: &Config) -> Outcome {
    let wide: Vec<u16> = "wide\0".encode_utf16().collect();
    let cases: [(&core::ffi::CStr, [u64; 2], &str); 18] = [
        (c"%d %u", [u64::from((-5_i32) as u32), 5], "-5 5"),
        (c"%08x|%-6X|", [0xABC, 0xDEF], "00000abc|DEF   |"),
        (c"%lld %llu", [u64::MAX, u64::MAX], "-1 18446744073709551615"),
        (c"%I64x %p", [1 << 40, 1 << 40], "10000000000 0000010000000000"),
        (
            c"%s %ws",
            [c"text".as_ptr() as u64, wide.as_ptr() as u64],
            "text wide",
        ),
        (
            c"%.2s|%5c|",
            [c"text".as_ptr() as u64, u64::from(b'x')],
            "te|    x|",
        ),
        (c"%S %%%d", [wide.as_ptr() as u64, 7], "wide %7"),
        (c"%*d", [4, 7], "   7"),
        (c"%hu %hhx", [0x1_0005, 0x1FF], "5 ff"),
        (c"%s%+d", [0, 3], "(null)+3"),
        // By C's standard, 7.21.6.1.
        (c"% d|% d", [5, u64::from((-5_i32) as u32)], " 5|-5"),
        (c"%#x|%#x", [0, 0xAB], "0|0xab"),
        (c"%#X|%#o", [0xAB, 8], "0XAB|010"),
        (c"%.0d|%.0x|", [0, 0], "||"),
        (c"%.3d|%+.3d", [u64::from((-5_i32) as u32), 5], "-005|+005"),
        (c"%+05d|%-5d|", [5, 5], "+0005|5    |"),
        (c"%08.3d|%#06x", [5, 0xAB], "     005|0x00ab"),
        (c"%.2ws|%5d", [wide.as_ptr() as u64, 7], "wi|    7"),
    ];
    for (format, arguments, expected) in cases {
        let mut output = printf::Output::new();
        // SAFETY: each format has two conversions, and their arguments fit.
        unsafe { printf::format(&mut output, format.as_ptr().cast(), &arguments) };
        if output.as_bytes() != expected.as_bytes() {
            log::text("log: formatted:", output.as_bytes());
            return Err(expected);
        }
    }
    Ok(())
}

fn bad_images(config: &Config) -> Outcome {
    ensure!(Image::load(Role::Driver, &[]).is_err());
    ensure!(Image::load(Role::Driver, b"MZ").is_err());
    ensure!(Image::load(Role::Driver, &[0xFF; 4096]).is_err());
    let module = config.module;
    if Headers::parse(module).is_ok() {
        // Every prefix of a good image is refused or loads, and nothing else; random damage as well.
        for length in (0..module.len()).step_by(97) {
            if let Ok(image) = Image::load(Role::Driver, &module[..length]) {
                image.unload();
            }
        }
        for _ in 0..300 {
            let mut damaged = module.to_vec();
            for _ in 0..=rng::below(6) {
                let place = rng::below(module.len().min(4096) as u64) as usize;
                damaged[place] = rng::next() as u8;
            }
            if let Ok(image) = Image::load(Role::Driver, &damaged) {
                image.unload();
            }
        }
    }
    Ok(())
}

fn random(_: &Config) -> Outcome {
    let mut seen = [0_u32; 8];
    (0..8_000).for_each(|_| seen[rng::below(8) as usize] += 1);
    ensure!(seen.iter().all(|&count| (800..1200).contains(&count)));
    Ok(())
}
