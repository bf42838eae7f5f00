//! Lookaside lists, and the singly linked lists that they are made of.
//!
//! The headers allocate and free in line, by the two routines that the list names and by `ListHead` below its `Depth`. The lab's lists have
//! depth 0, which NT may choose too: so every block is pool of its own, and its misuse is found as pool's is.

use crate::bug::{self, code};
use crate::ddi::irql_ranges::{ANY, APC, DISPATCH};
use crate::export::Export;
use crate::ldr::export;
use crate::lock::IrqLock;
use crate::status;
use alloc::collections::BTreeSet;
use core::ops::Range;

/// `GENERAL_LOOKASIDE`, 0x60 bytes; it is in `LOOKASIDE_LIST_EX` and, padded to cache lines, in the older structures.
#[repr(C)]
pub struct Lookaside {
    list_head: [u64; 2],
    depth: u16,
    maximum_depth: u16,
    total_allocates: u32,
    allocate_misses: u32,
    total_frees: u32,
    free_misses: u32,
    pool_type: u32,
    tag: u32,
    size: u32,
    allocate: u64,
    free: u64,
    list_entry: [u64; 2],
    last: [u32; 2],
    future: [u32; 2],
}

const _: () = assert!(size_of::<Lookaside>() == 0x60);

/// Blocks begin with a link while they are free.
const LEAST: u64 = 8;
/// `NonPagedPool`, `PagedPool`.
const NON_PAGED: u32 = 0;
const PAGED: u32 = 1;

/// The active lists.
static ACTIVE: IrqLock<BTreeSet<u64>> = IrqLock::new(BTreeSet::new());

/// The address by which the driver's in-line code calls a routine of NT's; 0 when memory is short.
fn routine(name: &str) -> u64 {
    export::find_routine(name).and_then(export::bind).unwrap_or(0)
}

unsafe fn initialize(
    list: *mut Lookaside,
    [allocate, free]: [u64; 2],
    pool_type: u32,
    size: u64,
    tag: u32,
) -> i32 {
    if !ACTIVE.lock().insert(list as u64) {
        bug::violation(
            code::sub::LOOKASIDE_INITIALIZED_TWICE,
            [list as u64, 0, 0],
            format_args!("the driver initialises the lookaside list {list:p} again, and has not deleted it"),
        );
    }
    if size < LEAST {
        bug::violation(
            code::sub::LOOKASIDE_TOO_SMALL,
            [list as u64, size, LEAST],
            format_args!(
                "the driver makes a lookaside list of blocks of {size} bytes; {LEAST} are the least"
            ),
        );
    }
    let or = |given: u64, name| if given == 0 { routine(name) } else { given };
    let value = Lookaside {
        list_head: [0; 2],
        depth: 0,
        maximum_depth: 256,
        total_allocates: 0,
        allocate_misses: 0,
        total_frees: 0,
        free_misses: 0,
        pool_type,
        tag,
        size: size as u32,
        allocate: or(allocate, "ExAllocatePoolWithTag"),
        free: or(free, "ExFreePool"),
        list_entry: [0; 2],
        last: [0; 2],
        future: [0; 2],
    };
    let complete = value.allocate != 0 && value.free != 0;
    // SAFETY: the DDI asks for room for the structure, in nonpaged memory.
    unsafe { list.write(value) };
    if complete {
        status::SUCCESS
    } else {
        ACTIVE.lock().remove(&(list as u64));
        status::INSUFFICIENT_RESOURCES
    }
}

fn delete(list: u64) {
    if !ACTIVE.lock().remove(&list) {
        bug::violation(
            code::sub::LOOKASIDE_NOT_INITIALIZED,
            [list, 0, 0],
            format_args!(
                "the driver deletes the lookaside list {list:#x}, which is not initialised, or deleted already"
            ),
        );
    }
}

unsafe extern "win64" fn ex_initialize_npaged_lookaside_list(
    list: *mut Lookaside,
    allocate: u64,
    free: u64,
    flags: u32,
    size: u64,
    tag: u32,
    _depth: u16,
) {
    // `POOL_NX_ALLOCATION` is the only flag that says which pool; `POOL_RAISE_IF_ALLOCATION_FAILURE` raises nothing here.
    // SAFETY: the DDI, as `initialize` asks.
    unsafe { initialize(list, [allocate, free], NON_PAGED | flags & 0x200, size, tag) };
}

unsafe extern "win64" fn ex_initialize_paged_lookaside_list(
    list: *mut Lookaside,
    allocate: u64,
    free: u64,
    _flags: u32,
    size: u64,
    tag: u32,
    _depth: u16,
) {
    // SAFETY: as above.
    unsafe { initialize(list, [allocate, free], PAGED, size, tag) };
}

