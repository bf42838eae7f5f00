//! Dispatcher objects, handles and threads: damaged, left behind, or waited on in vain.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("set-no-event", set_no_event),
    ("close-no-handle", close_no_handle),
    ("leave-thread", leave_thread),
    ("leave-waiting-thread", leave_waiting_thread),
    ("leave-timer", leave_timer),
    ("wait-on-stack-for-ever", wait_on_stack_for_ever),
    ("wait-for-ever", wait_for_ever),
    ("sleep-for-ever", sleep_for_ever),
];

unsafe fn set_no_event() -> i32 {
    let mut event = Event([0x55; 3]);
    unsafe { KeSetEvent(&mut event, 0, 0) }
}

unsafe fn close_no_handle() -> i32 {
    unsafe { ZwClose(0x1234) }
}

unsafe extern "system" fn sleeper(_context: *mut c_void) {
    unsafe { sleep(100_000) };
}

unsafe fn leave_thread() -> i32 {
    let mut handle = 0;
    unsafe {
        PsCreateSystemThread(&mut handle, 0, 0, 0, 0, sleeper, core::ptr::null_mut());
        ZwClose(handle);
    }
    0
}

/// On an event in pool, which nobody sets.
unsafe extern "system" fn waiter(event: *mut c_void) {
    unsafe { wait_for(event) };
}

unsafe fn leave_waiting_thread() -> i32 {
    let mut handle = 0;
    unsafe {
        let event = block().cast::<Event>();
        KeInitializeEvent(event, 1, 0);
        PsCreateSystemThread(&mut handle, 0, 0, 0, 0, waiter, event.cast());
        ZwClose(handle);
        sleep(500);
    }
    0
}

static mut TIMER: Timer = Timer([0; 8]);

unsafe fn leave_timer() -> i32 {
    unsafe {
        KeInitializeTimerEx(&raw mut TIMER, 0);
        KeSetTimerEx(&raw mut TIMER, -100_000_000, 0, core::ptr::null_mut());
    }
    0
}

unsafe fn wait_on_stack_for_ever() -> i32 {
    let mut event = Event([0; 3]);
    unsafe {
        KeInitializeEvent(&mut event, 1, 0);
        wait_for(&raw mut event)
    }
}

static mut EVENT: Event = Event([0; 3]);

unsafe fn wait_for_ever() -> i32 {
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 1, 0);
        wait_for(&raw mut EVENT)
    }
}

unsafe fn sleep_for_ever() -> i32 {
    loop {
        unsafe { sleep(100) };
    }
}
