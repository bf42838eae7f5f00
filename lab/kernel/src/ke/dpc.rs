//! Deferred procedure calls.
//!
//! When a queue is processed is what Microsoft's "Organization of DPC Queues" says. At once: a DPC for the processor that queues
//! it, unless it is of low importance; one for another processor, if it is of medium-high or high importance; and any, if the
//! queue has become too long. Everything else waits until the processor takes up its queue by itself: at the next clock tick,
//! when it becomes idle, or with the next DPC that does not wait.

use crate::bug::{self, code};
use crate::config;
use crate::hal::{MAX_PROCESSORS, apic, cpu, pcr, trap};
use crate::lock::{IrqGuard, IrqLock};
use crate::trace::{self, Kind};
use alloc::collections::VecDeque;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64};

/// `KDPC`, 0x40 bytes on x64.
#[repr(C)]
pub struct Dpc {
    kind: AtomicU8,
    importance: AtomicU8,
    /// 1 + the target processor's number, or 0 for the processor that queues it.
    number: AtomicU16,
    list: AtomicU64,
    history: AtomicU64,
    routine: AtomicU64,
    context: AtomicU64,
    arguments: [AtomicU64; 2],
    /// Not 0 while it is queued; guarded by the lock of the queue it names (1 + processor).
    data: AtomicU64,
}

const _: () = assert!(size_of::<Dpc>() == 0x40);

/// `DpcObject` of `KOBJECTS`.
const DPC_OBJECT: u8 = 19;
/// `KDPC_IMPORTANCE` (wdm.h), which is in no order of importance.
pub mod importance {
    /// Waits.
    pub const LOW: u8 = 0;
    /// Waits if it is for another processor; what `KeInitializeDpc` sets.
    pub const MEDIUM: u8 = 1;
    /// Goes to the front of the queue.
    pub const HIGH: u8 = 2;
    /// Waits nowhere.
    pub const MEDIUM_HIGH: u8 = 3;
}
/// The queue that is long enough to be processed at once: NT's `MaximumDpcQueueDepth` is 4 unless the registry has another.
const LONG_QUEUE: usize = 4;

/// The call of one DPC routine.
#[derive(Clone, Copy)]
pub struct Call {
    /// The DPC's address.
    pub dpc: u64,
    /// Its routine's.
    pub routine: u64,
    /// The context that it was initialised with.
    pub context: u64,
    /// What it was queued with.
    pub arguments: [u64; 2],
}

/// The routine of a DPC that was called and that nobody has waited for since, 0 for none.
static UNFLUSHED: AtomicU64 = AtomicU64::new(0);

/// Calls of the driver's routines.
pub static CALLS: AtomicU64 = AtomicU64::new(0);

/// A routine of the driver's is called: it may be on its way out until somebody waits for it.
pub fn called(routine: u64) {
    UNFLUSHED.store(routine, Relaxed);
    CALLS.fetch_add(1, Relaxed);
}

/// Somebody has waited for all DPCs. One that was called meanwhile, behind its back, is not found.
pub fn flushed() {
    UNFLUSHED.store(0, Relaxed);
}

/// The routine of a DPC that nobody has waited for.
pub fn unflushed() -> Option<u64> {
    Some(UNFLUSHED.load(Relaxed)).filter(|&routine| routine != 0)
}

static QUEUES: [IrqLock<DpcQueue>; MAX_PROCESSORS] =
    [const { IrqLock::new(DpcQueue::new()) }; MAX_PROCESSORS];

/// The queue of processor `number`.
pub fn queue_of(number: usize) -> IrqGuard<'static, DpcQueue> {
    QUEUES[number].lock()
}

/// Queued DPCs of one processor.
pub struct DpcQueue(VecDeque<&'static Dpc>);

impl DpcQueue {
    const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Takes the first DPC: its address, its routine, and what the routine is called with. From then on the driver may queue
    /// it again, or free it.
    pub fn take(&mut self) -> Option<Call> {
        let dpc = self.0.pop_front()?;
        let call = Call {
            dpc: (&raw const *dpc) as u64,
            routine: dpc.routine.load(Relaxed),
            context: dpc.context.load(Relaxed),
            arguments: [0, 1].map(|index| dpc.arguments[index].load(Relaxed)),
        };
        dpc.data.store(0, Relaxed);
        Some(call)
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses of what is queued.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|dpc| (&raw const **dpc) as u64)
    }
}

