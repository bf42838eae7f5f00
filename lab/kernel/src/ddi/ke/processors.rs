//! Processors, affinity, priority.

use crate::bug::{self, code};
use crate::config;
use crate::ddi::irql_ranges::{ANY, APC, DISPATCH};
use crate::ddi::ob;
use crate::export::Export;
use crate::hal::pcr;
use crate::ke::irql::{self, DISPATCH_LEVEL};
use crate::ke::{processor, sched, thread};
use crate::status;
use core::sync::atomic::Ordering::Relaxed;

/// `PROCESSOR_NUMBER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ProcessorNumber {
    pub(super) group: u16,
    pub(super) number: u8,
    reserved: u8,
}

/// `GROUP_AFFINITY`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct GroupAffinity {
    mask: u64,
    group: u16,
    reserved: [u16; 3],
}

const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;
const INVALID_PROCESSOR_INDEX: u32 = u32::MAX;

unsafe extern "win64" fn ke_query_active_processor_count_ex(group: u16) -> u32 {
    if group == 0 || group == ALL_PROCESSOR_GROUPS {
        processor::count() as u32
    } else {
        0
    }
}

/// More than there are on a machine to which some can be added while it runs.
unsafe extern "win64" fn ke_query_maximum_processor_count_ex(group: u16) -> u32 {
    if group == 0 || group == ALL_PROCESSOR_GROUPS {
        config::get().maximum_cpus()
    } else {
        0
    }
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

/// The cache line of every processor that QEMU plays, bytes.
unsafe extern "win64" fn ke_get_recommended_shared_data_alignment() -> u32 {
    64
}

unsafe extern "win64" fn ke_get_current_processor_number_ex(number: *mut ProcessorNumber) -> u32 {
    let current = pcr::current_number();
    if !number.is_null() {
        // SAFETY: the DDI asks for a PROCESSOR_NUMBER there, or null.
        unsafe {
            number.write(ProcessorNumber {
                group: 0,
                number: current as u8,
                reserved: 0,
            });
        };
    }
    current as u32
}

unsafe extern "win64" fn ke_get_processor_number_from_index(index: u32, number: *mut ProcessorNumber) -> i32 {
    if index as usize >= processor::count() {
        return status::INVALID_PARAMETER;
    }
    // SAFETY: the DDI asks for a PROCESSOR_NUMBER there.
    unsafe {
        number.write(ProcessorNumber {
            group: 0,
            number: index as u8,
            reserved: 0,
        });
    };
    status::SUCCESS
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

unsafe extern "win64" fn ke_set_system_group_affinity_thread(
    new: *const GroupAffinity,
    old: *mut GroupAffinity,
) {
    // SAFETY: the DDI asks for a GROUP_AFFINITY there.
    let new = unsafe { new.read() };
    let mask = new.mask & processor::all();
    // A bad group or an empty mask changes nothing, says the DDI.
    let before = if new.group == 0 && mask != 0 {
        processor::set_affinity(mask)
    } else {
        USER_AFFINITY
    };
    if !old.is_null() {
        let mask = if before == USER_AFFINITY { 0 } else { before };
        // SAFETY: the DDI asks for a GROUP_AFFINITY there, or null.
        unsafe {
            old.write(GroupAffinity {
                mask,
                group: 0,
                reserved: [0; 3],
            });
        };
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
    let Some(thread) = ob::thread(address) else {
        bug::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [address, 0, 0, 0],
            format_args!("KeSetPriorityThread of {address:#x}, which is no thread"),
        );
    };
    let mut dispatcher = sched::DISPATCHER.lock();
    let queued = dispatcher.unready(&thread);
    let before = thread.set_priority(priority);
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
    ob::thread(address).map_or(0, |thread| i32::from(thread.priority.load(Relaxed)))
}

/// This family's exports.
pub(super) static EXPORTS: &[Export] = &[
    Export::function(
        "KeQueryActiveProcessorCountEx",
        ANY,
        ke_query_active_processor_count_ex as *const (),
    )
    .quiet(),
    Export::function(
        "KeQueryMaximumProcessorCountEx",
        ANY,
        ke_query_maximum_processor_count_ex as *const (),
    )
    .quiet(),
    Export::function(
        "KeQueryActiveProcessorCount",
        ANY,
        ke_query_active_processor_count as *const (),
    )
    .quiet(),
    Export::function(
        "KeQueryActiveGroupCount",
        ANY,
        ke_query_active_group_count as *const (),
    )
    .quiet(),
    Export::function(
        "KeGetRecommendedSharedDataAlignment",
        ANY,
        ke_get_recommended_shared_data_alignment as *const (),
    )
    .quiet(),
    Export::function(
        "KeGetCurrentProcessorNumberEx",
        ANY,
        ke_get_current_processor_number_ex as *const (),
    )
    .quiet(),
    Export::function(
        "KeGetProcessorNumberFromIndex",
        ANY,
        ke_get_processor_number_from_index as *const (),
    )
    .quiet(),
    Export::function(
        "KeGetProcessorIndexFromNumber",
        ANY,
        ke_get_processor_index_from_number as *const (),
    )
    .quiet(),
    Export::function(
        "KeSetSystemGroupAffinityThread",
        APC,
        ke_set_system_group_affinity_thread as *const (),
    ),
    Export::function(
        "KeRevertToUserGroupAffinityThread",
        APC,
        ke_revert_to_user_group_affinity_thread as *const (),
    ),
    Export::function(
        "KeSetSystemAffinityThreadEx",
        APC,
        ke_set_system_affinity_thread_ex as *const (),
    ),
    Export::function(
        "KeRevertToUserAffinityThreadEx",
        APC,
        ke_revert_to_user_affinity_thread_ex as *const (),
    ),
    Export::function(
        "KeSetPriorityThread",
        DISPATCH,
        ke_set_priority_thread as *const (),
    ),
    Export::function(
        "KeQueryPriorityThread",
        DISPATCH,
        ke_query_priority_thread as *const (),
    ),
];
