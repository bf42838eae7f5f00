//! `KUSER_SHARED_DATA`: the page that the kernel writes and everybody reads. Offsets as in the WDK's ntddk.h.

use super::paging::{self, Protection};
use super::{PAGE, frames};
use crate::config::Config;
use crate::hal::clock;
use crate::hal::direct_map::physical;
use core::sync::atomic::{AtomicU64, Ordering};

/// Where drivers read it, on x64.
pub const ADDRESS: u64 = 0xFFFF_F780_0000_0000;

const INTERRUPT_TIME: usize = 0x08;
const SYSTEM_TIME: usize = 0x14;
const NT_BUILD_NUMBER: usize = 0x260;
const NT_PRODUCT_TYPE: usize = 0x264;
const NT_MAJOR_VERSION: usize = 0x26C;
const NT_MINOR_VERSION: usize = 0x270;
const PROCESSOR_FEATURES: usize = 0x274;
const CYCLES_PER_YIELD: usize = 0x2D6;
const QPC_FREQUENCY: usize = 0x300;
const TICK_COUNT: usize = 0x320;
const UNPARKED_PROCESSOR_COUNT: usize = 0x36A;
const ACTIVE_PROCESSOR_COUNT: usize = 0x3C0;
const TICK_COUNT_MULTIPLIER: usize = 0x04;

/// `PF_MONITORX_INSTRUCTION_AVAILABLE`.
const MONITORX_AVAILABLE: usize = 35;
/// `PF_COMPARE_EXCHANGE_DOUBLE`, `PF_XMMI_INSTRUCTIONS_AVAILABLE`, `PF_RDTSC_INSTRUCTION_AVAILABLE`, `PF_XMMI64_..`,
/// `PF_NX_ENABLED`, `PF_COMPARE_EXCHANGE128`.
const FEATURES: [usize; 6] = [2, 6, 8, 10, 12, 14];

/// The build that `RtlGetVersion` and this page report: Windows 10, version 2004.
pub const BUILD: u32 = 19041;

/// Interrupts per second as `TickCount` counts them (15.625 ms).
pub const TICKS_PER_SECOND: u64 = 64;

static PHYSICAL: AtomicU64 = AtomicU64::new(0);

fn write<T>(offset: usize, value: T) {
    let page = physical(PHYSICAL.load(Ordering::Relaxed));
    // SAFETY: the page belongs to this module, the offsets above are inside it; readers read volatile, as they do on NT.
    unsafe { page.wrapping_add(offset).cast::<T>().write_unaligned(value) };
}

/// Writes a `KSYSTEM_TIME`: second high word, low word, first high word, so that a reader sees a torn one.
fn write_time(offset: usize, value: u64) {
    let high = (value >> 32) as u32;
    write(offset + 8, high);
    write(offset, value as u32);
    write(offset + 4, high);
}

/// Makes the page and maps it read-only.
pub fn initialize(config: &Config) {
    let frame = frames::allocate().expect("boot has a page");
    PHYSICAL.store(frame, Ordering::Relaxed);
    // SAFETY: the page was just allocated.
    unsafe { physical(frame).write_bytes(0, PAGE as usize) };
    write(
        TICK_COUNT_MULTIPLIER,
        ((1000_u64 << 24) / TICKS_PER_SECOND) as u32,
    );
    write(NT_BUILD_NUMBER, BUILD);
    write(NT_PRODUCT_TYPE, 1_u32);
    write(NT_MAJOR_VERSION, 10_u32);
    write(NT_MINOR_VERSION, 0_u32);
    for feature in FEATURES {
        write(PROCESSOR_FEATURES + feature, 1_u8);
    }
    write(PROCESSOR_FEATURES + MONITORX_AVAILABLE, u8::from(config.monitorx));
    write(CYCLES_PER_YIELD, config.cycles_per_yield);
    write(QPC_FREQUENCY, clock::UNITS_PER_SECOND);
    write(UNPARKED_PROCESSOR_COUNT, config.unparked());
    write(ACTIVE_PROCESSOR_COUNT, config.cpus as u32);
    tick();
    assert!(
        paging::map_frame(ADDRESS, frame, Protection::ReadOnly),
        "boot has memory for page tables"
    );
}

/// Brings the times up to date; the boot processor's clock calls it.
pub fn tick() {
    let now = clock::interrupt_time();
    write_time(INTERRUPT_TIME, now);
    write_time(SYSTEM_TIME, clock::system_time());
    write_time(TICK_COUNT, now * TICKS_PER_SECOND / clock::UNITS_PER_SECOND);
}
