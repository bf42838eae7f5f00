//! Timers that the system allocates. Resolution and tolerance are hints, which the lab's clock has no use for.

use crate::bug::{self, code};
use crate::callout;
use crate::ddi::irql_ranges::DISPATCH;
use crate::export::Export;
use crate::ke::dpc::Dpc;
use crate::ke::object::{Kind, Timer};
use crate::ke::{thread, timer};
use crate::mm::pool::{self, Placement, Tag};
use crate::{interrupt, ldr};

const TAG: Tag = Tag(u32::from_le_bytes(*b"ExTm"));
/// A millisecond in units of 100 ns.
const MILLISECOND: i64 = 10_000;

/// `EX_TIMER`, which is opaque to drivers.
#[repr(C)]
struct ExTimer {
    timer: Timer,
    dpc: Dpc,
    callback: u64,
    context: u64,
}

/// The timer at that address.
///
/// # Safety
/// `ExAllocateTimer` returned it, and it was not deleted.
unsafe fn at(address: u64) -> &'static ExTimer {
    // SAFETY: the caller's promise.
    unsafe { &*(address as *const ExTimer) }
}

unsafe extern "win64" fn ex_allocate_timer(callback: u64, context: u64, _attributes: u32) -> u64 {
    let size = size_of::<ExTimer>() as u64;
    let Some(block) = pool::allocate(size, TAG, true, Placement::Block, thread::current().caller()) else {
        return 0;
    };
    let place = block.cast::<ExTimer>();
    // SAFETY: the block is fresh, as long as the structure, and nobody else's yet.
    let timer = unsafe { &mut *place };
    (timer.callback, timer.context) = (callback, context);
    timer.timer.header.initialize(Kind::NotificationTimer, 16, 0);
    timer.dpc.initialize(expired as *const () as u64, block as u64);
    block as u64
}

/// The DPC of every such timer.
unsafe extern "win64" fn expired(_dpc: u64, address: u64, _first: u64, _second: u64) {
    // SAFETY: a DPC of a timer that is not deleted.
    let timer = unsafe { at(address) };
    callout::call_driver("timer callback", || {
        // SAFETY: an EXT_CALLBACK takes the timer and its context.
        unsafe { ldr::call(timer.callback, [address, timer.context, 0, 0]) };
    });
}

unsafe extern "win64" fn ex_set_timer(address: u64, due: i64, period: i64, _parameters: u64) -> u8 {
    // SAFETY: the DDI: a timer of `ExAllocateTimer`'s.
    let timer = unsafe { at(address) };
    let dpc = if timer.callback == 0 {
        0
    } else {
        (&raw const timer.dpc) as u64
    };
    let period = u32::try_from(period / MILLISECOND).unwrap_or(u32::MAX);
    timer::set(&timer.timer, due, period, dpc).into()
}

unsafe extern "win64" fn ex_cancel_timer(address: u64, _parameters: u64) -> u8 {
    // SAFETY: as above.
    timer::cancel(&unsafe { at(address) }.timer).into()
}

unsafe extern "win64" fn ex_delete_timer(address: u64, cancel: u8, wait: u8, _parameters: u64) -> u8 {
    // SAFETY: as above.
    let timer = unsafe { at(address) };
    if cancel == 0 && timer.timer.is_set() {
        bug::bugcheck(
            code::LAB_MISSING_EXPORT,
            [thread::current().caller(), address, 0, 0],
            format_args!(
                "ExDeleteTimer of a timer that is set, without Cancel: that it goes when it expires the lab does not have"
            ),
        );
    }
    let was_set = timer::cancel(&timer.timer);
    if wait != 0 {
        interrupt::flush();
    }
    // SAFETY: the DPC is the block's.
    let dpc = unsafe { Dpc::at(&raw const timer.dpc) };
    dpc.remove();
    // The block is the lab's, and was written by it alone.
    let _ = pool::free(address, Some(TAG), thread::current().caller());
    was_set.into()
}

/// This family's exports.
pub static EXPORTS: &[Export] = &[
    Export::function("ExAllocateTimer", DISPATCH, ex_allocate_timer as *const ()),
    Export::function("ExSetTimer", DISPATCH, ex_set_timer as *const ()),
    Export::function("ExCancelTimer", DISPATCH, ex_cancel_timer as *const ()),
    Export::function("ExDeleteTimer", DISPATCH, ex_delete_timer as *const ()),
];
