//! The pool routines that drivers import.

use super::{fast_mutex, lookaside, resource};
use crate::bug::{self, code};
use crate::ex::references;
use crate::export::Export;
use crate::hal;
use crate::io::{remove_lock, work_item};
use crate::judge::lock_order;
use crate::ke::dpc;
use crate::ke::thread;
use crate::ke::{irql, timer};
use crate::mm::mdl;
use crate::mm::pool::{self, FreeError, Kind, Placement, Tag};
use crate::rtl::UnicodeString;

/// `POOL_FLAG_UNINITIALIZED`.
const UNINITIALIZED: u64 = 0x2;
/// `POOL_FLAG_CACHE_ALIGNED`.
const CACHE_ALIGNED: u64 = 0x8;
/// `POOL_FLAG_RAISE_ON_FAILURE`.
const RAISE_ON_FAILURE: u64 = 0x20;
/// `POOL_FLAG_NON_PAGED`.
const NON_PAGED: u64 = 0x40;
/// `POOL_FLAG_NON_PAGED_EXECUTE`.
const NON_PAGED_EXECUTE: u64 = 0x80;
/// `POOL_FLAG_PAGED`.
const PAGED: u64 = 0x100;
/// The low half of the flags is required, the high half optional.
const KNOWN_REQUIRED: u64 = 0x3FF;
/// `NonPagedPoolNxCacheAligned` and its like: bit 2 of a `POOL_TYPE`.
const POOL_TYPE_CACHE_ALIGNED: u32 = 4;
const POOL_TYPE_PAGED: u32 = 1;
/// `NonPagedPoolNx`. Without it what is not paged can be executed, as `POOL_TYPE`'s page says of `NonPagedPool`.
const POOL_TYPE_NX: u32 = 0x200;

fn allocate(size: u64, tag: u32, zero: bool, placement: Placement, kind: Kind) -> *mut u8 {
    let paged = kind == Kind::Paged;
    let caller = thread::current().caller();
    let level = irql::current();
    if paged && level > irql::APC_LEVEL {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::PAGED_POOL_AT_DISPATCH, u64::from(level), 1, size],
            format_args!("paged pool is allocated at IRQL {level}; it may be at APC_LEVEL or below"),
        );
    }
    if size == 0 {
        bug::bugcheck(
            code::BAD_POOL_CALLER,
            [code::pool::NO_BYTES, u64::from(level), u64::from(paged), size],
            format_args!("a pool allocation of 0 bytes"),
        );
    }
    pool::allocate_of(kind, size, Tag(tag), zero, placement, caller).unwrap_or(core::ptr::null_mut())
}

unsafe extern "win64" fn ex_allocate_pool2(flags: u64, size: u64, tag: u32) -> *mut u8 {
    let kinds = flags & (NON_PAGED | NON_PAGED_EXECUTE | PAGED);
    if kinds.count_ones() != 1
        || flags & 0xFFFF_FFFF & !KNOWN_REQUIRED != 0
        || tag == 0
        || flags & RAISE_ON_FAILURE != 0
    {
        bug::bugcheck(
            code::BAD_POOL_CALLER,
            [code::pool::BAD_FLAGS, flags, size, u64::from(tag)],
            format_args!(
                "ExAllocatePool2 with flags {flags:#x} and tag {tag:#x}: exactly one kind of pool, no unknown flag, \
                no RAISE_ON_FAILURE (the lab raises nothing), and a tag"
            ),
        );
    }
    let placement = if flags & CACHE_ALIGNED == 0 {
        Placement::Block
    } else {
        Placement::CacheAligned
    };
    let kind = match kinds {
        PAGED => Kind::Paged,
        NON_PAGED_EXECUTE => Kind::NonPagedExecute,
        _ => Kind::NonPagedNx,
    };
    allocate(size, tag, flags & UNINITIALIZED == 0, placement, kind)
}

/// Quota is a client's, and the lab has no accounts: memory is all that may be short. There an exception is raised, unless the kind says
/// `POOL_QUOTA_FAIL_INSTEAD_OF_RAISE` (8).
unsafe extern "win64" fn ex_allocate_pool_with_quota_tag(kind: u32, size: u64, tag: u32) -> *mut u8 {
    const FAIL_INSTEAD_OF_RAISE: u32 = 8;
    // SAFETY: a plain function; it checks what it is given.
    let block = unsafe { ex_allocate_pool_with_tag(kind & !FAIL_INSTEAD_OF_RAISE, size, tag) };
    if block.is_null() && kind & FAIL_INSTEAD_OF_RAISE == 0 {
        bug::bugcheck(
            code::KMODE_EXCEPTION_NOT_HANDLED,
            [0xFFFF_FFFF_C000_009A, thread::current().caller(), 0, 0],
            format_args!(
                "ExAllocatePoolWithQuotaTag raises STATUS_INSUFFICIENT_RESOURCES; the lab does not unwind"
            ),
        );
    }
    block
}

/// `ExAllocatePool`'s tag.
const NO_TAG: u32 = u32::from_le_bytes(*b"None");

unsafe extern "win64" fn ex_allocate_pool(kind: u32, size: u64) -> *mut u8 {
    // SAFETY: as above.
    unsafe { ex_allocate_pool_with_tag(kind, size, NO_TAG) }
}

