//! Driver object extensions: memory of a driver's that goes with its driver object, found by an address that names it.

use super::object::DriverObject;
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use crate::status;
use alloc::vec::Vec;

const TAG: Tag = Tag(u32::from_le_bytes(*b"DrvE"));

/// The driver object, the name, and the memory of each.
static EXTENSIONS: IrqLock<Vec<[u64; 3]>> = IrqLock::new(Vec::new());

/// `IoAllocateDriverObjectExtension`: memory that is zeroed.
///
/// # Errors
/// An NTSTATUS: there is one of that name, or memory is short.
pub fn allocate(driver: u64, name: u64, size: u64, caller: u64) -> Result<u64, i32> {
    if find(driver, name).is_some() {
        return Err(status::OBJECT_NAME_COLLISION);
    }
    let block =
        pool::allocate(size, TAG, true, Placement::Block, caller).ok_or(status::INSUFFICIENT_RESOURCES)?;
    EXTENSIONS.lock().push([driver, name, block as u64]);
    Ok(block as u64)
}

/// `IoGetDriverObjectExtension`.
pub fn find(driver: u64, name: u64) -> Option<u64> {
    let extensions = EXTENSIONS.lock();
    let mut named = extensions
        .iter()
        .filter(|extension| extension[..2] == [driver, name]);
    named.next().map(|extension| extension[2])
}

/// Frees those of a driver that is unloaded, as its page promises.
pub fn free_all(driver: &'static DriverObject) {
    let driver = (&raw const *driver) as u64;
    let freed: Vec<[u64; 3]> = EXTENSIONS
        .lock()
        .extract_if(.., |extension| extension[0] == driver)
        .collect();
    for [.., block] in freed {
        // Whoever wrote behind it is found by what is left then.
        let _ = pool::free(block, Some(TAG), 0);
    }
}
