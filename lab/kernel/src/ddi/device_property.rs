//! What the Plug and Play manager knows of a device.

use super::irql_ranges::PASSIVE;
use crate::export::Export;
use crate::io::device;
use crate::status;
use alloc::string::String;
use alloc::vec::Vec;

/// Of `DEVICE_REGISTRY_PROPERTY`.
const PHYSICAL_DEVICE_OBJECT_NAME: u32 = 0xB;
const ENUMERATOR_NAME: u32 = 0xF;

/// A text with its terminating zero, or `STATUS_OBJECT_NAME_NOT_FOUND` for what nobody has set, which of a root device is nearly all.
unsafe extern "win64" fn io_get_device_property(
    device: u64,
    property: u32,
    room: u32,
    buffer: *mut u8,
    length: *mut u32,
) -> i32 {
    let device = device::check(device, "IoGetDeviceProperty");
    let text = match property {
        PHYSICAL_DEVICE_OBJECT_NAME => device::name_of(device),
        ENUMERATOR_NAME => Some(String::from("ROOT")),
        _ => None,
    };
    let Some(text) = text else {
        return status::OBJECT_NAME_NOT_FOUND;
    };
    let units = text.encode_utf16().chain([0]);
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    // SAFETY: the DDI: room for a ULONG.
    unsafe { length.write(bytes.len() as u32) };
    if (room as usize) < bytes.len() {
        return status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the DDI: room for as many bytes as the driver says.
    unsafe { buffer.copy_from(bytes.as_ptr(), bytes.len()) };
    status::SUCCESS
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[Export::function(
    "IoGetDeviceProperty",
    PASSIVE,
    io_get_device_property as *const (),
)];
