//! What `ntoskrnl.exe` and `HAL.dll` export of the kernel layer, as win64 functions. IRQL ranges are the DDI pages'.
//!
//! Every pointer parameter is the driver's: the DDI page says what must lie there, and a pointer that is wrong faults in
//! here and is reported with the export's name and its caller. That is the contract each `SAFETY` comment refers to as "the DDI".

mod dpcs;
mod irql;
mod objects;
mod parameter;
mod processors;
mod spin_locks;
mod time;
mod waits;

use crate::export::Export;

/// The kernel layer's tables of exports.
pub static TABLES: [&[Export]; 7] = [
    irql::EXPORTS,
    objects::EXPORTS,
    waits::EXPORTS,
    dpcs::EXPORTS,
    spin_locks::EXPORTS,
    time::EXPORTS,
    processors::EXPORTS,
];
