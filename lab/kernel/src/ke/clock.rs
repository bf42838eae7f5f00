//! The clock interrupt of every processor, and the clock's tick, a millisecond apart.

use super::irql::DISPATCH_LEVEL;
use super::{dpc, sched};
use crate::config;
use crate::hal::{cpu, pcr, trap::TrapFrame};
use crate::judge::{stay, watchdog};
use crate::{mm, replay, step};
use core::sync::atomic::Ordering::Relaxed;

/// The interrupt; interrupts are disabled, CR8 is the interrupted code's.
pub(crate) fn interrupt(frame: &mut TrapFrame) {
    let this = pcr::this();
    let raised = cpu::read_cr8() >= DISPATCH_LEVEL;
    stay::beat(frame, raised);
    let interrupts = this.clock_interrupts.fetch_add(1, Relaxed);
    if !interrupts.is_multiple_of(config::TICK / config::get().clock) {
        return;
    }
    this.ticks.fetch_add(1, Relaxed);
    replay::note(frame.rip);
    if this.number() == 0 {
        mm::shared::tick();
    }
    sched::tick();
    dpc::take_up();
    watchdog::tick(frame, raised);
    step::provoke(frame);
}
