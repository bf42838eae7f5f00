//! `IRP_MJ_CREATE`, `IRP_MJ_CLEANUP` and `IRP_MJ_CLOSE`.

use crate::call::invoke;
use crate::device::Stack;
use crate::file::{self, File};
use crate::object::{self, Kind, Object};
use crate::{arrival, device, queue, request};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{FileObject, Irp, control};
use rundown_lab_kernel::status;

/// `IRP_MJ_CREATE`.
pub fn create(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    let Some(config) = body.init.files.filter(|_| body.has_files()) else {
        return match below(device) {
            Some(stack) => irp::pass_down(stack.below, irp),
            None => arrival::complete(irp, status::SUCCESS),
        };
    };
    let address = irp::current(irp).file_object.get();
    // SAFETY: a create names a file object, which stays until its close is completed.
    let wdm: &'static FileObject = unsafe { &*address };
    let file = File::new(wdm, device.clone());
    let file = match object::create(
        Kind::FileObject,
        body.init.file_attributes.as_ref(),
        Some(device),
        file,
    ) {
        Ok(file) => file,
        Err(status) => return arrival::complete(irp, status),
    };
    body.files.lock().insert(address as u64, file.clone());
    if config.evt_device_file_create == 0 {
        return match below(device) {
            Some(stack) => {
                irp::copy_to_next(irp);
                irp::set_completion(irp, opened_below as *const () as u64, file.handle(), [true; 3]);
                irp::call_driver(stack.below, irp)
            }
            None => arrival::complete(irp, status::SUCCESS),
        };
    }
    match request::create(device, irp) {
        Ok(request) => {
            irp::mark_pending(irp);
            request::give_to_driver(&request, None);
            request.request().present();
            let _region = arrival::critical_region();
            let arguments = [device.handle(), request.handle(), file.handle(), 0, 0];
            invoke("EvtDeviceFileCreate", config.evt_device_file_create, arguments);
            status::PENDING
        }
        Err(status) => {
            file::forget(&file);
            arrival::complete(irp, status)
        }
    }
}

/// The device below, if it hears of files as well.
fn below(device: &Arc<Object>) -> Option<Stack> {
    let body = device.device();
    body.stack.filter(|_| body.init.forwards_files())
}

/// The device below has been opened, or refuses: then nobody closes the framework's file object (fxpkggeneral.cpp:1446).
unsafe extern "win64" fn opened_below(_device: u64, irp: u64, file: u64) -> i32 {
    let irp = irp::check(irp, "the framework's completion routine");
    if !status::is_success(irp.io_status.status.get()) {
        file::forget(&object::find(file, Kind::FileObject));
    }
    if irp.pending_returned.get() & control::PENDING_RETURNED != 0 {
        irp::mark_pending(irp);
    }
    status::SUCCESS
}

/// What is told to the device below as well, or ends here.
fn end(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    match below(device) {
        Some(stack) => irp::pass_down(stack.below, irp),
        None => arrival::complete(irp, status::SUCCESS),
    }
}

/// `IRP_MJ_CLEANUP`: the driver is told, then what the file still has in queues is cancelled (fxpkggeneral.cpp:1649, :1668). The latter
/// goes by NT's file object, since a driver need not want the framework's.
pub fn cleanup(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    if let Some(file) = file::of(body, irp) {
        let callback = body.init.files.map_or(0, |files| files.evt_file_cleanup);
        invoke("EvtFileCleanup", callback, [file.handle(), 0, 0, 0, 0]);
    }
    let wdm = irp::current(irp).file_object.get() as u64;
    for queue in body.queues() {
        queue::cancel_of_file(&queue, wdm);
    }
    end(device, irp)
}

/// `IRP_MJ_CLOSE`.
pub fn close(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    if let Some(file) = file::of(body, irp) {
        let callback = body.init.files.map_or(0, |files| files.evt_file_close);
        invoke("EvtFileClose", callback, [file.handle(), 0, 0, 0, 0]);
        file::forget(&file);
    }
    let status = end(device, irp);
    device::control::closed(device);
    status
}
