//! What every IRP that arrives may need.

use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::Irp;
use rundown_lab_kernel::ke::critical_region::Region;
use rundown_lab_kernel::ke::irql;

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
