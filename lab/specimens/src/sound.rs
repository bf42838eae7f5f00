//! What a sound driver does: each of these must pass.

use crate::Specimen;
use crate::nt::*;
use crate::pool::{give_all_back, take_all};
use core::arch::asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound", good),
    ("sound-waits", waits),
    ("sound-pool", pool),
    ("sound-objects", objects),
    ("sound-dpcs", dpcs),
    ("take-all-memory", take_all_memory),
    ("stay-at-dispatch", stay_at_dispatch),
    ("short-stays", short_stays),
    ("wait-for-lock", wait_for_lock),
    ("monitor", monitor),
];

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
        KeFlushQueuedDpcs();

        let threads = [0_usize, 1, 2, 3].map(|index| start(locker, core::ptr::without_provenance_mut(index)));
        threads.into_iter().for_each(|thread| join(thread));
        check!(GUARDED == 80_000);
        check!(frames_of_pages());
        native()
    }
}

/// Whether `__chkstk` leaves size and arguments alone, for frames that the rest of the stack has room for.
unsafe fn frames_of_pages() -> bool {
    [0_u64, 1, 4095, 4096, 4097, 12_288].into_iter().all(|size| {
        let (mut left, mut arguments) = (size, [1_u64, 2, 3, 4]);
        let [first, second, third, fourth] = &mut arguments;
        unsafe {
            asm!("call {}", sym __chkstk, inout("rax") left, inout("rcx") *first, inout("rdx") *second,
                inout("r8") *third, inout("r9") *fourth, out("r10") _, out("r11") _);
        }
        left == size && arguments == [1, 2, 3, 4]
    })
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

static mut EVENT: Event = Event([0; 3]);
static mut MUTEX: Mutex = Mutex([0; 7]);

/// What is no local variable may be waited for in any mode; what is one, and a mutex, in `KernelMode`.
unsafe fn waits() -> i32 {
    let limit = -10_000_i64;
    let mut local = Event([0; 3]);
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 1, 0);
        for (mode, alertable) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            check!(KeWaitForSingleObject((&raw mut EVENT).cast(), 0, mode, alertable, &limit) == 0x102);
        }
        KeInitializeEvent(&mut local, 1, 0);
        check!(KeWaitForSingleObject((&raw mut local).cast(), 0, 0, 0, &limit) == 0x102);
        let objects = [(&raw mut EVENT).cast(), (&raw mut local).cast()];
        check!(
            KeWaitForMultipleObjects(2, objects.as_ptr(), 1, 0, 0, 0, &limit, core::ptr::null_mut()) == 0x102
        );
        KeInitializeMutex(&raw mut MUTEX, 0);
        check!(wait_for(&raw mut MUTEX) == 0);
        KeReleaseMutex(&raw mut MUTEX, 0);
    }
    0
}

/// The last byte of each block, and paged pool below `DISPATCH_LEVEL`, also after it was paged out.
unsafe fn pool() -> i32 {
    unsafe {
        for (kind, size) in [
            (NON_PAGED, 40),
            (NON_PAGED, 48),
            (PAGED, 40),
            (PAGED, 48),
            (PAGED, 5000),
        ] {
            let block = ExAllocatePool2(kind, size as u64, TAG);
            check!(!block.is_null());
            block.add(size - 1).write_volatile(7);
            let old = KfRaiseIrql(DISPATCH_LEVEL);
            if kind == NON_PAGED {
                block.write_volatile(1);
            }
            KeLowerIrql(old);
            check!(block.add(size - 1).read_volatile() == 7);
            let old = KfRaiseIrql(1);
            block.write_volatile(1);
            check!(block.read_volatile() == 1);
            KeLowerIrql(old);
            ExFreePoolWithTag(block, TAG);
        }
    }
    0
}

unsafe extern "system" fn nothing(_context: *mut c_void) {}

