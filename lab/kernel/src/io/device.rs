//! Device objects, and the stacks that they form.

use super::object::{DeviceObject, DriverObject, TYPE_DEVICE, device_flag};
use super::{names, remove_lock};
use crate::bug::{self, code};
use crate::ex::references;
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use crate::status;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use lab_wire::sddl::{SddlError, SecurityDescriptor};

const TAG: Tag = Tag(u32::from_le_bytes(*b"Devi"));

/// What the I/O manager knows of a device besides its object.
struct Record {
    /// `\Device\...`, if it has one.
    name: Option<String>,
    /// Its own descriptor in SDDL; a Plug and Play stack's comes from the INF.
    security: Option<String>,
    /// The device below, while it is attached.
    below: Option<u64>,
    /// What the object's `DeviceObjectExtension` names.
    _extension: Box<ObjectExtension>,
}

/// `DEVOBJ_EXTENSION` (wdm.h), the I/O manager's own, as far as it is public.
#[repr(C)]
struct ObjectExtension {
    kind: i16,
    size: u16,
    device_object: u64,
    /// Opaque.
    rest: [u64; 8],
}

/// `IO_TYPE_DEVICE_OBJECT_EXTENSION`.
const TYPE_OBJECT_EXTENSION: i16 = 13;

static DEVICES: IrqLock<BTreeMap<u64, Record>> = IrqLock::new(BTreeMap::new());

fn address(device: &'static DeviceObject) -> u64 {
    (&raw const *device) as u64
}

/// The device at `address`, which `routine` was given; anything else is a bug check.
pub fn check(address: u64, routine: &str) -> &'static DeviceObject {
    if !DEVICES.lock().contains_key(&address) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            [code::io::NO_DEVICE, address, 0, 0],
            format_args!("{routine} was given {address:#x}, which is no device object"),
        );
    }
    // SAFETY: the table holds existing device objects only.
    unsafe { &*(address as *const DeviceObject) }
}

/// The device at `address`, if it is one.
pub fn find(address: u64) -> Option<&'static DeviceObject> {
    let known = DEVICES.lock().contains_key(&address);
    // SAFETY: the table holds existing device objects only.
    known.then(|| unsafe { &*(address as *const DeviceObject) })
}

/// Devices that stay for a while, though they may have been deleted: by how many, and whether they have.
static HELD: IrqLock<BTreeMap<u64, (u32, bool)>> = IrqLock::new(BTreeMap::new());

/// Keeps the device's memory until it is let go as often.
pub fn hold(device: &'static DeviceObject) {
    HELD.lock().entry(address(device)).or_default().0 += 1;
}

/// Devices that are kept so.
pub fn held() -> Vec<u64> {
    HELD.lock().keys().copied().collect()
}

/// The opposite; false if nobody kept it.
pub fn let_go(device: &'static DeviceObject) -> bool {
    let deleted = {
        let mut held = HELD.lock();
        let Some(entry) = held.get_mut(&address(device)) else {
            return false;
        };
        entry.0 -= 1;
        let (left, deleted) = *entry;
        if left == 0 {
            held.remove(&address(device));
        }
        left == 0 && deleted
    };
    if deleted {
        release(device);
    }
    true
}

/// `IoCreateDevice`.
///
/// # Errors
/// An NTSTATUS: the name is none, or lies in no directory, or is taken; or memory is short.
pub fn create(
    driver: &'static DriverObject,
    extension_size: u32,
    name: Option<String>,
    device_type: u32,
    characteristics: u32,
    exclusive: bool,
    caller: u64,
) -> Result<&'static DeviceObject, i32> {
    if let Some(name) = &name {
        names::check(name)?;
    }
    let taken = |other: &Record| other.name.is_some() && other.name == name;
    if DEVICES.lock().values().any(taken) {
        return Err(status::OBJECT_NAME_COLLISION);
    }
    let size = size_of::<DeviceObject>() + extension_size as usize;
    let memory = pool::allocate(size as u64, TAG, true, Placement::Block, caller)
        .ok_or(status::INSUFFICIENT_RESOURCES)?;
    // SAFETY: fresh zeroed pool, large enough and aligned to 16; every field may be zero. It stays until `delete`.
    let device: &'static DeviceObject = unsafe { &*memory.cast() };
    device.kind.set(TYPE_DEVICE);
    device.size.set(size as u16);
    device.driver_object.set((&raw const *driver).cast_mut());
    device.device_type.set(device_type);
    device.characteristics.set(characteristics);
    device.stack_size.set(1);
    let exclusive = if exclusive { device_flag::EXCLUSIVE } else { 0 };
    let named = if name.is_some() { device_flag::HAS_NAME } else { 0 };
    device
        .flags
        .set(device_flag::DEVICE_INITIALIZING | exclusive | named);
    let extension = Box::new(ObjectExtension {
        kind: TYPE_OBJECT_EXTENSION,
        size: 0,
        device_object: memory as u64,
        rest: [0; 8],
    });
    device.object_extension.set((&raw const *extension) as u64);
    if extension_size != 0 {
        device
            .device_extension
            .set(memory.wrapping_add(size_of::<DeviceObject>()));
    }
    device.next_device.set(driver.device_object.get());
    driver.device_object.set((&raw const *device).cast_mut());
    DEVICES.lock().insert(
        address(device),
        Record {
            name,
            security: None,
            below: None,
            _extension: extension,
        },
    );
    Ok(device)
}

