//! Bug check codes. Source: Microsoft's "Bug Check Code Reference"; the lab's own begin with `1AB0`.

macro_rules! codes {
    ($($(#[$documentation:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$documentation])* pub const $name: u32 = $value;)*

        /// A code's name.
        pub fn name(code: u32) -> &'static str {
            match code {
                $($name => stringify!($name),)*
                _ => "UNKNOWN_BUGCHECK",
            }
        }
    };
}

codes! {
    /// Called at too low an IRQL: caller, IRQL, least IRQL.
    IRQL_NOT_GREATER_OR_EQUAL = 0x9;
    /// The kernel touched bad memory at a raised IRQL on the driver's behalf: address, IRQL, operation, RIP.
    IRQL_NOT_LESS_OR_EQUAL = 0xA;
    /// Taken twice on one processor: the lock.
    SPIN_LOCK_ALREADY_OWNED = 0xF;
    /// Released without holding it: the lock, its word.
    SPIN_LOCK_NOT_OWNED = 0x10;
    /// An IRP was sent on more often than it has stack locations: the IRP.
    NO_MORE_IRP_STACK_LOCATIONS = 0x35;
    /// An IRP was completed twice, or was none: its address.
    MULTIPLE_IRP_COMPLETE_REQUESTS = 0x44;
    /// A mutex is released by a thread that does not own it.
    MUTANT_NOT_OWNED = 0x46;
    /// An exception that nobody handled: its status, RIP, two parameters of its own.
    KMODE_EXCEPTION_NOT_HANDLED = 0x1E;
    /// Touched an address that is not mapped: address, operation, RIP.
    PAGE_FAULT_IN_NONPAGED_AREA = 0x50;
    /// A trap that the kernel cannot go on from: vector.
    UNEXPECTED_KERNEL_MODE_TRAP = 0x7F;
    /// Tried to execute memory that is not executable: address, page table flags are not given.
    ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY = 0xFC;
    /// Wrote read-only memory: address, operation, RIP.
    ATTEMPTED_WRITE_TO_READONLY_MEMORY = 0xBE;
    /// Freed what is not pool, or freed it twice: 0x46 and the address (never allocated), 7 and the address (freed before),
    /// 0xA with the address, its tag and the tag given.
    BAD_POOL_CALLER = 0xC2;
    /// Wrote behind a block's end: 0x20, the block, the first byte, its size.
    BAD_POOL_HEADER = 0x19;
    /// Driver Verifier's: the first parameter is the offence, see [`sub`].
    DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4;
    /// A callback came back at another IRQL.
    IRQL_UNEXPECTED_VALUE = 0xC8;
    /// Driver Verifier's I/O checks: 4 no device object, 6 completed as pending, 7 completed with a cancel routine set, or of [`sub`].
    DRIVER_VERIFIER_IOMANAGER_VIOLATION = 0xC9;
    /// Memory of an unloaded driver was used.
    DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS = 0xCE;
    /// The driver touched bad memory at a raised IRQL: address, IRQL, operation, RIP.
    DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1;
    /// The framework's: the first parameter is the offence, as the bug check's page lists them, or of [`sub`].
    WDF_VIOLATION = 0x10D;
    /// Too long in a DPC (0) or at a raised IRQL (1): milliseconds, limit, DPC routine or RIP.
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
    /// A request is not completed though it was cancelled, or its handle closed: its control code, milliseconds.
    REQUEST_NOT_COMPLETED = 0x1AB0_0006;
    /// Uses a dispatcher object that is not initialised, or damaged: the object, its first word.
    BAD_DISPATCHER_OBJECT = 0x1AB0_0005;
}

/// First parameters of [`DRIVER_VERIFIER_DETECTED_VIOLATION`].
pub mod sub {
    /// A `KeWait*` at `DISPATCH_LEVEL` or above: IRQL, object, timeout pointer.
    pub const WAIT_AT_DISPATCH: u64 = 0x3B;
    /// Returned with a spin lock held: how many. (NT's 0x31 family checks release only; this value is the lab's.)
    pub const SPIN_LOCK_HELD: u64 = 0x1AB1;
    /// Unloaded with pool: name, 0, blocks, bytes.
    pub const POOL_LEAKED: u64 = 0x62;
    /// Unloaded with a DPC, timer, thread or handle alive: what (1 DPC, 2 timer, 3 thread, 4 handle), its address.
    pub const OBJECT_LEAKED: u64 = 0x1AB2;
    /// A raise that lowers, or a lowering that raises: IRQL, the one asked for. NT's codes for the two.
    pub const RAISE_TO_LOWER: u64 = 0x30;
    /// As above.
    pub const LOWER_TO_HIGHER: u64 = 0x31;
    /// Freed memory holds a timer, a DPC or a lock that is in use.
    pub const FREED_IN_USE: u64 = 0x1AB3;
    /// A dispatch routine returned neither `STATUS_PENDING` nor with its IRP completed: what it returned.
    pub const NOT_COMPLETED: u64 = 0x1AB4;
    /// A device is deleted while it is open, attached, or attached to: the device.
    pub const BAD_DEVICE_DELETION: u64 = 0x1AB5;
    /// Unloaded with a device, symbolic link or IRP alive: what (1 device, 2 link, 3 IRP), how many.
    pub const IO_OBJECT_LEAKED: u64 = 0x1AB6;
    /// Unloaded with framework objects alive: how many, the first one's handle.
    pub const WDF_OBJECT_LEAKED: u64 = 0x1AB7;
    /// More bytes are said to be written than the output buffer holds: bytes, its length.
    pub const INFORMATION_TOO_LARGE: u64 = 0x1AB8;
    /// A framework routine was used against its rules: the handle.
    pub const WDF_RULE: u64 = 0x1AB9;
    /// A handle that is not one.
    pub const BAD_HANDLE: u64 = 0xF6;
    /// DDI compliance: at or below `APC_LEVEL` only.
    pub const IRQL_APC_LTE: u64 = 0x20002;
    /// DDI compliance: at or below `DISPATCH_LEVEL` only.
    pub const IRQL_DISPATCH: u64 = 0x20003;
}
