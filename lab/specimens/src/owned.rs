//! What is owned, and given back: fast mutexes, resources, lookaside lists, remove locks, work items. The rules are those of the routines' pages,
//! the codes those of bug check 0xC4's.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("sound-fast-mutex", sound_fast_mutex),
    ("release-fast-mutex-at-passive", release_fast_mutex_at_passive),
    ("acquire-fast-mutex-unsafe", acquire_fast_mutex_unsafe),
    ("release-fast-mutex-unsafe", release_fast_mutex_unsafe),
    ("acquire-fast-mutex-twice", acquire_fast_mutex_twice),
    ("release-free-fast-mutex", release_free_fast_mutex),
    ("release-fast-mutex-of-another", release_fast_mutex_of_another),
    ("acquire-no-fast-mutex", acquire_no_fast_mutex),
    ("free-owned-fast-mutex", free_owned_fast_mutex),
    ("fast-mutexes-in-two-orders", fast_mutexes_in_two_orders),
    ("sound-resource", sound_resource),
    ("acquire-misaligned-resource", acquire_misaligned_resource),
    ("initialize-resource-twice", initialize_resource_twice),
    ("delete-no-resource", delete_no_resource),
    ("acquire-no-resource", acquire_no_resource),
    ("free-resource", free_resource),
    ("leave-resource", leave_resource),
    ("delete-owned-resource", delete_owned_resource),
    ("acquire-shared-resource-alone", acquire_shared_resource_alone),
    ("release-free-resource", release_free_resource),
    ("release-resource-of-another", release_resource_of_another),
    ("end-thread-with-resource", end_thread_with_resource),
    ("sound-lookaside", sound_lookaside),
    ("initialize-lookaside-twice", initialize_lookaside_twice),
    ("delete-no-lookaside", delete_no_lookaside),
    ("free-lookaside", free_lookaside),
    ("lookaside-of-small-blocks", lookaside_of_small_blocks),
    ("sound-remove-lock", sound_remove_lock),
    ("release-remove-lock-with-other-tag", || unsafe {
        release_remove_lock(2, false)
    }),
    ("release-remove-lock-twice", release_remove_lock_twice),
    ("end-remove-lock-with-other-tag", || unsafe {
        release_remove_lock(2, true)
    }),
    ("initialize-remove-lock-twice", initialize_remove_lock_twice),
    ("free-acquired-remove-lock", free_acquired_remove_lock),
    ("sound-work-item", sound_work_item),
    ("queue-work-item-twice", queue_work_item_twice),
    ("free-queued-work-item", free_queued_work_item),
];

/// `ExInitializeFastMutex`, which the headers have in line.
unsafe fn initialize(mutex: *mut FastMutex) {
    unsafe {
        mutex.write(FastMutex([1, 0, 0, 0, 0, 0, 0]));
        KeInitializeEvent(mutex.cast::<u64>().add(3).cast(), 1, 0);
    }
}

static mut MUTEX: FastMutex = FastMutex([0; 7]);
static mut GUARDED: u64 = 0;

/// Counts under the mutex, whose owner may wait.
unsafe extern "system" fn counter(_context: *mut c_void) {
    for index in 0..200 {
        unsafe {
            ExAcquireFastMutex(&raw mut MUTEX);
            let before = (&raw const GUARDED).read_volatile();
            if index % 50 == 0 {
                sleep(1);
            }
            (&raw mut GUARDED).write_volatile(before + 1);
            ExReleaseFastMutex(&raw mut MUTEX);
        }
    }
}

static mut HELD: Event = Event([0; 3]);
static mut ENOUGH: Event = Event([0; 3]);

/// Has the mutex for a while; its owner may wait, at APC_LEVEL.
unsafe extern "system" fn holder(_context: *mut c_void) {
    unsafe {
        ExAcquireFastMutex(&raw mut MUTEX);
        KeSetEvent(&raw mut HELD, 0, 0);
        wait_for(&raw mut ENOUGH);
        ExReleaseFastMutex(&raw mut MUTEX);
    }
}

