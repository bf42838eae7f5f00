//! Framework file objects.

use crate::device::Device;
use crate::object::{self, Body, Kind, Object};
use crate::slot::Slot;
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{FileObject, Irp};

/// A file object of a device whose driver wants them.
pub struct File {
    wdm: &'static FileObject,
    device: Arc<Object>,
}

impl File {
    /// The file object of NT's at `wdm`, of `device`.
    pub fn new(wdm: &'static FileObject, device: Arc<Object>) -> Self {
        Self { wdm, device }
    }
}

/// The framework's file object for the one that the IRP is about.
pub fn of(device: &Device, irp: &'static Irp) -> Option<Arc<Object>> {
    let address = irp::current(irp).file_object.get() as u64;
    device.files.lock().get(&address).cloned()
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

impl Body for File {}

impl Object {
    /// Its body as a file object.
    pub fn file(&self) -> &File {
        self.body()
    }
}
