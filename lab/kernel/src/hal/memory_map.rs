//! The memory map that the machine is started with.

/// One range of it, as PVH lays it out; kind 1 is RAM.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct MemoryRange {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) kind: u32,
    reserved: u32,
}
