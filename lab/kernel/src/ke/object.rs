//! Dispatcher objects, as they lie in the driver's memory.

use super::wait_list::ListEntry;
use crate::bug::{self, code};
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};

/// `DISPATCHER_HEADER` (wdm.h), 0x18 bytes on x64. All fields are guarded by the dispatcher lock once initialised.
///
/// The wait list is for who looks on; the dispatcher keeps its waiters itself, so that a driver which scribbles over an event is
/// found out rather than followed.
#[repr(C)]
#[derive(Debug)]
pub struct Header {
    kind: AtomicU8,
    signalling: AtomicU8,
    size: AtomicU8,
    inserted: AtomicU8,
    signal: AtomicI32,
    /// `WaitListHead`.
    pub wait_list: ListEntry,
}

/// `KOBJECTS` values that the lab knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Stays signalled until reset.
    NotificationEvent = 0,
    /// Lets one waiter through.
    SynchronizationEvent = 1,
    /// A mutex.
    Mutant = 2,
    /// A counting semaphore.
    Semaphore = 5,
    /// A thread, signalled once it has ended.
    Thread = 6,
    /// A timer that stays signalled.
    NotificationTimer = 8,
    /// A timer that lets one waiter through.
    SynchronizationTimer = 9,
}

impl Kind {
    fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw & 0x7F {
            0 => Self::NotificationEvent,
            1 => Self::SynchronizationEvent,
            2 => Self::Mutant,
            5 => Self::Semaphore,
            6 => Self::Thread,
            8 => Self::NotificationTimer,
            9 => Self::SynchronizationTimer,
            _ => return None,
        })
    }
}

impl Header {
    /// A header in the kernel's own memory. Its wait list is linked by `initialize`.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind: AtomicU8::new(kind as u8),
            signalling: AtomicU8::new(0),
            size: AtomicU8::new(6),
            inserted: AtomicU8::new(0),
            signal: AtomicI32::new(0),
            wait_list: ListEntry::unlinked(),
        }
    }

    /// The header at `address`.
    ///
    /// # Safety
    /// A dispatcher object lies there and stays until the call is over in which this is used, or, if it is waited on, until
    /// that wait is over: NT's own rule.
    pub unsafe fn at(address: *const Self) -> &'static Self {
        // SAFETY: the caller promises it; every field is atomic, so sharing with the driver is sound.
        unsafe { &*address }
    }

    /// Makes this an object of `kind` with `words` double words, in state `signal`, with nobody waiting.
    pub fn initialize(&self, kind: Kind, words: u8, signal: i32) {
        self.kind.store(kind as u8, Relaxed);
        self.signalling.store(0, Relaxed);
        self.size.store(words, Relaxed);
        self.inserted.store(0, Relaxed);
        self.signal.store(signal, Relaxed);
        self.relink();
    }

    /// Links the wait list to itself, for an object that was moved after it was made.
    pub fn relink(&self) {
        self.wait_list.initialize();
    }

    /// What it is, if it is initialised: a known type whose wait list is one.
    pub fn kind(&self) -> Option<Kind> {
        Kind::from_raw(self.kind.load(Relaxed)).filter(|_| self.wait_list.is_head())
    }

    /// `SignalState`.
    pub fn signal(&self) -> i32 {
        self.signal.load(Relaxed)
    }

    /// Sets `SignalState`; the state before.
    pub fn set_signal(&self, state: i32) -> i32 {
        self.signal.swap(state, Relaxed)
    }

    /// Whether `Inserted` is set: for timers.
    pub fn inserted(&self) -> bool {
        self.inserted.load(Relaxed) != 0
    }

    /// Sets `Inserted`.
    pub fn set_inserted(&self, inserted: bool) {
        self.inserted.store(u8::from(inserted), Relaxed);
    }

    /// Its address.
    pub fn address(&self) -> u64 {
        (&raw const *self) as u64
    }

    /// Whether a wait by `thread` would be satisfied.
    pub fn satisfies(&self, thread: u64) -> bool {
        self.signal() > 0
            || (self.kind() == Some(Kind::Mutant) && Mutant::of(self).owner.load(Relaxed) == thread)
    }

    /// Takes what a satisfied wait takes; whether that is a mutex which the thread did not have before.
    pub fn consume(&self, thread: u64) -> bool {
        match self.kind() {
            Some(Kind::SynchronizationEvent | Kind::SynchronizationTimer) => self.signal.store(0, Relaxed),
            Some(Kind::Semaphore) => {
                self.signal.fetch_sub(1, Relaxed);
            }
            Some(Kind::Mutant) => return Mutant::of(self).take(thread),
            _ => {}
        }
        false
    }
}

