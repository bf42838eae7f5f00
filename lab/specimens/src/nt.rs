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

/// `FAST_MUTEX`, 0x38 bytes: count, owner, contention, event, old IRQL.
#[repr(C, align(8))]
pub(crate) struct FastMutex(pub(crate) [u64; 7]);
/// `ERESOURCE`.
#[repr(C, align(8))]
pub(crate) struct Resource(pub(crate) [u64; 13]);
/// `NPAGED_LOOKASIDE_LIST`, whose cache lines are padded.
#[repr(C, align(64))]
pub(crate) struct Lookaside(pub(crate) [u64; 16]);
/// `IO_REMOVE_LOCK` of a free build.
#[repr(C, align(8))]
pub(crate) struct RemoveLock(pub(crate) [u64; 4]);
#[repr(C, align(16))]
pub(crate) struct SListHeader(pub(crate) [u64; 2]);
#[repr(C, align(16))]
pub(crate) struct SListEntry(pub(crate) [u64; 2]);

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
    name: *const UnicodeString,
    attributes: u32,
    security: [u64; 2],
}

// The only static one has no name.
unsafe impl Sync for ObjectAttributes {}

impl ObjectAttributes {
    /// Of a name that is absolute, or below what the handle `root` is to; the handle is the kernel's.
    pub(crate) fn named(name: &UnicodeString, root: u64) -> Self {
        Self {
            root,
            name,
            attributes: 0x240,
            length: size_of::<Self>() as u32,
            security: [0; 2],
        }
    }
}

/// What a driver sets that makes a handle in any process: `OBJ_KERNEL_HANDLE`.
pub(crate) static KERNEL_HANDLE: ObjectAttributes = ObjectAttributes {
    length: size_of::<ObjectAttributes>() as u32,
    root: 0,
    name: core::ptr::null(),
    attributes: 0x200,
    security: [0; 2],
};

/// `KDPC_IMPORTANCE`.
pub(crate) const LOW_IMPORTANCE: u32 = 0;
pub(crate) const HIGH_IMPORTANCE: u32 = 2;
pub(crate) const MEDIUM_HIGH_IMPORTANCE: u32 = 3;

