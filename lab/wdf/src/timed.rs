//! What runs later: timers, DPCs, work items.

use crate::call::invoke;
use crate::layout::{
    DeferredConfig, EXECUTION_LEVEL_DISPATCH, EXECUTION_LEVEL_PASSIVE, ObjectAttributes, SCOPE_DEVICE,
    SCOPE_NONE, SCOPE_QUEUE, TimerConfig,
};
use crate::object::{self, Allowed, Body, Kind, Object};
use crate::slot::Slot;
use crate::violation::{self, require, require_passive, routine, violation};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use rundown_lab_kernel::interrupt;
use rundown_lab_kernel::ke::object as dispatcher;
use rundown_lab_kernel::ke::worker;
use rundown_lab_kernel::ke::{dpc, irql, timer, wait};
use rundown_lab_kernel::status;

/// Room for a KDPC or a KTIMER. It lies inside its object, which does not move and disposes of it before it goes.
type Memory = [AtomicU64; 8];

fn memory() -> Memory {
    [const { AtomicU64::new(0) }; 8]
}

/// A timer.
pub struct Timer {
    callback: u64,
    period: u32,
    serialized: bool,
    ktimer: Memory,
    kdpc: Memory,
    /// Callbacks that a worker has to call, or is calling.
    running: AtomicUsize,
}

/// A DPC.
pub struct Dpc {
    callback: u64,
    serialized: bool,
    kdpc: Memory,
}

/// A work item.
pub struct WorkItem {
    callback: u64,
    serialized: bool,
    queued: AtomicBool,
    running: AtomicUsize,
}

/// A timer and its DPC for the framework's own use, inside of what does not move while it is set.
pub struct Alarm {
    ktimer: Memory,
    kdpc: Memory,
}

impl Alarm {
    /// One that is not set.
    pub fn new() -> Self {
        Self {
            ktimer: memory(),
            kdpc: memory(),
        }
    }

    /// Has `routine(dpc, context, 0, 0)` called at `DISPATCH_LEVEL` when the time is over (negative: from now on).
    pub fn set(&self, due: i64, routine: unsafe extern "win64" fn(u64, u64, u64, u64), context: u64) {
        ktimer(&self.ktimer)
            .header
            .initialize(dispatcher::Kind::NotificationTimer, 16, 0);
        kdpc(&self.kdpc).initialize(routine as *const () as u64, context);
        timer::set(ktimer(&self.ktimer), due, 0, self.kdpc.as_ptr() as u64);
    }

    /// Takes it back; false if the routine is called all the same, or was.
    pub fn cancel(&self) -> bool {
        timer::cancel(ktimer(&self.ktimer))
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::new()
    }
}

fn kdpc(memory: &Memory) -> &'static dpc::Dpc {
    // SAFETY: of a KDPC's size and alignment, all atomics; the object disposes of it before it goes.
    unsafe { dpc::Dpc::at(memory.as_ptr().cast()) }
}

fn ktimer(memory: &Memory) -> &'static dispatcher::Timer {
    // SAFETY: of a KTIMER's size and alignment, all atomics; the object disposes of it before it goes.
    unsafe { &*memory.as_ptr().cast() }
}

/// Calls a deferred callback, under its scope's lock if it asked for that.
fn call(object: &Arc<Object>, name: &'static str, callback: u64, serialized: bool) {
    let arguments = [object.handle(), 0, 0, 0, 0];
    let parent = object.parent().filter(|_| serialized);
    let Some(parent) = parent else {
        invoke(name, callback, arguments);
        return;
    };
    let passive = irql::current() == irql::PASSIVE_LEVEL;
    match (parent.kind(), parent.scope()) {
        (Kind::Device, SCOPE_DEVICE) => {
            parent
                .device()
                .serial
                .run(passive, || invoke(name, callback, arguments));
        }
        (Kind::Queue, SCOPE_DEVICE) => {
            parent
                .queue()
                .device()
                .device()
                .serial
                .run(passive, || invoke(name, callback, arguments));
        }
        (Kind::Queue, SCOPE_QUEUE) => {
            parent
                .queue()
                .serial()
                .run(passive, || invoke(name, callback, arguments));
        }
        _ => {
            invoke(name, callback, arguments);
        }
    }
}

