//! `WDFDEVICE_INIT`: what a driver says about a device before it is created.

use crate::layout::{FileConfig, IO_BUFFERED, ObjectAttributes, PnpCallbacks};
use crate::object::{self, Allowed, Object};
use crate::slot::Slot;
use crate::violation::{self, check_size, require, routine, violation};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// Values of a structure that are filled in one by one.
#[derive(Clone, Copy)]
pub struct Init {
    /// The physical device object that `AddDevice` was called for.
    pub physical: u64,
    /// `WDF_DEVICE_IO_TYPE`.
    pub io_type: u32,
    /// `FILE_DEVICE_...`.
    pub device_type: u32,
    /// `FILE_DEVICE_SECURE_OPEN` and the like.
    pub characteristics: u32,
    /// One handle at a time.
    pub exclusive: bool,
    /// Plug and Play and power callbacks.
    pub pnp: PnpCallbacks,
    /// File object callbacks.
    pub files: Option<FileConfig>,
    /// Attributes of file objects.
    pub file_attributes: Option<ObjectAttributes>,
    /// Attributes of requests.
    pub request_attributes: Option<ObjectAttributes>,
    /// `EvtIoInCallerContext`.
    pub in_caller_context: u64,
}

/// An initialisation under way.
struct Entry {
    init: Box<Init>,
    name: Option<String>,
    security: Option<String>,
    device: Option<Arc<Object>>,
    /// `WdfDeviceCreate` or `WdfDeviceInitFree` used it up.
    used: bool,
}

/// Addresses where nothing is mapped: the structure is opaque to drivers.
const FIRST: u64 = 0xFFFF_E800_0000_0000;
const STEP: u64 = 0x1000;
/// `FILE_DEVICE_UNKNOWN`.
const DEVICE_TYPE: u32 = 0x22;
/// `FILE_DEVICE_SECURE_OPEN`.
const SECURE_OPEN: u32 = 0x100;

static ENTRIES: IrqLock<BTreeMap<u64, Entry>> = IrqLock::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(FIRST);

impl Init {
    /// What `EvtDriverDeviceAdd` is given.
    pub fn for_function_driver(physical: u64) -> u64 {
        let address = NEXT.fetch_add(STEP, Ordering::Relaxed);
        let init = Box::new(Self {
            physical,
            io_type: IO_BUFFERED,
            device_type: DEVICE_TYPE,
            characteristics: SECURE_OPEN,
            exclusive: false,
            pnp: PnpCallbacks::default(),
            files: None,
            file_attributes: None,
            request_attributes: None,
            in_caller_context: 0,
        });
        ENTRIES.lock().insert(
            address,
            Entry {
                init,
                name: None,
                security: None,
                device: None,
                used: false,
            },
        );
        address
    }

    /// `EvtDriverDeviceAdd` is over: the device that was made of it, if one was.
    pub fn finish(address: u64) -> Option<Arc<Object>> {
        ENTRIES.lock().remove(&address)?.device
    }

    /// Whether it has a security descriptor and no name that the descriptor could be for.
    pub fn has_security_without_name(address: u64) -> bool {
        with(address, |entry| entry.security.is_some() && entry.name.is_none())
    }

    /// Uses the structure up for `WdfDeviceCreate`: its values, name and security descriptor.
    pub fn take(address: u64) -> (Self, Option<String>, Option<String>) {
        with(address, |entry| {
            (*entry.init, entry.name.take(), entry.security.take())
        })
    }

    /// Notes the device that was created.
    pub fn created(address: u64, device: &Arc<Object>) {
        with(address, |entry| {
            entry.device = Some(device.clone());
            entry.used = true;
        });
    }
}

/// Changes a live structure; what is none is a violation.
fn with<R>(address: u64, change: impl FnOnce(&mut Entry) -> R) -> R {
    let mut entries = ENTRIES.lock();
    match entries.get_mut(&address) {
        Some(entry) if !entry.used => change(entry),
        found => {
            let used = found.is_some();
            drop(entries);
            let why = if used {
                "was used up by WdfDeviceCreate or WdfDeviceInitFree"
            } else {
                "is no PWDFDEVICE_INIT"
            };
            violation(
                violation::BAD_HANDLE,
                address,
                0,
                format_args!("{} was given {address:#x}, which {why}", routine()),
            )
        }
    }
}

unsafe extern "win64" fn free(_globals: u64, init: u64) {
    with(init, |entry| entry.used = true);
}

unsafe extern "win64" fn set_io_type(_globals: u64, init: u64, io_type: u32) {
    with(init, |entry| entry.init.io_type = io_type);
}

unsafe extern "win64" fn set_device_type(_globals: u64, init: u64, device_type: u32) {
    with(init, |entry| entry.init.device_type = device_type);
}

unsafe extern "win64" fn set_characteristics(_globals: u64, init: u64, characteristics: u32, or_in: u8) {
    with(init, |entry| {
        let old = if or_in == 0 { 0 } else { entry.init.characteristics };
        entry.init.characteristics = old | characteristics;
    });
}

