//! Memory: frames, page tables, the kernel's heap, the driver's pool, and the shared data page.
//!
//! | addresses | use |
//! |---|---|
//! | `00000001_00000000` | clients' buffers, and from twice that on what drivers map for clients; an unmapped page around each |
//! | `FFFF8000_00000000` | direct map of the first 4 GiB of physical memory |
//! | `FFFF9000_00000000` | kernel stacks, a guard page below each |
//! | `FFFFA000_00000000` | pool, a guard page behind each allocation |
//! | `FFFFB000_00000000` | what MDLs map, an unmapped page around each |
//! | `FFFFF780_00000000` | `KUSER_SHARED_DATA`, read-only |
//! | `FFFFF800_00000000` | thunks, through which drivers call exports |
//! | `FFFFF800_0F000000` | nothing: a page for each variable that a driver imports and the lab lacks |
//! | `FFFFF800_10000000` | images of drivers |
//! | `FFFFF900_00000000` | NT's own routines, when the user has brought some |
//! | `FFFFFFFF_80000000` | the kernel |
//!
//! The lower half has nothing else once all processors are up: a null pointer faults.

pub mod frames;
pub mod heap;
pub mod mdl;
pub mod pageable;
pub mod paging;
pub mod pool;
pub mod region;
pub mod reserve;
pub mod shared;
pub mod user;

/// Size of a page, bytes.
pub const PAGE: u64 = 4096;
/// First address of clients' buffers.
pub const USER: u64 = 0x0000_0001_0000_0000;
/// First address of kernel stacks.
pub const STACKS: u64 = 0xFFFF_9000_0000_0000;
/// First address of pool.
pub const POOL: u64 = 0xFFFF_A000_0000_0000;
/// First address of what MDLs map.
pub const MAPPINGS: u64 = 0xFFFF_B000_0000_0000;
/// Stands for the first variable that a driver imports and the lab lacks; never mapped.
pub const MISSING: u64 = 0xFFFF_F800_0F00_0000;
/// First address of driver images.
pub const IMAGES: u64 = lab_wire::boot::IMAGES;
/// First address of a framework that the user brought.
pub const FRAMEWORKS: u64 = lab_wire::boot::FRAMEWORKS;
/// First address of NT's own routines ([`crate::ex::native`]).
pub const NATIVE: u64 = lab_wire::boot::IMAGES_END + 1;

/// Where the kernel's own code begins.
pub const KERNEL: u64 = 0xFFFF_FFFF_8000_0000;
