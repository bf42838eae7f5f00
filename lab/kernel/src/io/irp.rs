//! Requests on their way through a stack of devices: sending, completing, cancelling.
//!
//! Every live IRP is in one table. So a second completion, or a pointer to what was never an IRP, is found out by name rather than by
//! its consequences; and a cancellation from outside pins the IRP, which stands for NT's rule that a thread's own
//! requests cannot vanish while it cancels them.

use super::object::{self, DeviceObject, DriverObject, Irp, StackLocation, TYPE_IRP, control, major};
use crate::bug::{self, code};
use crate::callout::{self, Outermost};
use crate::ke::event::Event;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::object::Kind;
use crate::ke::spinlock::SpinLock;
use crate::ke::{stay, thread};
use crate::ldr;
use crate::lock::IrqLock;
use crate::mm::pool::{self, Placement, Tag};
use crate::status;
use crate::trace;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering};

const TAG: Tag = Tag(u32::from_le_bytes(*b"Irp "));

/// What is to happen when an IRP of the I/O manager's own has gone all the way up; called at or below `DISPATCH_LEVEL`, and
/// the IRP is freed afterwards.
pub type Done = Box<dyn FnOnce(&'static Irp) + Send>;

/// What the table knows of a live IRP.
struct Entry {
    serial: u64,
    /// `None` for an IRP that a driver allocated.
    done: Option<Done>,
    /// Set when it has gone all the way up.
    completed: bool,
    /// Cancellations that are using it.
    pins: u32,
}

static LIVE: IrqLock<BTreeMap<u64, Entry>> = IrqLock::new(BTreeMap::new());
static NEXT_SERIAL: AtomicU64 = AtomicU64::new(1);
/// The cancel spin lock.
static CANCEL_LOCK: CancelLock = CancelLock(AtomicU64::new(0));

#[repr(transparent)]
struct CancelLock(AtomicU64);

fn cancel_lock() -> &'static SpinLock {
    // SAFETY: the static has a KSPIN_LOCK's layout, one word, and stays for ever.
    unsafe { SpinLock::at((&raw const CANCEL_LOCK).cast()) }
}

/// An IRP of the I/O manager's own, for `stack_size` devices; with its serial number. `None` when memory is short.
/// [`when_done`] follows before it is sent.
pub fn allocate(stack_size: i8) -> Option<(&'static Irp, u64)> {
    let (irp, serial) = allocate_entry(stack_size, 0)?;
    irp.thread.set(thread::current().address());
    Some((irp, serial))
}

/// What is to happen when this IRP has gone all the way up.
pub fn when_done(irp: &'static Irp, done: Done) {
    if let Some(entry) = LIVE.lock().get_mut(&address(irp)) {
        entry.done = Some(done);
    }
}

/// `IoAllocateIrp`: an IRP that the driver at `caller` has to free. Its page: the routine "does not associate the IRP with a thread".
pub fn allocate_for_driver(stack_size: i8, caller: u64) -> Option<&'static Irp> {
    allocate_entry(stack_size, caller).map(|(irp, _)| irp)
}

fn allocate_entry(stack_size: i8, caller: u64) -> Option<(&'static Irp, u64)> {
    let size = size_of::<Irp>() + stack_size.max(1) as usize * size_of::<StackLocation>();
    let memory = pool::allocate(size as u64, TAG, true, Placement::Block, caller)?;
    // SAFETY: fresh zeroed pool, large enough and aligned to 16; every field may be zero. It stays until `free`.
    let irp: &'static Irp = unsafe { &*memory.cast() };
    initialize(irp, size as u16, stack_size);
    irp.allocation_flags.set(ALLOCATED_FIXED_SIZE);
    let serial = NEXT_SERIAL.fetch_add(1, Ordering::Relaxed);
    LIVE.lock().insert(
        address(irp),
        Entry {
            serial,
            done: None,
            completed: false,
            pins: 0,
        },
    );
    Some((irp, serial))
}

/// `IoReuseIrp`: an IRP that the driver allocated, as if it were fresh, with that status.
pub fn reuse(irp: &'static Irp, status: i32) {
    note_end(irp);
    let (size, count, flags) = (irp.size.get(), irp.stack_count.get(), irp.allocation_flags.get());
    // SAFETY: the IRP's own memory, of which every field may be zero; it is its driver's, and on its way to nobody.
    unsafe { (address(irp) as *mut u8).write_bytes(0, size.into()) };
    initialize(irp, size, count);
    irp.allocation_flags.set(flags);
    irp.io_status.status.set(status);
}

