//! Calls into the driver, and what is checked when they come back.

use crate::bug::{bugcheck, code};
use crate::ke::dpc::{self, Call};
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::thread;
use crate::ldr::{self, image};
use crate::mm::pageable;
use crate::trace::{self, Kind};
use core::sync::atomic::Ordering;

/// Calls into the driver, and checks that it comes back at the same IRQL and without a spin lock.
pub fn call_driver<R>(what: &'static str, call: impl FnOnce() -> R) -> R {
    let irql = irql::current();
    let locks = thread::current().spin_locks.load(Ordering::Relaxed);
    note(Kind::CallBegins, what);
    let result = call();
    note(Kind::CallEnds, what);
    check_return(what, irql, locks);
    result
}

fn note(kind: Kind, what: &'static str) {
    trace::note(kind, [trace::name(what), 0, 0]);
}

/// Who the driver returns to from the outermost call.
#[derive(Clone, Copy)]
pub enum Outermost {
    /// A client, from a system call.
    Client = 0,
    /// A thread of the system's.
    System = 1,
}

/// The same for a call that no other of the driver's is outside of: it ends in as many critical regions as it began in, or NT stops there
/// (bug check 1's page).
pub fn call_outermost<R>(what: &'static str, whose: Outermost, call: impl FnOnce() -> R) -> R {
    let thread = thread::current();
    let counts = || [&thread.regions, &thread.guarded_regions].map(|count| count.load(Ordering::Relaxed));
    let before = counts();
    let result = call_driver(what, call);
    let after = counts();
    let [critical, guarded] = [after[0] - before[0], after[1] - before[1]];
    if (critical, guarded) != (0, 0) {
        bugcheck(
            code::APC_INDEX_MISMATCH,
            // Thread->SpecialApcDisable above Thread->KernelApcDisable, which count down.
            [
                0,
                0,
                u64::from(-guarded as u16) << 16 | u64::from(-critical as u16),
                whose as u64,
            ],
            format_args!(
                "the driver's {what} has entered {critical} critical and {guarded} guarded regions more than it left; a mutex that it owns \
                 counts as one"
            ),
        );
    }
    result
}

fn check_return(what: &str, irql: u8, locks: u32) {
    let (irql_now, locks_now) = (
        irql::current(),
        thread::current().spin_locks.load(Ordering::Relaxed),
    );
    if irql_now != irql {
        bugcheck(
            code::IRQL_UNEXPECTED_VALUE,
            [u64::from(irql_now) << 16 | u64::from(irql) << 8, 0, 0, 0],
            format_args!("the driver's {what} was called at IRQL {irql} and returned at IRQL {irql_now}"),
        );
    }
    if locks_now != locks {
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::SPIN_LOCK_HELD, u64::from(locks_now), 0, 0],
            format_args!("the driver's {what} returned with {locks_now} spin locks held"),
        );
    }
}

/// Calls one DPC routine and checks how it comes back.
pub fn call_dpc(call: Call) {
    let [first, second] = call.arguments;
    let locks = thread::current().spin_locks.load(Ordering::Relaxed);
    pageable::page_out();
    if image::in_driver(call.routine) {
        dpc::called(call.routine);
    }
    // SAFETY: `KeInitializeDpc` was given this routine; a KDEFERRED_ROUTINE takes the DPC, its context and two arguments.
    unsafe { ldr::call(call.routine, [call.dpc, call.context, first, second]) };
    check_return("DPC routine", DISPATCH_LEVEL, locks);
}
