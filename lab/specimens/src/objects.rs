//! Dispatcher objects, handles and threads: damaged, left behind, or waited on in vain.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("set-no-event", set_no_event),
    ("write-over-waited-event", write_over_waited_event),
    ("write-over-set-timer", write_over_set_timer),
    ("write-over-dpc", write_over_dpc),
    ("set-timer-with-no-dpc", set_timer_with_no_dpc),
    ("close-no-handle", close_no_handle),
    ("leave-thread", leave_thread),
    ("leave-waiting-thread", leave_waiting_thread),
    ("leave-timer", leave_timer),
    ("leave-dpc", leave_dpc),
    ("leave-dpc-unflushed", leave_dpc_unflushed),
    ("leave-handle", leave_handle),
    ("leave-reference", leave_reference),
    ("wait-on-stack-in-user-mode", || unsafe { wait_on_stack(1, 0) }),
    ("wait-on-stack-alertable", || unsafe { wait_on_stack(0, 1) }),
    (
        "wait-for-all-on-stack-in-user-mode",
        wait_for_all_on_stack_in_user_mode,
    ),
    ("wait-for-mutex-in-user-mode", wait_for_mutex_in_user_mode),
    ("wait-on-stack-for-ever", wait_on_stack_for_ever),
    ("wait-for-ever", wait_for_ever),
    ("wait-for-four-without-blocks", || unsafe {
        wait_for_many(4, false)
    }),
    ("wait-for-too-many", || unsafe { wait_for_many(65, true) }),
    ("set-event-and-do-not-wait", set_event_and_do_not_wait),
    ("end-thread-with-timer-on-stack", || unsafe {
        end_thread(with_timer_on_stack)
    }),
    ("end-thread-in-region", || unsafe { end_thread(in_region) }),
    ("end-thread-with-mutex", || unsafe { end_thread(with_mutex) }),
    ("acquire-mutex-too-often", acquire_mutex_too_often),
    ("return-in-region", return_in_region),
    ("leave-region-not-entered", leave_region_not_entered),
    ("sleep-for-ever", sleep_for_ever),
];

unsafe fn set_no_event() -> i32 {
    let mut event = Event([0x55; 3]);
    unsafe { KeSetEvent(&mut event, 0, 0) }
}

static mut WAITED: Event = Event([0; 3]);

unsafe extern "system" fn timed_waiter(_context: *mut c_void) {
    let limit = -10_000_000_i64;
    unsafe { KeWaitForSingleObject((&raw mut WAITED).cast(), 0, 0, 0, &limit) };
}

unsafe fn write_over_waited_event() -> i32 {
    unsafe {
        KeInitializeEvent(&raw mut WAITED, 1, 0);
        let thread = start(timed_waiter, core::ptr::null_mut());
        while !waits(&raw mut WAITED) {
            sleep(1);
        }
        (&raw mut WAITED).write_volatile(Event([0; 3]));
        join(thread);
    }
    0
}

static mut TIMER: Timer = Timer([0; 8]);
static mut DPC: Dpc = Dpc([0; 8]);

unsafe fn write_over_set_timer() -> i32 {
    unsafe {
        KeInitializeTimerEx(&raw mut TIMER, 0);
        KeSetTimerEx(&raw mut TIMER, -300_000, 0, core::ptr::null_mut());
        (&raw mut TIMER).write_volatile(Timer([u64::MAX; 8]));
        sleep(100);
        KeCancelTimer(&raw mut TIMER);
    }
    0
}