/// The fields of a fresh IRP, whose memory is zero.
fn initialize(irp: &'static Irp, size: u16, stack_size: i8) {
    irp.kind.set(TYPE_IRP);
    irp.size.set(size);
    irp.stack_count.set(stack_size);
    irp.current_location.set(stack_size + 1);
    irp.current_stack_location
        .set(location(irp, stack_size as usize).cast_mut());
    irp.thread_list_entry.set(empty_list(&irp.thread_list_entry));
}

/// `IRP_ALLOCATED_FIXED_SIZE`, of `IRP.AllocationFlags` (wdm.h).
const ALLOCATED_FIXED_SIZE: u8 = 0x04;

/// A list that is empty where it lies.
fn empty_list(place: &object::Field<object::ListEntry>) -> object::ListEntry {
    let address = place.pointer() as u64;
    object::ListEntry {
        flink: address,
        blink: address,
    }
}

/// The driver's `PIRP`.
pub fn address(irp: &'static Irp) -> u64 {
    (&raw const *irp) as u64
}

/// The stack location of that index; one past the last is the place before the first driver is called.
fn location(irp: &'static Irp, index: usize) -> *const StackLocation {
    (&raw const *irp)
        .wrapping_add(1)
        .cast::<StackLocation>()
        .wrapping_add(index)
}

