//! Deferred procedure calls.

use super::sched;
use crate::hal::{cpu, pcr};
use crate::judge::watchdog;
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
/// `HighImportance`: goes to the front of the queue.
const HIGH_IMPORTANCE: u8 = 2;

/// Queued DPCs of one processor.
pub struct DpcQueue(VecDeque<&'static Dpc>);

impl DpcQueue {
    pub(crate) const fn new() -> Self {
        Self(VecDeque::new())
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
        self.importance.store(1, Relaxed);
        self.number.store(0, Relaxed);
        self.routine.store(routine, Relaxed);
        self.context.store(context, Relaxed);
        self.data.store(0, Relaxed);
    }

    /// Whether `initialize` ran.
    pub fn is_initialized(&self) -> bool {
        self.kind.load(Relaxed) == DPC_OBJECT
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
        let queued = {
            let mut queue = pcr::of(target).dpcs.lock();
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
                if self.importance.load(Relaxed) == HIGH_IMPORTANCE {
                    queue.0.push_front(self);
                } else {
                    queue.0.push_back(self);
                }
            }
            fresh
        };
        if queued {
            crate::hal::apic::interrupt(target, crate::hal::trap::DISPATCH_VECTOR);
        }
        cpu::restore_interrupts(enabled);
        queued
    }

    /// Takes it off its queue; whether it was on one.
    pub fn remove(&'static self) -> bool {
        let Some(target) = (self.data.load(Relaxed) as usize).checked_sub(1) else {
            return false;
        };
        let mut queue = pcr::of(target).dpcs.lock();
        let Some(index) = queue.0.iter().position(|queued| core::ptr::eq(*queued, self)) else {
            return false;
        };
        queue.0.remove(index);
        self.data.store(0, Relaxed);
        true
    }
}

/// Runs this processor's DPCs at `DISPATCH_LEVEL`, with interrupts enabled. Called with interrupts disabled, returns so.
pub(super) fn retire() {
    let this = pcr::this();
    if this.dpcs.lock().is_empty() {
        return;
    }
    // The interrupted code's vector state; the routines are the driver's.
    let vectors = cpu::FxArea::save();
    loop {
        let mut queue = this.dpcs.lock();
        let Some(dpc) = queue.0.pop_front() else { break };
        let routine = dpc.routine.load(Relaxed);
        let context = dpc.context.load(Relaxed);
        let [first, second] = [0, 1].map(|index| dpc.arguments[index].load(Relaxed));
        this.in_dpc.store(true, Relaxed);
        // From here on the driver may queue it again, or free it.
        dpc.data.store(0, Relaxed);
        drop(queue);
        cpu::restore_interrupts(true);
        watchdog::call_dpc((&raw const *dpc) as u64, routine, [context, first, second]);
        cpu::disable_interrupts();
        this.in_dpc.store(false, Relaxed);
    }
    vectors.restore();
}

/// Waits until every DPC that is queued now has run.
pub fn flush() {
    for pcr in pcr::online() {
        // Both are looked at under the lock under which a DPC leaves the queue and `in_dpc` is set.
        let busy = || {
            let queue = pcr.dpcs.lock();
            pcr.in_dpc.load(Relaxed) || !queue.is_empty()
        };
        while busy() {
            sched::yield_now();
            super::wait::sleep(1);
        }
    }
}