unsafe fn sound_fast_mutex() -> i32 {
    unsafe {
        let mutex = &raw mut MUTEX;
        initialize(mutex);
        // ExAcquireFastMutex's page: "sets the IRQL to APC_LEVEL", and the release restores the original.
        ExAcquireFastMutex(mutex);
        check!(KeGetCurrentIrql() == 1 && KeAreAllApcsDisabled() == 1);
        ExReleaseFastMutex(mutex);
        check!(KeGetCurrentIrql() == PASSIVE_LEVEL && KeAreAllApcsDisabled() == 0);
        KeInitializeEvent(&raw mut HELD, 0, 0);
        KeInitializeEvent(&raw mut ENOUGH, 0, 0);
        let thread = start(holder, null_mut());
        wait_for(&raw mut HELD);
        check!(ExTryToAcquireFastMutex(mutex) == 0 && KeGetCurrentIrql() == PASSIVE_LEVEL);
        KeSetEvent(&raw mut ENOUGH, 0, 0);
        join(thread);
        check!(ExTryToAcquireFastMutex(mutex) == 1);
        ExReleaseFastMutex(mutex);
        // The Unsafe routines' pages: at APC_LEVEL, or in a critical region.
        KeEnterCriticalRegion();
        ExAcquireFastMutexUnsafe(mutex);
        check!(
            KeGetCurrentIrql() == PASSIVE_LEVEL && KeAreApcsDisabled() == 1 && KeAreAllApcsDisabled() == 0
        );
        ExReleaseFastMutexUnsafe(mutex);
        KeLeaveCriticalRegion();
        GUARDED = 0;
        [(); 3]
            .map(|()| start(counter, null_mut()))
            .into_iter()
            .for_each(|thread| join(thread));
        check!(GUARDED == 600);
        // KeAcquireGuardedMutex's page: the owner is in a guarded region, at its IRQL.
        KeInitializeGuardedMutex(mutex);
        KeAcquireGuardedMutex(mutex);
        check!(
            KeGetCurrentIrql() == PASSIVE_LEVEL && KeAreAllApcsDisabled() == 1 && KeAreApcsDisabled() == 1
        );
        KeReleaseGuardedMutex(mutex);
        check!(KeAreAllApcsDisabled() == 0 && KeAreApcsDisabled() == 0);
        KeEnterGuardedRegion();
        check!(KeAreAllApcsDisabled() == 1);
        KeLeaveGuardedRegion();
    }
    0
}

unsafe fn release_fast_mutex_at_passive() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        ExAcquireFastMutex(&raw mut MUTEX);
        KeLowerIrql(PASSIVE_LEVEL);
        ExReleaseFastMutex(&raw mut MUTEX);
    }
    0
}

unsafe fn acquire_fast_mutex_unsafe() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        ExAcquireFastMutexUnsafe(&raw mut MUTEX);
    }
    0
}

unsafe fn release_fast_mutex_unsafe() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        ExAcquireFastMutex(&raw mut MUTEX);
        KeLowerIrql(PASSIVE_LEVEL);
        ExReleaseFastMutexUnsafe(&raw mut MUTEX);
    }
    0
}

unsafe fn acquire_fast_mutex_twice() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        ExAcquireFastMutex(&raw mut MUTEX);
        ExAcquireFastMutex(&raw mut MUTEX);
    }
    0
}

unsafe fn release_free_fast_mutex() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        KfRaiseIrql(1);
        ExReleaseFastMutex(&raw mut MUTEX);
    }
    0
}

unsafe extern "system" fn releaser(_context: *mut c_void) {
    unsafe {
        KfRaiseIrql(1);
        ExReleaseFastMutex(&raw mut MUTEX);
    }
}

unsafe fn release_fast_mutex_of_another() -> i32 {
    unsafe {
        initialize(&raw mut MUTEX);
        ExAcquireFastMutex(&raw mut MUTEX);
        // At PASSIVE_LEVEL, where a thread can be started; the mutex stays ours.
        KeLowerIrql(PASSIVE_LEVEL);
        join(start(releaser, null_mut()));
    }
    0
}

unsafe fn acquire_no_fast_mutex() -> i32 {
    let mut mutex = FastMutex([0; 7]);
    unsafe { ExAcquireFastMutex(&mut mutex) };
    0
}

unsafe fn free_owned_fast_mutex() -> i32 {
    unsafe {
        let mutex = ExAllocatePool2(NON_PAGED, 0x38, TAG).cast::<FastMutex>();
        initialize(mutex);
        ExAcquireFastMutex(mutex);
        ExFreePoolWithTag(mutex.cast(), TAG);
    }
    0
}

unsafe fn fast_mutexes_in_two_orders() -> i32 {
    let mut mutexes = [const { FastMutex([0; 7]) }; 2];
    unsafe {
        mutexes.iter_mut().for_each(|mutex| initialize(mutex));
        for (first, second) in [(0, 1), (1, 0)] {
            ExAcquireFastMutex(&mut mutexes[first]);
            ExAcquireFastMutex(&mut mutexes[second]);
            ExReleaseFastMutex(&mut mutexes[second]);
            ExReleaseFastMutex(&mut mutexes[first]);
        }
    }
    0
}

