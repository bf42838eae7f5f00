//! The run-time library: memory, strings, debug output, version.

use crate::bug::{self, code};
use crate::export::Export;
use crate::ke::thread;
use crate::ldr::export;
use crate::log;
use crate::mm::{self, PAGE};
use crate::rtl::{UnicodeString, printf};
use core::arch::naked_asm;
use core::ptr;

/// Called before a frame of a page or more is made: touches each of its pages, from the top, so that a stack which is too
/// small ends at its guard page and not behind it.
///
/// RAX is the frame's size. Only R10, R11 and the flags are changed, and RSP is left to the caller
/// (<https://learn.microsoft.com/cpp/build/prolog-and-epilog>).
#[unsafe(naked)]
unsafe extern "C" fn chkstk() {
    naked_asm!(
        // The caller's stack pointer, without the return address.
        "lea r10, [rsp + 8]",
        "mov r11, rax",
        "2:",
        "cmp r11, {page}",
        "jb 3f",
        "sub r10, {page}",
        "test [r10], r10",
        "sub r11, {page}",
        "jmp 2b",
        "3:",
        "sub r10, r11",
        "test [r10], r10",
        "ret",
        page = const PAGE,
    )
}

unsafe extern "win64" fn memcpy(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the C contract; the ranges may touch where a compiler emits it for assignments to itself, so it moves.
    unsafe { ptr::copy(source, target, count) };
    target
}

unsafe extern "win64" fn memset(target: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the C contract.
    unsafe { ptr::write_bytes(target, value as u8, count) };
    target
}

unsafe extern "win64" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the C contract: both ranges can be read.
    let left = unsafe { core::slice::from_raw_parts(left, count) };
    // SAFETY: as above.
    let right = unsafe { core::slice::from_raw_parts(right, count) };
    left.cmp(right) as i32
}

