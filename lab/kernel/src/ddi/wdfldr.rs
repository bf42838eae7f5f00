//! `WDFLDR.SYS` for a framework that the user brought (`serve::framework`): its image registers here as the library of KMDF, and drivers are bound to
//! it. Who may bind is the library's business: the loader hands on what both say. Without such a framework there is `lab/wdf`'s loader instead.
//!
//! Sources: fxldr.h, version.cpp and fxlibrarycommon.cpp of microsoft/Windows-Driver-Frameworks.

use super::irql_ranges::PASSIVE;
use crate::export::{Export, WDFLDR};
use crate::io::object::DriverObject;
use crate::lock::IrqLock;
use crate::rtl::UnicodeString;
use crate::{callout, ldr, log, status};

/// `WDF_LIBRARY_INFO` (fxldr.h:301).
#[repr(C)]
#[derive(Clone, Copy)]
struct LibraryInfo {
    size: u32,
    commission: u64,
    decommission: u64,
    register_client: u64,
    unregister_client: u64,
    version: [u32; 3],
}

/// `CLIENT_INFO` (fxldr.h:316).
#[repr(C)]
struct ClientInfo {
    size: u32,
    registry_path: *const UnicodeString,
    driver: *const DriverObject,
}

/// `WDF_BIND_INFO`, the part of both its forms that the loader looks at (fxldr.h:79).
#[repr(C)]
#[derive(Clone, Copy)]
struct BindInfo {
    size: u32,
    component: *const u16,
    version: [u32; 3],
}

const _: () = assert!(size_of::<LibraryInfo>() == 56 && size_of::<ClientInfo>() == 24);

/// Sizes of `WDF_BIND_INFO` and `WDF_BIND_INFO2`.
const BIND_INFO_SIZES: [u32; 2] = [48, 88];
/// What a client calls the kernel-mode framework.
const COMPONENT: &str = "KmdfLibrary";

static LIBRARY: IrqLock<Option<LibraryInfo>> = IrqLock::new(None);
/// The globals of the client that is bound, if one is: there is one driver.
static BOUND: IrqLock<Option<u64>> = IrqLock::new(None);

/// Major and minor version of the library that is registered.
pub fn registered() -> Option<(u32, u32)> {
    let library = *LIBRARY.lock();
    library.map(|library| (library.version[0], library.version[1]))
}

/// Whether a driver is bound to the library.
pub fn is_bound() -> bool {
    BOUND.lock().is_some()
}

/// Calls `Decommission`, for good.
pub fn decommission() {
    let Some(library) = LIBRARY.lock().take() else {
        return;
    };
    let returned = call("Decommission", library.decommission, [0; 4]);
    log!("log: WDFLDR: the framework is decommissioned, with {returned:#010x}");
}

/// Calls a routine of the library's.
fn call(what: &'static str, routine: u64, arguments: [u64; 4]) -> i32 {
    callout::call_driver(what, || {
        // SAFETY: the library registered this routine, and the arguments are those of fxldr.h's prototype.
        unsafe { ldr::call(routine, arguments) as i32 }
    })
}

/// The library is commissioned at once: `DriverEntry` has to succeed once this has (version.cpp:391), so nothing can be put off that may fail.
unsafe extern "win64" fn register_library(
    info: *const LibraryInfo,
    _service_path: *const UnicodeString,
    _device_name: *const UnicodeString,
) -> i32 {
    // SAFETY: the contract: a WDF_LIBRARY_INFO, whose first word is its size.
    let size = unsafe { info.cast::<u32>().read() };
    if size as usize != size_of::<LibraryInfo>() {
        log!("log: WDFLDR: the framework's WDF_LIBRARY_INFO has {size} bytes; it has 56");
        return status::INFO_LENGTH_MISMATCH;
    }
    if registered().is_some() {
        return status::OBJECT_NAME_COLLISION;
    }
    // SAFETY: as above, and of the size that it says.
    let library = unsafe { info.read() };
    let [major, minor, build] = library.version;
    let returned = call("Commission", library.commission, [0; 4]);
    log!("log: WDFLDR: KMDF {major}.{minor}.{build} is commissioned, with {returned:#010x}");
    if status::is_success(returned) {
        *LIBRARY.lock() = Some(library);
    }
    returned
}

