//! Memory descriptor lists, and the probing of what a client says.
//!
//! Each misuse is Driver Verifier's, by bug check 0xC4's page. What raises an exception on NT is a bug check with that exception here: the
//! lab does not unwind.

use super::irql_ranges::{ANY, APC, DISPATCH};
use crate::bug::{self, code};
use crate::export::Export;
use crate::io::{irp, mdl as owned};
use crate::ke::irql::{self, APC_LEVEL};
use crate::ke::thread;
use crate::mm::mdl::{self, Mdl, flag};
use crate::mm::paging::{self, Protection};
use crate::mm::{pageable, user};

/// `KernelMode`.
const KERNEL_MODE: u8 = 0;
/// `IoReadAccess`.
const READ_ACCESS: u32 = 0;
/// `MdlMappingNoWrite`, in a page priority; nothing that an MDL maps can be executed.
const NO_WRITE: u32 = 0x8000_0000;
/// The longest buffer that one MDL describes, bytes (`IoAllocateMdl`'s page: `PAGE_SIZE * 65535` before Windows Vista, then 4 GB - `PAGE_SIZE`).
const LONGEST: u32 = u32::MAX - 0xFFF;
/// `STATUS_ACCESS_VIOLATION` and `STATUS_DATATYPE_MISALIGNMENT`, as an exception's code in a bug check's parameter.
const ACCESS_VIOLATION: u64 = 0xFFFF_FFFF_C000_0005;
const DATATYPE_MISALIGNMENT: u64 = 0xFFFF_FFFF_8000_0002;

/// `MmUserProbeAddress`, `MmHighestUserAddress` and `MmSystemRangeStart` of x64.
static USER_PROBE_ADDRESS: u64 = 0x0000_7FFF_FFFF_0000;
static HIGHEST_USER_ADDRESS: u64 = 0x0000_7FFF_FFFE_FFFF;
static SYSTEM_RANGE_START: u64 = 0xFFFF_8000_0000_0000;

/// The MDL that a routine was given.
fn given(mdl: u64) -> &'static Mdl {
    // SAFETY: the DDI asks for an MDL there, which stays meanwhile.
    unsafe { Mdl::at(mdl) }
}

fn raise(status: u64, address: u64, text: core::fmt::Arguments<'_>) -> ! {
    bug::bugcheck(
        code::KMODE_EXCEPTION_NOT_HANDLED,
        [status, thread::current().caller(), 0, address],
        text,
    )
}

/// A misuse of an MDL, by its flags.
fn misuse(mdl: &Mdl, offence: u64, flags: u16, text: &str) -> ! {
    bug::violation(
        offence,
        [mdl.address(), mdl.flags().into(), flags.into()],
        format_args!(
            "{} of the MDL {:#x} (flags {:#x}), {text}",
            thread::current()
                .inside()
                .map_or("a routine", |export| export.name),
            mdl.address(),
            mdl.flags()
        ),
    )
}

unsafe extern "win64" fn io_allocate_mdl(
    address: u64,
    length: u32,
    secondary: u8,
    _charge_quota: u8,
    irp: u64,
) -> u64 {
    if length > LONGEST {
        return 0;
    }
    let Some(mdl) = owned::allocate(address, length, thread::current().caller()) else {
        return 0;
    };
    if irp != 0 {
        let irp = irp::check(irp, "IoAllocateMdl");
        let mut last = irp.mdl_address.get();
        if secondary == 0 || last == 0 {
            irp.mdl_address.set(mdl.address());
        } else {
            while given(last).next() != 0 {
                last = given(last).next();
            }
            given(last).set_next(mdl.address());
        }
    }
    mdl.address()
}

unsafe extern "win64" fn io_free_mdl(mdl: u64) {
    owned::free(given(mdl), thread::current().caller());
}

unsafe extern "win64" fn io_build_partial_mdl(source: u64, target: u64, address: u64, length: u32) {
    let (source, target) = (given(source), given(target));
    let whole = source.range();
    let length = if length == 0 {
        whole.end.saturating_sub(address)
    } else {
        length.into()
    };
    let fits = whole.contains(&address) && address + length <= whole.end;
    if !fits || mdl::spanned(address, length) > target.room() {
        bug::bugcheck(
            code::TARGET_MDL_TOO_SMALL,
            [target.address(), address, length, whole.start],
            format_args!(
                "IoBuildPartialMdl of {length} bytes at {address:#x}: the source describes {:#x} to {:#x}, and the target has room for {} \
                 pages",
                whole.start,
                whole.end,
                target.room()
            ),
        );
    }
    if source.flags() & (flag::LOCKED | flag::NONPAGED_POOL | flag::PARTIAL) == 0 {
        misuse(
            source,
            code::sub::MDL_MAPPED_UNLOCKED,
            flag::LOCKED,
            "whose pages are not locked",
        );
    }
    source.build_partial(target, address, length as u32);
}

