//! Work items.

use super::irql_ranges::{ANY, DISPATCH};
use crate::export::Export;
use crate::io::work_item;
use crate::ke::thread;

unsafe extern "win64" fn io_allocate_work_item(object: u64) -> u64 {
    work_item::allocate(object, thread::current().caller()).unwrap_or(0)
}

unsafe extern "win64" fn io_free_work_item(item: u64) {
    work_item::free(item, true, thread::current().caller());
}

unsafe extern "win64" fn io_sizeof_work_item() -> u32 {
    work_item::SIZE as u32
}

unsafe extern "win64" fn io_initialize_work_item(object: u64, item: u64) {
    work_item::initialize(item, object);
}

unsafe extern "win64" fn io_uninitialize_work_item(item: u64) {
    work_item::free(item, false, thread::current().caller());
}

unsafe extern "win64" fn io_queue_work_item(item: u64, routine: u64, _queue: u32, context: u64) {
    work_item::queue(item, routine, context);
}

/// This family's exports. `IoQueueWorkItemEx` differs in what its routine takes: the item as well, which is harmless to the other's.
pub static EXPORTS: &[Export] = &[
    Export::function("IoAllocateWorkItem", DISPATCH, io_allocate_work_item as *const ()),
    Export::function("IoFreeWorkItem", DISPATCH, io_free_work_item as *const ()),
    Export::function("IoSizeofWorkItem", ANY, io_sizeof_work_item as *const ()).quiet(),
    Export::function("IoInitializeWorkItem", ANY, io_initialize_work_item as *const ()),
    Export::function(
        "IoUninitializeWorkItem",
        ANY,
        io_uninitialize_work_item as *const (),
    ),
    Export::function("IoQueueWorkItem", DISPATCH, io_queue_work_item as *const ()),
    Export::function("IoQueueWorkItemEx", DISPATCH, io_queue_work_item as *const ()),
];
