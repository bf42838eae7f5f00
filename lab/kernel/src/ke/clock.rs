//! The clock interrupt, a millisecond apart on every processor.

use super::irql::DISPATCH_LEVEL;
use super::sched;
use crate::hal::{cpu, pcr, trap::TrapFrame};
use crate::judge::watchdog;
use crate::{mm, replay, step};
use core::sync::atomic::Ordering::Relaxed;

/// The interrupt; interrupts are disabled, CR8 is the interrupted code's.
pub(crate) fn interrupt(frame: &mut TrapFrame) {
    let this = pcr::this();
    this.ticks.fetch_add(1, Relaxed);
    replay::note(frame.rip);
    if this.number() == 0 {
        mm::shared::tick();
    }
    let raised = cpu::read_cr8() >= DISPATCH_LEVEL;
    sched::tick();
    watchdog::tick(frame, raised);
    step::provoke(frame);
}