/// The attributes of a timer, DPC or work item, whose parent has to be a device or below one. A parent with a lock for its callbacks
/// must have them at the IRQL of this one, if it is to be serialized with them.
///
/// # Errors
/// `STATUS_INVALID_DEVICE_REQUEST` without a device above, `STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL` (fxobject.cpp:1285).
fn check_parent(
    attributes: Option<ObjectAttributes>,
    serialized: bool,
    passive: bool,
) -> Result<ObjectAttributes, i32> {
    let attributes = attributes.ok_or(status::WDF_PARENT_NOT_SPECIFIED)?;
    let parent = object::any(attributes.parent);
    if parent.device_above().is_none() {
        return Err(status::INVALID_DEVICE_REQUEST);
    }
    let has_lock = matches!(parent.kind(), Kind::Device | Kind::Queue) && parent.scope() != SCOPE_NONE;
    if serialized && has_lock && parent.is_passive() != passive {
        return Err(status::WDF_INCOMPATIBLE_EXECUTION_LEVEL);
    }
    Ok(attributes)
}

fn wait_until_idle(running: &AtomicUsize) {
    // Acquire: pairs with the Release after the callback.
    while running.load(Ordering::Acquire) != 0 {
        wait::sleep(1);
    }
}

impl Timer {
    /// Stops it for good; its callback does not run any more afterwards.
    fn end(&self) {
        timer::cancel(ktimer(&self.ktimer));
        kdpc(&self.kdpc).remove();
        interrupt::flush();
        wait_until_idle(&self.running);
    }
}

/// The DPC routine of every timer.
unsafe extern "win64" fn timer_dpc(_dpc: u64, handle: u64, _first: u64, _second: u64) {
    let object = object::find(handle, Kind::Timer);
    let body = object.timer();
    if object.is_passive() {
        body.running.fetch_add(1, Ordering::Relaxed);
        worker::queue(move || {
            let body = object.timer();
            call(&object, "EvtTimerFunc", body.callback, body.serialized);
            // Release: pairs with `wait_until_idle`.
            body.running.fetch_sub(1, Ordering::Release);
        });
    } else {
        call(&object, "EvtTimerFunc", body.callback, body.serialized);
    }
}

