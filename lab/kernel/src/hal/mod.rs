//! The machine: processors, descriptor tables, traps, the local APIC, clocks and ports.

pub mod apic;
pub mod breakpoints;
pub mod clock;
pub mod cpu;
pub mod descriptors;
pub mod direct_map;
pub mod hpet;
pub mod ioapic;
pub mod memory_map;
pub mod nmi;
pub mod pcr;
pub mod power;
pub mod serial;
pub mod trap;

/// The most processors that the lab starts: a group of NT's, an affinity's bits.
pub const MAX_PROCESSORS: usize = 64;
