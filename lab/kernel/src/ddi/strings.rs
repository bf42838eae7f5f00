//! Strings: C's, which compilers call, and `UNICODE_STRING`s.

use super::irql_ranges::{ANY, PASSIVE};
use crate::export::Export;
use crate::rtl::UnicodeString;
use crate::status;
use core::cmp::Ordering;
use core::ptr;

/// Elements before the zero.
///
/// # Safety
/// `text` is terminated.
unsafe fn length<T: Copy + Default + PartialEq>(text: *const T) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises that all elements up to the zero can be read.
    while unsafe { text.wrapping_add(length).read_unaligned() } != T::default() {
        length += 1;
    }
    length
}

unsafe extern "win64" fn strlen(text: *const u8) -> usize {
    // SAFETY: the C contract.
    unsafe { length(text) }
}

unsafe extern "win64" fn wcslen(text: *const u16) -> usize {
    // SAFETY: the C contract.
    unsafe { length(text) }
}

unsafe extern "win64" fn strcmp(left: *const u8, right: *const u8) -> i32 {
    // SAFETY: the C contract, which a limit of so many bytes does not change.
    unsafe { strncmp(left, right, usize::MAX) }
}

unsafe extern "win64" fn strncmp(left: *const u8, right: *const u8, most: usize) -> i32 {
    for index in 0..most {
        // SAFETY: the C contract: both can be read up to their zeros, or the limit.
        let byte = unsafe { left.wrapping_add(index).read() };
        // SAFETY: as above.
        let order = byte.cmp(&unsafe { right.wrapping_add(index).read() });
        if order != Ordering::Equal || byte == 0 {
            return order as i32;
        }
    }
    0
}

unsafe extern "win64" fn rtl_move_memory(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: the DDI: both ranges are there; they may overlap.
    unsafe { ptr::copy(source, target, count) };
}

unsafe extern "win64" fn rtl_zero_memory(target: *mut u8, count: usize) {
    // SAFETY: the DDI: the range can be written.
    unsafe { target.write_bytes(0, count) };
}

unsafe extern "win64" fn rtl_fill_memory(target: *mut u8, count: usize, value: u8) {
    // SAFETY: as above.
    unsafe { target.write_bytes(value, count) };
}

/// A string's units.
///
/// # Safety
/// `string` is a valid `UNICODE_STRING`, whose buffer nobody changes meanwhile.
unsafe fn units<'a>(string: *const UnicodeString) -> &'a [u16] {
    // SAFETY: the caller promises it.
    let string = unsafe { string.read() };
    if string.length < 2 {
        return &[];
    }
    // SAFETY: as above: the buffer holds that many bytes.
    unsafe { core::slice::from_raw_parts(string.buffer, usize::from(string.length / 2)) }
}

/// A unit in capitals; what has none with one unit is itself.
fn capital(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(unit.into()) else {
        return unit;
    };
    let mut capitals = letter.to_uppercase();
    match (capitals.next(), capitals.next()) {
        (Some(capital), None) => u16::try_from(u32::from(capital)).unwrap_or(unit),
        _ => unit,
    }
}

/// By their units, without regard to case if that is asked for; a string comes before a longer one that it begins.
///
/// # Safety
/// Both are valid.
unsafe fn compare(left: *const UnicodeString, right: *const UnicodeString, ignore_case: u8) -> Ordering {
    // SAFETY: the caller promises it.
    let left = unsafe { units(left) };
    // SAFETY: as above.
    let right = unsafe { units(right) };
    if ignore_case == 0 {
        left.cmp(right)
    } else {
        left.iter()
            .map(|&unit| capital(unit))
            .cmp(right.iter().map(|&unit| capital(unit)))
    }
}

unsafe extern "win64" fn rtl_compare_unicode_string(
    left: *const UnicodeString,
    right: *const UnicodeString,
    ignore_case: u8,
) -> i32 {
    // SAFETY: the DDI: valid strings.
    unsafe { compare(left, right, ignore_case) as i32 }
}

unsafe extern "win64" fn rtl_equal_unicode_string(
    left: *const UnicodeString,
    right: *const UnicodeString,
    ignore_case: u8,
) -> u8 {
    // SAFETY: as above.
    u8::from(unsafe { compare(left, right, ignore_case) } == Ordering::Equal)
}

/// Appends `count` units, and a zero if there is room for it.
///
/// # Safety
/// `target` is a valid string that nobody else uses, and the units can be read.
unsafe fn append(target: *mut UnicodeString, source: *const u16, count: usize) -> i32 {
    // SAFETY: the caller promises it.
    let string = unsafe { &mut *target };
    let end = usize::from(string.length) + count * 2;
    if end > usize::from(string.maximum_length) {
        return status::BUFFER_TOO_SMALL;
    }
    let place = string.buffer.wrapping_add(usize::from(string.length / 2));
    // SAFETY: the buffer has room for them, by its maximum length.
    unsafe { ptr::copy(source, place, count) };
    string.length = end as u16;
    if end + 2 <= usize::from(string.maximum_length) {
        // SAFETY: and for one unit more.
        unsafe { place.wrapping_add(count).write(0) };
    }
    status::SUCCESS
}

unsafe extern "win64" fn rtl_append_unicode_to_string(target: *mut UnicodeString, source: *const u16) -> i32 {
    if source.is_null() {
        return status::SUCCESS;
    }
    // SAFETY: the DDI: a terminated text.
    let count = unsafe { length(source) };
    // SAFETY: the DDI: a valid string.
    unsafe { append(target, source, count) }
}

unsafe extern "win64" fn rtl_append_unicode_string_to_string(
    target: *mut UnicodeString,
    source: *const UnicodeString,
) -> i32 {
    // SAFETY: the DDI: valid strings.
    let units = unsafe { units(source) };
    // SAFETY: as above.
    unsafe { append(target, units.as_ptr(), units.len()) }
}

/// The table.
pub static EXPORTS: &[Export] = &[
    Export::function("strlen", ANY, strlen as *const ()).quiet(),
    Export::function("wcslen", ANY, wcslen as *const ()).quiet(),
    Export::function("strcmp", ANY, strcmp as *const ()).quiet(),
    Export::function("strncmp", ANY, strncmp as *const ()).quiet(),
    Export::function("RtlMoveMemory", ANY, rtl_move_memory as *const ()).quiet(),
    Export::function("RtlZeroMemory", ANY, rtl_zero_memory as *const ()).quiet(),
    Export::function("RtlFillMemory", ANY, rtl_fill_memory as *const ()).quiet(),
    Export::function(
        "RtlCompareUnicodeString",
        PASSIVE,
        rtl_compare_unicode_string as *const (),
    ),
    Export::function(
        "RtlEqualUnicodeString",
        PASSIVE,
        rtl_equal_unicode_string as *const (),
    ),
    Export::function(
        "RtlAppendUnicodeToString",
        ANY,
        rtl_append_unicode_to_string as *const (),
    ),
    Export::function(
        "RtlAppendUnicodeStringToString",
        ANY,
        rtl_append_unicode_string_to_string as *const (),
    ),
];
