//! The driver that tests the lab's kernel: a bare WDM driver, one offence per case. `selftest.sh` builds it and knows what
//! each case must end in. The case is the number at the end of the registry path.

#![no_std]
#![no_main]
#![allow(non_snake_case, reason = "NT's names")]
#![allow(
    unused_unsafe,
    reason = "`check!` is used inside and outside of unsafe blocks"
)]
#![allow(unconditional_recursion, reason = "case 8")]

use core::arch::asm;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

#[repr(C)]
struct UnicodeString {
    length: u16,
    maximum: u16,
    buffer: *const u16,
}

#[repr(C, align(8))]
struct Event([u64; 3]);
#[repr(C, align(8))]
struct Timer([u64; 8]);
#[repr(C, align(8))]
struct Dpc([u64; 8]);

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    fn DbgPrint(format: *const u8, ...) -> i32;
    fn ExAllocatePool2(flags: u64, size: u64, tag: u32) -> *mut u8;
    fn ExFreePoolWithTag(block: *mut u8, tag: u32);
    fn KeInitializeEvent(event: *mut Event, kind: u32, state: u8);
    fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;
    fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: u32,
        mode: u8,
        alertable: u8,
        timeout: *const i64,
    ) -> i32;
    fn KeDelayExecutionThread(mode: u8, alertable: u8, interval: *const i64) -> i32;
    fn KfRaiseIrql(irql: u8) -> u8;
    fn KeLowerIrql(irql: u8);
    fn KeInitializeDpc(
        dpc: *mut Dpc,
        routine: unsafe extern "system" fn(*mut Dpc, *mut c_void, u64, u64),
        context: *mut c_void,
    );
    fn KeInsertQueueDpc(dpc: *mut Dpc, first: u64, second: u64) -> u8;
    fn KeInitializeTimerEx(timer: *mut Timer, kind: u32);
    fn KeSetTimerEx(timer: *mut Timer, due: i64, period: i32, dpc: *mut Dpc) -> u8;
    fn KeCancelTimer(timer: *mut Timer) -> u8;
    fn KeAcquireSpinLockRaiseToDpc(lock: *mut u64) -> u8;
    fn KeAcquireSpinLockAtDpcLevel(lock: *mut u64);
    fn KeReleaseSpinLock(lock: *mut u64, irql: u8);
    fn KeBugCheckEx(code: u32, a: u64, b: u64, c: u64, d: u64) -> !;
    fn PsCreateSystemThread(
        handle: *mut u64,
        access: u32,
        attributes: u64,
        process: u64,
        client: u64,
        routine: unsafe extern "system" fn(*mut c_void),
        context: *mut c_void,
    ) -> i32;
    fn PsTerminateSystemThread(status: i32) -> i32;
    fn ObReferenceObjectByHandle(
        handle: u64,
        access: u32,
        kind: *const c_void,
        mode: u8,
        object: *mut *mut c_void,
        information: u64,
    ) -> i32;
    fn ObfDereferenceObject(object: *mut c_void) -> i64;
    fn ZwClose(handle: u64) -> i32;
    fn ZwYieldExecution() -> i32;
    fn KeQueryActiveProcessorCountEx(group: u16) -> u32;
    fn ExAcquireRundownProtection(word: *mut u64) -> u8;
    fn ExReleaseRundownProtection(word: *mut u64);
    fn ExWaitForRundownProtectionRelease(word: *mut u64);
    fn ExReInitializeRundownProtection(word: *mut u64);
    static PsThreadType: *const *const c_void;
}

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
#[allow(dead_code, reason = "for the compiler's own calls")]
unsafe extern "system" {
    fn memcpy(target: *mut u8, source: *const u8, count: usize) -> *mut u8;
    fn memset(target: *mut u8, value: i32, count: usize) -> *mut u8;
    fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32;
    fn memmove(target: *mut u8, source: *const u8, count: usize) -> *mut u8;
}

/// What the compiler asks for where floating point is used.
#[unsafe(no_mangle)]
static _fltused: i32 = 0x9875;
#[unsafe(no_mangle)]
extern "system" fn __CxxFrameHandler3() {}

const TAG: u32 = u32::from_le_bytes(*b"LabT");
const NON_PAGED: u64 = 0x40;
/// `STATUS_UNSUCCESSFUL`.
const FAILED: i32 = 0xC000_0001_u32 as i32;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe { KeBugCheckEx(0xE, 0, 0, 0, 0) }
}

macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            unsafe {
                DbgPrint(
                    c"line %u: %s\n".as_ptr().cast(),
                    line!(),
                    concat!(stringify!($condition), "\0").as_ptr(),
                )
            };
            return FAILED;
        }
    };
}

unsafe extern "system" fn unload(_driver: *mut c_void) {}

