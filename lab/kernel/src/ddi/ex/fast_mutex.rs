//! Fast mutexes and guarded ones: one structure (`FAST_MUTEX`, wdm.h), and what its owner is spared. A fast mutex's runs at `APC_LEVEL`, a guarded
//! one's is in a guarded region; the owner of one that is acquired by an `Unsafe` routine has seen to that itself.

use crate::bug::{self, code};
use crate::ddi::irql_ranges::{ANY, APC};
use crate::export::Export;
use crate::judge::lock_order;
use crate::ke::irql::{self, APC_LEVEL};
use crate::ke::object::{Header, Kind};
use crate::ke::thread::current_address;
use crate::ke::{critical_region, event, stay, wait};
use crate::lock::IrqLock;
use alloc::collections::BTreeMap;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

/// `FAST_MUTEX`, 0x38 bytes; headers initialise it in line.
#[repr(C)]
pub struct FastMutex {
    /// 1 if it is free, and one less for its owner and for each that waits.
    count: AtomicI32,
    owner: AtomicU64,
    contention: AtomicU32,
    event: Header,
    old_irql: AtomicU32,
}

const _: () = assert!(size_of::<FastMutex>() == 0x38);

/// Those that are owned, and their owners.
static OWNED: IrqLock<BTreeMap<u64, u64>> = IrqLock::new(BTreeMap::new());

/// What becomes of the owner's APCs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Runs at `APC_LEVEL`.
    Raised,
    /// Is in a guarded region.
    Guarded,
    /// As it was, which must be one of these.
    Unsafe,
}

impl Owner {
    /// Before the mutex is acquired; what [`Self::end`] needs.
    fn begin(self) -> u8 {
        let level = irql::current();
        match self {
            Self::Raised => stay::raise(APC_LEVEL),
            Self::Guarded => critical_region::enter_guarded(),
            Self::Unsafe => {}
        }
        level
    }

    /// After it is released.
    fn end(self, level: u8) {
        match self {
            Self::Raised => stay::lower(level),
            Self::Guarded => critical_region::leave_guarded(),
            Self::Unsafe => {}
        }
    }
}

/// The mutex at `address`, which must be initialised.
fn mutex(address: *const FastMutex) -> &'static FastMutex {
    // SAFETY: the DDI asks for a FAST_MUTEX there, which stays while it is used; its fields are atomic.
    let mutex = unsafe { &*address };
    if mutex.event.kind() != Some(Kind::SynchronizationEvent) {
        bug::violation(
            code::sub::LOCK_NOT_INITIALIZED,
            [address as u64, 0, 0],
            format_args!("the mutex {address:p} is used and is not initialised, or damaged"),
        );
    }
    mutex
}

impl FastMutex {
    fn address(&self) -> u64 {
        (&raw const *self) as u64
    }

    /// The event, on which the mutex's waiters wait.
    fn event(&self) -> &'static Header {
        // SAFETY: the mutex stays until its waiters have it, by the DDI.
        unsafe { Header::at(&raw const self.event) }
    }

    fn owned_by_current(&self, level: u8) {
        let current = current_address();
        self.owner.store(current, Ordering::Relaxed);
        self.old_irql.store(level.into(), Ordering::Relaxed);
        OWNED.lock().insert(self.address(), current);
    }

    fn acquire(&self, owner: Owner) {
        if self.owner.load(Ordering::Relaxed) == current_address() {
            bug::violation(
                code::sub::SELF_DEADLOCK,
                [self.address(), 0, 0],
                format_args!(
                    "the driver acquires the mutex {:#x} in the thread that has it, which waits for itself for ever",
                    self.address()
                ),
            );
        }
        lock_order::acquire(self.address());
        let level = owner.begin();
        // Acquire: pairs with the Release in `release`; a waiter gets the same from the event.
        if self.count.fetch_sub(1, Ordering::Acquire) != 1 {
            self.contention.fetch_add(1, Ordering::Relaxed);
            wait::wait(&[self.event()], false, None, true);
        }
        self.owned_by_current(level);
    }

    fn try_acquire(&self, owner: Owner) -> bool {
        let level = owner.begin();
        // Acquire: as above.
        let free = self
            .count
            .compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if free {
            lock_order::taken(self.address());
            self.owned_by_current(level);
        } else {
            owner.end(level);
        }
        free
    }

    fn release(&self, owner: Owner) {
        let (has, current) = (self.owner.load(Ordering::Relaxed), current_address());
        if has == 0 {
            bug::violation(
                code::sub::LOCK_NOT_ACQUIRED,
                [self.address(), 0, 0],
                format_args!(
                    "the driver releases the mutex {:#x}, which nobody has",
                    self.address()
                ),
            );
        }
        if has != current {
            bug::violation(
                code::sub::LOCK_OF_ANOTHER_THREAD,
                [self.address(), has, current],
                format_args!(
                    "the driver releases the mutex {:#x} in the thread {current:#x}, and {has:#x} has it",
                    self.address()
                ),
            );
        }
        let level = self.old_irql.load(Ordering::Relaxed) as u8;
        OWNED.lock().remove(&self.address());
        lock_order::release(self.address());
        self.owner.store(0, Ordering::Relaxed);
        // Release: what its owner wrote reaches the next one.
        if self.count.fetch_add(1, Ordering::Release) < 0 {
            event::set(self.event(), 1);
        }
        owner.end(level);
    }
}

