//! Wait locks, spin locks, and the locks behind synchronization scopes.

use crate::driver;
use crate::layout::ObjectAttributes;
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, violation};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use rundown_lab_kernel::bug::{bugcheck, code};
use rundown_lab_kernel::hal::clock;
use rundown_lab_kernel::ke::critical_region;
use rundown_lab_kernel::ke::event::Event;
use rundown_lab_kernel::ke::irql::{self, DISPATCH_LEVEL};
use rundown_lab_kernel::ke::object::Kind as DispatcherKind;
use rundown_lab_kernel::ke::spinlock;
use rundown_lab_kernel::ke::{stay, thread};
use rundown_lab_kernel::status;

/// A wait lock: one thread at a time, waited for below `DISPATCH_LEVEL`.
pub struct WaitLock {
    free: Event,
    /// The thread that has it, or 0.
    owner: AtomicU64,
}

/// A spin lock.
pub struct SpinLock {
    word: AtomicU64,
    /// The IRQL before, the owner's to use.
    old: AtomicU8,
}

impl WaitLock {
    fn new() -> Self {
        let free = Event::new(DispatcherKind::SynchronizationEvent);
        free.set();
        Self {
            free,
            owner: AtomicU64::new(0),
        }
    }

    /// Takes it; false if the time (milliseconds; `None`: no limit) was too short.
    fn acquire(&self, milliseconds: Option<u64>) -> bool {
        let thread = thread::current().address();
        // Relaxed: only the thread itself can have stored its own address.
        if self.owner.load(Ordering::Relaxed) == thread && milliseconds != Some(0) {
            violation(
                violation::LOCK_HELD,
                0,
                0,
                format_args!(
                    "a thread acquires a lock that it holds already, and would wait for itself for ever"
                ),
            );
        }
        let taken = match milliseconds {
            None => {
                self.free.wait();
                true
            }
            Some(limit) => self.free.wait_for(limit),
        };
        if taken {
            // As long as the thread holds it (fxwaitlock.hpp:265).
            critical_region::enter();
            self.owner.store(thread, Ordering::Relaxed);
        }
        taken
    }

    fn release(&self, handle: u64) {
        let thread = thread::current().address();
        if self.owner.swap(0, Ordering::Relaxed) != thread {
            violation(
                violation::LOCK_NOT_HELD,
                handle,
                1,
                format_args!("a lock is released by a thread that does not hold it"),
            );
        }
        self.free.set();
        critical_region::leave();
    }
}

impl SpinLock {
    const fn new() -> Self {
        Self {
            word: AtomicU64::new(0),
            old: AtomicU8::new(0),
        }
    }

    fn lock(&self) -> &'static spinlock::SpinLock {
        // SAFETY: one word, like a KSPIN_LOCK; the object stays while a driver uses its handle, or while a callback runs under it.
        unsafe { spinlock::SpinLock::at((&raw const self.word).cast()) }
    }

    fn acquire(&self) {
        let old = irql::current();
        stay::raise(old.max(DISPATCH_LEVEL));
        self.lock().acquire();
        self.old.store(old, Ordering::Relaxed);
    }

    fn release(&self) {
        let old = self.old.load(Ordering::Relaxed);
        self.lock().release();
        stay::lower(old);
    }
}

/// The lock of a synchronization scope: a wait lock for passive callbacks, a spin lock for others.
pub struct Serial {
    passive: WaitLock,
    raised: SpinLock,
    /// The thread that is in a callback under it, or 0.
    holder: AtomicU64,
}

impl Serial {
    /// A lock that is free.
    #[allow(clippy::new_without_default, reason = "a lock is made on purpose")]
    pub fn new() -> Self {
        Self {
            passive: WaitLock::new(),
            raised: SpinLock::new(),
            holder: AtomicU64::new(0),
        }
    }

