//! The dispatch routine of every major function: from an IRP to the framework's part of it.

use crate::{device, file, pnp, queue};
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{Irp, major};
use rundown_lab_kernel::ke::critical_region::Region;
use rundown_lab_kernel::ke::irql;
use rundown_lab_kernel::status;

/// What `WdfDriverCreate` puts into the driver object.
///
/// # Safety
/// Called by the I/O manager, with a device of the framework's and an IRP for it.
pub unsafe extern "win64" fn dispatch(device: u64, irp: u64) -> i32 {
    let irp = irp::check(irp, "the framework");
    let device = device::of(device);
    match irp::current(irp).major_function.get() {
        major::PNP => pnp::dispatch(&device, irp),
        major::POWER | major::SYSTEM_CONTROL => irp::pass_down(device.device().below, irp),
        major::CREATE => file::create(&device, irp),
        major::CLEANUP => file::cleanup(&device, irp),
        major::CLOSE => file::close(&device, irp),
        major::READ | major::WRITE | major::DEVICE_CONTROL | major::INTERNAL_DEVICE_CONTROL => {
            queue::arrive(&device, irp)
        }
        _ => complete(irp, status::INVALID_DEVICE_REQUEST),
    }
}

/// What a request's dispatching thread is in while it may call the driver: no suspension of a sender keeps others from a queue
/// (fxpkgio.cpp:374, fxpkggeneral.cpp:1127).
pub fn critical_region() -> Option<Region> {
    (irql::current() <= irql::APC_LEVEL).then(Region::new)
}

/// Completes an IRP that never became a request; its status.
pub fn complete(irp: &'static Irp, status: i32) -> i32 {
    irp.io_status.status.set(status);
    irp.io_status.information.set(0);
    irp::complete(irp);
    status
}
