//! System threads.

use super::ob::{self, ObjectAttributes};
use crate::bug::{self, code};
use crate::export::Export;
use crate::ke::irql;
use crate::ke::spawn;
use crate::ke::thread::{self, Origin};
use crate::ldr;
use crate::status;
use crate::{callout, points};
use alloc::boxed::Box;
use core::sync::atomic::Ordering::Relaxed;

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
        return status::INSUFFICIENT_RESOURCES;
    }
    let start = move || {
        // SAFETY: the driver named this KSTART_ROUTINE, which takes its context.
        callout::call_driver("thread routine", || unsafe {
            ldr::call(routine, [context, 0, 0, 0])
        });
    };
    let Some(thread) = spawn::try_spawn("driver", Origin::Driver, Box::new(start)) else {
        return status::INSUFFICIENT_RESOURCES;
    };
    if !client_id.is_null() {
        // SAFETY: the DDI asks for a CLIENT_ID there, or null.
        unsafe { client_id.write([4, u64::from(thread.id) * 4]) };
    }
    let opened = ob::open_handle(ob::Object::Thread(thread), thread::current().caller());
    // SAFETY: the DDI asks for room for a handle.
    unsafe { handle.write(opened) };
    status::SUCCESS
}

unsafe extern "win64" fn ps_terminate_system_thread(status: i32) -> i32 {
    let thread = thread::current();
    let locks = thread.spin_locks.load(Relaxed);
    if irql::current() != irql::PASSIVE_LEVEL || locks != 0 {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::SPIN_LOCK_HELD, u64::from(locks), 0, 0],
            format_args!("a thread ends itself with {locks} spin locks held"),
        );
    }
    thread.leave();
    spawn::terminate(status)
}

unsafe extern "win64" fn ps_get_current_thread() -> u64 {
    thread::current().address()
}

unsafe extern "win64" fn ps_get_current_thread_id() -> u64 {
    u64::from(thread::current().id) * 4
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
