//! What ntoskrnl.exe exports of the I/O manager.

use super::irql_ranges::{ANY, APC, AT_DISPATCH, DISPATCH, PASSIVE};
use crate::creations;
use crate::export::Export;
use crate::io::object::DriverObject;
use crate::io::{build, device, interface, irp};
use crate::ke::thread;
use crate::rtl::UnicodeString;
use crate::rtl::guid::Guid;
use crate::status;

/// A string parameter's text.
///
/// # Safety
/// `string` is null or a valid `UNICODE_STRING`.
unsafe fn text(string: *const UnicodeString) -> Option<alloc::string::String> {
    // SAFETY: the caller promises it.
    let string = unsafe { string.as_ref() }?;
    // SAFETY: a valid UNICODE_STRING's buffer holds its length.
    Some(unsafe { string.to_text() })
}

unsafe extern "win64" fn io_create_device(
    driver: *const DriverObject,
    extension_size: u32,
    name: *const UnicodeString,
    device_type: u32,
    characteristics: u32,
    exclusive: u8,
    result: *mut u64,
) -> i32 {
    // SAFETY: the DDI: a valid name or none.
    let name = unsafe { text(name) };
    // SAFETY: the DDI: the driver's own object, which stays.
    let driver = unsafe { &*driver };
    let caller = thread::current().caller();
    match device::create(
        driver,
        extension_size,
        name,
        device_type,
        characteristics,
        exclusive != 0,
        caller,
    ) {
        Ok(device) => {
            // SAFETY: the DDI: room for a pointer.
            unsafe { result.write((&raw const *device) as u64) };
            status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "win64" fn io_delete_device(device: u64) {
    device::delete(device::check(device, "IoDeleteDevice"));
}

unsafe extern "win64" fn io_attach_device_to_device_stack(source: u64, target: u64) -> u64 {
    let source = device::check(source, "IoAttachDeviceToDeviceStack");
    let target = device::check(target, "IoAttachDeviceToDeviceStack");
    device::attach(source, target).map_or(0, |below| (&raw const *below) as u64)
}

unsafe extern "win64" fn io_detach_device(target: u64) {
    device::detach(device::check(target, "IoDetachDevice"));
}

unsafe extern "win64" fn iof_call_driver(device: u64, irp: u64) -> i32 {
    irp::call_driver(
        device::check(device, "IofCallDriver"),
        irp::check(irp, "IofCallDriver"),
    )
}

unsafe extern "win64" fn iof_complete_request(irp: u64, _boost: i8) {
    irp::complete(irp::check(irp, "IofCompleteRequest"));
}

unsafe extern "win64" fn io_allocate_irp(stack_size: i8, _charge_quota: u8) -> u64 {
    let caller = thread::current().caller();
    irp::allocate_for_driver(stack_size, caller).map_or(0, |irp| (&raw const *irp) as u64)
}

unsafe extern "win64" fn io_free_irp(irp: u64) {
    irp::free(irp::check(irp, "IoFreeIrp"));
}

unsafe extern "win64" fn io_cancel_irp(irp: u64) -> u8 {
    u8::from(irp::cancel(irp::check(irp, "IoCancelIrp")))
}

unsafe extern "win64" fn io_acquire_cancel_spin_lock(old: *mut u8) {
    let before = irp::acquire_cancel_lock();
    // SAFETY: the DDI: room for an IRQL.
    unsafe { old.write(before) };
}

unsafe extern "win64" fn io_release_cancel_spin_lock(old: u8) {
    irp::release_cancel_lock(old);
}

unsafe extern "win64" fn io_register_device_interface(
    physical: u64,
    class: *const Guid,
    reference: *const UnicodeString,
    link: *mut UnicodeString,
) -> i32 {
    // SAFETY: the DDI: a GUID.
    let class = unsafe { class.read() };
    // SAFETY: the DDI: a valid string or none.
    let reference = unsafe { text(reference) };
    let physical = device::check(physical, "IoRegisterDeviceInterface");
    let name = interface::register(physical, class, reference.as_deref());
    let Some(string) = pool_string(&name) else {
        return status::INSUFFICIENT_RESOURCES;
    };
    // SAFETY: the DDI: room for a UNICODE_STRING, which the driver frees with RtlFreeUnicodeString.
    unsafe { link.write(string) };
    status::SUCCESS
}

/// A string in pool, for the driver to free.
fn pool_string(name: &str) -> Option<UnicodeString> {
    use crate::mm::pool::{self, Placement, Tag};
    let length = name.encode_utf16().count();
    let size = (length as u64 + 1) * 2;
    let tag = Tag(u32::from_le_bytes(*b"Ustr"));
    let buffer = pool::allocate(size, tag, true, Placement::Block, thread::current().caller())?.cast::<u16>();
    // SAFETY: the fresh, zeroed block has room for the terminating zero as well.
    let units = unsafe { core::slice::from_raw_parts_mut(buffer, length) };
    units
        .iter_mut()
        .zip(name.encode_utf16())
        .for_each(|(place, unit)| *place = unit);
    Some(UnicodeString {
        length: length as u16 * 2,
        maximum_length: length as u16 * 2 + 2,
        buffer,
    })
}

unsafe extern "win64" fn io_set_device_interface_state(link: *const UnicodeString, enable: u8) -> i32 {
    // SAFETY: the DDI: a valid string.
    let Some(link) = (unsafe { text(link) }) else {
        return status::INVALID_PARAMETER;
    };
    interface::set_state(&link, enable != 0)
        .err()
        .unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn io_create_symbolic_link(
    name: *const UnicodeString,
    target: *const UnicodeString,
) -> i32 {
    // SAFETY: the DDI: a valid string.
    let name = unsafe { text(name) };
    // SAFETY: as above.
    let target = unsafe { text(target) };
    let Some((name, target)) = name.zip(target) else {
        return status::INVALID_PARAMETER;
    };
    interface::create_link(&name, &target)
        .err()
        .unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn io_delete_symbolic_link(name: *const UnicodeString) -> i32 {
    // SAFETY: the DDI: a valid string.
    let Some(name) = (unsafe { text(name) }) else {
        return status::INVALID_PARAMETER;
    };
    interface::delete_link(&name).err().unwrap_or(status::SUCCESS)
}

unsafe extern "win64" fn io_reuse_irp(irp: u64, status: i32) {
    irp::reuse(irp::check(irp, "IoReuseIrp"), status);
}

unsafe extern "win64" fn io_build_device_io_control_request(
    code: u32,
    device: u64,
    input: u64,
    input_length: u32,
    output: u64,
    output_length: u32,
    internal: u8,
    event: u64,
    status_block: u64,
) -> u64 {
    let device = device::check(device, "IoBuildDeviceIoControlRequest");
    let control = build::Control {
        code,
        input: (input, input_length),
        output: (output, output_length),
        internal: internal != 0,
    };
    let requestor = build::Requestor { event, status_block };
    if creations::fails() {
        return 0;
    }
    build::control(device, control, requestor).map_or(0, irp::address)
}

unsafe extern "win64" fn io_build_synchronous_fsd_request(
    function: u32,
    device: u64,
    buffer: u64,
    length: u32,
    offset: *const u64,
    event: u64,
    status_block: u64,
) -> u64 {
    let device = device::check(device, "IoBuildSynchronousFsdRequest");
    // SAFETY: the DDI: an offset or null.
    let offset = unsafe { offset.as_ref() }.copied().unwrap_or(0);
    let requestor = build::Requestor { event, status_block };
    if creations::fails() {
        return 0;
    }
    let irp = build::transfer(device, function as u8, (buffer, length), offset, requestor);
    irp.map_or(0, irp::address)
}

unsafe extern "win64" fn io_get_attached_device(device: u64) -> u64 {
    let top = device::top_of_stack(device::check(device, "IoGetAttachedDevice"));
    (&raw const *top) as u64
}

unsafe extern "win64" fn io_get_attached_device_reference(device: u64) -> u64 {
    let top = device::top_of_stack(device::check(device, "IoGetAttachedDeviceReference"));
    device::hold(top);
    (&raw const *top) as u64
}

/// The IRP at the top of the thread's, which file systems set: there are none.
unsafe extern "win64" fn io_get_top_level_irp() -> u64 {
    0
}

unsafe extern "win64" fn io_is_32bit_process(_irp: u64) -> u8 {
    0
}

unsafe extern "win64" fn io_get_stack_limits(low: *mut u64, high: *mut u64) {
    let (base, top) = thread::current().stack().unwrap_or_default();
    // SAFETY: the DDI: room for an address.
    unsafe { low.write(base) };
    // SAFETY: as above.
    unsafe { high.write(top) };
}

/// Sets the completion routine of the next stack location, as the header's `IoSetCompletionRoutine` does; and the device's driver is not unloaded before
/// that has returned. The lab unloads none that has an IRP, so there is nothing more to do for that.
unsafe extern "win64" fn io_set_completion_routine_ex(
    device: u64,
    irp: u64,
    routine: u64,
    context: u64,
    success: u8,
    error: u8,
    cancel: u8,
) -> i32 {
    device::check(device, "IoSetCompletionRoutineEx");
    irp::set_completion(
        irp::check(irp, "IoSetCompletionRoutineEx"),
        routine,
        context,
        [success, error, cancel].map(|when| when != 0),
    );
    status::SUCCESS
}

/// Takes a note of a device's power state, by type and state; what it was before, which is nothing at first.
unsafe extern "win64" fn po_set_power_state(device: u64, kind: u32, state: u32) -> u32 {
    const DEVICE_POWER_STATE: u32 = 1;
    let device = device::check(device, "PoSetPowerState");
    if kind != DEVICE_POWER_STATE {
        return 0;
    }
    let before = device.reserved.get();
    device.reserved.set(state.into());
    before as u32
}

/// Nobody listens for WMI's requests, so none comes.
unsafe extern "win64" fn io_wmi_registration_control(_device: u64, _action: u32) -> i32 {
    status::SUCCESS
}

/// Nothing is traced by WMI, so there is nothing to tell of it.
unsafe extern "win64" fn wmi_query_trace_information(
    _class: u32,
    _information: u64,
    _length: u32,
    _needed: u64,
    _buffer: u64,
) -> i32 {
    status::NOT_SUPPORTED
}

/// "Starting with Windows Vista", says its page, `IoCallDriver` and this are the same.
unsafe extern "win64" fn po_call_driver(device: u64, irp: u64) -> i32 {
    // SAFETY: a plain function; it checks what it is given.
    unsafe { iof_call_driver(device, irp) }
}

/// Nothing since Windows Vista.
unsafe extern "win64" fn po_start_next_power_irp(irp: u64) {
    irp::check(irp, "PoStartNextPowerIrp");
}

/// The table.
pub static EXPORTS: &[Export] = &[
    Export::function("IoCreateDevice", APC, io_create_device as *const ()),
    Export::function("IoDeleteDevice", APC, io_delete_device as *const ()),
    Export::function(
        "IoAttachDeviceToDeviceStack",
        DISPATCH,
        io_attach_device_to_device_stack as *const (),
    ),
    Export::function("IoDetachDevice", PASSIVE, io_detach_device as *const ()),
    Export::function("IofCallDriver", DISPATCH, iof_call_driver as *const ()),
    Export::function("IofCompleteRequest", DISPATCH, iof_complete_request as *const ()),
    Export::function("IoAllocateIrp", DISPATCH, io_allocate_irp as *const ()),
    Export::function("IoFreeIrp", DISPATCH, io_free_irp as *const ()),
    Export::function("IoCancelIrp", DISPATCH, io_cancel_irp as *const ()),
    Export::function(
        "IoAcquireCancelSpinLock",
        DISPATCH,
        io_acquire_cancel_spin_lock as *const (),
    ),
    Export::function(
        "IoReleaseCancelSpinLock",
        AT_DISPATCH,
        io_release_cancel_spin_lock as *const (),
    ),
    Export::function(
        "IoRegisterDeviceInterface",
        PASSIVE,
        io_register_device_interface as *const (),
    ),
    Export::function(
        "IoSetDeviceInterfaceState",
        PASSIVE,
        io_set_device_interface_state as *const (),
    ),
    Export::function(
        "IoCreateSymbolicLink",
        PASSIVE,
        io_create_symbolic_link as *const (),
    ),
    Export::function(
        "IoDeleteSymbolicLink",
        PASSIVE,
        io_delete_symbolic_link as *const (),
    ),
    Export::function(
        "IoCreateUnprotectedSymbolicLink",
        PASSIVE,
        io_create_symbolic_link as *const (),
    ),
    Export::function("IoReuseIrp", DISPATCH, io_reuse_irp as *const ()),
    Export::function(
        "IoBuildDeviceIoControlRequest",
        APC,
        io_build_device_io_control_request as *const (),
    ),
    Export::function(
        "IoBuildSynchronousFsdRequest",
        APC,
        io_build_synchronous_fsd_request as *const (),
    ),
    Export::function(
        "IoGetAttachedDevice",
        DISPATCH,
        io_get_attached_device as *const (),
    ),
    Export::function(
        "IoGetAttachedDeviceReference",
        DISPATCH,
        io_get_attached_device_reference as *const (),
    ),
    Export::function("IoGetTopLevelIrp", DISPATCH, io_get_top_level_irp as *const ()).quiet(),
    Export::function("IoIs32bitProcess", DISPATCH, io_is_32bit_process as *const ()).quiet(),
    Export::function("IoGetStackLimits", ANY, io_get_stack_limits as *const ()).quiet(),
    Export::function(
        "IoSetCompletionRoutineEx",
        DISPATCH,
        io_set_completion_routine_ex as *const (),
    ),
    Export::function("PoSetPowerState", DISPATCH, po_set_power_state as *const ()),
    Export::function(
        "IoWMIRegistrationControl",
        APC,
        io_wmi_registration_control as *const (),
    ),
    Export::function(
        "WmiQueryTraceInformation",
        DISPATCH,
        wmi_query_trace_information as *const (),
    ),
    Export::function("PoCallDriver", DISPATCH, po_call_driver as *const ()),
    Export::function(
        "PoStartNextPowerIrp",
        DISPATCH,
        po_start_next_power_irp as *const (),
    ),
];
