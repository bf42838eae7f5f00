//! Imports that the lab does not have. A driver may import what it never calls, so each is bound to a trap with its own name; a variable to an
//! address where nothing is mapped, which the report of the fault names.

use crate::export::Export;
use crate::lock::IrqLock;
use crate::mm::{MISSING, PAGE};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// What `ntoskrnl.exe` and `HAL.dll` export as variables (wdm.h, ntddk.h, ntifs.h); everything else is a function.
const VARIABLES: &[&str] = &[
    "CmKeyObjectType",
    "ExDesktopObjectType",
    "ExEventObjectType",
    "ExSemaphoreObjectType",
    "ExWindowStationObjectType",
    "FsRtlReservedName",
    "HalDispatchTable",
    "InitSafeBootMode",
    "IoAdapterObjectType",
    "IoDeviceHandlerObjectType",
    "IoDeviceObjectType",
    "IoDriverObjectType",
    "IoFileObjectType",
    "KdDebuggerEnabled",
    "KdDebuggerNotPresent",
    "KeLoaderBlock",
    "KeNumberProcessors",
    "KeTickCount",
    "MmBadPointer",
    "MmHighestUserAddress",
    "MmSectionObjectType",
    "MmSystemRangeStart",
    "MmUserProbeAddress",
    "NlsMbCodePageTag",
    "NlsMbOemCodePageTag",
    "NtBuildGUID",
    "NtBuildLab",
    "NtBuildNumber",
    "NtGlobalFlag",
    "PsInitialSystemProcess",
    "PsJobType",
    "PsProcessType",
    "SeExports",
    "SeTokenObjectType",
    "TmEnlistmentObjectType",
    "TmResourceManagerObjectType",
    "TmTransactionManagerObjectType",
    "TmTransactionObjectType",
];

/// Functions and variables that were asked for, each made once and there for ever.
static TRAPS: IrqLock<Vec<&'static Export>> = IrqLock::new(Vec::new());
static BOUND_VARIABLES: IrqLock<Vec<&'static str>> = IrqLock::new(Vec::new());

/// What an import of that name is bound to instead.
pub enum Substitute {
    /// A trap.
    Function(&'static Export),
    /// An address that faults.
    Variable(u64),
}

/// The substitute for what `module` does not export.
pub fn substitute(module: &str, name: &str) -> Substitute {
    if let Some(&name) = VARIABLES.iter().find(|known| **known == name) {
        let mut bound = BOUND_VARIABLES.lock();
        let index = bound.iter().position(|other| *other == name).unwrap_or_else(|| {
            bound.push(name);
            bound.len() - 1
        });
        return Substitute::Variable(MISSING + index as u64 * PAGE);
    }
    let mut traps = TRAPS.lock();
    let known = (traps.iter()).find(|trap| trap.name == name && trap.module.eq_ignore_ascii_case(module));
    Substitute::Function(known.copied().unwrap_or_else(|| {
        let leak = |text: &str| -> &'static str { String::leak(text.to_owned()) };
        let trap: &'static Export = Box::leak(Box::new(Export::trap(leak(name)).of(leak(module))));
        traps.push(trap);
        trap
    }))
}

/// The variable that an address stands for. For a report on a frozen machine.
pub fn variable_at(address: u64) -> Option<&'static str> {
    let index = address.checked_sub(MISSING)? / PAGE;
    BOUND_VARIABLES.try_lock()?.get(index as usize).copied()
}
