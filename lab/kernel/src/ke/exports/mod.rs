//! What `ntoskrnl.exe` and `HAL.dll` export of the kernel layer, as win64 functions. IRQL ranges are the DDI pages'.
//!
//! Every pointer parameter is the driver's: the DDI page says what must lie there, and a pointer that is wrong faults in
//! here and is reported with the export's name and its caller. That is the contract each `SAFETY` comment refers to as "the DDI".

mod dpcs;
mod irql;
mod objects;
mod processors;
mod spin_locks;
mod time;
mod waits;

use super::irql::{APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL};
use super::object::{Header, Kind};
use crate::hal::pcr;
use crate::judge::{self, code};
use crate::ldr::export::Export;
use core::ops::RangeInclusive;

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

const STATUS_INVALID_PARAMETER: i32 = 0xC000_000D_u32 as i32;
const STATUS_SUCCESS: i32 = 0;

const PASSIVE: RangeInclusive<u8> = PASSIVE_LEVEL..=PASSIVE_LEVEL;
const APC: RangeInclusive<u8> = 0..=APC_LEVEL;
const DISPATCH: RangeInclusive<u8> = 0..=DISPATCH_LEVEL;
const ANY: RangeInclusive<u8> = 0..=HIGH_LEVEL;
const RAISED: RangeInclusive<u8> = DISPATCH_LEVEL..=HIGH_LEVEL;

/// The object at `address`, which must be initialised and of one of these kinds.
fn object(address: *const Header, kinds: &[Kind]) -> &'static Header {
    // SAFETY: the DDI asks for a dispatcher object that stays until the call, or the wait, is over.
    let header = unsafe { Header::at(address) };
    if !header.kind().is_some_and(|kind| kinds.contains(&kind)) {
        // SAFETY: read above already.
        let word = unsafe { address.cast::<u64>().read_volatile() };
        judge::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [address as u64, word, 0, 0],
            format_args!(
                "{} is given {address:p}, which is no initialised object of its kind, or a damaged one",
                pcr::current_thread()
                    .inside()
                    .map_or("a routine", |export| export.name)
            ),
        );
    }
    header
}
