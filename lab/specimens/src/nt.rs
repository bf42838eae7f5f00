//! What the specimens use of NT's: declarations by the DDI pages, offsets of x64.

use core::ffi::c_void;

#[repr(C)]
pub(crate) struct UnicodeString {
    pub(crate) length: u16,
    pub(crate) maximum: u16,
    pub(crate) buffer: *const u16,
}

#[repr(C, align(8))]
pub(crate) struct Event(pub(crate) [u64; 3]);
#[repr(C, align(8))]
pub(crate) struct Timer(pub(crate) [u64; 8]);
#[repr(C, align(8))]
pub(crate) struct Dpc(pub(crate) [u64; 8]);
#[repr(C, align(8))]
pub(crate) struct Mutex(pub(crate) [u64; 7]);
#[repr(C, align(8))]
pub(crate) struct Semaphore(pub(crate) [u64; 4]);

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProcessorNumber {
    pub(crate) group: u16,
    pub(crate) number: u8,
    pub(crate) reserved: u8,
}

/// `OBJECT_ATTRIBUTES`.
#[repr(C)]
pub(crate) struct ObjectAttributes {
    length: u32,
    root: u64,
    name: u64,
    attributes: u32,
    security: [u64; 2],
}

/// What a driver sets that makes a handle in any process: `OBJ_KERNEL_HANDLE`.
pub(crate) static KERNEL_HANDLE: ObjectAttributes = ObjectAttributes {
    length: size_of::<ObjectAttributes>() as u32,
    root: 0,
    name: 0,
    attributes: 0x200,
    security: [0; 2],
};

/// `KDPC_IMPORTANCE`.
pub(crate) const LOW_IMPORTANCE: u32 = 0;
pub(crate) const HIGH_IMPORTANCE: u32 = 2;
pub(crate) const MEDIUM_HIGH_IMPORTANCE: u32 = 3;

pub(crate) type DpcRoutine = unsafe extern "system" fn(*mut Dpc, *mut c_void, u64, u64);
pub(crate) type ThreadRoutine = unsafe extern "system" fn(*mut c_void);
pub(crate) type EnableCallback =
    unsafe extern "system" fn(*const u8, u32, u8, u64, u64, *mut c_void, *mut c_void);