unsafe extern "win64" fn ex_allocate_pool_with_tag(kind: u32, size: u64, tag: u32) -> *mut u8 {
    let placement = if kind & POOL_TYPE_CACHE_ALIGNED == 0 {
        Placement::Block
    } else {
        Placement::CacheAligned
    };
    let kind = if kind & POOL_TYPE_PAGED != 0 {
        Kind::Paged
    } else if kind & POOL_TYPE_NX != 0 {
        Kind::NonPagedNx
    } else {
        Kind::NonPagedExecute
    };
    allocate(size, tag, false, placement, kind)
}

fn free(address: u64, tag: Option<Tag>) {
    let caller = thread::current().caller();
    let level = irql::current();
    if level > irql::APC_LEVEL && pool::block_near(address).is_some_and(|block| block.paged) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [
                code::sub::PAGED_POOL_FREED_AT_DISPATCH,
                u64::from(level),
                1,
                address,
            ],
            format_args!("paged pool is freed at IRQL {level}; it may be at APC_LEVEL or below"),
        );
    }
    refuse_if_in_use(address);
    references::freed(address);
    if let Some(block) = pool::block_near(address) {
        lock_order::forget(block.address..block.address + block.size);
    }
    match pool::free(address, tag, caller) {
        Ok(()) => {}
        Err(FreeError::NotAllocated {
            freed_before: Some((tag, by)),
        }) => bug::bugcheck(
            code::BAD_POOL_CALLER,
            [code::pool::FREED_BEFORE, address, u64::from(tag.0), by],
            format_args!(
                "the driver frees pool {address:#x}, tag '{tag}', a second time; it was freed from {by:#x}"
            ),
        ),
        Err(FreeError::NotAllocated { freed_before: None }) => bug::bugcheck(
            code::BAD_POOL_CALLER,
            [code::pool::NEVER_ALLOCATED, address, 0, 0],
            format_args!("the driver frees {address:#x}, where no pool block begins"),
        ),
        Err(FreeError::WrongTag(block)) => bug::bugcheck(
            code::BAD_POOL_CALLER,
            [
                code::pool::WRONG_TAG,
                address,
                u64::from(block.tag.0),
                tag.map_or(0, |tag| u64::from(tag.0)),
            ],
            format_args!(
                "the driver frees {address:#x} with another tag than '{}', which it was allocated with from {:#x}",
                block.tag, block.caller
            ),
        ),
        Err(FreeError::Overrun(block, byte)) => bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, block.address, byte, block.size],
            format_args!(
                "the pool block {:#x} of {} bytes, tag '{}', allocated from {:#x}, was written behind its end",
                block.address, block.size, block.tag, block.caller
            ),
        ),
    }
}

/// A block that holds a queued DPC or a timer that is set is still in use.
fn refuse_if_in_use(address: u64) {
    let Some(block) = pool::block_near(address).filter(|block| block.address == address) else {
        return;
    };
    let memory = block.address..block.address + block.size.max(1);
    fast_mutex::refuse_freed(memory.clone());
    resource::refuse_freed(memory.clone());
    lookaside::refuse_freed(memory.clone());
    remove_lock::freed(memory.clone());
    work_item::freed(memory.clone());
    if let Some(mdl) = mdl::locked_within(&memory) {
        bug::violation(
            code::sub::FREED_IN_USE,
            [address, mdl, block.size],
            format_args!(
                "the driver frees pool {address:#x} with pages that the MDL {mdl:#x} has locked, or with that MDL in it"
            ),
        );
    }
    let inside = |object: &u64| memory.contains(object);
    let timer = timer::addresses().into_iter().find(inside);
    let dpc = hal::pcr::online().find_map(|pcr| dpc::queue_of(pcr.number()).addresses().find(inside));
    if let Some(object) = timer.or(dpc) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::FREED_IN_USE, address, object, block.size],
            format_args!(
                "the driver frees pool {address:#x} with {} at {object:#x} in it",
                if timer.is_some() {
                    "a timer that is set"
                } else {
                    "a DPC that is queued"
                }
            ),
        );
    }
}

unsafe extern "win64" fn ex_free_pool_with_tag(address: u64, tag: u32) {
    // A tag of 0 frees whatever the tag.
    free(address, (tag != 0).then_some(Tag(tag)));
}

unsafe extern "win64" fn ex_free_pool(address: u64) {
    free(address, None);
}

unsafe extern "win64" fn rtl_free_unicode_string(text: *mut UnicodeString) {
    // SAFETY: the DDI: a string that a routine allocated, or an empty one.
    let text = unsafe { &mut *text };
    if !text.buffer.is_null() {
        free(text.buffer as u64, None);
        *text = UnicodeString {
            length: 0,
            maximum_length: 0,
            buffer: core::ptr::null_mut(),
        };
    }
}

/// What `ntoskrnl.exe` exports of this.
pub static EXPORTS: &[Export] = &[
    Export::function("ExAllocatePool2", 0..=2, ex_allocate_pool2 as *const ()),
    Export::function(
        "ExAllocatePoolWithTag",
        0..=2,
        ex_allocate_pool_with_tag as *const (),
    ),
    Export::function(
        "ExAllocatePoolWithQuotaTag",
        0..=2,
        ex_allocate_pool_with_quota_tag as *const (),
    ),
    Export::function("ExAllocatePool", 0..=2, ex_allocate_pool as *const ()),
    Export::function("ExFreePoolWithTag", 0..=2, ex_free_pool_with_tag as *const ()),
    Export::function("ExFreePool", 0..=2, ex_free_pool as *const ()),
    Export::function(
        "RtlFreeUnicodeString",
        0..=0,
        rtl_free_unicode_string as *const (),
    ),
    // The structures are laid out alike.
    Export::function("RtlFreeAnsiString", 0..=0, rtl_free_unicode_string as *const ()),
];
