//! Resources (`ERESOURCE`): many share one, or one has it alone, and both may take it again. What lies in the driver's memory is opaque; the
//! lab keeps the state beside it.

use crate::bug::{self, code};
use crate::ddi::irql_ranges::{APC, DISPATCH};
use crate::export::Export;
use crate::io::client;
use crate::ke::event::Event;
use crate::ke::irql::{self, APC_LEVEL};
use crate::ke::object::Kind;
use crate::ke::thread::{self, current_address};
use crate::ke::{critical_region, thread::Thread};
use crate::lock::IrqLock;
use crate::status;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// `sizeof(ERESOURCE)`.
const SIZE: usize = 0x68;

/// How somebody asks for a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Exclusive,
    /// After those who wait for it alone, unless the thread has it already.
    Shared,
    /// Before them.
    StarveExclusive,
    /// After them in any case.
    WaitForExclusive,
}

/// One that waits, and what tells it that it has the resource.
struct Waiter {
    owner: u64,
    exclusive: bool,
    granted: Arc<Event>,
}

#[derive(Default)]
struct State {
    /// A thread's address, or what a driver put in its place (`ExSetResourceOwnerPointer`), and how often it has the resource.
    owners: Vec<(u64, u32)>,
    exclusive: bool,
    waiters: VecDeque<Waiter>,
}

impl State {
    fn times(&self, owner: u64) -> u32 {
        let entry = self.owners.iter().find(|entry| entry.0 == owner);
        entry.map_or(0, |entry| entry.1)
    }

    fn add(&mut self, owner: u64) {
        match self.owners.iter_mut().find(|entry| entry.0 == owner) {
            Some(entry) => entry.1 += 1,
            None => self.owners.push((owner, 1)),
        }
    }

    /// Whether `owner` can have it at once (the routines' pages, each with its list of cases).
    fn admits(&self, owner: u64, access: Access) -> bool {
        let exclusive_waits = self.waiters.iter().any(|waiter| waiter.exclusive);
        let has = self.times(owner) != 0;
        match access {
            _ if self.owners.is_empty() => true,
            _ if self.exclusive => has,
            Access::Exclusive => false,
            Access::Shared => has || !exclusive_waits,
            Access::StarveExclusive => true,
            Access::WaitForExclusive => !exclusive_waits,
        }
    }

    /// Gives it to whoever is next: one that wants it alone, or all that share it up to the next such one.
    fn grant(&mut self) {
        while let Some(next) = self.waiters.front() {
            if next.exclusive && !self.owners.is_empty() || self.exclusive {
                break;
            }
            let Some(next) = self.waiters.pop_front() else {
                break;
            };
            self.exclusive = next.exclusive;
            self.add(next.owner);
            owns(next.owner, |count| count + 1, None);
            next.granted.set();
        }
    }
}

/// The resources that are initialised.
static RESOURCES: IrqLock<BTreeMap<u64, State>> = IrqLock::new(BTreeMap::new());

/// Counts what the thread at `owner` owns; anything else that a driver named as the owner is no thread that could end.
fn owns(owner: u64, change: impl Fn(u32) -> u32, resource: Option<u64>) {
    let Some(thread) = thread::by_address(owner) else {
        return;
    };
    let thread: &Thread = &thread;
    let _ = thread
        .resources
        .0
        .fetch_update(Relaxed, Relaxed, |count| Some(change(count)));
    if let Some(resource) = resource {
        thread.resources.1.store(resource, Relaxed);
    }
}

/// What is done with the state of an initialised resource.
fn with<R>(resource: u64, work: impl FnOnce(&mut State) -> R) -> R {
    if !resource.is_multiple_of(8) {
        bug::violation(
            code::sub::RESOURCE_MISALIGNED,
            [0, 0, resource],
            format_args!("the driver gives {resource:#x} as a resource, which lies at no multiple of 8"),
        );
    }
    let result = RESOURCES.lock().get_mut(&resource).map(work);
    result.unwrap_or_else(|| {
        bug::violation(
            code::sub::LOCK_NOT_INITIALIZED,
            [resource, 0, 0],
            format_args!("the driver uses the resource {resource:#x}, which is not initialised, or deleted"),
        )
    })
}