#[link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")]
unsafe extern "system" {
    pub(crate) fn DbgPrint(format: *const u8, ...) -> i32;
    pub(crate) fn EtwRegister(
        guid: *const u8,
        callback: EnableCallback,
        context: *mut c_void,
        handle: *mut u64,
    ) -> i32;
    pub(crate) fn EtwUnregister(handle: u64) -> i32;
    pub(crate) fn ExAllocatePool2(flags: u64, size: u64, tag: u32) -> *mut u8;
    pub(crate) fn ExAllocatePoolWithTag(kind: u32, size: u64, tag: u32) -> *mut u8;
    pub(crate) fn ExFreePoolWithTag(block: *mut u8, tag: u32);
    pub(crate) fn KeInitializeEvent(event: *mut Event, kind: u32, state: u8);
    pub(crate) fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;
    pub(crate) fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: u32,
        mode: u8,
        alertable: u8,
        timeout: *const i64,
    ) -> i32;
    pub(crate) fn KeWaitForMultipleObjects(
        count: u32,
        objects: *const *mut c_void,
        kind: u32,
        reason: u32,
        mode: u8,
        alertable: u8,
        timeout: *const i64,
        blocks: *mut c_void,
    ) -> i32;
    pub(crate) fn KeDelayExecutionThread(mode: u8, alertable: u8, interval: *const i64) -> i32;
    pub(crate) fn KfRaiseIrql(irql: u8) -> u8;
    pub(crate) fn KeLowerIrql(irql: u8);
    pub(crate) fn KeInitializeDpc(dpc: *mut Dpc, routine: DpcRoutine, context: *mut c_void);
    pub(crate) fn KeInsertQueueDpc(dpc: *mut Dpc, first: u64, second: u64) -> u8;
    pub(crate) fn KeSetImportanceDpc(dpc: *mut Dpc, importance: u32);
    pub(crate) fn KeSetTargetProcessorDpcEx(dpc: *mut Dpc, processor: *const ProcessorNumber) -> i32;
    pub(crate) fn KeFlushQueuedDpcs();
    pub(crate) fn KeGetCurrentProcessorNumberEx(processor: *mut ProcessorNumber) -> u32;
    pub(crate) fn KeQueryPerformanceCounter(frequency: *mut i64) -> i64;
    pub(crate) fn KeStallExecutionProcessor(microseconds: u32);
    pub(crate) fn KeInitializeTimerEx(timer: *mut Timer, kind: u32);
    pub(crate) fn KeSetTimerEx(timer: *mut Timer, due: i64, period: i32, dpc: *mut Dpc) -> u8;
    pub(crate) fn KeCancelTimer(timer: *mut Timer) -> u8;
    pub(crate) fn KeInitializeMutex(mutex: *mut Mutex, level: u32);
    pub(crate) fn KeReleaseMutex(mutex: *mut Mutex, wait: u8) -> i32;
    pub(crate) fn KeAcquireSpinLockRaiseToDpc(lock: *mut u64) -> u8;
    pub(crate) fn KeAcquireSpinLockAtDpcLevel(lock: *mut u64);
    pub(crate) fn KeReleaseSpinLockFromDpcLevel(lock: *mut u64);
    pub(crate) fn KeReleaseSpinLock(lock: *mut u64, irql: u8);
    pub(crate) fn strlen(text: *const u8) -> usize;
    pub(crate) fn wcslen(text: *const u16) -> usize;
    pub(crate) fn strcmp(left: *const u8, right: *const u8) -> i32;
    pub(crate) fn strncmp(left: *const u8, right: *const u8, most: usize) -> i32;
    pub(crate) fn RtlMoveMemory(target: *mut u8, source: *const u8, count: usize);
    pub(crate) fn RtlZeroMemory(target: *mut u8, count: usize);
    pub(crate) fn RtlFillMemory(target: *mut u8, count: usize, value: u8);
    pub(crate) fn RtlEqualUnicodeString(
        left: *const UnicodeString,
        right: *const UnicodeString,
        ignore_case: u8,
    ) -> u8;
    pub(crate) fn RtlCompareUnicodeString(
        left: *const UnicodeString,
        right: *const UnicodeString,
        ignore_case: u8,
    ) -> i32;
    pub(crate) fn RtlAppendUnicodeToString(target: *mut UnicodeString, source: *const u16) -> i32;
    pub(crate) fn RtlAppendUnicodeStringToString(
        target: *mut UnicodeString,
        source: *const UnicodeString,
    ) -> i32;
    pub(crate) fn KeInitializeTimer(timer: *mut Timer);
    pub(crate) fn KeReadStateTimer(timer: *mut Timer) -> u8;
    pub(crate) fn KeSetTimer(timer: *mut Timer, due: i64, dpc: *mut Dpc) -> u8;
    pub(crate) fn KeReleaseSemaphore(semaphore: *mut Semaphore, increment: i32, count: i32, wait: u8) -> i32;
    pub(crate) fn KeInitializeSemaphore(semaphore: *mut Semaphore, count: i32, limit: i32);
    pub(crate) fn KeReadStateEvent(event: *mut Event) -> i32;
    pub(crate) fn KeGetCurrentIrql() -> u8;
    pub(crate) fn KeEnterCriticalRegion();
    pub(crate) fn KeLeaveCriticalRegion();
    pub(crate) fn KeAreApcsDisabled() -> u8;
    pub(crate) fn KeQueryTimeIncrement() -> u32;
    pub(crate) fn KeSetSystemAffinityThreadEx(mask: u64) -> u64;
    pub(crate) fn KeRevertToUserAffinityThreadEx(mask: u64);
    pub(crate) fn KeQueryPriorityThread(thread: *mut c_void) -> i32;
    pub(crate) fn KeSetPriorityThread(thread: *mut c_void, priority: i32) -> i32;
    pub(crate) fn PsGetCurrentThread() -> *mut c_void;
    pub(crate) fn KeBugCheckEx(code: u32, a: u64, b: u64, c: u64, d: u64) -> !;
    pub(crate) fn KeQueryActiveProcessorCountEx(group: u16) -> u32;
    pub(crate) fn PsCreateSystemThread(
        handle: *mut u64,
        access: u32,
        attributes: *const ObjectAttributes,
        process: u64,
        client: u64,
        routine: ThreadRoutine,
        context: *mut c_void,
    ) -> i32;
    pub(crate) fn PsTerminateSystemThread(status: i32) -> i32;
    pub(crate) fn ObReferenceObjectByHandle(
        handle: u64,
        access: u32,
        kind: *const c_void,
        mode: u8,
        object: *mut *mut c_void,
        information: u64,
    ) -> i32;
    pub(crate) fn ObfDereferenceObject(object: *mut c_void) -> i64;
    pub(crate) fn ZwClose(handle: u64) -> i32;
    pub(crate) fn ZwYieldExecution() -> i32;
    pub(crate) fn RtlUnwind(frame: u64, target: u64, record: u64, value: u64);
    pub(crate) fn ExAcquireRundownProtection(word: *mut u64) -> u8;
    pub(crate) fn ExReleaseRundownProtection(word: *mut u64);
    pub(crate) fn ExWaitForRundownProtectionRelease(word: *mut u64);
    pub(crate) fn ExReInitializeRundownProtection(word: *mut u64);
    pub(crate) fn ExInitializeRundownProtection(word: *mut u64);
    pub(crate) fn ExRundownCompleted(word: *mut u64);
    pub(crate) fn ExAcquireRundownProtectionEx(word: *mut u64, count: u32) -> u8;
    pub(crate) fn ExReleaseRundownProtectionEx(word: *mut u64, count: u32);
    pub(crate) fn ExAllocateCacheAwareRundownProtection(kind: u32, tag: u32) -> *mut u64;
    pub(crate) fn ExFreeCacheAwareRundownProtection(reference: *mut u64);
    pub(crate) fn ExSizeOfRundownProtectionCacheAware() -> u64;
    pub(crate) fn ExInitializeRundownProtectionCacheAware(reference: *mut u64, size: u64);
    pub(crate) fn ExReInitializeRundownProtectionCacheAware(reference: *mut u64);
    pub(crate) fn ExAcquireRundownProtectionCacheAware(reference: *mut u64) -> u8;
    pub(crate) fn ExAcquireRundownProtectionCacheAwareEx(reference: *mut u64, count: u32) -> u8;
    pub(crate) fn ExReleaseRundownProtectionCacheAware(reference: *mut u64);
    pub(crate) fn ExReleaseRundownProtectionCacheAwareEx(reference: *mut u64, count: u32);
    pub(crate) fn ExWaitForRundownProtectionReleaseCacheAware(reference: *mut u64);
    pub(crate) fn ExRundownCompletedCacheAware(reference: *mut u64);
    pub(crate) fn IoCreateDevice(
        driver: *mut c_void,
        extension: u32,
        name: *const UnicodeString,
        kind: u32,
        characteristics: u32,
        exclusive: u8,
        device: *mut *mut c_void,
    ) -> i32;
    pub(crate) fn IoAllocateIrp(stack: i8, quota: u8) -> *mut c_void;
    pub(crate) fn IoFreeIrp(irp: *mut c_void);
    pub(crate) fn IoCancelIrp(irp: *mut c_void) -> u8;
    pub(crate) fn IoReleaseCancelSpinLock(irql: u8);
    pub(crate) fn IoCreateSymbolicLink(name: *const UnicodeString, target: *const UnicodeString) -> i32;
    pub(crate) fn IoDeleteSymbolicLink(name: *const UnicodeString) -> i32;
    pub(crate) fn IoDeleteDevice(device: *mut c_void);
    pub(crate) fn IoAttachDeviceToDeviceStack(device: *mut c_void, target: *mut c_void) -> *mut c_void;
    pub(crate) fn IoDetachDevice(device: *mut c_void);
    pub(crate) fn IofCallDriver(device: *mut c_void, irp: *mut c_void) -> i32;
    pub(crate) fn IofCompleteRequest(irp: *mut c_void, boost: i8);
    pub(crate) fn IoRegisterDeviceInterface(
        device: *mut c_void,
        class: *const u8,
        reference: *const UnicodeString,
        link: *mut UnicodeString,
    ) -> i32;
    pub(crate) fn IoSetDeviceInterfaceState(link: *const UnicodeString, enable: u8) -> i32;
    pub(crate) fn RtlFreeUnicodeString(text: *mut UnicodeString);
    /// Not by the calling convention: the frame's size is in RAX, and only R10, R11 and the flags change.
    pub(crate) fn __chkstk();
    /// The lab has neither; whoever calls nothing of it is not troubled.
    pub(crate) fn IoConnectInterrupt() -> i32;
    pub(crate) static ExEventObjectType: *const c_void;
    pub(crate) static PsThreadType: *const *const c_void;
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