unsafe extern "win64" fn ex_initialize_lookaside_list_ex(
    list: *mut Lookaside,
    allocate: u64,
    free: u64,
    pool_type: u32,
    _flags: u32,
    size: u64,
    tag: u32,
    _depth: u16,
) -> i32 {
    // SAFETY: as above.
    unsafe { initialize(list, [allocate, free], pool_type, size, tag) }
}

unsafe extern "win64" fn ex_delete_lookaside_list(list: u64) {
    delete(list);
}

unsafe extern "win64" fn ex_flush_lookaside_list_ex(list: u64) {
    // Nothing is ever kept in it.
    if !ACTIVE.lock().contains(&list) {
        delete(list);
    }
}

/// This memory is about to be no more: no list in it may be active.
pub fn refuse_freed(memory: Range<u64>) {
    let active = ACTIVE.lock().range(memory.clone()).next().copied();
    if let Some(list) = active {
        bug::violation(
            code::sub::LOOKASIDE_FREED,
            [list, memory.start, memory.end - memory.start],
            format_args!(
                "the driver frees memory with the lookaside list {list:#x} in it, which is not deleted"
            ),
        );
    }
}

/// `SLIST_HEADER` of x64: depth and sequence, and the first entry.
#[repr(C, align(16))]
pub struct SListHeader {
    /// The depth in the low 16 bits, above it a number that each change counts up.
    depth: u64,
    first: u64,
}

/// One at a time changes a list: all of them by these routines.
static LISTS: IrqLock<()> = IrqLock::new(());

impl SListHeader {
    fn change(&mut self, first: u64, depth: u64) {
        let sequence = (self.depth >> 16).wrapping_add(1);
        self.depth = sequence << 16 | depth & 0xFFFF;
        self.first = first;
    }
}

unsafe extern "win64" fn push_entry_slist(head: *mut SListHeader, entry: u64) -> u64 {
    let _alone = LISTS.lock();
    // SAFETY: the DDI asks for an initialised SLIST_HEADER, which only these routines change.
    let head = unsafe { &mut *head };
    let before = head.first;
    // SAFETY: the DDI asks for an SLIST_ENTRY, which is the list's from now on.
    unsafe { (entry as *mut u64).write(before) };
    head.change(entry, head.depth + 1);
    before
}

unsafe extern "win64" fn pop_entry_slist(head: *mut SListHeader) -> u64 {
    let _alone = LISTS.lock();
    // SAFETY: as above.
    let head = unsafe { &mut *head };
    let entry = head.first;
    if entry != 0 {
        // SAFETY: an entry of the list begins with the next one's address.
        let next = unsafe { (entry as *const u64).read() };
        head.change(next, head.depth.wrapping_sub(1));
    }
    entry
}

unsafe extern "win64" fn flush_slist(head: *mut SListHeader) -> u64 {
    let _alone = LISTS.lock();
    // SAFETY: as above.
    let head = unsafe { &mut *head };
    let first = head.first;
    head.change(0, 0);
    first
}

unsafe extern "win64" fn initialize_slist_head(head: *mut SListHeader) {
    // SAFETY: the DDI asks for room for an SLIST_HEADER.
    unsafe { head.write(SListHeader { depth: 0, first: 0 }) };
}

unsafe extern "win64" fn query_depth_slist(head: *const SListHeader) -> u16 {
    // SAFETY: as above.
    unsafe { (*head).depth as u16 }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "ExInitializeNPagedLookasideList",
        DISPATCH,
        ex_initialize_npaged_lookaside_list as *const (),
    ),
    Export::function(
        "ExInitializePagedLookasideList",
        APC,
        ex_initialize_paged_lookaside_list as *const (),
    ),
    Export::function(
        "ExInitializeLookasideListEx",
        DISPATCH,
        ex_initialize_lookaside_list_ex as *const (),
    ),
    Export::function(
        "ExDeleteNPagedLookasideList",
        DISPATCH,
        ex_delete_lookaside_list as *const (),
    ),
    Export::function(
        "ExDeletePagedLookasideList",
        APC,
        ex_delete_lookaside_list as *const (),
    ),
    Export::function(
        "ExDeleteLookasideListEx",
        DISPATCH,
        ex_delete_lookaside_list as *const (),
    ),
    Export::function(
        "ExFlushLookasideListEx",
        DISPATCH,
        ex_flush_lookaside_list_ex as *const (),
    ),
    Export::function("ExpInterlockedPushEntrySList", ANY, push_entry_slist as *const ()).quiet(),
    Export::function("ExpInterlockedPopEntrySList", ANY, pop_entry_slist as *const ()).quiet(),
    Export::function("ExpInterlockedFlushSList", ANY, flush_slist as *const ()).quiet(),
    Export::function("InitializeSListHead", ANY, initialize_slist_head as *const ()).quiet(),
    Export::function("ExQueryDepthSList", ANY, query_depth_slist as *const ()).quiet(),
];