/// "Normal kernel APC delivery must be disabled", or the thread may be suspended with the resource. A thread of the system's is not suspended,
/// and NT lets it pass.
fn check_apcs(resource: u64, offence: u64, what: &str) {
    let disabled = irql::current() >= APC_LEVEL || critical_region::are_apcs_disabled();
    if client::current_caller().is_some() && !disabled {
        bug::violation(
            offence,
            [u64::from(irql::current()), 0, resource],
            format_args!(
                "the driver {what} the resource {resource:#x} in its client's thread and in no critical region: whoever suspends the \
                 client keeps the resource"
            ),
        );
    }
}

fn acquire(resource: u64, wait: u8, access: Access) -> u8 {
    check_apcs(resource, code::sub::RESOURCE_ACQUIRED_WITH_APCS, "acquires");
    let owner = current_address();
    let granted = Arc::new(Event::new(Kind::NotificationEvent));
    let at_once = with(resource, |state| {
        if state.admits(owner, access) {
            state.exclusive |= access == Access::Exclusive;
            state.add(owner);
            return Some(true);
        }
        if wait == 0 {
            return Some(false);
        }
        if state.times(owner) != 0 && !state.exclusive {
            return None;
        }
        let waiter = Waiter {
            owner,
            exclusive: access == Access::Exclusive,
            granted: granted.clone(),
        };
        if access == Access::StarveExclusive {
            state.waiters.push_front(waiter);
        } else {
            state.waiters.push_back(waiter);
        }
        Some(false)
    });
    match at_once {
        Some(true) => owns(owner, |count| count + 1, Some(resource)),
        Some(false) if wait == 0 => return 0,
        Some(false) => {
            granted.wait();
            thread::current().resources.1.store(resource, Relaxed);
        }
        None => bug::violation(
            code::sub::SELF_DEADLOCK,
            [resource, 0, 0],
            format_args!(
                "the driver waits for the resource {resource:#x}, which its thread shares already: nobody can release it meanwhile"
            ),
        ),
    }
    1
}

fn release(resource: u64, owner: u64) {
    check_apcs(resource, code::sub::RESOURCE_RELEASED_WITH_APCS, "releases");
    let other = with(resource, |state| {
        let Some(index) = state.owners.iter().position(|entry| entry.0 == owner) else {
            return Err(state.owners.first().map(|entry| entry.0));
        };
        state.owners[index].1 -= 1;
        if state.owners[index].1 == 0 {
            state.owners.remove(index);
        }
        if state.owners.is_empty() {
            state.exclusive = false;
        }
        owns(owner, |count| count.saturating_sub(1), None);
        state.grant();
        Ok(())
    });
    match other {
        Ok(()) => {}
        Err(None) => bug::violation(
            code::sub::LOCK_NOT_ACQUIRED,
            [resource, 0, 0],
            format_args!("the driver releases the resource {resource:#x}, which nobody has"),
        ),
        Err(Some(other)) => bug::violation(
            code::sub::LOCK_OF_ANOTHER_THREAD,
            [resource, other, owner],
            format_args!(
                "the driver releases the resource {resource:#x} for the thread {owner:#x}, which does not have it; {other:#x} does"
            ),
        ),
    }
}

unsafe extern "win64" fn ex_initialize_resource_lite(resource: u64) -> i32 {
    if resource.is_multiple_of(8) && RESOURCES.lock().contains_key(&resource) {
        bug::violation(
            code::sub::RESOURCE_INITIALIZED_TWICE,
            [resource, 0, 0],
            format_args!("the driver initialises the resource {resource:#x} again, and has not deleted it"),
        );
    }
    // SAFETY: the DDI asks for an ERESOURCE there.
    unsafe { (resource as *mut u8).write_bytes(0, SIZE) };
    RESOURCES.lock().insert(resource, State::default());
    status::SUCCESS
}

