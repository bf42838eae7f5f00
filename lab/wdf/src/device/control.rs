//! Control devices: a driver's that are in no stack of Plug and Play, such as all of a driver's without Plug and Play. `wdfcontrol.h`.

use crate::init::{Init, Role};
use crate::object::{self, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, require, routine, violation};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rundown_lab_kernel::io::device as wdm;
use rundown_lab_kernel::lock::IrqLock;
use rundown_lab_kernel::log;
use rundown_lab_kernel::rtl::UnicodeString;

/// Those that are not deleted.
static LIVE: IrqLock<Vec<Arc<Object>>> = IrqLock::new(Vec::new());
/// Those that are, and have a handle still.
static CLOSING: IrqLock<Vec<Arc<Object>>> = IrqLock::new(Vec::new());
/// `WdfDeviceShutdown | WdfDeviceLastChanceShutdown`.
const SHUTDOWN_FLAGS: u8 = 3;

/// One was made.
pub fn made(device: &Arc<Object>) {
    LIVE.lock().push(device.clone());
}

/// Takes it out of a list; whether it was there.
fn take(list: &IrqLock<Vec<Arc<Object>>>, device: &Arc<Object>) -> bool {
    let mut list = list.lock();
    let index = list.iter().position(|other| other.handle() == device.handle());
    index.map(|index| list.swap_remove(index)).is_some()
}

/// `WdfObjectDelete`: nobody opens it from now on, and it goes with the last handle (fxdevice.cpp:1240).
pub fn delete(device: &Arc<Object>) {
    let wdm = device.device().wdm;
    if !take(&LIVE, device) {
        return;
    }
    // Until `destroy`: the framework's object refers to it.
    wdm::hold(wdm);
    wdm::delete(wdm);
    if wdm.reference_count.get() == 0 {
        destroy(device);
    } else {
        CLOSING.lock().push(device.clone());
    }
}

/// A handle's last request is completed: it may be what the deletion waited for.
pub fn closed(device: &Arc<Object>) {
    // The handle is counted off after this.
    if device.device().wdm.reference_count.get() <= 1 && take(&CLOSING, device) {
        destroy(device);
    }
}

fn destroy(device: &Arc<Object>) {
    let wdm = device.device().wdm;
    device.delete();
    device.device().forget();
    wdm::let_go(wdm);
}

/// The driver goes, and they go with it: below its object in the tree.
pub fn delete_all() {
    let live = LIVE.lock().clone();
    live.iter().for_each(delete);
    let closing = core::mem::take(&mut *CLOSING.lock());
    closing.iter().for_each(destroy);
    if Init::unused() != 0 {
        violation(
            violation::RULE,
            Init::unused() as u64,
            0,
            format_args!(
                "the driver unloads and leaves a PWDFDEVICE_INIT of WdfControlDeviceInitAllocate behind: WdfDeviceCreate uses it up, or WdfDeviceInitFree"
            ),
        );
    }
}

unsafe extern "win64" fn allocate(_globals: u64, driver: u64, sddl: *const UnicodeString) -> u64 {
    object::find(driver, Kind::Driver);
    // SAFETY: the declaration: a valid UNICODE_STRING.
    let sddl = unsafe { &*require(sddl, "SDDLString") };
    // SAFETY: as above.
    Init::for_control_device(unsafe { sddl.to_text() })
}

/// What is for a control device and is asked of another one breaks into the debugger on Windows.
fn refuse(what: u64, why: &str) -> ! {
    violation(
        violation::RULE,
        what,
        0,
        format_args!("{} was given {what:#x}, which is {why}", routine()),
    )
}

unsafe extern "win64" fn set_shutdown_notification(_globals: u64, init: u64, callback: u64, flags: u8) {
    require(callback as *const u8, "Notification");
    if !matches!(Init::role(init), Role::Control) {
        refuse(init, "no PWDFDEVICE_INIT of a control device");
    }
    if flags & !SHUTDOWN_FLAGS != 0 {
        refuse(u64::from(flags), "no WDF_DEVICE_SHUTDOWN_FLAGS");
    }
    log!("log: EvtDeviceShutdownNotification is never called: the lab does not shut down");
}

unsafe extern "win64" fn finish_initializing(_globals: u64, device: u64) {
    let device = object::find(device, Kind::Device);
    if device.device().stack.is_some() {
        refuse(device.handle(), "no control device");
    }
    super::finish_initializing(&device);
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(25, "WdfControlDeviceInitAllocate", 0, allocate as *const ()),
    Slot::new(
        26,
        "WdfControlDeviceInitSetShutdownNotification",
        0,
        set_shutdown_notification as *const (),
    ),
    Slot::new(
        27,
        "WdfControlFinishInitializing",
        2,
        finish_initializing as *const (),
    ),
];
