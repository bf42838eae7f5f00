//! The direct map of physical memory, which boot makes.

/// Where it begins.
pub const DIRECT_MAP: u64 = 0xFFFF_8000_0000_0000;

/// The direct map's pointer to a physical address below 4 GiB.
pub fn physical(address: u64) -> *mut u8 {
    (DIRECT_MAP + address) as *mut u8
}
