//! Strings: C's, which compilers call, and `UNICODE_STRING`s.

use super::irql_ranges::{ANY, APC, PASSIVE};
use crate::export::Export;
use crate::ke::thread;
use crate::mm::pool::{self, Placement, Tag};
use crate::rtl::UnicodeString;
use crate::rtl::guid::{self, Guid, guid_text};
use crate::status;
use alloc::string::String;
use alloc::vec::Vec;
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
    // SAFETY: the C contract, here and below: both can be read up to their zeros, or the limit.
    unsafe { compare_up_to(left, right, most, |unit| unit) }
}

unsafe extern "win64" fn strnicmp(left: *const u8, right: *const u8, most: usize) -> i32 {
    // SAFETY: as above.
    unsafe { compare_up_to(left, right, most, |unit| unit.to_ascii_lowercase()) }
}

unsafe extern "win64" fn stricmp(left: *const u8, right: *const u8) -> i32 {
    // SAFETY: as above.
    unsafe { strnicmp(left, right, usize::MAX) }
}

unsafe extern "win64" fn wcsncmp(left: *const u16, right: *const u16, most: usize) -> i32 {
    // SAFETY: as above.
    unsafe { compare_up_to(left, right, most, |unit| unit) }
}

unsafe extern "win64" fn wcscmp(left: *const u16, right: *const u16) -> i32 {
    // SAFETY: as above.
    unsafe { wcsncmp(left, right, usize::MAX) }
}

unsafe extern "win64" fn wcsnicmp(left: *const u16, right: *const u16, most: usize) -> i32 {
    // SAFETY: as above.
    unsafe { compare_up_to(left, right, most, small) }
}

unsafe extern "win64" fn wcsicmp(left: *const u16, right: *const u16) -> i32 {
    // SAFETY: as above.
    unsafe { wcsnicmp(left, right, usize::MAX) }
}

/// In the C locale only ASCII's letters have two forms.
fn small(unit: u16) -> u16 {
    u8::try_from(unit).map_or(unit, |byte| byte.to_ascii_lowercase().into())
}

/// # Safety
/// Both can be read up to their zeros, or `most` elements.
unsafe fn compare_up_to<T: Copy + Default + Ord>(
    left: *const T,
    right: *const T,
    most: usize,
    form: impl Fn(T) -> T,
) -> i32 {
    for index in 0..most {
        // SAFETY: the caller promises it.
        let element = form(unsafe { left.wrapping_add(index).read_unaligned() });
        // SAFETY: as above.
        let order = element.cmp(&form(unsafe { right.wrapping_add(index).read_unaligned() }));
        if order != Ordering::Equal || element == T::default() {
            return order as i32;
        }
    }
    0
}

unsafe extern "win64" fn strchr(text: *const u8, wanted: i32) -> *const u8 {
    // SAFETY: the C contract: terminated.
    unsafe { find(text, |element| element == wanted as u8) }
}

unsafe extern "win64" fn wcschr(text: *const u16, wanted: u16) -> *const u16 {
    // SAFETY: as above.
    unsafe { find(text, |element| element == wanted) }
}

/// The first element that is wanted, the zero at the end included; null if there is none.
///
/// # Safety
/// `text` is terminated.
unsafe fn find<T: Copy + Default + PartialEq>(text: *const T, wanted: impl Fn(T) -> bool) -> *const T {
    // SAFETY: the caller promises it.
    let end = unsafe { length(text) };
    // SAFETY: as above, all up to the zero.
    let found = (0..=end).find(|&index| wanted(unsafe { text.wrapping_add(index).read_unaligned() }));
    found.map_or(ptr::null(), |index| text.wrapping_add(index))
}

unsafe extern "win64" fn strstr(text: *const u8, wanted: *const u8) -> *const u8 {
    // SAFETY: the C contract: both are terminated.
    unsafe { find_text(text, wanted) }
}

unsafe extern "win64" fn wcsrchr(text: *const u16, wanted: u16) -> *const u16 {
    // SAFETY: the routine's contract: a terminated text.
    let length = unsafe { wcslen(text) };
    let mut places = (0..=length).rev().map(|index| text.wrapping_add(index));
    // SAFETY: within the text, or its end.
    let found = places.find(|place| unsafe { place.read() } == wanted);
    found.unwrap_or(core::ptr::null())
}

