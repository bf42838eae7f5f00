//! The NT side of each seam: one file per thing that the kernel gives.

pub(crate) mod clock;
pub(crate) mod code;
mod event;
mod events;
pub(crate) mod hypervisor;
mod memory;
pub(crate) mod parameters;
pub(crate) mod pool;
pub(crate) mod privilege;
pub(crate) mod processors;
mod remote;
pub(crate) mod spin_budget;
pub(crate) mod string;
mod thread;
pub(crate) mod trace;
pub(crate) mod verifier;
pub(crate) mod version;
mod wait;
mod wait_lock;
pub(crate) mod wdf;

pub(crate) use ex_rundown_nt::{
    Nt,
    native::{CacheAware as NativeCacheAware, Plain as NativeRundown, Routines},
};
use wdk_sys::NTSTATUS;

pub(crate) use self::{
    event::Event,
    events::Events,
    memory::Pool,
    pool::{PoolArc, PoolBox},
    remote::{RemoteProcessor, Turnstile},
    thread::{Body, CurrentThread, SystemThread, stack_word, yield_thread},
    wait_lock::WaitLock,
};

/// A structure's size as its `Size` field wants it.
pub(crate) const fn size_of_u32<T>() -> u32 {
    assert!(size_of::<T>() <= u32::MAX as usize);
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    let size = size_of::<T>() as u32;
    size
}

/// An NTSTATUS as a result.
pub(crate) fn check(status: NTSTATUS) -> Result<(), NTSTATUS> {
    if wdk::nt_success(status) {
        Ok(())
    } else {
        Err(status)
    }
}
