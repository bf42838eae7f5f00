//! What `ntoskrnl.exe` and `HAL.dll` export of the kernel layer, as win64 functions. IRQL ranges are the DDI pages'.
//!
//! Every pointer parameter is the driver's: the DDI page says what must lie there, and a pointer that is wrong faults in
//! here and is reported with the export's name and its caller. That is the contract each `SAFETY` comment refers to as "the DDI".

use super::dpc::{self, Dpc};
use super::irql::{self, DISPATCH_LEVEL, PASSIVE_LEVEL};
use super::object::{Header, Kind, Mutant, Semaphore, Timer};
use super::spinlock::SpinLock;
use super::thread::{self, is_stack};
use super::{event, processor, sched, timer, wait};
use crate::hal::{clock, cpu, pcr};
use crate::judge::lost_wakeup::{SETTING, STACK_EVENT_SETS, STACK_EVENT_WAITS};
use crate::judge::{self, code};
use crate::ldr::export::{Export, HAL};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

const STATUS_INVALID_PARAMETER: i32 = 0xC000_000D_u32 as i32;
const STATUS_SUCCESS: i32 = 0;

/// The object at `address`, which must be initialised and of one of these kinds.
fn object(address: *const Header, kinds: &[Kind]) -> &'static Header {
    // SAFETY: the DDI asks for a dispatcher object that stays until the call, or the wait, is over.
    let header = unsafe { Header::at(address) };
    if !header.kind().is_some_and(|kind| kinds.contains(&kind)) {
        // SAFETY: read above already.
        let word = unsafe { address.cast::<u64>().read_volatile() };
        judge::bugcheck(code::BAD_DISPATCHER_OBJECT, [address as u64, word, 0, 0],
            format_args!("{} is given {address:p}, which is no initialised object of its kind, or a damaged one",
                pcr::current_thread().inside().map_or("a routine", |export| export.name)));
    }
    header
}

const EVENTS: &[Kind] = &[Kind::NotificationEvent, Kind::SynchronizationEvent];
const TIMERS: &[Kind] = &[Kind::NotificationTimer, Kind::SynchronizationTimer];
const WAITABLE: &[Kind] = &[
    Kind::NotificationEvent, Kind::SynchronizationEvent, Kind::Mutant, Kind::Semaphore, Kind::Thread,
    Kind::NotificationTimer, Kind::SynchronizationTimer,
];

// IRQL

unsafe extern "win64" fn kf_raise_irql(new: u8) -> u8 {
    let old = irql::current();
    if new < old || new > irql::HIGH_LEVEL {
        judge::bugcheck(code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::RAISE_TO_LOWER, u64::from(old), u64::from(new), 0],
            format_args!("KfRaiseIrql from IRQL {old} to {new}"));
    }
    cpu::write_cr8(new);
    old
}

unsafe extern "win64" fn ke_raise_irql_to_dpc_level() -> u8 {
    // SAFETY: a plain function; the IRQL was checked to be at most `DISPATCH_LEVEL`.
    unsafe { kf_raise_irql(DISPATCH_LEVEL) }
}

unsafe extern "win64" fn ke_lower_irql(new: u8) {
    let old = irql::current();
    if new > old {
        judge::bugcheck(code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::LOWER_TO_HIGHER, u64::from(old), u64::from(new), 0],
            format_args!("KeLowerIrql from IRQL {old} to {new}"));
    }
    let locks = pcr::current_thread().spin_locks.load(Relaxed);
    if new < DISPATCH_LEVEL && locks != 0 {
        judge::bugcheck(code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::SPIN_LOCK_HELD, u64::from(locks), u64::from(new), 0],
            format_args!("KeLowerIrql to IRQL {new} with {locks} spin locks held"));
    }
    cpu::write_cr8(new);
}

unsafe extern "win64" fn ke_get_current_irql() -> u8 {
    irql::current()
}

// Events, semaphores, mutexes

unsafe extern "win64" fn ke_initialize_event(event: *const Header, kind: u32, state: u8) {
    // SAFETY: the DDI asks for a KEVENT there.
    let event = unsafe { Header::at(event) };
    let kind = if kind == 0 { Kind::NotificationEvent } else { Kind::SynchronizationEvent };
    refuse_if_waited_on(event);
    event.initialize(kind, 6, i32::from(state != 0));
}