unsafe extern "win64" fn mm_size_of_mdl(address: u64, length: u64) -> u64 {
    mdl::size_for(address, length)
}

unsafe extern "win64" fn mm_build_mdl_for_nonpaged_pool(mdl: u64) {
    let mdl = given(mdl);
    let start = mdl.range().start;
    let refused = if pageable::contains(start) {
        Some("of memory that can be paged out")
    } else if thread::is_stack(start) {
        Some("of a kernel stack, which must be locked instead")
    } else if mdl.flags() & (flag::LOCKED | flag::PARTIAL) != 0 {
        Some("which is locked, or a part of another")
    } else {
        (!mdl.build_for_nonpaged_pool()).then_some("of addresses where nothing is")
    };
    if let Some(text) = refused {
        bug::violation(
            code::sub::MDL_OF_PAGED_POOL,
            [irql::current().into(), mdl.address(), mdl.flags().into()],
            format_args!("MmBuildMdlForNonPagedPool of the MDL {:#x} {text}", mdl.address()),
        );
    }
}

unsafe extern "win64" fn mm_probe_and_lock_pages(mdl: u64, _mode: u8, operation: u32) {
    let mdl = given(mdl);
    let wrong = mdl.flags() & (flag::LOCKED | flag::MAPPED | flag::NONPAGED_POOL | flag::PARTIAL);
    if wrong != 0 {
        misuse(
            mdl,
            code::sub::MDL_LOCKED_AGAIN,
            wrong,
            "which is locked, mapped, of nonpaged pool, or a part of another already",
        );
    }
    let start = mdl.range().start;
    let is_pageable = start >> 47 == 0 || pageable::contains(start);
    if is_pageable && irql::current() > APC_LEVEL {
        bug::violation(
            code::sub::IRQL_APC_LTE,
            [
                irql::current().into(),
                APC_LEVEL.into(),
                thread::current().caller(),
            ],
            format_args!(
                "MmProbeAndLockPages of pageable memory called at IRQL {}; it may be called at IRQL {APC_LEVEL} or below",
                irql::current()
            ),
        );
    }
    if !mdl.lock(operation != READ_ACCESS) {
        raise(
            ACCESS_VIOLATION,
            start,
            format_args!(
                "MmProbeAndLockPages raises STATUS_ACCESS_VIOLATION: nothing is at {start:#x}, or no longer; the lab does not unwind"
            ),
        );
    }
}

unsafe extern "win64" fn mm_unlock_pages(mdl: u64) {
    let mdl = given(mdl);
    let flags = mdl.flags();
    if flags & flag::PARTIAL != 0 {
        misuse(
            mdl,
            code::sub::PARTIAL_MDL_UNLOCKED,
            flag::PARTIAL,
            "a part of another, which has the lock",
        );
    }
    if flags & flag::NONPAGED_POOL != 0 {
        misuse(
            mdl,
            code::sub::MDL_OF_POOL_UNLOCKED,
            flag::NONPAGED_POOL,
            "of nonpaged pool, which is never unlocked",
        );
    }
    if flags & flag::LOCKED == 0 {
        misuse(
            mdl,
            code::sub::MDL_NOT_LOCKED,
            flag::LOCKED,
            "whose pages are not locked",
        );
    }
    mdl.unlock();
}

