//! Cancel-safe queues: a list of the driver's own, kept by the callbacks that `IoCsqInitialize`'s page lists.

use crate::Specimen;
use crate::nt::{self, *};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-csq", sound_csq),
    ("csq-keeps-its-lock", csq_keeps_its_lock),
    ("insert-into-no-csq", insert_into_no_csq),
];

static mut CSQ: [u64; 8] = [0; 8];
/// The IRPs that are queued, oldest first.
static mut QUEUED: [*mut c_void; 4] = [null_mut(); 4];
static LOCK: AtomicU64 = AtomicU64::new(0);
/// The one that was cancelled last.
static CANCELLED: AtomicU64 = AtomicU64::new(0);

unsafe extern "system" fn insert(_csq: *mut c_void, irp: *mut c_void) {
    unsafe {
        let queued = &mut *(&raw mut QUEUED);
        if let Some(free) = queued.iter_mut().find(|place| place.is_null()) {
            *free = irp;
        }
    }
}

unsafe extern "system" fn remove(_csq: *mut c_void, irp: *mut c_void) {
    unsafe {
        let queued = &mut *(&raw mut QUEUED);
        if let Some(index) = queued.iter().position(|&place| place == irp) {
            queued.copy_within(index + 1.., index);
            queued[3] = null_mut();
        }
    }
}

unsafe extern "system" fn peek(_csq: *mut c_void, irp: *mut c_void, _context: *mut c_void) -> *mut c_void {
    unsafe {
        let queued = &*(&raw const QUEUED);
        let before = queued.iter().position(|&place| !irp.is_null() && place == irp);
        queued[before.map_or(0, |index| index + 1)]
    }
}

unsafe extern "system" fn acquire(_csq: *mut c_void, irql: *mut u8) {
    unsafe { irql.write(KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr())) };
}

unsafe extern "system" fn release(_csq: *mut c_void, irql: u8) {
    unsafe { KeReleaseSpinLock(LOCK.as_ptr(), irql) };
}

unsafe extern "system" fn keep(_csq: *mut c_void, _irql: u8) {}

/// `CsqCompleteCanceledIrp`: without the lock, and the IRP is the driver's.
unsafe extern "system" fn cancelled(_csq: *mut c_void, irp: *mut c_void) {
    let right = unsafe { KeGetCurrentIrql() == PASSIVE_LEVEL && nt::irp::DRIVER_CONTEXT.read(irp)[3] == 0 };
    CANCELLED.store(if right { irp as u64 } else { 1 }, SeqCst);
}

unsafe fn make(release: unsafe extern "system" fn(*mut c_void, u8)) {
    let [insert, remove, peek, acquire, release, cancelled] = [
        insert as *const () as u64,
        remove as *const () as u64,
        peek as *const () as u64,
        acquire as *const () as u64,
        release as *const () as u64,
        cancelled as *const () as u64,
    ];
    unsafe { IoCsqInitialize(&raw mut CSQ, insert, remove, peek, acquire, release, cancelled) };
}

/// An IRP at a driver's location, as a dispatch routine has it.
unsafe fn request() -> *mut c_void {
    unsafe {
        let irp = IoAllocateIrp(1, 0);
        nt::irp::LOCATION.write(irp, 1);
        let stack = nt::irp::STACK.read(irp);
        nt::irp::STACK.write(irp, stack.byte_sub(nt::stack::SIZE));
        irp
    }
}

unsafe fn sound_csq() -> i32 {
    unsafe {
        let csq = &raw mut CSQ;
        make(release);
        let [first, second, third] = [request(), request(), request()];
        let mut context = [0_u64; 3];
        IoCsqInsertIrp(csq, first, null_mut());
        IoCsqInsertIrp(csq, second, &mut context);
        IoCsqInsertIrp(csq, third, null_mut());
        // Marked pending, and cancelable (IoCsqInsertIrp's page).
        check!(nt::stack::CONTROL.read(nt::irp::STACK.read(first)) & 1 == 1);
        check!(nt::irp::CANCEL_ROUTINE.read(first) != 0);
        check!(IoCancelIrp(third) == 1 && CANCELLED.swap(0, SeqCst) == third as u64);
        check!(IoCsqRemoveIrp(csq, &mut context) == second && IoCsqRemoveIrp(csq, &mut context).is_null());
        check!(nt::irp::CANCEL_ROUTINE.read(second) == 0);
        check!(IoCsqRemoveNextIrp(csq, null_mut()) == first && IoCsqRemoveNextIrp(csq, null_mut()).is_null());
        // One that is cancelled already is not queued.
        check!(IoCancelIrp(second) == 0);
        IoCsqInsertIrp(csq, second, &mut context);
        check!(CANCELLED.swap(0, SeqCst) == second as u64 && IoCsqRemoveIrp(csq, &mut context).is_null());
        check!(IoCsqRemoveNextIrp(csq, null_mut()).is_null());
        for irp in [first, second, third] {
            IoFreeIrp(irp);
        }
    }
    0
}

unsafe fn csq_keeps_its_lock() -> i32 {
    unsafe {
        make(keep);
        IoCsqRemoveNextIrp(&raw mut CSQ, null_mut());
    }
    0
}

unsafe fn insert_into_no_csq() -> i32 {
    unsafe { IoCsqInsertIrp(&raw mut CSQ, request(), null_mut()) };
    0
}