/// In the system's process a handle needs no attribute; and everything is given back.
unsafe fn objects() -> i32 {
    let mut handle = 0;
    unsafe {
        let attributes = core::ptr::null();
        check!(PsCreateSystemThread(&mut handle, 0, attributes, 0, 0, nothing, core::ptr::null_mut()) == 0);
        let object = object_of(handle);
        check!(ZwClose(handle) == 0);
        join(object);
        let timer = ExAllocatePool2(NON_PAGED, 0x40, TAG).cast::<Timer>();
        KeInitializeTimerEx(timer, 0);
        KeSetTimerEx(timer, -100_000_000, 0, core::ptr::null_mut());
        check!(KeCancelTimer(timer) == 1);
        ExFreePoolWithTag(timer.cast(), TAG);
    }
    0
}

static ORDER: AtomicU64 = AtomicU64::new(0);

/// A digit for each, in the order in which they run.
unsafe extern "system" fn digit(_dpc: *mut Dpc, context: *mut c_void, _first: u64, _second: u64) {
    let _ = ORDER.fetch_update(SeqCst, SeqCst, |order| Some(order * 10 + context as u64));
}

static mut DPCS: [Dpc; 4] = [const { Dpc([0; 8]) }; 4];

/// One of high importance overtakes; the rest run in order, with them one of low importance; and `KeFlushQueuedDpcs` leaves none.
unsafe fn dpcs() -> i32 {
    unsafe {
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        for (index, importance) in [LOW_IMPORTANCE, 1, MEDIUM_HIGH_IMPORTANCE, HIGH_IMPORTANCE]
            .into_iter()
            .enumerate()
        {
            let dpc = &raw mut DPCS[index];
            KeInitializeDpc(dpc, digit, core::ptr::without_provenance_mut(index + 1));
            KeSetImportanceDpc(dpc, importance);
            check!(KeInsertQueueDpc(dpc, 0, 0) == 1);
        }
        KeLowerIrql(old);
        check!(ORDER.load(SeqCst) == 4123);
        KeInsertQueueDpc(&raw mut DPCS[0], 0, 0);
        KeFlushQueuedDpcs();
        check!(ORDER.load(SeqCst) == 41231);
    }
    0
}

/// Until there is none, in large pieces and in small; then all of it is given back.
unsafe fn take_all_memory() -> i32 {
    unsafe {
        take_all();
        let mut handle = 0;
        let refused = PsCreateSystemThread(
            &mut handle,
            0,
            core::ptr::null(),
            0,
            0,
            nothing,
            core::ptr::null_mut(),
        );
        check!(refused == INSUFFICIENT_RESOURCES);
        give_all_back();
        join(start(nothing, core::ptr::null_mut()));
    }
    0
}

/// 5 ms at `DISPATCH_LEVEL`.
unsafe fn stay_at_dispatch() -> i32 {
    unsafe {
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        KeStallExecutionProcessor(5_000);
        KeLowerIrql(old);
    }
    0
}

/// 5 ms at `DISPATCH_LEVEL`, 10 microseconds at a time.
unsafe fn short_stays() -> i32 {
    for _ in 0..500 {
        unsafe {
            let old = KfRaiseIrql(DISPATCH_LEVEL);
            KeStallExecutionProcessor(10);
            KeLowerIrql(old);
        }
    }
    0
}

/// Waits for the lock, and has it for 1 ms.
unsafe extern "system" fn next_holder(_context: *mut c_void) {
    while COUNT.load(SeqCst) == 0 {
        core::hint::spin_loop();
    }
    unsafe {
        let old = KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr());
        KeStallExecutionProcessor(1_000);
        KeReleaseSpinLock(LOCK.as_ptr(), old);
        PsTerminateSystemThread(0);
    }
}

/// Has the lock for 1.5 ms, for which another thread waits.
unsafe fn wait_for_lock() -> i32 {
    unsafe {
        let next = start(next_holder, core::ptr::null_mut());
        let old = KeAcquireSpinLockRaiseToDpc(LOCK.as_ptr());
        COUNT.store(1, SeqCst);
        KeStallExecutionProcessor(1_500);
        KeReleaseSpinLock(LOCK.as_ptr(), old);
        join(next);
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
