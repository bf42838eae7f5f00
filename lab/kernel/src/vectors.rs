//! Where each vector goes.

use crate::hal::trap::{CLOCK_VECTOR, DISPATCH_VECTOR, SERIAL_VECTOR, SPURIOUS_VECTOR, TrapFrame};
use crate::hal::{apic, cpu, nmi, pcr};
use crate::judge::{fault, watchdog};
use crate::ke::irql::DISPATCH_LEVEL;
use crate::ke::{dpc, stay};
use crate::{interrupt, mm, monitor, probe, replay, serve, step, suspend};
use core::sync::atomic::Ordering::Relaxed;

/// Takes every vector where it belongs; runs with interrupts disabled.
#[unsafe(no_mangle)]
extern "C" fn rundown_lab_dispatch(frame: &mut TrapFrame) {
    nmi::wake();
    match frame.vector as u8 {
        1 => step::debug_trap(frame),
        2 => stay::apart(|| {
            if nmi::interrupt(frame) {
                watchdog::host_asks(frame);
            }
        }),
        3 if probe::takes(frame) => {}
        6 => {
            if !monitor::emulate(frame) {
                fault::invalid_opcode(frame);
            }
        }
        8 => fault::double_fault(frame),
        14 => fault::page_fault(frame, cpu::read_cr2()),
        DISPATCH_VECTOR => interrupt::dispatch_interrupt(),
        CLOCK_VECTOR => stay::apart(|| {
            apic::end_of_interrupt();
            clock(frame);
            apic::start_period();
        }),
        SERIAL_VECTOR => {
            apic::end_of_interrupt();
            serve::control::interrupt();
        }
        suspend::VECTOR => suspend::read(frame),
        SPURIOUS_VECTOR => {}
        _ => fault::other(frame),
    }
}

/// The clock's tick, on every processor; CR8 is the interrupted code's.
fn clock(frame: &mut TrapFrame) {
    let this = pcr::this();
    let raised = cpu::read_cr8() >= DISPATCH_LEVEL;
    this.ticks.fetch_add(1, Relaxed);
    replay::note(frame.rip);
    if this.number() == 0 {
        mm::shared::tick();
    }
    interrupt::tick();
    dpc::take_up();
    watchdog::tick(frame, raised);
    step::provoke(frame);
}