#[unsafe(no_mangle)]
unsafe extern "system" fn DriverEntry(driver: *mut c_void, path: *const UnicodeString) -> i32 {
    // DriverUnload is at 0x68.
    unsafe {
        driver
            .cast::<u8>()
            .add(0x68)
            .cast::<u64>()
            .write(unload as *const () as u64)
    };
    let path = unsafe { core::slice::from_raw_parts((*path).buffer, (*path).length as usize / 2) };
    let digits = path
        .iter()
        .rev()
        .take_while(|unit| (48..58).contains(*unit))
        .count();
    let case = path[path.len() - digits..]
        .iter()
        .fold(0, |number, unit| number * 10 + u32::from(unit - 48));
    unsafe { run(case) }
}

unsafe fn run(case: u32) -> i32 {
    unsafe {
        match case {
            0 => return good(),
            1 => core::ptr::with_exposed_provenance_mut::<u64>(8).write_volatile(1),
            2 => _ = ExAllocatePool2(NON_PAGED, 40, TAG).add(48).read_volatile(),
            3 => {
                let block = ExAllocatePool2(NON_PAGED, 40, TAG);
                ExFreePoolWithTag(block, TAG);
                ExFreePoolWithTag(block, TAG);
            }
            4 => _ = ExAllocatePool2(NON_PAGED, 40, TAG),
            5 => {
                let mut event = Event([0; 3]);
                KeInitializeEvent(&mut event, 1, 0);
                let old = KfRaiseIrql(2);
                KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, core::ptr::null());
                KeLowerIrql(old);
            }
            6 => KeLowerIrql(2),
            7 => _ = KfRaiseIrql(2),
            8 => _ = overflow(1),
            9 => {
                let mut lock = 0;
                KeAcquireSpinLockRaiseToDpc(&mut lock);
                KeAcquireSpinLockAtDpcLevel(&mut lock);
            }
            10 => return generations(10_000, Mutant::LoadStore),
            11 => return generations(20_000, Mutant::None),
            12 => core::ptr::with_exposed_provenance_mut::<u64>(0xFFFF_F780_0000_0008).write_volatile(1),
            13 => KeBugCheckEx(0xDEAD, 1, 2, 3, 4),
            14 => {
                let mut dpc = Dpc([0; 8]);
                KeInitializeDpc(&mut dpc, spin_for_ever, core::ptr::null_mut());
                KeInsertQueueDpc(&mut dpc, 0, 0);
                sleep(100_000);
            }
            15 => {
                let mut handle = 0;
                PsCreateSystemThread(&mut handle, 0, 0, 0, 0, sleeper, core::ptr::null_mut());
                ZwClose(handle);
            }
            16 => {
                let block = ExAllocatePool2(NON_PAGED, 40, TAG);
                ExFreePoolWithTag(block, TAG);
                KfRaiseIrql(2);
                block.write_volatile(1);
            }
            17 => asm!("int3"),
            18 => return monitor(),
            19 => ExFreePoolWithTag(ExAllocatePool2(NON_PAGED, 40, TAG), TAG + 1),
            20 => {
                let block = ExAllocatePool2(NON_PAGED, 40, TAG);
                block.add(40).write_volatile(1);
                ExFreePoolWithTag(block, TAG);
            }
            21 => {
                let mut event = Event([0; 3]);
                KeInitializeEvent(&mut event, 1, 0);
                KeWaitForSingleObject((&raw mut event).cast(), 0, 0, 0, core::ptr::null());
            }
            22 => return generations(200_000, Mutant::ForgetsEvent),
            23 => {
                let mut event = Event([0x55; 3]);
                KeSetEvent(&mut event, 0, 0);
            }
            24 => {
                let entry = DriverEntry as *const () as u64 as *mut u8;
                entry.write_volatile(0xCC);
            }
            25 => {
                let timer = ExAllocatePool2(NON_PAGED, 0x40, TAG).cast::<Timer>();
                KeInitializeTimerEx(timer, 0);
                KeSetTimerEx(timer, -100_000_000, 0, core::ptr::null_mut());
                ExFreePoolWithTag(timer.cast(), TAG);
            }
            _ => return FAILED,
        }
    }
    0
}

#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    core::hint::black_box(&frame);
    overflow(depth + 1) + frame[3]
}

unsafe extern "system" fn spin_for_ever(_dpc: *mut Dpc, _context: *mut c_void, _first: u64, _second: u64) {
    loop {
        core::hint::spin_loop();
    }
}

unsafe extern "system" fn sleeper(_context: *mut c_void) {
    unsafe { sleep(100_000) };
}

unsafe fn sleep(milliseconds: i64) {
    let interval = -milliseconds * 10_000;
    unsafe { KeDelayExecutionThread(0, 0, &interval) };
}

// A bit of everything that works.

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

