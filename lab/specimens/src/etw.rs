//! ETW providers: left behind, and unregistered wrongly.

use crate::Specimen;
use crate::nt::*;
use core::arch::naked_asm;
use core::ffi::c_void;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("leave-provider", leave_provider),
    ("unregister-by-a-jump", unregister_by_a_jump),
    ("unregister-no-provider", unregister_no_provider),
];

static GUID: [u8; 16] = *b"a provider's id.";
static mut HANDLE: u64 = 0;

unsafe extern "system" fn enabled(
    _source: *const u8,
    _control: u32,
    _level: u8,
    _any: u64,
    _all: u64,
    _filter: *mut c_void,
    _context: *mut c_void,
) {
}

unsafe fn leave_provider() -> i32 {
    unsafe { EtwRegister(GUID.as_ptr(), enabled, core::ptr::null_mut(), &raw mut HANDLE) }
}

/// As a compiler may end a routine with a call: `EtwUnregister` returns to who called this.
#[unsafe(naked)]
unsafe extern "system" fn jump(_context: *mut c_void) {
    naked_asm!(
        "mov rcx, [rip + {handle}]",
        "jmp {unregister}",
        handle = sym HANDLE,
        unregister = sym EtwUnregister,
    )
}

unsafe fn unregister_by_a_jump() -> i32 {
    unsafe {
        let status = leave_provider();
        join(start(jump, core::ptr::null_mut()));
        status
    }
}

/// By a call, whatever the compiler would make of it.
unsafe fn unregister_no_provider() -> i32 {
    core::hint::black_box(unsafe { EtwUnregister(0x1234) })
}