static mut RESOURCE: Resource = Resource([0; 13]);
static SEEN: AtomicU64 = AtomicU64::new(0);

unsafe extern "system" fn wants_it_alone(_context: *mut c_void) {
    unsafe {
        KeEnterCriticalRegion();
        ExAcquireResourceExclusiveLite(&raw mut RESOURCE, 1);
        SEEN.fetch_add(1, SeqCst);
        ExReleaseResourceLite(&raw mut RESOURCE);
        KeLeaveCriticalRegion();
    }
}

/// What another thread gets without waiting: a digit for each way.
unsafe extern "system" fn tries(_context: *mut c_void) {
    let resource = &raw mut RESOURCE;
    unsafe {
        let mut got = 0;
        for acquire in [
            ExAcquireResourceExclusiveLite,
            ExAcquireResourceSharedLite,
            ExAcquireSharedStarveExclusive,
        ] {
            let granted = u64::from(acquire(resource, 0));
            got = got * 10 + granted;
            if granted != 0 {
                ExReleaseResourceLite(resource);
            }
        }
        SEEN.store(got, SeqCst);
    }
}

unsafe fn others_get() -> u64 {
    unsafe { join(start(tries, null_mut())) };
    SEEN.swap(0, SeqCst)
}

/// The cases that the pages of the routines list.
unsafe fn sound_resource() -> i32 {
    unsafe {
        let resource = &raw mut RESOURCE;
        check!(ExInitializeResourceLite(resource) == 0 && others_get() == 111);
        check!(
            ExAcquireResourceExclusiveLite(resource, 1) == 1 && ExAcquireResourceSharedLite(resource, 0) == 1
        );
        check!(
            ExIsResourceAcquiredExclusiveLite(resource) == 1 && ExIsResourceAcquiredSharedLite(resource) == 2
        );
        check!(others_get() == 0);
        ExReleaseResourceLite(resource);
        ExConvertExclusiveToSharedLite(resource);
        check!(ExIsResourceAcquiredExclusiveLite(resource) == 0 && others_get() == 11);
        // One that waits to have it alone comes before others that would share it, but not before those who may starve it, or have it.
        let thread = start(wants_it_alone, null_mut());
        while ExGetExclusiveWaiterCount(resource) == 0 {
            sleep(1);
        }
        check!(others_get() == 1);
        check!(ExAcquireResourceSharedLite(resource, 0) == 1);
        ExReleaseResourceLite(resource);
        check!(SEEN.load(SeqCst) == 0);
        ExReleaseResourceLite(resource);
        join(thread);
        check!(SEEN.swap(0, SeqCst) == 1);
        // Handed to somebody who is no thread.
        ExAcquireResourceSharedLite(resource, 1);
        ExSetResourceOwnerPointer(resource, resource as u64 | 3);
        check!(ExIsResourceAcquiredSharedLite(resource) == 0 && others_get() == 11);
        ExReleaseResourceForThreadLite(resource, resource as u64 | 3);
        check!(others_get() == 111 && ExDeleteResourceLite(resource) == 0);
    }
    0
}

unsafe fn acquire_misaligned_resource() -> i32 {
    let mut room = [0_u64; 14];
    unsafe { ExAcquireResourceExclusiveLite((&raw mut room).byte_add(4).cast(), 1).into() }
}

unsafe fn initialize_resource_twice() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        ExInitializeResourceLite(&raw mut RESOURCE)
    }
}

unsafe fn delete_no_resource() -> i32 {
    unsafe { ExDeleteResourceLite(&raw mut RESOURCE) }
}

unsafe fn acquire_no_resource() -> i32 {
    unsafe { ExAcquireResourceSharedLite(&raw mut RESOURCE, 1).into() }
}

unsafe fn free_resource() -> i32 {
    unsafe {
        let resource = ExAllocatePool2(NON_PAGED, 0x68, TAG);
        ExInitializeResourceLite(resource.cast());
        ExFreePoolWithTag(resource, TAG);
    }
    0
}

unsafe fn leave_resource() -> i32 {
    unsafe { ExInitializeResourceLite(&raw mut RESOURCE) }
}

unsafe fn delete_owned_resource() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        ExAcquireResourceSharedLite(&raw mut RESOURCE, 1);
        ExDeleteResourceLite(&raw mut RESOURCE)
    }
}

unsafe fn acquire_shared_resource_alone() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        ExAcquireResourceSharedLite(&raw mut RESOURCE, 1);
        ExAcquireResourceExclusiveLite(&raw mut RESOURCE, 1).into()
    }
}

