//! `wdfiotarget.h`, and the functions of `wdfrequest.h` that send.

use super::options::Options;
use super::rest;
use super::submit::{cancel, send, send_and_forget, send_and_wait, set_routine};
use crate::layout::{CompletionParams, FILE_CLASS_NOT_REQUIRED, ObjectAttributes, SendOptions};
use crate::object::{self, Allowed, Kind, Object};
use crate::request::made;
use crate::request::sending::{Completion, require_not_sent};
use crate::slot::Slot;
use crate::violation::{self, check_size, require, require_passive, routine, violation};
use alloc::sync::Arc;
use rundown_lab_kernel::io::irp;
use rundown_lab_kernel::io::object::{StackLocation, major};
use rundown_lab_kernel::log;
use rundown_lab_kernel::status;

unsafe extern "win64" fn get_io_target(_globals: u64, device: u64) -> u64 {
    let device = object::find(device, Kind::Device);
    device.device().target().map_or(0, |target| target.handle())
}

/// The questions in the order of fxrequestapi.cpp:1853. With a debugger the verifier breaks into it at each refusal.
unsafe extern "win64" fn request_send(
    _globals: u64,
    request: u64,
    target: u64,
    options: *const SendOptions,
) -> u8 {
    let request = object::find(request, Kind::Request);
    // SAFETY: the declaration: options or none.
    let options = unsafe { Options::read(options) };
    let Ok(options) = options else {
        return refuse(&request, status::INVALID_PARAMETER);
    };
    let target = object::find(target, Kind::IoTarget);
    require_at_driver(&request);
    let details = request.request();
    let sent = if options.is_synchronous() {
        require_passive();
        send_and_wait(&target, &request, options, true).0
    } else if options.forgets() {
        if !details.has_arrived() {
            return refuse(&request, status::INVALID_DEVICE_STATE);
        }
        if details.sending().lock().context.is_some() {
            return refuse(&request, status::INVALID_DEVICE_REQUEST);
        }
        check_forgotten(&request);
        send_and_forget(&target, &request);
        true
    } else {
        let silent = matches!(details.sending().lock().completion, Completion::None);
        if silent && details.has_arrived() {
            return refuse(&request, status::INVALID_DEVICE_REQUEST);
        }
        send(&target, &request, options)
    };
    u8::from(sent)
}

fn refuse(request: &Object, status: i32) -> u8 {
    log!(
        "log: WdfRequestSend refuses the request with {status:#010x}: see its page for what it may be sent with"
    );
    request.request().irp().io_status.status.set(status);
    0
}

/// What is sent twice is the framework's own bug check; what a queue has, or is completed, is the lab's.
fn require_at_driver(request: &Arc<Object>) {
    use crate::request::{Owner, owner, require_owner};
    match owner(request) {
        // `submit` tells.
        Owner::Target | Owner::Maker => {}
        _ => require_owner(request, Owner::Driver),
    }
}

/// fxrequest.cpp:1071.
fn check_forgotten(request: &Arc<Object>) {
    let details = request.request();
    let has_routine = !matches!(details.sending().lock().completion, Completion::None);
    let class = details.device().device().init.files.map(|files| files.class);
    let has_file = class.is_some_and(|class| class != FILE_CLASS_NOT_REQUIRED);
    let why = if details.is_cancelable() {
        "is still cancelable (WdfRequestUnmarkCancelable comes first)"
    } else if has_routine {
        "has a completion routine, which will never be called"
    } else if details.function() == major::CREATE && has_file {
        "opens a WDFFILEOBJECT, which goes if the open fails: it has to come back"
    } else {
        return;
    };
    violation(
        violation::RULE,
        request.handle(),
        0,
        format_args!("WdfRequestSend: a request that is sent and forgotten {why}"),
    );
}

