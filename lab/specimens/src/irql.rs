//! IRQLs: changed wrongly, or wrong for what is called there; and too long at a high one.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("raise-to-lower", raise_to_lower),
    ("lower-to-higher", lower_to_higher),
    ("return-at-dispatch", return_at_dispatch),
    ("wait-at-dispatch", wait_at_dispatch),
    ("start-thread-at-dispatch", start_thread_at_dispatch),
    ("enter-region-at-dispatch", enter_region_at_dispatch),
    ("set-event-above-dispatch", set_event_above_dispatch),
    ("dpc-lock-at-passive", dpc_lock_at_passive),
    ("endless-dpc", endless_dpc),
    ("endless-at-dispatch", endless_at_dispatch),
];

unsafe fn raise_to_lower() -> i32 {
    unsafe {
        KfRaiseIrql(DISPATCH_LEVEL);
        KfRaiseIrql(PASSIVE_LEVEL).into()
    }
}

unsafe fn lower_to_higher() -> i32 {
    unsafe { KeLowerIrql(DISPATCH_LEVEL) };
    0
}

unsafe fn return_at_dispatch() -> i32 {
    unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    0
}

unsafe fn wait_at_dispatch() -> i32 {
    let mut event = Event([0; 3]);
    unsafe {
        KeInitializeEvent(&mut event, 1, 0);
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        wait_for(&raw mut event);
        KeLowerIrql(old);
    }
    0
}

unsafe extern "system" fn nothing(_context: *mut c_void) {}

unsafe fn start_thread_at_dispatch() -> i32 {
    let mut handle = 0;
    unsafe {
        KfRaiseIrql(DISPATCH_LEVEL);
        PsCreateSystemThread(
            &mut handle,
            0,
            core::ptr::null(),
            0,
            0,
            nothing,
            core::ptr::null_mut(),
        )
    }
}

/// A routine that may be called at `APC_LEVEL` and below; it only counts.
unsafe fn enter_region_at_dispatch() -> i32 {
    unsafe {
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        KeEnterCriticalRegion();
        KeLeaveCriticalRegion();
        KeLowerIrql(old);
    }
    0
}

unsafe fn set_event_above_dispatch() -> i32 {
    let mut event = Event([0; 3]);
    unsafe {
        KeInitializeEvent(&mut event, 1, 0);
        KfRaiseIrql(DISPATCH_LEVEL + 3);
        KeSetEvent(&mut event, 0, 0)
    }
}

unsafe fn dpc_lock_at_passive() -> i32 {
    let mut lock = 0;
    unsafe { KeAcquireSpinLockAtDpcLevel(&mut lock) };
    0
}

fn spin_for_ever() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

unsafe extern "system" fn endless(_dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {
    spin_for_ever()
}

unsafe fn endless_dpc() -> i32 {
    let mut dpc = Dpc([0; 8]);
    unsafe {
        KeInitializeDpc(&mut dpc, endless, core::ptr::null_mut());
        KeInsertQueueDpc(&mut dpc, 0, 0);
        sleep(100_000);
    }
    0
}

unsafe fn endless_at_dispatch() -> i32 {
    unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    spin_for_ever()
}