unsafe fn release_free_resource() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        ExReleaseResourceLite(&raw mut RESOURCE);
    }
    0
}

unsafe extern "system" fn release_resource(_context: *mut c_void) {
    unsafe { ExReleaseResourceLite(&raw mut RESOURCE) };
}

unsafe fn release_resource_of_another() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        ExAcquireResourceSharedLite(&raw mut RESOURCE, 1);
        join(start(release_resource, null_mut()));
    }
    0
}

unsafe extern "system" fn keep_resource(_context: *mut c_void) {
    unsafe { ExAcquireResourceSharedLite(&raw mut RESOURCE, 1) };
}

unsafe fn end_thread_with_resource() -> i32 {
    unsafe {
        ExInitializeResourceLite(&raw mut RESOURCE);
        join(start(keep_resource, null_mut()));
    }
    0
}

static mut LIST: Lookaside = Lookaside([0; 16]);

/// Fields of `GENERAL_LOOKASIDE` that the headers' in-line code reads.
const DEPTH: usize = 0x10;
const POOL_TYPE: usize = 0x24;
const ALLOCATE: usize = 0x30;
const FREE: usize = 0x38;

unsafe fn make_list() {
    unsafe { ExInitializeNPagedLookasideList(&raw mut LIST, 0, 0, 0x200, 40, TAG, 0) };
}

unsafe fn sound_lookaside() -> i32 {
    type Allocate = unsafe extern "system" fn(u32, u64, u32) -> *mut SListEntry;
    type Free = unsafe extern "system" fn(*mut SListEntry);
    unsafe {
        make_list();
        let list = (&raw mut LIST).cast::<u8>();
        let head = list.cast::<SListHeader>();
        let depth = list.add(DEPTH).cast::<u16>().read();
        let pool_type = list.add(POOL_TYPE).cast::<u32>().read();
        check!(pool_type == 0x200);
        let allocate: Allocate = core::mem::transmute(list.add(ALLOCATE).cast::<u64>().read());
        let free: Free = core::mem::transmute(list.add(FREE).cast::<u64>().read());
        // As ExAllocateFromNPagedLookasideList and ExFreeToNPagedLookasideList do it in wdm.h.
        for _ in 0..3 {
            let mut entry = ExpInterlockedPopEntrySList(head);
            if entry.is_null() {
                entry = allocate(pool_type, 40, TAG);
            }
            check!(!entry.is_null());
            entry.cast::<u8>().add(39).write_volatile(1);
            if ExQueryDepthSList(head) >= depth {
                free(entry);
            } else {
                ExpInterlockedPushEntrySList(head, entry);
            }
        }
        ExDeleteNPagedLookasideList(&raw mut LIST);
        // The last that was pushed is popped first (ExInterlockedPushEntrySList's page), and the one before it is returned.
        let mut head = SListHeader([0; 2]);
        let (mut first, mut second) = (SListEntry([0; 2]), SListEntry([0; 2]));
        check!(ExpInterlockedPushEntrySList(&mut head, &mut first).is_null());
        check!(core::ptr::eq(
            ExpInterlockedPushEntrySList(&mut head, &mut second),
            &first
        ));
        check!(ExQueryDepthSList(&mut head) == 2);
        check!(core::ptr::eq(ExpInterlockedPopEntrySList(&mut head), &second));
        check!(core::ptr::eq(ExpInterlockedPopEntrySList(&mut head), &first));
        check!(ExpInterlockedPopEntrySList(&mut head).is_null() && ExQueryDepthSList(&mut head) == 0);
    }
    0
}

unsafe fn initialize_lookaside_twice() -> i32 {
    unsafe {
        make_list();
        make_list();
    }
    0
}

unsafe fn delete_no_lookaside() -> i32 {
    unsafe { ExDeleteNPagedLookasideList(&raw mut LIST) };
    0
}

unsafe fn free_lookaside() -> i32 {
    unsafe {
        let list = ExAllocatePool2(NON_PAGED | 8, 0x80, TAG);
        ExInitializeNPagedLookasideList(list.cast(), 0, 0, 0x200, 40, TAG, 0);
        ExFreePoolWithTag(list, TAG);
    }
    0
}

unsafe fn lookaside_of_small_blocks() -> i32 {
    unsafe { ExInitializeNPagedLookasideList(&raw mut LIST, 0, 0, 0x200, 4, TAG, 0) };
    0
}

static mut REMOVE: RemoveLock = RemoveLock([0; 4]);
/// `STATUS_DELETE_PENDING`.
const DELETE_PENDING: i32 = 0xC000_0056_u32 as i32;

