//! DPCs and timers.

use super::parameter::object;
use super::processors::ProcessorNumber;
use crate::bug::{self, code};
use crate::ddi::irql_ranges::{ANY, DISPATCH, PASSIVE};
use crate::export::Export;
use crate::hal::pcr;
use crate::interrupt;
use crate::ke::dpc::{self, Dpc};
use crate::ke::object::{Header, Kind, Timer};
use crate::ke::{processor, timer};
use crate::status;

const TIMERS: &[Kind] = &[Kind::NotificationTimer, Kind::SynchronizationTimer];

unsafe extern "win64" fn ke_initialize_dpc(dpc: *const Dpc, routine: u64, context: u64) {
    // SAFETY: the DDI asks for a KDPC there.
    let dpc = unsafe { Dpc::at(dpc) };
    let address = (&raw const *dpc) as u64;
    if pcr::online().any(|pcr| {
        dpc::queue_of(pcr.number())
            .addresses()
            .any(|queued| queued == address)
    }) {
        bug::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [address, 2, 0, 0],
            format_args!("the driver initialises a DPC that is queued"),
        );
    }
    dpc.initialize(routine, context);
}

fn initialized_dpc(dpc: *const Dpc) -> &'static Dpc {
    // SAFETY: the DDI asks for a KDPC that stays while it is queued.
    unsafe { Dpc::initialized(dpc) }
}

/// Sets a timer. The pages of `KeSetTimer` and `KeSetTimerEx` ask for a DPC that is initialised, if there is one; NT finds out only when
/// the timer expires.
fn set_timer(timer: *const Header, due: i64, period: u32, dpc: *const Dpc) -> u8 {
    if !dpc.is_null() {
        initialized_dpc(dpc);
    }
    u8::from(timer::set(
        Timer::of(object(timer, TIMERS)),
        due,
        period,
        dpc as u64,
    ))
}

unsafe extern "win64" fn ke_insert_queue_dpc(dpc: *const Dpc, first: u64, second: u64) -> u8 {
    u8::from(initialized_dpc(dpc).queue([first, second]))
}

unsafe extern "win64" fn ke_remove_queue_dpc(dpc: *const Dpc) -> u8 {
    u8::from(initialized_dpc(dpc).remove())
}

unsafe extern "win64" fn ke_set_target_processor_dpc_ex(
    dpc: *const Dpc,
    number: *const ProcessorNumber,
) -> i32 {
    // SAFETY: the DDI asks for a PROCESSOR_NUMBER there.
    let number = unsafe { number.read() };
    if number.group != 0 || usize::from(number.number) >= processor::count() {
        return status::INVALID_PARAMETER;
    }
    initialized_dpc(dpc).set_target(usize::from(number.number));
    status::SUCCESS
}

unsafe extern "win64" fn ke_set_importance_dpc(dpc: *const Dpc, importance: u32) {
    initialized_dpc(dpc).set_importance(importance as u8);
}

unsafe extern "win64" fn ke_flush_queued_dpcs() {
    interrupt::flush();
    dpc::flushed();
}

unsafe extern "win64" fn ke_initialize_timer_ex(timer: *const Timer, kind: u32) {
    // SAFETY: the DDI asks for a KTIMER there.
    let timer = unsafe { &*timer };
    if timer::addresses().contains(&timer.header.address()) {
        bug::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [timer.header.address(), 3, 0, 0],
            format_args!("the driver initialises a timer that is set"),
        );
    }
    let kind = if kind == 0 {
        Kind::NotificationTimer
    } else {
        Kind::SynchronizationTimer
    };
    timer.header.initialize(kind, 10, 0);
}

unsafe extern "win64" fn ke_initialize_timer(timer: *const Timer) {
    // SAFETY: the DDI asks for a KTIMER there; this is a notification timer.
    unsafe { ke_initialize_timer_ex(timer, 0) };
}

unsafe extern "win64" fn ke_read_state_timer(timer: *const Header) -> u8 {
    u8::from(object(timer, TIMERS).signal() > 0)
}

unsafe extern "win64" fn ke_set_timer_ex(timer: *const Header, due: i64, period: i32, dpc: *const Dpc) -> u8 {
    set_timer(timer, due, period.max(0) as u32, dpc)
}

/// A tolerance is how much later the timer may expire, which the lab does not make use of.
unsafe extern "win64" fn ke_set_coalescable_timer(
    timer: *const Header,
    due: i64,
    period: u32,
    _tolerance: u32,
    dpc: *const Dpc,
) -> u8 {
    set_timer(timer, due, period, dpc)
}

unsafe extern "win64" fn ke_set_timer(timer: *const Header, due: i64, dpc: *const Dpc) -> u8 {
    set_timer(timer, due, 0, dpc)
}

unsafe extern "win64" fn ke_cancel_timer(timer: *const Header) -> u8 {
    u8::from(timer::cancel(Timer::of(object(timer, TIMERS))))
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function("KeInitializeDpc", ANY, ke_initialize_dpc as *const ()),
    Export::function("KeInsertQueueDpc", ANY, ke_insert_queue_dpc as *const ()),
    Export::function("KeRemoveQueueDpc", ANY, ke_remove_queue_dpc as *const ()),
    Export::function(
        "KeSetTargetProcessorDpcEx",
        ANY,
        ke_set_target_processor_dpc_ex as *const (),
    ),
    Export::function("KeSetImportanceDpc", ANY, ke_set_importance_dpc as *const ()),
    Export::function("KeFlushQueuedDpcs", PASSIVE, ke_flush_queued_dpcs as *const ()),
    Export::function(
        "KeInitializeTimerEx",
        DISPATCH,
        ke_initialize_timer_ex as *const (),
    ),
    Export::function("KeInitializeTimer", DISPATCH, ke_initialize_timer as *const ()),
    Export::function("KeReadStateTimer", DISPATCH, ke_read_state_timer as *const ()),
    Export::function("KeSetTimerEx", DISPATCH, ke_set_timer_ex as *const ()),
    Export::function("KeSetTimer", DISPATCH, ke_set_timer as *const ()),
    Export::function(
        "KeSetCoalescableTimer",
        DISPATCH,
        ke_set_coalescable_timer as *const (),
    ),
    Export::function("KeCancelTimer", DISPATCH, ke_cancel_timer as *const ()),
];
