//! A driver of NT 4's kind: no AddDevice, one named device that it makes in `DriverEntry`, with a link that programs open. What is written to it
//! can be read again; a control request tells the name of the file that was opened on it.

use crate::nt::{self, *};
use core::ffi::c_void;

const CREATE: usize = 0;
const CLOSE: usize = 2;
const READ: usize = 3;
const WRITE: usize = 4;
const DEVICE_CONTROL: usize = 0xE;
const CLEANUP: usize = 0x12;
const DO_BUFFERED_IO: u32 = 4;

static DEVICE_NAME: [u16; 17] = utf16("\\Device\\LabLegacy");
static LINK_NAME: [u16; 21] = utf16("\\DosDevices\\LabLegacy");

static mut DEVICE: *mut c_void = core::ptr::null_mut();
static mut STORED: ([u8; 64], u64) = ([0; 64], 0);

pub(crate) unsafe fn initialize(driver: *mut c_void) -> i32 {
    unsafe {
        let (name, link) = (unicode(&DEVICE_NAME), unicode(&LINK_NAME));
        let status = IoCreateDevice(driver, 0, &name, 0x22, 0, 0, &raw mut DEVICE);
        if status < 0 {
            return status;
        }
        let flags = nt::device::FLAGS.read(DEVICE);
        nt::device::FLAGS.write(DEVICE, flags | DO_BUFFERED_IO);
        let mut major = nt::driver::MAJOR.read(driver);
        for function in [CREATE, CLOSE, CLEANUP, READ, WRITE, DEVICE_CONTROL] {
            major[function] = dispatch as *const () as u64;
        }
        nt::driver::MAJOR.write(driver, major);
        let status = IoCreateSymbolicLink(&link, &name);
        if status < 0 {
            unload();
        }
        status
    }
}

/// Nothing, for any other specimen.
pub(crate) unsafe fn unload() {
    unsafe {
        if !DEVICE.is_null() {
            IoDeleteSymbolicLink(&unicode(&LINK_NAME));
            IoDeleteDevice(DEVICE);
        }
    }
}

unsafe extern "system" fn dispatch(_device: *mut c_void, irp: *mut c_void) -> i32 {
    unsafe {
        let stack = nt::irp::STACK.read(irp);
        let buffer = nt::irp::SYSTEM_BUFFER.read(irp);
        // Length, or of a control request the output's, is the first parameter.
        let length = u64::from(nt::stack::OUTPUT_LENGTH.read(stack)).min(64);
        let stored = (&raw mut STORED.0).cast::<u8>();
        let information = match usize::from(stack.cast::<u8>().read_volatile()) {
            WRITE => {
                stored.copy_from(buffer, length as usize);
                STORED.1 = length;
                length
            }
            READ => {
                let count = length.min(STORED.1);
                buffer.copy_from(stored, count as usize);
                count
            }
            DEVICE_CONTROL => {
                let file = nt::stack::FILE_OBJECT.read(stack);
                let name = nt::file::NAME.of(file);
                let count = length.min((*name).length.into());
                buffer.copy_from((*name).buffer.cast(), count as usize);
                count
            }
            _ => 0,
        };
        nt::irp::STATUS.write(irp, 0);
        nt::irp::INFORMATION.write(irp, information);
        IofCompleteRequest(irp, 0);
    }
    0
}