pub(crate) type DpcRoutine = unsafe extern "system" fn(*mut Dpc, *mut c_void, u64, u64);
pub(crate) type WorkRoutine = unsafe extern "system" fn(*mut c_void, *mut c_void, *mut c_void);
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
    pub(crate) fn strstr(text: *const u8, wanted: *const u8) -> *const u8;
    pub(crate) fn wcschr(text: *const u16, wanted: u16) -> *const u16;
    pub(crate) fn _stricmp(left: *const u8, right: *const u8) -> i32;
    pub(crate) fn _wcsnicmp(left: *const u16, right: *const u16, most: usize) -> i32;
    pub(crate) fn _vsnprintf(place: *mut u8, room: usize, format: *const u8, arguments: *const u64) -> i32;
    pub(crate) fn _vsnwprintf(place: *mut u16, room: usize, format: *const u16, arguments: *const u64)
    -> i32;
    pub(crate) fn _snprintf(place: *mut u8, room: usize, format: *const u8, ...) -> i32;
    pub(crate) fn RtlUpcaseUnicodeString(
        target: *mut UnicodeString,
        source: *const UnicodeString,
        allocate: u8,
    ) -> i32;
    pub(crate) fn RtlUnicodeStringToAnsiString(
        target: *mut UnicodeString,
        source: *const UnicodeString,
        allocate: u8,
    ) -> i32;
    pub(crate) fn RtlAnsiStringToUnicodeString(
        target: *mut UnicodeString,
        source: *const UnicodeString,
        allocate: u8,
    ) -> i32;
    pub(crate) fn RtlPrefixUnicodeString(
        prefix: *const UnicodeString,
        string: *const UnicodeString,
        ignore_case: u8,
    ) -> u8;
    pub(crate) fn RtlStringFromGUID(guid: *const u8, target: *mut UnicodeString) -> i32;
    pub(crate) fn RtlGUIDFromString(string: *const UnicodeString, guid: *mut u8) -> i32;
    pub(crate) fn RtlTimeToTimeFields(time: *const i64, fields: *mut [i16; 8]);
    pub(crate) fn RtlTimeFieldsToTime(fields: *const [i16; 8], time: *mut i64) -> u8;
    pub(crate) fn ExInterlockedInsertHeadList(
        head: *mut [u64; 2],
        entry: *mut [u64; 2],
        lock: *mut u64,
    ) -> *mut [u64; 2];
    pub(crate) fn ExInterlockedInsertTailList(
        head: *mut [u64; 2],
        entry: *mut [u64; 2],
        lock: *mut u64,
    ) -> *mut [u64; 2];
    pub(crate) fn ExInterlockedRemoveHeadList(head: *mut [u64; 2], lock: *mut u64) -> *mut [u64; 2];
    pub(crate) fn RtlInitAnsiString(string: *mut UnicodeString, source: *const u8);
    pub(crate) fn RtlFreeAnsiString(string: *mut UnicodeString);
    pub(crate) fn KeAcquireInStackQueuedSpinLock(lock: *mut u64, handle: *mut [u64; 3]);
    pub(crate) fn KeReleaseInStackQueuedSpinLock(handle: *mut [u64; 3]);
    pub(crate) fn KeTryToAcquireSpinLockAtDpcLevel(lock: *mut u64) -> u8;
    pub(crate) fn KeTestSpinLock(lock: *mut u64) -> u8;
    pub(crate) fn IoReuseIrp(irp: *mut c_void, status: i32);
    pub(crate) fn IoBuildDeviceIoControlRequest(
        code: u32,
        device: *mut c_void,
        input: *const u8,
        input_length: u32,
        output: *mut u8,
        output_length: u32,
        internal: u8,
        event: *mut Event,
        status: *mut [u64; 2],
    ) -> *mut c_void;
    pub(crate) fn IoGetAttachedDeviceReference(device: *mut c_void) -> *mut c_void;
    pub(crate) fn PsGetCurrentProcess() -> *mut c_void;
    pub(crate) fn ZwCreateFile(
        handle: *mut u64,
        access: u32,
        attributes: *const ObjectAttributes,
        iosb: *mut [u64; 2],
        allocation: *const i64,
        file_attributes: u32,
        share: u32,
        disposition: u32,
        options: u32,
        ea: *const c_void,
        ea_length: u32,
    ) -> i32;
    pub(crate) fn ZwReadFile(
        handle: u64,
        event: u64,
        routine: u64,
        context: u64,
        iosb: *mut [u64; 2],
        buffer: *mut u8,
        length: u32,
        offset: *const i64,
        key: *const u32,
    ) -> i32;
    pub(crate) fn ZwWriteFile(
        handle: u64,
        event: u64,
        routine: u64,
        context: u64,
        iosb: *mut [u64; 2],
        buffer: *const u8,
        length: u32,
        offset: *const i64,
        key: *const u32,
    ) -> i32;
    pub(crate) fn ZwQueryInformationFile(
        handle: u64,
        iosb: *mut [u64; 2],
        buffer: *mut u8,
        length: u32,
        class: u32,
    ) -> i32;
    pub(crate) fn ZwSetInformationFile(
        handle: u64,
        iosb: *mut [u64; 2],
        buffer: *const u8,
        length: u32,
        class: u32,
    ) -> i32;
    pub(crate) fn ZwFlushBuffersFile(handle: u64, iosb: *mut [u64; 2]) -> i32;
    pub(crate) fn ZwOpenKey(handle: *mut u64, access: u32, attributes: *const ObjectAttributes) -> i32;
    pub(crate) fn ZwCreateKey(
        handle: *mut u64,
        access: u32,
        attributes: *const ObjectAttributes,
        title: u32,
        class: *const UnicodeString,
        options: u32,
        disposition: *mut u32,
    ) -> i32;
    pub(crate) fn ZwQueryValueKey(
        key: u64,
        name: *const UnicodeString,
        class: u32,
        buffer: *mut u32,
        room: u32,
        length: *mut u32,
    ) -> i32;
    pub(crate) fn ZwSetValueKey(
        key: u64,
        name: *const UnicodeString,
        title: u32,
        kind: u32,
        data: *const u8,
        size: u32,
    ) -> i32;
    pub(crate) fn ZwEnumerateKey(
        key: u64,
        index: u32,
        class: u32,
        buffer: *mut u32,
        room: u32,
        length: *mut u32,
    ) -> i32;
    pub(crate) fn ZwDeleteValueKey(key: u64, name: *const UnicodeString) -> i32;
    pub(crate) fn ZwDeleteKey(key: u64) -> i32;
    pub(crate) fn RtlQueryRegistryValues(
        relative: u32,
        path: *const u16,
        table: *const [u64; 7],
        context: u64,
        environment: u64,
    ) -> i32;
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
    pub(crate) fn KeAreAllApcsDisabled() -> u8;
    pub(crate) fn KeEnterGuardedRegion();
    pub(crate) fn KeLeaveGuardedRegion();
    pub(crate) fn ExAcquireFastMutex(mutex: *mut FastMutex);
    pub(crate) fn ExTryToAcquireFastMutex(mutex: *mut FastMutex) -> u8;
    pub(crate) fn ExReleaseFastMutex(mutex: *mut FastMutex);
    pub(crate) fn ExAcquireFastMutexUnsafe(mutex: *mut FastMutex);
    pub(crate) fn ExReleaseFastMutexUnsafe(mutex: *mut FastMutex);
    pub(crate) fn KeInitializeGuardedMutex(mutex: *mut FastMutex);
    pub(crate) fn KeAcquireGuardedMutex(mutex: *mut FastMutex);
    pub(crate) fn KeReleaseGuardedMutex(mutex: *mut FastMutex);
    pub(crate) fn ExInitializeResourceLite(resource: *mut Resource) -> i32;
    pub(crate) fn ExDeleteResourceLite(resource: *mut Resource) -> i32;
    pub(crate) fn ExAcquireResourceExclusiveLite(resource: *mut Resource, wait: u8) -> u8;
    pub(crate) fn ExAcquireResourceSharedLite(resource: *mut Resource, wait: u8) -> u8;
    pub(crate) fn ExAcquireSharedStarveExclusive(resource: *mut Resource, wait: u8) -> u8;
    pub(crate) fn ExReleaseResourceLite(resource: *mut Resource);
    pub(crate) fn ExReleaseResourceForThreadLite(resource: *mut Resource, owner: u64);
    pub(crate) fn ExConvertExclusiveToSharedLite(resource: *mut Resource);
    pub(crate) fn ExSetResourceOwnerPointer(resource: *mut Resource, owner: u64);
    pub(crate) fn ExIsResourceAcquiredExclusiveLite(resource: *mut Resource) -> u8;
    pub(crate) fn ExIsResourceAcquiredSharedLite(resource: *mut Resource) -> u32;
    pub(crate) fn ExGetExclusiveWaiterCount(resource: *mut Resource) -> u32;
    pub(crate) fn ExInitializeNPagedLookasideList(
        list: *mut Lookaside,
        allocate: u64,
        free: u64,
        flags: u32,
        size: u64,
        tag: u32,
        depth: u16,
    );
    pub(crate) fn ExDeleteNPagedLookasideList(list: *mut Lookaside);
    pub(crate) fn ExpInterlockedPushEntrySList(
        head: *mut SListHeader,
        entry: *mut SListEntry,
    ) -> *mut SListEntry;
    pub(crate) fn ExpInterlockedPopEntrySList(head: *mut SListHeader) -> *mut SListEntry;
    pub(crate) fn ExQueryDepthSList(head: *mut SListHeader) -> u16;
    pub(crate) fn IoInitializeRemoveLockEx(
        lock: *mut RemoveLock,
        tag: u32,
        minutes: u32,
        mark: u32,
        size: u32,
    );
    pub(crate) fn IoAcquireRemoveLockEx(
        lock: *mut RemoveLock,
        tag: u64,
        file: *const u8,
        line: u32,
        size: u32,
    ) -> i32;
    pub(crate) fn IoReleaseRemoveLockEx(lock: *mut RemoveLock, tag: u64, size: u32);
    pub(crate) fn IoReleaseRemoveLockAndWaitEx(lock: *mut RemoveLock, tag: u64, size: u32);
    pub(crate) fn IoAllocateWorkItem(object: *mut c_void) -> *mut c_void;
    pub(crate) fn IoFreeWorkItem(item: *mut c_void);
    pub(crate) fn IoQueueWorkItem(item: *mut c_void, routine: WorkRoutine, queue: u32, context: *mut c_void);
    pub(crate) fn IoQueueWorkItemEx(
        item: *mut c_void,
        routine: WorkRoutine,
        queue: u32,
        context: *mut c_void,
    );
    pub(crate) fn IoCsqInitialize(
        csq: *mut [u64; 8],
        insert: u64,
        remove: u64,
        peek: u64,
        acquire: u64,
        release: u64,
        complete: u64,
    ) -> i32;
    pub(crate) fn IoCsqInsertIrp(csq: *mut [u64; 8], irp: *mut c_void, context: *mut [u64; 3]);
    pub(crate) fn IoCsqRemoveNextIrp(csq: *mut [u64; 8], context: *mut c_void) -> *mut c_void;
    pub(crate) fn IoCsqRemoveIrp(csq: *mut [u64; 8], context: *mut [u64; 3]) -> *mut c_void;
    pub(crate) fn IoAllocateMdl(
        address: *mut c_void,
        length: u32,
        secondary: u8,
        quota: u8,
        irp: *mut c_void,
    ) -> *mut c_void;
    pub(crate) fn IoFreeMdl(mdl: *mut c_void);
    pub(crate) fn IoBuildPartialMdl(
        source: *mut c_void,
        target: *mut c_void,
        address: *mut c_void,
        length: u32,
    );
    pub(crate) fn MmSizeOfMdl(address: *mut c_void, length: u64) -> u64;
    pub(crate) fn MmBuildMdlForNonPagedPool(mdl: *mut c_void);
    pub(crate) fn MmProbeAndLockPages(mdl: *mut c_void, mode: u8, operation: u32);
    pub(crate) fn MmUnlockPages(mdl: *mut c_void);
    pub(crate) fn MmMapLockedPagesSpecifyCache(
        mdl: *mut c_void,
        mode: u8,
        cache: u32,
        requested: *mut c_void,
        bug_check: u32,
        priority: u32,
    ) -> *mut u8;
    pub(crate) fn MmUnmapLockedPages(address: *mut u8, mdl: *mut c_void);
    pub(crate) fn ProbeForRead(address: *const u8, length: u64, alignment: u32);
    pub(crate) fn ProbeForWrite(address: *mut u8, length: u64, alignment: u32);
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
    pub(crate) static PsProcessType: *const *const c_void;
    pub(crate) static PsInitialSystemProcess: *mut c_void;
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
    pub(crate) const USER_BUFFER: Field<*mut u8> = Field::at(0x70);
    pub(crate) const DRIVER_CONTEXT: Field<[u64; 4]> = Field::at(0x78);
    pub(crate) const THREAD: Field<u64> = Field::at(0x98);
    pub(crate) const STACK: Field<*mut c_void> = Field::at(0xB8);
}

