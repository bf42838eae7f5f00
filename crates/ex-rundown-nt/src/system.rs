//! The system's routines, as `wdm.h` declares them. `tools/kit/tests/meaning` compares them with Microsoft's metadata.
//!
//! Declared here and not taken from a crate: `wdk-sys` has `links = "wdk"`, so that a graph has one version of it, which is the driver's
//! to choose; and `windows-sys` defines every name of user mode besides, so that a driver that links it takes `ZwClose` from `ntdll.dll`.
#![allow(non_snake_case, reason = "the system's own names")]

use core::ffi::c_void;

/// A `KEVENT`: a `DISPATCHER_HEADER`, which is three words on x64.
#[derive(Debug)]
#[repr(C)]
pub struct Event([usize; 3]);

/// An opaque `EX_RUNDOWN_REF_CACHE_AWARE`.
#[repr(C)]
pub(crate) struct CacheAwareReference([usize; 0]);

/// A `KDPC`: eight words on x64.
#[repr(C)]
pub(crate) struct Dpc([usize; 8]);

/// A `PROCESSOR_NUMBER`.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct ProcessorNumber {
    pub(crate) group: u16,
    pub(crate) number: u8,
    pub(crate) reserved: u8,
}

/// `NotificationEvent` of `EVENT_TYPE`.
pub(crate) const NOTIFICATION_EVENT: i32 = 0;
/// `SynchronizationEvent` of `EVENT_TYPE`.
pub(crate) const SYNCHRONIZATION_EVENT: i32 = 1;
/// `Executive` of `KWAIT_REASON`.
pub(crate) const EXECUTIVE: i32 = 0;
/// `MediumHighImportance` of `KDPC_IMPORTANCE`.
pub(crate) const MEDIUM_HIGH_IMPORTANCE: i32 = 3;
/// `KernelMode` of `MODE`.
pub(crate) const KERNEL_MODE: i8 = 0;
/// `FALSE`.
pub(crate) const NO: u8 = 0;
/// `EX_RUNDOWN_ACTIVE`: the word of a reference that is run down.
pub(crate) const EX_RUNDOWN_ACTIVE: usize = 1;
/// `ALL_PROCESSOR_GROUPS`.
pub(crate) const ALL_PROCESSOR_GROUPS: u16 = 0xffff;

#[cfg_attr(
    windows,
    link(name = "ntoskrnl.exe", kind = "raw-dylib", modifiers = "+verbatim")
)]
unsafe extern "system" {
    pub(crate) fn ExAcquireRundownProtection(reference: *mut usize) -> u8;
    pub(crate) fn ExAcquireRundownProtectionEx(reference: *mut usize, count: u32) -> u8;
    pub(crate) fn ExInitializeRundownProtection(reference: *mut usize);
    pub(crate) fn ExReInitializeRundownProtection(reference: *mut usize);
    pub(crate) fn ExReleaseRundownProtection(reference: *mut usize);
    pub(crate) fn ExReleaseRundownProtectionEx(reference: *mut usize, count: u32);
    pub(crate) fn ExRundownCompleted(reference: *mut usize);
    pub(crate) fn ExWaitForRundownProtectionRelease(reference: *mut usize);

    pub(crate) fn ExAcquireRundownProtectionCacheAware(reference: *mut CacheAwareReference) -> u8;
    pub(crate) fn ExAcquireRundownProtectionCacheAwareEx(
        reference: *mut CacheAwareReference,
        count: u32,
    ) -> u8;
    pub(crate) fn ExInitializeRundownProtectionCacheAware(reference: *mut CacheAwareReference, bytes: usize);
    pub(crate) fn ExReInitializeRundownProtectionCacheAware(reference: *mut CacheAwareReference);
    pub(crate) fn ExReleaseRundownProtectionCacheAware(reference: *mut CacheAwareReference);
    pub(crate) fn ExReleaseRundownProtectionCacheAwareEx(reference: *mut CacheAwareReference, count: u32);
    pub(crate) fn ExRundownCompletedCacheAware(reference: *mut CacheAwareReference);
    pub(crate) fn ExSizeOfRundownProtectionCacheAware() -> usize;
    pub(crate) fn ExWaitForRundownProtectionReleaseCacheAware(reference: *mut CacheAwareReference);

    pub(crate) fn ExAllocatePool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
    pub(crate) fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);

    pub(crate) fn KeEnterCriticalRegion();
    pub(crate) fn KeLeaveCriticalRegion();
    pub(crate) fn KeGetCurrentIrql() -> u8;
    pub(crate) fn KfRaiseIrql(irql: u8) -> u8;
    pub(crate) fn KeLowerIrql(irql: u8);
    pub(crate) fn KeGetCurrentProcessorNumberEx(number: *mut ProcessorNumber) -> u32;
    pub(crate) fn KeGetProcessorNumberFromIndex(processor: u32, number: *mut ProcessorNumber) -> i32;
    pub(crate) fn KeQueryActiveProcessorCountEx(group: u16) -> u32;
    pub(crate) fn KeQueryMaximumProcessorCountEx(group: u16) -> u32;

    pub(crate) fn KeInitializeDpc(dpc: *mut Dpc, routine: *const c_void, context: *mut c_void);
    pub(crate) fn KeSetImportanceDpc(dpc: *mut Dpc, importance: i32);
    pub(crate) fn KeSetTargetProcessorDpcEx(dpc: *mut Dpc, processor: *mut ProcessorNumber) -> i32;
    pub(crate) fn KeInsertQueueDpc(dpc: *mut Dpc, first: *mut c_void, second: *mut c_void) -> u8;
    pub(crate) fn KeFlushQueuedDpcs();

    pub(crate) fn KeInitializeEvent(event: *mut Event, kind: i32, state: u8);
    pub(crate) fn KeSetEvent(event: *mut Event, increment: i32, wait: u8) -> i32;
    pub(crate) fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        timeout: *mut i64,
    ) -> i32;
    pub(crate) fn KeDelayExecutionThread(mode: i8, alertable: u8, interval: *mut i64) -> i32;

    pub(crate) fn KeBugCheckEx(code: u32, first: usize, second: usize, third: usize, fourth: usize) -> !;
}
