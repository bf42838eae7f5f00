//! `WDF_VIOLATION`: a driver broke a rule of the framework. First parameters as Microsoft's page for bug check 0x10D lists them.

use rundown_lab_kernel::hal::pcr;
use rundown_lab_kernel::judge::{bugcheck, code};

/// A lock is acquired by the thread that holds it.
pub const LOCK_HELD: u64 = 0x2;
/// A null pointer or handle where there must be one.
pub const NULL_PARAMETER: u64 = 0x4;
/// No handle, or one of another type.
pub const BAD_HANDLE: u64 = 0x5;
/// A request is completed against its rules; the second parameter says how.
pub const REQUEST: u64 = 0x6;
/// More bytes written than the request has room for: second parameter of [`REQUEST`].
pub const REQUEST_INFORMATION: u64 = 0x4;
/// An object is dereferenced away instead of deleted.
pub const DEREFERENCED_AWAY: u64 = 0x7;
/// A queue, or a request in it, is used against its rules.
pub const QUEUE: u64 = 0xA;
/// A lock is released by a thread that does not hold it.
pub const LOCK_NOT_HELD: u64 = 0xB;

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