/// `MDL`.
pub(crate) mod mdl {
    use super::Field;
    pub(crate) const FLAGS: Field<u16> = Field::at(0xA);
    pub(crate) const MAPPED: Field<*mut u8> = Field::at(0x18);
    pub(crate) const START: Field<*mut u8> = Field::at(0x20);
    pub(crate) const COUNT: Field<u32> = Field::at(0x28);
    pub(crate) const OFFSET: Field<u32> = Field::at(0x2C);
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
    pub(crate) const INPUT_LENGTH: Field<u32> = Field::at(0x10);
    pub(crate) const TYPE3_INPUT: Field<*mut u8> = Field::at(0x20);
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

/// `MmGetSystemAddressForMdlSafe`, which the headers have in line: where the MDL is mapped, or then is.
pub(crate) unsafe fn system_address(mdl: *mut c_void) -> *mut u8 {
    unsafe {
        if mdl::FLAGS.read(mdl) & 5 != 0 {
            mdl::MAPPED.read(mdl)
        } else {
            MmMapLockedPagesSpecifyCache(mdl, 0, 1, core::ptr::null_mut(), 0, 16)
        }
    }
}

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

/// Whether somebody waits for the event: whether its list of waiters, behind the two first double words, names anything but itself.
pub(crate) unsafe fn waits(event: *mut Event) -> bool {
    unsafe {
        let list = event.cast::<u64>().add(1);
        list.read_volatile() != list as u64
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