unsafe extern "win64" fn version_bind(
    driver: *const DriverObject,
    registry_path: *const UnicodeString,
    info: *const BindInfo,
    globals: *mut u64,
) -> i32 {
    // SAFETY: the stub's contract: a WDF_BIND_INFO, whose first word is its size.
    let size = unsafe { info.cast::<u32>().read() };
    if !BIND_INFO_SIZES.contains(&size) {
        return status::INFO_LENGTH_MISMATCH;
    }
    // SAFETY: as above, and of a size that it can have.
    let BindInfo {
        component, version, ..
    } = unsafe { info.read() };
    let library = *LIBRARY.lock();
    // SAFETY: the stub's contract: a text that ends with a zero.
    let ours = unsafe { is_kmdf(component) };
    let Some(library) = library.filter(|library| ours && library.version[0] == version[0]) else {
        log!(
            "log: WDFLDR: the driver asks for version {} of another library than {COMPONENT}",
            version[0]
        );
        return status::NOT_FOUND;
    };
    let client = ClientInfo {
        size: size_of::<ClientInfo>() as u32,
        registry_path,
        driver,
    };
    // In: what is known of the client; out: the library's own of it, for a debugger.
    let mut context = &raw const client as u64;
    let returned = call(
        "RegisterClient",
        library.register_client,
        [info as u64, globals as u64, &raw mut context as u64, 0],
    );
    if !status::is_success(returned) {
        log!(
            "log: WDFLDR: KMDF {}.{} refuses a driver that was built for {}.{}, with {returned:#010x}",
            library.version[0],
            library.version[1],
            version[0],
            version[1]
        );
        return returned;
    }
    // SAFETY: the stub's contract: a pointer lies there, which the library has just written.
    *BOUND.lock() = Some(unsafe { globals.read() });
    returned
}

/// Whether a text is [`COMPONENT`].
///
/// # Safety
/// `text` is null or ends with a zero.
unsafe fn is_kmdf(text: *const u16) -> bool {
    let mut units = COMPONENT.encode_utf16().chain([0]).enumerate();
    !text.is_null()
        && units.all(|(index, unit)| {
            let place = text.wrapping_add(index);
            // SAFETY: the caller promises an end, and nothing behind a unit that differs is read.
            unsafe { place.read() == unit }
        })
}

unsafe extern "win64" fn version_unbind(_registry_path: u64, info: u64, globals: u64) -> i32 {
    let library = *LIBRARY.lock();
    let bound = BOUND.lock().take_if(|bound| *bound == globals);
    let Some(library) = library.filter(|_| bound.is_some()) else {
        log!("log: WDFLDR: the driver unbinds globals {globals:#x}, with which it is not bound");
        return status::INVALID_PARAMETER;
    };
    call(
        "UnregisterClient",
        library.unregister_client,
        [info, globals, 0, 0],
    )
}

/// A value of the key `Control\Wdf\Kmdf\Diagnostics` ("Registry Values for Debugging WDF Drivers"), which is not there.
unsafe extern "win64" fn diagnostics_value(_name: *const UnicodeString, _value: *mut u32) -> i32 {
    status::OBJECT_NAME_NOT_FOUND
}

/// What the loader exports. Class extensions are no part of it.
pub static EXPORTS: &[Export] = &[
    Export::function("WdfRegisterLibrary", PASSIVE, register_library as *const ()).of(WDFLDR),
    Export::function(
        "WdfLdrDiagnosticsValueByNameAsULONG",
        PASSIVE,
        diagnostics_value as *const (),
    )
    .of(WDFLDR),
    Export::function("WdfVersionBind", PASSIVE, version_bind as *const ()).of(WDFLDR),
    Export::function("WdfVersionUnbind", PASSIVE, version_unbind as *const ()).of(WDFLDR),
    Export::trap("WdfVersionBindClass").of(WDFLDR),
    Export::trap("WdfVersionUnbindClass").of(WDFLDR),
    Export::trap("WdfRegisterClassLibrary").of(WDFLDR),
    Export::trap("WdfLdrQueryInterface").of(WDFLDR),
];
