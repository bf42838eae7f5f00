//! `WDFLDR.SYS`: binds a driver to the framework.

use crate::globals::globals;
use crate::layout::{BIND_INFO_1, BIND_INFO_2, BindInfo, DriverGlobals, STRUCTURE_SIZES, STRUCTURES};
use crate::slot::LENGTH;
use crate::violation::{self, require, violation};
use crate::{driver, object, table};
use rundown_lab_kernel::export::{Export, WDFLDR};
use rundown_lab_kernel::io::object::DriverObject;
use rundown_lab_kernel::log;
use rundown_lab_kernel::mm::paging;
use rundown_lab_kernel::rtl::UnicodeString;
use rundown_lab_kernel::status;

/// The framework's version: of 1.33 it has what 1.31 has, for the later one adds no function, and changes no structure of those that are here.
const VERSION: (u32, u32) = (1, 33);

/// Lengths of the function tables that were ever published: of 1.0, 1.1, 1.5, 1.9, 1.11, 1.13, 1.15, 1.19, 1.21, 1.23, 1.25,
/// 1.29, and 1.31 with 1.33 (fxlibrarycommon.cpp:399). No other is a client's.
const TABLE_LENGTHS: [u32; 13] = [
    383,
    386,
    387,
    396,
    432,
    438,
    444,
    446,
    448,
    451,
    453,
    454,
    LENGTH as u32,
];
/// A client with this many functions or fewer, which is one up to KMDF 1.13, has room for the whole table; a later one has room
/// for its address (fxlibrarycommon.cpp:502).
const LONGEST_COPY: u32 = 438;

unsafe extern "win64" fn version_bind(
    _driver: *const DriverObject,
    registry_path: *const UnicodeString,
    info: *mut BindInfo,
    result: *mut *const DriverGlobals,
) -> i32 {
    // SAFETY: the stub's contract: a WDF_BIND_INFO, whose first word is its size.
    let size = unsafe { require(info, "BindInfo").cast::<u32>().read() };
    if size != BIND_INFO_1 && size != BIND_INFO_2 {
        return status::INFO_LENGTH_MISMATCH;
    }
    // SAFETY: as above; the fields of the second form are used only where the size says that they are there.
    let info = unsafe { &mut *info };
    // SAFETY: the stub's contract: a valid UNICODE_STRING.
    let path = unsafe { &*require(registry_path, "RegistryPath") };
    // SAFETY: as above.
    let path = unsafe { path.to_text() };
    let service = path.rsplit('\\').next().unwrap_or("driver");
    let second_form = size == BIND_INFO_2;
    // The first form has one minor version, which is what the client was built for and what it needs at least.
    let least = if second_form {
        minimum_version(info)
    } else {
        info.minor
    };
    if info.major != VERSION.0 || least > VERSION.1 {
        log!(
            "log: WDFLDR: {service} needs KMDF {}.{least} or later; the lab has {}.{}",
            info.major,
            VERSION.0,
            VERSION.1
        );
        return status::NOT_FOUND;
    }
    let newer = info.minor > VERSION.1;
    if !newer && !TABLE_LENGTHS.contains(&info.function_count) {
        log!(
            "log: WDFLDR: {service} has a table of {} functions, which no version of KMDF has",
            info.function_count
        );
        return status::INVALID_PARAMETER;
    }
    let Some(functions) = table::build() else {
        return status::INSUFFICIENT_RESOURCES;
    };
    if newer {
        tell_newer_client(info);
    }
    if info.function_count <= LONGEST_COPY {
        let copied = &functions[..info.function_count as usize];
        // SAFETY: the stub's contract for such a count: room for as many functions.
        unsafe { core::ptr::copy_nonoverlapping(copied.as_ptr(), info.function_table.cast(), copied.len()) };
    } else {
        // SAFETY: the stub's contract otherwise: room for the table's address.
        unsafe { info.function_table.write(functions.as_ptr()) };
    }
    driver::functions::bound(service);
    // SAFETY: the stub's contract: room for a pointer.
    unsafe { result.write(globals()) };
    status::SUCCESS
}

/// The oldest minor version that a client with the second form of the structure can do with. KMDF looks only if it is older than
/// the client; the lab always does, so that a number in place of the pointer is found.
fn minimum_version(info: &BindInfo) -> u32 {
    let address = require(info.minimum_version, "WDF_BIND_INFO2.MinimumVersionRequired");
    if !address.is_aligned() || !paging::is_mapped(address as u64) {
        violation(
            violation::RULE,
            address as u64,
            0,
            format_args!(
                "WDF_BIND_INFO2.MinimumVersionRequired is {address:p}, where nothing is mapped: it is no number but points to a ULONG"
            ),
        );
    }
    // SAFETY: mapped and aligned, and the client's contract is that a ULONG of its own lies there.
    unsafe { address.read() }
}

/// Fills in what only a client newer than the framework looks at (wdffuncenum.h:81-102): the others keep what they were built with.
fn tell_newer_client(info: &mut BindInfo) {
    info.function_count = LENGTH as u32;
    // SAFETY: the stub's contract for the second form, the only one that gets here: null, or room for a BOOLEAN.
    if let Some(newer) = unsafe { info.client_is_newer.as_mut() } {
        *newer = 1;
    }
    // SAFETY: as above, for a ULONG.
    if let Some(count) = unsafe { info.function_count_pointer.as_mut() } {
        *count = LENGTH as u32;
    }
    // SAFETY: as above.
    if let Some(count) = unsafe { info.structure_count_pointer.as_mut() } {
        *count = STRUCTURES as u32;
    }
    // SAFETY: as above, for a pointer to sizes.
    if let Some(sizes) = unsafe { info.structure_table.as_mut() } {
        *sizes = STRUCTURE_SIZES.as_ptr();
    }
}

unsafe extern "win64" fn version_unbind(_registry_path: u64, _info: u64, _globals: u64) {
    driver::functions::unbound();
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
