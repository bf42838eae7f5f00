//! A bare WDM driver: `DriverEntry`, then its unload routine.

use alloc::boxed::Box;
use rundown_lab_kernel::callout::{self, Outermost};
use rundown_lab_kernel::hal::power::{self, Exit};
use rundown_lab_kernel::io;
use rundown_lab_kernel::ldr::{
    self,
    image::{Image, Role},
};
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::{judge, log};

/// `DRIVER_OBJECT` of x64: 0x150 bytes, of which a bare driver sees its start and its unload routine.
#[repr(C)]
struct DriverObject {
    kind: u16,
    size: u16,
    pad: u32,
    device: u64,
    flags: u32,
    pad2: u32,
    start: u64,
    length: u32,
    pad3: u32,
    section: u64,
    extension: u64,
    name: UnicodeString,
    hardware: u64,
    fast_io: u64,
    initialize: u64,
    start_io: u64,
    unload: u64,
    major: [u64; 28],
}

const _: () = assert!(size_of::<DriverObject>() == 0x150);
/// `IO_TYPE_DRIVER`.
const IO_TYPE_DRIVER: u16 = 4;

/// Runs the driver from entry to unload, and checks what it leaves behind. `case` ends its registry path: specimens read it.
pub(crate) fn run(image: &Image, case: &str) {
    let object = Box::leak(Box::new(DriverObject {
        kind: IO_TYPE_DRIVER,
        size: 0x150,
        pad: 0,
        device: 0,
        flags: 0,
        pad2: 0,
        start: image.base,
        length: image.size as u32,
        pad3: 0,
        section: 0,
        extension: 0,
        name: UnicodeString {
            length: 0,
            maximum_length: 0,
            buffer: core::ptr::null_mut(),
        },
        hardware: 0,
        fast_io: 0,
        initialize: image.entry,
        start_io: 0,
        unload: 0,
        major: [0; 28],
    }));
    let object: *mut DriverObject = object;
    let status = io::driver::call_entry(image, object as u64, case);
    log!("log: DriverEntry returned {status:#010x}");
    if status < 0 {
        power::power_off(Exit::DriverFailed);
    }
    image.discard_initialization();
    // SAFETY: the object was made above; the driver has returned.
    let unload = unsafe { (*object).unload };
    if unload != 0 {
        callout::call_outermost("unload routine", Outermost::System, || {
            // SAFETY: a DRIVER_UNLOAD takes the driver's object.
            unsafe { ldr::call(unload, [object as u64, 0, 0, 0]) };
        });
    }
    judge::unload::check(Role::Driver);
}