/// Who uses an `Unsafe` routine has disabled APCs before.
fn check_unsafe(mutex: *const FastMutex, offence: u64, what: &str) {
    if irql::current() < APC_LEVEL && !critical_region::are_apcs_disabled() {
        bug::violation(
            offence,
            [u64::from(irql::current()), 0, mutex as u64],
            format_args!(
                "the driver {what} the mutex {mutex:p} by an Unsafe routine at IRQL {} and in no critical region",
                irql::current()
            ),
        );
    }
}

unsafe extern "win64" fn ex_acquire_fast_mutex(address: *const FastMutex) {
    mutex(address).acquire(Owner::Raised);
}

unsafe extern "win64" fn ex_try_to_acquire_fast_mutex(address: *const FastMutex) -> u8 {
    u8::from(mutex(address).try_acquire(Owner::Raised))
}

unsafe extern "win64" fn ex_release_fast_mutex(address: *const FastMutex) {
    let level = irql::current();
    if level != APC_LEVEL {
        bug::violation(
            code::sub::FAST_MUTEX_RELEASE_LEVEL,
            [u64::from(level), address as u64, 0],
            format_args!(
                "the driver releases the fast mutex {address:p} at IRQL {level}; its owner is at APC_LEVEL"
            ),
        );
    }
    mutex(address).release(Owner::Raised);
}

unsafe extern "win64" fn acquire_unsafe(address: *const FastMutex) {
    check_unsafe(address, code::sub::UNSAFE_ACQUIRE_WITH_APCS, "acquires");
    mutex(address).acquire(Owner::Unsafe);
}

unsafe extern "win64" fn release_unsafe(address: *const FastMutex) {
    check_unsafe(address, code::sub::UNSAFE_RELEASE_WITH_APCS, "releases");
    mutex(address).release(Owner::Unsafe);
}

unsafe extern "win64" fn ke_initialize_guarded_mutex(address: *const FastMutex) {
    // SAFETY: the DDI asks for a KGUARDED_MUTEX there; its fields are atomic.
    let mutex = unsafe { &*address };
    if let Some((_, owner)) = owned_within(address as u64..address as u64 + 1) {
        deleted(address as u64, owner, "initialises");
    }
    mutex.count.store(1, Ordering::Relaxed);
    mutex.owner.store(0, Ordering::Relaxed);
    mutex.contention.store(0, Ordering::Relaxed);
    mutex.event.initialize(Kind::SynchronizationEvent, 6, 0);
}

unsafe extern "win64" fn ke_acquire_guarded_mutex(address: *const FastMutex) {
    mutex(address).acquire(Owner::Guarded);
}

unsafe extern "win64" fn ke_try_to_acquire_guarded_mutex(address: *const FastMutex) -> u8 {
    u8::from(mutex(address).try_acquire(Owner::Guarded))
}

unsafe extern "win64" fn ke_release_guarded_mutex(address: *const FastMutex) {
    mutex(address).release(Owner::Guarded);
}

fn owned_within(memory: Range<u64>) -> Option<(u64, u64)> {
    let owned = OWNED.lock();
    owned.range(memory).next().map(|(&mutex, &owner)| (mutex, owner))
}

fn deleted(mutex: u64, owner: u64, how: &str) -> ! {
    bug::violation(
        code::sub::OWNED_LOCK_DELETED,
        [mutex, owner, 0],
        format_args!("the driver {how} the mutex {mutex:#x}, which the thread {owner:#x} has"),
    )
}

/// This memory is about to be no more: no mutex in it may be owned.
pub fn refuse_freed(memory: Range<u64>) {
    if let Some((mutex, owner)) = owned_within(memory) {
        deleted(mutex, owner, "frees");
    }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("ExAcquireFastMutex", APC, ex_acquire_fast_mutex as *const ()),
    Export::function(
        "ExTryToAcquireFastMutex",
        APC,
        ex_try_to_acquire_fast_mutex as *const (),
    ),
    // At another IRQL than its page's it is Driver Verifier's offence, by the mutex's name.
    Export::function("ExReleaseFastMutex", ANY, ex_release_fast_mutex as *const ()),
    Export::function("ExAcquireFastMutexUnsafe", APC, acquire_unsafe as *const ()),
    Export::function("ExReleaseFastMutexUnsafe", APC, release_unsafe as *const ()),
    Export::function(
        "KeInitializeGuardedMutex",
        APC,
        ke_initialize_guarded_mutex as *const (),
    ),
    Export::function(
        "KeAcquireGuardedMutex",
        APC,
        ke_acquire_guarded_mutex as *const (),
    ),
    Export::function(
        "KeTryToAcquireGuardedMutex",
        APC,
        ke_try_to_acquire_guarded_mutex as *const (),
    ),
    Export::function(
        "KeReleaseGuardedMutex",
        APC,
        ke_release_guarded_mutex as *const (),
    ),
    Export::function("KeAcquireGuardedMutexUnsafe", APC, acquire_unsafe as *const ()),
    Export::function("KeReleaseGuardedMutexUnsafe", APC, release_unsafe as *const ()),
];