/// The stack location of the driver that has the IRP now.
///
/// # Panics
/// If no driver has it: the location would lie outside the IRP.
pub fn current(irp: &'static Irp) -> &'static StackLocation {
    let index = irp.current_location.get();
    assert!(
        (1..=irp.stack_count.get()).contains(&index),
        "an IRP at stack location {index}"
    );
    // SAFETY: inside the IRP's allocation, by the check.
    unsafe { &*irp.current_stack_location.get() }
}

/// The stack location for the driver that will be called next.
pub fn next(irp: &'static Irp) -> &'static StackLocation {
    let index = irp.current_location.get() - 1;
    assert!(
        (1..=irp.stack_count.get()).contains(&index),
        "an IRP with no stack location left"
    );
    // SAFETY: inside the IRP's allocation, by the check.
    unsafe { &*irp.current_stack_location.get().wrapping_sub(1) }
}

/// The live IRP at `address`, which `routine` was given; anything else is a bug check.
pub fn check(address: u64, routine: &str) -> &'static Irp {
    let live = LIVE.lock().get(&address).is_some_and(|entry| !entry.completed);
    if !live {
        bug::bugcheck(
            code::MULTIPLE_IRP_COMPLETE_REQUESTS,
            [address, 0, 0, 0],
            format_args!(
                "{routine} was given {address:#x}, which is no live IRP: never allocated, or completed already"
            ),
        );
    }
    // SAFETY: the table holds allocated IRPs only.
    unsafe { &*(address as *const Irp) }
}

/// Whether the IRP with this serial number has not gone all the way up yet.
pub fn is_live(serial: u64) -> bool {
    LIVE.lock()
        .values()
        .any(|entry| entry.serial == serial && !entry.completed)
}

/// How many IRPs are live.
pub fn live_count() -> usize {
    LIVE.lock().len()
}

/// `IoFreeIrp`.
pub fn free(irp: &'static Irp) {
    note_end(irp);
    LIVE.lock().remove(&address(irp));
    release(irp);
}

fn release(irp: &'static Irp) {
    if pool::free(address(irp), Some(TAG), 0).is_err() {
        bug::bugcheck(
            code::BAD_POOL_HEADER,
            [0x20, address(irp), 0, 0],
            format_args!("the memory behind the IRP {:#x} was overwritten", address(irp)),
        );
    }
}

/// `IofCallDriver`: hands the IRP to the driver of `device`; what its dispatch routine returns.
///
/// # IRQL
/// At or below `DISPATCH_LEVEL`.
pub fn call_driver(device: &'static DeviceObject, irp: &'static Irp) -> i32 {
    let location = irp.current_location.get() - 1;
    if location <= 0 {
        bug::bugcheck(
            code::NO_MORE_IRP_STACK_LOCATIONS,
            [address(irp), 0, 0, 0],
            format_args!(
                "the IRP {:#x} was sent on more often than it has stack locations",
                address(irp)
            ),
        );
    }
    irp.current_location.set(location);
    let stack: *mut StackLocation = irp.current_stack_location.get().wrapping_sub(1);
    irp.current_stack_location.set(stack);
    let stack = current(irp);
    stack.device_object.set((&raw const *device).cast_mut());
    // SAFETY: a device object names its driver's object as long as it exists.
    let driver: &'static DriverObject = unsafe { &*device.driver_object.get() };
    let function = stack.major_function.get();
    if location == irp.stack_count.get() {
        trace::note(
            trace::Kind::IrpArrives,
            [
                address(irp),
                trace::name(major::name(function)),
                (&raw const *device) as u64,
            ],
        );
    }
    let routine = driver.major_function[usize::from(function).min(major::COUNT - 1)].get();
    let arguments = [(&raw const *device) as u64, address(irp), 0, 0];
    callout::call_driver(major::name(function), || {
        // SAFETY: dispatch routines are set by the driver, or by `driver::create`; they take a device and an IRP.
        unsafe { ldr::call(routine, arguments) as i32 }
    })
}

/// `IofCompleteRequest`: takes the IRP up the stack, past the completion routines, and ends it.
///
/// # IRQL
/// At or below `DISPATCH_LEVEL`.
pub fn complete(irp: &'static Irp) {
    let (status, information) = (irp.io_status.status.get(), irp.io_status.information.get());
    if irp.cancel_routine.load(Ordering::Relaxed) != 0 {
        bug::bugcheck(
            code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            [code::io::CANCEL_ROUTINE_SET, address(irp), information, 0],
            format_args!("an IRP is completed while its cancel routine is still set"),
        );
    }
    if status == status::PENDING || status == -1 {
        bug::bugcheck(
            code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            [code::io::COMPLETED_AS_PENDING, status as u64, address(irp), 0],
            format_args!("an IRP is completed with status {status:#010x}"),
        );
    }
    while irp.current_location.get() <= irp.stack_count.get() {
        let stack = current(irp);
        let flags = stack.control.get();
        irp.pending_returned.set(flags & control::PENDING_RETURNED);
        let routine = stack.completion_routine.get();
        let context = stack.context.get();
        clear(stack);
        irp.current_location.set(irp.current_location.get() + 1);
        irp.current_stack_location
            .set(irp.current_stack_location.get().wrapping_add(1));
        // A routine further down may have given it another status.
        let status = irp.io_status.status.get();
        let wanted = (status::is_success(status) && flags & control::INVOKE_ON_SUCCESS != 0)
            || (!status::is_success(status) && flags & control::INVOKE_ON_ERROR != 0)
            || (irp.cancel.get() != 0 && flags & control::INVOKE_ON_CANCEL != 0);
        if wanted && routine != 0 {
            // The device of the routine is the one above, whose location is current now.
            let above = irp.current_location.get() <= irp.stack_count.get();
            let device = if above {
                current(irp).device_object.get() as u64
            } else {
                0
            };
            let result = callout::call_driver("completion routine", || {
                // SAFETY: IoSetCompletionRoutine put it there; it takes a device, the IRP and its context.
                unsafe { ldr::call(routine, [device, address(irp), context, 0]) as i32 }
            });
            if result == status::MORE_PROCESSING_REQUIRED {
                return;
            }
        } else if irp.pending_returned.get() != 0 && irp.current_location.get() <= irp.stack_count.get() {
            let above = current(irp);
            above.control.set(above.control.get() | control::PENDING_RETURNED);
        }
    }
    finish(irp);
}

/// Empties a stack location. What a driver had in its own is gone once the IRP has passed it: its completion routine, which the driver above set, and
/// those above find nothing of it there.
pub fn clear(stack: &StackLocation) {
    stack.minor_function.set(0);
    stack.flags.set(0);
    stack.control.set(0);
    stack.parameters.iter().for_each(|parameter| parameter.set(0));
    stack.file_object.set(core::ptr::null_mut());
    stack.completion_routine.set(0);
    stack.context.set(0);
}

/// For the timeline: it goes no further.
fn note_end(irp: &'static Irp) {
    let (status, information) = (irp.io_status.status.get(), irp.io_status.information.get());
    trace::note(
        trace::Kind::IrpEnds,
        [address(irp), u64::from(status as u32), information],
    );
}

/// The IRP has gone all the way up.
fn finish(irp: &'static Irp) {
    note_end(irp);
    let done = {
        let mut live = LIVE.lock();
        let entry = live
            .get_mut(&address(irp))
            .expect("`check` found it, and only this removes it");
        entry.completed = true;
        entry.done.take()
    };
    let Some(done) = done else {
        bug::bugcheck(
            code::MULTIPLE_IRP_COMPLETE_REQUESTS,
            [address(irp), 0, 0, 0],
            format_args!(
                "an IRP that the driver allocated was completed to its end; its completion routine must keep and free it"
            ),
        );
    };
    done(irp);
    unpin(address(irp), 0);
}

/// Takes `count` pins off a completed IRP, and frees it with the last.
fn unpin(address: u64, count: u32) {
    let last = {
        let mut live = LIVE.lock();
        let Some(entry) = live.get_mut(&address) else {
            return;
        };
        entry.pins -= count;
        let last = entry.pins == 0 && entry.completed;
        if last {
            live.remove(&address);
        }
        last
    };
    if last {
        // SAFETY: it was in the table until now, and nobody else found the last pin gone.
        release(unsafe { &*(address as *const Irp) });
    }
}

/// Cancels the IRP with this serial number, if it is still on its way; whether a cancel routine was called.
///
/// # IRQL
/// At or below `DISPATCH_LEVEL`.
pub fn cancel_serial(serial: u64) -> bool {
    let address = {
        let mut live = LIVE.lock();
        let found = live
            .iter_mut()
            .find(|(_, entry)| entry.serial == serial && !entry.completed);
        let Some((&address, entry)) = found else {
            return false;
        };
        entry.pins += 1;
        address
    };
    // SAFETY: pinned.
    let called = cancel(unsafe { &*(address as *const Irp) });
    unpin(address, 1);
    called
}

/// `IoCancelIrp`: marks the IRP cancelled and calls its cancel routine, with the cancel spin lock held; whether it had one.
pub fn cancel(irp: &'static Irp) -> bool {
    callout::call_driver("cancel routine", || {
        let old = acquire_cancel_lock();
        irp.cancel.set(1);
        // AcqRel: pairs with `set_cancel_routine`; exactly one side finds the routine.
        let routine = irp.cancel_routine.swap(0, Ordering::AcqRel);
        if routine == 0 {
            release_cancel_lock(old);
            return false;
        }
        irp.cancel_irql.set(old);
        // An IRP that was not sent yet, or is on its way up past the last, is at no driver's location.
        let at_a_driver = (1..=irp.stack_count.get()).contains(&irp.current_location.get());
        let device = if at_a_driver {
            current(irp).device_object.get() as u64
        } else {
            0
        };
        // SAFETY: IoSetCancelRoutine put it there; it takes a device and the IRP, and releases the cancel spin lock.
        unsafe { ldr::call(routine, [device, address(irp), 0, 0]) };
        true
    })
}

/// `IoSetCancelRoutine`: the routine before.
pub fn set_cancel_routine(irp: &'static Irp, routine: u64) -> u64 {
    // AcqRel: pairs with `cancel`.
    irp.cancel_routine.swap(routine, Ordering::AcqRel)
}

/// `IoAcquireCancelSpinLock`: the IRQL before.
pub fn acquire_cancel_lock() -> u8 {
    let old = irql::current();
    stay::raise(DISPATCH_LEVEL);
    cancel_lock().acquire();
    old
}

/// `IoReleaseCancelSpinLock`.
pub fn release_cancel_lock(old: u8) {
    cancel_lock().release();
    stay::lower(old);
}

/// Sends an IRP that `fill` has prepared to the top of `device`'s stack and waits for its end: status and information.
///
/// # IRQL
/// Below `DISPATCH_LEVEL`.
pub fn send_and_wait(
    device: &'static DeviceObject,
    fill: impl FnOnce(&'static Irp, &'static StackLocation),
) -> (i32, u64) {
    struct Outcome {
        event: Event,
        status: AtomicI32,
        information: AtomicU64,
    }
    let outcome = Arc::new(Outcome {
        event: Event::new(Kind::NotificationEvent),
        status: AtomicI32::new(0),
        information: AtomicU64::new(0),
    });
    let theirs = outcome.clone();
    let done = Box::new(move |irp: &'static Irp| {
        theirs.status.store(irp.io_status.status.get(), Ordering::Relaxed);
        theirs
            .information
            .store(irp.io_status.information.get(), Ordering::Relaxed);
        theirs.event.set();
    });
    let Some((irp, serial)) = allocate(device.stack_size.get()) else {
        return (status::INSUFFICIENT_RESOURCES, 0);
    };
    when_done(irp, done);
    irp.io_status.status.set(status::NOT_SUPPORTED);
    fill(irp, next(irp));
    send(device, irp, serial, Outermost::System);
    // Also when it is done already: the event orders what was written before.
    outcome.event.wait();
    (
        outcome.status.load(Ordering::Relaxed),
        outcome.information.load(Ordering::Relaxed),
    )
}

