//! What the driver tells of itself and of the machine.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Header, Refusal, Request, stress::Limits};

/// Asks for [`Info`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InfoRequest {
    /// Offset 0.
    pub header: Header,
}

impl InfoRequest {
    /// The request.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            header: Header::of::<Self>(),
        }
    }
}

impl Default for InfoRequest {
    fn default() -> Self {
        Self::new()
    }
}

impl Request for InfoRequest {
    fn header(&self) -> Header {
        self.header
    }

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// The driver, the machine, and what `KUSER_SHARED_DATA` says about spinning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct Info {
    /// Offset 0x00. Its version is the protocol's.
    pub header: Header,
    /// Offset 0x08: the driver's version, major, minor, patch.
    pub driver_version: [u16; 3],
    /// Offset 0x0E: `KUSER_SHARED_DATA.UnparkedProcessorCount`.
    pub unparked_processors: u16,
    /// Offset 0x10: the operating system's major, minor and build number (`RtlGetVersion`).
    pub os_version: [u32; 3],
    /// Offset 0x1C: active processors in all groups.
    pub processors: u32,
    /// Offset 0x20: active processor groups.
    pub groups: u32,
    /// Offset 0x24: `KUSER_SHARED_DATA.CyclesPerYield`.
    pub cycles_per_yield: u16,
    /// Offset 0x26: `KUSER_SHARED_DATA.ProcessorFeatures[35]`, `PF_MONITORX_INSTRUCTION_AVAILABLE`.
    pub monitorx: u8,
    /// Offset 0x27: 1 while Driver Verifier checks the driver. It interposes on NT's run-down routines, so figures
    /// that are taken then compare nothing.
    pub verifier: u8,
    /// Offset 0x28: the spin budget of a wait below `DISPATCH_LEVEL`, in TSC cycles.
    pub spin_cycles: u32,
    /// Offset 0x2C: a [`SpinPath`](crate::SpinPath).
    pub spin_path: u32,
    /// Offset 0x30: the hypervisor's vendor (`CPUID` leaf 0x40000000), ASCII; zero without a hypervisor.
    pub hypervisor: [u8; 12],
    /// Offset 0x3C: zero.
    pub reserved: u32,
    /// Offset 0x40: what a stress run may ask for.
    pub limits: Limits,
    /// Offset 0x68: frequency of the performance counter that times runs, in hertz.
    pub performance_frequency: u64,
    /// Offset 0x70: frequency of the time stamp counter, measured against the performance counter, in hertz.
    pub cycle_frequency: u64,
}

const _: () = assert!(size_of::<Info>() == 0x78);
