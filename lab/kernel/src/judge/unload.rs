//! What an unloaded driver may not leave behind.

use crate::bug::{bugcheck, bugcheck_with, code};
use crate::config::{self, Rule};
use crate::ddi::ex::{fast_mutex, lookaside, resource};
use crate::ddi::{etw, ob, wdfldr};
use crate::ex::references;
use crate::io::remove_lock;
use crate::ke::wait::{self, Waiting};
use crate::ke::{dpc, thread, timer};
use crate::ldr::image::{self, Role};
use crate::lock::IrqLock;
use crate::mm::{mdl, pool};
use crate::{interrupt, log};
use alloc::collections::BTreeSet;

/// What was there before the driver was loaded: the framework's own, by address or handle.
static BEFORE: IrqLock<BTreeSet<u64>> = IrqLock::new(BTreeSet::new());

/// What is there from now on is a driver's, until [`end`]: its framework is loaded.
pub fn begin() {
    let blocks = pool::live_blocks().into_iter().map(|block| block.address);
    let handles = ob::open_handles().into_iter().map(|(handle, _)| handle);
    let providers = etw::registered().into_iter().map(|(handle, _)| handle);
    let others = [timer::addresses(), ob::references()].into_iter().flatten();
    let all = blocks.chain(handles).chain(providers).chain(others).collect();
    *BEFORE.lock() = all;
}

/// What is there is to be gone with the next unload: the framework's.
pub fn end() {
    BEFORE.lock().clear();
}

/// Whether it came after [`begin`].
fn is_new(address: u64) -> bool {
    !BEFORE.lock().contains(&address)
}

/// Checks, after the unload routine of the driver, or of its framework, that nothing of it is alive: DPCs, threads, timers, handles, ETW providers,
/// then pool. What a framework has made since [`begin`] it made for the driver.
///
/// DPCs come first, and nobody waits for one: its routine is about to be unmapped, and whether it would have run in time is luck.
/// A driver waits for them itself (`KeFlushQueuedDpcs`).
pub fn check(role: Role) {
    let who = role.name();
    if let Some(dpc) = dpc::of_driver(|routine| image::holder(routine).is_some()) {
        leaked(
            code::leaked::DPC,
            dpc,
            format_args!("the {who} unloads with a DPC queued or running"),
        );
    }
    if let Some(routine) = dpc::unflushed().filter(|_| !config::allows(Rule::UnflushedDpc)) {
        leaked(
            code::leaked::UNFLUSHED_DPC,
            routine,
            format_args!(
                "the {who} unloads without a KeFlushQueuedDpcs since its last DPC, which may still be on its way out"
            ),
        );
    }
    threads(who);
    interrupt::flush();
    let (base, size) = image::range(role);
    if let Some(timer) = timer::addresses().into_iter().find(|&timer| is_new(timer)) {
        leaked(
            code::leaked::TIMER,
            timer,
            format_args!("the {who} unloads with a timer set"),
        );
    }
    if let Some((handle, caller)) = ob::open_handles().into_iter().find(|(handle, _)| is_new(*handle)) {
        leaked(
            code::leaked::HANDLE,
            handle,
            format_args!(
                "the {who} unloads with a handle open, opened from {:#x}",
                caller.wrapping_sub(base)
            ),
        );
    }
    if let Some(object) = ob::references().into_iter().find(|&object| is_new(object)) {
        leaked(
            code::leaked::REFERENCE,
            object,
            format_args!("the {who} unloads with a thread, device or process referenced"),
        );
    }
    if let Some((handle, caller)) = etw::registered().into_iter().find(|(handle, _)| is_new(*handle)) {
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::ETW_PROVIDER_LEFT, caller, base, handle],
            format_args!(
                "the {who} unloads with an ETW provider registered, which was registered from {:#x}",
                caller.wrapping_sub(base)
            ),
        );
    }
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
                "the {who} unloads, and its client is gone, with {} MDLs whose pages are locked; the first, {list:#x}, describes {:#x} to {:#x}",
                locked.len(),
                range.start,
                range.end
            ),
        );
    }
    if wdfldr::is_bound() {
        bugcheck(
            code::DRIVER_VERIFIER_DETECTED_VIOLATION,
            [code::sub::WDF_OBJECT_LEAKED, 1, 0, 0],
            format_args!(
                "the {who} unloads and is still bound to its framework: it never called WdfVersionUnbind"
            ),
        );
    }
    pool_is_freed(who);
}

fn pool_is_freed(who: &str) {
    let mut blocks = pool::live_blocks();
    blocks.retain(|block| is_new(block.address));
    if blocks.is_empty() {
        references::forget_all();
        return;
    }
    let bytes: u64 = blocks.iter().map(|block| block.size).sum();
    bugcheck_with(
        code::DRIVER_VERIFIER_DETECTED_VIOLATION,
        [code::sub::POOL_LEAKED, 0, blocks.len() as u64, bytes],
        format_args!(
            "the {who} unloads without freeing {} pool blocks of {bytes} bytes; the first, tag '{}', was allocated from {:#x}",
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

fn threads(who: &str) {
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
                    "the {who} unloads while its thread {id} waits, for {milliseconds} ms now, on the object {object:#x}"
                ),
            ),
            _ => leaked(
                code::leaked::THREAD,
                address,
                format_args!("the {who} unloads while its thread {id} runs"),
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
