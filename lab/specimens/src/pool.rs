//! Pool: asked for wrongly, freed wrongly, overrun, left behind.

use crate::Specimen;
use crate::nt::*;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("allocate-nothing", allocate_nothing),
    ("allocate-without-kind", allocate_without_kind),
    ("allocate-paged-at-dispatch", allocate_paged_at_dispatch),
    ("free-twice", free_twice),
    ("free-no-block", free_no_block),
    ("free-with-other-tag", free_with_other_tag),
    ("free-running-timer", free_running_timer),
    ("write-behind-block", write_behind_block),
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

unsafe fn write_behind_block() -> i32 {
    unsafe {
        let block = block();
        block.add(40).write_volatile(1);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

unsafe fn leak() -> i32 {
    unsafe { block() };
    0
}