/// A field of a structure that NT documents, by its offset on x64.
pub(crate) struct Field<T>(usize, core::marker::PhantomData<T>);

impl<T> Field<T> {
    const fn at(offset: usize) -> Self {
        Self(offset, core::marker::PhantomData)
    }

    pub(crate) unsafe fn of(&self, structure: *mut c_void) -> *mut T {
        unsafe { structure.cast::<u8>().add(self.0).cast() }
    }

    pub(crate) unsafe fn read(&self, structure: *mut c_void) -> T {
        unsafe { self.of(structure).read_volatile() }
    }

    pub(crate) unsafe fn write(&self, structure: *mut c_void, value: T) {
        unsafe { self.of(structure).write_volatile(value) }
    }
}

/// `DRIVER_OBJECT`.
pub(crate) mod driver {
    use super::{Field, c_void};
    pub(crate) const EXTENSION: Field<*mut c_void> = Field::at(0x30);
    pub(crate) const UNLOAD: Field<u64> = Field::at(0x68);
    pub(crate) const MAJOR: Field<[u64; 28]> = Field::at(0x70);
    /// In its extension.
    pub(crate) const ADD_DEVICE: Field<u64> = Field::at(0x8);
}

/// `DEVICE_OBJECT`.
pub(crate) mod device {
    use super::Field;
    pub(crate) const FLAGS: Field<u32> = Field::at(0x30);
    pub(crate) const OBJECT_EXTENSION: Field<*mut core::ffi::c_void> = Field::at(0x138);
    /// Of the extension: the device.
    pub(crate) const EXTENDED: Field<*mut core::ffi::c_void> = Field::at(0x8);
    pub(crate) const EXTENSION: Field<*mut u8> = Field::at(0x40);
}