/// `KSEMAPHORE`, 0x20 bytes.
#[repr(C)]
pub struct Semaphore {
    /// The dispatcher header.
    pub header: Header,
    /// The largest count.
    pub limit: AtomicI32,
}

impl Semaphore {
    /// The semaphore whose header this is.
    pub fn of(header: &'static Header) -> &'static Self {
        // SAFETY: the header's type says that it begins a semaphore.
        unsafe { &*(&raw const *header).cast() }
    }
}

/// `KMUTANT`, 0x38 bytes.
#[repr(C)]
pub struct Mutant {
    /// The dispatcher header; its signal state is 1 less the number of times that the owner has it.
    pub header: Header,
    list: [AtomicU64; 2],
    /// The owner's address.
    pub owner: AtomicU64,
    abandoned: AtomicU8,
    apc_disable: AtomicU8,
}

/// `STATUS_MUTANT_LIMIT_EXCEEDED`, as an exception's code in a bug check's parameter.
const MUTANT_LIMIT_EXCEEDED: u64 = 0xFFFF_FFFF_C000_0191;

impl Mutant {
    /// `KeInitializeMutex`: nobody's, and its owner takes no normal kernel APC.
    pub fn initialize(&self) {
        self.header.initialize(Kind::Mutant, 14, 1);
        self.list.iter().for_each(|link| link.store(0, Relaxed));
        self.owner.store(0, Relaxed);
        self.abandoned.store(0, Relaxed);
        self.apc_disable.store(1, Relaxed);
    }

    /// Takes it for `thread`, which waited for it; whether it was nobody's before. Its owner is in a critical region as long as it has it
    /// (Microsoft Learn, "Introduction to Mutex Objects"). More than MINLONG times is an exception, says the page of
    /// `KeWaitForSingleObject`.
    fn take(&self, thread: u64) -> bool {
        if self.header.signal() == i32::MIN {
            bug::bugcheck(
                code::KMODE_EXCEPTION_NOT_HANDLED,
                [MUTANT_LIMIT_EXCEEDED, self.header.address(), 0, 0],
                format_args!(
                    "the mutex {:#x} is acquired more often than it can count (STATUS_MUTANT_LIMIT_EXCEEDED)",
                    self.header.address()
                ),
            );
        }
        let first = self.header.signal.fetch_sub(1, Relaxed) == 1;
        self.owner.store(thread, Relaxed);
        first
    }

    /// Whether its owner takes no normal kernel APC, as 1 or 0.
    pub fn apc_disable(&self) -> i32 {
        self.apc_disable.load(Relaxed).into()
    }

    /// The mutant whose header this is.
    pub fn of(header: &Header) -> &Self {
        // SAFETY: the header's type says that it begins a mutant.
        unsafe { &*(&raw const *header).cast() }
    }
}

/// `KTIMER`, 0x40 bytes.
#[repr(C)]
pub struct Timer {
    /// The dispatcher header.
    pub header: Header,
    /// When it is due, units of 100 ns since boot.
    pub due: AtomicU64,
    list: [AtomicU64; 2],
    /// The DPC to queue, or 0.
    pub dpc: AtomicU64,
    processor: core::sync::atomic::AtomicU32,
    /// Milliseconds between further expirations, or 0.
    pub period: core::sync::atomic::AtomicU32,
}

impl Timer {
    /// The timer whose header this is.
    pub fn of(header: &'static Header) -> &'static Self {
        // SAFETY: the header's type says that it begins a timer.
        unsafe { &*(&raw const *header).cast() }
    }

    /// Whether it looks as one that is set must.
    pub fn is_set(&self) -> bool {
        let kinds = [Kind::NotificationTimer, Kind::SynchronizationTimer];
        self.header.inserted() && self.header.kind().is_some_and(|kind| kinds.contains(&kind))
    }
}

/// A timer that is set. What it was set with is kept here, for the reason for which [`Header`]'s waiters are.
pub struct SetTimer {
    /// It.
    pub timer: &'static Timer,
    /// When it is due, units of 100 ns since boot.
    pub due: u64,
    /// Milliseconds between further expirations, or 0.
    pub period: u32,
    /// The DPC to queue, or 0.
    pub dpc: u64,
    /// The driver's address that set it; 0 for the lab.
    pub by: u64,
}

const _: () = {
    assert!(size_of::<Header>() == 0x18);
    assert!(size_of::<Semaphore>() == 0x20);
    assert!(size_of::<Mutant>() == 0x38);
    assert!(size_of::<Timer>() == 0x40);
};
