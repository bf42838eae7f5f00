//! The local APIC, by its registers in memory: QEMU 7.2's TCG has no x2APIC.

use super::direct_map::physical;
use super::{clock, cpu, pcr, trap};
use core::sync::atomic::Ordering;

const BASE: u64 = 0xFEE0_0000;
const EOI: u64 = 0xB0;
const SPURIOUS: u64 = 0xF0;
const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_LINT1: u64 = 0x360;
const TIMER_INITIAL: u64 = 0x380;
const TIMER_CURRENT: u64 = 0x390;
const TIMER_DIVIDE: u64 = 0x3E0;

const MASKED: u32 = 1 << 16;
const DELIVER_PENDING: u32 = 1 << 12;
const LEVEL_ASSERT: u32 = 1 << 14;
const NMI: u32 = 4 << 8;
const INIT: u32 = 5 << 8;
const STARTUP: u32 = 6 << 8;

fn register(offset: u64) -> *mut u32 {
    physical(BASE + offset).cast()
}

fn read(offset: u64) -> u32 {
    // SAFETY: the direct map covers the APIC's page; the register is 32 bits wide and aligned.
    unsafe { register(offset).read_volatile() }
}

fn write(offset: u64, value: u32) {
    // SAFETY: as for `read`; the values written only concern interrupts.
    unsafe { register(offset).write_volatile(value) };
}

/// Masks the PICs: IRQ 0 would look like a double fault.
pub fn mask_pic() {
    cpu::out8(0x21, 0xFF);
    cpu::out8(0xA1, 0xFF);
}

/// Enables this processor's APIC, with its timer running out after the clock's period, in microseconds.
pub fn initialize(period: u64) {
    write(SPURIOUS, 0x100 | u32::from(trap::SPURIOUS_VECTOR));
    write(LVT_LINT0, MASKED);
    // The host's NMI (`nmi`).
    write(LVT_LINT1, NMI);
    write(TIMER_DIVIDE, 3); // by 16
    write(LVT_TIMER, MASKED);
    write(TIMER_INITIAL, u32::MAX);
    // A millisecond or longer, as the host will have it: the two clocks' ratio stays what it is.
    let (start, first) = clock::together(|| read(TIMER_CURRENT));
    cpu::stall(clock::cycles_per_millisecond());
    let (end, last) = clock::together(|| read(TIMER_CURRENT));
    let per_millisecond = u64::from(first - last) * clock::cycles_per_millisecond() / (end - start);
    write(LVT_TIMER, u32::from(trap::CLOCK_VECTOR));
    let ticks = (per_millisecond * period / 1000) as u32;
    pcr::this().clock_period.store(ticks.max(1), Ordering::Relaxed);
    start_period();
}

/// Starts this processor's next clock period. The clock does, when it is done: interrupts of a timer that ran on by itself would
/// come one upon the other after the host had kept it waiting, and leave the interrupted code no time.
pub fn start_period() {
    write(TIMER_INITIAL, pcr::this().clock_period.load(Ordering::Relaxed));
}

/// How many ticks of this processor's timer make a period of its clock.
pub fn ticks_per_interrupt() -> u32 {
    read(TIMER_INITIAL)
}

/// Tells the APIC that the handler of the present interrupt is done.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

fn command(target: usize, low: u32) {
    let enabled = cpu::disable_interrupts();
    while read(ICR_LOW) & DELIVER_PENDING != 0 {
        core::hint::spin_loop();
    }
    write(ICR_HIGH, (target as u32) << 24);
    write(ICR_LOW, low | LEVEL_ASSERT);
    cpu::restore_interrupts(enabled);
}

/// Interrupts processor `target` (or this one) with `vector`.
pub fn interrupt(target: usize, vector: u8) {
    command(target, u32::from(vector));
}

/// Sends processor `target` an NMI.
pub fn send_nmi(target: usize) {
    command(target, NMI);
}

/// Starts processor `target` in real mode at the physical page `page`.
pub fn start_processor(target: usize, page: u8) {
    command(target, INIT);
    cpu::stall(10 * clock::cycles_per_millisecond());
    command(target, STARTUP | u32::from(page));
}
