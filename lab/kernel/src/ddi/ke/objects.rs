//! Events, semaphores, mutexes.

use super::parameter::object;
use crate::bug::{self, code};
use crate::ddi::irql_ranges::{ANY, APC, DISPATCH};
use crate::export::Export;
use crate::judge::lost_wakeup::{SETTING, STACK_EVENT_SETS};
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::object::{Header, Kind, Mutant, Semaphore};
use crate::ke::thread::{self, is_stack};
use crate::ke::{event, sched, stay};
use core::sync::atomic::Ordering::Relaxed;

const EVENTS: &[Kind] = &[Kind::NotificationEvent, Kind::SynchronizationEvent];

unsafe extern "win64" fn ke_initialize_event(event: *const Header, kind: u32, state: u8) {
    // SAFETY: the DDI asks for a KEVENT there.
    let event = unsafe { Header::at(event) };
    let kind = if kind == 0 {
        Kind::NotificationEvent
    } else {
        Kind::SynchronizationEvent
    };
    refuse_if_waited_on(event);
    event.initialize(kind, 6, i32::from(state != 0));
}

/// Initialising what somebody waits on strands the waiter.
fn refuse_if_waited_on(header: &'static Header) {
    let waited = sched::DISPATCHER
        .lock()
        .waiters_mut()
        .iter()
        .any(|waiter| waiter.objects.iter().any(|object| core::ptr::eq(*object, header)));
    if waited {
        bug::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [header.address(), 1, 0, 0],
            format_args!(
                "the driver initialises {:#x}, on which a thread waits",
                header.address()
            ),
        );
    }
}

/// A priority increment, 0 to 15.
fn increment(value: i32) -> u8 {
    value.clamp(0, 15) as u8
}

/// `Wait`: the routine's caller goes on to a wait at once, and nobody comes in between. By the routines' pages it is then called at or
/// below `APC_LEVEL`, and returns at `DISPATCH_LEVEL`, from where the wait goes back.
fn promise_wait(wait: u8) {
    if wait == 0 {
        return;
    }
    let level = irql::current();
    if level > irql::APC_LEVEL {
        bug::bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [
                code::sub::IRQL_APC_LTE,
                u64::from(level),
                u64::from(irql::APC_LEVEL),
                thread::current().caller(),
            ],
            format_args!(
                "Wait is TRUE at IRQL {level}; it may be at IRQL {} or below",
                irql::APC_LEVEL
            ),
        );
    }
    stay::raise(DISPATCH_LEVEL);
    thread::current().promise_wait(level);
}

unsafe extern "win64" fn ke_set_event(event: *const Header, boost: i32, wait: u8) -> i32 {
    let on_stack = is_stack(event as u64);
    if on_stack {
        STACK_EVENT_SETS.fetch_add(1, Relaxed);
    }
    let event = object(event, EVENTS);
    promise_wait(wait);
    SETTING.fetch_add(1, Relaxed);
    let before = event::set(event, increment(boost));
    SETTING.fetch_sub(1, Relaxed);
    before
}

unsafe extern "win64" fn ke_reset_event(event: *const Header) -> i32 {
    event::reset(object(event, EVENTS))
}

unsafe extern "win64" fn ke_clear_event(event: *const Header) {
    event::reset(object(event, EVENTS));
}

unsafe extern "win64" fn ke_read_state_event(event: *const Header) -> i32 {
    object(event, EVENTS).signal()
}

unsafe extern "win64" fn ke_initialize_semaphore(semaphore: *const Semaphore, count: i32, limit: i32) {
    // SAFETY: the DDI asks for a KSEMAPHORE there.
    let semaphore = unsafe { &*semaphore };
    semaphore.header.initialize(Kind::Semaphore, 8, count);
    semaphore.limit.store(limit, Relaxed);
}

unsafe extern "win64" fn ke_release_semaphore(
    semaphore: *const Header,
    boost: i32,
    count: i32,
    wait: u8,
) -> i32 {
    let header = object(semaphore, &[Kind::Semaphore]);
    promise_wait(wait);
    event::release_semaphore(Semaphore::of(header), count, increment(boost)).unwrap_or_else(|| {
        bug::bugcheck(
            code::KMODE_EXCEPTION_NOT_HANDLED,
            [0xFFFF_FFFF_C000_0047, semaphore as u64, count as u64, 0],
            format_args!("KeReleaseSemaphore beyond the semaphore's limit (STATUS_SEMAPHORE_LIMIT_EXCEEDED)"),
        )
    })
}

unsafe extern "win64" fn ke_read_state_semaphore(semaphore: *const Header) -> i32 {
    object(semaphore, &[Kind::Semaphore]).signal()
}

unsafe extern "win64" fn ke_initialize_mutex(mutex: *const Mutant, _level: u32) {
    // SAFETY: the DDI asks for a KMUTEX there.
    let mutex = unsafe { &*mutex };
    mutex.initialize();
}

unsafe extern "win64" fn ke_release_mutex(mutex: *const Header, wait: u8) -> i32 {
    let header = object(mutex, &[Kind::Mutant]);
    promise_wait(wait);
    event::release_mutex(Mutant::of(header)).unwrap_or_else(|| {
        bug::bugcheck(
            code::KMODE_EXCEPTION_NOT_HANDLED,
            [0xFFFF_FFFF_C000_0046, mutex as u64, 0, 0],
            format_args!("KeReleaseMutex by a thread that does not own the mutex (STATUS_MUTANT_NOT_OWNED)"),
        )
    })
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function("KeInitializeEvent", ANY, ke_initialize_event as *const ()),
    Export::function("KeSetEvent", DISPATCH, ke_set_event as *const ()),
    Export::function("KeResetEvent", DISPATCH, ke_reset_event as *const ()),
    Export::function("KeClearEvent", DISPATCH, ke_clear_event as *const ()),
    Export::function("KeReadStateEvent", DISPATCH, ke_read_state_event as *const ()),
    Export::function("KeInitializeSemaphore", ANY, ke_initialize_semaphore as *const ()),
    Export::function("KeReleaseSemaphore", DISPATCH, ke_release_semaphore as *const ()),
    Export::function("KeReadStateSemaphore", ANY, ke_read_state_semaphore as *const ()),
    Export::function("KeInitializeMutex", ANY, ke_initialize_mutex as *const ()),
    Export::function("KeReleaseMutex", APC, ke_release_mutex as *const ()),
];