impl Dpc {
    /// The DPC at `address`.
    ///
    /// # Safety
    /// A `KDPC` lies there, and stays while it is queued: NT's own rule.
    pub unsafe fn at(address: *const Self) -> &'static Self {
        // SAFETY: the caller promises it; every field is atomic.
        unsafe { &*address }
    }

    /// Makes this a DPC that calls `routine(dpc, context, argument 1, argument 2)`, a win64 function.
    pub fn initialize(&self, routine: u64, context: u64) {
        self.kind.store(DPC_OBJECT, Relaxed);
        self.importance.store(importance::MEDIUM, Relaxed);
        self.number.store(0, Relaxed);
        self.routine.store(routine, Relaxed);
        self.context.store(context, Relaxed);
        self.data.store(0, Relaxed);
    }

    /// The DPC at `address`; a bug check if `initialize` did not run there, or if somebody wrote over it since.
    ///
    /// # Safety
    /// As [`Dpc::at`].
    pub unsafe fn initialized(address: *const Self) -> &'static Self {
        // SAFETY: the caller promises it.
        let dpc = unsafe { Self::at(address) };
        // Both count processors from 1.
        let numbers = [dpc.number.load(Relaxed).into(), dpc.data.load(Relaxed)];
        if dpc.kind.load(Relaxed) != DPC_OBJECT || numbers.iter().any(|&n| n > config::get().cpus as u64) {
            bug::bugcheck(
                code::BAD_DISPATCHER_OBJECT,
                [address as u64, 0, 0, 0],
                format_args!("the DPC {address:p} is used, which was not initialised or is damaged"),
            );
        }
        dpc
    }

    /// Chooses the processor that it will run on.
    pub fn set_target(&self, number: usize) {
        self.number.store(number as u16 + 1, Relaxed);
    }

    /// `KDPC_IMPORTANCE`.
    pub fn set_importance(&self, importance: u8) {
        self.importance.store(importance, Relaxed);
    }

    /// Queues it, unless it is queued.
    pub fn queue(&'static self, arguments: [u64; 2]) -> bool {
        let enabled = cpu::disable_interrupts();
        let target = match self.number.load(Relaxed) {
            0 => pcr::current_number(),
            number => usize::from(number) - 1,
        };
        let importance = self.importance.load(Relaxed);
        let waits = match importance {
            importance::LOW => true,
            importance::MEDIUM => target != pcr::current_number() && !pcr::of(target).is_idle(),
            _ => false,
        };
        let (queued, at_once) = {
            let mut queue = queue_of(target);
            // The exchange decides between two processors that queue it on different queues.
            let fresh = self
                .data
                .compare_exchange(0, target as u64 + 1, Relaxed, Relaxed)
                .is_ok();
            if fresh {
                self.arguments
                    .iter()
                    .zip(arguments)
                    .for_each(|(slot, argument)| slot.store(argument, Relaxed));
                if importance == importance::HIGH {
                    queue.0.push_front(self);
                } else {
                    queue.0.push_back(self);
                }
            }
            (fresh, !waits || queue.0.len() > LONG_QUEUE)
        };
        if queued {
            let routine = self.routine.load(Relaxed);
            trace::note(
                Kind::DpcQueued,
                [(&raw const *self) as u64, routine, target as u64],
            );
        }
        if queued && at_once {
            request(target);
        }
        cpu::restore_interrupts(enabled);
        queued
    }

    /// Takes it off its queue; whether it was on one.
    pub fn remove(&'static self) -> bool {
        let Some(target) = (self.data.load(Relaxed) as usize).checked_sub(1) else {
            return false;
        };
        let mut queue = queue_of(target);
        let Some(index) = queue.0.iter().position(|queued| core::ptr::eq(*queued, self)) else {
            return false;
        };
        queue.0.remove(index);
        self.data.store(0, Relaxed);
        true
    }
}

/// Has processor `target` take up its queue as soon as its IRQL allows.
pub fn request(target: usize) {
    apic::interrupt(target, trap::DISPATCH_VECTOR);
}

/// Has this processor take up what waits in its queue: at a clock tick, and before it idles.
pub fn take_up() {
    let number = pcr::current_number();
    if !queue_of(number).is_empty() {
        request(number);
    }
}

/// A DPC whose routine `is_drivers`, queued or running: its address, or its routine's.
pub fn of_driver(is_drivers: impl Fn(u64) -> bool) -> Option<u64> {
    pcr::online().find_map(|pcr| {
        let queue = queue_of(pcr.number());
        let queued = queue.0.iter().find(|dpc| is_drivers(dpc.routine.load(Relaxed)));
        let running = || Some(pcr.raiser.load(Relaxed)).filter(|&routine| is_drivers(routine));
        queued
            .map(|dpc| (&raw const **dpc) as u64)
            .or_else(|| pcr.in_dpc.load(Relaxed).then(running).flatten())
    })
}
