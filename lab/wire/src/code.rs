//! The judge's checks: bug check codes, and the first parameters that tell one offence from another under the same code.
//!
//! Source: Microsoft's "Bug Check Code Reference"; the lab's own codes begin with `1AB0`, and so do first parameters that are the lab's.
//! Everything that the judge can say about a driver is in [`checks`], and `tools/lab` has a specimen for each.

/// One thing that the judge looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The bug check code.
    pub code: u32,
    /// The first parameter, where it names the offence.
    pub first: Option<u64>,
    /// The second parameter, where it tells the branches of a check apart.
    pub second: Option<u64>,
    /// The name of the constant.
    pub name: &'static str,
    /// What the driver did, and what the parameters are.
    pub what: &'static str,
}

macro_rules! codes {
    ($($(#[doc = $what:literal])* $name:ident = $value:expr;)*) => {
        $($(#[doc = $what])* pub const $name: u32 = $value;)*

        const CODES: &[Check] =
            &[$(Check { code: $value, first: None, second: None, name: stringify!($name), what: concat!($($what),*) }),*];
    };
}

/// First parameters of one code, as a module of constants.
macro_rules! first_parameters {
    ($(#[doc = $about:literal])* $module:ident of $code:ident { $($(#[doc = $what:literal])* $name:ident = $value:expr;)* }) => {
        $(#[doc = $about])*
        pub mod $module {
            $($(#[doc = $what])* pub const $name: u64 = $value;)*

            pub(super) const CHECKS: &[super::Check] = &[$(super::Check {
                code: super::$code,
                first: Some($value),
                second: None,
                name: stringify!($name),
                what: concat!($($what),*),
            }),*];
        }
    };
}

/// Second parameters of one check of Driver Verifier's, which tell its branches apart, as a module of constants.
macro_rules! branches {
    ($(#[doc = $about:literal])* $module:ident of $check:ident { $($(#[doc = $what:literal])* $name:ident = $value:expr;)* }) => {
        $(#[doc = $about])*
        pub mod $module {
            $($(#[doc = $what])* pub const $name: u64 = $value;)*

            pub(super) const CHECKS: &[super::Check] = &[$(super::Check {
                code: super::DRIVER_VERIFIER_DETECTED_VIOLATION,
                first: Some(super::sub::$check),
                second: Some($value),
                name: stringify!($check),
                what: concat!($($what),*),
            }),*];
        }
    };
}

codes! {
    /// Returned in more critical regions than it was called in, or in fewer: 0, 0, the APC disable count, 0 in a client's request or 1 in a system thread.
    APC_INDEX_MISMATCH = 0x1;
    /// Called at too low an IRQL: caller, IRQL, least IRQL.
    IRQL_NOT_GREATER_OR_EQUAL = 0x9;
    /// The kernel touched bad memory at a raised IRQL on the driver's behalf: address, IRQL, operation, RIP.
    IRQL_NOT_LESS_OR_EQUAL = 0xA;
    /// A wait for more objects than there are wait blocks: how many, how many are allowed.
    MAXIMUM_WAIT_OBJECTS_EXCEEDED = 0xC;
    /// A spin lock is taken twice on one processor: the lock.
    SPIN_LOCK_ALREADY_OWNED = 0xF;
    /// A spin lock is released by a processor that does not hold it: the lock, its word.
    SPIN_LOCK_NOT_OWNED = 0x10;
    /// Wrote behind a block's end: 0x20, the block, the first byte, its size.
    BAD_POOL_HEADER = 0x19;
    /// An exception that nobody handled: its status, RIP, two parameters of its own.
    KMODE_EXCEPTION_NOT_HANDLED = 0x1E;
    /// A thread ends in a critical region: 0, its APC disable count, IRQL.
    KERNEL_APC_PENDING_DURING_EXIT = 0x20;
    /// An IRP was sent on more often than it has stack locations: the IRP.
    NO_MORE_IRP_STACK_LOCATIONS = 0x35;
    /// A partial MDL is too small, or not within the whole: the target, the address, bytes, where the whole begins.
    TARGET_MDL_TOO_SMALL = 0x40;
    /// An IRP was completed twice, or was none: its address.
    MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44;
    /// Touched an address that is not mapped: address, operation, RIP.
    PAGE_FAULT_IN_NONPAGED_AREA = 0x50;
    /// Pages that the driver locked are still locked when its client is gone: 0, 0, how many.
    PROCESS_HAS_LOCKED_PAGES = 0x76;
    /// A trap that the kernel cannot go on from, mostly a stack that overflowed (8, a double fault): vector.
    UNEXPECTED_KERNEL_MODE_TRAP = 0x7F;
    /// Closed a handle that is none: the handle, 1.
    INVALID_KERNEL_HANDLE = 0x93;
    /// Wrote read-only memory: address, operation, RIP.
    ATTEMPTED_WRITE_TO_READONLY_MEMORY = 0xBE;
    /// Bad use of pool; the first parameter is the offence, see [`pool`].
    BAD_POOL_CALLER = 0xC2;
    /// Driver Verifier's: the first parameter is the offence, see [`sub`].
    DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4;
    /// A callback came back at another IRQL.
    IRQL_UNEXPECTED_VALUE = 0xC8;
    /// Driver Verifier's I/O checks: the first parameter is the offence, see [`io`].
    DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9;
    /// The driver touched bad memory at a raised IRQL: address, IRQL, operation, RIP.
    DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1;
    /// A work item is used against its rules: the first parameter is the offence, see [`worker`].
    WORKER_INVALID = 0xE4;
    /// Tried to execute memory that is not executable: address, page table flags are not given.
    ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY = 0xFC;
    /// The framework's: the first parameter is the offence, see [`wdf`].
    WDF_VIOLATION = 0x10D;
    /// Too long at a raised IRQL: the first parameter says where, see [`watchdog`].
    DPC_WATCHDOG_VIOLATION = 0x133;
    /// `__fastfail` or a damaged structure: its code.
    KERNEL_SECURITY_CHECK_FAILURE = 0x139;
    /// The lab itself failed: no verdict about the driver.
    LAB_FAILURE = 0x1AB0_0000;
    /// A wait that nobody can end: event, run-down word that still names the wait block, milliseconds, events set for stack waits.
    LOST_WAKEUP = 0x1AB0_0001;
    /// A wait on a stack event is longer than the limit: event, milliseconds, limit.
    STACK_WAIT_TIMEOUT = 0x1AB0_0002;
    /// The run is longer than its limit: seconds.
    RUN_TIMEOUT = 0x1AB0_0003;
    /// Calls an export that the lab does not have: caller.
    LAB_MISSING_EXPORT = 0x1AB0_0004;
    /// Uses a dispatcher object that is not initialised, or damaged: the object, its first word.
    BAD_DISPATCHER_OBJECT = 0x1AB0_0005;
    /// A request is not completed though it was cancelled, or its handle closed: its control code, milliseconds.
    REQUEST_NOT_COMPLETED = 0x1AB0_0006;
    /// A callback of the driver waits longer than the limit, without a timeout of its own: object, milliseconds, limit.
    CALLBACK_TIMEOUT = 0x1AB0_0007;
    /// A thread ends and owns a mutex: the thread, the mutex.
    THREAD_TERMINATE_HELD_MUTEX = 0x4000_008A;
}

first_parameters! {
    /// First parameters of [`BAD_POOL_CALLER`](super::BAD_POOL_CALLER).
    pool of BAD_POOL_CALLER {
        /// An allocation of 0 bytes: IRQL, pool type, size.
        NO_BYTES = 0x0;
        /// Freed a second time: address, tag, who freed it first.
        FREED_BEFORE = 0x7;
        /// Freed with another tag: address, its tag, the tag given.
        WRONG_TAG = 0xA;
        /// Freed what was never allocated: address.
        NEVER_ALLOCATED = 0x46;
        /// `ExAllocatePool2` with flags or a tag that it does not take: flags, size, tag.
        BAD_FLAGS = 0x9B;
    }
}

first_parameters! {
    /// First parameters of [`DRIVER_VERIFIER_DETECTED_VIOLATION`](super::DRIVER_VERIFIER_DETECTED_VIOLATION).
    sub of DRIVER_VERIFIER_DETECTED_VIOLATION {
        /// Paged pool is allocated above `APC_LEVEL`: IRQL, pool type, size.
        PAGED_POOL_AT_DISPATCH = 0x1;
        /// Paged pool is freed above `APC_LEVEL`: IRQL, pool type, address.
        PAGED_POOL_FREED_AT_DISPATCH = 0x11;
        /// A raise that lowers: IRQL, the one asked for.
        RAISE_TO_LOWER = 0x30;
        /// A lowering that raises: IRQL, the one asked for.
        LOWER_TO_HIGHER = 0x31;
        /// A fast mutex is released at another IRQL than `APC_LEVEL`: IRQL, the mutex.
        FAST_MUTEX_RELEASE_LEVEL = 0x34;
        /// A resource is acquired in a client's request with normal kernel APCs enabled: IRQL, 0, the resource.
        RESOURCE_ACQUIRED_WITH_APCS = 0x37;
        /// A resource is released in a client's request with normal kernel APCs enabled: IRQL, 0, the resource.
        RESOURCE_RELEASED_WITH_APCS = 0x38;
        /// A mutex is acquired by its `Unsafe` routine with APCs enabled: IRQL, 0, the mutex.
        UNSAFE_ACQUIRE_WITH_APCS = 0x39;
        /// A mutex is released by its `Unsafe` routine with APCs enabled: IRQL, 0, the mutex.
        UNSAFE_RELEASE_WITH_APCS = 0x3A;
        /// A wait at `DISPATCH_LEVEL` or above: IRQL, object, timeout pointer.
        WAIT_AT_DISPATCH = 0x3B;
        /// A resource lies at no multiple of 8: 0, 0, the resource.
        RESOURCE_MISALIGNED = 0x3D;
        /// Unloaded with pool: name, 0, blocks, bytes.
        POOL_LEAKED = 0x62;
        /// `MmUnlockPages` of an MDL whose pages are not locked: the MDL, its flags.
        MDL_NOT_LOCKED = 0x7C;
        /// `MmUnlockPages` of an MDL of nonpaged pool: the MDL, its flags.
        MDL_OF_POOL_UNLOCKED = 0x7D;
        /// `MmBuildMdlForNonPagedPool` of memory that can be paged out, or is a stack: IRQL, the MDL, its flags.
        MDL_OF_PAGED_POOL = 0x7F;
        /// `MmMapLockedPagesSpecifyCache` with `BugCheckOnFailure`: the MDL, its flags.
        MDL_BUG_CHECK_ON_FAILURE = 0x82;
        /// `MmProbeAndLockPages` of an MDL that is locked, mapped or of nonpaged pool already: the MDL, its flags, the wrong ones.
        MDL_LOCKED_AGAIN = 0xB0;
        /// `MmMapLockedPagesSpecifyCache` of an MDL that is mapped already: the MDL, its flags, the wrong ones.
        MDL_MAPPED_AGAIN = 0xB2;
        /// `MmMapLockedPagesSpecifyCache` of an MDL whose pages are not locked: the MDL, its flags, the missing ones.
        MDL_MAPPED_UNLOCKED = 0xB3;
        /// `MmUnlockPages` of a partial MDL: the MDL, its flags.
        PARTIAL_MDL_UNLOCKED = 0xB4;
        /// `MmUnmapLockedPages` of an MDL that is not mapped there: the MDL, its flags.
        MDL_NOT_MAPPED = 0xB6;
        /// `IoFreeMdl` of an MDL whose pages are still locked or mapped: the MDL, its flags.
        MDL_FREED_IN_USE = 0xB8;
        /// A lookaside list is initialised again: the list.
        LOOKASIDE_INITIALIZED_TWICE = 0xCA;
        /// A lookaside list is deleted that was not initialised: the list.
        LOOKASIDE_NOT_INITIALIZED = 0xCB;
        /// Freed memory, or unloaded, with an active lookaside list in it: the list, the memory, its size.
        LOOKASIDE_FREED = 0xCC;
        /// A lookaside list for blocks that are too small: the list, the size, the least.
        LOOKASIDE_TOO_SMALL = 0xCD;
        /// A resource is initialised again: the resource.
        RESOURCE_INITIALIZED_TWICE = 0xD0;
        /// A resource is deleted that was not initialised: the resource.
        RESOURCE_NOT_INITIALIZED = 0xD1;
        /// Freed memory, or unloaded, with an active resource in it: the resource, the memory, its size.
        RESOURCE_FREED = 0xD2;
        /// A remove lock is released with a tag that it was not acquired with: the lock, the tag.
        REMOVE_LOCK_TAG = 0xD5;
        /// A remove lock is released for good with a tag that it was not acquired with: the lock, the tag.
        REMOVE_LOCK_LAST_TAG = 0xD6;
        /// A remove lock is initialised again: the lock, the lock.
        REMOVE_LOCK_INITIALIZED_TWICE = 0xD7;
        /// `EtwUnregister` is given a handle that is none: the handle.
        BAD_ETW_HANDLE = 0xDC;
        /// Unloaded with an ETW provider registered: who registered it, the driver's base, the handle.
        ETW_PROVIDER_LEFT = 0xDD;
        /// A thread acquires a lock again that it cannot get while it has it: the lock.
        SELF_DEADLOCK = 0x1000;
        /// Spin locks or fast mutexes are taken in two orders, which can deadlock: the lock, the one held.
        LOCK_ORDER = 0x1001;
        /// A lock is used that was not initialised: the lock.
        LOCK_NOT_INITIALIZED = 0x1002;
        /// A lock is released by a thread that does not have it: the lock, its owner, the thread.
        LOCK_OF_ANOTHER_THREAD = 0x1004;
        /// A lock is released that nobody has: the lock.
        LOCK_NOT_ACQUIRED = 0x1007;
        /// A thread ends and owns a lock: the thread, the lock.
        THREAD_OWNS_LOCK = 0x100A;
        /// A lock is deleted, or its memory freed, while it is owned: the lock, its owner.
        OWNED_LOCK_DELETED = 0x100B;
        /// Called above `APC_LEVEL`, where the DDI page does not allow it: IRQL, the highest allowed, caller.
        IRQL_APC_LTE = 0x20002;
        /// Called above `DISPATCH_LEVEL`, where the DDI page does not allow it: IRQL, the highest allowed, caller.
        IRQL_DISPATCH = 0x20003;
        /// Returned with a spin lock held: how many.
        SPIN_LOCK_HELD = 0x1AB1;
        /// Unloaded with an object of the kernel's alive: what, see [`leaked`](super::leaked); its address.
        OBJECT_LEAKED = 0x1AB2;
        /// Freed memory that holds a timer, a DPC or a remove lock that is in use: block, object, size.
        FREED_IN_USE = 0x1AB3;
        /// Unloaded with an object of the I/O manager's alive: what, see [`io_leaked`](super::io_leaked); how many.
        IO_OBJECT_LEAKED = 0x1AB6;
        /// Unloaded with framework objects alive: how many, the first one's handle.
        WDF_OBJECT_LEAKED = 0x1AB7;
        /// A wait that can end early, or lets the stack leave memory, on an object that lies on a stack: the object, `WaitMode`, `Alertable`.
        WAIT_ON_STACK = 0x1AB9;
        /// A mutex is waited for in `UserMode`: the mutex.
        MUTEX_WAIT_MODE = 0x1ABA;
        /// A handle is made in a client's process without `OBJ_KERNEL_HANDLE`: the attributes.
        USER_HANDLE = 0x1ABB;
        /// Told `Wait=TRUE`, and no wait follows: caller.
        WAIT_DOES_NOT_FOLLOW = 0x1ABC;
        /// A run-down reference is released more often than it was acquired: reference, its word, who acquired last.
        RUNDOWN_OVER_RELEASED = 0x1ABD;
        /// A run-down reference is released although run-down is complete, as after a refused acquire: reference, its word, who acquired
        /// last.
        RUNDOWN_RELEASED_AFTER = 0x1ABE;
        /// A run-down reference is initialised, re-initialised or completed while it is held or waited for: reference, its word, who acquired
        /// last.
        RUNDOWN_INITIALIZED_IN_USE = 0x1ABF;
        /// Freed memory with a run-down reference in it that is held or waited for: block, reference, who acquired last.
        RUNDOWN_FREED_IN_USE = 0x1AC0;
        /// A run-down reference is waited for a second time, which on NT never returns: reference, its word, who waits.
        RUNDOWN_WAITED_TWICE = 0x1AC1;
        /// A run-down routine is given what lies at no multiple of 8: its address.
        RUNDOWN_MISALIGNED = 0x1AC2;
    }
}

branches! {
    /// Second parameters of [`OBJECT_LEAKED`](sub::OBJECT_LEAKED).
    leaked of OBJECT_LEAKED {
        /// Unloaded with a DPC queued or running.
        DPC = 1;
        /// Unloaded with a timer set.
        TIMER = 2;
        /// Unloaded with a thread alive.
        THREAD = 3;
        /// Unloaded with a handle open.
        HANDLE = 4;
        /// Unloaded with a thread, device or process referenced.
        REFERENCE = 5;
        /// Unloaded without a `KeFlushQueuedDpcs` since its last DPC.
        UNFLUSHED_DPC = 6;
    }
}

branches! {
    /// Second parameters of [`IO_OBJECT_LEAKED`](sub::IO_OBJECT_LEAKED).
    io_leaked of IO_OBJECT_LEAKED {
        /// Unloaded with a device.
        DEVICE = 1;
        /// Unloaded with a symbolic link.
        LINK = 2;
        /// Unloaded with an IRP.
        IRP = 3;
        /// Unloaded with an MDL.
        MDL = 4;
        /// Unloaded with a work item.
        WORK_ITEM = 5;
    }
}

first_parameters! {
    /// First parameters of [`DRIVER_VERIFIER_IOMANAGER_VIOLATION`](super::DRIVER_VERIFIER_IOMANAGER_VIOLATION).
    io of DRIVER_VERIFIER_IOMANAGER_VIOLATION {
        /// A routine is given what is no device object: its address.
        NO_DEVICE = 0x4;
        /// An IRP is completed with `STATUS_PENDING` or -1: status, IRP.
        COMPLETED_AS_PENDING = 0x6;
        /// An IRP is completed while its cancel routine is set: IRP.
        CANCEL_ROUTINE_SET = 0x7;
        /// A dispatch routine returned neither `STATUS_PENDING` nor with its IRP completed: what it returned.
        NOT_COMPLETED = 0x1AB4;
        /// A device is deleted while it is attached: the device.
        BAD_DEVICE_DELETION = 0x1AB5;
        /// More bytes are said to be written than the output buffer holds: bytes, its length.
        INFORMATION_TOO_LARGE = 0x1AB8;
    }
}

first_parameters! {
    /// First parameters of [`WORKER_INVALID`](super::WORKER_INVALID).
    worker of WORKER_INVALID {
        /// A work item is freed while it is queued: the item.
        FREED = 0x0;
        /// A work item is queued that is queued already: the item.
        QUEUED = 0x1;
    }
}

first_parameters! {
    /// First parameters of [`WDF_VIOLATION`](super::WDF_VIOLATION), as the bug check's page lists them.
    wdf of WDF_VIOLATION {
        /// A lock is acquired by the thread that holds it.
        LOCK_HELD = 0x2;
        /// A null pointer or handle where there must be one.
        NULL_PARAMETER = 0x4;
        /// No handle, or one of another type.
        BAD_HANDLE = 0x5;
        /// A request is completed or sent against its rules: how (1, no stack location left; 2, no IRP; 3, sent already; 4, more bytes than it has
        /// room for; 5, in no queue).
        REQUEST = 0x6;
        /// An object is dereferenced away instead of deleted.
        DEREFERENCED_AWAY = 0x7;
        /// A queue, or a request in it, is used against its rules.
        QUEUE = 0xA;
        /// A lock is released by a thread that does not hold it.
        LOCK_NOT_HELD = 0xB;
        /// A routine is used against its rules: the handle.
        RULE = 0x1AB9;
    }
}

first_parameters! {
    /// First parameters of [`DPC_WATCHDOG_VIOLATION`](super::DPC_WATCHDOG_VIOLATION).
    watchdog of DPC_WATCHDOG_VIOLATION {
        /// A DPC routine runs too long: milliseconds, limit, RIP.
        DPC = 0x0;
        /// Code stays at `DISPATCH_LEVEL` or above too long: milliseconds, limit, RIP.
        RAISED = 0x1;
    }
}

/// A code's name.
#[must_use]
pub fn name(code: u32) -> &'static str {
    CODES
        .iter()
        .find(|check| check.code == code)
        .map_or("UNKNOWN_BUGCHECK", |check| check.name)
}

/// Every check: a code by itself, or each of its first parameters where those tell offences apart; and of these each branch.
pub fn checks() -> impl Iterator<Item = Check> {
    const FIRST: [&[Check]; 6] = [
        pool::CHECKS,
        sub::CHECKS,
        io::CHECKS,
        worker::CHECKS,
        wdf::CHECKS,
        watchdog::CHECKS,
    ];
    const BRANCHES: [&[Check]; 2] = [leaked::CHECKS, io_leaked::CHECKS];
    let checks = CODES.iter().flat_map(|code| {
        let first = FIRST.into_iter().find(|checks| checks[0].code == code.code);
        first.unwrap_or(core::slice::from_ref(code))
    });
    checks.flat_map(|check| {
        let branches = BRANCHES
            .into_iter()
            .find(|branches| (branches[0].code, branches[0].first) == (check.code, check.first));
        branches.unwrap_or(core::slice::from_ref(check)).iter().copied()
    })
}

/// The check that a bug check is, by its code and first parameter.
#[must_use]
pub fn find(code: u32, first: u64) -> Option<Check> {
    checks().find(|check| check.code == code && check.first.is_none_or(|value| value == first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_checks_are_the_same() {
        let mut all: alloc::vec::Vec<_> = checks()
            .map(|check| (check.code, check.first, check.second))
            .collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn a_bug_check_is_found_by_code_and_first_parameter() {
        let leak = find(DRIVER_VERIFIER_DETECTED_VIOLATION, sub::POOL_LEAKED).unwrap();
        assert_eq!(leak.name, "POOL_LEAKED");
        assert_eq!(find(DRIVER_VERIFIER_DETECTED_VIOLATION, 0x7777), None);
        assert_eq!(
            find(LOST_WAKEUP, 0xFFFF_8000_0000_0000).unwrap().name,
            "LOST_WAKEUP"
        );
        assert_eq!(name(0x133), "DPC_WATCHDOG_VIOLATION");
        assert_eq!(name(0xDEAD), "UNKNOWN_BUGCHECK");
    }
}