unsafe extern "win64" fn wcsstr(text: *const u16, wanted: *const u16) -> *const u16 {
    // SAFETY: as above.
    unsafe { find_text(text, wanted) }
}

/// # Safety
/// Both are terminated.
unsafe fn find_text<T: Copy + Default + Ord>(text: *const T, wanted: *const T) -> *const T {
    // SAFETY: the caller promises it.
    let end = unsafe { length(text) };
    // SAFETY: as above.
    let count = unsafe { length(wanted) };
    // SAFETY: as above.
    let found = (0..=end.saturating_sub(count)).find(
        |&index| unsafe { compare_up_to(text.wrapping_add(index), wanted, count, |element| element) } == 0,
    );
    found
        .filter(|_| count <= end)
        .map_or(ptr::null(), |index| text.wrapping_add(index))
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

unsafe extern "win64" fn rtl_init_ansi_string(string: *mut UnicodeString, source: *const u8) {
    let count = if source.is_null() {
        0
    } else {
        // SAFETY: the DDI: a terminated text.
        unsafe { length(source) }.min(0xFFFE)
    };
    let value = UnicodeString {
        length: count as u16,
        maximum_length: if source.is_null() { 0 } else { count as u16 + 1 },
        buffer: source.cast_mut().cast(),
    };
    // SAFETY: the DDI: room for an ANSI_STRING, which is laid out alike.
    unsafe { string.write(value) };
}

unsafe extern "win64" fn rtl_upcase_unicode_char(unit: u16) -> u16 {
    capital(unit)
}

unsafe extern "win64" fn rtl_upcase_unicode_string(
    target: *mut UnicodeString,
    source: *const UnicodeString,
    allocate: u8,
) -> i32 {
    // SAFETY: the DDI: valid strings.
    let units: Vec<u16> = unsafe { units(source) }
        .iter()
        .map(|&unit| capital(unit))
        .collect();
    // SAFETY: as above.
    unsafe { store(target, &units, allocate, 0) }
}

/// The code page is ASCII's: what is beyond it becomes a question mark.
unsafe extern "win64" fn rtl_unicode_string_to_ansi_string(
    target: *mut UnicodeString,
    source: *const UnicodeString,
    allocate: u8,
) -> i32 {
    // SAFETY: as above.
    let bytes: Vec<u8> = unsafe { units(source) }
        .iter()
        .map(|&unit| u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?'))
        .collect();
    // SAFETY: as above.
    unsafe { store(target, &bytes, allocate, 1) }
}

unsafe extern "win64" fn rtl_ansi_string_to_unicode_string(
    target: *mut UnicodeString,
    source: *const UnicodeString,
    allocate: u8,
) -> i32 {
    // SAFETY: the DDI: a valid ANSI_STRING, which is laid out alike.
    let string = unsafe { source.read() };
    let bytes = if string.length == 0 {
        &[]
    } else {
        // SAFETY: as above: its buffer holds that many bytes.
        unsafe { core::slice::from_raw_parts(string.buffer.cast::<u8>(), usize::from(string.length)) }
    };
    let units: Vec<u16> = bytes.iter().map(|&byte| byte.into()).collect();
    // SAFETY: as above.
    unsafe { store(target, &units, allocate, 1) }
}

/// Puts a text where a string has room for it, or in pool that the driver frees; `terminator` elements of zero behind it are asked for.
///
/// # Safety
/// `target` can be written, and is a valid string unless its buffer is to be allocated.
unsafe fn store<T: Copy + Default>(
    target: *mut UnicodeString,
    text: &[T],
    allocate: u8,
    terminator: usize,
) -> i32 {
    let bytes = size_of_val(text);
    let whole = bytes + terminator * size_of::<T>();
    if whole > 0xFFFE {
        return status::INVALID_PARAMETER_2;
    }
    // SAFETY: the caller promises it.
    let string = unsafe { &mut *target };
    if allocate != 0 {
        let caller = thread::current().caller();
        let tag = Tag(u32::from_le_bytes(*b"Strg"));
        let Some(block) = pool::allocate(whole.max(1) as u64, tag, true, Placement::Block, caller) else {
            return status::NO_MEMORY;
        };
        string.buffer = block.cast();
        string.maximum_length = whole as u16;
    } else if whole > usize::from(string.maximum_length) {
        return status::BUFFER_OVERFLOW;
    }
    let place = string.buffer.cast::<T>();
    // SAFETY: there is room for the text, by its maximum length or the block's size.
    unsafe { ptr::copy(text.as_ptr(), place, text.len()) };
    if terminator != 0 {
        // SAFETY: as above.
        unsafe { place.wrapping_add(text.len()).write(T::default()) };
    }
    string.length = bytes as u16;
    status::SUCCESS
}

unsafe extern "win64" fn rtl_prefix_unicode_string(
    prefix: *const UnicodeString,
    string: *const UnicodeString,
    ignore_case: u8,
) -> u8 {
    // SAFETY: the DDI: valid strings.
    let prefix = unsafe { units(prefix) };
    // SAFETY: as above.
    let string = unsafe { units(string) };
    let form = |&unit: &u16| if ignore_case == 0 { unit } else { capital(unit) };
    let begins = prefix.len() <= string.len()
        && prefix
            .iter()
            .map(form)
            .eq(string[..prefix.len()].iter().map(form));
    begins.into()
}

/// In capitals, as NT writes it.
unsafe extern "win64" fn rtl_string_from_guid(guid: *const Guid, target: *mut UnicodeString) -> i32 {
    // SAFETY: the DDI: a GUID.
    let text = guid_text(&unsafe { guid.read() }).to_ascii_uppercase();
    let units: Vec<u16> = text.encode_utf16().collect();
    // SAFETY: the DDI: room for a UNICODE_STRING, whose buffer the routine allocates, with a zero.
    unsafe { store(target, &units, 1, 1) }
}

unsafe extern "win64" fn rtl_guid_from_string(string: *const UnicodeString, guid: *mut Guid) -> i32 {
    // SAFETY: the DDI: a valid string.
    let text = String::from_utf16_lossy(unsafe { units(string) });
    let Some(found) = guid::parse(&text) else {
        return status::INVALID_PARAMETER;
    };
    // SAFETY: the DDI: room for a GUID.
    unsafe { guid.write(found) };
    status::SUCCESS
}

/// The table.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "RtlPrefixUnicodeString",
        PASSIVE,
        rtl_prefix_unicode_string as *const (),
    ),
    Export::function("RtlStringFromGUID", PASSIVE, rtl_string_from_guid as *const ()),
    Export::function("RtlGUIDFromString", PASSIVE, rtl_guid_from_string as *const ()),
    Export::function("_strnicmp", ANY, strnicmp as *const ()).quiet(),
    Export::function("_stricmp", ANY, stricmp as *const ()).quiet(),
    Export::function("wcsncmp", ANY, wcsncmp as *const ()).quiet(),
    Export::function("wcscmp", ANY, wcscmp as *const ()).quiet(),
    Export::function("_wcsnicmp", ANY, wcsnicmp as *const ()).quiet(),
    Export::function("_wcsicmp", ANY, wcsicmp as *const ()).quiet(),
    Export::function("strchr", ANY, strchr as *const ()).quiet(),
    Export::function("wcschr", ANY, wcschr as *const ()).quiet(),
    Export::function("strstr", ANY, strstr as *const ()).quiet(),
    Export::function("wcsrchr", ANY, wcsrchr as *const ()).quiet(),
    Export::function("wcsstr", ANY, wcsstr as *const ()).quiet(),
    Export::function("RtlInitAnsiString", ANY, rtl_init_ansi_string as *const ()).quiet(),
    Export::function("RtlInitString", ANY, rtl_init_ansi_string as *const ()).quiet(),
    Export::function("RtlUpcaseUnicodeChar", APC, rtl_upcase_unicode_char as *const ()).quiet(),
    Export::function(
        "RtlUpcaseUnicodeString",
        APC,
        rtl_upcase_unicode_string as *const (),
    ),
    Export::function(
        "RtlUnicodeStringToAnsiString",
        PASSIVE,
        rtl_unicode_string_to_ansi_string as *const (),
    ),
    Export::function(
        "RtlAnsiStringToUnicodeString",
        PASSIVE,
        rtl_ansi_string_to_unicode_string as *const (),
    ),
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
