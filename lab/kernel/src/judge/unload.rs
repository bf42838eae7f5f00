//! What an unloaded driver may not leave behind.

use crate::bug::{bugcheck, bugcheck_with, code};
use crate::config::{self, Rule};
use crate::ddi::ex::{fast_mutex, lookaside, resource};
use crate::ddi::{etw, ob};
use crate::ex::references;
use crate::io::remove_lock;
use crate::ke::wait::{self, Waiting};
use crate::ke::{dpc, thread, timer};
use crate::ldr::image;
use crate::mm::{mdl, pool};
use crate::{interrupt, log};

/// Checks, after the driver's unload routine, that nothing of it is alive: DPCs, threads, timers, handles, ETW providers, then pool.
///
/// DPCs come first, and nobody waits for one: its routine is about to be unmapped, and whether it would have run in time is luck.
/// A driver waits for them itself (`KeFlushQueuedDpcs`).
pub fn check() {
    if let Some(dpc) = dpc::of_driver(image::in_driver) {
        leaked(
            code::leaked::DPC,
            dpc,
            format_args!("the driver unloads with a DPC queued or running"),
        );
    }
    if let Some(routine) = dpc::unflushed().filter(|_| !config::allows(Rule::UnflushedDpc)) {
        leaked(
            code::leaked::UNFLUSHED_DPC,
            routine,
            format_args!(
                "the driver unloads without a KeFlushQueuedDpcs since its last DPC, which may still be on its way out"
            ),
        );
    }
    threads();
    interrupt::flush();
    let base = image::driver().0;
    if let Some(&timer) = timer::addresses().first() {
        leaked(
            code::leaked::TIMER,
            timer,
            format_args!("the driver unloads with a timer set"),
        );
    }
    if let Some((handle, caller)) = ob::open_handles().first() {
        leaked(
            code::leaked::HANDLE,
            *handle,
            format_args!(
                "the driver unloads with a handle open, opened from {:#x}",
                caller.wrapping_sub(base)
            ),
        );
    }
    if let Some(object) = ob::references().first() {
        leaked(
            code::leaked::REFERENCE,
            *object,
            format_args!("the driver unloads with a thread, device or process referenced"),
        );
    }
    if let Some((handle, caller)) = etw::registered() {
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::ETW_PROVIDER_LEFT, caller, base, handle],
            format_args!(
                "the driver unloads with an ETW provider registered, which was registered from {:#x}",
                caller.wrapping_sub(base)
            ),
        );
    }
    let (base, size) = image::driver();
    fast_mutex::refuse_freed(base..base + size);
    resource::refuse_freed(base..base + size);
    lookaside::refuse_freed(base..base + size);
    remove_lock::freed(base..base + size);
    let locked = mdl::locked();
    if let Some((list, range)) = locked.first() {
        bugcheck(
            code::PROCESS_HAS_LOCKED_PAGES,
            [0, 0, locked.len() as u64, 0],
            format_args!(
                "the driver unloads, and its client is gone, with {} MDLs whose pages are locked; the first, {list:#x}, describes {:#x} to {:#x}",
                locked.len(),
                range.start,
                range.end
            ),
        );
    }
    let blocks = pool::live_blocks();
    if blocks.is_empty() {
        references::forget_all();
        return;
    }
    let bytes: u64 = blocks.iter().map(|block| block.size).sum();
    bugcheck_with(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [code::sub::POOL_LEAKED, 0, blocks.len() as u64, bytes],
        format_args!(
            "the driver unloads without freeing {} pool blocks of {bytes} bytes; the first, tag '{}', was allocated from {:#x}",
            blocks.len(),
            blocks[0].tag,
            blocks[0].caller
        ),
        || {
            for block in &blocks {
                log!(
                    "leak: {:#x} {:#x} {} {:#x}",
                    block.address,
                    block.size,
                    block.tag,
                    block.caller
                );
            }
        },
    )
}

fn threads() {
    let mut live = None;
    thread::for_each(|thread| {
        if thread.origin == thread::Origin::Driver && thread.state() != thread::State::Dead {
            live = Some(thread.clone());
        }
    });
    if let Some(thread) = live {
        let (address, id) = (thread.address(), thread.id);
        match wait::of(&thread) {
            Some(Waiting {
                object: Some((object, _)),
                milliseconds,
            }) => leaked(
                code::leaked::THREAD,
                address,
                format_args!(
                    "the driver unloads while its thread {id} waits, for {milliseconds} ms now, on the object {object:#x}"
                ),
            ),
            _ => leaked(
                code::leaked::THREAD,
                address,
                format_args!("the driver unloads while its thread {id} runs"),
            ),
        }
    }
}

fn leaked(what: u64, address: u64, text: core::fmt::Arguments<'_>) {
    bugcheck(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [code::sub::OBJECT_LEAKED, what, address, 0],
        text,
    )
}