unsafe fn acquire_remove_lock(lock: *mut RemoveLock, tag: u64) -> i32 {
    unsafe { IoAcquireRemoveLockEx(lock, tag, null(), 0, 0x20) }
}

unsafe extern "system" fn late_releaser(_context: *mut c_void) {
    unsafe {
        // Once the lock is released for good nobody gets it any more (IoAcquireRemoveLock's page).
        while acquire_remove_lock(&raw mut REMOVE, 3) == 0 {
            IoReleaseRemoveLockEx(&raw mut REMOVE, 3, 0x20);
            sleep(1);
        }
        SEEN.store(1, SeqCst);
        IoReleaseRemoveLockEx(&raw mut REMOVE, 1, 0x20);
    }
}

unsafe fn sound_remove_lock() -> i32 {
    unsafe {
        let lock = &raw mut REMOVE;
        IoInitializeRemoveLockEx(lock, TAG, 0, 0, 0x20);
        check!(acquire_remove_lock(lock, 1) == 0 && acquire_remove_lock(lock, 2) == 0);
        let thread = start(late_releaser, null_mut());
        IoReleaseRemoveLockAndWaitEx(lock, 2, 0x20);
        check!(SEEN.load(SeqCst) == 1 && acquire_remove_lock(lock, 1) == DELETE_PENDING);
        join(thread);
    }
    0
}

unsafe fn release_remove_lock(tag: u64, for_good: bool) -> i32 {
    unsafe {
        let lock = &raw mut REMOVE;
        IoInitializeRemoveLockEx(lock, TAG, 0, 0, 0x20);
        acquire_remove_lock(lock, 1);
        if for_good {
            IoReleaseRemoveLockAndWaitEx(lock, tag, 0x20);
        } else {
            IoReleaseRemoveLockEx(lock, tag, 0x20);
        }
    }
    0
}

unsafe fn release_remove_lock_twice() -> i32 {
    unsafe {
        release_remove_lock(1, false);
        IoReleaseRemoveLockEx(&raw mut REMOVE, 1, 0x20);
    }
    0
}

unsafe fn initialize_remove_lock_twice() -> i32 {
    unsafe {
        release_remove_lock(1, true);
        release_remove_lock(1, true)
    }
}

unsafe fn free_acquired_remove_lock() -> i32 {
    unsafe {
        let lock = ExAllocatePool2(NON_PAGED, 0x20, TAG);
        IoInitializeRemoveLockEx(lock.cast(), TAG, 0, 0, 0x20);
        acquire_remove_lock(lock.cast(), 7);
        ExFreePoolWithTag(lock, TAG);
    }
    0
}

static mut EVENT: Event = Event([0; 3]);

/// Queued again from within until the third time, and freed from within, as IoFreeWorkItem's page allows.
unsafe extern "system" fn works(object: *mut c_void, context: *mut c_void, item: *mut c_void) {
    unsafe {
        let right =
            core::ptr::eq(object, DRIVER) && KeGetCurrentIrql() == PASSIVE_LEVEL && context.addr() == 7;
        if SEEN.fetch_add(if right { 1 } else { 100 }, SeqCst) < 2 {
            IoQueueWorkItemEx(item, works, 1, context);
        } else {
            IoFreeWorkItem(item);
            KeSetEvent(&raw mut EVENT, 0, 0);
        }
    }
}

unsafe fn sound_work_item() -> i32 {
    unsafe {
        KeInitializeEvent(&raw mut EVENT, 1, 0);
        let item = IoAllocateWorkItem(DRIVER);
        check!(!item.is_null());
        let old = KfRaiseIrql(DISPATCH_LEVEL);
        IoQueueWorkItemEx(item, works, 1, core::ptr::without_provenance_mut(7));
        KeLowerIrql(old);
        wait_for(&raw mut EVENT);
        check!(SEEN.load(SeqCst) == 3);
    }
    0
}

unsafe extern "system" fn works_for_nothing(_object: *mut c_void, _context: *mut c_void, _item: *mut c_void) {
}

/// Again and again: by the second call the first may have run, on another processor.
unsafe fn queue_work_item_twice() -> i32 {
    unsafe {
        let item = IoAllocateWorkItem(DRIVER);
        loop {
            IoQueueWorkItem(item, works_for_nothing, 1, null_mut());
        }
    }
}

unsafe fn free_queued_work_item() -> i32 {
    loop {
        unsafe {
            let item = IoAllocateWorkItem(DRIVER);
            let old = KfRaiseIrql(DISPATCH_LEVEL);
            IoQueueWorkItem(item, works_for_nothing, 1, null_mut());
            IoFreeWorkItem(item);
            KeLowerIrql(old);
        }
    }
}
