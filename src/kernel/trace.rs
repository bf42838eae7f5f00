//! The driver's trace: what happened last, in a ring in memory, for a kernel debugger and for dumps.
//!
//! `!rundownlab` of `debugger/rundown.js` shows it. A line is written per run, per turn and per stalled wait, never per
//! operation.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, Release},
};

use ex_rundown::arch;

use super::processors;

/// How many records the ring holds; older ones are overwritten.
const CAPACITY: usize = 256;
/// What a ring begins with.
const SIGNATURE: u64 = u64::from_le_bytes(*b"RdwnTrac");

/// What happened, and what its arguments are.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Event {
    /// A run begins: its number, the set of its arms, its workload, 0.
    RunBegins = 1,
    /// A turn begins: the run's number, the turn's, the arm, 0.
    TurnBegins = 2,
    /// A turn is over: the run's number, the turn's, the arm, acquires granted by the arm so far.
    TurnEnds = 3,
    /// A wait lasts too long: the reference's address, its word (0 unless it is one word), the holders inside as bits, the
    /// arm in the upper 8 bits over the cycles so far.
    Stalled = 4,
    /// A run has ended by itself: its number, turns that are over, 0, 0.
    RunEnds = 5,
    /// A run is told to stop: its number, 0, 0, 0.
    RunStops = 6,
}

/// A record of 64 bytes.
#[repr(C, align(64))]
struct Record {
    /// Offset 0x00: its number from 1, written last; 0 while it is being written.
    number: AtomicU64,
    /// Offset 0x08: the time stamp counter.
    cycles: AtomicU64,
    /// Offset 0x10: the [`Event`], and the processor in the upper half.
    event: AtomicU64,
    /// Offset 0x18.
    arguments: [AtomicU64; 4],
    /// Offset 0x38: zero.
    reserved: AtomicU64,
}

/// The ring.
#[repr(C, align(64))]
struct Ring {
    /// Offset 0x00: [`SIGNATURE`], to find it in a dump.
    signature: u64,
    /// Offset 0x08.
    capacity: u64,
    /// Offset 0x10: bytes of a record.
    record: u64,
    /// Offset 0x18: how many records were written since the driver was loaded. Number *n* is in place (*n* - 1) mod capacity.
    written: AtomicU64,
    /// Offset 0x40.
    records: [Record; CAPACITY],
}

const _: () = assert!(size_of::<Record>() == 64 && core::mem::offset_of!(Ring, records) == 64);

/// The ring, by a name that a debugger finds: `rundown!RUNDOWN_TRACE`.
// SAFETY: no other symbol of the image has this name.
#[unsafe(no_mangle)]
static RUNDOWN_TRACE: Ring = Ring {
    signature: SIGNATURE,
    capacity: CAPACITY as u64,
    record: size_of::<Record>() as u64,
    written: AtomicU64::new(0),
    records: [const {
        Record {
            number: AtomicU64::new(0),
            cycles: AtomicU64::new(0),
            event: AtomicU64::new(0),
            arguments: [const { AtomicU64::new(0) }; 4],
            reserved: AtomicU64::new(0),
        }
    }; CAPACITY],
};

/// Writes a record.
///
/// # IRQL
/// Any.
pub(crate) fn record(event: Event, arguments: [u64; 4]) {
    // Relaxed: it only has to be a number of its own. Two writers meet in one record when the ring is once round between them.
    let index = RUNDOWN_TRACE.written.fetch_add(1, Relaxed);
    #[expect(clippy::cast_possible_truncation, reason = "below the capacity")]
    let record = &RUNDOWN_TRACE.records[(index % CAPACITY as u64) as usize];
    record.number.store(0, Relaxed);
    // Relaxed: the number tells a reader that they are complete.
    record.cycles.store(arch::timestamp(), Relaxed);
    let processor = u64::from(processors::current()) << 32;
    record.event.store(processor | event as u64, Relaxed);
    for (cell, argument) in record.arguments.iter().zip(arguments) {
        cell.store(argument, Relaxed);
    }
    // Release: who reads the number first reads what belongs to it. A debugger reads a machine that stands still.
    record.number.store(index + 1, Release);
}
