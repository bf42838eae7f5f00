//! Memory and processor faults.

use crate::Specimen;
use crate::nt::*;
use core::arch::asm;

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("null-pointer", null_pointer),
    ("read-behind-block", read_behind_block),
    ("read-freed-block", read_freed_block),
    ("touch-freed-block-at-dispatch", touch_freed_block_at_dispatch),
    ("touch-paged-pool-at-dispatch", touch_paged_pool_at_dispatch),
    (
        "have-paged-event-set-at-dispatch",
        have_paged_event_set_at_dispatch,
    ),
    (
        "have-freed-event-set-at-dispatch",
        have_freed_event_set_at_dispatch,
    ),
    ("write-shared-data", write_shared_data),
    ("write-own-code", write_own_code),
    ("run-pool", run_pool),
    ("read-behind-registry-path", read_behind_registry_path),
    ("keep-registry-path", keep_registry_path),
    ("overflow-stack", overflow_stack),
    (
        "make-a-frame-larger-than-the-stack",
        make_a_frame_larger_than_the_stack,
    ),
    ("break", break_),
    ("fail-fast", fail_fast),
    ("bug-check", bug_check),
    ("call-what-the-lab-lacks", call_what_the_lab_lacks),
    ("call-missing-import", call_missing_import),
    ("read-missing-variable", read_missing_variable),
];

/// What no lab without interrupts has.
unsafe fn call_missing_import() -> i32 {
    unsafe { IoConnectInterrupt() }
}

unsafe fn read_missing_variable() -> i32 {
    unsafe { (&raw const ExEventObjectType).read_volatile() };
    0
}

/// As a text of C's, which it is not.
unsafe fn read_behind_registry_path() -> i32 {
    unsafe {
        let mut unit = (*PATH).buffer;
        while unit.read_volatile() != 0 {
            unit = unit.add(1);
        }
    }
    0
}

/// What the unload routine reads.
static mut KEPT: *const u16 = core::ptr::null();

/// Not its text: where it is.
unsafe fn keep_registry_path() -> i32 {
    unsafe { KEPT = (*PATH).buffer };
    0
}

pub(crate) unsafe fn read_kept_text() {
    unsafe {
        if !KEPT.is_null() {
            KEPT.read_volatile();
        }
    }
}

unsafe fn null_pointer() -> i32 {
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(8).write_volatile(1) };
    0
}

unsafe fn read_behind_block() -> i32 {
    unsafe { block().add(48).read_volatile().into() }
}

unsafe fn read_freed_block() -> i32 {
    unsafe { freed_block().read_volatile().into() }
}

unsafe fn touch_freed_block_at_dispatch() -> i32 {
    unsafe {
        let block = freed_block();
        KfRaiseIrql(DISPATCH_LEVEL);
        block.write_volatile(1);
    }
    0
}

unsafe fn have_freed_event_set_at_dispatch() -> i32 {
    unsafe {
        let event = block().cast::<Event>();
        KeInitializeEvent(event, 1, 0);
        ExFreePoolWithTag(event.cast(), TAG);
        KfRaiseIrql(DISPATCH_LEVEL);
        KeSetEvent(event, 0, 0)
    }
}

unsafe fn touch_paged_pool_at_dispatch() -> i32 {
    unsafe {
        let block = ExAllocatePool2(PAGED, 40, TAG);
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        block.write_volatile(1);
        KeLowerIrql(old);
        ExFreePoolWithTag(block, TAG);
    }
    0
}

unsafe fn have_paged_event_set_at_dispatch() -> i32 {
    unsafe {
        let event = ExAllocatePool2(PAGED, 40, TAG).cast::<Event>();
        KeInitializeEvent(event, 1, 0);
        KfRaiseIrql(DISPATCH_LEVEL);
        KeSetEvent(event, 0, 0)
    }
}

unsafe fn write_shared_data() -> i32 {
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(0xFFFF_F780_0000_0008).write_volatile(1) };
    0
}

unsafe fn write_own_code() -> i32 {
    unsafe { (write_own_code as *const () as *mut u8).write_volatile(0xCC) };
    0
}

unsafe fn run_pool() -> i32 {
    unsafe {
        let block = block();
        block.write(0xC3); // ret
        core::mem::transmute::<*mut u8, unsafe extern "system" fn()>(block)();
    }
    0
}

unsafe fn overflow_stack() -> i32 {
    deeper(1) as i32
}

#[inline(never)]
#[allow(unconditional_recursion, reason = "the offence")]
fn deeper(depth: u64) -> u64 {
    let frame = [depth; 64];
    core::hint::black_box(&frame);
    deeper(depth + 1) + frame[3]
}

unsafe fn make_a_frame_larger_than_the_stack() -> i32 {
    unsafe {
        asm!("call {}", sym __chkstk, inout("rax") 64 * 1024_u64 => _, out("r10") _, out("r11") _);
    }
    0
}

unsafe fn break_() -> i32 {
    unsafe { asm!("int3") };
    0
}

unsafe fn fail_fast() -> i32 {
    unsafe { asm!("int 0x29", in("ecx") 2) };
    0
}

unsafe fn bug_check() -> i32 {
    unsafe { KeBugCheckEx(0xDEAD, 1, 2, 3, 4) }
}

unsafe fn call_what_the_lab_lacks() -> i32 {
    unsafe { RtlUnwind(0, 0, 0, 0) };
    0
}