/// Whoever has it, or waits for it, loses it: nobody may.
fn refuse_owned(resource: u64) {
    let owner = with(resource, |state| {
        let waiter = state.waiters.front().map(|waiter| waiter.owner);
        state.owners.first().map(|entry| entry.0).or(waiter)
    });
    if let Some(owner) = owner {
        bug::violation(
            code::sub::OWNED_LOCK_DELETED,
            [resource, owner, 0],
            format_args!(
                "the driver deletes or re-initialises the resource {resource:#x}, which the thread {owner:#x} has or waits for"
            ),
        );
    }
}

unsafe extern "win64" fn ex_reinitialize_resource_lite(resource: u64) -> i32 {
    refuse_owned(resource);
    status::SUCCESS
}

unsafe extern "win64" fn ex_delete_resource_lite(resource: u64) -> i32 {
    let known = RESOURCES.lock().contains_key(&resource);
    if !known {
        bug::violation(
            code::sub::RESOURCE_NOT_INITIALIZED,
            [resource, 0, 0],
            format_args!(
                "the driver deletes the resource {resource:#x}, which is not initialised, or deleted already"
            ),
        );
    }
    refuse_owned(resource);
    RESOURCES.lock().remove(&resource);
    status::SUCCESS
}

unsafe extern "win64" fn ex_acquire_resource_exclusive_lite(resource: u64, wait: u8) -> u8 {
    acquire(resource, wait, Access::Exclusive)
}

unsafe extern "win64" fn ex_acquire_resource_shared_lite(resource: u64, wait: u8) -> u8 {
    acquire(resource, wait, Access::Shared)
}

unsafe extern "win64" fn ex_acquire_shared_starve_exclusive(resource: u64, wait: u8) -> u8 {
    acquire(resource, wait, Access::StarveExclusive)
}

unsafe extern "win64" fn ex_acquire_shared_wait_for_exclusive(resource: u64, wait: u8) -> u8 {
    acquire(resource, wait, Access::WaitForExclusive)
}

unsafe extern "win64" fn ex_enter_critical_region_and_acquire_exclusive(resource: u64) -> u64 {
    critical_region::enter();
    acquire(resource, 1, Access::Exclusive);
    current_address()
}

unsafe extern "win64" fn ex_enter_critical_region_and_acquire_shared(resource: u64) -> u64 {
    critical_region::enter();
    acquire(resource, 1, Access::Shared);
    current_address()
}

unsafe extern "win64" fn ex_release_resource_lite(resource: u64) {
    release(resource, current_address());
}

unsafe extern "win64" fn ex_release_resource_and_leave_critical_region(resource: u64) {
    release(resource, current_address());
    critical_region::leave();
}

unsafe extern "win64" fn ex_release_resource_for_thread_lite(resource: u64, owner: u64) {
    release(resource, owner);
}

unsafe extern "win64" fn ex_convert_exclusive_to_shared_lite(resource: u64) {
    let current = current_address();
    let owner = with(resource, |state| {
        let right = state.exclusive && state.times(current) != 0;
        if right {
            state.exclusive = false;
            state.grant();
            return None;
        }
        Some(state.owners.first().map_or(0, |entry| entry.0))
    });
    if let Some(owner) = owner {
        bug::violation(
            code::sub::LOCK_OF_ANOTHER_THREAD,
            [resource, owner, current],
            format_args!(
                "the driver converts the resource {resource:#x} in a thread that does not have it alone"
            ),
        );
    }
}

unsafe extern "win64" fn ex_set_resource_owner_pointer(resource: u64, pointer: u64) {
    let current = current_address();
    let moved = with(resource, |state| {
        let index = state.owners.iter().position(|entry| entry.0 == current)?;
        state.owners[index].1 -= 1;
        if state.owners[index].1 == 0 {
            state.owners.remove(index);
        }
        state.add(pointer);
        Some(())
    });
    if moved.is_none() {
        bug::violation(
            code::sub::LOCK_NOT_ACQUIRED,
            [resource, 0, 0],
            format_args!(
                "the driver names an owner of the resource {resource:#x}, which its thread does not have"
            ),
        );
    }
    owns(current, |count| count.saturating_sub(1), None);
}