/// `IRP`.
pub(crate) mod irp {
    use super::{Field, c_void};
    pub(crate) const SIZE: Field<u16> = Field::at(0x2);
    pub(crate) const MDL: Field<*mut c_void> = Field::at(0x8);
    pub(crate) const SYSTEM_BUFFER: Field<*mut u8> = Field::at(0x18);
    pub(crate) const THREAD_LIST: Field<[*mut c_void; 2]> = Field::at(0x20);
    pub(crate) const STATUS: Field<i32> = Field::at(0x30);
    pub(crate) const INFORMATION: Field<u64> = Field::at(0x38);
    pub(crate) const LOCATION: Field<u8> = Field::at(0x43);
    pub(crate) const CANCEL_IRQL: Field<u8> = Field::at(0x45);
    pub(crate) const ALLOCATION_FLAGS: Field<u8> = Field::at(0x47);
    pub(crate) const CANCEL_ROUTINE: Field<u64> = Field::at(0x68);
    pub(crate) const THREAD: Field<u64> = Field::at(0x98);
    pub(crate) const STACK: Field<*mut c_void> = Field::at(0xB8);
}

/// `MDL`.
pub(crate) mod mdl {
    use super::Field;
    pub(crate) const MAPPED: Field<*mut u8> = Field::at(0x18);
}

/// `FILE_OBJECT`.
pub(crate) mod file {
    use super::{Field, UnicodeString};
    pub(crate) const NAME: Field<UnicodeString> = Field::at(0x58);
}

/// `FILE_OBJECT`, 0xD8 bytes.
pub(crate) const FILE_OBJECT_SIZE: usize = 0xD8;

/// `IO_STACK_LOCATION`, 0x48 bytes.
pub(crate) mod stack {
    use super::{Field, c_void};
    pub(crate) const SIZE: usize = 0x48;
    pub(crate) const MINOR: Field<u8> = Field::at(0x1);
    pub(crate) const CONTROL: Field<u8> = Field::at(0x3);
    pub(crate) const OUTPUT_LENGTH: Field<u32> = Field::at(0x8);
    pub(crate) const PARAMETERS: Field<[u64; 4]> = Field::at(0x8);
    pub(crate) const FILE_OBJECT: Field<*mut c_void> = Field::at(0x30);
    pub(crate) const ROUTINE: Field<u64> = Field::at(0x38);
    pub(crate) const CONTEXT: Field<u64> = Field::at(0x40);
    pub(crate) const CONTROL_CODE: Field<u32> = Field::at(0x18);
}

