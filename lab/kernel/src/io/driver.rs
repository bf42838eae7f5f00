//! A driver from its entry point to its unload routine.

use super::object::{DriverExtension, DriverObject, TYPE_DRIVER, device_flag, major};
use super::{device, extension, interface, irp, mdl, registry, work_item};
use crate::bug::{self, code};
use crate::callout::{self, Outermost};
use crate::ldr;
use crate::ldr::image::{Image, Role};
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use crate::rtl::UnicodeString;
use crate::status;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

const PATH_TAG: Tag = Tag(u32::from_le_bytes(*b"RegP"));
/// What lies behind a string of the I/O manager's, which has no terminating zero: no unit of any text.
const NO_UNIT: u16 = 0xFFFF;

/// A `UNICODE_STRING` that stays for ever, and has no zero at its end.
pub fn leak_string(text: &str) -> UnicodeString {
    let units: Vec<u16> = text.encode_utf16().chain([NO_UNIT]).collect();
    let length = (units.len() as u16 - 1) * 2;
    let buffer = Vec::leak(units).as_mut_ptr();
    UnicodeString {
        length,
        maximum_length: length,
        buffer,
    }
}

/// A structure of NT's that stays for ever, all zeroes.
fn leak_zeroed<T: Zeroable>() -> &'static T {
    // SAFETY: such a structure may be all zeroes.
    Box::leak(Box::new(unsafe { core::mem::zeroed() }))
}

/// A structure of numbers and pointers.
///
/// # Safety
/// All zeroes is a value of it.
unsafe trait Zeroable {}
// SAFETY: numbers, pointers that may be null, and a string that may be empty.
unsafe impl Zeroable for DriverObject {}
// SAFETY: as above.
unsafe impl Zeroable for DriverExtension {}

/// The driver objects, and how many references drivers hold to each.
static OBJECTS: IrqLock<BTreeMap<u64, u64>> = IrqLock::new(BTreeMap::new());

/// Counts a reference to a driver object up or down; how many there are then. `None` if it is none, or none is held.
pub fn count(object: u64, up: bool) -> Option<u64> {
    let mut objects = OBJECTS.lock();
    let references = objects.get_mut(&object)?;
    *references = if up {
        *references + 1
    } else {
        references.checked_sub(1)?
    };
    Some(*references)
}

/// One that a driver still refers to.
pub fn referenced() -> Option<u64> {
    let objects = OBJECTS.lock();
    let held = objects.iter().find(|(_, references)| **references != 0);
    held.map(|(object, _)| *object)
}

/// A driver object named `\Driver\<service>`, every dispatch routine of which refuses. It stays for ever: a driver may keep the pointer.
pub fn create(service: &str) -> &'static DriverObject {
    let object: &'static DriverObject = leak_zeroed();
    let extension: &'static DriverExtension = leak_zeroed();
    object.kind.set(TYPE_DRIVER);
    object.size.set(size_of::<DriverObject>() as i16);
    object
        .name
        .set(leak_string(&alloc::format!("\\Driver\\{service}")));
    extension.driver_object.set((&raw const *object).cast_mut());
    extension.service_key_name.set(leak_string(service));
    object.extension.set((&raw const *extension).cast_mut());
    for routine in &object.major_function {
        routine.set(invalid_device_request as *const () as u64);
    }
    OBJECTS.lock().insert((&raw const *object) as u64, 0);
    object
}

/// What answers a major function that the driver has no routine for.
unsafe extern "win64" fn invalid_device_request(_device: u64, irp: u64) -> i32 {
    let irp = irp::check(irp, "the default dispatch routine");
    irp.io_status.status.set(status::INVALID_DEVICE_REQUEST);
    irp.io_status.information.set(0);
    irp::complete(irp);
    status::INVALID_DEVICE_REQUEST
}

/// Whether the driver has a routine of its own for this major function.
pub fn handles(driver: &'static DriverObject, function: u8) -> bool {
    driver.major_function[usize::from(function).min(major::COUNT - 1)].get()
        != invalid_device_request as *const () as u64
}

/// Calls the image's entry point and drops its INIT sections.
///
/// # Errors
/// The NTSTATUS that the driver returned.
pub fn enter(image: &Image, service: &str) -> Result<&'static DriverObject, i32> {
    let object = create(service);
    object.start.set(image.base);
    object.image_size.set(image.size as u32);
    object.initialize.set(image.entry);
    let returned = call_entry(image, (&raw const *object) as u64, service);
    if !status::is_success(returned) {
        // The object goes, and its extensions with it.
        extension::free_all(object);
        return Err(returned);
    }
    image.discard_initialization();
    finish_devices(object);
    Ok(object)
}

