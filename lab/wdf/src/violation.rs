//! `WDF_VIOLATION`: a driver broke a rule of the framework.

use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::ke::{irql, thread};

pub use rundown_lab_kernel::bug::code::wdf::*;

/// A request is sent on with no stack location left: second parameter of [`REQUEST`].
pub const REQUEST_NO_MORE_STACK_LOCATIONS: u64 = 0x1;
/// A request without an IRP: the same.
pub const REQUEST_NULL_IRP: u64 = 0x2;
/// A request is sent that has been sent already: the same.
pub const REQUEST_ALREADY_SENT: u64 = 0x3;
/// More bytes written than the request has room for: the same.
pub const REQUEST_INFORMATION: u64 = 0x4;
/// A request is looked for in a queue that it does not wait in: the same.
pub const REQUEST_NOT_IN_QUEUE: u64 = 0x5;

/// Ends the run.
pub fn violation(what: u64, second: u64, third: u64, text: core::fmt::Arguments<'_>) -> ! {
    bugcheck(
        code::WDF_VIOLATION,
        [what, second, third, thread::current().caller()],
        text,
    )
}

/// The routine that the driver is in, for messages.
pub fn routine() -> &'static str {
    thread::current()
        .inside()
        .map_or("the framework", |export| export.name)
}

/// A pointer that may not be null.
pub fn require<T>(pointer: *const T, name: &str) -> *const T {
    if pointer.is_null() {
        violation(
            NULL_PARAMETER,
            0,
            thread::current().caller(),
            format_args!("{} was given NULL for {name}", routine()),
        );
    }
    pointer
}

/// Functions without a result cannot refuse a structure of the wrong size.
pub fn check_size(name: &str, given: u32, expected: usize) {
    if given as usize != expected {
        violation(
            RULE,
            u64::from(given),
            expected as u64,
            format_args!(
                "{}: the {name} says that it has {given} bytes; it has {expected} (use its _INIT function)",
                routine()
            ),
        );
    }
}

/// A routine that waits.
pub fn require_passive() {
    if irql::current() != irql::PASSIVE_LEVEL {
        violation(
            RULE,
            u64::from(irql::current()),
            0,
            format_args!(
                "{} is to wait, and is called at IRQL {}; that needs PASSIVE_LEVEL",
                routine(),
                irql::current()
            ),
        );
    }
}
