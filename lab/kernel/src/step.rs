//! The debug trap: single steps through the driver, which open windows between any two instructions, and watched `mov r64, cr8` and `rdtsc`.
//!
//! QEMU's TCG takes interrupts only between translation blocks, so a window inside straight-line code (a test-and-clear that
//! was wrongly split into a load and a store) never opens by itself. In chaos mode a clock tick that interrupts the driver
//! often sets TF for a burst of instructions, and so do some returns from exports, behind which drivers do what matters; each
//! step may delay that thread for several spin budgets, or give its turn away. A burst pauses in exports and goes on behind
//! them (`ldr::export`).

use crate::chaos::LONGEST_DELAY;
use crate::config;
use crate::ex::native::{self, Question};
use crate::hal::trap::{RESUME_FLAG, TRAP_FLAG, TrapFrame};
use crate::hal::{breakpoints, cpu, nmi};
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::sched;
use crate::ke::thread;
use crate::ldr::{export, image};
use crate::rng;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One tick in so many that hit the driver begins a burst.
const BURST_TICKS: u64 = 2;
const LONGEST_BURST: u64 = 4_000;
/// One step in so many delays.
const DELAY_STEPS: u64 = 24;
/// One delay in so many is long.
const LONG_DELAYS: u64 = 16;

/// Steps made.
pub static STEPS: AtomicU64 = AtomicU64::new(0);
/// Reads of CR8 at the watched places, below `DISPATCH_LEVEL`.
pub static CR8_BELOW_DISPATCH: AtomicU64 = AtomicU64::new(0);
/// The same, at or above it.
pub static CR8_AT_DISPATCH: AtomicU64 = AtomicU64::new(0);

static TSC_READS: AtomicU64 = AtomicU64::new(0);
/// Reads of the TSC that were made to step back.
pub static TSC_BACK: AtomicU64 = AtomicU64::new(0);
/// One watched RDTSC in so many steps back, the second at first, by so many cycles: as a processor's may that wakes from deep sleep.
const BACK_READS: u64 = 4;
const BACK_CYCLES: u64 = 100_000;
/// RDTSC, 0F 31.
const RDTSC: [u8; 2] = [0x0F, 0x31];

/// DR6.BS: a single step.
const SINGLE_STEP: u64 = 1 << 14;

/// Whether `rip` lies in what is tried out: the driver, and NT's routines that it is compared with.
fn is_judged(rip: u64) -> bool {
    image::in_driver(rip) || native::contains(rip)
}

/// The clock's part in chaos mode: begins a burst in the interrupted driver code.
pub fn provoke(frame: &mut TrapFrame) {
    if !config::get().mode.provokes() || !is_judged(frame.rip) || !rng::one_in(BURST_TICKS) {
        return;
    }
    thread::current()
        .burst
        .store(1 + rng::below(LONGEST_BURST) as u32, Relaxed);
    frame.rflags |= TRAP_FLAG;
}

/// Watches `mov r64, cr8` or `rdtsc` at these addresses of the driver, four at most, on every processor.
pub fn watch(addresses: &[u64]) {
    breakpoints::set(addresses);
    let enabled = cpu::disable_interrupts();
    breakpoints::load();
    nmi::flush_all_tlbs();
    cpu::restore_interrupts(enabled);
}

/// `#DB`.
pub fn debug_trap(frame: &mut TrapFrame) {
    let status: u64;
    // SAFETY: reads DR6.
    unsafe { asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags)) };
    // SAFETY: clears what was read; the processor never does.
    unsafe { asm!("mov dr6, {}", in(reg) 0xFFFF_0FF0_u64, options(nomem, nostack, preserves_flags)) };
    if status & 15 != 0 && breakpoints::is_watched(frame.rip) {
        // SAFETY: a breakpoint on execution: these bytes are mapped, and were about to be executed.
        if unsafe { (frame.rip as *const [u8; 2]).read() } == RDTSC {
            return read_tsc(frame);
        }
        if native::contains(frame.rip) {
            native::note(Question::Irql);
        } else if irql::current() < DISPATCH_LEVEL {
            CR8_BELOW_DISPATCH.fetch_add(1, Relaxed);
        } else {
            CR8_AT_DISPATCH.fetch_add(1, Relaxed);
        }
        // Or the same breakpoint would come again.
        frame.rflags |= RESUME_FLAG;
    }
    if status & SINGLE_STEP != 0 || frame.rflags & TRAP_FLAG != 0 {
        step(frame);
    }
}

/// A watched RDTSC: what the processor does, now and then with a time before the last.
fn read_tsc(frame: &mut TrapFrame) {
    let mut now = cpu::rdtsc();
    if TSC_READS.fetch_add(1, Relaxed) % BACK_READS == 1 {
        TSC_BACK.fetch_add(1, Relaxed);
        now -= BACK_CYCLES;
    }
    frame.rax = now & 0xFFFF_FFFF;
    frame.rdx = now >> 32;
    frame.rip += RDTSC.len() as u64;
}

fn step(frame: &mut TrapFrame) {
    let thread = thread::current();
    if export::is_way_back(frame.rip) || export::is_thunk(frame.rip) {
        return;
    }
    if !is_judged(frame.rip) {
        frame.rflags &= !TRAP_FLAG;
        return;
    }
    STEPS.fetch_add(1, Relaxed);
    let left = thread.burst.load(Relaxed);
    thread.burst.store(left.saturating_sub(1), Relaxed);
    if left <= 1 {
        frame.rflags &= !TRAP_FLAG;
    }
    if !rng::one_in(DELAY_STEPS) {
        return;
    }
    let below_dispatch = irql::current() < DISPATCH_LEVEL && frame.interrupts();
    cpu::restore_interrupts(frame.interrupts());
    if below_dispatch && rng::one_in(2) {
        sched::yield_now();
    } else {
        let factor = if rng::one_in(LONG_DELAYS) { 16 } else { 1 };
        cpu::stall(rng::below(LONGEST_DELAY * factor));
    }
    cpu::disable_interrupts();
}