/// Sends an IRP of the I/O manager's own to the top of a stack, on nobody's behalf or for a client.
pub fn send(device: &'static DeviceObject, irp: &'static Irp, serial: u64, whose: Outermost) {
    let function = next(irp).major_function.get();
    let what = major::name(function);
    let returned = callout::call_outermost(what, whose, || call_driver(device, irp));
    check_dispatch(function, returned, serial);
}

/// `IoMarkIrpPending`.
pub fn mark_pending(irp: &'static Irp) {
    let stack = current(irp);
    stack.control.set(stack.control.get() | control::PENDING_RETURNED);
}

/// `IoSkipCurrentIrpStackLocation`, and on to the device below; what its dispatch routine returns.
pub fn pass_down(device: &'static DeviceObject, irp: &'static Irp) -> i32 {
    skip(irp);
    call_driver(device, irp)
}

/// `IoSkipCurrentIrpStackLocation`: the next driver is given the caller's own location.
pub fn skip(irp: &'static Irp) {
    irp.current_location.set(irp.current_location.get() + 1);
    irp.current_stack_location
        .set(irp.current_stack_location.get().wrapping_add(1));
}

/// `IoSetNextIrpStackLocation`: the opposite.
pub fn set_next(irp: &'static Irp) {
    irp.current_location.set(irp.current_location.get() - 1);
    irp.current_stack_location
        .set(irp.current_stack_location.get().wrapping_sub(1));
}