unsafe extern "win64" fn ex_is_resource_acquired_exclusive_lite(resource: u64) -> u8 {
    let current = current_address();
    u8::from(with(resource, |state| {
        state.exclusive && state.times(current) != 0
    }))
}

unsafe extern "win64" fn ex_is_resource_acquired_shared_lite(resource: u64) -> u32 {
    let current = current_address();
    with(resource, |state| state.times(current))
}

fn waiting(resource: u64, exclusive: bool) -> u32 {
    with(resource, |state| {
        let waiters = state.waiters.iter();
        waiters.filter(|waiter| waiter.exclusive == exclusive).count() as u32
    })
}

unsafe extern "win64" fn ex_get_exclusive_waiter_count(resource: u64) -> u32 {
    waiting(resource, true)
}

unsafe extern "win64" fn ex_get_shared_waiter_count(resource: u64) -> u32 {
    waiting(resource, false)
}

/// This memory is about to be no more: no resource in it may be active.
pub fn refuse_freed(memory: Range<u64>) {
    let active = RESOURCES
        .lock()
        .range(memory.clone())
        .next()
        .map(|entry| *entry.0);
    if let Some(resource) = active {
        bug::violation(
            code::sub::RESOURCE_FREED,
            [resource, memory.start, memory.end - memory.start],
            format_args!(
                "the driver frees memory with the resource {resource:#x} in it, which is not deleted (ExDeleteResourceLite comes first)"
            ),
        );
    }
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function(
        "ExInitializeResourceLite",
        DISPATCH,
        ex_initialize_resource_lite as *const (),
    ),
    Export::function(
        "ExReinitializeResourceLite",
        DISPATCH,
        ex_reinitialize_resource_lite as *const (),
    ),
    Export::function("ExDeleteResourceLite", APC, ex_delete_resource_lite as *const ()),
    Export::function(
        "ExAcquireResourceExclusiveLite",
        APC,
        ex_acquire_resource_exclusive_lite as *const (),
    ),
    Export::function(
        "ExAcquireResourceSharedLite",
        APC,
        ex_acquire_resource_shared_lite as *const (),
    ),
    Export::function(
        "ExAcquireSharedStarveExclusive",
        APC,
        ex_acquire_shared_starve_exclusive as *const (),
    ),
    Export::function(
        "ExAcquireSharedWaitForExclusive",
        APC,
        ex_acquire_shared_wait_for_exclusive as *const (),
    ),
    Export::function(
        "ExEnterCriticalRegionAndAcquireResourceExclusive",
        APC,
        ex_enter_critical_region_and_acquire_exclusive as *const (),
    ),
    Export::function(
        "ExEnterCriticalRegionAndAcquireResourceShared",
        APC,
        ex_enter_critical_region_and_acquire_shared as *const (),
    ),
    Export::function(
        "ExReleaseResourceAndLeaveCriticalRegion",
        APC,
        ex_release_resource_and_leave_critical_region as *const (),
    ),
    Export::function(
        "ExReleaseResourceLite",
        DISPATCH,
        ex_release_resource_lite as *const (),
    ),
    Export::function(
        "ExReleaseResourceForThreadLite",
        DISPATCH,
        ex_release_resource_for_thread_lite as *const (),
    ),
    Export::function(
        "ExConvertExclusiveToSharedLite",
        APC,
        ex_convert_exclusive_to_shared_lite as *const (),
    ),
    Export::function(
        "ExSetResourceOwnerPointer",
        DISPATCH,
        ex_set_resource_owner_pointer as *const (),
    ),
    Export::function(
        "ExIsResourceAcquiredExclusiveLite",
        DISPATCH,
        ex_is_resource_acquired_exclusive_lite as *const (),
    ),
    Export::function(
        "ExIsResourceAcquiredSharedLite",
        DISPATCH,
        ex_is_resource_acquired_shared_lite as *const (),
    ),
    Export::function(
        "ExGetExclusiveWaiterCount",
        DISPATCH,
        ex_get_exclusive_waiter_count as *const (),
    ),
    Export::function(
        "ExGetSharedWaiterCount",
        DISPATCH,
        ex_get_shared_waiter_count as *const (),
    ),
];
