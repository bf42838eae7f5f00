//! Locking a pageable section in memory. The handle is where it begins; NT's is opaque as well.

use super::irql_ranges::APC;
use crate::export::Export;
use crate::mm::pageable;

unsafe extern "win64" fn mm_lock_pagable_data_section(address: u64) -> u64 {
    // What is never paged out needs no lock.
    pageable::lock(address).unwrap_or(address)
}

unsafe extern "win64" fn mm_lock_pagable_section_by_handle(handle: u64) {
    pageable::lock(handle);
}

unsafe extern "win64" fn mm_unlock_pagable_image_section(handle: u64) {
    pageable::unlock(handle);
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "MmLockPagableDataSection",
        APC,
        mm_lock_pagable_data_section as *const (),
    ),
    Export::function(
        "MmLockPagableSectionByHandle",
        APC,
        mm_lock_pagable_section_by_handle as *const (),
    ),
    Export::function(
        "MmUnlockPagableImageSection",
        APC,
        mm_unlock_pagable_image_section as *const (),
    ),
];
