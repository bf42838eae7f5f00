//! Lists under a spin lock, at any IRQL: the routines disable interrupts, and a list that is not one is found as the headers' own routines find it.

use crate::bug::{self, code};
use crate::ddi::irql_ranges::ANY;
use crate::export::Export;
use crate::hal::cpu;
use crate::io::object::ListEntry;
use crate::ke::spinlock::SpinLock;

/// `CORRUPT_LIST_ENTRY`, of `__fastfail`.
const CORRUPT_LIST_ENTRY: u64 = 3;

/// What is done with a list while its lock is held and nothing interrupts.
///
/// # Safety
/// A `KSPIN_LOCK` lies at `lock`.
unsafe fn locked<R>(lock: *const SpinLock, work: impl FnOnce() -> R) -> R {
    let interrupts = cpu::disable_interrupts();
    // SAFETY: the caller promises it.
    let lock = unsafe { SpinLock::at(lock) };
    lock.acquire();
    let result = work();
    lock.release();
    cpu::restore_interrupts(interrupts);
    result
}

fn corrupt(entry: *mut ListEntry) -> ! {
    bug::bugcheck(
        code::KERNEL_SECURITY_CHECK_FAILURE,
        [CORRUPT_LIST_ENTRY, entry as u64, 0, 0],
        format_args!("the list entry {entry:p} is linked to what is not linked back to it"),
    )
}

/// Links `entry` in between two neighbours.
///
/// # Safety
/// All are `LIST_ENTRY`s that only this thread uses.
unsafe fn link(before: *mut ListEntry, entry: *mut ListEntry, after: *mut ListEntry) {
    // SAFETY: the caller promises it.
    if unsafe { (*before).flink } != after as u64 {
        corrupt(before);
    }
    // SAFETY: as above.
    if unsafe { (*after).blink } != before as u64 {
        corrupt(after);
    }
    let value = ListEntry {
        flink: after as u64,
        blink: before as u64,
    };
    // SAFETY: as above.
    unsafe { entry.write(value) };
    // SAFETY: as above.
    unsafe { (*before).flink = entry as u64 };
    // SAFETY: as above.
    unsafe { (*after).blink = entry as u64 };
}

/// The old neighbour, or null if there was none.
fn neighbour(head: *mut ListEntry, other: u64) -> u64 {
    if other == head as u64 { 0 } else { other }
}

/// Where a list's head leads, forwards or backwards.
///
/// # Safety
/// It is a `LIST_ENTRY` that only this thread uses.
unsafe fn read(entry: *const ListEntry) -> ListEntry {
    // SAFETY: the caller promises it.
    unsafe { entry.read() }
}

unsafe extern "win64" fn insert_head(
    head: *mut ListEntry,
    entry: *mut ListEntry,
    lock: *const SpinLock,
) -> u64 {
    let insert = || {
        // SAFETY: the DDI: an initialised list whose lock is held, and an entry that is in none; here and below.
        let first = unsafe { read(head) }.flink;
        // SAFETY: as above.
        unsafe { link(head, entry, first as *mut ListEntry) };
        neighbour(head, first)
    };
    // SAFETY: the DDI: the lock of the list; here and below.
    unsafe { locked(lock, insert) }
}

unsafe extern "win64" fn insert_tail(
    head: *mut ListEntry,
    entry: *mut ListEntry,
    lock: *const SpinLock,
) -> u64 {
    let insert = || {
        // SAFETY: as above.
        let last = unsafe { read(head) }.blink;
        // SAFETY: as above.
        unsafe { link(last as *mut ListEntry, entry, head) };
        neighbour(head, last)
    };
    // SAFETY: as above.
    unsafe { locked(lock, insert) }
}

unsafe extern "win64" fn remove_head(head: *mut ListEntry, lock: *const SpinLock) -> u64 {
    let remove = || {
        // SAFETY: as above.
        let first = unsafe { read(head) }.flink as *mut ListEntry;
        if first == head {
            return 0;
        }
        // SAFETY: as above: an entry of the list.
        let links = unsafe { read(first) };
        let second = links.flink as *mut ListEntry;
        // SAFETY: as above.
        let back = unsafe { read(second) }.blink;
        if links.blink != head as u64 || back != first as u64 {
            corrupt(first);
        }
        // SAFETY: as above.
        unsafe { (*head).flink = second as u64 };
        // SAFETY: as above.
        unsafe { (*second).blink = head as u64 };
        first as u64
    };
    // SAFETY: as above.
    unsafe { locked(lock, remove) }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("ExInterlockedInsertHeadList", ANY, insert_head as *const ()),
    Export::function("ExInterlockedInsertTailList", ANY, insert_tail as *const ()),
    Export::function("ExInterlockedRemoveHeadList", ANY, remove_head as *const ()),
];
