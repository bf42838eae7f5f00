//! The debug trap: single steps through the driver, which open windows between any two instructions, and watched `mov r64, cr8`.
//!
//! QEMU's TCG takes interrupts only between translation blocks, so a window inside straight-line code (a test-and-clear that
//! was wrongly split into a load and a store) never opens by itself. In chaos mode a clock tick that interrupts the driver
//! often sets TF for a burst of instructions, and so do some returns from exports, behind which drivers do what matters; each
//! step may delay that thread for several spin budgets, or give its turn away. A burst pauses in exports and goes on behind
//! them (`ldr::export`).

use crate::chaos::LONGEST_DELAY;
use crate::config::{self, Mode};
use crate::ex::native::{self, Question};
use crate::hal::trap::{RESUME_FLAG, TRAP_FLAG, TrapFrame};
use crate::hal::{cpu, nmi, pcr};
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::sched;
use crate::ke::thread::Thread;
use crate::ldr::{export, image};
use crate::rng;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// One tick in so many that hit the driver begins a burst.
const BURST_TICKS: u64 = 2;
const LONGEST_BURST: u64 = 4_000;
/// One return from an export in so many begins a short burst.
const BURST_RETURNS: u64 = 12;
const LONGEST_SHORT_BURST: u64 = 200;
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

/// DR6.BS: a single step.
const SINGLE_STEP: u64 = 1 << 14;

static WATCH_GENERATION: AtomicU32 = AtomicU32::new(0);
static WATCHED: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Whether `rip` lies in what is tried out: the driver, and NT's routines that it is compared with.
fn is_judged(rip: u64) -> bool {
    image::in_driver(rip) || native::contains(rip)
}

/// The clock's part in chaos mode: begins a burst in the interrupted driver code.
pub fn provoke(frame: &mut TrapFrame) {
    if config::get().mode != Mode::Chaos || !is_judged(frame.rip) || !rng::one_in(BURST_TICKS) {
        return;
    }
    pcr::current_thread()
        .burst
        .store(1 + rng::below(LONGEST_BURST) as u32, Relaxed);
    frame.rflags |= TRAP_FLAG;
}

/// The export shim's part in chaos mode: whether the driver is stepped through behind this return.
pub fn provoke_return(thread: &Thread) -> bool {
    if config::get().mode != Mode::Chaos {
        return false;
    }
    if thread.burst.load(Relaxed) == 0 && rng::one_in(BURST_RETURNS) {
        thread
            .burst
            .store(1 + rng::below(LONGEST_SHORT_BURST) as u32, Relaxed);
    }
    thread.burst.load(Relaxed) != 0
}

/// Watches `mov r64, cr8` at these addresses of the driver, four at most, on every processor.
pub fn watch(addresses: &[u64]) {
    for (slot, &address) in WATCHED.iter().zip(addresses) {
        slot.store(address, Relaxed);
    }
    WATCH_GENERATION.fetch_add(1, Relaxed);
    let enabled = cpu::disable_interrupts();
    load_breakpoints();
    nmi::flush_all_tlbs();
    cpu::restore_interrupts(enabled);
}

/// Brings this processor's debug registers up to date; takes no lock, for NMI's handler calls it.
pub(crate) fn load_breakpoints() {
    let generation = WATCH_GENERATION.load(Relaxed);
    if pcr::this().breakpoints.swap(generation, Relaxed) == generation {
        return;
    }
    let [first, second, third, fourth] = [0, 1, 2, 3].map(|index: usize| WATCHED[index].load(Relaxed));
    let addresses = [first, second, third, fourth].into_iter().enumerate();
    let enable: u64 = addresses
        .filter(|(_, address)| *address != 0)
        .map(|(index, _)| 2 << (index * 2))
        .sum();
    // SAFETY: breakpoints on execution (R/W and LEN 0) only trap, and `debug_trap` takes them.
    unsafe {
        asm!("mov dr0, {0}", "mov dr1, {1}", "mov dr2, {2}", "mov dr3, {3}", "mov dr7, {4}",
            in(reg) first, in(reg) second, in(reg) third, in(reg) fourth, in(reg) enable | 0x400,
            options(nostack, preserves_flags));
    }
}

/// `#DB`.
pub fn debug_trap(frame: &mut TrapFrame) {
    let status: u64;
    // SAFETY: reads DR6.
    unsafe { asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags)) };
    // SAFETY: clears what was read; the processor never does.
    unsafe { asm!("mov dr6, {}", in(reg) 0xFFFF_0FF0_u64, options(nomem, nostack, preserves_flags)) };
    if status & 15 != 0 && WATCHED.iter().any(|watched| watched.load(Relaxed) == frame.rip) {
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

fn step(frame: &mut TrapFrame) {
    let thread = pcr::current_thread();
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
