//! What the kernel counts by itself while the driver runs.

use crate::ex::counters::COUNTERS as native;
use crate::judge::lost_wakeup;
use crate::ke::{dpc, sched, stay};
use crate::{mm, monitor, replay, step};
use core::sync::atomic::Ordering::Relaxed;
use lab_wire::counters::Counters;

/// All counters, as they are now.
pub fn all() -> Counters {
    let longest = stay::longest();
    Counters {
        stack_event_waits: lost_wakeup::STACK_EVENT_WAITS.load(Relaxed),
        stack_event_sets: lost_wakeup::STACK_EVENT_SETS.load(Relaxed),
        monitorx: monitor::MONITORX.load(Relaxed),
        monitorx_series: monitor::MONITORX_SERIES.load(Relaxed),
        mwaitx: monitor::MWAITX.load(Relaxed),
        cr8_below_dispatch: step::CR8_BELOW_DISPATCH.load(Relaxed),
        cr8_at_dispatch: step::CR8_AT_DISPATCH.load(Relaxed),
        native_acquires: native.acquires.load(Relaxed),
        native_refused: native.refused.load(Relaxed),
        native_drained: native.drained.load(Relaxed),
        native_mwaitx: native.mwaitx.load(Relaxed),
        native_pause: native.pause.load(Relaxed),
        native_dispatch: native.dispatch.load(Relaxed),
        native_event: native.event.load(Relaxed),
        native_late: native.late.load(Relaxed),
        dispatch_stay: longest.microseconds(),
        dispatch_stay_raiser: longest.raiser,
        dpcs: dpc::CALLS.load(Relaxed),
        switches: sched::SWITCHES.load(Relaxed),
        memory_refused: mm::reserve::REFUSED.load(Relaxed),
        tsc_back: step::TSC_BACK.load(Relaxed),
        replay_events: replay::EVENTS.load(Relaxed),
        replay_digest: replay::DIGEST.load(Relaxed),
    }
}
