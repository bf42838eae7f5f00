//! Plug and Play of a function driver's device: its callbacks, in the order that Microsoft documents for power-up and removal.

use crate::call::{invoke, invoke_for_status};
use crate::device::Stack;
use crate::object::{self, Kind, Object, Plain};
use crate::queue;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use rundown_lab_kernel::io::object::{Irp, pnp_minor};
use rundown_lab_kernel::io::{device as wdm, irp};
use rundown_lab_kernel::log;
use rundown_lab_kernel::status;

/// `WdfPowerDeviceD3Final`: the state before the first start and after the last stop.
const D3_FINAL: u64 = 5;

/// `IRP_MJ_PNP`.
pub fn dispatch(device: &Arc<Object>, stack: Stack, irp: &'static Irp) -> i32 {
    let body = device.device();
    match irp::current(irp).minor_function.get() {
        pnp_minor::START_DEVICE => {
            let mut status = irp::forward_and_wait(stack.below, irp);
            if status::is_success(status) {
                status = start(device);
            }
            finish(irp, status)
        }
        pnp_minor::QUERY_REMOVE_DEVICE => {
            let arguments = [device.handle(), 0, 0, 0, 0];
            let status = invoke_for_status("EvtDeviceQueryRemove", body.init.pnp.query_remove, arguments);
            if !status::is_success(status) {
                return finish(irp, status);
            }
            irp.io_status.status.set(status::SUCCESS);
            irp::pass_down(stack.below, irp)
        }
        pnp_minor::CANCEL_REMOVE_DEVICE => {
            irp.io_status.status.set(status::SUCCESS);
            irp::pass_down(stack.below, irp)
        }
        pnp_minor::SURPRISE_REMOVAL => {
            invoke(
                "EvtDeviceSurpriseRemoval",
                body.init.pnp.surprise_removal,
                [device.handle(), 0, 0, 0, 0],
            );
            stop(device);
            clean_up_for_removal(device);
            irp.io_status.status.set(status::SUCCESS);
            irp::pass_down(stack.below, irp)
        }
        pnp_minor::REMOVE_DEVICE => {
            stop(device);
            clean_up_for_removal(device);
            remove(device);
            // Everything below the device in the tree goes before the device below hears of it (pnpstatemachine.cpp:2048).
            device.clean_up();
            device.release_children();
            irp.io_status.status.set(status::SUCCESS);
            let status = irp::forward_and_wait(stack.below, irp);
            delete(device);
            finish(irp, status)
        }
        _ => irp::pass_down(stack.below, irp),
    }
}

fn finish(irp: &'static Irp, status: i32) -> i32 {
    irp.io_status.status.set(status);
    irp::complete(irp);
    status
}

fn start(device: &Arc<Object>) -> i32 {
    let body = device.device();
    body.state.begun.store(true, Ordering::Release);
    let callbacks = &body.init.pnp;
    let handle = device.handle();
    let resources = || object::create(Kind::ResourceList, None, Some(device), Plain);
    let (raw, translated) = match resources().and_then(|raw| Ok((raw, resources()?))) {
        Ok(lists) => lists,
        Err(status) => return status,
    };
    let arguments = [handle, raw.handle(), translated.handle(), 0, 0];
    let status = invoke_for_status("EvtDevicePrepareHardware", callbacks.prepare_hardware, arguments);
    // Release is called whatever prepare returned.
    body.state.prepared.store(true, Ordering::Relaxed);
    if !status::is_success(status) {
        log!("log: EvtDevicePrepareHardware returned {status:#010x}");
        return status;
    }
    for (name, callback) in [
        ("EvtDeviceD0Entry", callbacks.d0_entry),
        (
            "EvtDeviceD0EntryPostInterruptsEnabled",
            callbacks.d0_entry_post_interrupts_enabled,
        ),
    ] {
        let status = invoke_for_status(name, callback, [handle, D3_FINAL, 0, 0, 0]);
        if !status::is_success(status) {
            log!("log: {name} returned {status:#010x}");
            return status;
        }
    }
    // Release: an interface that is created from now on is enabled at once.
    body.state.started.store(true, Ordering::Release);
    for queue in body.queues() {
        queue::power_up(&queue);
    }
    body.state.self_managed.store(true, Ordering::Relaxed);
    let status = invoke_for_status(
        "EvtDeviceSelfManagedIoInit",
        callbacks.self_managed_io_init,
        [handle, 0, 0, 0, 0],
    );
    if !status::is_success(status) {
        log!("log: EvtDeviceSelfManagedIoInit returned {status:#010x}");
        stop(device);
        return status;
    }
    body.set_interfaces(true);
    status::SUCCESS
}

/// Leaves D0, once.
fn stop(device: &Arc<Object>) {
    let body = device.device();
    let callbacks = &body.init.pnp;
    let handle = device.handle();
    if body.state.started.swap(false, Ordering::AcqRel) {
        if body.state.self_managed.load(Ordering::Relaxed) {
            let name = "EvtDeviceSelfManagedIoSuspend";
            invoke_for_status(name, callbacks.self_managed_io_suspend, [handle, 0, 0, 0, 0]);
        }
        for queue in body.queues() {
            queue::power_down(&queue);
        }
        for (name, callback) in [
            (
                "EvtDeviceD0ExitPreInterruptsDisabled",
                callbacks.d0_exit_pre_interrupts_disabled,
            ),
            ("EvtDeviceD0Exit", callbacks.d0_exit),
        ] {
            invoke_for_status(name, callback, [handle, D3_FINAL, 0, 0, 0]);
        }
    }
    if body.state.prepared.swap(false, Ordering::Relaxed) {
        let resources = object::create(Kind::ResourceList, None, Some(device), Plain);
        let translated = resources.map_or(0, |list| list.handle());
        invoke_for_status(
            "EvtDeviceReleaseHardware",
            callbacks.release_hardware,
            [handle, translated, 0, 0, 0],
        );
    }
}

/// Nobody finds the device any more, and what it does only in D0 ends: once, when it has left D0 for good, be that by surprise or not
/// (pnpstatemachine.cpp:2216).
fn clean_up_for_removal(device: &Arc<Object>) {
    let body = device.device();
    if body.state.cleaned.swap(true, Ordering::AcqRel) {
        return;
    }
    body.set_interfaces(false);
    log!("log: the device's interfaces are disabled");
    purge(device, true);
    if body.state.self_managed.load(Ordering::Relaxed) {
        invoke(
            "EvtDeviceSelfManagedIoFlush",
            body.init.pnp.self_managed_io_flush,
            [device.handle(), 0, 0, 0, 0],
        );
    }
}

/// The other queues take requests up to here (pnpstatemachine.cpp:2015).
fn remove(device: &Arc<Object>) {
    purge(device, false);
    let body = device.device();
    if body.state.self_managed.swap(false, Ordering::Relaxed) {
        invoke(
            "EvtDeviceSelfManagedIoCleanup",
            body.init.pnp.self_managed_io_cleanup,
            [device.handle(), 0, 0, 0, 0],
        );
    }
}

/// Ends the queues that are, or are not, power-managed.
fn purge(device: &Arc<Object>, power_managed: bool) {
    for queue in device.device().queues() {
        if queue.queue().is_power_managed() == power_managed {
            queue::shut_down(&queue);
        }
    }
}

/// The device goes, with everything below it in the tree.
pub fn delete(device: &Arc<Object>) {
    let body = device.device();
    device.clean_up();
    device.release();
    body.forget();
    if let Some(stack) = body.stack {
        wdm::detach(stack.below);
    }
    wdm::delete(body.wdm);
}
