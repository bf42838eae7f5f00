//! `wdfrequest.h`: requests that the driver makes itself, and their IRPs. The order of the questions is fxrequestapi.cpp's, fxrequest.cpp's and
//! fxrequestbase.cpp's.

use super::sending::{Completion, require_not_sent};
use super::{Owner, Request, address};
use crate::driver;
use crate::layout::{ObjectAttributes, ReuseParams};
use crate::object::{self, Allowed, Kind, Object};
use crate::slot::Slot;
use crate::violation::require;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::Irp;
use rundown_lab_kernel::ke::thread;
use rundown_lab_kernel::points;
use rundown_lab_kernel::status;

/// `WDF_REQUEST_REUSE_SET_NEW_IRP`.
const SET_NEW_IRP: u32 = 1;

impl Request {
    /// What it was formatted with is released; that it was formatted once stays known (fxrequestbase.hpp, `ContextReleaseAndRestore`).
    pub fn release_context(&self) {
        let Some(irp) = self.own_irp() else { return };
        let used = {
            let mut sending = self.sending.lock();
            let used = sending.context.as_mut().map(core::mem::take);
            if used.is_some() {
                sending.formatted = false;
            }
            used
        };
        if let Some(used) = used {
            used.release(irp);
        }
    }

    /// Sees to it that its IRP has as many locations as a stack of that size needs: another one, if it is the framework's own
    /// (fxrequestbase.cpp:320).
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_STATE` for a stack that is gone, `STATUS_REQUEST_NOT_ACCEPTED` for somebody else's IRP that is too small, or
    /// memory is short.
    pub fn fit(&self, stack_size: i8) -> Result<(), i32> {
        self.release_context();
        if stack_size == 0 {
            return Err(status::INVALID_DEVICE_STATE);
        }
        let irp = self.own_irp();
        if irp.is_some_and(|irp| has_locations(irp, stack_size)) {
            return Ok(());
        }
        if irp.is_some() && !self.sending.lock().owns_irp {
            return Err(status::REQUEST_NOT_ACCEPTED);
        }
        let fresh = irp::allocate_for_driver(stack_size, thread::current().caller())
            .ok_or(status::INSUFFICIENT_RESOURCES)?;
        self.irp.store(address(fresh), Ordering::Relaxed);
        self.sending.lock().owns_irp = true;
        if let Some(old) = irp {
            irp::free(old);
        }
        Ok(())
    }

    /// Whoever sent it on forgets it: the IRP is somebody else's (fxrequest.cpp:1171).
    pub fn forget_irp(&self) {
        self.irp.store(0, Ordering::Relaxed);
    }
}

/// Whether an IRP has locations left for a stack of that size: "subtract off the extra space" (fxiotarget.hpp:396).
pub fn has_locations(irp: &Irp, stack_size: i8) -> bool {
    irp.current_location.get() > stack_size
}

/// A request of the driver's, with that IRP or none, which is the framework's own or somebody else's.
///
/// # Errors
/// An NTSTATUS: memory is short.
pub fn create(attributes: Option<&ObjectAttributes>, irp: u64, owns_irp: bool) -> Result<Arc<Object>, i32> {
    let body = Request::new(irp, None, Owner::Maker);
    body.sending.lock().owns_irp = owns_irp;
    object::create(Kind::Request, attributes, driver::object().as_ref(), body)
}

unsafe extern "win64" fn create_from_irp(
    _globals: u64,
    attributes: *const ObjectAttributes,
    irp: u64,
    frees_irp: u8,
    result: *mut u64,
) -> i32 {
    require(irp as *const u8, "Irp");
    require(result, "Request");
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(0) };
    // SAFETY: the declaration: attributes or none.
    let made = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        let irp = address(irp::check(irp, "WdfRequestCreateFromIrp"));
        create(attributes.as_ref(), irp, frees_irp != 0)
    });
    // SAFETY: as above.
    unsafe { object::answer(made, result) }
}

unsafe extern "win64" fn reuse(_globals: u64, handle: u64, params: *const ReuseParams) -> i32 {
    let request = object::find(handle, Kind::Request);
    // SAFETY: the declaration: a WDF_REQUEST_REUSE_PARAMS.
    let params = unsafe { require(params, "ReuseParams").read() };
    let fits = params.size as usize == size_of::<ReuseParams>();
    if !fits || params.flags & !SET_NEW_IRP != 0 {
        return status::INVALID_PARAMETER;
    }
    require_not_sent(&request);
    let body = request.request();
    body.sending.lock().completion = Completion::None;
    body.release_context();
    let new_irp = params.flags & SET_NEW_IRP != 0;
    if body.has_arrived() {
        if new_irp {
            return status::WDF_REQUEST_INVALID_STATE;
        }
        let irp = body.irp();
        irp.io_status.status.set(params.status);
        irp.cancel.set(0);
    } else if new_irp {
        let old = body.own_irp();
        body.irp.store(params.new_irp, Ordering::Relaxed);
        let owned = core::mem::replace(&mut body.sending.lock().owns_irp, false);
        if let Some(old) = old.filter(|_| owned) {
            irp::free(old);
        }
    } else if let Some(irp) = body.own_irp().filter(|_| body.sending.lock().owns_irp) {
        irp::reuse(irp, params.status);
    }
    body.sending.lock().canceled = false;
    status::SUCCESS
}

/// Sees to it that there is a timer; it stays (fxrequestbase.cpp:652).
///
/// # Errors
/// `STATUS_INSUFFICIENT_RESOURCES`.
pub fn make_timer(request: &Request) -> Result<(), i32> {
    if !request.sending.lock().has_timer && thread::current().caller() != 0 && points::creation_fails() {
        return Err(status::INSUFFICIENT_RESOURCES);
    }
    request.sending.lock().has_timer = true;
    Ok(())
}

unsafe extern "win64" fn allocate_timer(_globals: u64, handle: u64) -> i32 {
    let request = object::find(handle, Kind::Request);
    make_timer(request.request()).err().unwrap_or(status::SUCCESS)
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(248, "WdfRequestCreateFromIrp", 2, create_from_irp as *const ()),
    Slot::new(249, "WdfRequestReuse", 2, reuse as *const ()),
    Slot::new(262, "WdfRequestAllocateTimer", 2, allocate_timer as *const ()),
];
