//! What a sound driver does: each of these must pass.

use crate::Specimen;
use crate::nt::*;
use core::arch::asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[("sound", good), ("monitor", monitor)];

static COUNT: AtomicU64 = AtomicU64::new(0);
static LOCK: AtomicU64 = AtomicU64::new(0);
static mut GUARDED: u64 = 0;

unsafe extern "system" fn count_dpc(_dpc: *mut Dpc, context: *mut c_void, first: u64, second: u64) {
    COUNT.fetch_add(first + second, SeqCst);
    unsafe { KeSetEvent(context.cast(), 0, 0) };
}

unsafe extern "system" fn locker(context: *mut c_void) {
    // Vector registers must survive preemption.
    let mut sum = 0.0_f64;
    for index in 0..20_000_u64 {
        unsafe {
            let old = KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr());
            GUARDED += 1;
            KeReleaseSpinLock(LOCK.as_ptr(), old);
        }
        sum += core::hint::black_box(index as f64);
    }
    if sum != 20_000.0 * 19_999.0 / 2.0 {
        unsafe { KeBugCheckEx(0xF, 1, sum.to_bits(), 0, 0) };
    }
    unsafe { PsTerminateSystemThread(context as i32) };
}

unsafe fn good() -> i32 {
    unsafe {
        DbgPrint(
            c"%s has %d processors, 0x%08x %5.3d|%-4u|%I64x %wZ\n"
                .as_ptr()
                .cast(),
            c"lab".as_ptr(),
            KeQueryActiveProcessorCountEx(0xFFFF),
            0xABC_u32,
            7_i32,
            9_u32,
            1_u64 << 40,
            core::ptr::null::<u8>(),
        );
        let block = ExAllocatePool2(NON_PAGED, 100, TAG);
        check!(!block.is_null() && (0..100).all(|index| *block.add(index) == 0));
        ExFreePoolWithTag(block, TAG);

        let mut event = Event([0; 3]);
        KeInitializeEvent(&mut event, 1, 0);
        let limit = -20_000_i64;
        check!(KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, &limit) == 0x102);
        let mut dpc = Dpc([0; 8]);
        KeInitializeDpc(&mut dpc, count_dpc, (&raw mut event).cast());
        check!(KeInsertQueueDpc(&mut dpc, 3, 4) == 1);
        KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, core::ptr::null());
        check!(COUNT.load(SeqCst) == 7);

        let mut timer = Timer([0; 8]);
        KeInitializeTimerEx(&mut timer, 1);
        KeSetTimerEx(&mut timer, -10_000, 2, &mut dpc);
        for _ in 0..3 {
            KeWaitForSingleObject((&raw mut timer).cast(), 0, 0, 0, core::ptr::null());
        }
        check!(KeCancelTimer(&mut timer) == 1);
        KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, core::ptr::null());

        let threads = [0_usize, 1, 2, 3].map(|index| start(locker, core::ptr::without_provenance_mut(index)));
        threads.into_iter().for_each(|thread| join(thread));
        check!(GUARDED == 80_000);
        native()
    }
}

static NATIVE: AtomicU64 = AtomicU64::new(0);

unsafe extern "system" fn acquirer(_context: *mut c_void) {
    unsafe {
        let mut taken = 0;
        while taken < 5_000 {
            if ExAcquireRundownProtection(NATIVE.as_ptr()) != 0 {
                taken += 1;
                COUNT.fetch_add(1, SeqCst);
                COUNT.fetch_sub(1, SeqCst);
                ExReleaseRundownProtection(NATIVE.as_ptr());
            } else {
                ZwYieldExecution();
            }
        }
    }
}

unsafe fn native() -> i32 {
    unsafe {
        COUNT.store(0, SeqCst);
        let threads = [0, 1, 2].map(|_| start(acquirer, core::ptr::null_mut()));
        for _ in 0..500 {
            ExWaitForRundownProtectionRelease(NATIVE.as_ptr());
            check!(COUNT.load(SeqCst) == 0);
            ExReInitializeRundownProtection(NATIVE.as_ptr());
        }
        threads.into_iter().for_each(|thread| join(thread));
    }
    0
}

unsafe fn monitor() -> i32 {
    let line = AtomicU64::new(1);
    for irql in [0_u8, 2] {
        unsafe {
            let old = KfRaiseIrql(irql);
            let level: u64;
            // `specimens.rs` watches this very instruction.
            asm!("mov {}, cr8", out(reg) level);
            let start: u64;
            asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") start, out("rdx") _);
            asm!("monitorx", in("rax") line.as_ptr(), in("ecx") 0, in("edx") 0);
            asm!("xchg rbx, {budget}", "mwaitx", "xchg rbx, {budget}", budget = inout(reg) 1_000_000_u64 => _, in("eax") 0, in("ecx") 2);
            let end: u64;
            asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") end, out("rdx") _);
            KeLowerIrql(old);
            check!(level == u64::from(irql));
            check!(end > start);
        }
    }
    0
}
