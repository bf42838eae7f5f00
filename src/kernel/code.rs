//! Code as data: the routines that the system exports, and bytes of resident code.

use core::ptr;

use wdk_sys::ntddk::MmGetSystemRoutineAddress;

use super::string::unicode_string;

const PAGE_SIZE: usize = wdk_sys::PAGE_SIZE as usize;

/// Where the system's routine of this name begins. Not through the import, whose address may be a jump of our own image.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub(crate) fn system_routine(name: &[u16]) -> Option<usize> {
    let mut name = unicode_string(name)?;
    // SAFETY: the name is valid, and only read.
    let address = unsafe { MmGetSystemRoutineAddress(&raw mut name) };
    (!address.is_null()).then(|| address.addr())
}

/// Copies code into `bytes`, no further than its page: a routine that may be called at `DISPATCH_LEVEL` is resident where it begins,
/// and what lies on the next page is not known. Returns how many bytes that was.
///
/// # IRQL
/// `<= DISPATCH_LEVEL`.
///
/// # Safety
/// A routine that may be called at `DISPATCH_LEVEL` begins at `address`, and stays there.
pub(crate) unsafe fn copy(address: usize, bytes: &mut [u8]) -> usize {
    let length = bytes.len().min(PAGE_SIZE - address % PAGE_SIZE);
    // SAFETY: resident and readable to the end of its page, as the caller promises; nobody writes to code.
    unsafe {
        ptr::copy_nonoverlapping(
            ptr::with_exposed_provenance::<u8>(address),
            bytes.as_mut_ptr(),
            length,
        );
    }
    length
}
