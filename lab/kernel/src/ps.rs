//! System threads.

use crate::hal::pcr;
use crate::judge::{self, code};
use crate::ke::irql;
use crate::ke::sched;
use crate::ke::thread::{self, Origin};
use crate::ldr::{self, export::Export};
use crate::ob::{self, ObjectAttributes};
use crate::points;
use alloc::boxed::Box;
use core::sync::atomic::Ordering::Relaxed;

const STATUS_SUCCESS: i32 = 0;
const STATUS_INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32 as i32;

unsafe extern "win64" fn ps_create_system_thread(
    handle: *mut u64,
    _access: u32,
    attributes: *const ObjectAttributes,
    _process: u64,
    client_id: *mut [u64; 2],
    routine: u64,
    context: u64,
) -> i32 {
    ob::check_attributes(attributes);
    if points::creation_fails() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let start = move || {
        // SAFETY: the driver named this KSTART_ROUTINE, which takes its context.
        judge::call_driver("thread routine", || unsafe {
            ldr::call(routine, [context, 0, 0, 0])
        });
    };
    let Some(thread) = thread::try_spawn("driver", Origin::Driver, Box::new(start)) else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    if !client_id.is_null() {
        // SAFETY: the DDI asks for a CLIENT_ID there, or null.
        unsafe { client_id.write([4, u64::from(thread.id) * 4]) };
    }
    let opened = ob::open_handle(thread, pcr::current_thread().caller());
    // SAFETY: the DDI asks for room for a handle.
    unsafe { handle.write(opened) };
    STATUS_SUCCESS
}

unsafe extern "win64" fn ps_terminate_system_thread(status: i32) -> i32 {
    let thread = pcr::current_thread();
    let locks = thread.spin_locks.load(Relaxed);
    if irql::current() != irql::PASSIVE_LEVEL || locks != 0 {
        judge::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::SPIN_LOCK_HELD, u64::from(locks), 0, 0],
            format_args!("a thread ends itself with {locks} spin locks held"),
        );
    }
    thread.leave();
    sched::terminate(status)
}

unsafe extern "win64" fn ps_get_current_thread() -> u64 {
    pcr::current_thread().address()
}

unsafe extern "win64" fn ps_get_current_thread_id() -> u64 {
    u64::from(pcr::current_thread().id) * 4
}

unsafe extern "win64" fn ps_get_current_process_id() -> u64 {
    4
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "PsCreateSystemThread",
        0..=0,
        ps_create_system_thread as *const (),
    ),
    Export::function(
        "PsTerminateSystemThread",
        0..=0,
        ps_terminate_system_thread as *const (),
    ),
    Export::function("PsGetCurrentThread", 0..=15, ps_get_current_thread as *const ()).quiet(),
    Export::function("KeGetCurrentThread", 0..=15, ps_get_current_thread as *const ()).quiet(),
    Export::function(
        "PsGetCurrentThreadId",
        0..=15,
        ps_get_current_thread_id as *const (),
    )
    .quiet(),
    Export::function(
        "PsGetCurrentProcessId",
        0..=15,
        ps_get_current_process_id as *const (),
    )
    .quiet(),
];
