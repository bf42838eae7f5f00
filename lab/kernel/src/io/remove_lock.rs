//! Remove locks (`IO_REMOVE_LOCK`, wdm.h): how many requests a device has under way, which its removal waits for. The lab keeps the tags that
//! the lock was acquired with beside it, as Driver Verifier and a driver's checked build do.

use crate::bug::{self, code};
use crate::ke::event;
use crate::ke::object::{Header, Kind};
use crate::ke::wait;
use crate::lock::IrqLock;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, AtomicU8, Ordering};

/// `IO_REMOVE_LOCK_COMMON_BLOCK`, 0x20 bytes. A checked build has more behind it, which only its own macros touch.
#[repr(C)]
pub struct RemoveLock {
    removed: AtomicU8,
    reserved: [u8; 3],
    /// One for the lock itself until it is released for good, and one for each that acquired it.
    count: AtomicI32,
    event: Header,
}

const _: () = assert!(size_of::<RemoveLock>() == 0x20);

/// A tag that a lock was acquired with, and by whom.
type Held = (u64, u64);

/// The locks that are initialised.
static LOCKS: IrqLock<BTreeMap<u64, Vec<Held>>> = IrqLock::new(BTreeMap::new());

impl RemoveLock {
    /// The lock at `address`.
    ///
    /// # Safety
    /// An `IO_REMOVE_LOCK` lies there and stays until the call is over.
    pub unsafe fn at(address: *const Self) -> &'static Self {
        // SAFETY: the caller promises it; the fields are atomic.
        unsafe { &*address }
    }

    fn address(&self) -> u64 {
        (&raw const *self) as u64
    }

    fn event(&self) -> &'static Header {
        // SAFETY: it lies in the lock, which stays as long as anybody has it.
        unsafe { Header::at(&raw const self.event) }
    }

    /// `IoInitializeRemoveLock`. A lock "cannot be re-initialized", says bug check 0xC4's page of 0xD7: others may still use it.
    pub fn initialize(&self) {
        let again = LOCKS.lock().insert(self.address(), Vec::new()).is_some();
        if again {
            bug::violation(
                code::sub::REMOVE_LOCK_INITIALIZED_TWICE,
                [self.address(), self.address(), 0],
                format_args!(
                    "the driver initialises the remove lock {:#x} again",
                    self.address()
                ),
            );
        }
        self.removed.store(0, Ordering::Relaxed);
        self.count.store(1, Ordering::Relaxed);
        self.event.initialize(Kind::SynchronizationEvent, 6, 0);
    }

    /// What is done with the tags of an initialised lock.
    fn with<R>(&self, work: impl FnOnce(&mut Vec<Held>) -> R) -> R {
        let result = LOCKS.lock().get_mut(&self.address()).map(work);
        result.unwrap_or_else(|| {
            bug::violation(
                code::sub::LOCK_NOT_INITIALIZED,
                [self.address(), 0, 0],
                format_args!(
                    "the driver uses the remove lock {:#x}, which is not initialised",
                    self.address()
                ),
            )
        })
    }

    /// `IoAcquireRemoveLock`; false once the lock is released for good.
    pub fn acquire(&self, tag: u64, caller: u64) -> bool {
        self.with(|held| held.push((tag, caller)));
        // SeqCst here and below: of an acquisition and the last release one sees the other.
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.removed.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.forget_tag(tag);
        self.drop_one();
        false
    }

    /// Whether the lock was acquired with that tag; the note is gone then.
    fn forget_tag(&self, tag: u64) -> bool {
        self.with(|held| {
            let index = held.iter().rposition(|held| held.0 == tag);
            index.map(|index| held.swap_remove(index)).is_some()
        })
    }

    /// One less has it; whether that was the last.
    fn drop_one(&self) -> bool {
        let last = self.count.fetch_sub(1, Ordering::SeqCst) == 1;
        if last {
            event::set(self.event(), 0);
        }
        last
    }

    fn check_tag(&self, tag: u64, offence: u64) {
        if self.forget_tag(tag) {
            return;
        }
        let (first, count) = self.with(|held| (held.first().copied().unwrap_or_default(), held.len()));
        bug::violation(
            offence,
            [self.address(), tag, first.0],
            format_args!(
                "the driver releases the remove lock {:#x} with the tag {tag:#x}, which it was not acquired with; it is acquired {count} \
                 times, first with the tag {:#x} from {:#x}",
                self.address(),
                first.0,
                first.1
            ),
        );
    }

    /// `IoReleaseRemoveLock`.
    pub fn release(&self, tag: u64) {
        self.check_tag(tag, code::sub::REMOVE_LOCK_TAG);
        self.drop_one();
    }

    /// `IoReleaseRemoveLockAndWait`: releases it as the caller acquired it, and for good, and waits for all others.
    pub fn release_and_wait(&self, tag: u64) {
        self.check_tag(tag, code::sub::REMOVE_LOCK_LAST_TAG);
        self.removed.store(1, Ordering::SeqCst);
        self.drop_one();
        if !self.drop_one() {
            wait::wait(&[self.event()], false, None, true);
        }
    }
}

/// This memory is about to be no more: no lock in it may be held. Those that are in it are forgotten.
pub fn freed(memory: Range<u64>) {
    let mut gone = {
        let mut locks = LOCKS.lock();
        let later = locks.split_off(&memory.start);
        let (inside, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            later.into_iter().partition(|entry| memory.contains(&entry.0));
        locks.extend(others);
        inside.into_iter()
    };
    let held = gone.find_map(|(lock, held)| Some((lock, *held.first()?)));
    if let Some((lock, (tag, caller))) = held {
        bug::violation(
            code::sub::FREED_IN_USE,
            [memory.start, lock, memory.end - memory.start],
            format_args!(
                "the driver frees {:#x} with the remove lock {lock:#x} in it, which is acquired with the tag {tag:#x} from {caller:#x}",
                memory.start
            ),
        );
    }
}
