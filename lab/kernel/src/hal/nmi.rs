//! What one processor may ask of another at any time, by NMI: to flush its TLB, to reload its breakpoints, and to stand
//! still for good. And what the host may ask of a machine that no longer reacts: to say where everybody is.
//!
//! The handler takes no lock and runs on its own stack, so it may interrupt anything.

use super::{apic, breakpoints, cpu, pcr, pcr::Pcr, serial, trap::TrapFrame};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use lab_wire::dump::HOST_ASKS;

static GENERATION: AtomicU64 = AtomicU64::new(0);
/// The processor that froze the others, its number and one; 0 while all run. An NMI that asked for a flush may reach it late, and must not
/// freeze it as well.
static FREEZER: AtomicU32 = AtomicU32::new(0);

/// Drops cached translations on every processor, and returns when all have done so, or will before they do anything: one that
/// [dozes](doze) is left alone.
pub fn flush_all_tlbs() {
    let enabled = cpu::disable_interrupts();
    // SeqCst: the page tables were written before; a handler that sees this generation flushes after.
    let generation = GENERATION.fetch_add(1, Ordering::SeqCst) + 1;
    cpu::flush_tlb();
    // Release: as in `interrupt`; nobody waits for it here.
    pcr::this().flushed.fetch_max(generation, Ordering::Release);
    let this = pcr::current_number();
    // SeqCst: a processor that dozes here looks at the generation after this, and finds the new one.
    let behind = |other: &Pcr| {
        // Acquire: pairs with the Release in `catch_up`.
        other.flushed.load(Ordering::Acquire) < generation && !other.dozing.load(Ordering::SeqCst)
    };
    for other in pcr::online().filter(|other| other.number() != this && behind(other)) {
        apic::send_nmi(other.number());
    }
    for other in pcr::online().filter(|other| other.number() != this) {
        while behind(other) && !frozen() {
            core::hint::spin_loop();
        }
    }
    cpu::restore_interrupts(enabled);
}

/// This processor is about to sleep, and until its next interrupt nobody waits for it. For the idle threads, which touch nothing
/// that is ever unmapped.
pub fn doze() {
    // SeqCst: pairs with the look in `flush_all_tlbs`.
    pcr::this().dozing.store(true, Ordering::SeqCst);
}

/// An interrupt has come: what was missed while the processor dozed is done before anything else.
pub fn wake() {
    let this = pcr::this();
    // Relaxed: nobody else writes it.
    if this.dozing.load(Ordering::Relaxed) {
        // SeqCst: whoever does not see this any more has a generation that `catch_up` sees.
        this.dozing.store(false, Ordering::SeqCst);
        catch_up(this);
    }
}

/// Drops cached translations and reloads the breakpoints, if somebody has asked for it since this was done last.
fn catch_up(this: &Pcr) {
    // SeqCst: pairs with the addition in `flush_all_tlbs`.
    let generation = GENERATION.load(Ordering::SeqCst);
    if this.flushed.load(Ordering::Relaxed) < generation {
        cpu::flush_tlb();
        breakpoints::load();
        // Release: the flush above happened before a sender sees this.
        this.flushed.fetch_max(generation, Ordering::Release);
    }
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

/// Whether this processor has frozen the others.
pub fn frozen_here() -> bool {
    // Relaxed: of its own write it knows.
    let freezer = FREEZER.load(Ordering::Relaxed);
    freezer != 0 && freezer == pcr::current_number() as u32 + 1
}

/// The NMI handler; whether the host asks where everybody is, and the answer is the caller's.
#[must_use]
pub fn interrupt(frame: &TrapFrame) -> bool {
    let this = pcr::this();
    // SeqCst: pairs with the exchange in `freeze_others`.
    let freezer = FREEZER.load(Ordering::SeqCst);
    if freezer != 0 && freezer != this.number() as u32 + 1 {
        this.frozen.note(Some(frame));
        cpu::halt_for_ever();
    }
    let generation = GENERATION.load(Ordering::SeqCst);
    // With nothing to flush, nobody in here has sent it; unless two had sent one each, and this is the second.
    if this.flushed.load(Ordering::Relaxed) >= generation && serial::scratch() == HOST_ASKS {
        this.frozen.note(Some(frame));
        return true;
    }
    catch_up(this);
    false
}
