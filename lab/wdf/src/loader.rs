//! `WDFLDR.SYS`: binds a driver to the framework.

use crate::layout::{BIND_INFO_1, BIND_INFO_2, BindInfo, DriverGlobals};
use crate::{driver, object, table};
use rundown_lab_kernel::export::{Export, WDFLDR};
use rundown_lab_kernel::io::object::{DriverObject, Field};
use rundown_lab_kernel::log;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// The framework's version.
const VERSION: (u32, u32) = (1, 31);

static GLOBALS: DriverGlobals = DriverGlobals {
    driver: Field::new(0),
    flags: Field::new(0),
    tag: Field::new(u32::from_le_bytes(*b"FxDr")),
    name: Field::new([0; 32]),
    displace_driver_unload: Field::new(0),
};

/// The driver's globals, which every call carries; there is one driver.
pub fn globals() -> &'static DriverGlobals {
    &GLOBALS
}

unsafe extern "win64" fn version_bind(
    _driver: *const DriverObject,
    registry_path: *const UnicodeString,
    info: *const BindInfo,
    result: *mut *const DriverGlobals,
) -> i32 {
    // SAFETY: the stub's contract: a WDF_BIND_INFO, whose first word is its size.
    let size = unsafe { info.cast::<u32>().read() };
    if size != BIND_INFO_1 && size != BIND_INFO_2 {
        return status::INFO_LENGTH_MISMATCH;
    }
    // SAFETY: as above; only fields of the first form are used before the size is looked at again.
    let info = unsafe { &*info };
    if info.major != VERSION.0 || (size == BIND_INFO_1 && info.minor > VERSION.1) {
        log!(
            "log: WDFLDR: the driver is built for KMDF {}.{}; the lab has {}.{}",
            info.major,
            info.minor,
            VERSION.0,
            VERSION.1
        );
        return status::NOT_FOUND;
    }
    let Some(functions) = table::build() else {
        return status::INSUFFICIENT_RESOURCES;
    };
    if size == BIND_INFO_2 {
        // SAFETY: the stub's contract for this size: null, or a ULONG of the client's.
        let minimum = unsafe { info.minimum_version.as_ref() }.map_or(0, |minimum| *minimum);
        if minimum > VERSION.1 {
            log!(
                "log: WDFLDR: the driver needs at least KMDF 1.{minimum}; the lab has 1.{}",
                VERSION.1
            );
            return status::NOT_FOUND;
        }
        // SAFETY: the stub's contract for this size: null, or room for a BOOLEAN.
        if let Some(newer) = unsafe { info.client_is_newer.as_mut() } {
            *newer = u8::from(info.minor > VERSION.1);
        }
        // SAFETY: as above, for a ULONG.
        if let Some(count) = unsafe { info.function_count_pointer.as_mut() } {
            *count = functions.len() as u32;
        }
    }
    // SAFETY: the stub's contract: room for the table's address.
    unsafe { info.function_table.write(functions.as_ptr()) };
    // SAFETY: the stub's contract: a valid UNICODE_STRING.
    let path = unsafe { &*registry_path };
    // SAFETY: as above.
    let path = unsafe { path.to_text() };
    driver::bound(path.rsplit('\\').next().unwrap_or("driver"));
    // SAFETY: the stub's contract: room for a pointer.
    unsafe { result.write(globals()) };
    status::SUCCESS
}

unsafe extern "win64" fn version_unbind(_registry_path: u64, _info: u64, _globals: u64) {
    driver::unbound();
    object::check_none_left();
}

/// What `WDFLDR.SYS` exports. Class extensions do not exist here; binding one traps.
pub static EXPORTS: &[Export] = &[
    Export::function("WdfVersionBind", 0..=0, version_bind as *const ()).of(WDFLDR),
    Export::function("WdfVersionUnbind", 0..=0, version_unbind as *const ()).of(WDFLDR),
    Export::trap("WdfVersionBindClass").of(WDFLDR),
    Export::trap("WdfVersionUnbindClass").of(WDFLDR),
    Export::trap("WdfRegisterLibrary").of(WDFLDR),
    Export::trap("WdfRegisterClassLibrary").of(WDFLDR),
    Export::trap("WdfLdrQueryInterface").of(WDFLDR),
];
