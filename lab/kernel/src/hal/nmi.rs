//! What one processor may ask of another at any time, by NMI: to flush its TLB, to reload its breakpoints, and to stand
//! still for good. And what the host may ask of a machine that no longer reacts: to say where everybody is.
//!
//! The handler takes no lock and runs on its own stack, so it may interrupt anything.

use super::{apic, cpu, pcr, serial, trap::TrapFrame};
use crate::{judge, step};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use lab_wire::dump::HOST_ASKS;

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The processor that froze the others, its number and one; 0 while all run. An NMI that asked for a flush may reach it late, and must not
/// freeze it as well.
static FREEZER: AtomicU32 = AtomicU32::new(0);

/// Drops cached translations on every processor, and returns when all have done so.
pub fn flush_all_tlbs() {
    let enabled = cpu::disable_interrupts();
    // SeqCst: the page tables were written before; a handler that sees this generation flushes after.
    let generation = GENERATION.fetch_add(1, Ordering::SeqCst) + 1;
    cpu::flush_tlb();
    // Release: as in `interrupt`; nobody waits for it here.
    pcr::this().flushed.fetch_max(generation, Ordering::Release);
    let this = pcr::current_number();
    for other in pcr::online().filter(|other| other.number() != this) {
        apic::send_nmi(other.number());
    }
    for other in pcr::online().filter(|other| other.number() != this) {
        // Acquire: pairs with the Release in `interrupt`.
        while other.flushed.load(Ordering::Acquire) < generation && !frozen() {
            core::hint::spin_loop();
        }
    }
    cpu::restore_interrupts(enabled);
}

/// Freezes every other processor; false if another one has done that already.
pub fn freeze_others() -> bool {
    let this = pcr::current_number();
    let freezer = this as u32 + 1;
    // SeqCst: the handler on every other processor, which the NMI starts after this, sees it.
    if FREEZER
        .compare_exchange(0, freezer, Ordering::SeqCst, Ordering::SeqCst)
        .is_err()
    {
        return false;
    }
    for other in pcr::online().filter(|other| other.number() != this) {
        apic::send_nmi(other.number());
    }
    // They store where they stood; a millisecond is ample, and the report does without if not.
    cpu::stall(10 * super::clock::cycles_per_millisecond());
    true
}

/// Whether the machine has been frozen.
pub fn frozen() -> bool {
    FREEZER.load(Ordering::Relaxed) != 0
}

/// The NMI handler.
pub(super) fn interrupt(frame: &TrapFrame) {
    let this = pcr::this();
    // SeqCst: pairs with the exchange in `freeze_others`.
    let freezer = FREEZER.load(Ordering::SeqCst);
    if freezer != 0 && freezer != this.number() as u32 + 1 {
        stand_at(frame);
        cpu::halt_for_ever();
    }
    let generation = GENERATION.load(Ordering::SeqCst);
    // With nothing to flush, nobody in here has sent it; unless two had sent one each, and this is the second.
    if this.flushed.load(Ordering::Relaxed) >= generation && serial::scratch() == HOST_ASKS {
        stand_at(frame);
        judge::watchdog::host_asks(frame);
    }
    cpu::flush_tlb();
    step::load_breakpoints();
    // Release: the flush above happened before a sender sees this.
    this.flushed.fetch_max(generation, Ordering::Release);
}

/// Notes where this processor stands, for the report.
fn stand_at(frame: &TrapFrame) {
    let this = pcr::this();
    this.frozen[0].store(frame.rsp, Ordering::Relaxed);
    this.frozen[1].store(frame.rip, Ordering::Relaxed);
    this.frozen[2].store(frame.rbp, Ordering::Relaxed);
}
