//! A suspension to S3 or S4 and the way back, as far as a root device's driver can see it without being asked: every processor
//! stands still for a while, time goes on, and the time-stamp counter begins anew.
//!
//! The last is the processor's doing ("the time-stamp counter ... is cleared to 0 following a RESET", Intel's manual), and QEMU's TCG has
//! none that the machine could do to itself. So from the first suspension on the driver's RDTSC instructions, whose
//! places the host has read off its code, are `int` instructions of the same length. No power request is sent: the
//! lab has no power states beyond D0, and its framework passes `IRP_MJ_POWER` down.

use crate::hal::direct_map::physical;
use crate::hal::trap::TrapFrame;
use crate::hal::{clock, cpu};
use crate::ke::irql::{HIGH_LEVEL, Raised};
use crate::ke::{processor, spawn, thread, wait};
use crate::ldr::image::{self, Role};
use crate::lock::IrqLock;
use crate::mm::{pageable, paging};
use crate::{log, status};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What stands in place of an RDTSC.
pub const VECTOR: u8 = 0x81;
/// `rdtsc`, and `int VECTOR`.
const RDTSC: [u8; 2] = [0x0F, 0x31];
const INT: [u8; 2] = [0xCD, VECTOR];
/// How long the machine sleeps, milliseconds.
const ASLEEP: u64 = 100;
/// What the counter has reached when the first instruction of the driver's runs again, cycles.
const AWAKE: u64 = 1_000_000;

/// Where the driver reads the counter, relative to its base.
static READS: IrqLock<Vec<u32>> = IrqLock::new(Vec::new());
/// What to subtract from the machine's counter; 0 until the first suspension.
static RESTARTED: AtomicU64 = AtomicU64::new(0);
/// Processors that stand still, and how often all of them were let go.
static STILL: AtomicU32 = AtomicU32::new(0);
static AWAKENINGS: AtomicU32 = AtomicU32::new(0);

/// Takes over where the driver reads the time-stamp counter.
pub fn install(reads: &[u32]) {
    *READS.lock() = reads.to_vec();
}

/// A driver was loaded; its reads are those of a machine that was suspended before, if it was.
pub fn loaded() {
    if RESTARTED.load(Ordering::Relaxed) != 0 {
        divert();
    }
}

/// Suspends the machine, and wakes it.
///
/// # Errors
/// `STATUS_NOT_SUPPORTED` if the host did not say where the driver reads the time-stamp counter.
///
/// # IRQL
/// `PASSIVE_LEVEL`.
pub fn suspend() -> Result<(), i32> {
    if READS.lock().is_empty() {
        return Err(status::NOT_SUPPORTED);
    }
    let before = processor::set_affinity(1);
    let others = processor::count() as u32 - 1;
    // Acquire: pairs with the Release below; a suspension before this one is over.
    let awakenings = AWAKENINGS.load(Ordering::Acquire);
    for number in 1..processor::count() {
        spawn::spawn("Suspended", move || stand_still(number, awakenings));
    }
    // Acquire: pairs with the Release of each that stands still.
    while STILL.load(Ordering::Acquire) != others {
        wait::sleep(1);
    }
    divert();
    let asleep = Raised::to(HIGH_LEVEL);
    cpu::stall(ASLEEP * clock::cycles_per_millisecond());
    RESTARTED.store(cpu::rdtsc() - AWAKE, Ordering::Relaxed);
    STILL.store(0, Ordering::Relaxed);
    // Release: whoever goes on sees the counter begin anew.
    AWAKENINGS.fetch_add(1, Ordering::Release);
    drop(asleep);
    processor::set_affinity(before);
    log!("log: suspended for {ASLEEP} ms; the time-stamp counter began anew");
    Ok(())
}

/// Keeps processor `number` until the machine wakes.
fn stand_still(number: usize, awakenings: u32) {
    // A running thread is in no ready queue, so its priority may be changed in place.
    thread::current()
        .priority
        .store(thread::HIGH_PRIORITY, Ordering::Relaxed);
    processor::set_affinity(1 << number);
    let _still = Raised::to(HIGH_LEVEL);
    // Release: pairs with the Acquire in `suspend`; nothing of this processor's is under way.
    STILL.fetch_add(1, Ordering::Release);
    // Acquire: pairs with the Release at the end of the sleep.
    while AWAKENINGS.load(Ordering::Acquire) == awakenings {
        core::hint::spin_loop();
    }
}

/// Has every RDTSC of the driver's ask [`read`], those in sections that are gone for good apart.
fn divert() {
    let (base, _) = image::range(Role::Driver);
    for &read in READS.lock().iter() {
        for (address, (from, to)) in (base + u64::from(read)..).zip(RDTSC.into_iter().zip(INT)) {
            if !paging::is_mapped(address) && !pageable::page_in(address) {
                continue;
            }
            let Some(byte) = paging::physical_address(address).map(physical) else {
                continue;
            };
            // SAFETY: a byte of the driver's code, which no other processor executes now, through the direct map.
            let found = unsafe { byte.read_volatile() };
            if found == from {
                // SAFETY: as above.
                unsafe { byte.write_volatile(to) };
            }
        }
    }
}

/// An RDTSC of the driver's since the first suspension.
pub fn read(frame: &mut TrapFrame) {
    let now = cpu::rdtsc() - RESTARTED.load(Ordering::Relaxed);
    frame.rax = now & 0xFFFF_FFFF;
    frame.rdx = now >> 32;
}