/// Initialising what somebody waits on strands the waiter.
fn refuse_if_waited_on(header: &'static Header) {
    let waited = sched::DISPATCHER.lock().waiters_mut().iter()
        .any(|waiter| waiter.objects.iter().any(|object| core::ptr::eq(*object, header)));
    if waited {
        judge::bugcheck(code::BAD_DISPATCHER_OBJECT, [header.address(), 1, 0, 0],
            format_args!("the driver initialises {:#x}, on which a thread waits", header.address()));
    }
}

unsafe extern "win64" fn ke_set_event(event: *const Header, _increment: i32, wait: u8) -> i32 {
    let on_stack = is_stack(event as u64);
    if on_stack {
        STACK_EVENT_SETS.fetch_add(1, Relaxed);
    }
    if wait != 0 {
        judge::bugcheck(code::DRIVER_VERIFIER_DETECTED_VIOLATION, [code::sub::WAIT_AT_DISPATCH, event as u64, 0, 0],
            format_args!("KeSetEvent with Wait=TRUE, which the lab does not support"));
    }
    SETTING.fetch_add(1, Relaxed);
    let before = event::set(object(event, EVENTS));
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

unsafe extern "win64" fn ke_release_semaphore(semaphore: *const Header, _increment: i32, count: i32, _wait: u8) -> i32 {
    let header = object(semaphore, &[Kind::Semaphore]);
    event::release_semaphore(Semaphore::of(header), count).unwrap_or_else(|| {
        judge::bugcheck(code::KMODE_EXCEPTION_NOT_HANDLED, [0xFFFF_FFFF_C000_0047, semaphore as u64, count as u64, 0],
            format_args!("KeReleaseSemaphore beyond the semaphore's limit (STATUS_SEMAPHORE_LIMIT_EXCEEDED)"))
    })
}

unsafe extern "win64" fn ke_read_state_semaphore(semaphore: *const Header) -> i32 {
    object(semaphore, &[Kind::Semaphore]).signal()
}

unsafe extern "win64" fn ke_initialize_mutex(mutex: *const Mutant, _level: u32) {
    // SAFETY: the DDI asks for a KMUTEX there.
    let mutex = unsafe { &*mutex };
    mutex.header.initialize(Kind::Mutant, 14, 1);
    mutex.owner.store(0, Relaxed);
}

unsafe extern "win64" fn ke_release_mutex(mutex: *const Header, _wait: u8) -> i32 {
    let header = object(mutex, &[Kind::Mutant]);
    event::release_mutex(Mutant::of(header)).unwrap_or_else(|| {
        judge::bugcheck(code::MUTANT_NOT_OWNED, [mutex as u64, 0, 0, 0],
            format_args!("KeReleaseMutex by a thread that does not own the mutex"))
    })
}

// Waits

/// A timeout that the driver passed, or none.
fn timeout(timeout: *const i64) -> Option<i64> {
    // SAFETY: the DDI asks for a LARGE_INTEGER there, or null.
    (!timeout.is_null()).then(|| unsafe { timeout.read() })
}

/// A wait needs an IRQL below `DISPATCH_LEVEL`, unless its timeout is zero.
fn check_wait(object: u64, timeout: Option<i64>) {
    let irql = irql::current();
    if irql >= DISPATCH_LEVEL && timeout != Some(0) {
        judge::bugcheck(code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::WAIT_AT_DISPATCH, u64::from(irql), object, 0],
            format_args!("a wait at IRQL {irql} that may block; at DISPATCH_LEVEL only a timeout of 0 is allowed"));
    }
}

unsafe extern "win64" fn ke_wait_for_single_object(
    waited: *const Header,
    _reason: u32,
    _mode: u8,
    _alertable: u8,
    limit: *const i64,
) -> i32 {
    let limit = timeout(limit);
    check_wait(waited as u64, limit);
    let header = object(waited, WAITABLE);
    if is_stack(waited as u64) && limit.is_none() {
        STACK_EVENT_WAITS.fetch_add(1, Relaxed);
    }
    wait::wait(&[header], false, limit, true)
}

unsafe extern "win64" fn ke_wait_for_multiple_objects(
    count: u32,
    objects: *const *const Header,
    wait_type: u32,
    _reason: u32,
    _mode: u8,
    _alertable: u8,
    limit: *const i64,
    _blocks: u64,
) -> i32 {
    let limit = timeout(limit);
    check_wait(objects as u64, limit);
    // SAFETY: the DDI asks for an array of that many pointers.
    let objects = unsafe { core::slice::from_raw_parts(objects, count.min(64) as usize) };
    let headers: alloc::vec::Vec<_> = objects.iter().map(|&address| object(address, WAITABLE)).collect();
    wait::wait(&headers, wait_type == 0, limit, true)
}

