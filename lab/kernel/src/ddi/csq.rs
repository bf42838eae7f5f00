//! Cancel-safe queues (`IO_CSQ`, wdm.h): the driver keeps the IRPs in a list of its own, by callbacks under a lock of its own; who takes one
//! out and who cancels it is settled here, once for all drivers.

use super::irql_ranges::{ANY, DISPATCH};
use crate::bug::{self, code};
use crate::callout;
use crate::export::Export;
use crate::io::irp;
use crate::io::object::Irp;
use crate::ldr;
use crate::status;

/// `IO_TYPE_CSQ`, one whose insertion can fail, and what names an IRP in a queue.
const TYPE_CSQ: u32 = 1;
const TYPE_CSQ_CONTEXT: u32 = 2;
const TYPE_CSQ_EX: u32 = 3;
/// The place in `IRP.Tail.Overlay.DriverContext` that belongs to the queue.
const CONTEXT: usize = 3;

/// `IO_CSQ`, 0x40 bytes.
#[repr(C)]
pub struct Csq {
    kind: u32,
    insert: u64,
    remove: u64,
    peek_next: u64,
    acquire_lock: u64,
    release_lock: u64,
    complete_cancelled: u64,
    reserved: u64,
}

/// `IO_CSQ_IRP_CONTEXT`, 0x18 bytes.
#[repr(C)]
pub struct CsqContext {
    kind: u32,
    irp: u64,
    csq: u64,
}

const _: () = {
    assert!(size_of::<Csq>() == 0x40);
    assert!(size_of::<CsqContext>() == 0x18);
};

/// A queue that the driver has initialised.
#[derive(Clone, Copy)]
struct Queue {
    address: u64,
}

impl Queue {
    fn new(address: u64) -> Self {
        let queue = Self { address };
        if !matches!(queue.csq().kind, TYPE_CSQ | TYPE_CSQ_EX) {
            bug::violation(
                code::sub::LOCK_NOT_INITIALIZED,
                [address, 0, 0],
                format_args!(
                    "the driver uses the cancel-safe queue {address:#x}, which is not initialised, or damaged"
                ),
            );
        }
        queue
    }

    fn csq(&self) -> &Csq {
        // SAFETY: the DDI asks for an IO_CSQ there; only its initialisation writes it.
        unsafe { &*(self.address as *const Csq) }
    }

    /// What is done under the queue's lock, which the driver's callbacks acquire and release: they leave the thread as they found it.
    fn locked<R>(self, work: impl FnOnce() -> R) -> R {
        let mut irql = 0_u64;
        callout::call_driver("cancel-safe queue's lock routines", || {
            let place = &raw mut irql as u64;
            // SAFETY: an IO_CSQ_ACQUIRE_LOCK takes the queue and room for an IRQL.
            unsafe { ldr::call(self.csq().acquire_lock, [self.address, place, 0, 0]) };
            let result = work();
            // SAFETY: an IO_CSQ_RELEASE_LOCK takes the queue and that IRQL.
            unsafe { ldr::call(self.csq().release_lock, [self.address, irql & 0xFF, 0, 0]) };
            result
        })
    }

    fn call(self, what: &'static str, routine: u64, arguments: [u64; 2]) -> u64 {
        let [first, second] = arguments;
        callout::call_driver(what, || {
            // SAFETY: the driver named the routine for the purpose at the queue's initialisation; it takes the queue and these.
            unsafe { ldr::call(routine, [self.address, first, second, 0]) }
        })
    }

    fn remove(self, irp: &'static Irp) {
        self.call("CsqRemoveIrp", self.csq().remove, [irp::address(irp), 0]);
        irp.driver_context[CONTEXT].set(0);
    }

    /// The next IRP behind `previous` that fits, or none.
    fn peek(self, previous: u64, context: u64) -> Option<&'static Irp> {
        let next = self.call("CsqPeekNextIrp", self.csq().peek_next, [previous, context]);
        (next != 0).then(|| irp::check(next, "CsqPeekNextIrp"))
    }

    /// `IoCsqInsertIrpEx`: nothing is inserted if the driver's callback says so.
    fn insert(self, irp: &'static Irp, context: *mut CsqContext, insert_context: u64) -> i32 {
        let named = if context.is_null() {
            self.address
        } else {
            let value = CsqContext {
                kind: TYPE_CSQ_CONTEXT,
                irp: irp::address(irp),
                csq: self.address,
            };
            // SAFETY: the DDI asks for room for an IO_CSQ_IRP_CONTEXT, which stays as long as the IRP is queued.
            unsafe { context.write(value) };
            context as u64
        };
        let (status, cancelled) = self.locked(|| {
            irp.driver_context[CONTEXT].set(named);
            let result = self.call(
                "CsqInsertIrp",
                self.csq().insert,
                [irp::address(irp), insert_context],
            );
            // The plain queue's callback returns nothing.
            let status = if self.csq().kind == TYPE_CSQ_EX {
                result as i32
            } else {
                status::SUCCESS
            };
            if !status::is_success(status) {
                return (status, false);
            }
            irp::mark_pending(irp);
            irp::set_cancel_routine(irp, cancel as *const () as u64);
            let cancelled = irp.cancel.get() != 0 && irp::set_cancel_routine(irp, 0) != 0;
            if cancelled {
                forget(irp);
                self.remove(irp);
            }
            (status, cancelled)
        });
        if cancelled {
            self.complete(irp);
        }
        status
    }

    /// Hands a cancelled IRP back to the driver, outside of the lock.
    fn complete(self, irp: &'static Irp) {
        let routine = self.csq().complete_cancelled;
        self.call("CsqCompleteCanceledIrp", routine, [irp::address(irp), 0]);
    }

    fn remove_next(self, context: u64) -> u64 {
        self.locked(|| {
            let mut next = self.peek(0, context);
            while let Some(irp) = next {
                if irp::set_cancel_routine(irp, 0) != 0 {
                    forget(irp);
                    self.remove(irp);
                    return irp::address(irp);
                }
                // Its cancel routine runs already, and waits for the lock.
                next = self.peek(irp::address(irp), context);
            }
            0
        })
    }

    fn remove_by(self, context: &mut CsqContext) -> u64 {
        self.locked(|| {
            if context.irp == 0 {
                return 0;
            }
            let irp = irp::check(context.irp, "IoCsqRemoveIrp");
            if irp::set_cancel_routine(irp, 0) == 0 {
                return 0;
            }
            context.irp = 0;
            self.remove(irp);
            irp::address(irp)
        })
    }
}