/// `IoCopyCurrentIrpStackLocationToNext`: all but the completion routine and what goes with it.
pub fn copy_to_next(irp: &'static Irp) {
    copy(current(irp), next(irp));
}

/// Fills a location in by another, as for [`copy_to_next`].
pub fn copy(from: &StackLocation, to: &StackLocation) {
    to.major_function.set(from.major_function.get());
    to.minor_function.set(from.minor_function.get());
    to.flags.set(from.flags.get());
    to.control.set(0);
    to.file_object.set(from.file_object.get());
    to.parameters
        .iter()
        .zip(&from.parameters)
        .for_each(|(to, from)| to.set(from.get()));
}

/// `IoSetCompletionRoutine`: has `routine` called with `context` when the IRP comes back from the device below: on success, on error, when it was
/// cancelled.
pub fn set_completion(irp: &'static Irp, routine: u64, context: u64, when: [bool; 3]) {
    let stack = next(irp);
    stack.completion_routine.set(routine);
    stack.context.set(context);
    let flags = [
        control::INVOKE_ON_SUCCESS,
        control::INVOKE_ON_ERROR,
        control::INVOKE_ON_CANCEL,
    ];
    let asked = flags.into_iter().zip(when).filter(|(_, asked)| *asked);
    stack.control.set(asked.fold(0, |all, (flag, _)| all | flag));
}

/// Hands the IRP to the device below and takes it back when it is done there; its status.
///
/// # IRQL
/// Below `DISPATCH_LEVEL`.
pub fn forward_and_wait(device: &'static DeviceObject, irp: &'static Irp) -> i32 {
    copy_to_next(irp);
    let back = Event::new(Kind::NotificationEvent);
    set_completion(
        irp,
        forwarded as *const () as u64,
        (&raw const back) as u64,
        [true; 3],
    );
    call_driver(device, irp);
    back.wait();
    irp.io_status.status.get()
}

/// The completion routine of [`forward_and_wait`].
unsafe extern "win64" fn forwarded(_device: u64, _irp: u64, context: u64) -> i32 {
    // SAFETY: the event of a `forward_and_wait` that waits for this.
    unsafe { &*(context as *const Event) }.set();
    status::MORE_PROCESSING_REQUIRED
}

/// A dispatch routine that does not return `STATUS_PENDING` has completed its IRP.
fn check_dispatch(function: u8, returned: i32, serial: u64) {
    if returned != status::PENDING && is_live(serial) {
        bug::bugcheck(
            code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            [code::io::NOT_COMPLETED, returned as u64, 0, 0],
            format_args!(
                "the driver's {} routine returned {returned:#010x} and has not completed the IRP; it must return STATUS_PENDING then",
                major::name(function)
            ),
        );
    }
}