unsafe extern "win64" fn set_completion_routine(_globals: u64, request: u64, routine: u64, context: u64) {
    let request = object::find(request, Kind::Request);
    set_routine(&mut request.request().sending().lock(), (routine, context));
}

unsafe extern "win64" fn get_completion_params(_globals: u64, request: u64, params: *mut CompletionParams) {
    let request = object::find(request, Kind::Request);
    require(params, "Params");
    // SAFETY: the declaration: a WDF_REQUEST_COMPLETION_PARAMS, which begins with its size.
    let size = unsafe { params.cast::<u32>().read() };
    check_size(
        "WDF_REQUEST_COMPLETION_PARAMS",
        size,
        size_of::<CompletionParams>(),
    );
    let known = request
        .request()
        .sending()
        .lock()
        .context
        .as_ref()
        .map(|context| context.params);
    let Some(known) = known else {
        // fxrequest.hpp:544.
        violation(
            violation::RULE,
            request.handle(),
            0,
            format_args!(
                "WdfRequestGetCompletionParams was given a request that no WdfIoTargetFormatRequestFor... has formatted: it has none"
            ),
        );
    };
    // SAFETY: as above.
    unsafe { params.write(known) };
}

unsafe extern "win64" fn format_using_current_type(_globals: u64, request: u64) {
    format_by_hand(request, irp::copy_to_next);
}

unsafe extern "win64" fn format_using_stack_location(
    _globals: u64,
    request: u64,
    location: *const StackLocation,
) {
    // SAFETY: the declaration: an IO_STACK_LOCATION.
    let location = unsafe { &*require(location, "Stack") };
    format_by_hand(request, |irp| {
        irp::copy(location, irp::next(irp));
    });
}