unsafe extern "win64" fn rtl_compare_memory(left: *const u8, right: *const u8, count: usize) -> usize {
    // SAFETY: the DDI: both ranges can be read.
    let left = unsafe { core::slice::from_raw_parts(left, count) };
    // SAFETY: as above.
    let right = unsafe { core::slice::from_raw_parts(right, count) };
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

unsafe extern "win64" fn rtl_init_unicode_string(string: *mut UnicodeString, source: *const u16) {
    let mut length = 0_u16;
    if !source.is_null() {
        // SAFETY: the DDI: `source` is terminated by a zero; every unit up to it can be read.
        while length < 0x7FFE && unsafe { source.wrapping_add(usize::from(length)).read() } != 0 {
            length += 1;
        }
    }
    let maximum_length = if source.is_null() { 0 } else { length * 2 + 2 };
    let value = UnicodeString {
        length: length * 2,
        maximum_length,
        buffer: source.cast_mut(),
    };
    // SAFETY: the DDI: a UNICODE_STRING can be written there.
    unsafe { string.write(value) };
}

unsafe extern "win64" fn rtl_copy_unicode_string(target: *mut UnicodeString, source: *const UnicodeString) {
    // SAFETY: the DDI: an initialised UNICODE_STRING lies there, used by nobody else during the call.
    let target = unsafe { &mut *target };
    // SAFETY: the DDI: as above, or null.
    let Some(source) = (unsafe { source.as_ref() }) else {
        target.length = 0;
        return;
    };
    let length = source.length.min(target.maximum_length);
    // SAFETY: both buffers are at least `length` bytes, by their strings' lengths.
    unsafe {
        ptr::copy(
            source.buffer.cast::<u8>(),
            target.buffer.cast::<u8>(),
            usize::from(length),
        );
    };
    target.length = length;
    if target.maximum_length - length >= 2 {
        // SAFETY: there is room for one more unit.
        unsafe { target.buffer.wrapping_add(usize::from(length / 2)).write(0) };
    }
}

/// `RTL_OSVERSIONINFOW`'s size; the longer form has two service pack words, a suite mask, a product type.
const OS_VERSION_INFO: u32 = 276;
const OS_VERSION_INFO_EX: u32 = 284;

unsafe extern "win64" fn rtl_get_version(info: *mut u32) -> i32 {
    // SAFETY: the DDI: an RTL_OSVERSIONINFOW that begins with its size.
    let size = unsafe { info.read() };
    // SAFETY: the structure's first 276 bytes, after the size, are for this routine to write.
    unsafe {
        info.wrapping_add(1)
            .write_bytes(0, (OS_VERSION_INFO / 4 - 1) as usize);
    };
    for (index, value) in [10, 0, mm::shared::BUILD, 2].into_iter().enumerate() {
        // SAFETY: as above.
        unsafe { info.wrapping_add(index + 1).write(value) };
    }
    if size >= OS_VERSION_INFO_EX {
        const VER_NT_WORKSTATION: u32 = 1;
        // SAFETY: the caller says that the structure is the longer one.
        unsafe { info.wrapping_add(69).write(0) };
        // SAFETY: as above; suite mask 0, product type, reserved.
        unsafe { info.wrapping_add(70).write(VER_NT_WORKSTATION << 16) };
    }
    0
}

unsafe extern "win64" fn mm_get_system_routine_address(name: *const UnicodeString) -> u64 {
    // SAFETY: the DDI: a valid UNICODE_STRING.
    let string = unsafe { name.read() };
    // SAFETY: as above.
    let name = unsafe { string.to_text() };
    export::find_routine(&name).and_then(export::bind).unwrap_or(0)
}

/// The arguments of the variadic export that the thread is in, behind the first `fixed`: they lie on the driver's stack, one behind the
/// other, as a `va_list` names them.
fn variadic(fixed: usize) -> *const u64 {
    // Exports nest too deep to be followed: no argument is known, and each is printed as 0.
    static NONE: [u64; printf::LONGEST / 2] = [0; _];
    let home = thread::current().arguments();
    home.map_or(NONE.as_ptr(), |home| home.wrapping_add(fixed))
}

unsafe extern "win64" fn dbg_print(format: *const u8) -> i32 {
    // SAFETY: the DDI: a terminated format whose conversions match the arguments behind it.
    unsafe { v_dbg_print_ex(0, 0, format, variadic(1)) }
}

unsafe extern "win64" fn dbg_print_ex(component: u32, level: u32, format: *const u8) -> i32 {
    // SAFETY: as above.
    unsafe { v_dbg_print_ex(component, level, format, variadic(3)) }
}

unsafe extern "win64" fn v_dbg_print_ex(
    _component: u32,
    _level: u32,
    format: *const u8,
    arguments: *const u64,
) -> i32 {
    let mut output = printf::Output::new();
    // SAFETY: the DDI: a va_list, whose words lie one behind the other; as many are read as the format asks for.
    unsafe { printf::format_list(&mut output, format, arguments) };
    log::text("dbg:", output.as_bytes());
    0
}

unsafe extern "win64" fn v_dbg_print_ex_with_prefix(
    prefix: *const u8,
    component: u32,
    level: u32,
    format: *const u8,
    arguments: *const u64,
) -> i32 {
    let mut output = printf::Output::new();
    // SAFETY: the DDI: a terminated prefix.
    unsafe { printf::string(&mut output, prefix) };
    log::text("dbg:", output.as_bytes());
    // SAFETY: the same arguments.
    unsafe { v_dbg_print_ex(component, level, format, arguments) }
}

unsafe extern "win64" fn vsnprintf(
    place: *mut u8,
    room: usize,
    format: *const u8,
    arguments: *const u64,
) -> i32 {
    // SAFETY: the C contract: room for so many bytes, and a va_list that fits the format; here and below.
    let output = unsafe { printf::Bounded::new(place, room) };
    // SAFETY: as above.
    unsafe { printf::format_bounded(output, format, arguments) }
}

unsafe extern "win64" fn vsnwprintf(
    place: *mut u16,
    room: usize,
    format: *const u16,
    arguments: *const u64,
) -> i32 {
    // SAFETY: as above.
    let output = unsafe { printf::Bounded::new(place, room) };
    // SAFETY: as above.
    unsafe { printf::format_bounded(output, format, arguments) }
}

unsafe extern "win64" fn snprintf(place: *mut u8, room: usize, format: *const u8) -> i32 {
    // SAFETY: as above.
    unsafe { vsnprintf(place, room, format, variadic(3)) }
}

unsafe extern "win64" fn snwprintf(place: *mut u16, room: usize, format: *const u16) -> i32 {
    // SAFETY: as above.
    unsafe { vsnwprintf(place, room, format, variadic(3)) }
}

/// Room that the C contract promises without saying how much.
const ENOUGH: usize = isize::MAX as usize;

unsafe extern "win64" fn sprintf(place: *mut u8, format: *const u8) -> i32 {
    // SAFETY: as above.
    unsafe { vsnprintf(place, ENOUGH, format, variadic(2)) }
}

unsafe extern "win64" fn swprintf(place: *mut u16, format: *const u16) -> i32 {
    // SAFETY: as above.
    unsafe { vsnwprintf(place, ENOUGH, format, variadic(2)) }
}

unsafe extern "win64" fn dbg_break_point() {
    bug::bugcheck(
        code::KMODE_EXCEPTION_NOT_HANDLED,
        [0xFFFF_FFFF_8000_0003, 0, 0, 0],
        format_args!("the driver called DbgBreakPoint"),
    )
}

unsafe extern "win64" fn rtl_assert(assertion: *const u8, _file: *const u8, line: u32, _message: u64) {
    let mut output = printf::Output::new();
    // SAFETY: the routine takes a terminated text.
    unsafe { printf::string(&mut output, assertion) };
    log::text("dbg: assertion failed:", output.as_bytes());
    bug::bugcheck(
        code::KMODE_EXCEPTION_NOT_HANDLED,
        [0xFFFF_FFFF_C000_0420, u64::from(line), 0, 0],
        format_args!("an assertion failed"),
    )
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("memcpy", 0..=15, memcpy as *const ()).quiet(),
    Export::function("memmove", 0..=15, memcpy as *const ()).quiet(),
    Export::function("memset", 0..=15, memset as *const ()).quiet(),
    Export::function("memcmp", 0..=15, memcmp as *const ()).quiet(),
    Export::function("RtlCompareMemory", 0..=15, rtl_compare_memory as *const ()).quiet(),
    Export::function(
        "RtlInitUnicodeString",
        0..=2,
        rtl_init_unicode_string as *const (),
    )
    .quiet(),
    Export::function(
        "RtlCopyUnicodeString",
        0..=2,
        rtl_copy_unicode_string as *const (),
    )
    .quiet(),
    Export::function("RtlGetVersion", 0..=0, rtl_get_version as *const ()),
    Export::function(
        "MmGetSystemRoutineAddress",
        0..=0,
        mm_get_system_routine_address as *const (),
    ),
    Export::function("DbgPrint", 0..=13, dbg_print as *const ()),
    Export::function("DbgPrintEx", 0..=13, dbg_print_ex as *const ()),
    Export::function("vDbgPrintEx", 0..=13, v_dbg_print_ex as *const ()),
    Export::function(
        "vDbgPrintExWithPrefix",
        0..=13,
        v_dbg_print_ex_with_prefix as *const (),
    ),
    Export::function("_vsnprintf", 0..=15, vsnprintf as *const ()).quiet(),
    Export::function("_vsnwprintf", 0..=15, vsnwprintf as *const ()).quiet(),
    Export::function("_snprintf", 0..=15, snprintf as *const ()).quiet(),
    Export::function("_snwprintf", 0..=15, snwprintf as *const ()).quiet(),
    Export::function("sprintf", 0..=15, sprintf as *const ()).quiet(),
    Export::function("swprintf", 0..=15, swprintf as *const ()).quiet(),
    Export::function("DbgBreakPoint", 0..=15, dbg_break_point as *const ()),
    Export::function("RtlAssert", 0..=15, rtl_assert as *const ()),
    Export::direct("__chkstk", chkstk as *const ()),
    // The lab has no structured exceptions: what would be raised is a bug check already.
    Export::trap("__C_specific_handler"),
    Export::trap("__GSHandlerCheck"),
    Export::trap("RtlUnwindEx"),
    Export::trap("RtlUnwind"),
    Export::trap("RtlRaiseException"),
];
