//! Time.

use crate::ddi::irql_ranges::ANY;
use crate::export::{Export, HAL};
use crate::hal::{clock, cpu};
use crate::mm::shared;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

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

/// By which the tick count is to be multiplied to be a time in units of 100 ns (the page of `KeQueryTickCount`).
unsafe extern "win64" fn ke_query_time_increment() -> u32 {
    (clock::UNITS_PER_SECOND / shared::TICKS_PER_SECOND) as u32
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

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function(
        "KeQueryPerformanceCounter",
        ANY,
        ke_query_performance_counter as *const (),
    )
    .quiet(),
    Export::function(
        "KeQueryPerformanceCounter",
        ANY,
        ke_query_performance_counter as *const (),
    )
    .of(HAL)
    .quiet(),
    Export::function(
        "KeQuerySystemTimePrecise",
        ANY,
        ke_query_system_time_precise as *const (),
    )
    .quiet(),
    Export::function("KeQueryInterruptTime", ANY, ke_query_interrupt_time as *const ()).quiet(),
    Export::function(
        "KeQueryInterruptTimePrecise",
        ANY,
        ke_query_interrupt_time_precise as *const (),
    )
    .quiet(),
    Export::function("KeQueryTimeIncrement", ANY, ke_query_time_increment as *const ()).quiet(),
    Export::function(
        "KeStallExecutionProcessor",
        ANY,
        ke_stall_execution_processor as *const (),
    )
    .quiet(),
    Export::function(
        "KeStallExecutionProcessor",
        ANY,
        ke_stall_execution_processor as *const (),
    )
    .of(HAL)
    .quiet(),
    Export::function("KeYieldProcessorEx", ANY, ke_yield_processor_ex as *const ()).quiet(),
];