unsafe extern "win64" fn ke_delay_execution_thread(_mode: u8, _alertable: u8, interval: *const i64) -> i32 {
    let interval = timeout(interval).unwrap_or(0);
    if interval == 0 {
        sched::yield_now();
        return STATUS_SUCCESS;
    }
    wait::delay(interval);
    STATUS_SUCCESS
}

unsafe extern "win64" fn zw_yield_execution() -> i32 {
    sched::yield_now();
    STATUS_SUCCESS
}

// DPCs and timers

unsafe extern "win64" fn ke_initialize_dpc(dpc: *const Dpc, routine: u64, context: u64) {
    // SAFETY: the DDI asks for a KDPC there.
    unsafe { Dpc::at(dpc) }.initialize(routine, context);
}

fn initialized_dpc(dpc: *const Dpc) -> &'static Dpc {
    // SAFETY: the DDI asks for a KDPC that stays while it is queued.
    let dpc = unsafe { Dpc::at(dpc) };
    if !dpc.is_initialized() {
        judge::bugcheck(code::BAD_DISPATCHER_OBJECT, [(&raw const *dpc) as u64, 0, 0, 0],
            format_args!("a DPC is used that was not initialised"));
    }
    dpc
}

unsafe extern "win64" fn ke_insert_queue_dpc(dpc: *const Dpc, first: u64, second: u64) -> u8 {
    u8::from(initialized_dpc(dpc).queue([first, second]))
}

unsafe extern "win64" fn ke_remove_queue_dpc(dpc: *const Dpc) -> u8 {
    u8::from(initialized_dpc(dpc).remove())
}

unsafe extern "win64" fn ke_set_target_processor_dpc_ex(dpc: *const Dpc, number: *const ProcessorNumber) -> i32 {
    // SAFETY: the DDI asks for a PROCESSOR_NUMBER there.
    let number = unsafe { number.read() };
    if number.group != 0 || usize::from(number.number) >= processor::count() {
        return STATUS_INVALID_PARAMETER;
    }
    initialized_dpc(dpc).set_target(usize::from(number.number));
    STATUS_SUCCESS
}

unsafe extern "win64" fn ke_set_importance_dpc(dpc: *const Dpc, importance: u32) {
    initialized_dpc(dpc).set_importance(importance as u8);
}

unsafe extern "win64" fn ke_flush_queued_dpcs() {
    dpc::flush();
}

unsafe extern "win64" fn ke_initialize_timer_ex(timer: *const Timer, kind: u32) {
    // SAFETY: the DDI asks for a KTIMER there.
    let timer = unsafe { &*timer };
    let kind = if kind == 0 { Kind::NotificationTimer } else { Kind::SynchronizationTimer };
    timer.header.initialize(kind, 10, 0);
}

unsafe extern "win64" fn ke_set_timer_ex(timer: *const Header, due: i64, period: i32, dpc: u64) -> u8 {
    u8::from(timer::set(Timer::of(object(timer, TIMERS)), due, period.max(0) as u32, dpc))
}

unsafe extern "win64" fn ke_set_timer(timer: *const Header, due: i64, dpc: u64) -> u8 {
    u8::from(timer::set(Timer::of(object(timer, TIMERS)), due, 0, dpc))
}

unsafe extern "win64" fn ke_cancel_timer(timer: *const Header) -> u8 {
    u8::from(timer::cancel(Timer::of(object(timer, TIMERS))))
}

// Spin locks

unsafe extern "win64" fn ke_initialize_spin_lock(lock: *const SpinLock) {
    // SAFETY: the DDI asks for a KSPIN_LOCK there.
    unsafe { SpinLock::at(lock) }.initialize();
}

unsafe extern "win64" fn ke_acquire_spin_lock_raise_to_dpc(lock: *const SpinLock) -> u8 {
    let old = irql::current();
    cpu::write_cr8(DISPATCH_LEVEL);
    // SAFETY: the DDI asks for an initialised KSPIN_LOCK there.
    unsafe { SpinLock::at(lock) }.acquire();
    old
}

unsafe extern "win64" fn ke_release_spin_lock(lock: *const SpinLock, old: u8) {
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.release();
    // SAFETY: a plain function; it checks what it is given.
    unsafe { ke_lower_irql(old) };
}

unsafe extern "win64" fn ke_acquire_spin_lock_at_dpc_level(lock: *const SpinLock) {
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.acquire();
}

