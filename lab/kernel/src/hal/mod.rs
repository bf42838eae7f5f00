//! The machine: processors, descriptor tables, traps, the local APIC, clocks and ports.

pub mod apic;
pub mod boot;
pub mod clock;
pub mod cpu;
pub mod descriptors;
pub mod hpet;
pub mod ioapic;
pub mod nmi;
pub mod pcr;
pub mod power;
pub mod probe;
pub mod serial;
pub mod trap;
