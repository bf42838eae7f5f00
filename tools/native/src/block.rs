//! NT's wait block, from the contract: not the one of `ex-rundown`, which is under test.

use std::sync::atomic::{AtomicU32, AtomicUsize};

use crate::event::KEvent;

/// The block behind a word with bit 0 set.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Block {
    pub(crate) count: AtomicUsize,
    pub(crate) wake_event: KEvent,
    pub(crate) spin_flag: AtomicU32,
}

const _: () = {
    assert!(core::mem::offset_of!(Block, count) == 0x00);
    assert!(core::mem::offset_of!(Block, wake_event) == 0x08);
    assert!(core::mem::offset_of!(Block, spin_flag) == 0x20);
};

impl Block {
    /// The block at an address from a word.
    pub(crate) fn at(address: usize) -> *const Self {
        std::ptr::with_exposed_provenance(address)
    }
}
