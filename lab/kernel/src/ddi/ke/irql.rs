//! IRQLs, critical regions, `KeBugCheckEx`.

use crate::bug::{self, code};
use crate::ddi::irql_ranges::{ANY, APC, DISPATCH};
use crate::export::Export;
use crate::ke::critical_region;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::{stay, thread};
use crate::ldr::image::{self, Role};
use core::sync::atomic::Ordering::Relaxed;

unsafe extern "win64" fn kf_raise_irql(new: u8) -> u8 {
    let old = irql::current();
    if new < old || new > irql::HIGH_LEVEL {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::RAISE_TO_LOWER, u64::from(old), u64::from(new), 0],
            format_args!("KfRaiseIrql from IRQL {old} to {new}"),
        );
    }
    stay::raise(new);
    old
}

unsafe extern "win64" fn ke_raise_irql_to_dpc_level() -> u8 {
    // SAFETY: a plain function; the IRQL was checked to be at most `DISPATCH_LEVEL`.
    unsafe { kf_raise_irql(DISPATCH_LEVEL) }
}

pub(super) unsafe extern "win64" fn ke_lower_irql(new: u8) {
    let old = irql::current();
    if new > old {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::LOWER_TO_HIGHER, u64::from(old), u64::from(new), 0],
            format_args!("KeLowerIrql from IRQL {old} to {new}"),
        );
    }
    let locks = thread::current().spin_locks.load(Relaxed);
    if new < DISPATCH_LEVEL && locks != 0 {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::SPIN_LOCK_HELD, u64::from(locks), u64::from(new), 0],
            format_args!("KeLowerIrql to IRQL {new} with {locks} spin locks held"),
        );
    }
    stay::lower(new);
}

unsafe extern "win64" fn ke_get_current_irql() -> u8 {
    irql::current()
}

unsafe extern "win64" fn ke_enter_region() {
    critical_region::enter();
}

unsafe extern "win64" fn ke_leave_region() {
    critical_region::leave();
}

unsafe extern "win64" fn ke_enter_guarded_region() {
    critical_region::enter_guarded();
}

unsafe extern "win64" fn ke_leave_guarded_region() {
    critical_region::leave_guarded();
}

unsafe extern "win64" fn ke_are_all_apcs_disabled() -> u8 {
    u8::from(critical_region::are_all_apcs_disabled())
}

unsafe extern "win64" fn ke_are_apcs_disabled() -> u8 {
    u8::from(critical_region::are_apcs_disabled())
}

unsafe extern "win64" fn ke_bug_check_ex(code: u32, first: u64, second: u64, third: u64, fourth: u64) {
    let who = image::holder(thread::current().caller()).unwrap_or(Role::Driver);
    bug::bugcheck(
        code,
        [first, second, third, fourth],
        format_args!("the {} called KeBugCheckEx", who.name()),
    )
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function("KfRaiseIrql", ANY, kf_raise_irql as *const ()).quiet(),
    Export::function(
        "KeRaiseIrqlToDpcLevel",
        DISPATCH,
        ke_raise_irql_to_dpc_level as *const (),
    )
    .quiet(),
    Export::function("KeLowerIrql", ANY, ke_lower_irql as *const ()),
    Export::function("KeGetCurrentIrql", ANY, ke_get_current_irql as *const ()).quiet(),
    Export::function("KeEnterCriticalRegion", APC, ke_enter_region as *const ()).quiet(),
    Export::function("KeLeaveCriticalRegion", APC, ke_leave_region as *const ()).quiet(),
    Export::function("KeEnterGuardedRegion", APC, ke_enter_guarded_region as *const ()).quiet(),
    Export::function("KeLeaveGuardedRegion", APC, ke_leave_guarded_region as *const ()).quiet(),
    Export::function(
        "KeAreAllApcsDisabled",
        DISPATCH,
        ke_are_all_apcs_disabled as *const (),
    )
    .quiet(),
    Export::function("KeAreApcsDisabled", ANY, ke_are_apcs_disabled as *const ()).quiet(),
    Export::function("KeBugCheckEx", ANY, ke_bug_check_ex as *const ()).quiet(),
];