/// What names the IRP for the driver, if it has such a thing, names it no longer; the queue that it is in.
fn forget(irp: &'static Irp) -> u64 {
    let named = irp.driver_context[CONTEXT].get();
    // SAFETY: the place belongs to the queue while the IRP is in it: an IO_CSQ or an IO_CSQ_IRP_CONTEXT, both of which begin with their type.
    if unsafe { (named as *const u32).read() } != TYPE_CSQ_CONTEXT {
        return named;
    }
    let context = named as *mut CsqContext;
    // SAFETY: by its type it is one, which nobody else uses under the queue's lock.
    unsafe {
        (*context).irp = 0;
    };
    // SAFETY: as above.
    unsafe { (*context).csq }
}

/// The cancel routine of every IRP in a queue.
unsafe extern "win64" fn cancel(_device: u64, irp: u64) {
    let irp = irp::check(irp, "the cancel-safe queue's cancel routine");
    irp::release_cancel_lock(irp.cancel_irql.get());
    let named = irp.driver_context[CONTEXT].get();
    // SAFETY: as in `forget`.
    let queue = if unsafe { (named as *const u32).read() } == TYPE_CSQ_CONTEXT {
        // SAFETY: by its type it is one.
        unsafe { (*(named as *const CsqContext)).csq }
    } else {
        named
    };
    let queue = Queue::new(queue);
    queue.locked(|| {
        forget(irp);
        queue.remove(irp);
    });
    queue.complete(irp);
}

unsafe fn initialize(csq: *mut Csq, kind: u32, routines: [u64; 6]) -> i32 {
    let [
        insert,
        remove,
        peek_next,
        acquire_lock,
        release_lock,
        complete_cancelled,
    ] = routines;
    let value = Csq {
        kind,
        insert,
        remove,
        peek_next,
        acquire_lock,
        release_lock,
        complete_cancelled,
        reserved: 0,
    };
    // SAFETY: the DDI asks for room for an IO_CSQ.
    unsafe { csq.write(value) };
    status::SUCCESS
}

unsafe extern "win64" fn io_csq_initialize(
    csq: *mut Csq,
    insert: u64,
    remove: u64,
    peek_next: u64,
    acquire_lock: u64,
    release_lock: u64,
    complete: u64,
) -> i32 {
    let routines = [insert, remove, peek_next, acquire_lock, release_lock, complete];
    // SAFETY: the DDI, as `initialize` asks.
    unsafe { initialize(csq, TYPE_CSQ, routines) }
}

unsafe extern "win64" fn io_csq_initialize_ex(
    csq: *mut Csq,
    insert: u64,
    remove: u64,
    peek_next: u64,
    acquire_lock: u64,
    release_lock: u64,
    complete: u64,
) -> i32 {
    let routines = [insert, remove, peek_next, acquire_lock, release_lock, complete];
    // SAFETY: as above.
    unsafe { initialize(csq, TYPE_CSQ_EX, routines) }
}

unsafe extern "win64" fn io_csq_insert_irp(csq: u64, irp: u64, context: *mut CsqContext) {
    Queue::new(csq).insert(irp::check(irp, "IoCsqInsertIrp"), context, 0);
}

unsafe extern "win64" fn io_csq_insert_irp_ex(
    csq: u64,
    irp: u64,
    context: *mut CsqContext,
    insert_context: u64,
) -> i32 {
    Queue::new(csq).insert(irp::check(irp, "IoCsqInsertIrpEx"), context, insert_context)
}

unsafe extern "win64" fn io_csq_remove_next_irp(csq: u64, context: u64) -> u64 {
    Queue::new(csq).remove_next(context)
}

unsafe extern "win64" fn io_csq_remove_irp(csq: u64, context: *mut CsqContext) -> u64 {
    // SAFETY: the DDI asks for the context that the IRP was inserted with.
    Queue::new(csq).remove_by(unsafe { &mut *context })
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("IoCsqInitialize", ANY, io_csq_initialize as *const ()),
    Export::function("IoCsqInitializeEx", ANY, io_csq_initialize_ex as *const ()),
    Export::function("IoCsqInsertIrp", DISPATCH, io_csq_insert_irp as *const ()),
    Export::function("IoCsqInsertIrpEx", DISPATCH, io_csq_insert_irp_ex as *const ()),
    Export::function(
        "IoCsqRemoveNextIrp",
        DISPATCH,
        io_csq_remove_next_irp as *const (),
    ),
    Export::function("IoCsqRemoveIrp", DISPATCH, io_csq_remove_irp as *const ()),
];