/// `IoDeleteDevice`: the device must be detached, and no handle may be open to it.
pub fn delete(device: &'static DeviceObject) {
    let refuse = |why: &str| {
        bug::bugcheck(
            code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            [code::io::BAD_DEVICE_DELETION, address(device), 0, 0],
            format_args!("IoDeleteDevice: the device {:#x} {why}", address(device)),
        )
    };
    if device.reference_count.get() != 0 {
        refuse("still has open handles");
    }
    if !device.attached_device.get().is_null() {
        refuse("has another device attached above it");
    }
    if DEVICES
        .lock()
        .get(&address(device))
        .is_some_and(|record| record.below.is_some())
    {
        refuse("is still attached to the device below it (IoDetachDevice comes first)");
    }
    // SAFETY: a device object names its driver's object as long as it exists.
    let driver = unsafe { &*device.driver_object.get() };
    let this = (&raw const *device).cast_mut();
    if driver.device_object.get() == this {
        driver.device_object.set(device.next_device.get());
    } else {
        let mut previous = driver.device_object.get();
        // SAFETY: the list's links name existing devices of the driver, or end with null.
        while let Some(link) = unsafe { previous.as_ref() } {
            if link.next_device.get() == this {
                link.next_device.set(device.next_device.get());
                break;
            }
            previous = link.next_device.get();
        }
    }
    if let Some(entry) = HELD.lock().get_mut(&address(device)) {
        entry.1 = true;
        return;
    }
    release(device);
}

/// The device's memory goes.
fn release(device: &'static DeviceObject) {
    let memory = address(device)..address(device) + u64::from(device.size.get());
    DEVICES.lock().remove(&address(device));
    references::freed(address(device));
    remove_lock::freed(memory);
    if pool::free(address(device), Some(TAG), 0).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, address(device), 0, 0],
            format_args!(
                "the memory behind the device extension of {:#x} was overwritten",
                address(device)
            ),
        );
    }
}

/// `IoAttachDeviceToDeviceStack`: the device that was on top before; none if that one is still being initialised, "the top device
/// object is checked for this flag" (Microsoft Learn, "What does `DO_DEVICE_INITIALIZING` really do?").
pub fn attach(source: &'static DeviceObject, target: &'static DeviceObject) -> Option<&'static DeviceObject> {
    let below = top_of_stack(target);
    if below.flags.get() & device_flag::DEVICE_INITIALIZING != 0 {
        return None;
    }
    below.attached_device.set((&raw const *source).cast_mut());
    source.stack_size.set(below.stack_size.get() + 1);
    source
        .alignment_requirement
        .set(below.alignment_requirement.get());
    if let Some(record) = DEVICES.lock().get_mut(&address(source)) {
        record.below = Some(address(below));
    }
    Some(below)
}

/// `IoDetachDevice`: takes off what is attached to `target`.
pub fn detach(target: &'static DeviceObject) {
    let above = target.attached_device.get();
    target.attached_device.set(core::ptr::null_mut());
    if let Some(record) = DEVICES.lock().get_mut(&(above as u64)) {
        record.below = None;
    }
}

/// The highest device of a stack.
pub fn top_of_stack(device: &'static DeviceObject) -> &'static DeviceObject {
    let mut top = device;
    // SAFETY: links name existing devices, since an attached one cannot be deleted.
    while let Some(above) = unsafe { top.attached_device.get().as_ref() } {
        top = above;
    }
    top
}

/// The devices of a stack from the one given down to the lowest.
fn below(device: &'static DeviceObject) -> Option<&'static DeviceObject> {
    let below = DEVICES.lock().get(&address(device))?.below?;
    Some(check(below, "the device stack"))
}

/// Whether a text is a security descriptor in SDDL.
///
/// # Errors
/// Where it is wrong.
pub fn is_security_descriptor(sddl: &str) -> Result<(), SddlError> {
    SecurityDescriptor::parse(sddl).map(drop)
}

/// Gives the device a descriptor of its own, in SDDL.
pub fn set_security(device: &'static DeviceObject, sddl: String) {
    if let Some(record) = DEVICES.lock().get_mut(&address(device)) {
        record.security = Some(sddl);
    }
}

/// The descriptor that an open of the device's stack is checked against: the lowest one's, as Plug and Play propagates it.
pub fn security(device: &'static DeviceObject) -> Option<String> {
    let mut lowest = device;
    while let Some(next) = below(lowest) {
        lowest = next;
    }
    let own = |device: &'static DeviceObject| DEVICES.lock().get(&address(device))?.security.clone();
    own(lowest).or_else(|| own(device))
}

/// The device of that name, `\Device\...`.
pub fn by_name(name: &str) -> Option<&'static DeviceObject> {
    let found = DEVICES.lock().iter().find_map(|(&address, record)| {
        record
            .name
            .as_deref()
            .is_some_and(|known| known.eq_ignore_ascii_case(name))
            .then_some(address)
    });
    found.map(|address| check(address, "the object manager"))
}

/// Devices that `driver` has not deleted.
pub fn count_of(driver: &'static DriverObject) -> usize {
    let mut count = 0;
    let mut device = driver.device_object.get();
    // SAFETY: the list's links name existing devices of the driver, or end with null.
    while let Some(link) = unsafe { device.as_ref() } {
        count += 1;
        device = link.next_device.get();
    }
    count
}
