//! The MDLs that a driver allocates, and frees by itself.

use crate::bug::{self, code};
use crate::lock::IrqLock;
use crate::mm::mdl::{self, Mdl, flag};
use crate::mm::pool::{self, FreeError, Placement, Tag};
use alloc::collections::BTreeMap;

const TAG: Tag = Tag(u32::from_le_bytes(*b"Mdl "));

/// Who allocated which.
static ALLOCATED: IrqLock<BTreeMap<u64, u64>> = IrqLock::new(BTreeMap::new());

/// `IoAllocateMdl`. `None` when memory is short.
pub fn allocate(address: u64, length: u32, caller: u64) -> Option<&'static Mdl> {
    let size = mdl::size_for(address, length.into());
    let place = pool::allocate(size, TAG, true, Placement::Block, caller)? as u64;
    // SAFETY: the block is fresh, of that size, and aligned to 16.
    unsafe { Mdl::initialize(place, address, length, flag::ALLOCATED_FIXED_SIZE) };
    ALLOCATED.lock().insert(place, caller);
    // SAFETY: initialised; it stays until it is freed.
    Some(unsafe { Mdl::at(place) })
}

/// `IoFreeMdl`: what is a part of another may be mapped, all else must be unlocked and unmapped.
pub fn free(mdl: &'static Mdl, caller: u64) {
    let address = mdl.address();
    if ALLOCATED.lock().remove(&address).is_none() {
        bug::bugcheck(
            code::BAD_POOL_CALLER,
            [code::pool::NEVER_ALLOCATED, address, 0, 0],
            format_args!(
                "IoFreeMdl of {address:#x}, which IoAllocateMdl did not give, or which is freed already"
            ),
        );
    }
    let flags = mdl.flags();
    if flags & flag::PARTIAL_MAPPED != 0 {
        mdl.unmap();
    } else if flags & flag::LOCKED != 0 || (flags & flag::MAPPED != 0 && flags & flag::PARTIAL == 0) {
        bug::violation(
            code::sub::MDL_FREED_IN_USE,
            [address, flags.into(), 0],
            format_args!(
                "the driver frees the MDL {address:#x} whose pages are still locked or mapped (flags {flags:#x})"
            ),
        );
    }
    if let Err(FreeError::Overrun(_, byte)) = pool::free(address, Some(TAG), caller) {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, address, byte, 0],
            format_args!("the memory behind the MDL {address:#x} was overwritten"),
        );
    }
}

/// The end of an IRP of the I/O manager's: of the MDLs that begin with `first` it unlocks and frees those that a driver has given it by
/// `IoAllocateMdl`. `clients` is the one that the request came with.
pub fn finish(first: u64, clients: u64) {
    let mut next = first;
    loop {
        let allocated = ALLOCATED.lock().contains_key(&next);
        if !allocated && (next == 0 || next != clients) {
            return;
        }
        // SAFETY: allocated and not freed yet, or the client's, which is freed later.
        let mdl = unsafe { Mdl::at(next) };
        next = mdl.next();
        if allocated {
            if mdl.flags() & flag::LOCKED != 0 {
                mdl.unlock();
            }
            free(mdl, 0);
        }
    }
}

/// How many a driver has not freed.
pub fn count() -> usize {
    ALLOCATED.lock().len()
}
