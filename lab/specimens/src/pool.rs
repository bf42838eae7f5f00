//! Pool: asked for wrongly, freed wrongly, overrun, left behind.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("allocate-nothing", allocate_nothing),
    ("allocate-without-kind", allocate_without_kind),
    ("allocate-paged-at-dispatch", allocate_paged_at_dispatch),
    ("free-twice", free_twice),
    ("free-no-block", free_no_block),
    ("free-with-other-tag", free_with_other_tag),
    ("free-paged-at-dispatch", free_paged_at_dispatch),
    ("free-running-timer", free_running_timer),
    ("free-queued-dpc", free_queued_dpc),
    ("write-behind-block", write_behind_block),
    ("write-behind-whole-block", write_behind_whole_block),
    ("leak", leak),
];

unsafe fn allocate_nothing() -> i32 {
    unsafe { ExAllocatePool2(NON_PAGED, 0, TAG) };
    0
}

unsafe fn allocate_without_kind() -> i32 {
    unsafe { ExAllocatePool2(0, 40, TAG) };
    0
}

unsafe fn allocate_paged_at_dispatch() -> i32 {
    unsafe {
        KfRaiseIrql(DISPATCH_LEVEL);
        ExAllocatePool2(PAGED, 40, TAG);
    }
    0
}

unsafe fn free_twice() -> i32 {
    unsafe { ExFreePoolWithTag(freed_block(), TAG) };
    0
}

unsafe fn free_no_block() -> i32 {
    unsafe { ExFreePoolWithTag(block().add(16), TAG) };
    0
}

unsafe fn free_with_other_tag() -> i32 {
    unsafe { ExFreePoolWithTag(block(), TAG + 1) };
    0
}

unsafe fn free_running_timer() -> i32 {
    unsafe {
        let timer = ExAllocatePool2(NON_PAGED, 0x40, TAG).cast::<Timer>();
        KeInitializeTimerEx(timer, 0);
        KeSetTimerEx(timer, -100_000_000, 0, core::ptr::null_mut());
        ExFreePoolWithTag(timer.cast(), TAG);
    }
    0
}

unsafe fn free_paged_at_dispatch() -> i32 {
    unsafe {
        let block = ExAllocatePool2(PAGED, 40, TAG);
        KfRaiseIrql(DISPATCH_LEVEL);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

unsafe extern "system" fn never(_dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {}

/// At `DISPATCH_LEVEL`, where it cannot run.
unsafe fn free_queued_dpc() -> i32 {
    unsafe {
        let dpc = ExAllocatePool2(NON_PAGED, 0x40, TAG).cast::<Dpc>();
        KeInitializeDpc(dpc, never, core::ptr::null_mut());
        KfRaiseIrql(DISPATCH_LEVEL);
        KeInsertQueueDpc(dpc, 0, 0);
        ExFreePoolWithTag(dpc.cast(), TAG);
    }
    0
}

/// The byte behind the 40 that were asked for; the block's alignment leaves it mapped.
unsafe fn write_behind_block() -> i32 {
    unsafe {
        let block = block();
        block.add(40).write_volatile(1);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

/// The byte behind a block whose size is a multiple of the alignment.
unsafe fn write_behind_whole_block() -> i32 {
    unsafe {
        let block = ExAllocatePool2(NON_PAGED, 48, TAG);
        block.add(48).write_volatile(1);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

unsafe fn leak() -> i32 {
    unsafe { block() };
    0
}

/// The last block that was taken; each begins with the one before.
static mut TAKEN: *mut *mut u8 = core::ptr::null_mut();

/// Takes all of the memory, in large pieces and in small.
pub(crate) unsafe fn take_all() {
    for size in [1 << 20, 1 << 12, 8] {
        loop {
            unsafe {
                let block = ExAllocatePool2(NON_PAGED, size, TAG).cast::<*mut u8>();
                if block.is_null() {
                    break;
                }
                block.write(TAKEN.cast());
                TAKEN = block;
            }
        }
    }
}

pub(crate) unsafe fn give_all_back() {
    unsafe {
        while !TAKEN.is_null() {
            let next = TAKEN.read();
            ExFreePoolWithTag(TAKEN.cast(), TAG);
            TAKEN = next.cast();
        }
    }
}