unsafe extern "system" fn no_work(_dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {}

/// Its processor's number, behind the type and the importance (KDPC in ntddk.h).
unsafe fn write_over_dpc() -> i32 {
    unsafe {
        KeInitializeDpc(&raw mut DPC, no_work, core::ptr::null_mut());
        (&raw mut DPC).cast::<u16>().add(1).write_volatile(0x5555);
        KeInsertQueueDpc(&raw mut DPC, 0, 0);
    }
    0
}

unsafe fn set_timer_with_no_dpc() -> i32 {
    unsafe {
        KeInitializeTimerEx(&raw mut TIMER, 0);
        KeSetTimerEx(&raw mut TIMER, -10_000, 0, &raw mut DPC);
        sleep(50);
    }
    0
}

unsafe fn close_no_handle() -> i32 {
    unsafe { ZwClose(0x1234) }
}

unsafe extern "system" fn sleeper(_context: *mut c_void) {
    unsafe { sleep(100_000) };
}

unsafe fn leave_thread() -> i32 {
    unsafe { ZwClose(handle_of(sleeper, core::ptr::null_mut())) };
    0
}

/// On an event in pool, which nobody sets.
unsafe extern "system" fn waiter(event: *mut c_void) {
    unsafe { wait_for(event) };
}

unsafe fn leave_waiting_thread() -> i32 {
    unsafe {
        let event = block().cast::<Event>();
        KeInitializeEvent(event, 1, 0);
        ZwClose(handle_of(waiter, event.cast()));
        sleep(500);
    }
    0
}

unsafe fn leave_timer() -> i32 {
    unsafe {
        KeInitializeTimerEx(&raw mut TIMER, 0);
        KeSetTimerEx(&raw mut TIMER, -100_000_000, 0, core::ptr::null_mut());
    }
    0
}

/// Queues itself for the other of two processors, again and again.
unsafe extern "system" fn wanderer(dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {
    unsafe {
        let mut processor = ProcessorNumber::default();
        KeGetCurrentProcessorNumberEx(&mut processor);
        processor.number ^= 1;
        KeSetTargetProcessorDpcEx(dpc, &processor);
        KeInsertQueueDpc(dpc, 0, 0);
    }
}

static mut WANDERER: Dpc = Dpc([0; 8]);

unsafe fn leave_dpc() -> i32 {
    unsafe {
        KeInitializeDpc(&raw mut WANDERER, wanderer, core::ptr::null_mut());
        KeInsertQueueDpc(&raw mut WANDERER, 0, 0);
    }
    0
}

unsafe extern "system" fn set_event(_dpc: *mut Dpc, context: *mut c_void, _first: u64, _second: u64) {
    unsafe { KeSetEvent(context.cast(), 0, 0) };
}

/// The DPC has told that it is done, and is on its way out of the driver's code.
unsafe fn leave_dpc_unflushed() -> i32 {
    unsafe {
        let mut event = Event([0; 3]);
        KeInitializeEvent(&mut event, 1, 0);
        KeInitializeDpc(&raw mut WANDERER, set_event, (&raw mut event).cast());
        KeInsertQueueDpc(&raw mut WANDERER, 0, 0);
        KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, core::ptr::null());
    }
    0
}

unsafe extern "system" fn nothing(_context: *mut c_void) {}

/// The thread has ended.
unsafe fn leave_handle() -> i32 {
    unsafe {
        let handle = handle_of(nothing, core::ptr::null_mut());
        join(object_of(handle));
    }
    0
}

unsafe fn leave_reference() -> i32 {
    unsafe { wait_for(start(nothing, core::ptr::null_mut())) }
}

unsafe fn wait_on_stack(mode: u8, alertable: u8) -> i32 {
    let mut event = Event([0; 3]);
    let limit = -10_000_i64;
    unsafe {
        KeInitializeEvent(&mut event, 1, 0);
        KeWaitForSingleObject((&raw mut event).cast(), 0, mode, alertable, &limit);
    }
    0
}

unsafe fn wait_for_all_on_stack_in_user_mode() -> i32 {
    let mut event = Event([0; 3]);
    let limit = -10_000_i64;
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 1, 0);
        KeInitializeEvent(&mut event, 1, 0);
        let objects = [(&raw mut EVENT).cast(), (&raw mut event).cast()];
        KeWaitForMultipleObjects(2, objects.as_ptr(), 0, 0, 1, 0, &limit, core::ptr::null_mut());
    }
    0
}

static mut MUTEX: Mutex = Mutex([0; 7]);

unsafe fn wait_for_mutex_in_user_mode() -> i32 {
    unsafe {
        KeInitializeMutex(&raw mut MUTEX, 0);
        KeWaitForSingleObject((&raw mut MUTEX).cast(), 0, 1, 0, core::ptr::null());
        KeReleaseMutex(&raw mut MUTEX, 0)
    }
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

/// The events are set, so no wait block is needed; but that is not how many may be waited for.
unsafe fn wait_for_many(count: usize, blocks: bool) -> i32 {
    let mut array = [0_u64; 65 * 6];
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 0, 1);
        let objects = [(&raw mut EVENT).cast(); 65];
        let blocks = if blocks {
            array.as_mut_ptr().cast()
        } else {
            core::ptr::null_mut()
        };
        KeWaitForMultipleObjects(
            count as u32,
            objects.as_ptr(),
            1,
            0,
            0,
            0,
            core::ptr::null(),
            blocks,
        )
    }
}

/// Says that it will wait.
unsafe fn set_event_and_do_not_wait() -> i32 {
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 0, 0);
        KeSetEvent(&raw mut EVENT, 0, 1);
        KeReadStateEvent(&raw mut EVENT)
    }
}

unsafe fn end_thread(routine: ThreadRoutine) -> i32 {
    unsafe { join(start(routine, core::ptr::null_mut())) };
    0
}

unsafe extern "system" fn with_timer_on_stack(_context: *mut c_void) {
    let mut timer = Timer([0; 8]);
    unsafe {
        KeInitializeTimerEx(&mut timer, 0);
        KeSetTimerEx(&mut timer, -100_000_000, 0, core::ptr::null_mut());
    }
}

unsafe extern "system" fn in_region(_context: *mut c_void) {
    unsafe { KeEnterCriticalRegion() };
}

unsafe extern "system" fn with_mutex(_context: *mut c_void) {
    unsafe {
        KeInitializeMutex(&raw mut MUTEX, 0);
        wait_for(&raw mut MUTEX);
    }
}

/// Its count is at the end: `SignalState`, which an acquisition counts down, is MINLONG.
unsafe fn acquire_mutex_too_often() -> i32 {
    unsafe {
        KeInitializeMutex(&raw mut MUTEX, 0);
        wait_for(&raw mut MUTEX);
        (&raw mut MUTEX).cast::<i32>().add(1).write_volatile(i32::MIN);
        wait_for(&raw mut MUTEX)
    }
}

unsafe fn return_in_region() -> i32 {
    unsafe { KeEnterCriticalRegion() };
    0
}

unsafe fn leave_region_not_entered() -> i32 {
    unsafe { KeLeaveCriticalRegion() };
    0
}
