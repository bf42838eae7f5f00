//! The list of an object's waiters, as NT has it: headed in the object, so in the driver's memory, through the wait blocks of
//! the threads that wait.
//!
//! The dispatcher does not need it: it keeps its waiters itself. It is for debuggers, which read a thread's fate out of memory, and
//! for the judge: a driver that writes over an object while somebody waits for it has broken this list.

use crate::bug::{self, code};
use crate::mm::heap;
use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// `CORRUPT_LIST_ENTRY`, of `__fastfail`.
pub(super) const CORRUPT_LIST_ENTRY: u64 = 3;
/// `WaitAll` and `WaitAny`, of `WAIT_TYPE`.
const WAIT_ALL: u8 = 0;
const WAIT_ANY: u8 = 1;

/// `LIST_ENTRY`. Written under the dispatcher lock only; read without it by whoever asks whether an object is one.
#[repr(C)]
#[derive(Debug)]
pub struct ListEntry {
    forward: AtomicU64,
    backward: AtomicU64,
}

/// `KWAIT_BLOCK` (wdm.h of Windows 10), 0x30 bytes on x64: one per object that a thread waits for, in the kernel's heap.
#[repr(C)]
#[derive(Debug)]
pub struct WaitBlock {
    /// In the object's list.
    entry: ListEntry,
    wait_type: u8,
    /// Its values are not public; 0.
    block_state: u8,
    /// The object's place among those that are waited for.
    wait_key: u16,
    spare: u32,
    /// Who waits.
    thread: u64,
    /// For what.
    object: u64,
    spare_pointer: u64,
}

const _: () = {
    assert!(size_of::<WaitBlock>() == 0x30);
    assert!(core::mem::offset_of!(WaitBlock, thread) == 0x18);
    assert!(core::mem::offset_of!(WaitBlock, object) == 0x20);
};

impl ListEntry {
    /// Linked to nothing, not even to itself: its address is not known yet.
    pub const fn unlinked() -> Self {
        Self {
            forward: AtomicU64::new(0),
            backward: AtomicU64::new(0),
        }
    }

    fn address(&self) -> u64 {
        (&raw const *self) as u64
    }

    /// An empty list.
    pub fn initialize(&self) {
        self.forward.store(self.address(), Relaxed);
        self.backward.store(self.address(), Relaxed);
    }

    /// Whether this can be a list's head: each link names the head itself, or memory that wait blocks are made of. They may be
    /// about to change, so nothing is said of what they agree on.
    pub fn is_head(&self) -> bool {
        [&self.forward, &self.backward]
            .into_iter()
            .all(|link| self.may_follow(link.load(Relaxed)))
    }

    fn may_follow(&self, address: u64) -> bool {
        let in_heap = || {
            let (start, bytes) = heap::range();
            address.is_multiple_of(8) && (start..start + bytes).contains(&address)
        };
        address == self.address() || in_heap()
    }

    /// The entry of this head's list at `address`.
    fn follow(&self, address: u64) -> &ListEntry {
        if !self.may_follow(address) {
            self.corrupt(address);
        }
        // SAFETY: the head itself, or memory of the heap, which stays mapped; every field is atomic.
        unsafe { &*(address as *const Self) }
    }

    fn insert_tail(&self, entry: &ListEntry) {
        let tail = self.follow(self.backward.load(Relaxed));
        if tail.forward.load(Relaxed) != self.address() {
            self.corrupt(tail.address());
        }
        entry.forward.store(self.address(), Relaxed);
        entry.backward.store(tail.address(), Relaxed);
        tail.forward.store(entry.address(), Relaxed);
        self.backward.store(entry.address(), Relaxed);
    }

    fn remove(&self, entry: &ListEntry) {
        let next = self.follow(entry.forward.load(Relaxed));
        let previous = self.follow(entry.backward.load(Relaxed));
        if next.backward.load(Relaxed) != entry.address() || previous.forward.load(Relaxed) != entry.address()
        {
            self.corrupt(entry.address());
        }
        previous.forward.store(next.address(), Relaxed);
        next.backward.store(previous.address(), Relaxed);
    }

    fn corrupt(&self, entry: u64) -> ! {
        bug::bugcheck(
            code::KERNEL_SECURITY_CHECK_FAILURE,
            [CORRUPT_LIST_ENTRY, self.address(), entry, 0],
            format_args!(
                "the list of those who wait for an object is damaged at {:#x}: somebody wrote over it",
                self.address()
            ),
        )
    }
}

/// The wait blocks of a thread that is about to wait for `objects`, not linked yet.
pub fn blocks(thread: u64, objects: impl Iterator<Item = u64>, all: bool) -> Box<[WaitBlock]> {
    objects
        .enumerate()
        .map(|(key, object)| WaitBlock {
            entry: ListEntry::unlinked(),
            wait_type: if all { WAIT_ALL } else { WAIT_ANY },
            block_state: 0,
            wait_key: key as u16,
            spare: 0,
            thread,
            object,
            spare_pointer: 0,
        })
        .collect()
}

impl WaitBlock {
    /// Puts it last into the list of its object. Under the dispatcher lock.
    pub fn link(&self, head: &ListEntry) {
        head.insert_tail(&self.entry);
    }

    /// Takes it out again. Under the dispatcher lock.
    pub fn unlink(&self, head: &ListEntry) {
        head.remove(&self.entry);
    }
}