unsafe extern "win64" fn set_exclusive(_globals: u64, init: u64, exclusive: u8) {
    with(init, |entry| entry.init.exclusive = exclusive != 0);
}

unsafe extern "win64" fn set_pnp_callbacks(_globals: u64, init: u64, callbacks: *const PnpCallbacks) {
    // SAFETY: the declaration: a WDF_PNPPOWER_EVENT_CALLBACKS.
    let callbacks = unsafe { require(callbacks, "PnpPowerEventCallbacks").read() };
    check_size(
        "WDF_PNPPOWER_EVENT_CALLBACKS",
        callbacks.size,
        size_of::<PnpCallbacks>(),
    );
    with(init, |entry| entry.init.pnp = callbacks);
}

unsafe extern "win64" fn set_file_object_config(
    _globals: u64,
    init: u64,
    config: *const FileConfig,
    attributes: *const ObjectAttributes,
) {
    // SAFETY: the declaration: a WDF_FILEOBJECT_CONFIG.
    let config = unsafe { require(config, "FileObjectConfig").read() };
    check_size("WDF_FILEOBJECT_CONFIG", config.size, size_of::<FileConfig>());
    // SAFETY: the declaration: attributes or none.
    let attributes =
        checked(unsafe { object::attributes(attributes, Allowed::NO_PARENT.and_level().and_scope()) });
    with(init, |entry| {
        entry.init.files = Some(config);
        entry.init.file_attributes = attributes;
    });
}

unsafe extern "win64" fn set_request_attributes(
    _globals: u64,
    init: u64,
    attributes: *const ObjectAttributes,
) {
    require(attributes, "RequestAttributes");
    // SAFETY: the declaration: attributes.
    let attributes = checked(unsafe { object::attributes(attributes, Allowed::NO_PARENT) });
    with(init, |entry| entry.init.request_attributes = attributes);
}

unsafe extern "win64" fn set_in_caller_context(_globals: u64, init: u64, callback: u64) {
    with(init, |entry| entry.init.in_caller_context = callback);
}

unsafe extern "win64" fn assign_name(_globals: u64, init: u64, name: *const UnicodeString) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING or null.
    let name = unsafe { name.as_ref() };
    // SAFETY: as above.
    let name = name.map(|name| unsafe { name.to_text() });
    with(init, |entry| entry.name = name);
    status::SUCCESS
}

unsafe extern "win64" fn assign_sddl(_globals: u64, init: u64, sddl: *const UnicodeString) -> i32 {
    // SAFETY: the declaration: a valid UNICODE_STRING or null.
    let sddl = unsafe { sddl.as_ref() };
    // SAFETY: as above.
    let sddl = sddl.map(|sddl| unsafe { sddl.to_text() });
    if sddl
        .as_deref()
        .is_some_and(|text| rundown_lab_kernel::io::device::is_security_descriptor(text).is_err())
    {
        return status::INVALID_PARAMETER;
    }
    with(init, |entry| entry.security = sddl);
    status::SUCCESS
}

fn checked(attributes: Result<Option<ObjectAttributes>, i32>) -> Option<ObjectAttributes> {
    attributes.unwrap_or_else(|status| {
        violation(
            violation::RULE,
            status as u64,
            0,
            format_args!(
                "{}: the WDF_OBJECT_ATTRIBUTES are not valid ({status:#010x})",
                routine()
            ),
        )
    })
}

/// `wdfdevice.h`, the functions for a `PWDFDEVICE_INIT`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(54, "WdfDeviceInitFree", 2, free as *const ()),
    Slot::new(
        55,
        "WdfDeviceInitSetPnpPowerEventCallbacks",
        2,
        set_pnp_callbacks as *const (),
    ),
    Slot::new(61, "WdfDeviceInitSetIoType", 2, set_io_type as *const ()),
    Slot::new(62, "WdfDeviceInitSetExclusive", 2, set_exclusive as *const ()),
    Slot::new(66, "WdfDeviceInitSetDeviceType", 2, set_device_type as *const ()),
    Slot::new(67, "WdfDeviceInitAssignName", 0, assign_name as *const ()),
    Slot::new(68, "WdfDeviceInitAssignSDDLString", 0, assign_sddl as *const ()),
    Slot::new(
        70,
        "WdfDeviceInitSetCharacteristics",
        2,
        set_characteristics as *const (),
    ),
    Slot::new(
        71,
        "WdfDeviceInitSetFileObjectConfig",
        2,
        set_file_object_config as *const (),
    ),
    Slot::new(
        72,
        "WdfDeviceInitSetRequestAttributes",
        2,
        set_request_attributes as *const (),
    ),
    Slot::new(
        74,
        "WdfDeviceInitSetIoInCallerContextCallback",
        2,
        set_in_caller_context as *const (),
    ),
];