    /// Whether the running thread is in a callback under it.
    pub fn is_mine(&self) -> bool {
        // Relaxed: only the thread itself can have stored its own address.
        self.holder.load(Ordering::Relaxed) == thread::current().address()
    }

    /// Runs a callback under the lock.
    pub fn run<R>(&self, passive: bool, callback: impl FnOnce() -> R) -> R {
        if passive {
            self.passive.acquire(None);
        } else {
            self.raised.acquire();
        }
        self.holder.store(thread::current().address(), Ordering::Relaxed);
        let result = callback();
        self.holder.store(0, Ordering::Relaxed);
        if passive {
            self.passive.release(0);
        } else {
            self.raised.release();
        }
        result
    }
}

unsafe extern "win64" fn create_wait_lock(
    _globals: u64,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: attributes or none.
    let lock = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        let body = WaitLock::new();
        object::create(
            Kind::WaitLock,
            attributes.as_ref(),
            driver::object().as_ref(),
            body,
        )
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(lock, result) }
}

unsafe extern "win64" fn acquire_wait_lock(_globals: u64, handle: u64, timeout: *const i64) -> i32 {
    let lock = object::find(handle, Kind::WaitLock);
    // SAFETY: the declaration: a LONGLONG or null.
    let timeout = unsafe { timeout.as_ref() }.copied();
    if timeout != Some(0) && irql::current() > irql::PASSIVE_LEVEL {
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::WAIT_AT_DISPATCH, u64::from(irql::current()), handle, 0],
            format_args!(
                "WdfWaitLockAcquire may wait, and is called at IRQL {}; it needs PASSIVE_LEVEL",
                irql::current()
            ),
        );
    }
    if lock.wait_lock().acquire(timeout.map(milliseconds)) {
        status::SUCCESS
    } else {
        status::TIMEOUT
    }
}

/// A wait's timeout in milliseconds from now, rounded up.
fn milliseconds(timeout: i64) -> u64 {
    const UNITS: u64 = 10_000;
    let units = if timeout <= 0 {
        timeout.unsigned_abs()
    } else {
        (timeout as u64).saturating_sub(clock::system_time())
    };
    units.div_ceil(UNITS)
}

unsafe extern "win64" fn release_wait_lock(_globals: u64, handle: u64) {
    object::find(handle, Kind::WaitLock).wait_lock().release(handle);
}

unsafe extern "win64" fn create_spin_lock(
    _globals: u64,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: attributes or none.
    let lock = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        let body = SpinLock::new();
        object::create(
            Kind::SpinLock,
            attributes.as_ref(),
            driver::object().as_ref(),
            body,
        )
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(lock, result) }
}

unsafe extern "win64" fn acquire_spin_lock(_globals: u64, handle: u64) {
    object::find(handle, Kind::SpinLock).spin_lock().acquire();
}

unsafe extern "win64" fn release_spin_lock(_globals: u64, handle: u64) {
    object::find(handle, Kind::SpinLock).spin_lock().release();
}

/// `wdfsync.h`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(312, "WdfWaitLockCreate", 2, create_wait_lock as *const ()),
    Slot::new(313, "WdfWaitLockAcquire", 2, acquire_wait_lock as *const ()),
    Slot::new(314, "WdfWaitLockRelease", 2, release_wait_lock as *const ()),
    Slot::new(315, "WdfSpinLockCreate", 2, create_spin_lock as *const ()),
    Slot::new(316, "WdfSpinLockAcquire", 2, acquire_spin_lock as *const ()),
    Slot::new(317, "WdfSpinLockRelease", 2, release_spin_lock as *const ()).at_least(2),
];

impl Body for SpinLock {}

impl Body for WaitLock {}

impl Object {
    /// Its body as a spin lock.
    pub fn spin_lock(&self) -> &SpinLock {
        self.body()
    }

    /// Its body as a wait lock.
    pub fn wait_lock(&self) -> &WaitLock {
        self.body()
    }
}
