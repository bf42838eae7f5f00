//! Work items: a routine of the driver's that a system worker thread calls, and the device that stays until it has returned.

use super::device;
use crate::bug::{self, code};
use crate::callout::{self, Outermost};
use crate::ke::event::Event;
use crate::ke::object::Kind;
use crate::ke::worker;
use crate::ldr;
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use alloc::collections::BTreeMap;
use core::ops::Range;

const TAG: Tag = Tag(u32::from_le_bytes(*b"IoWI"));
/// `IoSizeofWorkItem`: the structure is opaque, this is its size on x64.
pub const SIZE: u64 = 0x58;

struct Item {
    /// The device or driver object that it was made for.
    object: u64,
    queued: bool,
    /// It is pool, from `IoAllocateWorkItem`.
    allocated: bool,
}

static ITEMS: IrqLock<BTreeMap<u64, Item>> = IrqLock::new(BTreeMap::new());
/// Routines that have not returned yet, and what says that one has.
static RUNNING: IrqLock<usize> = IrqLock::new(0);
static RETURNED: Event = Event::new(Kind::SynchronizationEvent);

/// `IoAllocateWorkItem`. `None` when memory is short.
pub fn allocate(object: u64, caller: u64) -> Option<u64> {
    let item = pool::allocate(SIZE, TAG, true, Placement::Block, caller)? as u64;
    insert(item, object, true);
    Some(item)
}

/// `IoInitializeWorkItem`, in the driver's memory.
pub fn initialize(item: u64, object: u64) {
    insert(item, object, false);
}

fn insert(item: u64, object: u64, allocated: bool) {
    let new = Item {
        object,
        queued: false,
        allocated,
    };
    let before = ITEMS.lock().insert(item, new);
    if before.is_some_and(|before| before.queued) {
        active(item, code::worker::FREED, "initialises");
    }
}

fn active(item: u64, offence: u64, how: &str) -> ! {
    bug::bugcheck(
        code::WORKER_INVALID,
        [offence, item, 0, 0],
        format_args!("the driver {how} the work item {item:#x}, which is queued"),
    )
}

fn unknown(item: u64) -> ! {
    bug::violation(
        code::sub::LOCK_NOT_INITIALIZED,
        [item, 0, 0],
        format_args!(
            "the driver uses the work item {item:#x}, which is not allocated or initialised, or freed already"
        ),
    )
}

/// `IoFreeWorkItem` or `IoUninitializeWorkItem`: it must not be queued; that its routine runs is no matter.
pub fn free(item: u64, allocated: bool, caller: u64) {
    let Some(known) = ITEMS.lock().remove(&item) else {
        unknown(item)
    };
    if known.queued {
        active(item, code::worker::FREED, "frees");
    }
    if known.allocated != allocated {
        unknown(item);
    }
    if allocated && pool::free(item, Some(TAG), caller).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, item, 0, 0],
            format_args!("the memory behind the work item {item:#x} was overwritten"),
        );
    }
}

/// `IoQueueWorkItem`: a worker calls `routine` with the object and `context`, and the extended one with the item as well.
pub fn queue(item: u64, routine: u64, context: u64) {
    let object = {
        let mut items = ITEMS.lock();
        items
            .get_mut(&item)
            .map(|known| (known.object, core::mem::replace(&mut known.queued, true)))
    };
    let Some((object, queued)) = object else {
        unknown(item)
    };
    if queued {
        active(item, code::worker::QUEUED, "queues");
    }
    let device = device::find(object);
    if let Some(device) = device {
        device::hold(device);
    }
    *RUNNING.lock() += 1;
    worker::queue(move || {
        // It can be queued or freed again before the routine runs.
        if let Some(known) = ITEMS.lock().get_mut(&item) {
            known.queued = false;
        }
        callout::call_outermost("work item", Outermost::System, || {
            // SAFETY: IO_WORKITEM_ROUTINE takes the object and the context, IO_WORKITEM_ROUTINE_EX the item too.
            unsafe { ldr::call(routine, [object, context, item, 0]) };
        });
        if let Some(device) = device {
            device::let_go(device);
        }
        *RUNNING.lock() -= 1;
        RETURNED.set();
    });
}

/// Waits until no routine runs or is about to: an image stays as long, on NT by the reference to its device.
pub fn wait_for_all() {
    while *RUNNING.lock() != 0 {
        RETURNED.wait();
    }
}

/// How many the driver has not freed.
pub fn count() -> usize {
    ITEMS.lock().len()
}

/// This memory is about to be no more: no work item in it may be queued. Those in it are forgotten.
pub fn freed(memory: Range<u64>) {
    let mut items = ITEMS.lock();
    let queued = items
        .range(memory.clone())
        .find(|entry| entry.1.queued)
        .map(|entry| *entry.0);
    items.retain(|item, known| known.allocated || !memory.contains(item));
    drop(items);
    if let Some(item) = queued {
        active(item, code::worker::FREED, "frees the memory of");
    }
}
