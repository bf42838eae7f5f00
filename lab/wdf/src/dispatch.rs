//! The dispatch routine of every major function: from an IRP to the framework's part of it.

use crate::device::Stack;
use crate::object::Object;
use crate::{arrival, create_close, device, pnp, queue};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::status;

/// What `WdfDriverCreate` puts into the driver object.
///
/// # Safety
/// Called by the I/O manager, with a device of the framework's and an IRP for it.
pub unsafe extern "win64" fn dispatch(device: u64, irp: u64) -> i32 {
    let irp = irp::check(irp, "the framework");
    let device = device::of(device);
    match (irp::current(irp).major_function.get(), device.device().stack) {
        (major::PNP, Some(stack)) => pnp::dispatch(&device, stack, irp),
        (major::POWER | major::SYSTEM_CONTROL, Some(stack)) => irp::pass_down(stack.below, irp),
        (function, stack) => by_function(&device, irp, function, stack),
    }
}

/// What goes to the device below only if this one is a filter, and has nothing for it itself (fxpkgio.cpp:280, fxdefaultirphandler.cpp:86).
fn by_function(device: &Arc<Object>, irp: &'static Irp, function: u8, stack: Option<Stack>) -> i32 {
    if let Some(stack) = stack.filter(|_| device.device().init.filter && passes(device, function)) {
        return irp::pass_down(stack.below, irp);
    }
    match function {
        major::CREATE => create_close::create(device, irp),
        major::CLEANUP => create_close::cleanup(device, irp),
        major::CLOSE => create_close::close(device, irp),
        major::READ | major::WRITE | major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
            queue::arrive(device, irp)
        }
        _ => arrival::complete(irp, status::INVALID_DEVICE_REQUEST),
    }
}

/// Whether a filter has nothing for that type of request.
fn passes(device: &Arc<Object>, function: u8) -> bool {
    match function {
        major::CREATE | major::CLEANUP | major::CLOSE => false,
        major::READ | major::WRITE | major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
            queue::passes(device, function)
        }
        _ => true,
    }
}
