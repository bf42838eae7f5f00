//! Waits.

use super::parameter::object;
use crate::bug::{self, code};
use crate::config::{self, Rule};
use crate::ddi::irql_ranges::{APC, DISPATCH};
use crate::ex::native::{self, Question};
use crate::export::Export;
use crate::judge::lost_wakeup::STACK_EVENT_WAITS;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::object::{Header, Kind};
use crate::ke::thread::{self, is_stack};
use crate::ke::{sched, wait};
use crate::ldr::image::{self, Role};
use crate::status;
use core::sync::atomic::Ordering::Relaxed;

const WAITABLE: &[Kind] = &[
    Kind::NotificationEvent,
    Kind::SynchronizationEvent,
    Kind::Mutant,
    Kind::Semaphore,
    Kind::Thread,
    Kind::NotificationTimer,
    Kind::SynchronizationTimer,
];

/// A timeout that the driver passed, or none.
fn timeout(timeout: *const i64) -> Option<i64> {
    // SAFETY: the DDI asks for a LARGE_INTEGER there, or null.
    (!timeout.is_null()).then(|| unsafe { timeout.read() })
}

/// A wait needs an IRQL below `DISPATCH_LEVEL`, unless its timeout is zero, or the routine before said that it follows.
fn check_wait(object: u64, timeout: Option<i64>) {
    let irql = irql::current();
    if irql >= DISPATCH_LEVEL && timeout != Some(0) && !thread::current().has_promised_wait() {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::WAIT_AT_DISPATCH, u64::from(irql), object, 0],
            format_args!(
                "a wait at IRQL {irql} that may block; at DISPATCH_LEVEL only a timeout of 0 is allowed"
            ),
        );
    }
}

/// How many objects a thread can wait for with the wait blocks that it has itself, and with an array of the driver's (wdm.h; bug check
/// 0xC's page).
const THREAD_WAIT_OBJECTS: u32 = 3;
const MAXIMUM_WAIT_OBJECTS: u32 = 64;

/// `KernelMode`.
const KERNEL_MODE: u8 = 0;

/// What the wait's mode allows (Microsoft Learn): "If the first argument to `KeWaitForSingleObject` is a local variable, the Mode
/// parameter must be `KernelMode`" (C28135), since in `UserMode` the stack may leave memory meanwhile. By "Waits and APCs" a wait
/// in `UserMode`, and an alertable one in either mode, can be interrupted: the setter would then touch a stack that has
/// moved on. And a mutex must be waited for in `KernelMode`, says the routine's own page.
fn check_mode(header: &'static Header, mode: u8, alertable: u8) {
    let object = header.address();
    let may_end_early = mode != KERNEL_MODE || alertable != 0;
    if is_stack(object) && may_end_early && !config::allows(Rule::WaitOnStack) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [
                code::sub::WAIT_ON_STACK,
                object,
                u64::from(mode),
                u64::from(alertable),
            ],
            format_args!(
                "a wait in {} on {object:#x}, which lies on a kernel stack: {}",
                if mode == KERNEL_MODE {
                    "KernelMode that is alertable,"
                } else {
                    "UserMode"
                },
                if mode == KERNEL_MODE {
                    "an alert ends it while others still know the object"
                } else {
                    "the stack may be swapped out meanwhile, or the wait end early"
                }
            ),
        );
    }
    let is_mutex = header.kind() == Some(Kind::Mutant);
    if is_mutex && mode != KERNEL_MODE && !config::allows(Rule::MutexWaitMode) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::MUTEX_WAIT_MODE, object, u64::from(mode), 0],
            format_args!("a wait in UserMode for the mutex {object:#x}; it must be one in KernelMode"),
        );
    }
}

unsafe extern "win64" fn ke_wait_for_single_object(
    waited: *const Header,
    _reason: u32,
    mode: u8,
    alertable: u8,
    limit: *const i64,
) -> i32 {
    let limit = timeout(limit);
    check_wait(waited as u64, limit);
    let header = object(waited, WAITABLE);
    check_mode(header, mode, alertable);
    // A framework waits on its own stack events, which are no run-down.
    let by_framework = image::holder(thread::current().caller()) == Some(Role::Framework);
    if is_stack(waited as u64) && limit.is_none() && !by_framework {
        STACK_EVENT_WAITS.fetch_add(1, Relaxed);
        native::note(Question::Sleep);
    }
    wait::wait(&[header], false, limit, true)
}

unsafe extern "win64" fn ke_wait_for_multiple_objects(
    count: u32,
    objects: *const *const Header,
    wait_type: u32,
    _reason: u32,
    mode: u8,
    alertable: u8,
    limit: *const i64,
    blocks: u64,
) -> i32 {
    let limit = timeout(limit);
    check_wait(objects as u64, limit);
    let room = if blocks == 0 {
        THREAD_WAIT_OBJECTS
    } else {
        MAXIMUM_WAIT_OBJECTS
    };
    if count > room {
        bug::bugcheck(
            code::MAXIMUM_WAIT_OBJECTS_EXCEEDED,
            [u64::from(count), u64::from(room), blocks, 0],
            format_args!(
                "a wait for {count} objects, and {room} are the most {} a WaitBlockArray",
                if blocks == 0 { "without" } else { "with" }
            ),
        );
    }
    // SAFETY: the DDI asks for an array of that many pointers.
    let objects = unsafe { core::slice::from_raw_parts(objects, count as usize) };
    let headers: alloc::vec::Vec<_> = objects.iter().map(|&address| object(address, WAITABLE)).collect();
    for header in &headers {
        check_mode(header, mode, alertable);
    }
    wait::wait(&headers, wait_type == 0, limit, true)
}

unsafe extern "win64" fn ke_delay_execution_thread(_mode: u8, _alertable: u8, interval: *const i64) -> i32 {
    let interval = timeout(interval).unwrap_or(0);
    if interval == 0 {
        sched::yield_now();
        return status::SUCCESS;
    }
    wait::delay(interval);
    status::SUCCESS
}

unsafe extern "win64" fn zw_yield_execution() -> i32 {
    sched::yield_now();
    status::SUCCESS
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function(
        "KeWaitForSingleObject",
        DISPATCH,
        ke_wait_for_single_object as *const (),
    )
    .waits(),
    Export::function(
        "KeWaitForMultipleObjects",
        DISPATCH,
        ke_wait_for_multiple_objects as *const (),
    )
    .waits(),
    Export::function(
        "KeDelayExecutionThread",
        APC,
        ke_delay_execution_thread as *const (),
    ),
    Export::function("ZwYieldExecution", APC, zw_yield_execution as *const ()),
];