unsafe extern "win64" fn mm_map_locked_pages_specify_cache(
    mdl: u64,
    mode: u8,
    _cache_type: u32,
    _requested: u64,
    bug_check_on_failure: u32,
    priority: u32,
) -> u64 {
    let mdl = given(mdl);
    let into_client = mode != KERNEL_MODE;
    if bug_check_on_failure != 0 && !into_client {
        misuse(
            mdl,
            code::sub::MDL_BUG_CHECK_ON_FAILURE,
            0,
            "with BugCheckOnFailure, which must be FALSE",
        );
    }
    let wrong = mdl.flags() & (flag::MAPPED | flag::NONPAGED_POOL);
    if wrong != 0 && !into_client {
        misuse(
            mdl,
            code::sub::MDL_MAPPED_AGAIN,
            wrong,
            "which is mapped already (MmGetSystemAddressForMdlSafe asks)",
        );
    }
    if mdl.flags() & (flag::LOCKED | flag::PARTIAL | flag::NONPAGED_POOL) == 0 {
        misuse(
            mdl,
            code::sub::MDL_MAPPED_UNLOCKED,
            flag::LOCKED,
            "whose pages are not locked",
        );
    }
    let protection = if priority & NO_WRITE == 0 {
        Protection::ReadWrite
    } else {
        Protection::ReadOnly
    };
    if crate::creations::fails() {
        return 0;
    }
    mdl.map(into_client, protection).unwrap_or(0)
}

unsafe extern "win64" fn mm_unmap_locked_pages(address: u64, mdl: u64) {
    let mdl = given(mdl);
    if address >> 47 == 0 && mdl::unmap_at(address) {
        return;
    }
    let here = mdl.flags() & flag::MAPPED != 0 && mdl.mapped_at() == address && mdl::is_mapped_at(address);
    if !here {
        misuse(
            mdl,
            code::sub::MDL_NOT_MAPPED,
            flag::MAPPED,
            "which has no mapping of its own there",
        );
    }
    mdl.unmap();
}

unsafe extern "win64" fn mm_get_physical_address(address: u64) -> u64 {
    paging::physical_address(address).unwrap_or(0)
}

/// Addresses that no client can have, or at no multiple of the alignment, raise; the rest is the driver's from now on.
fn probe(address: u64, length: u64, alignment: u32, write: bool) {
    if length == 0 {
        return;
    }
    if address & u64::from(alignment.max(1) - 1) != 0 {
        raise(
            DATATYPE_MISALIGNMENT,
            address,
            format_args!(
                "a probe of {address:#x} raises STATUS_DATATYPE_MISALIGNMENT: it is no multiple of {alignment}; the lab does not unwind"
            ),
        );
    }
    let is_users = address
        .checked_add(length)
        .is_some_and(|end| end <= USER_PROBE_ADDRESS);
    let there = user::probe(address, length);
    // Only who writes touches the pages.
    if !is_users || (write && !there) {
        raise(
            ACCESS_VIOLATION,
            address,
            format_args!(
                "a probe of {length} bytes at {address:#x} raises STATUS_ACCESS_VIOLATION: that is no client's memory; the lab does not unwind"
            ),
        );
    }
}

unsafe extern "win64" fn probe_for_read(address: u64, length: u64, alignment: u32) {
    probe(address, length, alignment, false);
}

unsafe extern "win64" fn probe_for_write(address: u64, length: u64, alignment: u32) {
    probe(address, length, alignment, true);
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("IoAllocateMdl", DISPATCH, io_allocate_mdl as *const ()),
    Export::function("IoFreeMdl", DISPATCH, io_free_mdl as *const ()),
    Export::function("IoBuildPartialMdl", DISPATCH, io_build_partial_mdl as *const ()),
    Export::function("MmSizeOfMdl", ANY, mm_size_of_mdl as *const ()).quiet(),
    Export::function(
        "MmBuildMdlForNonPagedPool",
        DISPATCH,
        mm_build_mdl_for_nonpaged_pool as *const (),
    ),
    Export::function(
        "MmProbeAndLockPages",
        DISPATCH,
        mm_probe_and_lock_pages as *const (),
    ),
    Export::function("MmUnlockPages", DISPATCH, mm_unlock_pages as *const ()),
    Export::function(
        "MmMapLockedPagesSpecifyCache",
        DISPATCH,
        mm_map_locked_pages_specify_cache as *const (),
    ),
    Export::function("MmUnmapLockedPages", DISPATCH, mm_unmap_locked_pages as *const ()),
    Export::function("MmGetPhysicalAddress", ANY, mm_get_physical_address as *const ()).quiet(),
    Export::function("ProbeForRead", APC, probe_for_read as *const ()),
    Export::function("ProbeForWrite", APC, probe_for_write as *const ()),
    Export::data("MmUserProbeAddress", (&raw const USER_PROBE_ADDRESS).cast()),
    Export::data("MmHighestUserAddress", (&raw const HIGHEST_USER_ADDRESS).cast()),
    Export::data("MmSystemRangeStart", (&raw const SYSTEM_RANGE_START).cast()),
];