/// Devices that a driver made in `DriverEntry` are open for business when that returns: the I/O manager clears the flag for them ("What does
/// `DO_DEVICE_INITIALIZING` really do?").
fn finish_devices(object: &'static DriverObject) {
    let mut device = object.device_object.get();
    // SAFETY: the list's links name existing devices of the driver, or end with null.
    while let Some(link) = unsafe { device.as_ref() } {
        link.flags
            .set(link.flags.get() & !device_flag::DEVICE_INITIALIZING);
        device = link.next_device.get();
    }
}

/// Whether the driver can be unloaded: it has an unload routine.
pub fn can_unload(object: &'static DriverObject) -> bool {
    object.unload.get() != 0
}

/// Calls `DriverEntry` with that driver object; what it returns. Its registry path is there only meanwhile, by Microsoft's "Saving a Copy of
/// the Registry Path String", and nothing behind it: a block of pool of its own finds out who reads on, or later.
pub fn call_entry(image: &Image, object: u64, service: &str) -> i32 {
    let key: Vec<u16> = registry::service_key(service).encode_utf16().collect();
    let length = size_of_val(key.as_slice());
    let Some(buffer) = pool::allocate(length as u64, PATH_TAG, false, Placement::Block, 0) else {
        return status::INSUFFICIENT_RESOURCES;
    };
    // SAFETY: the block is fresh, and as long as the key's text.
    unsafe { buffer.copy_from_nonoverlapping(key.as_ptr().cast(), length) };
    let path = Box::new(UnicodeString {
        length: length as u16,
        maximum_length: length as u16,
        buffer: buffer.cast(),
    });
    let arguments = [object, (&raw const *path) as u64, 0, 0];
    let returned = callout::call_outermost("DriverEntry", Outermost::System, || {
        // SAFETY: an image's entry point takes the driver's object and its registry path.
        unsafe { ldr::call(image.entry, arguments) as i32 }
    });
    if pool::free(buffer as u64, Some(PATH_TAG), 0).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, buffer as u64, 0, 0],
            format_args!("the memory behind the registry path was overwritten"),
        );
    }
    returned
}

/// The last device of a Plug and Play driver is removed: Windows unloads it then, unless it still has a device object. So a control device has to be
/// deleted in a clean-up callback of a device (the rule `ControlDeviceDeleted` of Static Driver Verifier).
pub fn check_devices_are_deleted(object: &'static DriverObject) {
    let count = device::count_of(object);
    if count != 0 {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [
                code::sub::IO_OBJECT_LEAKED,
                code::io_leaked::DEVICE,
                count as u64,
                0,
            ],
            format_args!(
                "the driver's last Plug and Play device is removed and leaves {count} device(s) behind: Windows does not unload the driver while it has one"
            ),
        );
    }
}

/// Calls the unload routine, and checks that the I/O manager has nothing of the driver any more. Pool, threads, timers and
/// handles are checked by [`judge::unload::check`].
pub fn unload(object: &'static DriverObject, role: Role) {
    let who = role.name();
    let routine = object.unload.get();
    if routine == 0 {
        crate::log!("log: the {who} has no unload routine, so it stays loaded, with what is its own");
        return;
    }
    callout::call_outermost("DriverUnload", Outermost::System, || {
        // SAFETY: a DRIVER_UNLOAD takes the driver's object.
        unsafe { ldr::call(routine, [(&raw const *object) as u64, 0, 0, 0]) };
    });
    work_item::wait_for_all();
    extension::free_all(object);
    let links = interface::links();
    for (what, count, name) in [
        (code::io_leaked::DEVICE, device::count_of(object), "device"),
        (code::io_leaked::LINK, links.len(), "symbolic link"),
        (code::io_leaked::IRP, irp::live_count(), "IRP"),
        (code::io_leaked::WORK_ITEM, work_item::count(), "work item"),
        (code::io_leaked::MDL, mdl::count(), "MDL"),
    ] {
        if count != 0 {
            bug::bugcheck(
                code::DRIVER_VERIFIER_DETECTED_VIOLATION,
                [code::sub::IO_OBJECT_LEAKED, what, count as u64, 0],
                format_args!("the {who} unloads and leaves {count} {name}(s) behind"),
            );
        }
    }
}
