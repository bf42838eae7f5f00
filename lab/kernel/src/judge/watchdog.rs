//! Watchdogs: too long in a DPC or at a raised IRQL, too long asleep on a stack event, too long a run.

use super::{bugcheck, bugcheck_at, check_return, code, lost_wakeup, stay};
use crate::config;
use crate::hal::{clock, pcr, trap::TrapFrame};
use crate::ke::irql::DISPATCH_LEVEL;
use crate::ldr;
use crate::mm::pageable;
use core::sync::atomic::Ordering::Relaxed;

/// Runs one DPC routine and checks how it comes back.
pub fn call_dpc(dpc: u64, routine: u64, [context, first, second]: [u64; 3]) {
    let locks = pcr::current_thread().spin_locks.load(Relaxed);
    pageable::page_out();
    stay::during_dpc(routine, || {
        // SAFETY: `KeInitializeDpc` was given this routine; a KDEFERRED_ROUTINE takes the DPC, its context and two arguments.
        unsafe { ldr::call(routine, [dpc, context, first, second]) };
    });
    check_return("DPC routine", DISPATCH_LEVEL, locks);
}

/// The host's NMI: the run is over its limit, and the clock has not noticed. Never returns.
pub fn host_asks(frame: &TrapFrame) -> ! {
    let timeout = config::get().timeout;
    bugcheck_at(
        frame,
        code::RUN_TIMEOUT,
        [timeout, clock::interrupt_time() / clock::UNITS_PER_SECOND, 0, 0],
        format_args!(
            "the run took longer than {timeout} s, its limit, and the boot processor's clock did not notice: interrupts are disabled there, \
             or no longer come"
        ),
    )
}

/// The clock's part on every processor; `raised` says whether it interrupted code at `DISPATCH_LEVEL` or above.
pub fn tick(frame: &TrapFrame, raised: bool) {
    let this = pcr::this();
    let limit = config::get().raised;
    if raised {
        let ticks = u64::from(this.raised_ticks.fetch_add(1, Relaxed));
        if ticks > limit {
            let in_dpc = this.in_dpc.load(Relaxed);
            let what = if in_dpc { "a DPC routine" } else { "the driver" };
            let locks = match pcr::current_thread().spin_locks.load(Relaxed) {
                0 => "",
                1 => ", with 1 spin lock held",
                _ => ", with spin locks held",
            };
            bugcheck_at(
                frame,
                code::DPC_WATCHDOG_VIOLATION,
                [
                    if in_dpc {
                        code::watchdog::DPC
                    } else {
                        code::watchdog::RAISED
                    },
                    ticks,
                    limit,
                    frame.rip,
                ],
                format_args!(
                    "{what} stayed at DISPATCH_LEVEL or above for {ticks} ms{locks}; the limit is {limit} ms"
                ),
            );
        }
    } else {
        this.raised_ticks.store(0, Relaxed);
    }
    if this.number() != 0 {
        return;
    }
    let seconds = clock::interrupt_time() / clock::UNITS_PER_SECOND;
    let timeout = config::get().timeout;
    if timeout != 0 && seconds >= timeout {
        bugcheck(
            code::RUN_TIMEOUT,
            [timeout, seconds, 0, 0],
            format_args!("the run took {seconds} s, its limit; the threads below say where they are"),
        );
    }
    if this.ticks.load(Relaxed).is_multiple_of(lost_wakeup::INTERVAL) {
        lost_wakeup::examine_sleepers();
    }
}
