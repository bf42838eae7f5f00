//! What each specimen must end in: the table behind `docs/lab.md`. A row's suite runs it; [`all`] is compared with the judge's checks.

#![allow(dead_code, reason = "each of the test programs uses a part of it")]

use lab_wire::code::{self, io, io_leaked, leaked, pool, sub, watchdog, wdf, worker};

/// A specimen and the bug check that it must end in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offence {
    /// Its name: of a bare driver, or of a request to one with a device.
    pub(crate) specimen: &'static str,
    /// The code.
    pub(crate) code: u32,
    /// The first parameter, where it tells offences apart.
    pub(crate) first: Option<u64>,
    /// The second parameter, where it tells the branches of a check apart.
    pub(crate) second: Option<u64>,
    /// What the line for people must contain.
    pub(crate) says: &'static str,
    /// More words for the kernel's command line.
    pub(crate) options: &'static str,
    /// The fewest processors that it takes.
    pub(crate) processors: u32,
}

const fn offence(specimen: &'static str, code: u32, first: Option<u64>, says: &'static str) -> Offence {
    Offence {
        specimen,
        code,
        first,
        second: None,
        says,
        options: "",
        processors: 1,
    }
}

impl Offence {
    const fn with(self, options: &'static str) -> Self {
        Self { options, ..self }
    }

    const fn branch(self, second: u64) -> Self {
        Self {
            second: Some(second),
            ..self
        }
    }

    const fn on(self, processors: u32) -> Self {
        Self { processors, ..self }
    }
}

const fn verifier(specimen: &'static str, first: u64, says: &'static str) -> Offence {
    offence(
        specimen,
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        Some(first),
        says,
    )
}

const fn bad_pool(specimen: &'static str, first: u64, says: &'static str) -> Offence {
    offence(specimen, code::BAD_POOL_CALLER, Some(first), says)
}

const fn bad_io(specimen: &'static str, first: u64, says: &'static str) -> Offence {
    offence(
        specimen,
        code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        Some(first),
        says,
    )
}

const fn framework(specimen: &'static str, first: u64, says: &'static str) -> Offence {
    offence(specimen, code::WDF_VIOLATION, Some(first), says)
}