unsafe extern "win64" fn ke_release_spin_lock_from_dpc_level(lock: *const SpinLock) {
    // SAFETY: as above.
    unsafe { SpinLock::at(lock) }.release();
}

// Time

unsafe extern "win64" fn ke_query_performance_counter(frequency: *mut i64) -> i64 {
    if !frequency.is_null() {
        // SAFETY: the DDI asks for a LARGE_INTEGER there, or null.
        unsafe { frequency.write(clock::UNITS_PER_SECOND as i64) };
    }
    clock::interrupt_time() as i64
}

unsafe extern "win64" fn ke_query_system_time_precise(time: *mut i64) {
    // SAFETY: the DDI asks for a LARGE_INTEGER there.
    unsafe { time.write(clock::system_time() as i64) };
}

unsafe extern "win64" fn ke_query_interrupt_time() -> u64 {
    clock::interrupt_time()
}

unsafe extern "win64" fn ke_query_interrupt_time_precise(qpc: *mut u64) -> u64 {
    let now = clock::interrupt_time();
    // SAFETY: the DDI asks for a 64-bit variable there.
    unsafe { qpc.write(now) };
    now
}

unsafe extern "win64" fn ke_query_time_increment() -> u32 {
    10_000
}

unsafe extern "win64" fn ke_stall_execution_processor(microseconds: u32) {
    cpu::stall(u64::from(microseconds) * clock::cycles_per_second() / 1_000_000);
}

unsafe extern "win64" fn ke_yield_processor_ex(count: *const AtomicI32) {
    // SAFETY: the routine takes a pointer to the spinner's own counter.
    let count = unsafe { &*count };
    count.fetch_add(1, Relaxed);
    core::hint::spin_loop();
}

// Processors, affinity, priority

/// `PROCESSOR_NUMBER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProcessorNumber {
    group: u16,
    number: u8,
    reserved: u8,
}

/// `GROUP_AFFINITY`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GroupAffinity {
    mask: u64,
    group: u16,
    reserved: [u16; 3],
}

const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;
const INVALID_PROCESSOR_INDEX: u32 = u32::MAX;

unsafe extern "win64" fn ke_query_active_processor_count_ex(group: u16) -> u32 {
    if group == 0 || group == ALL_PROCESSOR_GROUPS { processor::count() as u32 } else { 0 }
}

unsafe extern "win64" fn ke_query_active_processor_count(affinity: *mut u64) -> u32 {
    if !affinity.is_null() {
        // SAFETY: the DDI asks for a KAFFINITY there, or null.
        unsafe { affinity.write(processor::all()) };
    }
    processor::count() as u32
}

unsafe extern "win64" fn ke_query_active_group_count() -> u16 {
    1
}

unsafe extern "win64" fn ke_get_current_processor_number_ex(number: *mut ProcessorNumber) -> u32 {
    let current = pcr::current_number();
    if !number.is_null() {
        // SAFETY: the DDI asks for a PROCESSOR_NUMBER there, or null.
        unsafe { number.write(ProcessorNumber { group: 0, number: current as u8, reserved: 0 }) };
    }
    current as u32
}

unsafe extern "win64" fn ke_get_processor_number_from_index(index: u32, number: *mut ProcessorNumber) -> i32 {
    if index as usize >= processor::count() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the DDI asks for a PROCESSOR_NUMBER there.
    unsafe { number.write(ProcessorNumber { group: 0, number: index as u8, reserved: 0 }) };
    STATUS_SUCCESS
}

unsafe extern "win64" fn ke_get_processor_index_from_number(number: *const ProcessorNumber) -> u32 {
    // SAFETY: the DDI asks for a PROCESSOR_NUMBER there.
    let number = unsafe { number.read() };
    if number.group == 0 && usize::from(number.number) < processor::count() {
        u32::from(number.number)
    } else {
        INVALID_PROCESSOR_INDEX
    }
}

/// What `KeRevertToUser*` restores: the lab's threads have no user affinity but this.
const USER_AFFINITY: u64 = u64::MAX;

unsafe extern "win64" fn ke_set_system_group_affinity_thread(new: *const GroupAffinity, old: *mut GroupAffinity) {
    // SAFETY: the DDI asks for a GROUP_AFFINITY there.
    let new = unsafe { new.read() };
    let mask = new.mask & processor::all();
    // A bad group or an empty mask changes nothing, says the DDI.
    let before = if new.group == 0 && mask != 0 { processor::set_affinity(mask) } else { USER_AFFINITY };
    if !old.is_null() {
        let mask = if before == USER_AFFINITY { 0 } else { before };
        // SAFETY: the DDI asks for a GROUP_AFFINITY there, or null.
        unsafe { old.write(GroupAffinity { mask, group: 0, reserved: [0; 3] }) };
    }
}

