//! What belongs to a driver object: its extensions, and its service's keys.

use super::irql_ranges::{APC, DISPATCH, PASSIVE};
use super::registry::open_key;
use crate::export::Export;
use crate::io::extension;
use crate::io::object::DriverObject;
use crate::io::registry::{self, service_key};
use crate::ke::thread;
use crate::status;

/// `DriverRegKeyParameters` and `DriverRegKeyPersistentState` of `DRIVER_REGKEY_TYPE`.
const PARAMETERS: u32 = 0;
const PERSISTENT_STATE: u32 = 1;

unsafe extern "win64" fn io_allocate_driver_object_extension(
    driver: u64,
    name: u64,
    size: u32,
    result: *mut u64,
) -> i32 {
    let extension = extension::allocate(driver, name, size.into(), thread::current().caller());
    // SAFETY: the DDI: room for a pointer, which is null on failure.
    unsafe { result.write(extension.unwrap_or(0)) };
    extension.err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn io_get_driver_object_extension(driver: u64, name: u64) -> u64 {
    extension::find(driver, name).unwrap_or(0)
}

/// Both keys are below the service's, which `DriverEntry` is told; they are made if they are not there.
unsafe extern "win64" fn io_open_driver_registry_key(
    driver: *const DriverObject,
    kind: u32,
    _access: u32,
    flags: u32,
    handle: *mut u64,
) -> i32 {
    let below = match kind {
        PARAMETERS if flags == 0 => "Parameters",
        PERSISTENT_STATE if flags == 0 => "PersistentState",
        _ => return status::INVALID_PARAMETER,
    };
    // SAFETY: the DDI: a driver object.
    let driver = unsafe { &*driver };
    // SAFETY: it names its extension.
    let extension = unsafe { &*driver.extension.get() };
    // SAFETY: the service's name is the I/O manager's.
    let service = unsafe { extension.service_key_name.get().to_text() };
    let path = service_key(&service) + "\\" + below;
    match registry::create(&path) {
        Ok(_) => {
            // SAFETY: the DDI asks for room for a handle.
            unsafe { open_key(handle, &path) };
            status::SUCCESS
        }
        Err(status) => status,
    }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "IoAllocateDriverObjectExtension",
        APC,
        io_allocate_driver_object_extension as *const (),
    ),
    Export::function(
        "IoGetDriverObjectExtension",
        DISPATCH,
        io_get_driver_object_extension as *const (),
    ),
    Export::function(
        "IoOpenDriverRegistryKey",
        PASSIVE,
        io_open_driver_registry_key as *const (),
    ),
];