unsafe extern "win64" fn timer_create(
    _globals: u64,
    config: *const TimerConfig,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a WDF_TIMER_CONFIG.
    let config = unsafe { require(config, "Config").read() };
    if config.size as usize != size_of::<TimerConfig>() {
        return status::INFO_LENGTH_MISMATCH;
    }
    if config.period > i32::MAX as u32 || (config.tolerable_delay != 0 && config.high_resolution != 0) {
        return status::INVALID_PARAMETER;
    }
    let serialized = config.automatic_serialization != 0;
    // SAFETY: the declaration: attributes.
    let created = unsafe { object::attributes(attributes, Allowed::WITH_PARENT.and_level()) }
        .and_then(|attributes| {
            let passive = attributes.is_some_and(|given| given.execution_level == EXECUTION_LEVEL_PASSIVE);
            if passive && config.period != 0 {
                return Err(status::NOT_SUPPORTED);
            }
            let attributes = check_parent(attributes, serialized, passive)?;
            // A timer is a DPC unless it says otherwise itself: it inherits no execution level (fxtimer.cpp:220).
            let level = if passive {
                EXECUTION_LEVEL_PASSIVE
            } else {
                EXECUTION_LEVEL_DISPATCH
            };
            Ok(ObjectAttributes {
                execution_level: level,
                ..attributes
            })
        })
        .and_then(|attributes| {
            let body = Timer {
                callback: require(config.evt_timer as *const u8, "EvtTimerFunc") as u64,
                period: config.period,
                serialized,
                ktimer: memory(),
                kdpc: memory(),
                running: AtomicUsize::new(0),
            };
            let object = object::create(Kind::Timer, Some(&attributes), None, body)?;
            let body = object.timer();
            ktimer(&body.ktimer)
                .header
                .initialize(dispatcher::Kind::NotificationTimer, 16, 0);
            kdpc(&body.kdpc).initialize(timer_dpc as *const () as u64, object.handle());
            Ok(object)
        });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn timer_start(_globals: u64, handle: u64, due: i64) -> u8 {
    let object = object::find(handle, Kind::Timer);
    let body = object.timer();
    u8::from(timer::set(
        ktimer(&body.ktimer),
        due,
        body.period,
        body.kdpc.as_ptr() as u64,
    ))
}

unsafe extern "win64" fn timer_stop(_globals: u64, handle: u64, wait: u8) -> u8 {
    let object = object::find(handle, Kind::Timer);
    let body = object.timer();
    let was_set = timer::cancel(ktimer(&body.ktimer));
    if wait != 0 {
        require_passive();
        kdpc(&body.kdpc).remove();
        interrupt::flush();
        wait_until_idle(&body.running);
    }
    u8::from(was_set)
}

unsafe extern "win64" fn parent_of(_globals: u64, handle: u64) -> u64 {
    let object = object::any(handle);
    if !matches!(object.kind(), Kind::Timer | Kind::Dpc | Kind::WorkItem) {
        violation(
            violation::BAD_HANDLE,
            handle,
            0,
            format_args!("{} was given a {}", routine(), object.kind().name()),
        );
    }
    object.parent().map_or(0, |parent| parent.handle())
}

impl Dpc {
    /// Takes it off its queue; its callback does not run any more afterwards.
    fn end(&self) {
        kdpc(&self.kdpc).remove();
        interrupt::flush();
    }
}

unsafe extern "win64" fn dpc_routine(_dpc: u64, handle: u64, _first: u64, _second: u64) {
    let object = object::find(handle, Kind::Dpc);
    let body = object.dpc();
    call(&object, "EvtDpcFunc", body.callback, body.serialized);
}

/// The configuration of a DPC or work item.
///
/// # Safety
/// `config` points to one.
unsafe fn deferred(config: *const DeferredConfig, callback: &str) -> Result<DeferredConfig, i32> {
    // SAFETY: the caller promises it.
    let config = unsafe { require(config, "Config").read() };
    if config.size as usize != size_of::<DeferredConfig>() {
        return Err(status::INFO_LENGTH_MISMATCH);
    }
    require(config.callback as *const u8, callback);
    Ok(config)
}

unsafe extern "win64" fn dpc_create(
    _globals: u64,
    config: *const DeferredConfig,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a WDF_DPC_CONFIG.
    let config = unsafe { deferred(config, "EvtDpcFunc") };
    // SAFETY: the declaration: attributes.
    let attributes = unsafe { object::attributes(attributes, Allowed::WITH_PARENT) };
    let created = config.and_then(|config| {
        let attributes = check_parent(attributes?, config.automatic_serialization != 0, false)?;
        let body = Dpc {
            callback: config.callback,
            serialized: config.automatic_serialization != 0,
            kdpc: memory(),
        };
        let object = object::create(Kind::Dpc, Some(&attributes), None, body)?;
        kdpc(&object.dpc().kdpc).initialize(dpc_routine as *const () as u64, object.handle());
        Ok(object)
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn dpc_enqueue(_globals: u64, handle: u64) -> u8 {
    let object = object::find(handle, Kind::Dpc);
    u8::from(kdpc(&object.dpc().kdpc).queue([0, 0]))
}

unsafe extern "win64" fn dpc_cancel(_globals: u64, handle: u64, wait: u8) -> u8 {
    let object = object::find(handle, Kind::Dpc);
    let removed = kdpc(&object.dpc().kdpc).remove();
    if wait != 0 {
        require_passive();
        interrupt::flush();
    }
    u8::from(removed)
}

impl WorkItem {
    /// Waits until its callback is not running.
    fn end(&self) {
        wait_until_idle(&self.running);
    }
}

unsafe extern "win64" fn work_item_create(
    _globals: u64,
    config: *const DeferredConfig,
    attributes: *const ObjectAttributes,
    result: *mut u64,
) -> i32 {
    // SAFETY: the declaration: a WDF_WORKITEM_CONFIG.
    let config = unsafe { deferred(config, "EvtWorkItemFunc") };
    // SAFETY: the declaration: attributes.
    let attributes = unsafe { object::attributes(attributes, Allowed::WITH_PARENT) };
    let created = config.and_then(|config| {
        let attributes = check_parent(attributes?, config.automatic_serialization != 0, true)?;
        let body = WorkItem {
            callback: config.callback,
            serialized: config.automatic_serialization != 0,
            queued: AtomicBool::new(false),
            running: AtomicUsize::new(0),
        };
        object::create(Kind::WorkItem, Some(&attributes), None, body)
    });
    // SAFETY: the declaration: room for a handle.
    unsafe { object::answer(created, result) }
}

unsafe extern "win64" fn work_item_enqueue(_globals: u64, handle: u64) {
    let object = object::find(handle, Kind::WorkItem);
    // AcqRel: pairs with the store below; enqueueing a queued item does nothing.
    if object.work_item().queued.swap(true, Ordering::AcqRel) {
        return;
    }
    object.work_item().running.fetch_add(1, Ordering::Relaxed);
    worker::queue(move || {
        let body = object.work_item();
        // Before the callback, so that it may enqueue itself.
        body.queued.store(false, Ordering::Release);
        call(&object, "EvtWorkItemFunc", body.callback, body.serialized);
        // Release: pairs with `wait_until_idle`.
        body.running.fetch_sub(1, Ordering::Release);
    });
}

unsafe extern "win64" fn work_item_flush(_globals: u64, handle: u64) {
    wait_until_idle(&object::find(handle, Kind::WorkItem).work_item().running);
}

/// `wdftimer.h`, `wdfdpc.h`, `wdfworkitem.h`.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(111, "WdfDpcCreate", 2, dpc_create as *const ()),
    Slot::new(112, "WdfDpcEnqueue", 15, dpc_enqueue as *const ()),
    Slot::new(113, "WdfDpcCancel", 15, dpc_cancel as *const ()),
    Slot::new(114, "WdfDpcGetParentObject", 15, parent_of as *const ()),
    Slot::new(318, "WdfTimerCreate", 2, timer_create as *const ()),
    Slot::new(319, "WdfTimerStart", 2, timer_start as *const ()),
    Slot::new(320, "WdfTimerStop", 2, timer_stop as *const ()),
    Slot::new(321, "WdfTimerGetParentObject", 2, parent_of as *const ()),
    Slot::new(379, "WdfWorkItemCreate", 2, work_item_create as *const ()),
    Slot::new(380, "WdfWorkItemEnqueue", 2, work_item_enqueue as *const ()),
    Slot::new(381, "WdfWorkItemGetParentObject", 2, parent_of as *const ()),
    Slot::new(382, "WdfWorkItemFlush", 0, work_item_flush as *const ()),
];

impl Body for Timer {
    fn dispose(&self, _object: &Arc<Object>) {
        self.end();
    }
}

impl Body for Dpc {
    fn dispose(&self, _object: &Arc<Object>) {
        self.end();
    }
}

impl Body for WorkItem {
    fn dispose(&self, _object: &Arc<Object>) {
        self.end();
    }
}

impl Object {
    /// Its body as a timer.
    pub fn timer(&self) -> &Timer {
        self.body()
    }

    /// Its body as a DPC.
    pub fn dpc(&self) -> &Dpc {
        self.body()
    }

    /// Its body as a work item.
    pub fn work_item(&self) -> &WorkItem {
        self.body()
    }
}