/// fxrequestapi.cpp:2224.
fn format_by_hand(request: u64, fill: impl FnOnce(&'static rundown_lab_kernel::io::object::Irp)) {
    let request = object::find(request, Kind::Request);
    require_not_sent(&request);
    let details = request.request();
    let irp = details.irp();
    if irp.current_location.get() < 2 {
        violation(
            violation::REQUEST,
            violation::REQUEST_NO_MORE_STACK_LOCATIONS,
            irp::address(irp),
            format_args!(
                "{}: the request's IRP has no stack location left for a driver below",
                routine()
            ),
        );
    }
    fill(irp);
    let mut sending = details.sending().lock();
    sending.by_hand = true;
    sending.formatted = true;
}

unsafe extern "win64" fn change_target(_globals: u64, request: u64, target: u64) -> i32 {
    let request = object::find(request, Kind::Request);
    let target = object::find(target, Kind::IoTarget);
    require_not_sent(&request);
    fit(&request, &target).err().unwrap_or(status::SUCCESS)
}

/// Sees to it that a request can go to that target.
pub(super) fn fit(request: &Object, target: &Object) -> Result<(), i32> {
    let size = target.target().place().map_or(0, |place| place.stack_size);
    request.request().fit(size)
}

unsafe extern "win64" fn cancel_sent_request(_globals: u64, request: u64) -> u8 {
    u8::from(cancel(&object::find(request, Kind::Request)))
}

unsafe extern "win64" fn request_create(
    _globals: u64,
    attributes: *const ObjectAttributes,
    target: u64,
    result: *mut u64,
) -> i32 {
    let target = (target != 0).then(|| object::find(target, Kind::IoTarget));
    require(result, "Request");
    // SAFETY: the declaration: room for a handle.
    unsafe { result.write(0) };
    // SAFETY: the declaration: attributes or none.
    let made = unsafe { object::attributes(attributes, Allowed::PLAIN) }.and_then(|attributes| {
        let request = made::create(attributes.as_ref(), 0, false)?;
        if let Some(target) = target {
            fit(&request, &target).inspect_err(|_| {
                request.forget_callbacks();
                request.delete();
            })?;
        }
        Ok(request)
    });
    // SAFETY: as above.
    unsafe { object::answer(made, result) }
}

unsafe extern "win64" fn start(_globals: u64, target: u64) -> i32 {
    rest::start(&object::find(target, Kind::IoTarget))
        .err()
        .unwrap_or(status::SUCCESS)
}

/// An action that is none does nothing (fxiotargetapi.cpp:110).
unsafe extern "win64" fn stop(_globals: u64, target: u64, action: u32) {
    let target = object::find(target, Kind::IoTarget);
    if !(rest::CANCEL_SENT..=rest::LEAVE_SENT).contains(&action) {
        return log!("log: WdfIoTargetStop does nothing: {action} is no WDF_IO_TARGET_SENT_IO_ACTION");
    }
    if action != rest::LEAVE_SENT {
        require_passive();
    }
    rest::stop(&target, action);
}

unsafe extern "win64" fn purge(_globals: u64, target: u64, action: u32) {
    let target = object::find(target, Kind::IoTarget);
    if !(rest::PURGE_AND_WAIT..=rest::PURGE).contains(&action) {
        return log!("log: WdfIoTargetPurge does nothing: {action} is no WDF_IO_TARGET_PURGE_IO_ACTION");
    }
    if action == rest::PURGE_AND_WAIT {
        require_passive();
    }
    rest::purge(&target, action);
}

unsafe extern "win64" fn get_state(_globals: u64, target: u64) -> u32 {
    object::find(target, Kind::IoTarget).target().now()
}

unsafe extern "win64" fn get_device(_globals: u64, target: u64) -> u64 {
    object::find(target, Kind::IoTarget).target().device().handle()
}

unsafe extern "win64" fn get_target_device_object(_globals: u64, target: u64) -> u64 {
    let place = object::find(target, Kind::IoTarget).target().place();
    place.map_or(0, |place| (&raw const *place.device) as u64)
}

unsafe extern "win64" fn get_target_physical_device(_globals: u64, target: u64) -> u64 {
    let place = object::find(target, Kind::IoTarget).target().place();
    place.map_or(0, |place| (&raw const *place.physical) as u64)
}

/// The slots.
pub static FUNCTIONS: &[Slot] = &[
    Slot::new(42, "WdfDeviceGetIoTarget", 2, get_io_target as *const ()),
    Slot::new(171, "WdfIoTargetStart", 2, start as *const ()),
    Slot::new(172, "WdfIoTargetStop", 2, stop as *const ()),
    Slot::new(173, "WdfIoTargetGetState", 2, get_state as *const ()),
    Slot::new(174, "WdfIoTargetGetDevice", 2, get_device as *const ()),
    Slot::new(
        178,
        "WdfIoTargetWdmGetTargetDeviceObject",
        2,
        get_target_device_object as *const (),
    ),
    Slot::new(
        179,
        "WdfIoTargetWdmGetTargetPhysicalDevice",
        2,
        get_target_physical_device as *const (),
    ),
    Slot::new(247, "WdfRequestCreate", 2, request_create as *const ()),
    Slot::new(250, "WdfRequestChangeTarget", 2, change_target as *const ()),
    Slot::new(
        251,
        "WdfRequestFormatRequestUsingCurrentType",
        2,
        format_using_current_type as *const (),
    ),
    Slot::new(
        252,
        "WdfRequestWdmFormatUsingStackLocation",
        2,
        format_using_stack_location as *const (),
    ),
    Slot::new(253, "WdfRequestSend", 2, request_send as *const ()),
    Slot::new(
        258,
        "WdfRequestCancelSentRequest",
        2,
        cancel_sent_request as *const (),
    ),
    Slot::new(
        260,
        "WdfRequestSetCompletionRoutine",
        2,
        set_completion_routine as *const (),
    ),
    Slot::new(
        261,
        "WdfRequestGetCompletionParams",
        2,
        get_completion_params as *const (),
    ),
    Slot::new(420, "WdfIoTargetPurge", 2, purge as *const ()),
];
