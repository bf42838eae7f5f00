//! A synchronization event with a KEVENT's layout, on a futex.

use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::machine::{self, Counts, Seam};

/// `EventSynchronizationObject`.
const SYNCHRONIZATION: u8 = 1;
/// A KEVENT's size in dwords.
const DWORDS: u8 = 6;

/// A KEVENT: 0x18 bytes.
///
/// | offset | field |
/// |---|---|
/// | 0x00 | `Type`, 1 for a synchronization event |
/// | 0x02 | `Size`, 6 dwords |
/// | 0x04 | `SignalState` |
/// | 0x08 | `WaitListHead`, two pointers to itself |
///
/// It is set once and waited for once, by whoever lies around it: a wait block.
#[derive(Debug)]
#[repr(C)]
pub struct KEvent {
    kind: AtomicU8,
    absolute: AtomicU8,
    size: AtomicU8,
    inserted: AtomicU8,
    signal_state: AtomicU32,
    wait_list_head: [AtomicUsize; 2],
}

const _: () = {
    assert!(size_of::<KEvent>() == 0x18);
    assert!(core::mem::offset_of!(KEvent, size) == 0x02);
    assert!(core::mem::offset_of!(KEvent, signal_state) == 0x04);
    assert!(core::mem::offset_of!(KEvent, wait_list_head) == 0x08);
};

impl KEvent {
    /// Initialises an event that is not signalled (`KeInitializeEvent`).
    ///
    /// # Safety
    /// `event` is valid for writes and aligned.
    pub unsafe fn initialize(event: *mut Self) {
        let list = event.addr() + core::mem::offset_of!(Self, wait_list_head);
        // SAFETY: the caller promises that it may be written.
        unsafe {
            event.write(Self {
                kind: AtomicU8::new(SYNCHRONIZATION),
                absolute: AtomicU8::new(0),
                size: AtomicU8::new(DWORDS),
                inserted: AtomicU8::new(0),
                signal_state: AtomicU32::new(0),
                wait_list_head: [AtomicUsize::new(list), AtomicUsize::new(list)],
            });
        };
    }

    /// Whether it is initialised as a wait block's event is.
    fn is_sound(&self) -> bool {
        let list = (&raw const self.wait_list_head).addr();
        self.kind.load(Relaxed) == SYNCHRONIZATION
            && self.size.load(Relaxed) == DWORDS
            && self.wait_list_head.iter().all(|link| link.load(Relaxed) == list)
    }

    /// Whether a wait would return at once.
    pub(crate) fn is_set(&self) -> bool {
        self.signal_state.load(Relaxed) == 1
    }

    /// Blocks until the event is set, and takes the signal back.
    pub(crate) fn wait(&self) {
        Counts::count(|counts| &counts.waits);
        if !self.is_sound() {
            Counts::count(|counts| &counts.wrong);
        }
        machine::pass(Seam::Sleep);
        // Acquire pairs with the Release in `set`.
        while self
            .signal_state
            .compare_exchange(1, 0, Acquire, Relaxed)
            .is_err()
        {
            futex(&raw const self.signal_state, libc::FUTEX_WAIT, 0);
        }
    }

    /// Sets the event, which may be gone as soon as the waiter can run.
    ///
    /// # Safety
    /// The event is initialised, and its waiter cannot return before this.
    pub(crate) unsafe fn set(event: *const Self) {
        Counts::count(|counts| &counts.sets);
        // SAFETY: not set yet, so still there.
        if !unsafe { (*event).is_sound() } {
            Counts::count(|counts| &counts.wrong);
        }
        // SAFETY: as above.
        let signal_state = unsafe { &raw const (*event).signal_state };
        // Release pairs with the Acquire in `wait`. It is the last touch of the event ...
        // SAFETY: as above.
        unsafe { (*signal_state).store(1, Release) };
        // ... for here its address is only a key. Whoever lies there next may be woken for no reason, which a futex's
        // waiter expects.
        futex(signal_state, libc::FUTEX_WAKE, 1);
    }
}

fn futex(word: *const AtomicU32, operation: libc::c_int, value: u32) {
    // SAFETY: the kernel checks the address. It reads the word only to wait, when the caller holds a reference to it.
    // Errors are those that a loop around it expects: interrupted, already changed, no longer mapped.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            operation | libc::FUTEX_PRIVATE_FLAG,
            value,
            std::ptr::null::<libc::timespec>(),
        )
    };
}
