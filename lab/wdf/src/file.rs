//! Framework file objects: create, cleanup, close.

use crate::call::invoke;
use crate::device::Device;
use crate::dispatch;
use crate::object::{self, Body, Kind, Object};
use crate::table::Slot;
use crate::{queue, request};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{FileObject, Irp};
use rundown_lab_kernel::status;

/// A file object of a device whose driver wants them.
pub struct File {
    wdm: &'static FileObject,
    device: Arc<Object>,
}

/// The framework's file object for the one that the IRP is about.
pub fn of(device: &Device, irp: &'static Irp) -> Option<Arc<Object>> {
    let address = irp::current(irp).file_object.get() as u64;
    device.files.lock().get(&address).cloned()
}

/// `IRP_MJ_CREATE`.
pub fn create(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    let Some(config) = body.init.files.filter(|_| body.has_files()) else {
        return dispatch::complete(irp, status::SUCCESS);
    };
    let address = irp::current(irp).file_object.get();
    // SAFETY: a create names a file object, which stays until its close is completed.
    let wdm: &'static FileObject = unsafe { &*address };
    let file = Body::File(File {
        wdm,
        device: device.clone(),
    });
    let file = match object::create(
        Kind::FileObject,
        body.init.file_attributes.as_ref(),
        Some(device),
        file,
    ) {
        Ok(file) => file,
        Err(status) => return dispatch::complete(irp, status),
    };
    body.files.lock().insert(address as u64, file.clone());
    if config.evt_device_file_create == 0 {
        return dispatch::complete(irp, status::SUCCESS);
    }
    match request::create(device, irp) {
        Ok(request) => {
            irp::mark_pending(irp);
            request::give_to_driver(&request, None);
            request.request().present();
            let _region = dispatch::critical_region();
            let arguments = [device.handle(), request.handle(), file.handle(), 0, 0];
            invoke("EvtDeviceFileCreate", config.evt_device_file_create, arguments);
            status::PENDING
        }
        Err(status) => {
            forget(&file);
            dispatch::complete(irp, status)
        }
    }
}

/// A create failed, or the file is closed: its object goes.
pub fn forget(file: &Arc<Object>) {
    let body = file.file();
    body.device
        .device()
        .files
        .lock()
        .remove(&((&raw const *body.wdm) as u64));
    file.delete();
}

/// `IRP_MJ_CLEANUP`: the driver is told, then what the file still has in queues is cancelled (fxpkggeneral.cpp:1649, :1668). The latter
/// goes by NT's file object, since a driver need not want the framework's.
pub fn cleanup(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    if let Some(file) = of(body, irp) {
        let callback = body.init.files.map_or(0, |files| files.evt_file_cleanup);
        invoke("EvtFileCleanup", callback, [file.handle(), 0, 0, 0, 0]);
    }
    let wdm = irp::current(irp).file_object.get() as u64;
    for queue in body.queues.lock().clone() {
        queue::cancel_of_file(&queue, wdm);
    }
    dispatch::complete(irp, status::SUCCESS)
}

/// `IRP_MJ_CLOSE`.
pub fn close(device: &Arc<Object>, irp: &'static Irp) -> i32 {
    let body = device.device();
    if let Some(file) = of(body, irp) {
        let callback = body.init.files.map_or(0, |files| files.evt_file_close);
        invoke("EvtFileClose", callback, [file.handle(), 0, 0, 0, 0]);
        forget(&file);
    }
    dispatch::complete(irp, status::SUCCESS)
}

unsafe extern "win64" fn get_file_name(_globals: u64, file: u64) -> u64 {
    object::find(file, Kind::FileObject)
        .file()
        .wdm
        .file_name
        .pointer() as u64
}

unsafe extern "win64" fn get_flags(_globals: u64, file: u64) -> u32 {
    object::find(file, Kind::FileObject).file().wdm.flags.get()
}

unsafe extern "win64" fn get_device(_globals: u64, file: u64) -> u64 {
    object::find(file, Kind::FileObject).file().device.handle()
}

unsafe extern "win64" fn get_file_object(_globals: u64, file: u64) -> u64 {
    (&raw const *object::find(file, Kind::FileObject).file().wdm) as u64
}

/// `wdffileobject.h`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(137, "WdfFileObjectGetFileName", 0, get_file_name as *const ()),
    Slot::new(138, "WdfFileObjectGetFlags", 2, get_flags as *const ()),
    Slot::new(139, "WdfFileObjectGetDevice", 2, get_device as *const ()),
    Slot::new(
        140,
        "WdfFileObjectWdmGetFileObject",
        2,
        get_file_object as *const (),
    ),
];