unsafe extern "win64" fn ke_revert_to_user_group_affinity_thread(old: *const GroupAffinity) {
    // SAFETY: the DDI asks for what KeSetSystemGroupAffinityThread gave back.
    let mask = unsafe { old.read() }.mask & processor::all();
    processor::set_affinity(if mask == 0 { USER_AFFINITY } else { mask });
}

unsafe extern "win64" fn ke_set_system_affinity_thread_ex(mask: u64) -> u64 {
    let mask = mask & processor::all();
    if mask == 0 {
        return 0;
    }
    let before = processor::set_affinity(mask);
    if before == USER_AFFINITY { 0 } else { before }
}

unsafe extern "win64" fn ke_revert_to_user_affinity_thread_ex(mask: u64) {
    let mask = mask & processor::all();
    processor::set_affinity(if mask == 0 { USER_AFFINITY } else { mask });
}

unsafe extern "win64" fn ke_set_priority_thread(address: u64, priority: i32) -> i32 {
    let priority = priority.clamp(1, i32::from(thread::HIGH_PRIORITY)) as u8;
    let Some(thread) = thread::by_address(address) else {
        judge::bugcheck(code::BAD_DISPATCHER_OBJECT, [address, 0, 0, 0], format_args!("KeSetPriorityThread of what is no live thread"));
    };
    let mut dispatcher = sched::DISPATCHER.lock();
    let queued = dispatcher.unready(&thread);
    let before = thread.priority.swap(priority, Relaxed);
    if let Some(thread) = queued {
        dispatcher.ready(thread, false);
    }
    // Someone else may now be more urgent than the caller.
    if irql::current() < DISPATCH_LEVEL {
        sched::reschedule(dispatcher, sched::Reason::Preempt);
    }
    i32::from(before)
}

unsafe extern "win64" fn ke_query_priority_thread(address: u64) -> i32 {
    thread::by_address(address).map_or(0, |thread| i32::from(thread.priority.load(Relaxed)))
}

unsafe extern "win64" fn ke_enter_region() {}

unsafe extern "win64" fn ke_bug_check_ex(code: u32, first: u64, second: u64, third: u64, fourth: u64) {
    judge::bugcheck(code, [first, second, third, fourth], format_args!("the driver called KeBugCheckEx"))
}

const PASSIVE: core::ops::RangeInclusive<u8> = PASSIVE_LEVEL..=PASSIVE_LEVEL;
const APC: core::ops::RangeInclusive<u8> = 0..=irql::APC_LEVEL;
const DISPATCH: core::ops::RangeInclusive<u8> = 0..=DISPATCH_LEVEL;
const ANY: core::ops::RangeInclusive<u8> = 0..=irql::HIGH_LEVEL;
const RAISED: core::ops::RangeInclusive<u8> = DISPATCH_LEVEL..=irql::HIGH_LEVEL;