/// Specimens that run from `DriverEntry` (`lab/specimens`).
pub(crate) const BARE: &[Offence] = &[
    offence(
        "null-pointer",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0005),
        "a null pointer",
    ),
    offence(
        "break",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_8000_0003),
        "a breakpoint (int 3)",
    ),
    offence(
        "read-behind-block",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "8 bytes behind the end of the pool block",
    ),
    offence(
        "read-freed-block",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "which is freed or no pool",
    ),
    offence(
        "touch-freed-block-at-dispatch",
        code::DRIVER_IRQL_NOT_LESS_OR_EQUAL,
        None,
        "the driver writes",
    ),
    offence(
        "touch-paged-pool-at-dispatch",
        code::DRIVER_IRQL_NOT_LESS_OR_EQUAL,
        None,
        "at IRQL 2, in the paged pool block",
    ),
    offence(
        "have-paged-event-set-at-dispatch",
        code::IRQL_NOT_LESS_OR_EQUAL,
        None,
        "at IRQL 2, in the paged pool block",
    ),
    offence(
        "have-freed-event-set-at-dispatch",
        code::IRQL_NOT_LESS_OR_EQUAL,
        None,
        "the kernel, for the driver,",
    ),
    offence(
        "write-shared-data",
        code::ATTEMPTED_WRITE_TO_READONLY_MEMORY,
        Some(0xFFFF_F780_0000_0008),
        "KUSER_SHARED_DATA",
    ),
    offence(
        "write-own-code",
        code::ATTEMPTED_WRITE_TO_READONLY_MEMORY,
        None,
        "in or near a driver's image",
    ),
    offence(
        "run-pool",
        code::ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY,
        None,
        "in the pool block",
    ),
    offence(
        "overflow-stack",
        code::UNEXPECTED_KERNEL_MODE_TRAP,
        Some(8),
        "overflowed into its guard page",
    ),
    offence(
        "make-a-frame-larger-than-the-stack",
        code::UNEXPECTED_KERNEL_MODE_TRAP,
        Some(8),
        "overflowed into its guard page",
    ),
    offence(
        "fail-fast",
        code::KERNEL_SECURITY_CHECK_FAILURE,
        Some(2),
        "__fastfail with code 2",
    ),
    offence(
        "call-what-the-lab-lacks",
        code::LAB_MISSING_EXPORT,
        None,
        "RtlUnwind, which the lab does not implement",
    ),
    offence(
        "call-missing-import",
        code::LAB_MISSING_EXPORT,
        None,
        "ntoskrnl.exe!IoConnectInterrupt, which the lab does not implement",
    ),
    offence(
        "read-missing-variable",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "the variable ExEventObjectType, which the lab does not have",
    ),
    verifier("raise-to-lower", sub::RAISE_TO_LOWER, "from IRQL 2 to 0"),
    verifier("lower-to-higher", sub::LOWER_TO_HIGHER, "from IRQL 0 to 2"),
    offence(
        "return-at-dispatch",
        code::IRQL_UNEXPECTED_VALUE,
        Some(0x20000),
        "returned at IRQL 2",
    ),
    verifier("wait-at-dispatch", sub::WAIT_AT_DISPATCH, "IRQL 2"),
    verifier(
        "start-thread-at-dispatch",
        sub::IRQL_APC_LTE,
        "PsCreateSystemThread called at IRQL 2",
    ),
    verifier(
        "enter-region-at-dispatch",
        sub::IRQL_APC_LTE,
        "KeEnterCriticalRegion called at IRQL 2",
    ),
    verifier(
        "set-event-above-dispatch",
        sub::IRQL_DISPATCH,
        "KeSetEvent called at IRQL 5",
    ),
    offence(
        "dpc-lock-at-passive",
        code::IRQL_NOT_GREATER_OR_EQUAL,
        None,
        "it needs IRQL 2",
    ),
    offence(
        "endless-dpc",
        code::DPC_WATCHDOG_VIOLATION,
        Some(watchdog::DPC),
        "a DPC routine stayed",
    )
    .with("raised=1000"),
    offence(
        "endless-at-dispatch",
        code::DPC_WATCHDOG_VIOLATION,
        Some(watchdog::RAISED),
        "the driver stayed",
    )
    .with("raised=1000"),
    offence(
        "endless-with-lock",
        code::DPC_WATCHDOG_VIOLATION,
        Some(watchdog::RAISED),
        "with 1 spin lock held",
    )
    .with("raised=1000"),
    offence("lock-twice", code::SPIN_LOCK_ALREADY_OWNED, None, "already holds"),
    offence(
        "release-free-lock",
        code::SPIN_LOCK_NOT_OWNED,
        None,
        "does not hold",
    ),
    verifier("return-with-lock", sub::SPIN_LOCK_HELD, "with 1 spin locks held"),
    verifier(
        "locks-in-two-orders",
        sub::LOCK_ORDER,
        "in the other order before",
    ),
    offence(
        "release-free-mutex",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0046),
        "does not own the mutex",
    ),
    offence(
        "acquire-mutex-too-often",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0191),
        "more often than it can count",
    ),
    offence("set-no-event", code::BAD_DISPATCHER_OBJECT, None, ""),
    offence(
        "write-over-waited-event",
        code::KERNEL_SECURITY_CHECK_FAILURE,
        Some(3),
        "those who wait for an object is damaged",
    ),
    offence(
        "write-over-set-timer",
        code::KERNEL_SECURITY_CHECK_FAILURE,
        Some(3),
        "is set, from 0xfffff8",
    ),
    offence(
        "write-over-dpc",
        code::BAD_DISPATCHER_OBJECT,
        None,
        "or is damaged",
    ),
    offence(
        "set-timer-with-no-dpc",
        code::BAD_DISPATCHER_OBJECT,
        None,
        "which was not initialised",
    ),
    verifier(
        "leave-provider",
        sub::ETW_PROVIDER_LEFT,
        "with an ETW provider registered",
    ),
    verifier(
        "unregister-by-a-jump",
        sub::ETW_PROVIDER_LEFT,
        "with an ETW provider registered",
    ),
    verifier("unregister-no-provider", sub::BAD_ETW_HANDLE, "0x1234"),
    offence(
        "close-no-handle",
        code::INVALID_KERNEL_HANDLE,
        Some(0x1234),
        "0x1234",
    )
    .branch(1),
    offence(
        "wait-for-four-without-blocks",
        code::MAXIMUM_WAIT_OBJECTS_EXCEEDED,
        Some(4),
        "3 are the most without",
    ),
    offence(
        "wait-for-too-many",
        code::MAXIMUM_WAIT_OBJECTS_EXCEEDED,
        Some(65),
        "64 are the most with",
    ),
    verifier(
        "set-event-and-do-not-wait",
        sub::WAIT_DOES_NOT_FOLLOW,
        "KeReadStateEvent is called where KeWaitForSingleObject",
    ),
    verifier(
        "end-thread-with-timer-on-stack",
        sub::FREED_IN_USE,
        "on its stack; it was set from 0xfffff8",
    ),
    offence(
        "end-thread-in-region",
        code::KERNEL_APC_PENDING_DURING_EXIT,
        Some(0),
        "1 critical regions more",
    )
    .branch(0xFFFF_FFFF),
    offence(
        "end-thread-with-mutex",
        code::THREAD_TERMINATE_HELD_MUTEX,
        None,
        "owns a mutex",
    ),
    offence(
        "return-in-region",
        code::APC_INDEX_MISMATCH,
        Some(0),
        "DriverEntry has entered 1 critical and 0 guarded regions more",
    ),
    offence(
        "leave-region-not-entered",
        code::APC_INDEX_MISMATCH,
        Some(0),
        "DriverEntry has entered -1 critical and 0 guarded regions more",
    ),
    offence(
        "read-behind-registry-path",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "behind the end of the pool block",
    ),
    offence(
        "keep-registry-path",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "which is freed or no pool",
    ),
    verifier("leave-dpc", sub::OBJECT_LEAKED, "with a DPC queued or running")
        .branch(leaked::DPC)
        .on(2),
    verifier(
        "leave-dpc-unflushed",
        sub::OBJECT_LEAKED,
        "without a KeFlushQueuedDpcs",
    )
    .branch(leaked::UNFLUSHED_DPC),
    verifier("leave-timer", sub::OBJECT_LEAKED, "with a timer set").branch(leaked::TIMER),
    verifier("leave-thread", sub::OBJECT_LEAKED, "while its thread").branch(leaked::THREAD),
    verifier(
        "leave-waiting-thread",
        sub::OBJECT_LEAKED,
        "ms now, on the object 0x",
    )
    .branch(leaked::THREAD),
    verifier("leave-handle", sub::OBJECT_LEAKED, "with a handle open").branch(leaked::HANDLE),
    verifier(
        "leave-reference",
        sub::OBJECT_LEAKED,
        "with a thread, device or process referenced",
    )
    .branch(leaked::REFERENCE),
    verifier(
        "wait-on-stack-in-user-mode",
        sub::WAIT_ON_STACK,
        "a wait in UserMode on",
    ),
    verifier("wait-on-stack-alertable", sub::WAIT_ON_STACK, "that is alertable"),
    verifier(
        "wait-for-all-on-stack-in-user-mode",
        sub::WAIT_ON_STACK,
        "a wait in UserMode on",
    ),
    verifier(
        "wait-for-mutex-in-user-mode",
        sub::MUTEX_WAIT_MODE,
        "it must be one in KernelMode",
    ),
    offence(
        "wait-on-stack-for-ever",
        code::STACK_WAIT_TIMEOUT,
        None,
        ", which nobody sets",
    )
    .with("hang=2000"),
    offence(
        "wait-for-run-down-while-held",
        code::STACK_WAIT_TIMEOUT,
        None,
        " 2 are still held",
    )
    .with("hang=2000"),
    offence(
        "run-down-released-too-often",
        code::STACK_WAIT_TIMEOUT,
        None,
        "was released more often than it was acquired, by 1",
    )
    .with("hang=2000"),
    offence(
        "wait-for-ever",
        code::CALLBACK_TIMEOUT,
        None,
        "a callback of the driver's has waited",
    )
    .with("hang=2000"),
    offence("sleep-for-ever", code::RUN_TIMEOUT, Some(3), "its limit").with("timeout=3"),
    bad_pool("allocate-nothing", pool::NO_BYTES, "0 bytes"),
    bad_pool(
        "allocate-without-kind",
        pool::BAD_FLAGS,
        "exactly one kind of pool",
    ),
    verifier(
        "allocate-paged-at-dispatch",
        sub::PAGED_POOL_AT_DISPATCH,
        "at IRQL 2",
    ),
    verifier(
        "free-paged-at-dispatch",
        sub::PAGED_POOL_FREED_AT_DISPATCH,
        "at IRQL 2",
    ),
    bad_pool("free-twice", pool::FREED_BEFORE, "a second time"),
    bad_pool(
        "free-no-block",
        pool::NEVER_ALLOCATED,
        "where no pool block begins",
    ),
    bad_pool("free-with-other-tag", pool::WRONG_TAG, "with another tag"),
    verifier("free-running-timer", sub::FREED_IN_USE, "a timer that is set"),
    verifier("free-queued-dpc", sub::FREED_IN_USE, "a DPC that is queued"),
    offence(
        "write-behind-block",
        code::BAD_POOL_HEADER,
        Some(0x20),
        "was written behind its end",
    ),
    offence(
        "write-behind-whole-block",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "0 bytes behind the end of the pool block",
    ),
    verifier("leak", sub::POOL_LEAKED, "1 pool blocks of 40 bytes"),
    verifier(
        "wait-for-run-down-at-dispatch",
        sub::IRQL_APC_LTE,
        "ExWaitForRundownProtectionRelease called at IRQL 2",
    ),
    verifier(
        "release-once-too-often",
        sub::RUNDOWN_OVER_RELEASED,
        "(0 held); the last acquire that was granted was called from 0x",
    ),
    verifier(
        "release-more-than-acquired",
        sub::RUNDOWN_OVER_RELEASED,
        "(2 held)",
    ),
    verifier(
        "release-more-than-waited-for",
        sub::RUNDOWN_OVER_RELEASED,
        "(1 held)",
    ),
    verifier(
        "release-cache-aware-once-too-often",
        sub::RUNDOWN_OVER_RELEASED,
        "of the cache-aware reference",
    ),
    verifier(
        "release-cache-aware-more-than-acquired",
        sub::RUNDOWN_OVER_RELEASED,
        "(2 held)",
    ),
    verifier(
        "release-after-refused",
        sub::RUNDOWN_RELEASED_AFTER,
        "last acquire was refused, and was called from 0x",
    ),
    verifier(
        "release-after-wait",
        sub::RUNDOWN_RELEASED_AFTER,
        "run-down is complete",
    ),
    verifier(
        "release-after-completed",
        sub::RUNDOWN_RELEASED_AFTER,
        "run-down is complete",
    ),
    verifier(
        "release-cache-aware-after-refused",
        sub::RUNDOWN_RELEASED_AFTER,
        "last acquire was refused",
    ),
    verifier(
        "initialize-held",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "ExInitializeRundownProtection of the reference",
    ),
    verifier(
        "initialize-waited-for",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "it is waited for, called from 0x",
    ),
    verifier(
        "reinitialize-held",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "ExReInitializeRundownProtection of the reference",
    ),
    verifier(
        "complete-held",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "ExRundownCompleted of the reference",
    ),
    verifier(
        "initialize-cache-aware-held",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "of the cache-aware reference",
    ),
    verifier(
        "reinitialize-cache-aware-held",
        sub::RUNDOWN_INITIALIZED_IN_USE,
        "of the cache-aware reference",
    ),
    verifier(
        "free-held",
        sub::RUNDOWN_FREED_IN_USE,
        "in it is held; the last acquire that was granted was called from 0x",
    ),
    verifier(
        "free-cache-aware-held",
        sub::RUNDOWN_FREED_IN_USE,
        "in it is held",
    ),
    verifier(
        "wait-for-run-down-twice",
        sub::RUNDOWN_WAITED_TWICE,
        "another thread waits for it",
    ),
    verifier(
        "wait-for-run-down-again",
        sub::RUNDOWN_WAITED_TWICE,
        "has left its pointer",
    ),
    verifier(
        "wait-for-cache-aware-again",
        sub::RUNDOWN_WAITED_TWICE,
        "has left its pointer",
    ),
    verifier(
        "wait-for-cache-aware-completed",
        sub::RUNDOWN_WAITED_TWICE,
        "it is run down already",
    )
    .on(2),
    verifier(
        "acquire-misaligned",
        sub::RUNDOWN_MISALIGNED,
        "lies at a multiple of 8",
    ),
    verifier(
        "acquire-cache-aware-misaligned",
        sub::RUNDOWN_MISALIGNED,
        "lies at a multiple of 8",
    ),
    verifier(
        "release-fast-mutex-at-passive",
        sub::FAST_MUTEX_RELEASE_LEVEL,
        "at IRQL 0; its owner is at APC_LEVEL",
    ),
    verifier(
        "acquire-fast-mutex-unsafe",
        sub::UNSAFE_ACQUIRE_WITH_APCS,
        "acquires the mutex",
    ),
    verifier(
        "release-fast-mutex-unsafe",
        sub::UNSAFE_RELEASE_WITH_APCS,
        "releases the mutex",
    ),
    verifier(
        "acquire-fast-mutex-twice",
        sub::SELF_DEADLOCK,
        "in the thread that has it",
    ),
    verifier(
        "release-free-fast-mutex",
        sub::LOCK_NOT_ACQUIRED,
        "which nobody has",
    ),
    verifier(
        "release-fast-mutex-of-another",
        sub::LOCK_OF_ANOTHER_THREAD,
        "has it",
    ),
    verifier(
        "acquire-no-fast-mutex",
        sub::LOCK_NOT_INITIALIZED,
        "is used and is not initialised",
    ),
    verifier(
        "free-owned-fast-mutex",
        sub::OWNED_LOCK_DELETED,
        "frees the mutex",
    ),
    verifier(
        "fast-mutexes-in-two-orders",
        sub::LOCK_ORDER,
        "in the other order",
    ),
    verifier(
        "acquire-misaligned-resource",
        sub::RESOURCE_MISALIGNED,
        "at no multiple of 8",
    ),
    verifier(
        "initialize-resource-twice",
        sub::RESOURCE_INITIALIZED_TWICE,
        "again",
    ),
    verifier(
        "delete-no-resource",
        sub::RESOURCE_NOT_INITIALIZED,
        "is not initialised",
    ),
    verifier(
        "acquire-no-resource",
        sub::LOCK_NOT_INITIALIZED,
        "uses the resource",
    ),
    verifier(
        "free-resource",
        sub::RESOURCE_FREED,
        "ExDeleteResourceLite comes first",
    ),
    verifier("leave-resource", sub::RESOURCE_FREED, "which is not deleted"),
    verifier(
        "delete-owned-resource",
        sub::OWNED_LOCK_DELETED,
        "has or waits for",
    ),
    verifier(
        "acquire-shared-resource-alone",
        sub::SELF_DEADLOCK,
        "shares already",
    ),
    verifier(
        "release-free-resource",
        sub::LOCK_NOT_ACQUIRED,
        "releases the resource",
    ),
    verifier(
        "release-resource-of-another",
        sub::LOCK_OF_ANOTHER_THREAD,
        "which does not have it",
    ),
    verifier(
        "end-thread-with-resource",
        sub::THREAD_OWNS_LOCK,
        "a thread ends and owns a resource",
    ),
    verifier(
        "initialize-lookaside-twice",
        sub::LOOKASIDE_INITIALIZED_TWICE,
        "again",
    ),
    verifier(
        "delete-no-lookaside",
        sub::LOOKASIDE_NOT_INITIALIZED,
        "is not initialised",
    ),
    verifier("free-lookaside", sub::LOOKASIDE_FREED, "which is not deleted"),
    verifier(
        "lookaside-of-small-blocks",
        sub::LOOKASIDE_TOO_SMALL,
        "of 4 bytes",
    ),
    verifier(
        "release-remove-lock-with-other-tag",
        sub::REMOVE_LOCK_TAG,
        "acquired 1 times, first with the tag 0x1 from",
    ),
    verifier(
        "release-remove-lock-twice",
        sub::REMOVE_LOCK_TAG,
        "acquired 0 times",
    ),
    verifier(
        "end-remove-lock-with-other-tag",
        sub::REMOVE_LOCK_LAST_TAG,
        "which it was not acquired with",
    ),
    verifier(
        "initialize-remove-lock-twice",
        sub::REMOVE_LOCK_INITIALIZED_TWICE,
        "again",
    ),
    verifier(
        "free-acquired-remove-lock",
        sub::FREED_IN_USE,
        "acquired with the tag 0x7 from",
    ),
    verifier(
        "unlock-unlocked-mdl",
        sub::MDL_NOT_LOCKED,
        "MmUnlockPages of the MDL",
    ),
    verifier("unlock-mdl-of-pool", sub::MDL_OF_POOL_UNLOCKED, "never unlocked"),
    verifier(
        "build-mdl-of-paged-pool",
        sub::MDL_OF_PAGED_POOL,
        "of memory that can be paged out",
    ),
    verifier("build-mdl-of-stack", sub::MDL_OF_PAGED_POOL, "of a kernel stack"),
    verifier(
        "map-mdl-with-bug-check",
        sub::MDL_BUG_CHECK_ON_FAILURE,
        "must be FALSE",
    ),
    verifier(
        "lock-mdl-twice",
        sub::MDL_LOCKED_AGAIN,
        "MmProbeAndLockPages of the MDL",
    ),
    verifier("map-mdl-twice", sub::MDL_MAPPED_AGAIN, "which is mapped already"),
    verifier(
        "map-mdl-of-pool",
        sub::MDL_MAPPED_AGAIN,
        "which is mapped already",
    ),
    verifier(
        "map-unlocked-mdl",
        sub::MDL_MAPPED_UNLOCKED,
        "whose pages are not locked",
    ),
    verifier(
        "unlock-partial-mdl",
        sub::PARTIAL_MDL_UNLOCKED,
        "a part of another",
    ),
    verifier(
        "unmap-unmapped-mdl",
        sub::MDL_NOT_MAPPED,
        "no mapping of its own there",
    ),
    verifier("free-locked-mdl", sub::MDL_FREED_IN_USE, "still locked or mapped"),
    verifier("free-locked-pool", sub::FREED_IN_USE, "has locked"),
    offence(
        "csq-keeps-its-lock",
        code::IRQL_UNEXPECTED_VALUE,
        None,
        "cancel-safe queue's lock routines",
    ),
    verifier(
        "insert-into-no-csq",
        sub::LOCK_NOT_INITIALIZED,
        "cancel-safe queue",
    ),
    verifier("open-key-at-apc", sub::IRQL_APC_LTE, "ZwOpenKey called at IRQL 1"),
    verifier(
        "create-file-at-apc",
        sub::IRQL_APC_LTE,
        "ZwCreateFile called at IRQL 1",
    ),
    verifier("leave-file", sub::OBJECT_LEAKED, "with a handle open").branch(leaked::HANDLE),
    verifier("leave-key", sub::OBJECT_LEAKED, "with a handle open").branch(leaked::HANDLE),
    bad_pool("free-mdl-twice", pool::NEVER_ALLOCATED, "IoFreeMdl of"),
    offence(
        "build-partial-mdl-beyond",
        code::TARGET_MDL_TOO_SMALL,
        None,
        "IoBuildPartialMdl of 4112 bytes",
    ),
    offence(
        "lock-no-memory",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0005),
        "MmProbeAndLockPages raises",
    ),
    offence(
        "touch-unlocked-mapping",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "or no longer mapped",
    ),
    offence(
        "write-behind-mapping",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "behind what an MDL maps",
    ),
    offence(
        "leave-locked-pages",
        code::PROCESS_HAS_LOCKED_PAGES,
        Some(0),
        "1 MDLs whose pages are locked",
    ),
    offence(
        "queue-work-item-twice",
        code::WORKER_INVALID,
        Some(worker::QUEUED),
        "queues the work item",
    ),
    offence(
        "free-queued-work-item",
        code::WORKER_INVALID,
        Some(worker::FREED),
        "frees the work item",
    ),
    offence(
        "run-down-without-event",
        code::LOST_WAKEUP,
        None,
        "the wait block",
    )
    .with("grace=1000"),
];

