//! `IRP_MJ_CREATE`, `IRP_MJ_CLEANUP` and `IRP_MJ_CLOSE`.

use crate::call::invoke;
use crate::file::{self, File};
use crate::object::{self, Kind, Object};
use crate::{arrival, device, queue, request};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{FileObject, Irp};
use rundown_lab_kernel::status;

/// `IRP_MJ_CREATE`.
pub fn create(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    let Some(config) = body.init.files.filter(|_| body.has_files()) else {
        return arrival::complete(irp, status::SUCCESS);
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
        return arrival::complete(irp, status::SUCCESS);
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
    arrival::complete(irp, status::SUCCESS)
}

/// `IRP_MJ_CLOSE`.
pub fn close(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    if let Some(file) = file::of(body, irp) {
        let callback = body.init.files.map_or(0, |files| files.evt_file_close);
        invoke("EvtFileClose", callback, [file.handle(), 0, 0, 0, 0]);
        file::forget(&file);
    }
    let status = arrival::complete(irp, status::SUCCESS);
    device::control::closed(device);
    status
}