/// The kernel layer's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("KfRaiseIrql", ANY, kf_raise_irql as *const ()).quiet(),
    Export::function("KeRaiseIrqlToDpcLevel", DISPATCH, ke_raise_irql_to_dpc_level as *const ()).quiet(),
    Export::function("KeLowerIrql", ANY, ke_lower_irql as *const ()),
    Export::function("KeGetCurrentIrql", ANY, ke_get_current_irql as *const ()).quiet(),
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
    Export::function("KeWaitForSingleObject", DISPATCH, ke_wait_for_single_object as *const ()),
    Export::function("KeWaitForMultipleObjects", DISPATCH, ke_wait_for_multiple_objects as *const ()),
    Export::function("KeDelayExecutionThread", APC, ke_delay_execution_thread as *const ()),
    Export::function("ZwYieldExecution", APC, zw_yield_execution as *const ()),
    Export::function("KeInitializeDpc", ANY, ke_initialize_dpc as *const ()),
    Export::function("KeInsertQueueDpc", ANY, ke_insert_queue_dpc as *const ()),
    Export::function("KeRemoveQueueDpc", ANY, ke_remove_queue_dpc as *const ()),
    Export::function("KeSetTargetProcessorDpcEx", ANY, ke_set_target_processor_dpc_ex as *const ()),
    Export::function("KeSetImportanceDpc", ANY, ke_set_importance_dpc as *const ()),
    Export::function("KeFlushQueuedDpcs", PASSIVE, ke_flush_queued_dpcs as *const ()),
    Export::function("KeInitializeTimerEx", DISPATCH, ke_initialize_timer_ex as *const ()),
    Export::function("KeSetTimerEx", DISPATCH, ke_set_timer_ex as *const ()),
    Export::function("KeSetTimer", DISPATCH, ke_set_timer as *const ()),
    Export::function("KeCancelTimer", DISPATCH, ke_cancel_timer as *const ()),
    Export::function("KeInitializeSpinLock", ANY, ke_initialize_spin_lock as *const ()),
    Export::function("KeAcquireSpinLockRaiseToDpc", DISPATCH, ke_acquire_spin_lock_raise_to_dpc as *const ()),
    Export::function("KeReleaseSpinLock", RAISED, ke_release_spin_lock as *const ()),
    Export::function("KeAcquireSpinLockAtDpcLevel", RAISED, ke_acquire_spin_lock_at_dpc_level as *const ()),
    Export::function("KeReleaseSpinLockFromDpcLevel", RAISED, ke_release_spin_lock_from_dpc_level as *const ()),
    Export::function("KeQueryPerformanceCounter", ANY, ke_query_performance_counter as *const ()).quiet(),
    Export::function("KeQueryPerformanceCounter", ANY, ke_query_performance_counter as *const ()).of(HAL).quiet(),
    Export::function("KeQuerySystemTimePrecise", ANY, ke_query_system_time_precise as *const ()).quiet(),
    Export::function("KeQueryInterruptTime", ANY, ke_query_interrupt_time as *const ()).quiet(),
    Export::function("KeQueryInterruptTimePrecise", ANY, ke_query_interrupt_time_precise as *const ()).quiet(),
    Export::function("KeQueryTimeIncrement", ANY, ke_query_time_increment as *const ()).quiet(),
    Export::function("KeStallExecutionProcessor", ANY, ke_stall_execution_processor as *const ()).quiet(),
    Export::function("KeStallExecutionProcessor", ANY, ke_stall_execution_processor as *const ()).of(HAL).quiet(),
    Export::function("KeYieldProcessorEx", ANY, ke_yield_processor_ex as *const ()).quiet(),
    Export::function("KeQueryActiveProcessorCountEx", ANY, ke_query_active_processor_count_ex as *const ()).quiet(),
    Export::function("KeQueryMaximumProcessorCountEx", ANY, ke_query_active_processor_count_ex as *const ()).quiet(),
    Export::function("KeQueryActiveProcessorCount", ANY, ke_query_active_processor_count as *const ()).quiet(),
    Export::function("KeQueryActiveGroupCount", ANY, ke_query_active_group_count as *const ()).quiet(),
    Export::function("KeGetCurrentProcessorNumberEx", ANY, ke_get_current_processor_number_ex as *const ()).quiet(),
    Export::function("KeGetProcessorNumberFromIndex", ANY, ke_get_processor_number_from_index as *const ()).quiet(),
    Export::function("KeGetProcessorIndexFromNumber", ANY, ke_get_processor_index_from_number as *const ()).quiet(),
    Export::function("KeSetSystemGroupAffinityThread", APC, ke_set_system_group_affinity_thread as *const ()),
    Export::function("KeRevertToUserGroupAffinityThread", APC, ke_revert_to_user_group_affinity_thread as *const ()),
    Export::function("KeSetSystemAffinityThreadEx", APC, ke_set_system_affinity_thread_ex as *const ()),
    Export::function("KeRevertToUserAffinityThreadEx", APC, ke_revert_to_user_affinity_thread_ex as *const ()),
    Export::function("KeSetPriorityThread", DISPATCH, ke_set_priority_thread as *const ()),
    Export::function("KeQueryPriorityThread", DISPATCH, ke_query_priority_thread as *const ()),
    Export::function("KeEnterCriticalRegion", APC, ke_enter_region as *const ()).quiet(),
    Export::function("KeLeaveCriticalRegion", APC, ke_enter_region as *const ()).quiet(),
    Export::function("KeEnterGuardedRegion", APC, ke_enter_region as *const ()).quiet(),
    Export::function("KeLeaveGuardedRegion", APC, ke_enter_region as *const ()).quiet(),
    Export::function("KeBugCheckEx", ANY, ke_bug_check_ex as *const ()).quiet(),
];