/// A control code's method that has its output described by an MDL: `METHOD_OUT_DIRECT`.
pub(crate) const DIRECT: &str = "direct";

/// One that has neither: `METHOD_NEITHER`.
pub(crate) const NEITHER: &str = "neither";

/// Requests to the specimen `device`, which are sound: to the last byte, with a kernel's handle, and with all of the memory taken.
pub(crate) const SOUND_REQUESTS: &[u32] = &[0x800, 0x820, 0x824, 0x829, 0x82A, 0x800, 0x820, 0x82B];

/// Requests to the specimen `device`; the names are the functions of its control codes.
pub(crate) const DEVICE: &[Offence] = &[
    offence("0x801", code::MULTIPLE_IRP_COMPLETE_REQUESTS, None, ""),
    offence("0x802", code::NO_MORE_IRP_STACK_LOCATIONS, None, ""),
    bad_io("0x803", io::COMPLETED_AS_PENDING, "with status 0x00000103"),
    bad_io(
        "0x804",
        io::CANCEL_ROUTINE_SET,
        "while its cancel routine is still set",
    ),
    bad_io("0x805", io::NOT_COMPLETED, "it must return STATUS_PENDING"),
    bad_io(
        "0x806",
        io::BAD_DEVICE_DELETION,
        "still attached to the device below",
    ),
    bad_io(
        "0x807",
        io::INFORMATION_TOO_LARGE,
        "Information 5, and its output buffer has 4 bytes",
    ),
    bad_io("0x808", io::NO_DEVICE, "which is no device object"),
    offence("0x809", code::REQUEST_NOT_COMPLETED, None, "0x00222024"),
    verifier("0x80a", sub::IO_OBJECT_LEAKED, "leaves 1 device(s) behind").branch(io_leaked::DEVICE),
    offence(
        "0x821",
        code::BAD_POOL_HEADER,
        Some(0x20),
        "behind the buffer of a control request",
    ),
    offence(
        "0x821",
        code::BAD_POOL_HEADER,
        Some(0x20),
        "behind the buffer of a control request",
    )
    .with(DIRECT),
    offence(
        "0x822",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "0 bytes behind the end of the pool block",
    ),
    offence("0x823", code::BAD_POOL_HEADER, Some(0x20), "behind a file object"),
    offence(
        "0x825",
        code::BAD_POOL_HEADER,
        Some(0x20),
        "behind the device extension",
    ),
    verifier("0x826", sub::IO_OBJECT_LEAKED, "leaves 1 symbolic link(s) behind").branch(io_leaked::LINK),
    verifier("0x827", sub::IO_OBJECT_LEAKED, "leaves 1 IRP(s) behind").branch(io_leaked::IRP),
    verifier("0x828", sub::USER_HANDLE, "without OBJ_KERNEL_HANDLE"),
    offence(
        "0x82d",
        code::APC_INDEX_MISMATCH,
        Some(0),
        "IRP_MJ_DEVICE_CONTROL has entered 1",
    ),
    verifier("0x82e", sub::RESOURCE_ACQUIRED_WITH_APCS, "acquires the resource"),
    verifier("0x82f", sub::RESOURCE_RELEASED_WITH_APCS, "releases the resource"),
    offence(
        "0x831",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0005),
        "its client's memory, and was not probed",
    )
    .with(NEITHER),
    offence(
        "0x832",
        code::KMODE_EXCEPTION_NOT_HANDLED,
        Some(0xFFFF_FFFF_C000_0005),
        "a client's address where nothing is, or no longer",
    )
    .with(NEITHER),
    verifier("0x833", sub::IO_OBJECT_LEAKED, "leaves 1 MDL(s) behind").branch(io_leaked::MDL),
    verifier("0x834", sub::IO_OBJECT_LEAKED, "leaves 1 work item(s) behind").branch(io_leaked::WORK_ITEM),
];

