//! Routines that are to be called at a bug check, and the debugger. None is called: the report is the lab's, and what such a routine would add to a crash
//! dump nobody reads here. No debugger is there.

use super::irql_ranges::ANY;
use crate::export::Export;
use crate::io::object::Field;

/// `KBUGCHECK_REASON_CALLBACK_RECORD`, 0x30 bytes. The registration fills it in, and KMDF looks there for the routine (fxbugcheckcallback.cpp).
#[repr(C)]
struct Record {
    links: [Field<u64>; 2],
    routine: Field<u64>,
    component: Field<u64>,
    checksum: Field<u64>,
    reason: Field<u32>,
    /// `BufferEmpty` or `BufferInserted`.
    state: Field<u8>,
}

const _: () = assert!(size_of::<Record>() == 0x30);
const EMPTY: u8 = 0;
const INSERTED: u8 = 1;

unsafe extern "win64" fn ke_register_bug_check_reason_callback(
    address: *const Record,
    routine: u64,
    reason: u32,
    component: u64,
) -> u8 {
    // SAFETY: the DDI: a record of the driver's that stays while it is registered.
    let record = unsafe { &*address };
    if record.state.get() != EMPTY {
        return 0;
    }
    record.routine.set(routine);
    record.component.set(component);
    record.reason.set(reason);
    record.state.set(INSERTED);
    1
}

unsafe extern "win64" fn ke_deregister_bug_check_reason_callback(address: *const Record) -> u8 {
    // SAFETY: the DDI: a record of the driver's that stays while it is registered.
    let record = unsafe { &*address };
    let was_inserted = record.state.get() == INSERTED;
    record.state.set(EMPTY);
    was_inserted.into()
}

/// What `KD_DEBUGGER_ENABLED` and `KD_DEBUGGER_NOT_PRESENT` read.
static ENABLED: u8 = 0;
static NOT_PRESENT: u8 = 1;

/// No debugger is attached, and so it stays.
unsafe extern "win64" fn kd_refresh_debugger_not_present() -> u8 {
    1
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "KeRegisterBugCheckReasonCallback",
        ANY,
        ke_register_bug_check_reason_callback as *const (),
    ),
    Export::function(
        "KeDeregisterBugCheckReasonCallback",
        ANY,
        ke_deregister_bug_check_reason_callback as *const (),
    ),
    Export::function(
        "KdRefreshDebuggerNotPresent",
        ANY,
        kd_refresh_debugger_not_present as *const (),
    )
    .quiet(),
    Export::data("KdDebuggerEnabled", (&raw const ENABLED).cast()),
    Export::data("KdDebuggerNotPresent", (&raw const NOT_PRESENT).cast()),
];