pub(crate) const TAG: u32 = u32::from_le_bytes(*b"LabT");
/// `POOL_FLAG_NON_PAGED`.
pub(crate) const NON_PAGED: u64 = 0x40;
/// `POOL_FLAG_PAGED`.
pub(crate) const PAGED: u64 = 0x100;
pub(crate) const PASSIVE_LEVEL: u8 = 0;
pub(crate) const DISPATCH_LEVEL: u8 = 2;
/// `STATUS_UNSUCCESSFUL`.
pub(crate) const FAILED: i32 = 0xC000_0001_u32 as i32;

/// `STATUS_INSUFFICIENT_RESOURCES`.
pub(crate) const INSUFFICIENT_RESOURCES: i32 = 0xC000_009A_u32 as i32;

/// What `DriverEntry` was called with.
pub(crate) static mut DRIVER: *mut c_void = core::ptr::null_mut();
pub(crate) static mut PATH: *const UnicodeString = core::ptr::null();

/// ASCII as UTF-16.
pub(crate) const fn utf16<const N: usize>(text: &str) -> [u16; N] {
    let mut units = [0; N];
    let mut index = 0;
    while index < N {
        units[index] = text.as_bytes()[index] as u16;
        index += 1;
    }
    units
}

/// A string of these units.
pub(crate) fn unicode(units: &'static [u16]) -> UnicodeString {
    let length = size_of_val(units) as u16;
    UnicodeString {
        length,
        maximum: length,
        buffer: units.as_ptr(),
    }
}

/// 40 bytes of pool.
pub(crate) unsafe fn block() -> *mut u8 {
    unsafe { ExAllocatePool2(NON_PAGED, 40, TAG) }
}

/// The same, freed already.
pub(crate) unsafe fn freed_block() -> *mut u8 {
    unsafe {
        let block = block();
        ExFreePoolWithTag(block, TAG);
        block
    }
}

pub(crate) unsafe fn sleep(milliseconds: i64) {
    let interval = -milliseconds * 10_000;
    unsafe { KeDelayExecutionThread(0, 0, &interval) };
}

/// Waits without a limit.
pub(crate) unsafe fn wait_for<T>(object: *mut T) -> i32 {
    unsafe { KeWaitForSingleObject(object.cast(), 0, 0, 0, core::ptr::null()) }
}

/// Starts a thread in the system's process; a handle to it.
pub(crate) unsafe fn handle_of(routine: ThreadRoutine, context: *mut c_void) -> u64 {
    let mut handle = 0;
    let attributes = &raw const KERNEL_HANDLE;
    unsafe {
        if PsCreateSystemThread(&mut handle, 0x1F_FFFF, attributes, 0, 0, routine, context) < 0 {
            KeBugCheckEx(0xF, 2, 0, 0, 0);
        }
    }
    handle
}

/// The object behind a thread's handle, referenced.
pub(crate) unsafe fn object_of(handle: u64) -> *mut c_void {
    let mut object = core::ptr::null_mut();
    unsafe {
        if ObReferenceObjectByHandle(handle, 0x1F_FFFF, *PsThreadType, 0, &mut object, 0) < 0 {
            KeBugCheckEx(0xF, 3, 0, 0, 0);
        }
    }
    object
}

/// Starts a thread and gives a reference to it.
pub(crate) unsafe fn start(routine: ThreadRoutine, context: *mut c_void) -> *mut c_void {
    unsafe {
        let handle = handle_of(routine, context);
        let object = object_of(handle);
        ZwClose(handle);
        object
    }
}

pub(crate) unsafe fn join(thread: *mut c_void) {
    unsafe {
        wait_for(thread);
        ObfDereferenceObject(thread);
    }
}

/// Leaves the function with `STATUS_UNSUCCESSFUL` if the condition does not hold, and says where.
macro_rules! check {
    ($condition:expr) => {
        if !$condition {
            #[allow(unused_unsafe, reason = "used inside and outside of unsafe blocks")]
            unsafe {
                $crate::nt::DbgPrint(
                    c"%s:%u: %s\n".as_ptr().cast(),
                    concat!(file!(), "\0").as_ptr(),
                    line!(),
                    concat!(stringify!($condition), "\0").as_ptr(),
                )
            };
            return $crate::nt::FAILED;
        }
    };
}
pub(crate) use check;