/// Requests to the framework's test driver (`framework/driver.c`), by the functions of their control codes.
pub(crate) const FRAMEWORK: &[Offence] = &[
    framework(
        "0x900",
        wdf::BAD_HANDLE,
        "WdfRequestCompleteWithInformation was given a WDFREQUEST that is completed already",
    ),
    framework(
        "0x901",
        wdf::BAD_HANDLE,
        "WdfDeviceGetDefaultQueue was given a WDFQUEUE where a WDFDEVICE belongs",
    ),
    framework(
        "0x902",
        wdf::BAD_HANDLE,
        "WdfObjectDelete was given a WDFOBJECT that is deleted already",
    ),
    framework("0x903", wdf::REQUEST, "Information is 1000"),
    framework("0x904", wdf::QUEUE, "still cancelable"),
    framework("0x905", wdf::LOCK_HELD, "acquires a lock that it holds already"),
    offence("0x906", code::REQUEST_NOT_COMPLETED, None, "0x00222418"),
    verifier(
        "0x907",
        sub::WDF_OBJECT_LEAKED,
        "1 framework object(s) alive; the first is a WDFOBJECT",
    ),
    verifier(
        "0x908",
        sub::WAIT_AT_DISPATCH,
        "WdfWaitLockAcquire may wait, and is called at IRQL 2",
    ),
    offence(
        "0x909",
        code::LAB_MISSING_EXPORT,
        None,
        "KMDF!WdfIoTargetCreate, which the lab",
    ),
    framework("0x90a", wdf::DEREFERENCED_AWAY, "WdfObjectDelete"),
    offence(
        "0x90b",
        code::BAD_POOL_HEADER,
        None,
        "behind the end of the context",
    ),
    offence("0x90c", code::IRQL_UNEXPECTED_VALUE, None, "EvtIoDeviceControl"),
    verifier(
        "0x90d",
        sub::IRQL_APC_LTE,
        "WdfDriverOpenParametersRegistryKey called at IRQL 2",
    ),
    framework(
        "0x90e",
        wdf::LOCK_NOT_HELD,
        "released by a thread that does not hold it",
    ),
    framework(
        "0x90f",
        wdf::NULL_PARAMETER,
        "WdfRequestGetParameters was given NULL for Parameters",
    ),
    framework("0x910", wdf::QUEUE, "a request that the driver does not have"),
    framework("0x911", wdf::BAD_HANDLE, "0x1234, which is no framework handle"),
    offence(
        "0x912",
        code::BAD_POOL_HEADER,
        None,
        "buffer of a control request",
    ),
    framework(
        "0x915",
        wdf::RULE,
        "WdfObjectDelete was given a WDFQUEUE, which only the framework deletes",
    ),
    offence(
        "0x916",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "the driver writes",
    ),
    offence(
        "0x917",
        code::DRIVER_IRQL_NOT_LESS_OR_EQUAL,
        None,
        "at IRQL 2, in a pageable section of the driver's image",
    ),
    offence(
        "0x918",
        code::PAGE_FAULT_IN_NONPAGED_AREA,
        None,
        "the driver executes",
    ),
    framework("0x91a", wdf::QUEUE, "does not come from EvtIoInCallerContext"),
    framework(
        "0x91b",
        wdf::QUEUE,
        "comes from no queue (WdfDeviceEnqueueRequest)",
    ),
    framework("0x91c", wdf::QUEUE, "the queue that the request comes from"),
    framework("0x91d", wdf::REQUEST, "waits in another queue"),
    framework("0x91e", wdf::QUEUE, "a queue that is not manual"),
    framework("0x91f", wdf::QUEUE, "comes from no queue"),
    framework("0x920", wdf::QUEUE, "still owes the one of an earlier call"),
    framework(
        "0x921",
        wdf::RULE,
        "the WDF_REQUEST_PARAMETERS says that it has 0 bytes",
    ),
    framework("0x922", wdf::RULE, "WdfFileObjectCanBeOptional"),
    framework("0x923", wdf::QUEUE, "outside of EvtIoInCallerContext"),
    framework("0x924", wdf::RULE, "an item that is not in the WDFCOLLECTION"),
];

/// All rows, each with the name of its suite's driver.
pub(crate) fn all() -> impl Iterator<Item = (&'static str, Offence)> {
    [("specimens", BARE), ("device", DEVICE), ("framework", FRAMEWORK)]
        .into_iter()
        .flat_map(|(suite, rows)| rows.iter().map(move |row| (suite, *row)))
}