/// Starts a thread and gives a reference to it.
unsafe fn start(routine: unsafe extern "system" fn(*mut c_void), context: *mut c_void) -> *mut c_void {
    let (mut handle, mut object) = (0, core::ptr::null_mut());
    unsafe {
        if PsCreateSystemThread(&mut handle, 0x1F_FFFF, 0, 0, 0, routine, context) < 0 {
            KeBugCheckEx(0xF, 2, 0, 0, 0);
        }
        if ObReferenceObjectByHandle(handle, 0x1F_FFFF, *PsThreadType, 0, &mut object, 0) < 0 {
            KeBugCheckEx(0xF, 3, 0, 0, 0);
        }
        ZwClose(handle);
    }
    object
}

unsafe fn join(thread: *mut c_void) {
    unsafe {
        KeWaitForSingleObject(thread, 0, 0, 0, core::ptr::null());
        ObfDereferenceObject(thread);
    }
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

// MONITORX, MWAITX and a watched read of CR8.

unsafe fn monitor() -> i32 {
    let line = AtomicU64::new(1);
    for irql in [0_u8, 2] {
        unsafe {
            let old = KfRaiseIrql(irql);
            let level: u64;
            // `selftest.sh` watches this very instruction.
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

// A run-down wait of this driver's own, whole or with one defect.

#[derive(Clone, Copy, PartialEq)]
enum Mutant {
    None,
    /// The releaser's test-and-clear is a load and a store.
    LoadStore,
    /// The releaser never sets the event.
    ForgetsEvent,
}

#[repr(C)]
struct Block {
    count: AtomicU64,
    event: Event,
    flag: AtomicU32,
    upper: AtomicU32,
}

static WORD: AtomicU64 = AtomicU64::new(0);
static TURN: AtomicU64 = AtomicU64::new(0);
static DEFECT: AtomicU32 = AtomicU32::new(0);

unsafe fn release(word: &AtomicU64) {
    let mut value = word.load(SeqCst);
    while value & 1 == 0 {
        match word.compare_exchange(value, value - 2, SeqCst, SeqCst) {
            Ok(_) => return,
            Err(now) => value = now,
        }
    }
    let block = (value & !1) as *mut Block;
    unsafe {
        if (*block).count.fetch_sub(1, SeqCst) != 1 {
            return;
        }
        let flag = &(*block).flag;
        let was = if DEFECT.load(SeqCst) == Mutant::LoadStore as u32 {
            let was = flag.load(SeqCst);
            flag.store(was & !1, core::sync::atomic::Ordering::Relaxed);
            was
        } else {
            flag.fetch_and(!1, SeqCst)
        };
        if was & 1 == 0 && DEFECT.load(SeqCst) != Mutant::ForgetsEvent as u32 {
            KeSetEvent(&raw mut (*block).event, 0, 0);
        }
    }
}

unsafe fn wait(word: &AtomicU64) {
    let mut value = match word.compare_exchange(0, 1, SeqCst, SeqCst) {
        Ok(_) | Err(1) => return,
        Err(value) => value,
    };
    let mut block = Block {
        count: AtomicU64::new(0),
        event: Event([0; 3]),
        flag: AtomicU32::new(1),
        upper: AtomicU32::new(0),
    };
    let named = (&raw mut block) as u64 | 1;
    loop {
        block.count.store(value >> 1, SeqCst);
        match word.compare_exchange(value, named, SeqCst, SeqCst) {
            Ok(_) => break,
            Err(now) => value = now,
        }
    }
    if value >> 1 == 0 {
        return;
    }
    for _ in 0..75 {
        if block.flag.load(SeqCst) & 1 == 0 {
            return;
        }
        core::hint::spin_loop();
    }
    unsafe {
        KeInitializeEvent(&raw mut block.event, 1, 0);
        if block.flag.fetch_and(!1, SeqCst) & 1 != 0 {
            KeWaitForSingleObject((&raw mut block.event).cast(), 0, 0, 0, core::ptr::null());
        }
    }
}

unsafe extern "system" fn releaser(_context: *mut c_void) {
    let mut generation = 1;
    loop {
        let turn = TURN.load(SeqCst);
        if turn == u64::MAX {
            return;
        }
        if turn == generation {
            generation += 1;
            unsafe { release(&WORD) };
        } else {
            unsafe { ZwYieldExecution() };
        }
    }
}

unsafe fn generations(count: u64, defect: Mutant) -> i32 {
    DEFECT.store(defect as u32, SeqCst);
    unsafe {
        let thread = start(releaser, core::ptr::null_mut());
        for generation in 1..=count {
            WORD.store(2, SeqCst);
            TURN.store(generation, SeqCst);
            wait(&WORD);
        }
        TURN.store(u64::MAX, SeqCst);
        join(thread);
    }
    0
}
