//! `WDF_VIOLATION`: a driver broke a rule of the framework.

use rundown_lab_kernel::hal::pcr;
use rundown_lab_kernel::judge::{bugcheck, code};

pub use rundown_lab_kernel::judge::code::wdf::*;

/// More bytes written than the request has room for: second parameter of [`REQUEST`].
pub const REQUEST_INFORMATION: u64 = 0x4;

/// Ends the run.
pub fn violation(what: u64, second: u64, third: u64, text: core::fmt::Arguments<'_>) -> ! {
    bugcheck(
        code::WDF_VIOLATION,
        [what, second, third, pcr::current_thread().caller()],
        text,
    )
}

/// The routine that the driver is in, for messages.
pub fn routine() -> &'static str {
    pcr::current_thread()
        .inside()
        .map_or("the framework", |export| export.name)
}

/// A pointer that may not be null.
pub fn require<T>(pointer: *const T, name: &str) -> *const T {
    if pointer.is_null() {
        violation(
            NULL_PARAMETER,
            0,
            pcr::current_thread().caller(),
            format_args!("{} was given NULL for {name}", routine()),
        );
    }
    pointer
}
