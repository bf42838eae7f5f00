//! The dispatch interrupt and the clock's part in scheduling: DPCs, quanta, waits and timers that are due.

use crate::callout;
use crate::hal::{apic, cpu, pcr};
use crate::ke::irql::DISPATCH_LEVEL;
use crate::ke::sched::{self, DISPATCHER, Reason, reschedule};
use crate::ke::{dpc, thread, timer, wait};
use crate::trace::{self, Kind};
use core::sync::atomic::Ordering::Relaxed;

/// The dispatch interrupt: runs DPCs, then reschedules if asked to. Interrupts are disabled, the IRQL is below `DISPATCH_LEVEL`.
pub fn dispatch_interrupt() {
    let irql = cpu::read_cr8();
    cpu::write_cr8(DISPATCH_LEVEL);
    apic::end_of_interrupt();
    retire();
    let this = pcr::this();
    if this.reschedule.swap(false, Relaxed) {
        let dispatcher = DISPATCHER.lock();
        let reason = if this.quantum.load(Relaxed) == 0 {
            thread::current().decay();
            Reason::Yield
        } else {
            Reason::Preempt
        };
        reschedule(dispatcher, reason);
    }
    cpu::write_cr8(irql);
    trace::note(Kind::Irql, [irql.into(), 0, 0]);
}

/// The clock's part: counts the quantum down, and on the boot processor ends waits and timers that are due.
pub(crate) fn tick() {
    let this = pcr::this();
    if this.number() == 0 {
        let mut dispatcher = DISPATCHER.lock();
        timer::expire(&mut dispatcher);
    }
    let quantum = this.quantum.load(Relaxed);
    this.quantum.store(quantum.saturating_sub(1), Relaxed);
    if quantum <= 1 {
        sched::request(this.number());
    }
}

/// Runs this processor's DPCs at `DISPATCH_LEVEL`, with interrupts enabled. Called with interrupts disabled, returns so.
fn retire() {
    let this = pcr::this();
    if dpc::queue_of(this.number()).is_empty() {
        return;
    }
    // The interrupted code's vector state; the routines are the driver's.
    let vectors = cpu::FxArea::save();
    trace::note(Kind::Irql, [DISPATCH_LEVEL.into(), 0, 0]);
    loop {
        let mut queue = dpc::queue_of(this.number());
        let Some(call) = queue.take() else { break };
        this.in_dpc.store(true, Relaxed);
        drop(queue);
        trace::note(Kind::DpcBegins, [call.dpc, call.routine, 0]);
        cpu::restore_interrupts(true);
        callout::call_dpc(call);
        cpu::disable_interrupts();
        trace::note(Kind::DpcEnds, [0; 3]);
        this.in_dpc.store(false, Relaxed);
    }
    vectors.restore();
}

/// Has every DPC run that is queued now, however important, and waits until it has.
pub fn flush() {
    for pcr in pcr::online() {
        if !dpc::queue_of(pcr.number()).is_empty() {
            dpc::request(pcr.number());
        }
        // Both are looked at under the lock under which a DPC leaves the queue and `in_dpc` is set.
        let busy = || {
            let queue = dpc::queue_of(pcr.number());
            pcr.in_dpc.load(Relaxed) || !queue.is_empty()
        };
        while busy() {
            sched::yield_now();
            wait::sleep(1);
        }
    }
}
